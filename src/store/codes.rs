//! How values of the model stand in the rows of any store, and back. Codes never change their meaning.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{FieldDigests, Kept, LaneState, State, Verdict};

/// A row is not what this version writes; in words that do not tell what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::store) struct Damaged(pub(in crate::store) &'static str);

/// The code of a state. `Sending` is a matter of memory: on disk it is waiting.
pub(in crate::store) const fn state_code(state: State) -> u8 {
    match state {
        State::Waiting | State::Sending => 0,
        State::Delivered => 1,
        State::Superseded => 2,
        State::Skipped => 3,
        State::Dead => 4,
        State::Discarded => 5,
    }
}

pub(in crate::store) fn state(code: u8) -> Result<State, Damaged> {
    Ok(match code {
        0 => State::Waiting,
        1 => State::Delivered,
        2 => State::Superseded,
        3 => State::Skipped,
        4 => State::Dead,
        5 => State::Discarded,
        _ => return Err(Damaged("a delivery is in no known state")),
    })
}

pub(in crate::store) const fn verdict_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Accepted => 0,
        Verdict::Retry => 1,
        Verdict::Rejected => 2,
        Verdict::Blocked => 3,
    }
}

pub(in crate::store) fn verdict(code: u8) -> Result<Verdict, Damaged> {
    Verdict::ALL
        .into_iter()
        .find(|verdict| verdict_code(*verdict) == code)
        .ok_or(Damaged("an attempt has no known verdict"))
}

/// The code of a lane's state. An operator's pause and what relay.toml lacks are no part of it.
pub(in crate::store) const fn lane_code(state: LaneState) -> u8 {
    match state {
        LaneState::Healthy => 0,
        LaneState::Open => 1,
        LaneState::Blocked => 2,
        LaneState::Paused => 3,
        LaneState::Orphaned => 4,
    }
}

pub(in crate::store) fn lane_state(code: u8) -> Result<LaneState, Damaged> {
    LaneState::ALL
        .into_iter()
        .find(|state| lane_code(*state) == code)
        .ok_or(Damaged("a lane is in no known state"))
}

pub(in crate::store) fn time(millis: i64) -> Result<Timestamp, Damaged> {
    Timestamp::from_millisecond(millis).map_err(|_| Damaged("a time is out of range"))
}

pub(in crate::store) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(in crate::store) fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

pub(in crate::store) fn count(count: i64) -> Result<u64, Damaged> {
    u64::try_from(count).map_err(|_| Damaged("a count of deliveries is negative"))
}

/// A subject's row number as the outside knows it.
pub(in crate::store) fn subject_number(id: i64) -> Result<u64, Damaged> {
    u64::try_from(id).map_err(|_| Damaged("a subject's number is negative"))
}

pub(in crate::store) fn fields(bytes: &[u8]) -> Result<FieldDigests, Damaged> {
    FieldDigests::from_bytes(bytes).ok_or(Damaged("a subject's field digests are damaged"))
}

/// A list as it is kept: JSON, and nothing where it is empty.
pub(in crate::store) fn list_text<T: serde::Serialize>(list: &[T]) -> Option<String> {
    (!list.is_empty())
        .then(|| serde_json::to_string(list).expect("names and words are always JSON"))
}

pub(in crate::store) fn list<T: serde::de::DeserializeOwned>(
    text: Option<&str>,
) -> Result<Vec<T>, Damaged> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    serde_json::from_str(text).map_err(|_| Damaged("a list in an event is damaged"))
}

/// A set of kept fields as it stands in a row.
pub(in crate::store) fn kept_text(kept: &Kept) -> String {
    let fields = serde_json::to_string(&kept.iter().collect::<Vec<_>>());
    fields.expect("names are always JSON")
}

pub(in crate::store) fn kept(fields: &str) -> Result<Kept, Damaged> {
    Ok(list::<String>(Some(fields))?.into_iter().collect())
}

/// The start of a text, cut at a character, so that one row never grows with what a receiver says.
pub(in crate::store) fn clip(text: &str, bytes: usize) -> &str {
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
