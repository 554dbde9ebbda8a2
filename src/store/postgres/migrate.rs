//! Numbered migrations, run in one transaction when a store is opened, by one relay at a time.

use std::sync::Arc;

use tokio_postgres::Transaction;

use super::fault::Fault;
use super::{import, rows, sealed};
use crate::store::{Keyring, StoreError, StoreKey};

/// Migration n stands at position n - 1. One that was released never changes.
const MIGRATIONS: &[&str] = &[concat!(
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0001-functions.sql")
)];

/// Stands for the relay among advisory locks; the schema's name is the other half.
pub(super) const LOCK: i32 = 0x6d6f_6a69;

/// Relays that share a slot of the counts only wait for each other now and then.
const SLOTS: u64 = 16;

/// What an opened store tells about itself.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) key: StoreKey,
    /// The number that this relay was started under: it owns lanes by it.
    pub(super) owner: i64,
    /// The slot that it counts in.
    pub(super) slot: i32,
    /// What its payloads are sealed by.
    pub(super) seals: Arc<Keyring>,
}

/// Brings the schema up to date, notes by which key is sealed, and takes a number for this relay. `key` becomes the
/// key of a store that has none.
pub(super) async fn open(
    tx: &Transaction<'_>,
    schema: &str,
    key: [u8; 32],
    seals: Keyring,
) -> Result<Identity, StoreError> {
    take(tx, schema).await?;
    whole(tx, schema).await?;
    bring_up(tx, key).await?;
    sealed::adopt(tx, &seals).await?;
    Ok(identify(tx, seals).await?)
}

/// Makes the schema where it is missing, and lets nobody else change it before the transaction ends.
pub(super) async fn take(tx: &Transaction<'_>, schema: &str) -> Result<(), StoreError> {
    fit(tx).await?;
    let lock = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
    tx.query(lock, &[&LOCK, &schema])
        .await
        .map_err(Fault::from)?;
    Ok(make_schema(tx, schema).await?)
}

/// Runs what the store lacks; answers how many migrations it had.
pub(super) async fn bring_up(tx: &Transaction<'_>, key: [u8; 32]) -> Result<usize, StoreError> {
    let had = version_of(tx).await?;
    for (number, sql) in (1..).zip(MIGRATIONS).skip(had) {
        step(tx, number, sql, key).await?;
    }
    Ok(had)
}

/// Whether there is a store, or a part of one.
pub(super) async fn is_there(tx: &Transaction<'_>) -> Result<bool, Fault> {
    rows::get(&one(tx, "SELECT to_regclass('meta') IS NOT NULL").await?, 0)
}

/// Whether the schema is the newest that this relay knows.
pub(super) async fn is_current(tx: &Transaction<'_>) -> Result<bool, Fault> {
    let sql = "SELECT (SELECT number FROM meta WHERE key = 'schema')";
    let schema: Option<i64> = rows::get(&one(tx, sql).await?, 0)?;
    Ok(schema.and_then(|number| usize::try_from(number).ok()) == Some(MIGRATIONS.len()))
}

/// Refuses a schema that a store was not wholly moved into.
async fn whole(tx: &Transaction<'_>, schema: &str) -> Result<(), StoreError> {
    if is_there(tx).await? && import::mark(tx).await?.is_some() {
        return Err(StoreError::HalfMoved(format!("the schema {schema}")));
    }
    Ok(())
}

/// The oldest `PostgreSQL` that has all that the functions use.
const OLDEST: i32 = 14;

/// Refuses a database that cannot hold a store; answers its version.
async fn fit(tx: &Transaction<'_>) -> Result<String, StoreError> {
    let found = one(
        tx,
        "SELECT current_setting('server_encoding'), current_setting('server_version_num')::integer / 10000,
                current_setting('server_version')",
    )
    .await?;
    let (encoding, major): (&str, i32) = (rows::get(&found, 0)?, rows::get(&found, 1)?);
    if encoding != "UTF8" {
        return Err(StoreError::Corrupt(format!(
            "its database is in {encoding}; make another with ENCODING 'UTF8'"
        )));
    }
    if major < OLDEST {
        return Err(StoreError::Corrupt(format!(
            "it is PostgreSQL {major}; {OLDEST} or newer is needed"
        )));
    }
    Ok(rows::get(&found, 2)?)
}

/// Looks at a database without changing it; answers how it is.
pub(super) async fn look(tx: &Transaction<'_>, schema: &str) -> Result<String, StoreError> {
    let version = fit(tx).await?;
    let found = tx
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1),
                    has_database_privilege(current_database(), 'CREATE')",
            &[&schema],
        )
        .await
        .map_err(Fault::from)?;
    let words = match (rows::get(&found, 0)?, rows::get(&found, 1)?) {
        (true, _) => {
            whole(tx, schema).await?;
            version_of(tx).await?;
            "is there"
        }
        (false, true) => "can be made",
        (false, false) => {
            return Err(StoreError::Unavailable(format!(
                "its user may not make the schema {schema}; make it, owned by that user"
            )));
        }
    };
    Ok(format!("PostgreSQL {version}; the schema {schema} {words}"))
}

/// A role that may not make schemas can be given one.
async fn make_schema(tx: &Transaction<'_>, schema: &str) -> Result<(), Fault> {
    let there = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
    if tx.query_opt(there, &[&schema]).await?.is_none() {
        tx.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
    }
    Ok(())
}

/// How many migrations were run. Refuses a schema that this relay must not touch: what is newer is fine as long as it
/// still has all that the schemas known here promise.
async fn version_of(tx: &Transaction<'_>) -> Result<usize, StoreError> {
    if !is_there(tx).await? {
        return Ok(0);
    }
    let found = one(
        tx,
        "SELECT max(number) FILTER (WHERE key = 'schema'), max(number) FILTER (WHERE key = 'schema_for') FROM meta",
    )
    .await?;
    let found = [0, 1].map(|at| {
        let number: Option<i64> = rows::get(&found, at)?;
        let number = number.ok_or(Fault::Damaged("the schema has no number"))?;
        rows::narrow::<u32>(number)
    });
    let [schema, needed] = found;
    let (schema, needed) = (schema?, needed?);
    let known = u32::try_from(MIGRATIONS.len()).expect("there are few migrations");
    if needed > known {
        return Err(StoreError::Newer {
            found: schema,
            known,
        });
    }
    Ok(schema as usize)
}

async fn step(tx: &Transaction<'_>, number: i64, sql: &str, key: [u8; 32]) -> Result<(), Fault> {
    tx.batch_execute(sql).await?;
    if number == 1 {
        tx.execute(
            "INSERT INTO meta (key, number, bytes) VALUES ('store_key', NULL, $1), ('probe', 0, NULL), ('clear', 0, NULL), \
                 ('schema', 0, NULL), ('schema_for', 1, NULL)",
            &[&key.as_slice()],
        )
        .await?;
    }
    let set = "UPDATE meta SET number = $1 WHERE key = 'schema'";
    tx.execute(set, &[&number]).await?;
    Ok(())
}

async fn identify(tx: &Transaction<'_>, seals: Keyring) -> Result<Identity, Fault> {
    let found = one(
        tx,
        "SELECT nextval('fence'), (SELECT bytes FROM meta WHERE key = 'store_key')",
    )
    .await?;
    let owner: i64 = rows::get(&found, 0)?;
    let key: Option<&[u8]> = rows::get(&found, 1)?;
    let key = key.and_then(|key| key.try_into().ok());
    let key = key.ok_or(Fault::Damaged("the store's key is not there"))?;
    let slot = rows::narrow::<u64>(owner)? % SLOTS;
    Ok(Identity {
        key: StoreKey::new(key),
        owner,
        slot: i32::try_from(slot).expect("it is small"),
        seals: Arc::new(seals),
    })
}

async fn one(tx: &Transaction<'_>, sql: &str) -> Result<tokio_postgres::Row, Fault> {
    Ok(tx.query_one(sql, &[]).await?)
}
