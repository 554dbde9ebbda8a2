//! `relay events` and `relay deliveries`: lists, in as many pages as it takes.

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::{AdminArgs, Office, understood};
use super::stored::{StoredDelivery, StoredEvent};
use super::table::{Table, second};
use super::{Global, complain, say};
use crate::app;
use crate::model::State;

/// Items of one page, as many as the API gives.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    which: EventFilterArgs,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Args)]
pub(super) struct DeliveriesArgs {
    #[command(flatten)]
    which: DeliveryFilterArgs,
    #[command(flatten)]
    listing: Listing,
}

/// Which events: those for which everything given holds.
#[derive(Debug, Args)]
pub(super) struct EventFilterArgs {
    /// Of this type, such as interview.submitted
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Through this source
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    whose: Whose,
}

/// Which deliveries: those for which everything given holds.
#[derive(Debug, Args)]
pub(super) struct DeliveryFilterArgs {
    /// In this state: waiting, sending, delivered, superseded, skipped, dead or discarded
    #[arg(long, value_parser = state())]
    state: Option<String>,
    /// To this destination
    #[arg(long)]
    destination: Option<String>,
    /// By this route
    #[arg(long)]
    route: Option<String>,
    /// Of this event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Of events of this type, such as interview.submitted
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Whose error has this text in it
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
struct Whose {
    /// Of this interview result
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Of this candidate, by the id in your ATS
    #[arg(long, value_name = "ID")]
    candidate: Option<String>,
    /// From this time on: 2h ago, or at 2026-11-22T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

/// How much of a list, and how.
#[derive(Debug, Args)]
struct Listing {
    /// How many at most, newest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Go on after a list that ended with this cursor
    #[arg(long)]
    cursor: Option<String>,
    /// Print JSON: one object with `items` and `next`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// What was given of a filter, by the names of the API.
type Given = Vec<(&'static str, String)>;

/// What was found, item by item as the relay says it.
#[derive(Deserialize, Serialize)]
struct Listed {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

pub(super) async fn events(global: &Global, args: EventsArgs) -> anyhow::Result<ExitCode> {
    let EventsArgs { which, listing } = args;
    let listed = listing
        .list(global, "/api/v1/events", which.given())
        .await?;
    if !listing.json {
        let mut table = Table::new(&[
            "EVENT", "RECEIVED", "TYPE", "SUBJECT", "REVISION", "CHANGED",
        ]);
        for item in &listed.items {
            let event: StoredEvent = understood(item.get().as_bytes())?;
            table.row([
                &event.id,
                &second(event.received_at),
                &event.event_type,
                event.subject.as_deref().unwrap_or("-"),
                &event.revision.to_string(),
                &event.changed.join(", "),
            ]);
        }
        table.print();
    }
    listing.end(&listed, "events")
}

pub(super) async fn deliveries(global: &Global, args: DeliveriesArgs) -> anyhow::Result<ExitCode> {
    let DeliveriesArgs { which, listing } = args;
    let listed = listing
        .list(global, "/api/v1/deliveries", which.given())
        .await?;
    if !listing.json {
        let mut table = Table::new(&[
            "DELIVERY",
            "CREATED",
            "DESTINATION",
            "STATE",
            "DUE",
            "ERROR",
        ]);
        for item in &listed.items {
            let one: StoredDelivery = understood(item.get().as_bytes())?;
            table.row([
                &one.id,
                &second(one.created_at),
                &one.destination,
                &one.state,
                &one.due_at.map_or("-".to_owned(), second),
                one.last_error.as_deref().unwrap_or("-"),
            ]);
        }
        table.print();
    }
    listing.end(&listed, "deliveries")
}

impl EventFilterArgs {
    pub(super) fn given(&self) -> Given {
        let own = [("type", &self.event_type), ("source", &self.source)];
        self.whose.with(own)
    }
}

impl DeliveryFilterArgs {
    pub(super) fn given(&self) -> Given {
        let own = [
            ("state", &self.state),
            ("destination", &self.destination),
            ("route", &self.route),
            ("event", &self.event),
            ("type", &self.event_type),
            ("error", &self.error),
        ];
        self.whose.with(own)
    }
}

impl Whose {
    fn with<const N: usize>(&self, own: [(&'static str, &Option<String>); N]) -> Given {
        let whose = [("subject", &self.subject), ("candidate", &self.candidate)];
        let texts = own.into_iter().chain(whose);
        let texts = texts.filter_map(|(name, text)| Some((name, text.clone()?)));
        let times = [("since", self.since), ("until", self.until)];
        let times = times.into_iter();
        let times = times.filter_map(|(name, time)| Some((name, time?.to_string())));
        texts.chain(times).collect()
    }
}

impl Listing {
    async fn list(&self, global: &Global, path: &str, given: Given) -> anyhow::Result<Listed> {
        let office = Office::of(global, &self.admin)?;
        let mut listed = Listed {
            items: Vec::new(),
            next: self.cursor.clone(),
        };
        // A page may hold fewer than its limit, and still have a next one.
        loop {
            let left = self.limit - listed.items.len();
            let mut query = given.clone();
            query.push(("limit", left.clamp(1, PAGE).to_string()));
            query.extend(listed.next.take().map(|cursor| ("cursor", cursor)));
            let page: Listed = understood(&office.get(path, &query).await?)?;
            listed.items.extend(page.items);
            listed.next = page.next;
            if listed.next.is_none() || listed.items.len() >= self.limit {
                return Ok(listed);
            }
        }
    }

    /// Says what is not shown. Standard output is for the list alone.
    fn end(&self, listed: &Listed, what: &str) -> anyhow::Result<ExitCode> {
        if self.json {
            say(serde_json::to_string(listed)?);
        } else if let Some(next) = &listed.next {
            complain(format_args!(
                "there are more: --limit {}, or go on with --cursor {next}",
                self.limit.saturating_mul(10)
            ));
        } else if listed.items.is_empty() {
            complain(format_args!("there are no such {what}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn state() -> PossibleValuesParser {
    PossibleValuesParser::new(State::ALL.map(|state| PossibleValue::new(state.as_str())))
}

/// A time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = humantime::parse_duration(text)
        .map_err(|_| "write 2h for two hours ago, or 2026-11-22T09:30:00Z".to_owned())?;
    app::system_clock()
        .now()
        .checked_sub(ago)
        .map_err(|_| "that is too long ago".to_owned())
}
