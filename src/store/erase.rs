//! Erasing what is known of somebody: whose, and the receipt of what was taken away.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{DeliveryId, Name};

/// What a lane gives as its reason, once what a receiver said may have been about somebody who was erased.
pub const WORDS_ERASED: &str = "what it said was erased on request; the next probe tells anew";

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
