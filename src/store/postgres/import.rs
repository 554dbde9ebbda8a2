//! A store that is moved into a schema: marked before the first row and until all of it was compared, so that no relay
//! takes it for whole, and so that what was begun can go on.

use std::pin::pin;

use bytes::Bytes;
use deadpool_postgres::{ClientWrapper, Object};
use futures_util::StreamExt as _;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row as Found, Transaction};

use super::fault::Fault;
use super::migrate;
use super::pool::Pools;
use super::rows::{get, narrow};
use super::url::PostgresUrl;
use crate::store::StoreError;
use crate::store::transfer::{Cell, Floors, Kind, Origin, Row, Sum, TABLES, Table};

/// No relay knows as many schemas: also one that does not know the mark refuses what is half there.
const NOBODY: i64 = 1 << 31;

/// A batch or a look at a table takes as long as it takes. Who comes second waits a little, as for one that was killed.
const PATIENT: &str = "SET statement_timeout TO 0; SET idle_in_transaction_session_timeout TO 0; \
     SET lock_timeout TO '15s'";

/// A schema, and the one connection that fills it.
pub struct Target {
    url: PostgresUrl,
    client: ClientWrapper,
}

/// The mark of a schema that is half there: of which opening of the source it is, and none where nothing of it counts.
pub(super) struct Mark {
    generation: Option<i64>,
}

/// Reads the mark.
pub(super) async fn mark(tx: &Transaction<'_>) -> Result<Option<Mark>, Fault> {
    let sql = "SELECT bytes FROM meta WHERE key = 'moving'";
    let Some(row) = tx.query_opt(sql, &[]).await? else {
        return Ok(None);
    };
    let generation: Option<&[u8]> = get(&row, 0)?;
    let generation = generation.and_then(|bytes| bytes.try_into().ok());
    let generation = generation.map(i64::from_be_bytes);
    Ok(Some(Mark { generation }))
}

impl Target {
    /// Connects, and takes the schema against others that would move something there.
    pub async fn open(url: &PostgresUrl) -> Result<Self, StoreError> {
        let opened = Self::try_open(url).await;
        opened.map_err(|error| super::named(url, error))
    }

    async fn try_open(url: &PostgresUrl) -> Result<Self, StoreError> {
        let pools = Pools::new(url)?;
        let client = Object::take(pools.writers.get().await.map_err(Fault::from)?);
        client.batch_execute(PATIENT).await.map_err(Fault::from)?;
        let lock = "SELECT pg_advisory_lock($1, hashtext($2 || '/moving'))";
        let locked = client.query(lock, &[&migrate::LOCK, &url.schema]).await;
        locked.map_err(|error| {
            if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
                return StoreError::Unavailable("another move into it is under way".to_owned());
            }
            Fault::from(error).into()
        })?;
        Ok(Self {
            url: url.clone(),
            client,
        })
    }

    fn named(&self, fault: impl Into<StoreError>) -> StoreError {
        super::named(&self.url, fault.into())
    }

    /// Makes the tables, or finds what an earlier try left of the same store.
    pub(in crate::store) async fn begin(&mut self, origin: &Origin) -> Result<(), StoreError> {
        let begun = self.try_begin(origin).await;
        begun.map_err(|error| self.named(error))
    }

    async fn try_begin(&mut self, origin: &Origin) -> Result<(), StoreError> {
        let schema = self.url.schema.clone();
        let tx = self.client.transaction().await.map_err(Fault::from)?;
        migrate::take(&tx, &schema).await?;
        if migrate::is_there(&tx).await? {
            let mark = mark(&tx).await?;
            same_store(&tx, origin, mark.is_some()).await?;
            if !migrate::is_current(&tx).await? {
                return Err(StoreError::Unavailable(
                    "another version of the relay began to move this store; drop the schema, and begin anew"
                        .to_owned(),
                ));
            }
            if mark.is_none_or(|mark| mark.generation != Some(origin.generation)) {
                empty(&tx, Some(origin.generation)).await?;
            }
        } else {
            migrate::bring_up(&tx, *origin.key.as_bytes()).await?;
            begin_mark(&tx).await.map_err(StoreError::from)?;
            empty(&tx, Some(origin.generation)).await?;
        }
        Ok(tx.commit().await.map_err(Fault::from)?)
    }

    /// What was written so far counts for nothing.
    pub(in crate::store) async fn begin_anew(&self) -> Result<(), StoreError> {
        let sql = "UPDATE meta SET bytes = NULL WHERE key = 'moving'";
        let done = self.client.execute(sql, &[]).await.map_err(Fault::from);
        done.map(drop).map_err(|fault| self.named(fault))
    }

    /// The key of the last row of a table, and how many there are.
    pub(in crate::store) async fn reached(
        &self,
        table: &Table,
    ) -> Result<(Option<Row>, u64), StoreError> {
        let found = self.try_reached(table).await;
        found.map_err(|fault| self.named(fault))
    }

    async fn try_reached(&self, table: &Table) -> Result<(Option<Row>, u64), Fault> {
        let (name, keys) = (table.name, table.keys());
        let last_first: Vec<String> = keys.iter().map(|(key, _)| format!("{key} DESC")).collect();
        let (keys, order) = (Table::names(keys), last_first.join(", "));
        let sql = format!("SELECT {keys} FROM {name} ORDER BY {order} LIMIT 1");
        let Some(last) = self.client.query_opt(&sql, &[]).await? else {
            return Ok((None, 0));
        };
        let sql = format!("SELECT count(*) FROM {name}");
        let count = self.client.query_one(&sql, &[]).await?;
        let last = cells(&last, table.keys())?;
        Ok((Some(last), narrow(get::<i64>(&count, 0)?)?))
    }

    /// Adds rows, all or none.
    pub(in crate::store) async fn put(
        &self,
        table: &Table,
        rows: &[Row],
    ) -> Result<(), StoreError> {
        let put = self.try_put(table, rows).await;
        put.map_err(|fault| self.named(fault))
    }

    async fn try_put(&self, table: &Table, rows: &[Row]) -> Result<(), Fault> {
        let (name, columns) = (table.name, Table::names(table.columns));
        let sql = format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)");
        let types: Vec<Type> = table.columns.iter().map(|(_, kind)| sort(*kind)).collect();
        let sink = self.client.copy_in::<_, Bytes>(&sql).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for row in rows {
            let values = row.iter().zip(table.columns);
            let values = values.map(|(cell, (_, kind))| value(cell, *kind));
            let values = values.collect::<Result<Vec<_>, Fault>>()?;
            writer.as_mut().write_raw(values).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    /// What a table's rows come to; tells how many were read, now and then.
    pub(in crate::store) async fn sum(
        &self,
        table: &Table,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Sum, StoreError> {
        let sum = self.try_sum(table, tell).await;
        sum.map_err(|fault| self.named(fault))
    }

    async fn try_sum(
        &self,
        table: &Table,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Sum, Fault> {
        let (columns, keys) = (Table::names(table.columns), Table::names(table.keys()));
        let sql = format!("SELECT {columns} FROM {} ORDER BY {keys}", table.name);
        let statement = self.client.prepare(&sql).await?;
        let none = std::iter::empty::<i32>();
        let mut found = pin!(self.client.query_raw(&statement, none).await?);
        let mut sum = Sum::default();
        while let Some(row) = found.next().await {
            sum.add(&cells(&row?, table.columns)?);
            if sum.rows.is_multiple_of(1_000) {
                tell(sum.rows);
            }
        }
        Ok(sum)
    }

    /// From here on it is a store.
    pub(in crate::store) async fn finish(&mut self, floors: Floors) -> Result<(), StoreError> {
        let finished = self.try_finish(floors).await;
        finished.map_err(|fault| self.named(fault))
    }

    async fn try_finish(&mut self, floors: Floors) -> Result<(), Fault> {
        let tx = self.client.transaction().await?;
        for (table, column, floor) in [
            ("name", "id", 0),
            ("kept", "id", 0),
            ("subject", "id", floors.subject),
            ("event", "seq", floors.event),
            ("job", "id", 0),
        ] {
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), last)
                 FROM (SELECT greatest(max({column})::bigint, $1::bigint) AS last FROM {table}) AS given WHERE last > 0"
            );
            tx.query(&sql, &[&floor]).await?;
        }
        tx.batch_execute(
            "UPDATE meta SET number = (SELECT number FROM meta WHERE key = 'moving') WHERE key = 'schema_for';
             DELETE FROM meta WHERE key = 'moving'",
        )
        .await?;
        tx.batch_execute(&format!("ANALYZE {}", all())).await?;
        Ok(tx.commit().await?)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

/// Refuses a schema in which there is anything but a part of this very store.
async fn same_store(tx: &Transaction<'_>, origin: &Origin, half: bool) -> Result<(), StoreError> {
    let sql = "SELECT bytes FROM meta WHERE key = 'store_key'";
    let found = tx.query_opt(sql, &[]).await.map_err(Fault::from)?;
    let key: Option<&[u8]> = found.as_ref().map(|row| get(row, 0)).transpose()?.flatten();
    let own = key == Some(origin.key.as_bytes());
    let words = match (own, half) {
        (true, true) => return Ok(()),
        (true, false) => {
            "this store is there already, whole: nothing is left to move; let store.url name it"
        }
        (false, true) => {
            "another store is being moved into it; name another ?schema=, or drop that one"
        }
        (false, false) => {
            "there is another store in it; name another ?schema=, or drop that one if nobody needs it"
        }
    };
    Err(StoreError::Unavailable(words.to_owned()))
}

/// Which schema a relay must know is kept in the mark meanwhile.
async fn begin_mark(tx: &Transaction<'_>) -> Result<(), Fault> {
    tx.batch_execute(
        "INSERT INTO meta (key, number, bytes) SELECT 'moving', number, NULL FROM meta WHERE key = 'schema_for'",
    )
    .await?;
    let sql = "UPDATE meta SET number = $1 WHERE key = 'schema_for'";
    tx.execute(sql, &[&NOBODY]).await?;
    Ok(())
}

/// Takes all rows away, and notes whose come.
async fn empty(tx: &Transaction<'_>, generation: Option<i64>) -> Result<(), StoreError> {
    let sql = format!("TRUNCATE {}", all());
    tx.batch_execute(&sql).await.map_err(Fault::from)?;
    let bytes = generation.map(|generation| generation.to_be_bytes().to_vec());
    let sql = "UPDATE meta SET bytes = $1 WHERE key = 'moving'";
    tx.execute(sql, &[&bytes]).await.map_err(Fault::from)?;
    Ok(())
}

fn all() -> String {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    names.join(", ")
}

/// What a kind of column is here.
const fn sort(kind: Kind) -> Type {
    match kind {
        Kind::Big => Type::INT8,
        Kind::Int => Type::INT4,
        Kind::Small => Type::INT2,
        Kind::Flag => Type::BOOL,
        Kind::Bytes => Type::BYTEA,
        Kind::Text => Type::TEXT,
    }
}

type Bound<'a> = Box<dyn ToSql + Sync + Send + 'a>;

fn value(cell: &Cell, kind: Kind) -> Result<Bound<'_>, Fault> {
    Ok(match (cell, kind) {
        (Cell::Null, Kind::Big) => Box::new(None::<i64>),
        (Cell::Null, Kind::Int) => Box::new(None::<i32>),
        (Cell::Null, Kind::Small) => Box::new(None::<i16>),
        (Cell::Null, Kind::Flag) => Box::new(None::<bool>),
        (Cell::Null, Kind::Bytes) => Box::new(None::<&[u8]>),
        (Cell::Null, Kind::Text) => Box::new(None::<&str>),
        (Cell::Number(number), Kind::Big) => Box::new(*number),
        (Cell::Number(number), Kind::Int) => Box::new(fit::<i32>(*number)?),
        (Cell::Number(number), Kind::Small) => Box::new(fit::<i16>(*number)?),
        (Cell::Number(number), Kind::Flag) => Box::new(*number != 0),
        (Cell::Bytes(bytes), Kind::Bytes) => Box::new(bytes.as_slice()),
        (Cell::Text(text), Kind::Text) => Box::new(text.as_str()),
        _ => return Err(Fault::Unfit("a column of the source is of another type")),
    })
}

fn fit<T: TryFrom<i64>>(number: i64) -> Result<T, Fault> {
    T::try_from(number)
        .map_err(|_| Fault::Unfit("a number of the source is too large for this store"))
}

fn cells(row: &Found, columns: &[(&str, Kind)]) -> Result<Row, Fault> {
    let columns = columns.iter().enumerate();
    columns
        .map(|(at, (_, kind))| cell(row, at, *kind))
        .collect()
}

fn cell(row: &Found, at: usize, kind: Kind) -> Result<Cell, Fault> {
    let number = match kind {
        Kind::Big => get::<Option<i64>>(row, at)?,
        Kind::Int => get::<Option<i32>>(row, at)?.map(i64::from),
        Kind::Small => get::<Option<i16>>(row, at)?.map(i64::from),
        Kind::Flag => get::<Option<bool>>(row, at)?.map(i64::from),
        Kind::Bytes => {
            let bytes: Option<Vec<u8>> = get(row, at)?;
            return Ok(bytes.map_or(Cell::Null, Cell::Bytes));
        }
        Kind::Text => {
            let text: Option<String> = get(row, at)?;
            return Ok(text.map_or(Cell::Null, Cell::Text));
        }
    };
    Ok(number.map_or(Cell::Null, Cell::Number))
}
