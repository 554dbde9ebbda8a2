//! Retention, step by step: what goes, what stays, and what goes along.

use std::collections::BTreeMap;

use super::*;
use mojito_relay::model::{Limit, State};
use mojito_relay::store::{EventFilter, Keep, Since, Sweep, Swept};

const DAY: Duration = Duration::from_hours(24);

fn keep() -> Keep {
    Keep {
        delivered: DAY,
        dead: DAY * 3,
        other: DAY * 2,
        ledger: DAY * 10,
        types: BTreeMap::new(),
    }
}

impl Home {
    /// A whole pass at a time, a few events at once; how many payloads and events went.
    async fn swept(&self, now: Timestamp) -> (u64, u64) {
        let (mut after, mut all) = (Swept::default(), (0, 0));
        while !after.done {
            let sweep = Sweep {
                keep: &keep(),
                now,
                after,
                limit: 2,
            };
            after = self.sweep(sweep).await.unwrap();
            all = (all.0 + after.payloads, all.1 + after.events);
        }
        all
    }
}

store_test!(
    payloads_go_by_what_became_of_them_and_words_go_along,
    |store| async {
        let mut ids = Vec::new();
        for n in 0..5 {
            let plan = plan(&format!("s-{n}"), 1, n, &["crm", "ats"]);
            ids.push(store.accepted(plan).await.placed[0].id);
        }
        let second = |id: DeliveryId| id.event.delivery(1);
        store.settled(ids[0], 9, delivered(None)).await;
        store.settled(second(ids[0]), 9, delivered(None)).await;
        store.settled(ids[1], 9, delivered(None)).await;
        store.settled(second(ids[1]), 9, dead()).await;
        store.settled(ids[2], 9, delivered(None)).await;
        store.settled(ids[3], 9, dead()).await;
        store.settled(second(ids[3]), 9, dead()).await;
        assert_eq!(store.swept(at(100)).await, (0, 0));
        assert_eq!(store.swept(later(100, DAY)).await, (1, 0));
        let detail = store.event(ids[0].event).await.unwrap().unwrap();
        assert!(detail.payload.is_none());
        assert_eq!(detail.deliveries[0].attempts[0].reason, "");
        assert_eq!(detail.deliveries[0].attempts[0].excerpt, None);
        assert_eq!(store.swept(later(100, DAY * 3)).await, (2, 0));
        let gone = store.delivery(ids[3]).await;
        assert_eq!(
            gone.last_error.as_deref(),
            Some("what was said is gone with the payload")
        );
        let waits = store.work(second(ids[2]), Since::LastSent).await;
        assert!(
            waits.unwrap().is_some(),
            "one of its deliveries is not final"
        );
        assert_eq!(store.waiting(), 3);
    }
);

store_test!(
    the_ledger_goes_with_its_subject_and_what_names_it,
    |store| async {
        let mut first = plan("s-1", 1, 0, &["crm"]);
        Arc::make_mut(&mut first.event).candidate = Some("c-1".to_owned());
        let (first_id, fields) = (first.event.id, first.fields.clone());
        let delivery = store.accepted(first).await.placed[0].id;
        store.settled(delivery, 1, delivered(Some("note"))).await;
        store.mark_unconfirmed(first_id, fields).await.unwrap();
        let mut second = plan("s-1", 2, 86_400_000 * 5, &["crm"]);
        Arc::make_mut(&mut second.event).candidate = Some("c-2".to_owned());
        let delivery = store.accepted(second).await.placed[0].id;
        store.settled(delivery, 86_400_000 * 5, dead()).await;
        store.swept(later(0, DAY * 9)).await;
        assert_eq!(store.swept(later(1, DAY * 10)).await.1, 1);
        let named = async |candidate: &str| {
            let filter = EventFilter {
                candidate: Some(candidate.to_owned()),
                ..EventFilter::default()
            };
            store
                .events(filter, Limit::default())
                .await
                .unwrap()
                .items
                .len()
        };
        assert_eq!((named("c-1").await, named("c-2").await), (0, 1));
        let head = stale(store.accept(plan("s-1", 1, 9, &[])).await);
        assert_eq!(head.revision, 2, "what was counted stays counted");
        assert_eq!(store.swept(later(1, DAY * 15)).await.1, 1);
        for table in ["subject", "candidate", "receipt", "unconfirmed", "attempt"] {
            assert_eq!(store.count_rows(table).await, 0, "{table}");
        }
        let anew = store.accepted(plan("s-1", 1, 9, &["crm"])).await;
        assert_eq!(store.state(anew.placed[0].id).await, State::Waiting);
    }
);
