//! Receivers that answer by the time of day, and remember what came when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use mojito_relay::clock::{Clock as _, ManualClock};
use mojito_relay::model::after;
use mojito_relay::transport::{Answer, Failure, FailureKind, Outgoing, Transport};
use serde_json::Value;
use tokio::sync::Notify;

use crate::harness::{TestRelay, answer, submitted};

/// Something happens within this time, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Posts that are on their way together.
const AT_ONCE: u32 = 64;

/// What each host does with a request at a time since the start; None where nobody answers.
type Manner = Box<dyn Fn(&Arrival) -> Option<Answer> + Send + Sync>;

pub struct Town {
    clock: OnceLock<(Arc<ManualClock>, Timestamp)>,
    manner: Manner,
    arrivals: Mutex<Vec<Arrival>>,
    /// By host: asked after every arrival, so it is not counted anew.
    taken: Mutex<HashMap<String, usize>>,
    news: Notify,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub host: String,
    /// Since the start.
    pub at: Duration,
    /// When the lane let it go, in seconds since 1970: a clock that is moved by hand may be past that.
    pub sent: u64,
    pub subject: String,
    pub revision: u32,
    pub taken: bool,
}

impl Town {
    pub fn new(manner: impl Fn(&Arrival) -> Option<Answer> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            clock: OnceLock::new(),
            manner: Box::new(manner),
            arrivals: Mutex::default(),
            taken: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// A relay that sends here.
    pub async fn relay(self: &Arc<Self>, toml: &str) -> TestRelay {
        let relay = TestRelay::start_towards(self.clone(), toml).await;
        let clock = relay.clock.clone();
        let start = clock.now();
        assert!(self.clock.set((clock, start)).is_ok());
        relay
    }

    pub fn now(&self) -> Duration {
        let (clock, start) = self.clock.get().unwrap();
        after(*start, clock.now())
    }

    pub fn arrivals(&self, host: &str) -> Vec<Arrival> {
        let arrivals = self.arrivals.lock().unwrap();
        arrivals
            .iter()
            .filter(|one| one.host == host)
            .cloned()
            .collect()
    }

    pub fn taken(&self, host: &str) -> usize {
        let taken = self.taken.lock().unwrap();
        taken.get(host).copied().unwrap_or(0)
    }

    /// Waits, while time stands still, until so many were taken.
    pub async fn until_taken(&self, host: &str, count: usize) {
        while self.taken(host) < count {
            let news = tokio::time::timeout(PATIENCE, self.news.notified()).await;
            assert!(news.is_ok(), "{} of {count} at {host}", self.taken(host));
        }
    }

    /// Lets time pass, from one thing that waits for it to the next, until `enough`.
    pub async fn live(&self, relay: &TestRelay, enough: impl Fn() -> bool) {
        while !enough() {
            let something = async {
                tokio::select! {
                    biased;
                    () = self.news.notified() => {}
                    at = relay.clock.sleeper() => {
                        relay.advance(after(relay.clock_now(), at));
                    }
                }
            };
            let happened = tokio::time::timeout(PATIENCE, something).await;
            assert!(happened.is_ok(), "waited in vain at {:?}", self.now());
        }
    }

    /// Every subject arrived in order, and nothing was taken twice.
    pub fn is_in_order_and_once(&self, host: &str) -> HashMap<String, u32> {
        let mut last: HashMap<String, u32> = HashMap::new();
        for one in self.arrivals(host).into_iter().filter(|one| one.taken) {
            let before = last.insert(one.subject.clone(), one.revision);
            assert!(before.unwrap_or(0) < one.revision, "{before:?}, {one:?}");
        }
        last
    }

    /// The most that was sent within one second.
    pub fn busiest(&self, host: &str) -> usize {
        let mut seconds: HashMap<u64, usize> = HashMap::new();
        for one in self.arrivals(host) {
            *seconds.entry(one.sent).or_default() += 1;
        }
        seconds.into_values().max().unwrap_or(0)
    }
}

/// An answer that takes it.
pub fn taken() -> Answer {
    answer(200, "ok")
}

/// Posts a revision of each of so many subjects.
pub async fn post(relay: &TestRelay, subjects: u32, revision: u32) {
    let all: Vec<u32> = (0..subjects).collect();
    for batch in all.chunks(AT_ONCE as usize) {
        let sender = relay.sender();
        let posts = batch.iter().map(|n| {
            sender.post(
                "jobmojito",
                submitted(&format!("s-{n}"), f64::from(revision)),
            )
        });
        for reply in join_all(posts).await {
            assert_eq!(reply.status, 202, "{reply:?}");
        }
    }
}

/// Waits until nothing waits and nothing is under way; answers with the counts.
pub async fn settled(relay: &TestRelay) -> Value {
    loop {
        let counts = relay.get("/api/v1/status").await.json()["counts"].clone();
        if counts["waiting"] == 0 && counts["sending"] == 0 {
            return counts;
        }
    }
}

#[async_trait]
impl Transport for Town {
    async fn send(&self, request: Outgoing) -> Result<Answer, Failure> {
        let header = |name: &str| {
            let value = request.headers.get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let mut arrival = Arrival {
            host: request.url.host_str().unwrap().to_owned(),
            at: self.now(),
            sent: header("webhook-timestamp").parse().unwrap(),
            subject: body["id"].as_str().unwrap().to_owned(),
            revision: header("relay-subject-revision").parse().unwrap(),
            taken: false,
        };
        let reply = (self.manner)(&arrival);
        arrival.taken = reply
            .as_ref()
            .is_some_and(|answer| answer.status.is_success());
        let counted = arrival.taken.then(|| arrival.host.clone());
        self.arrivals.lock().unwrap().push(arrival);
        // After it is in the list: who waits for the count looks there.
        if let Some(host) = counted {
            let mut taken = self.taken.lock().unwrap();
            *taken.entry(host).or_default() += 1;
        }
        self.news.notify_one();
        reply.ok_or_else(|| Failure {
            kind: FailureKind::Connect,
            message: "cannot connect: refused".to_owned(),
        })
    }

    fn reload(&self) {}
}
