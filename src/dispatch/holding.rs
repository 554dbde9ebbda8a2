//! Lanes that come and go while the loop runs, where several relays share a store: the loop is told what it holds and
//! until when, starts nothing beyond that, and says what it has done with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Dispatcher;
use super::lane::Lane;
use crate::model::Name;
use crate::store::{Fence, Lease};

/// What this relay holds.
#[derive(Default)]
pub(super) struct Order {
    /// Until when, by the clock that never goes back.
    pub(super) until: Duration,
    /// Lanes that it still has.
    pub(super) kept: HashMap<Name, Fence>,
    pub(super) taken: Vec<Lease>,
    /// To be let go once nothing is under way.
    pub(super) give: HashSet<Name>,
    /// To be paused, or resumed.
    pub(super) wishes: Vec<(Name, bool)>,
    /// Something may wait that nobody rang for.
    pub(super) look: bool,
}

/// What the loop has.
pub(super) struct Have {
    /// Also those that have something under way still.
    pub(super) lanes: HashSet<Name>,
    /// All that are configured, sorted.
    pub(super) knows: Arc<Vec<Name>>,
}

impl Dispatcher {
    pub(super) fn have(&self) -> Have {
        Have {
            lanes: self.lanes.keys().cloned().collect(),
            knows: Arc::new(self.specs.keys().cloned().collect()),
        }
    }

    pub(super) fn hold(&mut self, order: Order) -> Have {
        for (name, lane) in &mut self.lanes {
            if order.kept.get(name) == Some(&lane.fence) {
                lane.renew(order.until);
            } else if lane.lose() {
                tracing::warn!(
                    destination = &**name,
                    "another relay may have this lane by now: nothing more is started here"
                );
            }
            if order.give.contains(name) {
                lane.part();
            }
            if order.look {
                lane.window.look();
            }
        }
        for lease in order.taken {
            self.take(lease, order.until);
        }
        for (name, paused) in order.wishes {
            self.pause(&name, paused);
        }
        self.lanes
            .retain(|_, lane| !(lane.is_retired() && lane.is_idle()));
        self.have()
    }

    fn take(&mut self, lease: Lease, until: Duration) {
        let name = lease.lane.destination.clone();
        let Some(spec) = self.specs.get(&name) else {
            return;
        };
        // What is under way here still ends first.
        if !self.lanes.contains_key(&name) {
            let mut lane = Lane::new(spec.clone(), lease, self.bench.clock.clone());
            lane.renew(until);
            self.lanes.insert(name, lane);
        }
    }
}
