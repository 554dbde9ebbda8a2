//! A destination as configured: texts that are not compiled yet, with secrets already resolved.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{ApiKey, Oauth2};
use crate::model::{Name, Rate, Secret};
use crate::transport::Connection;

/// A destination's part of relay.toml that concerns requests and responses.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub name: Name,
    /// The preset that lies under it, if any.
    pub preset: Option<String>,
    /// The rate that the preset's vendor is known to allow.
    pub vendor_rate: Option<Rate>,
    pub url: ConfigText,
    pub method: String,
    /// Path and body stand below `create` in the configuration.
    pub in_create: bool,
    /// What a later revision does with the thing that an earlier one made.
    pub update: Option<Update>,
    pub headers: Vec<(String, ConfigText)>,
    pub key: Option<ApiKey>,
    pub oauth2: Option<Oauth2>,
    pub body: BodyFormat,
    /// Standard Webhooks secrets (`whsec_…`); each signs, several rotate.
    pub sign: Vec<Secret>,
    pub timeout: Duration,
    /// A host of the operator's own: it is told which step of a trace the request is.
    pub traceparent: bool,
    pub connection: Arc<Connection>,
    pub order: Order,
    pub revisions: Revisions,
    /// How long a revision waits for the next one.
    pub settle: Option<Settle>,
    /// Fields that must not be null, such as `result.candidate_external_id`.
    pub require: Vec<String>,
    /// Values for templates.
    pub with: Map<String, Value>,
    /// Named templates that bodies use as `texts.NAME`.
    pub texts: Vec<(String, String)>,
    /// CEL over `status`, `headers`, `body`, `json`.
    pub accepted_when: Option<String>,
    pub rejected_when: Option<String>,
    pub blocked_when: Option<String>,
    pub retry_when: Option<String>,
    pub warned_when: Option<String>,
    /// JSON pointer to what the destination gives back to find the thing again.
    pub receipt: Option<String>,
}

/// The request that changes what an earlier revision made, found by its receipt.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub url: ConfigText,
    pub method: String,
    pub body: BodyFormat,
    /// CEL, as for the other rules: the thing is not there any more.
    pub gone_when: Option<String>,
}

/// Each revision starts `wait` anew, and none waits longer than `most` after the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    pub wait: Duration,
    pub most: Duration,
}

/// A text of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigText {
    /// Written in the file; may hold template expressions.
    Template(String),
    /// Resolved from a secret reference: used as it is, never shown, never a template.
    Secret(Secret),
}

/// What the request's body is.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyFormat {
    /// The bytes as received.
    Raw,
    /// `{"type","timestamp","data","subject","revision","changed"}`.
    Envelope,
    /// `CloudEvents` 1.0, structured mode.
    CloudEvents,
    /// A table whose text leaves are templates.
    Structured(Value),
    /// One template.
    Text(String),
}

/// Whether the revisions of one subject go out one at a time and in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Subject,
    None,
}

/// Which revisions go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revisions {
    #[default]
    All,
    /// A newer one takes the place of those that still wait.
    Latest,
}
