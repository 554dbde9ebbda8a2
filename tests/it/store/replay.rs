//! Replaying: what may be, under which id, with which budget.

use super::*;
use mojito_relay::model::State;
use mojito_relay::store::Since;

fn plain() -> Replay {
    Replay::default()
}

store_test!(
    a_replayed_delivery_starts_anew_under_its_old_id,
    |store| async {
        let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        store.settled(id, 5, retry(50, false)).await;
        store.settled(id, 50, dead()).await;
        assert_eq!(store.replayed(id, 1_000, plain()).await, Ok(Done::Waiting));
        let due = store.due(&"crm".into(), at(1_000), 9, true).await.unwrap();
        assert_eq!(ids(&due.items), [id]);
        assert_eq!(due.items[0].budget, Budget::default());
        assert_eq!(
            (due.items[0].due_at, due.items[0].created_at),
            (at(1_000), at(0))
        );
        let work = store
            .work(id, Since::PreviousRevision)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(work.webhook_id, id);
        let delivery = store.delivery(id).await;
        assert_eq!(
            (delivery.state, delivery.attempts.len()),
            (State::Waiting, 2)
        );
        assert_eq!(store.waiting(), 1);
        let again = store.replayed(id, 1_000, plain()).await;
        assert_eq!(again, Err(Refusal::Waiting));
    }
);

store_test!(
    a_replay_under_a_new_id_uses_one_that_nothing_had,
    |store| async {
        let placed = store
            .accepted(plan("", 1, 0, &["crm", "slack"]))
            .await
            .placed;
        let mut seen: Vec<DeliveryId> = placed.iter().map(|placed| placed.id).collect();
        for round in 0..3 {
            for placed in &placed {
                store.settled(placed.id, round, dead()).await;
                let how = Replay {
                    new_id: true,
                    ..plain()
                };
                store.replayed(placed.id, round, how).await.unwrap();
                let work = store
                    .work(placed.id, Since::PreviousRevision)
                    .await
                    .unwrap()
                    .unwrap();
                assert!(!seen.contains(&work.webhook_id));
                assert_eq!(work.webhook_id.event, placed.id.event);
                seen.push(work.webhook_id);
            }
        }
        store.settled(placed[0].id, 9, dead()).await;
        store.replayed(placed[0].id, 9, plain()).await.unwrap();
        let work = store
            .work(placed[0].id, Since::PreviousRevision)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            work.webhook_id, seen[6],
            "a plain replay keeps the id that was sent last"
        );
    }
);

store_test!(
    what_is_older_than_what_was_sent_is_replayed_only_by_force,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        let second = store.accepted(plan("s-1", 2, 1, &["crm"])).await.placed[0].id;
        store.settled(first, 5, dead()).await;
        store.settled(second, 6, delivered(None)).await;
        let replayed = store.replayed(first, 9, plain()).await;
        assert_eq!(replayed, Err(Refusal::Older { sent: 2 }));
        assert_eq!(store.state(first).await, State::Dead);
        let same = store.replayed(second, 9, plain()).await;
        assert_eq!(same, Ok(Done::Waiting), "the newest may be sent again");
        let forced = Replay {
            force: true,
            ..plain()
        };
        let replayed = store.replayed(first, 9, forced).await;
        assert_eq!(replayed, Ok(Done::Waiting));
        assert_eq!(store.due_ids("crm", 9, true).await, [first]);
    }
);

store_test!(
    a_replay_of_what_was_sent_says_what_it_said_against_the_revision_before,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        let second = store.accepted(plan("s-1", 2, 1, &["crm"])).await.placed[0].id;
        store.settled(first, 5, delivered(None)).await;
        store.settled(second, 6, delivered(None)).await;
        store.replayed(second, 9, plain()).await.unwrap();
        let work = store.work(second, Since::LastSent).await.unwrap().unwrap();
        assert_eq!(work.changed, ["score"]);
        assert_eq!(
            work.previous,
            store.event(first.event).await.unwrap().unwrap().payload
        );
    }
);

store_test!(what_nobody_knows_cannot_be_replayed, |store| async {
    let unknown = event_id(0).delivery(0);
    let replayed = store.replayed(unknown, 0, plain()).await;
    assert_eq!(replayed, Err(Refusal::Unknown));
});

store_test!(every_final_state_can_be_replayed, |store| async {
    let skipped = Outcome::Skipped {
        reason: "no candidate".to_owned(),
    };
    for (subject, outcome) in [("s-1", delivered(None)), ("s-2", dead()), ("s-3", skipped)] {
        let id = store.accepted(plan(subject, 1, 0, &["crm"])).await.placed[0].id;
        store.settled(id, 1, outcome).await;
        assert_eq!(store.replayed(id, 2, plain()).await, Ok(Done::Waiting));
    }
    let superseded = store.accepted(plan("s-4", 1, 0, &["crm"])).await.placed[0].id;
    store.accepted(superseding("s-4", 2, 1, &["crm"])).await;
    let replayed = store.replayed(superseded, 2, plain()).await;
    assert_eq!(replayed, Ok(Done::Waiting));
    assert_eq!(store.waiting(), 5);
});

store_test!(
    where_the_latest_alone_is_wanted_an_older_one_is_replayed_only_by_force,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        let second = store.accepted(plan("s-1", 2, 1, &["crm"])).await.placed[0].id;
        store.settled(first, 5, dead()).await;
        store.settled(second, 6, dead()).await;
        let latest = Replay {
            latest: Arc::new([Arc::from("crm")].into()),
            ..plain()
        };
        assert_eq!(
            store.replayed(first, 9, latest.clone()).await,
            Err(Refusal::NotLatest { latest: 2 })
        );
        let other = Replay {
            latest: Arc::new([Arc::from("slack")].into()),
            ..plain()
        };
        assert_eq!(store.replayed(first, 9, other).await, Ok(Done::Waiting));
        assert_eq!(store.replayed(second, 9, latest).await, Ok(Done::Waiting));
    }
);

store_test!(what_is_about_to_be_erased_is_not_replayed, |store| async {
    let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
    store.settled(id, 5, dead()).await;
    let whose = mojito_relay::store::Whose::Subject {
        subject: "s-1".to_owned(),
        source: None,
    };
    store.condemn(whose, at(6)).await.unwrap();
    let forced = Replay {
        force: true,
        ..plain()
    };
    assert_eq!(store.replayed(id, 9, forced).await, Err(Refusal::Erased));
});
