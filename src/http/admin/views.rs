//! Events, deliveries and the relay's status as the API shows them. Their comments are in its description.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::jobs::JobView;
use super::replicas::{self, ReplicaView};
use super::{InForce, LastReload};
use crate::dispatch::Snapshot;
use crate::model::{
    Attempt, Cursor, Delivery, DeliveryId, Event, EventId, EventType, LaneState, Name, Page,
    RouteError, SourceState, State, Subject, Verdict,
};
use crate::store::{Erasure, EventDetail, Revision, Roll, Sealing, Tally};
use crate::telemetry::Pace;
use crate::upkeep::SenderHealth;

/// A page of a list, newest first. It may hold fewer items than its limit: the last one has no `next`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub(super) struct Listed<T> {
    items: Vec<T>,
    next: Option<Cursor>,
}

/// One accepted webhook.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub(super) struct EventView {
    id: EventId,
    /// The configured source that it came through
    source: Name,
    #[serde(rename = "type")]
    event_type: EventType,
    /// The interview result's id. null where the body names none
    subject: Option<Subject>,
    /// 1, 2, … for each source and subject, without gaps
    revision: u32,
    /// Top-level fields that differ from the previous revision
    changed: Vec<String>,
    /// The candidate's id in your ATS. Personal data
    candidate: Option<String>,
    received_at: Timestamp,
    /// Routes whose `when` could not be evaluated for it
    route_errors: Vec<RouteError>,
}

/// One accepted webhook as lists have it: without payload and attempts.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedEvent")]
pub(super) struct ListedEventView {
    #[serde(flatten)]
    event: EventView,
    deliveries: Vec<DeliveryView>,
}

/// An event with everything that is known of it. The payload goes out as it came in.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventDetail")]
pub(super) struct EventDetailView {
    #[serde(flatten)]
    event: EventView,
    /// The body as it was received, or what was kept of it: any JSON. null once it is not kept any more. Personal data
    payload: Option<Box<RawValue>>,
    /// Why there is no payload although it is kept: it cannot be decrypted
    payload_error: Option<String>,
    /// The top-level fields that were kept, where the source is minimised: what else the body had is unknown. null
    /// for a body that is whole
    kept_fields: Option<Vec<String>>,
    deliveries: Vec<DeliveryDetailView>,
    /// All revisions of its subject, oldest first, the newest 500 at most
    revisions: Vec<RevisionView>,
}

/// One revision of a subject.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Revision")]
pub(super) struct RevisionView {
    id: EventId,
    revision: u32,
    #[serde(rename = "type")]
    event_type: EventType,
    changed: Vec<String>,
    received_at: Timestamp,
}

/// One event for one destination.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub(super) struct DeliveryView {
    id: DeliveryId,
    event_id: EventId,
    destination: Name,
    /// The first route that named the destination
    route: Name,
    state: State,
    /// When it may go out; null once it is final
    due_at: Option<Timestamp>,
    /// Why it is not delivered. It may quote the receiver
    last_error: Option<String>,
    created_at: Timestamp,
}

/// A delivery with every attempt.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeliveryDetail")]
pub(super) struct DeliveryDetailView {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// Oldest first
    attempts: Vec<AttemptView>,
}

/// One HTTP try.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
pub(super) struct AttemptView {
    at: Timestamp,
    duration_ms: u64,
    /// null where no answer came
    status: Option<u16>,
    verdict: Verdict,
    /// Why. It may quote the receiver
    reason: String,
    /// The start of the receiver's answer. May hold personal data
    response: Option<String>,
}

/// How the relay stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Status")]
pub(super) struct StatusView {
    version: &'static str,
    config: ConfigView,
    loaded_at: Timestamp,
    last_reload: Option<LastReload>,
    /// The relay's own time
    now: Timestamp,
    /// Deliveries in each state
    counts: BTreeMap<State, u64>,
    /// Webhooks taken in each of the last minutes, oldest first
    in_per_minute: Vec<u64>,
    /// Deliveries made in each of the last minutes, oldest first
    out_per_minute: Vec<u64>,
    sources: Vec<SourceView>,
    destinations: Vec<DestinationView>,
    /// The relays that share the store; empty where this one has it alone
    replicas: Vec<ReplicaView>,
    /// How payloads are encrypted in the store; null where none is
    encryption: Option<EncryptionView>,
    /// Jobs that run, newest first
    jobs: Vec<JobView>,
}

/// How payloads are encrypted in the store.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Encryption")]
pub(super) struct EncryptionView {
    /// Fingerprint of the key that encrypts; null while the encryption is being taken off
    key: Option<String>,
    /// Older payloads are still being gone through: keys besides the first are needed, and so is `encrypt` itself
    resealing: bool,
    /// Payloads that are still to be gone through; 10000 stands for that many or more
    left: u64,
}

/// Which configuration is in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Config")]
pub(super) struct ConfigView {
    /// Digest of relay.toml
    hash: String,
    /// 1 at start, one more with each reload
    generation: u64,
}

/// A source and why it stands so.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Source")]
pub(super) struct SourceView {
    name: Name,
    state: SourceState,
    last_event_at: Option<Timestamp>,
    /// Empty where it is healthy
    reason: String,
}

/// A destination and why it stands so.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Destination")]
pub(super) struct DestinationView {
    name: Name,
    state: LaneState,
    /// Why it is not healthy, where it is not. It may quote the receiver
    reason: String,
    since: Option<Timestamp>,
    /// Until when the receiver asked for a pause
    held_until: Option<Timestamp>,
    next_probe: Option<Timestamp>,
    /// Requests under way
    in_flight: usize,
    /// Its deliveries in each state; what is under way is waiting here
    counts: BTreeMap<State, u64>,
    /// When the one was due that has been due longest
    oldest_due_at: Option<Timestamp>,
    /// When the oldest that waits was created
    oldest_created_at: Option<Timestamp>,
    /// The name of the relay that delivers to it, where several share a store; null where none does at the moment. Of
    /// a lane elsewhere it is not known here what is under way, nor until when it holds
    owner: Option<String>,
}

/// What came of a reload.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reloaded")]
pub(super) struct ReloadedView {
    pub(super) config: ConfigView,
    /// What it means for deliveries that wait: which lack fields that are used now
    pub(super) warnings: Vec<String>,
}

/// How a destination stands after it was paused or resumed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Lane")]
pub(super) struct LaneStateView {
    pub(super) name: Name,
    pub(super) state: LaneState,
    pub(super) reason: String,
    /// false, with 202: the relay that has it was told, and did not answer yet
    pub(super) done: bool,
}

/// The receipt of an erasure.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ErasureReceipt")]
pub(super) struct ErasureView {
    #[serde(flatten)]
    erasure: Erasure,
    /// What the relay cannot erase
    not_ours: [&'static str; 4],
}

/// What became of a backlog.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Moved")]
pub(super) struct MovedView {
    pub(super) from: Name,
    pub(super) to: Name,
    /// Deliveries that wait for the other destination now
    pub(super) moved: u64,
    /// Deliveries whose event, or a newer revision of it, the other destination has already
    pub(super) discarded: u64,
}

/// How a delivery stands after it was replayed or discarded.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Changed")]
pub(super) struct ChangedView {
    pub(super) id: DeliveryId,
    pub(super) state: State,
}

pub(super) fn page<T, V>(page: Page<T>, view: impl Fn(T) -> V) -> Listed<V> {
    Listed {
        items: page.items.into_iter().map(view).collect(),
        next: page.next,
    }
}

fn event(event: Event) -> EventView {
    EventView {
        id: event.id,
        source: event.source,
        event_type: event.event_type,
        subject: event.subject,
        revision: event.revision,
        changed: event.changed,
        candidate: event.candidate,
        received_at: event.received_at,
        route_errors: event.route_errors,
    }
}

pub(super) fn listed_event(
    one: Event,
    deliveries: Vec<Delivery>,
    sending: &HashSet<DeliveryId>,
) -> ListedEventView {
    ListedEventView {
        event: event(one),
        deliveries: deliveries
            .into_iter()
            .map(|one| delivery(one, sending))
            .collect(),
    }
}

pub(super) fn event_detail(detail: EventDetail, sending: &HashSet<DeliveryId>) -> EventDetailView {
    let payload = detail.payload.as_deref();
    let payload = payload.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let deliveries = detail.deliveries.into_iter();
    let kept = detail.kept;
    EventDetailView {
        event: event(detail.event),
        payload_error: detail.lost.map(|error| error.to_string()),
        payload: payload.and_then(|text| RawValue::from_string(text.to_owned()).ok()),
        kept_fields: kept.map(|kept| kept.iter().map(str::to_owned).collect()),
        deliveries: deliveries
            .map(|each| delivery_detail(each, sending))
            .collect(),
        revisions: detail.revisions.into_iter().map(revision).collect(),
    }
}

fn revision(revision: Revision) -> RevisionView {
    RevisionView {
        id: revision.event,
        revision: revision.revision,
        event_type: revision.event_type,
        changed: revision.changed,
        received_at: revision.received_at,
    }
}

pub(super) fn delivery(delivery: Delivery, sending: &HashSet<DeliveryId>) -> DeliveryView {
    let under_way = sending.contains(&delivery.id);
    DeliveryView {
        id: delivery.id,
        event_id: delivery.id.event,
        destination: delivery.destination,
        route: delivery.route,
        state: if under_way {
            State::Sending
        } else {
            delivery.state
        },
        due_at: delivery.due_at,
        last_error: delivery.last_error,
        created_at: delivery.created_at,
    }
}

pub(super) fn delivery_detail(
    mut one: Delivery,
    sending: &HashSet<DeliveryId>,
) -> DeliveryDetailView {
    let attempts = std::mem::take(&mut one.attempts).into_iter();
    DeliveryDetailView {
        delivery: delivery(one, sending),
        attempts: attempts.map(attempt).collect(),
    }
}

fn attempt(attempt: Attempt) -> AttemptView {
    AttemptView {
        at: attempt.at,
        duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
        status: attempt.status,
        verdict: attempt.verdict,
        reason: attempt.reason,
        response: attempt.excerpt,
    }
}

/// What there is to know of lanes and what waits for them.
pub(super) struct Standing<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) roll: Option<&'a Roll>,
    pub(super) tallies: &'a [Tally],
}

/// Every destination there is: the lanes, those that other relays have, and those that are gone from relay.toml but have
/// a backlog.
pub(super) fn destinations(standing: &Standing<'_>) -> BTreeMap<Name, LaneState> {
    let Standing {
        snapshot,
        roll,
        tallies,
    } = standing;
    let backlog = tallies
        .iter()
        .filter(|tally| tally.state == State::Waiting && tally.count > 0);
    let mut all: BTreeMap<Name, LaneState> = backlog
        .map(|tally| (tally.destination.clone(), LaneState::Orphaned))
        .collect();
    let elsewhere = snapshot.elsewhere.iter();
    all.extend(elsewhere.map(|name| {
        let stands = roll.map(|roll| replicas::stands(roll, name).0);
        (name.clone(), stands.unwrap_or(LaneState::Healthy))
    }));
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
    standing: &Standing<'_>,
    (sealing, jobs): (Option<Sealing>, Vec<JobView>),
) -> StatusView {
    let Standing {
        snapshot,
        roll,
        tallies,
    } = standing;
    let mut counts: BTreeMap<State, u64> = State::ALL.iter().map(|state| (*state, 0)).collect();
    for tally in *tallies {
        *counts.entry(tally.state).or_default() += tally.count;
    }
    // What is being sent is still waiting in the store.
    let sending = snapshot.sending.len() as u64;
    counts.insert(State::Sending, sending);
    counts
        .entry(State::Waiting)
        .and_modify(|count| *count = count.saturating_sub(sending));
    let destinations = destinations(standing).into_iter();
    StatusView {
        version: env!("CARGO_PKG_VERSION"),
        config: config(in_force),
        loaded_at: in_force.loaded_at,
        last_reload: in_force.last_reload.clone(),
        now: pace.now,
        counts,
        in_per_minute: pace.taken.to_vec(),
        out_per_minute: pace.delivered.to_vec(),
        sources: senders.iter().map(source).collect(),
        destinations: destinations
            .map(|(name, state)| destination((name, state), standing))
            .collect(),
        replicas: roll.map(replicas::replicas).unwrap_or_default(),
        encryption: sealing.map(encryption),
        jobs,
    }
}

fn encryption(sealing: Sealing) -> EncryptionView {
    EncryptionView {
        key: sealing.key.map(|key| key.to_string()),
        resealing: sealing.resealing,
        left: sealing.left,
    }
}

pub(super) fn config(in_force: &InForce) -> ConfigView {
    ConfigView {
        hash: in_force.hash.clone(),
        generation: in_force.generation,
    }
}

fn source(health: &SenderHealth) -> SourceView {
    SourceView {
        name: health.source.clone(),
        state: health.state,
        last_event_at: health.last_event_at,
        reason: health.reason.clone(),
    }
}

fn destination(
    (name, state): (Name, LaneState),
    Standing {
        snapshot,
        roll,
        tallies,
    }: &Standing<'_>,
) -> DestinationView {
    let elsewhere = roll.filter(|_| snapshot.elsewhere.contains(&name));
    let elsewhere = elsewhere.map(|roll| replicas::stands(roll, &name).1);
    let lane = snapshot.lanes.iter().find(|lane| lane.destination == name);
    let mine = || tallies.iter().filter(|tally| tally.destination == name);
    let waiting = mine().find(|tally| tally.state == State::Waiting);
    let orphan = "no longer in relay.toml; its backlog waits";
    DestinationView {
        state,
        reason: match (lane, elsewhere) {
            (Some(lane), _) => lane.reason.clone(),
            (None, Some(reason)) => reason,
            (None, None) => orphan.to_owned(),
        },
        since: lane.and_then(|lane| lane.since),
        held_until: lane.and_then(|lane| lane.held_until),
        next_probe: lane.and_then(|lane| lane.next_probe),
        in_flight: lane.map_or(0, |lane| lane.in_flight),
        counts: mine().map(|tally| (tally.state, tally.count)).collect(),
        oldest_due_at: waiting.and_then(|tally| tally.oldest_due),
        oldest_created_at: waiting.and_then(|tally| tally.oldest_created),
        owner: roll.and_then(|roll| replicas::owner(roll, &name)),
        name,
    }
}

/// What is not the relay's is named, because nobody else will.
pub(super) fn erasure(erasure: Erasure) -> ErasureView {
    ErasureView {
        erasure,
        not_ours: [
            "what the destinations in sent_to made of what they were sent",
            "backups and copies of the store's file",
            "archives of the store's log (WAL) that somebody else keeps",
            "what JobMojito and other senders keep",
        ],
    }
}
