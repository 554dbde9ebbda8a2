//! Sealed payloads in rows: opened where they are read, and sealed again, step by step, when the key has
//! changed. The sealing itself is in `store/seal.rs`.

use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::batch::Batch;
use super::fault::Fault;
use super::readers::View;
use crate::model::EventId;
pub(super) use crate::store::seal::Stored;
use crate::store::seal::{BYTES, ROWS, Walk, all_there};
use crate::store::{Fingerprint, Keyring, Resealed, Sealing, StoreError};

impl Stored {
    /// Reads `body` and `sealed_by` by position, body first. None where there is no payload.
    pub(super) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Self>> {
        let body: Option<Vec<u8>> = row.get(at)?;
        let by = row.get(at + 1)?;
        Ok(body.map(|body| Self { body, by }))
    }
}

/// Refuses to begin without a key that may be needed, and notes by which key is sealed from now on.
pub(super) fn adopt(conn: &mut Connection, keys: &Keyring) -> Result<(), StoreError> {
    all_there(&needed(conn)?, keys)?;
    Ok(begin(conn, keys.current().map(Fingerprint::code))?)
}

fn needed(conn: &Connection) -> Result<Vec<Fingerprint>, Fault> {
    let mut statement = conn.prepare("SELECT fingerprint FROM seal_key")?;
    let found = statement.query_map([], |row| row.get(0).map(Fingerprint::of_code))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Another key than before: every payload that is there has to be looked at.
fn begin(conn: &mut Connection, current: Option<i64>) -> Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let changed = tx.execute(
        "UPDATE sealing SET sealed_by = ?1, place = 0, done = 0,
                until = (SELECT coalesce(max(seq), 0) FROM payload)
         WHERE sealed_by IS NOT ?1",
        [current],
    )?;
    if changed > 0 {
        let key = "INSERT OR IGNORE INTO seal_key (fingerprint) SELECT ?1 WHERE ?1 IS NOT NULL";
        tx.execute(key, [current])?;
    }
    tx.commit()?;
    Ok(())
}

fn walk(conn: &Connection) -> Result<Walk, Fault> {
    let mut statement = conn.prepare_cached("SELECT sealed_by, place, until, done FROM sealing")?;
    let walk = statement.query_row([], |row| {
        Ok(Walk {
            current: row.get(0)?,
            place: row.get(1)?,
            until: row.get(2)?,
            done: row.get(3)?,
        })
    })?;
    Ok(walk)
}

/// How payloads are sealed now.
pub(super) fn sealing(view: &View<'_>) -> Result<Option<Sealing>, Fault> {
    let walk = walk(&view.conn)?;
    let left = if walk.is_at_the_end() {
        0
    } else {
        let most = i64::try_from(Sealing::MOST).expect("it is small");
        view.conn
            .prepare_cached(LEFT)?
            .query_row([walk.place, walk.until, most], |row| row.get::<_, u32>(0))?
    };
    Ok(walk.told(left.into()))
}

pub(super) const LEFT: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM payload WHERE seq > ?1 AND seq <= ?2 LIMIT ?3)";

/// A payload that is to be looked at.
struct Old {
    seq: i64,
    event: EventId,
    /// None where it is as it should be.
    kept: Option<Stored>,
}

pub(super) const OLD: &str = "SELECT p.seq, e.id, \
     CASE WHEN p.sealed_by IS ?3 THEN NULL ELSE p.body END, p.sealed_by \
     FROM payload AS p JOIN event AS e ON e.seq = p.seq \
     WHERE p.seq > ?1 AND p.seq <= ?2 ORDER BY p.seq";

/// One step. `done` in the answer means that there was nothing to look at any more.
pub(super) fn step(batch: &Batch<'_>) -> Result<Resealed, Fault> {
    let mut walk = walk(batch.conn)?;
    let mut resealed = Resealed::default();
    if walk.is_at_the_end() {
        resealed.done = true;
        return Ok(resealed);
    }
    let some = old(batch.conn, &walk)?;
    walk.place = some.last().map_or(walk.until, |old| old.seq);
    for old in some {
        let Some(kept) = old.kept else { continue };
        if seal_again(batch, (old.seq, old.event), kept)? {
            resealed.payloads += 1;
        } else {
            resealed.damaged += 1;
        }
    }
    batch
        .conn
        .prepare_cached("UPDATE sealing SET place = ?1")?
        .execute([walk.place])?;
    Ok(resealed)
}

/// The next few, few enough in bytes too.
fn old(conn: &Connection, walk: &Walk) -> Result<Vec<Old>, Fault> {
    let mut statement = conn.prepare_cached(OLD)?;
    let mut found = statement.query(params![walk.place, walk.until, walk.current])?;
    let (mut some, mut bytes) = (Vec::new(), 0);
    while some.len() < ROWS
        && bytes < BYTES
        && let Some(row) = found.next()?
    {
        let kept = Stored::read(row, 2)?;
        bytes += kept.as_ref().map_or(0, |kept| kept.body.len());
        some.push(Old {
            seq: row.get(0)?,
            event: EventId::from_bytes(row.get(1)?),
            kept,
        });
    }
    Ok(some)
}

/// False where it cannot be opened: nothing would be won by losing it altogether.
fn seal_again(
    batch: &Batch<'_>,
    (seq, event): (i64, EventId),
    kept: Stored,
) -> Result<bool, Fault> {
    let keys = &batch.identity().seals;
    let Some(plain) = kept.open_or_gone(keys, event) else {
        return Ok(false);
    };
    let (body, by) = keys.written(event, &plain);
    batch
        .conn
        .prepare_cached("UPDATE payload SET body = ?2, sealed_by = ?3 WHERE seq = ?1")?
        .execute(params![seq, &*body, by])?;
    Ok(true)
}

/// The other keys are not needed any more. Only after the log was emptied: it may hold what they sealed, or
/// what was plain.
pub(super) fn finish(batch: &Batch<'_>) -> Result<(), Fault> {
    batch
        .conn
        .prepare_cached(
            "DELETE FROM seal_key WHERE fingerprint IS NOT (SELECT sealed_by FROM sealing)",
        )?
        .execute([])?;
    batch
        .conn
        .prepare_cached("UPDATE sealing SET done = 1")?
        .execute([])?;
    Ok(())
}
