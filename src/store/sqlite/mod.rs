//! The store in one `SQLite` file: a write-ahead log that is synced at every commit, one thread that
//! writes, and readers beside it. One relay has the file at a time, and with it every lane.

mod accept;
mod acts;
mod backup;
mod batch;
mod create;
mod deliveries;
mod erase;
mod events;
mod export;
mod fan_out;
mod fault;
mod file;
mod held;
mod jobs;
mod kept;
mod lanes;
mod look;
mod migrate;
mod moving;
mod readers;
mod rows;
mod sealed;
mod senders;
mod settle;
mod subjects;
mod sweep;
#[cfg(test)]
mod tests;
mod trust;
mod work;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;

pub use backup::backup;
pub use export::Source;
pub use look::{Place, look};

use super::{
    AcceptOutcome, AcceptPlan, Act, Acts, Commons, Condemned, DeliveryFilter, Due, Erasure,
    EventDetail, EventFilter, Heard, Job, Keyring, Lacking, LaneRecord, Lease, Listen, Move, Moved,
    OnCommit, Resealed, Sealing, Settled, Settlement, Since, Store, StoreError, StoreKey, Sweep,
    Swept, Tally, Task, Wanted, Whose, Work,
};
use crate::clock::Clock;
use crate::model::{Delivery, DeliveryId, Event, EventId, FieldDigests, JobId, Limit, Name, Page};
use crate::store::paging::Search;
use migrate::Identity;
use readers::Readers;
use trust::Trust;
use writer::{Setup, Writer};

/// What a store in a file is opened with.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The file; it and its directory are made when missing.
    pub path: PathBuf,
    /// Random bytes: the key of the store's digests, where the store is made now.
    pub key: [u8; 32],
    /// What payloads are sealed by.
    pub seals: Keyring,
    /// Measures commits.
    pub clock: Arc<dyn Clock>,
    pub on_commit: Option<OnCommit>,
}

/// A store in a file.
pub struct SqliteStore {
    identity: Identity,
    waiting: Arc<AtomicU64>,
    writer: Writer,
    readers: Arc<Readers>,
    trust: Arc<Trust>,
}

impl SqliteStore {
    /// Opens the file, takes it for this relay and brings its schema up to date. It blocks.
    pub fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        Self::try_open(options).map_err(|error| file::named(&options.path, error))
    }

    fn try_open(options: &SqliteOptions) -> Result<Self, StoreError> {
        let lock = file::lock(&options.path)?;
        let path = lock.path.clone();
        let fresh = file::inspect(&path)?;
        if fresh && lock.used {
            return Err(file::emptied(&path));
        }
        let mut conn = file::open_writer(&path, fresh)?;
        let trust = Arc::new(Trust::new(&path, Arc::clone(&options.clock)));
        if !fresh {
            let all_is_in_it = file::write_back(&conn)?;
            trust.examine(all_is_in_it)?;
        }
        migrate::migrate(&mut conn, options.key)?;
        sealed::adopt(&mut conn, &options.seals)?;
        lock.use_it()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let identity = migrate::identify(&mut conn, options.seals.clone())?;
        let seals = Arc::clone(&identity.seals);
        let waiting = Arc::new(AtomicU64::new(0));
        let writer = Writer::start(Setup {
            path: path.clone(),
            conn,
            identity: identity.clone(),
            waiting: Arc::clone(&waiting),
            clock: Arc::clone(&options.clock),
            on_commit: options.on_commit.clone(),
            trust: Arc::clone(&trust),
            lock,
        })?;
        Ok(Self {
            identity,
            waiting,
            writer,
            readers: Arc::new(Readers::new(path, (seals, Arc::clone(&trust)))),
            trust,
        })
    }

    /// Refuses what must not be put into a damaged file.
    async fn sound(&self) -> Result<(), StoreError> {
        if !self.trust.is_damaged() {
            return Ok(());
        }
        let trust = Arc::clone(&self.trust);
        let looking = tokio::task::spawn_blocking(move || trust.look_again()).await;
        looking
            .unwrap_or_else(|_| Err(StoreError::Unavailable("a look at the store failed".into())))
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn key(&self) -> &StoreKey {
        &self.identity.key
    }

    fn commons(&self) -> Option<&dyn Commons> {
        None
    }

    fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn accept(&self, plan: AcceptPlan) -> Result<AcceptOutcome, StoreError> {
        self.sound().await?;
        let write = move |batch: &mut batch::Batch<'_>| accept::accept(batch, &plan);
        self.writer.write(write).await
    }

    async fn mark_unconfirmed(
        &self,
        event: EventId,
        fields: FieldDigests,
    ) -> Result<(), StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| subjects::mark(batch, event, &fields);
        self.writer.write(write).await
    }

    async fn take_unconfirmed(&self, event: EventId) -> Result<bool, StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| subjects::take(batch, event);
        self.writer.write(write).await
    }

    async fn lease(&self, destinations: &[Name]) -> Result<Vec<Lease>, StoreError> {
        let destinations = destinations.to_vec();
        let generation = self.identity.generation;
        self.readers
            .read(move |view| lanes::lease(view, &destinations, generation))
            .await
    }

    async fn save_lane(&self, lane: LaneRecord) -> Result<(), StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| lanes::save_lane(batch, &lane);
        self.writer.write(write).await
    }

    async fn due(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
        ordered: bool,
    ) -> Result<Due, StoreError> {
        let destination = destination.clone();
        self.readers
            .read(move |view| lanes::due(view, &destination, now, limit, ordered))
            .await
    }

    async fn work(&self, delivery: DeliveryId, since: Since) -> Result<Option<Work>, StoreError> {
        self.readers
            .read(move |view| work::work(view, delivery, since))
            .await
    }

    async fn works(
        &self,
        deliveries: Vec<DeliveryId>,
        since: Since,
        bytes: usize,
    ) -> Result<HashMap<DeliveryId, Work>, StoreError> {
        self.readers
            .read(move |view| work::works(view, &deliveries, since, bytes))
            .await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| settle::settle(batch, &settlement);
        self.writer.write(write).await?
    }

    async fn release(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let destination = destination.clone();
        self.writer
            .write(move |batch| lanes::release(batch, &destination, now, limit))
            .await
    }

    async fn act(&self, act: Act) -> Result<Acts, StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| acts::act(batch, &act);
        self.writer.write(write).await
    }

    async fn begin_job(
        &self,
        task: Task,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Job, StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| jobs::begin(batch, &task, dry_run, now);
        self.writer.write(write).await
    }

    async fn jobs(&self, over: bool) -> Result<Vec<Job>, StoreError> {
        let list = move |view: &readers::View<'_>| jobs::list(&view.conn, over);
        self.readers.read(list).await
    }

    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<bool, StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| jobs::cancel(batch, id, now);
        self.writer.write(write).await
    }

    async fn move_backlog(&self, step: Move) -> Result<Moved, StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| moving::step(batch, &step);
        self.writer.write(write).await
    }

    async fn sweep(&self, sweep: Sweep<'_>) -> Result<Swept, StoreError> {
        let (keep, now, after, limit) = (sweep.keep.clone(), sweep.now, sweep.after, sweep.limit);
        let write = move |batch: &mut batch::Batch<'_>| {
            let sweep = Sweep {
                keep: &keep,
                now,
                after,
                limit,
            };
            sweep::sweep(batch, &sweep)
        };
        self.writer.write(write).await
    }

    async fn condemn(&self, whose: Whose, now: Timestamp) -> Result<Condemned, StoreError> {
        let events = match whose.clone() {
            Whose::Candidate(candidate) => {
                let find = move |view: &readers::View<'_>| erase::without_subject(view, &candidate);
                self.readers.read(find).await?
            }
            Whose::Subject { .. } | Whose::Unfinished => Vec::new(),
        };
        let write =
            move |batch: &mut batch::Batch<'_>| erase::condemn(batch, &whose, events.clone(), now);
        self.writer.write(write).await
    }

    async fn erase(&self, condemned: Condemned, now: Timestamp) -> Result<Erasure, StoreError> {
        let write = move |batch: &mut batch::Batch<'_>| erase::erase(batch, &condemned, now);
        self.writer.write(write).await
    }

    async fn forget_writes(&self) -> Result<(), StoreError> {
        self.writer.empty_log().await
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, StoreError> {
        self.readers.read(move |view| events::event(view, id)).await
    }

    async fn events(&self, filter: EventFilter, limit: Limit) -> Result<Page<Event>, StoreError> {
        let key = self.identity.key.clone();
        self.readers
            .read(move |view| events::events(view, &key, &filter, Search::of(limit)))
            .await
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        limit: Limit,
    ) -> Result<Page<Delivery>, StoreError> {
        let key = self.identity.key.clone();
        let search = Search::of(limit);
        self.readers
            .read(move |view| deliveries::deliveries(view, &key, &filter, search))
            .await
    }

    async fn tallies(&self, now: Timestamp) -> Result<Vec<Tally>, StoreError> {
        self.readers
            .read(move |view| deliveries::tallies(view, now))
            .await
    }

    async fn lacking(&self, wanted: Vec<Wanted>) -> Result<Vec<Lacking>, StoreError> {
        self.readers
            .read(move |view| kept::lacking(view, &wanted))
            .await
    }

    async fn heard(&self, asked: Vec<Listen>) -> Result<Vec<Heard>, StoreError> {
        self.readers
            .read(move |view| senders::heard(view, &asked))
            .await
    }

    async fn reseal(&self) -> Result<Resealed, StoreError> {
        let stepped = self.writer.write(|batch| sealed::step(batch)).await?;
        if stepped.done {
            self.writer.empty_log().await?;
            self.writer.write(|batch| sealed::finish(batch)).await?;
        }
        Ok(stepped)
    }

    async fn sealing(&self) -> Result<Option<Sealing>, StoreError> {
        self.readers.read(sealed::sealing).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.sound().await?;
        self.writer.write(|batch| batch.probe()).await?;
        // What was just written is in no reader's cache: this one has to reach the disk, too.
        self.readers.read(|view| batch::probed(&view.conn)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.readers.close();
        self.writer.close().await
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
