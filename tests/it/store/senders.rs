//! What is remembered of senders.

use super::*;
use mojito_relay::store::{Heard, Listen};

/// A plan for an event of this type.
fn of_type(event_type: &str, subject: &str, revision: u32, millis: i64) -> AcceptPlan {
    let mut plan = plan(subject, revision, millis, &[]);
    let event = Arc::make_mut(&mut plan.event);
    event.event_type = EventType::new(event_type);
    plan
}

fn asked(source: &str, collected_by: Option<i64>) -> Listen {
    Listen {
        source: source.into(),
        collected_by: collected_by.map(at),
    }
}

/// When a source was last heard, and how many interviews it has that were collected by `T + millis`.
async fn heard(store: &dyn Store, millis: i64) -> (Option<Timestamp>, u64) {
    let all = store.heard(vec![asked("jobmojito", Some(millis))]).await;
    let one = all.unwrap().remove(0);
    (one.last_event_at, one.stuck)
}

store_test!(the_last_event_of_each_source_is_known, |mut store| async {
    store.accepted(plan("s-1", 1, 0, &[])).await;
    store.accepted(plan("s-2", 1, 7_000, &[])).await;
    // The clock was set back: what was heard stays.
    store.accepted(plan("s-3", 1, 3_000, &[])).await;
    store.reopen().await;
    let both = store.heard(vec![asked("crm", Some(0)), asked("jobmojito", None)]);
    let expected = |source: &str, last_event_at| Heard {
        source: source.into(),
        last_event_at,
        stuck: 0,
    };
    assert_eq!(
        both.await.unwrap(),
        [
            expected("crm", None),
            expected("jobmojito", Some(at(7_000)))
        ]
    );
});

store_test!(
    an_interview_is_awaited_from_when_it_was_first_collected_until_it_ends,
    |store| async {
        for (subject, millis) in [("s-1", 0), ("s-2", 1), ("s-3", 2), ("s-4", 3)] {
            store
                .accepted(of_type("interview.collected", subject, 1, millis))
                .await;
        }
        assert_eq!(heard(&*store, 2).await, (Some(at(3)), 3));
        for (event_type, subject, millis) in [
            ("interview.submitted", "s-1", 10),
            ("interview.failed", "s-2", 11),
            // Neither says that it ended.
            ("interview.other", "s-3", 12),
            ("interview.collected", "s-4", 13),
        ] {
            store
                .accepted(of_type(event_type, subject, 2, millis))
                .await;
        }
        assert_eq!(heard(&*store, 3).await.1, 2);
        assert_eq!(heard(&*store, 2).await.1, 1);
        // It is begun anew.
        store
            .accepted(of_type("interview.collected", "s-1", 3, 20))
            .await;
        assert_eq!(heard(&*store, 20).await.1, 3);
    }
);

#[tokio::test]
async fn what_an_older_relay_wrote_is_taken_into_account() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("relay.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")
        .unwrap();
    let migration = include_str!("../../../src/store/sqlite/migrations/0001.sql");
    conn.execute_batch(migration).unwrap();
    conn.execute_batch(include_str!("../../fixtures/store-1.sql"))
        .unwrap();
    conn.execute_batch(
        "INSERT INTO subject (id, hash, source, subject, revision, latest_seq, fields)
             VALUES (2, 2, 1, 's-2', 1, 3, x''), (3, 3, 1, 's-3', 2, 5, x'');
         INSERT INTO event (seq, id, source, type, subject, revision, received_at)
             VALUES (3, x'03', 1, 'interview.collected', 2, 1, 1790000000100),
                    (4, x'04', 1, 'interview.collected', 3, 1, 1790000000200),
                    (5, x'05', 1, 'interview.submitted', 3, 2, 1790000000300);",
    )
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
    assert_eq!(heard(&store, 99).await, (Some(at(300)), 0));
    assert_eq!(heard(&store, 100).await.1, 1);
    assert_eq!(heard(&store, 1_000).await.1, 1);
    store.close().await.unwrap();
}
