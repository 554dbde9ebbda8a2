//! Whether the files that are open are still those that bear their names: what is written into a file that was moved,
//! removed or cut by somebody else is not there at the next start.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use rusqlite::ffi;

use super::fault::Fault;
use super::file;

/// The file and its log, as the writer has them open.
pub(super) struct Held {
    path: PathBuf,
    wal: PathBuf,
    own: Option<Id>,
    /// None until it is there.
    log: Option<Id>,
    /// Of the file, by the last look: nobody but the writer makes it shorter.
    length: u64,
}

/// What tells one file from another, whatever its name.
type Id = (u64, u64);

impl Held {
    /// What is open now.
    pub(super) fn new(path: &Path) -> Self {
        let mut held = Self {
            path: path.to_owned(),
            wal: file::beside(path, "-wal"),
            own: None,
            log: None,
            length: 0,
        };
        held.own = held.look().map(|found| id(&found));
        held.renew();
        held
    }

    /// The log may be another one after the file was opened again, and the file has another length after each write.
    pub(super) fn renew(&mut self) {
        self.log = std::fs::metadata(&self.wal).ok().map(|found| id(&found));
        self.note_length();
    }

    pub(super) fn note_length(&mut self) {
        self.length = self.look().map_or(self.length, |found| found.len());
    }

    /// Refuses to write where it would be lost. The log counts while the file is `open`: else it may have been taken away.
    pub(super) fn check(&self, open: bool) -> Result<(), Fault> {
        let found = self.look();
        let is_own = found.as_ref().map(id) == self.own;
        let found_log = std::fs::metadata(&self.wal).ok();
        let log = !open || self.log.is_none() || self.log == found_log.as_ref().map(id);
        if !is_own || !log {
            return Err(Fault::Unfit(
                "its file, or the -wal beside it, was moved, removed or replaced while it was open: put it back as it was, \
                 or stop the relay, whose last events may be in the file that was moved",
            ));
        }
        if found.is_some_and(|found| found.len() < self.length) {
            let error = ffi::Error::new(ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(error, None).into());
        }
        Ok(())
    }

    fn look(&self) -> Option<Metadata> {
        std::fs::metadata(&self.path).ok()
    }
}

#[cfg(unix)]
fn id(found: &Metadata) -> Id {
    use std::os::unix::fs::MetadataExt as _;
    (found.dev(), found.ino())
}

/// Elsewhere a file that is open cannot be moved.
#[cfg(not(unix))]
fn id(_found: &Metadata) -> Id {
    (0, 0)
}
