//! Errors as RFC 9457 `application/problem+json`. The texts are ours: nothing of a request is in them.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use super::Reply;
use super::body::BodyError;
use super::call::NoCall;

/// One problem, on its way to be an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    /// The last part of `urn:mojito-relay:problem:…`; None for `about:blank`, where the status says it all.
    slug: Option<&'static str>,
    detail: Option<Cow<'static, str>>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why a webhook is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotJson,
    TooDeep {
        limit: usize,
    },
    /// The body broke off or was malformed on the wire.
    BrokenBody,
    /// HTTP/1.1 without a Host header, or with several: who passed it on may have believed another.
    BadHost,
    Unauthorized {
        /// For `WWW-Authenticate`: `Bearer`, `Basic realm="…"`, or another scheme's name.
        challenge: &'static str,
    },
    /// The sender's address is not among those allowed.
    Forbidden,
    NotFound,
    MethodNotAllowed {
        allow: &'static str,
    },
    SlowBody,
    TooLarge {
        limit: u64,
    },
    UnsupportedMediaType,
    TooManyRequests {
        retry_after: Duration,
    },
    /// A fault of our own: the sender may try again.
    Unavailable {
        reason: Unavailable,
        retry_after: Duration,
    },
}

/// Which fault of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The store cannot be written, whatever the cause.
    Store,
    /// More deliveries wait than `store.max_waiting`.
    TooMuchWaiting,
    /// More bytes of bodies are held than `server.max_body_in_flight`.
    BodiesInFlight,
    /// As many streams are open as the relay gives.
    Streams,
    /// The relay is shutting down.
    Draining,
}

/// Why an admin request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminProblem {
    /// A parameter or a body is not what it should be.
    BadRequest {
        detail: Cow<'static, str>,
    },
    Unauthorized,
    /// Not from here: another host's name, or another page's request.
    Forbidden {
        detail: Cow<'static, str>,
    },
    NotFound,
    MethodNotAllowed {
        allow: &'static str,
    },
    Conflict {
        detail: Cow<'static, str>,
    },
    BrokenBody,
    /// Like that of [`Refusal`].
    BadHost,
    SlowBody,
    TooLarge {
        limit: u64,
    },
    /// There is a body, and it is said to be something else than JSON.
    UnsupportedMediaType,
    /// What the answer would be is not among what is asked for.
    NotAcceptable {
        kind: &'static str,
    },
    /// Understood, but it cannot be done as it stands.
    Unprocessable {
        detail: Cow<'static, str>,
    },
    /// Too many wrong tokens came from one address.
    TooManyGuesses {
        retry_after: Duration,
    },
    /// The store is at fault; in its words, which hold no data.
    StoreFails {
        words: String,
        retry_after: Duration,
    },
    Unavailable {
        reason: Unavailable,
        retry_after: Duration,
    },
}

const TYPE_PREFIX: &str = "urn:mojito-relay:problem:";

impl Problem {
    /// A problem of its own kind, told apart by `slug`.
    pub fn new(status: StatusCode, slug: &'static str) -> Self {
        Self {
            slug: Some(slug),
            ..Self::plain(status)
        }
    }

    /// A problem that its status says everything about.
    pub fn plain(status: StatusCode) -> Self {
        Self {
            status,
            slug: None,
            detail: None,
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// A further member. It cannot take the place of the standard ones.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// A header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// `Retry-After`, in whole seconds and never too early.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let started = u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.as_secs().saturating_add(started).max(1);
        self.header(RETRY_AFTER, seconds.into())
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What kind of problem it is, in a closed set of words: for logs.
    pub fn kind(&self) -> &'static str {
        self.slug
            .or(self.status.canonical_reason())
            .unwrap_or("error")
    }

    /// The body, as it is sent.
    pub fn body(&self) -> String {
        let kind = match self.slug {
            Some(slug) => format!("{TYPE_PREFIX}{slug}"),
            None => "about:blank".to_owned(),
        };
        let mut body = Map::new();
        body.insert("type".to_owned(), kind.into());
        let title = self.status.canonical_reason().unwrap_or("Error");
        body.insert("title".to_owned(), title.into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        if let Some(detail) = &self.detail {
            body.insert("detail".to_owned(), detail.as_ref().into());
        }
        for (name, value) in &self.members {
            body.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(body).to_string()
    }
}

impl From<Problem> for Response<Reply> {
    fn from(problem: Problem) -> Self {
        let mut response = Response::new(Reply::new(problem.body()));
        *response.status_mut() = problem.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, json);
        headers.extend(problem.headers);
        response
    }
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotJson | Self::TooDeep { .. } | Self::BrokenBody | Self::BadHost => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.status();
        let kind = |slug| Self::new(status, slug);
        match refusal {
            Refusal::NotJson => kind("not-json").detail("The body is not JSON."),
            Refusal::TooDeep { limit } => kind("too-deep")
                .detail(format!("The body is nested more than {limit} levels deep."))
                .member("limit", limit),
            Refusal::BrokenBody => broken_body(),
            Refusal::BadHost => bad_host(),
            Refusal::Unauthorized { challenge } => Self::plain(status)
                .detail("The credentials of this source are missing or wrong.")
                .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)),
            Refusal::Forbidden => kind("address-not-allowed")
                .detail("This source does not take webhooks from this address."),
            Refusal::NotFound => Self::plain(status)
                .detail("Webhooks are posted to /hooks/ and the name of a source."),
            Refusal::MethodNotAllowed { allow } => method_not_allowed(allow),
            Refusal::SlowBody => slow_body(),
            Refusal::TooLarge { limit } => too_large(limit),
            Refusal::UnsupportedMediaType => {
                Self::plain(status).detail("The content type must be JSON, or be left out.")
            }
            Refusal::TooManyRequests { retry_after } => too_many(retry_after),
            Refusal::Unavailable {
                reason,
                retry_after,
            } => unavailable(reason, retry_after),
        }
    }
}

impl AdminProblem {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest { .. } | Self::BrokenBody | Self::BadHost => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Self::Unprocessable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyGuesses { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::StoreFails { .. } | Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<AdminProblem> for Problem {
    fn from(problem: AdminProblem) -> Self {
        let plain = Self::plain(problem.status());
        match problem {
            AdminProblem::BadRequest { detail }
            | AdminProblem::Forbidden { detail }
            | AdminProblem::Conflict { detail }
            | AdminProblem::Unprocessable { detail } => plain.detail(detail),
            AdminProblem::Unauthorized => {
                let challenge = HeaderValue::from_static("Bearer realm=\"relay admin\"");
                plain
                    .detail("This needs `authorization: Bearer` and the token of [admin].")
                    .header(WWW_AUTHENTICATE, challenge)
            }
            AdminProblem::NotFound => plain.detail("There is nothing by that name here."),
            AdminProblem::MethodNotAllowed { allow } => method_not_allowed(allow),
            AdminProblem::BrokenBody => broken_body(),
            AdminProblem::BadHost => bad_host(),
            AdminProblem::SlowBody => slow_body(),
            AdminProblem::TooLarge { limit } => too_large(limit),
            AdminProblem::UnsupportedMediaType => {
                plain.detail("A body here is JSON: send it with `content-type: application/json`.")
            }
            AdminProblem::NotAcceptable { kind } => plain.detail(format!(
                "This is answered as {kind}, which `accept` leaves out."
            )),
            AdminProblem::TooManyGuesses { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-guesses")
                    .detail("Too many wrong tokens came from this address. The right one is taken all the same.")
                    .retry_after(retry_after)
            }
            AdminProblem::StoreFails { words, retry_after } => {
                unavailable(Unavailable::Store, retry_after)
                    .detail(format!("At the moment {words}."))
            }
            AdminProblem::Unavailable {
                reason,
                retry_after,
            } => unavailable(reason, retry_after),
        }
    }
}

fn bad_host() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-host")
        .detail("A request of HTTP/1.1 has one Host header (RFC 9112, section 3.2).")
}

fn broken_body() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "broken-body").detail("The body broke off.")
}

fn slow_body() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body")
        .detail("The request did not arrive in time.")
}

fn too_large(limit: u64) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large")
        .detail(format!("The body is larger than {limit} bytes."))
        .member("limit", limit)
}

fn method_not_allowed(allow: &'static str) -> Problem {
    Problem::plain(StatusCode::METHOD_NOT_ALLOWED)
        .detail(format!("Possible here: {allow}."))
        .header(ALLOW, HeaderValue::from_static(allow))
}

fn too_many(retry_after: Duration) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited")
        .detail("More requests than the rate limit allows.")
        .retry_after(retry_after)
}

fn unavailable(reason: Unavailable, retry_after: Duration) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        .detail(reason.text())
        .member("reason", reason.name())
        .retry_after(retry_after)
}

impl Unavailable {
    /// Its name in bodies and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::TooMuchWaiting => "too-much-waiting",
            Self::BodiesInFlight => "bodies-in-flight",
            Self::Streams => "streams",
            Self::Draining => "draining",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Store => "The store cannot be used at the moment.",
            Self::TooMuchWaiting => "Too many deliveries are waiting.",
            Self::BodiesInFlight => "Too many requests are being read.",
            Self::Streams => "As many streams are open as there may be.",
            Self::Draining => "The relay is shutting down.",
        }
    }
}

impl From<NoCall> for Refusal {
    fn from(none: NoCall) -> Self {
        match none {
            NoCall::NotFound => Self::NotFound,
            NoCall::MethodNotAllowed { allow } => Self::MethodNotAllowed { allow },
        }
    }
}

impl From<NoCall> for AdminProblem {
    fn from(none: NoCall) -> Self {
        match none {
            NoCall::NotFound => Self::NotFound,
            NoCall::MethodNotAllowed { allow } => Self::MethodNotAllowed { allow },
        }
    }
}

/// When a sender whose body found no room should come again: bodies are short-lived.
const SOON: Duration = Duration::from_secs(1);

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::TooLarge { limit },
            BodyError::Slow => Self::SlowBody,
            BodyError::Broken => Self::BrokenBody,
            BodyError::OverBudget => Self::Unavailable {
                reason: Unavailable::BodiesInFlight,
                retry_after: SOON,
            },
        }
    }
}

impl From<BodyError> for AdminProblem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::TooLarge { limit },
            BodyError::Slow => Self::SlowBody,
            BodyError::Broken => Self::BrokenBody,
            BodyError::OverBudget => Self::Unavailable {
                reason: Unavailable::BodiesInFlight,
                retry_after: SOON,
            },
        }
    }
}

#[cfg(test)]
mod tests;
