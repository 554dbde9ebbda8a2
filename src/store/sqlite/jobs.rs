//! Jobs as rows: begun, gone on with, ended. What a job does is in `acts.rs`.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::de::DeserializeOwned;

use super::batch::Batch;
use super::fault::Fault;
use super::rows;
use crate::model::{Cursor, EventId, JobId, JobState};
use crate::store::{Job, Progress, Task};

/// Jobs that are over and still shown.
const KEPT: u32 = 100;

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
        .execute(params![code(JobState::Running), KEPT - 1])?;
    let progress = Progress::default();
    let id = batch
        .conn
        .prepare_cached(
            "INSERT INTO job (task, dry_run, state, created_at, progress) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .insert(params![
            text(task),
            dry_run,
            code(JobState::Running),
            now.as_millisecond(),
            text(&progress),
        ])?;
    find(batch.conn, number(id)?)?.ok_or(Fault::Unfit("a job that was just written is not there"))
}

/// Newest first.
pub(super) fn list(conn: &Connection, over: bool) -> Result<Vec<Job>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE ?1 OR state = ?2 ORDER BY id DESC");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params![over, code(JobState::Running)])?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(job(row)?);
    }
    Ok(all)
}

pub(super) fn find(conn: &Connection, id: JobId) -> Result<Option<Job>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE id = ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query([id.0])?;
    found.next()?.map(job).transpose()
}

pub(super) fn cancel(batch: &Batch<'_>, id: JobId, now: Timestamp) -> Result<bool, Fault> {
    let Some(mut job) = find(batch.conn, id)? else {
        return Ok(false);
    };
    if job.state == JobState::Running {
        end(&mut job, JobState::Cancelled, now);
        save(batch.conn, &job)?;
    }
    Ok(true)
}

/// Jobs that name somebody who is to be erased are over.
pub(super) fn forget(batch: &Batch<'_>, named: &[String], now: Timestamp) -> Result<(), Fault> {
    for mut job in list(batch.conn, false)? {
        let about = job.task.names().any(|text| named.iter().any(|n| n == text));
        if about {
            end(&mut job, JobState::Cancelled, now);
            save(batch.conn, &job)?;
        }
    }
    Ok(())
}

/// It is over, and keeps nobody's name.
pub(super) fn end(job: &mut Job, state: JobState, now: Timestamp) {
    job.state = state;
    job.ended_at = Some(now);
    job.task.without_names();
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
        text(&job.task),
        code(job.state),
        job.ended_at.map(Timestamp::as_millisecond),
        place.as_ref().map(|place| place.event.as_bytes()),
        place.map(|place| place.number),
        text(&job.progress),
    ])?;
    Ok(())
}

fn job(row: &Row<'_>) -> Result<Job, Fault> {
    let event: Option<[u8; 16]> = row.get("place_event")?;
    let place = match (event, row.get::<_, Option<u16>>("place_number")?) {
        (Some(event), Some(number)) => Some(Cursor(EventId::from_bytes(event).delivery(number))),
        _ => None,
    };
    let ended_at: Option<i64> = row.get("ended_at")?;
    Ok(Job {
        id: number(row.get("id")?)?,
        task: read(row, "task")?,
        dry_run: row.get("dry_run")?,
        state: state(row.get("state")?)?,
        created_at: rows::time(row.get("created_at")?)?,
        ended_at: ended_at.map(rows::time).transpose()?,
        place,
        progress: read(row, "progress")?,
    })
}

fn read<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, Fault> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| Fault::Damaged("a job is damaged"))
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names, words and numbers are always JSON")
}

fn number(id: i64) -> Result<JobId, Fault> {
    let id = u32::try_from(id).map_err(|_| Fault::Damaged("a job's number is out of range"))?;
    Ok(JobId(id))
}

const fn code(state: JobState) -> u8 {
    match state {
        JobState::Running => 0,
        JobState::Done => 1,
        JobState::Cancelled => 2,
    }
}

fn state(found: u8) -> Result<JobState, Fault> {
    let mut all = JobState::ALL.into_iter();
    all.find(|state| code(*state) == found)
        .ok_or(Fault::Damaged("a job is in no known state"))
}
