//! The sets of fields that minimised payloads were kept with, and which of those that wait lack a field.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::readers::View;
use super::rows;
use crate::model::{EventId, Kept};
use crate::store::{Lacking, Wanted};

/// Waiting deliveries of one destination that are looked at.
const LOOKED_AT: usize = 20_000;

/// The number of a set, given out when it is new.
pub(super) fn number(conn: &Connection, kept: &Kept) -> Result<i64, Fault> {
    let fields = serde_json::to_string(&kept.iter().collect::<Vec<_>>());
    let fields = fields.expect("names are always JSON");
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
    let fields = rows::list::<String>(Some(fields))?;
    Ok(fields.into_iter().collect())
}

/// What waits without a field that its destination reads.
pub(super) fn lacking(view: &View<'_>, wanted: &[Wanted]) -> Result<Vec<Lacking>, Fault> {
    let sets = sets(view)?;
    let mut all = Vec::new();
    for wanted in wanted {
        // Nearly always every set has every field: then no delivery is looked at.
        let short: HashMap<i64, &Kept> = sets
            .iter()
            .filter(|(_, kept)| lacks(kept, wanted))
            .map(|(id, kept)| (*id, kept))
            .collect();
        if !short.is_empty() {
            all.extend(waiting(view, wanted, &short)?);
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

fn lacks(kept: &Kept, wanted: &Wanted) -> bool {
    let has_all = |fields: &BTreeSet<String>| fields.iter().all(|field| kept.holds(field));
    !wanted.fields.as_ref().is_some_and(has_all)
}

pub(super) const WAITING: &str = "SELECT e.source, e.kept, e.id \
     FROM delivery AS d CROSS JOIN event AS e ON e.seq = d.event_seq \
     WHERE d.state = 0 AND d.destination = ?1 ORDER BY d.due_at LIMIT ?2";

fn waiting(
    view: &View<'_>,
    wanted: &Wanted,
    short: &HashMap<i64, &Kept>,
) -> Result<Vec<Lacking>, Fault> {
    let Some(destination) = view.name_id(&wanted.destination)? else {
        return Ok(Vec::new());
    };
    let mut statement = view.conn.prepare_cached(WAITING)?;
    let limit = i64::try_from(LOOKED_AT).unwrap_or(i64::MAX);
    let mut found = statement.query(params![destination, limit])?;
    let mut looked_at = 0;
    let mut lacking: Vec<Lacking> = Vec::new();
    while let Some(row) = found.next()? {
        looked_at += 1;
        let kept: Option<i64> = row.get(1)?;
        let Some(kept) = kept.and_then(|id| short.get(&id)) else {
            continue;
        };
        let source = view.name(row.get(0)?)?;
        let known = lacking
            .iter()
            .position(|one| one.source == source && one.kept == **kept);
        let at = known.unwrap_or(lacking.len());
        if known.is_none() {
            lacking.push(none_yet(source, kept, wanted));
        }
        let one = &mut lacking[at];
        one.count += 1;
        if one.events.len() < Lacking::NAMED {
            one.events.push(EventId::from_bytes(row.get(2)?));
        }
    }
    for one in &mut lacking {
        one.more = looked_at == LOOKED_AT;
    }
    Ok(lacking)
}

fn none_yet(source: crate::model::Name, kept: &Kept, wanted: &Wanted) -> Lacking {
    let missing = |fields: &BTreeSet<String>| {
        let missing = fields.iter().filter(|field| !kept.holds(field));
        missing.cloned().collect()
    };
    Lacking {
        source,
        destination: wanted.destination.clone(),
        kept: kept.clone(),
        missing: wanted.fields.as_ref().map(missing),
        count: 0,
        more: false,
        events: Vec::new(),
    }
}
