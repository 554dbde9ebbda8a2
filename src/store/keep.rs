//! How long what stays: the terms of retention, and what one step of it did.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::{EventType, State};

/// What stands in place of a receiver's words once they are gone.
pub(super) const GONE: &str = "what was said is gone with the payload";

/// How long payloads and the ledger stay, from when an event was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Payloads of events with a delivery that was delivered.
    pub delivered: Duration,
    /// Of those with one that is dead.
    pub dead: Duration,
    /// Of all others: superseded, skipped, discarded, routed nowhere.
    pub other: Duration,
    /// Ids, states, times, revision numbers, keyed digests of fields and receipts.
    pub ledger: Duration,
    /// Payloads of these types of events, whatever became of them.
    pub types: BTreeMap<String, Duration>,
}

/// One step of retention over the oldest events.
#[derive(Clone, Copy, Debug)]
pub struct Sweep<'a> {
    pub keep: &'a Keep,
    pub now: Timestamp,
    /// Where the step before ended.
    pub after: Swept,
    /// Events to look at, at most.
    pub limit: usize,
}

/// How far retention got in this pass, and what it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The store's own place of the last payload that was looked at.
    pub payload_place: i64,
    /// The same for the ledger.
    pub event_place: i64,
    pub payloads: u64,
    pub events: u64,
    /// There is nothing older to look at: the next pass starts anew.
    pub done: bool,
}

impl Keep {
    /// How long the payload of an event of this type stays, with deliveries in these states: as long as
    /// the longest of their terms. None while one of them is not final.
    pub fn payload(&self, event_type: &EventType, states: &[State]) -> Option<Duration> {
        if states.iter().any(|state| !state.is_final()) {
            return None;
        }
        if let Some(own) = self.types.get(event_type.as_str()) {
            return Some(*own);
        }
        let term = |state: &State| match state {
            State::Delivered => self.delivered,
            State::Dead => self.dead,
            _ => self.other,
        };
        Some(states.iter().map(term).max().unwrap_or(self.other))
    }

    /// The shortest time that any payload stays: nothing younger need be looked at.
    pub fn shortest(&self) -> Duration {
        let own = self.types.values().copied();
        own.chain([self.delivered, self.dead, self.other])
            .min()
            .unwrap_or(self.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: u64) -> Duration {
        Duration::from_hours(24 * days)
    }

    #[test]
    fn a_payload_stays_for_the_longest_term_of_its_deliveries_and_while_one_is_not_final() {
        let keep = Keep {
            delivered: days(7),
            dead: days(30),
            other: days(3),
            ledger: days(400),
            types: BTreeMap::from([("interview.failed".to_owned(), days(1))]),
        };
        let check = |event_type: &str, states: &[State], expect: Option<u64>| {
            let term = keep.payload(&EventType::new(event_type), states);
            assert_eq!(term, expect.map(days), "{event_type} {states:?}");
        };
        check("interview.submitted", &[], Some(3));
        check(
            "interview.submitted",
            &[State::Superseded, State::Delivered],
            Some(7),
        );
        check(
            "interview.submitted",
            &[State::Delivered, State::Dead],
            Some(30),
        );
        check("interview.submitted", &[State::Dead, State::Waiting], None);
        check("interview.failed", &[State::Dead], Some(1));
        check("interview.failed", &[State::Waiting], None);
        assert_eq!(keep.shortest(), days(1));
    }
}
