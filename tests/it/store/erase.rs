//! Erasing in two steps: nothing gets in or out after the first, and nothing is left after the second.

use super::*;
use mojito_relay::model::{JobState, LaneState, State};
use mojito_relay::store::{
    Condemned, DeliveryFilter, LaneRecord, SentTo, Since, Task, WORDS_ERASED, Whose,
};

fn of(subject: &str) -> Whose {
    Whose::Subject {
        subject: subject.to_owned(),
        source: None,
    }
}

fn named(mut plan: AcceptPlan, candidate: &str) -> AcceptPlan {
    Arc::make_mut(&mut plan.event).candidate = Some(candidate.to_owned());
    plan
}

store_test!(
    what_is_condemned_is_discarded_and_takes_no_more_bodies,
    |mut store| async {
        let first = store.accepted(plan("s-1", 1, 0, &["crm", "ats"])).await;
        let other = store.accepted(plan("s-2", 1, 0, &["crm"])).await.placed[0].id;
        store
            .settled(first.placed[0].id, 1, delivered(Some("note-1")))
            .await;
        let condemned = store.condemn(of("s-1"), at(5)).await.unwrap();
        assert_eq!(condemned.subjects.len(), 1);
        let waited = first.placed[1].id;
        assert_eq!(condemned.deliveries, [("ats".into(), waited)]);
        assert_eq!(condemned.destinations, ["crm".into(), "ats".into()]);
        assert_eq!(store.state(waited).await, State::Discarded);
        assert_eq!(store.state(other).await, State::Waiting);
        for revision in [1, 2] {
            let outcome = store.accept(plan("s-1", revision, 6, &["crm"])).await;
            assert!(matches!(outcome.unwrap(), AcceptOutcome::Erased));
        }
        // A crash between the two.
        store.reopen().await;
        let unfinished = store.condemn(Whose::Unfinished, at(7)).await.unwrap();
        assert_eq!(unfinished.subjects, condemned.subjects);
        let erasure = store.erase(unfinished, at(8)).await.unwrap();
        assert_eq!(
            (erasure.subjects, erasure.events, erasure.payloads),
            (1, 1, 1)
        );
        assert_eq!((erasure.deliveries, erasure.attempts), (2, 1));
        let sent = SentTo {
            destination: "crm".into(),
            attempts: 1,
            first_at: at(1),
            last_at: at(1),
            receipts: vec!["note-1".to_owned()],
        };
        assert_eq!(erasure.sent_to, [sent]);
        store.forget_writes().await.unwrap();
        assert!(
            store
                .event(first.placed[0].id.event)
                .await
                .unwrap()
                .is_none()
        );
        let none = store.condemn(Whose::Unfinished, at(9)).await.unwrap();
        assert_eq!(none, Condemned::default());
        for revision in [1, 2] {
            let outcome = store.accept(plan("s-1", revision, 9, &["crm"])).await;
            assert!(matches!(outcome.unwrap(), AcceptOutcome::Erased));
        }
        assert_eq!(store.waiting(), 1);
        assert_eq!(store.count_rows("event").await, 1);
    }
);

store_test!(
    a_candidate_is_erased_with_every_subject_that_named_it,
    |store| async {
        store
            .accepted(named(plan("s-1", 1, 0, &["crm"]), "c-1"))
            .await;
        store
            .accepted(named(plan("s-1", 2, 1, &["crm"]), "c-1"))
            .await;
        store.accepted(named(plan("", 1, 2, &["crm"]), "c-1")).await;
        let other = named(plan("s-2", 1, 3, &["crm"]), "c-2");
        let other = store.accepted(other).await.placed[0].id;
        let whose = Whose::Candidate("c-1".to_owned());
        let condemned = store.condemn(whose, at(5)).await.unwrap();
        assert_eq!((condemned.subjects.len(), condemned.events.len()), (1, 1));
        let erasure = store.erase(condemned, at(6)).await.unwrap();
        assert_eq!(
            (erasure.subjects, erasure.events, erasure.deliveries),
            (1, 3, 3)
        );
        assert_eq!(store.count_rows("candidate").await, 1);
        let work = store.work(other, Since::LastSent).await.unwrap();
        assert!(work.is_some());
        assert_eq!(store.waiting(), 1);
    }
);

store_test!(
    jobs_and_lanes_say_nothing_more_of_who_was_erased,
    |store| async {
        let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
        store.settled(id, 1, dead()).await;
        let lane = LaneRecord {
            destination: "crm".into(),
            state: LaneState::Blocked,
            paused: false,
            reason: "it said: s-1 is not welcome".to_owned(),
            since: at(1),
            stood_still: Duration::ZERO,
        };
        store.save_lane(lane.clone()).await.unwrap();
        let task = |subject: &str| Task::Discard {
            filter: DeliveryFilter {
                subject: Some(subject.to_owned()),
                ..DeliveryFilter::default()
            },
        };
        let about = store.begin_job(task("s-1"), false, at(2)).await.unwrap();
        let other = store.begin_job(task("s-2"), false, at(2)).await.unwrap();
        let condemned = store.condemn(of("s-1"), at(5)).await.unwrap();
        store.erase(condemned, at(6)).await.unwrap();
        let jobs = store.jobs(true).await.unwrap();
        assert_eq!(jobs[0], other);
        assert_eq!((jobs[1].id, jobs[1].state), (about.id, JobState::Cancelled));
        assert!(!format!("{:?}", jobs[1]).contains("s-1"));
        let lease = store.lease(&["crm".into()]).await.unwrap().remove(0);
        assert_eq!(lease.lane.reason, WORDS_ERASED);
        assert_eq!(lease.lane.state, lane.state);
    }
);
