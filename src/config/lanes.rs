//! `[destinations.*]`, as far as it concerns the lane: rate, concurrency, retry, breaker.

use std::num::NonZeroU32;
use std::time::Duration;

use super::form::{COUNT, DURATION, NUMBER, RATE, SWITCH, TEXT};
use super::reading::Table;
use super::schema;
use crate::dispatch::{BreakerPolicy, LaneSettings};
use crate::model::Rate;
use crate::retry::{LONGEST_WAIT, Policy};

/// Most requests in flight at once.
const MOST_CONCURRENT: u32 = 1_000;
/// Longest age at which a delivery is given up.
const LONGEST_AGE: Duration = Duration::from_hours(90 * 24);
/// Longest wait between two probes.
const LONGEST_PROBE: Duration = Duration::from_hours(24);

/// Reads how a destination's lane works.
pub(super) fn lane(table: &Table<'_>) -> Option<LaneSettings> {
    let rate_limit = table.leaf("rate_limit", RATE);
    let burst = table.leaf("burst", COUNT);
    let concurrency = table.limited(
        "concurrency",
        COUNT,
        |count| count.get() <= MOST_CONCURRENT,
        "at most 1000",
    );
    let retry = table
        .table("retry", &schema::RETRY)
        .and_then(|table| policy(&table));
    let breaker = table
        .table("breaker", &schema::BREAKER)
        .and_then(|table| breaker(&table));
    let paused = table.leaf("paused", SWITCH);
    let (rate_limit, burst) = (rate_limit?, burst?);
    check_burst(table, rate_limit, burst);
    Some(LaneSettings {
        rate_limit,
        burst,
        concurrency: concurrency?,
        retry: retry?,
        breaker: breaker?,
        paused: paused?,
        was: table.leaf("was", TEXT).map(|name| name.as_str().into()),
    })
}

fn check_burst(table: &Table<'_>, rate: Option<Rate>, burst: NonZeroU32) {
    match rate {
        Some(rate) if burst > rate.count => table.error(
            "burst",
            format!("a burst of {burst} is more than the rate {rate} allows in a period"),
            format!(
                "the burst is taken out of the rate: write at most {}",
                rate.count
            ),
        ),
        None if burst.get() > 1 => table.error(
            "burst",
            "there is no rate_limit that it could be taken out of",
            "write rate_limit = \"50/10s\", or take burst out",
        ),
        _ => {}
    }
}

fn policy(table: &Table<'_>) -> Option<Policy> {
    let wait = |key: &str| {
        let within = |time: &Duration| !time.is_zero() && *time <= LONGEST_WAIT;
        table.limited(
            key,
            DURATION,
            within,
            "more than nothing and at most \"6h\"",
        )
    };
    let first = wait("first");
    let max = wait("max");
    let factor = table.limited(
        "factor",
        NUMBER,
        |factor| (1.0..=100.0).contains(factor),
        "from 1 (all waits alike) to 100",
    );
    let jitter = table.limited(
        "jitter",
        NUMBER,
        |jitter| (0.0..=1.0).contains(jitter),
        "from 0 to 1: the share of the wait that chance adds",
    );
    let attempts = table.leaf("attempts", COUNT);
    let give_up_after = table.limited(
        "give_up_after",
        DURATION,
        |age| !age.is_zero() && *age <= LONGEST_AGE,
        "more than nothing and at most \"90d\"",
    );
    in_order(table, ("first", first), ("max", max));
    Some(Policy {
        first: first?,
        max: max?,
        factor: factor?,
        jitter: jitter?,
        attempts: attempts?.get(),
        give_up_after: give_up_after?,
    })
}

fn breaker(table: &Table<'_>) -> Option<BreakerPolicy> {
    let probe = |key: &str| {
        let within = |time: &Duration| !time.is_zero() && *time <= LONGEST_PROBE;
        table.limited(
            key,
            DURATION,
            within,
            "more than nothing and at most \"1d\"",
        )
    };
    let failures = table.leaf("failures", COUNT);
    let rejections = table.leaf("rejections", COUNT);
    let probe_after = probe("probe_after");
    let probe_max = probe("probe_max");
    in_order(
        table,
        ("probe_after", probe_after),
        ("probe_max", probe_max),
    );
    Some(BreakerPolicy {
        failures: failures?,
        rejections: rejections?,
        probe_after: probe_after?,
        probe_max: probe_max?,
    })
}

/// The first wait is at most the longest one. The finding stands at the key that was written.
fn in_order(table: &Table<'_>, first: (&str, Option<Duration>), longest: (&str, Option<Duration>)) {
    let ((first, Some(one)), (longest, Some(other))) = (first, longest) else {
        return;
    };
    if one > other {
        let key = if table.written(longest) {
            longest
        } else {
            first
        };
        table.error(
            key,
            format!("{first} is longer than {longest}"),
            format!("{longest} is where the waits stop growing: write a longer one"),
        );
    }
}
