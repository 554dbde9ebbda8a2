//! `relay diff`: which deliveries of the events that a relay has kept another relay.toml would add, take
//! away or change. Nothing is sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{AdminArgs, Office, understood};
use super::stored::StoredEvent;
use super::table::plain;
use super::{Global, complain, say, unusable};
use crate::app::{self, Difference, DifferenceKind, Explanation, Question, Ready, differences};
use crate::config::Secrets;
use crate::source::Source;

/// After so many events progress is told.
const TOLD_EVERY: usize = 200;

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The relay.toml to compare with the one of --config
    new: PathBuf,
    /// How far back, such as 7d or 12h
    #[arg(long, default_value = "7d", value_parser = humantime::parse_duration)]
    last: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// What the comparison came to.
#[derive(Default, Serialize)]
struct Compared {
    events: usize,
    /// Events whose payload, or that of a revision before, is not kept any more, or whose source is gone.
    left_out: usize,
    /// Events of whose payload only the fields that were used are kept: what another field would do is unknown.
    minimised: usize,
    differences: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    event: String,
    #[serde(rename = "type")]
    event_type: String,
    received_at: Timestamp,
    #[serde(flatten)]
    difference: Difference,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<StoredEvent>,
    next: Option<String>,
}

pub(super) async fn run(global: &Global, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let inputs = global.inputs(Secrets::Skip);
    let mut other = inputs.clone();
    other.file.clone_from(&args.new);
    let (old, new) = match (app::load(&inputs), app::load(&other)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(findings), _) | (_, Err(findings)) => return Ok(unusable(&findings)),
    };
    let office = Office::of(global, &args.admin)?;
    let now = app::system_clock().now();
    let since = now
        .checked_sub(args.last)
        .context("--last reaches too far back")?;
    let mut compared = Compared::default();
    let mut cursor = None;
    loop {
        let page = page(&office, since, cursor.as_deref()).await?;
        for listed in page.items {
            compare(&office, (&old, &new), &listed.id, now, &mut compared).await?;
            if compared.events.is_multiple_of(TOLD_EVERY) {
                complain(format_args!("{} events compared …", compared.events));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if args.json {
        say(serde_json::to_string_pretty(&compared)?);
    } else {
        tell(&compared);
    }
    Ok(ExitCode::SUCCESS)
}

async fn page(office: &Office, since: Timestamp, cursor: Option<&str>) -> anyhow::Result<Page> {
    let mut query = vec![("since", since.to_string()), ("limit", "500".to_owned())];
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    understood(&office.get("/api/v1/events", &query).await?)
}

async fn compare(
    office: &Office,
    (old, new): (&Ready, &Ready),
    id: &str,
    now: Timestamp,
    compared: &mut Compared,
) -> anyhow::Result<()> {
    let event = office.event(id).await?;
    compared.events += 1;
    // What is gone, or came through a source that one of the two does not have, says nothing here.
    let (Ok(payload), Ok(history)) = (event.payload(), office.history(&event).await) else {
        compared.left_out += 1;
        return Ok(());
    };
    let (event_type, subject) = event.kind();
    let stored = (event.id()?, event.received_at);
    let kept = event.kept();
    let explained = |ready: &Ready| -> Option<Explanation> {
        let source: &Source = ready.compiled.rules.sources.get(event.source.as_str())?;
        let headers = source.kind.headers_of(&event_type, subject.as_ref());
        let question = Question {
            headers: &headers,
            stored: Some(stored),
            as_kept: event.as_kept((&payload, kept.as_ref()), &history),
            ..Question::new(source, &payload, &history, now)
        };
        app::explain(ready, question).ok()
    };
    let (Some(was), Some(is)) = (explained(old), explained(new)) else {
        compared.left_out += 1;
        return Ok(());
    };
    compared.minimised += usize::from(kept.is_some());
    let found = differences(&was, &is).into_iter().map(|difference| Found {
        event: event.id.clone(),
        event_type: event.event_type.clone(),
        received_at: event.received_at,
        difference,
    });
    compared.differences.extend(found);
    Ok(())
}

fn tell(compared: &Compared) {
    for found in &compared.differences {
        let sign = match found.difference.kind {
            DifferenceKind::Appears => '+',
            DifferenceKind::Vanishes => '-',
            DifferenceKind::Changes => '~',
        };
        let what = match found.difference.what.join(", ") {
            what if what.is_empty() => what,
            what => format!(": {what}"),
        };
        let (event, destination) = (&found.event, &found.difference.destination);
        let line = format!("{sign} {destination}  {event} {}{what}", found.event_type);
        say(plain(&line));
    }
    let mut counts: BTreeMap<DifferenceKind, usize> = BTreeMap::new();
    for found in &compared.differences {
        *counts.entry(found.difference.kind).or_default() += 1;
    }
    let count = |kind| counts.get(&kind).copied().unwrap_or(0);
    say(format_args!(
        "{} events compared: {} deliveries appear, {} vanish, {} change",
        compared.events - compared.left_out,
        count(DifferenceKind::Appears),
        count(DifferenceKind::Vanishes),
        count(DifferenceKind::Changes),
    ));
    if compared.minimised > 0 {
        say(format_args!(
            "{} of them compared by the fields that were kept of their payload: any other field reads as null",
            compared.minimised
        ));
    }
    if compared.left_out > 0 {
        say(format_args!(
            "{} not compared: their payload is not kept any more, or their source is in one file only",
            compared.left_out
        ));
    }
}
