//! How rows become values of the model. The codes in them are in `store/codes.rs`.

use rusqlite::Row;

use super::fault::Fault;
use super::readers::View;
use crate::model::{
    Attempt, Budget, Delivery, Event, EventId, EventType, LastCharge, RouteError, Subject,
};
pub(super) use crate::store::codes::{
    clip, duration, fields, lane_code, lane_state, list, list_text, millis, state, state_code,
    subject_number, time, verdict, verdict_code,
};

/// The first 12 columns of what [`event`] reads, of `event AS e LEFT JOIN subject AS s ON s.id = e.subject`.
pub(super) const EVENT: &str = "e.seq, e.id, e.source, e.type, e.subject, e.revision, \
     e.prev_seq, e.changed, e.candidate, e.received_at, e.route_errors, s.subject";

/// Columns that [`delivery`] reads, of `delivery AS d JOIN event AS e`.
pub(super) const DELIVERY: &str =
    "e.id, d.number, d.destination, d.route, d.state, d.due_at, d.last_error, d.created_at";

/// An event with the numbers that lead on from it.
pub(super) struct EventRow {
    pub(super) seq: i64,
    pub(super) subject: Option<i64>,
    pub(super) prev_seq: Option<i64>,
    pub(super) event: Event,
}

pub(super) fn event_id(row: &Row<'_>, column: &str) -> Result<EventId, Fault> {
    Ok(EventId::from_bytes(row.get(column)?))
}

/// Reads the columns of [`EVENT`] by position: this is on the path of every attempt, and finding a
/// column by its name costs more than reading it.
pub(super) fn event(view: &View<'_>, row: &Row<'_>) -> Result<EventRow, Fault> {
    let subject: Option<String> = row.get(11)?;
    let subject = subject.as_deref().map(Subject::new).transpose();
    let event = Event {
        id: EventId::from_bytes(row.get(1)?),
        source: view.name(row.get(2)?)?,
        event_type: EventType::new(&row.get::<_, String>(3)?),
        subject: subject.map_err(|_| Fault::Damaged("a subject has no sound length"))?,
        revision: row.get(5)?,
        changed: list::<String>(row.get::<_, Option<String>>(7)?.as_deref())?,
        candidate: row.get(8)?,
        received_at: time(row.get(9)?)?,
        route_errors: list::<RouteError>(row.get::<_, Option<String>>(10)?.as_deref())?,
    };
    Ok(EventRow {
        seq: row.get(0)?,
        subject: row.get(4)?,
        prev_seq: row.get(6)?,
        event,
    })
}

/// A delivery without its attempts.
pub(super) fn delivery(view: &View<'_>, row: &Row<'_>) -> Result<Delivery, Fault> {
    Ok(Delivery {
        id: event_id(row, "id")?.delivery(row.get("number")?),
        destination: view.name(row.get("destination")?)?,
        route: view.name(row.get("route")?)?,
        state: state(row.get("state")?)?,
        due_at: row.get::<_, Option<i64>>("due_at")?.map(time).transpose()?,
        last_error: row.get("last_error")?,
        created_at: time(row.get("created_at")?)?,
        attempts: Vec::new(),
    })
}

pub(super) fn attempt(row: &Row<'_>) -> Result<Attempt, Fault> {
    let code: u8 = row.get("verdict")?;
    Ok(Attempt {
        at: time(row.get("at")?)?,
        duration: duration(row.get("duration")?),
        status: row.get("status")?,
        verdict: verdict(code)?,
        reason: row.get("reason")?,
        excerpt: row.get("excerpt")?,
    })
}

pub(super) fn budget(row: &Row<'_>) -> Result<Budget, Fault> {
    let last = match row.get::<_, Option<i64>>("last_at")? {
        Some(at) => Some(LastCharge {
            at: time(at)?,
            delay: duration(row.get("last_delay")?),
            stood_still: duration(row.get("last_stood_still")?),
        }),
        None => None,
    };
    Ok(Budget {
        tries: row.get("tries")?,
        charged: row.get("charged")?,
        age: duration(row.get("age")?),
        last,
        refused_at: row
            .get::<_, Option<i64>>("refused_at")?
            .map(time)
            .transpose()?,
    })
}
