//! Three relays on one database, and one receiver that must not notice: its rate holds, its order holds, nothing is lost,
//! whoever is killed, paused, cut off, and whatever becomes of the database.

mod asked;
mod proxy;
mod till;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use mojito_relay::transport::NetworkTransport;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::postgres::Cluster;
use crate::process::{Folder, PATIENCE, Process, request};
use proxy::Proxy;
use till::{Taken, Till};

/// Requests a second that the receiver is to see at most, from all relays together.
const RATE: u32 = 40;
const CONCURRENCY: usize = 4;
const SENDERS: usize = 3;
const SUBJECTS: usize = 3;
/// What a move may take.
const MOVES_WITHIN: Duration = Duration::from_secs(5);
/// What may lie between a request's end at the receiver and its record in the store.
const RECORD: Duration = Duration::from_secs(1);

/// A relay, its place, and its road to the database.
struct Replica {
    process: Mutex<Option<Process>>,
    ingress: Mutex<std::net::SocketAddr>,
    folder: Folder,
    url: String,
    proxy: Proxy,
}

struct Town {
    cluster: Cluster,
    database: String,
    replicas: Vec<Arc<Replica>>,
    till: Arc<Till>,
    /// When something was broken.
    faults: Mutex<Vec<(&'static str, Instant)>>,
    ledger: Arc<Ledger>,
}

/// What the senders were told.
#[derive(Default)]
struct Ledger {
    acknowledged: Mutex<Vec<(String, u64)>>,
    count: AtomicUsize,
    stop: AtomicBool,
}

impl Replica {
    async fn start(town: (&Cluster, &str), folder: Folder) -> Arc<Self> {
        let (cluster, schema) = town;
        let proxy = Proxy::to(cluster.port).await;
        let url = format!(
            "postgres://relay:sesame@{}/postgres?schema={schema}",
            proxy.address
        );
        let process = begin(&folder, &url);
        Arc::new(Self {
            ingress: Mutex::new(process.ingress),
            process: Mutex::new(Some(process)),
            folder,
            url,
            proxy,
        })
    }

    fn kill(&self) {
        let process = self.process.lock().unwrap().take();
        process.expect("it runs").kill();
    }

    fn again(&self) {
        let process = begin(&self.folder, &self.url);
        *self.ingress.lock().unwrap() = process.ingress;
        *self.process.lock().unwrap() = Some(process);
    }

    fn signal(&self, name: &str) {
        let process = self.process.lock().unwrap();
        process.as_ref().expect("it runs").signal(name);
    }

    fn id(&self) -> Option<u32> {
        self.process.lock().unwrap().as_ref().map(Process::id)
    }
}

fn begin(folder: &Folder, url: &str) -> Process {
    let started = Process::start_in(folder.path(), &[("DATABASE", url)]);
    started.unwrap_or_else(|(status, log)| panic!("it ended with {status}: {log}"))
}

impl Town {
    async fn build() -> Self {
        let cluster = Cluster::start();
        let (till, address) = Till::open().await;
        let schema = cluster.schema();
        let mut replicas = Vec::new();
        for _ in 0..3 {
            let folder = Folder::new(&format!(
                "[store]\nurl = {{ env = \"DATABASE\" }}\n[reload]\nwatch = false\n[sources.jobmojito]\nauth = \"none\"\n\
                 [destinations.app]\nurl = \"http://{address}/in\"\nrate_limit = \"{RATE}/s\"\nconcurrency = {CONCURRENCY}\n\
                 retry = {{ first = \"20ms\", max = \"100ms\", attempts = 10000, give_up_after = \"7d\" }}\n\
                 breaker = {{ failures = 1000 }}\n[[routes]]\nto = [\"app\"]\n"
            ));
            replicas.push(Replica::start((&cluster, &schema), folder).await);
        }
        Self {
            database: schema,
            cluster,
            replicas,
            till,
            faults: Mutex::default(),
            ledger: Arc::default(),
        }
    }

    fn fault(&self, what: &'static str) -> Instant {
        let now = Instant::now();
        self.faults.lock().unwrap().push((what, now));
        now
    }

    /// The relay that has the lane now, by its place.
    async fn owner(&self) -> Option<usize> {
        let port = self.cluster.port;
        let place = format!("postgres://relay:sesame@127.0.0.1:{port}/postgres");
        let connected = tokio_postgres::connect(&place, tokio_postgres::NoTls).await;
        let (client, connection) = connected.ok()?;
        tokio::spawn(connection);
        let schema = &self.database;
        let sql = format!(
            "SELECT r.name FROM {schema}.lane AS l JOIN {schema}.name AS n ON n.id = l.destination
             JOIN {schema}.replica AS r ON r.id = l.owner AND r.until > clock_timestamp() WHERE n.text = 'app'"
        );
        let row = client.query_opt(&sql, &[]).await.ok()??;
        let name: String = row.get(0);
        let id: u32 = name.rsplit_once('/')?.1.parse().ok()?;
        self.replicas
            .iter()
            .position(|replica| replica.id() == Some(id))
    }

    /// Waits until a relay has the lane that is `fit`.
    async fn until_owned(&self, fit: impl Fn(usize) -> bool) -> usize {
        let waiting = async {
            loop {
                if let Some(owner) = self.owner().await
                    && fit(owner)
                {
                    return owner;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let owned = tokio::time::timeout(PATIENCE, waiting).await;
        owned.expect("somebody takes the lane")
    }

    /// Waits until so many more arrived.
    async fn more(&self, count: usize) {
        let before = self.till.taken().len();
        let enough = |taken: &[Taken]| taken.len() >= before + count;
        self.till.until("more", enough).await;
    }

    /// Waits until something is sent by whoever has the lane after a fault; it may not take long.
    async fn moved(&self, since: Instant) {
        // Whatever the dead had sent before is in by then.
        let late = since + Duration::from_millis(500);
        let after = |taken: &[Taken]| taken.iter().any(|one| one.at > late);
        self.till.until("the work to move", after).await;
        let taken = self.till.taken();
        let first = taken.iter().map(|one| one.at).find(|at| *at > late);
        let first = first.expect("it was there");
        let stalled = self.till.stalled(since, first);
        let took = first - since;
        assert!(
            took < MOVES_WITHIN + 2 * stalled,
            "{took:?}, stalled {stalled:?}"
        );
    }

    fn sends(&self, senders: &mut JoinSet<()>) {
        for number in 0..SENDERS {
            let (replicas, ledger) = (self.replicas.clone(), self.ledger.clone());
            senders.spawn(send(number, replicas, ledger));
        }
    }
}

/// Posts one revision after the other, each time to another relay, and again to the next where one does not answer.
async fn send(number: usize, replicas: Vec<Arc<Replica>>, ledger: Arc<Ledger>) {
    let network = NetworkTransport::default();
    let mut to = number;
    for count in 0.. {
        let subject = format!("s{number}-{}", count % SUBJECTS);
        let body = Bytes::from(format!(
            r#"{{"id":"{subject}","status":"active","interview_status":"completed","score":{count}}}"#
        ));
        loop {
            if ledger.stop.load(Ordering::Relaxed) {
                return;
            }
            to += 1;
            let ingress = *replicas[to % replicas.len()].ingress.lock().unwrap();
            let url = format!("http://{ingress}/hooks/jobmojito");
            let posted = request(&network, Method::POST, &url, body.clone());
            // One that is paused takes the connection and never answers.
            let answer = tokio::time::timeout(Duration::from_secs(2), posted).await;
            if let Ok(Ok(answer)) = answer
                && answer.status.is_success()
            {
                let told: Value = serde_json::from_slice(&answer.body).unwrap();
                let revision = told["revision"].as_u64().unwrap();
                ledger
                    .acknowledged
                    .lock()
                    .unwrap()
                    .push((subject, revision));
                ledger.count.fetch_add(1, Ordering::Relaxed);
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // About as much as goes out.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::print_stdout,
    reason = "how many were sent twice is worth a look, whatever the outcome"
)]
async fn three_relays_keep_rate_and_order_and_lose_nothing_whatever_befalls_them() {
    let town = Town::build().await;
    let mut senders = JoinSet::new();
    town.sends(&mut senders);
    town.more(30).await;
    killed(&town).await;
    paused(&town).await;
    cut_off(&town).await;
    restarted(&town).await;
    town.ledger.stop.store(true, Ordering::Relaxed);
    senders.join_all().await;
    everything_arrived(&town).await;
    in_order(&town);
    within_rate(&town);
    let (twice, overlaps) = repeats(&town);
    println!(
        "{} acknowledged, {} arrived, {twice} of them twice, {overlaps} overlaps",
        town.ledger.count.load(Ordering::Relaxed),
        town.till.taken().len(),
    );
}

async fn killed(town: &Town) {
    let owner = town.until_owned(|_| true).await;
    town.more(10).await;
    town.replicas[owner].kill();
    let since = town.fault("kill -9");
    town.moved(since).await;
    town.until_owned(|other| other != owner).await;
    town.replicas[owner].again();
    town.more(20).await;
}

/// Paused for longer than its lease, with requests under way: what it wakes up with it may not record.
async fn paused(town: &Town) {
    let owner = town.until_owned(|_| true).await;
    town.till.hold(true);
    town.till
        .until("requests in hand", |taken| {
            taken.iter().any(|one| one.over.is_none())
        })
        .await;
    town.replicas[owner].signal("STOP");
    let since = town.fault("SIGSTOP");
    // What the paused one had begun is in hand still when another sends it: the one overlap there may be.
    town.moved(since).await;
    town.till
        .until("the overlap", |_| !town.till.overlaps().is_empty())
        .await;
    town.till.hold(false);
    town.until_owned(|other| other != owner).await;
    town.replicas[owner].signal("CONT");
    town.fault("SIGCONT");
    let refused = {
        let process = town.replicas[owner].process.lock().unwrap();
        process
            .as_ref()
            .unwrap()
            .until_it_says("attempt not recorded")
    };
    assert!(refused.contains("no longer owns"), "{refused}");
    town.more(20).await;
}

/// The database is there, and the owner cannot reach it.
async fn cut_off(town: &Town) {
    let owner = town.until_owned(|_| true).await;
    town.replicas[owner].proxy.cut();
    let since = town.fault("cut off");
    town.until_owned(|other| other != owner).await;
    town.moved(since).await;
    town.replicas[owner].proxy.mend();
    town.more(20).await;
}

async fn restarted(town: &Town) {
    town.until_owned(|_| true).await;
    town.fault("the database stops");
    town.cluster.stop();
    town.cluster.go_on();
    let since = town.fault("the database is back");
    town.moved(since).await;
    town.more(20).await;
}

async fn everything_arrived(town: &Town) {
    let acknowledged = town.ledger.acknowledged.lock().unwrap().clone();
    let all = |taken: &[Taken]| {
        let arrived: std::collections::HashSet<_> = taken
            .iter()
            .map(|one| (&one.subject, one.revision))
            .collect();
        acknowledged
            .iter()
            .all(|(subject, revision)| arrived.contains(&(subject, *revision)))
    };
    town.till
        .until("everything that was acknowledged", all)
        .await;
}

fn in_order(town: &Town) {
    for (subject, revisions) in town.till.first_arrivals() {
        let wanted: Vec<u64> = (1..=revisions.len() as u64).collect();
        assert_eq!(revisions, wanted, "{subject}");
    }
}

/// In no second more arrive than one owner may send; what arrives in a heap because this machine stood still does not
/// count against it.
fn within_rate(town: &Town) {
    let taken = town.till.taken();
    let second = Duration::from_secs(1);
    let begun = taken[0].at;
    for (at, first) in taken.iter().enumerate() {
        let within = taken[at..]
            .iter()
            .take_while(|one| one.at < first.at + second);
        let count = within.count();
        let from = first.at.checked_sub(second).unwrap_or(begun);
        let stalled = town.till.stalled(from, first.at + second);
        let heap = stalled.as_millis() * u128::from(RATE) / 1_000;
        assert!(
            count as u128 <= u128::from(RATE) + 3 + heap,
            "{count} in a second, stalled {stalled:?}"
        );
    }
}

/// Only what was under way at a fault arrives twice, and nothing else overlaps. How many did.
fn repeats(town: &Town) -> (usize, usize) {
    let faults = town.faults.lock().unwrap().clone();
    let at_a_fault = |one: &Taken| {
        let over = one.over.unwrap_or_else(Instant::now) + RECORD;
        let over = over + 2 * town.till.stalled(one.at, over);
        faults
            .iter()
            .any(|(_, at)| one.at <= *at + RECORD && over >= *at)
    };
    let taken = town.till.taken();
    let mut first: std::collections::HashMap<&str, &Taken> = std::collections::HashMap::new();
    let mut twice = 0;
    for one in &taken {
        let Some(before) = first.insert(&one.id, one) else {
            continue;
        };
        twice += 1;
        assert!(
            at_a_fault(before),
            "{one:?} after {before:?}; faults {faults:?}"
        );
    }
    assert!(twice <= faults.len() * CONCURRENCY, "{twice} arrived twice");
    let overlaps = town.till.overlaps();
    for overlap in &overlaps {
        assert!(at_a_fault(&overlap.first), "{overlap:?}; faults {faults:?}");
        assert!(
            overlap.first.revision <= overlap.second.revision,
            "{overlap:?}"
        );
    }
    (twice, overlaps.len())
}
