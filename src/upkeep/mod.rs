//! What is done beside the traffic, step by step, so that it never stalls it: retention, and erasure on
//! request.

mod erasure;
mod retention;

pub use erasure::{Eraser, Lanes};

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::plus;
use crate::store::{Keep, Store, Whose};

/// Between two steps of something that is not done.
const STEP: Duration = Duration::from_millis(200);
/// Between two rounds where nothing is left to do.
const ROUND: Duration = Duration::from_mins(10);

/// What upkeep works with.
pub struct Upkeep {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// The terms in force, swapped on reload.
    pub keep: Arc<ArcSwap<Keep>>,
    pub eraser: Eraser,
}

impl Upkeep {
    /// Works until `stop`. A fault of the store ends a round, and the next begins in its time.
    pub async fn run(self, stop: CancellationToken) {
        self.finish_erasures(&stop).await;
        let mut retention = retention::Retention::default();
        loop {
            let pause = match retention
                .step(&*self.store, &self.keep.load(), self.clock.now())
                .await
            {
                Ok(true) => ROUND,
                Ok(false) => STEP,
                Err(error) => {
                    tracing::warn!(%error, "upkeep waits for the store");
                    ROUND
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.idle_until(plus(self.clock.now(), pause)) => {}
            }
        }
    }

    /// What a crash interrupted.
    async fn finish_erasures(&self, stop: &CancellationToken) {
        while let Err(error) = self.eraser.erase(Whose::Unfinished).await {
            tracing::warn!(%error, "an erasure that was interrupted waits for the store");
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.idle_until(plus(self.clock.now(), ROUND)) => {}
            }
        }
    }
}
