//! A well-behaved sender: posts at a fixed rate, reads each answer, and comes again where a connection went.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::process::TOKEN;

/// Posts a second on each line.
const RATE: u32 = 25;
/// Lines that keep their connection, and lines that make a fresh one for each post.
const KEEPING: u32 = 4;
const FRESH: u32 = 4;
/// An acknowledgement later than this is no service.
const IN_TIME: Duration = Duration::from_secs(1);
/// No post takes as long as this unless the relay is lost to it.
pub const PATIENCE: Duration = Duration::from_secs(20);

static SUBJECTS: AtomicU64 = AtomicU64::new(0);

/// A sender at work, on a thread and a runtime of its own.
pub struct Sender {
    over: Arc<AtomicBool>,
    latencies: Arc<Mutex<Vec<Duration>>>,
    thread: JoinHandle<()>,
}

/// What it got.
pub struct Service {
    /// Acknowledged within a second of when it was due.
    pub in_time: usize,
    pub p50: Duration,
    pub p99: Duration,
}

impl Sender {
    pub fn start(relay: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let latencies = Arc::new(Mutex::new(Vec::new()));
        let (until, kept) = (over.clone(), latencies.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let lines = (0..KEEPING + FRESH).map(|number| {
                    let line = Line {
                        relay,
                        keeps: number < KEEPING,
                        offset: Duration::from_secs(1) / RATE * number / (KEEPING + FRESH),
                    };
                    tokio::spawn(line.work(until.clone(), kept.clone()))
                });
                for line in lines.collect::<Vec<_>>() {
                    line.await.unwrap();
                }
            });
        });
        Self {
            over,
            latencies,
            thread,
        }
    }

    /// Forgets what was before.
    pub fn begin(&self) {
        self.latencies.lock().unwrap().clear();
    }

    /// What was got since [`Self::begin`].
    pub fn service(&self) -> Service {
        let mut latencies = self.latencies.lock().unwrap().clone();
        latencies.sort_unstable();
        let at = |percent: usize| {
            let at = latencies.len() * percent / 100;
            latencies.get(at).copied().unwrap_or(PATIENCE)
        };
        Service {
            in_time: latencies.iter().filter(|took| **took <= IN_TIME).count(),
            p50: at(50),
            p99: at(99),
        }
    }

    /// Ends once every post under way is acknowledged; it panics where one never is.
    pub fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

struct Line {
    relay: SocketAddr,
    keeps: bool,
    offset: Duration,
}

impl Line {
    async fn work(self, over: Arc<AtomicBool>, latencies: Arc<Mutex<Vec<Duration>>>) {
        let mut due = Instant::now() + self.offset;
        let mut connection = None;
        while !over.load(Ordering::Relaxed) {
            sleep_until(due).await;
            let number = SUBJECTS.fetch_add(1, Ordering::Relaxed);
            let post = self.until_acknowledged(&mut connection, number);
            timeout(PATIENCE, post)
                .await
                .expect("a post of a well-behaved sender was never acknowledged");
            if !self.keeps {
                connection = None;
            }
            latencies.lock().unwrap().push(due.elapsed());
            due += Duration::from_secs(1) / RATE;
        }
    }

    /// A kept connection may have gone, and one that waits for its turn may be refused: a sender comes again.
    async fn until_acknowledged(&self, connection: &mut Option<TcpStream>, number: u64) {
        let body = format!(
            r#"{{"id":"subject-{number}","status":"active","interview_status":"completed","processing_status":"completed"}}"#
        );
        let text = format!(
            "POST /hooks/known HTTP/1.1\r\nhost: relay\r\nx-relay-token: {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        loop {
            if connection.is_none() {
                *connection = TcpStream::connect(self.relay).await.ok();
            }
            if let Some(stream) = connection.as_mut()
                && let Some(status) = exchange(stream, text.as_bytes()).await
            {
                // What was stored although its answer got lost is a duplicate the next time.
                assert!(matches!(status, 200 | 202), "{status}");
                return;
            }
            *connection = None;
        }
    }
}

/// Sends a request and reads the status of its answer; None where the connection ends before.
pub async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    head.split(' ').nth(1)?.parse().ok()
}
