//! A database with hundreds of thousands of rows: no question of the hot paths, and none of people, walks them.

use super::*;
use crate::postgres::Cluster;
use mojito_relay::model::{Limit, State};
use mojito_relay::store::{
    DeliveryFilter, EventFilter, Keep, Listen, Move, Since, Sweep, Swept, Wanted, Whose,
};

const ROWS: i64 = 200_000;

/// Half of the deliveries wait, half are delivered; all are of one destination.
async fn fill(url: &str) {
    let client = postgres::connect(url).await;
    let names = "SELECT (SELECT id FROM name WHERE text = 'jobmojito'), (SELECT id FROM name WHERE text = 'crm'), \
                 (SELECT id FROM name WHERE text = 'everything')";
    let names = client.query_one(names, &[]).await.unwrap();
    let [source, crm, route] = [0, 1, 2].map(|at| names.get::<_, i32>(at));
    let start = at(0).as_millisecond();
    let id = |n: &str| {
        format!("decode(lpad(to_hex({start} + {n}), 12, '0') || lpad(to_hex({n}), 20, '0'), 'hex')")
    };
    let (seq_id, half) = (id("n"), ROWS / 2);
    client
        .batch_execute(&format!(
            "SET synchronous_commit TO off;
             INSERT INTO subject (id, digest, source, subject, revision, latest_seq, fields) OVERRIDING SYSTEM VALUE
                 SELECT n, sha256(n::text::bytea), {source}, ('bulk-' || n)::bytea, 1, n, '' FROM generate_series(1000, {ROWS} + 999) AS n;
             INSERT INTO event (seq, id, source, type, subject, revision, received_at) OVERRIDING SYSTEM VALUE
                 SELECT n, {seq_id}, {source}, 'interview.submitted', n, 1, {start} + n FROM generate_series(1000, {ROWS} + 999) AS n;
             INSERT INTO payload (seq, body) SELECT n, '{{}}' FROM generate_series(1000, {ROWS} + 999) AS n;
             INSERT INTO delivery (event_seq, number, destination, route, subject, state, due_at, created_at)
                 SELECT n, 0, {crm}, {route}, n, n % 2,
                        CASE WHEN n % 2 = 0 THEN {start} + n END, {start} + n
                 FROM generate_series(1000, {ROWS} + 999) AS n;
             INSERT INTO tally (state, destination, slot, count) VALUES (0, {crm}, 99, {half}), (1, {crm}, 99, {half});
             SELECT setval(pg_get_serial_sequence('event', 'seq'), {ROWS} + 2000), setval(pg_get_serial_sequence('subject', 'id'), {ROWS} + 2000);"
        ))
        .await
        .unwrap();
}

/// Rows that were read in all so far, once no relay is connected any more: then all is counted.
async fn rows_read(url: &str) -> i64 {
    let client = postgres::connect(url).await;
    let alone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mojito-relay'";
    while client.query_one(alone, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
    let read = "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = current_schema()) \
                     + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = current_schema())";
    let client = postgres::connect(url).await;
    let read = format!("SELECT coalesce(({read}), 0)::bigint");
    client.query_one(&read, &[]).await.unwrap().get(0)
}

fn keep() -> Keep {
    let day = Duration::from_hours(24);
    Keep {
        delivered: day,
        dead: day,
        other: day,
        ledger: day * 400,
        types: std::collections::BTreeMap::new(),
    }
}

/// What a relay does with every event.
async fn hot(store: &Home, whose: &str) {
    let mut first = plan(whose, 1, 0, &["crm", "ats", "slack"]);
    Arc::make_mut(&mut first.event).candidate = Some(whose.to_owned());
    let first = store.accepted(first).await;
    stale(store.accept(plan(whose, 1, 1, &["crm"])).await);
    let second = store
        .accepted(superseding(whose, 2, 1, &["crm", "ats"]))
        .await;
    let crm = "crm".into();
    let due = store
        .due(&crm, later(0, minutes(60)), 50, true)
        .await
        .unwrap();
    assert_eq!(due.items.len(), 50);
    let due = ids(&due.items);
    let works = store.works(due.clone(), Since::LastSent, 1 << 20).await;
    assert_eq!(works.unwrap().len(), 50);
    store
        .work(second.placed[0].id, Since::LastSent)
        .await
        .unwrap();
    for (at, id) in (0..).zip(due) {
        let outcome = match at % 3 {
            0 => delivered(None),
            1 => retry(9_000_000, true),
            _ => dead(),
        };
        store.settled(id, at, outcome).await;
    }
    store
        .release(&crm, later(0, minutes(60)), 20)
        .await
        .unwrap();
    let event = first.placed[0].id.event;
    store.mark_unconfirmed(event, digests(&[])).await.unwrap();
    store.take_unconfirmed(event).await.unwrap();
    store.ready().await.unwrap();
}

/// What people, upkeep and operators ask for.
async fn asked(store: &Home, whose: &str) {
    store.tallies(at(0)).await.unwrap();
    let limit = Limit::default();
    for oldest_first in [false, true] {
        let events = EventFilter {
            oldest_first,
            ..EventFilter::default()
        };
        let page = store.events(events.clone(), limit).await.unwrap();
        let further = EventFilter {
            cursor: page.next,
            ..events
        };
        store.events(further, limit).await.unwrap();
        for state in [
            None,
            Some(State::Waiting),
            Some(State::Dead),
            Some(State::Delivered),
        ] {
            let deliveries = DeliveryFilter {
                state,
                oldest_first,
                ..DeliveryFilter::default()
            };
            let at_crm = DeliveryFilter {
                destination: Some("crm".to_owned()),
                ..deliveries.clone()
            };
            for filter in [deliveries, at_crm] {
                store.deliveries(filter, Limit::ONE).await.unwrap();
            }
        }
    }
    let named = EventFilter {
        candidate: Some(whose.to_owned()),
        ..EventFilter::default()
    };
    let event = store.events(named, limit).await.unwrap().items.remove(0);
    store.event(event.id).await.unwrap().unwrap();
    let wanted = Wanted {
        destination: "crm".into(),
        fields: None,
    };
    store.lacking(vec![wanted]).await.unwrap();
    let listen = Listen {
        source: "jobmojito".into(),
        collected_by: Some(at(0)),
    };
    store.heard(vec![listen]).await.unwrap();
}

async fn kept_up(store: &Home, whose: &str) {
    let keep = keep();
    let sweep = Sweep {
        keep: &keep,
        now: later(0, Duration::from_hours(48)),
        after: Swept::default(),
        limit: 200,
    };
    store.sweep(sweep).await.unwrap();
    let step = Move {
        from: "crm".into(),
        to: "new".into(),
        except: [].into(),
        limit: 100,
        receipts_after: ROWS * 2,
    };
    assert_eq!(store.move_backlog(step).await.unwrap().deliveries, 100);
    let whose = Whose::Candidate(whose.to_owned());
    let condemned = store.condemn(whose, at(0)).await.unwrap();
    assert_eq!(store.erase(condemned, at(0)).await.unwrap().events, 2);
    store.reseal().await.unwrap();
}

#[tokio::test]
async fn no_question_walks_a_table_of_hundreds_of_thousands() {
    let cluster = Cluster::start();
    let url = cluster.url();
    let mut store = Home::at(url.clone()).await;
    store.accepted(plan("s-0", 1, 0, &["crm"])).await;
    store.close().await;
    fill(&url).await;
    // First without statistics of what just came in.
    for (whose, analysed) in [("s-new", false), ("s-newer", true)] {
        if analysed {
            postgres::connect(&url)
                .await
                .batch_execute("ANALYZE")
                .await
                .unwrap();
        }
        let mut before = rows_read(&url).await;
        for (what, bound) in [("hot", 5_000), ("asked", 30_000), ("kept up", 5_000)] {
            store = Home::at(url.clone()).await;
            match what {
                "hot" => hot(&store, whose).await,
                "asked" => asked(&store, whose).await,
                _ => kept_up(&store, whose).await,
            }
            store.close().await;
            let after = rows_read(&url).await;
            let read = after - before;
            assert!(
                read < bound,
                "{what}, analysed: {analysed}: {read} rows were read"
            );
            before = after;
        }
    }
    store = Home::at(url).await;
    store.leave().await;
}
