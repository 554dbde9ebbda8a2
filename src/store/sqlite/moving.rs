//! Moving what waits from one destination to another, a part at a time.

use rusqlite::params;

use super::batch::Batch;
use super::fault::Fault;
use super::settle::{self, Row};
use crate::model::{EventId, State};
use crate::store::plan::SUBJECTS;
use crate::store::{Move, Moved};

/// One step.
pub(super) fn step(batch: &mut Batch<'_>, what: &Move) -> Result<Moved, Fault> {
    let (from, to) = (batch.name(&what.from)?, batch.name(&what.to)?);
    let mut moved = Moved {
        receipts_after: what.receipts_after,
        ..Moved::default()
    };
    let waiting = waiting(batch, from, what)?;
    moved.more = waiting.len() == what.limit;
    for row in waiting {
        let there = Row {
            destination: to,
            ..row
        };
        if let Some(reason) = objection(batch, &there, what)? {
            let states = (State::Waiting, State::Discarded);
            batch.end((row.seq, row.number), from, states, &reason)?;
            moved.discarded += 1;
        } else {
            batch
                .conn
                .prepare_cached(
                    "UPDATE delivery SET destination = ?3 WHERE event_seq = ?1 AND number = ?2",
                )?
                .execute(params![row.seq, row.number, to])?;
            batch.count_gone(from, State::Waiting);
            batch.count_new(to, State::Waiting);
            moved.deliveries += 1;
        }
    }
    receipts(batch, (from, to), &mut moved)?;
    Ok(moved)
}

pub(super) const WAITING: &str = "SELECT d.event_seq, d.number, e.id, d.subject, e.revision \
     FROM delivery AS d CROSS JOIN event AS e ON e.seq = d.event_seq \
     WHERE d.state = 0 AND d.destination = ?1 ORDER BY d.due_at, d.event_seq, d.number";

/// What may move now: all but what is under way.
fn waiting(batch: &Batch<'_>, from: i64, what: &Move) -> Result<Vec<Row>, Fault> {
    let mut statement = batch.conn.prepare_cached(WAITING)?;
    let mut found = statement.query([from])?;
    let mut waiting = Vec::new();
    while let Some(row) = found.next()? {
        let number: u16 = row.get(1)?;
        let id = EventId::from_bytes(row.get(2)?).delivery(number);
        if !what.except.contains(&id) {
            waiting.push(Row {
                seq: row.get(0)?,
                number,
                destination: from,
                subject: row.get(3)?,
                revision: row.get(4)?,
                state: State::Waiting,
            });
        }
        if waiting.len() == what.limit {
            break;
        }
    }
    Ok(waiting)
}

/// What speaks against a delivery at its new place: one event reaches one destination at most once, and an
/// older revision never after a newer one.
fn objection(batch: &Batch<'_>, row: &Row, what: &Move) -> Result<Option<String>, Fault> {
    let mut own = batch
        .conn
        .prepare_cached("SELECT 1 FROM delivery WHERE event_seq = ?1 AND destination = ?2")?;
    let has_one = own.exists([row.seq, row.destination])?;
    Ok(what.objection(has_one, settle::newer_sent(batch.conn, row)?))
}

/// What the old destination gave back is found under the new name, unless that has something of its own.
fn receipts(batch: &Batch<'_>, (from, to): (i64, i64), moved: &mut Moved) -> Result<(), Fault> {
    let last: i64 =
        batch
            .conn
            .query_row("SELECT coalesce(max(id), 0) FROM subject", [], |row| {
                row.get(0)
            })?;
    if moved.receipts_after >= last {
        return Ok(());
    }
    let until = moved.receipts_after + SUBJECTS;
    batch
        .conn
        .prepare_cached(
            "UPDATE OR IGNORE receipt SET destination = ?2
             WHERE subject > ?3 AND subject <= ?4 AND destination = ?1",
        )?
        .execute(params![from, to, moved.receipts_after, until])?;
    moved.receipts_after = until;
    moved.more |= until < last;
    Ok(())
}
