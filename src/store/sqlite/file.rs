//! The store's files: made when missing, locked for one relay, opened with the settings that the
//! promises rest on. Knows no tables.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::{Fault, REPAIR};
use crate::store::StoreError;

/// Marks a file as this relay's (`PRAGMA application_id`): "mjry".
pub(super) const APPLICATION_ID: i32 = 0x6d6a_7279;

/// How long a connection waits for a lock that somebody else holds, such as a backup tool.
const BUSY: Duration = Duration::from_secs(5);

/// The lock of a store. It goes with these handles.
pub(super) struct Lock {
    /// Beside the file, where it outlives one that is moved away.
    file: File,
    /// The file itself, which may have further names. `SQLite`'s own locks are of another kind, and would go with this
    /// handle: it is kept for as long as the file is open.
    _itself: File,
    /// The file by its own name: beside a link to it there would be another lock.
    pub(super) path: PathBuf,
    /// There was a store in the file once, and the file is still there.
    pub(super) used: bool,
}

/// Makes the directory and takes the lock beside the file.
pub(super) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let cannot = |what: &str, error: std::io::Error| {
        StoreError::Unavailable(format!("cannot {what} {}: {error}", path.display()))
    };
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        std::fs::create_dir_all(parent).map_err(|e| cannot("make the directory of", e))?;
    }
    let existed = path.exists();
    refuse_orphaned_log(path)?;
    let itself = private(path).map_err(|e| cannot("open", e))?;
    let own = path.canonicalize().map_err(|e| cannot("find", e))?;
    let file = private(&beside(&own, ".lock")).map_err(|e| cannot("make the lock of", e))?;
    for one in [&file, &itself] {
        one.try_lock().map_err(|failed| match failed {
            TryLockError::WouldBlock => StoreError::InUse(path.display().to_string()),
            TryLockError::Error(error) => cannot("lock", error),
        })?;
    }
    let remembers = file.metadata().is_ok_and(|lock| lock.len() > 0);
    if remembers && !existed {
        let path = path.display();
        tracing::warn!(%path, "there was a store here before, and its file is gone: this one begins empty");
    }
    Ok(Lock {
        file,
        _itself: itself,
        path: own,
        used: existed && remembers,
    })
}

/// Refuses to begin a store beside the log of another, which would take away what is only in that. Nothing is touched.
fn refuse_orphaned_log(path: &Path) -> Result<(), StoreError> {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    let own = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let log = beside(&own, "-wal");
    if length(path) > 0 || length(&log) == 0 {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{} is gone or empty, and {} beside it holds what was acknowledged last; put the file that belongs to it back, or move \
         both away to start with an empty store",
        path.display(),
        log.display()
    )))
}

impl Lock {
    /// Notes that there is a store now.
    pub(super) fn use_it(&self) -> std::io::Result<()> {
        if self.file.metadata()?.len() == 0 {
            (&self.file).write_all(b"there is a store beside this\n")?;
        }
        Ok(())
    }
}

/// What to say of a file that lost everything, which is not a new one.
pub(super) fn emptied(path: &Path) -> StoreError {
    StoreError::Corrupt(format!(
        "{} is empty, and it was not before; {REPAIR}",
        path.display()
    ))
}

/// Refuses a file that is not ours, before anything is written to it. True where it is empty.
pub(super) fn inspect(path: &Path) -> Result<bool, StoreError> {
    let look = || -> Result<(i32, i64), Fault> {
        let conn = connect(path)?;
        let id = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let objects = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((id, objects))
    };
    match look() {
        Ok((APPLICATION_ID, _)) => Ok(false),
        Ok((0, 0)) => Ok(true),
        Ok(_) => Err(StoreError::Corrupt(format!(
            "{} is the database of another application; let store.url name another file",
            path.display()
        ))),
        Err(fault) if fault.is_no_database() => Err(StoreError::Corrupt(format!(
            "{} is not an SQLite database; restore a backup made by `relay backup`, let store.url name \
             another file, or move this one away",
            path.display()
        ))),
        Err(fault) => Err(fault.into()),
    }
}

/// Names the file in what went wrong with it.
pub(super) fn named(path: &Path, error: StoreError) -> StoreError {
    let name = path.display().to_string();
    match error {
        StoreError::Corrupt(what) if !what.contains(&name) => {
            StoreError::Corrupt(format!("{name}: {what}"))
        }
        StoreError::Unavailable(what) if !what.contains(&name) => {
            StoreError::Unavailable(format!("{name}: {what}"))
        }
        other => other,
    }
}

/// The one connection that writes. With `fresh`, what must be settled before the first table is.
pub(super) fn open_writer(path: &Path, fresh: bool) -> Result<Connection, Fault> {
    let conn = connect(path)?;
    if fresh {
        conn.pragma_update(None, "page_size", 4096)?;
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Unfit(
            "the file system does not support SQLite's write-ahead log; put the store on a local disk",
        ));
    }
    // FULL: a commit is answered after its bytes are on the disk.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // Deleted rows are overwritten: what was erased must not be found in free pages.
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", 1000)?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    common(&conn)?;
    Ok(conn)
}

/// A connection that sees what is committed and cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Fault> {
    let conn = connect(path)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "cache_size", -2_048)?;
    common(&conn)?;
    Ok(conn)
}

/// Writes the whole log back into the file and empties it.
pub(super) fn checkpoint(conn: &Connection) -> Result<(), Fault> {
    let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        return Err(Fault::Unfit(
            "the log is being read and could not be emptied",
        ));
    }
    Ok(())
}

/// The same, but that nobody who writes is held up by somebody who reads.
pub(super) fn try_checkpoint(conn: &Connection) -> Result<(), Fault> {
    conn.busy_timeout(Duration::ZERO)?;
    let outcome = checkpoint(conn);
    conn.busy_timeout(BUSY)?;
    outcome
}

/// What the log holds goes into the file before anything is added to it. After a sync that failed the system
/// may show in the log what never reached the disk: what came after it there would be lost with it. False
/// where somebody reads the log: who copies the store at length must not keep a relay from starting.
pub(super) fn write_back(conn: &Connection) -> Result<bool, Fault> {
    match try_checkpoint(conn) {
        Ok(()) => Ok(true),
        Err(Fault::Unfit(_)) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// What to say of damage found at start.
pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what}; {REPAIR}"))
}

pub(super) fn connect(path: &Path) -> Result<Connection, Fault> {
    // No URI: a path is taken as it is written.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    // Plans do not depend on the values bound: else a statement is compiled anew at every other use,
    // because a value could decide whether a partial index may serve.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn common(conn: &Connection) -> Result<(), Fault> {
    // In memory: a sort must not leave personal data in the system's temporary folder.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "mmap_size", 0)?;
    // A damaged schema must not run code of its own.
    conn.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

/// Opens a file of personal data, made for its owner alone where it is missing.
pub(super) fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
