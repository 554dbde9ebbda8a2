//! A disk that fails when a test says so: a library that is loaded before the C library's own calls.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::process::Folder;

/// What goes wrong with the store's files.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    /// ENOSPC on write.
    Full,
    /// EIO on write.
    Write,
    /// EIO on fsync, and nothing is synced.
    Sync,
    /// EIO on read.
    Read,
    /// EROFS on write and on opening for writing.
    ReadOnly,
}

/// The disk below one relay.
pub struct Disk {
    control: PathBuf,
}

impl Disk {
    /// A disk that works.
    pub fn below(folder: &Folder) -> Self {
        let disk = Self {
            control: folder.file("fault"),
        };
        disk.is(Fault::None);
        disk
    }

    /// From now on.
    pub fn is(&self, fault: Fault) {
        let letter = match fault {
            Fault::None => "-",
            Fault::Full => "f",
            Fault::Write => "w",
            Fault::Sync => "s",
            Fault::Read => "r",
            Fault::ReadOnly => "o",
        };
        // In place: the relay has mapped this very file.
        let mut options = std::fs::OpenOptions::new();
        let file = options.create(true).truncate(false).write(true);
        let mut file = file.open(&self.control).unwrap();
        file.write_all(letter.as_bytes()).unwrap();
    }

    /// What puts a relay on this disk.
    pub fn environment(&self) -> [(&str, &str); 3] {
        [
            ("LD_PRELOAD", library().to_str().unwrap()),
            ("SHIM_CONTROL", self.control.to_str().unwrap()),
            ("SHIM_STORE", "/relay.db"),
        ]
    }
}

/// The library, compiled once for a run.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let library = folder.join(format!("disk-{}.so", std::process::id()));
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/binary/disk/shim.c"
            ))
            .arg("-ldl")
            .status();
        assert!(compiled.unwrap().success());
        library
    })
}
