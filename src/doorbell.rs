//! How the side that accepts tells the side that delivers: a bounded channel that never blocks the
//! bell-ringer. When it is full, the listener is told to look into the store instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, mpsc};

use crate::model::{DeliveryId, Name};
use crate::store::{Waiting, Work};

/// Rings at the lanes.
#[derive(Clone)]
pub struct Doorbell {
    rings: mpsc::Sender<Ring>,
    missed: Arc<Missed>,
    nobody: Arc<Notify>,
}

/// Hears what was rung.
pub struct Listener {
    rings: mpsc::Receiver<Ring>,
    missed: Arc<Missed>,
    nobody: Arc<Notify>,
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
    /// Something waits again that may belong before what is known already: that is to be read anew.
    Changed { destination: Name },
    /// The store failed in a write, and nobody knows whether it was done: whatever is known is to be read anew.
    Unsure,
}

#[derive(Default)]
struct Missed {
    rings: Mutex<Unheard>,
    bell: Notify,
}

/// What is left of rings that found no room.
#[derive(Default)]
struct Unheard {
    /// With whether one of them was [`Ring::Changed`].
    lanes: BTreeMap<Name, bool>,
    unsure: bool,
}

/// A doorbell and its listener, with room for `capacity` rings.
pub fn doorbell(capacity: usize) -> (Doorbell, Listener) {
    let (send, receive) = mpsc::channel(capacity);
    let (missed, nobody) = (Arc::new(Missed::default()), Arc::new(Notify::new()));
    (
        Doorbell {
            rings: send,
            missed: missed.clone(),
            nobody: nobody.clone(),
        },
        Listener {
            rings: receive,
            missed,
            nobody,
        },
    )
}

impl Ring {
    /// The lane that it is for; None for all of them.
    pub fn destination(&self) -> Option<&Name> {
        match self {
            Self::Offer { destination, .. }
            | Self::Superseded { destination, .. }
            | Self::Look { destination }
            | Self::Changed { destination } => Some(destination),
            Self::Unsure => None,
        }
    }
}

impl Doorbell {
    /// Never waits. A ring that finds no room becomes a [`Ring::Look`], unless it says more than that.
    pub fn ring(&self, ring: Ring) {
        let Err(unheard) = self.rings.try_send(ring) else {
            return;
        };
        let (mpsc::error::TrySendError::Full(ring) | mpsc::error::TrySendError::Closed(ring)) =
            unheard;
        let mut unheard = self.missed.unheard();
        match ring.destination() {
            Some(destination) => {
                let changed = matches!(ring, Ring::Changed { .. });
                *unheard.lanes.entry(destination.clone()).or_default() |= changed;
            }
            None => unheard.unsure = true,
        }
        self.missed.bell.notify_one();
    }

    /// Waits until something waits for a destination that no lane serves, or nobody knows for which.
    pub async fn unserved(&self) {
        self.nobody.notified().await;
    }
}

impl Missed {
    fn unheard(&self) -> MutexGuard<'_, Unheard> {
        self.rings.lock().expect("nobody panics while holding them")
    }
}

impl Unheard {
    fn rings(self) -> impl Iterator<Item = Ring> {
        let lanes = self.lanes.into_iter();
        let lanes = lanes.map(|(destination, changed)| {
            if changed {
                Ring::Changed { destination }
            } else {
                Ring::Look { destination }
            }
        });
        lanes.chain(self.unsure.then_some(Ring::Unsure))
    }
}

impl Listener {
    /// Waits for at least one ring and takes up to `limit` into `heard`; false once no bell is left.
    /// May be dropped while it waits: nothing is lost.
    pub async fn hear(&mut self, heard: &mut Vec<Ring>, limit: usize) -> bool {
        tokio::select! {
            count = self.rings.recv_many(heard, limit) => count > 0,
            () = self.missed.bell.notified() => {
                let unheard = std::mem::take(&mut *self.missed.unheard());
                heard.extend(unheard.rings());
                true
            }
        }
    }

    /// A ring was for nobody here: who moves backlogs is to see to it.
    pub fn is_for_nobody(&self) {
        self.nobody.notify_one();
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
        let mut names: Vec<&str> = heard
            .iter()
            .filter_map(|ring| ring.destination().map(|name| &**name))
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn what_says_more_than_to_look_still_does_where_it_found_no_room() {
        let (bell, mut listener) = doorbell(1);
        let changed = || Ring::Changed {
            destination: "a".into(),
        };
        for ring in [look("z"), changed(), look("a"), Ring::Unsure, look("b")] {
            bell.ring(ring);
        }
        let mut heard = Vec::new();
        while heard.len() < 4 {
            assert!(listener.hear(&mut heard, 10).await);
        }
        let has = |wanted: &Ring| {
            heard
                .iter()
                .any(|ring| format!("{ring:?}") == format!("{wanted:?}"))
        };
        assert!(
            [look("z"), changed(), look("b"), Ring::Unsure]
                .iter()
                .all(has),
            "{heard:?}"
        );
    }

    #[tokio::test]
    async fn the_listener_learns_that_no_bell_is_left() {
        let (bell, mut listener) = doorbell(1);
        drop(bell);
        assert!(!listener.hear(&mut Vec::new(), 10).await);
    }
}
