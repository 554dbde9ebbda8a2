//! When a delivery is tried again, and when it is given up.

use std::time::Duration;

/// A destination's `retry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Wait after the first failed attempt.
    pub first: Duration,
    /// Longest wait, at most 6 hours.
    pub max: Duration,
    /// Each wait is so many times the one before; at least 1.
    pub factor: f64,
    /// Up to this share of the wait is added at random; 0 to 1.
    pub jitter: f64,
    /// Charged attempts after which it is given up.
    pub attempts: u32,
    /// Age after which it is given up.
    pub give_up_after: Duration,
}

/// No wait is longer, whatever a schedule or a Retry-After says.
pub const LONGEST_WAIT: Duration = Duration::from_hours(6);

impl Default for Policy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            max: LONGEST_WAIT,
            factor: 4.0,
            jitter: 0.1,
            attempts: 12,
            give_up_after: Duration::from_hours(72),
        }
    }
}
