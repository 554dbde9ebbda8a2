//! Sealing again what another key sealed, or none: after a start with other keys in store.encrypt.

use crate::store::{Resealed, Store, StoreError};

/// How much was sealed again since the start.
#[derive(Debug, Default)]
pub(super) struct Resealing {
    payloads: u64,
    damaged: u64,
}

impl Resealing {
    /// Takes one step; true where nothing is left to do until the next start.
    pub(super) async fn step(&mut self, store: &dyn Store) -> Result<bool, StoreError> {
        let sealing = store.sealing().await?;
        let Some(sealing) = sealing.filter(|sealing| sealing.resealing) else {
            return Ok(true);
        };
        let Resealed {
            payloads,
            damaged,
            done,
        } = store.reseal().await?;
        self.payloads += payloads;
        self.damaged += damaged;
        if done {
            let (payloads, damaged) = (self.payloads, self.damaged);
            match sealing.key {
                Some(key) => {
                    tracing::info!(%key, payloads, damaged, "every payload is sealed by the first key of store.encrypt: the others can be taken out");
                }
                None => {
                    tracing::info!(
                        payloads,
                        damaged,
                        "no payload is sealed any more: store.encrypt can be taken out"
                    );
                }
            }
        }
        Ok(done)
    }
}
