//! A destination's part of relay.toml that concerns its lane.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::model::{Name, Rate};
use crate::retry::Policy;

/// How a lane works.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneSettings {
    pub rate_limit: Option<Rate>,
    /// How many may go out at once after a quiet time; taken out of the rate's count.
    pub burst: NonZeroU32,
    /// Requests in flight at once.
    pub concurrency: NonZeroU32,
    pub retry: Policy,
    pub breaker: BreakerPolicy,
    /// Held by relay.toml; wins over a `resume`.
    pub paused: bool,
    /// The name that it had before.
    pub was: Option<Name>,
}

/// A destination's `breaker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it.
    pub failures: NonZeroU32,
    /// Different events rejected in a row, none accepted between, that block the lane.
    pub rejections: NonZeroU32,
    pub probe_after: Duration,
    pub probe_max: Duration,
}
