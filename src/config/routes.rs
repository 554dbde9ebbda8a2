//! `[[routes]]`: each rule, and the names that it uses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::suggest;
use super::form::{self, SWITCH};
use super::locate::index;
use super::reading::Table;
use crate::expr::{EVENT_ROOTS, Expression};
use crate::model::{EventType, Name};
use crate::route::{Glob, RESULT_FIELDS, Route};
use crate::source::{Kind, Source};

/// What a route may name.
pub(super) struct Known<'a> {
    pub(super) sources: Vec<KnownSource<'a>>,
    pub(super) destinations: Vec<&'a str>,
}

impl Known<'_> {
    pub(super) fn names(&self) -> Names<'_> {
        Names {
            sources: self.sources.iter().map(|known| known.name).collect(),
            destinations: self.destinations.clone(),
        }
    }
}

/// What a test may name.
pub(super) struct Names<'a> {
    pub(super) sources: Vec<&'a str>,
    pub(super) destinations: Vec<&'a str>,
}

/// A source's name and, where it could be read, the source.
pub(super) struct KnownSource<'a> {
    pub(super) name: &'a str,
    pub(super) source: Option<Source>,
}

/// Reads the route at `position` (from 0).
pub(super) fn route(table: &Table<'_>, position: usize, known: &Known<'_>) -> Option<Route> {
    let name = if table.has("name") {
        table.leaf("name", form::TEXT)
    } else {
        Some(format!("route-{}", position + 1))
    };
    if let Some(name) = &name {
        table.reading.check_name(&table.at("name"), name);
    }
    let from = from(table, known);
    let heard: Vec<&KnownSource<'_>> = known
        .sources
        .iter()
        .filter(|known| {
            let listed = from.as_ref();
            listed.is_none_or(|from| from.iter().any(|name| **name == *known.name))
        })
        .collect();
    let events = events(table, &heard);
    let changed = changed(table, &heard);
    let first = table.leaf("first", SWITCH);
    let when = when(table);
    let to = to(table, known);
    let with = table.free_values("with");
    let stop = table.leaf("stop", SWITCH);
    if table.has("when") && when.is_none() {
        return None;
    }
    Some(Route {
        name: name?.as_str().into(),
        from,
        events: events?,
        changed: changed?,
        first: first?,
        when,
        to: to?,
        with: with?,
        stop: stop?,
    })
}

fn from(table: &Table<'_>, known: &Known<'_>) -> Option<Vec<Name>> {
    let names = table.list("from", form::TEXT)?;
    let sources: Vec<&str> = known.sources.iter().map(|source| source.name).collect();
    check_names(table, "from", &names, &sources);
    if table
        .items("from", "\"jobmojito\"")
        .is_some_and(<[_]>::is_empty)
    {
        table.error(
            "from",
            "a route from no source never matches",
            "name a source, or take `from` out for every source",
        );
    }
    Some(names.iter().map(|name| name.as_str().into()).collect())
}

fn to(table: &Table<'_>, known: &Known<'_>) -> Option<Vec<Name>> {
    if !table.has("to") {
        table.missing("to", "write to = [\"…\"] with the names of destinations");
    }
    let names = table.list("to", form::TEXT)?;
    check_names(table, "to", &names, &known.destinations);
    let stops = table.value("stop") == Some(&Value::Bool(true));
    if table.items("to", "\"…\"").is_some_and(<[_]>::is_empty) && !stops {
        table.error(
            "to",
            "a route to no destination does nothing",
            "name a destination; only with stop = true may the list be empty",
        );
    }
    Some(names.iter().map(|name| name.as_str().into()).collect())
}

pub(super) fn check_names(table: &Table<'_>, key: &str, names: &[String], known: &[&str]) {
    let what = if key == "to" { "destination" } else { "source" };
    for (at, name) in names.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let problem = format!("there is no {what} \"{}\"", name.escape_debug());
            let hint = match known {
                [] => format!("add [{what}s.{}]", name.escape_debug()),
                _ => suggest(name, known),
            };
            table.error(&index(key, at), problem, hint);
        }
    }
}

fn events(table: &Table<'_>, heard: &[&KnownSource<'_>]) -> Option<Vec<Glob>> {
    let patterns = table.list("events", form::TEXT)?;
    let globs: Vec<Glob> = patterns.iter().map(|pattern| Glob::new(pattern)).collect();
    let written = table.written("events");
    if globs.is_empty() && written && !table.reading.has_error(&table.at("events")) {
        table.error(
            "events",
            "a route for no events never matches",
            "name an event type, or take `events` out",
        );
    }
    if heard.is_empty() {
        return Some(globs);
    }
    let types = possible_types(heard);
    if !written {
        warn_of_default_events(table, &globs, heard, types.as_ref());
        return Some(globs);
    }
    let Some(types) = types else {
        return Some(globs);
    };
    let names: Vec<&str> = types.iter().map(String::as_str).collect();
    for (at, glob) in globs.iter().enumerate() {
        if !names.iter().any(|name| glob.matches(&EventType::new(name))) {
            let word = glob.as_str();
            let problem = format!("no source makes the event \"{}\"", word.escape_debug());
            table.error(&index("events", at), problem, suggest(word, &names));
        }
    }
    Some(globs)
}

/// The default events are interview results: of little use where none of the sources sends any.
fn warn_of_default_events(
    table: &Table<'_>,
    globs: &[Glob],
    heard: &[&KnownSource<'_>],
    types: Option<&BTreeSet<String>>,
) {
    let taken = |name: &String| {
        let name = EventType::new(name);
        globs.iter().any(|glob| glob.matches(&name))
    };
    let fits = types.is_some_and(|types| types.iter().any(taken));
    if !fits && heard.iter().all(|heard| is_generic(heard)) {
        table.warn(
            "events",
            "the route names no events, so it takes interview results, which its sources do not send",
            "write events = [\"*\"]",
        );
    }
}

fn is_generic(heard: &KnownSource<'_>) -> bool {
    heard.source.is_some() && !is_interviews(heard)
}

fn is_interviews(heard: &KnownSource<'_>) -> bool {
    let source = heard.source.as_ref();
    source.is_some_and(|source| matches!(source.kind, Kind::Jobmojito))
}

/// Every type that these sources can make; None where any is possible, or nobody knows.
fn possible_types(heard: &[&KnownSource<'_>]) -> Option<BTreeSet<String>> {
    let mut types = BTreeSet::new();
    for known in heard {
        let named = known.source.as_ref()?.kind.event_types()?;
        types.extend(named.into_iter().map(str::to_owned));
    }
    Some(types)
}

fn changed(table: &Table<'_>, heard: &[&KnownSource<'_>]) -> Option<Vec<String>> {
    let fields = table.list("changed", form::TEXT)?;
    if !heard.is_empty() && heard.iter().all(|heard| is_interviews(heard)) {
        warn_of_unknown_fields(table, "changed", &fields);
    }
    Some(fields)
}

/// Warns of fields that interview results are not known to have.
pub(super) fn warn_of_unknown_fields<'f>(
    table: &Table<'_>,
    key: &str,
    fields: impl IntoIterator<Item = &'f String>,
) {
    for (at, field) in fields.into_iter().enumerate() {
        if RESULT_FIELDS.contains(&field.as_str()) {
            continue;
        }
        let problem = format!(
            "\"{}\" is no known field of an interview result",
            field.escape_debug()
        );
        table.warn(&index(key, at), problem, suggest(field, &RESULT_FIELDS));
    }
}

/// The compiled condition; None where there is none or, with a finding, a wrong one.
fn when(table: &Table<'_>) -> Option<Expression> {
    let text = table.leaf("when", form::TEXT)?;
    match Expression::compile(&text, EVENT_ROOTS) {
        Ok(expression) => Some(expression),
        Err(bad) => {
            let place = bad
                .column
                .map_or_else(String::new, |column| format!(" at column {column}"));
            let hint = bad.hint.unwrap_or_else(|| {
                "a condition looks like result.score != null && result.score >= 4".to_owned()
            });
            table.error(
                "when",
                format!("bad expression{place}: {}", bad.message),
                hint,
            );
            None
        }
    }
}
