//! What can go wrong inside a transaction, and which part of it is the machine's fault. Messages name
//! tables and columns, never what is in them.

use rusqlite::{ErrorCode, ffi};

use crate::store::StoreError;
use crate::store::codes::Damaged;

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

    /// True where the disk itself failed: of what was written and not yet synced, nothing is certain.
    pub(super) fn is_of_the_disk(&self) -> bool {
        self.code() == Some(ErrorCode::SystemIoFailure)
    }

    /// True where the file is damaged, and not just a row of it.
    pub(super) fn is_damage(&self) -> bool {
        let damage = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
        self.code().is_some_and(|code| damage.contains(&code))
    }

    /// True where the file was never a database, or its first bytes are not what they were.
    pub(super) fn is_no_database(&self) -> bool {
        self.code() == Some(ErrorCode::NotADatabase)
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            _ => None,
        }
    }
}

impl From<Damaged> for Fault {
    fn from(Damaged(what): Damaged) -> Self {
        Self::Damaged(what)
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
     the file away, with those beside it, to start with an empty store";

/// The file beside the log, which readers and writer share, could not be made or grow.
const NO_ROOM: [i32; 2] = [ffi::SQLITE_IOERR_SHMOPEN, ffi::SQLITE_IOERR_SHMSIZE];

fn from_sqlite(error: &rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::SqliteFailure(code, _) => from_code(*code, error),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => {
            StoreError::Corrupt(format!("a row is not what this relay writes; {REPAIR}"))
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// In the words of whoever has to mend it: they are shown to everybody who asks whether the relay is ready.
fn from_code(code: ffi::Error, error: &rusqlite::Error) -> StoreError {
    let words = match code.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            // Also what a disk could not read is damage to SQLite.
            return StoreError::Corrupt(format!(
                "its file is damaged, or the disk cannot read it; {REPAIR}"
            ));
        }
        ErrorCode::DiskFull => "the disk is full",
        _ if NO_ROOM.contains(&code.extended_code) => "the disk is full or cannot be written",
        ErrorCode::SystemIoFailure => "the disk reports an input/output error",
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => "its file or folder is read-only",
        ErrorCode::CannotOpen => "its file cannot be opened",
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => "another process has locked it",
        _ => return StoreError::Unavailable(error.to_string()),
    };
    StoreError::Unavailable(format!("{words} (SQLite's code {})", code.extended_code))
}
