//! Lists, pages and counts.

use std::sync::Arc;

use std::collections::BTreeMap;

use super::*;
use mojito_relay::model::{Cursor, EventType, Limit, State};
use mojito_relay::store::{DeliveryFilter, EventFilter, Tally};

async fn event_ids(store: &Home, filter: EventFilter) -> Vec<EventId> {
    let page = store
        .events(filter, Limit::new(500).unwrap())
        .await
        .unwrap();
    assert!(page.next.is_none());
    page.items.iter().map(|event| event.id).collect()
}

async fn delivery_ids(store: &Home, filter: DeliveryFilter) -> Vec<DeliveryId> {
    let page = store
        .deliveries(filter, Limit::new(500).unwrap())
        .await
        .unwrap();
    assert!(page.next.is_none());
    page.items.iter().map(|delivery| delivery.id).collect()
}

/// All pages of `limit`, checked to hold that many each, the last one aside.
async fn paged(store: &Home, filter: DeliveryFilter, limit: u32) -> Vec<DeliveryId> {
    let mut all = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let filter = DeliveryFilter {
            cursor,
            ..filter.clone()
        };
        let page = store
            .deliveries(filter, Limit::new(limit).unwrap())
            .await
            .unwrap();
        all.extend(page.items.iter().map(|delivery| delivery.id));
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
        assert_eq!(page.items.len(), limit as usize);
    }
}

store_test!(events_come_newest_first_page_by_page, |store| async {
    let mut newest_first = Vec::new();
    for n in 0..7 {
        let plan = plan(&format!("s-{n}"), 1, n, &["crm"]);
        newest_first.insert(0, plan.event.id);
        store.accepted(plan).await;
    }
    let mut all = Vec::new();
    let mut filter = EventFilter::default();
    for expect in [3, 3, 1] {
        let page = store
            .events(filter.clone(), Limit::new(3).unwrap())
            .await
            .unwrap();
        assert_eq!(page.items.len(), expect);
        assert_eq!(page.next.is_some(), expect == 3);
        all.extend(page.items.iter().map(|event| event.id));
        filter.cursor = page.next;
        // What arrives meanwhile does not disturb the pages.
        let plan = plan(&format!("new-{expect}-{}", all.len()), 1, 50, &[]);
        store.accepted(plan).await;
    }
    assert_eq!(all, newest_first);
});

store_test!(a_page_that_is_just_full_is_the_last, |store| async {
    for n in 0..2 {
        store
            .accepted(plan(&format!("s-{n}"), 1, n, &["crm"]))
            .await;
    }
    let two = Limit::new(2).unwrap();
    assert!(
        store
            .events(EventFilter::default(), two)
            .await
            .unwrap()
            .next
            .is_none()
    );
    assert!(
        store
            .deliveries(DeliveryFilter::default(), two)
            .await
            .unwrap()
            .next
            .is_none()
    );
});

store_test!(
    events_are_filtered_by_type_source_subject_and_time,
    |store| async {
        let submitted = plan("s-1", 1, 0, &[]);
        let mut failed = plan("s-2", 1, 10, &[]);
        Arc::make_mut(&mut failed.event).event_type = EventType::new("interview.failed");
        let mut staging = plan("s-1", 1, 20, &[]);
        Arc::make_mut(&mut staging.event).source = "staging".into();
        let again = plan("s-1", 2, 30, &[]);
        let ids = [&submitted, &failed, &staging, &again].map(|plan| plan.event.id);
        for plan in [submitted, failed, staging, again] {
            store.accepted(plan).await;
        }
        let [submitted, failed, staging, again] = ids;
        let none = EventFilter::default;
        let of_type = EventFilter {
            event_type: Some(EventType::new("interview.failed")),
            ..none()
        };
        assert_eq!(event_ids(&store, of_type).await, [failed]);
        let of_source = EventFilter {
            source: Some("staging".to_owned()),
            ..none()
        };
        assert_eq!(event_ids(&store, of_source).await, [staging]);
        let unknown = EventFilter {
            source: Some("nobody".to_owned()),
            ..none()
        };
        assert_eq!(event_ids(&store, unknown).await, []);
        let of_subject = EventFilter {
            subject: Some("s-1".to_owned()),
            ..none()
        };
        assert_eq!(
            event_ids(&store, of_subject.clone()).await,
            [again, staging, submitted]
        );
        let both = EventFilter {
            source: Some("jobmojito".to_owned()),
            ..of_subject.clone()
        };
        assert_eq!(event_ids(&store, both).await, [again, submitted]);
        let between = EventFilter {
            since: Some(at(10)),
            until: Some(at(30)),
            ..none()
        };
        assert_eq!(event_ids(&store, between).await, [staging, failed]);
        let since = EventFilter {
            since: Some(at(10)),
            ..of_subject
        };
        assert_eq!(event_ids(&store, since).await, [again, staging]);
    }
);

store_test!(
    a_candidate_stands_for_all_events_of_its_subjects,
    |store| async {
        let before = plan("s-1", 1, 0, &[]);
        let mut named = plan("s-1", 2, 10, &[]);
        Arc::make_mut(&mut named.event).candidate = Some("c-1".to_owned());
        let after = plan("s-1", 3, 20, &[]);
        let mut other_interview = plan("s-2", 1, 30, &[]);
        Arc::make_mut(&mut other_interview.event).candidate = Some("c-1".to_owned());
        let mut somebody_else = plan("s-3", 1, 40, &[]);
        Arc::make_mut(&mut somebody_else.event).candidate = Some("c-2".to_owned());
        let ids = [&before, &named, &after, &other_interview].map(|plan| plan.event.id);
        for plan in [before, named, after, other_interview, somebody_else] {
            store.accepted(plan).await;
        }
        let filter = EventFilter {
            candidate: Some("c-1".to_owned()),
            ..EventFilter::default()
        };
        assert_eq!(
            event_ids(&store, filter.clone()).await,
            [ids[3], ids[2], ids[1], ids[0]]
        );
        let two = Limit::new(2).unwrap();
        let page = store.events(filter.clone(), two).await.unwrap();
        let rest = EventFilter {
            cursor: page.next,
            ..filter.clone()
        };
        assert_eq!(event_ids(&store, rest).await, [ids[1], ids[0]]);
        let one = EventFilter {
            subject: Some("s-2".to_owned()),
            ..filter
        };
        assert_eq!(event_ids(&store, one).await, [ids[3]]);
        let nobody = EventFilter {
            candidate: Some("c-9".to_owned()),
            ..EventFilter::default()
        };
        assert_eq!(event_ids(&store, nobody).await, []);
    }
);

store_test!(
    an_event_shows_the_newest_500_revisions_of_its_subject,
    |store| async {
        let mut ids = Vec::new();
        for revision in 1..=503_u32 {
            let plan = plan("s-1", revision, i64::from(revision), &[]);
            ids.push(plan.event.id);
            store.accepted(plan).await;
        }
        let detail = store.event(ids[0]).await.unwrap().unwrap();
        let shown: Vec<EventId> = detail.revisions.iter().map(|one| one.event).collect();
        assert_eq!(shown, ids[3..]);
        assert_eq!(detail.revisions[0].received_at, at(4));
        assert!(store.event(event_id(0)).await.unwrap().is_none());
    }
);

store_test!(
    deliveries_are_filtered_and_come_newest_first_page_by_page,
    |store| async {
        let mut all = Vec::new();
        let mut crm = Vec::new();
        for n in 0..6 {
            let mut plan = plan(&format!("s-{n}"), 1, n * 10, &["crm", "slack", "ats"]);
            plan.deliveries[2].route = "decisions".into();
            for placed in store.accepted(plan).await.placed {
                all.insert(0, placed.id);
                if placed.id.number == 0 {
                    crm.insert(0, placed.id);
                }
            }
        }
        let none = DeliveryFilter::default;
        for limit in [1, 2, 4, 17, 18, 500] {
            assert_eq!(paged(&store, none(), limit).await, all, "{limit}");
        }
        let at_crm = DeliveryFilter {
            destination: Some("crm".to_owned()),
            ..none()
        };
        assert_eq!(paged(&store, at_crm.clone(), 2).await, crm);
        let by_route = DeliveryFilter {
            route: Some("decisions".to_owned()),
            ..none()
        };
        assert!(
            paged(&store, by_route, 4)
                .await
                .iter()
                .all(|id| id.number == 2)
        );
        let of_event = DeliveryFilter {
            event: Some(crm[1].event),
            ..none()
        };
        let expect: Vec<DeliveryId> = (0..3)
            .rev()
            .map(|number| crm[1].event.delivery(number))
            .collect();
        assert_eq!(paged(&store, of_event, 2).await, expect);
        let between = DeliveryFilter {
            since: Some(at(10)),
            until: Some(at(30)),
            ..at_crm.clone()
        };
        assert_eq!(paged(&store, between, 500).await, [crm[3], crm[4]]);
        let unknown = DeliveryFilter {
            destination: Some("nobody".to_owned()),
            ..none()
        };
        assert_eq!(delivery_ids(&store, unknown).await, []);
    }
);

store_test!(
    deliveries_are_found_by_what_their_event_and_their_error_say,
    |store| async {
        let mut failed = plan("s-1", 1, 0, &["crm", "ats"]);
        Arc::make_mut(&mut failed.event).event_type = EventType::new("interview.failed");
        let mut named = plan("s-1", 2, 10, &["crm"]);
        Arc::make_mut(&mut named.event).candidate = Some("c-1".to_owned());
        let other = plan("s-2", 1, 20, &["crm", "ats"]);
        let [failed, named, other] = [failed, named, other].map(|plan| (plan.event.id, plan));
        for (_, plan) in [&failed, &named, &other] {
            store.accepted(plan.clone()).await;
        }
        let [failed, named, other] = [failed.0, named.0, other.0];
        store.settled(failed.delivery(0), 30, dead()).await;
        store.settled(other.delivery(1), 30, dead()).await;
        let none = DeliveryFilter::default;
        let text = |text: &str| Some(text.to_owned());
        let by_type = DeliveryFilter {
            event_type: Some(EventType::new("interview.failed")),
            ..none()
        };
        let of_failed = [failed.delivery(1), failed.delivery(0)];
        assert_eq!(paged(&store, by_type.clone(), 1).await, of_failed);
        let by_subject = DeliveryFilter {
            subject: text("s-1"),
            ..none()
        };
        let of_subject = [named.delivery(0), of_failed[0], of_failed[1]];
        for limit in [1, 2, 3, 50] {
            assert_eq!(paged(&store, by_subject.clone(), limit).await, of_subject);
        }
        let by_candidate = DeliveryFilter {
            candidate: text("c-1"),
            destination: text("crm"),
            ..none()
        };
        let at_crm = [named.delivery(0), failed.delivery(0)];
        assert_eq!(paged(&store, by_candidate.clone(), 1).await, at_crm);
        let of_event = DeliveryFilter {
            event: Some(failed),
            ..by_candidate
        };
        assert_eq!(delivery_ids(&store, of_event).await, [failed.delivery(0)]);
        let of_another = DeliveryFilter {
            event: Some(other),
            ..by_subject
        };
        assert_eq!(delivery_ids(&store, of_another).await, []);
        let by_error = DeliveryFilter {
            error: text("404 NOT"),
            ..none()
        };
        let dead = [other.delivery(1), failed.delivery(0)];
        assert_eq!(paged(&store, by_error.clone(), 1).await, dead);
        let both = DeliveryFilter {
            error: text("not found"),
            ..by_type
        };
        assert_eq!(delivery_ids(&store, both).await, [failed.delivery(0)]);
        let like = DeliveryFilter {
            error: text("404%"),
            ..none()
        };
        assert_eq!(delivery_ids(&store, like).await, []);
    }
);

store_test!(deliveries_are_listed_by_state, |store| async {
    let mut by_state: BTreeMap<State, Vec<DeliveryId>> = BTreeMap::new();
    for n in 0..8 {
        let placed = store
            .accepted(plan(&format!("s-{n}"), 1, n, &["crm", "slack"]))
            .await
            .placed;
        for (placed, outcome) in placed.iter().zip([delivered(None), dead()]) {
            let state = if n % 2 == 0 {
                store.settled(placed.id, n, outcome).await
            } else {
                State::Waiting
            };
            by_state.entry(state).or_default().insert(0, placed.id);
        }
    }
    for state in State::ALL {
        let filter = DeliveryFilter {
            state: Some(state),
            ..DeliveryFilter::default()
        };
        let expect = by_state.remove(&state).unwrap_or_default();
        assert_eq!(paged(&store, filter.clone(), 3).await, expect, "{state}");
        let at_slack = DeliveryFilter {
            destination: Some("slack".to_owned()),
            ..filter
        };
        let expect: Vec<_> = expect.into_iter().filter(|id| id.number == 1).collect();
        assert_eq!(paged(&store, at_slack, 3).await, expect, "{state}");
    }
});

store_test!(counts_equal_counting_whatever_happened, |mut store| async {
    let mut known: Vec<DeliveryId> = Vec::new();
    let mut latest: BTreeMap<u64, u32> = BTreeMap::new();
    // A fixed sequence that looks random: the same every time.
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for step in 0..300_i64 {
        if next(3) == 0 || known.is_empty() {
            let subject = next(12);
            let revision = latest.entry(subject).or_default();
            *revision += 1;
            let mut plan = superseding(&format!("s-{subject}"), *revision, step, &["crm", "ats"]);
            plan.deliveries[0].supersedes = false;
            if next(4) == 0 {
                plan.deliveries[1].skipped = Some("no candidate".to_owned());
            }
            known.extend(
                store
                    .accepted(plan)
                    .await
                    .placed
                    .iter()
                    .map(|placed| placed.id),
            );
            continue;
        }
        let pick = usize::try_from(next(known.len() as u64)).unwrap();
        let id = known[pick];
        match next(4) {
            0 => drop(store.settled(id, step, delivered(None)).await),
            1 => drop(store.settled(id, step, dead()).await),
            2 => drop(store.settled(id, step, retry(step + 40, true)).await),
            _ => {
                let how = Replay {
                    force: next(2) == 0,
                    ..Replay::default()
                };
                let _refused_where_it_waits = store.replayed(id, step, how).await;
            }
        }
    }
    let mut counted: BTreeMap<(String, State), u64> = BTreeMap::new();
    for id in &known {
        let delivery = store.delivery(*id).await;
        *counted
            .entry((delivery.destination.to_string(), delivery.state))
            .or_default() += 1;
    }
    let told = |tallies: Vec<Tally>| -> BTreeMap<(String, State), u64> {
        let entry = |tally: Tally| ((tally.destination.to_string(), tally.state), tally.count);
        tallies.into_iter().map(entry).collect()
    };
    assert_eq!(told(store.tallies(at(300)).await.unwrap()), counted);
    let waiting: u64 = counted
        .iter()
        .filter(|((_, state), _)| *state == State::Waiting)
        .map(|(_, n)| n)
        .sum();
    assert_eq!(store.waiting(), waiting);
    store.reopen().await;
    assert_eq!(store.waiting(), waiting);
    assert_eq!(told(store.tallies(at(300)).await.unwrap()), counted);
});

store_test!(counts_tell_how_long_the_oldest_has_waited, |store| async {
    let waiting = async |store: &Home, millis| {
        let tallies = store.tallies(at(millis)).await.unwrap();
        let one = tallies
            .into_iter()
            .find(|tally| tally.state == State::Waiting)
            .unwrap();
        (one.count, one.oldest_due, one.oldest_created)
    };
    let first = store.accepted(plan("s-1", 1, 10, &["crm"])).await.placed[0].id;
    let second = store.accepted(plan("s-2", 1, 20, &["crm"])).await.placed[0].id;
    assert_eq!(waiting(&store, 30).await, (2, Some(at(10)), Some(at(10))));
    store.settled(first, 30, retry(5_000, false)).await;
    assert_eq!(waiting(&store, 40).await, (2, Some(at(20)), Some(at(10))));
    store.settled(second, 40, retry(4_000, false)).await;
    assert_eq!(waiting(&store, 50).await, (2, None, Some(at(10))));
    assert_eq!(
        waiting(&store, 4_500).await,
        (2, Some(at(4_000)), Some(at(10)))
    );
    store.settled(first, 5_000, dead()).await;
    assert_eq!(
        waiting(&store, 4_500).await,
        (1, Some(at(4_000)), Some(at(20)))
    );
});
