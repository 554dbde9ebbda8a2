//! Jobs as rows: begun, gone on with, ended. What a job does is in `acts.rs`.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::Shared;
use super::change::{Change, Tx};
use super::fault::Fault;
use super::rows::{self, get};
use crate::model::{Cursor, JobId, JobState};
use crate::store::job;
use crate::store::{Job, Progress, Task};

const COLUMNS: &str =
    "id, task, dry_run, state, created_at, ended_at, place_event, place_number, progress";

pub(super) struct Begin {
    pub(super) task: Task,
    pub(super) dry_run: bool,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Begin {
    type Answer = Job;

    async fn run(&self, tx: &Tx<'_>) -> Result<Job, Fault> {
        let running = code(JobState::Running);
        let kept = i64::from(job::KEPT) - 1;
        tx.execute(
            "DELETE FROM job WHERE state <> $1 AND id NOT IN
                 (SELECT id FROM job WHERE state <> $1 ORDER BY id DESC LIMIT $2)",
            &[&running, &kept],
        )
        .await?;
        let progress = job::text(&Progress::default());
        let sql = format!(
            "INSERT INTO job (task, dry_run, state, created_at, progress) VALUES ($1, $2, $3, $4, $5)
             RETURNING {COLUMNS}"
        );
        let now = self.now.as_millisecond();
        let task = job::text(&self.task);
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&task, &self.dry_run, &running, &now, &progress];
        let begun = tx.rows(&sql, &params).await?;
        let begun = begun.first().map(one).transpose()?;
        begun.ok_or(Fault::Unfit("a job that was just written is not there"))
    }
}

/// Newest first.
pub(super) async fn list(shared: &Shared, over: bool) -> Result<Vec<Job>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE $1 OR state = $2 ORDER BY id DESC");
    let view = shared.pools.view().await?;
    let found = view.rows(&sql, &[&over, &code(JobState::Running)]).await?;
    found.iter().map(one).collect()
}

/// Whoever changes it meanwhile waits.
pub(super) async fn find(tx: &Tx<'_>, id: JobId) -> Result<Option<Job>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE id = $1 FOR UPDATE");
    let found = tx.rows(&sql, &[&rows::wide(id.0)?]).await?;
    found.first().map(one).transpose()
}

pub(super) struct Cancel {
    pub(super) id: JobId,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Cancel {
    type Answer = bool;

    async fn run(&self, tx: &Tx<'_>) -> Result<bool, Fault> {
        let Some(mut job) = find(tx, self.id).await? else {
            return Ok(false);
        };
        if job.state == JobState::Running {
            job.end(JobState::Cancelled, self.now);
            save(tx, &job).await?;
        }
        Ok(true)
    }
}

/// Jobs that name somebody who is to be erased are over.
pub(super) async fn forget(tx: &Tx<'_>, named: &[String], now: Timestamp) -> Result<(), Fault> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE state = $1 ORDER BY id FOR UPDATE");
    for row in &tx.rows(&sql, &[&code(JobState::Running)]).await? {
        let mut job = one(row)?;
        if job.task.is_about(named) {
            job.end(JobState::Cancelled, now);
            save(tx, &job).await?;
        }
    }
    Ok(())
}

pub(super) async fn save(tx: &Tx<'_>, job: &Job) -> Result<(), Fault> {
    let place = job.place.map(|place| place.0);
    let event = place.map(|place| *place.event.as_bytes());
    tx.execute(
        "UPDATE job SET task = $2, state = $3, ended_at = $4, place_event = $5, place_number = $6, progress = $7
         WHERE id = $1",
        &[
            &rows::wide(job.id.0)?,
            &job::text(&job.task),
            &code(job.state),
            &rows::millis_of(job.ended_at),
            &event.as_ref().map(<[u8; 16]>::as_slice),
            &place.map(|place| i32::from(place.number)),
            &job::text(&job.progress),
        ],
    )
    .await?;
    Ok(())
}

fn one(row: &Row) -> Result<Job, Fault> {
    let event = get::<Option<&[u8]>>(row, 6)?.map(rows::id_of).transpose()?;
    let place = match (event, get::<Option<i32>>(row, 7)?) {
        (Some(event), Some(number)) => Some(Cursor(event.delivery(rows::narrow(number)?))),
        _ => None,
    };
    Ok(Job {
        id: job::number(get::<i32>(row, 0)?.into())?,
        task: job::read(get(row, 1)?)?,
        dry_run: get(row, 2)?,
        state: job::state(rows::narrow(get::<i16>(row, 3)?)?)?,
        created_at: rows::time(get(row, 4)?)?,
        ended_at: rows::time_of(get(row, 5)?)?,
        place,
        progress: job::read(get(row, 8)?)?,
    })
}

fn code(state: JobState) -> i16 {
    job::code(state).into()
}
