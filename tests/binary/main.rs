//! The real binary: killed, stopped, reloaded, and used from the command line.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml's leave for tests covers test functions, not their helpers"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` here means `for other modules`"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test spawns ends with its runtime"
)]

mod backup;
mod cli;
mod crash;
mod database;
mod disk;
mod explain;
mod lifecycle;
mod many;
mod operate;
#[path = "../it/postgres/cluster.rs"]
mod postgres;
mod process;
mod receiver;
mod replicas;
mod secrets;
mod strangers;
