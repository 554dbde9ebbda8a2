//! What only a store in one file can get wrong: batches, locks, schemas, files of others.

use std::pin::Pin;
use std::task::{Context, Waker};

use super::*;
use mojito_relay::store::{Keep, Sweep, Swept};
use rusqlite::Connection;

type Accepting = Pin<Box<dyn Future<Output = Result<AcceptOutcome, StoreError>> + Send>>;

/// Queues plans while the writer is held back, so that they share a batch; answers in order.
async fn at_once(home: &Home, plans: Vec<AcceptPlan>) -> Vec<Result<AcceptOutcome, StoreError>> {
    let mut accepting: Vec<Accepting> = plans
        .into_iter()
        .map(|plan| {
            let store = home.shared();
            Box::pin(async move { store.accept(plan).await }) as Accepting
        })
        .collect();
    {
        // The writer wants to note its first commit here and waits.
        let _held = home.commits.lock().unwrap();
        for accepting in &mut accepting {
            let queued = accepting
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(queued.is_pending());
        }
    }
    let mut answers = Vec::new();
    for accepting in accepting {
        answers.push(accepting.await);
    }
    answers
}

#[tokio::test]
async fn callers_at_the_same_time_share_commits() {
    let home = Home::sqlite();
    let plans = (0..65)
        .map(|n| plan(&format!("s-{n}"), 1, n, &["crm"]))
        .collect();
    for answer in at_once(&home, plans).await {
        accepted(answer);
    }
    let commits = home.commits.lock().unwrap().clone();
    assert!(commits.len() <= 2, "{commits:?}");
    assert_eq!(commits.iter().sum::<usize>(), 65);
    home.leave().await;
}

#[tokio::test]
async fn of_two_plans_of_one_subject_in_one_batch_the_second_is_stale() {
    let home = Home::sqlite();
    let plans = vec![
        plan("s-0", 1, 0, &["crm"]),
        plan("s-1", 1, 1, &["crm"]),
        plan("s-1", 1, 2, &["crm"]),
        plan("s-1", 2, 3, &["crm"]),
    ];
    let ids: Vec<EventId> = plans.iter().map(|plan| plan.event.id).collect();
    let mut answers = at_once(&home, plans).await;
    assert!(!accepted(answers.pop().unwrap()).placed[0].ready);
    let head = stale(answers.pop().unwrap());
    assert_eq!((head.event, head.revision), (ids[1], 1));
    assert!(head.payload.is_some());
    home.leave().await;
}

#[tokio::test]
async fn a_command_that_fails_does_not_harm_its_batch() {
    let home = Home::sqlite();
    let mut plans: Vec<AcceptPlan> = (0..10)
        .map(|n| plan(&format!("s-{n}"), 1, n, &["crm"]))
        .collect();
    Arc::make_mut(&mut plans[6].event).id = plans[3].event.id;
    let answers = at_once(&home, plans).await;
    for (n, answer) in answers.into_iter().enumerate() {
        if n == 6 {
            assert!(matches!(answer, Err(StoreError::Unavailable(_))));
        } else {
            assert!(accepted(answer).placed[0].ready);
        }
    }
    assert_eq!(home.waiting(), 9);
    accepted(home.accept(plan("s-6", 1, 20, &["crm"])).await);
    home.leave().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_its_write_along() {
    let home = Home::sqlite();
    let plan = plan("s-1", 1, 0, &["crm"]);
    let id = plan.event.id;
    let store = home.shared();
    let mut accepting: Accepting = Box::pin(async move { store.accept(plan).await });
    let queued = accepting
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(queued.is_pending());
    drop(accepting);
    home.ready().await.unwrap();
    assert!(home.event(id).await.unwrap().is_some());
    home.leave().await;
}

#[tokio::test]
async fn a_second_relay_on_the_same_file_is_refused_until_the_first_lets_go() {
    let mut home = Home::sqlite();
    let second = SqliteStore::open(home.options.sqlite());
    assert!(matches!(second, Err(StoreError::InUse(_))));
    home.reopen().await;
    home.leave().await;
}

#[tokio::test]
async fn a_store_that_is_closed_says_so_and_one_that_is_dropped_keeps_everything() {
    let mut home = Home::sqlite();
    home.accepted(plan("s-1", 1, 0, &["crm"])).await;
    let store = home.shared();
    home.close().await;
    assert!(matches!(store.ready().await, Err(StoreError::Closed)));
    assert!(matches!(
        store.tallies(at(0)).await,
        Err(StoreError::Closed)
    ));
    store.close().await.unwrap();
    drop(store);

    let store = SqliteStore::open(home.options.sqlite()).unwrap();
    accepted(store.accept(plan("s-1", 2, 1, &["crm"])).await);
    drop(store);
    let store = SqliteStore::open(home.options.sqlite()).unwrap();
    assert_eq!(store.waiting(), 2);
    drop(store);
    home.leave().await;
}

#[tokio::test]
async fn the_log_is_written_back_when_the_store_is_closed() {
    let mut home = Home::sqlite();
    home.accepted(plan("s-1", 1, 0, &["crm"])).await;
    let log = home.options.sqlite().path.with_extension("db-wal");
    assert!(log.metadata().unwrap().len() > 0);
    home.close().await;
    assert!(!log.exists() || log.metadata().unwrap().len() == 0);
    home.leave().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_numbers() {
    let mut home = Home::sqlite();
    home.close().await;
    let conn = Connection::open(&home.options.sqlite().path).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let opened = SqliteStore::open(home.options.sqlite());
    assert!(matches!(
        opened,
        Err(StoreError::Newer {
            found: 99,
            known: 7
        })
    ));
    home.leave().await;
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let refused = |name: &str, words: &str| {
        let path = folder.path().join(name);
        let before = std::fs::read(&path).unwrap();
        let options = SqliteOptions {
            path: path.clone(),
            key: [7; 32],
            seals: Keyring::default(),
            clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
            on_commit: None,
        };
        let Err(StoreError::Corrupt(what)) = SqliteStore::open(&options) else {
            panic!("{name} was opened");
        };
        assert!(what.contains(words) && what.contains("store.url"), "{what}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    };
    std::fs::write(
        folder.path().join("notes.txt"),
        "not a database at all, but long enough".repeat(99),
    )
    .unwrap();
    refused("notes.txt", "is not an SQLite database");
    let other = Connection::open(folder.path().join("other.db")).unwrap();
    other
        .execute_batch("CREATE TABLE theirs (id INTEGER PRIMARY KEY)")
        .unwrap();
    drop(other);
    refused("other.db", "another application");
}

#[tokio::test]
async fn a_store_written_by_migration_1_is_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")
        .unwrap();
    conn.execute_batch(include_str!(
        "../../../src/store/sqlite/migrations/0001.sql"
    ))
    .unwrap();
    conn.execute_batch(include_str!("../../fixtures/store-1.sql"))
        .unwrap();
    drop(conn);
    let options = SqliteOptions {
        path,
        key: [7; 32],
        seals: Keyring::default(),
        clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
        on_commit: None,
    };
    let store = SqliteStore::open(&options).unwrap();
    assert_eq!(
        store.key().as_bytes(),
        &[0xab; 32],
        "the key is the store's, not the one offered"
    );
    assert_eq!(store.waiting(), 1);
    let due = store.due(&"crm".into(), at(0), 9, true).await.unwrap();
    let detail = store.event(due.items[0].id.event).await.unwrap().unwrap();
    assert_eq!(detail.payload.as_deref(), Some(&b"{\"id\":\"s-1\"}"[..]));
    assert_eq!(detail.event.changed, ["score"]);
    assert_eq!(detail.revisions.len(), 2);
    assert_eq!(detail.deliveries[0].attempts[0].status, Some(503));
    let head = stale(store.accept(plan("s-1", 1, 0, &[])).await);
    assert_eq!((head.event, head.revision), (detail.event.id, 2));
    store.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::sqlite();
    home.accepted(plan("s-1", 1, 0, &["crm"])).await;
    for name in ["relay.db", "relay.db-wal", "relay.db.lock"] {
        let path = home.options.sqlite().path.with_file_name(name);
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o077,
            0,
            "{name}"
        );
    }
    home.leave().await;
}

#[tokio::test]
async fn the_file_shrinks_when_payloads_go() {
    let mut home = Home::sqlite();
    for n in 0..400 {
        let mut plan = plan(&format!("s-{n}"), 1, n, &[]);
        plan.payload = Bytes::from(vec![b'x'; 20_000]);
        home.accepted(plan).await;
    }
    let size = |home: &Home| {
        std::fs::metadata(&home.options.sqlite().path)
            .unwrap()
            .len()
    };
    home.reopen().await;
    let before = size(&home);
    let day = Duration::from_hours(24);
    let keep = Keep {
        delivered: day,
        dead: day,
        other: day,
        ledger: day * 400,
        types: std::collections::BTreeMap::new(),
    };
    let mut swept = Swept::default();
    let mut payloads = 0;
    while !swept.done {
        let now = at(0) + day * 2;
        let (keep, limit) = (&keep, 100);
        let sweep = Sweep {
            keep,
            now,
            after: swept,
            limit,
        };
        swept = home.sweep(sweep).await.unwrap();
        payloads += swept.payloads;
    }
    assert_eq!(payloads, 400);
    home.reopen().await;
    assert!(size(&home) * 4 < before, "{} of {before}", size(&home));
    home.leave().await;
}

/// What is said to an event now.
async fn refused(home: &Home, millis: i64) -> String {
    let subject = format!("s-{millis}");
    let answer = home.accept(plan(&subject, 1, millis, &["crm"])).await;
    answer.expect_err("it would be lost").to_string()
}

#[tokio::test]
async fn nothing_is_taken_into_a_file_that_was_moved_until_it_is_back() {
    let home = Home::sqlite();
    home.accepted(plan("s-1", 1, 1, &["crm"])).await;
    let path = &home.options.sqlite().path;
    let beside = |suffix: &str| path.with_file_name(format!("relay.db{suffix}"));
    let aside = path.with_file_name("aside");
    for file in [beside(""), beside("-wal")] {
        std::fs::rename(&file, &aside).unwrap();
        let words = refused(&home, 2).await;
        assert!(words.contains("was moved, removed or replaced"), "{words}");
        assert!(home.ready().await.is_err(), "and /readyz says so");
        // Another file by its name is not it.
        std::fs::write(&file, "").unwrap();
        refused(&home, 3).await;
        std::fs::rename(&aside, &file).unwrap();
    }
    home.accepted(plan("s-4", 1, 4, &["crm"])).await;
    home.leave().await;
}

#[tokio::test]
async fn nothing_is_taken_into_a_file_that_was_cut() {
    let mut home = Home::sqlite();
    home.accepted(plan("s-1", 1, 1, &["crm"])).await;
    home.reopen().await;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&home.options.sqlite().path);
    for length in [40_000, 0] {
        file.as_ref().unwrap().set_len(length).unwrap();
        let words = refused(&home, 2).await;
        assert!(words.contains("cannot be trusted"), "{words}");
        assert!(refused(&home, 3).await.contains("cannot be trusted"));
    }
}

#[tokio::test]
async fn a_second_relay_is_refused_also_by_another_name_of_the_file() {
    let home = Home::sqlite();
    let mut options = home.options.sqlite().clone();
    options.path = options.path.with_file_name("another.db");
    std::fs::hard_link(&home.options.sqlite().path, &options.path).unwrap();
    let second = SqliteStore::open(&options).err();
    assert!(matches!(second, Some(StoreError::InUse(_))), "{second:?}");
    home.leave().await;
}

#[tokio::test]
async fn a_log_whose_file_is_gone_or_empty_is_refused_and_left_alone() {
    let home = Home::sqlite();
    home.accepted(plan("s-1", 1, 1, &["crm"])).await;
    let copied = TempDir::new().unwrap();
    let mut options = home.options.sqlite().clone();
    for suffix in ["-wal", ".lock"] {
        let name = format!("relay.db{suffix}");
        let from = home.options.sqlite().path.with_file_name(&name);
        std::fs::copy(from, copied.path().join(name)).unwrap();
    }
    options.path = copied.path().join("relay.db");
    let log = copied.path().join("relay.db-wal");
    let before = std::fs::read(&log).unwrap();
    assert!(!before.is_empty());
    for empty in [false, true] {
        if empty {
            std::fs::write(&options.path, "").unwrap();
        }
        let refused = SqliteStore::open(&options).expect_err("it is refused");
        let words = refused.to_string();
        assert!(words.contains("what was acknowledged last"), "{words}");
        assert!(std::fs::read(&log).unwrap() == before);
        assert_eq!(options.path.exists(), empty);
    }
    home.leave().await;
}
