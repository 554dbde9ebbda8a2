//! Which room gets what: the ends that are tied together when a relay is built.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use rand::Rng;
use tokio_util::task::TaskTracker;

use super::watch::Look;
use super::{Parts, Reloader, reload};
use crate::config::{Config, Inputs};
use crate::dispatch::{Bench, Handle, Tokens};
use crate::doorbell::Doorbell;
use crate::http::Certificates;
use crate::http::admin::{Admin, InForce, Streams};
use crate::intake::{Intake, Parts as IntakeParts};
use crate::store::{Condemned, Keep};
use crate::upkeep::{Eraser, Lanes, Upkeep};

/// What the rooms above the lanes are tied together with.
pub(super) struct Wires {
    pub(super) bell: Doorbell,
    pub(super) lanes: Handle,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) in_force: Arc<ArcSwap<InForce>>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) keep: Arc<ArcSwap<Keep>>,
}

impl Wires {
    pub(super) fn new(
        (bell, lanes): (Doorbell, Handle),
        certificates: Option<Arc<Certificates>>,
        in_force: InForce,
        keep: Keep,
    ) -> Self {
        Self {
            bell,
            lanes,
            certificates,
            in_force: Arc::new(ArcSwap::from_pointee(in_force)),
            draining: Arc::default(),
            keep: Arc::new(ArcSwap::from_pointee(keep)),
        }
    }

    pub(super) fn office(
        &self,
        config: &Config,
        parts: &Parts,
        (reload, streams): (Arc<Reloader>, Streams),
    ) -> Admin {
        Admin {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            telemetry: parts.telemetry.clone(),
            lanes: self.lanes.clone(),
            doorbell: self.bell.clone(),
            token: config.admin.token.clone(),
            in_force: self.in_force.clone(),
            draining: self.draining.clone(),
            reload,
            eraser: self.eraser(parts),
            streams,
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
            lanes: self.lanes.clone(),
            certificates: self.certificates.clone(),
            transport: parts.transport.clone(),
            telemetry: parts.telemetry.clone(),
            clock: parts.clock.clone(),
            in_force: self.in_force.clone(),
            keep: self.keep.clone(),
        }
    }

    pub(super) fn upkeep(&self, parts: &Parts) -> Upkeep {
        Upkeep {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            keep: self.keep.clone(),
            eraser: self.eraser(parts),
        }
    }

    fn eraser(&self, parts: &Parts) -> Eraser {
        Eraser {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            lanes: Arc::new(LanesOf(self.lanes.clone())),
        }
    }
}

/// The lanes as an erasure needs them.
struct LanesOf(Handle);

#[async_trait]
impl Lanes for LanesOf {
    async fn forget(&self, condemned: &Condemned) -> bool {
        self.0.forget(condemned.clone()).await.is_ok()
    }
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
