//! Moving what waits from one destination to another, a part at a time.

use async_trait::async_trait;
use tokio_postgres::types::ToSql;

use super::acts::end;
use super::change::{Change, Tx};
use super::fault::Fault;
use super::pool::IN_ORDER;
use super::rows::{self, get};
use crate::store::plan::SUBJECTS;
use crate::store::{Move, Moved};

/// What may move now: all but what is under way. With each, whether the event has a delivery there already, and the
/// newest revision that was sent there.
pub(super) const WAITING: &str = "SELECT d.event_seq, d.number, \
         EXISTS (SELECT 1 FROM delivery AS o WHERE o.event_seq = d.event_seq AND o.destination = $2), \
         (SELECT r.revision FROM receipt AS r WHERE r.subject = d.subject AND r.destination = $2 AND r.revision > e.revision) \
     FROM delivery AS d JOIN event AS e ON e.seq = d.event_seq \
     WHERE d.state = 0 AND d.destination = $1 AND NOT EXISTS ( \
         SELECT 1 FROM unnest($3::bytea[], $4::integer[]) AS x (id, number) WHERE x.id = e.id AND x.number = d.number) \
     ORDER BY d.due_at, d.event_seq, d.number LIMIT $5 FOR UPDATE OF d";

#[async_trait]
impl Change for Move {
    type Answer = Moved;

    async fn run(&self, tx: &Tx<'_>) -> Result<Moved, Fault> {
        let from = tx.pools.name(&self.from).await?;
        let to = tx.pools.name(&self.to).await?;
        let mut moved = Moved {
            receipts_after: self.receipts_after,
            ..Moved::default()
        };
        let ids: Vec<&[u8]> = self
            .except
            .iter()
            .map(|id| id.event.as_bytes().as_slice())
            .collect();
        let numbers: Vec<i32> = self.except.iter().map(|id| id.number.into()).collect();
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let params: [&(dyn ToSql + Sync); 5] = [&from, &to, &ids, &numbers, &limit];
        tx.execute(IN_ORDER, &[]).await?;
        let waiting = tx.rows(WAITING, &params).await?;
        moved.more = waiting.len() == self.limit;
        for row in &waiting {
            let (seq, number): (i64, i32) = (get(row, 0)?, get(row, 1)?);
            let newer = get::<Option<i32>>(row, 3)?.map(rows::narrow).transpose()?;
            if let Some(reason) = self.objection(get(row, 2)?, newer) {
                end(tx, (seq, number), &reason).await?;
                moved.discarded += 1;
            } else {
                let params: [&(dyn ToSql + Sync); 4] = [&seq, &number, &from, &to];
                tx.execute("SELECT move_1($1, $2, $3, $4)", &params).await?;
                moved.deliveries += 1;
            }
        }
        receipts(tx, (from, to), &mut moved).await?;
        Ok(moved)
    }
}

/// What the old destination gave back is found under the new name, unless that has something of its own.
async fn receipts(tx: &Tx<'_>, (from, to): (i32, i32), moved: &mut Moved) -> Result<(), Fault> {
    let last = tx
        .rows("SELECT coalesce(max(id), 0) FROM subject", &[])
        .await?;
    let last: i64 = last.first().map_or(Ok(0), |row| get(row, 0))?;
    if moved.receipts_after >= last {
        return Ok(());
    }
    let until = moved.receipts_after + SUBJECTS;
    tx.execute(
        "UPDATE receipt AS r SET destination = $2
         WHERE r.subject > $3 AND r.subject <= $4 AND r.destination = $1
             AND NOT EXISTS (SELECT 1 FROM receipt AS o WHERE o.subject = r.subject AND o.destination = $2)",
        &[&from, &to, &moved.receipts_after, &until],
    )
    .await?;
    moved.receipts_after = until;
    moved.more |= until < last;
    Ok(())
}
