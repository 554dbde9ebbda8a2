//! `relay replay`, `discard` and `reroute`: one delivery at once, or all of a filter, which are counted
//! first and then done by a job of the relay's.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use serde_json::{Map, Value, json};

use super::act::How;
use super::client::{Office, understood};
use super::jobs::Job;
use super::lists::{DeliveryFilterArgs, EventFilterArgs};
use super::table::plain;
use super::{Global, USAGE, complain, say};
use crate::app;
use crate::model::{DeliveryId, JobState, plus};

/// Between two looks at how far a job is.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// One delivery's id, such as `relay deliveries --state dead` lists
    id: Option<String>,
    /// Also where the destination already got a newer revision
    #[arg(long)]
    force: bool,
    /// Under another webhook-id, so that a receiver that knows the old one takes it again
    #[arg(long)]
    new_id: bool,
    #[command(flatten)]
    those: DeliveryFilterArgs,
    #[command(flatten)]
    bulk: Bulk,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct DiscardArgs {
    /// One delivery's id, such as `relay deliveries --state waiting` lists
    id: Option<String>,
    #[command(flatten)]
    those: DeliveryFilterArgs,
    #[command(flatten)]
    bulk: Bulk,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct RerouteArgs {
    #[command(flatten)]
    those: EventFilterArgs,
    #[command(flatten)]
    bulk: Bulk,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct Bulk {
    /// Count, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking
    #[arg(long, short)]
    yes: bool,
}

/// What is to be done to many.
struct Wish<'a> {
    verb: &'static str,
    /// Without `dry_run`.
    body: Map<String, Value>,
    bulk: &'a Bulk,
    how: &'a How,
}

pub(super) async fn replay(global: &Global, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let how = json!({ "force": args.force, "new_id": args.new_id });
    let given = args.those.given();
    match (&args.id, given.as_slice()) {
        (Some(id), []) => one(global, (id, "replay"), &how, &args.how).await,
        (None, [_, ..]) => {
            let mut body = filter(given);
            body.extend(how.as_object().cloned().unwrap_or_default());
            many(global, Wish::new("replay", body, (&args.bulk, &args.how))).await
        }
        _ => Ok(unclear(
            "an id, or a filter such as --state dead --destination ats",
        )),
    }
}

pub(super) async fn discard(global: &Global, args: &DiscardArgs) -> anyhow::Result<ExitCode> {
    let given = args.those.given();
    match (&args.id, given.as_slice()) {
        (Some(id), []) => one(global, (id, "discard"), &Value::Null, &args.how).await,
        (None, [_, ..]) => {
            let wish = Wish::new("discard", filter(given), (&args.bulk, &args.how));
            many(global, wish).await
        }
        _ => Ok(unclear(
            "an id, or a filter such as --destination ats --since 2h",
        )),
    }
}

pub(super) async fn reroute(global: &Global, args: &RerouteArgs) -> anyhow::Result<ExitCode> {
    let given = args.those.given();
    if given.is_empty() {
        return Ok(unclear("a filter such as --since 7d"));
    }
    let wish = Wish::new("reroute", filter(given), (&args.bulk, &args.how));
    many(global, wish).await
}

fn unclear(what: &str) -> ExitCode {
    complain(format_args!("relay: say which: {what}"));
    ExitCode::from(USAGE)
}

fn filter(given: Vec<(&'static str, String)>) -> Map<String, Value> {
    let filter: Map<String, Value> = given
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    Map::from_iter([("filter".to_owned(), filter.into())])
}

async fn one(
    global: &Global,
    (id, verb): (&str, &str),
    body: &Value,
    how: &How,
) -> anyhow::Result<ExitCode> {
    let id: DeliveryId = id.parse().with_context(|| format!("what to {verb}"))?;
    let office = Office::of(global, &how.admin)?;
    let path = format!("/api/v1/deliveries/{id}/{verb}");
    let body = office.post(&path, body).await?;
    how.tell(&body, |_| {
        Ok(match verb {
            "discard" => format!("{id} is discarded"),
            _ => format!("{id} waits to be sent again"),
        })
    })
}

/// Counts, asks, and does it.
async fn many(global: &Global, mut wish: Wish<'_>) -> anyhow::Result<ExitCode> {
    let office = Office::of(global, &wish.how.admin)?;
    let json = wish.how.json;
    if !(wish.bulk.yes && json) {
        let (counted, body) = wish.carry_out(&office, true).await?;
        if json && wish.bulk.dry_run {
            say(String::from_utf8_lossy(&body));
            return Ok(ExitCode::SUCCESS);
        }
        tell(&counted);
        if wish.bulk.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if counted.progress.done == 0 {
            say("there is nothing to do");
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(refused) = wish.unconfirmed()? {
            return Ok(refused);
        }
        wish.only_until(&counted);
    }
    let (job, body) = wish.carry_out(&office, false).await?;
    if json {
        say(String::from_utf8_lossy(&body));
    } else {
        tell(&job);
    }
    match job.state {
        JobState::Done => Ok(ExitCode::SUCCESS),
        JobState::Running | JobState::Cancelled => Ok(ExitCode::FAILURE),
    }
}

fn tell(job: &Job) {
    say(plain(&job.line()));
    job.left_out().iter().for_each(|line| say(plain(line)));
}

impl<'a> Wish<'a> {
    fn new(verb: &'static str, body: Map<String, Value>, (bulk, how): (&'a Bulk, &'a How)) -> Self {
        Self {
            verb,
            body,
            bulk,
            how,
        }
    }

    /// Begins a job and waits until it is over.
    async fn carry_out(&self, office: &Office, dry_run: bool) -> anyhow::Result<(Job, Bytes)> {
        let mut body = self.body.clone();
        body.insert("dry_run".to_owned(), dry_run.into());
        let path = format!("/api/v1/{}", self.verb);
        let mut body = office.post(&path, &body.into()).await?;
        let mut job: Job = understood(&body)?;
        let id = job.id;
        if !dry_run && !self.how.json {
            complain(format_args!(
                "job {id} is under way, also without this command; relay jobs {id} shows it, --cancel ends it"
            ));
        }
        let clock = app::system_clock();
        let mut line = Progress::default();
        while job.state == JobState::Running {
            line.show(&job);
            clock.pause(LOOK).await;
            body = office.get(&format!("/api/v1/jobs/{id}"), &[]).await?;
            job = understood(&body)?;
        }
        line.clear();
        Ok((job, body))
    }

    /// What came since it was counted is left alone.
    fn only_until(&mut self, counted: &Job) {
        if let Some(filter) = self.body.get_mut("filter").and_then(Value::as_object_mut) {
            let until = plus(counted.created_at, Duration::from_millis(1));
            filter.entry("until").or_insert(until.to_string().into());
        }
    }

    /// Nobody says that it is meant: the exit code for that.
    fn unconfirmed(&self) -> anyhow::Result<Option<ExitCode>> {
        if self.bulk.yes {
            return Ok(None);
        }
        let verb = self.verb;
        if !std::io::stdin().is_terminal() {
            complain(format_args!(
                "nothing was done: --yes does {verb} them without asking"
            ));
            return Ok(Some(ExitCode::from(USAGE)));
        }
        let mut error = std::io::stderr();
        write!(error, "{verb} them? [y/N] ")?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(None);
        }
        complain("nothing was done");
        Ok(Some(ExitCode::FAILURE))
    }
}

/// A line on a terminal that is written over again and again.
#[derive(Default)]
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&mut self, job: &Job) {
        if std::io::stderr().is_terminal() {
            self.shown = true;
            let _terminal_is_gone = write!(std::io::stderr(), "\r\x1b[K{}", plain(&job.line()));
        }
    }

    fn clear(&self) {
        if self.shown {
            let _terminal_is_gone = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
