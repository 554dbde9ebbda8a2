//! Everything that needs more than one room, in one binary; each module is one behaviour.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml's leave for tests covers test functions, not their helpers"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` here means `for other modules`"
)]

mod accept;
mod addresses;
mod admin;
mod alerts;
mod architecture;
mod check;
mod config;
mod dashboard;
mod dedupe;
mod deploy;
mod diff;
mod documents;
mod erase;
mod explain;
mod explain_is_production;
mod fuzz;
mod guesses;
mod harness;
mod hostile;
mod jobs;
mod lanes;
mod minimise;
mod moving;
mod online;
mod outages;
mod peers;
mod postgres;
mod presets;
mod retention;
mod sealing;
mod senders;
mod server;
mod settling;
mod store;
mod stream;
mod tokens;
mod traces;
mod transport;
mod updates;
mod vendors;
