//! A receiver that writes down when what arrived, what was in its hands at the same time, and how long this test itself
//! stood still: a machine that is busy elsewhere is nobody's fault.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{Request, Response};
use mojito_relay::app;
use mojito_relay::http::body::{BodyBudget, BodyLimits, Inbound, read_body};
use mojito_relay::http::{Handler, Peer, Reply, Server, ServerLimits, Stop};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;

use crate::process::PATIENCE;

/// How long a request takes.
const WORK: Duration = Duration::from_millis(20);
/// The pulse by which it is seen that nothing ran for a while.
const PULSE: Duration = Duration::from_millis(10);

/// Takes everything.
pub struct Till {
    book: Mutex<Book>,
    news: Notify,
    /// Requests stay in its hands for as long as this is so.
    holds: watch::Sender<bool>,
    stalls: Mutex<Vec<(Instant, Duration)>>,
}

#[derive(Default)]
struct Book {
    all: Vec<Taken>,
    in_hand: HashMap<String, HashSet<usize>>,
    overlaps: Vec<Overlap>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Taken {
    pub id: String,
    pub subject: String,
    pub revision: u64,
    pub at: Instant,
    /// When it was answered, or its sender was gone.
    pub over: Option<Instant>,
}

/// One that arrived while another of its subject was in hand.
#[derive(Clone, Debug)]
pub struct Overlap {
    pub first: Taken,
    pub second: Taken,
}

/// A request in hand; also one whose sender goes away leaves it.
struct InHand<'a> {
    till: &'a Till,
    place: usize,
    subject: String,
}

impl Till {
    pub async fn open() -> (Arc<Self>, SocketAddr) {
        let till = Arc::new(Self {
            book: Mutex::default(),
            news: Notify::new(),
            holds: watch::Sender::new(false),
            stalls: Mutex::default(),
        });
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = app::listen(local).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(ServerLimits::admin(), None, app::system_clock());
        tokio::spawn(server.run(listener, till.clone(), Stop::default(), TaskTracker::new()));
        let watched = till.clone();
        std::thread::spawn(move || watched.feel_stalls());
        (till, address)
    }

    fn feel_stalls(&self) {
        let mut last = Instant::now();
        loop {
            std::thread::sleep(PULSE);
            let now = Instant::now();
            let late = now - last;
            if late > 3 * PULSE {
                self.stalls.lock().unwrap().push((last, late));
            }
            last = now;
        }
    }

    /// How long this test stood still between two moments.
    pub fn stalled(&self, from: Instant, to: Instant) -> Duration {
        let stalls = self.stalls.lock().unwrap();
        let within = stalls
            .iter()
            .filter(|(at, late)| *at < to && *at + *late > from);
        within.map(|(_, late)| *late).sum()
    }

    pub fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.book.lock().unwrap().all.clone()
    }

    pub fn overlaps(&self) -> Vec<Overlap> {
        self.book.lock().unwrap().overlaps.clone()
    }

    /// By subject, the revisions in the order in which each first arrived.
    pub fn first_arrivals(&self) -> BTreeMap<String, Vec<u64>> {
        let mut arrivals: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for taken in self.taken() {
            let revisions = arrivals.entry(taken.subject).or_default();
            if !revisions.contains(&taken.revision) {
                revisions.push(taken.revision);
            }
        }
        arrivals
    }

    /// Waits until `enough`, looking anew whenever something arrives.
    pub async fn until(&self, what: &str, enough: impl Fn(&[Taken]) -> bool) {
        let waiting = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if enough(&self.taken()) {
                    return;
                }
                news.await;
            }
        };
        let over = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            over.is_ok(),
            "waited in vain for {what}: {} arrived",
            self.taken().len()
        );
    }

    fn enter(&self, id: String, subject: String, revision: u64) -> InHand<'_> {
        let mut book = self.book.lock().unwrap();
        let taken = Taken {
            id,
            subject: subject.clone(),
            revision,
            at: Instant::now(),
            over: None,
        };
        let place = book.all.len();
        let others: Vec<usize> = book
            .in_hand
            .get(&subject)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for other in others {
            let first = book.all[other].clone();
            let second = taken.clone();
            book.overlaps.push(Overlap { first, second });
        }
        book.in_hand
            .entry(subject.clone())
            .or_default()
            .insert(place);
        book.all.push(taken);
        drop(book);
        self.news.notify_waiters();
        InHand {
            till: self,
            place,
            subject,
        }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut book = self.till.book.lock().unwrap();
        book.all[self.place].over = Some(Instant::now());
        if let Some(subject) = book.in_hand.get_mut(&self.subject) {
            subject.remove(&self.place);
        }
        drop(book);
        self.till.news.notify_waiters();
    }
}

#[async_trait]
impl Handler for Till {
    async fn handle(&self, request: Request<Inbound>, _peer: Peer) -> Response<Reply> {
        let (parts, body) = request.into_parts();
        let limits = BodyLimits {
            max_body: 1 << 20,
            deadline: PATIENCE,
        };
        let body = read_body(body, limits, &BodyBudget::new(8 << 20)).await;
        let Ok(body) = body else {
            // Its sender was killed in the middle of it.
            return Response::new(Reply::new("gone"));
        };
        let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
        let parsed: Value = serde_json::from_slice(&body.bytes).unwrap();
        let subject = parsed["id"].as_str().unwrap().to_owned();
        let revision = header("relay-subject-revision").parse().unwrap();
        let in_hand = self.enter(header("webhook-id"), subject, revision);
        tokio::time::sleep(WORK).await;
        let mut holds = self.holds.subscribe();
        let _open_for_ever = holds.wait_for(|holds| !holds).await;
        drop(in_hand);
        Response::new(Reply::new("ok"))
    }
}
