//! What the built-in presets say about themselves.

use serde_json::Value;

use super::layers::merge;
use super::locate;
use crate::destination::preset;

/// A preset, as `relay presets` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub name: &'static str,
    pub title: String,
    /// What has to be in `candidate_external_id`.
    pub candidate: String,
    /// How sure its facts are, and since when.
    pub facts: String,
    /// Keys that the operator writes.
    pub needs: Vec<String>,
    pub rate_limit: String,
    /// The file.
    pub text: &'static str,
}

/// Every built-in preset.
pub fn presets() -> Vec<About> {
    preset::BUILT_IN
        .iter()
        .map(|(name, text)| about(name, text))
        .collect()
}

/// The keys that `name` needs from its operator.
pub(super) fn needs(name: &str) -> Vec<String> {
    presets()
        .into_iter()
        .find(|about| about.name == name)
        .map(|about| about.needs)
        .unwrap_or_default()
}

/// A preset's keys over its base's, without what it says about itself.
pub(super) fn keys(text: &str) -> Value {
    let mut keys = read(text);
    let base = keys.as_object_mut().and_then(|keys| {
        keys.remove("about");
        keys.remove("base")
    });
    let base = base.as_ref().and_then(Value::as_str).and_then(preset::base);
    base.map_or_else(|| keys.clone(), |base| merge(&[&read(base), &keys]))
}

fn about(name: &'static str, text: &'static str) -> About {
    let keys = read(text);
    let word = |key: &str| keys["about"][key].as_str().unwrap_or_default().to_owned();
    let needs = keys["about"]["needs"].as_array().into_iter().flatten();
    About {
        name,
        title: word("title"),
        candidate: word("candidate"),
        facts: word("facts"),
        needs: needs.filter_map(Value::as_str).map(str::to_owned).collect(),
        rate_limit: keys["rate_limit"].as_str().unwrap_or("none").to_owned(),
        text,
    }
}

fn read(text: &str) -> Value {
    locate::read("preset", text)
        .expect("a test reads every built-in preset")
        .0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_says_what_it_is() {
        for about in presets() {
            assert!(
                !about.title.is_empty() && !about.facts.is_empty(),
                "{}",
                about.name
            );
            assert!(
                !about.candidate.is_empty() && !about.needs.is_empty(),
                "{}",
                about.name
            );
            assert_ne!(about.rate_limit, "none", "{}", about.name);
        }
    }
}
