//! Accepting an event: one plan becomes rows, if it was made against the latest revision.

use rusqlite::params;

use super::batch::Batch;
use super::fault::Fault;
use super::rows;
use super::sealed;
use super::senders;
use super::subjects::{self, Known};
use crate::model::{DeliveryId, EventId, Name, State};
use crate::store::{AcceptOutcome, AcceptPlan, Accepted, NewDelivery, Placed};

/// Numbers from here on are for replays under a new id (see replay.rs).
pub(super) const MOST_DELIVERIES: usize = 0x8000;

/// Writes all that follows from an event, or nothing where the plan is stale.
pub(super) fn accept(batch: &mut Batch<'_>, plan: &AcceptPlan) -> Result<AcceptOutcome, Fault> {
    if plan.deliveries.len() > MOST_DELIVERIES {
        return Err(Fault::Unfit("an event has at most 32768 deliveries"));
    }
    let source = batch.name(&plan.event.source)?;
    let subject = match subject_of(batch, plan, source)? {
        Fit::Stale(known) => {
            return Ok(AcceptOutcome::Stale(subjects::head(batch, known)?));
        }
        Fit::Erased => return Ok(AcceptOutcome::Erased),
        Fit::None => None,
        Fit::Subject(subject) => Some(subject),
    };
    let kept = plan.kept.as_ref().map(|kept| batch.kept(kept));
    let kept = kept.transpose()?;
    let seq = batch.next_seq();
    if let Some(subject) = &subject {
        write_subject(batch, plan, source, subject, seq)?;
    }
    write_event(batch, plan, (source, kept), subject.as_ref(), seq)?;
    let id = subject.as_ref().map(|subject| subject.id);
    senders::note(batch, &plan.event, source, id)?;
    let place = Place {
        seq,
        event: plan.event.id,
        revision: plan.event.revision,
        created_at: plan.event.received_at.as_millisecond(),
        subject: id,
        first: subject
            .as_ref()
            .is_none_or(|subject| subject.before.is_none()),
    };
    let mut accepted = Accepted {
        placed: Vec::with_capacity(plan.deliveries.len()),
        superseded: Vec::new(),
        subject: place.subject.map(rows::subject_number).transpose()?,
    };
    for (number, delivery) in (0..).zip(&plan.deliveries) {
        write_delivery(batch, &place, (number, delivery), &mut accepted)?;
    }
    Ok(AcceptOutcome::Accepted(accepted))
}

/// Whether a plan fits the latest revision of its subject.
enum Fit {
    None,
    Subject(Subject),
    Stale(Known),
    Erased,
}

struct Subject {
    id: i64,
    hash: i64,
    /// The revision before, if there is one.
    before: Option<Known>,
}

/// Where an event's deliveries belong.
pub(super) struct Place {
    pub(super) seq: i64,
    pub(super) event: EventId,
    pub(super) revision: u32,
    pub(super) created_at: i64,
    pub(super) subject: Option<i64>,
    /// Nothing of its subject can wait yet.
    pub(super) first: bool,
}

fn subject_of(batch: &mut Batch<'_>, plan: &AcceptPlan, source: i64) -> Result<Fit, Fault> {
    let Some(subject) = &plan.event.subject else {
        return Ok(Fit::None);
    };
    let key = &batch.identity().key;
    if batch.is_anybody_erased() {
        let digest = subjects::digest(key, &plan.event.source, subject.as_str());
        if subjects::is_erased(batch.conn, &digest)? {
            return Ok(Fit::Erased);
        }
    }
    let hash = subjects::hash(key, &plan.event.source, subject.as_str());
    let before = subjects::find(batch.conn, hash, source, subject.as_str())?;
    let latest = before.map_or(0, |known| known.revision);
    if latest.checked_add(1) == Some(plan.event.revision) {
        let id = before.map_or_else(|| batch.next_subject(), |known| known.id);
        return Ok(Fit::Subject(Subject { id, hash, before }));
    }
    before.map(Fit::Stale).ok_or(Fault::Unfit(
        "the revision that the event was compared with is gone; it must be compared again",
    ))
}

fn write_subject(
    batch: &Batch<'_>,
    plan: &AcceptPlan,
    source: i64,
    subject: &Subject,
    seq: i64,
) -> Result<(), Fault> {
    let fields = plan.fields.to_bytes();
    let revision = plan.event.revision;
    if subject.before.is_some() {
        batch
            .conn
            .prepare_cached(
                "UPDATE subject SET revision = ?2, latest_seq = ?3, fields = ?4 WHERE id = ?1",
            )?
            .execute(params![subject.id, revision, seq, fields])?;
    } else {
        let text = plan
            .event
            .subject
            .as_ref()
            .map(crate::model::Subject::as_str);
        batch
            .conn
            .prepare_cached(
                "INSERT INTO subject (id, hash, source, subject, revision, latest_seq, fields)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                subject.id,
                subject.hash,
                source,
                text,
                revision,
                seq,
                fields
            ])?;
    }
    if let Some(candidate) = &plan.event.candidate {
        batch
            .conn
            .prepare_cached("INSERT OR IGNORE INTO candidate (candidate, subject) VALUES (?1, ?2)")?
            .execute(params![candidate, subject.id])?;
    }
    Ok(())
}

fn write_event(
    batch: &Batch<'_>,
    plan: &AcceptPlan,
    (source, kept): (i64, Option<i64>),
    subject: Option<&Subject>,
    seq: i64,
) -> Result<(), Fault> {
    let event = &plan.event;
    batch
        .conn
        .prepare_cached(
            "INSERT INTO event (seq, id, source, type, subject, revision, prev_seq, changed,
                                candidate, received_at, route_errors, trace, kept)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            seq,
            event.id.as_bytes(),
            source,
            event.event_type.as_str(),
            subject.map(|subject| subject.id),
            event.revision,
            subject
                .and_then(|subject| subject.before)
                .map(|known| known.latest_seq),
            rows::list_text(&event.changed),
            event.candidate,
            event.received_at.as_millisecond(),
            rows::list_text(&event.route_errors),
            plan.trace.map(crate::model::TraceParent::to_bytes),
            kept,
        ])?;
    write_payload(batch, plan, seq)
}

fn write_payload(batch: &Batch<'_>, plan: &AcceptPlan, seq: i64) -> Result<(), Fault> {
    let sealed = batch.identity().seals.seal(plan.event.id, &plan.payload);
    let by = sealed.as_ref().map(|sealed| sealed::code(sealed.by));
    let body = sealed.as_ref().map_or(&plan.payload[..], |one| &one.body);
    batch
        .conn
        .prepare_cached("INSERT INTO payload (seq, body, sealed_by) VALUES (?1, ?2, ?3)")?
        .execute(params![seq, body, by])?;
    Ok(())
}

pub(super) fn write_delivery(
    batch: &mut Batch<'_>,
    place: &Place,
    (number, delivery): (u16, &NewDelivery),
    accepted: &mut Accepted,
) -> Result<(), Fault> {
    let destination = batch.name(&delivery.destination)?;
    let route = batch.name(&delivery.route)?;
    let waits = delivery.skipped.is_none();
    let mut ready = waits && delivery.settle_by.is_none();
    let mut due = Due {
        at: delivery.due_at.as_millisecond(),
        settle_by: delivery.settle_by.map(jiff::Timestamp::as_millisecond),
    };
    if let Some(subject) = place.subject.filter(|_| waits && !place.first) {
        let named = |id| (Name::clone(&delivery.destination), id);
        if delivery.supersedes {
            let ended = supersede(batch, (subject, destination), place.revision, &mut due)?;
            accepted.superseded.extend(ended.into_iter().map(named));
        } else {
            ready &= !waits_already(batch, subject, destination)?;
        }
        if delivery.takes_up {
            let ended = take_up(batch, (subject, destination), place.revision)?;
            accepted.superseded.extend(ended.into_iter().map(named));
        }
    }
    due.at = due
        .at
        .min(due.settle_by.unwrap_or(i64::MAX))
        .max(place.created_at);
    let state = if waits {
        State::Waiting
    } else {
        State::Skipped
    };
    batch
        .conn
        .prepare_cached(
            "INSERT INTO delivery (event_seq, number, destination, route, subject, state, due_at,
                                   created_at, last_error, settle_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            place.seq,
            number,
            destination,
            route,
            place.subject,
            rows::state_code(state),
            waits.then_some(due.at),
            place.created_at,
            delivery.skipped,
            due.settle_by.filter(|_| waits),
        ])?;
    batch.count_new(destination, state);
    accepted.placed.push(Placed {
        id: place.event.delivery(number),
        ready,
    });
    Ok(())
}

/// When a new delivery is due, in milliseconds.
struct Due {
    at: i64,
    settle_by: Option<i64>,
}

/// A delivery of a subject at a destination.
struct Found {
    seq: i64,
    number: u16,
    event: EventId,
    settle_by: Option<i64>,
}

/// Ends what still waits for a subject at a destination: revision `by` takes its place, and waits no
/// longer for others than the first of them would have.
fn supersede(
    batch: &mut Batch<'_>,
    at: (i64, i64),
    by: u32,
    due: &mut Due,
) -> Result<Vec<DeliveryId>, Fault> {
    let waiting = find(batch, WAITING_OF_SUBJECT, at)?;
    if let Some(own) = due.settle_by {
        let inherited = waiting.iter().filter_map(|found| found.settle_by);
        due.settle_by = inherited.chain([own]).min();
    }
    end(batch, at.1, (State::Waiting, &superseded_by(by)), waiting)
}

/// Ends what was skipped for a subject at a destination: revision `by` brings what was missing.
fn take_up(batch: &mut Batch<'_>, at: (i64, i64), by: u32) -> Result<Vec<DeliveryId>, Fault> {
    let skipped = find(batch, SKIPPED_OF_SUBJECT, at)?;
    let reason = format!("taken up by revision {by}");
    end(batch, at.1, (State::Skipped, &reason), skipped)
}

fn find(batch: &Batch<'_>, sql: &str, at: (i64, i64)) -> Result<Vec<Found>, Fault> {
    let mut statement = batch.conn.prepare_cached(sql)?;
    let found = statement.query_map([at.0, at.1], |row| {
        Ok(Found {
            seq: row.get(0)?,
            number: row.get(1)?,
            event: EventId::from_bytes(row.get(2)?),
            settle_by: row.get(3)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn end(
    batch: &mut Batch<'_>,
    destination: i64,
    (from, reason): (State, &str),
    all: Vec<Found>,
) -> Result<Vec<DeliveryId>, Fault> {
    for found in &all {
        let place = (found.seq, found.number);
        batch.end(place, destination, (from, State::Superseded), reason)?;
    }
    let id = |found: Found| found.event.delivery(found.number);
    Ok(all.into_iter().map(id).collect())
}

/// The reason that a superseded delivery shows.
pub(super) fn superseded_by(revision: u32) -> String {
    format!("superseded by revision {revision}")
}

fn waits_already(batch: &Batch<'_>, subject: i64, destination: i64) -> Result<bool, Fault> {
    let mut statement = batch.conn.prepare_cached(WAITS_ALREADY)?;
    Ok(statement.exists([subject, destination])?)
}

pub(super) const WAITS_ALREADY: &str =
    "SELECT 1 FROM delivery WHERE state = 0 AND subject = ?1 AND destination = ?2";

pub(super) const WAITING_OF_SUBJECT: &str = "SELECT d.event_seq, d.number, e.id, d.settle_by \
     FROM delivery AS d CROSS JOIN event AS e ON e.seq = d.event_seq \
     WHERE d.state = 0 AND d.subject = ?1 AND d.destination = ?2 ORDER BY d.event_seq, d.number";

pub(super) const SKIPPED_OF_SUBJECT: &str = "SELECT d.event_seq, d.number, e.id, NULL \
     FROM delivery AS d CROSS JOIN event AS e ON e.seq = d.event_seq \
     WHERE d.state = 3 AND d.subject = ?1 AND d.destination = ?2 ORDER BY d.event_seq, d.number";
