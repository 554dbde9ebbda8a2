//! `relay event`: one event, its revisions, and every attempt of each of its deliveries.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::client::{AdminArgs, Office, understood};
use super::stored::{StoredDelivery, StoredEvent};
use super::table::{Table, plain, second};
use super::{Global, say};
use crate::model::EventId;

#[derive(Debug, Args)]
pub(super) struct EventArgs {
    /// The event's id, such as `relay events` lists
    id: String,
    /// Print the body too, as it was received or what was kept of it: it is personal data
    #[arg(long)]
    payload: bool,
    /// Print JSON, with the body
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) async fn run(global: &Global, args: &EventArgs) -> anyhow::Result<ExitCode> {
    let id: EventId = args.id.parse().context("what is asked for")?;
    let office = Office::of(global, &args.admin)?;
    let body = office.get(&format!("/api/v1/events/{id}"), &[]).await?;
    if args.json {
        say(String::from_utf8_lossy(&body));
        return Ok(ExitCode::SUCCESS);
    }
    let event: StoredEvent = understood(&body)?;
    tell(&event);
    if args.payload {
        say("");
        match &event.payload {
            Some(payload) => say(plain(payload.get())),
            None if event.payload_error.is_some() => {}
            None => say("Its body is not kept any more."),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(event: &StoredEvent) {
    let line = |name: &str, value: &str| say(format_args!("{name:<10} {}", plain(value)));
    let or_none = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
    line("event", &event.id);
    line("type", &event.event_type);
    line("source", &event.source);
    line("subject", &or_none(&event.subject));
    line("candidate", &or_none(&event.candidate));
    line("received", &second(event.received_at));
    if let Some(error) = &event.payload_error {
        line("payload", error);
    }
    if let Some(fields) = &event.kept_fields {
        line("kept", &format!("of the body: {}", fields.join(", ")));
    }
    for error in &event.route_errors {
        line(
            "route",
            &format!("{} did not match: {}", error.route, error.error),
        );
    }
    say("");
    let mut revisions = Table::new(&["REVISION", "RECEIVED", "EVENT", "CHANGED"]);
    for revision in &event.revisions {
        let this = if revision.id == event.id {
            " (this)"
        } else {
            ""
        };
        revisions.row([
            &revision.revision.to_string(),
            &second(revision.received_at),
            &format!("{}{this}", revision.id),
            &revision.changed.join(", "),
        ]);
    }
    revisions.print();
    if event.deliveries.is_empty() {
        say("\nNo route matched: it went nowhere.");
    }
    event.deliveries.iter().for_each(tell_delivery);
}

fn tell_delivery(delivery: &StoredDelivery) {
    let why = delivery.last_error.as_ref();
    let why = why.map_or(String::new(), |why| format!(": {why}"));
    let due = delivery
        .due_at
        .map_or(String::new(), |due| format!(", due {}", second(due)));
    let told = format!(
        "{} by route {} ({}) is {}{due}{why}",
        delivery.destination, delivery.route, delivery.id, delivery.state
    );
    say(format_args!("\n{}", plain(&told)));
    if delivery.attempts.is_empty() {
        return;
    }
    let mut attempts = Table::new(&["AT", "TOOK", "STATUS", "VERDICT", "REASON"]);
    for attempt in &delivery.attempts {
        attempts.row([
            &second(attempt.at),
            &format!("{} ms", attempt.duration_ms),
            &attempt
                .status
                .map_or("-".to_owned(), |status| status.to_string()),
            &attempt.verdict,
            &attempt.reason,
        ]);
    }
    attempts.print();
}
