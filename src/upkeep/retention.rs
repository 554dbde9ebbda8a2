//! Retention: payloads go first, the ledger later.

use jiff::Timestamp;

use crate::store::{Keep, Store, StoreError, Sweep, Swept};

/// Events looked at in one step: some milliseconds of the store's time.
const EVENTS: usize = 250;

/// Where a round of retention stands.
#[derive(Debug, Default)]
pub(super) struct Retention {
    place: Swept,
    payloads: u64,
    events: u64,
}

impl Retention {
    /// Takes one step; true where the round is over.
    pub(super) async fn step(
        &mut self,
        store: &dyn Store,
        keep: &Keep,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sweep = Sweep {
            keep,
            now,
            after: self.place,
            limit: EVENTS,
        };
        let swept = store.sweep(sweep).await?;
        self.payloads += swept.payloads;
        self.events += swept.events;
        self.place = swept;
        if swept.done {
            if self.payloads + self.events > 0 {
                let (payloads, events) = (self.payloads, self.events);
                tracing::info!(payloads, events, "retention took away what was old enough");
            }
            *self = Self::default();
        }
        Ok(swept.done)
    }
}
