//! What a lane asks: who owns it, how it was left, what is due, and making retries due.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::params;

use super::batch::Batch;
use super::fault::Fault;
use super::readers::View;
use super::rows;
use crate::model::Name;
use crate::store::{Due, Fence, LaneRecord, Lease, Waiting};

/// Every lane that is asked for: one process holds the file, so it holds all lanes.
pub(super) fn lease(
    view: &View<'_>,
    destinations: &[Name],
    generation: u64,
) -> Result<Vec<Lease>, Fault> {
    let mut statement = view.conn.prepare_cached(
        "SELECT n.text, l.state, l.paused, l.reason, l.since, l.stood_still
         FROM lane AS l JOIN name AS n ON n.id = l.destination",
    )?;
    let mut found = statement.query([])?;
    let mut kept = HashMap::new();
    while let Some(row) = found.next()? {
        let destination: Name = row.get("text")?;
        let lane = LaneRecord {
            destination: destination.clone(),
            state: rows::lane_state(row.get("state")?)?,
            paused: row.get("paused")?,
            reason: row.get("reason")?,
            since: rows::time(row.get("since")?)?,
            stood_still: rows::duration(row.get("stood_still")?),
        };
        kept.insert(destination, lane);
    }
    let lease = |destination: &Name| Lease {
        fence: Fence(generation),
        lane: kept
            .remove(destination)
            .unwrap_or_else(|| LaneRecord::untouched(destination)),
    };
    Ok(destinations.iter().map(lease).collect())
}

pub(super) fn save_lane(batch: &mut Batch<'_>, lane: &LaneRecord) -> Result<(), Fault> {
    let destination = batch.name(&lane.destination)?;
    batch
        .conn
        .prepare_cached(
            "INSERT OR REPLACE INTO lane (destination, state, paused, reason, since, stood_still)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            destination,
            rows::lane_code(lane.state),
            lane.paused,
            lane.reason,
            lane.since.as_millisecond(),
            rows::millis(lane.stood_still),
        ])?;
    Ok(())
}

/// The oldest that may go out, by due time and then in the order of acceptance.
pub(super) fn due(
    view: &View<'_>,
    destination: &str,
    now: Timestamp,
    limit: usize,
    ordered: bool,
) -> Result<Due, Fault> {
    let mut due = Due::default();
    let Some(destination) = view.name_id(destination)? else {
        return Ok(due);
    };
    let now = now.as_millisecond();
    let mut statement = view.conn.prepare_cached(DUE)?;
    let mut found = statement.query(params![destination, now, ordered])?;
    while let Some(row) = found.next()? {
        if due.items.len() == limit {
            due.more = true;
            break;
        }
        if row.get("behind")? {
            due.more = true;
            continue;
        }
        due.items.push(Waiting {
            id: rows::event_id(row, "id")?.delivery(row.get("number")?),
            subject: row
                .get::<_, Option<i64>>("subject")?
                .map(rows::subject_number)
                .transpose()?,
            revision: row.get("revision")?,
            due_at: rows::time(row.get("due_at")?)?,
            created_at: rows::time(row.get("created_at")?)?,
            budget: rows::budget(row)?,
        });
    }
    due.next_due = view
        .conn
        .prepare_cached(NEXT_DUE)?
        .query_row([destination, now], |row| row.get::<_, Option<i64>>(0))?
        .map(rows::time)
        .transpose()?;
    Ok(due)
}

/// Makes retries that are not due yet due at the time they were created, so that the oldest go first.
pub(super) fn release(
    batch: &mut Batch<'_>,
    destination: &Name,
    now: Timestamp,
    limit: usize,
) -> Result<usize, Fault> {
    let destination = batch.name(destination)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let released = batch.conn.prepare_cached(RELEASE)?.execute(params![
        destination,
        now.as_millisecond(),
        limit
    ])?;
    Ok(released)
}

pub(super) const DUE: &str = "SELECT e.id, e.revision, d.number, d.subject, d.due_at, d.created_at, \
     d.tries, d.charged, d.age, d.last_at, d.last_delay, d.last_stood_still, d.refused_at, \
     ?3 AND EXISTS (SELECT 1 FROM delivery AS b WHERE b.state = 0 AND b.subject = d.subject \
         AND b.destination = d.destination AND b.event_seq < d.event_seq) AS behind \
     FROM delivery AS d CROSS JOIN event AS e ON e.seq = d.event_seq \
     WHERE d.state = 0 AND d.destination = ?1 AND d.due_at <= ?2 \
     ORDER BY d.due_at, d.event_seq, d.number";

pub(super) const NEXT_DUE: &str =
    "SELECT min(due_at) FROM delivery WHERE state = 0 AND destination = ?1 AND due_at > ?2";

pub(super) const RELEASE: &str = "UPDATE delivery SET due_at = created_at \
     WHERE (event_seq, number) IN (SELECT event_seq, number FROM delivery \
         WHERE state = 0 AND destination = ?1 AND due_at > ?2 AND (tries > 0 OR charged > 0) \
         ORDER BY due_at, event_seq LIMIT ?3)";
