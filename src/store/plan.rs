//! What goes into a store and what comes back: plans, work, settlements.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::model::{
    Attempt, Budget, Cause, DeliveryId, Event, EventId, FieldDigests, Kept, LaneState, Name,
    TraceParent,
};

/// Numbers of deliveries from here on are for replays under a new id.
pub(super) const MOST_DELIVERIES: usize = 0x8000;

/// Attempts kept of one delivery: histories must not grow for as long as a destination is down.
pub(super) const ATTEMPTS_KEPT: i32 = 100;

/// Subjects whose receipts move in one step of moving a backlog.
pub(super) const SUBJECTS: i64 = 10_000;

/// An event that is to be accepted, with everything that follows from it.
#[derive(Clone, Debug)]
pub struct AcceptPlan {
    /// `event.revision` is one more than the revision that the plan was made against.
    pub event: Arc<Event>,
    /// The bytes as received; of a minimised source, what is kept of them.
    pub payload: Bytes,
    /// The fields that were kept; None for the whole.
    pub kept: Option<Kept>,
    /// Keyed digests of the received body's top-level fields.
    pub fields: FieldDigests,
    /// In the order of the routes that named them; the delivery's number is its position.
    pub deliveries: Vec<NewDelivery>,
    /// The step that took it: attempts go on from there.
    pub trace: Option<TraceParent>,
}

/// A delivery to be created with its event.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub destination: Name,
    pub route: Name,
    /// Why it is skipped from the start; None for waiting.
    pub skipped: Option<String>,
    pub due_at: Timestamp,
    /// It waits for further revisions, until `due_at`, and at the latest until this time; or until the
    /// time of this kind of a delivery that it supersedes.
    pub settle_by: Option<Timestamp>,
    /// Waiting deliveries of the same source, subject and destination become superseded.
    pub supersedes: bool,
    /// So do skipped ones: this one brings what they lacked.
    pub takes_up: bool,
}

/// What became of a plan.
#[derive(Clone, Debug)]
pub enum AcceptOutcome {
    Accepted(Accepted),
    /// The subject was erased: nothing of it is taken any more.
    Erased,
    /// The subject's latest revision is not the one that the plan was made against: plan again.
    Stale(Head),
}

/// An event that is on disk.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// One for each planned delivery, in order.
    pub placed: Vec<Placed>,
    /// Deliveries that were waiting, or skipped, and are superseded now.
    pub superseded: Vec<(Name, DeliveryId)>,
    /// The subject, as `Waiting::subject` has it.
    pub subject: Option<u64>,
}

/// Where a new delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub id: DeliveryId,
    /// It is waiting and due, and no earlier delivery of its subject waits at the same destination.
    pub ready: bool,
}

/// The latest revision of a subject.
#[derive(Clone, Debug)]
pub struct Head {
    pub event: EventId,
    pub revision: u32,
    pub fields: FieldDigests,
    /// None once retention or erasure took it, and where it cannot be opened.
    pub payload: Option<Bytes>,
    /// Events of this subject whose acknowledgement could not be written. Nearly always empty.
    pub unconfirmed: Vec<Unconfirmed>,
    /// Deliveries that were skipped, and no later one of the subject was not. Nearly always empty.
    pub skipped: Vec<Skipped>,
}

/// A skipped delivery of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub destination: Name,
    pub route: Name,
}

/// An event whose acknowledgement could not be written.
#[derive(Clone, Debug)]
pub struct Unconfirmed {
    pub event: EventId,
    pub revision: u32,
    pub fields: FieldDigests,
}

/// The number under which a relay owns a lane; a settlement under an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);

/// A lane that this relay owns, as it was left.
#[derive(Clone, Debug)]
pub struct Lease {
    pub fence: Fence,
    pub lane: LaneRecord,
}

/// How a lane stands, as far as it must outlive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRecord {
    pub destination: Name,
    /// Healthy, open or blocked.
    pub state: LaneState,
    /// Paused by an operator's command, whatever `state` says.
    pub paused: bool,
    /// Why it is not healthy; empty where it is.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// How long the lane had stood still in all up to `since`.
    pub stood_still: Duration,
}

impl LaneRecord {
    /// A lane that nothing was ever kept of: healthy for as long as anybody remembers.
    pub(super) fn untouched(destination: &Name) -> Self {
        Self {
            destination: destination.clone(),
            state: LaneState::Healthy,
            paused: false,
            reason: String::new(),
            since: Timestamp::UNIX_EPOCH,
            stood_still: Duration::ZERO,
        }
    }
}

impl Move {
    /// Why a delivery that cannot be moved ends.
    pub(super) fn objection(&self, has_one: bool, newer_sent: Option<u32>) -> Option<String> {
        let to = &self.to;
        if has_one {
            return Some(format!(
                "not moved: the event has a delivery to {to} already"
            ));
        }
        newer_sent.map(|sent| format!("not moved: revision {sent} was sent to {to} already"))
    }
}

/// What is due at a destination.
#[derive(Clone, Debug, Default)]
pub struct Due {
    pub items: Vec<Waiting>,
    /// There may be more that is due: the limit was reached, or some wait behind their subject's first.
    pub more: bool,
    /// When the next delivery becomes due that is not due yet.
    pub next_due: Option<Timestamp>,
}

/// A waiting delivery, as a lane keeps it: small, without its payload.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub id: DeliveryId,
    /// A number that is the same for all events of one source and subject; None without a subject.
    pub subject: Option<u64>,
    pub revision: u32,
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub budget: Budget,
}

/// What `previous` and `changed` are reckoned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The revision before the event's own.
    PreviousRevision,
    /// The last revision that this destination was sent.
    LastSent,
}

/// Everything an attempt needs.
#[derive(Clone, Debug)]
pub struct Work {
    pub event: Arc<Event>,
    pub destination: Name,
    pub route: Name,
    /// The `webhook-id` to send: the delivery's id, unless it was replayed under a new one.
    pub webhook_id: DeliveryId,
    pub payload: Bytes,
    /// The fields that were kept of it; None for the whole.
    pub kept: Option<Kept>,
    /// Payload of the revision that [`Since`] names; None where there is none or it is gone.
    pub previous: Option<Bytes>,
    /// Likewise, of that payload.
    pub previous_kept: Option<Kept>,
    /// Fields that changed since that revision, over every revision between.
    pub changed: Vec<String>,
    /// What this destination gave back for an earlier revision of the subject.
    pub receipt: Option<Receipt>,
    /// The step that took the event.
    pub trace: Option<TraceParent>,
}

impl Work {
    /// The length of its payloads, in bytes.
    pub fn bytes(&self) -> usize {
        self.payload.len() + self.previous.as_ref().map_or(0, Bytes::len)
    }
}

/// What a destination gave back to find the thing again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The note's id, the message's ts.
    pub value: String,
    /// Base URL and channel under which it was given: elsewhere it means nothing.
    pub scope: String,
}

/// An attempt and what came of it.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub delivery: DeliveryId,
    pub fence: Fence,
    /// None where nothing was sent (the request could not be made).
    pub attempt: Option<Attempt>,
    pub outcome: Outcome,
    /// A receipt that names nothing any more: it is forgotten.
    pub gone: Option<Receipt>,
    pub at: Timestamp,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The destination took it. A warning is kept as the delivery's `last_error`.
    Delivered {
        receipt: Option<Receipt>,
        warning: Option<String>,
    },
    /// Another try later. With `supersedable`, it is superseded instead where a newer delivery of its
    /// subject that is not skipped exists at the same destination.
    Waiting {
        due_at: Timestamp,
        reason: String,
        budget: Budget,
        supersedable: bool,
    },
    /// Given up.
    Dead { cause: Cause, reason: String },
    /// A required field is null.
    Skipped { reason: String },
}

/// How a delivery stands once settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub state: crate::model::State,
}

/// A step of moving a backlog from a destination that is gone to another.
#[derive(Clone, Debug)]
pub struct Move {
    pub from: Name,
    pub to: Name,
    /// Under way: not to be touched.
    pub except: HashSet<DeliveryId>,
    /// Deliveries to move, at most.
    pub limit: usize,
    /// Where the step before ended, in the store's own numbers.
    pub receipts_after: i64,
}

/// What a step moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub deliveries: u64,
    /// Their events have a delivery to the other destination already, or a newer revision was sent there.
    pub discarded: u64,
    pub receipts_after: i64,
    /// There is more to move.
    pub more: bool,
}
