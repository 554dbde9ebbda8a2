//! The sets of fields that minimised payloads were kept with, and which of those that wait lack a field.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::readers::View;
use crate::model::{EventId, Kept};
use crate::store::codes;
use crate::store::lacking::{Found, LOOKED_AT};
use crate::store::{Lacking, Wanted};

/// The number of a set, given out when it is new.
pub(super) fn number(conn: &Connection, kept: &Kept) -> Result<i64, Fault> {
    let fields = codes::kept_text(kept);
    let known = conn
        .prepare_cached("SELECT id FROM kept WHERE fields = ?1")?
        .query_row([&fields], |row| row.get(0))
        .optional()?;
    Ok(match known {
        Some(id) => id,
        None => conn
            .prepare_cached("INSERT INTO kept (fields) VALUES (?1)")?
            .insert([&fields])?,
    })
}

/// What was kept of an event's payload; None for the whole.
pub(super) fn of_event(view: &View<'_>, seq: i64) -> Result<Option<Kept>, Fault> {
    let fields: Option<String> = view
        .conn
        .prepare_cached(
            "SELECT k.fields FROM event AS e JOIN kept AS k ON k.id = e.kept WHERE e.seq = ?1",
        )?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    fields.as_deref().map(read).transpose()
}

/// A set as it stands in a row.
pub(super) fn read(fields: &str) -> Result<Kept, Fault> {
    Ok(codes::kept(fields)?)
}

/// What waits without a field that its destination reads.
pub(super) fn lacking(view: &View<'_>, wanted: &[Wanted]) -> Result<Vec<Lacking>, Fault> {
    let sets = sets(view)?;
    let mut all = Vec::new();
    for wanted in wanted {
        if let Some(found) = Found::new(wanted, &sets) {
            all.extend(waiting(view, wanted, found)?);
        }
    }
    Ok(all)
}

fn sets(view: &View<'_>) -> Result<Vec<(i64, Kept)>, Fault> {
    let mut statement = view.conn.prepare_cached("SELECT id, fields FROM kept")?;
    let mut found = statement.query([])?;
    let mut sets = Vec::new();
    while let Some(row) = found.next()? {
        sets.push((row.get(0)?, read(&row.get::<_, String>(1)?)?));
    }
    Ok(sets)
}

pub(super) const WAITING: &str = "SELECT e.source, e.kept, e.id \
     FROM delivery AS d CROSS JOIN event AS e ON e.seq = d.event_seq \
     WHERE d.state = 0 AND d.destination = ?1 ORDER BY d.due_at LIMIT ?2";

fn waiting(
    view: &View<'_>,
    wanted: &Wanted,
    mut lacking: Found<'_, i64>,
) -> Result<Vec<Lacking>, Fault> {
    let Some(destination) = view.name_id(&wanted.destination)? else {
        return Ok(Vec::new());
    };
    let mut statement = view.conn.prepare_cached(WAITING)?;
    let limit = i64::try_from(LOOKED_AT).unwrap_or(i64::MAX);
    let mut found = statement.query(params![destination, limit])?;
    while let Some(row) = found.next()? {
        let kept: Option<i64> = row.get(1)?;
        if lacking.is_short(kept)
            && let Some(kept) = kept
        {
            let event = EventId::from_bytes(row.get(2)?);
            lacking.count(view.name(row.get(0)?)?, kept, event);
        }
    }
    Ok(lacking.told())
}
