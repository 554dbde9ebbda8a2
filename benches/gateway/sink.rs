//! The receiver of what goes out: counts, and notes when the first byte of each body's event came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[derive(Default)]
struct Seen {
    count: AtomicU64,
    /// When events came, by their number; kept only while somebody wants to know.
    times: Mutex<Option<HashMap<u64, Instant>>>,
    news: Notify,
}

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let seen = shared.clone();
                let service = service_fn(move |request| take(request, seen.clone()));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, seen }
    }

    pub(crate) fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// From now on the times of arrival are noted.
    pub(crate) fn note_times(&self) {
        *self.seen.times.lock().unwrap() = Some(HashMap::new());
    }

    fn time_of(&self, number: u64) -> Option<Instant> {
        let times = self.seen.times.lock().unwrap();
        times.as_ref()?.get(&number).copied()
    }

    /// When event `number` came, once it has.
    pub(crate) async fn came(&self, number: u64) -> Instant {
        loop {
            let news = self.seen.news.notified();
            if let Some(time) = self.time_of(number) {
                return time;
            }
            let waited = tokio::time::timeout(Duration::from_secs(30), news).await;
            assert!(waited.is_ok(), "event {number} never came");
        }
    }
}

async fn take(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let now = Instant::now();
    let body = request.into_body().collect().await?.to_bytes();
    seen.count.fetch_add(1, Ordering::Relaxed);
    if let Some(times) = seen.times.lock().unwrap().as_mut() {
        let text = String::from_utf8_lossy(&body);
        let number = text
            .split_once("-8000-")
            .and_then(|(_, rest)| u64::from_str_radix(rest.get(..12)?, 16).ok());
        times.entry(number.unwrap()).or_insert(now);
        seen.news.notify_waiters();
    }
    Ok(Response::new(Empty::new()))
}
