//! Looks at a store's place without opening it: whether a relay could, beside one that has it open.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::file::APPLICATION_ID;

/// What begins every `SQLite` file, and where the mark of its application stands.
const MAGIC: &[u8] = b"SQLite format 3\0";
const MARK: std::ops::Range<usize> = 68..72;

/// A store's place that is fit for use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// There is a store already.
    pub exists: bool,
    /// Bytes that are free on its disk, where the system says so.
    pub free: Option<u64>,
}

/// Looks at the place of `path`. The error says what is wrong with it.
pub fn look(path: &Path) -> Result<Place, String> {
    let exists = path.exists();
    if exists {
        examine(path)?;
    }
    let folder = folder_of(path);
    // SQLite makes files beside its own: the folder must take them.
    let trial = folder.join(format!(".relay-check-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&trial);
    made.map_err(|error| format!("cannot write in {}: {error}", folder.display()))?;
    std::fs::remove_file(&trial).map_err(|error| format!("{}: {error}", trial.display()))?;
    let disk = rustix::fs::statvfs(&folder).ok();
    Ok(Place {
        exists,
        free: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
    })
}

/// It can be written and is ours, or empty. No lock is taken.
fn examine(path: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot open {}: {error}", path.display());
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let mut head = Vec::new();
    let read = |file: File| file.take(100).read_to_end(&mut head);
    opened.and_then(read).map_err(cannot)?;
    let mark = head.get(MARK).and_then(|mark| mark.try_into().ok());
    match mark.map(i32::from_be_bytes) {
        None if head.is_empty() => Ok(()),
        Some(APPLICATION_ID | 0) if head.starts_with(MAGIC) => Ok(()),
        Some(_) if head.starts_with(MAGIC) => Err(format!(
            "{} is the database of another application",
            path.display()
        )),
        _ => Err(format!("{} is not an SQLite database", path.display())),
    }
}

/// Where the file's folder is, or would be made.
fn folder_of(path: &Path) -> PathBuf {
    let folders = path.ancestors().skip(1).map(|folder| {
        let here = folder.as_os_str().is_empty();
        if here { Path::new(".") } else { folder }
    });
    let mut there = folders.filter(|folder| folder.exists());
    there.next().unwrap_or(Path::new(".")).to_owned()
}
