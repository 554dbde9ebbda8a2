//! One event for one destination: its state, its budget of attempts, and the state of a lane.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attempt, DeliveryId, Name};

/// Where a delivery stands. `Sending` lives in memory only: after a crash it is `Waiting`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Waiting,
    Sending,
    Delivered,
    /// A newer revision took its place before it went out.
    Superseded,
    /// A required field is null.
    Skipped,
    /// Given up, with a reason.
    Dead,
    /// Ended by an operator.
    Discarded,
}

/// How a destination's lane stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LaneState {
    Healthy,
    /// The breaker is open: the destination does not answer.
    Open,
    /// The destination itself refuses: credentials, disabled.
    Blocked,
    /// Held by an operator.
    Paused,
    /// No longer in relay.toml.
    Orphaned,
}

/// What a delivery has spent of its attempts and its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Requests sent so far, charged or not.
    pub tries: u32,
    /// Attempts that count against `retry.attempts`.
    pub charged: u32,
    /// Time that counts against `retry.give_up_after`.
    pub age: Duration,
    /// The last charged attempt.
    pub last: Option<LastCharge>,
    /// When the destination refused it (verdict blocked, or rejected as a probe).
    pub refused_at: Option<Timestamp>,
}

/// What the age of the next attempt is reckoned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCharge {
    pub at: Timestamp,
    /// The wait that was scheduled after it; waiting longer than that is not the delivery's doing.
    pub delay: Duration,
    /// How long the lane had stood still in all by then.
    pub stood_still: Duration,
}

/// A delivery as the API shows it.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: DeliveryId,
    pub destination: Name,
    /// The first route that named the destination.
    pub route: Name,
    pub state: State,
    /// When it may go out; None once it is final.
    pub due_at: Option<Timestamp>,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
    /// Oldest first; empty in lists.
    pub attempts: Vec<Attempt>,
}

/// A word that names no delivery state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no state; use waiting, sending, delivered, superseded, skipped, dead or discarded"
)]
pub struct UnknownState(pub String);

impl State {
    /// Every state, in the order of a delivery's life.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Sending,
        Self::Delivered,
        Self::Superseded,
        Self::Skipped,
        Self::Dead,
        Self::Discarded,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Superseded => "superseded",
            Self::Skipped => "skipped",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }

    /// Nothing more happens to it unless somebody asks.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Sending)
    }
}

impl std::str::FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.chars().take(40).collect()))
    }
}

impl LaneState {
    /// Every state, best first.
    pub const ALL: [Self; 5] = [
        Self::Healthy,
        Self::Open,
        Self::Blocked,
        Self::Paused,
        Self::Orphaned,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Open => "open",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Orphaned => "orphaned",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Display for LaneState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
