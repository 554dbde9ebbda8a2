//! The store in a `PostgreSQL` database, which several relays may share: the tables are those of the one in a file, and
//! what is on the way of every event is one statement, a function that the migrations make.

mod accept;
mod acts;
mod calls;
mod change;
mod commons;
mod create;
mod deliveries;
mod erase;
mod events;
mod fault;
mod import;
mod jobs;
mod kept;
mod lanes;
mod migrate;
mod moving;
mod pool;
mod rows;
mod sealed;
mod senders;
mod settle;
mod sweep;
mod tls;
mod url;
mod work;
mod writer;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use import::Target;
pub use url::{BadUrl, PostgresUrl};

use super::paging::Search;
use super::{
    AcceptOutcome, AcceptPlan, Act, Acts, Commons, Condemned, DeliveryFilter, Due, Erasure,
    EventDetail, EventFilter, Fence, Heard, Held, Job, Keyring, Lacking, LaneRecord, Lease, Listen,
    Move, Moved, OnCommit, Presence, Resealed, Roll, Sealing, Settled, Settlement, Since, Store,
    StoreError, StoreKey, Sweep, Swept, Tally, Task, Told, Wanted, Whose, Work,
};
use crate::clock::Clock;
use crate::model::{Delivery, DeliveryId, Event, EventId, FieldDigests, JobId, Limit, Name, Page};
use fault::Fault;
use migrate::Identity;
use pool::Pools;
use writer::{Setup, Writer};

/// Bytes of a subject's digest that its row is found by: enough that no two are alike.
const DIGEST: usize = 16;

/// What a store in a database is opened with.
#[derive(Clone)]
pub struct PostgresOptions {
    pub url: PostgresUrl,
    /// Random bytes: the key of the store's digests, where the store is made now.
    pub key: [u8; 32],
    /// What payloads are sealed by.
    pub seals: Keyring,
    /// What this relay is called among those that share the store.
    pub name: String,
    /// Measures commits, and tells when the database is too slow to renew a lease.
    pub clock: Arc<dyn Clock>,
    pub on_commit: Option<OnCommit>,
}

/// A store in a database.
pub struct PostgresStore {
    shared: Shared,
    /// Ends listening.
    stop: DropGuard,
}

/// What all questions and writes work with.
struct Shared {
    identity: Identity,
    pools: Arc<Pools>,
    writer: Writer,
    waiting: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    url: PostgresUrl,
    schema: String,
    /// What this relay is called.
    name: String,
    /// A digest of the destinations that it said last that it knows.
    announced: Mutex<Option<i64>>,
    listening: TaskTracker,
    /// What listens now.
    ear: Mutex<Option<tokio_postgres::Client>>,
}

impl Shared {
    /// The connection that listens from now on.
    fn keep_ear(&self, client: tokio_postgres::Client) {
        if let Ok(mut ear) = self.ear.lock() {
            *ear = Some(client);
        }
    }

    /// What other relays wrote shows in it with the next write here, or the next count.
    fn note_waiting(&self, waiting: u64) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }
}

/// Looks at a store's place without opening it; answers how it is.
pub async fn look(url: &PostgresUrl) -> Result<String, StoreError> {
    let pools = Pools::new(url)?;
    let mut client = pools.readers.get().await.map_err(Fault::from)?;
    let tx = pool::look(&mut client).await?;
    migrate::look(&tx, &url.schema).await
}

/// Names the place in what went wrong with it.
fn named(url: &PostgresUrl, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(what) => StoreError::Unavailable(format!("{url}: {what}")),
        StoreError::Corrupt(what) => StoreError::Corrupt(format!("{url}: {what}")),
        other => other,
    }
}

impl PostgresStore {
    /// Connects, and brings the schema up to date. Errors name the place, and neither user nor password.
    pub async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let opened = Self::try_open(options).await;
        opened.map_err(|error| named(&options.url, error))
    }

    async fn try_open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let pools = Arc::new(Pools::new(&options.url)?);
        let identity = {
            let mut client = pools.writers.get().await.map_err(Fault::from)?;
            let tx = client.transaction().await.map_err(Fault::from)?;
            let seals = options.seals.clone();
            let identity = migrate::open(&tx, &options.url.schema, options.key, seals).await?;
            tx.commit().await.map_err(Fault::from)?;
            identity
        };
        let waiting = Arc::new(AtomicU64::new(0));
        let writer = Writer::start(Setup {
            pools: Arc::clone(&pools),
            slot: identity.slot,
            patience: options.url.statement_timeout + Duration::from_secs(5),
            waiting: Arc::clone(&waiting),
            clock: Arc::clone(&options.clock),
            on_commit: options.on_commit.clone(),
        });
        let shared = Shared {
            identity,
            pools,
            writer,
            waiting,
            clock: Arc::clone(&options.clock),
            schema: options.url.schema.clone(),
            url: options.url.clone(),
            name: options.name.clone(),
            announced: Mutex::default(),
            listening: TaskTracker::new(),
            ear: Mutex::default(),
        };
        deliveries::tallies(&shared, options.clock.now()).await?;
        Ok(Self {
            shared,
            stop: CancellationToken::new().drop_guard(),
        })
    }

    /// Takes dead rows out of the tables that hold what came from senders and receivers.
    async fn vacuum(&self) -> Result<(), Fault> {
        let client = self.shared.pools.writers.get().await?;
        // Not of use for anything else: without its time limit.
        let client = Object::take(client);
        client.batch_execute("SET statement_timeout TO 0").await?;
        for table in [
            "subject",
            "event",
            "payload",
            "delivery",
            "attempt",
            "candidate",
            "unconfirmed",
            "receipt",
            "job",
            "lane",
        ] {
            let vacuum = format!("VACUUM (INDEX_CLEANUP ON) {table}");
            client.batch_execute(&vacuum).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn key(&self) -> &StoreKey {
        &self.shared.identity.key
    }

    fn commons(&self) -> Option<&dyn Commons> {
        Some(self)
    }

    fn waiting(&self) -> u64 {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    async fn accept(&self, plan: AcceptPlan) -> Result<AcceptOutcome, StoreError> {
        accept::accept(&self.shared, &plan).await
    }

    async fn mark_unconfirmed(
        &self,
        event: EventId,
        fields: FieldDigests,
    ) -> Result<(), StoreError> {
        settle::mark(&self.shared, event, &fields).await
    }

    async fn take_unconfirmed(&self, event: EventId) -> Result<bool, StoreError> {
        settle::take(&self.shared, event).await
    }

    async fn lease(&self, destinations: &[Name]) -> Result<Vec<Lease>, StoreError> {
        lanes::lease(&self.shared, destinations).await
    }

    async fn save_lane(&self, lane: LaneRecord) -> Result<(), StoreError> {
        self.shared.change(&lane).await
    }

    async fn due(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
        ordered: bool,
    ) -> Result<Due, StoreError> {
        Ok(lanes::due(&self.shared, destination, now, (limit, ordered)).await?)
    }

    async fn work(&self, delivery: DeliveryId, since: Since) -> Result<Option<Work>, StoreError> {
        Ok(work::work(&self.shared, delivery, since).await?)
    }

    async fn works(
        &self,
        deliveries: Vec<DeliveryId>,
        since: Since,
        bytes: usize,
    ) -> Result<HashMap<DeliveryId, Work>, StoreError> {
        work::works(&self.shared, &deliveries, since, bytes).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        settle::settle(&self.shared, &settlement).await
    }

    async fn release(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let destination = destination.clone();
        let release = lanes::Release {
            destination,
            now,
            limit,
        };
        self.shared.change(&release).await
    }

    async fn act(&self, act: Act) -> Result<Acts, StoreError> {
        self.shared.change(&act).await
    }

    async fn begin_job(
        &self,
        task: Task,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Job, StoreError> {
        let begin = jobs::Begin { task, dry_run, now };
        self.shared.change(&begin).await
    }

    async fn jobs(&self, over: bool) -> Result<Vec<Job>, StoreError> {
        Ok(jobs::list(&self.shared, over).await?)
    }

    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<bool, StoreError> {
        self.shared.change(&jobs::Cancel { id, now }).await
    }

    async fn move_backlog(&self, step: Move) -> Result<Moved, StoreError> {
        self.shared.change(&step).await
    }

    async fn sweep(&self, sweep: Sweep<'_>) -> Result<Swept, StoreError> {
        self.shared.change(&sweep::Step::of(&sweep)).await
    }

    async fn condemn(&self, whose: Whose, now: Timestamp) -> Result<Condemned, StoreError> {
        self.shared.change(&erase::Condemn { whose, now }).await
    }

    async fn erase(&self, condemned: Condemned, now: Timestamp) -> Result<Erasure, StoreError> {
        self.shared.change(&erase::Erase { condemned, now }).await
    }

    async fn forget_writes(&self) -> Result<(), StoreError> {
        Ok(self.vacuum().await?)
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, StoreError> {
        Ok(events::event(&self.shared, id).await?)
    }

    async fn events(&self, filter: EventFilter, limit: Limit) -> Result<Page<Event>, StoreError> {
        Ok(events::events(&self.shared, &filter, Search::of(limit)).await?)
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        limit: Limit,
    ) -> Result<Page<Delivery>, StoreError> {
        Ok(deliveries::deliveries(&self.shared, &filter, Search::of(limit)).await?)
    }

    async fn tallies(&self, now: Timestamp) -> Result<Vec<Tally>, StoreError> {
        Ok(deliveries::tallies(&self.shared, now).await?)
    }

    async fn lacking(&self, wanted: Vec<Wanted>) -> Result<Vec<Lacking>, StoreError> {
        Ok(kept::lacking(&self.shared, &wanted).await?)
    }

    async fn heard(&self, asked: Vec<Listen>) -> Result<Vec<Heard>, StoreError> {
        Ok(senders::heard(&self.shared, &asked).await?)
    }

    async fn reseal(&self) -> Result<Resealed, StoreError> {
        let stepped = self.shared.change(&sealed::Step).await?;
        if stepped.done {
            self.vacuum().await?;
            self.shared.change(&sealed::Finish).await?;
        }
        Ok(stepped)
    }

    async fn sealing(&self) -> Result<Option<Sealing>, StoreError> {
        Ok(sealed::sealing(&self.shared).await?)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        settle::probe(&self.shared).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.writer.close().await;
        self.stop.token().cancel();
        self.shared.listening.close();
        self.shared.listening.wait().await;
        // Where it fails the leases run out by themselves.
        drop(self.shared.change(&commons::Leave).await);
        self.shared.pools.close();
        Ok(())
    }
}

#[async_trait]
impl Commons for PostgresStore {
    async fn hold(&self, presence: Presence) -> Result<Held, StoreError> {
        Ok(commons::hold(&self.shared, &presence).await?)
    }

    async fn take(&self, lanes: &[Name]) -> Result<Vec<Lease>, StoreError> {
        lanes::take(&self.shared, lanes).await
    }

    async fn let_go(&self, lanes: Vec<(Name, Fence)>) -> Result<(), StoreError> {
        self.shared.change(&commons::GiveBack(lanes)).await
    }

    async fn wish(&self, lane: &Name, paused: bool) -> Result<(), StoreError> {
        let lane = lane.clone();
        self.shared.change(&commons::Wish { lane, paused }).await
    }

    async fn ask_to_clear(&self) -> Result<u64, StoreError> {
        self.shared.change(&commons::AskToClear).await
    }

    async fn uncleared(&self, number: u64) -> Result<usize, StoreError> {
        Ok(commons::uncleared(&self.shared, number).await?)
    }

    async fn roll(&self) -> Result<Roll, StoreError> {
        Ok(commons::roll(&self.shared).await?)
    }

    async fn cry(&self, news: Vec<Told>) -> Result<(), StoreError> {
        Ok(calls::cry(&self.shared, &news).await?)
    }

    async fn listen(&self) -> Result<mpsc::Receiver<Told>, StoreError> {
        calls::listen(&self.shared, self.stop.token().clone()).await
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
