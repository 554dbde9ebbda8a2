//! The wiring: builds everything from settings, spawns a handful of named tasks, swaps the rules on
//! reload, and shuts down in phases.

mod compile;
mod rehearse;
mod reload;
mod samples;

pub use compile::{Compiled, Ready, compile};
pub use rehearse::{Rehearsal, rehearse};
pub use reload::{Reloader, load};
pub use samples::{SAMPLES, sample};

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, SystemClock};
use crate::config::{StoreSettings, StoreUrl};
use crate::dispatch::{Bench, Dispatcher, Handle};
use crate::doorbell::doorbell;
use crate::http::admin::{Admin, InForce};
use crate::http::{Certificates, Ingress, Server, ServerLimits, Stop, TlsError};
use crate::intake::{Intake, Parts as IntakeParts};
use crate::model::{Name, plus};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, Telemetry};
use crate::transport::{NetworkTransport, Transport};

/// Rings that may wait for the lanes before they are told to look into the store instead.
const RINGS: usize = 4096;

/// What is handed in: time, chance, sockets, store and network.
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub seed: [u8; 32],
    pub store: Arc<dyn Store>,
    pub transport: Arc<dyn Transport>,
    pub telemetry: Arc<Telemetry>,
    /// Where senders post.
    pub ingress: TcpListener,
    pub admin: TcpListener,
}

/// Why the relay does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: SocketAddr,
        error: std::io::Error,
    },
    #[error("the system gives no random numbers")]
    Random,
}

/// A relay at work.
pub struct Relay {
    /// Where senders post.
    pub ingress: SocketAddr,
    pub admin: SocketAddr,
    pub telemetry: Arc<Telemetry>,
    pub reloader: Arc<Reloader>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    grace: Duration,
    running: JoinSet<&'static str>,
    tasks: TaskTracker,
    attempts: TaskTracker,
    draining: Arc<AtomicBool>,
    stop: Stops,
}

/// One for each phase of the shutdown.
#[derive(Default)]
struct Stops {
    ingress: Stop,
    lanes: CancellationToken,
    admin: Stop,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was under way is finished and recorded.
    Clean,
    /// The grace was over, or a second signal came: what was under way is sent again after a start.
    Forced,
}

/// The machine's clock.
pub fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

/// 32 random bytes of the system.
pub fn system_seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed)
        .map_err(|_| StartError::Random)?;
    Ok(seed)
}

/// Opens the store that `settings` name; its commits are measured.
pub fn open_store(
    settings: &StoreSettings,
    key: [u8; 32],
    clock: Arc<dyn Clock>,
    telemetry: &Arc<Telemetry>,
) -> Result<Arc<dyn Store>, StoreError> {
    let StoreUrl::Sqlite(path) = &settings.url;
    let watched = telemetry.clone();
    let on_commit = move |took: Duration, batch: usize| {
        watched.metrics.store_commit.observe(took.as_secs_f64());
        watched
            .metrics
            .store_batch
            .observe(f64::from(u32::try_from(batch).unwrap_or(u32::MAX)));
    };
    let options = SqliteOptions {
        path: path.clone(),
        key,
        clock,
        on_commit: Some(Arc::new(on_commit)),
    };
    Ok(Arc::new(SqliteStore::open(&options)?))
}

/// A fresh set of metrics and a feed.
pub fn telemetry() -> Arc<Telemetry> {
    Arc::new(Telemetry::new(Metrics::default()))
}

/// The real network.
pub fn network() -> Arc<NetworkTransport> {
    Arc::new(NetworkTransport::default())
}

/// Opens a listening socket.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| StartError::Listen { address, error })
}

impl Relay {
    /// Builds everything and sets it to work.
    pub async fn start(ready: Ready, parts: Parts) -> Result<Self, StartError> {
        let Ready {
            config, compiled, ..
        } = ready;
        let address = |listener: &TcpListener| {
            listener.local_addr().map_err(|error| StartError::Listen {
                address: config.server.listen,
                error,
            })
        };
        let (ingress, admin) = (address(&parts.ingress)?, address(&parts.admin)?);
        let mut chance = StdRng::from_seed(parts.seed);
        let mut fork = || -> Box<dyn Rng + Send> { Box::new(StdRng::from_rng(&mut chance)) };
        let (tasks, attempts) = (TaskTracker::new(), TaskTracker::new());
        let (bell, listener) = doorbell(RINGS);
        let bench = Bench {
            store: parts.store.clone(),
            transport: parts.transport.clone(),
            clock: parts.clock.clone(),
            telemetry: parts.telemetry.clone(),
        };
        let (dispatcher, lanes) = Dispatcher::new(bench, listener, fork(), attempts.clone());
        let in_force = InForce {
            hash: config.hash.clone(),
            generation: 1,
            loaded_at: parts.clock.now(),
            sources: source_names(&compiled),
        };
        let in_force = Arc::new(ArcSwap::from_pointee(in_force));
        let intake_parts = IntakeParts {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            doorbell: bell.clone(),
            telemetry: parts.telemetry.clone(),
            tasks: tasks.clone(),
            random: Mutex::new(fork()),
            max_waiting: config.store.max_waiting,
        };
        let intake = Arc::new(Intake::new(intake_parts, compiled.rules));
        let certificates = config
            .server
            .tls
            .clone()
            .map(Certificates::load)
            .transpose()?;
        let door = Ingress::new(
            &config.server,
            intake.clone(),
            parts.telemetry.clone(),
            parts.clock.clone(),
        );
        let stop = Stops::default();
        let draining = Arc::new(AtomicBool::new(false));
        let office = Admin {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            telemetry: parts.telemetry.clone(),
            lanes: lanes.clone(),
            doorbell: bell,
            token: config.admin.token.clone(),
            in_force: in_force.clone(),
            draining: draining.clone(),
        };
        let mut running = JoinSet::new();
        let server = Server::new(
            ServerLimits::from(&config.server),
            certificates.clone(),
            parts.clock.clone(),
        );
        let serving = server.run(
            parts.ingress,
            Arc::new(door),
            stop.ingress.clone(),
            tasks.clone(),
        );
        spawn(&mut running, "ingress", serving);
        let server = Server::new(ServerLimits::admin(), None, parts.clock.clone());
        let serving = server.run(
            parts.admin,
            Arc::new(office),
            stop.admin.clone(),
            tasks.clone(),
        );
        spawn(&mut running, "admin", serving);
        spawn(&mut running, "lanes", dispatcher.run(stop.lanes.clone()));
        open_lanes(&lanes, compiled.lanes, compiled.routes).await?;
        parts.telemetry.metrics.reloaded(parts.clock.now(), true);
        let grace = config.server.shutdown_grace;
        let reloader = Reloader {
            fixed: reload::Fixed::of(&config),
            intake,
            lanes,
            certificates,
            transport: parts.transport,
            telemetry: parts.telemetry.clone(),
            clock: parts.clock.clone(),
            in_force,
        };
        Ok(Self {
            ingress,
            admin,
            telemetry: parts.telemetry,
            reloader: Arc::new(reloader),
            store: parts.store,
            clock: parts.clock,
            grace,
            running,
            tasks,
            attempts,
            draining,
            stop,
        })
    }

    /// Waits for a task that ends although nobody asked it to: the relay cannot go on then.
    pub async fn broken(&mut self) -> &'static str {
        match self.running.join_next().await {
            Some(Ok(name)) => name,
            Some(Err(_)) => "a task that panicked",
            None => "everything",
        }
    }

    /// Not ready; takes nothing more; finishes requests, then attempts, within the grace; lets the store go.
    /// `force` cuts the grace short.
    pub async fn shut_down(mut self, force: CancellationToken) -> Ended {
        self.draining.store(true, Ordering::Relaxed);
        let deadline = plus(self.clock.now(), self.grace);
        let out_of_time = async {
            tokio::select! {
                () = force.cancelled() => {}
                () = self.clock.sleep_until(deadline) => {}
            }
        };
        self.stop.ingress.drain.cancel();
        let orderly = async {
            // Requests first: what they bring in may still go out.
            while let Some(ended) = self.running.join_next().await {
                match ended {
                    Ok("ingress") | Err(_) => self.stop.lanes.cancel(),
                    Ok("lanes") => self.stop.admin.drain.cancel(),
                    Ok(_) => {}
                }
            }
            self.attempts.close();
            self.attempts.wait().await;
        };
        let ended = tokio::select! {
            () = orderly => Ended::Clean,
            () = out_of_time => Ended::Forced,
        };
        self.stop.ingress.force.cancel();
        self.stop.admin.force.cancel();
        self.stop.lanes.cancel();
        self.running.shutdown().await;
        self.tasks.close();
        if ended == Ended::Clean {
            self.tasks.wait().await;
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close cleanly; what was acknowledged is safe in its log");
        }
        ended
    }
}

/// The lanes are there before the relay says that it is.
async fn open_lanes(
    lanes: &Handle,
    specs: Vec<crate::dispatch::LaneSpec>,
    routes: Arc<crate::dispatch::RouteValues>,
) -> Result<(), StoreError> {
    lanes
        .reconfigure(specs, routes)
        .await
        .map_err(|_| StoreError::Closed)
}

fn source_names(compiled: &Compiled) -> Vec<Name> {
    let mut names: Vec<Name> = compiled.rules.sources.keys().cloned().collect();
    names.sort();
    names
}

fn spawn(
    running: &mut JoinSet<&'static str>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    running.spawn(async move {
        task.await;
        name
    });
}
