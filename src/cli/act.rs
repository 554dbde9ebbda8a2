//! `relay pause`, `resume`, `reload` and `replay`: what an operator does about it.

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
use crate::model::DeliveryId;

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
pub(super) struct ReplayArgs {
    /// The delivery's id, such as `relay deliveries --state dead` lists
    id: String,
    /// Also where the destination already got a newer revision
    #[arg(long)]
    force: bool,
    /// Under another webhook-id, so that a receiver that knows the old one takes it again
    #[arg(long)]
    new_id: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Deserialize)]
struct Lane {
    name: String,
    state: String,
    reason: String,
}

#[derive(Deserialize)]
struct Reloaded {
    config: Config,
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
        Ok(format!("{} is {}{reason}", lane.name, lane.state))
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
    args.how.tell(&posted?, |body| {
        let reloaded: Reloaded = understood(body)?;
        let generation = reloaded.config.generation;
        Ok(format!("the file is in force, as generation {generation}"))
    })
}

pub(super) async fn replay(global: &Global, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let id: DeliveryId = args.id.parse().context("what is to be replayed")?;
    let office = Office::of(global, &args.how.admin)?;
    let path = format!("/api/v1/deliveries/{id}/replay");
    let how = json!({ "force": args.force, "new_id": args.new_id });
    let body = office.post(&path, &how).await?;
    args.how
        .tell(&body, |_| Ok(format!("{id} waits to be sent again")))
}

impl How {
    fn tell(
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
