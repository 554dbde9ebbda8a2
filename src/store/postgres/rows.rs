//! How values of the model stand in `PostgreSQL`'s rows, and back. The codes in them are in `store/codes.rs`.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::fault::Fault;
use crate::model::{
    Attempt, Budget, Delivery, DeliveryId, Event, EventId, EventType, LastCharge, Name, RouteError,
    State, Subject,
};
pub(super) use crate::store::codes::{
    clip, count, duration, fields, lane_code, lane_state, list, list_text, millis, state_code,
    subject_number, time, verdict_code,
};
use crate::store::codes::{state as state_of, verdict as verdict_of};
use crate::store::seal::Stored;

/// The first 11 columns of what [`event`] reads, of [`EVENT_TABLES`].
pub(super) const EVENT: &str = "e.seq, e.id, sn.text, e.type, e.subject, e.revision, \
     e.changed, e.candidate, e.received_at, e.route_errors, s.subject";

pub(super) const EVENT_TABLES: &str = "event AS e LEFT JOIN name AS sn ON sn.id = e.source LEFT JOIN subject AS s ON s.id = e.subject";

/// The first 8 columns of what [`delivery`] reads, of `delivery AS d JOIN event AS e` and [`DELIVERY_NAMES`].
pub(super) const DELIVERY: &str =
    "e.id, d.number, dn.text, rn.text, d.state, d.due_at, d.last_error, d.created_at";

pub(super) const DELIVERY_NAMES: &str =
    "LEFT JOIN name AS dn ON dn.id = d.destination LEFT JOIN name AS rn ON rn.id = d.route";

/// An event with the numbers that lead on from it.
pub(super) struct EventRow {
    pub(super) seq: i64,
    pub(super) subject: Option<i64>,
    pub(super) event: Event,
}

/// A column by its position.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Fault> {
    row.try_get(at)
        .map_err(|_| Fault::Damaged("a row is not what this relay writes"))
}

/// A number that this relay keeps as a wider one, or as one with a sign.
pub(super) fn narrow<T: TryFrom<i64>>(number: impl Into<i64>) -> Result<T, Fault> {
    T::try_from(number.into()).map_err(|_| Fault::Damaged("a number is out of range"))
}

/// The other way round.
pub(super) fn wide(number: u32) -> Result<i32, Fault> {
    i32::try_from(number).map_err(|_| Fault::Unfit("a number is too large for this store"))
}

pub(super) fn state(code: i16) -> Result<State, Fault> {
    Ok(state_of(narrow(code)?)?)
}

pub(super) fn code(state: State) -> i16 {
    state_code(state).into()
}

pub(super) fn millis_of(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millisecond)
}

pub(super) fn time_of(at: Option<i64>) -> Result<Option<Timestamp>, Fault> {
    Ok(at.map(time).transpose()?)
}

pub(super) fn name(row: &Row, at: usize) -> Result<Name, Fault> {
    Ok(get::<&str>(row, at)?.into())
}

/// What was kept as bytes because it may hold any character.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Damaged("a text is not UTF-8"))
}

/// Words to be shown: text in `PostgreSQL` cannot hold a zero character.
pub(super) fn words(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(super) fn event_id(row: &Row, at: usize) -> Result<EventId, Fault> {
    id_of(get(row, at)?)
}

pub(super) fn id_of(bytes: &[u8]) -> Result<EventId, Fault> {
    let bytes = bytes.try_into();
    Ok(EventId::from_bytes(bytes.map_err(|_| {
        Fault::Damaged("an event's id has no 16 bytes")
    })?))
}

/// Reads an event's id and, beside it, a number.
pub(super) fn delivery_id(row: &Row, at: usize) -> Result<DeliveryId, Fault> {
    delivery_id_at(row, at, at + 1)
}

pub(super) fn delivery_id_at(row: &Row, id: usize, number: usize) -> Result<DeliveryId, Fault> {
    let number: i32 = get(row, number)?;
    Ok(event_id(row, id)?.delivery(narrow(number)?))
}

pub(super) fn event(row: &Row) -> Result<EventRow, Fault> {
    let subject = get::<Option<&[u8]>>(row, 10)?.map(text).transpose()?;
    let candidate = get::<Option<&[u8]>>(row, 7)?.map(text).transpose()?;
    let event = Event {
        id: event_id(row, 1)?,
        source: name(row, 2)?,
        event_type: EventType::new(text(get(row, 3)?)?),
        subject: subject
            .map(Subject::new)
            .transpose()
            .map_err(|_| Fault::Damaged("a subject has no sound length"))?,
        revision: narrow(get::<i32>(row, 5)?)?,
        changed: list::<String>(get(row, 6)?)?,
        candidate: candidate.map(str::to_owned),
        received_at: time(get(row, 8)?)?,
        route_errors: list::<RouteError>(get(row, 9)?)?,
    };
    Ok(EventRow {
        seq: get(row, 0)?,
        subject: get(row, 4)?,
        event,
    })
}

/// A delivery without its attempts.
pub(super) fn delivery(row: &Row) -> Result<Delivery, Fault> {
    Ok(Delivery {
        id: delivery_id(row, 0)?,
        destination: name(row, 2)?,
        route: name(row, 3)?,
        state: state(get(row, 4)?)?,
        due_at: time_of(get(row, 5)?)?,
        last_error: get(row, 6)?,
        created_at: time(get(row, 7)?)?,
        attempts: Vec::new(),
    })
}

/// Reads at, duration, status, verdict, reason and excerpt from a position on.
pub(super) fn attempt(row: &Row, at: usize) -> Result<Attempt, Fault> {
    Ok(Attempt {
        at: time(get(row, at)?)?,
        duration: duration(get(row, at + 1)?),
        status: get::<Option<i32>>(row, at + 2)?.map(narrow).transpose()?,
        verdict: verdict_of(narrow(get::<i16>(row, at + 3)?)?)?,
        reason: get(row, at + 4)?,
        excerpt: get(row, at + 5)?,
    })
}

/// Reads the seven columns of a budget from a position on.
pub(super) fn budget(row: &Row, at: usize) -> Result<Budget, Fault> {
    let last = match get::<Option<i64>>(row, at + 3)? {
        Some(when) => Some(LastCharge {
            at: time(when)?,
            delay: duration(get(row, at + 4)?),
            stood_still: duration(get(row, at + 5)?),
        }),
        None => None,
    };
    Ok(Budget {
        tries: narrow(get::<i64>(row, at)?)?,
        charged: narrow(get::<i64>(row, at + 1)?)?,
        age: duration(get(row, at + 2)?),
        last,
        refused_at: time_of(get(row, at + 6)?)?,
    })
}

/// The same seven, in their order.
pub(super) fn budget_numbers(budget: &Budget) -> Vec<Option<i64>> {
    let last = budget.last;
    vec![
        Some(budget.tries.into()),
        Some(budget.charged.into()),
        Some(millis(budget.age)),
        last.map(|last| last.at.as_millisecond()),
        last.map(|last| millis(last.delay)),
        last.map(|last| millis(last.stood_still)),
        millis_of(budget.refused_at),
    ]
}

/// Reads `body` and `sealed_by` from a position on. None where there is no payload.
pub(super) fn stored(row: &Row, at: usize) -> Result<Option<Stored>, Fault> {
    let body: Option<Vec<u8>> = get(row, at)?;
    let by = get(row, at + 1)?;
    Ok(body.map(|body| Stored { body, by }))
}
