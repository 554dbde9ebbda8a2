//! A copy of the whole store at one moment, beside the relay that has it open.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::{file, migrate};
use crate::store::StoreError;

/// Copies the store at `from` to the new file `to`, which its owner alone can read; answers its size in bytes.
/// What is written meanwhile is not in it. It blocks.
pub fn backup(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("{}: {error}", path.display()))
    };
    if to.exists() {
        return Err(cannot(
            to,
            &"there is such a file; name one that is not there yet",
        ));
    }
    if !from.exists() {
        return Err(cannot(from, &"there is no such file"));
    }
    if file::inspect(from)? {
        return Err(cannot(from, &"there is no store in it yet"));
    }
    let part = part_of(to);
    // What a broken try left behind.
    let _there_was_none = fs::remove_file(&part);
    let copied = copy(from, &part);
    copied.inspect_err(|_| drop(fs::remove_file(&part)))?;
    let finish = || -> std::io::Result<u64> {
        let written = File::open(&part)?;
        written.sync_all()?;
        fs::rename(&part, to)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(written.metadata()?.len())
    };
    finish().map_err(|error| cannot(to, &error))
}

fn copy(from: &Path, part: &Path) -> Result<(), StoreError> {
    file::private(part)
        .map_err(|error| StoreError::Unavailable(format!("{}: {error}", part.display())))?;
    let conn = file::connect(from).map_err(StoreError::from)?;
    migrate::check_version(&conn)?;
    let name = part
        .to_str()
        .ok_or(Fault::Unfit("the file's name is no text"))?;
    conn.execute("VACUUM INTO ?1", [name])
        .map_err(|error| StoreError::from(Fault::from(error)))?;
    Ok(())
}

fn part_of(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
