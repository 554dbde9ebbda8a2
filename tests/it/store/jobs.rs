//! Jobs: what they did is counted in the transaction that does it, and those that are over fade away.

use super::*;
use mojito_relay::model::{Cursor, JobId, JobState, State};
use mojito_relay::store::{Acts, DeliveryFilter, Job, NOT_KEPT, Task, Turn};

fn task(subject: Option<&str>) -> Task {
    Task::Discard {
        filter: DeliveryFilter {
            subject: subject.map(str::to_owned),
            error: subject.map(str::to_owned),
            ..DeliveryFilter::default()
        },
    }
}

impl Home {
    async fn discard(&self, job: &Job, which: &[DeliveryId], next: Option<Cursor>) -> Acts {
        let act = Act {
            what: What::Discard {
                deliveries: which.to_vec(),
                sending: [].into(),
                reason: "not wanted".to_owned(),
            },
            now: at(9),
            dry_run: job.dry_run,
            turn: Some(Turn {
                job: job.id,
                looked_at: which.len() as u64,
                next,
                reached: Some(at(3)),
            }),
        };
        self.act(act).await.unwrap()
    }

    async fn job(&self, id: JobId) -> Job {
        let mut jobs = self.jobs(true).await.unwrap().into_iter();
        jobs.find(|job| job.id == id).expect("it is there")
    }
}

store_test!(a_job_remembers_how_far_it_is, |mut store| async {
    let mut waiting = Vec::new();
    for (at, subject) in ["s-1", "s-2", "s-3"].into_iter().enumerate() {
        let at = i64::try_from(at).unwrap();
        let accepted = store.accepted(plan(subject, 1, at, &["crm"])).await;
        waiting.push(accepted.placed[0].id);
    }
    let job = store
        .begin_job(task(Some("s-1")), false, at(5))
        .await
        .unwrap();
    assert_eq!((job.state, job.place), (JobState::Running, None));
    let place = Some(Cursor(waiting[0]));
    let acts = store.discard(&job, &waiting[..1], place).await;
    assert!(!acts.over);
    store.reopen().await;
    let job = store.job(job.id).await;
    assert_eq!((job.state, job.place), (JobState::Running, place));
    assert_eq!((job.progress.looked_at, job.progress.done), (1, 1));
    assert_eq!(job.task, task(Some("s-1")));
    // The first ended already.
    let acts = store.discard(&job, &waiting, None).await;
    assert!(acts.over);
    let job = store.job(job.id).await;
    assert_eq!((job.state, job.ended_at), (JobState::Done, Some(at(9))));
    assert_eq!((job.progress.looked_at, job.progress.done), (4, 3));
    assert_eq!(job.progress.refusals[0].delivery_id, Some(waiting[0]));
    assert_eq!(job.task, task(Some(NOT_KEPT)), "it names nobody any more");
    assert_eq!(store.state(waiting[2]).await, State::Discarded);
    assert_eq!(store.waiting(), 0);
});

store_test!(a_job_that_only_counts_changes_nothing, |store| async {
    let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
    let job = store.begin_job(task(None), true, at(5)).await.unwrap();
    store.discard(&job, &[id], None).await;
    let job = store.job(job.id).await;
    assert_eq!((job.state, job.progress.done), (JobState::Done, 1));
    assert_eq!(store.state(id).await, State::Waiting);
    assert_eq!(store.waiting(), 1);
});

store_test!(what_was_cancelled_does_no_more, |store| async {
    let id = store.accepted(plan("s-1", 1, 0, &["crm"])).await.placed[0].id;
    let job = store.begin_job(task(None), false, at(5)).await.unwrap();
    assert!(store.cancel_job(job.id, at(6)).await.unwrap());
    let acts = store.discard(&job, &[id], None).await;
    assert!(acts.over && acts.all.is_empty());
    assert_eq!(store.state(id).await, State::Waiting);
    let job = store.job(job.id).await;
    assert_eq!(
        (job.state, job.ended_at),
        (JobState::Cancelled, Some(at(6)))
    );
    assert!(store.cancel_job(job.id, at(7)).await.unwrap());
    assert_eq!(store.job(job.id).await.ended_at, Some(at(6)), "once");
    assert!(!store.cancel_job(JobId(99), at(7)).await.unwrap());
});

store_test!(a_hundred_jobs_that_are_over_are_shown, |store| async {
    let first = store.begin_job(task(None), false, at(0)).await.unwrap();
    for millis in 1..=120 {
        let job = store.begin_job(task(None), true, at(millis)).await.unwrap();
        store.discard(&job, &[], None).await;
    }
    let jobs = store.jobs(true).await.unwrap();
    assert_eq!(jobs.len(), 101);
    assert_eq!(jobs[0].id, JobId(121), "newest first, and no number twice");
    assert_eq!(jobs[100].id, first.id, "what runs stays");
    let running = store.jobs(false).await.unwrap();
    assert_eq!(running, [first]);
});
