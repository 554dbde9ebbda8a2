//! What is asked of a store about senders.

use jiff::Timestamp;

use crate::model::Name;

/// As many interviews without a result are counted, and no more.
pub(super) const MOST: i64 = 10_000;

/// A source that is asked about.
#[derive(Clone, Debug)]
pub struct Listen {
    pub source: Name,
    /// Interviews that were collected by then and have no result are stuck; None where nobody asks.
    pub collected_by: Option<Timestamp>,
}

/// What is known of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub source: Name,
    pub last_event_at: Option<Timestamp>,
    /// Up to 10 000.
    pub stuck: u64,
}
