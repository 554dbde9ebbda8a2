//! Whether the file can be trusted: it is looked at when it is opened, and damage that is met at work is
//! remembered, also for the next start.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;

use super::fault::Fault;
use super::file;
use crate::clock::Clock;
use crate::store::StoreError;

/// A file up to this size is gone through whole at every start: some hundred milliseconds. Of a larger one
/// only [`SMALL`], unless damage was met in it.
const WHOLE: i64 = 64 << 20;
/// Tables that nothing works without, that stay small, and that schema 1 has.
const SMALL: [&str; 4] = ["meta", "name", "lane", "tally"];

/// Between two looks at a damaged file, at least; and ten times as long as the look took.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of damage.
pub(super) struct Trust {
    path: PathBuf,
    /// A file beside the store that says: go through it whole before it is used again.
    mark: PathBuf,
    clock: Arc<dyn Clock>,
    is_damaged: AtomicBool,
    damage: Mutex<Option<StoreError>>,
    /// Held by whoever looks; when the next may.
    next_look: Mutex<Duration>,
}

impl Trust {
    pub(super) fn new(path: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: path.to_owned(),
            mark: file::beside(path, ".damaged"),
            clock,
            is_damaged: AtomicBool::new(false),
            damage: Mutex::default(),
            next_look: Mutex::default(),
        }
    }

    /// Refuses a file in which something is wrong. `all_is_in_it`: nothing of the store is in the log.
    pub(super) fn examine(&self, all_is_in_it: bool) -> Result<(), StoreError> {
        // A connection of its own: what it has read does not stay in the writer's cache.
        let conn = file::open_reader(&self.path)?;
        let pages: i64 = ask(&conn, "PRAGMA page_count")?;
        let size: i64 = ask(&conn, "PRAGMA page_size")?;
        let length = pages.saturating_mul(size);
        let there = std::fs::metadata(&self.path).map_or(length, |file| file.len().cast_signed());
        if all_is_in_it && there < length {
            return Err(file::damaged(&format!(
                "{there} bytes of {length} are there"
            )));
        }
        if pages == 0 {
            return Err(file::emptied(&self.path));
        }
        let marked = self.mark.exists();
        if marked || length <= WHOLE {
            check(&conn, "PRAGMA quick_check(1)")?;
        } else {
            for table in SMALL {
                check(&conn, &format!("PRAGMA quick_check({table})"))?;
            }
        }
        if marked {
            tracing::info!("the store was gone through after damage was met in it: it is sound");
            // Where it stays, the next start goes through the file once more.
            drop(std::fs::remove_file(&self.mark));
        }
        Ok(())
    }

    /// Remembers that a fault was one of the file itself.
    pub(super) fn note(&self, fault: &Fault) {
        if fault.is_damage()
            && let Ok(mut damage) = self.damage.lock()
            && damage.is_none()
        {
            drop(file::private(&self.mark));
            *damage = Some(StoreError::from(fault));
            self.is_damaged.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Goes through a damaged file again: `SQLite` also calls damage what a disk could not read for a while. It
    /// blocks, and refuses at once where another looks or the last look was just now.
    pub(super) fn look_again(&self) -> Result<(), StoreError> {
        let known = || match self.damage.lock() {
            Ok(damage) => damage.clone().map_or(Ok(()), Err),
            Err(_) => Ok(()),
        };
        let Ok(mut next_look) = self.next_look.try_lock() else {
            return known();
        };
        let begun = self.clock.monotonic();
        if begun < *next_look {
            return known();
        }
        let looked = self.examine(false);
        let ended = self.clock.monotonic();
        *next_look = ended + PAUSE + ended.saturating_sub(begun) * 10;
        looked?;
        if let Ok(mut damage) = self.damage.lock() {
            *damage = None;
            self.is_damaged.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn ask<T: rusqlite::types::FromSql>(conn: &Connection, question: &str) -> Result<T, Fault> {
    Ok(conn.query_row(question, [], |row| row.get(0))?)
}

fn check(conn: &Connection, question: &str) -> Result<(), StoreError> {
    let verdict: String = ask(conn, question)?;
    if verdict == "ok" {
        return Ok(());
    }
    // SQLite's words name pages and tables, and nothing that is in them. The first line may be a heading.
    let finding = verdict.lines().find(|line| !line.starts_with("***"));
    Err(file::damaged(finding.unwrap_or(&verdict)))
}
