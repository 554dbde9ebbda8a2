//! Erasing what is known of somebody, from the first note to the receipt. Who asks is answered only when
//! it is done; what a crash interrupts is taken up at the next start.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::model::{DeliveryId, Name};
use crate::store::{Condemned, Erasure, Store, StoreError, Whose};

/// Before the store's log is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What upkeep asks of the lanes.
#[async_trait]
pub trait Lanes: Send + Sync {
    /// Starts none of these deliveries any more, and returns once none is under way and no lane of these
    /// destinations quotes what was said. False: the relay is shutting down.
    async fn forget(&self, condemned: &Condemned) -> bool;

    /// What may be under way to `destination`, which no lane serves any more. None where one does, or where
    /// the relay is shutting down.
    async fn under_way(&self, destination: &Name) -> Option<HashSet<DeliveryId>>;

    /// Lanes that are blocked. None where the relay is shutting down.
    async fn blocked(&self) -> Option<HashSet<Name>>;

    /// Everything that is under way. None where the relay is shutting down.
    async fn sending(&self) -> Option<HashSet<DeliveryId>>;
}

/// Erases.
#[derive(Clone)]
pub struct Eraser {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub lanes: Arc<dyn Lanes>,
    pub tasks: TaskTracker,
}

impl Eraser {
    /// Erases, and answers with the receipt once nothing is left. Once begun it is carried through, also when
    /// the caller goes away.
    pub async fn erase(&self, whose: Whose) -> Result<Erasure, StoreError> {
        let (tell, told) = oneshot::channel();
        let eraser = self.clone();
        self.tasks.spawn(async move {
            let _nobody_waits = tell.send(eraser.carry_out(whose).await);
        });
        told.await.map_err(|_| StoreError::Closed)?
    }

    async fn carry_out(&self, whose: Whose) -> Result<Erasure, StoreError> {
        let unfinished = matches!(whose, Whose::Unfinished);
        let condemned = self.store.condemn(whose, self.clock.now()).await?;
        // What is under way has to be recorded before the record can go.
        if !self.lanes.forget(&condemned).await {
            return Err(StoreError::Closed);
        }
        let erasure = self.store.erase(condemned, self.clock.now()).await?;
        // At a start nothing may have been erased at all, and then nobody is to be alarmed.
        let is_news = !unfinished || erasure.events > 0 || erasure.subjects > 0;
        self.forget_writes(is_news).await?;
        if erasure.events > 0 || erasure.subjects > 0 {
            let (subjects, events) = (erasure.subjects, erasure.events);
            tracing::info!(subjects, events, "erased on request");
        }
        Ok(erasure)
    }

    /// The receipt is in memory alone by now, so this is waited for: who reads the store at length, such as a
    /// backup, keeps its log from being emptied.
    async fn forget_writes(&self, is_news: bool) -> Result<(), StoreError> {
        let mut told = !is_news;
        while let Err(error) = self.store.forget_writes().await {
            if matches!(error, StoreError::Closed) || self.lanes.sending().await.is_none() {
                return Err(StoreError::Closed);
            }
            if !told {
                tracing::warn!(%error, "an erasure waits until the store's log can be emptied");
                told = true;
            }
            self.clock.pause(PAUSE).await;
        }
        Ok(())
    }
}
