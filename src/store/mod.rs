//! What the relay asks of a store, in the words of the field. Each method is one whole transaction;
//! a store never decides, it only answers whether the plan that it was given still fits.

mod codes;
mod commons;
mod erase;
mod job;
mod keep;
mod lacking;
mod paging;
mod plan;
pub mod postgres;
mod query;
mod seal;
mod senders;
pub mod sqlite;
mod transfer;

pub use commons::{
    Commons, Held, HeldLane, LEASE, Owned, Presence, Replica, Roll, Seen, Told, UPKEEP,
};
pub use erase::{Condemned, Erasure, SentTo, WORDS_ERASED, Whose};
pub use job::{
    Act, Acted, Acts, Done, Job, NOT_KEPT, Planned, Progress, REFUSALS_KEPT, Refused, Replay, Task,
    Turn, What,
};
pub use keep::{Keep, Sweep, Swept};
pub use plan::{
    AcceptOutcome, AcceptPlan, Accepted, Due, Fence, Head, LaneRecord, Lease, Move, Moved,
    NewDelivery, Outcome, Placed, Receipt, Settled, Settlement, Since, Skipped, Unconfirmed,
    Waiting, Work,
};
pub use query::{DeliveryFilter, EventDetail, EventFilter, Lacking, Revision, Tally, Wanted};
pub use seal::{Fingerprint, KEY_BYTES, Keyring, Resealed, SealError, SealKey, Sealing};
pub use senders::{Heard, Listen};
pub use transfer::{Doing, Stage, Transferred, transfer};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::model::{Delivery, DeliveryId, Event, EventId, FieldDigests, JobId, Limit, Name, Page};

/// Told after every commit: how long it took (in a database the whole transaction did), and how many commands shared it.
pub type OnCommit = Arc<dyn Fn(Duration, usize) + Send + Sync>;

/// The key of a store's digests: made when the store is made, never shown.
#[derive(Clone)]
pub struct StoreKey([u8; 32]);

/// A store that keeps events, deliveries, attempts, revisions and receipts.
#[async_trait]
pub trait Store: Send + Sync {
    /// The key that this store's digests are made with.
    fn key(&self) -> &StoreKey;

    /// What relays that share it ask; None where this one has it alone.
    fn commons(&self) -> Option<&dyn Commons>;

    /// Deliveries in state waiting, over all destinations. Answered from memory.
    fn waiting(&self) -> u64;

    /// Writes an event, its payload, deliveries and supersessions, durably, if the plan still fits.
    async fn accept(&self, plan: AcceptPlan) -> Result<AcceptOutcome, StoreError>;

    /// Remembers that the acknowledgement of `event` could not be written, so that one later body
    /// with these digests is its retry. The event stays its subject's business whatever comes after.
    async fn mark_unconfirmed(
        &self,
        event: EventId,
        fields: FieldDigests,
    ) -> Result<(), StoreError>;

    /// Takes that mark away; true for the one caller that found it.
    async fn take_unconfirmed(&self, event: EventId) -> Result<bool, StoreError>;

    /// Takes the lanes of these destinations, as far as this relay may have them. What a relay left that was killed just now
    /// is waited for.
    async fn lease(&self, destinations: &[Name]) -> Result<Vec<Lease>, StoreError>;

    /// Keeps how a lane stands, so that it outlives a restart.
    async fn save_lane(&self, lane: LaneRecord) -> Result<(), StoreError>;

    /// The oldest deliveries of a destination that may go out at `now`, by due time. With `ordered`,
    /// one whose subject has an earlier delivery waiting here is left out.
    async fn due(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
        ordered: bool,
    ) -> Result<Due, StoreError>;

    /// Everything an attempt needs; None where the delivery is not waiting any more.
    async fn work(&self, delivery: DeliveryId, since: Since) -> Result<Option<Work>, StoreError>;

    /// [`Self::work`] of many at once, in their order and up to so many bytes of payloads. What is not waiting any more,
    /// or cannot be read, is left out.
    async fn works(
        &self,
        deliveries: Vec<DeliveryId>,
        since: Since,
        bytes: usize,
    ) -> Result<HashMap<DeliveryId, Work>, StoreError>;

    /// Records an attempt and what came of it.
    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError>;

    /// Makes up to `limit` waiting retries of a destination due (again at the time they were created
    /// for, so that the oldest go first); answers how many.
    async fn release(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// Does what an operator wants to deliveries, or answers for each why not; and where it is part of a job,
    /// the job goes on with it.
    async fn act(&self, act: Act) -> Result<Acts, StoreError>;

    /// Begins a job.
    async fn begin_job(&self, task: Task, dry_run: bool, now: Timestamp)
    -> Result<Job, StoreError>;

    /// Jobs that run, newest first; with `over` also the last hundred that are over.
    async fn jobs(&self, over: bool) -> Result<Vec<Job>, StoreError>;

    /// Ends a job that runs; what it did stays done. True where there is such a job.
    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<bool, StoreError>;

    /// One step of moving what waits for a destination to another.
    async fn move_backlog(&self, step: Move) -> Result<Moved, StoreError>;

    /// One step of retention.
    async fn sweep(&self, sweep: Sweep<'_>) -> Result<Swept, StoreError>;

    /// First half of an erasure: bodies of these subjects are not taken any more, and what waits of them is
    /// discarded. It outlives a crash.
    async fn condemn(&self, whose: Whose, now: Timestamp) -> Result<Condemned, StoreError>;

    /// Second half, once nothing of them is under way: takes everything away.
    async fn erase(&self, condemned: Condemned, now: Timestamp) -> Result<Erasure, StoreError>;

    /// Takes away what the store keeps of earlier writes beside its tables, so that what was erased is nowhere.
    async fn forget_writes(&self) -> Result<(), StoreError>;

    /// One event with its payload, revisions, deliveries and attempts.
    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, StoreError>;

    /// Events, newest first, in pages like those of deliveries.
    async fn events(&self, filter: EventFilter, limit: Limit) -> Result<Page<Event>, StoreError>;

    /// Deliveries, newest first, without attempts. A page may hold fewer than its limit and still have a
    /// next one: however rare what is asked for, one page looks at so many deliveries only.
    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        limit: Limit,
    ) -> Result<Page<Delivery>, StoreError>;

    /// How many deliveries each destination has in each state, and since when the oldest waits.
    async fn tallies(&self, now: Timestamp) -> Result<Vec<Tally>, StoreError>;

    /// Waiting deliveries of minimised events that lack what their destination reads. Of each destination it
    /// looks at so many deliveries only, those due first.
    async fn lacking(&self, wanted: Vec<Wanted>) -> Result<Vec<Lacking>, StoreError>;

    /// What each of these sources was last heard of, in their order.
    async fn heard(&self, asked: Vec<Listen>) -> Result<Vec<Heard>, StoreError>;

    /// One step of sealing again what is plain, or sealed by a key that is not the first any more.
    async fn reseal(&self) -> Result<Resealed, StoreError>;

    /// How payloads are sealed; None where none is, nor was.
    async fn sealing(&self) -> Result<Option<Sealing>, StoreError>;

    /// Proves that a write would succeed now.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Finishes what is queued, writes the log back into the file and lets the store go.
    async fn close(&self) -> Result<(), StoreError>;
}

/// A fault of the store. The caller's request is sound: it may be tried again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No space left, read-only, I/O error, locked: passes by itself or by an operator's hand.
    #[error("the store cannot be written: {0}")]
    Unavailable(String),
    /// The store's content is damaged or not what this version wrote.
    #[error("the store cannot be trusted: {0}")]
    Corrupt(String),
    /// One payload is lost, and nothing else: asking again would not bring it back.
    #[error("{0}")]
    Payload(String),
    /// Payloads that may wait could not be opened.
    #[error(
        "payloads in the store are sealed by a key that is not in store.encrypt.keys (fingerprint {missing}; \
         configured: {configured}); put that key into the list, after the first, until the log says that it can go"
    )]
    KeyMissing { missing: String, configured: String },
    /// Written by a newer version of the relay.
    #[error(
        "the store has schema {found}, this relay knows schemas up to {known}; start the newer relay that wrote it"
    )]
    Newer { found: u32, known: u32 },
    /// Another relay has it.
    #[error(
        "another relay already uses this store ({0}); stop it first, or give each relay its own store.url"
    )]
    InUse(String),
    /// Not all of a store is there yet.
    #[error(
        "a store is being moved into {0} and is not all there; let `relay migrate-store` finish, or run it again, \
         or drop that schema to give it up"
    )]
    HalfMoved(String),
    /// The lane has another owner by now: what this relay wanted to write is void.
    #[error("this relay no longer owns the lane of the delivery")]
    Fenced,
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreKey {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes, for keyed digests.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What stands for a subject where its text must not: in indexes, and once it was erased.
    fn digest(&self, source: &str, subject: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(source.len() as u64).to_be_bytes());
        hasher.update(source.as_bytes());
        hasher.update(subject.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

/// A payload as it was received, shared between deliveries.
pub type Payload = Bytes;
