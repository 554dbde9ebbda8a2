//! Rules about senders: who may send, what a body is, which fields changed.

pub mod auth;
pub mod body;
mod classify;

pub use auth::{Auth, Encoding, Refused};
pub use body::{Body, Malformed};
#[expect(unused_imports, reason = "skeleton")]
pub use classify::{Classified, Kind, Pick};

use std::collections::BTreeSet;

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
}
