//! Moving the backlog of a destination that is gone to the one that takes its place.

use std::sync::Arc;
use std::time::Duration;

use super::Lanes;
use crate::clock::Clock;
use crate::doorbell::{Doorbell, Ring};
use crate::model::Name;
use crate::store::{Move, Moved, Store, StoreError};

/// Deliveries moved in one transaction.
const LIMIT: usize = 500;
/// How long to wait for what is under way.
const PAUSE: Duration = Duration::from_millis(200);

/// Moves backlogs.
#[derive(Clone)]
pub struct Mover {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub lanes: Arc<dyn Lanes>,
    pub doorbell: Doorbell,
}

impl Mover {
    /// Waits until something may wait for a destination that no lane serves.
    pub async fn unserved(&self) {
        self.doorbell.unserved().await;
    }

    /// Moves everything that waits for `from`, which no lane serves any more, to `to`.
    pub async fn move_backlog(&self, from: &Name, to: &Name) -> Result<Moved, StoreError> {
        let mut all = Moved::default();
        loop {
            let Some(under_way) = self.lanes.under_way(from).await else {
                return Err(StoreError::Closed);
            };
            let step = Move {
                from: from.clone(),
                to: to.clone(),
                except: under_way,
                limit: LIMIT,
                receipts_after: all.receipts_after,
            };
            let waits = !step.except.is_empty();
            let moved = self.store.move_backlog(step).await;
            // Also where it failed: it may have been done all the same.
            if moved.as_ref().map_or(true, |moved| moved.deliveries > 0) {
                let destination = to.clone();
                self.doorbell.ring(Ring::Changed { destination });
            }
            let moved = moved?;
            all.deliveries += moved.deliveries;
            all.discarded += moved.discarded;
            all.receipts_after = moved.receipts_after;
            if moved.more {
                continue;
            }
            if !waits {
                break;
            }
            // What is under way may come back as waiting.
            self.clock.pause(PAUSE).await;
        }
        if all.deliveries + all.discarded > 0 {
            let (moved, discarded) = (all.deliveries, all.discarded);
            tracing::info!(
                from = &**from,
                to = &**to,
                moved,
                discarded,
                "backlog moved"
            );
        }
        Ok(all)
    }
}
