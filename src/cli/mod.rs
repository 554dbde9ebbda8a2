//! The hands: what is typed, and what is printed. Only this room prints.

mod act;
mod backup;
mod check;
mod client;
mod completions;
mod demo;
mod diff;
mod event;
mod explain;
mod health;
mod jobs;
mod lists;
mod logging;
mod many;
mod migrate_store;
mod panics;
mod presets;
mod running;
mod schema;
mod send;
mod serve;
mod sink;
mod status;
mod stored;
mod supervisor;
mod table;
mod tail;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Finding, Inputs, Secrets};

/// Exit code for a command that does not say enough, as clap has it.
const USAGE: u8 = 2;
/// Exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
const BAD_CONFIGURATION: u8 = 78;

/// A durable webhook relay and fan-out gateway for interview results.
#[derive(Debug, Parser)]
#[command(name = "relay", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration file
    #[arg(
        long,
        short,
        global = true,
        default_value = "relay.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Put one key over the file, such as server.listen=127.0.0.1:9090 (may be repeated)
    #[arg(long = "override", global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    overrides: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay (the default)
    Serve,
    /// Check a configuration without starting anything
    Check(check::CheckArgs),
    /// Tell what would become of a body: each route with its clause, each request; nothing is sent
    Explain(explain::ExplainArgs),
    /// Tell which deliveries another relay.toml would add, take away or change
    Diff(diff::DiffArgs),
    /// Post a bundled sample or a file to the running relay
    Send(send::SendArgs),
    /// Run a receiver that prints what it gets and fails on demand
    Sink(sink::SinkArgs),
    /// Show the whole relay at work on this machine, with receivers that fail
    Demo(demo::DemoArgs),
    /// Tell what is stuck in the running relay, why, and what frees it
    Status(status::StatusArgs),
    /// List what came in, newest first
    Events(lists::EventsArgs),
    /// Show one event with its revisions, deliveries and attempts
    Event(event::EventArgs),
    /// List what goes out, newest first
    Deliveries(lists::DeliveriesArgs),
    /// Print what happens, as it happens
    Tail(tail::TailArgs),
    /// Hold a destination back; it lasts over restarts
    Pause(act::LaneArgs),
    /// Let a destination go on, paused, open or blocked
    Resume(act::LaneArgs),
    /// Send deliveries again that are delivered, dead or final otherwise: one, or all of a filter
    Replay(many::ReplayArgs),
    /// Create what today's routes ask for and kept events do not have
    Reroute(many::RerouteArgs),
    /// End deliveries that wait: one, or all of a filter
    Discard(many::DiscardArgs),
    /// List what was begun by replay, reroute and discard, show one, or end it
    Jobs(jobs::JobsArgs),
    /// Move what waits for a destination that is gone from relay.toml to another
    Move(act::MoveArgs),
    /// Take away everything about a candidate or a subject, and print the receipt
    Erase(act::EraseArgs),
    /// Copy the store to a new file, also while a relay has it open
    Backup(backup::BackupArgs),
    /// Move the store from a file into a database, while no relay runs on it
    MigrateStore(migrate_store::MigrateStoreArgs),
    /// Have the running relay read its configuration again
    Reload(act::ReloadArgs),
    /// List the destinations that come ready made, or print one
    Presets(presets::PresetsArgs),
    /// Print the JSON Schema of relay.toml, for editors
    Schema(schema::SchemaArgs),
    /// Ask the running relay whether it is ready: exit 0 if so
    Health(client::AdminArgs),
    /// Print what a shell needs to complete these commands
    Completions(completions::CompletionsArgs),
}

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    panics::be_discreet();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let done = runtime.block_on(async {
        let global = &cli.global;
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::run(global).await,
            Command::Check(args) => check::run(global, args).await,
            Command::Explain(args) => explain::run(global, &args).await,
            Command::Diff(args) => diff::run(global, &args).await,
            Command::Send(args) => send::run(global, args).await,
            Command::Sink(args) => sink::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Status(args) => status::run(global, &args).await,
            Command::Events(args) => lists::events(global, args).await,
            Command::Event(args) => event::run(global, &args).await,
            Command::Deliveries(args) => lists::deliveries(global, args).await,
            Command::Tail(args) => tail::run(global, &args).await,
            Command::Pause(args) => act::lane(global, &args, "pause").await,
            Command::Resume(args) => act::lane(global, &args, "resume").await,
            Command::Replay(args) => many::replay(global, &args).await,
            Command::Reroute(args) => many::reroute(global, &args).await,
            Command::Discard(args) => many::discard(global, &args).await,
            Command::Jobs(args) => jobs::run(global, &args).await,
            Command::Move(args) => act::move_backlog(global, &args).await,
            Command::Erase(args) => act::erase(global, &args).await,
            Command::Backup(args) => backup::run(global, &args),
            Command::MigrateStore(args) => migrate_store::run(global, &args).await,
            Command::Reload(args) => act::reload(global, &args).await,
            Command::Presets(args) => presets::run(global, &args),
            Command::Schema(args) => Ok(schema::run(&args)),
            Command::Health(args) => health::run(global, &args).await,
            Command::Completions(args) => Ok(completions::run(&args)),
        }
    });
    // A blocking read of the store may still be under way after a forced end: it is not waited for.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| failed(&error))
}

impl Global {
    fn inputs(&self, secrets: Secrets) -> Inputs {
        Inputs {
            file: self.config.clone(),
            environment: crate::config::environment(),
            flags: self.overrides.clone(),
            secrets,
        }
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write KEY=VALUE, such as server.listen=127.0.0.1:9090")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Prints a line to standard output. A reader that went away is not an error.
fn say(text: impl std::fmt::Display) {
    use std::io::Write as _;
    let _reader_is_gone = writeln!(std::io::stdout(), "{text}");
}

/// Prints a line to standard error.
fn complain(text: impl std::fmt::Display) {
    use std::io::Write as _;
    let _reader_is_gone = writeln!(std::io::stderr(), "{text}");
}

fn failed(error: &anyhow::Error) -> ExitCode {
    if let Some(no_address) = error.downcast_ref::<client::NoAddress>() {
        complain(no_address);
        return ExitCode::from(BAD_CONFIGURATION);
    }
    complain(format_args!("relay: {error:#}"));
    ExitCode::FAILURE
}

/// Prints findings and answers with the exit code for them.
fn unusable(findings: &[Finding]) -> ExitCode {
    findings.iter().for_each(complain);
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    complain(format_args!(
        "{errors} error{}; nothing was started",
        if errors == 1 { "" } else { "s" }
    ));
    ExitCode::from(BAD_CONFIGURATION)
}

/// Whether standard output wants colour.
fn colourful() -> bool {
    std::io::stdout().is_terminal() && wants_colour()
}

/// Unless `NO_COLOR` says no (no-color.org).
fn wants_colour() -> bool {
    !crate::config::environment()
        .iter()
        .any(|(name, value)| name == "NO_COLOR" && !value.is_empty())
}
