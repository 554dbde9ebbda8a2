//! One file against one, two and three relays on a `PostgreSQL` of the benchmark's own, whose commits reach the disk. All of
//! them, the load, the receiver and the database share the machine: what a second machine would add is not in it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::Effort;
use super::cluster::Cluster;
use super::load::{Answered, Until, post};
use super::relay::{Relay, folder, rules};
use super::report::Report;
use super::sink::Sink;

const CONNECTIONS: usize = 64;
const AT_ONCE: usize = 64;
const FILE: &str = "one relay on a file";
/// Where a store is, by how many relays share it.
const PLACES: [(&str, usize); 4] = [
    (FILE, 0),
    ("one relay on PostgreSQL", 1),
    ("two relays on PostgreSQL", 2),
    ("three relays on PostgreSQL", 3),
];

/// Relays that share a store.
struct Relays {
    all: Vec<Relay>,
    _folders: Vec<TempDir>,
}

pub(crate) async fn measure(effort: Effort, report: &mut Report) {
    let cluster = Cluster::syncing(true);
    for _ in 0..effort.rounds {
        for (place, count) in PLACES {
            let url = (count > 0).then(|| cluster.url());
            let nowhere = "url = \"http://127.0.0.1:9/in\"\npaused = true";
            let relays = Relays::start(count, url, &rules(3, nowhere));
            let answered = relays.post(Until::After(effort.cell)).await;
            let row = format!("accepts/s with 3 deliveries, {place}");
            report.add(&row, "/s", 'b', answered);
        }
        for destinations in [1, 3, 10] {
            for (place, count) in PLACES {
                let url = (count > 0).then(|| cluster.url());
                let figure = delivered(destinations, (count, url), effort).await;
                let row = format!("deliveries/s, fan-out {destinations}, {place}");
                report.add(&row, "/s", 'b', figure);
            }
        }
    }
    let parts = ["accepts/s with 3 deliveries".to_owned()];
    let fan_outs = [1, 3, 10].map(|fan_out| format!("deliveries/s, fan-out {fan_out}"));
    for part in parts.iter().chain(&fan_outs) {
        for (place, _) in &PLACES[1..] {
            let (one, other) = (format!("{part}, {place}"), format!("{part}, {FILE}"));
            report.compare(&format!("{part}: {place} / {FILE}"), &one, &other);
        }
    }
}

/// Events accepted, sent and settled, in deliveries a second.
async fn delivered(
    destinations: usize,
    (count, url): (usize, Option<String>),
    effort: Effort,
) -> f64 {
    let sink = Sink::start().await;
    let at_once = (AT_ONCE / destinations).max(1);
    let keys = format!(
        "url = \"http://{}/in\"\nconcurrency = {at_once}",
        sink.address
    );
    let relays = Relays::start(count, url, &rules(destinations, &keys));
    let started = Instant::now();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let events = (effort.cell.as_secs_f64() * 10_000.0 / destinations as f64) as u64;
    relays.post(Until::Count(events)).await;
    for relay in &relays.all {
        relay.drained().await;
    }
    let took = started.elapsed().as_secs_f64();
    let deliveries = events * destinations as u64;
    assert_eq!(sink.count(), deliveries, "each delivery came once");
    deliveries as f64 / took
}

impl Relays {
    fn start(count: usize, url: Option<String>, rules: &str) -> Self {
        let rules = match url {
            Some(url) => rules.replacen("[store]\n", &format!("[store]\nurl = \"{url}\"\n"), 1),
            None => rules.to_owned(),
        };
        let folders: Vec<TempDir> = (0..count.max(1)).map(|_| folder()).collect();
        let all = folders
            .iter()
            .map(|folder| Relay::start(folder.path(), &rules));
        Self {
            all: all.collect(),
            _folders: folders,
        }
    }

    /// Posts to all of them at once; how many a second were acknowledged.
    async fn post(&self, until: Until) -> f64 {
        let count = self.all.len() as u64;
        let share = CONNECTIONS / self.all.len();
        let started = Instant::now();
        let mut posting = JoinSet::new();
        for (number, relay) in (0..).zip(&self.all) {
            let until = match until {
                Until::Count(all) => Until::Count(all / count + u64::from(number < all % count)),
                time @ Until::After(_) => time,
            };
            // Each numbers its events from where no other comes.
            let next = Arc::new(AtomicU64::new(number << 32));
            let address = relay.ingress;
            posting.spawn(async move { post(address, share, until, &next).await });
        }
        let answered: Vec<Answered> = posting.join_all().await;
        let count: u64 = answered.iter().map(|one| one.count).sum();
        count as f64 / started.elapsed().as_secs_f64()
    }
}
