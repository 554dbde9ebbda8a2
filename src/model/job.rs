//! What an operator has done to many deliveries at once: a job, and why single deliveries are left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::State;

/// A job's number: 1, 2, … in the order in which they were begun.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct JobId(pub u32);

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Under way, or waiting for its turn; also after a restart.
    Running,
    /// Everything was looked at.
    Done,
    /// Ended by an operator, or by an erasure of what it names: what it did so far stays done.
    Cancelled,
}

/// Why nothing is done to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such delivery or event, or no longer.
    Unknown,
    /// It waits already.
    Waiting,
    /// It ended already, so.
    Ended(State),
    /// It is being sent right now.
    Sending,
    /// The destination got this newer revision of the subject.
    Older { sent: u32 },
    /// The destination wants the latest revision alone, and this newer one is for it.
    NotLatest { latest: u32 },
    /// The payload is gone.
    NoPayload,
    /// A rule reads a field that was not kept of it.
    Minimised,
    /// Its subject was erased.
    Erased,
}

/// The reason alone, out of a closed set.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    Unknown,
    Waiting,
    Ended,
    Sending,
    Older,
    NotLatest,
    NoPayload,
    Minimised,
    Erased,
}

impl JobState {
    pub const ALL: [Self; 3] = [Self::Running, Self::Done, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Refusal {
    pub const fn code(self) -> RefusalCode {
        match self {
            Self::Unknown => RefusalCode::Unknown,
            Self::Waiting => RefusalCode::Waiting,
            Self::Ended(_) => RefusalCode::Ended,
            Self::Sending => RefusalCode::Sending,
            Self::Older { .. } => RefusalCode::Older,
            Self::NotLatest { .. } => RefusalCode::NotLatest,
            Self::NoPayload => RefusalCode::NoPayload,
            Self::Minimised => RefusalCode::Minimised,
            Self::Erased => RefusalCode::Erased,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("it is not there any more"),
            Self::Waiting => f.write_str("it is waiting already"),
            Self::Ended(state) => write!(f, "it is {state} already"),
            Self::Sending => f.write_str("it is being sent right now"),
            Self::Older { sent } => {
                write!(
                    f,
                    "the destination already got revision {sent}, which is newer"
                )
            }
            Self::NotLatest { latest } => {
                write!(
                    f,
                    "the destination wants the latest alone, which is revision {latest}"
                )
            }
            Self::NoPayload => f.write_str("its payload is gone"),
            Self::Minimised => f.write_str("a rule reads a field that was not kept of it"),
            Self::Erased => f.write_str("it was erased on request"),
        }
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for JobId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
