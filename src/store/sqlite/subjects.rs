//! Subjects: found by a keyed hash, their latest revision, and the acknowledgements that were lost.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::batch::Batch;
use super::fault::Fault;
use super::sealed::Stored;
use super::{rows, settle};
use crate::model::{EventId, FieldDigests, Name};
use crate::store::{Head, Skipped, StoreKey, Unconfirmed};

/// A subject's row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) revision: u32,
    pub(super) latest_seq: i64,
}

/// What the index on subjects holds: 64 bits that nobody can aim at without the store's key.
pub(super) fn hash(key: &StoreKey, source: &str, subject: &str) -> i64 {
    let digest = key.digest(source, subject);
    i64::from_be_bytes(*digest.first_chunk().expect("it is longer"))
}

/// Whether a subject was erased.
pub(super) fn is_erased(conn: &Connection, digest: &[u8; 32]) -> Result<bool, Fault> {
    let mut statement = conn.prepare_cached("SELECT 1 FROM erased WHERE hash = ?1")?;
    Ok(statement.exists([digest])?)
}

/// Finds a subject of the source with number `source`.
pub(super) fn find(
    conn: &Connection,
    hash: i64,
    source: i64,
    subject: &str,
) -> Result<Option<Known>, Fault> {
    let known = conn
        .prepare_cached(FIND)?
        .query_row(params![hash, source, subject], |row| {
            Ok(Known {
                id: row.get(0)?,
                revision: row.get(1)?,
                latest_seq: row.get(2)?,
            })
        })
        .optional()?;
    Ok(known)
}

pub(super) const FIND: &str = "SELECT id, revision, latest_seq FROM subject \
     WHERE hash = ?1 AND source = ?2 AND subject = ?3";

/// The latest revision of a subject, for whoever must plan again.
pub(super) fn head(batch: &Batch<'_>, known: Known) -> Result<Head, Fault> {
    let conn = batch.conn;
    let (event, fields, kept): ([u8; 16], Vec<u8>, Option<Stored>) = conn
        .prepare_cached(
            "SELECT e.id, s.fields, p.body, p.sealed_by FROM subject AS s
             JOIN event AS e ON e.seq = s.latest_seq
             LEFT JOIN payload AS p ON p.seq = e.seq
             WHERE s.id = ?1",
        )?
        .query_row([known.id], |row| {
            Ok((row.get(0)?, row.get(1)?, Stored::read(row, 2)?))
        })?;
    let event = EventId::from_bytes(event);
    let seals = &batch.identity().seals;
    Ok(Head {
        event,
        revision: known.revision,
        fields: rows::fields(&fields)?,
        payload: kept.and_then(|kept| kept.open_or_gone(seals, event)),
        unconfirmed: unconfirmed(conn, known.id)?,
        skipped: skipped(conn, known.id)?,
    })
}

pub(super) const SKIPPED: &str = "SELECT d.event_seq, d.destination, n.text, r.text FROM delivery AS d \
     JOIN name AS n ON n.id = d.destination JOIN name AS r ON r.id = d.route \
     WHERE d.state = 3 AND d.subject = ?1 ORDER BY d.destination DESC, d.event_seq DESC";

/// For each destination the newest skipped delivery, where no later one was not skipped.
fn skipped(conn: &Connection, subject: i64) -> Result<Vec<Skipped>, Fault> {
    let mut statement = conn.prepare_cached(SKIPPED)?;
    let mut found = statement.query([subject])?;
    let mut all: Vec<Skipped> = Vec::new();
    while let Some(row) = found.next()? {
        let destination: Name = row.get(2)?;
        if all
            .last()
            .is_some_and(|last| last.destination == destination)
        {
            continue;
        }
        if settle::newer_delivery(conn, subject, (row.get(0)?, row.get(1)?))?.is_none() {
            all.push(Skipped {
                destination,
                route: row.get(3)?,
            });
        }
    }
    Ok(all)
}

/// Marks an event as unconfirmed; one without a subject is never compared with anything.
pub(super) fn mark(batch: &Batch<'_>, event: EventId, fields: &FieldDigests) -> Result<(), Fault> {
    batch
        .conn
        .prepare_cached(
            "INSERT OR REPLACE INTO unconfirmed (subject, event_seq, fields)
             SELECT subject, seq, ?2 FROM event WHERE id = ?1 AND subject IS NOT NULL",
        )?
        .execute(params![event.as_bytes(), fields.to_bytes()])?;
    Ok(())
}

/// Takes the mark away; true where there was one.
pub(super) fn take(batch: &Batch<'_>, event: EventId) -> Result<bool, Fault> {
    let taken = batch
        .conn
        .prepare_cached(
            "DELETE FROM unconfirmed WHERE (subject, event_seq) =
                 (SELECT subject, seq FROM event WHERE id = ?1)",
        )?
        .execute([event.as_bytes()])?;
    Ok(taken > 0)
}

fn unconfirmed(conn: &Connection, subject: i64) -> Result<Vec<Unconfirmed>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT e.id, e.revision, u.fields FROM unconfirmed AS u JOIN event AS e ON e.seq = u.event_seq
         WHERE u.subject = ?1 ORDER BY u.event_seq",
    )?;
    let mut found = statement.query([subject])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(Unconfirmed {
            event: rows::event_id(row, "id")?,
            revision: row.get("revision")?,
            fields: rows::fields(
                row.get_ref("fields")?
                    .as_blob()
                    .map_err(rusqlite::Error::from)?,
            )?,
        });
    }
    Ok(all)
}
