//! What takes long to show: `cargo test --release --test long -- WHAT`. Without arguments each runs small
//! enough for the suite, and holds what cannot flake.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test with a main of its own, whose figures are read by people"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` here means `for other modules`"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test spawns ends with its runtime"
)]

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
#[expect(unused_imports, reason = "the other tests use the rest")]
mod harness;
mod lanes;
mod memory;
mod outages;
#[path = "../binary/process.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod process;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "long", no_binary_name = true)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Resident memory, start and intake beside a large backlog, and beside none.
    Memory {
        #[arg(long, default_value_t = 1_000_000)]
        waiting: u32,
        /// Posts in each of the rounds.
        #[arg(long, default_value_t = 20_000)]
        posts: u32,
    },
    /// Six hours of a receiver that is down, in simulated time; the suite has the small form.
    Outage {
        #[arg(long, default_value_t = 200_000)]
        backlog: u32,
    },
    /// The 99th percentile of one lane beside a dead one.
    Lanes {
        #[arg(long, default_value_t = 21)]
        rounds: u32,
        /// Posts to each of both relays in a round.
        #[arg(long, default_value_t = 300)]
        posts: u32,
    },
}

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if given.is_empty() {
        runtime.block_on(memory::short());
        return ExitCode::SUCCESS;
    }
    let args = match Args::try_parse_from(&given) {
        Ok(args) => args,
        Err(error) => {
            // `cargo test NAME` gives every test its filter.
            eprintln!("{error}");
            let other = error.kind() == clap::error::ErrorKind::InvalidSubcommand;
            return if other {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match args.what {
        What::Memory { waiting, posts } => runtime.block_on(memory::long(waiting, posts)),
        What::Outage { backlog } => runtime.block_on(outages::backlog::six_hours_down(backlog)),
        What::Lanes { rounds, posts } => runtime.block_on(lanes::long(rounds, posts)),
    }
    ExitCode::SUCCESS
}
