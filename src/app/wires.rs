//! Which room gets what: the ends that are tied together when a relay is built.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rand::Rng;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bridges::{LanesOf, Past, RulesOf};
use super::watch::Look;
use super::{Compiled, Parts, Reloader, reload};
use crate::config::{Config, Inputs};
use crate::dispatch::{Bench, Crier, Handle, Holder, Holding, Tokens};
use crate::doorbell::Doorbell;
use crate::http::Certificates;
use crate::http::admin::{Admin, Guesses, InForce, Streams};
use crate::intake::{Intake, Parts as IntakeParts};
use crate::model::{Mint, Name};
use crate::store::Keep;
use crate::upkeep::{Alerts, Duty, Eraser, Jobs, Mover, Renamed, Senders, Told, Upkeep, Watch};

/// What the rooms above the lanes are tied together with.
pub(super) struct Wires {
    pub(super) bell: Doorbell,
    pub(super) lanes: Handle,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) in_force: Arc<ArcSwap<InForce>>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) keep: Arc<ArcSwap<Keep>>,
    renamed: Arc<Renamed>,
    pub(super) senders: Arc<Senders>,
    told: Arc<Told>,
    tasks: TaskTracker,
    /// A job was begun.
    begun: Arc<Notify>,
    duty: Duty,
}

impl Wires {
    pub(super) fn new(
        (bell, lanes, tasks): (Doorbell, Handle, TaskTracker),
        certificates: Option<Arc<Certificates>>,
        in_force: InForce,
        (keep, senders, told): (Keep, Senders, Told),
    ) -> Self {
        Self {
            bell,
            lanes,
            certificates,
            in_force: Arc::new(ArcSwap::from_pointee(in_force)),
            draining: Arc::default(),
            keep: Arc::new(ArcSwap::from_pointee(keep)),
            renamed: Arc::default(),
            senders: Arc::new(senders),
            told: Arc::new(told),
            tasks,
            begun: Arc::default(),
            duty: Duty::alone(),
        }
    }

    pub(super) fn office(
        &self,
        config: &Config,
        parts: &Parts,
        (reload, streams, jobs): (Arc<Reloader>, Streams, Arc<Jobs>),
    ) -> Admin {
        Admin {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            telemetry: parts.telemetry.clone(),
            lanes: self.lanes.clone(),
            token: config.admin.token.clone(),
            in_force: self.in_force.clone(),
            draining: self.draining.clone(),
            reload,
            eraser: self.eraser(parts),
            mover: self.mover(parts),
            jobs,
            streams,
            senders: self.senders.clone(),
            guesses: Guesses::new(parts.clock.clone()),
        }
    }

    pub(super) fn reloader(
        &self,
        (config, inputs, tried): (&Config, Inputs, (Vec<PathBuf>, Look)),
        parts: &Parts,
        intake: Arc<Intake>,
    ) -> Reloader {
        Reloader {
            turn: tokio::sync::Mutex::default(),
            inputs,
            tried: Mutex::new(tried),
            fixed: reload::Fixed::of(config),
            intake,
            store: parts.store.clone(),
            lanes: self.lanes.clone(),
            certificates: self.certificates.clone(),
            transport: parts.transport.clone(),
            telemetry: parts.telemetry.clone(),
            clock: parts.clock.clone(),
            in_force: self.in_force.clone(),
            keep: self.keep.clone(),
            renamed: self.renamed.clone(),
            senders: self.senders.clone(),
            told: self.told.clone(),
        }
    }

    pub(super) fn upkeep(&self, parts: &Parts, renamed: Vec<(Name, Name)>) -> Upkeep {
        self.renamed.set(renamed);
        Upkeep {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            keep: self.keep.clone(),
            eraser: self.eraser(parts),
            mover: self.mover(parts),
            renamed: self.renamed.clone(),
            senders: self.senders.clone(),
            duty: self.duty.clone(),
        }
    }

    fn lanes_of(&self, parts: &Parts) -> Arc<LanesOf> {
        Arc::new(LanesOf {
            lanes: self.lanes.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
        })
    }

    /// What keeps this relay's lanes, where others may share its store.
    pub(super) fn replicas(
        &mut self,
        parts: &Parts,
        leaving: CancellationToken,
    ) -> Option<(Holder, Crier)> {
        parts.store.commons()?;
        let hears = Arc::default();
        let (holder, on_duty) = Holder::new(Holding {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            lanes: self.lanes.clone(),
            hears: Arc::clone(&hears),
            tasks: self.tasks.clone(),
            leaving,
        });
        self.duty = Duty::told(on_duty);
        let crier = Crier {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            doorbell: self.bell.clone(),
            lanes: self.lanes.clone(),
            jobs: self.begun.clone(),
            hears,
        };
        Some((holder, crier))
    }

    /// What works on operators' jobs; at so many waiting deliveries it leaves the room to senders.
    pub(super) fn jobs(&self, parts: &Parts, intake: Arc<Intake>, max_waiting: u64) -> Arc<Jobs> {
        Arc::new(Jobs {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            telemetry: parts.telemetry.clone(),
            doorbell: self.bell.clone(),
            lanes: self.lanes_of(parts),
            rulebook: Arc::new(RulesOf(intake)),
            room: max_waiting / 5 * 4,
            begun: self.begun.clone(),
            duty: self.duty.clone(),
        })
    }

    /// Who tells operators.
    pub(super) fn alerts(
        &self,
        parts: &Parts,
        intake: Arc<Intake>,
        (random, attempts): (Box<dyn Rng + Send>, TaskTracker),
    ) -> Alerts {
        Alerts {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            doorbell: self.bell.clone(),
            lanes: self.lanes_of(parts),
            direct: Arc::new(Past {
                intake,
                store: parts.store.clone(),
                clock: parts.clock.clone(),
                transport: parts.transport.clone(),
            }),
            to: self.told.clone(),
            feed: parts.telemetry.listen(),
            random: Mutex::new(random),
            mint: Mint::default(),
            attempts,
            blocked: HashSet::new(),
        }
    }

    pub(super) fn mover(&self, parts: &Parts) -> Mover {
        Mover {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            lanes: self.lanes_of(parts),
            doorbell: self.bell.clone(),
        }
    }

    fn eraser(&self, parts: &Parts) -> Eraser {
        Eraser {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            lanes: self.lanes_of(parts),
            tasks: self.tasks.clone(),
        }
    }
}

/// Who watches the senders.
pub(super) fn senders(parts: &Parts, compiled: &Compiled) -> Senders {
    Senders::new(
        parts.store.clone(),
        parts.clock.clone(),
        parts.telemetry.clone(),
        Watch::all(compiled.rules.sources.values()),
    )
}

/// What attempts work with.
pub(super) fn bench(parts: &Parts) -> Bench {
    Bench {
        store: parts.store.clone(),
        transport: parts.transport.clone(),
        clock: parts.clock.clone(),
        telemetry: parts.telemetry.clone(),
        tokens: Tokens::default(),
    }
}

/// What an intake works with.
pub(super) fn intake(
    parts: &Parts,
    bell: &Doorbell,
    tasks: &TaskTracker,
    (random, max_waiting): (Box<dyn Rng + Send>, u64),
) -> IntakeParts {
    IntakeParts {
        store: parts.store.clone(),
        clock: parts.clock.clone(),
        doorbell: bell.clone(),
        telemetry: parts.telemetry.clone(),
        tasks: tasks.clone(),
        random: Mutex::new(random),
        max_waiting,
    }
}
