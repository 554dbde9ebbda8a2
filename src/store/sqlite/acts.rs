//! What operators do to deliveries: put back to waiting, or ended; each alone or as part of a job.

use std::collections::HashSet;

use rusqlite::params;

use super::batch::Batch;
use super::fault::Fault;
use super::settle::{self, Row};
use super::{create, jobs, rows};
use crate::model::{Budget, DeliveryId, JobState, Name, Refusal, State};
use crate::store::plan::MOST_DELIVERIES;
use crate::store::{Act, Acted, Acts, Done, Replay, Turn, What};

/// Does it, and goes on with the job that it is part of.
pub(super) fn act(batch: &mut Batch<'_>, act: &Act) -> Result<Acts, Fault> {
    let job = match &act.turn {
        Some(turn) => jobs::find(batch.conn, turn.job)?,
        None => None,
    };
    if act.turn.is_some() && !Turn::runs(job.as_ref()) {
        return Ok(Acts::over());
    }
    let mut acts = Acts::default();
    match &act.what {
        What::Replay { deliveries, how } => {
            for id in deliveries {
                let acted = replay(batch, *id, (act, how))?;
                acts.all.push(acted);
            }
        }
        What::Discard {
            deliveries,
            sending,
            reason,
        } => {
            for id in deliveries {
                let acted = discard(batch, *id, act, (sending, reason))?;
                acts.all.push(acted);
            }
        }
        What::Create { events, latest } => {
            for planned in events {
                create::create(batch, planned, (act, latest), &mut acts)?;
            }
        }
    }
    if let (Some(mut job), Some(turn)) = (job, &act.turn) {
        let creates = matches!(act.what, What::Create { .. });
        job.go_on(turn, (&acts.all, creates), act.now);
        acts.over = job.state != JobState::Running;
        jobs::save(batch.conn, &job)?;
    }
    Ok(acts)
}

/// Puts a final delivery back to waiting where nothing speaks against it. Its attempts stay on record.
fn replay(
    batch: &mut Batch<'_>,
    id: DeliveryId,
    (act, how): (&Act, &Replay),
) -> Result<Acted, Fault> {
    let Some(row) = settle::find(batch.conn, id)? else {
        return Ok(Acted::unknown(id));
    };
    let destination = name_of(batch, row.destination)?;
    let refused = refusal(batch, (id, &row), how, &destination)?;
    let outcome = refused.map_or(Ok(Done::Waiting), Err);
    if outcome.is_ok() && !act.dry_run {
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
                act.now.as_millisecond(),
            ])?;
        settle::write_budget(batch.conn, &row, &Budget::default())?;
        if how.new_id {
            give_new_id(batch, &row)?;
        }
        batch.count_moved(row.destination, row.state, State::Waiting);
    }
    Ok(Acted {
        id,
        destination: Some(destination),
        outcome,
    })
}

/// Ends a delivery that waits.
fn discard(
    batch: &mut Batch<'_>,
    id: DeliveryId,
    act: &Act,
    (sending, reason): (&HashSet<DeliveryId>, &str),
) -> Result<Acted, Fault> {
    let Some(row) = settle::find(batch.conn, id)? else {
        return Ok(Acted::unknown(id));
    };
    let outcome = if row.state.is_final() {
        Err(Refusal::Ended(row.state))
    } else if sending.contains(&id) {
        Err(Refusal::Sending)
    } else {
        Ok(Done::Ended(State::Discarded))
    };
    if outcome.is_ok() && !act.dry_run {
        let states = (row.state, State::Discarded);
        batch.end((row.seq, row.number), row.destination, states, reason)?;
    }
    Ok(Acted {
        id,
        destination: Some(name_of(batch, row.destination)?),
        outcome,
    })
}

fn name_of(batch: &Batch<'_>, destination: i64) -> Result<Name, Fault> {
    let name: String = batch
        .conn
        .prepare_cached("SELECT text FROM name WHERE id = ?1")?
        .query_row([destination], |found| found.get(0))?;
    Ok(name.into())
}

/// What speaks against a replay.
fn refusal(
    batch: &Batch<'_>,
    (id, row): (DeliveryId, &Row),
    how: &Replay,
    destination: &Name,
) -> Result<Option<Refusal>, Fault> {
    if !row.state.is_final() {
        return Ok(Some(Refusal::Waiting));
    }
    if how.sending.contains(&id) {
        return Ok(Some(Refusal::Sending));
    }
    if let Some(refusal) = unsendable(batch, (row.seq, row.subject))? {
        return Ok(Some(refusal));
    }
    if how.force {
        return Ok(None);
    }
    late(batch, row, how.latest.contains(destination))
}

/// What speaks against sending anything of an event: it was erased, or its payload is gone.
pub(super) fn unsendable(
    batch: &Batch<'_>,
    (seq, subject): (i64, Option<i64>),
) -> Result<Option<Refusal>, Fault> {
    if batch.is_anybody_erased() {
        let mut condemned = batch
            .conn
            .prepare_cached("SELECT 1 FROM erased WHERE subject = ?1")?;
        if condemned.exists([subject])? {
            return Ok(Some(Refusal::Erased));
        }
    }
    let mut payload = batch
        .conn
        .prepare_cached("SELECT 1 FROM payload WHERE seq = ?1")?;
    let kept = payload.exists([seq])?;
    Ok((!kept).then_some(Refusal::NoPayload))
}

/// Whether a newer revision makes this one too late: it was sent, or the destination wants it alone.
pub(super) fn late(batch: &Batch<'_>, row: &Row, latest: bool) -> Result<Option<Refusal>, Fault> {
    if let Some(sent) = settle::newer_sent(batch.conn, row)? {
        return Ok(Some(Refusal::Older { sent }));
    }
    let Some(subject) = row.subject.filter(|_| latest) else {
        return Ok(None);
    };
    let newer = settle::newer_delivery(batch.conn, subject, (row.seq, row.destination))?;
    Ok(newer.map(|latest| Refusal::NotLatest { latest }))
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
