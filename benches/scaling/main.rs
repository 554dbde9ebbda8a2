//! Lanes and leases at a size that no machine here has: many relays on one database, by the rule that shares lanes out in
//! production, in simulated time. `cargo bench --bench scaling` prints what follows for load, deaths and the database;
//! `-- --help` tells what can be set. It measures nothing: what one relay can do is handed in.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a program of its own: figures are for people"
)]

mod fleet;

use clap::Parser;
use fleet::Fleet;

#[derive(Clone, Debug, Parser)]
#[command(name = "scaling", about = "Simulates lanes and leases")]
pub(crate) struct Args {
    /// Relays on the database
    #[arg(long, default_value_t = 40)]
    replicas: usize,
    /// Destinations, each a lane
    #[arg(long, default_value_t = 3_000)]
    lanes: usize,
    /// Events a second, by all sources together
    #[arg(long, default_value_t = 100_000.0)]
    events: f64,
    /// Deliveries of each event
    #[arg(long, default_value_t = 3.0)]
    fan_out: f64,
    /// Share of the largest lane among all: the nth has 1/n of it to this power
    #[arg(long, default_value_t = 0.6)]
    skew: f64,
    /// Deliveries a second that one relay settles
    #[arg(long, default_value_t = 15_000.0)]
    capacity: f64,
    /// Seconds that a lease lasts
    #[arg(long, default_value_t = 3.0)]
    lease: f64,
    /// Seconds between two looks of a relay at the leases
    #[arg(long, default_value_t = 1.0)]
    tick: f64,
    /// Relays that die at once, after half of the time
    #[arg(long, default_value_t = 1)]
    deaths: usize,
    /// Seconds of simulated time
    #[arg(long, default_value_t = 120.0)]
    seconds: f64,
    /// Added by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let mut args = Args::parse();
    if !args.bench {
        // The form for the test suite: it runs, and what it says of a death holds.
        (args.lanes, args.seconds) = (args.lanes.min(300), args.seconds.min(20.0));
    }
    let mut fleet = Fleet::new(&args);
    let steps = (args.seconds / fleet::STEP) as usize;
    for step in 0..steps {
        if step == steps / 2 {
            fleet.kill(args.deaths);
        }
        fleet.step();
    }
    let seen = fleet.seen();
    println!("{seen}");
    assert!(
        seen.longest_without <= args.lease + 2.0 * args.tick,
        "a lane stood without an owner for {} s",
        seen.longest_without
    );
}
