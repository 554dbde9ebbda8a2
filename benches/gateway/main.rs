//! How fast the gateway is, as ratios within one run: against a bare server (a), against the fastest durable
//! accept there can be (d), and, for what goes out, against a bare client loop (c).
//!
//! `cargo bench --bench gateway` measures; `-- --help` tells what can be set. Without the `--bench` that cargo
//! adds it only shows that every row can be measured, in a second or two: that is its form in the test suite.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program of its own that measures real time: what fails ends it, and figures are for people"
)]

mod accepting;
#[path = "../../tests/it/postgres/cluster.rs"]
#[expect(dead_code, unreachable_pub, reason = "tests use the rest")]
mod cluster;
mod contenders;
mod counting;
mod figures;
mod filling;
mod load;
mod machine;
mod relay;
mod report;
mod resting;
mod scaling;
mod sending;
mod sink;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use contenders::Contender;
use report::Report;

#[derive(Debug, Parser)]
#[command(
    name = "gateway",
    about = "Measures the gateway against what surrounds it"
)]
struct Args {
    /// Rounds; each visits all contenders in turn, and medians are taken over rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that each cell of the table is measured for
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Deliveries that the waiting rows are measured with
    #[arg(long, default_value_t = 1_000_000)]
    waiting: u64,
    /// Measure these rows only
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Rows>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Be a contender instead of measuring: for this program's own use
    #[arg(long = "as", value_enum, hide = true)]
    contender: Option<Contender>,
    /// Where a contender that sends is to send to
    #[arg(long, hide = true)]
    to: Option<std::net::SocketAddr>,
    /// Added by cargo; without it the form for the test suite runs
    #[arg(long, hide = true)]
    bench: bool,
}

/// Parts of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// Accepts a second, latency of acknowledgements, CPU and commits per event
    Accept,
    /// Deliveries a second
    Deliver,
    /// From the acknowledgement to the receiver, at 50 events a second
    Latency,
    /// Start-up, size of the binary, idle memory
    Rest,
    /// Instructions and syncs per event, by valgrind and strace; more than was agreed on is an error
    Count,
    /// A large backlog: memory, start-up, accepting
    Waiting,
    /// One file against one, two and three relays on `PostgreSQL`, which has to be installed
    Scale,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    cell: Duration,
    waiting: u64,
}

fn main() {
    let args = Args::parse();
    if let Some(contender) = args.contender {
        contender.run(args.to);
        return;
    }
    let effort = if args.bench {
        Effort {
            rounds: args.rounds.max(1),
            cell: Duration::from_secs_f64(args.seconds),
            waiting: args.waiting,
        }
    } else {
        Effort {
            rounds: 1,
            cell: Duration::from_millis(100),
            waiting: 2_000,
        }
    };
    let wanted = |rows| args.rows.is_empty() || args.rows.contains(&rows);
    let mut report = Report::new(effort);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        if wanted(Rows::Rest) {
            resting::measure(effort, &mut report).await;
        }
        if wanted(Rows::Accept) {
            accepting::measure(effort, &mut report).await;
        }
        if wanted(Rows::Deliver) {
            sending::throughput(effort, &mut report).await;
        }
        if wanted(Rows::Latency) {
            sending::latency(effort, &mut report).await;
        }
        if wanted(Rows::Count) {
            counting::measure(!args.bench, &mut report).await;
        }
        if wanted(Rows::Waiting) {
            filling::measure(effort, &mut report).await;
        }
        if wanted(Rows::Scale) {
            scaling::measure(effort, &mut report).await;
        }
    });
    if args.json {
        println!("{}", report.json());
    } else {
        println!("{}", report.table());
    }
}
