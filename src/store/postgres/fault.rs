//! What can go wrong with the database, and whose fault it is. Messages name tables and constraints, never what is in
//! them, and no password.

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, SqlState};

use crate::store::StoreError;
use crate::store::codes::Damaged;

/// Why a transaction was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// A row is not what this version writes.
    #[error("{0}")]
    Damaged(&'static str),
    /// One payload is lost.
    #[error("{0}")]
    Payload(String),
    /// What was asked for does not fit this store.
    #[error("{0}")]
    Unfit(&'static str),
    /// No connection in time.
    #[error("the database does not answer in time")]
    Slow,
    #[error("the store is closed")]
    Closed,
}

impl Fault {
    /// Another transaction was in the way: the same again will do.
    pub(super) fn is_passing(&self) -> bool {
        let passing = [
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
        ];
        self.code().is_some_and(|code| passing.contains(code))
    }

    /// True where what was asked for is at fault, and not the database: then the other commands of a batch can be done.
    pub(super) fn is_of_one(&self) -> bool {
        match self {
            Self::Postgres(error) => error.code().is_some_and(|code| {
                let class = code.code().get(..2).unwrap_or_default();
                // Data, constraints, syntax, what a function raises, transactions that were in the way.
                ["22", "23", "25", "40", "42", "P0"].contains(&class)
                    && *code != SqlState::READ_ONLY_SQL_TRANSACTION
            }),
            Self::Damaged(_) | Self::Payload(_) | Self::Unfit(_) => true,
            Self::Slow | Self::Closed => false,
        }
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }
}

impl From<Damaged> for Fault {
    fn from(Damaged(what): Damaged) -> Self {
        Self::Damaged(what)
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Postgres(error),
            PoolError::PostCreateHook(deadpool_postgres::HookError::Backend(error)) => {
                Self::Postgres(error)
            }
            PoolError::Closed => Self::Closed,
            _ => Self::Slow,
        }
    }
}

impl From<&Fault> for StoreError {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Damaged(what) => Self::Corrupt(format!("{what}; restore the database's backup")),
            Fault::Payload(what) => Self::Payload(what.clone()),
            Fault::Unfit(what) => Self::Unavailable((*what).to_owned()),
            Fault::Postgres(error) => from_postgres(error),
            Fault::Slow => Self::Unavailable(fault.to_string()),
            Fault::Closed => Self::Closed,
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::from(&fault)
    }
}

/// In the words of whoever has to mend it.
fn from_postgres(error: &tokio_postgres::Error) -> StoreError {
    let words = match error.as_db_error() {
        Some(told) => by_code(told),
        None if error.is_closed() => "the connection to the database was cut".to_owned(),
        None => {
            let cause = std::error::Error::source(error);
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        }
    };
    StoreError::Unavailable(words)
}

fn by_code(told: &DbError) -> String {
    let code = told.code();
    let words = match *code {
        SqlState::DISK_FULL => "the database's disk is full",
        SqlState::TOO_MANY_CONNECTIONS => "the database has no connection left",
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            "the database is going down or coming up"
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => "the database is read-only",
        SqlState::QUERY_CANCELED => "the database took longer than its statement_timeout",
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "the database refuses the user of store.url"
        }
        _ => told.message(),
    };
    format!("{words} (PostgreSQL's code {})", code.code())
}
