//! Moving what waits to another destination, and creating what rules of today ask for.

use std::collections::HashSet;

use super::*;
use mojito_relay::model::State;
use mojito_relay::store::{Acts, Move, Moved, Planned, Since};

impl Home {
    async fn moved(&self, except: &[DeliveryId], limit: usize) -> Moved {
        let mut all = Moved::default();
        loop {
            let step = Move {
                from: "old".into(),
                to: "new".into(),
                except: except.iter().copied().collect(),
                limit,
                receipts_after: all.receipts_after,
            };
            let step = self.move_backlog(step).await.unwrap();
            all = Moved {
                deliveries: all.deliveries + step.deliveries,
                discarded: all.discarded + step.discarded,
                ..step
            };
            if !step.more {
                return all;
            }
        }
    }

    async fn created(&self, events: Vec<Planned>, latest: &[&str]) -> Acts {
        let latest: HashSet<_> = latest.iter().map(|name| (*name).into()).collect();
        let act = Act {
            what: What::Create {
                events,
                latest: Arc::new(latest),
            },
            now: at(50),
            dry_run: false,
            turn: None,
        };
        self.act(act).await.unwrap()
    }
}

store_test!(
    a_backlog_moves_part_by_part_with_its_receipts,
    |store| async {
        let mut ids = Vec::new();
        for n in 0..5 {
            let plan = plan(&format!("s-{n}"), 1, n, &["old"]);
            ids.push(store.accepted(plan).await.placed[0].id);
        }
        store.settled(ids[0], 9, delivered(Some("note"))).await;
        let moved = store.moved(&[ids[1]], 2).await;
        assert_eq!((moved.deliveries, moved.discarded), (3, 0));
        assert_eq!(store.due_ids("new", 10, true).await, ids[2..]);
        assert_eq!(store.due_ids("old", 10, true).await, [ids[1]]);
        let second = store.accepted(plan("s-0", 2, 10, &["new"])).await.placed[0].id;
        let work = store.work(second, Since::LastSent).await.unwrap().unwrap();
        assert_eq!(work.receipt.unwrap().value, "note");
        assert_eq!(store.waiting(), 5);
    }
);

store_test!(
    what_has_its_place_already_is_discarded_instead_of_moved,
    |store| async {
        let both = store.accepted(plan("s-1", 1, 0, &["old", "new"])).await;
        let late = store.accepted(plan("s-2", 1, 1, &["old"])).await.placed[0].id;
        let newer = store.accepted(plan("s-2", 2, 2, &["new"])).await.placed[0].id;
        store.settled(newer, 3, delivered(None)).await;
        let moved = store.moved(&[], 10).await;
        assert_eq!((moved.deliveries, moved.discarded), (0, 2));
        for (id, words) in [
            (
                both.placed[0].id,
                "not moved: the event has a delivery to new already",
            ),
            (late, "not moved: revision 2 was sent to new already"),
        ] {
            let delivery = store.delivery(id).await;
            assert_eq!(delivery.state, State::Discarded);
            assert_eq!(delivery.last_error.as_deref(), Some(words));
        }
        assert_eq!(store.waiting(), 1);
    }
);

store_test!(
    an_event_gets_what_it_lacks_and_nothing_twice,
    |store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        let second = store
            .accepted(superseding("s-1", 2, 1, &["crm", "ats"]))
            .await;
        let planned = |event| Planned {
            event,
            deliveries: Ok(superseding("", 1, 0, &["crm", "ats", "slack"]).deliveries),
        };
        let unknown = event_id(9);
        let refused = Planned {
            event: second.placed[0].id.event,
            deliveries: Err(Refusal::Erased),
        };
        let events = vec![planned(first.event), planned(unknown), refused];
        let acts = store.created(events, &["ats"]).await;
        let outcomes: Vec<_> = acts.all.iter().map(|acted| acted.outcome).collect();
        assert_eq!(
            outcomes,
            [
                Err(Refusal::NotLatest { latest: 2 }),
                Ok(Done::Waiting),
                Err(Refusal::Unknown),
                Err(Refusal::Erased)
            ]
        );
        let created = first.event.delivery(1);
        assert_eq!(acts.all[1].id, created);
        assert_eq!(store.state(created).await, State::Waiting);
        assert_eq!(store.due_ids("slack", 50, true).await, [created]);
        let again = store
            .created(vec![planned(second.placed[0].id.event)], &[])
            .await;
        assert_eq!(again.all.len(), 1, "slack alone was missing");
        assert_eq!(again.superseded, [("slack".into(), created)]);
        assert_eq!(store.state(created).await, State::Superseded);
        assert_eq!(store.waiting(), 3);
    }
);
