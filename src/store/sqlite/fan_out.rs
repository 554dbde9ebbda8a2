//! The deliveries of an event become rows, once what they supersede or take up has ended. A row each: several rows in
//! one statement were slower, because `SQLite` makes a coroutine of them.

use rusqlite::params;

use super::batch::Batch;
use super::fault::Fault;
use super::rows;
use crate::model::{DeliveryId, EventId, Name, State};
use crate::store::{Accepted, NewDelivery, Placed};

const INSERT: &str = "INSERT INTO delivery (event_seq, number, destination, route, subject, state, due_at, \
     created_at, last_error, settle_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

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

/// A delivery's row, but for what is the same in all of an event.
struct Row<'a> {
    number: u16,
    destination: i64,
    route: i64,
    state: State,
    due_at: Option<i64>,
    settle_by: Option<i64>,
    /// Why it is skipped.
    skipped: Option<&'a str>,
}

/// Writes deliveries under their numbers.
pub(super) fn write<'a>(
    batch: &mut Batch<'_>,
    place: &Place,
    deliveries: impl Iterator<Item = (u16, &'a NewDelivery)>,
    accepted: &mut Accepted,
) -> Result<(), Fault> {
    let mut statement = batch.conn.prepare_cached(INSERT)?;
    for numbered in deliveries {
        let row = row(batch, place, numbered, accepted)?;
        statement.execute(params![
            place.seq,
            row.number,
            row.destination,
            row.route,
            place.subject,
            rows::state_code(row.state),
            row.due_at,
            place.created_at,
            row.skipped,
            row.settle_by,
        ])?;
        batch.count_new(row.destination, row.state);
    }
    Ok(())
}

fn row<'a>(
    batch: &mut Batch<'_>,
    place: &Place,
    (number, delivery): (u16, &'a NewDelivery),
    accepted: &mut Accepted,
) -> Result<Row<'a>, Fault> {
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
    let due_at = due
        .at
        .min(due.settle_by.unwrap_or(i64::MAX))
        .max(place.created_at);
    accepted.placed.push(Placed {
        id: place.event.delivery(number),
        ready,
    });
    Ok(Row {
        number,
        destination,
        route,
        state: if waits {
            State::Waiting
        } else {
            State::Skipped
        },
        due_at: waits.then_some(due_at),
        settle_by: due.settle_by.filter(|_| waits),
        skipped: delivery.skipped.as_deref(),
    })
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
