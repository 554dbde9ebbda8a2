//! What is asked of a store by people: filters and answers.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SealError;
use crate::model::{Cursor, Delivery, DeliveryId, Event, EventId, EventType, Kept, Name, State};

/// Which events to list. Every part that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventFilter {
    /// The whole type, such as interview.submitted
    #[serde(rename = "type")]
    pub event_type: Option<EventType>,
    /// Name of the source that it came through
    pub source: Option<String>,
    /// The interview result's id
    pub subject: Option<String>,
    /// The candidate's id in your ATS: all events of every subject that ever named it
    pub candidate: Option<String>,
    /// Received at this time or later
    pub since: Option<Timestamp>,
    /// Received before this time
    pub until: Option<Timestamp>,
    /// Where the page before ended.
    #[serde(skip)]
    pub cursor: Option<Cursor>,
    /// From the oldest on, and not from the newest back.
    #[serde(skip)]
    pub oldest_first: bool,
}

impl EventFilter {
    /// Whether an event is asked for, its time and the page aside.
    pub(super) fn wants(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|one| one == own);
        self.event_type
            .as_ref()
            .is_none_or(|one| *one == event.event_type)
            && is(&self.source, &event.source)
            && is(
                &self.subject,
                event.subject.as_ref().map_or("", |one| one.as_str()),
            )
    }
}

/// Which deliveries to list. Every part that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryFilter {
    /// Where it stands
    pub state: Option<State>,
    /// Name of the destination
    pub destination: Option<String>,
    /// Name of the route that named the destination
    pub route: Option<String>,
    /// Of this event
    pub event: Option<EventId>,
    /// The whole type of its event, such as interview.submitted
    #[serde(rename = "type")]
    pub event_type: Option<EventType>,
    /// The interview result's id
    pub subject: Option<String>,
    /// The candidate's id in your ATS: of every subject that ever named it
    pub candidate: Option<String>,
    /// A text in `last_error`, small and capital letters alike
    pub error: Option<String>,
    /// Created at this time or later
    pub since: Option<Timestamp>,
    /// Created before this time
    pub until: Option<Timestamp>,
    /// Where the page before ended.
    #[serde(skip)]
    pub cursor: Option<Cursor>,
    /// From the oldest on, and not from the newest back.
    #[serde(skip)]
    pub oldest_first: bool,
}

impl DeliveryFilter {
    /// The events whose deliveries are asked for, as far as that is said by what they are about.
    pub(super) fn of_events(&self) -> EventFilter {
        EventFilter {
            event_type: self.event_type.clone(),
            subject: self.subject.clone(),
            candidate: self.candidate.clone(),
            ..EventFilter::default()
        }
    }

    /// The same filter for this delivery alone, whatever its state.
    #[must_use]
    pub fn only(&self, id: DeliveryId) -> Self {
        let after = id.event.delivery(id.number.saturating_add(1));
        Self {
            state: None,
            event: Some(id.event),
            cursor: Some(Cursor(after)),
            ..self.clone()
        }
    }
}

/// One event with all that is known of it.
#[derive(Clone, Debug)]
pub struct EventDetail {
    pub event: Event,
    /// Why there is no payload although it is kept.
    pub lost: Option<SealError>,
    /// None once retention or erasure took it.
    pub payload: Option<Bytes>,
    /// The fields that were kept of it; None for the whole.
    pub kept: Option<Kept>,
    /// With attempts.
    pub deliveries: Vec<Delivery>,
    /// All revisions of the subject, oldest first, the newest 500 at most.
    pub revisions: Vec<Revision>,
}

/// One revision of a subject.
#[derive(Clone, Debug)]
pub struct Revision {
    pub event: EventId,
    pub revision: u32,
    pub event_type: EventType,
    pub changed: Vec<String>,
    pub received_at: Timestamp,
}

/// How many deliveries a destination has in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub destination: Name,
    pub state: State,
    pub count: u64,
    /// For waiting: the due time of the one that has been due longest; None where none is due.
    pub oldest_due: Option<Timestamp>,
    /// For waiting: when the oldest was created.
    pub oldest_created: Option<Timestamp>,
}

/// What a destination reads of payloads.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub destination: Name,
    /// Top-level fields; None for all there is.
    pub fields: Option<BTreeSet<String>>,
}

/// Deliveries that wait, and whose minimised payloads lack what their destination reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    pub source: Name,
    pub destination: Name,
    /// What was kept.
    pub kept: Kept,
    /// Fields that were not, in order; None where the destination gets all there is.
    pub missing: Option<Vec<String>>,
    pub count: u64,
    /// There may be more: only so many are looked at.
    pub more: bool,
    /// Of those due first, [`Lacking::NAMED`] at most.
    pub events: Vec<EventId>,
}

impl Lacking {
    /// Events that are named.
    pub const NAMED: usize = 20;
}
