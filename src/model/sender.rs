//! How a sender stands, and how far an interview is.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::EventType;

/// How a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    Healthy,
    /// No event for longer than its `silent_after`.
    Silent,
    /// An interview was collected, and no result came within `stuck_after`.
    Stuck,
}

/// How far an interview is, by the type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Everything was said; a result is to come.
    Collected,
    /// There is a result, or there will be none.
    Ended,
    /// The event says nothing about it.
    Unsaid,
}

impl SourceState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Silent => "silent",
            Self::Stuck => "stuck",
        }
    }
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EventType {
    /// How far the interview is that an event of this type is about.
    pub fn stage(&self) -> Stage {
        match self.as_str() {
            "interview.collected" => Stage::Collected,
            "interview.submitted" | "interview.failed" => Stage::Ended,
            _ => Stage::Unsaid,
        }
    }
}
