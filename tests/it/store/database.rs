//! What only a store in a database can get wrong: relays that share it, leases, schemas, and a database that goes away.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::*;
use crate::postgres::{Cluster, Proxy};
use mojito_relay::model::State;

/// As many relays on one schema.
async fn relays(count: usize) -> Vec<Home> {
    let url = postgres::shared().url();
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Home::at(url.clone()).await);
    }
    all
}

async fn leave(all: Vec<Home>) {
    let last = all.len() - 1;
    for (at, mut home) in all.into_iter().enumerate() {
        if at == last {
            home.leave().await;
        } else {
            home.close().await;
        }
    }
}

#[tokio::test]
async fn equal_plans_at_different_relays_at_one_instant_are_one_event() {
    let all = relays(3).await;
    for round in 0..20 {
        let subject = format!("s-{round}");
        let mut tasks = tokio::task::JoinSet::new();
        for home in &all {
            for _ in 0..4 {
                let (store, subject) = (home.shared(), subject.clone());
                tasks.spawn(async move { store.accept(plan(&subject, 1, 0, &["crm"])).await });
            }
        }
        let outcomes = tasks.join_all().await;
        let won: Vec<EventId> = outcomes
            .iter()
            .filter_map(|outcome| match outcome.as_ref().unwrap() {
                AcceptOutcome::Accepted(accepted) => Some(accepted.placed[0].id.event),
                AcceptOutcome::Stale(_) | AcceptOutcome::Erased => None,
            })
            .collect();
        assert_eq!(won.len(), 1);
        for outcome in outcomes {
            if let AcceptOutcome::Stale(head) = outcome.unwrap() {
                assert_eq!((head.event, head.revision), (won[0], 1));
            }
        }
    }
    leave(all).await;
}

#[tokio::test]
async fn revisions_have_no_gaps_whichever_relay_takes_them() {
    let all = relays(3).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (at, home) in (0_i64..).zip(&all) {
        for worker in 0..3 {
            let store = home.shared();
            tasks.spawn(async move {
                let mut taken = Vec::new();
                for n in 0..20_i64 {
                    let subject = format!("s-{}", (n + worker) % 5);
                    let mut revision = 1;
                    loop {
                        let millis = at * 1_000 + worker * 100 + n;
                        let mut plan = superseding(&subject, revision, millis, &["crm", "ats"]);
                        plan.deliveries[1].supersedes = false;
                        match store.accept(plan).await.unwrap() {
                            AcceptOutcome::Stale(head) => revision = head.revision + 1,
                            AcceptOutcome::Accepted(_) => break,
                            AcceptOutcome::Erased => panic!("nobody was erased"),
                        }
                    }
                    taken.push((subject, revision));
                }
                taken
            });
        }
    }
    let taken: Vec<(String, u32)> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 180);
    let different: BTreeSet<_> = taken.iter().cloned().collect();
    assert_eq!(different.len(), 180, "no revision twice");
    for n in 0..5 {
        let subject = format!("s-{n}");
        let own = taken.iter().filter(|(of, _)| *of == subject);
        let highest = own.clone().map(|(_, revision)| *revision).max().unwrap();
        assert_eq!(own.count(), highest as usize, "no gap");
    }
    // One delivery of each subject waits where a newer one takes the place, and all where not.
    all[0].tallies(at(0)).await.unwrap();
    assert_eq!(all[0].waiting(), 5 + 180);
    leave(all).await;
}

#[tokio::test]
async fn what_several_relays_do_at_once_is_counted_once() {
    let all = relays(3).await;
    let mut tasks = tokio::task::JoinSet::new();
    let fence = all[0].fence().await;
    for (at, home) in (0_i64..).zip(&all) {
        for n in 0..30 {
            let (store, owner) = (home.shared(), all[0].shared());
            tasks.spawn(async move {
                let plan = plan(&format!("s-{at}-{n}"), 1, n, &["crm", "ats"]);
                let placed = accepted(store.accept(plan).await).placed;
                let settlement = Settlement {
                    delivery: placed[0].id,
                    fence,
                    attempt: Some(attempt(n, Verdict::Accepted)),
                    outcome: delivered(None),
                    gone: None,
                    at: super::at(n),
                };
                assert_eq!(
                    owner.settle(settlement).await.unwrap().state,
                    State::Delivered
                );
            });
        }
    }
    tasks.join_all().await;
    for home in &all {
        home.tallies(at(0)).await.unwrap();
        assert_eq!(home.waiting(), 90);
    }
    leave(all).await;
}

/// Lets the leases of a relay run out, as when it was paused or killed.
async fn run_out(home: &Home) {
    let Options::Postgres(_, url) = &home.options else {
        panic!("it is in a file");
    };
    let client = postgres::connect(url).await;
    let sql = "UPDATE replica SET until = clock_timestamp() - interval '1 ms'";
    client.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_lane_has_one_owner_and_what_another_settles_is_void() {
    let all = relays(2).await;
    let crm = ["crm".into()];
    let id = all[0].accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
    let first = all[0].lease(&crm).await.unwrap()[0].fence;
    run_out(&all[0]).await;
    let second = all[1].lease(&crm).await.unwrap()[0].fence;
    assert!(second > first);
    let settle = |home: &Home, fence: Fence| {
        let store = home.shared();
        let settlement = Settlement {
            delivery: id,
            fence,
            attempt: Some(attempt(fence.0.cast_signed(), Verdict::Retry)),
            outcome: retry(5, false),
            gone: None,
            at: at(1),
        };
        async move { store.settle(settlement).await }
    };
    assert!(matches!(
        settle(&all[0], first).await,
        Err(StoreError::Fenced)
    ));
    settle(&all[1], second).await.unwrap();
    // It comes back to the first under a number that is new, so that what that one began before stays void.
    run_out(&all[1]).await;
    let third = all[0].lease(&crm).await.unwrap()[0].fence;
    assert!(third > second);
    assert!(matches!(
        settle(&all[0], first).await,
        Err(StoreError::Fenced)
    ));
    settle(&all[0], third).await.unwrap();
    assert_eq!(all[0].delivery(id).await.attempts.len(), 2);
    leave(all).await;
}

#[tokio::test]
async fn a_lane_that_is_let_go_is_another_s_at_once() {
    let mut all = relays(2).await;
    let names = ["crm".into(), "ats".into()];
    assert_eq!(all[0].lease(&names).await.unwrap().len(), 2);
    assert_eq!(
        all[0].lease(&names).await.unwrap().len(),
        2,
        "its own it may have again"
    );
    all[0].close().await;
    assert_eq!(all[1].lease(&names).await.unwrap().len(), 2);
    all.remove(0);
    leave(all).await;
}

#[tokio::test]
async fn a_settlement_that_comes_again_is_recorded_once() {
    let home = Home::postgres().await;
    let id = home.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
    for _ in 0..2 {
        home.settled(id, 5, retry(9, false)).await;
    }
    assert_eq!(home.delivery(id).await.attempts.len(), 1);
    home.settled(id, 6, delivered(None)).await;
    home.settled(id, 6, delivered(None)).await;
    assert_eq!(home.delivery(id).await.attempts.len(), 2);
    home.leave().await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_told_as_a_fault_and_comes_again_as_itself() {
    let cluster = postgres::shared();
    let proxy = Proxy::before(cluster.port).await;
    let direct = cluster.url();
    let (old, new) = (
        format!(":{}/", cluster.port),
        format!(":{}/", proxy.address.port()),
    );
    let home = Home::at(direct.replace(&old, &new)).await;
    home.accepted(plan("s-0", 1, 0, &["crm"])).await;
    home.fence().await;
    let lost = plan("s-1", 1, 1, &["crm"]);
    let swallow = || proxy.swallow.store(true, Ordering::SeqCst);
    swallow();
    let outcome = home.accept(lost.clone()).await.map(drop);
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_))),
        "{outcome:?}"
    );
    let again = plan("s-1", 1, 2, &["crm"]);
    let head = stale(home.accept(again).await);
    assert_eq!((head.event, head.fields), (lost.event.id, lost.fields));

    let id = lost.event.id.delivery(0);
    let settlement = Settlement {
        delivery: id,
        fence: home.fence().await,
        attempt: Some(attempt(3, Verdict::Retry)),
        outcome: retry(9, false),
        gone: None,
        at: at(3),
    };
    swallow();
    assert!(home.settle(settlement.clone()).await.is_err());
    let settled = home.settle(settlement).await.unwrap();
    assert_eq!(settled.state, State::Waiting);
    assert_eq!(home.delivery(id).await.attempts.len(), 1);
    home.tallies(at(9)).await.unwrap();
    assert_eq!(home.waiting(), 2);
    home.leave().await;
}

#[tokio::test]
async fn whatever_a_sender_or_receiver_writes_is_kept() {
    let home = Home::postgres().await;
    let mut odd = plan("s\0-1", 1, 0, &["crm"]);
    let event = Arc::make_mut(&mut odd.event);
    event.event_type = EventType::new("odd\0type");
    event.candidate = Some("c\0-\u{feff}".to_owned());
    event.changed = vec!["a\0field".to_owned()];
    odd.payload = Bytes::from_static(b"\0\xff\xfe");
    let expect = odd.clone();
    let id = home.accepted(odd).await.placed[0].id;
    let mut outcome = delivered(Some("note\0id"));
    if let Outcome::Delivered { warning, .. } = &mut outcome {
        *warning = Some("it said \0".to_owned());
    }
    home.settled(id, 1, outcome).await;
    let detail = home.event(id.event).await.unwrap().unwrap();
    assert_eq!(format!("{:?}", detail.event), format!("{:?}", expect.event));
    assert_eq!(detail.payload, Some(expect.payload));
    assert_eq!(
        detail.deliveries[0].last_error.as_deref(),
        Some("it said \u{fffd}"),
        "words that are only shown lose what text cannot hold"
    );
    let filter = mojito_relay::store::DeliveryFilter {
        destination: Some("c\0".to_owned()),
        error: Some("said \0".to_owned()),
        ..mojito_relay::store::DeliveryFilter::default()
    };
    let asked = |filter| home.deliveries(filter, mojito_relay::model::Limit::default());
    assert!(asked(filter.clone()).await.unwrap().items.is_empty());
    let by_error = mojito_relay::store::DeliveryFilter {
        destination: None,
        ..filter
    };
    assert_eq!(asked(by_error).await.unwrap().items.len(), 1);
    let second = home.accepted(plan("s\0-1", 2, 2, &["crm"])).await.placed[0].id;
    let work = home.work(second, mojito_relay::store::Since::LastSent);
    assert_eq!(
        work.await.unwrap().unwrap().receipt.unwrap().value,
        "note\0id"
    );
    home.leave().await;
}

#[tokio::test]
async fn callers_at_the_same_time_share_commits() {
    let home = Home::postgres().await;
    home.accepted(plan("first", 1, 0, &["crm"])).await;
    home.commits.lock().unwrap().clear();
    let plans = (0..100).map(|n| home.accept(plan(&format!("s-{n}"), 1, n, &["crm"])));
    for outcome in futures_util::future::join_all(plans).await {
        accepted(outcome);
    }
    let commits = home.commits.lock().unwrap().clone();
    assert_eq!(commits.iter().sum::<usize>(), 100);
    assert!(commits.len() <= 10, "{commits:?}");
    home.leave().await;
}

#[tokio::test]
async fn a_command_that_fails_does_not_harm_its_batch() {
    let home = Home::postgres().await;
    let mut plans: Vec<AcceptPlan> = (0..10)
        .map(|n| plan(&format!("s-{n}"), 1, n, &["crm"]))
        .collect();
    Arc::make_mut(&mut plans[6].event).id = plans[3].event.id;
    let answers = plans.into_iter().map(|plan| home.accept(plan));
    let answers = futures_util::future::join_all(answers).await;
    let failed: Vec<usize> = (0..10).filter(|n| answers[*n].is_err()).collect();
    assert_eq!(failed.len(), 1, "one of the two with one id: {answers:?}");
    assert!([3, 6].contains(&failed[0]));
    assert_eq!(home.waiting(), 9);
    home.leave().await;
}

/// Which ends when its test does.
fn own_cluster() -> &'static Cluster {
    static OWN: OnceLock<Cluster> = OnceLock::new();
    OWN.get_or_init(Cluster::start)
}

#[tokio::test]
async fn a_database_that_goes_away_is_told_and_works_again_once_it_is_back() {
    let cluster = own_cluster();
    let home = Home::at(cluster.url()).await;
    let before = home.accepted(plan("s-1", 1, 0, &["crm"])).await;
    let fence = home.fence().await;
    cluster.stop();
    for _ in 0..3 {
        let outcome = home.accept(plan("s-2", 1, 1, &["crm"])).await.map(drop);
        assert!(
            matches!(outcome, Err(StoreError::Unavailable(_))),
            "{outcome:?}"
        );
        let ready = home.ready().await;
        assert!(
            matches!(ready, Err(StoreError::Unavailable(_))),
            "{ready:?}"
        );
        let due = home.due(&"crm".into(), at(9), 9, true).await;
        assert!(matches!(due, Err(StoreError::Unavailable(_))), "{due:?}");
        let swept = home.tallies(at(9)).await;
        assert!(
            matches!(swept, Err(StoreError::Unavailable(_))),
            "{swept:?}"
        );
    }
    cluster.go_on();
    home.ready().await.unwrap();
    assert_eq!(home.due_ids("crm", 9, true).await, [before.placed[0].id]);
    home.accepted(plan("s-2", 1, 1, &["crm"])).await;
    // What was begun before is settled under the same number: nobody else had the lane.
    let settlement = Settlement {
        delivery: before.placed[0].id,
        fence,
        attempt: Some(attempt(1, Verdict::Accepted)),
        outcome: delivered(None),
        gone: None,
        at: at(2),
    };
    home.settle(settlement).await.unwrap();
    assert_eq!(home.waiting(), 1);
    home.leave().await;
}
