//! Settling: states, receipts, fences, histories.

use super::*;
use mojito_relay::model::{Cause, EXCERPT_BYTES, LastCharge, State};
use mojito_relay::store::Since;

store_test!(
    a_delivery_that_was_taken_is_final_with_its_attempt_on_record,
    |store| async {
        let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        let warned = Outcome::Delivered {
            receipt: None,
            warning: Some("the answer was cut".to_owned()),
        };
        assert_eq!(store.settled(id, 5, warned).await, State::Delivered);
        let delivery = store.delivery(id).await;
        assert_eq!((delivery.state, delivery.due_at), (State::Delivered, None));
        assert_eq!(delivery.last_error.as_deref(), Some("the answer was cut"));
        assert_eq!(delivery.attempts, [attempt(5, Verdict::Accepted)]);
        assert_eq!(store.waiting(), 0);
        assert!(store.due_ids("crm", 100, true).await.is_empty());
    }
);

store_test!(a_retry_waits_with_its_whole_budget, |mut store| async {
    let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
    let budget = Budget {
        tries: 4,
        charged: 3,
        age: Duration::from_millis(61_001),
        last: Some(LastCharge {
            at: at(5),
            delay: Duration::from_secs(80),
            stood_still: minutes(3),
        }),
        refused_at: Some(at(4)),
    };
    let outcome = Outcome::Waiting {
        due_at: at(80_005),
        reason: "503 Service Unavailable".to_owned(),
        budget: budget.clone(),
        supersedable: true,
    };
    assert_eq!(store.settled(id, 5, outcome).await, State::Waiting);
    store.reopen().await;
    let crm = "crm".into();
    assert_eq!(
        store.due(&crm, at(80_004), 9, true).await.unwrap().next_due,
        Some(at(80_005))
    );
    let due = store.due(&crm, at(80_005), 9, true).await.unwrap();
    assert_eq!(ids(&due.items), [id]);
    assert_eq!(
        (&due.items[0].budget, due.items[0].created_at),
        (&budget, at(0))
    );
    assert_eq!(
        store.delivery(id).await.last_error.as_deref(),
        Some("503 Service Unavailable")
    );
    assert_eq!(store.waiting(), 1);
});

store_test!(
    a_retry_is_superseded_where_a_newer_delivery_exists,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["ats"])).await.placed[0].id;
        store.accepted(plan("s-1", 2, 1, &["ats"])).await;
        assert_eq!(
            store.settled(first, 5, retry(50, false)).await,
            State::Waiting
        );
        assert_eq!(
            store.settled(first, 6, retry(50, true)).await,
            State::Superseded
        );
        let delivery = store.delivery(first).await;
        assert_eq!(
            delivery.last_error.as_deref(),
            Some("superseded by revision 2")
        );
        assert_eq!((delivery.due_at, delivery.attempts.len()), (None, 2));
        assert_eq!(store.waiting(), 1);
    }
);

store_test!(
    a_retry_is_superseded_also_by_what_was_delivered_meanwhile,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["ats"])).await.placed[0].id;
        let second = store.accepted(plan("s-1", 2, 1, &["ats"])).await.placed[0].id;
        store.accepted(plan("s-1", 3, 2, &["crm"])).await;
        store.settled(second, 4, delivered(None)).await;
        assert_eq!(
            store.settled(first, 5, retry(50, true)).await,
            State::Superseded
        );
    }
);

store_test!(
    a_retry_is_not_superseded_by_what_is_skipped_or_elsewhere,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["ats"])).await.placed[0].id;
        let mut skipped = plan("s-1", 2, 1, &["ats", "crm"]);
        skipped.deliveries[0].skipped = Some("no candidate".to_owned());
        store.accepted(skipped).await;
        store.accepted(plan("s-2", 1, 1, &["ats"])).await;
        assert_eq!(
            store.settled(first, 5, retry(50, true)).await,
            State::Waiting
        );
    }
);

store_test!(
    what_was_superseded_under_way_still_records_what_really_happened,
    |store| async {
        for (subject, outcome, expect) in [
            ("s-1", delivered(None), State::Delivered),
            ("s-2", dead(), State::Dead),
            ("s-3", retry(50, true), State::Superseded),
            ("s-4", retry(50, false), State::Superseded),
        ] {
            let first = store.accepted(plan(subject, 1, 0, &["ats"])).await.placed[0].id;
            store.accepted(superseding(subject, 2, 1, &["ats"])).await;
            assert_eq!(store.settled(first, 5, outcome).await, expect, "{subject}");
            assert_eq!(store.state(first).await, expect, "{subject}");
            assert_eq!(store.delivery(first).await.attempts.len(), 1, "{subject}");
        }
        assert_eq!(store.waiting(), 4);
    }
);

store_test!(
    a_settlement_without_an_attempt_records_none,
    |store| async {
        let id = store.accepted(plan("s-1", 1, 0, &["ats"])).await.placed[0].id;
        let settlement = Settlement {
            gone: None,
            delivery: id,
            fence: store.fence().await,
            attempt: None,
            outcome: Outcome::Skipped {
                reason: "no candidate".to_owned(),
            },
            at: at(1),
        };
        assert_eq!(
            store.settle(settlement).await.unwrap().state,
            State::Skipped
        );
        let delivery = store.delivery(id).await;
        assert_eq!(delivery.last_error.as_deref(), Some("no candidate"));
        assert!(delivery.attempts.is_empty());
    }
);

store_test!(
    a_settlement_under_an_older_fence_is_void,
    |mut store| async {
        let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        let old = store.fence().await;
        store.reopen().await;
        assert!(store.fence().await > old);
        let settlement = Settlement {
            delivery: id,
            fence: old,
            attempt: Some(attempt(1, Verdict::Accepted)),
            outcome: delivered(None),
            gone: None,
            at: at(1),
        };
        assert!(matches!(
            store.settle(settlement).await,
            Err(StoreError::Fenced)
        ));
        let delivery = store.delivery(id).await;
        assert_eq!(
            (delivery.state, delivery.attempts.len()),
            (State::Waiting, 0)
        );
    }
);

store_test!(settling_what_is_gone_harms_nothing, |store| async {
    let gone = event_id(0).delivery(0);
    assert_eq!(
        store.settled(gone, 1, delivered(None)).await,
        State::Discarded
    );
});

store_test!(
    a_history_keeps_a_hundred_attempts_and_forgets_blocked_ones_first,
    |store| async {
        let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        let fence = store.fence().await;
        for n in 0..120 {
            let verdict = if n % 10 == 9 {
                Verdict::Blocked
            } else {
                Verdict::Retry
            };
            let settlement = Settlement {
                delivery: id,
                fence,
                attempt: Some(attempt(n, verdict)),
                outcome: retry(n + 1, false),
                gone: None,
                at: at(n),
            };
            store.settle(settlement).await.unwrap();
        }
        let attempts = store.delivery(id).await.attempts;
        assert_eq!(attempts.len(), 100);
        assert_eq!((attempts[0].at, attempts[99].at), (at(0), at(119)));
        let blocked = attempts
            .iter()
            .filter(|one| one.verdict == Verdict::Blocked)
            .count();
        assert_eq!(
            blocked, 1,
            "all but the one that was just recorded made room"
        );
    }
);

store_test!(what_a_receiver_says_is_kept_up_to_a_limit, |store| async {
    let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
    let long = "ž".repeat(EXCERPT_BYTES);
    let mut attempt = attempt(1, Verdict::Rejected);
    attempt.excerpt = Some(format!("x{long}"));
    attempt.reason.clone_from(&long);
    let settlement = Settlement {
        delivery: id,
        fence: store.fence().await,
        attempt: Some(attempt),
        outcome: Outcome::Dead {
            cause: Cause::Rejected,
            reason: long,
        },
        gone: None,
        at: at(1),
    };
    store.settle(settlement).await.unwrap();
    let delivery = store.delivery(id).await;
    let half = "ž".repeat(EXCERPT_BYTES / 2);
    assert_eq!(delivery.last_error.as_deref(), Some(&*half));
    assert_eq!(delivery.attempts[0].reason, half);
    let cut = format!("x{}", "ž".repeat((EXCERPT_BYTES - 1) / 2));
    assert_eq!(delivery.attempts[0].excerpt.as_deref(), Some(&*cut));
});

store_test!(
    a_receipt_is_handed_to_the_next_revision_and_survives_an_answer_without_one,
    |store| async {
        let mut receipts = Vec::new();
        for (revision, gives) in [
            (1, Some("note-1")),
            (2, None),
            (3, Some("note-3")),
            (4, None),
        ] {
            let id = store
                .accepted(plan("s-1", revision, 0, &["ats"]))
                .await
                .placed[0]
                .id;
            let work = store.work(id, Since::LastSent).await.unwrap().unwrap();
            receipts.push(work.receipt.map(|receipt| (receipt.value, receipt.scope)));
            store.settled(id, 5, delivered(gives)).await;
        }
        let given = |value: &str| Some((value.to_owned(), "https://ats.example".to_owned()));
        assert_eq!(
            receipts,
            [None, given("note-1"), given("note-1"), given("note-3")]
        );
    }
);

store_test!(
    a_receipt_of_an_older_revision_does_not_replace_a_newer_one,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["ats"])).await.placed[0].id;
        let second = store.accepted(plan("s-1", 2, 1, &["ats"])).await.placed[0].id;
        store.settled(second, 5, delivered(Some("note-2"))).await;
        store.settled(first, 6, delivered(Some("note-1"))).await;
        let third = store.accepted(plan("s-1", 3, 7, &["ats"])).await.placed[0].id;
        let work = store.work(third, Since::LastSent).await.unwrap().unwrap();
        assert_eq!(
            work.receipt.map(|receipt| receipt.value).as_deref(),
            Some("note-2")
        );
        assert_eq!(work.changed, ["score"]);
    }
);
