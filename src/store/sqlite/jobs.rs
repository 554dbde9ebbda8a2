//! Jobs as rows: begun, gone on with, ended. What a job does is in `acts.rs`.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::de::DeserializeOwned;

use super::batch::Batch;
use super::fault::Fault;
use super::rows;
use crate::model::{Cursor, EventId, JobId, JobState};
use crate::store::job;
use crate::store::{Job, Progress, Task};

const COLUMNS: &str =
    "id, task, dry_run, state, created_at, ended_at, place_event, place_number, progress";

pub(super) fn begin(
    batch: &Batch<'_>,
    task: &Task,
    dry_run: bool,
    now: Timestamp,
) -> Result<Job, Fault> {
    batch
        .conn
        .prepare_cached(
            "DELETE FROM job WHERE state <> ?1 AND id NOT IN
                 (SELECT id FROM job WHERE state <> ?1 ORDER BY id DESC LIMIT ?2)",
        )?
        .execute(params![job::code(JobState::Running), job::KEPT - 1])?;
    let progress = Progress::default();
    let id = batch
        .conn
        .prepare_cached(
            "INSERT INTO job (task, dry_run, state, created_at, progress) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .insert(params![
            job::text(task),
            dry_run,
            job::code(JobState::Running),
            now.as_millisecond(),
            job::text(&progress),
        ])?;
    find(batch.conn, job::number(id)?)?
        .ok_or(Fault::Unfit("a job that was just written is not there"))
}

/// Newest first.
pub(super) fn list(conn: &Connection, over: bool) -> Result<Vec<Job>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE ?1 OR state = ?2 ORDER BY id DESC");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params![over, job::code(JobState::Running)])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(one(row)?);
    }
    Ok(all)
}

pub(super) fn find(conn: &Connection, id: JobId) -> Result<Option<Job>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE id = ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query([id.0])?;
    found.next()?.map(one).transpose()
}

pub(super) fn cancel(batch: &Batch<'_>, id: JobId, now: Timestamp) -> Result<bool, Fault> {
    let Some(mut job) = find(batch.conn, id)? else {
        return Ok(false);
    };
    if job.state == JobState::Running {
        job.end(JobState::Cancelled, now);
        save(batch.conn, &job)?;
    }
    Ok(true)
}

/// Jobs that name somebody who is to be erased are over.
pub(super) fn forget(batch: &Batch<'_>, named: &[String], now: Timestamp) -> Result<(), Fault> {
    for mut job in list(batch.conn, false)? {
        if job.task.is_about(named) {
            job.end(JobState::Cancelled, now);
            save(batch.conn, &job)?;
        }
    }
    Ok(())
}

pub(super) fn save(conn: &Connection, job: &Job) -> Result<(), Fault> {
    let place = job.place.map(|place| place.0);
    conn.prepare_cached(
        "UPDATE job SET task = ?2, state = ?3, ended_at = ?4, place_event = ?5, place_number = ?6,
                        progress = ?7
         WHERE id = ?1",
    )?
    .execute(params![
        job.id.0,
        job::text(&job.task),
        job::code(job.state),
        job.ended_at.map(Timestamp::as_millisecond),
        place.as_ref().map(|place| place.event.as_bytes()),
        place.map(|place| place.number),
        job::text(&job.progress),
    ])?;
    Ok(())
}

fn one(row: &Row<'_>) -> Result<Job, Fault> {
    let event: Option<[u8; 16]> = row.get("place_event")?;
    let place = match (event, row.get::<_, Option<u16>>("place_number")?) {
        (Some(event), Some(number)) => Some(Cursor(EventId::from_bytes(event).delivery(number))),
        _ => None,
    };
    let ended_at: Option<i64> = row.get("ended_at")?;
    Ok(Job {
        id: job::number(row.get("id")?)?,
        task: read(row, "task")?,
        dry_run: row.get("dry_run")?,
        state: job::state(row.get("state")?)?,
        created_at: rows::time(row.get("created_at")?)?,
        ended_at: ended_at.map(rows::time).transpose()?,
        place,
        progress: read(row, "progress")?,
    })
}

fn read<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, Fault> {
    Ok(job::read(&row.get::<_, String>(column)?)?)
}
