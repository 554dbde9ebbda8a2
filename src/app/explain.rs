//! What would become of a body: each route with the clause that decided, each request as it would be
//! sent. The same code as in production, and nothing is sent.

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Ready;
use crate::destination::{Destination, Job, Shown, Unsendable};
use crate::expr::FieldPath;
use crate::model::{Event, EventId, EventType};
use crate::route::{Outcome, Route};
use crate::source::{Body, Malformed, Source};

/// The answer to "what would happen?".
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub subject: Option<String>,
    pub revision: u32,
    pub changed: Vec<String>,
    /// Equal to the previous revision: nothing at all would happen.
    pub duplicate: bool,
    pub routes: Vec<RouteAnswer>,
    pub deliveries: Vec<DeliveryAnswer>,
}

/// What one route makes of it.
#[derive(Debug, Serialize)]
pub struct RouteAnswer {
    pub route: String,
    pub matched: bool,
    /// The clause that decided, as it is written.
    pub clause: String,
    /// What the clause saw.
    pub saw: Vec<String>,
    /// Why it could not be evaluated; that is no match.
    pub error: Option<String>,
    pub to: Vec<String>,
}

/// What one destination would be sent.
#[derive(Debug, Serialize)]
pub struct DeliveryAnswer {
    pub destination: String,
    pub route: String,
    /// `request`, or the state that the delivery would end in and why.
    #[serde(flatten)]
    pub outcome: DeliveryOutcome,
}

/// A request, or none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryOutcome {
    Request(Shown),
    Skipped { reason: String },
    Dead { reason: String },
}

/// A body that is asked about, and the one before it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub source: &'a Source,
    pub body: &'a [u8],
    pub previous: Option<&'a [u8]>,
    pub now: Timestamp,
}

/// Answers for a body that nobody has sent yet.
pub fn explain(ready: &Ready, question: Question<'_>) -> Result<Explanation, Malformed> {
    /// Digests made here are compared with each other only.
    const KEY: [u8; 32] = [0; 32];
    let body = Body::parse(question.body)?;
    let previous = question.previous.map(Body::parse).transpose()?;
    let classified = question.source.kind.classify(&body, &HeaderMap::new());
    let ignored = |field: &str| question.source.ignore.contains(field);
    let changed = previous.as_ref().map(|previous| {
        body.digests(&KEY)
            .differing(&previous.digests(&KEY), ignored)
    });
    let event = Event {
        id: EventId::first_at(question.now),
        source: question.source.name.clone(),
        event_type: classified.event_type,
        subject: classified.subject,
        revision: if previous.is_some() { 2 } else { 1 },
        changed: changed.clone().unwrap_or_default(),
        candidate: classified.candidate,
        received_at: question.now,
        route_errors: Vec::new(),
    };
    let facts = Facts {
        payload: Bytes::copy_from_slice(question.body),
        result: body.value(),
        previous: previous.map_or(Value::Null, |previous| previous.value()),
        event: &event,
    };
    let duplicate = changed.is_some_and(|changed| changed.is_empty());
    let routes = &ready.compiled.rules.routes;
    let trace = routes.trace(&event, &facts.result, &facts.previous);
    Ok(Explanation {
        source: event.source.to_string(),
        event_type: event.event_type.clone(),
        subject: event
            .subject
            .as_ref()
            .map(|subject| subject.as_str().to_owned()),
        revision: event.revision,
        changed: event.changed.clone(),
        duplicate,
        routes: trace
            .iter()
            .map(|(route, outcome)| facts.route(route, outcome))
            .collect(),
        deliveries: if duplicate {
            Vec::new()
        } else {
            facts.deliveries(ready)
        },
    })
}

/// What routes and destinations are shown.
struct Facts<'a> {
    event: &'a Event,
    payload: Bytes,
    result: Value,
    previous: Value,
}

impl Facts<'_> {
    fn route(&self, route: &Route, outcome: &Outcome) -> RouteAnswer {
        let (clause, saw) = match outcome {
            Outcome::OtherSource => {
                let from: Vec<&str> = route.from.iter().flatten().map(|name| &**name).collect();
                (
                    format!("from = {from:?}"),
                    vec![format!("source = {:?}", self.event.source)],
                )
            }
            Outcome::OtherType => {
                let events: Vec<&str> = route
                    .events
                    .iter()
                    .map(crate::route::Glob::as_str)
                    .collect();
                (
                    format!("events = {events:?}"),
                    vec![format!("type = {:?}", self.event.event_type.as_str())],
                )
            }
            Outcome::FirstRevision => ("first = false".to_owned(), vec!["revision = 1".to_owned()]),
            Outcome::Unchanged => {
                let saw = if self.event.revision == 1 {
                    route
                        .changed
                        .iter()
                        .map(|field| self.seen(&vec!["result".to_owned(), field.clone()]))
                        .collect()
                } else {
                    vec![format!("changed = {:?}", self.event.changed)]
                };
                (format!("changed = {:?}", route.changed), saw)
            }
            Outcome::Stopped { by } => (format!("stop = true of route {by}"), Vec::new()),
            Outcome::Matched | Outcome::False | Outcome::Failed(_) => match &route.when {
                Some(when) => (
                    format!("when = {}", when.text()),
                    when.reads().iter().map(|path| self.seen(path)).collect(),
                ),
                None => ("no further condition".to_owned(), Vec::new()),
            },
        };
        let error = match outcome {
            Outcome::Failed(error) => Some(error.clone()),
            _ => None,
        };
        RouteAnswer {
            route: route.name.to_string(),
            matched: *outcome == Outcome::Matched,
            clause,
            saw,
            error,
            to: route.to.iter().map(ToString::to_string).collect(),
        }
    }

    /// A field and its value; a long value is cut.
    fn seen(&self, path: &FieldPath) -> String {
        let event = crate::template::event_value(self.event, &self.event.changed);
        let root = match path.first().map(String::as_str) {
            Some("result") => &self.result,
            Some("previous") => &self.previous,
            Some("event") => &event,
            _ => return path.join("."),
        };
        let value = path
            .iter()
            .skip(1)
            .try_fold(root, |value, key| value.get(key))
            .unwrap_or(&Value::Null);
        let text: String = value.to_string().chars().take(80).collect();
        format!("{} = {text}", path.join("."))
    }

    fn deliveries(&self, ready: &Ready) -> Vec<DeliveryAnswer> {
        let rules = &ready.compiled.rules;
        let decision = rules
            .routes
            .decide(self.event, &self.result, &self.previous);
        let answer = |chosen: crate::route::Chosen| {
            let destination = rules.destinations.get(&chosen.destination)?;
            Some(DeliveryAnswer {
                outcome: self.request(ready, destination, &chosen.route),
                destination: chosen.destination.to_string(),
                route: chosen.route.to_string(),
            })
        };
        decision.to.into_iter().filter_map(answer).collect()
    }

    fn request(&self, ready: &Ready, destination: &Destination, route: &str) -> DeliveryOutcome {
        let job = Job {
            event: self.event,
            webhook_id: self.event.id.delivery(0),
            result: &self.result,
            payload: &self.payload,
            previous: Some(&self.previous).filter(|previous| !previous.is_null()),
            changed: &self.event.changed,
            with: ready.compiled.routes.get(route),
            receipt: None,
            attempt: 1,
            now: self.event.received_at,
        };
        match destination.render(&job) {
            Ok(request) => DeliveryOutcome::Request(destination.show(&request)),
            Err(Unsendable::Skipped { field }) => DeliveryOutcome::Skipped {
                reason: format!("{field} is null"),
            },
            Err(Unsendable::Dead { reason }) => DeliveryOutcome::Dead { reason },
        }
    }
}
