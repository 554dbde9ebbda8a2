//! The task that keeps a relay's lanes, where several share a store: about once a second it says that the relay is alive,
//! takes lanes that are to be here, and has those given back that are to be elsewhere.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::{Handle, Stopped};
use super::holding::{Have, Order};
use super::ownership::{self, Scene};
use crate::clock::Clock;
use crate::model::Name;
use crate::store::{Commons, Fence, Held, LEASE, Presence, Store, StoreError, Told, UPKEEP, Whose};

/// How often the relay says that it is alive.
const TICK: Duration = Duration::from_millis(750);
/// News that come at once are one.
const GATHER: Duration = Duration::from_millis(30);
/// What a lease is taken for: clocks may run unlike each other.
const SURE: Duration = LEASE.saturating_sub(Duration::from_millis(200));
/// Ticks between two looks at the lanes' backlogs, where the other relays can be heard.
const LOOK: u32 = 6;

/// What the holder works with.
pub struct Holding {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub lanes: Handle,
    /// Whether the other relays can be heard.
    pub hears: Arc<AtomicBool>,
    pub tasks: TaskTracker,
    /// The relay begins to end.
    pub leaving: CancellationToken,
}

/// Keeps the lanes.
pub struct Holder {
    with: Holding,
    /// Whether what one relay does for all is this one's to do.
    duty: watch::Sender<bool>,
    until: Duration,
    /// Wishes that were carried out, and are to be taken away.
    obeyed: BTreeSet<u64>,
    cleared: Arc<AtomicU64>,
    clearing: u64,
    /// Held, and not known to the loop: the one who needed it may have done with it by the next time.
    strays: HashSet<Name>,
    ticks: u32,
    failing: bool,
}

impl Holder {
    /// Also answers what tells whether the work that one relay does for all is to be done here.
    pub fn new(with: Holding) -> (Self, watch::Receiver<bool>) {
        let (duty, on_duty) = watch::channel(false);
        let holder = Self {
            with,
            duty,
            until: Duration::ZERO,
            obeyed: BTreeSet::new(),
            cleared: Arc::default(),
            clearing: 0,
            strays: HashSet::new(),
            ticks: 0,
            failing: false,
        };
        (holder, on_duty)
    }

    /// The first time, so that lanes are there before the doors open.
    pub async fn begin(&mut self) {
        let _shutting_down_already = self.tick().await;
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut left = false;
        loop {
            let clock = &self.with.clock;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.with.leaving.cancelled(), if !left => left = true,
                () = clock.idle(TICK) => {}
                () = self.with.lanes.nudge.notified() => {
                    clock.idle(GATHER).await;
                }
            }
            let ticked = tokio::select! {
                () = stop.cancelled() => return,
                ticked = self.tick() => ticked,
            };
            if ticked.is_err() {
                // Nothing is under way any more; the store is let go with all that is held.
                stop.cancelled().await;
                return;
            }
        }
    }

    async fn tick(&mut self) -> Result<(), Stopped> {
        let store = self.with.store.clone();
        let Some(commons) = store.commons() else {
            return Ok(());
        };
        let have = self.with.lanes.have().await?;
        let presence = Presence {
            knows: have.knows.clone(),
            leaving: self.with.leaving.is_cancelled(),
            cleared: self.cleared.load(Ordering::Acquire),
            obeyed: self.obeyed.iter().copied().collect(),
        };
        // Counted from before it was asked: the store counts from later.
        let sent = self.with.clock.monotonic();
        let held = match commons.hold(presence).await {
            Ok(held) => held,
            Err(error) => {
                self.failed(&error);
                return Ok(());
            }
        };
        self.failing = false;
        self.until = sent + SURE;
        self.clear(held.clear);
        let freed = self.share_out(commons, (held, have)).await?;
        if !freed.is_empty() {
            let giving = async {
                commons.let_go(freed).await?;
                commons.cry(vec![Told::Leases]).await
            };
            if let Err(error) = self.in_time(giving).await {
                tracing::debug!(%error, "lanes are given back later");
            }
        }
        Ok(())
    }

    /// Takes and gives, and answers what nobody here needs any more.
    async fn share_out(
        &mut self,
        commons: &dyn Commons,
        (held, have): (Held, Have),
    ) -> Result<Vec<(Name, Fence)>, Stopped> {
        let kept: HashMap<Name, Fence> = held
            .lanes
            .iter()
            .map(|lane| (lane.destination.clone(), lane.fence))
            .collect();
        let mut here = have.lanes;
        here.extend(kept.contains_key(UPKEEP).then(|| UPKEEP.into()));
        let plan = ownership::plan(&Scene {
            own: held.own,
            replicas: &held.replicas,
            knows: &have.knows,
            here: &here,
        });
        let mut taken = Vec::new();
        if !plan.take.is_empty() {
            let taking = self.in_time(commons.take(&plan.take)).await;
            taken = taking.unwrap_or_else(|error| {
                tracing::debug!(%error, "lanes are taken later");
                Vec::new()
            });
        }
        let mut all = kept.clone();
        all.extend(
            taken
                .iter()
                .map(|lease| (lease.lane.destination.clone(), lease.fence)),
        );
        let upkeep_is_here =
            all.contains_key(UPKEEP) && !plan.give.iter().any(|name| **name == *UPKEEP);
        self.duty
            .send_if_modified(|duty| std::mem::replace(duty, upkeep_is_here) != upkeep_is_here);
        self.ticks = self.ticks.wrapping_add(1);
        let order = Order {
            until: self.until,
            kept,
            taken,
            give: plan.give.into_iter().collect(),
            wishes: self.wishes(&held),
            look: self.ticks.is_multiple_of(LOOK) || !self.with.hears.load(Ordering::Relaxed),
        };
        let mut needed = self.with.lanes.hold(order).await?.lanes;
        needed.extend(upkeep_is_here.then(|| UPKEEP.into()));
        all.retain(|name, _| !needed.contains(name));
        Ok(self.freed(all, &here))
    }

    /// Waits for no lock and no connection for so long that what this relay has might run out. What is done all the same
    /// shows the next time.
    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        tokio::select! {
            answer = asked => answer,
            () = self.with.clock.idle(TICK) => Err(StoreError::Unavailable("it takes too long".to_owned())),
        }
    }

    /// What the loop had is free as soon as it has it no more; anything else the next time.
    fn freed(
        &mut self,
        unneeded: HashMap<Name, Fence>,
        here: &HashSet<Name>,
    ) -> Vec<(Name, Fence)> {
        let strays = std::mem::take(&mut self.strays);
        let mut freed = Vec::new();
        for (name, fence) in unneeded {
            if strays.contains(&name) || (here.contains(&name) && *name != *UPKEEP) {
                freed.push((name, fence));
            } else {
                self.strays.insert(name);
            }
        }
        freed
    }

    /// Wishes that are new. Those that were carried out before are taken away by now.
    fn wishes(&mut self, held: &Held) -> Vec<(Name, bool)> {
        let before = std::mem::take(&mut self.obeyed);
        let mut wishes = Vec::new();
        for lane in &held.lanes {
            if let Some((number, paused)) = lane.wish {
                if !before.contains(&number) {
                    wishes.push((lane.destination.clone(), paused));
                    // Somebody waits to be told that it was obeyed.
                    self.with.lanes.nudge.notify_one();
                }
                self.obeyed.insert(number);
            }
        }
        wishes
    }

    /// Without the store nobody knows who has the lanes; when the time is over, this relay has none.
    fn failed(&mut self, error: &StoreError) {
        if !self.failing {
            tracing::warn!(%error, "leases of lanes were not renewed: trying on");
            self.failing = true;
        }
        if self.with.clock.monotonic() >= self.until {
            self.duty.send_if_modified(std::mem::take);
        }
    }

    /// Forgets what another relay condemned, beside the ticks: what is under way takes its time.
    fn clear(&mut self, number: u64) {
        if number <= self.clearing {
            return;
        }
        self.clearing = number;
        let (store, clock) = (self.with.store.clone(), self.with.clock.clone());
        let (lanes, cleared) = (self.with.lanes.clone(), self.cleared.clone());
        let stop = self.with.leaving.clone();
        self.with.tasks.spawn(async move {
            loop {
                match store.condemn(Whose::Unfinished, clock.now()).await {
                    Ok(condemned) => {
                        if lanes.clear(condemned).await.is_ok() {
                            cleared.fetch_max(number, Ordering::AcqRel);
                            lanes.nudge.notify_one();
                        }
                        return;
                    }
                    Err(error) => tracing::debug!(%error, "an erasure is looked at later"),
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = clock.idle(TICK) => {}
                }
            }
        });
    }
}
