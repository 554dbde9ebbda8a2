//! Kill -9 under load, again and again: what was acknowledged arrives, in order, and repeats are only
//! what was under way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Method;
use mojito_relay::transport::NetworkTransport;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::postgres::Cluster;
use crate::process::{Folder, Process, get, request};
use crate::receiver::Receiver;

const SEED: u64 = 20_261_122;
const ROUNDS: usize = 50;
/// Each takes seconds: a relay that was killed has its lanes until their lease is over.
const ROUNDS_OF_A_DATABASE: usize = 8;
const SENDERS: usize = 8;
const SUBJECTS: usize = 5;
const CONCURRENCY: usize = 8;

/// What the senders know.
#[derive(Default)]
struct Ledger {
    acknowledged: AtomicUsize,
    news: Notify,
}

/// One acknowledged post.
struct Acknowledged {
    event: String,
    subject: String,
    revision: u64,
    body: Bytes,
}

fn configuration(receiver: SocketAddr, store: &str) -> String {
    format!(
        "[store]\nurl = \"{store}\"\n[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\nurl = \"http://{receiver}/in\"\n\
         concurrency = {CONCURRENCY}\n\
         retry = {{ first = \"20ms\", max = \"100ms\", attempts = 10000, give_up_after = \"7d\" }}\n\
         breaker = {{ failures = 1000 }}\n[[routes]]\nto = [\"app\"]\n"
    )
}

/// Posts one revision after the other of its own subjects. Like the platform, it sends again what was not
/// acknowledged, until it is.
async fn sender(
    number: usize,
    mut relay: watch::Receiver<Option<SocketAddr>>,
    ledger: Arc<Ledger>,
) -> (Vec<Acknowledged>, Option<Bytes>) {
    let network = NetworkTransport::default();
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let subject = format!("s{number}-{}", count % SUBJECTS);
        let body = Bytes::from(format!(
            r#"{{"id":"{subject}","status":"active","interview_status":"completed","score":{count}}}"#
        ));
        loop {
            let Some(address) = *relay.borrow_and_update() else {
                return (acknowledged, Some(body));
            };
            let url = format!("http://{address}/hooks/jobmojito");
            match request(&network, Method::POST, &url, body.clone()).await {
                Ok(answer) if answer.status.is_success() => {
                    let told: Value = serde_json::from_slice(&answer.body).unwrap();
                    let (event, revision) = (
                        told["id"].as_str().unwrap().to_owned(),
                        told["revision"].as_u64().unwrap(),
                    );
                    acknowledged.push(Acknowledged {
                        event,
                        subject: subject.clone(),
                        revision,
                        body: body.clone(),
                    });
                    ledger.acknowledged.fetch_add(1, Ordering::Relaxed);
                    ledger.news.notify_waiters();
                    break;
                }
                Ok(answer) => assert_eq!(answer.status.as_u16(), 503, "{:?}", answer.body),
                // It was killed: the next one has another address.
                Err(_) if relay.changed().await.is_err() => return (acknowledged, Some(body)),
                Err(_) => {}
            }
        }
    }
    (acknowledged, None)
}

impl Ledger {
    /// Waits until so many posts are acknowledged in all.
    async fn reaches(&self, count: usize) {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if self.acknowledged.load(Ordering::Relaxed) >= count {
                return;
            }
            news.await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_arrives_in_order_through_fifty_kills() {
    through_kills("sqlite:data/relay.db", ROUNDS, |folder| {
        assert!(folder.is_whole());
    })
    .await;
}

/// The database is cut off after every kill, so that what it had not committed is gone with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_arrives_in_order_also_when_the_database_is_cut_off() {
    let cluster = Cluster::start();
    through_kills(&cluster.url(), ROUNDS_OF_A_DATABASE, |_| {
        cluster.stop();
        cluster.go_on();
    })
    .await;
}

/// Kills the relay so many times; after each kill `between` happens to the store.
#[expect(
    clippy::print_stdout,
    reason = "how many were sent twice is worth a look, whatever the outcome"
)]
async fn through_kills(store: &str, rounds: usize, between: impl Fn(&Folder)) {
    let receiver = Receiver::failing(7);
    let folder = Folder::new(&configuration(receiver.listen().await, store));
    let ledger = Arc::new(Ledger::default());
    let mut chance = StdRng::seed_from_u64(SEED);
    let mut process = Process::start(folder.path());
    let (relay, address) = watch::channel(Some(process.ingress));
    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        senders.spawn(sender(number, address.clone(), ledger.clone()));
    }
    let mut goal = 0;
    for _ in 0..rounds {
        goal = goal.max(ledger.acknowledged.load(Ordering::Relaxed)) + chance.random_range(1..40);
        ledger.reaches(goal).await;
        process.kill();
        between(&folder);
        process = Process::start(folder.path());
        relay.send(Some(process.ingress)).unwrap();
    }
    relay.send(None).unwrap();
    let (acknowledged, unanswered): (Vec<_>, Vec<_>) = senders.join_all().await.into_iter().unzip();
    let acknowledged: Vec<Acknowledged> = acknowledged.into_iter().flatten().collect();
    let wanted: HashMap<String, &Acknowledged> = acknowledged
        .iter()
        .map(|one| (one.event.replace("evt_", "dlv_") + "_0", one))
        .collect();
    receiver
        .until(|receiver| {
            let taken = receiver.taken();
            wanted
                .keys()
                .all(|id| taken.iter().any(|one| one.webhook_id == *id))
        })
        .await;
    let mut times: HashMap<String, usize> = HashMap::new();
    for taken in receiver.taken() {
        let Some(sent) = wanted.get(&taken.webhook_id) else {
            // It was written, and the answer was cut off by the last kill.
            assert!(
                unanswered.contains(&Some(taken.body)),
                "nothing is delivered that nobody posted"
            );
            continue;
        };
        assert_eq!(
            (&taken.body, &taken.subject, u64::from(taken.revision)),
            (&sent.body, &sent.subject, sent.revision)
        );
        *times.entry(taken.webhook_id).or_default() += 1;
    }
    for (subject, revisions) in receiver.first_arrivals() {
        let gapless: Vec<u32> = (1..=u32::try_from(revisions.len()).unwrap()).collect();
        assert_eq!(revisions, gapless, "{subject} of seed {SEED}");
    }
    let repeats: usize = times.values().map(|times| times - 1).sum();
    println!(
        "seed {SEED}: {} acknowledged, {repeats} sent twice in {rounds} kills",
        wanted.len()
    );
    assert!(
        repeats <= rounds * CONCURRENCY,
        "{repeats} repeats are more than was under way"
    );
    settled(&process).await;
    process.kill();
    between(&folder);
}

/// Waits until the store has nothing waiting: the last answers may still be on their way into it.
async fn settled(process: &Process) {
    loop {
        let counts = get(process, "/api/v1/status").await["counts"].clone();
        if counts["waiting"] == 0 && counts["sending"] == 0 {
            assert_eq!(counts["dead"], 0);
            return;
        }
        tokio::task::yield_now().await;
    }
}
