//! Works out which event a body is, and what it is about.

use http::{HeaderMap, HeaderName};

use super::Body;
use crate::model::{EventType, Subject};

/// How a source's bodies are read.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Interview results: the type follows from `status` and `interview_status`, the subject is `id`.
    Jobmojito,
    /// Any JSON: type and subject are picked by rule.
    Generic {
        event_type: Pick,
        subject: Option<Pick>,
    },
}

/// Where a generic source's type or subject stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(String),
    Header(HeaderName),
    Fixed(String),
}

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    pub event_type: EventType,
    pub subject: Option<Subject>,
    /// The candidate's id in the customer's ATS, where the body has one.
    pub candidate: Option<String>,
}
