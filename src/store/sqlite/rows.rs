//! How values of the model stand in rows, and back. Codes never change their meaning.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Row;

use super::fault::Fault;
use super::readers::View;
use crate::model::{
    Attempt, Budget, Delivery, Event, EventId, EventType, FieldDigests, LaneState, LastCharge,
    RouteError, State, Subject, Verdict,
};

/// Columns that [`event`] reads, of `event AS e LEFT JOIN subject AS s ON s.id = e.subject`.
pub(super) const EVENT: &str = "e.seq, e.id, e.source, e.type, e.subject AS subject_id, e.revision, \
     e.prev_seq, e.changed, e.candidate, e.received_at, e.route_errors, s.subject AS subject";

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

/// The code of a state. `Sending` is a matter of memory: on disk it is waiting.
pub(super) const fn state_code(state: State) -> u8 {
    match state {
        State::Waiting | State::Sending => 0,
        State::Delivered => 1,
        State::Superseded => 2,
        State::Skipped => 3,
        State::Dead => 4,
        State::Discarded => 5,
    }
}

pub(super) fn state(code: u8) -> Result<State, Fault> {
    Ok(match code {
        0 => State::Waiting,
        1 => State::Delivered,
        2 => State::Superseded,
        3 => State::Skipped,
        4 => State::Dead,
        5 => State::Discarded,
        _ => return Err(Fault::Damaged("a delivery is in no known state")),
    })
}

pub(super) const fn verdict_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Accepted => 0,
        Verdict::Retry => 1,
        Verdict::Rejected => 2,
        Verdict::Blocked => 3,
    }
}

/// The code of a lane's state. An operator's pause and what relay.toml lacks are no part of it.
pub(super) const fn lane_code(state: LaneState) -> u8 {
    match state {
        LaneState::Healthy => 0,
        LaneState::Open => 1,
        LaneState::Blocked => 2,
        LaneState::Paused => 3,
        LaneState::Orphaned => 4,
    }
}

pub(super) fn lane_state(code: u8) -> Result<LaneState, Fault> {
    LaneState::ALL
        .into_iter()
        .find(|state| lane_code(*state) == code)
        .ok_or(Fault::Damaged("a lane is in no known state"))
}

pub(super) fn time(millis: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_millisecond(millis).map_err(|_| Fault::Damaged("a time is out of range"))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// A subject's row number as the outside knows it.
pub(super) fn subject_number(id: i64) -> Result<u64, Fault> {
    u64::try_from(id).map_err(|_| Fault::Damaged("a subject's number is negative"))
}

pub(super) fn event_id(row: &Row<'_>, column: &str) -> Result<EventId, Fault> {
    Ok(EventId::from_bytes(row.get(column)?))
}

pub(super) fn fields(bytes: &[u8]) -> Result<FieldDigests, Fault> {
    FieldDigests::from_bytes(bytes).ok_or(Fault::Damaged("a subject's field digests are damaged"))
}

/// A list as it is kept: JSON, and nothing where it is empty.
pub(super) fn list_text<T: serde::Serialize>(list: &[T]) -> Option<String> {
    (!list.is_empty())
        .then(|| serde_json::to_string(list).expect("names and words are always JSON"))
}

pub(super) fn list<T: serde::de::DeserializeOwned>(text: Option<&str>) -> Result<Vec<T>, Fault> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    serde_json::from_str(text).map_err(|_| Fault::Damaged("a list in an event is damaged"))
}

pub(super) fn event(view: &View<'_>, row: &Row<'_>) -> Result<EventRow, Fault> {
    let subject: Option<String> = row.get("subject")?;
    let subject = subject.as_deref().map(Subject::new).transpose();
    let event = Event {
        id: event_id(row, "id")?,
        source: view.name(row.get("source")?)?,
        event_type: EventType::new(&row.get::<_, String>("type")?),
        subject: subject.map_err(|_| Fault::Damaged("a subject has no sound length"))?,
        revision: row.get("revision")?,
        changed: list::<String>(row.get::<_, Option<String>>("changed")?.as_deref())?,
        candidate: row.get("candidate")?,
        received_at: time(row.get("received_at")?)?,
        route_errors: list::<RouteError>(row.get::<_, Option<String>>("route_errors")?.as_deref())?,
    };
    Ok(EventRow {
        seq: row.get("seq")?,
        subject: row.get("subject_id")?,
        prev_seq: row.get("prev_seq")?,
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
        verdict: Verdict::ALL
            .into_iter()
            .find(|verdict| verdict_code(*verdict) == code)
            .ok_or(Fault::Damaged("an attempt has no known verdict"))?,
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

/// The start of a text, cut at a character, so that one row never grows with what a receiver says.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    text.split_at_checked(text.floor_char_boundary(bytes))
        .map_or(text, |(start, _)| start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_leads_back_to_what_it_stands_for() {
        for one in State::ALL.into_iter().filter(|one| *one != State::Sending) {
            assert_eq!(state(state_code(one)).unwrap(), one);
        }
        for one in LaneState::ALL {
            assert_eq!(lane_state(lane_code(one)).unwrap(), one);
        }
        assert!(state(9).is_err() && lane_state(9).is_err());
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(clip("žluť", 100), "žluť");
        assert_eq!(clip("žluť", 2), "ž");
        assert_eq!(clip("žluť", 1), "");
    }
}
