//! How the side that accepts tells the side that delivers: a bounded channel that never blocks the
//! bell-ringer. When it is full, the listener is told to look into the store instead.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc};

use crate::model::{DeliveryId, Name};
use crate::store::{Waiting, Work};

/// Rings at the lanes.
#[derive(Clone)]
pub struct Doorbell {
    rings: mpsc::Sender<Ring>,
    missed: Arc<Missed>,
}

/// Hears what was rung.
pub struct Listener {
    rings: mpsc::Receiver<Ring>,
    missed: Arc<Missed>,
}

/// News for a lane.
#[derive(Debug)]
pub enum Ring {
    /// A delivery that was just written and may go out; with what an attempt needs, where that is known.
    Offer {
        destination: Name,
        waiting: Waiting,
        work: Option<Box<Work>>,
    },
    /// A delivery that is superseded: forget it unless it is under way.
    Superseded {
        destination: Name,
        delivery: DeliveryId,
    },
    /// Something is waiting in the store.
    Look { destination: Name },
}

#[derive(Default)]
struct Missed {
    lanes: Mutex<HashSet<Name>>,
    bell: Notify,
}

/// A doorbell and its listener, with room for `capacity` rings.
pub fn doorbell(capacity: usize) -> (Doorbell, Listener) {
    let (send, receive) = mpsc::channel(capacity);
    let missed = Arc::new(Missed::default());
    (
        Doorbell {
            rings: send,
            missed: missed.clone(),
        },
        Listener {
            rings: receive,
            missed,
        },
    )
}

impl Ring {
    /// The lane that it is for.
    pub fn destination(&self) -> &Name {
        match self {
            Self::Offer { destination, .. }
            | Self::Superseded { destination, .. }
            | Self::Look { destination } => destination,
        }
    }
}

impl Doorbell {
    /// Never waits. A ring that finds no room becomes a [`Ring::Look`].
    pub fn ring(&self, ring: Ring) {
        let Err(unheard) = self.rings.try_send(ring) else {
            return;
        };
        let (mpsc::error::TrySendError::Full(ring) | mpsc::error::TrySendError::Closed(ring)) =
            unheard;
        self.lanes().insert(ring.destination().clone());
        self.missed.bell.notify_one();
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashSet<Name>> {
        self.missed
            .lanes
            .lock()
            .expect("nobody panics while holding the set")
    }
}

impl Listener {
    /// Waits for at least one ring and takes up to `limit` into `heard`; false once no bell is left.
    /// May be dropped while it waits: nothing is lost.
    pub async fn hear(&mut self, heard: &mut Vec<Ring>, limit: usize) -> bool {
        tokio::select! {
            count = self.rings.recv_many(heard, limit) => count > 0,
            () = self.missed.bell.notified() => {
                let lanes = std::mem::take(&mut *self.missed.lanes.lock().expect("nobody panics while holding the set"));
                heard.extend(lanes.into_iter().map(|destination| Ring::Look { destination }));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str) -> Ring {
        Ring::Look {
            destination: name.into(),
        }
    }

    #[tokio::test]
    async fn rings_beyond_the_room_become_one_look_for_each_lane() {
        let (bell, mut listener) = doorbell(1);
        for name in ["a", "b", "b", "c"] {
            bell.ring(look(name));
        }
        let mut heard = Vec::new();
        while heard.len() < 3 {
            assert!(listener.hear(&mut heard, 10).await);
        }
        let mut names: Vec<&str> = heard.iter().map(|ring| &**ring.destination()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn the_listener_learns_that_no_bell_is_left() {
        let (bell, mut listener) = doorbell(1);
        drop(bell);
        assert!(!listener.hear(&mut Vec::new(), 10).await);
    }
}
