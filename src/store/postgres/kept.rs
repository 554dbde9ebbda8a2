//! Which of those that wait lack a field of what was kept of their payload.

use deadpool_postgres::Transaction;

use super::Shared;
use super::fault::Fault;
use super::pool::{IN_ORDER, look};
use super::rows::{self, get};
use crate::model::Kept;
use crate::store::codes;
use crate::store::lacking::{Found, LOOKED_AT};
use crate::store::{Lacking, Wanted};

/// What waits without a field that its destination reads.
pub(super) async fn lacking(shared: &Shared, wanted: &[Wanted]) -> Result<Vec<Lacking>, Fault> {
    let mut numbers = Vec::with_capacity(wanted.len());
    for one in wanted {
        numbers.push(shared.pools.name_id(&one.destination).await?);
    }
    let mut client = shared.pools.snapshot().await?;
    let tx = look(&mut client).await?;
    tx.batch_execute(IN_ORDER).await?;
    let sets = sets(&tx).await?;
    let mut all = Vec::new();
    for (wanted, number) in wanted.iter().zip(numbers) {
        if let (Some(found), Some(number)) = (Found::new(wanted, &sets), number) {
            all.extend(waiting(&tx, number, found).await?);
        }
    }
    Ok(all)
}

async fn sets(tx: &Transaction<'_>) -> Result<Vec<(i32, Kept)>, Fault> {
    let found = tx.query("SELECT id, fields FROM kept ORDER BY id", &[]);
    let set = |row| Ok((get(row, 0)?, codes::kept(get(row, 1)?)?));
    found.await?.iter().map(set).collect()
}

pub(super) const WAITING: &str = "SELECT n.text, e.kept, e.id FROM ( \
         SELECT event_seq, due_at, number FROM delivery WHERE state = 0 AND destination = $1 \
         ORDER BY due_at, event_seq, number LIMIT $2) AS d \
     LEFT JOIN event AS e ON e.seq = d.event_seq LEFT JOIN name AS n ON n.id = e.source ORDER BY d.due_at, d.event_seq, d.number";

async fn waiting(
    tx: &Transaction<'_>,
    destination: i32,
    mut lacking: Found<'_, i32>,
) -> Result<Vec<Lacking>, Fault> {
    let limit = i64::try_from(LOOKED_AT).unwrap_or(i64::MAX);
    for row in &tx.query(WAITING, &[&destination, &limit]).await? {
        let kept: Option<i32> = get(row, 1)?;
        if lacking.is_short(kept)
            && let Some(kept) = kept
        {
            lacking.count(rows::name(row, 0)?, kept, rows::event_id(row, 2)?);
        }
    }
    Ok(lacking.told())
}
