//! What is done beside the traffic, step by step, so that it never stalls it: retention, the health of
//! senders, payloads under another key, erasure and operators' jobs on request.

mod alerts;
mod duty;
mod erasure;
mod jobs;
mod moving;
mod resealing;
mod retention;
mod senders;

pub use alerts::{Alerts, Direct, Told};
pub use duty::Duty;
pub use erasure::{Eraser, Lanes};
pub use jobs::{Asked, Jobs, Rulebook};
pub use moving::Mover;
pub use senders::{SenderHealth, Senders, Watch};

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::Name;
use crate::store::{Keep, Store, Whose};

/// Between two steps of something that is not done.
const STEP: Duration = Duration::from_millis(200);
/// Between two rounds where nothing is left to do.
const ROUND: Duration = Duration::from_mins(10);
/// Before a step that failed is tried again: somebody may be reading the store at length.
const RETRY: Duration = Duration::from_secs(15);
/// Before another relay is asked again for what it has still.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at the senders.
const LOOK: Duration = Duration::from_mins(1);

/// What upkeep works with.
pub struct Upkeep {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// The terms in force, swapped on reload.
    pub keep: Arc<ArcSwap<Keep>>,
    pub eraser: Eraser,
    pub mover: Mover,
    pub renamed: Arc<Renamed>,
    pub senders: Arc<Senders>,
    pub duty: Duty,
}

/// Destinations with another name before: (old, new). Changing them wakes upkeep.
#[derive(Default)]
pub struct Renamed {
    pairs: ArcSwap<Vec<(Name, Name)>>,
    changed: Notify,
}

impl Renamed {
    /// These are in force now.
    pub fn set(&self, pairs: Vec<(Name, Name)>) {
        self.pairs.store(Arc::new(pairs));
        self.changed.notify_one();
    }
}

impl Upkeep {
    /// Works until `stop`, whenever it is this relay's to do.
    pub async fn run(self, stop: CancellationToken) {
        let mut duty = self.duty.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = duty.ours() => {}
            }
            self.work(&stop).await;
        }
    }

    /// Works until `stop`, or until another relay does. A fault of the store ends a round, and the next begins in its time.
    async fn work(&self, stop: &CancellationToken) {
        let mut duty = self.duty.clone();
        self.finish_erasures(stop).await;
        let mut retention = retention::Retention::default();
        let mut moved = HashSet::new();
        let mut known = senders::Known::new();
        let mut step_at = self.clock.monotonic();
        let mut look_at = step_at + LOOK;
        let mut resealing = resealing::Resealing::default();
        let mut reseal_at = Some(step_at);
        loop {
            let moving = !self.move_renamed(&mut moved).await && duty.is_shared();
            if self.clock.monotonic() >= step_at {
                let pause = self.step(&mut retention).await;
                step_at = self.clock.monotonic() + pause;
            }
            if self.clock.monotonic() >= look_at {
                self.senders.watch(&mut known).await;
                look_at = self.clock.monotonic() + LOOK;
            }
            if reseal_at.is_some_and(|at| self.clock.monotonic() >= at) {
                let pause = self.reseal(&mut resealing).await;
                reseal_at = pause.map(|pause| self.clock.monotonic() + pause);
            }
            let next = step_at.min(look_at);
            let next = reseal_at.map_or(next, |at| at.min(next));
            // Another relay has not let go yet of what is to be moved.
            let next = if moving {
                next.min(self.clock.monotonic() + PAUSE)
            } else {
                next
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = duty.lost() => return,
                () = self.renamed.changed.notified() => {}
                // Put back to waiting, or accepted by the rules from before.
                () = self.mover.unserved() => moved.clear(),
                () = self.clock.idle_until(next) => {}
            }
        }
    }

    /// One step of retention; how long it is until the next.
    async fn step(&self, retention: &mut retention::Retention) -> Duration {
        let keep = self.keep.load_full();
        let stepped = retention.step(&*self.store, &keep, self.clock.now());
        match stepped.await {
            Ok(true) => ROUND,
            Ok(false) => STEP,
            Err(error) => {
                tracing::warn!(%error, "upkeep waits for the store");
                ROUND
            }
        }
    }

    /// One step of sealing again; how long it is until the next, if there is one.
    async fn reseal(&self, resealing: &mut resealing::Resealing) -> Option<Duration> {
        match resealing.step(&*self.store).await {
            Ok(true) => None,
            Ok(false) => Some(STEP),
            Err(error) => {
                tracing::warn!(%error, "sealing again waits for the store");
                Some(RETRY)
            }
        }
    }

    /// What is moved once stays moved, unless somebody hears that something new waits for a name that is gone. True where
    /// all is moved.
    async fn move_renamed(&self, moved: &mut HashSet<(Name, Name)>) -> bool {
        let pairs = self.renamed.pairs.load_full();
        moved.retain(|pair| pairs.contains(pair));
        for pair in pairs.iter() {
            if moved.contains(pair) {
                continue;
            }
            match self.mover.move_backlog(&pair.0, &pair.1).await {
                Ok(_) => {
                    moved.insert(pair.clone());
                }
                Err(error) => {
                    tracing::warn!(from = &*pair.0, to = &*pair.1, %error, "backlog not moved yet");
                }
            }
        }
        moved.len() == pairs.len()
    }

    /// What a crash interrupted.
    async fn finish_erasures(&self, stop: &CancellationToken) {
        while let Err(error) = self.eraser.erase(Whose::Unfinished).await {
            tracing::warn!(%error, "an erasure that was interrupted waits for the store");
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.idle(RETRY) => {}
            }
        }
    }
}
