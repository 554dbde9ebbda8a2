//! Retention: takes away payloads, and later the ledger, of what is old enough. Each step looks at a
//! few of the oldest and is one short transaction among the others.

use rusqlite::{OptionalExtension as _, params};

use super::batch::Batch;
use super::fault::Fault;
use super::rows;
use crate::model::{EventType, State, after};
use crate::store::keep::GONE;
use crate::store::{Sweep, Swept};

/// Free pages given back to the file system in one step.
const PAGES: usize = 256;

/// One step.
pub(super) fn sweep(batch: &mut Batch<'_>, sweep: &Sweep<'_>) -> Result<Swept, Fault> {
    let mut swept = Swept {
        payloads: 0,
        events: 0,
        ..sweep.after
    };
    let payloads_done = payloads(batch, sweep, &mut swept)?;
    let ledger_done = ledger(batch, sweep, &mut swept)?;
    batch
        .conn
        .prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?
        .query_map([], |_| Ok(()))?
        .for_each(drop);
    let free: i64 = batch
        .conn
        .pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    swept.done = payloads_done && ledger_done && free == 0;
    Ok(swept)
}

pub(super) const PAYLOADS: &str = "SELECT p.seq, e.type, e.received_at FROM payload AS p \
     JOIN event AS e ON e.seq = p.seq WHERE p.seq > ?1 ORDER BY p.seq LIMIT ?2";

fn payloads(batch: &Batch<'_>, sweep: &Sweep<'_>, swept: &mut Swept) -> Result<bool, Fault> {
    let shortest = sweep.keep.shortest();
    let mut statement = batch.conn.prepare_cached(PAYLOADS)?;
    let limit = i64::try_from(sweep.limit).unwrap_or(i64::MAX);
    let mut found = statement.query(params![swept.payload_place, limit])?;
    let mut seen = 0;
    while let Some(row) = found.next()? {
        let seq: i64 = row.get(0)?;
        let age = after(rows::time(row.get(2)?)?, sweep.now);
        if age < shortest {
            return Ok(true);
        }
        seen += 1;
        swept.payload_place = seq;
        let event_type = EventType::new(&row.get::<_, String>(1)?);
        let term = sweep.keep.payload(&event_type, &states(batch, seq)?);
        if term.is_some_and(|term| age >= term) {
            forget_payload(batch, seq)?;
            swept.payloads += 1;
        }
    }
    Ok(seen < sweep.limit)
}

fn states(batch: &Batch<'_>, seq: i64) -> Result<Vec<State>, Fault> {
    let mut statement = batch
        .conn
        .prepare_cached("SELECT state FROM delivery WHERE event_seq = ?1")?;
    let codes = statement.query_map([seq], |row| row.get::<_, u8>(0))?;
    codes.map(|code| Ok(rows::state(code?)?)).collect()
}

/// A receiver's words may repeat what was in the payload: they go with it. Our own stay.
fn forget_payload(batch: &Batch<'_>, seq: i64) -> Result<(), Fault> {
    batch
        .conn
        .prepare_cached("DELETE FROM payload WHERE seq = ?1")?
        .execute([seq])?;
    batch
        .conn
        .prepare_cached("UPDATE attempt SET reason = '', excerpt = NULL WHERE event_seq = ?1")?
        .execute([seq])?;
    batch
        .conn
        .prepare_cached(
            "UPDATE delivery SET last_error = ?2
             WHERE event_seq = ?1 AND last_error IS NOT NULL AND state IN (?3, ?4)",
        )?
        .execute(params![
            seq,
            GONE,
            rows::state_code(State::Delivered),
            rows::state_code(State::Dead),
        ])?;
    Ok(())
}

pub(super) const EVENTS: &str = "SELECT e.seq, e.subject, e.candidate, e.received_at, \
     EXISTS (SELECT 1 FROM payload AS p WHERE p.seq = e.seq) FROM event AS e \
     WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2";

/// An event of the ledger.
struct Entry {
    seq: i64,
    subject: Option<i64>,
    candidate: Option<String>,
}

fn ledger(batch: &mut Batch<'_>, sweep: &Sweep<'_>, swept: &mut Swept) -> Result<bool, Fault> {
    let mut old = Vec::new();
    let mut seen = 0;
    {
        let mut statement = batch.conn.prepare_cached(EVENTS)?;
        let limit = i64::try_from(sweep.limit).unwrap_or(i64::MAX);
        let mut found = statement.query(params![swept.event_place, limit])?;
        while let Some(row) = found.next()? {
            if after(rows::time(row.get(3)?)?, sweep.now) < sweep.keep.ledger {
                seen = 0;
                break;
            }
            seen += 1;
            swept.event_place = row.get(0)?;
            if !row.get::<_, bool>(4)? {
                old.push(Entry {
                    seq: row.get(0)?,
                    subject: row.get(1)?,
                    candidate: row.get(2)?,
                });
            }
        }
    }
    swept.events += old.len() as u64;
    for entry in old {
        forget_event(batch, &entry)?;
    }
    Ok(seen < sweep.limit)
}

fn forget_event(batch: &mut Batch<'_>, entry: &Entry) -> Result<(), Fault> {
    uncount(batch, entry.seq)?;
    if let Some(subject) = entry.subject {
        forget_subject_of(batch, entry, subject)?;
    }
    // Deliveries and attempts go along.
    batch
        .conn
        .prepare_cached("DELETE FROM event WHERE seq = ?1")?
        .execute([entry.seq])?;
    Ok(())
}

/// Takes an event's deliveries out of the counts.
pub(super) fn uncount(batch: &mut Batch<'_>, seq: i64) -> Result<(), Fault> {
    let gone: Vec<(i64, u8)> = batch
        .conn
        .prepare_cached("SELECT destination, state FROM delivery WHERE event_seq = ?1")?
        .query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (destination, state) in gone {
        batch.count_gone(destination, rows::state(state)?);
    }
    Ok(())
}

/// The subject goes with its last event; a candidate with the last event of the subject that names it.
fn forget_subject_of(batch: &Batch<'_>, entry: &Entry, subject: i64) -> Result<(), Fault> {
    let latest: Option<i64> = batch
        .conn
        .prepare_cached("SELECT latest_seq FROM subject WHERE id = ?1")?
        .query_row([subject], |row| row.get(0))
        .optional()?;
    let mut named_later = false;
    let mut next = latest;
    while let Some(seq) = next.filter(|seq| *seq > entry.seq) {
        let link: Option<(Option<i64>, Option<String>)> = batch
            .conn
            .prepare_cached("SELECT prev_seq, candidate FROM event WHERE seq = ?1")?
            .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((previous, candidate)) = link else {
            break;
        };
        named_later |= candidate == entry.candidate;
        next = previous;
    }
    if let Some(candidate) = entry.candidate.as_ref().filter(|_| !named_later) {
        batch
            .conn
            .prepare_cached("DELETE FROM candidate WHERE candidate = ?1 AND subject = ?2")?
            .execute(params![candidate, subject])?;
    }
    if latest == Some(entry.seq) {
        // Receipts and lost acknowledgements go along.
        batch
            .conn
            .prepare_cached("DELETE FROM subject WHERE id = ?1")?
            .execute([subject])?;
    }
    Ok(())
}
