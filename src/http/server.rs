//! Accepts connections within limits, and lets them go when the relay stops. What is said on
//! them is `connection`'s business, what is answered the handler's.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::Inbound;
use super::link::Link;
use super::peer::Peer;
use super::reply::Reply;
use super::timer::{self, Instant};
use super::tls::Certificates;
use super::{ServerSettings, connection};
use crate::clock::Clock;
use crate::model::plus;

/// Largest head of a request, in bytes; above it 431.
const MAX_HEAD: usize = 32 * 1024;

/// HTTP/2 streams that a peer may reset before they were looked at, and that it may make us reset.
const MAX_RESETS: usize = 64;

/// Between looks for a connection that can make room, unless one goes before.
const PAUSE: Duration = Duration::from_millis(100);

/// That accepting fails is said once in so long.
const QUIET: Duration = Duration::from_mins(1);

/// Answers requests. A handler's future is dropped where its peer goes away first.
#[async_trait]
pub trait Handler: Send + Sync {
    async fn handle(&self, request: Request<Inbound>, peer: Peer) -> Response<Reply>;
}

/// How much a server takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// For a TLS handshake, for the head of a request from the end of the one before, for a peer that takes
    /// no bytes of its answer, and for the end of a connection.
    pub header_deadline: Duration,
    /// Beyond it the connection that has been idle longest makes room, or else the one whose request has been coming in
    /// for longest; while neither is there, new ones wait.
    pub max_connections: usize,
    /// HTTP/2 streams at once on one connection.
    pub max_streams: u32,
}

/// How a server is told to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Take nothing more, finish what is under way.
    pub drain: CancellationToken,
    /// Drop what is left.
    pub force: CancellationToken,
}

/// A server for one listener: HTTP/1.1 and HTTP/2, with TLS where it has certificates.
pub struct Server {
    limits: ServerLimits,
    certificates: Option<Arc<Certificates>>,
    clock: Arc<dyn Clock>,
}

/// What all connections of a server share.
pub(super) struct Hall {
    pub(super) limits: ServerLimits,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) protocols: auto::Builder<Tracked>,
    pub(super) handler: Arc<dyn Handler>,
    guests: Arc<Guests>,
    clock: Arc<dyn Clock>,
}

/// Runs the tasks of HTTP/2 streams where they are waited for.
#[derive(Clone)]
pub(super) struct Tracked(TaskTracker);

/// The connections of a server.
struct Guests {
    epoch: Instant,
    links: Mutex<HashMap<u64, Arc<Link>>>,
    serial: AtomicU64,
    left: Notify,
}

/// A connection's place among the guests, given up when it is dropped.
pub(super) struct Place {
    id: u64,
    guests: Arc<Guests>,
    pub(super) link: Arc<Link>,
}

impl From<&ServerSettings> for ServerLimits {
    fn from(settings: &ServerSettings) -> Self {
        Self {
            header_deadline: settings.header_deadline,
            max_connections: settings.max_connections,
            max_streams: settings.max_streams,
        }
    }
}

impl ServerLimits {
    /// For the admin port: few connections, and patience for people.
    pub const fn admin() -> Self {
        Self {
            header_deadline: Duration::from_secs(10),
            max_connections: 512,
            max_streams: 128,
        }
    }
}

impl Server {
    pub fn new(
        limits: ServerLimits,
        certificates: Option<Arc<Certificates>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            limits,
            certificates,
            clock,
        }
    }

    /// Serves until it is told to stop, and returns when the last connection is gone. The listener
    /// is closed as soon as draining begins.
    pub async fn run(
        self,
        listener: TcpListener,
        handler: Arc<dyn Handler>,
        stop: Stop,
        tasks: TaskTracker,
    ) {
        let hall = Arc::new(Hall {
            limits: self.limits,
            tls: self
                .certificates
                .map(|certificates| TlsAcceptor::from(certificates.server_config())),
            protocols: protocols(&self.limits, &tasks),
            handler,
            guests: Guests::new(),
            clock: self.clock,
        });
        tokio::select! {
            () = stop.drain.cancelled() => {}
            () = stop.force.cancelled() => {}
            () = hall.accept(&listener, &tasks) => {}
        }
        drop(listener);
        let guests = &hall.guests;
        guests.each(Link::drain);
        tokio::select! {
            () = stop.force.cancelled() => guests.each(Link::force),
            () = guests.gone() => {}
        }
        guests.gone().await;
    }
}

fn protocols(limits: &ServerLimits, tasks: &TaskTracker) -> auto::Builder<Tracked> {
    let mut builder = auto::Builder::new(Tracked(tasks.clone()));
    // Queueing, not flattening, so that a reply's bytes are let go only once they were written.
    // Its own header deadline stays off: the connection's patience covers every protocol, and TLS.
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .writev(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_deadline)
        .keep_alive_timeout(limits.header_deadline)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS);
    builder
}

impl Hall {
    /// Accepts connections, for ever.
    async fn accept(self: &Arc<Self>, listener: &TcpListener, tasks: &TaskTracker) {
        let mut quiet_until = None;
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    self.make_room().await;
                    self.admit(stream, address, tasks);
                }
                Err(error) if concerns_one_peer(&error) => {}
                Err(error) => {
                    let now = self.clock.now();
                    if quiet_until.is_none_or(|until| now >= until) {
                        tracing::warn!(%error, "connections cannot be accepted; idle and slow ones are closed to make room");
                        quiet_until = Some(plus(now, QUIET));
                    }
                    self.guests.evict_one();
                    self.somebody_left().await;
                }
            }
        }
    }

    /// Returns once there is room for one more connection.
    async fn make_room(&self) {
        let max = self.limits.max_connections.max(1);
        let mut asked = false;
        while self.guests.count() >= max {
            if !asked {
                self.guests.evict_one();
            }
            // Somebody may leave without having been asked; a busy one may fall idle.
            asked = self.somebody_left().await;
        }
    }

    /// Waits until a connection is gone, or for a moment: false then.
    async fn somebody_left(&self) -> bool {
        tokio::select! {
            () = self.guests.left.notified() => true,
            () = self.clock.pause(PAUSE) => false,
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, address: SocketAddr, tasks: &TaskTracker) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it was served");
            return;
        }
        let place = self.guests.enter();
        tasks.spawn(connection::serve(self.clone(), stream, address, place));
    }
}

/// Errors of `accept` that belong to the connection that was to be accepted.
fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

impl Guests {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: timer::now(),
            links: Mutex::new(HashMap::new()),
            serial: AtomicU64::new(0),
            left: Notify::new(),
        })
    }

    fn enter(self: &Arc<Self>) -> Place {
        let id = self.serial.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link::new(self.epoch));
        self.links().insert(id, link.clone());
        Place {
            id,
            guests: self.clone(),
            link,
        }
    }

    fn count(&self) -> usize {
        self.links().len()
    }

    /// Asks the connection to go that can best be done without. Those already asked are passed over.
    fn evict_one(&self) {
        let links = self.links();
        let least = links
            .values()
            .filter(|link| !link.is_leaving())
            .filter_map(|link| Some((link.dispensable()?, link)))
            .min_by_key(|(order, _)| *order);
        if let Some((_, link)) = least {
            link.evict();
        }
    }

    fn each(&self, tell: impl Fn(&Link)) {
        for link in self.links().values() {
            tell(link);
        }
    }

    /// Returns once all have left.
    async fn gone(&self) {
        while self.count() > 0 {
            self.left.notified().await;
        }
    }

    fn links(&self) -> MutexGuard<'_, HashMap<u64, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.links().remove(&self.id);
        self.guests.left.notify_one();
    }
}

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
