//! Arithmetic on times that ends at the ends of time instead of failing.

use std::time::Duration;

use jiff::Timestamp;

/// `at` and `by` later, in whole milliseconds.
pub fn plus(at: Timestamp, by: Duration) -> Timestamp {
    let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(at.as_millisecond().saturating_add(millis))
        .unwrap_or(Timestamp::MAX)
}

/// How long `later` is after `earlier`; zero if it is not.
pub fn after(earlier: Timestamp, later: Timestamp) -> Duration {
    let millis = later
        .as_millisecond()
        .saturating_sub(earlier.as_millisecond());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
