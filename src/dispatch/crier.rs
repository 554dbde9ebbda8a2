//! What relays on one store tell each other about lanes: rings for lanes elsewhere are gathered for a moment and told at
//! once; what others tell rings here. Whatever is lost on the way is found by looking, every second or few.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::handle::Handle;
use crate::clock::Clock;
use crate::doorbell::{Doorbell, Ring};
use crate::store::{Store, Told};

/// How long rings are gathered.
const GATHER: Duration = Duration::from_millis(20);
/// Before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Cries and listens.
#[derive(Clone)]
pub struct Crier {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub doorbell: Doorbell,
    pub lanes: Handle,
    /// Told that another relay began a job.
    pub jobs: Arc<Notify>,
    /// Whether the other relays can be heard.
    pub hears: Arc<AtomicBool>,
}

impl Crier {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.cry() => {}
            () = self.listen() => {}
        }
    }

    async fn cry(&self) {
        let Some(commons) = self.store.commons() else {
            return std::future::pending().await;
        };
        loop {
            self.doorbell.elsewhere().await;
            self.pause(GATHER).await;
            let news = self.doorbell.gathered();
            if news.is_empty() {
                continue;
            }
            if let Err(error) = commons.cry(news.clone()).await {
                tracing::debug!(%error, "other relays are told later");
                self.doorbell.gather_again(news);
                self.pause(PAUSE).await;
            }
        }
    }

    async fn listen(&self) {
        let Some(commons) = self.store.commons() else {
            return std::future::pending().await;
        };
        loop {
            match commons.listen().await {
                Ok(hearing) => self.hear(hearing).await,
                Err(error) => tracing::debug!(%error, "other relays cannot be heard yet"),
            }
            self.pause(PAUSE).await;
        }
    }

    /// Until the connection breaks.
    async fn hear(&self, mut hearing: mpsc::Receiver<Told>) {
        // What was cried before is seen with the next look.
        self.hears.store(true, Ordering::Relaxed);
        while let Some(told) = hearing.recv().await {
            match told {
                Told::Leases => self.lanes.nudge.notify_one(),
                Told::Job => self.jobs.notify_one(),
                told => self.doorbell.ring(Ring::Afar(told)),
            }
        }
        self.hears.store(false, Ordering::Relaxed);
    }

    async fn pause(&self, length: Duration) {
        self.clock.idle(length).await;
    }
}
