//! `relay migrate-store`: a store moved from a file into a database, while no relay runs on either.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::{BAD_CONFIGURATION, Global, complain, say};
use crate::app;
use crate::config::{self, Secrets, StoreUrl};
use crate::store::postgres::PostgresUrl;
use crate::store::{Doing, Stage, Transferred};

/// Between two lines of progress.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct MigrateStoreArgs {
    /// The file, such as sqlite:data/relay.db
    #[arg(long, value_name = "URL", value_parser = file)]
    from: PathBuf,
    // As text: clap would repeat one that is not understood, password and all.
    #[arg(
        long,
        value_name = "URL",
        help = "The database, such as postgres://relay:password@db.example/relay; else store.url of relay.toml, which \
                does not show the password to who lists processes"
    )]
    to: Option<String>,
}

fn file(text: &str) -> Result<PathBuf, &'static str> {
    let path = text.strip_prefix("sqlite:");
    let path = path.map(|path| path.strip_prefix("//").unwrap_or(path));
    match path {
        Some(path) if !path.is_empty() && !path.contains('?') => Ok(path.into()),
        _ => Err("write sqlite:PATH, such as sqlite:data/relay.db"),
    }
}

pub(super) async fn run(global: &Global, args: &MigrateStoreArgs) -> anyhow::Result<ExitCode> {
    let url = match &args.to {
        Some(text) => match PostgresUrl::parse(text) {
            Ok(url) => url,
            Err(bad) => bail!("--to: {}; {}", bad.problem, bad.hint),
        },
        None => match config::store_alone(&global.inputs(Secrets::Read)) {
            Ok(StoreUrl::Postgres(url)) => *url,
            Ok(StoreUrl::Sqlite(_)) => {
                bail!("store.url names a file; say --to postgres://…, or let store.url name it")
            }
            Err(findings) => {
                findings.iter().for_each(complain);
                return Ok(ExitCode::from(BAD_CONFIGURATION));
            }
        },
    };
    let mut lines = Lines::default();
    let moved = app::move_store(&args.from, &url, &mut |stage| lines.tell(stage)).await?;
    tell(&moved, args, &url);
    Ok(ExitCode::SUCCESS)
}

fn tell(moved: &Transferred, args: &MigrateStoreArgs, url: &PostgresUrl) {
    let from = args.from.display();
    say(format_args!(
        "{} events, {} deliveries and {} attempts are in {url}: {} rows, the same on both sides",
        moved.of("event"),
        moved.of("delivery"),
        moved.of("attempt"),
        moved.total(),
    ));
    if moved.before > 0 {
        say(format_args!(
            "{} of them were there from an earlier try",
            moved.before
        ));
    }
    say("let store.url name it, and start the relay");
    say(format_args!(
        "sqlite:{from} is as it was. Never start a relay on it again: that would deliver everything that waits a second \
         time. Move it out of the way now, with the files beside it ({from}-wal, {from}-shm, {from}.lock), and delete it \
         once you trust the new store"
    ));
}

/// Lines of progress, one a second at most.
#[derive(Default)]
struct Lines {
    last: Option<jiff::Timestamp>,
}

impl Lines {
    fn tell(&mut self, stage: Stage) {
        let now = app::system_clock().now();
        let since = self.last.map(|at| now.duration_since(at).unsigned_abs());
        if since.is_some_and(|since| since < PAUSE) {
            return;
        }
        self.last = Some(now);
        let Stage {
            table, done, of, ..
        } = stage;
        let doing = match stage.doing {
            Doing::Copying => "copying",
            Doing::Comparing => "comparing",
        };
        let percent = done.saturating_mul(100).checked_div(of).unwrap_or(100);
        complain(format_args!(
            "{doing}: {done} of {of} rows, {percent} %, at {table}"
        ));
    }
}
