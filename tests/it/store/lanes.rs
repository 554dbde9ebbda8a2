//! What lanes ask: order, what is due, releasing, how they were left.

use super::*;
use mojito_relay::model::LaneState;
use mojito_relay::store::LaneRecord;

store_test!(
    what_is_due_comes_by_due_time_and_then_as_it_was_accepted,
    |store| async {
        let mut late = plan("", 1, 0, &["crm"]);
        late.deliveries[0].due_at = at(30);
        let late = store.accepted(late).await.placed[0].id;
        let mut next = plan("", 1, 0, &["crm"]);
        next.deliveries[0].due_at = at(31);
        store.accepted(next).await;
        let a = store.accepted(plan("s-1", 1, 20, &["crm"])).await.placed[0].id;
        let b = store.accepted(plan("s-2", 1, 20, &["crm"])).await.placed[0].id;
        store.accepted(plan("s-3", 1, 1, &["slack"])).await;

        let due = store.due(&"crm".into(), at(30), 9, true).await.unwrap();
        assert_eq!(ids(&due.items), [a, b, late]);
        assert!(!due.more);
        assert_eq!(due.next_due, Some(at(31)));
        assert_eq!((due.items[0].revision, due.items[0].due_at), (1, at(20)));
        assert!(due.items[0].subject.is_some() && due.items[2].subject.is_none());

        let some = store.due(&"crm".into(), at(30), 2, true).await.unwrap();
        assert_eq!((ids(&some.items), some.more), (vec![a, b], true));
        let exactly = store.due(&"crm".into(), at(30), 3, true).await.unwrap();
        assert!(!exactly.more);
        let none = store.due(&"nobody".into(), at(30), 3, true).await.unwrap();
        assert!(none.items.is_empty() && !none.more && none.next_due.is_none());
    }
);

store_test!(
    a_later_revision_waits_until_the_one_before_it_is_done,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        let second = store.accepted(plan("s-1", 2, 1, &["crm"])).await.placed[0].id;
        let other = store.accepted(plan("s-2", 1, 2, &["crm"])).await.placed[0].id;

        let due = store.due(&"crm".into(), at(9), 9, true).await.unwrap();
        assert_eq!((ids(&due.items), due.more), (vec![first, other], true));
        assert_eq!(store.due_ids("crm", 9, false).await, [first, second, other]);

        // Also while the first waits for its retry.
        store.settled(first, 9, retry(5_000, false)).await;
        let due = store.due(&"crm".into(), at(10), 9, true).await.unwrap();
        assert_eq!(
            (ids(&due.items), due.more, due.next_due),
            (vec![other], true, Some(at(5_000)))
        );
        store.settled(first, 5_001, delivered(None)).await;
        let due = store.due(&"crm".into(), at(5_001), 9, true).await.unwrap();
        assert_eq!((ids(&due.items), due.more), (vec![second, other], false));
    }
);

store_test!(
    releasing_makes_retries_due_as_old_as_they_are,
    |store| async {
        let old = store
            .accepted(plan("s-1", 1, 0, &["crm", "slack"]))
            .await
            .placed[0]
            .id;
        let fresh = store.accepted(plan("s-2", 1, 5, &["crm"])).await.placed[0].id;
        let newer = store.accepted(plan("s-3", 1, 7, &["crm"])).await.placed[0].id;
        let mut settling = plan("s-4", 1, 8, &["crm"]);
        settling.deliveries[0].due_at = at(90_000);
        store.accepted(settling).await;
        store.settled(old, 10, retry(60_000, false)).await;
        store.settled(newer, 10, retry(50_000, false)).await;
        let elsewhere = old.event.delivery(1);
        store.settled(elsewhere, 10, retry(60_000, false)).await;

        assert_eq!(store.due_ids("crm", 11, true).await, [fresh]);
        assert_eq!(store.release(&"crm".into(), at(11), 1).await.unwrap(), 1);
        assert_eq!(store.release(&"crm".into(), at(11), 9).await.unwrap(), 1);
        assert_eq!(store.release(&"crm".into(), at(11), 9).await.unwrap(), 0);
        let due = store.due(&"crm".into(), at(11), 9, true).await.unwrap();
        assert_eq!(ids(&due.items), [old, fresh, newer]);
        assert_eq!(
            (due.items[0].due_at, due.items[0].budget.charged),
            (at(0), 1)
        );
        assert_eq!(
            due.next_due,
            Some(at(90_000)),
            "what never went out keeps its window"
        );
        assert!(store.due_ids("slack", 11, true).await.is_empty());
    }
);

store_test!(
    a_lane_stands_after_a_restart_as_it_was_left,
    |mut store| async {
        let names = ["crm".into(), "slack".into()];
        let untouched = store.lease(&names).await.unwrap();
        assert_eq!(untouched.len(), 2);
        for (lease, name) in untouched.iter().zip(&names) {
            assert_eq!(
                (&lease.lane.destination, lease.lane.state),
                (name, LaneState::Healthy)
            );
            assert!(!lease.lane.paused && lease.lane.stood_still.is_zero());
        }
        let mut lane = LaneRecord {
            destination: "slack".into(),
            state: LaneState::Open,
            paused: false,
            reason: "connection refused".to_owned(),
            since: at(3),
            stood_still: minutes(2),
        };
        store.save_lane(lane.clone()).await.unwrap();
        lane.state = LaneState::Blocked;
        lane.paused = true;
        store.save_lane(lane.clone()).await.unwrap();
        store.reopen().await;
        let leases = store.lease(&names).await.unwrap();
        assert_eq!(leases[0].lane.state, LaneState::Healthy);
        assert_eq!(leases[1].lane, lane);
        assert!(leases[1].fence > untouched[1].fence);
        assert_eq!(leases[0].fence, leases[1].fence);
    }
);
