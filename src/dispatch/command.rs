//! What others ask of the loop, carried out in it: views, pause and resume, another configuration, and
//! forgetting what is to be erased.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::attempt::STORE_PAUSE;
use super::breaker::Change;
use super::handle::{Command, Snapshot};
use super::lane::Lane;
use super::{Dispatcher, LaneSpec, RouteValues};
use crate::model::{DeliveryId, Name};
use crate::store::{Condemned, StoreError};

/// Somebody waits until these deliveries are not under way any more.
pub(super) struct Farewell {
    under_way: HashSet<DeliveryId>,
    destinations: Vec<Name>,
    done: oneshot::Sender<()>,
}

impl Dispatcher {
    pub(super) async fn command(&mut self, command: Command) {
        let now = self.bench.clock.now();
        match command {
            Command::Snapshot(tell) => {
                let lanes = self
                    .lanes
                    .values()
                    .filter(|lane| !lane.is_retired())
                    .map(|lane| lane.view(now))
                    .collect();
                let retiring = self.lanes.iter().filter(|(_, lane)| lane.is_retired());
                let _nobody_waits = tell.send(Snapshot {
                    lanes,
                    sending: self.sending.clone(),
                    retiring: retiring.map(|(name, _)| name.clone()).collect(),
                    elsewhere: self.elsewhere(),
                });
            }
            Command::Pause {
                destination,
                paused,
                done,
            } => {
                let _nobody_waits = done.send(self.pause(&destination, paused));
            }
            Command::Forget {
                condemned,
                all,
                done,
            } => self.forget(condemned, all, done),
            Command::Have(tell) => {
                let _nobody_waits = tell.send(self.have());
            }
            Command::Hold(order, tell) => {
                let _nobody_waits = tell.send(self.hold(order));
            }
            Command::Reconfigure {
                specs,
                routes,
                done,
            } => {
                self.reconfigure(specs, routes).await;
                let _nobody_waits = done.send(());
            }
        }
    }

    /// True where there is such a lane here.
    pub(super) fn pause(&mut self, destination: &Name, paused: bool) -> bool {
        let now = self.bench.clock.now();
        let lane = self.lanes.get_mut(destination);
        let Some(lane) = lane.filter(|lane| !lane.is_parting() && !lane.is_over()) else {
            return false;
        };
        let change = lane.pause(now, paused);
        self.keep(destination);
        self.announce(destination);
        if change == Change::Freed {
            self.release(destination);
        }
        true
    }

    /// Destinations whose lane is not here.
    fn elsewhere(&self) -> Vec<Name> {
        let served = |name: &Name| {
            let lane = self.lanes.get(name);
            lane.is_some_and(|lane| !lane.is_retired() && !lane.is_over())
        };
        let names = self.specs.keys().filter(|name| !served(name));
        names.cloned().collect()
    }

    fn forget(&mut self, condemned: Condemned, all: bool, done: oneshot::Sender<()>) {
        let mut under_way = HashSet::new();
        if all {
            under_way.clone_from(&self.sending);
            for lane in self.lanes.values_mut() {
                lane.window.reread();
            }
        }
        for (destination, delivery) in condemned.deliveries {
            if let Some(lane) = self.lanes.get_mut(&destination) {
                lane.window.forget(delivery);
            }
            self.forgotten.insert(delivery);
            if self.sending.contains(&delivery) {
                under_way.insert(delivery);
            }
        }
        self.farewells.push(Farewell {
            under_way,
            destinations: condemned.destinations,
            done,
        });
        self.take_leave();
    }

    /// Answers those who waited for what is not under way any more.
    pub(super) fn take_leave(&mut self) {
        let all = std::mem::take(&mut self.farewells);
        for mut farewell in all {
            farewell.under_way.retain(|id| self.sending.contains(id));
            if !farewell.under_way.is_empty() {
                self.farewells.push(farewell);
                continue;
            }
            for destination in &farewell.destinations {
                if let Some(lane) = self.lanes.get_mut(destination) {
                    lane.unquote();
                    self.keep(destination);
                }
            }
            let _nobody_waits = farewell.done.send(());
        }
    }

    async fn reconfigure(&mut self, specs: Vec<LaneSpec>, routes: Arc<RouteValues>) {
        let now = self.bench.clock.now();
        self.routes = routes;
        let clients = specs.iter().filter_map(|spec| spec.destination.oauth2());
        self.bench.tokens.keep(clients);
        let all = specs.iter().cloned();
        let all = all.map(|spec| (spec.destination.name().clone(), spec));
        self.specs = all.collect();
        let names: HashSet<&Name> = specs.iter().map(|spec| spec.destination.name()).collect();
        for (_, lane) in self
            .lanes
            .iter_mut()
            .filter(|(name, _)| !names.contains(name))
        {
            lane.retire();
        }
        self.lanes
            .retain(|_, lane| !(lane.is_retired() && lane.is_idle()));
        let mut new = Vec::new();
        for spec in specs {
            let name = spec.destination.name().clone();
            let Some(lane) = self.lanes.get_mut(&name) else {
                new.push(spec);
                continue;
            };
            let untouched = lane.spec.destination.settings() == spec.destination.settings()
                && lane.spec.settings == spec.settings;
            if untouched && !lane.is_retired() {
                lane.spec = spec;
            } else {
                let change = lane.reconfigure(now, spec);
                self.changed(&name, change);
                self.release(&name);
            }
        }
        if self.shared {
            // Who has which lane is not decided here.
            self.nudge.notify_one();
        } else {
            self.open(new).await;
        }
    }

    /// Takes new lanes, as soon as the store gives them.
    async fn open(&mut self, specs: Vec<LaneSpec>) {
        if specs.is_empty() {
            return;
        }
        let names: Vec<Name> = specs
            .iter()
            .map(|spec| spec.destination.name().clone())
            .collect();
        let leases = loop {
            match self.bench.store.lease(&names).await {
                Ok(leases) => break leases,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "lanes cannot be taken yet: trying on");
                    self.bench.clock.pause(STORE_PAUSE).await;
                }
            }
        };
        for lease in leases {
            let spec = specs
                .iter()
                .find(|spec| *spec.destination.name() == lease.lane.destination);
            if let Some(spec) = spec {
                let lane = Lane::new(spec.clone(), lease, self.bench.clock.clone());
                self.lanes.insert(lane.name().clone(), lane);
            }
        }
    }
}
