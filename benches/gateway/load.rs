//! A sender that costs little: bodies made beforehand but for their id, written and read by hand, so that what is
//! measured is the server. Each connection waits for its answer before it posts again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A result as the interview platform sends it, with texts that make it about as long as its usual ones, 1.2 kB.
const SAMPLE: &str = include_str!("../../samples/submitted-rich.json");
const SAMPLE_ID: &str = "912ff898-2e65-4a31-8ff5-d3c59005eb97";
const LENGTH: usize = 1_200;

/// When a sender has sent enough.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    After(Duration),
    Count(u64),
}

/// What a load was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) count: u64,
    pub(crate) took: Duration,
    /// From writing a request to having read its answer, sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Answered {
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

/// The body of event `number`: each is about another interview.
pub(crate) fn body(number: u64) -> String {
    let id = format!("00000000-0000-4000-8000-{number:012x}");
    let mut text = SAMPLE.trim_end().replacen(SAMPLE_ID, &id, 1);
    let more = LENGTH.saturating_sub(text.len());
    let filler = "a word or two "
        .chars()
        .cycle()
        .take(more)
        .collect::<String>();
    text = text.replacen(
        "Detailed analysis",
        &format!("Detailed analysis {filler}"),
        1,
    );
    text
}

/// One connection that posts.
pub(crate) struct Sender {
    stream: TcpStream,
    request: Vec<u8>,
    head: usize,
    answer: Vec<u8>,
}

impl Sender {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let length = body(0).len();
        let head = format!(
            "POST /hooks/jobmojito HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            super::relay::TOKEN
        );
        let mut request = head.into_bytes();
        let head = request.len();
        request.extend_from_slice(body(0).as_bytes());
        Self {
            stream,
            request,
            head,
            answer: Vec::with_capacity(4096),
        }
    }

    /// Posts event `number` and waits for a 2xx.
    pub(crate) async fn post(&mut self, number: u64) {
        let id = format!("{number:012x}");
        let needle = b"00000000-0000-4000-8000-";
        let tail = &mut self.request[self.head..];
        let at = tail.windows(needle.len()).position(|part| part == needle);
        let at = at.unwrap() + needle.len();
        tail[at..at + 12].copy_from_slice(id.as_bytes());
        self.stream.write_all(&self.request).await.unwrap();
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.unwrap();
            assert!(read > 0, "the server hung up");
            if whole(&self.answer) {
                break;
            }
        }
        assert_eq!(
            self.answer.get(9),
            Some(&b'2'),
            "{}",
            String::from_utf8_lossy(&self.answer)
        );
    }
}

/// Whether an answer with a length, or with no body at all, has arrived to its end.
fn whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse::<usize>().unwrap());
    answer.len() >= end + 4 + length
}

/// Posts over so many connections at once. Events are numbered on from `next`.
pub(crate) async fn post(
    to: SocketAddr,
    connections: usize,
    until: Until,
    next: &Arc<AtomicU64>,
) -> Answered {
    let mut senders = Vec::new();
    for _ in 0..connections {
        senders.push(Sender::connect(to).await);
    }
    let first = next.load(Ordering::Relaxed);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut sender in senders {
        let next = next.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let begun = Instant::now();
                if matches!(until, Until::After(time) if begun - started >= time) {
                    return latencies;
                }
                let number = next.fetch_add(1, Ordering::Relaxed);
                if matches!(until, Until::Count(count) if number - first >= count) {
                    return latencies;
                }
                sender.post(number).await;
                latencies.push(begun.elapsed());
            }
        });
    }
    let mut latencies = tasks.join_all().await.concat();
    let took = started.elapsed();
    latencies.sort_unstable();
    Answered {
        count: latencies.len() as u64,
        took,
        latencies,
    }
}
