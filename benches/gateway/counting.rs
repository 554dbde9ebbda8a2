//! What one event costs in instructions and in syncs of the disk: counts and not times, so that a busy machine
//! changes nothing. The ceilings catch the copy, the parse or the query that somebody adds to every event's path.
//!
//! callgrind counts the real relay while it takes so many events, and again while it takes more: the difference
//! is what those cost, without start and end.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::load::{Until, post};
use super::relay::{PATIENCE, Relay, folder, rules};
use super::report::Report;
use super::sink::Sink;

/// A tenth above what was measured (docs/performance.md), for the build that cargo tests and for the one that is released.
const CEILINGS: [(&str, f64); 2] = if cfg!(debug_assertions) {
    [("accepted", 694e3), ("accepted and delivered", 1_060e3)]
} else {
    [("accepted", 301e3), ("accepted and delivered", 466e3)]
};
const FEW: u64 = 100;
const MANY: u64 = 400;
/// A commit is one sync; now and then the log is written back to the file, which is two more.
const SYNCS: std::ops::RangeInclusive<f64> = 1.0..=1.2;

pub(crate) async fn measure(in_suite: bool, report: &mut Report) {
    if !has("valgrind") || !has("strace") {
        assert!(
            !in_suite,
            "valgrind and strace are needed: scripts/test.sh installs them"
        );
        report.nothing(
            "instructions per event: valgrind and strace are needed, of which one is not here",
        );
        return;
    }
    for (what, ceiling) in CEILINGS {
        let (few, many) = (
            instructions(what, FEW).await,
            instructions(what, MANY).await,
        );
        let each = (many - few) / (MANY - FEW) as f64;
        report.add(&format!("instructions per event {what}"), "", 'b', each);
        assert!(
            each <= ceiling,
            "an event {what} costs {each:.0} instructions, and may cost {ceiling:.0}: what was added to its path?"
        );
    }
    let syncs = syncs(MANY).await / MANY as f64;
    report.add("syncs per event accepted, one at a time", "", 'b', syncs);
    assert!(
        SYNCS.contains(&syncs),
        "{syncs} syncs per event: each is to be on disk, and none twice"
    );
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Instructions of a whole relay that takes so many events over one connection.
async fn instructions(what: &str, events: u64) -> f64 {
    let folder = folder();
    let under = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=counted",
    ];
    work(folder.path(), &under, what.ends_with("delivered"), events).await;
    let counted = std::fs::read_to_string(folder.path().join("counted")).unwrap();
    let total = counted
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    total.unwrap().trim().parse().unwrap()
}

/// Syncs of the disk while a relay takes so many events over one connection, less those of its start and end.
async fn syncs(events: u64) -> f64 {
    let mut counts = Vec::new();
    for events in [0, events] {
        let folder = folder();
        // Beside it, not above it (-D): the signal that ends it is to come to the relay.
        let under = [
            "strace",
            "-D",
            "-f",
            "-q",
            "-e",
            "trace=fsync,fdatasync",
            "-o",
            "counted",
        ];
        let relay = work(folder.path(), &under, false, events).await;
        let counted = whole(&folder.path().join("counted"), relay).await;
        let begun = counted.lines().filter(|line| line.contains("sync("));
        counts.push(begun.count() as f64);
    }
    counts[1] - counts[0]
}

/// What was counted until `process` was gone.
async fn whole(path: &Path, process: u32) -> String {
    let started = Instant::now();
    let number = process.to_string();
    let ended =
        |line: &str| line.split_whitespace().next() == Some(&number) && line.contains("+++ exited");
    loop {
        let counted = std::fs::read_to_string(path).unwrap();
        if counted.lines().any(ended) {
            return counted;
        }
        assert!(started.elapsed() < PATIENCE, "strace does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Has a relay take so many events, and ends it; answers which process it was.
async fn work(folder: &Path, under: &[&str], delivers: bool, events: u64) -> u32 {
    let sink = Sink::start().await;
    let paused = if delivers { "" } else { "paused = true" };
    let keys = format!("url = \"http://{}/in\"\n{paused}", sink.address);
    let destinations = if delivers { 1 } else { 2 };
    let relay = Relay::start_under(under, folder, &rules(destinations, &keys));
    let next = Arc::new(AtomicU64::new(0));
    post(relay.ingress, 1, Until::Count(events), &next).await;
    // The relay is not asked whether it is done: answers would be counted, too.
    while delivers && sink.count() < events {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    relay.stop()
}
