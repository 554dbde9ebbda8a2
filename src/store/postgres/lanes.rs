//! What a lane asks: whether it may have it, how it was left, what is due, and making retries due.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::Shared;
use super::change::{Change, Tx};
use super::fault::Fault;
use super::rows::{self, get};
use crate::model::{LaneState, Name};
use crate::store::{Due, Fence, LEASE, LaneRecord, Lease, StoreError, Waiting};

/// Those lanes that are free, or whose owner let its lease run out. What a relay left that was killed just now is waited
/// for.
pub(super) async fn lease(
    shared: &Shared,
    destinations: &[Name],
) -> Result<Vec<Lease>, StoreError> {
    let leased = take(shared, destinations).await?;
    if leased.len() == destinations.len() {
        return Ok(leased);
    }
    wait(shared, destinations).await?;
    take(shared, destinations).await
}

/// The same without waiting.
pub(super) async fn take(shared: &Shared, destinations: &[Name]) -> Result<Vec<Lease>, StoreError> {
    let mut numbers = HashMap::with_capacity(destinations.len());
    for name in destinations {
        numbers.insert(shared.pools.name(name).await?, name);
    }
    let take = Take {
        destinations: numbers.keys().copied().collect(),
        name: shared.name.clone(),
    };
    let mut taken = shared.change(&take).await?;
    let mut leases = Vec::with_capacity(taken.len());
    for name in destinations {
        let number = shared.pools.name(name).await?;
        leases.extend(taken.remove(&number).map(|row| row.lease(name)));
    }
    Ok(leases)
}

/// Until the leases that others have are over, unless they are renewed.
async fn wait(shared: &Shared, destinations: &[Name]) -> Result<(), Fault> {
    let names: Vec<&str> = destinations.iter().map(|name| &**name).collect();
    let view = shared.pools.view().await?;
    view.rows(
        "SELECT pg_sleep(coalesce((
             SELECT extract(epoch FROM max(r.until) - clock_timestamp())
             FROM lane AS l JOIN name AS n ON n.id = l.destination JOIN replica AS r ON r.id = l.owner
             WHERE n.text = ANY ($1) AND l.owner <> $2), 0)::double precision)",
        &[&names, &shared.identity.owner],
    )
    .await?;
    Ok(())
}

struct Take {
    destinations: Vec<i32>,
    name: String,
}

/// A lane that was taken.
pub(super) struct Taken {
    fence: Fence,
    /// None where nothing was ever kept of it.
    state: Option<LaneState>,
    paused: bool,
    reason: String,
    since: Timestamp,
    stood_still: Duration,
}

impl Taken {
    fn lease(self, destination: &Name) -> Lease {
        let lane = match self.state {
            None => LaneRecord::untouched(destination),
            Some(state) => LaneRecord {
                destination: destination.clone(),
                state,
                paused: self.paused,
                reason: self.reason,
                since: self.since,
                stood_still: self.stood_still,
            },
        };
        Lease {
            fence: self.fence,
            lane,
        }
    }
}

#[async_trait]
impl Change for Take {
    type Answer = HashMap<i32, Taken>;

    async fn run(&self, tx: &Tx<'_>) -> Result<Self::Answer, Fault> {
        let found = tx
            .rows(
                "SELECT destination, fence, state, paused, reason, since, stood_still FROM take_1($1, $2, $3, $4)",
                &[&self.destinations, &tx.identity.owner, &self.name, &rows::millis(LEASE)],
            )
            .await?;
        let mut taken = HashMap::with_capacity(found.len());
        for row in &found {
            let state = get::<Option<i16>>(row, 2)?.map(rows::narrow).transpose()?;
            let one = Taken {
                fence: Fence(rows::narrow(get::<i64>(row, 1)?)?),
                state: state.map(rows::lane_state).transpose()?,
                paused: get(row, 3)?,
                reason: get(row, 4)?,
                since: rows::time(get(row, 5)?)?,
                stood_still: rows::duration(get(row, 6)?),
            };
            taken.insert(get(row, 0)?, one);
        }
        Ok(taken)
    }
}

#[async_trait]
impl Change for LaneRecord {
    type Answer = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let destination = tx.pools.name(&self.destination).await?;
        tx.execute(
            "INSERT INTO lane AS l (destination, state, paused, reason, since, stood_still) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (destination) DO UPDATE SET state = excluded.state, paused = excluded.paused,
                 reason = excluded.reason, since = excluded.since, stood_still = excluded.stood_still
             WHERE l.owner IS NULL OR l.owner = $7",
            &[
                &destination,
                &i16::from(rows::lane_code(self.state)),
                &self.paused,
                &rows::words(&self.reason),
                &self.since.as_millisecond(),
                &rows::millis(self.stood_still),
                // Another relay that has the lane by now knows better.
                &tx.identity.owner,
            ],
        )
        .await?;
        Ok(())
    }
}

pub(super) const DUE: &str = "SELECT id, number, subject, revision, due_at, created_at, tries, charged, age, \
     last_at, last_delay, last_stood_still, refused_at FROM due_1($1, $2, $3, $4)";

/// The oldest that may go out, by due time and then in the order of acceptance.
pub(super) async fn due(
    shared: &Shared,
    destination: &str,
    now: Timestamp,
    (limit, ordered): (usize, bool),
) -> Result<Due, Fault> {
    let mut due = Due::default();
    let Some(destination) = shared.pools.name_id(destination).await? else {
        return Ok(due);
    };
    let view = shared.pools.view().await?;
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let now = now.as_millisecond();
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&destination, &now, &limit, &ordered];
    for row in &view.rows(DUE, &params).await? {
        if get::<Option<&[u8]>>(row, 0)?.is_none() {
            due.more = get::<i32>(row, 1)? == 1;
            due.next_due = rows::time_of(get(row, 4)?)?;
            continue;
        }
        let subject: Option<i64> = get(row, 2)?;
        due.items.push(Waiting {
            id: rows::delivery_id(row, 0)?,
            subject: subject.map(rows::subject_number).transpose()?,
            revision: rows::narrow(get::<i32>(row, 3)?)?,
            due_at: rows::time(get(row, 4)?)?,
            created_at: rows::time(get(row, 5)?)?,
            budget: rows::budget(row, 6)?,
        });
    }
    Ok(due)
}

/// Makes retries that are not due yet due at the time they were created, so that the oldest go first.
pub(super) struct Release {
    pub(super) destination: Name,
    pub(super) now: Timestamp,
    pub(super) limit: usize,
}

#[async_trait]
impl Change for Release {
    type Answer = usize;

    async fn run(&self, tx: &Tx<'_>) -> Result<usize, Fault> {
        let destination = tx.pools.name(&self.destination).await?;
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let now = self.now.as_millisecond();
        let sql = "SELECT release_1($1, $2, $3)";
        let released = tx.rows(sql, &[&destination, &now, &limit]).await?;
        let released: i64 = released.first().map_or(Ok(0), |row| get(row, 0))?;
        Ok(usize::try_from(released).unwrap_or(usize::MAX))
    }
}
