//! Destinations through their public face: what goes out, and what answers mean.

mod requests;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::*;
use crate::model::{Event, EventId, EventType, Secret, Subject};
use crate::transport::Outgoing;

fn settings() -> Settings {
    Settings {
        name: "hr-app".into(),
        preset: None,
        vendor_rate: None,
        url: template("http://127.0.0.1:9000/interviews"),
        method: "POST".to_owned(),
        in_create: false,
        update: None,
        headers: Vec::new(),
        key: None,
        oauth2: None,
        body: BodyFormat::Raw,
        sign: Vec::new(),
        timeout: Duration::from_secs(15),
        traceparent: false,
        connection: Arc::default(),
        order: Order::Subject,
        revisions: Revisions::All,
        settle: None,
        require: Vec::new(),
        with: Map::new(),
        texts: Vec::new(),
        accepted_when: None,
        rejected_when: None,
        blocked_when: None,
        retry_when: None,
        warned_when: None,
        receipt: None,
    }
}

fn template(text: &str) -> ConfigText {
    ConfigText::Template(text.to_owned())
}

fn compiled(settings: Settings) -> Destination {
    Destination::compile(settings).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

/// An event with a payload, and what a delivery of it needs.
struct Case {
    event: Event,
    payload: Bytes,
    result: Value,
    previous: Option<Value>,
    with: Map<String, Value>,
}

impl Case {
    fn new(event_type: &str, payload: impl Into<Bytes>) -> Self {
        let payload = payload.into();
        let result: Value = serde_json::from_slice(&payload).unwrap_or(Value::Null);
        let text = |field: &str| result.get(field).and_then(Value::as_str);
        let event = Event {
            id: EventId::from_bytes([1; 16]),
            source: "jobmojito".into(),
            event_type: EventType::new(event_type),
            subject: text("id").and_then(|id| Subject::new(id).ok()),
            revision: 1,
            changed: Vec::new(),
            candidate: text("candidate_external_id").map(str::to_owned),
            received_at: "2026-11-22T09:59:58.250Z".parse().unwrap(),
            route_errors: Vec::new(),
        };
        Self {
            event,
            payload,
            result,
            previous: None,
            with: Map::new(),
        }
    }

    /// A file of `samples/`, with the type that its name says.
    fn sample(name: &str) -> Self {
        let path = format!("{}/samples/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let payload = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let kinds = ["collected", "failed", "other"];
        let first = name.split('-').next().filter(|first| kinds.contains(first));
        let kind = first.unwrap_or("submitted");
        Self::new(&format!("interview.{kind}"), payload)
    }

    /// The same as a later revision, after the sample `previous`.
    fn after(mut self, previous: &str) -> Self {
        let before = Self::sample(previous).result;
        let empty = Map::new();
        let (old, new) = (
            before.as_object().unwrap_or(&empty),
            self.result.as_object().unwrap_or(&empty),
        );
        let differs = |name: &&String| {
            old.get(*name).unwrap_or(&Value::Null) != new.get(*name).unwrap_or(&Value::Null)
        };
        let mut changed: Vec<String> = new
            .keys()
            .chain(old.keys())
            .filter(differs)
            .cloned()
            .collect();
        changed.sort();
        changed.dedup();
        self.event.revision = 2;
        self.event.changed = changed;
        self.previous = Some(before);
        self
    }

    fn with(mut self, with: Value) -> Self {
        self.with = serde_json::from_value(with).unwrap();
        self
    }

    fn render(&self, destination: &Destination) -> Result<Outgoing, Unsendable> {
        destination.render(&Job {
            event: &self.event,
            webhook_id: self.event.id.delivery(3),
            result: &self.result,
            payload: &self.payload,
            previous: self.previous.as_ref(),
            changed: &self.event.changed,
            receipt: None,
            with: Some(&self.with),
            attempt: 2,
            now: now(),
        })
    }

    fn body(&self, destination: &Destination) -> Value {
        let outgoing = self
            .render(destination)
            .unwrap_or_else(|why| panic!("{why:?}"));
        serde_json::from_slice(&outgoing.body).unwrap()
    }
}

const SAMPLES: &[&str] = &[
    "collected",
    "failed",
    "failed-abandoned",
    "failed-no-speech",
    "hostile-text",
    "long-text",
    "other-archived",
    "other-ongoing",
    "other-unknown-status",
    "submitted",
    "submitted-rich",
    "submitted-rich-rejected",
    "submitted-rich-rescored",
    "submitted-rich-selected",
    "submitted-stopped-early",
];
