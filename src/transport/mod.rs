//! Sending a request and reading what comes back, behind a trait so that tests can script it.

mod client;
mod guard;
mod incoming;
mod place;
mod probe;

pub use client::NetworkTransport;
pub use guard::{Names, Refused, SystemNames, judge_literal};
pub use incoming::Incoming;
pub use probe::{Reached, probe};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::model::Secret;

/// At most so much of a response body is read, in bytes.
pub const RESPONSE_BYTES: usize = 64 * 1024;

/// Sends requests. Redirects are never followed.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends `request`; a refusal by the receiver is an answer, not a failure.
    async fn send(&self, request: Outgoing) -> Result<Answer, Failure>;

    /// Forgets what it knows of certificate files, so that they are read again.
    fn reload(&self);
}

/// A request that is ready to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub method: Method,
    /// May hold credentials: never logged.
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// From the first byte of the connection to the last byte of the answer.
    pub timeout: Duration,
    pub connection: Arc<Connection>,
}

/// How a destination is connected to. Destinations with equal settings share their connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Connection {
    /// PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of a client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    pub proxy: Proxy,
    /// A host may be at a private address, also where a name leads there.
    pub allow_private: bool,
}

/// Which proxy to go through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// None, also where `HTTP_PROXY` is set.
    #[default]
    Direct,
    /// What `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say.
    Environment,
    /// It may hold credentials.
    Url(Secret),
}

/// What a receiver answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The first [`RESPONSE_BYTES`] at most, from a receiver.
    pub body: Bytes,
    /// The body ended within the limit, in time and without an error.
    pub complete: bool,
}

/// Why no answer came. The message names no URL.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

/// The closed set of reasons for no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Host name not found, refused, unreachable.
    Connect,
    /// Certificate not trusted, handshake failed.
    Tls,
    /// No complete answer within `timeout`.
    Timeout,
    /// The connection broke after the request had begun: it may have been carried out.
    Broken,
    /// The request could not be made: a certificate file that cannot be read, a bad proxy.
    Settings,
    /// The host is at an address that nothing is sent to.
    Address,
}
