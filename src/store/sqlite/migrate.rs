//! Numbered migrations, each in one transaction, run when the store is opened.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use super::fault::Fault;
use super::file::{APPLICATION_ID, damaged};
use crate::store::{Keyring, StoreError, StoreKey};

/// Migration n stands at position n - 1. One that was released never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
];

/// What an opened store tells about itself.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) key: StoreKey,
    /// How often this store has been opened: the fence of this process.
    pub(super) generation: u64,
    /// What its payloads are sealed by.
    pub(super) seals: Arc<Keyring>,
}

/// Refuses a schema that is newer than this relay.
pub(super) fn check_version(conn: &Connection) -> Result<usize, StoreError> {
    let version: i64 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(Fault::from)?;
    let version = u32::try_from(version).map_err(|_| damaged("the schema's number is negative"))?;
    let known = u32::try_from(MIGRATIONS.len()).expect("there are few migrations");
    if version > known {
        return Err(StoreError::Newer {
            found: version,
            known,
        });
    }
    Ok(version as usize)
}

/// Whether the schema is the newest that this relay knows.
pub(super) fn is_current(conn: &Connection) -> Result<bool, StoreError> {
    Ok(check_version(conn)? == MIGRATIONS.len())
}

/// Runs what the store lacks. `key` becomes the key of a store that has none.
pub(super) fn migrate(conn: &mut Connection, key: [u8; 32]) -> Result<(), StoreError> {
    let version = check_version(conn)?;
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        step(conn, index + 1, sql, key).map_err(|fault| match fault {
            Fault::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
                damaged("its schema is not what its number says")
            }
            fault => fault.into(),
        })?;
    }
    Ok(())
}

/// Reads the key and takes the next generation.
pub(super) fn identify(conn: &mut Connection, seals: Keyring) -> Result<Identity, Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute(
        "UPDATE meta SET value = value + 1 WHERE key = 'generation'",
        [],
    )?;
    let read = |key: &str| {
        tx.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
            row.get(0)
        })
    };
    let generation: i64 = read("generation")?;
    let key: [u8; 32] = tx.query_row(
        "SELECT value FROM meta WHERE key = 'store_key'",
        [],
        |row| row.get(0),
    )?;
    tx.commit()?;
    Ok(Identity {
        key: StoreKey::new(key),
        seals: Arc::new(seals),
        generation: u64::try_from(generation)
            .map_err(|_| Fault::Damaged("the store's generation is negative"))?,
    })
}

fn step(conn: &mut Connection, number: usize, sql: &str, key: [u8; 32]) -> Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(sql)?;
    if number == 1 {
        let set = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
        tx.execute(set, params!["store_key", key.as_slice()])?;
        tx.execute(set, params!["generation", 0])?;
        tx.execute(set, params!["probe", 0])?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    tx.pragma_update(
        None,
        "user_version",
        i64::try_from(number).expect("there are few migrations"),
    )?;
    tx.commit()?;
    Ok(())
}
