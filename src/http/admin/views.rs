//! Events, deliveries and the relay's status as the API shows them.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::InForce;
use crate::dispatch::Snapshot;
use crate::model::{Cursor, Delivery, DeliveryId, Event, LaneState, Name, Page, State};
use crate::store::{Erasure, EventDetail, Tally};
use crate::telemetry::Pace;
use crate::upkeep::SenderHealth;

/// A page of views.
#[derive(Serialize)]
pub(super) struct Listed<T> {
    items: Vec<T>,
    next: Option<Cursor>,
}

/// An event with everything that is known of it. The payload goes out as it came in.
#[derive(Serialize)]
pub(super) struct EventView {
    #[serde(flatten)]
    event: Map<String, Value>,
    payload: Option<Box<RawValue>>,
    deliveries: Vec<Value>,
    revisions: Vec<Value>,
}

pub(super) fn page<T, V>(page: Page<T>, view: impl Fn(T) -> V) -> Listed<V> {
    Listed {
        items: page.items.into_iter().map(view).collect(),
        next: page.next,
    }
}

pub(super) fn event(event: &Event) -> Map<String, Value> {
    let Value::Object(view) = json!({
        "id": event.id,
        "source": &*event.source,
        "type": event.event_type,
        "subject": event.subject,
        "revision": event.revision,
        "changed": event.changed,
        "candidate": event.candidate,
        "received_at": event.received_at,
        "route_errors": event.route_errors,
    }) else {
        unreachable!("written as an object")
    };
    view
}

pub(super) fn event_detail(detail: &EventDetail, sending: &HashSet<DeliveryId>) -> EventView {
    let payload = detail
        .payload
        .as_deref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    let revision = |revision: &crate::store::Revision| {
        json!({
            "id": revision.event,
            "revision": revision.revision,
            "type": revision.event_type,
            "changed": revision.changed,
            "received_at": revision.received_at,
        })
    };
    EventView {
        event: event(&detail.event),
        payload: payload.and_then(|text| RawValue::from_string(text.to_owned()).ok()),
        deliveries: detail
            .deliveries
            .iter()
            .map(|each| delivery(each, sending))
            .collect(),
        revisions: detail.revisions.iter().map(revision).collect(),
    }
}

pub(super) fn delivery(delivery: &Delivery, sending: &HashSet<DeliveryId>) -> Value {
    let state = if sending.contains(&delivery.id) {
        State::Sending
    } else {
        delivery.state
    };
    let mut view = json!({
        "id": delivery.id,
        "event_id": delivery.id.event,
        "destination": &*delivery.destination,
        "route": &*delivery.route,
        "state": state,
        "due_at": delivery.due_at,
        "last_error": delivery.last_error,
        "created_at": delivery.created_at,
    });
    if !delivery.attempts.is_empty() {
        let attempt = |attempt: &crate::model::Attempt| {
            json!({
                "at": attempt.at,
                "duration_ms": u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
                "status": attempt.status,
                "verdict": attempt.verdict,
                "reason": attempt.reason,
                "response": attempt.excerpt,
            })
        };
        view["attempts"] = delivery.attempts.iter().map(attempt).collect();
    }
    view
}

/// Every destination there is: the lanes, and those that are gone from relay.toml but have a backlog.
pub(super) fn destinations(snapshot: &Snapshot, tallies: &[Tally]) -> BTreeMap<Name, LaneState> {
    let backlog = tallies
        .iter()
        .filter(|tally| tally.state == State::Waiting && tally.count > 0);
    let mut all: BTreeMap<Name, LaneState> = backlog
        .map(|tally| (tally.destination.clone(), LaneState::Orphaned))
        .collect();
    all.extend(
        snapshot
            .lanes
            .iter()
            .map(|lane| (lane.destination.clone(), lane.state)),
    );
    all
}

pub(super) fn status(
    in_force: &InForce,
    (pace, senders): (&Pace, &[SenderHealth]),
    (snapshot, tallies): (&Snapshot, &[Tally]),
) -> Value {
    let mut counts: BTreeMap<&str, u64> =
        State::ALL.iter().map(|state| (state.as_str(), 0)).collect();
    for tally in tallies {
        *counts.entry(tally.state.as_str()).or_default() += tally.count;
    }
    // What is being sent is still waiting in the store.
    let sending = snapshot.sending.len() as u64;
    counts.insert(State::Sending.as_str(), sending);
    counts
        .entry(State::Waiting.as_str())
        .and_modify(|count| *count = count.saturating_sub(sending));
    let destinations: Vec<Value> = destinations(snapshot, tallies)
        .iter()
        .map(|(name, state)| destination((name, *state), snapshot, tallies))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "config": { "hash": in_force.hash, "generation": in_force.generation },
        "loaded_at": in_force.loaded_at,
        "last_reload": in_force.last_reload,
        "now": pace.now,
        "counts": counts,
        "in_per_minute": pace.taken,
        "out_per_minute": pace.delivered,
        "sources": senders.iter().map(source).collect::<Vec<Value>>(),
        "destinations": destinations,
    })
}

fn source(health: &SenderHealth) -> Value {
    json!({
        "name": &*health.source,
        "state": health.state,
        "last_event_at": health.last_event_at,
        "reason": health.reason,
    })
}

fn destination((name, state): (&Name, LaneState), snapshot: &Snapshot, tallies: &[Tally]) -> Value {
    let lane = snapshot.lanes.iter().find(|lane| lane.destination == *name);
    let mine = || tallies.iter().filter(|tally| tally.destination == *name);
    let waiting = mine().find(|tally| tally.state == State::Waiting);
    let orphan = "no longer in relay.toml; its backlog waits";
    let counts: BTreeMap<&str, u64> = mine()
        .map(|tally| (tally.state.as_str(), tally.count))
        .collect();
    json!({
        "name": &**name,
        "state": state,
        "reason": lane.map_or(orphan, |lane| &lane.reason),
        "since": lane.and_then(|lane| lane.since),
        "held_until": lane.and_then(|lane| lane.held_until),
        "next_probe": lane.and_then(|lane| lane.next_probe),
        "in_flight": lane.map_or(0, |lane| lane.in_flight),
        "counts": counts,
        "oldest_due_at": waiting.and_then(|tally| tally.oldest_due),
        "oldest_created_at": waiting.and_then(|tally| tally.oldest_created),
    })
}

/// The receipt of an erasure. What is not the relay's is named, because nobody else will.
pub(super) fn erasure(erasure: Erasure) -> Value {
    let mut view = serde_json::to_value(erasure).expect("a receipt has text keys only");
    view["not_ours"] = json!([
        "what the destinations in sent_to made of what they were sent",
        "backups and copies of the store's file",
        "what JobMojito and other senders keep",
    ]);
    view
}
