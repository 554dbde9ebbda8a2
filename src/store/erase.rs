//! Erasing what is known of somebody: whose, and the receipt of what was taken away.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{DeliveryId, Name};

/// What a lane gives as its reason, once what a receiver said may have been about somebody who was erased.
pub const WORDS_ERASED: &str = "what it said was erased on request; the next probe tells anew";

/// What a discarded delivery of an erased subject says, until it is gone.
pub(super) const REASON: &str = "erased";

/// Whose events are to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Every subject that ever named this candidate.
    Candidate(String),
    /// This subject, of one source or of every one.
    Subject {
        subject: String,
        source: Option<Name>,
    },
    /// What a crash left half done.
    Unfinished,
}

/// What is about to be erased: its subjects take no more bodies, and nothing of it waits any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condemned {
    /// The store's own numbers of subjects, and of events without one.
    pub subjects: Vec<i64>,
    pub events: Vec<i64>,
    /// Deliveries that were waiting. One of them may be under way.
    pub deliveries: Vec<(Name, DeliveryId)>,
    /// Who was sent something, and may have said something of it.
    pub destinations: Vec<Name>,
}

/// Who was sent something, while it is being found.
#[derive(Default)]
pub(super) struct Sent(BTreeMap<Name, SentTo>);

impl Sent {
    /// So many attempts of one event went there, the first and the last at these times.
    pub(super) fn attempts(
        &mut self,
        destination: Name,
        attempts: u64,
        (first_at, last_at): (Timestamp, Timestamp),
    ) {
        let entry = self.0.entry(destination.clone()).or_insert(SentTo {
            destination,
            attempts: 0,
            first_at,
            last_at,
            receipts: Vec::new(),
        });
        entry.attempts += attempts;
        entry.first_at = entry.first_at.min(first_at);
        entry.last_at = entry.last_at.max(last_at);
    }

    /// It gave this back.
    pub(super) fn receipt(&mut self, destination: &Name, value: String) {
        if let Some(entry) = self.0.get_mut(destination) {
            entry.receipts.push(value);
        }
    }

    pub(super) fn told(self) -> Vec<SentTo> {
        self.0.into_values().collect()
    }
}

/// What was taken away, and where copies may be that are not the relay's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Erasure {
    pub erased_at: Option<Timestamp>,
    pub subjects: u64,
    pub events: u64,
    pub payloads: u64,
    pub deliveries: u64,
    pub attempts: u64,
    /// Every destination that was sent anything, whatever it answered.
    pub sent_to: Vec<SentTo>,
}

/// A destination that was sent something of an erased subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SentTo {
    pub destination: Name,
    pub attempts: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// What it gave back to find the thing again: note ids, a Slack ts.
    pub receipts: Vec<String>,
}
