//! Request bodies. A payload is passed on byte for byte, also inside an envelope: it is never parsed
//! and written again, which would change numbers, key order and what JSON libraries cannot hold.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{BodyFormat, Fault, Job};
use crate::expr::FieldPath;
use crate::template::{Scope, Template, Tree};

const JSON: &str = "application/json";

/// A compiled body.
#[derive(Debug)]
pub(super) enum Body {
    Raw,
    Envelope,
    CloudEvents,
    Structured(Tree),
    Text(Template),
}

impl Body {
    pub(super) fn compile(format: &BodyFormat) -> Result<Self, Vec<Fault>> {
        match format {
            BodyFormat::Raw => Ok(Self::Raw),
            BodyFormat::Envelope => Ok(Self::Envelope),
            BodyFormat::CloudEvents => Ok(Self::CloudEvents),
            BodyFormat::Structured(value) => Tree::compile(value, "body")
                .map(Self::Structured)
                .map_err(|faults| faults.into_iter().map(Fault::from).collect()),
            BodyFormat::Text(text) => Template::text(text)
                .map(Self::Text)
                .map_err(|bad| vec![Fault::template("body_text", bad)]),
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self {
            Self::Raw | Self::Envelope | Self::Structured(_) => JSON,
            Self::CloudEvents => "application/cloudevents+json; charset=UTF-8",
            Self::Text(_) => "text/plain; charset=utf-8",
        }
    }

    /// The bytes to send, or why there are none.
    pub(super) fn render(&self, job: &Job<'_>, scope: &Scope) -> Result<Bytes, String> {
        match self {
            Self::Raw => Ok(job.payload.clone()),
            Self::Envelope => Ok(envelope(job)),
            Self::CloudEvents => Ok(cloud_event(job)),
            Self::Structured(tree) => {
                let value = tree
                    .render(scope)
                    .map_err(|failure| failure.why.at(&failure.key))?;
                Ok(Bytes::from(value.to_string()))
            }
            Self::Text(template) => {
                let text = template.render(scope).map_err(|why| why.at("body_text"))?;
                Ok(Bytes::from(text))
            }
        }
    }

    /// It passes the whole payload on.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Raw | Self::Envelope | Self::CloudEvents)
    }

    pub(super) fn reads(&self) -> Vec<(&str, &FieldPath)> {
        match self {
            Self::Raw | Self::Envelope | Self::CloudEvents => Vec::new(),
            Self::Structured(tree) => tree.reads(),
            Self::Text(text) => text
                .reads()
                .iter()
                .map(|path| ("body_text", path))
                .collect(),
        }
    }
}

/// `{"type","timestamp","data","subject","revision","changed"}`, as Standard Webhooks suggests.
fn envelope(job: &Job<'_>) -> Bytes {
    let before = [
        ("type", json!(job.event.event_type)),
        ("timestamp", json!(job.event.received_at.to_string())),
    ];
    let after = [
        ("subject", json!(job.event.subject)),
        ("revision", json!(job.event.revision)),
        ("changed", json!(job.changed)),
    ];
    around(&before, job.payload, &after)
}

/// A `CloudEvents` 1.0 event in structured mode. It has no subject: that would be personal data in a
/// place where intermediaries look.
fn cloud_event(job: &Job<'_>) -> Bytes {
    let before = [
        ("specversion", json!("1.0")),
        ("id", json!(job.webhook_id)),
        (
            "source",
            json!(format!("urn:mojito-relay:{}", job.event.source)),
        ),
        ("type", json!(job.event.event_type)),
        ("time", json!(job.event.received_at.to_string())),
        ("datacontenttype", json!(JSON)),
    ];
    around(&before, job.payload, &[])
}

/// A JSON object with the payload's bytes as `data`.
fn around(before: &[(&str, Value)], payload: &[u8], after: &[(&str, Value)]) -> Bytes {
    let mut bytes = Vec::with_capacity(payload.len() + 512);
    bytes.push(b'{');
    let field = |(name, value): &(&str, Value)| format!("\"{name}\":{value}");
    for pair in before {
        bytes.extend_from_slice(field(pair).as_bytes());
        bytes.push(b',');
    }
    bytes.extend_from_slice(b"\"data\":");
    bytes.extend_from_slice(payload);
    for pair in after {
        bytes.push(b',');
        bytes.extend_from_slice(field(pair).as_bytes());
    }
    bytes.push(b'}');
    Bytes::from(bytes)
}
