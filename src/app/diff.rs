//! What another configuration would make of a body: which deliveries would appear, vanish or change.

use std::collections::BTreeMap;

use serde::Serialize;

use super::explain::{DeliveryAnswer, DeliveryOutcome, Explanation};
use crate::destination::Shown;

/// A delivery that differs between two configurations.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub destination: String,
    pub kind: DifferenceKind,
    /// What differs, in a line each: `before → after`.
    pub what: Vec<String>,
}

/// How a delivery differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    Appears,
    Vanishes,
    Changes,
}

/// Compares what two configurations say of one body.
pub fn differences(old: &Explanation, new: &Explanation) -> Vec<Difference> {
    let (before, after) = (by_destination(old), by_destination(new));
    let mut found = Vec::new();
    for (name, was) in &before {
        match after.get(name) {
            None => found.push(difference(name, DifferenceKind::Vanishes, Vec::new())),
            Some(is) => {
                let what = changes(was, is);
                if !what.is_empty() {
                    found.push(difference(name, DifferenceKind::Changes, what));
                }
            }
        }
    }
    let appear = after.keys().filter(|name| !before.contains_key(*name));
    found.extend(appear.map(|name| difference(name, DifferenceKind::Appears, Vec::new())));
    found
}

fn by_destination(explanation: &Explanation) -> BTreeMap<&str, &DeliveryAnswer> {
    let deliveries = explanation.deliveries.iter();
    deliveries
        .map(|one| (one.destination.as_str(), one))
        .collect()
}

fn difference(destination: &str, kind: DifferenceKind, what: Vec<String>) -> Difference {
    Difference {
        destination: destination.to_owned(),
        kind,
        what,
    }
}

/// Bodies and headers are named, not shown: they hold what candidates said.
fn changes(was: &DeliveryAnswer, is: &DeliveryAnswer) -> Vec<String> {
    let mut what = Vec::new();
    if was.settles != is.settles {
        let shown = |settles: &Option<String>| settles.clone().unwrap_or("none".to_owned());
        what.push(format!(
            "settle {} → {}",
            shown(&was.settles),
            shown(&is.settles)
        ));
    }
    match (&was.outcome, &is.outcome) {
        (DeliveryOutcome::Request(was), DeliveryOutcome::Request(is)) => {
            if was.method != is.method {
                what.push(format!("method {} → {}", was.method, is.method));
            }
            if was.url != is.url {
                what.push("another URL".to_owned());
            }
            if headers(was) != headers(is) {
                what.push("other headers".to_owned());
            }
            if was.body != is.body {
                what.push("another body".to_owned());
            }
        }
        (was, is) => {
            let (was, is) = (state(was), state(is));
            if was != is {
                what.push(format!("{was} → {is}"));
            }
        }
    }
    what
}

/// The id has the delivery's number in it, and the signature the id.
fn headers(request: &Shown) -> Vec<&(String, String)> {
    let own = ["webhook-id", "webhook-signature"];
    let written = request.headers.iter();
    written
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .collect()
}

fn state(outcome: &DeliveryOutcome) -> String {
    match outcome {
        DeliveryOutcome::Request(_) => "sent".to_owned(),
        DeliveryOutcome::Skipped { reason } => format!("skipped ({reason})"),
        DeliveryOutcome::Dead { reason } => format!("dead ({reason})"),
    }
}
