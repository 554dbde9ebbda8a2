//! What can go wrong inside a transaction, and which part of it is the machine's fault. Messages name
//! tables and columns, never what is in them.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Why a transaction was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A row is not what this version writes.
    #[error("{0}")]
    Damaged(&'static str),
    /// One payload is lost.
    #[error("{0}")]
    Payload(String),
    /// What was asked for does not fit this store.
    #[error("{0}")]
    Unfit(&'static str),
}

impl Fault {
    /// True where the machine, the disk or another process is at fault: then every command of a batch
    /// would meet it again, and the connection is not to be trusted any more.
    pub(super) fn is_environment(&self) -> bool {
        let Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else {
            return false;
        };
        !matches!(
            error.code,
            ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::ApiMisuse
                | ErrorCode::Unknown
        )
    }
}

impl From<&Fault> for StoreError {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Damaged(what) => Self::Corrupt(format!("{what}; {REPAIR}")),
            Fault::Payload(what) => Self::Payload(what.clone()),
            Fault::Unfit(what) => Self::Unavailable((*what).to_owned()),
            Fault::Sqlite(error) => from_sqlite(error),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::from(&fault)
    }
}

/// What to do with a store that is damaged.
pub(super) const REPAIR: &str = "stop the relay and restore a backup made by `relay backup`, or move \
     the file away to start with an empty store";

fn from_sqlite(error: &rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::SqliteFailure(code, _)
            if matches!(
                code.code,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
            ) =>
        {
            StoreError::Corrupt(format!("{error}; {REPAIR}"))
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => {
            StoreError::Corrupt(format!("a row is not what this relay writes; {REPAIR}"))
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}
