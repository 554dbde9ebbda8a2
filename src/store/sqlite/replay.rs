//! Putting a final delivery back to waiting.

use rusqlite::params;

use super::accept::MOST_DELIVERIES;
use super::batch::Batch;
use super::fault::Fault;
use super::rows;
use super::settle::{self, Row};
use crate::model::{Budget, DeliveryId, Name, State};
use crate::store::{Discarded, Replay, Replayed};

/// Replays a delivery where nothing speaks against it. Its attempts stay on record.
pub(super) fn replay(
    batch: &mut Batch<'_>,
    delivery: DeliveryId,
    how: Replay,
) -> Result<Replayed, Fault> {
    let Some(row) = settle::find(batch.conn, delivery)? else {
        return Ok(Replayed::Unknown);
    };
    if let Some(refused) = refusal(batch, &row, how)? {
        return Ok(refused);
    }
    batch
        .conn
        .prepare_cached(
            "UPDATE delivery SET state = ?3, due_at = ?4, last_error = NULL
             WHERE event_seq = ?1 AND number = ?2",
        )?
        .execute(params![
            row.seq,
            row.number,
            rows::state_code(State::Waiting),
            how.now.as_millisecond(),
        ])?;
    settle::write_budget(batch.conn, &row, &Budget::default())?;
    if how.new_id {
        give_new_id(batch, &row)?;
    }
    batch.count_moved(row.destination, row.state, State::Waiting);
    Ok(Replayed::Waiting {
        destination: name_of(batch, row.destination)?,
    })
}

/// Ends a delivery that waits.
pub(super) fn discard(
    batch: &mut Batch<'_>,
    delivery: DeliveryId,
    reason: &str,
) -> Result<Discarded, Fault> {
    let Some(row) = settle::find(batch.conn, delivery)? else {
        return Ok(Discarded::Unknown);
    };
    if row.state.is_final() {
        return Ok(Discarded::Ended(row.state));
    }
    let states = (row.state, State::Discarded);
    batch.end((row.seq, row.number), row.destination, states, reason)?;
    Ok(Discarded::Done {
        destination: name_of(batch, row.destination)?,
    })
}

fn name_of(batch: &Batch<'_>, destination: i64) -> Result<Name, Fault> {
    let name: String = batch
        .conn
        .prepare_cached("SELECT text FROM name WHERE id = ?1")?
        .query_row([destination], |found| found.get(0))?;
    Ok(name.into())
}

fn refusal(batch: &Batch<'_>, row: &Row, how: Replay) -> Result<Option<Replayed>, Fault> {
    if !row.state.is_final() {
        return Ok(Some(Replayed::NotFinal));
    }
    let mut payload = batch
        .conn
        .prepare_cached("SELECT 1 FROM payload WHERE seq = ?1")?;
    if !payload.exists([row.seq])? {
        return Ok(Some(Replayed::NoPayload));
    }
    if how.force {
        return Ok(None);
    }
    let newer = settle::newer_sent(batch.conn, row)?;
    Ok(newer.map(|sent| Replayed::Older { sent }))
}

/// A `webhook-id` that no delivery of the event has or had: real numbers end below 32768, and ids of
/// replays count on from there over all deliveries of the event. The 32769th such replay of one
/// event keeps its number, which no receiver will live to see.
fn give_new_id(batch: &Batch<'_>, row: &Row) -> Result<(), Fault> {
    let first = u16::try_from(MOST_DELIVERIES).expect("half of what 16 bits hold");
    batch
        .conn
        .prepare_cached(
            "UPDATE delivery SET webhook = min(?4, 1 + coalesce(
                 (SELECT max(webhook) FROM delivery WHERE event_seq = ?1), ?3 - 1))
             WHERE event_seq = ?1 AND number = ?2",
        )?
        .execute(params![row.seq, row.number, first, u16::MAX])?;
    Ok(())
}
