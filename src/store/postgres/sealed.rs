//! Sealed payloads in rows: sealed again, step by step, when the key has changed. The sealing itself is in `store/seal.rs`.

use async_trait::async_trait;
use tokio_postgres::{Row, Transaction};

use super::Shared;
use super::change::{Change, Tx};
use super::fault::Fault;
use super::rows::{self, get};
use crate::store::seal::{BYTES, ROWS, Walk, all_there};
use crate::store::{Fingerprint, Keyring, Resealed, Sealing, StoreError};

/// Refuses to begin without a key that may be needed, and notes by which key is sealed from now on.
pub(super) async fn adopt(tx: &Transaction<'_>, keys: &Keyring) -> Result<(), StoreError> {
    let found = tx.query("SELECT fingerprint FROM seal_key", &[]).await;
    let found = found.map_err(Fault::from)?;
    let needed: Result<Vec<Fingerprint>, Fault> = found
        .iter()
        .map(|row| Ok(Fingerprint::of_code(get(row, 0)?)))
        .collect();
    all_there(&needed?, keys)?;
    Ok(begin(tx, keys.current().map(Fingerprint::code)).await?)
}

/// Another key than before: every payload that is there has to be looked at.
async fn begin(tx: &Transaction<'_>, current: Option<i64>) -> Result<(), Fault> {
    let changed = tx
        .execute(
            "UPDATE sealing SET sealed_by = $1::bigint, place = 0, done = false,
                    until = (SELECT coalesce(max(seq), 0) FROM payload)
             WHERE sealed_by IS DISTINCT FROM $1::bigint",
            &[&current],
        )
        .await?;
    if changed > 0 {
        let key = "INSERT INTO seal_key (fingerprint) SELECT $1::bigint WHERE $1::bigint IS NOT NULL ON CONFLICT DO NOTHING";
        tx.execute(key, &[&current]).await?;
    }
    Ok(())
}

const WALK: &str = "SELECT sealed_by, place, until, done FROM sealing";

fn walk(rows: &[Row]) -> Result<Walk, Fault> {
    let row = rows.first().ok_or(Fault::Damaged("sealing has no row"))?;
    Ok(Walk {
        current: get(row, 0)?,
        place: get(row, 1)?,
        until: get(row, 2)?,
        done: get(row, 3)?,
    })
}

/// How payloads are sealed now.
pub(super) async fn sealing(shared: &Shared) -> Result<Option<Sealing>, Fault> {
    let view = shared.pools.view().await?;
    let walk = walk(&view.rows(WALK, &[]).await?)?;
    let mut left = 0;
    if !walk.is_at_the_end() {
        let most = i64::try_from(Sealing::MOST).expect("it is small");
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&walk.place, &walk.until, &most];
        if let Some(row) = view.rows(LEFT, &params).await?.first() {
            left = rows::count(get(row, 0)?)?;
        }
    }
    Ok(walk.told(left))
}

pub(super) const LEFT: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM payload WHERE seq > $1 AND seq <= $2 LIMIT $3) AS first";

/// The next few, few enough in bytes too, without those that are as they should be but for the last.
pub(super) const OLD: &str = "SELECT p.seq, e.id, \
     CASE WHEN p.sealed_by IS NOT DISTINCT FROM $3::bigint THEN NULL ELSE p.body END, p.sealed_by \
     FROM (SELECT seq, body, sealed_by, sum(CASE WHEN sealed_by IS NOT DISTINCT FROM $3::bigint THEN 0 ELSE octet_length(body) END) \
               OVER (ORDER BY seq) - CASE WHEN sealed_by IS NOT DISTINCT FROM $3::bigint THEN 0 ELSE octet_length(body) END AS before \
           FROM (SELECT seq, body, sealed_by FROM payload WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $4) AS next) AS p \
     LEFT JOIN event AS e ON e.seq = p.seq WHERE p.before < $5 ORDER BY p.seq";

/// One step. `done` in the answer means that there was nothing to look at any more.
pub(super) struct Step;

#[async_trait]
impl Change for Step {
    type Answer = Resealed;

    async fn run(&self, tx: &Tx<'_>) -> Result<Resealed, Fault> {
        let locked = format!("{WALK} FOR UPDATE");
        let walk = walk(&tx.rows(&locked, &[]).await?)?;
        let mut resealed = Resealed::default();
        if walk.is_at_the_end() {
            resealed.done = true;
            return Ok(resealed);
        }
        let limit = i64::try_from(ROWS).expect("it is small");
        let bytes = i64::try_from(BYTES).expect("it is small");
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&walk.place, &walk.until, &walk.current, &limit, &bytes];
        let some = tx.rows(OLD, &params).await?;
        let last = some.last().map(|row| get::<i64>(row, 0)).transpose()?;
        for row in &some {
            match seal_again(tx, row).await? {
                Some(true) => resealed.payloads += 1,
                Some(false) => resealed.damaged += 1,
                None => {}
            }
        }
        let place = last.unwrap_or(walk.until);
        let set = "UPDATE sealing SET place = $1";
        tx.execute(set, &[&place]).await?;
        Ok(resealed)
    }
}

/// None where it is as it should be; false where it cannot be opened: nothing would be won by losing it altogether.
async fn seal_again(tx: &Tx<'_>, row: &Row) -> Result<Option<bool>, Fault> {
    let Some(stored) = rows::stored(row, 2)? else {
        return Ok(None);
    };
    let (seq, event): (i64, _) = (get(row, 0)?, rows::event_id(row, 1)?);
    let keys = &tx.identity.seals;
    let Some(plain) = stored.open_or_gone(keys, event) else {
        return Ok(Some(false));
    };
    let (body, by) = keys.written(event, &plain);
    let set = "UPDATE payload SET body = $2, sealed_by = $3 WHERE seq = $1";
    tx.execute(set, &[&seq, &&*body, &by]).await?;
    Ok(Some(true))
}

/// The other keys are not needed any more.
pub(super) struct Finish;

#[async_trait]
impl Change for Finish {
    type Answer = ();

    async fn run(&self, tx: &Tx<'_>) -> Result<(), Fault> {
        tx.execute(
            "DELETE FROM seal_key WHERE fingerprint IS DISTINCT FROM (SELECT sealed_by FROM sealing)",
            &[],
        )
        .await?;
        tx.execute("UPDATE sealing SET done = true", &[]).await?;
        Ok(())
    }
}
