//! `relay pause`, `resume`, `reload`, `move` and `erase`: what an operator does about it.

use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, NoAnswer, Office, understood};
use super::table::plain;
use super::{BAD_CONFIGURATION, Global, complain, say};

#[derive(Debug, Args)]
pub(super) struct LaneArgs {
    /// Name of the destination
    name: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct MoveArgs {
    /// The destination that is gone from relay.toml
    from: String,
    /// The one that takes its backlog
    to: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// Every interview of this candidate, by the id in your ATS
    #[arg(long, value_name = "ID", required_unless_present = "subject")]
    candidate: Option<String>,
    /// This interview result
    #[arg(long, value_name = "ID", conflicts_with = "candidate")]
    subject: Option<String>,
    /// Only of this source, where several use the same ids
    #[arg(long, requires = "subject")]
    source: Option<String>,
    /// Print the receipt in one line; it is JSON in any case
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// At which relay, and how its answer is printed.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

#[derive(Deserialize)]
struct Lane {
    name: String,
    state: String,
    reason: String,
    #[serde(default = "yes")]
    done: bool,
}

/// A relay that does not say is one that has done it.
const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Reloaded {
    config: Config,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    generation: u64,
}

/// Holds a destination, or lets it go on.
pub(super) async fn lane(global: &Global, args: &LaneArgs, verb: &str) -> anyhow::Result<ExitCode> {
    let office = Office::of(global, &args.how.admin)?;
    let path = format!("/api/v1/destinations/{}/{verb}", segment(&args.name));
    let posted = office.post(&path, &Value::Null).await;
    let body = posted.with_context(|| format!("{verb} {}", args.name))?;
    args.how.tell(&body, |body| {
        let lane: Lane = understood(body)?;
        let reason = match lane.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        let asked = if lane.done {
            String::new()
        } else {
            format!("; the relay that has it was told to {verb} it, and has not answered yet")
        };
        Ok(format!("{} is {}{reason}{asked}", lane.name, lane.state))
    })
}

pub(super) async fn reload(global: &Global, args: &ReloadArgs) -> anyhow::Result<ExitCode> {
    let office = Office::of(global, &args.how.admin)?;
    let posted = office.post("/api/v1/reload", &Value::Null).await;
    if let Err(error) = &posted
        && let Some(NoAnswer::Refused { status, detail, .. }) = error.downcast_ref()
        && *status == StatusCode::UNPROCESSABLE_ENTITY
    {
        detail.lines().for_each(|line| complain(plain(line)));
        complain("nothing has changed");
        return Ok(ExitCode::from(BAD_CONFIGURATION));
    }
    let body = posted?;
    let reloaded: Reloaded = understood(&body)?;
    let generation = reloaded.config.generation;
    let told = args.how.tell(&body, |_| {
        Ok(format!("the file is in force, as generation {generation}"))
    });
    for warning in &reloaded.warnings {
        complain(plain(&format!("warning: {warning}")));
    }
    told
}

pub(super) async fn move_backlog(global: &Global, args: &MoveArgs) -> anyhow::Result<ExitCode> {
    #[derive(Deserialize)]
    struct Moved {
        moved: u64,
        discarded: u64,
    }
    let office = Office::of(global, &args.how.admin)?;
    let path = format!("/api/v1/destinations/{}/move", segment(&args.from));
    let posted = office.post(&path, &json!({ "to": args.to })).await;
    let body = posted.with_context(|| format!("move {} {}", args.from, args.to))?;
    args.how.tell(&body, |body| {
        let Moved { moved, discarded } = understood(body)?;
        let more = match discarded {
            0 => String::new(),
            count => format!("; {count} discarded: they, or a newer revision, went there already"),
        };
        Ok(format!(
            "{moved} moved from {} to {}{more}",
            args.from, args.to
        ))
    })
}

/// The receipt is for the file of whoever asked: it goes to standard output, as JSON.
pub(super) async fn erase(global: &Global, args: &EraseArgs) -> anyhow::Result<ExitCode> {
    let office = Office::of(global, &args.admin)?;
    let whose = match &args.candidate {
        Some(candidate) => json!({ "candidate": candidate }),
        None => json!({ "subject": args.subject, "source": args.source }),
    };
    let body = office.patient().post("/api/v1/erase", &whose).await?;
    let receipt: Value = understood(&body)?;
    if args.json {
        say(&receipt);
    } else {
        say(serde_json::to_string_pretty(&receipt)?);
    }
    Ok(ExitCode::SUCCESS)
}

impl How {
    pub(super) fn tell(
        &self,
        body: &Bytes,
        words: impl FnOnce(&Bytes) -> anyhow::Result<String>,
    ) -> anyhow::Result<ExitCode> {
        if self.json {
            say(String::from_utf8_lossy(body));
        } else {
            say(plain(&words(body)?));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}
