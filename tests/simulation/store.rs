//! The real store, with a gate before each of its methods and a model that hears what was written.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

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

use crate::gate::Gate;

pub struct Gated {
    pub inner: Arc<dyn Store>,
    pub gate: Arc<Gate>,
}

impl Gated {
    async fn pass<T>(
        &self,
        what: impl Into<String>,
        run: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.gate.store(what.into(), run).await
    }

    /// Which of what waited was moved is nobody's to say but the store's.
    async fn moved(&self, step: &Move) -> Result<(), StoreError> {
        let waiting = |id: &DeliveryId, at: &Name| *at == step.from && !step.except.contains(id);
        let ids: Vec<DeliveryId> = {
            let model = self.gate.model();
            let here = model
                .waiting()
                .filter(|(id, one)| waiting(id, &one.destination));
            here.map(|(id, _)| *id).collect()
        };
        for id in ids {
            let detail = self.inner.event(id.event).await?;
            let mut rows = detail.into_iter().flat_map(|detail| detail.deliveries);
            let found = rows.find(|one| one.id == id).expect("it was there");
            self.gate.model().moved(id, &found, &step.to);
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Gated {
    fn key(&self) -> &StoreKey {
        self.inner.key()
    }

    fn commons(&self) -> Option<&dyn Commons> {
        // One relay at a time in here, so that a seed decides all that happens.
        None
    }

    fn waiting(&self) -> u64 {
        self.inner.waiting()
    }

    async fn accept(&self, plan: AcceptPlan) -> Result<AcceptOutcome, StoreError> {
        let what = format!("accept {} revision {}", plan.event.id, plan.event.revision);
        self.pass(what, async {
            let outcome = self.inner.accept(plan.clone()).await?;
            if let AcceptOutcome::Accepted(accepted) = &outcome {
                self.gate.model().accepted(&plan, accepted);
            }
            Ok(outcome)
        })
        .await
    }

    async fn mark_unconfirmed(
        &self,
        event: EventId,
        fields: FieldDigests,
    ) -> Result<(), StoreError> {
        self.pass("mark_unconfirmed", async {
            self.gate.model().unconfirmed.insert(event);
            self.inner.mark_unconfirmed(event, fields).await
        })
        .await
    }

    async fn take_unconfirmed(&self, event: EventId) -> Result<bool, StoreError> {
        self.pass("take_unconfirmed", self.inner.take_unconfirmed(event))
            .await
    }

    async fn lease(&self, destinations: &[Name]) -> Result<Vec<Lease>, StoreError> {
        self.pass("lease", async {
            let leases = self.inner.lease(destinations).await?;
            for Lease { lane, .. } in &leases {
                self.gate.model().stands(&lane.destination, lane.state);
            }
            Ok(leases)
        })
        .await
    }

    async fn save_lane(&self, lane: LaneRecord) -> Result<(), StoreError> {
        let what = format!("save_lane {} {}", lane.destination, lane.state);
        self.pass(what, self.inner.save_lane(lane)).await
    }

    async fn due(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
        ordered: bool,
    ) -> Result<Due, StoreError> {
        let due = self.inner.due(destination, now, limit, ordered);
        self.pass(format!("due {destination}"), due).await
    }

    async fn work(&self, delivery: DeliveryId, since: Since) -> Result<Option<Work>, StoreError> {
        self.gate.model().begun(delivery);
        let work = self.inner.work(delivery, since);
        let work = self.pass(format!("work {delivery}"), work).await;
        if !matches!(work, Ok(Some(_))) {
            self.gate.model().not_sent(delivery);
        }
        work
    }

    async fn works(
        &self,
        deliveries: Vec<DeliveryId>,
        since: Since,
        bytes: usize,
    ) -> Result<HashMap<DeliveryId, Work>, StoreError> {
        let what = format!("works of {}", deliveries.len());
        self.pass(what, self.inner.works(deliveries, since, bytes))
            .await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        self.pass(format!("settle {}", settlement.delivery), async {
            let settled = self.inner.settle(settlement.clone()).await?;
            self.gate.model().settled(&settlement, settled.state);
            Ok(settled)
        })
        .await
    }

    async fn release(
        &self,
        destination: &Name,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let release = self.inner.release(destination, now, limit);
        self.pass(format!("release {destination}"), release).await
    }

    async fn act(&self, act: Act) -> Result<Acts, StoreError> {
        self.pass("act", async {
            let dry_run = act.dry_run;
            let acts = self.inner.act(act).await?;
            if !dry_run {
                self.gate.model().acted(&acts);
            }
            Ok(acts)
        })
        .await
    }

    async fn begin_job(
        &self,
        task: Task,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Job, StoreError> {
        self.pass("begin_job", self.inner.begin_job(task, dry_run, now))
            .await
    }

    async fn jobs(&self, over: bool) -> Result<Vec<Job>, StoreError> {
        self.pass("jobs", self.inner.jobs(over)).await
    }

    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<bool, StoreError> {
        self.pass("cancel_job", self.inner.cancel_job(id, now))
            .await
    }

    async fn move_backlog(&self, step: Move) -> Result<Moved, StoreError> {
        self.pass(format!("move {} to {}", step.from, step.to), async {
            let moved = self.inner.move_backlog(step.clone()).await?;
            self.moved(&step).await?;
            Ok(moved)
        })
        .await
    }

    async fn sweep(&self, sweep: Sweep<'_>) -> Result<Swept, StoreError> {
        self.pass("sweep", self.inner.sweep(sweep)).await
    }

    async fn condemn(&self, whose: Whose, now: Timestamp) -> Result<Condemned, StoreError> {
        self.pass("condemn", self.inner.condemn(whose, now)).await
    }

    async fn erase(&self, condemned: Condemned, now: Timestamp) -> Result<Erasure, StoreError> {
        self.pass("erase", self.inner.erase(condemned, now)).await
    }

    async fn forget_writes(&self) -> Result<(), StoreError> {
        self.pass("forget_writes", self.inner.forget_writes()).await
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, StoreError> {
        self.pass("event", self.inner.event(id)).await
    }

    async fn events(&self, filter: EventFilter, limit: Limit) -> Result<Page<Event>, StoreError> {
        self.pass("events", self.inner.events(filter, limit)).await
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        limit: Limit,
    ) -> Result<Page<Delivery>, StoreError> {
        self.pass("deliveries", self.inner.deliveries(filter, limit))
            .await
    }

    async fn tallies(&self, now: Timestamp) -> Result<Vec<Tally>, StoreError> {
        self.pass("tallies", self.inner.tallies(now)).await
    }

    async fn lacking(&self, wanted: Vec<Wanted>) -> Result<Vec<Lacking>, StoreError> {
        // Files were read before, on another thread.
        self.gate.reading.store(false, Ordering::Relaxed);
        self.pass("lacking", self.inner.lacking(wanted)).await
    }

    async fn heard(&self, asked: Vec<Listen>) -> Result<Vec<Heard>, StoreError> {
        self.pass("heard", self.inner.heard(asked)).await
    }

    async fn reseal(&self) -> Result<Resealed, StoreError> {
        self.pass("reseal", self.inner.reseal()).await
    }

    async fn sealing(&self) -> Result<Option<Sealing>, StoreError> {
        self.pass("sealing", self.inner.sealing()).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.pass("ready", self.inner.ready()).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
