//! `was`: destinations that had another name before.

use std::collections::BTreeMap;

use serde_json::Value;

use super::locate::join;
use super::reading::Reading;

/// One name moves to one place, and only a name that is gone moves.
pub(super) fn check(reading: &Reading<'_>, destinations: &[(String, Value)]) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, settled) in destinations {
        let Some(was) = settled.get("was").and_then(Value::as_str) else {
            continue;
        };
        let key = join(&join("destinations", name), "was");
        let error = |problem: String, hint: &str| {
            reading.report(reading.locator.error(&key, problem).hint(hint));
        };
        if destinations.iter().any(|(other, _)| other == was) {
            error(
                format!(
                    "the destination \"{was}\" is still there, so nothing can move away from it"
                ),
                "take that one out, or this key",
            );
        } else if let Some(other) = taken.insert(was, name) {
            error(
                format!("the destination \"{other}\" takes over from \"{was}\" already"),
                "one name moves to one place",
            );
        }
    }
}
