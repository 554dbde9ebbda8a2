//! A relay under attack: does a well-behaved sender keep its service?
//!
//! The short form, part of the suite, lets a few hundred connections of each kind attack at once and asserts what cannot
//! flake: each post of the sender is acknowledged within a deadline, the attackers are cut off by the relay, memory and open
//! files stay bounded. The long form measures: `cargo test --release --test abuse -- --long`.
//!
//! The sender posts at a fixed rate that the relay carries with ease, on connections that are kept and on fresh ones, and
//! counts what is acknowledged within a second of when it was due. Attackers, relay and sender share the machine, so the
//! throughput of a sender that posts as fast as it can would tell mostly what the attackers' own work takes from it; at a
//! fixed rate the ratio tells whether the attack takes the sender's service.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that prints its table"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "attackers are slow in real time, and end with their runtime"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` here means `for other modules`"
)]

mod attacks;
#[path = "../it/server/frames.rs"]
mod frames;
mod long;
mod process;
mod sender;
mod short;
mod tool;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    if has("--list") {
        println!("abuse: test");
    } else if has("--long") {
        long::run(only.map(String::as_str));
    } else if only.is_none_or(|filter| "abuse".contains(filter.as_str())) {
        short::run();
    }
}
