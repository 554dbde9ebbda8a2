//! `with` of destinations: values that no template reads, and values of another kind than a preset's.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::closest;
use super::form::shown;
use super::locate::join;
use super::reading::Reading;

/// Looks at what the operator wrote, not at what presets bring.
pub(super) fn check(reading: &Reading<'_>, destinations: &[(String, Value)]) {
    for (name, settled) in destinations {
        let preset = settled.get("preset").and_then(Value::as_str);
        let preset = preset.map(|preset| reading.presets.keys(preset));
        let own = settled.get("with").and_then(Value::as_object);
        let place = join(&join("destinations", name), "with");
        // Every template of the destination, as one text to look into.
        let templates = settled.to_string();
        let known = names(&templates);
        for (key, value) in own.into_iter().flatten() {
            let at = join(&place, key);
            if !reading.locator.written(&at) {
                continue;
            }
            let bring = preset.as_ref().and_then(|preset| preset.get("with"));
            match bring.and_then(|with| with.get(key)) {
                Some(default) => compare(reading, &at, value, default),
                None if known.contains(key.as_str()) => {}
                None => unread(reading, &at, key, &known),
            }
        }
    }
}

/// The names that stand after `with.` or in `with['…']`.
fn names(templates: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let after = |start: &'static str| {
        let rests = templates.split(start).skip(1);
        rests.map(move |rest| rest.split(|c| !is_name(c)).next().unwrap_or_default())
    };
    after("with.").chain(after("with['")).collect()
}

fn unread(reading: &Reading<'_>, at: &str, key: &str, known: &BTreeSet<&str>) {
    let finding = reading.locator.warning(at, "no template reads this value");
    reading.report(match closest(key, known.iter().copied()) {
        Some(meant) => finding.hint(format!("did you mean `{meant}`?")),
        None => finding.hint("a template reads it as {{ with.NAME }}; else take it out"),
    });
}

/// A switch stays a switch, and a table of words holds the words that there are.
fn compare(reading: &Reading<'_>, at: &str, value: &Value, default: &Value) {
    let expected = match default {
        Value::Bool(_) if !value.is_boolean() => "true or false, without quotes",
        Value::Object(_) if !value.is_object() => "a table of words",
        _ => {
            let (Value::Object(own), Value::Object(default)) = (value, default) else {
                return;
            };
            for key in own.keys().filter(|key| !default.contains_key(*key)) {
                let at = join(at, key);
                let meant = closest(key, default.keys().map(String::as_str));
                if let Some(meant) = meant.filter(|_| reading.locator.written(&at)) {
                    let doubt = reading.locator.warning(&at, "the preset has no such word");
                    reading.report(doubt.hint(format!("did you mean \"{meant}\"?")));
                }
            }
            return;
        }
    };
    let problem = format!("expected {expected}, found {}", shown(value));
    let error = reading.locator.error(at, problem);
    reading.report(error.hint("the preset's own value is of that kind"));
}
