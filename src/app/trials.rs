//! Runs `[[tests]]`: asks what [`explain`](super::explain) says of a body, and compares.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::Ready;
use super::explain::{DeliveryAnswer, DeliveryOutcome, Explanation, Past, Question, explain};
use super::samples::{Samples, edited};
use crate::config::{Expected, Finding, Locator, Trial, beside, trials_beside};
use crate::source::Source;

/// What the tests came to.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) passed: usize,
    pub(super) findings: Vec<Finding>,
}

/// Runs the tests of relay.toml and of the file beside it.
pub(super) fn run(ready: &Ready, samples: &Samples, now: Timestamp) -> Tried {
    let mut tried = Tried::default();
    let stage = Stage {
        ready,
        samples,
        now,
    };
    let rules = &ready.compiled.rules;
    let sources: Vec<&str> = rules.sources.keys().map(|name| &**name).collect();
    let destinations: Vec<&str> = rules.destinations.keys().map(|name| &**name).collect();
    tried.take(&stage, &ready.config.tests, &ready.locator);
    match trials_beside(&ready.config.file, &sources, &destinations) {
        Ok(Some(trials)) => tried.take(&stage, &trials.tests, &trials.locator),
        Ok(None) => {}
        Err(findings) => tried.findings.extend(findings),
    }
    tried
}

impl Tried {
    fn take(&mut self, stage: &Stage<'_>, tests: &[Trial], locator: &Locator) {
        for trial in tests {
            let name = trial.name.escape_debug();
            let (problem, hint) = match stage.explained(trial) {
                Ok(explanation) => {
                    let wrong = compare(trial, &explanation);
                    if wrong.is_empty() {
                        self.passed += 1;
                        continue;
                    }
                    let problem = format!("\"{name}\" fails\n  {}", wrong.join("\n  "));
                    (problem, command(trial))
                }
                Err(why) => (
                    format!("\"{name}\" cannot be run: {}", why.problem),
                    why.hint,
                ),
            };
            self.findings
                .push(locator.error(&trial.key, problem).hint(hint));
        }
    }
}

/// What tests are run on.
struct Stage<'a> {
    ready: &'a Ready,
    samples: &'a Samples,
    now: Timestamp,
}

/// Why a test says nothing.
struct Unable {
    problem: String,
    hint: String,
}

fn unable(problem: impl Into<String>, hint: impl Into<String>) -> Unable {
    Unable {
        problem: problem.into(),
        hint: hint.into(),
    }
}

impl Stage<'_> {
    fn explained(&self, trial: &Trial) -> Result<Explanation, Unable> {
        let source = self.source(trial)?;
        let body = self.body(&trial.event, source)?;
        let body = edited(&body, &trial.set, &trial.unset).ok_or_else(|| {
            let hint = "take `set` and `unset` out, or name another body";
            unable(format!("{} is no JSON object", trial.event), hint)
        })?;
        let answer = |error: super::explain::Unanswerable| {
            unable(
                error.to_string(),
                "name other bodies in `event` and `previous`",
            )
        };
        let history = match &trial.previous {
            Some(previous) => {
                let previous = self.body(previous, source)?;
                vec![Past::supposed(self.ready, source, &previous, self.now).map_err(answer)?]
            }
            None => Vec::new(),
        };
        explain(self.ready, Question::new(source, &body, &history, self.now)).map_err(answer)
    }

    /// The source that the test names, that the sample lies in the folder of, or that is the only one.
    fn source(&self, trial: &Trial) -> Result<&Source, Unable> {
        let sources = &self.ready.compiled.rules.sources;
        let own = self
            .samples
            .own
            .iter()
            .filter(|sample| sample.name == trial.event);
        let homes: Vec<&str> = own.filter_map(|sample| sample.source.as_deref()).collect();
        let wanted = trial.source.as_deref().or(match homes[..] {
            [home] => Some(home),
            _ => None,
        });
        let mut all = sources.values();
        match (wanted, all.next(), all.next()) {
            (Some(name), ..) => sources.get(name),
            (None, only, None) => only,
            _ => None,
        }
        .map(|source| &**source)
        .ok_or_else(|| {
            let mut names: Vec<&str> = sources.keys().map(|name| &**name).collect();
            names.sort_unstable();
            let hint = format!("write source = \"…\" with one of {}", names.join(", "));
            unable("it does not say which source it comes through", hint)
        })
    }

    fn body(&self, what: &str, source: &Source) -> Result<Bytes, Unable> {
        if let Some(body) = self.samples.named(what, source) {
            return Ok(body);
        }
        let path = beside(&self.ready.config.file, what);
        std::fs::read(&path).map(Bytes::from).map_err(|_| {
            let hint = match self.samples.alike(what, source) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "write a sample's name, or a path from the folder of relay.toml".to_owned(),
            };
            unable(
                format!("\"{}\" is neither a sample nor a file", what.escape_debug()),
                hint,
            )
        })
    }
}

/// Everything that is other than expected.
fn compare(trial: &Trial, explanation: &Explanation) -> Vec<String> {
    let deliveries: BTreeMap<&str, &DeliveryAnswer> = explanation
        .deliveries
        .iter()
        .map(|delivery| (delivery.destination.as_str(), delivery))
        .collect();
    let mut wrong = destinations(trial, explanation, &deliveries);
    for (name, delivery) in &deliveries {
        let state = state(&delivery.outcome);
        if let Some(expected) = trial
            .state
            .get(*name)
            .filter(|expected| **expected != state.0)
        {
            let (expected, actual) = (expected.as_str(), state.0.as_str());
            wrong.push(format!(
                "{name}: expected state {expected}, actual {actual}{}",
                state.1
            ));
        }
        let DeliveryOutcome::Request(request) = &delivery.outcome else {
            if trial.contains.contains_key(*name) {
                let reason = state.1;
                wrong.push(format!(
                    "{name}: expected a body, actual {}{reason}",
                    state.0.as_str()
                ));
            }
            continue;
        };
        let body = texts(&request.body);
        for text in trial.contains.get(*name).into_iter().flatten() {
            if !body.contains(text.as_str()) {
                wrong.push(format!(
                    "{name}: expected {text:?} in the body, actual {}",
                    request.body
                ));
            }
        }
        for text in trial.lacks.get(*name).into_iter().flatten() {
            if body.contains(text.as_str()) {
                wrong.push(format!(
                    "{name}: expected no {text:?} in the body, actual {}",
                    request.body
                ));
            }
        }
    }
    wrong
}

/// Destinations that are missing or too many, each with the clauses that say so.
fn destinations(
    trial: &Trial,
    explanation: &Explanation,
    deliveries: &BTreeMap<&str, &DeliveryAnswer>,
) -> Vec<String> {
    let missing = trial
        .to
        .iter()
        .filter(|name| !deliveries.contains_key(name.as_str()));
    let surplus = deliveries
        .iter()
        .filter(|(name, _)| !trial.to.iter().any(|to| to == *name));
    let mut lines = Vec::new();
    for name in missing {
        let routes = explanation
            .routes
            .iter()
            .filter(|route| route.to.contains(name));
        let before = lines.len();
        lines.extend(routes.map(|route| decided(name, "not", explanation, &route.route)));
        if explanation.duplicate {
            lines.push(format!(
                "{name}: the body equals the revision before, which goes nowhere"
            ));
        } else if lines.len() == before {
            lines.push(format!("{name}: no route leads there"));
        }
    }
    lines.extend(surplus.map(|(name, delivery)| {
        if delivery.takes_up {
            return format!(
                "{name}: sent, for an earlier revision was skipped for want of a field"
            );
        }
        decided(name, "sent", explanation, &delivery.route)
    }));
    if lines.is_empty() {
        return lines;
    }
    let list = |names: &mut Vec<&str>| {
        names.sort_unstable();
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    };
    let expected = list(&mut trial.to.iter().map(String::as_str).collect());
    let actual = list(&mut deliveries.keys().copied().collect());
    let heads = [
        format!("expected to = {expected}"),
        format!("actual   to = {actual}"),
    ];
    heads.into_iter().chain(lines).collect()
}

/// `hiring: not by route decisions, when = result.score > 4: false (result.score = 3.9)`
fn decided(name: &str, how: &str, explanation: &Explanation, route: &str) -> String {
    let answer = explanation
        .routes
        .iter()
        .find(|answer| answer.route == route);
    let clause = answer.and_then(|answer| answer.deciding());
    match clause {
        Some(clause) => format!("{name}: {how} by route {route}, {clause}"),
        None => format!("{name}: {how} by route {route}"),
    }
}

fn state(outcome: &DeliveryOutcome) -> (Expected, String) {
    match outcome {
        DeliveryOutcome::Request(_) => (Expected::Waiting, String::new()),
        DeliveryOutcome::Skipped { reason } => (Expected::Skipped, format!(": {reason}")),
        DeliveryOutcome::Dead { reason } => (Expected::Dead, format!(": {reason}")),
    }
}

/// The body as it is sent, and its texts as they read: a quote in JSON is written `\"`.
fn texts(body: &str) -> String {
    fn collect(value: &serde_json::Value, all: &mut String) {
        match value {
            serde_json::Value::String(text) => {
                all.push('\n');
                all.push_str(text);
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, all)),
            serde_json::Value::Object(fields) => {
                fields.values().for_each(|field| collect(field, all));
            }
            _ => {}
        }
    }
    let mut all = body.to_owned();
    if let Ok(json) = serde_json::from_str(body) {
        collect(&json, &mut all);
    }
    all
}

/// How to see every clause of it.
fn command(trial: &Trial) -> String {
    let mut words = vec![format!("relay explain {}", trial.event)];
    words.extend(
        trial
            .previous
            .iter()
            .map(|previous| format!("--previous {previous}")),
    );
    words.extend(
        trial
            .source
            .iter()
            .map(|source| format!("--source {source}")),
    );
    words.extend(
        trial
            .set
            .iter()
            .map(|(field, value)| format!("--set '{field}={value}'")),
    );
    words.extend(
        trial
            .unset
            .iter()
            .map(|field| format!("--set {field}=null")),
    );
    format!("`{}` shows every clause", words.join(" "))
}
