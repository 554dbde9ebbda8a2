//! What is known of senders: when each was last heard, and which interviews have no result yet.

use jiff::Timestamp;
use rusqlite::OptionalExtension as _;

use super::batch::Batch;
use super::fault::Fault;
use super::readers::View;
use super::rows;
use crate::model::{Event, Name, Stage};
use crate::store::senders::MOST;
use crate::store::{Heard, Listen};

/// Notes an event that is being accepted.
pub(super) fn note(
    batch: &mut Batch<'_>,
    event: &Event,
    source: i64,
    subject: Option<i64>,
) -> Result<(), Fault> {
    let at = event.received_at.as_millisecond();
    batch.hear(source, at);
    match (subject, event.event_type.stage()) {
        (Some(subject), Stage::Collected) => {
            batch
                .conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO awaited (subject, source, since) VALUES (?1, ?2, ?3)",
                )?
                .execute([subject, source, at])?;
        }
        (Some(subject), Stage::Ended) if event.revision > 1 => {
            batch
                .conn
                .prepare_cached("DELETE FROM awaited WHERE subject = ?1")?
                .execute([subject])?;
        }
        _ => {}
    }
    Ok(())
}

/// One answer for each source that is asked about.
pub(super) fn heard(view: &View<'_>, asked: &[Listen]) -> Result<Vec<Heard>, Fault> {
    asked.iter().map(|one| answer(view, one)).collect()
}

fn answer(view: &View<'_>, asked: &Listen) -> Result<Heard, Fault> {
    let mut heard = Heard {
        source: Name::clone(&asked.source),
        last_event_at: None,
        stuck: 0,
    };
    let Some(source) = view.name_id(&asked.source)? else {
        return Ok(heard);
    };
    let at: Option<i64> = view
        .conn
        .prepare_cached(LAST)?
        .query_row([source], |row| row.get(0))
        .optional()?;
    heard.last_event_at = at.map(rows::time).transpose()?;
    if let Some(by) = asked.collected_by.map(Timestamp::as_millisecond) {
        let mut statement = view.conn.prepare_cached(STUCK)?;
        let mut stuck = statement.query([source, by, MOST])?;
        while stuck.next()?.is_some() {
            heard.stuck += 1;
        }
    }
    Ok(heard)
}

pub(super) const LAST: &str = "SELECT at FROM heard WHERE source = ?1";

pub(super) const STUCK: &str = "SELECT 1 FROM awaited WHERE source = ?1 AND since <= ?2 LIMIT ?3";
