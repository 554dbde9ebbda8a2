//! Accepting: revisions, staleness, superseding, unconfirmed events.

use std::sync::Arc;

use super::*;
use mojito_relay::model::{RouteError, State};
use mojito_relay::store::Placed;

store_test!(what_was_accepted_can_be_read_as_it_was, |store| async {
    let mut plan = plan("s-1", 1, 0, &["crm", "slack"]);
    Arc::make_mut(&mut plan.event).candidate = Some("c-1".to_owned());
    Arc::make_mut(&mut plan.event).route_errors = vec![RouteError {
        route: "decisions".to_owned(),
        error: "no such key".to_owned(),
    }];
    plan.payload = Bytes::from_static(b"{ \"b\":1.0, \"a\":\"\\u0000\xc5\xbe\" }");
    plan.deliveries[1].skipped = Some("result.candidate_external_id is null".to_owned());
    let accepted = store.accepted(plan.clone()).await;
    let id = plan.event.id;
    let placed = |number, ready| Placed {
        id: id.delivery(number),
        ready,
    };
    assert_eq!(accepted.placed, [placed(0, true), placed(1, false)]);
    assert!(accepted.superseded.is_empty() && accepted.subject.is_some());

    let detail = store.event(id).await.unwrap().unwrap();
    assert_eq!(detail.payload, Some(plan.payload));
    assert_eq!(detail.event.source, plan.event.source);
    assert_eq!(detail.event.event_type, plan.event.event_type);
    assert_eq!(detail.event.subject, plan.event.subject);
    assert_eq!(detail.event.candidate, plan.event.candidate);
    assert_eq!(detail.event.route_errors, plan.event.route_errors);
    assert_eq!(detail.event.received_at, at(0));
    let [crm, slack] = &detail.deliveries[..] else {
        panic!("two deliveries")
    };
    assert_eq!(
        (crm.state, crm.due_at, crm.created_at),
        (State::Waiting, Some(at(0)), at(0))
    );
    assert_eq!((&*crm.destination, &*crm.route), ("crm", "everything"));
    assert_eq!((slack.state, slack.due_at), (State::Skipped, None));
    assert_eq!(
        slack.last_error.as_deref(),
        Some("result.candidate_external_id is null")
    );
    assert_eq!(store.waiting(), 1);
});

store_test!(
    a_plan_against_an_older_revision_is_stale_and_writes_nothing,
    |store| async {
        let first = plan("s-1", 1, 0, &["crm"]);
        store.accepted(first.clone()).await;
        for revision in [1, 3] {
            let other = plan("s-1", revision, 1, &["crm"]);
            let head = stale(store.accept(other.clone()).await);
            assert_eq!((head.event, head.revision), (first.event.id, 1));
            assert_eq!(head.fields, first.fields);
            assert_eq!(head.payload.as_ref(), Some(&first.payload));
            assert!(head.unconfirmed.is_empty());
            assert!(store.event(other.event.id).await.unwrap().is_none());
        }
        assert_eq!(store.waiting(), 1);
    }
);

store_test!(
    a_first_plan_of_an_unknown_subject_that_claims_a_later_revision_is_refused,
    |store| async {
        let plan = plan("s-1", 2, 0, &["crm"]);
        assert!(matches!(
            store.accept(plan).await,
            Err(StoreError::Unavailable(_))
        ));
        assert_eq!(store.waiting(), 0);
    }
);

store_test!(a_b_a_gives_three_revisions, |store| async {
    let same = digests(&[("score", 1)]);
    for revision in 1..=3 {
        let mut plan = plan("s-1", revision, i64::from(revision), &["crm"]);
        if revision != 2 {
            plan.fields = same.clone();
        }
        store.accepted(plan).await;
    }
    let head = stale(store.accept(plan("s-1", 3, 9, &[])).await);
    assert_eq!((head.revision, head.fields), (3, same));
    let detail = store.event(head.event).await.unwrap().unwrap();
    let revisions: Vec<u32> = detail.revisions.iter().map(|one| one.revision).collect();
    assert_eq!(revisions, [1, 2, 3]);
});

store_test!(
    of_a_hundred_equal_plans_at_once_one_is_accepted,
    |store| async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let store = store.shared();
            tasks.spawn(async move { store.accept(plan("s-1", 1, 0, &["crm"])).await.unwrap() });
        }
        let outcomes = tasks.join_all().await;
        let winners: Vec<EventId> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                AcceptOutcome::Accepted(accepted) => Some(accepted.placed[0].id.event),
                AcceptOutcome::Stale(_) | AcceptOutcome::Erased => None,
            })
            .collect();
        assert_eq!(winners.len(), 1);
        for outcome in &outcomes {
            if let AcceptOutcome::Stale(head) = outcome {
                assert_eq!((head.event, head.revision), (winners[0], 1));
            }
        }
        assert_eq!(store.waiting(), 1);
    }
);

store_test!(
    events_without_a_subject_are_always_accepted,
    |store| async {
        for _ in 0..3 {
            let accepted = store.accepted(plan("", 1, 0, &["crm"])).await;
            assert!(accepted.subject.is_none() && accepted.placed[0].ready);
        }
        assert_eq!(store.due_ids("crm", 0, true).await.len(), 3);
    }
);

store_test!(sources_do_not_share_subjects, |store| async {
    let first = store.accepted(plan("s-1", 1, 0, &["crm"])).await;
    let mut other = plan("s-1", 1, 0, &["crm"]);
    Arc::make_mut(&mut other.event).source = "staging".into();
    let other = store.accepted(other).await;
    assert_ne!(first.subject, other.subject);
    assert!(other.placed[0].ready);
});

store_test!(a_delivery_behind_its_subject_is_not_ready, |store| async {
    store.accepted(plan("s-1", 1, 0, &["crm"])).await;
    let second = store.accepted(plan("s-1", 2, 1, &["crm", "slack"])).await;
    let ready: Vec<bool> = second.placed.iter().map(|placed| placed.ready).collect();
    assert_eq!(ready, [false, true]);
    assert!(second.superseded.is_empty());
});

store_test!(
    a_newer_revision_supersedes_what_waits_whatever_its_due_time,
    |store| async {
        let mut far_off = plan("s-1", 1, 0, &["ats", "crm"]);
        far_off.deliveries[0].due_at = later(0, minutes(60));
        let first = store.accepted(far_off).await.placed[0].id;
        let second = store.accepted(plan("s-1", 2, 1, &["ats"])).await.placed[0].id;
        let other = store.accepted(plan("s-2", 1, 1, &["ats"])).await.placed[0].id;

        let third = store.accepted(superseding("s-1", 3, 2, &["ats"])).await;
        assert_eq!(
            third.superseded,
            [("ats".into(), first), ("ats".into(), second)]
        );
        assert!(third.placed[0].ready);
        for id in [first, second] {
            let delivery = store.delivery(id).await;
            assert_eq!((delivery.state, delivery.due_at), (State::Superseded, None));
            assert_eq!(
                delivery.last_error.as_deref(),
                Some("superseded by revision 3")
            );
        }
        assert_eq!(store.state(other).await, State::Waiting);
        assert_eq!(store.state(first.event.delivery(1)).await, State::Waiting);
        assert_eq!(store.waiting(), 3);
        assert_eq!(
            store.due_ids("ats", 10, true).await,
            [other, third.placed[0].id]
        );
    }
);

store_test!(a_skipped_delivery_supersedes_nothing, |store| async {
    let first = store.accepted(plan("s-1", 1, 0, &["ats"])).await.placed[0].id;
    let mut skipped = superseding("s-1", 2, 1, &["ats"]);
    skipped.deliveries[0].skipped = Some("no candidate".to_owned());
    assert!(store.accepted(skipped).await.superseded.is_empty());
    assert_eq!(store.state(first).await, State::Waiting);
});

store_test!(what_was_delivered_is_not_superseded, |store| async {
    let first = store.accepted(plan("s-1", 1, 0, &["ats"])).await.placed[0].id;
    store.settled(first, 1, delivered(None)).await;
    let second = store.accepted(superseding("s-1", 2, 1, &["ats"])).await;
    assert!(second.superseded.is_empty() && second.placed[0].ready);
    assert_eq!(store.state(first).await, State::Delivered);
});

store_test!(
    an_unconfirmed_event_comes_with_the_head_until_it_is_taken_once,
    |store| async {
        let first = plan("s-1", 1, 0, &[]);
        store.accepted(first.clone()).await;
        store
            .mark_unconfirmed(first.event.id, first.fields.clone())
            .await
            .unwrap();
        store
            .mark_unconfirmed(first.event.id, first.fields.clone())
            .await
            .unwrap();
        store.accepted(plan("s-1", 2, 1, &[])).await;

        let head = stale(store.accept(plan("s-1", 1, 2, &[])).await);
        let [marked] = &head.unconfirmed[..] else {
            panic!("one is marked")
        };
        assert_eq!((marked.event, marked.revision), (first.event.id, 1));
        assert_eq!(marked.fields, first.fields);
        assert!(store.take_unconfirmed(first.event.id).await.unwrap());
        assert!(!store.take_unconfirmed(first.event.id).await.unwrap());
        let head = stale(store.accept(plan("s-1", 1, 3, &[])).await);
        assert!(head.unconfirmed.is_empty());
    }
);

store_test!(
    an_event_that_nobody_knows_is_not_unconfirmed,
    |store| async {
        let without_subject = plan("", 1, 0, &[]);
        store.accepted(without_subject.clone()).await;
        for id in [without_subject.event.id, event_id(1)] {
            store.mark_unconfirmed(id, digests(&[])).await.unwrap();
            assert!(!store.take_unconfirmed(id).await.unwrap());
        }
    }
);

store_test!(everything_is_there_after_a_restart, |mut store| async {
    let key = *store.key().as_bytes();
    let first = store.accepted(plan("s-1", 1, 0, &["crm"])).await;
    let second = store.accepted(plan("s-1", 2, 1, &["crm"])).await;
    store.reopen().await;
    assert_eq!(store.key().as_bytes(), &key);
    assert_eq!(store.waiting(), 2);
    assert_eq!(store.due_ids("crm", 5, true).await, [first.placed[0].id]);
    let head = stale(store.accept(plan("s-1", 2, 2, &[])).await);
    assert_eq!((head.event, head.revision), (second.placed[0].id.event, 2));
    let third = store.accepted(plan("s-1", 3, 3, &["crm"])).await;
    assert_eq!(third.subject, first.subject);
});
