//! What would happen, without anything happening: every route, destination and sample put together by
//! the same code that does it for real.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use super::{Ready, SAMPLES, sample};
use crate::config::{Finding, closest};
use crate::destination::{Destination, Job, Unsendable};
use crate::expr::{Expression, FieldPath};
use crate::model::{Event, EventId};
use crate::route::{RESULT_FIELDS, Route};
use crate::source::{Body, Kind, Source};

/// The sample that a changed result is compared with.
const BEFORE: &str = "submitted-rich";

/// What a rehearsal came to.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// Messages rendered.
    pub rendered: usize,
    pub findings: Vec<Finding>,
}

/// One sample as an event of one source.
struct Case {
    sample: &'static str,
    event: Event,
    payload: Bytes,
    result: Value,
    previous: Value,
}

/// Renders each route's messages for every sample that it may see, and looks at the fields that rules name.
pub fn rehearse(ready: &Ready, now: Timestamp) -> Rehearsal {
    let rules = &ready.compiled.rules;
    let mut sources: Vec<&Arc<Source>> = rules.sources.values().collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let interviews = sources
        .iter()
        .filter(|source| matches!(source.kind, Kind::Jobmojito));
    let cases: Vec<Case> = interviews.flat_map(|source| cases(source, now)).collect();
    let mut rehearsal = Rehearsal::default();
    for (at, route) in rules.routes.iter().enumerate() {
        let seen: Vec<&Case> = cases
            .iter()
            .filter(|case| route.listens_to(&case.event) && route.takes(&case.event))
            .collect();
        let matched = rehearsal.conditions(ready, at, route, &seen);
        for name in &route.to {
            let Some(destination) = rules.destinations.get(name) else {
                continue;
            };
            rehearsal.messages(ready, route, destination, &matched);
        }
    }
    let mut destinations: Vec<&Arc<Destination>> = rules.destinations.values().collect();
    destinations.sort_by(|a, b| a.name().cmp(b.name()));
    if !cases.is_empty()
        && sources
            .iter()
            .all(|source| matches!(source.kind, Kind::Jobmojito))
    {
        for destination in destinations {
            rehearsal.fields(ready, destination);
        }
        for (at, route) in rules.routes.iter().enumerate() {
            let reads = route.when.iter().flat_map(Expression::reads);
            reads.for_each(|path| rehearsal.field(ready, &format!("routes[{at}].when"), path));
        }
    }
    rehearsal.findings.dedup();
    rehearsal
}

/// Every sample as a first revision, and the submitted ones as a change of [`BEFORE`], too.
fn cases(source: &Source, now: Timestamp) -> Vec<Case> {
    let before = sample(BEFORE).map(str::as_bytes).map_or(Value::Null, value);
    let mut cases = Vec::new();
    for (name, text) in SAMPLES {
        let first = case(source, name, text, now);
        if name.starts_with(BEFORE) && *name != BEFORE {
            let mut later = case(source, name, text, now);
            let differs = |field: &&&str| before.get(**field) != later.result.get(**field);
            later.event.changed = RESULT_FIELDS
                .iter()
                .filter(differs)
                .map(|&field| field.to_owned())
                .collect();
            later.event.revision = 2;
            later.previous = before.clone();
            cases.push(later);
        }
        cases.push(first);
    }
    cases
}

fn case(source: &Source, sample: &'static str, text: &'static str, now: Timestamp) -> Case {
    let body = Body::parse(text.as_bytes()).expect("the samples are JSON");
    let classified = source.kind.classify(&body, &HeaderMap::new());
    let event = Event {
        id: EventId::first_at(now),
        source: source.name.clone(),
        event_type: classified.event_type,
        subject: classified.subject,
        revision: 1,
        changed: Vec::new(),
        candidate: classified.candidate,
        received_at: now,
        route_errors: Vec::new(),
    };
    let payload = Bytes::from_static(text.as_bytes());
    Case {
        sample,
        event,
        payload,
        result: body.value(),
        previous: Value::Null,
    }
}

fn value(bytes: &[u8]) -> Value {
    Body::parse(bytes).map_or(Value::Null, |body| body.value())
}

impl Rehearsal {
    /// The cases that a route's `when` lets through. Where it fails on a sample, it will fail on real
    /// events, and then it does not match.
    fn conditions<'c>(
        &mut self,
        ready: &Ready,
        at: usize,
        route: &Route,
        seen: &[&'c Case],
    ) -> Vec<&'c Case> {
        let judge = |case: &&'c Case| {
            let routes = &ready.compiled.rules.routes;
            (
                *case,
                routes.condition(route, &case.event, &case.result, &case.previous),
            )
        };
        let judged: Vec<_> = seen.iter().map(judge).collect();
        let failed = judged
            .iter()
            .find_map(|(case, answer)| Some((case, answer.as_ref().err()?)));
        if let Some((case, error)) = failed {
            let revision = if case.event.revision == 1 {
                " as a first revision"
            } else {
                ""
            };
            let problem = format!(
                "fails on sample {}{revision}: {error}; that counts as no match",
                case.sample
            );
            let hint = "ask for null first, such as: result.score != null && result.score >= 4";
            self.findings.push(
                ready
                    .locator
                    .warning(&format!("routes[{at}].when"), problem)
                    .hint(hint),
            );
        }
        judged
            .into_iter()
            .filter(|(_, answer)| *answer == Ok(true))
            .map(|(case, _)| case)
            .collect()
    }

    fn messages(
        &mut self,
        ready: &Ready,
        route: &Route,
        destination: &Destination,
        seen: &[&Case],
    ) {
        let mut told: BTreeSet<String> = BTreeSet::new();
        for case in seen {
            let job = Job {
                event: &case.event,
                webhook_id: case.event.id.delivery(0),
                result: &case.result,
                payload: &case.payload,
                previous: Some(&case.previous).filter(|previous| !previous.is_null()),
                changed: &case.event.changed,
                with: Some(&route.with),
                receipt: None,
                attempt: 1,
                now: case.event.received_at,
            };
            self.rendered += 1;
            let Err(Unsendable::Dead { reason }) = destination.render(&job) else {
                continue;
            };
            if told.insert(reason.clone()) {
                let key = format!("destinations.{}", destination.name());
                let problem = format!(
                    "cannot be rendered for sample {} (route {}): {reason}",
                    case.sample, route.name
                );
                let hint = "a delivery like that would be dead; `require` skips one whose field is null, \
                            and `| default(…)` gives a null another value";
                self.findings
                    .push(ready.locator.error(&key, problem).hint(hint));
            }
        }
    }

    fn fields(&mut self, ready: &Ready, destination: &Destination) {
        for read in destination.reads() {
            self.field(
                ready,
                &format!("destinations.{}.{}", destination.name(), read.key),
                &read.path,
            );
        }
    }

    /// A field that is in no sample and not documented is a slip of the pen, or a new field: it reads as null.
    fn field(&mut self, ready: &Ready, key: &str, path: &FieldPath) {
        let [root, field, ..] = path.as_slice() else {
            return;
        };
        if root != "result" && root != "previous" {
            return;
        }
        let sampled = |name: &str| {
            SAMPLES
                .iter()
                .any(|(_, body)| value(body.as_bytes()).get(name).is_some())
        };
        if RESULT_FIELDS.contains(&field.as_str()) || sampled(field) {
            return;
        }
        let finding = ready.locator.error(
            key,
            format!("`{root}.{field}` is no field of an interview result"),
        );
        let finding = match closest(field, RESULT_FIELDS) {
            Some(meant) => finding.hint(format!("did you mean `{root}.{meant}`?")),
            None => finding.hint(format!("there are {}", RESULT_FIELDS.join(", "))),
        };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}
