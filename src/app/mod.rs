//! The wiring: builds everything from settings, spawns a handful of named tasks, swaps the rules on
//! reload, and shuts down in phases.

mod bridges;
mod compile;
mod diff;
mod explain;
mod lacks;
mod online;
mod open_files;
mod reach;
mod rehearse;
mod reload;
mod samples;
mod stores;
mod trials;
mod watch;
mod wires;

pub use compile::{Compiled, Ready, compile};
pub use diff::{Difference, DifferenceKind, differences};
pub use explain::{
    Answer, AsKept, ClauseAnswer, DeliveryAnswer, DeliveryOutcome, Explanation, Fate, Past,
    Question, RECEIPT, RouteAnswer, Unanswerable, explain,
};
pub use online::{Look, look_online};
pub use rehearse::{Rehearsal, rehearse};
pub use reload::{Reloader, load};
pub use samples::{SAMPLES, Samples, edited, sample};
pub use stores::{back_up, move_store, open_store};

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::dispatch::{Crier, Dispatcher, Handle, Holder};
use crate::doorbell::doorbell;
use crate::http::admin::{InForce, Streams};
use crate::http::{Certificates, Ingress, Server, ServerLimits, Stop, TlsError};
use crate::intake::Intake;
use crate::model::Name;
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, Telemetry, Traces};
use crate::transport::{Names, NetworkTransport, SystemNames, Transport};
use crate::upkeep::{Alerts, Jobs, Told};
use wires::Wires;

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
    #[error("{0}")]
    Traces(String),
}

/// A relay at work.
pub struct Relay {
    /// Where senders post.
    pub ingress: SocketAddr,
    pub admin: SocketAddr,
    pub telemetry: Arc<Telemetry>,
    pub reloader: Arc<Reloader>,
    /// What the doors lead to.
    pub intake: Arc<Intake>,
    pub lanes: Handle,
    pub jobs: Arc<Jobs>,
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

/// A fresh set of metrics and a feed, and traces where the environment names a collector.
pub fn telemetry(ready: &Ready) -> Result<Arc<Telemetry>, StartError> {
    let settings = crate::config::traces(&ready.inputs.environment).map_err(StartError::Traces)?;
    let start = |settings| Traces::start(&settings, network()).map_err(StartError::Traces);
    let traces = settings.map(start).transpose()?.unwrap_or_default();
    Ok(Arc::new(Telemetry::new(Metrics::default(), traces)))
}

/// The real network.
pub fn network() -> Arc<NetworkTransport> {
    Arc::new(NetworkTransport::default())
}

/// What this machine knows of where hosts are.
pub fn names() -> Arc<dyn Names> {
    Arc::new(SystemNames)
}

/// Connections that may wait to be accepted; the kernel has a ceiling of its own (`net.core.somaxconn`). Beyond the usual 128
/// the kernel drops what comes in, and a sender tries again only after a second.
const BACKLOG: u32 = 4096;

/// Opens a listening socket.
#[expect(clippy::unused_async, reason = "it wants a runtime around it")]
pub async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| StartError::Listen { address, error })
}

impl Relay {
    /// Builds everything and sets it to work.
    pub async fn start(ready: Ready, parts: Parts) -> Result<Self, StartError> {
        let Ready {
            config,
            compiled,
            inputs,
            files,
            ..
        } = ready;
        let ingress = address_of(&parts.ingress, &config)?;
        let admin = address_of(&parts.admin, &config)?;
        lacks::warnings(&compiled, &*parts.store).await;
        let tls = config.server.tls.clone();
        let certificates = tls.map(Certificates::load).transpose()?;
        let mut chance = StdRng::from_seed(parts.seed);
        let mut fork = || -> Box<dyn Rng + Send> { Box::new(StdRng::from_rng(&mut chance)) };
        let (tasks, attempts) = (TaskTracker::new(), TaskTracker::new());
        let (bell, listener) = doorbell(RINGS);
        let (dispatcher, lanes) =
            Dispatcher::new(wires::bench(&parts), listener, fork(), attempts.clone());
        let in_force = first(&config, &parts);
        let (renamed, names) = (compiled.renamed(), lane_names(&compiled));
        let senders = wires::senders(&parts, &compiled);
        let upkept = (
            config.keep.clone(),
            senders,
            Told::to(config.alerts.clone()),
        );
        let mut wires = Wires::new((bell, lanes, tasks.clone()), certificates, in_force, upkept);
        let stop = Stops::default();
        let replicas = wires.replicas(&parts, stop.lanes.clone());
        let waiting = (fork(), config.store.max_waiting);
        let intake = wires::intake(&parts, &wires.bell, &tasks, waiting);
        let intake = Arc::new(Intake::new(intake, compiled.rules));
        let held = watch::look(files.clone()).await;
        let made_from = (&config, inputs, (files, held));
        let reloader = wires.reloader(made_from, &parts, intake.clone());
        let reloader = Arc::new(reloader);
        let mut relay = Self {
            ingress,
            admin,
            reloader,
            jobs: wires.jobs(&parts, intake.clone(), config.store.max_waiting),
            lanes: wires.lanes.clone(),
            intake,
            grace: config.server.shutdown_grace,
            running: JoinSet::new(),
            tasks,
            attempts,
            draining: wires.draining.clone(),
            stop,
            telemetry: parts.telemetry.clone(),
            store: parts.store.clone(),
            clock: parts.clock.clone(),
        };
        let beside = (fork(), relay.attempts.clone());
        let mut alerts = wires.alerts(&parts, relay.intake.clone(), beside);
        alerts.recall(&names).await;
        relay.spawn("lanes", dispatcher.run(relay.stop.lanes.clone()));
        // The lanes are there before the doors open.
        let opening = relay.lanes.reconfigure(compiled.lanes, compiled.routes);
        opening.await.map_err(|_| StoreError::Closed)?;
        Box::pin(relay.join(replicas)).await;
        relay.keep_up(&parts, &wires, (alerts, renamed));
        relay.open_doors(&config, parts, wires);
        relay.note(&config);
        Ok(relay)
    }

    /// Begins to see changes of the configuration, and to tell how it stands.
    fn note(&mut self, config: &Config) {
        if config.watch {
            self.watch();
        }
        let metrics = &self.telemetry.metrics;
        metrics.set_waiting_limit(config.store.max_waiting);
        metrics.reloaded(self.clock.now(), true);
    }

    /// Takes this relay's share of the lanes, where others may share its store.
    async fn join(&mut self, replicas: Option<(Holder, Crier)>) {
        if let Some((mut holder, crier)) = replicas {
            holder.begin().await;
            // Until the lanes have ended, which need what they hold until then.
            self.spawn("replicas", holder.run(self.stop.admin.drain.clone()));
            self.spawn("news of replicas", crier.run(self.stop.lanes.clone()));
        }
    }

    fn watch(&mut self) {
        let (reloader, clock) = (self.reloader.clone(), self.clock.clone());
        let stop = self.stop.lanes.clone();
        self.spawn("watch", watch::watch(reloader, clock, stop));
    }

    fn keep_up(
        &mut self,
        parts: &Parts,
        wires: &Wires,
        (alerts, renamed): (Alerts, Vec<(Name, Name)>),
    ) {
        let upkeep = wires.upkeep(parts, renamed);
        self.spawn("upkeep", upkeep.run(self.stop.lanes.clone()));
        // Until the lanes have ended: what dies last is told too.
        self.spawn("alerts", alerts.run(self.stop.admin.drain.clone()));
    }

    fn open_doors(&mut self, config: &Config, parts: Parts, wires: Wires) {
        let (intake, jobs) = (self.intake.clone(), self.jobs.clone());
        self.spawn("jobs", jobs.clone().run(self.stop.lanes.clone()));
        let streams = Streams::until(self.stop.admin.drain.clone());
        let office = wires.office(config, &parts, (self.reloader.clone(), streams, jobs));
        let (clock, telemetry) = (self.clock.clone(), self.telemetry.clone());
        let door = Arc::new(Ingress::new(
            &config.server,
            intake,
            telemetry,
            clock.clone(),
        ));
        let (senders, operators) = open_files::shared_out(ServerLimits::from(&config.server));
        let server = Server::new(senders, wires.certificates, clock.clone());
        let serving = server.run(
            parts.ingress,
            door,
            self.stop.ingress.clone(),
            self.tasks.clone(),
        );
        self.spawn("ingress", serving);
        let server = Server::new(operators, None, clock);
        let serving = server.run(
            parts.admin,
            Arc::new(office),
            self.stop.admin.clone(),
            self.tasks.clone(),
        );
        self.spawn("admin", serving);
    }

    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            task.await;
            name
        });
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
        let out_of_time = async {
            tokio::select! {
                () = force.cancelled() => {}
                () = self.clock.pause(self.grace) => {}
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
        self.telemetry.traces.close().await;
        ended
    }
}

fn address_of(listener: &TcpListener, config: &Config) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Listen {
        address: config.server.listen,
        error,
    })
}

fn lane_names(compiled: &Compiled) -> Vec<Name> {
    let lanes = compiled.lanes.iter();
    lanes.map(|lane| lane.destination.name().clone()).collect()
}

/// The configuration that a relay starts with.
fn first(config: &Config, parts: &Parts) -> InForce {
    InForce {
        hash: config.hash.clone(),
        generation: 1,
        loaded_at: parts.clock.now(),
        last_reload: None,
    }
}
