//! Transactions of several statements, on a connection of their own beside the writer's: what operators and upkeep do.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Shared;
use super::fault::Fault;
use super::migrate::Identity;
use super::pool::Pools;
use super::rows;
use super::writer::{FLUSH, TRIES};
use crate::store::StoreError;

/// Something that is done in one transaction. It may be run twice: what a rolled back run did is gone.
#[async_trait]
pub(super) trait Change: Send + Sync {
    type Answer: Send;

    async fn run(&self, tx: &Tx<'_>) -> Result<Self::Answer, Fault>;
}

/// One write transaction.
pub(super) struct Tx<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    pub(super) identity: &'a Identity,
    pub(super) pools: &'a Pools,
}

impl Tx<'_> {
    pub(super) async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.inner.prepare_cached(sql).await?;
        Ok(self.inner.query(&statement, params).await?)
    }

    /// How many rows it changed.
    pub(super) async fn execute(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Fault> {
        let statement = self.inner.prepare_cached(sql).await?;
        Ok(self.inner.execute(&statement, params).await?)
    }
}

impl Shared {
    /// Does it, and commits.
    pub(super) async fn change<C: Change>(&self, change: &C) -> Result<C::Answer, StoreError> {
        let mut tries = 1;
        loop {
            match self.try_change(change).await {
                Err(fault) if fault.is_passing() && tries < TRIES => tries += 1,
                outcome => return Ok(outcome?),
            }
        }
    }

    async fn try_change<C: Change>(&self, change: &C) -> Result<C::Answer, Fault> {
        let mut client = self.pools.writers.get().await?;
        let tx = Tx {
            inner: client.transaction().await?,
            identity: &self.identity,
            pools: &self.pools,
        };
        let answer = change.run(&tx).await?;
        let waiting = tx.rows(FLUSH, &[&self.identity.slot]).await?;
        tx.inner.commit().await?;
        if let Some(row) = waiting.first() {
            let waiting = u64::try_from(rows::get::<i64>(row, 0)?).unwrap_or(0);
            self.waiting.store(waiting, Ordering::Relaxed);
        }
        Ok(answer)
    }
}
