//! The promises, tried by chance: posts, revisions, faults of the store, crashes, reloads, pauses, operators and jumps
//! of the clock in any order, against a model. A seed decides all of it, so that what fails once fails again:
//!
//!     SIMULATION_SEED=7 cargo test --test simulation       one seed
//!     SIMULATION_SEEDS=10000 cargo test --test simulation  the long form
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` here means `for other modules`"
)]

mod gate;
mod model;
mod rules;
mod steps;
mod store;
mod world;

use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mojito_relay::config::environment;

/// Without other wishes.
const SEEDS: u64 = 200;

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
    let failed = try_all(seeds);
    let Some((_, trace, _)) = failed.first() else {
        return;
    };
    let lines = failed
        .iter()
        .map(|(seed, _, broken)| format!("SIMULATION_SEED={seed}: {broken}\n"));
    let (trace, lines) = (trace.join("\n"), lines.collect::<String>());
    panic!(
        "{trace}\n{} seeds failed, this is the first\n{lines}",
        failed.len()
    );
}

/// The seeds that failed, in order: what happened, and which promise was broken.
fn try_all(seeds: Range<u64>) -> Vec<(u64, Vec<String>, String)> {
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if !seeds.contains(&seed) {
            return;
        }
        if let (trace, Err(broken)) = world::run(seed) {
            failed
                .lock()
                .expect("no seed panics in here")
                .push((seed, trace, broken));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().expect("no seed panics in here");
    failed.sort_by_key(|(seed, ..)| *seed);
    failed
}

#[test]
fn a_seed_does_the_same_again() {
    for seed in 0..5 {
        let (first, second) = (world::run(seed).0, world::run(seed).0);
        let differs = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!((differs, first.len()), (None, second.len()), "seed {seed}");
    }
}
