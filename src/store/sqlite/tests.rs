//! What only the inside can see: that questions are answered by indexes, and faults of the machine.

use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use super::batch::Batch;
use super::fault::Fault;
use super::{
    SqliteOptions, SqliteStore, deliveries, events, fan_out, kept, lanes, sealed, senders, settle,
    subjects, sweep, work,
};
use crate::clock::ManualClock;
use crate::model::{
    Cause, Cursor, Event, EventType, FieldDigests, Limit, Mint, Refusal, State, Subject,
};
use crate::store::paging::Search;
use crate::store::{
    AcceptOutcome, AcceptPlan, Act, DeliveryFilter, EventFilter, Fence, Keyring, NewDelivery,
    Outcome, Replay, Settlement, Since, Store as _, StoreError, What,
};

fn open() -> (TempDir, SqliteOptions, SqliteStore) {
    let folder = TempDir::new().unwrap();
    let options = SqliteOptions {
        path: folder.path().join("relay.db"),
        key: [7; 32],
        seals: Keyring::default(),
        clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
        on_commit: None,
    };
    let store = SqliteStore::open(&options).unwrap();
    (folder, options, store)
}

/// The steps that an answer takes, in the words of the database.
fn plan_of(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let nothing = vec![rusqlite::types::Value::Null; statement.parameter_count()];
    let steps = statement
        .query_map(rusqlite::params_from_iter(nothing), |row| row.get("detail"))
        .unwrap();
    steps.map(Result::unwrap).collect()
}

#[test]
fn every_question_of_the_hot_paths_is_answered_by_an_index() {
    let (_folder, options, store) = open();
    let conn = Connection::open(&options.path).unwrap();
    let check = |sql: &str, index: &str| {
        let steps = plan_of(&conn, sql);
        let told = steps.join("; ");
        assert!(told.contains(index), "{told}");
        for step in &steps {
            assert!(!step.starts_with("SCAN"), "{told}");
            assert!(!step.contains("TEMP B-TREE"), "{told}");
        }
    };
    check(subjects::FIND, "subject_hash (hash=?)");
    check(
        fan_out::WAITS_ALREADY,
        "delivery_subject (subject=? AND destination=?)",
    );
    check(
        fan_out::WAITING_OF_SUBJECT,
        "delivery_subject (subject=? AND destination=?)",
    );
    check(
        fan_out::SKIPPED_OF_SUBJECT,
        "delivery_skipped (subject=? AND destination=?)",
    );
    check(subjects::SKIPPED, "delivery_skipped (subject=?)");
    check(lanes::DUE, "delivery_due (destination=? AND due_at<?)");
    check(
        lanes::DUE,
        "delivery_subject (subject=? AND destination=? AND event_seq<?)",
    );
    let by_place = "payload USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    let steps = plan_of(&conn, sealed::LEFT).join("; ");
    assert!(steps.contains(by_place), "{steps}");
    check(
        sealed::OLD,
        "p USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    );
    check(lanes::NEXT_DUE, "delivery_due (destination=? AND due_at>?)");
    check(lanes::RELEASE, "delivery_due (destination=? AND due_at>?)");
    check(sweep::PAYLOADS, "SEARCH p USING INTEGER PRIMARY KEY");
    check(sweep::EVENTS, "SEARCH e USING INTEGER PRIMARY KEY");
    check(settle::FIND, "sqlite_autoindex_event_1 (id=?)");
    check(&work::sql(), "sqlite_autoindex_event_1 (id=?)");
    check(
        &events::list_sql(false),
        "sqlite_autoindex_event_1 (id>? AND id<?)",
    );
    check(kept::WAITING, "delivery_due (destination=?)");
    check(senders::LAST, "SEARCH heard USING INTEGER PRIMARY KEY");
    check(senders::STUCK, "awaited_since (source=? AND since<?)");
    check(deliveries::OLDEST_DUE, "delivery_due (destination=?)");
    check(deliveries::OLDEST_MOVED, "delivery_moved (destination=?)");
    check(
        &deliveries::list_sql(None, true, false),
        "sqlite_autoindex_event_1 (id>? AND id<?)",
    );
    drop(store);
}

#[test]
fn a_short_list_by_state_is_taken_from_its_partial_index() {
    let (_folder, options, store) = open();
    let conn = Connection::open(&options.path).unwrap();
    for (state, index) in [
        (State::Waiting, "delivery_due (destination=?"),
        (State::Dead, "delivery_dead (destination=?"),
    ] {
        let told = plan_of(&conn, &deliveries::list_sql(Some(state), true, false)).join("; ");
        assert!(told.contains(index), "{told}");
    }
    drop(store);
}

type Done = Result<(), Fault>;
type Answer = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Queues writes as one batch: the writer is held in a batch of its own until all stand in line.
async fn one_batch(
    store: &Arc<SqliteStore>,
    writes: Vec<fn(&mut Batch<'_>) -> Done>,
) -> Vec<Result<(), StoreError>> {
    let (started, wait_for_start) = mpsc::channel();
    let (go, wait_for_go) = mpsc::channel::<()>();
    let mut queued: Vec<Answer> = Vec::new();
    let holder = Arc::clone(store);
    queued.push(Box::pin(async move {
        let hold = move |_: &mut Batch<'_>| {
            started.send(()).unwrap();
            wait_for_go.recv().unwrap();
            Ok(())
        };
        holder.writer.write(hold).await
    }));
    for write in writes {
        let store = Arc::clone(store);
        queued.push(Box::pin(async move { store.writer.write(write).await }));
    }
    for (n, answer) in queued.iter_mut().enumerate() {
        let queued = answer
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(queued.is_pending());
        if n == 0 {
            wait_for_start.recv().unwrap();
        }
    }
    go.send(()).unwrap();
    let mut answers = Vec::new();
    for answer in queued {
        answers.push(answer.await);
    }
    assert!(answers.remove(0).is_ok());
    answers
}

fn note(batch: &mut Batch<'_>) -> Done {
    batch.name(&"noted".into())?;
    Ok(())
}

fn fill_the_disk(batch: &mut Batch<'_>) -> Done {
    batch.conn.pragma_update(None, "max_page_count", 1)?;
    batch.conn.execute(
        "INSERT INTO meta (key, value) VALUES ('large', zeroblob(1000000))",
        [],
    )?;
    Ok(())
}

fn break_a_promise_at_commit(batch: &mut Batch<'_>) -> Done {
    batch.conn.pragma_update(None, "defer_foreign_keys", true)?;
    batch
        .conn
        .execute("INSERT INTO payload (seq, body) VALUES (999, x'')", [])?;
    Ok(())
}

fn panic(_: &mut Batch<'_>) -> Done {
    panic!("on purpose")
}

async fn noted(store: &SqliteStore) -> bool {
    let look = |view: &super::readers::View<'_>| view.name_id("noted");
    store.readers.read(look).await.unwrap().is_some()
}

#[tokio::test]
async fn a_full_disk_fails_the_whole_batch_and_nothing_of_it_is_kept() {
    let (_folder, _, store) = open();
    let store = Arc::new(store);
    let answers = one_batch(&store, vec![note, fill_the_disk, note]).await;
    for answer in answers {
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_))),
            "{answer:?}"
        );
    }
    assert!(!noted(&store).await);
    // The fault has passed: no restart is needed.
    store.ready().await.unwrap();
    store.writer.write(note).await.unwrap();
    assert!(noted(&store).await);
}

#[tokio::test]
async fn a_set_of_fields_whose_batch_failed_is_written_again() {
    fn keep(batch: &mut Batch<'_>) -> Done {
        let fields = ["id".to_owned()].into_iter().collect();
        batch.kept(&fields)?;
        Ok(())
    }
    let (_folder, options, store) = open();
    let store = Arc::new(store);
    let answers = one_batch(&store, vec![keep, fill_the_disk]).await;
    assert!(answers.iter().all(Result::is_err));
    store.writer.write(keep).await.unwrap();
    let conn = Connection::open(&options.path).unwrap();
    let fields: String = conn
        .query_row("SELECT fields FROM kept", [], |row| row.get(0))
        .unwrap();
    assert_eq!(fields, r#"["id"]"#);
}

#[tokio::test]
async fn a_commit_that_one_command_spoils_is_done_without_it() {
    let (_folder, _, store) = open();
    let store = Arc::new(store);
    let answers = one_batch(&store, vec![note, break_a_promise_at_commit, note]).await;
    let well: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(well, [true, false, true]);
    assert!(noted(&store).await);
}

#[tokio::test]
async fn a_panic_fails_its_command_and_neither_its_batch_nor_the_store() {
    let (_folder, _, store) = open();
    let store = Arc::new(store);
    let answers = one_batch(&store, vec![note, panic, note]).await;
    let well: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(well, [true, false, true]);
    assert!(noted(&store).await);
    store.ready().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_went_away_works_again_once_it_is_back() {
    let (folder, options, store) = open();
    assert!(store.writer.write(fill_the_disk).await.is_err());
    let aside = folder.path().join("aside");
    std::fs::rename(&options.path, &aside).unwrap();
    assert!(matches!(
        store.ready().await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(matches!(
        store.ready().await,
        Err(StoreError::Unavailable(_))
    ));
    std::fs::rename(&aside, &options.path).unwrap();
    store.ready().await.unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_told_as_damage_with_what_to_do() {
    let (_folder, _, store) = open();
    let damage = |batch: &mut Batch<'_>| {
        let lane = batch.name(&"crm".into())?;
        batch
            .conn
            .execute("INSERT INTO lane VALUES (?1, 77, 0, '', 0, 0)", [lane])?;
        Ok(())
    };
    store.writer.write(damage).await.unwrap();
    let told = store.lease(&["crm".into()]).await;
    assert!(matches!(told, Err(StoreError::Corrupt(what)) if what.contains("backup")));
}

#[tokio::test]
async fn numbers_are_not_given_twice_after_the_newest_rows_are_gone() {
    let (_folder, options, store) = open();
    let take = |batch: &mut Batch<'_>| {
        let (seq, subject, name) = (
            batch.next_seq(),
            batch.next_subject(),
            batch.name(&"n".into())?,
        );
        batch.conn.execute(
            "INSERT INTO event (seq, id, source, type, revision, received_at)
             VALUES (?1, randomblob(16), ?2, 't', 1, 0)",
            [seq, name],
        )?;
        batch.conn.execute(
            "INSERT INTO subject VALUES (?1, 0, ?2, 's', 1, ?3, x'')",
            [subject, name, seq],
        )?;
        Ok((seq, subject))
    };
    let forget = |batch: &mut Batch<'_>| {
        batch
            .conn
            .execute_batch("DELETE FROM event; DELETE FROM subject")?;
        Ok(())
    };
    let first = store.writer.write(take).await.unwrap();
    let second = store.writer.write(take).await.unwrap();
    store.writer.write(forget).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&options).unwrap();
    let third = store.writer.write(take).await.unwrap();
    assert_eq!([first, second, third], [(1, 1), (2, 2), (3, 3)]);
}

fn plan() -> AcceptPlan {
    let crm = NewDelivery {
        destination: "crm".into(),
        route: "everything".into(),
        skipped: None,
        due_at: Timestamp::UNIX_EPOCH,
        supersedes: false,
        settle_by: None,
        takes_up: false,
    };
    AcceptPlan {
        event: Arc::new(Event {
            id: Mint::default().event(Timestamp::UNIX_EPOCH, 1),
            source: "jobmojito".into(),
            event_type: EventType::new("interview.submitted"),
            subject: Subject::new("s-1").ok(),
            revision: 1,
            changed: Vec::new(),
            candidate: None,
            received_at: Timestamp::UNIX_EPOCH,
            route_errors: Vec::new(),
        }),
        payload: "{}".into(),
        kept: None,
        fields: FieldDigests::default(),
        trace: None,
        deliveries: vec![crm],
    }
}

#[tokio::test]
async fn what_lost_its_payload_is_known_but_not_sent() {
    let (_folder, _, store) = open();
    let plan = plan();
    let id = plan.event.id.delivery(0);
    store.accept(plan.clone()).await.unwrap();
    let forget = |batch: &mut Batch<'_>| Ok(batch.conn.execute("DELETE FROM payload", [])?);
    store.writer.write(forget).await.unwrap();
    let work = store.work(id, Since::LastSent).await;
    assert!(
        matches!(work, Err(StoreError::Payload(_))),
        "it waits, and asking again would not help"
    );

    let settlement = Settlement {
        gone: None,
        delivery: id,
        fence: Fence(store.identity.generation),
        attempt: None,
        outcome: Outcome::Dead {
            cause: Cause::Rejected,
            reason: String::new(),
        },
        at: Timestamp::UNIX_EPOCH,
    };
    store.settle(settlement).await.unwrap();
    let act = Act {
        what: What::Replay {
            deliveries: vec![id],
            how: Replay {
                force: true,
                ..Replay::default()
            },
        },
        now: Timestamp::UNIX_EPOCH,
        dry_run: false,
        turn: None,
    };
    let acts = store.act(act).await.unwrap();
    assert_eq!(acts.all[0].outcome, Err(Refusal::NoPayload));
    let detail = store.event(id.event).await.unwrap().unwrap();
    assert!(detail.payload.is_none());
    let AcceptOutcome::Stale(head) = store.accept(plan).await.unwrap() else {
        panic!("revision 1 is known");
    };
    assert!(head.payload.is_none());
}

#[tokio::test]
async fn a_page_ends_early_where_what_is_asked_for_is_rare_and_the_next_goes_on() {
    let (_folder, _, store) = open();
    let mint = Mint::default();
    let mut ids = Vec::new();
    for number in 1..=7 {
        let mut plan = plan();
        let event = Arc::make_mut(&mut plan.event);
        event.id = mint.event(Timestamp::UNIX_EPOCH, 1);
        event.subject = Subject::new(&format!("s-{number}")).ok();
        event.event_type = EventType::new(if number == 1 { "rare" } else { "usual" });
        ids.push(event.id.delivery(0));
        store.accept(plan).await.unwrap();
    }
    let mut filter = DeliveryFilter {
        event_type: Some(EventType::new("rare")),
        ..DeliveryFilter::default()
    };
    let key = store.identity.key.clone();
    let search = Search {
        limit: Limit::default(),
        looks: 3,
    };
    let mut pages = Vec::new();
    loop {
        let (key, asked) = (key.clone(), filter.clone());
        let page = store
            .readers
            .read(move |view| deliveries::deliveries(view, &key, &asked, search))
            .await
            .unwrap();
        pages.push(page.items.iter().map(|one| one.id).collect::<Vec<_>>());
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![], vec![], vec![ids[0]]]);
    let asked = EventFilter {
        event_type: Some(EventType::new("rare")),
        ..EventFilter::default()
    };
    let page = store
        .readers
        .read(move |view| events::events(view, &key, &asked, search))
        .await
        .unwrap();
    assert!(page.items.is_empty());
    assert_eq!(page.next, Some(Cursor(ids[4])));
}

#[test]
fn the_file_is_set_up_as_promised() {
    let (_folder, options, store) = open();
    let ask = |conn: &Connection, pragma: &str| -> String {
        conn.pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
    };
    let conn = super::file::open_writer(&options.path, false).unwrap();
    for (pragma, expect) in [
        ("journal_mode", "Text(\"wal\")"),
        ("synchronous", "Integer(2)"),
        ("foreign_keys", "Integer(1)"),
        ("secure_delete", "Integer(1)"),
        ("auto_vacuum", "Integer(2)"),
        ("page_size", "Integer(4096)"),
    ] {
        assert_eq!(ask(&conn, pragma), expect, "{pragma}");
    }
    let reader = super::file::open_reader(&options.path).unwrap();
    assert!(reader.execute("DELETE FROM meta", []).is_err());
    drop(store);
}
