//! The promises, tried by chance: posts, revisions, faults of the store, crashes, reloads, pauses, operators and jumps
//! of the clock in any order, against a model. A seed decides all of it, so that what fails once fails again:
//!
//!     SIMULATION_SEED=7 cargo test --test simulation       one seed
//!     SIMULATION_SEEDS=10000 cargo test --test simulation  the long form
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` here means `for other modules`"
)]

#[path = "../it/postgres/cluster.rs"]
mod cluster;
mod gate;
mod model;
mod requests;
mod rules;
mod steps;
mod store;
mod world;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mojito_relay::config::environment;

use cluster::Cluster;
use world::{Outcome, run};

/// Without other wishes.
const SEEDS: u64 = 100;

/// The same on a database, where each takes longer.
const SEEDS_ON_A_DATABASE: u64 = 25;

/// What comes about in a hundred seeds.
const REACHED: [&str; 11] = [
    "delivered",
    "discarded",
    "given up",
    "moved",
    "payload gone",
    "probed",
    "put back",
    "refused",
    "rejected",
    "superseded",
    "tried again",
];

fn number(name: &str) -> Option<u64> {
    let mut all = environment().into_iter();
    let (_, value) = all.find(|(known, _)| known == name)?;
    Some(value.parse().expect("a number"))
}

#[test]
fn the_promises_hold_whatever_happens() {
    let (first, count) = (number("SIMULATION_SEED"), number("SIMULATION_SEEDS"));
    let count = count.unwrap_or(first.map_or(SEEDS, |_| 1));
    let first = first.unwrap_or(0);
    let seeds = first..first + count;
    let tried = seeds.clone().count();
    let outcomes = try_all(seeds, None);
    let reached = kept(&outcomes);
    if tried >= 100 {
        assert_eq!(reached, BTreeSet::from(REACHED), "or it would prove little");
    }
}

#[test]
fn the_promises_hold_on_a_database_as_well() {
    let (first, count) = (number("SIMULATION_SEED"), number("SIMULATION_SEEDS"));
    let count = count.map(|count| count / 8 + 1);
    let count = count.unwrap_or(first.map_or(SEEDS_ON_A_DATABASE, |_| 1));
    let first = first.unwrap_or(0);
    kept(&try_all(first..first + count, Some(&Cluster::start())));
}

/// What came about, where every promise was kept.
fn kept(outcomes: &[(u64, Outcome)]) -> BTreeSet<&str> {
    let failed = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.broken.is_some());
    if let Some((_, first)) = failed.clone().next() {
        let trace = first.trace.join("\n");
        let lines = failed.map(|(seed, one)| {
            let broken = one.broken.as_deref().unwrap_or_default();
            format!("SIMULATION_SEED={seed}: {broken}\n")
        });
        panic!(
            "{trace}\nThat was the first of\n{}",
            lines.collect::<String>()
        );
    }
    let reached = outcomes.iter().flat_map(|(_, outcome)| &outcome.reached);
    reached.copied().collect()
}

/// What became of each seed, in order; of those that hold, without the trace.
fn try_all(seeds: Range<u64>, database: Option<&Cluster>) -> Vec<(u64, Outcome)> {
    let next = AtomicU64::new(seeds.start);
    let outcomes = Mutex::new(Vec::new());
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if !seeds.contains(&seed) {
            return;
        }
        let mut outcome = run(seed, database);
        if outcome.broken.is_none() {
            outcome.trace = Vec::new();
        }
        let mut all = outcomes.lock().expect("nothing panics in here");
        all.push((seed, outcome));
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().expect("nothing panics in here");
    outcomes.sort_by_key(|(seed, _)| *seed);
    outcomes
}

#[test]
fn a_seed_does_the_same_again() {
    for seed in 0..5 {
        let (first, second) = (run(seed, None).trace, run(seed, None).trace);
        let differs = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!((differs, first.len()), (None, second.len()), "seed {seed}");
    }
}
