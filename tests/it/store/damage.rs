//! A store whose files were cut or changed behind its back: what can be trusted is there, the rest is refused.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

const SEED: u64 = 20_261_125;

/// A store's files as they were at one moment, and what they held.
struct Taken {
    options: SqliteOptions,
    file: Vec<u8>,
    log: Vec<u8>,
    /// In order of acceptance; with each the length of the log when it was acknowledged.
    events: Vec<(EventId, Bytes, usize)>,
    folder: TempDir,
}

impl Taken {
    /// So many events, every one in a commit of its own that stands in the log.
    async fn with(count: i64) -> Self {
        let mut home = Home::sqlite();
        home.reopen().await;
        let log = log_of(&home.options.sqlite().path);
        let mut events = Vec::new();
        for n in 0..count {
            let mut plan = plan(&format!("s-{n}"), 1, n, &["crm", "ats"]);
            plan.payload = Bytes::from(format!("{{\"id\":\"s-{n}\",\"x\":\"{n:0>3000}\"}}"));
            let (id, payload) = (plan.event.id, plan.payload.clone());
            home.accepted(plan).await;
            let length = usize::try_from(log.metadata().unwrap().len()).unwrap();
            events.push((id, payload, length));
        }
        // In memory, where there is such a folder: hundreds of stores are opened, and syncs prove nothing here.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            TempDir::new_in(memory)
        } else {
            TempDir::new()
        };
        let folder = folder.unwrap();
        let mut options = home.options.sqlite().clone();
        options.path = folder.path().join("relay.db");
        options.on_commit = None;
        let taken = Self {
            file: std::fs::read(&home.options.sqlite().path).unwrap(),
            log: std::fs::read(&log).unwrap(),
            options,
            events,
            folder,
        };
        home.leave().await;
        taken
    }

    /// The same, all of it in the file and nothing in the log.
    async fn written_back(count: i64) -> Self {
        let mut taken = Self::with(count).await;
        taken.put(&taken.file, &taken.log);
        let store = SqliteStore::open(&taken.options).unwrap();
        store.close().await.unwrap();
        taken.file = std::fs::read(&taken.options.path).unwrap();
        taken.log.clear();
        taken
    }

    fn put(&self, file: &[u8], log: &[u8]) {
        for left in std::fs::read_dir(self.folder.path()).unwrap() {
            std::fs::remove_file(left.unwrap().path()).unwrap();
        }
        std::fs::write(&self.options.path, file).unwrap();
        std::fs::write(log_of(&self.options.path), log).unwrap();
    }

    /// How many of the events are there, from the first on; nothing of those after.
    async fn found(&self, store: &SqliteStore) -> usize {
        let mut found = Vec::new();
        for (id, payload, _) in &self.events {
            let detail = store.event(*id).await.unwrap();
            found.push(detail.is_some());
            if let Some(detail) = detail {
                assert_eq!(detail.payload.as_ref(), Some(payload));
                assert_eq!(detail.deliveries.len(), 2);
            }
        }
        let count = found.iter().filter(|found| **found).count();
        assert!(found[..count].iter().all(|found| *found), "{found:?}");
        assert_eq!(store.waiting(), 2 * count as u64);
        count
    }

    /// It goes on as any other, and `SQLite` finds nothing wrong with it.
    async fn goes_on(&self, store: SqliteStore, millis: i64) {
        accepted(store.accept(plan("new", 1, millis, &["crm"])).await);
        store.close().await.unwrap();
        let conn = rusqlite::Connection::open(&self.options.path).unwrap();
        let verdict: String = conn
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(verdict, "ok");
    }
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

#[tokio::test]
async fn of_a_log_cut_anywhere_every_commit_before_the_cut_is_there_and_nothing_is_torn() {
    let taken = Taken::with(9).await;
    let mut counts = Vec::new();
    for cut in (0..=taken.log.len()).step_by(512).chain([taken.log.len()]) {
        taken.put(&taken.file, &taken.log[..cut]);
        let before = taken.events.iter().filter(|(.., end)| *end <= cut).count();
        let store = SqliteStore::open(&taken.options).unwrap();
        assert_eq!(taken.found(&store).await, before, "cut at {cut}");
        taken.goes_on(store, 100).await;
        counts.push(before);
    }
    counts.dedup();
    assert_eq!(counts, (0..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_log_with_a_changed_bit_ends_before_it() {
    let taken = Taken::with(9).await;
    let mut chance = StdRng::seed_from_u64(SEED);
    for _ in 0..100 {
        let mut log = taken.log.clone();
        let at = chance.random_range(0..log.len());
        log[at] ^= 1 << chance.random_range(0..8);
        taken.put(&taken.file, &log);
        let whole = taken.events.iter().filter(|(.., end)| *end <= at).count();
        let store = SqliteStore::open(&taken.options).unwrap();
        let found = taken.found(&store).await;
        // A frame's header has bytes that nothing depends on.
        assert!(
            found == whole || found == 9,
            "byte {at}: {found} of {whole}"
        );
        taken.goes_on(store, 100).await;
    }
}

#[tokio::test]
async fn a_truncated_store_is_refused_with_what_to_do_and_left_as_it_is() {
    let taken = Taken::written_back(9).await;
    for length in (0..taken.file.len()).step_by(2048).chain([1, 99, 4095]) {
        taken.put(&taken.file[..length], b"");
        // As it is beside every store that was ever opened.
        std::fs::write(
            taken.options.path.with_extension("db.lock"),
            "there was one",
        )
        .unwrap();
        let Err(StoreError::Corrupt(words)) = SqliteStore::open(&taken.options) else {
            panic!("{length} of {} bytes were opened", taken.file.len());
        };
        let name = taken.options.path.display().to_string();
        assert!(
            words.contains(&name) && words.contains("restore a backup made by `relay backup`"),
            "{words}"
        );
        let left = std::fs::read(&taken.options.path).unwrap();
        assert_eq!(left, taken.file[..length]);
    }
}

/// A place in a page that its structure hangs on: its header, or the pointers after it.
fn of_the_header(page: usize, chance: &mut StdRng) -> usize {
    let (start, length) = if page == 0 { (0, 124) } else { (0, 24) };
    page * 4096 + chance.random_range(start..length)
}

#[tokio::test]
async fn a_store_with_a_changed_bit_is_refused_or_tells_the_truth() {
    let taken = Taken::written_back(20).await;
    let mut chance = StdRng::seed_from_u64(SEED);
    let pages = taken.file.len() / 4096;
    let (mut refused, mut harmless) = (0, 0);
    for page in (0..pages).flat_map(|page| std::iter::repeat_n(page, 10)) {
        let at = of_the_header(page, &mut chance);
        let mut file = taken.file.clone();
        file[at] ^= 1 << chance.random_range(0..8);
        taken.put(&file, b"");
        match SqliteStore::open(&taken.options) {
            Err(error) => {
                let words = error.to_string();
                assert!(words.contains("relay.db"), "byte {at}: {words}");
                refused += 1;
            }
            Ok(store) => {
                assert_eq!(taken.found(&store).await, 20, "byte {at}");
                taken.goes_on(store, 100).await;
                harmless += 1;
            }
        }
    }
    assert!(
        refused > 5 * pages,
        "{refused} refused, {harmless} harmless"
    );
}

#[tokio::test]
async fn whatever_bit_changes_in_a_store_nothing_panics() {
    let taken = Taken::written_back(20).await;
    let mut chance = StdRng::seed_from_u64(SEED);
    for _ in 0..200 {
        let mut file = taken.file.clone();
        let at = chance.random_range(0..file.len());
        file[at] ^= 1 << chance.random_range(0..8);
        taken.put(&file, b"");
        let Ok(store) = SqliteStore::open(&taken.options) else {
            continue;
        };
        for (id, ..) in &taken.events {
            // Nothing tells a changed byte of a plain payload from another payload: this is no promise.
            drop(store.event(*id).await);
        }
        drop(store.due(&"crm".into(), at_end(), 100, true).await);
        drop(store.accept(plan("s-3", 2, 100, &["crm"])).await);
        let _outcome = store.close().await;
    }
}

fn at_end() -> Timestamp {
    at(1_000_000)
}

#[tokio::test]
async fn damage_that_is_met_at_work_stops_what_is_new_and_the_next_start() {
    let taken = Taken::written_back(20).await;
    taken.put(&taken.file, b"");
    let store = SqliteStore::open(&taken.options).unwrap();
    // Behind its back, once it was gone through.
    let mut file = taken.file.clone();
    for page in file.chunks_mut(4096).skip(2) {
        page[..8].fill(0xff);
    }
    std::fs::write(&taken.options.path, &file).unwrap();
    let told = store.event(taken.events[0].0).await;
    assert!(matches!(told, Err(StoreError::Corrupt(_))), "{told:?}");
    for told in [
        store.ready().await,
        store.accept(plan("new", 1, 100, &["crm"])).await.map(drop),
    ] {
        let words = told.unwrap_err().to_string();
        assert!(words.contains("relay backup"), "{words}");
    }
    drop(store);
    let mark = taken.options.path.with_extension("db.damaged");
    assert!(mark.exists());
    let words = SqliteStore::open(&taken.options).unwrap_err().to_string();
    assert!(words.contains("relay backup"), "{words}");
    // A backup in its place is gone through, and then the mark goes.
    std::fs::write(&taken.options.path, &taken.file).unwrap();
    let store = SqliteStore::open(&taken.options).unwrap();
    assert_eq!(taken.found(&store).await, 20);
    assert!(!mark.exists());
    taken.goes_on(store, 100).await;
}

#[tokio::test]
async fn a_second_relay_is_refused_by_whatever_path_it_comes() {
    let home = Home::sqlite();
    let other = TempDir::new().unwrap();
    let link = |name: &str, to: &Path| {
        let link = other.path().join(name);
        std::os::unix::fs::symlink(to, &link).unwrap();
        link
    };
    let folder = home.options.sqlite().path.parent().unwrap();
    let paths = [
        link("folder", folder).join("relay.db"),
        folder.join("../data/./relay.db"),
        link("file.db", &home.options.sqlite().path),
    ];
    for path in paths {
        let mut options = home.options.sqlite().clone();
        options.path = path.clone();
        let second = SqliteStore::open(&options);
        assert!(
            matches!(second, Err(StoreError::InUse(_))),
            "{}",
            path.display()
        );
    }
    home.leave().await;
}
