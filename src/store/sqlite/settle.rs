//! Settling an attempt: what came of it is recorded, whatever happened to the delivery meanwhile.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::batch::Batch;
use super::fan_out::superseded_by;
use super::fault::Fault;
use super::rows;
use crate::model::{Attempt, Budget, DeliveryId, EXCERPT_BYTES, State};
use crate::store::plan::ATTEMPTS_KEPT;
use crate::store::{Outcome, Receipt, Settled, Settlement, StoreError};

/// Records a settlement; the inner error says that it is void.
pub(super) fn settle(
    batch: &mut Batch<'_>,
    settlement: &Settlement,
) -> Result<Result<Settled, StoreError>, Fault> {
    if settlement.fence.0 != batch.identity().generation {
        return Ok(Err(StoreError::Fenced));
    }
    let Some(row) = find(batch.conn, settlement.delivery)? else {
        // Nothing is left to be recorded: as good as discarded.
        return Ok(Ok(Settled {
            state: State::Discarded,
        }));
    };
    if let Some(attempt) = &settlement.attempt {
        record(batch.conn, &row, attempt)?;
    }
    if let Some(gone) = &settlement.gone {
        forget_receipt(batch.conn, &row, gone)?;
    }
    let newer = match &settlement.outcome {
        Outcome::Waiting {
            supersedable: true, ..
        } if row.state == State::Waiting => match row.subject {
            Some(subject) => newer_delivery(batch.conn, subject, (row.seq, row.destination))?,
            None => None,
        },
        _ => None,
    };
    let state = end_state(row.state, &settlement.outcome, newer);
    if state == row.state && state != State::Waiting {
        return Ok(Ok(Settled { state }));
    }
    update(batch.conn, &row, &settlement.outcome, state, newer)?;
    if state == State::Delivered {
        let receipt = match &settlement.outcome {
            Outcome::Delivered { receipt, .. } => receipt.as_ref(),
            _ => None,
        };
        keep_receipt(batch.conn, &row, receipt)?;
    }
    batch.count_moved(row.destination, row.state, state);
    Ok(Ok(Settled { state }))
}

/// A delivery's row, as far as settling and replaying need it.
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) number: u16,
    pub(super) destination: i64,
    pub(super) subject: Option<i64>,
    pub(super) revision: u32,
    pub(super) state: State,
}

pub(super) const FIND: &str = "SELECT d.event_seq, d.number, d.destination, d.subject, e.revision, \
     d.state FROM event AS e JOIN delivery AS d ON d.event_seq = e.seq AND d.number = ?2 WHERE e.id = ?1";

pub(super) fn find(conn: &Connection, id: DeliveryId) -> Result<Option<Row>, Fault> {
    let mut statement = conn.prepare_cached(FIND)?;
    let mut found = statement.query(params![id.event.as_bytes(), id.number])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    Ok(Some(Row {
        seq: row.get("event_seq")?,
        number: row.get("number")?,
        destination: row.get("destination")?,
        subject: row.get("subject")?,
        revision: row.get("revision")?,
        state: rows::state(row.get("state")?)?,
    }))
}

/// Where a delivery ends. One that ended while it was under way goes on only to what really happened.
fn end_state(now: State, outcome: &Outcome, newer: Option<u32>) -> State {
    match (now, outcome) {
        (_, Outcome::Delivered { .. }) => State::Delivered,
        (State::Waiting, Outcome::Waiting { .. }) if newer.is_some() => State::Superseded,
        (State::Waiting, Outcome::Waiting { .. }) => State::Waiting,
        (State::Waiting, Outcome::Skipped { .. }) => State::Skipped,
        (State::Waiting | State::Superseded | State::Discarded, Outcome::Dead { .. }) => {
            State::Dead
        }
        (ended, _) => ended,
    }
}

fn update(
    conn: &Connection,
    row: &Row,
    outcome: &Outcome,
    state: State,
    newer: Option<u32>,
) -> Result<(), Fault> {
    let (due_at, budget, reason) = match outcome {
        Outcome::Delivered { warning, .. } => (None, None, warning.clone()),
        Outcome::Dead { reason, .. } | Outcome::Skipped { reason } => {
            (None, None, Some(reason.clone()))
        }
        Outcome::Waiting {
            due_at,
            reason,
            budget,
            ..
        } => match newer {
            Some(revision) => (None, Some(budget), Some(superseded_by(revision))),
            None => (Some(due_at), Some(budget), Some(reason.clone())),
        },
    };
    conn.prepare_cached(
        "UPDATE delivery SET state = ?3, due_at = ?4, last_error = ?5
         WHERE event_seq = ?1 AND number = ?2",
    )?
    .execute(params![
        row.seq,
        row.number,
        rows::state_code(state),
        due_at.map(|at| at.as_millisecond()),
        reason
            .as_deref()
            .map(|reason| rows::clip(reason, EXCERPT_BYTES)),
    ])?;
    match budget {
        Some(budget) => write_budget(conn, row, budget),
        None => Ok(()),
    }
}

pub(super) fn write_budget(conn: &Connection, row: &Row, budget: &Budget) -> Result<(), Fault> {
    let last = budget.last;
    conn.prepare_cached(
        "UPDATE delivery SET tries = ?3, charged = ?4, age = ?5, last_at = ?6, last_delay = ?7,
                             last_stood_still = ?8, refused_at = ?9
         WHERE event_seq = ?1 AND number = ?2",
    )?
    .execute(params![
        row.seq,
        row.number,
        budget.tries,
        budget.charged,
        rows::millis(budget.age),
        last.map(|last| last.at.as_millisecond()),
        last.map(|last| rows::millis(last.delay)),
        last.map(|last| rows::millis(last.stood_still)),
        budget.refused_at.map(jiff::Timestamp::as_millisecond),
    ])?;
    Ok(())
}

/// The newest revision of a subject after event number `own` that has a delivery at `destination` which is not
/// skipped.
pub(super) fn newer_delivery(
    conn: &Connection,
    subject: i64,
    (own, destination): (i64, i64),
) -> Result<Option<u32>, Fault> {
    let mut next: Option<i64> = conn
        .prepare_cached("SELECT latest_seq FROM subject WHERE id = ?1")?
        .query_row([subject], |found| found.get(0))
        .optional()?;
    // Sequence numbers rise along the chain, so whatever is above ours is newer.
    while let Some(seq) = next.filter(|seq| *seq > own) {
        let mut link = conn.prepare_cached(
            "SELECT e.prev_seq, e.revision, EXISTS (
                 SELECT 1 FROM delivery AS d
                 WHERE d.event_seq = e.seq AND d.destination = ?2 AND d.state <> ?3)
             FROM event AS e WHERE e.seq = ?1",
        )?;
        let skipped = rows::state_code(State::Skipped);
        let link: Option<(Option<i64>, u32, bool)> = link
            .query_row(params![seq, destination, skipped], |found| {
                Ok((found.get(0)?, found.get(1)?, found.get(2)?))
            })
            .optional()?;
        match link {
            Some((_, revision, true)) => return Ok(Some(revision)),
            Some((previous, _, false)) => next = previous,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// The newest revision that the destination of a delivery took, where that is newer than the delivery's own.
pub(super) fn newer_sent(conn: &Connection, row: &Row) -> Result<Option<u32>, Fault> {
    let sent: Option<u32> = conn
        .prepare_cached("SELECT revision FROM receipt WHERE subject = ?1 AND destination = ?2")?
        .query_row(params![row.subject, row.destination], |found| found.get(0))
        .optional()?;
    Ok(sent.filter(|sent| *sent > row.revision))
}

/// Remembers the newest revision that a destination took. An answer without a receipt leaves the one
/// that is known: the note is still there.
fn keep_receipt(conn: &Connection, row: &Row, receipt: Option<&Receipt>) -> Result<(), Fault> {
    let Some(subject) = row.subject else {
        return Ok(());
    };
    conn.prepare_cached(
        "INSERT INTO receipt (subject, destination, revision, value, scope) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (subject, destination) DO UPDATE SET
             revision = excluded.revision,
             scope = CASE WHEN excluded.value IS NULL THEN scope ELSE excluded.scope END,
             value = coalesce(excluded.value, value)
         WHERE excluded.revision >= revision",
    )?
    .execute(params![
        subject,
        row.destination,
        row.revision,
        receipt.map(|receipt| &receipt.value),
        receipt.map(|receipt| &receipt.scope),
    ])?;
    Ok(())
}

/// That the revision was sent stays known.
fn forget_receipt(conn: &Connection, row: &Row, gone: &Receipt) -> Result<(), Fault> {
    conn.prepare_cached(
        "UPDATE receipt SET value = NULL, scope = NULL
         WHERE subject = ?1 AND destination = ?2 AND value = ?3 AND scope = ?4",
    )?
    .execute(params![
        row.subject,
        row.destination,
        gone.value,
        gone.scope
    ])?;
    Ok(())
}

fn record(conn: &Connection, row: &Row, attempt: &Attempt) -> Result<(), Fault> {
    let last: i64 = conn
        .prepare_cached(
            "SELECT coalesce(max(try), 0) FROM attempt WHERE event_seq = ?1 AND number = ?2",
        )?
        .query_row(params![row.seq, row.number], |found| found.get(0))?;
    if last >= i64::from(ATTEMPTS_KEPT) {
        forget_one(conn, row)?;
    }
    conn.prepare_cached(
        "INSERT INTO attempt (event_seq, number, try, at, duration, status, verdict, reason, excerpt)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        row.seq,
        row.number,
        last + 1,
        attempt.at.as_millisecond(),
        rows::millis(attempt.duration),
        attempt.status,
        rows::verdict_code(attempt.verdict),
        rows::clip(&attempt.reason, EXCERPT_BYTES),
        attempt.excerpt.as_deref().map(|text| rows::clip(text, EXCERPT_BYTES)),
    ])?;
    Ok(())
}

/// Makes room for one more attempt: the oldest probe that a blocked lane sent goes first, as those tell
/// least; the first attempt of all stays, as it tells how the trouble began.
fn forget_one(conn: &Connection, row: &Row) -> Result<(), Fault> {
    conn.prepare_cached(
        "DELETE FROM attempt WHERE event_seq = ?1 AND number = ?2 AND try = (
             SELECT try FROM attempt WHERE event_seq = ?1 AND number = ?2 AND try > 1
             ORDER BY verdict <> ?3, try LIMIT 1)
         AND (SELECT count(*) FROM attempt WHERE event_seq = ?1 AND number = ?2) >= ?4",
    )?
    .execute(params![
        row.seq,
        row.number,
        rows::verdict_code(crate::model::Verdict::Blocked),
        ATTEMPTS_KEPT,
    ])?;
    Ok(())
}
