//! Which fields were kept of a payload, and what waits without one that is read now.

use super::*;
use mojito_relay::model::Kept;
use mojito_relay::store::{Lacking, Since, Wanted};

fn set(fields: &[&str]) -> Kept {
    fields.iter().map(|field| (*field).to_owned()).collect()
}

fn of(fields: &[&str], subject: &str, millis: i64, to: &[&str]) -> AcceptPlan {
    AcceptPlan {
        kept: Some(set(fields)),
        ..plan(subject, 1, millis, to)
    }
}

fn wanted(destination: &str, fields: Option<&[&str]>) -> Wanted {
    let owned = |fields: &[&str]| fields.iter().map(|one| (*one).to_owned()).collect();
    Wanted {
        destination: destination.into(),
        fields: fields.map(owned),
    }
}

/// Destination, missing fields, and how many.
fn told(found: &[Lacking]) -> Vec<(String, String, u64)> {
    let each = found.iter().map(|one| {
        let missing = one.missing.as_ref();
        let missing = missing.map_or("all".to_owned(), |fields| fields.join(" "));
        (one.destination.to_string(), missing, one.count)
    });
    each.collect()
}

store_test!(
    what_was_kept_is_told_with_the_event_and_to_its_attempts,
    |mut store| async {
        store
            .accepted(of(&["id", "score"], "s-1", 1, &["ats"]))
            .await;
        let second = AcceptPlan {
            kept: Some(set(&["id"])),
            ..plan("s-1", 2, 2, &["ats"])
        };
        let second = store.accepted(second).await.placed[0].id;
        let third = store.accepted(plan("s-1", 3, 3, &["ats"])).await.placed[0].id;
        store.reopen().await;
        let detail = store.event(second.event).await.unwrap().unwrap();
        assert_eq!(detail.kept, Some(set(&["id"])));
        let whole = store.event(third.event).await.unwrap().unwrap();
        assert_eq!(whole.kept, None);
        let work = |id| store.work(id, Since::PreviousRevision);
        let work_of_second = work(second).await.unwrap().unwrap();
        assert_eq!(
            (work_of_second.kept, work_of_second.previous_kept),
            (Some(set(&["id"])), Some(set(&["id", "score"])))
        );
        let work_of_third = work(third).await.unwrap().unwrap();
        assert_eq!(
            (work_of_third.kept, work_of_third.previous_kept),
            (None, Some(set(&["id"])))
        );
    }
);

store_test!(
    a_set_of_fields_is_written_once_also_after_a_restart,
    |mut store| async {
        for n in 0..3 {
            store
                .accepted(of(&["id", "score"], &format!("s-{n}"), n, &[]))
                .await;
            store.reopen().await;
        }
        store.accepted(of(&["id"], "s-9", 9, &[])).await;
        assert_eq!(store.count_rows("kept").await, 2);
    }
);

store_test!(
    what_waits_without_a_field_is_found_by_its_destination,
    |store| async {
        let first = store
            .accepted(of(&["id"], "s-1", 1, &["ats", "hiring"]))
            .await;
        store
            .accepted(of(&["id", "score"], "s-2", 2, &["ats"]))
            .await;
        store.accepted(plan("s-3", 1, 3, &["ats"])).await;
        let found = store
            .lacking(vec![
                wanted("ats", Some(&["id", "score", "status"])),
                wanted("hiring", Some(&["id"])),
                wanted("nobody", Some(&["status"])),
            ])
            .await
            .unwrap();
        let ats = |missing: &str| ("ats".to_owned(), missing.to_owned(), 1);
        assert_eq!(told(&found), [ats("score status"), ats("status")]);
        assert_eq!(found[0].events, [first.placed[0].id.event]);
        assert_eq!(&*found[0].source, "jobmojito");
        assert!(found.iter().all(|one| !one.more));
        let found = store.lacking(vec![wanted("hiring", None)]).await.unwrap();
        assert_eq!(
            told(&found),
            [("hiring".to_owned(), "all".to_owned(), 1)],
            "a part of the payload is never all of it"
        );
    }
);

store_test!(
    what_is_final_lacks_nothing_and_only_some_events_are_named,
    |store| async {
        for n in 0..30 {
            let plan = of(&["id"], &format!("s-{n}"), n, &["ats"]);
            let delivery = store.accepted(plan).await.placed[0].id;
            if n < 5 {
                let outcome = Outcome::Delivered {
                    receipt: None,
                    warning: None,
                };
                store.settled(delivery, 100, outcome).await;
            }
        }
        let found = store.lacking(vec![wanted("ats", Some(&["score"]))]);
        let found = found.await.unwrap();
        assert_eq!(
            told(&found),
            [("ats".to_owned(), "score".to_owned(), 25)],
            "those that were delivered lack nothing any more"
        );
        assert_eq!(found[0].events.len(), Lacking::NAMED);
    }
);
