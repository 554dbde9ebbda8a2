//! What a request asks for: method and path as one value of a closed set. It looks neither at
//! the query nor at any body, and knows no configuration.

use std::borrow::Cow;

use http::header::HOST;
use http::request::Parts;
use http::{Method, Uri, Version};
use percent_encoding::percent_decode_str;

use super::dashboard::File;
use crate::model::{DeliveryId, EventId, JobId, Name};

/// Longest name of a source that is looked up, in bytes.
const MAX_NAME: usize = 128;

const READ: &str = "GET, HEAD";
const POST: &str = "POST";

/// Whether a request says once which host it is for, as HTTP/1.1 must (RFC 9112, section 3.2). HTTP/2 has it in the target.
pub(super) fn names_one_host(parts: &Parts) -> bool {
    parts.version != Version::HTTP_11 || parts.headers.get_all(HOST).iter().count() == 1
}

/// What senders may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressCall<'a> {
    /// `POST /hooks/{source}`. The name is decoded and could be one; whether it is, the caller knows.
    Hook { source: Cow<'a, str> },
}

/// What operators may ask for. HEAD counts as GET: the server leaves the body out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminCall {
    /// `GET /` and the files of that page.
    Page(&'static File),
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `GET /openapi.json`
    OpenApi,
    /// `GET /api/v1/status`
    Status,
    /// `GET /api/v1/events`
    Events,
    /// `GET /api/v1/events/{id}`
    Event(EventId),
    /// `GET /api/v1/deliveries`
    Deliveries,
    /// `GET /api/v1/deliveries/{id}`
    Delivery(DeliveryId),
    /// `GET /api/v1/stream`
    Stream,
    /// `POST /api/v1/deliveries/{id}/replay`
    Replay(DeliveryId),
    /// `POST /api/v1/replay`
    ReplayMany,
    /// `POST /api/v1/discard`
    DiscardMany,
    /// `POST /api/v1/reroute`
    Reroute,
    /// `GET /api/v1/jobs`
    Jobs,
    /// `GET /api/v1/jobs/{id}`
    Job(JobId),
    /// `POST /api/v1/jobs/{id}/cancel`
    Cancel(JobId),
    /// `POST /api/v1/erase`
    Erase,
    /// `POST /api/v1/reload`
    Reload,
    /// `POST /api/v1/deliveries/{id}/discard`
    Discard(DeliveryId),
    /// `POST /api/v1/destinations/{name}/move`
    Move(Name),
    /// `POST /api/v1/destinations/{name}/pause`
    Pause(Name),
    /// `POST /api/v1/destinations/{name}/resume`
    Resume(Name),
}

/// A request that asks for nothing there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCall {
    NotFound,
    /// The path exists; these are its methods, as in `Allow`.
    MethodNotAllowed {
        allow: &'static str,
    },
}

impl<'a> IngressCall<'a> {
    pub fn parse(method: &Method, target: &'a Uri) -> Result<Self, NoCall> {
        let segment = target.path().strip_prefix("/hooks/");
        let source = segment.and_then(name).ok_or(NoCall::NotFound)?;
        if method == Method::POST {
            Ok(Self::Hook { source })
        } else {
            Err(NoCall::MethodNotAllowed { allow: POST })
        }
    }
}

impl AdminCall {
    pub fn parse(method: &Method, target: &Uri) -> Result<Self, NoCall> {
        let call = Self::of_path(target.path()).ok_or(NoCall::NotFound)?;
        let allow = call.methods();
        let allowed = match allow {
            POST => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        };
        if allowed {
            Ok(call)
        } else {
            Err(NoCall::MethodNotAllowed { allow })
        }
    }

    /// Whether it is answered without a token: there are no data in it.
    pub const fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Page(_) | Self::Health | Self::Ready | Self::Metrics
        )
    }

    /// What it is answered as, where it is answered with data.
    pub const fn media_type(&self) -> &'static str {
        match self {
            Self::Stream => "text/event-stream",
            _ => "application/json",
        }
    }

    fn of_path(path: &str) -> Option<Self> {
        let Some(rest) = path.strip_prefix("/api/v1/") else {
            return match path {
                "/healthz" => Some(Self::Health),
                "/readyz" => Some(Self::Ready),
                "/metrics" => Some(Self::Metrics),
                "/openapi.json" => Some(Self::OpenApi),
                _ => File::at(path).map(Self::Page),
            };
        };
        let mut segments = rest.split('/');
        let parts = [segments.next(), segments.next(), segments.next()];
        match (parts, segments.next()) {
            ([Some("status"), None, None], None) => Some(Self::Status),
            ([Some("erase"), None, None], None) => Some(Self::Erase),
            ([Some("replay"), None, None], None) => Some(Self::ReplayMany),
            ([Some("discard"), None, None], None) => Some(Self::DiscardMany),
            ([Some("reroute"), None, None], None) => Some(Self::Reroute),
            ([Some("jobs"), None, None], None) => Some(Self::Jobs),
            ([Some("jobs"), Some(id), None], None) => id.parse().ok().map(Self::Job),
            ([Some("jobs"), Some(id), Some("cancel")], None) => id.parse().ok().map(Self::Cancel),
            ([Some("reload"), None, None], None) => Some(Self::Reload),
            ([Some("stream"), None, None], None) => Some(Self::Stream),
            ([Some("events"), None, None], None) => Some(Self::Events),
            ([Some("events"), Some(id), None], None) => id.parse().ok().map(Self::Event),
            ([Some("deliveries"), None, None], None) => Some(Self::Deliveries),
            ([Some("deliveries"), Some(id), None], None) => id.parse().ok().map(Self::Delivery),
            ([Some("deliveries"), Some(id), Some("replay")], None) => {
                id.parse().ok().map(Self::Replay)
            }
            ([Some("deliveries"), Some(id), Some("discard")], None) => {
                id.parse().ok().map(Self::Discard)
            }
            ([Some("destinations"), Some(segment), Some("move")], None) => {
                name(segment).map(|name| Self::Move(name.as_ref().into()))
            }
            ([Some("destinations"), Some(segment), Some("pause")], None) => {
                name(segment).map(|name| Self::Pause(name.as_ref().into()))
            }
            ([Some("destinations"), Some(segment), Some("resume")], None) => {
                name(segment).map(|name| Self::Resume(name.as_ref().into()))
            }
            _ => None,
        }
    }

    const fn methods(&self) -> &'static str {
        match self {
            Self::Replay(_)
            | Self::Discard(_)
            | Self::Move(_)
            | Self::ReplayMany
            | Self::DiscardMany
            | Self::Reroute
            | Self::Cancel(_)
            | Self::Erase
            | Self::Reload
            | Self::Pause(_)
            | Self::Resume(_) => POST,
            _ => READ,
        }
    }
}

/// A single segment as a name, percent-decoded once; None for what no name could be.
fn name(segment: &str) -> Option<Cow<'_, str>> {
    let broken_escape = segment
        .split('%')
        .skip(1)
        .any(|rest| !starts_with_hex(rest));
    if segment.contains('/') || broken_escape {
        return None;
    }
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    let strange = |c: char| c.is_control() || matches!(c, '/' | '\\');
    let possible = (1..=MAX_NAME).contains(&name.len())
        && !matches!(&*name, "." | "..")
        && !name.contains(strange);
    possible.then_some(name)
}

fn starts_with_hex(rest: &str) -> bool {
    let digits = rest.as_bytes().get(..2);
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests;
