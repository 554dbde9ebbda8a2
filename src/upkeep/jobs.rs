//! What operators have done to deliveries: to one at once, to many as a job that goes from the oldest to
//! the newest, a part at a time, and that a restart does not end.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Duty, Lanes};
use crate::clock::Clock;
use crate::doorbell::{Doorbell, Ring};
use crate::model::{Cursor, DeliveryId, EventId, JobState, Limit, Name, Refusal, State, plus};
use crate::store::{
    Act, Acted, Acts, DeliveryFilter, Done, EventDetail, EventFilter, Job, NewDelivery, Planned,
    Replay, Store, StoreError, Task, Told, Turn, What,
};
use crate::telemetry::Telemetry;

/// Deliveries of one part: some milliseconds of the store's time.
const PART: Limit = Limit::new(200).expect("a page");
/// Events of one part of a reroute: each is read with all that is known of it.
const EVENTS: Limit = Limit::new(50).expect("a page");
/// Before the store is asked again, or whether there is room.
const PAUSE: Duration = Duration::from_secs(1);
/// What a discarded delivery says.
const DISCARDED: &str = "discarded by an operator";

/// What the rules in force say, for whoever holds none.
pub trait Rulebook: Send + Sync {
    /// Destinations that want the latest revision alone.
    fn latest(&self) -> HashSet<Name>;

    /// The deliveries that a kept event would get if it came now, or why that cannot be said.
    fn reroute(
        &self,
        kept: &EventDetail,
        previous: Option<&EventDetail>,
    ) -> Result<Vec<NewDelivery>, Refusal>;
}

/// Does what operators ask.
pub struct Jobs {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub telemetry: Arc<Telemetry>,
    pub doorbell: Doorbell,
    pub lanes: Arc<dyn Lanes>,
    pub rulebook: Arc<dyn Rulebook>,
    /// Waiting deliveries above which a job adds no more: senders come first.
    pub room: u64,
    pub begun: Arc<Notify>,
    pub duty: Duty,
}

impl Jobs {
    /// Sends a final delivery again, where nothing speaks against it.
    pub async fn replay(&self, id: DeliveryId, how: &Asked) -> Result<Acted, StoreError> {
        let deliveries = vec![id];
        let how = self.how(how).await?;
        self.one(What::Replay { deliveries, how }).await
    }

    /// Ends a delivery that waits.
    pub async fn discard(&self, id: DeliveryId) -> Result<Acted, StoreError> {
        let what = self.discards(vec![id]).await?;
        self.one(what).await
    }

    /// Begins a job; how it goes on is asked for by its id.
    pub async fn begin(&self, task: Task, dry_run: bool) -> Result<Job, StoreError> {
        let job = self
            .store
            .begin_job(task, dry_run, self.clock.now())
            .await?;
        self.begun.notify_one();
        if let Some(commons) = self.store.commons() {
            // Where nobody hears it, it is found by looking.
            let _found_later = commons.cry(vec![Told::Job]).await;
        }
        Ok(job)
    }

    /// Works on jobs until `stop`, a part at a time: those that count go first, because somebody waits for
    /// them, then the oldest that has room.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut duty = self.duty.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = duty.ours() => {}
            }
            let outcome = self.work().await;
            let pause = async {
                match outcome {
                    Ok(Next::Part) => return,
                    Ok(Next::Nothing) if !duty.is_shared() => return self.begun.notified().await,
                    // Another relay may have begun one.
                    Ok(Next::Nothing | Next::NoRoom) => {}
                    Err(error) => tracing::warn!(%error, "jobs wait for the store"),
                }
                tokio::select! {
                    () = self.begun.notified() => {}
                    () = self.clock.idle(PAUSE) => {}
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = pause => {}
            }
        }
    }

    /// Does a part of the job whose turn it is.
    async fn work(&self) -> Result<Next, StoreError> {
        let running = self.store.jobs(false).await?;
        let can = running.iter().filter(|job| !self.waits_for_room(job));
        let Some(job) = can.min_by_key(|job| (!job.dry_run, job.id)) else {
            return Ok(match running.as_slice() {
                [] => Next::Nothing,
                _ => Next::NoRoom,
            });
        };
        self.part(job).await?;
        Ok(Next::Part)
    }

    /// Whether it stands still because so much waits that senders would be turned away.
    pub fn waits_for_room(&self, job: &Job) -> bool {
        let adds = !job.dry_run && !matches!(job.task, Task::Discard { .. });
        job.state == JobState::Running && adds && self.store.waiting() >= self.room
    }

    async fn one(&self, what: What) -> Result<Acted, StoreError> {
        let act = Act {
            what,
            now: self.clock.now(),
            dry_run: false,
            turn: None,
        };
        let acts = self.act(act).await?;
        self.tell(&acts);
        let acted = acts.all.into_iter().next();
        Ok(acted.expect("one was asked for, and one is answered for"))
    }

    /// One part of a job.
    async fn part(&self, job: &Job) -> Result<(), StoreError> {
        let (what, turn) = match &job.task {
            Task::Replay {
                filter,
                force,
                new_id,
            } => {
                let (deliveries, turn) = self.page(job, filter).await?;
                let asked = Asked {
                    force: *force,
                    new_id: *new_id,
                };
                let how = self.how(&asked).await?;
                (What::Replay { deliveries, how }, turn)
            }
            Task::Discard { filter } => {
                let (deliveries, turn) = self.page(job, filter).await?;
                (self.discards(deliveries).await?, turn)
            }
            Task::Reroute { filter } => self.planned(job, filter).await?,
        };
        let act = Act {
            what,
            now: self.clock.now(),
            dry_run: job.dry_run,
            turn: Some(turn),
        };
        let acts = self.act(act).await?;
        if !job.dry_run {
            self.tell(&acts);
        }
        if acts.over {
            tracing::info!(job = %job.id, "a job is over; `relay jobs` tells what it did");
        }
        Ok(())
    }

    /// The next deliveries of a job.
    async fn page(
        &self,
        job: &Job,
        filter: &DeliveryFilter,
    ) -> Result<(Vec<DeliveryId>, Turn), StoreError> {
        let filter = DeliveryFilter {
            until: Some(until(job, filter.until)),
            cursor: job.place,
            oldest_first: true,
            ..filter.clone()
        };
        let page = self.store.deliveries(filter, PART).await?;
        let turn = turn(job, page.items.len(), page.next, {
            page.items.last().map(|last| last.created_at)
        });
        let ids = page.items.into_iter().map(|delivery| delivery.id);
        Ok((ids.collect(), turn))
    }

    /// The next events of a job with what they are to get, by the rules in force now.
    async fn planned(&self, job: &Job, filter: &EventFilter) -> Result<(What, Turn), StoreError> {
        let filter = EventFilter {
            until: Some(until(job, filter.until)),
            cursor: job.place,
            oldest_first: true,
            ..filter.clone()
        };
        let page = self.store.events(filter, EVENTS).await?;
        let turn = turn(job, page.items.len(), page.next, {
            page.items.last().map(|last| last.received_at)
        });
        let mut events = Vec::with_capacity(page.items.len());
        for event in page.items {
            events.push(self.plan(event.id).await?);
        }
        let latest = Arc::new(self.rulebook.latest());
        Ok((What::Create { events, latest }, turn))
    }

    async fn plan(&self, event: EventId) -> Result<Planned, StoreError> {
        let Some(kept) = self.store.event(event).await? else {
            let deliveries = Err(Refusal::Unknown);
            return Ok(Planned { event, deliveries });
        };
        let previous = match before(&kept) {
            Some(previous) => self.store.event(previous).await?,
            None => None,
        };
        let mut deliveries = self.rulebook.reroute(&kept, previous.as_ref());
        if let Ok(wanted) = &mut deliveries {
            wanted.retain(|new| {
                let mut has = kept.deliveries.iter();
                !has.any(|one| one.destination == new.destination)
            });
        }
        Ok(Planned { event, deliveries })
    }

    async fn how(&self, asked: &Asked) -> Result<Replay, StoreError> {
        Ok(Replay {
            force: asked.force,
            new_id: asked.new_id,
            latest: Arc::new(self.rulebook.latest()),
            sending: self.sending().await?,
        })
    }

    async fn discards(&self, deliveries: Vec<DeliveryId>) -> Result<What, StoreError> {
        Ok(What::Discard {
            deliveries,
            sending: self.sending().await?,
            reason: DISCARDED.to_owned(),
        })
    }

    async fn sending(&self) -> Result<HashSet<DeliveryId>, StoreError> {
        self.lanes.sending().await.ok_or(StoreError::Closed)
    }

    /// Has something done; where the store fails in it, the lanes see for themselves what was.
    async fn act(&self, act: Act) -> Result<Acts, StoreError> {
        let acts = self.store.act(act).await;
        if acts.is_err() {
            self.doorbell.ring(Ring::Unsure);
        }
        acts
    }

    /// Tells the lanes, and everybody who watches, what was done.
    fn tell(&self, acts: &Acts) {
        let mut look = BTreeSet::new();
        for acted in &acts.all {
            let (Ok(done), Some(destination)) = (acted.outcome, &acted.destination) else {
                continue;
            };
            match done {
                Done::Waiting => {
                    look.insert(destination.clone());
                }
                Done::Ended(state) => self.ended(acted.id, destination, state),
            }
        }
        for (destination, delivery) in &acts.superseded {
            self.ended(*delivery, destination, State::Superseded);
        }
        for destination in look {
            self.doorbell.ring(Ring::Changed { destination });
        }
    }

    fn ended(&self, delivery: DeliveryId, destination: &Name, state: State) {
        self.telemetry.ended(delivery, destination, state);
        self.doorbell.ring(Ring::Superseded {
            destination: destination.clone(),
            delivery,
        });
    }
}

/// How a replay was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Also what is too late by a newer revision.
    pub force: bool,
    /// Under another `webhook-id`.
    pub new_id: bool,
}

/// What there was to do.
enum Next {
    Part,
    Nothing,
    /// So much waits that senders would be turned away.
    NoRoom,
}

/// What came after a job was begun is none of its business.
fn until(job: &Job, asked: Option<Timestamp>) -> Timestamp {
    let begun = plus(job.created_at, Duration::from_millis(1));
    asked.unwrap_or(begun).min(begun)
}

fn turn(job: &Job, looked_at: usize, next: Option<Cursor>, reached: Option<Timestamp>) -> Turn {
    Turn {
        job: job.id,
        looked_at: looked_at as u64,
        next,
        reached,
    }
}

/// The revision before an event's own.
fn before(detail: &EventDetail) -> Option<EventId> {
    let own = detail.event.revision;
    let mut revisions = detail.revisions.iter();
    let before = revisions.find(|one| one.revision + 1 == own)?;
    Some(before.event)
}
