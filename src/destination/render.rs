//! One delivery as a request: address, headers, body, signature.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::call::{Action, Call};
use super::{Destination, Fields};
use crate::model::{ALERTS, DeliveryId, Event, after};
use crate::store::Receipt;
use crate::template::{Scope, event_value};
use crate::transport::Outgoing;

const AGENT: &str = concat!("mojito-relay/", env!("CARGO_PKG_VERSION"));
/// Longest event type that is sent in a header, in bytes after encoding.
const TYPE_BYTES: usize = 256;

/// Everything that a request is made from.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    pub event: &'a Event,
    /// What receivers see as `webhook-id`.
    pub webhook_id: DeliveryId,
    /// The payload, read leniently.
    pub result: &'a Value,
    /// The payload as it was received.
    pub payload: &'a Bytes,
    /// The payload of the revision that `changed` is reckoned from.
    pub previous: Option<&'a Value>,
    pub changed: &'a [String],
    /// What the destination gave back for an earlier revision.
    pub receipt: Option<&'a Receipt>,
    /// The `with` of the delivery's route, which lies over the destination's own.
    pub with: Option<&'a Map<String, Value>>,
    /// From 1.
    pub attempt: u32,
    pub now: Timestamp,
}

/// Why there is nothing to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// A required field is null.
    Skipped { field: String },
    /// It cannot be rendered. The reason names key, line and field, never a value.
    Dead { reason: String },
}

impl Destination {
    /// The request for `job`, or why there is none.
    pub fn render(&self, job: &Job<'_>) -> Result<Outgoing, Unsendable> {
        self.required(&job.result)
            .map_err(|field| Unsendable::Skipped { field })?;
        self.request(job)
            .map_err(|reason| Unsendable::Dead { reason })
    }

    fn request(&self, job: &Job<'_>) -> Result<Outgoing, String> {
        let scope = self.scope(job)?;
        let call = self.call(job);
        let mut url = call.url(&scope)?;
        let body = call.bytes(job, &scope)?;
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(call.body.content_type()),
        );
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        self.headers.render(&scope, &mut headers)?;
        if let Some(key) = &self.settings.key {
            key.apply(&mut headers, &mut url)?;
        }
        self.add_own(job, &body, &mut headers);
        Ok(Outgoing {
            method: call.method.clone(),
            url,
            headers,
            body,
            timeout: self.settings.timeout,
            connection: self.settings.connection.clone(),
        })
    }

    fn call(&self, job: &Job<'_>) -> &Call {
        match (self.action(job.receipt), &self.update) {
            (Action::Update, Some(update)) => update,
            _ => &self.create,
        }
    }

    /// The headers that receivers rely on.
    fn add_own(&self, job: &Job<'_>, body: &[u8], headers: &mut HeaderMap) {
        let id = job.webhook_id.to_string();
        let time = job.now.as_second();
        let own = [
            ("webhook-id", Some(id.clone())),
            ("webhook-timestamp", Some(time.to_string())),
            ("webhook-signature", self.signer.sign(&id, time, body)),
            (
                "relay-event-type",
                Some(type_header(job.event.event_type.as_str())),
            ),
            (
                "relay-subject-revision",
                Some(job.event.revision.to_string()),
            ),
            ("relay-attempt", Some(job.attempt.to_string())),
        ];
        for (name, value) in own {
            let Some(value) = value else { continue };
            let value = HeaderValue::from_str(&value)
                .expect("ids, numbers, base64 and encoded text are ASCII");
            headers.insert(HeaderName::from_static(name), value);
        }
    }

    fn scope(&self, job: &Job<'_>) -> Result<Scope, String> {
        if !self.has_templates {
            return Ok(Scope::new(&[], |_, _| false));
        }
        let mut event = event_value(job.event, job.changed);
        event["age"] = after(job.event.received_at, job.now).as_secs().into();
        event["alert"] = alert(job);
        let with = match job.with {
            Some(over) => merged(&self.settings.with, over),
            None => self.settings.with.clone(),
        };
        let with = Value::Object(with);
        let receipt = match self.action(job.receipt) {
            Action::Update => job.receipt.map(|receipt| receipt.value.as_str()),
            Action::Create => None,
        };
        let values = [
            ("event", &event),
            ("result", job.result),
            ("previous", job.previous.unwrap_or(&Value::Null)),
            ("with", &with),
            ("receipt", &Value::from(receipt)),
        ];
        let wanted = |root: &str, field: &str| match &self.template_fields {
            Fields::Only(fields) if matches!(root, "result" | "previous") => fields.contains(field),
            Fields::Only(_) | Fields::All => true,
        };
        let scope = Scope::new(&values, wanted);
        Ok(match self.texts.render(&scope)? {
            Some(texts) => Scope::new(&[&values[..], &[("texts", &texts)]].concat(), wanted),
            None => scope,
        })
    }
}

/// What an alert says, for templates that are made for interviews; null in every other event.
fn alert(job: &Job<'_>) -> Value {
    if &*job.event.source != ALERTS {
        return Value::Null;
    }
    let said = |field: &str| job.result.get(field).cloned().unwrap_or_default();
    json!({ "title": said("title"), "text": said("text") })
}

/// Tables are merged key by key; of anything else the upper one counts.
fn merged(under: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut all = under.clone();
    for (key, value) in over {
        let value = match (all.get(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => Value::Object(merged(under, over)),
            _ => value.clone(),
        };
        all.insert(key.clone(), value);
    }
    all
}

/// A type of a generic source can be any text: what no header may hold is percent-encoded.
fn type_header(event_type: &str) -> String {
    const ODD: &AsciiSet = &CONTROLS.add(b'%');
    let is_plain = event_type.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let mut text = if is_plain {
        event_type.to_owned()
    } else {
        utf8_percent_encode(event_type, ODD).to_string()
    };
    text.truncate(TYPE_BYTES);
    text
}
