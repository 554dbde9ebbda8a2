//! Rules about senders: who may send, what a body is, which fields changed.

mod auth;
mod body;
mod canonical;
mod classify;

pub use auth::{Auth, Encoding, Refused, webhook_secret};
pub use body::{Body, MAX_DEPTH, Malformed};
pub use classify::{Classified, INTERVIEW_TYPES, Kind, Pick, UNNAMED_TYPE, known_type};

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::{Name, Rate};

/// A configured sender.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in relay.toml and in `/hooks/{source}`.
    pub name: Name,
    pub kind: Kind,
    pub auth: Auth,
    /// Addresses that may send; empty for any.
    pub allow_ips: Vec<IpNet>,
    /// Requests allowed, `count` of them at once; None for any number.
    pub rate_limit: Option<Rate>,
    /// Top-level fields that are left out of comparisons.
    pub ignore: BTreeSet<String>,
    /// Of its payloads only the fields that some rule uses are kept.
    pub minimise: bool,
    /// Without an event for longer than this, it is silent.
    pub silent_after: Option<Duration>,
    /// An interview that was collected and has no result for longer than this is stuck.
    pub stuck_after: Option<Duration>,
}
