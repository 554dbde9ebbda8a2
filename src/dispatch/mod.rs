//! Lanes at work: one loop that starts attempts as rate, concurrency, order and breaker allow. All
//! scheduling state lives in this one task; attempts run beside it and report back.

mod attempt;
mod breaker;
mod command;
mod crier;
mod gate;
mod handle;
mod holder;
mod holding;
mod lane;
mod ownership;
mod request;
mod settings;
mod tokens;
mod window;

pub use attempt::Bench;
pub use crier::Crier;
pub use handle::{Handle, LaneView, Snapshot, Stopped};
pub use holder::{Holder, Holding};
pub use request::{Terms, request};
pub use settings::{BreakerPolicy, LaneSettings};
pub use tokens::Tokens;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use rand::{Rng, RngExt as _};
use serde_json::{Map, Value};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::destination::{self, Destination};
use crate::doorbell::{Listener, Ring};
use crate::model::{DeliveryId, Name, plus};
use crate::store::{Due, LaneRecord, Since, StoreError, Told, Work};
use attempt::{Attempt, Report, STORE_PAUSE};
use breaker::Change;
use command::Farewell;
use handle::Command;
use lane::{Lane, Moment, Step};
use window::WINDOW_BYTES;

/// Rings and reports taken in one go.
const BATCH: usize = 256;
/// Retries made due in one transaction when a lane recovers.
const RELEASE: usize = 1_000;

/// Each route's own template values, by the route's name.
pub type RouteValues = HashMap<Name, Map<String, Value>>;

/// A lane as configured.
#[derive(Clone, Debug)]
pub struct LaneSpec {
    pub destination: Arc<Destination>,
    pub settings: LaneSettings,
}

/// What tasks beside the loop bring back.
enum News {
    Read {
        destination: Name,
        due: Result<Due, StoreError>,
        works: HashMap<DeliveryId, Work>,
    },
    Released {
        destination: Name,
    },
}

/// The loop.
pub struct Dispatcher {
    bench: Arc<Bench>,
    routes: Arc<RouteValues>,
    lanes: BTreeMap<Name, Lane>,
    /// Every lane that is configured, whoever has it.
    specs: BTreeMap<Name, LaneSpec>,
    /// Lanes come and go, because other relays may have them.
    shared: bool,
    nudge: Arc<Notify>,
    sending: HashSet<DeliveryId>,
    /// Erased: a ring that was on its way when they were is not listened to.
    forgotten: HashSet<DeliveryId>,
    farewells: Vec<Farewell>,
    random: Box<dyn Rng + Send>,
    tasks: TaskTracker,
    listener: Listener,
    commands: mpsc::Receiver<Command>,
    desk: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    records: mpsc::UnboundedSender<LaneRecord>,
}

impl Dispatcher {
    /// A loop without lanes, and the handle that gives it some.
    pub fn new(
        bench: Bench,
        listener: Listener,
        random: Box<dyn Rng + Send>,
        tasks: TaskTracker,
    ) -> (Self, Handle) {
        let (commands, commands_in) = mpsc::channel(64);
        let (bench, nudge) = (Arc::new(bench), Arc::new(Notify::new()));
        let (records, records_in) = mpsc::unbounded_channel();
        tasks.spawn(keep_records(bench.clone(), records_in));
        let dispatcher = Self {
            shared: bench.store.commons().is_some(),
            bench,
            routes: Arc::default(),
            lanes: BTreeMap::new(),
            specs: BTreeMap::new(),
            nudge: nudge.clone(),
            sending: HashSet::new(),
            forgotten: HashSet::new(),
            farewells: Vec::new(),
            random,
            tasks,
            listener,
            commands: commands_in,
            desk: mpsc::channel(1024),
            news: mpsc::channel(64),
            records,
        };
        (dispatcher, Handle { commands, nudge })
    }

    /// Runs until `stop`; from then on nothing is started, and it ends when nothing is under way. What
    /// is dropped with it is still waiting in the store.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut rings = Vec::with_capacity(BATCH);
        let mut reports = Vec::with_capacity(BATCH);
        let clock = self.bench.clock.clone();
        loop {
            let stopping = stop.is_cancelled();
            if stopping && self.lanes.values().all(Lane::is_idle) {
                return;
            }
            let wake = if stopping {
                None
            } else {
                // What was rung while something else was seen to decides what may go out now.
                while let Some(true) = self.listener.hear(&mut rings, BATCH).now_or_never() {
                    rings.drain(..).for_each(|ring| self.ring(ring));
                }
                self.pump()
            };
            let asleep = async {
                match wake {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = self.desk.1.recv_many(&mut reports, BATCH) => {
                    for report in reports.drain(..) {
                        self.report(report);
                    }
                }
                Some(command) = self.commands.recv() => self.command(command).await,
                Some(news) = self.news.1.recv() => self.news(news),
                heard = self.listener.hear(&mut rings, BATCH), if !stopping => {
                    rings.drain(..).for_each(|ring| self.ring(ring));
                    if !heard {
                        stop.cancel();
                    }
                }
                () = stop.cancelled(), if !stopping => {}
                () = asleep => {}
            }
        }
    }

    /// Does what every lane wants done now; answers when the next of them wants something.
    fn pump(&mut self) -> Option<Timestamp> {
        let now = self.bench.clock.now();
        let mut wake: Option<Timestamp> = None;
        for (name, lane) in &mut self.lanes {
            loop {
                match lane.next(now) {
                    Step::Wait { until } => {
                        wake = [wake, until].into_iter().flatten().min();
                        break;
                    }
                    Step::Read { limit } => {
                        let ordered = lane.spec.destination.order() == destination::Order::Subject;
                        let looks_back = lane.spec.destination.looks_back();
                        let known = lane.window.known().clone();
                        let (bench, news, name) =
                            (self.bench.clone(), self.news.0.clone(), name.clone());
                        self.tasks.spawn(async move {
                            let due = bench.store.due(&name, now, limit, ordered).await;
                            // What it was sent until then decides what such a destination is sent.
                            let works = match &due {
                                Ok(due) if !looks_back => works(&bench, due, &known).await,
                                _ => HashMap::new(),
                            };
                            let read = News::Read {
                                destination: name,
                                due,
                                works,
                            };
                            let _loop_is_gone = news.send(read).await;
                        });
                    }
                    Step::Start { entry, probe } => {
                        self.sending.insert(entry.waiting.id);
                        let attempt = Attempt {
                            bench: self.bench.clone(),
                            destination: lane.spec.destination.clone(),
                            routes: self.routes.clone(),
                            fence: lane.fence,
                            until: lane.until(),
                            entry,
                            probe,
                            at: now,
                            desk: self.desk.0.clone(),
                        };
                        self.tasks.spawn(attempt.run());
                    }
                }
            }
        }
        wake
    }

    fn ring(&mut self, ring: Ring) {
        let Some(destination) = ring.destination() else {
            return self.unsure();
        };
        let lane = self.lanes.get_mut(destination);
        let Some(lane) = lane.filter(|lane| !lane.is_retired()) else {
            if self.shared {
                self.listener.is_elsewhere(&ring);
            }
            if !self.specs.contains_key(destination) {
                self.listener.is_for_nobody();
            }
            return;
        };
        match ring {
            Ring::Offer { waiting, .. } if self.forgotten.contains(&waiting.id) => {}
            Ring::Offer { waiting, work, .. } => lane.window.offer(waiting, work),
            Ring::Superseded { delivery, .. } | Ring::Afar(Told::Superseded(_, delivery)) => {
                lane.window.forget(delivery);
            }
            Ring::Look { .. } | Ring::Afar(Told::Look(_) | Told::Leases | Told::Job) => {
                lane.window.look();
            }
            Ring::Changed { .. } | Ring::Unsure | Ring::Afar(Told::Changed(_)) => {
                lane.window.reread();
            }
        }
    }

    /// Nobody knows what was written: whatever is known is read anew, wherever it is.
    fn unsure(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.window.reread();
        }
        if self.shared {
            let elsewhere = self.specs.keys();
            let elsewhere = elsewhere.filter(|name| !self.lanes.contains_key(*name));
            for destination in elsewhere {
                let destination = destination.clone();
                self.listener.is_elsewhere(&Ring::Changed { destination });
            }
        }
        self.listener.is_for_nobody();
    }

    fn report(&mut self, report: Report) {
        let now = self.bench.clock.now();
        match report {
            Report::Asked {
                destination,
                waiting,
                probe,
                begun,
                told,
                answer,
            } => {
                let unit = self.random.random::<f64>();
                let Some(lane) = self.lanes.get_mut(&destination) else {
                    return;
                };
                let (outcome, change) =
                    lane.decide(&waiting, probe, *told, Moment { begun, now, unit });
                let _attempt_is_gone = answer.send(outcome);
                self.changed(&destination, change);
            }
            Report::Done {
                destination,
                waiting,
                probe,
                outcome,
                store_failed,
            } => {
                self.sending.remove(&waiting.id);
                self.take_leave();
                let Some(lane) = self.lanes.get_mut(&destination) else {
                    return;
                };
                lane.done(&waiting, probe, outcome.as_ref());
                if store_failed {
                    lane.window.failed(plus(now, STORE_PAUSE));
                }
                if lane.is_retired() && lane.is_idle() {
                    self.lanes.remove(&destination);
                    self.nudge.notify_one();
                }
            }
        }
    }

    fn news(&mut self, news: News) {
        let now = self.bench.clock.now();
        match news {
            News::Read {
                destination,
                due,
                works,
            } => {
                let Some(lane) = self.lanes.get_mut(&destination) else {
                    return;
                };
                match due {
                    Ok(due) => lane.window.refill(due, works),
                    Err(error) => {
                        tracing::warn!(destination = &*destination, %error, "backlog cannot be read: trying on");
                        lane.window.unreadable(plus(now, STORE_PAUSE));
                    }
                }
            }
            News::Released { destination } => {
                if let Some(lane) = self.lanes.get_mut(&destination) {
                    lane.window.look();
                }
            }
        }
    }

    /// A lane got into trouble or out of it.
    fn changed(&mut self, destination: &Name, change: Change) {
        if change == Change::None {
            return;
        }
        self.keep(destination);
        self.announce(destination);
        if change == Change::Freed {
            self.release(destination);
        }
    }

    /// What waits for a retry is due at once.
    fn release(&mut self, destination: &Name) {
        let Some(lane) = self.lanes.get_mut(destination) else {
            return;
        };
        lane.freed();
        let (bench, news, destination) =
            (self.bench.clone(), self.news.0.clone(), destination.clone());
        self.tasks.spawn(async move {
            release(&bench, &destination).await;
            let _loop_is_gone = news.send(News::Released { destination }).await;
        });
    }

    fn keep(&self, destination: &Name) {
        let lane = self.lanes.get(destination);
        if let Some(lane) = lane.filter(|lane| !lane.is_lost()) {
            let _keeper_is_gone = self.records.send(lane.record(self.bench.clock.now()));
        }
    }

    fn announce(&self, destination: &Name) {
        let now = self.bench.clock.now();
        if let Some(lane) = self.lanes.get(destination) {
            let view = lane.view(now);
            self.bench
                .telemetry
                .lane(now, destination, view.state, &view.reason);
        }
    }
}

/// What the attempts at those deliveries need that are not known, as far as a window holds it: read at once, and not
/// one by one when their turn comes.
async fn works(bench: &Bench, due: &Due, known: &HashSet<DeliveryId>) -> HashMap<DeliveryId, Work> {
    let ids = due.items.iter().map(|waiting| waiting.id);
    let ids = ids.filter(|id| !known.contains(id)).collect();
    let works = bench
        .store
        .works(ids, Since::PreviousRevision, WINDOW_BYTES)
        .await;
    // Each attempt asks for its own then, and says what is wrong.
    works.unwrap_or_default()
}

/// Makes everything that waits for a retry due, in batches that let others write between.
async fn release(bench: &Bench, destination: &Name) {
    loop {
        match bench
            .store
            .release(destination, bench.clock.now(), RELEASE)
            .await
        {
            Ok(count) if count < RELEASE => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(destination = &**destination, %error, "retries keep their own time");
                return;
            }
        }
    }
}

/// Writes lane records one after the other, so that the last one is the one that stays.
async fn keep_records(bench: Arc<Bench>, mut records: mpsc::UnboundedReceiver<LaneRecord>) {
    while let Some(record) = records.recv().await {
        if let Err(error) = bench.store.save_lane(record).await {
            tracing::warn!(%error, "a lane's state was not kept: after a restart it starts healthy");
        }
    }
}
