//! What an attempt is told: the event, what went before, the receipt.

use std::sync::Arc;

use super::*;
use mojito_relay::model::State;
use mojito_relay::store::Since;

/// Four revisions of a subject, each changing a field of its own; deliveries to the ATS.
async fn four_revisions(store: &Home) -> Vec<DeliveryId> {
    let mut deliveries = Vec::new();
    for (revision, field) in [(1, ""), (2, "status"), (3, "score"), (4, "decision")] {
        let mut plan = plan("s-1", revision, i64::from(revision), &["ats"]);
        Arc::make_mut(&mut plan.event).changed = if revision == 1 {
            Vec::new()
        } else {
            vec![field.to_owned()]
        };
        if revision == 4 {
            Arc::make_mut(&mut plan.event)
                .changed
                .push("score".to_owned());
        }
        plan.payload = Bytes::from(format!("revision {revision}"));
        deliveries.push(store.accepted(plan).await.placed[0].id);
    }
    deliveries
}

store_test!(
    an_attempt_is_told_the_event_and_the_revision_before,
    |store| async {
        let deliveries = four_revisions(&store).await;
        let work = store
            .work(deliveries[2], Since::PreviousRevision)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (work.event.id, work.event.revision),
            (deliveries[2].event, 3)
        );
        assert_eq!(work.event.subject, Subject::new("s-1").ok());
        assert_eq!((&*work.destination, &*work.route), ("ats", "everything"));
        assert_eq!(work.webhook_id, deliveries[2]);
        assert_eq!(work.payload, "revision 3");
        assert_eq!(work.previous.as_deref(), Some(&b"revision 2"[..]));
        assert_eq!(work.changed, ["score"]);
        assert_eq!(work.receipt, None);
        let first = store
            .work(deliveries[0], Since::PreviousRevision)
            .await
            .unwrap()
            .unwrap();
        assert!(first.previous.is_none() && first.changed.is_empty());
    }
);

store_test!(
    the_work_of_many_is_that_of_each_and_ends_with_the_bytes,
    |store| async {
        let deliveries = four_revisions(&store).await;
        let since = Since::PreviousRevision;
        let all = store.works(deliveries.clone(), since, 1_000).await;
        let all = all.unwrap();
        assert_eq!(all.len(), 4);
        for delivery in &deliveries {
            let alone = store.work(*delivery, since).await.unwrap().unwrap();
            assert_eq!(format!("{:?}", all[delivery]), format!("{alone:?}"));
        }
        // The first has ten bytes, each other one ten more of the revision before.
        let some = store.works(deliveries.clone(), since, 49).await.unwrap();
        assert_eq!(some.len(), 2);
        assert!(some.contains_key(&deliveries[0]) && some.contains_key(&deliveries[1]));
        store.settled(deliveries[0], 1, delivered(None)).await;
        let left = store.works(deliveries.clone(), since, 1_000).await.unwrap();
        assert!(left.len() == 3 && !left.contains_key(&deliveries[0]));
    }
);

store_test!(
    since_what_was_last_sent_everything_between_counts,
    |store| async {
        let deliveries = four_revisions(&store).await;
        let never = store
            .work(deliveries[3], Since::LastSent)
            .await
            .unwrap()
            .unwrap();
        assert!(never.previous.is_none() && never.changed.is_empty());

        store.settled(deliveries[0], 10, delivered(None)).await;
        let spans = store
            .work(deliveries[3], Since::LastSent)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(spans.previous.as_deref(), Some(&b"revision 1"[..]));
        assert_eq!(spans.changed, ["decision", "score", "status"]);

        store.settled(deliveries[2], 11, delivered(None)).await;
        let next = store
            .work(deliveries[3], Since::LastSent)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(next.previous.as_deref(), Some(&b"revision 3"[..]));
        assert_eq!(next.changed, ["decision", "score"]);
    }
);

store_test!(what_was_sent_elsewhere_does_not_count, |store| async {
    let first = store
        .accepted(plan("s-1", 1, 0, &["crm", "ats"]))
        .await
        .placed;
    store
        .settled(first[0].id, 1, delivered(Some("note-1")))
        .await;
    let second = store.accepted(plan("s-1", 2, 2, &["ats"])).await.placed[0].id;
    let work = store.work(second, Since::LastSent).await.unwrap().unwrap();
    assert!(work.previous.is_none() && work.changed.is_empty() && work.receipt.is_none());
});

store_test!(what_does_not_wait_is_no_work, |store| async {
    let deliveries = four_revisions(&store).await;
    assert_eq!(store.settled(deliveries[0], 10, dead()).await, State::Dead);
    let unknown = event_id(9).delivery(0);
    for id in [deliveries[0], unknown, deliveries[1].event.delivery(7)] {
        assert!(store.work(id, Since::LastSent).await.unwrap().is_none());
    }
});

store_test!(
    an_event_without_a_subject_has_nothing_before_it,
    |store| async {
        store.accepted(plan("", 1, 0, &["ats"])).await;
        let id = store.accepted(plan("", 1, 1, &["ats"])).await.placed[0].id;
        for since in [Since::PreviousRevision, Since::LastSent] {
            let work = store.work(id, since).await.unwrap().unwrap();
            assert!(work.previous.is_none() && work.changed.is_empty() && work.receipt.is_none());
        }
        assert_eq!(
            store.settled(id, 2, delivered(Some("note"))).await,
            State::Delivered
        );
    }
);
