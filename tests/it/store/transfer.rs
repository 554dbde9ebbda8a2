//! A store that was moved from a file into a database is the same store.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;
use mojito_relay::model::{Kept, LaneState, Limit, State};
use mojito_relay::store::postgres::Target;
use mojito_relay::store::sqlite::Source;
use mojito_relay::store::{
    DeliveryFilter, Doing, EventFilter, LaneRecord, Listen, SealKey, Since, Stage, Task,
    Transferred, Wanted, Whose, transfer,
};
use tokio::sync::Notify;

const LANES: [&str; 4] = ["crm", "ats", "slack", "hiring"];

fn ring() -> Keyring {
    Keyring::new(vec![SealKey::new(&[9; 32])], true)
}

fn path(home: &Home) -> PathBuf {
    home.options.sqlite().path.clone()
}

fn source(home: &Home) -> Result<Source, StoreError> {
    Source::open(&path(home), Arc::new(ManualClock::new(at(0))))
}

/// Waits for the last reader of a move that was broken off.
async fn free_source(home: &Home) -> Source {
    loop {
        match source(home) {
            Err(StoreError::InUse(_)) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

/// A relay is started on the file again, which it should not be.
async fn open_again(home: &mut Home) {
    drop(free_source(home).await);
    home.store = Some(home.options.open().await.unwrap());
}

async fn moved(home: &Home, url: &str) -> Result<Transferred, StoreError> {
    moved_telling(home, url, &mut |_| {}).await
}

async fn moved_telling(
    home: &Home,
    url: &str,
    tell: &mut (dyn FnMut(Stage) + Send),
) -> Result<Transferred, StoreError> {
    let source = free_source(home).await;
    let mut target = Target::open(&PostgresUrl::parse(url).unwrap()).await?;
    transfer(&source, &mut target, tell).await
}

fn options(url: &str, key: u8) -> PostgresOptions {
    PostgresOptions {
        url: PostgresUrl::parse(url).unwrap(),
        key: [key; 32],
        seals: ring(),
        name: "test".to_owned(),
        clock: Arc::new(ManualClock::new(at(0))),
        on_commit: None,
    }
}

/// The store that was moved to this URL, under the keys that sealed its payloads.
async fn opened(url: &str) -> Home {
    let options = Options::Postgres(Box::new(options(url, 1)), url.to_owned());
    Home {
        store: Some(options.open().await.unwrap()),
        options,
        commits: Arc::default(),
        folder: TempDir::new().unwrap(),
    }
}

/// A store with something in every table: plain, sealed and minimised payloads, and deliveries in every state.
async fn full() -> Home {
    let mut home = Home::sqlite();
    let mut first = plan("s-1", 1, 0, &["crm", "ats", "slack"]);
    let event = Arc::make_mut(&mut first.event);
    event.candidate = Some("c-1\0\u{feff}".to_owned());
    first.deliveries[2].skipped = Some("no candidate".to_owned());
    let first = home.accepted(first).await;
    *home.options.seals() = ring();
    home.reopen().await;
    home.settled(first.placed[0].id, 1, retry(9, false)).await;
    home.settled(first.placed[0].id, 2, delivered(Some("note-1")))
        .await;
    home.settled(first.placed[1].id, 3, dead()).await;
    let mut second = superseding("s-1", 2, 10, &["crm", "ats"]);
    second.deliveries[0].settle_by = Some(at(90));
    second.kept = Some(
        ["id", "score"]
            .map(str::to_owned)
            .into_iter()
            .collect::<Kept>(),
    );
    let second = home.accepted(second).await;
    home.mark_unconfirmed(second.placed[0].id.event, digests(&[("score", 2)]))
        .await
        .unwrap();
    let mut third = superseding("s-1", 3, 20, &["crm"]);
    third.payload = Bytes::from_static(b"\0\xff\xfe");
    home.accepted(third).await;
    let mut odd = plan("", 1, 21, &["hiring"]);
    let event = Arc::make_mut(&mut odd.event);
    event.event_type = EventType::new("odd\0type");
    event.candidate = Some("c-2".to_owned());
    let odd = home.accepted(odd).await.placed[0].id;
    let mut outcome = dead();
    if let Outcome::Dead { reason, .. } = &mut outcome {
        "it said \0".clone_into(reason);
    }
    home.settled(odd, 22, outcome).await;
    for (at, subject) in (30..).zip(["s-2", "s-3", "s-4", "s-5"]) {
        home.accepted(plan(subject, 1, at, &["crm", "ats"])).await;
    }
    let mut collected = plan("s-6", 1, 40, &[]);
    Arc::make_mut(&mut collected.event).event_type = EventType::new("interview.collected");
    home.accepted(collected).await;
    erasures(&home).await;
    operators(&home).await;
    home
}

/// One that is over, and one that is half done.
async fn erasures(home: &Home) {
    let of = |subject: &str| Whose::Subject {
        subject: subject.to_owned(),
        source: None,
    };
    let condemned = home.condemn(of("s-4"), at(50)).await.unwrap();
    home.erase(condemned, at(51)).await.unwrap();
    home.condemn(of("s-5"), at(52)).await.unwrap();
}

async fn operators(home: &Home) {
    let filter = DeliveryFilter::default();
    home.begin_job(Task::Discard { filter }, true, at(60))
        .await
        .unwrap();
    home.save_lane(LaneRecord {
        destination: "ats".into(),
        state: LaneState::Blocked,
        paused: true,
        reason: "401\0".to_owned(),
        since: at(61),
        stood_still: Duration::from_secs(7),
    })
    .await
    .unwrap();
}

/// All that the outside can ask, as text.
async fn everything(home: &Home) -> String {
    let mut told = format!("{:?}\n", home.key().as_bytes());
    let all = Limit::default();
    let events = home.events(EventFilter::default(), all).await.unwrap();
    let deliveries = home.deliveries(DeliveryFilter::default(), all).await;
    writeln!(told, "{events:#?}\n{:#?}", deliveries.unwrap()).unwrap();
    for event in &events.items {
        writeln!(told, "{:#?}", home.event(event.id).await.unwrap()).unwrap();
    }
    for destination in LANES {
        for ordered in [true, false] {
            let due = home.due(&destination.into(), at(999), 99, ordered).await;
            let due = due.unwrap();
            writeln!(told, "{destination} {due:#?}").unwrap();
            for one in ids(&due.items) {
                for since in [Since::LastSent, Since::PreviousRevision] {
                    writeln!(told, "{:#?}", home.work(one, since).await.unwrap()).unwrap();
                }
            }
        }
    }
    for lane in home.lease(&LANES.map(Into::into)).await.unwrap() {
        writeln!(told, "{:#?}", lane.lane).unwrap();
    }
    let mut tallies = home.tallies(at(99)).await.unwrap();
    tallies.sort_by_key(|tally| tally.destination.clone());
    writeln!(told, "{tallies:#?} {}", home.waiting()).unwrap();
    writeln!(told, "{:#?}", home.jobs(true).await.unwrap()).unwrap();
    let asked = Listen {
        source: "jobmojito".into(),
        collected_by: Some(at(99)),
    };
    writeln!(told, "{:#?}", home.heard(vec![asked]).await.unwrap()).unwrap();
    let wanted = Wanted {
        destination: "crm".into(),
        fields: None,
    };
    writeln!(told, "{:#?}", home.lacking(vec![wanted]).await.unwrap()).unwrap();
    writeln!(told, "{:#?}", home.sealing().await.unwrap()).unwrap();
    // The one difference: text in a database holds no zero character, and these are words that are only shown.
    told.replace("it said \\0", "it said \u{fffd}")
        .replace("401\\0", "401\u{fffd}")
}

#[tokio::test]
async fn a_store_that_was_moved_is_the_same_store_and_works_on() {
    let mut old = full().await;
    let before = everything(&old).await;
    old.close().await;
    let bytes = std::fs::read(path(&old)).unwrap();
    let url = postgres::shared().url();
    let told = moved(&old, &url).await.unwrap();
    assert_eq!(told.of("event"), 9 - 1);
    assert!(told.rows.iter().all(|(_, rows)| *rows > 0), "{told:?}");
    assert_eq!(told.before, 0);
    assert_eq!(std::fs::read(path(&old)).unwrap(), bytes);

    let mut keyless = options(&url, 1);
    keyless.seals = Keyring::default();
    let refused = PostgresStore::open(&keyless).await;
    let Err(StoreError::KeyMissing { .. }) = refused else {
        panic!("{refused:?}");
    };
    let new = opened(&url).await;
    similar(&before, &everything(&new).await);
    for subject in ["s-4", "s-5"] {
        let outcome = new.accept(plan(subject, 1, 70, &["crm"])).await.unwrap();
        assert!(matches!(outcome, AcceptOutcome::Erased), "{outcome:?}");
    }
    let head = stale(new.accept(plan("s-1", 1, 71, &["crm"])).await);
    assert_eq!((head.revision, head.fields), (3, digests(&[("score", 3)])));
    let lost = &head.unconfirmed[0];
    assert!(new.take_unconfirmed(lost.event).await.unwrap());
    let unfinished = new.condemn(Whose::Unfinished, at(72)).await.unwrap();
    assert_eq!(new.erase(unfinished, at(73)).await.unwrap().events, 1);
    works_on(&new).await;
    open_again(&mut old).await;
    similar(&before, &everything(&old).await);
    old.leave().await;
    new.leave().await;
}

/// What is new gets numbers of its own; what waited is settled, and what ended is sent again.
async fn works_on(new: &Home) {
    let next = new
        .accepted(superseding("s-1", 4, 80, &["crm", "elsewhere"]))
        .await;
    assert_eq!(next.superseded.len(), 1);
    new.settled(next.placed[0].id, 81, delivered(None)).await;
    new.accepted(plan("s-9", 1, 82, &["crm"])).await;
    let waiting = new.due_ids("ats", 999, true).await;
    new.settled(waiting[0], 83, delivered(Some("note-9"))).await;
    let replayed = new.replayed(waiting[0], 84, Replay::default()).await;
    assert!(replayed.is_ok(), "{replayed:?}");
    assert_eq!(new.state(waiting[0]).await, State::Waiting);
    let filter = DeliveryFilter::default();
    let job = new.begin_job(Task::Discard { filter }, true, at(85));
    let job = job.await.unwrap();
    assert_eq!(new.jobs(true).await.unwrap()[0].id, job.id);
    new.ready().await.unwrap();
}

/// Compares line by line: a difference of two long texts says nothing.
fn similar(one: &str, other: &str) {
    for (at, (one, other)) in one.lines().zip(other.lines()).enumerate() {
        assert_eq!(one, other, "line {at}");
    }
    assert_eq!(one.lines().count(), other.lines().count());
}

#[tokio::test]
async fn numbers_that_were_given_out_are_not_given_again() {
    let mut old = Home::sqlite();
    old.accepted(plan("s-1", 1, 0, &["crm"])).await;
    old.accepted(plan("s-2", 1, 1, &["crm"])).await;
    let whose = Whose::Subject {
        subject: "s-2".to_owned(),
        source: None,
    };
    let condemned = old.condemn(whose, at(2)).await.unwrap();
    old.erase(condemned, at(3)).await.unwrap();
    old.close().await;
    let url = postgres::shared().url();
    moved(&old, &url).await.unwrap();
    let new = opened(&url).await;
    new.accepted(plan("s-3", 1, 4, &["crm"])).await;
    let client = postgres::connect(&url).await;
    let sql = "SELECT max(seq), (SELECT max(id) FROM subject) FROM event";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 3));
    old.leave().await;
    new.leave().await;
}

/// Begins a move and breaks it off when it has told so many times; true where it was done before that.
async fn broken_off(home: &Home, url: &str, after: usize) -> bool {
    let (enough, mut told) = (Notify::new(), 0);
    let mut tell = |_| {
        told += 1;
        if told == after {
            enough.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = enough.notified() => false,
        done = moved_telling(home, url, &mut tell) => {
            done.unwrap();
            true
        }
    }
}

#[tokio::test]
async fn a_move_that_is_broken_off_anywhere_goes_on_and_ends_the_same() {
    let mut old = full().await;
    for n in 0..6 {
        let mut large = plan(&format!("large-{n}"), 1, 100 + n, &["hiring"]);
        large.payload = vec![b'x'; 1 << 20].into();
        old.accepted(large).await;
    }
    let before = everything(&old).await;
    old.close().await;
    let url = postgres::shared().url();
    let mut tries = 0;
    while !broken_off(&old, &url, 1 + tries * 4).await {
        tries += 1;
        let refused = PostgresStore::open(&options(&url, 1)).await;
        let Err(StoreError::HalfMoved(_)) = &refused else {
            panic!("{refused:?}");
        };
        let words = refused.unwrap_err().to_string();
        assert!(words.contains("relay migrate-store"), "{words}");
        let looked = mojito_relay::store::postgres::look(&options(&url, 1).url).await;
        assert!(
            matches!(looked, Err(StoreError::HalfMoved(_))),
            "{looked:?}"
        );
    }
    assert!(tries > 6, "{tries}");
    let new = opened(&url).await;
    similar(&before, &everything(&new).await);
    old.leave().await;
    new.leave().await;
}

#[tokio::test]
async fn what_was_copied_is_not_copied_again_unless_the_source_was_opened_since() {
    let mut old = full().await;
    old.close().await;
    let url = postgres::shared().url();
    assert!(!broken_off(&old, &url, 12).await);
    let client = postgres::connect(&url).await;
    // A relay that was started in between has changed rows that were copied already.
    open_again(&mut old).await;
    let waiting = old.due_ids("crm", 999, true).await;
    old.settled(waiting[0], 200, dead()).await;
    let before = everything(&old).await;
    old.close().await;
    assert!(!broken_off(&old, &url, 14).await);
    let told = moved(&old, &url).await.unwrap();
    assert!(told.before > 0 && told.before < told.total(), "{told:?}");
    let new = opened(&url).await;
    similar(&before, &everything(&new).await);
    let marks = "SELECT count(*) FROM meta WHERE key = 'moving' OR number > 1000";
    let marks: i64 = client.query_one(marks, &[]).await.unwrap().get(0);
    assert_eq!(marks, 0);
    old.leave().await;
    new.leave().await;
}

#[tokio::test]
async fn rows_that_were_changed_on_the_way_are_found_and_the_next_try_begins_anew() {
    let mut old = full().await;
    old.close().await;
    let url = postgres::shared().url();
    let client = postgres::connect(&url).await;
    let source = free_source(&old).await;
    let mut target = Target::open(&PostgresUrl::parse(&url).unwrap())
        .await
        .unwrap();
    let comparing = Notify::new();
    let mut tell = |stage: Stage| {
        if stage.doing == Doing::Copying && stage.table == "job" {
            comparing.notify_one();
        }
    };
    let change = async {
        comparing.notified().await;
        let sql = "UPDATE delivery SET tries = tries + 1 WHERE number = 0";
        client.batch_execute(sql).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(transfer(&source, &mut target, &mut tell), change);
    let Err(StoreError::Corrupt(words)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(words.contains("delivery is not the same"), "{words}");
    drop((source, target));
    let told = moved(&old, &url).await.unwrap();
    assert_eq!(told.before, 0);
    opened(&url).await.leave().await;
    old.leave().await;
}

#[tokio::test]
async fn a_source_that_is_in_use_missing_foreign_or_of_an_older_relay_is_refused() {
    let mut old = full().await;
    let refused = source(&old);
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    old.close().await;
    let held = source(&old).unwrap();
    let refused = old.options.open().await.map(drop);
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    drop(held);
    let clock = || Arc::new(ManualClock::new(at(0)));
    let missing = path(&old).with_file_name("other.db");
    let words = Source::open(&missing, clock()).unwrap_err().to_string();
    assert!(words.contains("no such file"), "{words}");
    assert!(!missing.exists());
    let conn = rusqlite::Connection::open(path(&old)).unwrap();
    conn.pragma_update(None, "user_version", 6).unwrap();
    let words = source(&old).unwrap_err().to_string();
    assert!(words.contains("an older relay wrote it"), "{words}");
    conn.pragma_update(None, "user_version", 7).unwrap();
    drop(conn);
    old.leave().await;
}

#[tokio::test]
async fn a_target_that_holds_something_else_is_refused() {
    let mut old = full().await;
    old.close().await;
    let foreign = Home::postgres().await;
    foreign.accepted(plan("s-1", 1, 0, &["crm"])).await;
    let Options::Postgres(_, url) = &foreign.options else {
        unreachable!();
    };
    // Of the same key, then of another.
    let words = moved(&old, url).await.unwrap_err().to_string();
    assert!(words.contains("there already"), "{words}");
    let client = postgres::connect(url).await;
    let sql = "UPDATE meta SET bytes = decode(repeat('ab', 32), 'hex') WHERE key = 'store_key'";
    client.batch_execute(sql).await.unwrap();
    let words = moved(&old, url).await.unwrap_err().to_string();
    assert!(words.contains("another store in it"), "{words}");
    assert_eq!(foreign.count_rows("event").await, 1);
    foreign.leave().await;

    let url = postgres::shared().url();
    assert!(!broken_off(&old, &url, 9).await);
    let client = postgres::connect(&url).await;
    client.batch_execute(sql).await.unwrap();
    let words = moved(&old, &url).await.unwrap_err().to_string();
    assert!(words.contains("another store is being moved"), "{words}");

    let url = postgres::shared().url();
    assert!(!broken_off(&old, &url, 9).await);
    let client = postgres::connect(&url).await;
    let sql = "UPDATE meta SET number = number + 1 WHERE key = 'schema'";
    client.batch_execute(sql).await.unwrap();
    let words = moved(&old, &url).await.unwrap_err().to_string();
    assert!(words.contains("another version"), "{words}");
    old.leave().await;
}
