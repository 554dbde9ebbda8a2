//! What relays on one schema have to do with each other: staying alive, lanes taken and given back, wishes, erasures that
//! all have to answer. A lane is its owner's for as long as the owner's own row says, so one small write renews them all.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Object;
use tokio_postgres::Row;

use super::Shared;
use super::change::{Change, Tx};
use super::fault::Fault;
use super::rows::{self, get};
use crate::model::{LaneState, Name};
use crate::store::{
    Fence, Held, HeldLane, LEASE, LaneRecord, Owned, Presence, Replica, Roll, Seen,
};

/// How long the database may take to renew a lease before it is asked over another connection.
const HURRY: Duration = Duration::from_millis(1_250);

const HOLD: &str =
    "SELECT kind, id, number, name, knows, wish FROM hold_1($1, $2, $3, $4, $5, $6, $7, $8)";

/// Says that this relay is alive.
pub(super) async fn hold(shared: &Shared, presence: &Presence) -> Result<Held, Fault> {
    let mut knows = HashMap::with_capacity(presence.knows.len());
    for name in &*presence.knows {
        knows.insert(shared.pools.name(name).await?, name.clone());
    }
    let digest = digest(&presence.knows);
    let news = shared
        .announced
        .lock()
        .map_or(true, |last| *last != Some(digest));
    let numbers: Option<Vec<i32>> = news.then(|| knows.keys().copied().collect());
    let cleared = presence.cleared.cast_signed();
    let obeyed: Vec<i64> = presence
        .obeyed
        .iter()
        .map(|wish| wish.cast_signed())
        .collect();
    let client = in_time(shared, async { Ok(shared.pools.pulse.get().await?) }).await?;
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
        &shared.identity.owner,
        &shared.name,
        &presence.leaving,
        &digest,
        &numbers,
        &cleared,
        &obeyed,
        &rows::millis(LEASE),
    ];
    let asked = in_time(shared, super::pool::rows(&client, HOLD, &params)).await;
    let found = match asked {
        Ok(found) => found,
        Err(fault) => {
            // What it is doing nobody knows: the next time it is another one.
            drop(Object::take(client));
            return Err(fault);
        }
    };
    drop(client);
    if let Ok(mut last) = shared.announced.lock() {
        *last = Some(digest);
    }
    read(shared, &found, &knows).await
}

/// A database that hangs is no better than one that is gone.
async fn in_time<T>(
    shared: &Shared,
    asked: impl Future<Output = Result<T, Fault>> + Send,
) -> Result<T, Fault> {
    tokio::select! {
        answer = asked => answer,
        () = shared.clock.idle(HURRY) => Err(Fault::Slow),
    }
}

async fn read(shared: &Shared, found: &[Row], knows: &HashMap<i32, Name>) -> Result<Held, Fault> {
    let name_of = async |number: i32| match knows.get(&number) {
        Some(name) => Ok(name.clone()),
        None => shared.pools.name_of(number).await,
    };
    let mut held = Held {
        own: shared.identity.owner.cast_unsigned(),
        ..Held::default()
    };
    for row in found {
        let (id, number): (Option<i64>, Option<i64>) = (get(row, 1)?, get(row, 2)?);
        let (id, number) = (id.unwrap_or_default(), number.unwrap_or_default());
        let wish: Option<bool> = get(row, 5)?;
        match get::<i16>(row, 0)? {
            0 => {
                let mut known = None;
                if let Some(numbers) = get::<Option<Vec<i32>>>(row, 4)? {
                    let mut names = Vec::with_capacity(numbers.len());
                    for number in numbers {
                        names.push(name_of(number).await?);
                    }
                    names.sort_unstable();
                    known = Some(names);
                }
                held.replicas.push(Replica {
                    id: id.cast_unsigned(),
                    leaving: wish == Some(true),
                    knows: known,
                });
            }
            1 => {
                let wished = get::<Option<&str>>(row, 3)?.and_then(|text| text.parse().ok());
                held.lanes.push(HeldLane {
                    destination: name_of(rows::narrow(id)?).await?,
                    fence: Fence(number.cast_unsigned()),
                    wish: wished.zip(wish),
                });
            }
            _ => {
                held.clear = id.cast_unsigned();
                shared.note_waiting(u64::try_from(number).unwrap_or(0));
            }
        }
    }
    Ok(held)
}

/// Tells sets of names apart.
fn digest(names: &[Name]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
    }
    let hash = hasher.finalize();
    let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// Gives back lanes that this relay has under these numbers.
pub(super) struct GiveBack(pub(super) Vec<(Name, Fence)>);

#[async_trait]
impl Change for GiveBack {
    type Answer = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let (mut lanes, mut fences) = (Vec::new(), Vec::new());
        for (name, fence) in &self.0 {
            lanes.push(tx.pools.name(name).await?);
            fences.push(fence.0.cast_signed());
        }
        tx.execute(
            "UPDATE lane AS l SET owner = NULL, owned_since = NULL FROM unnest($2::integer[], $3::bigint[]) AS g (lane, fence)
             WHERE l.destination = g.lane AND l.fence = g.fence AND l.owner = $1",
            &[&tx.identity.owner, &lanes, &fences],
        )
        .await?;
        Ok(())
    }
}

/// This relay ends: all its lanes are free at once.
pub(super) struct Leave;

#[async_trait]
impl Change for Leave {
    type Answer = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let own = tx.identity.owner;
        let free = "UPDATE lane SET owner = NULL, owned_since = NULL WHERE owner = $1";
        tx.execute(free, &[&own]).await?;
        // Those that were killed leave their row behind.
        let gone =
            "DELETE FROM replica WHERE id = $1 OR until < clock_timestamp() - interval '1 day'";
        tx.execute(gone, &[&own]).await?;
        Ok(())
    }
}

/// Leaves word for a lane's owner.
pub(super) struct Wish {
    pub(super) lane: Name,
    pub(super) paused: bool,
}

#[async_trait]
impl Change for Wish {
    type Answer = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        let lane = tx.pools.name(&self.lane).await?;
        tx.execute(
            "INSERT INTO lane AS l (destination, wish, wished) VALUES ($1, $2, nextval('fence'))
             ON CONFLICT (destination) DO UPDATE SET wish = excluded.wish, wished = excluded.wished",
            &[&lane, &self.paused],
        )
        .await?;
        Ok(())
    }
}

/// Asks everybody to forget what is condemned.
pub(super) struct AskToClear;

#[async_trait]
impl Change for AskToClear {
    type Answer = u64;

    async fn run(&self, tx: &Tx<'_>) -> Result<u64, Fault> {
        let sql = "UPDATE meta SET number = nextval('fence') WHERE key = 'clear' RETURNING number";
        let row = tx.rows(sql, &[]).await?;
        let number: i64 = row.first().map_or(Ok(0), |row| get(row, 0))?;
        Ok(number.cast_unsigned())
    }
}

/// How many relays have not answered that; one that is not alive has no lane, and starts nothing.
pub(super) async fn uncleared(shared: &Shared, number: u64) -> Result<usize, Fault> {
    let sql = "SELECT count(*) FROM replica WHERE id <> $1 AND cleared < $2 AND until > clock_timestamp()";
    let view = shared.pools.view().await?;
    let found = view
        .rows(sql, &[&shared.identity.owner, &number.cast_signed()])
        .await?;
    let count: i64 = found.first().map_or(Ok(0), |row| get(row, 0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Who works on the store, and how every lane stands.
pub(super) async fn roll(shared: &Shared) -> Result<Roll, Fault> {
    let view = shared.pools.view().await?;
    let mut roll = Roll {
        own: shared.identity.owner.cast_unsigned(),
        ..Roll::default()
    };
    let replicas = "SELECT id, name, (extract(epoch FROM since) * 1000)::bigint,
                           (extract(epoch FROM clock_timestamp() - seen) * 1000)::bigint, until > clock_timestamp()
                    FROM replica WHERE until > clock_timestamp() - interval '1 hour' ORDER BY id";
    for row in &view.rows(replicas, &[]).await? {
        roll.replicas.push(Seen {
            id: get::<i64>(row, 0)?.cast_unsigned(),
            name: get(row, 1)?,
            since: rows::time(get(row, 2)?)?,
            age: rows::duration(get(row, 3)?),
            alive: get(row, 4)?,
        });
    }
    let lanes = "SELECT n.text, CASE WHEN r.until > clock_timestamp() THEN l.owner END,
                        coalesce((extract(epoch FROM clock_timestamp() - l.owned_since) * 1000)::bigint, 0),
                        l.state, l.paused, l.reason, l.since, l.stood_still,
                        l.wish IS NOT NULL
                 FROM lane AS l JOIN name AS n ON n.id = l.destination LEFT JOIN replica AS r ON r.id = l.owner
                 ORDER BY n.text";
    for row in &view.rows(lanes, &[]).await? {
        roll.lanes.push(Owned {
            owner: get::<Option<i64>>(row, 1)?.map(i64::cast_unsigned),
            age: rows::duration(get(row, 2)?),
            wished: get(row, 8)?,
            lane: record(row)?,
        });
    }
    Ok(roll)
}

fn record(row: &Row) -> Result<LaneRecord, Fault> {
    let destination: Name = rows::name(row, 0)?;
    let state = get::<Option<i16>>(row, 3)?.map(rows::narrow).transpose()?;
    let state: Option<LaneState> = state.map(rows::lane_state).transpose()?;
    let Some(state) = state else {
        return Ok(LaneRecord::untouched(&destination));
    };
    Ok(LaneRecord {
        destination,
        state,
        paused: get(row, 4)?,
        reason: get(row, 5)?,
        since: rows::time(get(row, 6)?)?,
        stood_still: rows::duration(get(row, 7)?),
    })
}
