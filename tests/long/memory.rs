//! A backlog costs the disk, not memory: two relays, one of them with so many deliveries waiting, measured in
//! turns in one run.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use jiff::Timestamp;
use mojito_relay::app;
use mojito_relay::clock::Clock;
use mojito_relay::model::{Event, EventType, FieldDigests, Mint, Subject};
use mojito_relay::store::sqlite::{SqliteOptions, SqliteStore};
use mojito_relay::store::{AcceptOutcome, AcceptPlan, Keyring, NewDelivery, Store as _};
use mojito_relay::transport::NetworkTransport;

use crate::process::{Folder, Process, request};

const ROUNDS: u32 = 3;
const CONNECTIONS: u32 = 64;

/// Nobody listens there, so that all of it waits.
const CONFIGURATION: &str = "[sources.jobmojito]\nauth = \"none\"\n[store]\nmax_waiting = 5000000\n\
     [destinations.app]\nurl = \"http://127.0.0.1:9/in\"\n[[routes]]\nto = [\"app\"]\n";

/// In the suite: what cannot flake.
pub async fn short() {
    let measured = measure(20_000, 200).await;
    assert!(measured.rss() <= 1.5, "{measured:?}");
}

/// All of it, on a machine with nothing else to do.
pub async fn long(waiting: u32, posts: u32) {
    let measured = measure(waiting, posts).await;
    assert!(measured.rss() <= 1.5, "{measured:?}");
    assert!(measured.full.start < Duration::from_secs(2), "{measured:?}");
    assert!(measured.intake() >= 0.8, "{measured:?}");
}

/// What one relay came to.
#[derive(Debug, Default)]
struct Figures {
    /// Kilobytes, once it is ready and at the end.
    rss: [u64; 2],
    /// Medians.
    start: Duration,
    accepts: f64,
}

#[derive(Debug)]
struct Measured {
    empty: Figures,
    full: Figures,
}

impl Measured {
    fn rss(&self) -> f64 {
        let ratio = |n: usize| kilobytes(self.full.rss[n]) / kilobytes(self.empty.rss[n]);
        ratio(0).max(ratio(1))
    }

    fn intake(&self) -> f64 {
        self.full.accepts / self.empty.accepts
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody has so much memory")]
fn kilobytes(count: u64) -> f64 {
    count as f64
}

async fn measure(waiting: u32, posts: u32) -> Measured {
    let clock = app::system_clock();
    let folders = [Folder::new(CONFIGURATION), Folder::new(CONFIGURATION)];
    let begun = clock.monotonic();
    fill(&folders[1], waiting).await;
    let took = clock.monotonic().saturating_sub(begun);
    println!("memory: {waiting} waiting deliveries were written in {took:.1?}");
    let mut starts = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (folder, starts) in folders.iter().zip(&mut starts) {
            let begun = clock.monotonic();
            let process = Process::start(folder.path());
            starts.push(clock.monotonic().saturating_sub(begun));
            process.signal("TERM");
            assert!(process.ended().0.success());
        }
    }
    let processes = folders
        .each_ref()
        .map(|folder| Process::start(folder.path()));
    let mut figures = [Figures::default(), Figures::default()];
    let mut accepts = [Vec::new(), Vec::new()];
    for (process, figures) in processes.iter().zip(&mut figures) {
        // One that was taken has been through all of it.
        take(process, 0, CONNECTIONS, &*clock).await;
        figures.rss[0] = resident(process);
    }
    for round in 1..=ROUNDS {
        for (process, accepts) in processes.iter().zip(&mut accepts) {
            accepts.push(take(process, round, posts, &*clock).await);
        }
    }
    for (n, figures) in figures.iter_mut().enumerate() {
        figures.rss[1] = resident(&processes[n]);
        starts[n].sort();
        accepts[n].sort_by(f64::total_cmp);
        figures.start = starts[n][starts[n].len() / 2];
        figures.accepts = accepts[n][accepts[n].len() / 2];
    }
    let [empty, full] = figures;
    let measured = Measured { empty, full };
    measured.print();
    measured
}

impl Measured {
    fn print(&self) {
        for (name, one) in [("empty", &self.empty), ("full", &self.full)] {
            println!(
                "memory: {name:>5}: {} kB ready, {} kB at the end, start {:.0?}, {:.0} accepts/s",
                one.rss[0], one.rss[1], one.start, one.accepts
            );
        }
        println!(
            "memory: resident {:.2} of empty (at most 1.5), intake {:.2} (at least 0.8)",
            self.rss(),
            self.intake()
        );
    }
}

/// Posts so many new subjects over some connections; how many were taken in a second.
async fn take(process: &Process, round: u32, posts: u32, clock: &dyn Clock) -> f64 {
    let network = Arc::new(NetworkTransport::default());
    let url: Arc<str> = format!("http://{}/hooks/jobmojito", process.ingress).into();
    let begun = clock.monotonic();
    let senders = (0..CONNECTIONS).map(|sender| {
        let (network, url) = (network.clone(), url.clone());
        tokio::spawn(async move {
            for n in (sender..posts).step_by(CONNECTIONS as usize) {
                let body = body(&format!("r{round}-{n}"));
                let answer = request(&network, Method::POST, &url, body).await.unwrap();
                assert_eq!(answer.status, 202, "{:?}", answer.body);
            }
        })
    });
    for sender in join_all(senders).await {
        sender.unwrap();
    }
    f64::from(posts) / clock.monotonic().saturating_sub(begun).as_secs_f64()
}

fn body(id: &str) -> Bytes {
    let text = "a sentence about the interview ".repeat(20);
    Bytes::from(format!(
        r#"{{"id":"{id}","status":"active","interview_status":"completed","score":4.5,"text":"{text}"}}"#
    ))
}

/// Kilobytes of a process that are in memory, those of mapped files included.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().nth(1));
    figure.unwrap().parse().unwrap()
}

/// Writes a backlog by the store's own hand, many events in each commit.
async fn fill(folder: &Folder, waiting: u32) {
    let clock = app::system_clock();
    let options = SqliteOptions {
        path: folder.file("data/relay.db"),
        key: [7; 32],
        seals: Keyring::default(),
        clock: clock.clone(),
        on_commit: None,
    };
    let store = SqliteStore::open(&options).unwrap();
    let mint = Mint::default();
    let all: Vec<u32> = (0..waiting).collect();
    for batch in all.chunks(512) {
        let accepting = batch
            .iter()
            .map(|n| store.accept(plan(&mint, *n, clock.now())));
        for outcome in join_all(accepting).await {
            assert!(matches!(outcome, Ok(AcceptOutcome::Accepted(_))));
        }
    }
    assert_eq!(store.waiting(), u64::from(waiting));
    store.close().await.unwrap();
}

fn plan(mint: &Mint, n: u32, now: Timestamp) -> AcceptPlan {
    let id = format!("waiting-{n}");
    let mut fields = FieldDigests::default();
    for field in ["id", "status", "interview_status", "score", "text"] {
        fields.set(field, [7; 16]);
    }
    AcceptPlan {
        event: Arc::new(Event {
            id: mint.event(now, u64::from(n)),
            source: "jobmojito".into(),
            event_type: EventType::new("interview.submitted"),
            subject: Subject::new(&id).ok(),
            revision: 1,
            changed: Vec::new(),
            candidate: None,
            received_at: now,
            route_errors: Vec::new(),
        }),
        payload: body(&id),
        kept: None,
        fields,
        deliveries: vec![NewDelivery {
            destination: "app".into(),
            route: "everything".into(),
            skipped: None,
            due_at: now,
            settle_by: None,
            supersedes: false,
            takes_up: false,
        }],
        trace: None,
    }
}
