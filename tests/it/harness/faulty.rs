//! A store that fails when a test says so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use mojito_relay::model::{
    Delivery, DeliveryId, Event, EventId, FieldDigests, JobId, Limit, Name, Page,
};
use mojito_relay::store::{
    AcceptOutcome, AcceptPlan, Act, Acts, Commons, Condemned, DeliveryFilter, Due, Erasure,
    EventDetail, EventFilter, Heard, Job, Lacking, LaneRecord, Lease, Listen, Move, Moved,
    Resealed, Sealing, Settled, Settlement, Since, Store, StoreError, StoreKey, Sweep, Swept,
    Tally, Task, Wanted, Whose, Work,
};
use tokio::sync::watch;

/// Passes everything on, but for the methods that are failing.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    failing: Mutex<HashSet<&'static str>>,
    /// Rounds of retention that are over.
    rounds: watch::Sender<usize>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            failing: Mutex::default(),
            rounds: watch::Sender::new(0),
        })
    }

    /// Rounds of retention that are over.
    pub fn rounds(&self) -> usize {
        *self.rounds.borrow()
    }

    /// Waits until so many rounds of retention are over.
    pub async fn rounds_reached(&self, count: usize) {
        let mut rounds = self.rounds.subscribe();
        let reached = rounds.wait_for(|rounds| *rounds >= count);
        let reached = tokio::time::timeout(super::PATIENCE, reached).await;
        assert!(reached.is_ok(), "retention did not get to round {count}");
    }

    /// From now on these methods fail, and no others.
    pub fn fail(&self, methods: &[&'static str]) {
        *self.failing.lock().unwrap() = methods.iter().copied().collect();
    }

    fn may(&self, method: &'static str) -> Result<(), StoreError> {
        if self.failing.lock().unwrap().contains(method) {
            return Err(StoreError::Unavailable("the disk is full".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn key(&self) -> &StoreKey {
        self.inner.key()
    }

    fn commons(&self) -> Option<&dyn Commons> {
        self.inner.commons()
    }

    fn waiting(&self) -> u64 {
        self.inner.waiting()
    }

    async fn accept(&self, plan: AcceptPlan) -> Result<AcceptOutcome, StoreError> {
        self.may("accept")?;
        self.inner.accept(plan).await
    }

    async fn mark_unconfirmed(
        &self,
        event: EventId,
        fields: FieldDigests,
    ) -> Result<(), StoreError> {
        self.may("mark_unconfirmed")?;
        self.inner.mark_unconfirmed(event, fields).await
    }

    async fn take_unconfirmed(&self, event: EventId) -> Result<bool, StoreError> {
        self.may("take_unconfirmed")?;
        self.inner.take_unconfirmed(event).await
    }

    async fn lease(&self, destinations: &[Name]) -> Result<Vec<Lease>, StoreError> {
        self.may("lease")?;
        self.inner.lease(destinations).await
    }

    async fn save_lane(&self, lane: LaneRecord) -> Result<(), StoreError> {
        self.may("save_lane")?;
        self.inner.save_lane(lane).await
    }

    async fn due(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
        ordered: bool,
    ) -> Result<Due, StoreError> {
        self.may("due")?;
        self.inner.due(destination, now, limit, ordered).await
    }

    async fn work(&self, delivery: DeliveryId, since: Since) -> Result<Option<Work>, StoreError> {
        self.may("work")?;
        self.inner.work(delivery, since).await
    }

    async fn works(
        &self,
        deliveries: Vec<DeliveryId>,
        since: Since,
        bytes: usize,
    ) -> Result<HashMap<DeliveryId, Work>, StoreError> {
        self.may("works")?;
        self.inner.works(deliveries, since, bytes).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        self.may("settle")?;
        self.inner.settle(settlement).await
    }

    async fn release(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.may("release")?;
        self.inner.release(destination, now, limit).await
    }

    async fn act(&self, act: Act) -> Result<Acts, StoreError> {
        self.may("act")?;
        self.inner.act(act).await
    }

    async fn begin_job(
        &self,
        task: Task,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Job, StoreError> {
        self.may("begin_job")?;
        self.inner.begin_job(task, dry_run, now).await
    }

    async fn jobs(&self, over: bool) -> Result<Vec<Job>, StoreError> {
        self.may("jobs")?;
        self.inner.jobs(over).await
    }

    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<bool, StoreError> {
        self.may("cancel_job")?;
        self.inner.cancel_job(id, now).await
    }

    async fn move_backlog(&self, step: Move) -> Result<Moved, StoreError> {
        self.may("move_backlog")?;
        self.inner.move_backlog(step).await
    }

    async fn sweep(&self, sweep: Sweep<'_>) -> Result<Swept, StoreError> {
        self.may("sweep")?;
        let swept = self.inner.sweep(sweep).await?;
        if swept.done {
            self.rounds.send_modify(|rounds| *rounds += 1);
        }
        Ok(swept)
    }

    async fn condemn(&self, whose: Whose, now: Timestamp) -> Result<Condemned, StoreError> {
        self.may("condemn")?;
        self.inner.condemn(whose, now).await
    }

    async fn erase(&self, condemned: Condemned, now: Timestamp) -> Result<Erasure, StoreError> {
        self.may("erase")?;
        self.inner.erase(condemned, now).await
    }

    async fn forget_writes(&self) -> Result<(), StoreError> {
        self.may("forget_writes")?;
        self.inner.forget_writes().await
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, StoreError> {
        self.may("event")?;
        self.inner.event(id).await
    }

    async fn events(&self, filter: EventFilter, limit: Limit) -> Result<Page<Event>, StoreError> {
        self.may("events")?;
        self.inner.events(filter, limit).await
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        limit: Limit,
    ) -> Result<Page<Delivery>, StoreError> {
        self.may("deliveries")?;
        self.inner.deliveries(filter, limit).await
    }

    async fn tallies(&self, now: Timestamp) -> Result<Vec<Tally>, StoreError> {
        self.may("tallies")?;
        self.inner.tallies(now).await
    }

    async fn lacking(&self, wanted: Vec<Wanted>) -> Result<Vec<Lacking>, StoreError> {
        self.may("lacking")?;
        self.inner.lacking(wanted).await
    }

    async fn heard(&self, asked: Vec<Listen>) -> Result<Vec<Heard>, StoreError> {
        self.may("heard")?;
        self.inner.heard(asked).await
    }

    async fn reseal(&self) -> Result<Resealed, StoreError> {
        self.may("reseal")?;
        self.inner.reseal().await
    }

    async fn sealing(&self) -> Result<Option<Sealing>, StoreError> {
        self.may("sealing")?;
        self.inner.sealing().await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.may("ready")?;
        self.inner.ready().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
