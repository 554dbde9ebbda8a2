//! Sealed payloads: opened by every reader, bound to their event, and sealed again when the key changes.

use super::*;
use mojito_relay::model::State;
use mojito_relay::store::{Fingerprint, SealError, SealKey, Sealing, Since};
use rusqlite::Connection;

/// Occurs in every payload of [`marked`].
const MARK: &str = "MARK-what-somebody-said";

fn key(byte: u8) -> SealKey {
    SealKey::new(&[byte; 32])
}

fn print_of(byte: u8) -> Fingerprint {
    key(byte).fingerprint()
}

fn ring(keys: &[u8]) -> Keyring {
    Keyring::new(keys.iter().copied().map(key).collect(), true)
}

/// The same keys, and nothing is sealed any more.
fn opening(keys: &[u8]) -> Keyring {
    Keyring::new(keys.iter().copied().map(key).collect(), false)
}

/// A store under these keys from the start.
async fn sealed_by(keys: &[u8]) -> Home {
    let mut home = Home::sqlite();
    home.restart(ring(keys)).await;
    home
}

impl Home {
    async fn restart(&mut self, seals: Keyring) {
        *self.options.seals() = seals;
        self.reopen().await;
    }

    /// Steps until nothing is left to seal again; how many payloads were, and how many could not be.
    async fn resealed(&self) -> (u64, u64) {
        let mut all = (0, 0);
        loop {
            let step = self.reseal().await.unwrap();
            all = (all.0 + step.payloads, all.1 + step.damaged);
            if step.done {
                return all;
            }
        }
    }

    /// Files of the store that hold `text`.
    fn files_with(&self, text: &str) -> Vec<String> {
        let folder = self.options.sqlite().path.parent().unwrap();
        let mut found = Vec::new();
        for file in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let bytes = std::fs::read(file.path()).unwrap();
            let holds = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            found.extend(holds.then(|| file.file_name().into_string().unwrap()));
        }
        found.sort();
        found
    }

    /// By which keys payloads are sealed, oldest first.
    async fn keys_in_rows(&self) -> Vec<Option<Fingerprint>> {
        let sql = "SELECT sealed_by FROM payload ORDER BY seq";
        let codes: Vec<Option<i64>> = match &self.options {
            Options::Sqlite(options) => {
                let conn = Connection::open(&options.path).unwrap();
                let mut rows = conn.prepare(sql).unwrap();
                let rows = rows.query_map([], |row| row.get(0)).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Options::Postgres(_, url) => {
                let rows = postgres::connect(url).await.query(sql, &[]).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        };
        let print = |code: i64| Fingerprint(code.cast_unsigned());
        codes.into_iter().map(|code| code.map(print)).collect()
    }

    /// Changes the store's tables behind its back.
    async fn meddle(&self, sqlite: &str, postgres: &str) {
        match &self.options {
            Options::Sqlite(options) => {
                let conn = Connection::open(&options.path).unwrap();
                conn.execute_batch(sqlite).unwrap();
            }
            Options::Postgres(_, url) => {
                let client = postgres::connect(url).await;
                client.batch_execute(postgres).await.unwrap();
            }
        }
    }

    async fn refused(&mut self, seals: Keyring) -> StoreError {
        self.close().await;
        self.still_refused(seals).await
    }

    async fn still_refused(&mut self, seals: Keyring) -> StoreError {
        *self.options.seals() = seals;
        let opened = self.options.open().await;
        opened.map(drop).expect_err("a key is missing")
    }
}

fn marked(subject: &str, revision: u32, millis: i64) -> AcceptPlan {
    let mut plan = plan(subject, revision, millis, &["crm"]);
    plan.payload = Bytes::from(format!(
        "{{\"id\":\"{subject}\",\"at\":{millis},\"said\":\"{MARK}\"}}"
    ));
    plan
}

fn state(key: Option<u8>, resealing: bool, left: u64) -> Sealing {
    let key = key.map(print_of);
    Sealing {
        key,
        resealing,
        left,
    }
}

#[tokio::test]
async fn every_reader_gets_what_was_accepted_and_the_files_do_not_tell_it() {
    let mut home = sealed_by(&[1]).await;
    let (first, second) = (marked("s-1", 1, 0), marked("s-1", 2, 5));
    let (one, two) = (first.payload.clone(), second.payload.clone());
    let sent = home.accepted(first).await.placed[0].id;
    home.settled(sent, 1, delivered(None)).await;
    let id = home.accepted(second).await.placed[0].id;
    for since in [Since::PreviousRevision, Since::LastSent] {
        let work = home.work(id, since).await.unwrap().unwrap();
        assert_eq!((&work.payload, work.previous.as_ref()), (&two, Some(&one)));
    }
    let detail = home.event(id.event).await.unwrap().unwrap();
    assert_eq!((detail.payload, detail.lost), (Some(two.clone()), None));
    let head = stale(home.accept(marked("s-1", 2, 9)).await);
    assert_eq!(head.payload, Some(two));
    let how = Replay {
        force: true,
        ..Replay::default()
    };
    home.replayed(sent, 20, how).await.unwrap();
    let again = home.work(sent, Since::LastSent).await.unwrap().unwrap();
    assert_eq!(again.payload, one);
    assert_eq!(
        home.files_with(MARK),
        [""; 0],
        "file and log while it is open"
    );
    home.close().await;
    assert_eq!(home.files_with(MARK), [""; 0], "and after");
    home.leave().await;
}

#[tokio::test]
async fn without_keys_payloads_are_kept_as_they_came() {
    let mut home = Home::sqlite();
    home.accepted(marked("s-1", 1, 0)).await;
    assert_eq!(home.sealing().await.unwrap(), None);
    assert_eq!(home.files_with(MARK), ["relay.db-wal"]);
    home.reopen().await;
    assert_eq!(home.files_with(MARK), ["relay.db"]);
    assert_eq!(home.keys_in_rows().await, [None]);
    assert_eq!(home.sealing().await.unwrap(), None);
    home.leave().await;
}

#[tokio::test]
async fn turning_it_on_seals_what_is_there_and_leaves_nothing_of_it_in_the_files() {
    let mut home = Home::sqlite();
    for n in 0..250 {
        // Of many sizes, some over several pages: sealing makes pages too full, and rows move.
        let mut plan = marked(&format!("s-{n}"), 1, n);
        let said = MARK.repeat(usize::try_from(n * n * 7 % 400).unwrap());
        plan.payload = Bytes::from(format!("\"{said}{n}\""));
        home.accepted(plan).await;
    }
    home.restart(ring(&[1])).await;
    assert_eq!(
        home.sealing().await.unwrap(),
        Some(state(Some(1), true, 250))
    );
    home.reseal().await.unwrap();
    assert_eq!(
        home.sealing().await.unwrap(),
        Some(state(Some(1), true, 150))
    );
    assert_eq!(home.resealed().await, (150, 0));
    assert_eq!(
        home.sealing().await.unwrap(),
        Some(state(Some(1), false, 0))
    );
    assert_eq!(home.files_with(MARK), [""; 0]);
    assert_eq!(home.keys_in_rows().await, vec![Some(print_of(1)); 250]);
    home.leave().await;
}

store_test!(
    a_rotation_goes_on_after_a_restart_and_then_the_old_key_can_go,
    |mut store| async {
        store.restart(ring(&[1])).await;
        assert_eq!(store.resealed().await, (0, 0));
        let mut wanted = Vec::new();
        for n in 0..150 {
            let plan = marked(&format!("s-{n}"), 1, n);
            wanted.push((plan.event.id, plan.payload.clone()));
            store.accepted(plan).await;
        }
        store.restart(ring(&[2, 1])).await;
        let plan = marked("new", 1, 500);
        wanted.push((plan.event.id, plan.payload.clone()));
        store.accepted(plan).await;
        assert_eq!(store.reseal().await.unwrap().payloads, 100);
        store.reopen().await;
        assert_eq!(
            store.sealing().await.unwrap(),
            Some(state(Some(2), true, 50))
        );
        assert_eq!(store.resealed().await, (50, 0));
        store.restart(ring(&[2])).await;
        assert_eq!(
            store.sealing().await.unwrap(),
            Some(state(Some(2), false, 0))
        );
        assert_eq!(store.keys_in_rows().await, vec![Some(print_of(2)); 151]);
        for (id, payload) in wanted {
            let detail = store.event(id).await.unwrap().unwrap();
            assert_eq!(detail.payload, Some(payload));
        }
    }
);

store_test!(
    a_rotation_that_is_taken_back_half_way_needs_both_keys_until_the_end,
    |mut store| async {
        store.restart(ring(&[1])).await;
        for n in 0..150 {
            store.accepted(marked(&format!("s-{n}"), 1, n)).await;
        }
        store.restart(ring(&[2, 1])).await;
        store.reseal().await.unwrap();
        store.restart(ring(&[1, 2])).await;
        assert_eq!(
            store.sealing().await.unwrap(),
            Some(state(Some(1), true, 150))
        );
        assert_eq!(
            store.resealed().await,
            (100, 0),
            "the others are as they should be"
        );
        store.restart(ring(&[1])).await;
        assert_eq!(store.keys_in_rows().await, vec![Some(print_of(1)); 150]);
    }
);

store_test!(
    a_start_without_a_key_that_may_be_needed_is_refused_by_name,
    |mut store| async {
        store.restart(ring(&[1])).await;
        store.accepted(marked("s-1", 1, 0)).await;
        let error = store.refused(ring(&[2])).await.to_string();
        let (old, new) = (print_of(1).to_string(), print_of(2).to_string());
        assert!(
            error.contains(&format!("(fingerprint {old}; configured: {new})")),
            "{error}"
        );
        assert!(error.contains("store.encrypt.keys"), "{error}");
        let error = store.still_refused(Keyring::default()).await;
        assert!(error.to_string().contains("configured: none"), "{error}");
        // Nothing was changed by it.
        *store.options.seals() = ring(&[1]);
        let again = store.options.open().await.unwrap();
        assert_eq!(
            again.sealing().await.unwrap(),
            Some(state(Some(1), true, 0))
        );
        again.close().await.unwrap();
    }
);

store_test!(
    turning_it_off_takes_the_keys_until_everything_is_plain,
    |mut store| async {
        store.restart(ring(&[1])).await;
        store.accepted(marked("s-1", 1, 0)).await;
        store.restart(opening(&[1])).await;
        store.accepted(marked("s-2", 1, 5)).await;
        assert_eq!(store.keys_in_rows().await, [Some(print_of(1)), None]);
        assert_eq!(store.sealing().await.unwrap(), Some(state(None, true, 1)));
        assert_eq!(store.resealed().await, (1, 0));
        store.restart(Keyring::default()).await;
        assert_eq!(store.keys_in_rows().await, [None, None]);
        assert_eq!(store.sealing().await.unwrap(), None);
    }
);

store_test!(
    payloads_that_were_exchanged_are_lost_and_stop_nothing_else,
    |mut store| async {
        store.restart(ring(&[1])).await;
        let one = store.accepted(marked("s-1", 1, 0)).await.placed[0].id;
        let other = store.accepted(marked("s-2", 1, 5)).await.placed[0].id;
        let sound = store.accepted(marked("s-3", 1, 6)).await.placed[0].id;
        let kept = "CREATE TEMP TABLE before AS SELECT * FROM payload;
         UPDATE payload SET body = (SELECT body FROM before WHERE before.seq = 3 - payload.seq) WHERE seq < 3";
        store.meddle(kept, kept).await;
        for id in [one, other] {
            let work = store.work(id, Since::LastSent).await;
            let Err(StoreError::Payload(reason)) = work else {
                panic!("{work:?}");
            };
            assert!(reason.contains("damaged"), "{reason}");
            let detail = store.event(id.event).await.unwrap().unwrap();
            assert_eq!(
                (detail.payload, detail.lost),
                (None, Some(SealError::Damaged))
            );
        }
        assert!(store.work(sound, Since::LastSent).await.unwrap().is_some());
        let head = stale(store.accept(marked("s-1", 1, 9)).await);
        assert_eq!(head.payload, None, "as good as gone to the next revision");
        let next = store.accepted(marked("s-1", 2, 10)).await.placed[0].id;
        let work = store
            .work(next, Since::PreviousRevision)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(work.previous, None);
        store.restart(ring(&[2, 1])).await;
        assert_eq!(
            store.resealed().await,
            (2, 2),
            "and a rotation comes to its end"
        );
        assert_eq!(store.state(one).await, State::Waiting);
    }
);
