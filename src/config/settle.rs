//! `settle` and `settle_max`: how long a destination waits for further revisions of a subject.

use std::time::Duration;

use super::form::DURATION;
use super::reading::Table;
use crate::destination::Settle;

/// Longest time that a revision may wait for the next one.
const LONGEST: Duration = Duration::from_hours(24);
/// `settle_max` where it is not written, in units of `settle`.
const MOST: u32 = 5;

/// None where there is none or, with a finding, a wrong one.
pub(super) fn settle(table: &Table<'_>) -> Option<Settle> {
    let time = |key: &str| {
        let within = |time: &Duration| !time.is_zero() && *time <= LONGEST;
        table.limited(
            key,
            DURATION,
            within,
            "more than nothing and at most \"1d\"",
        )
    };
    if !table.has("settle") {
        if table.has("settle_max") {
            table.error(
                "settle_max",
                "there is no `settle` that it could limit",
                "write settle = \"20s\", or take settle_max out",
            );
        }
        return None;
    }
    let wait = time("settle");
    let most = if table.has("settle_max") {
        time("settle_max")
    } else {
        wait.map(|wait| wait * MOST)
    };
    if table.value("revisions").and_then(serde_json::Value::as_str) == Some("all") {
        table.error(
            "settle",
            "with revisions = \"all\" there is nothing to wait for: each goes out",
            "write revisions = \"latest\", or take settle out",
        );
        return None;
    }
    let (wait, most) = (wait?, most?);
    if most < wait {
        table.error(
            "settle_max",
            "settle_max is shorter than settle",
            "settle_max is the longest that the first revision waits: write a longer one",
        );
        return None;
    }
    Some(Settle { wait, most })
}
