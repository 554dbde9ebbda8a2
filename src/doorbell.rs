//! How the side that accepts tells the side that delivers: a bounded channel that never blocks the
//! bell-ringer. When it is full, the listener is told to look into the store instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, mpsc};

use crate::model::{DeliveryId, Name};
use crate::store::{Told, Waiting, Work};

/// Superseded deliveries that are gathered for lanes elsewhere before the lanes are told to read anew instead.
const SUPERSEDED: usize = 1_000;

/// Rings at the lanes.
#[derive(Clone)]
pub struct Doorbell {
    rings: mpsc::Sender<Ring>,
    missed: Arc<Missed>,
    nobody: Arc<Notify>,
    elsewhere: Arc<Elsewhere>,
}

/// Hears what was rung.
pub struct Listener {
    rings: mpsc::Receiver<Ring>,
    missed: Arc<Missed>,
    nobody: Arc<Notify>,
    elsewhere: Arc<Elsewhere>,
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
    /// Another relay says so.
    Afar(Told),
}

/// Rings for lanes that another relay has.
#[derive(Default)]
struct Elsewhere {
    gathered: Mutex<Gathered>,
    bell: Notify,
}

#[derive(Default)]
struct Gathered {
    /// With whether one of them was more than to look.
    lanes: BTreeMap<Name, bool>,
    superseded: Vec<(Name, DeliveryId)>,
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
    /// The same of what another relay said.
    afar: BTreeMap<Name, bool>,
    unsure: bool,
}

/// A doorbell and its listener, with room for `capacity` rings.
pub fn doorbell(capacity: usize) -> (Doorbell, Listener) {
    let (send, receive) = mpsc::channel(capacity);
    let (missed, nobody) = (Arc::new(Missed::default()), Arc::new(Notify::new()));
    let elsewhere = Arc::new(Elsewhere::default());
    (
        Doorbell {
            rings: send,
            missed: missed.clone(),
            nobody: nobody.clone(),
            elsewhere: elsewhere.clone(),
        },
        Listener {
            rings: receive,
            missed,
            nobody,
            elsewhere,
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
            | Self::Changed { destination }
            | Self::Afar(
                Told::Look(destination)
                | Told::Changed(destination)
                | Told::Superseded(destination, _),
            ) => Some(destination),
            Self::Unsure | Self::Afar(Told::Leases | Told::Job) => None,
        }
    }

    /// It says more than to look.
    fn changes(&self) -> bool {
        matches!(
            self,
            Self::Changed { .. } | Self::Unsure | Self::Afar(Told::Changed(_))
        )
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
        let (destination, changes) = (ring.destination().cloned(), ring.changes());
        match (destination, ring) {
            (Some(destination), Ring::Afar(_)) => {
                *unheard.afar.entry(destination).or_default() |= changes;
            }
            (Some(destination), _) => *unheard.lanes.entry(destination).or_default() |= changes,
            (None, _) => unheard.unsure = true,
        }
        self.missed.bell.notify_one();
    }

    /// Waits until something was rung for a lane that another relay has.
    pub async fn elsewhere(&self) {
        self.elsewhere.bell.notified().await;
    }

    /// What was rung for lanes that other relays have, since this was asked last.
    pub fn gathered(&self) -> Vec<Told> {
        let gathered = std::mem::take(&mut *self.elsewhere.gathered());
        let superseded = gathered.superseded.into_iter();
        let superseded = superseded
            .filter(|(name, _)| gathered.lanes.get(name) != Some(&true))
            .map(|(name, delivery)| Told::Superseded(name, delivery));
        let mut all: Vec<Told> = superseded.collect();
        all.extend(gathered.lanes.into_iter().map(told));
        all
    }

    /// What could not be told is to be told later.
    pub fn gather_again(&self, news: Vec<Told>) {
        for told in news {
            self.elsewhere.add(&Ring::Afar(told));
        }
    }

    /// Waits until something waits for a destination that no lane serves, or nobody knows for which.
    pub async fn unserved(&self) {
        self.nobody.notified().await;
    }
}

fn told((name, changed): (Name, bool)) -> Told {
    if changed {
        Told::Changed(name)
    } else {
        Told::Look(name)
    }
}

impl Elsewhere {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered
            .lock()
            .expect("nobody panics while holding them")
    }

    fn add(&self, ring: &Ring) {
        let Some(destination) = ring.destination().cloned() else {
            return;
        };
        let mut gathered = self.gathered();
        match ring {
            Ring::Superseded { delivery, .. } | Ring::Afar(Told::Superseded(_, delivery))
                if gathered.superseded.len() < SUPERSEDED =>
            {
                gathered.superseded.push((destination, *delivery));
            }
            Ring::Superseded { .. } | Ring::Afar(Told::Superseded(..)) => {
                gathered.lanes.insert(destination, true);
            }
            ring => *gathered.lanes.entry(destination).or_default() |= ring.changes(),
        }
        drop(gathered);
        self.bell.notify_one();
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
        let afar = self.afar.into_iter().map(|one| Ring::Afar(told(one)));
        lanes.chain(afar).chain(self.unsure.then_some(Ring::Unsure))
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

    /// A ring is for a lane that another relay has. What another relay said is not said again.
    pub fn is_elsewhere(&self, ring: &Ring) {
        if !matches!(ring, Ring::Afar(_)) {
            self.elsewhere.add(ring);
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
    async fn what_is_for_another_relay_is_gathered_and_what_one_said_is_not_said_again() {
        let (bell, listener) = doorbell(1);
        let id = crate::model::EventId::from_bytes([1; 16]).delivery(0);
        let superseded = |name: &str| Ring::Superseded {
            destination: name.into(),
            delivery: id,
        };
        let changed = Ring::Changed {
            destination: "a".into(),
        };
        for ring in [
            look("a"),
            look("b"),
            changed,
            superseded("a"),
            superseded("b"),
        ] {
            listener.is_elsewhere(&ring);
        }
        listener.is_elsewhere(&Ring::Afar(Told::Look("c".into())));
        bell.elsewhere().await;
        let all = [
            Told::Superseded("b".into(), id),
            Told::Changed("a".into()),
            Told::Look("b".into()),
        ];
        let news = bell.gathered();
        assert_eq!(news, all);
        assert_eq!(bell.gathered(), []);
        bell.gather_again(news);
        assert_eq!(bell.gathered(), all);
        let many = || (0..=SUPERSEDED).map(|_| superseded("b"));
        many().for_each(|ring| listener.is_elsewhere(&ring));
        assert_eq!(bell.gathered(), [Told::Changed("b".into())]);
    }

    #[tokio::test]
    async fn what_another_relay_said_stays_that_where_there_was_no_room() {
        let (bell, mut listener) = doorbell(1);
        bell.ring(look("z"));
        bell.ring(Ring::Afar(Told::Look("a".into())));
        let mut heard = Vec::new();
        while heard.len() < 2 {
            assert!(listener.hear(&mut heard, 10).await);
        }
        let afar = |ring: &Ring| matches!(ring, Ring::Afar(Told::Look(_)));
        assert!(heard.iter().any(afar), "{heard:?}");
    }

    #[tokio::test]
    async fn the_listener_learns_that_no_bell_is_left() {
        let (bell, mut listener) = doorbell(1);
        drop(bell);
        assert!(!listener.hear(&mut Vec::new(), 10).await);
    }
}
