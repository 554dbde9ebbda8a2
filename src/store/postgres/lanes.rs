//! What a lane asks: whether it may have it, how it was left, what is due, and making retries due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::change::{Change, Tx};
use super::fault::Fault;
use super::pool::Pools;
use super::rows::{self, get};
use crate::clock::Clock;
use crate::model::{LaneState, Name};
use crate::store::{Due, Fence, LaneRecord, Lease, StoreError, Waiting};

/// How long a lane is its owner's, by the database's clock, after it was taken or renewed.
const LEASE: Duration = Duration::from_secs(5);
/// How often it is renewed.
const RENEWED: Duration = Duration::from_millis(1_250);

/// Renews the leases of this relay until it is told to stop. Where the database does not answer they run out, and whoever
/// takes the lanes then has other numbers.
pub(super) async fn renew(
    pools: Arc<Pools>,
    (owner, clock): (i64, Arc<dyn Clock>),
    stop: CancellationToken,
) {
    let sql = "UPDATE lane SET lease_until = clock_timestamp() + $2 * interval '1 millisecond' WHERE owner = $1";
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.idle(RENEWED) => {}
        }
        let renewed = async {
            // Of those that read: what writes may be busy for long.
            let client = pools.readers.get().await?;
            let millis = f64::from(u32::try_from(LEASE.as_millis()).unwrap_or(u32::MAX));
            super::pool::rows(&client, sql, &[&owner, &millis]).await
        };
        let renewed = tokio::select! {
            () = stop.cancelled() => return,
            renewed = renewed => renewed,
        };
        if let Err(fault) = renewed {
            tracing::debug!(%fault, "leases of lanes were not renewed");
        }
    }
}

/// Refuses a store whose lanes another relay has. What a relay left that was killed just now is waited for.
pub(super) async fn alone(shared: &Shared) -> Result<(), StoreError> {
    let owned = "SELECT 1 FROM lane WHERE owner <> $1 AND lease_until > clock_timestamp() LIMIT 1";
    let is_owned = async || -> Result<bool, Fault> {
        let view = shared.pools.view().await?;
        let found = view.rows(owned, &[&shared.identity.owner]).await?;
        Ok(!found.is_empty())
    };
    if !is_owned().await? {
        return Ok(());
    }
    wait(shared, None).await?;
    if is_owned().await? {
        return Err(StoreError::InUse("it delivers from this schema".to_owned()));
    }
    Ok(())
}

/// Those lanes that are free, or whose owner let its lease run out. What a relay left that was killed just now is waited
/// for.
pub(super) async fn lease(
    shared: &Shared,
    destinations: &[Name],
) -> Result<Vec<Lease>, StoreError> {
    let leased = try_lease(shared, destinations).await?;
    if leased.len() == destinations.len() {
        return Ok(leased);
    }
    wait(shared, Some(destinations)).await?;
    try_lease(shared, destinations).await
}

async fn try_lease(shared: &Shared, destinations: &[Name]) -> Result<Vec<Lease>, StoreError> {
    let mut numbers = HashMap::with_capacity(destinations.len());
    for name in destinations {
        numbers.insert(shared.pools.name(name).await?, name);
    }
    let take = Take {
        destinations: numbers.keys().copied().collect(),
    };
    let mut taken = shared.change(&take).await?;
    let mut leases = Vec::with_capacity(taken.len());
    for name in destinations {
        let number = shared.pools.name(name).await?;
        leases.extend(taken.remove(&number).map(|row| row.lease(name)));
    }
    Ok(leases)
}

/// Until the leases that others have are over, unless they are renewed; those of all lanes, or of some.
async fn wait(shared: &Shared, destinations: Option<&[Name]>) -> Result<(), Fault> {
    let names =
        destinations.map(|names| -> Vec<&str> { names.iter().map(|name| &**name).collect() });
    let view = shared.pools.view().await?;
    view.rows(
        "SELECT pg_sleep(coalesce((
             SELECT extract(epoch FROM max(l.lease_until) - clock_timestamp())
             FROM lane AS l JOIN name AS n ON n.id = l.destination
             WHERE ($1::text[] IS NULL OR n.text = ANY ($1)) AND l.owner <> $2), 0)::double precision)",
        &[&names, &shared.identity.owner],
    )
    .await?;
    Ok(())
}

struct Take {
    destinations: Vec<i32>,
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
                "SELECT destination, fence, state, paused, reason, since, stood_still FROM lease_1($1, $2, $3)",
                &[&self.destinations, &tx.identity.owner, &rows::millis(LEASE)],
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
                 reason = excluded.reason, since = excluded.since, stood_still = excluded.stood_still",
            &[
                &destination,
                &i16::from(rows::lane_code(self.state)),
                &self.paused,
                &rows::words(&self.reason),
                &self.since.as_millisecond(),
                &rows::millis(self.stood_still),
            ],
        )
        .await?;
        Ok(())
    }
}

/// Lets all lanes of this relay go, so that another may have them at once.
pub(super) struct LetGo;

#[async_trait]
impl Change for LetGo {
    type Answer = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let sql = "UPDATE lane SET owner = NULL, lease_until = NULL WHERE owner = $1";
        tx.execute(sql, &[&tx.identity.owner]).await?;
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
