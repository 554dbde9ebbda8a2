//! What follows from a body, worked out over values alone: which event it is, whether it is news, and
//! which deliveries there will be. The store is asked nothing here, and nothing is written.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use super::Rules;
use crate::destination::Revisions;
use crate::model::{DeliveryId, Event, EventId, FieldDigests, plus};
use crate::route::{Chosen, Clause, Payload};
use crate::source::{Body, Malformed, Source};
use crate::store::{AcceptPlan, Head, NewDelivery, Skipped, StoreKey, Work};

/// A body with what came along.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub source: &'a Source,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
}

/// What is handed in to plan with.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The id that the event gets if it is news.
    pub id: EventId,
    pub now: Timestamp,
    /// The key of the digests in [`Head::fields`].
    pub key: &'a StoreKey,
}

/// What a body turned out to be, against what is known of its subject.
#[derive(Debug)]
pub enum Plan {
    News(AcceptPlan),
    /// Equal to the latest revision; `unconfirmed` where that one's acknowledgement was lost.
    Latest {
        id: EventId,
        revision: u32,
        unconfirmed: bool,
    },
    /// Equal to an older revision whose acknowledgement was lost.
    Retry {
        id: EventId,
        revision: u32,
    },
}

/// Reads the body and works out what follows from it. Where nothing is known of the subject yet, the
/// plan is one for a first revision: the store says so if it is not.
pub fn plan(
    rules: &Rules,
    arrival: &Arrival<'_>,
    head: Option<&Head>,
    stamp: &Stamp<'_>,
) -> Result<Plan, Malformed> {
    let body = Body::parse(arrival.body)?;
    let classified = arrival.source.kind.classify(&body, arrival.headers);
    let fields = body.digests(stamp.key.as_bytes());
    let differing = |older: &FieldDigests| {
        fields.differing(older, |field| arrival.source.ignore.contains(field))
    };
    let changed = head.map(|head| differing(&head.fields));
    if let Some(known) = head.and_then(|head| known(head, &differing)) {
        return Ok(known);
    }
    let mut event = Event {
        id: stamp.id,
        source: arrival.source.name.clone(),
        event_type: classified.event_type,
        subject: classified.subject,
        revision: head.map_or(1, |head| head.revision + 1),
        changed: changed.unwrap_or_default(),
        candidate: classified.candidate,
        received_at: stamp.now,
        route_errors: Vec::new(),
    };
    let result = Payload::new(|| body.value());
    let previous = previous(rules, head.and_then(|head| head.payload.as_ref()));
    let decision = rules.routes.decide(&event, &result, &previous);
    event.route_errors = decision.errors;
    let mut to = decision.to;
    let skipped = head.map_or(&[][..], |head| &head.skipped);
    to.extend(taken_up(rules, skipped, &to, (&event, &result, &previous)));
    let mut deliveries: Vec<NewDelivery> = to
        .into_iter()
        .filter_map(|chosen| delivery(rules, chosen, &result, stamp.now))
        .collect();
    for delivery in deliveries.iter_mut().filter(|one| one.skipped.is_none()) {
        delivery.takes_up = skipped
            .iter()
            .any(|one| one.destination == delivery.destination);
    }
    let kept = rules.kept.get(&event.source).cloned();
    let payload = match &kept {
        Some(kept) => body.keeping(kept).into(),
        None => arrival.body.clone(),
    };
    Ok(Plan::News(AcceptPlan {
        event: Arc::new(event),
        payload,
        kept,
        fields,
        deliveries,
        trace: None,
    }))
}

/// The deliveries that an event which was kept would get if it came at `now`, by its own payload and that
/// of the revision before, as far as they are kept.
pub fn replan(
    rules: &Rules,
    event: &Event,
    (payload, previous): (&Bytes, Option<&Bytes>),
    now: Timestamp,
) -> Result<Vec<NewDelivery>, Malformed> {
    let body = Body::parse(payload)?;
    let result = Payload::new(|| body.value());
    let previous = self::previous(rules, previous);
    let chosen = rules
        .routes
        .decide(event, &result, &previous)
        .to
        .into_iter();
    let deliveries = chosen.filter_map(|chosen| delivery(rules, chosen, &result, now));
    Ok(deliveries.collect())
}

/// What the first attempt of a planned delivery needs, as the store would answer it. `payloads` are the
/// event's own and that of the revision before.
pub fn work(
    event: &Arc<Event>,
    delivery: &NewDelivery,
    id: DeliveryId,
    payloads: (Bytes, Option<Bytes>),
) -> Work {
    let (payload, previous) = payloads;
    Work {
        event: event.clone(),
        destination: delivery.destination.clone(),
        route: delivery.route.clone(),
        webhook_id: id,
        payload,
        kept: None,
        previous,
        previous_kept: None,
        changed: event.changed.clone(),
        receipt: None,
        trace: None,
    }
}

/// The event that the body repeats, if it does.
fn known(head: &Head, differing: &dyn Fn(&FieldDigests) -> Vec<String>) -> Option<Plan> {
    if differing(&head.fields).is_empty() {
        let unconfirmed = head.unconfirmed.iter().any(|lost| lost.event == head.event);
        return Some(Plan::Latest {
            id: head.event,
            revision: head.revision,
            unconfirmed,
        });
    }
    let lost = head
        .unconfirmed
        .iter()
        .find(|lost| differing(&lost.fields).is_empty())?;
    Some(Plan::Retry {
        id: lost.event,
        revision: lost.revision,
    })
}

/// Destinations that lacked a field of this subject before and have it now, where the route that chose
/// them would choose them still. What changed does not count: they were never sent what did.
fn taken_up(
    rules: &Rules,
    skipped: &[Skipped],
    chosen: &[Chosen],
    (event, result, previous): (&Event, &Payload<'_>, &Payload<'_>),
) -> Vec<Chosen> {
    let wanted = |one: &&Skipped| {
        let new = chosen
            .iter()
            .all(|chosen| chosen.destination != one.destination);
        let destination = rules.destinations.get(&one.destination);
        let route = rules.routes.iter().find(|route| route.name == one.route);
        new && destination.is_some_and(|destination| destination.required(result).is_ok())
            // What it needs of the payload is known only of destinations that a route leads to.
            && route.is_some_and(|route| {
                let mut clauses = rules
                    .routes
                    .clauses(route, event, result, previous)
                    .into_iter()
                    .filter(|(clause, _)| !matches!(clause, Clause::First | Clause::Changed));
                route.to.contains(&one.destination) && clauses.all(|(_, answer)| answer == Ok(true))
            })
    };
    let chosen = |one: &Skipped| Chosen {
        destination: one.destination.clone(),
        route: one.route.clone(),
    };
    skipped.iter().filter(wanted).map(chosen).collect()
}

/// The payload of the revision before. It was read when it was accepted.
fn previous<'a>(rules: &Rules, payload: Option<&'a Bytes>) -> Payload<'a> {
    let payload = payload.filter(|_| rules.routes.reads_previous());
    Payload::new(move || {
        let body = payload.and_then(|payload| Body::parse(payload).ok());
        body.map_or(Value::Null, |body| body.value())
    })
}

fn delivery(
    rules: &Rules,
    chosen: Chosen,
    result: &Payload<'_>,
    now: Timestamp,
) -> Option<NewDelivery> {
    let destination = rules.destinations.get(&chosen.destination)?;
    let missing = destination.required(result).err();
    let settle = destination.settings().settle;
    Some(NewDelivery {
        skipped: missing.map(|field| format!("{field} is null")),
        supersedes: destination.revisions() == Revisions::Latest,
        destination: chosen.destination,
        route: chosen.route,
        due_at: settle.map_or(now, |settle| plus(now, settle.wait)),
        settle_by: settle.map(|settle| plus(now, settle.most)),
        takes_up: false,
    })
}
