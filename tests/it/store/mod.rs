//! The contract that any store must keep. Each `store_test!` becomes one test a backend; what only a
//! file can get wrong is in `sqlite.rs`.

mod accept;
mod commons;
mod damage;
mod database;
mod erase;
mod jobs;
mod kept;
mod lanes;
mod large;
mod lists;
mod moving;
mod opening;
mod replay;
mod sealed;
mod senders;
mod settle;
mod sqlite;
mod sweep;
mod transfer;
mod work;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use mojito_relay::clock::ManualClock;
use mojito_relay::model::plus;
use mojito_relay::model::{
    Attempt, Budget, Cause, DeliveryId, Event, EventId, EventType, FieldDigests, Mint, Refusal,
    Subject, Verdict,
};
use mojito_relay::store::postgres::{PostgresOptions, PostgresStore, PostgresUrl};
use mojito_relay::store::sqlite::{SqliteOptions, SqliteStore};
use mojito_relay::store::{
    AcceptOutcome, AcceptPlan, Accepted, Act, Done, Fence, Head, Keyring, NewDelivery, OnCommit,
    Outcome, Receipt, Replay, Settlement, Store, StoreError, Waiting, What,
};
use tempfile::TempDir;

use crate::postgres;

/// Expands a rule of the contract to one test for each backend; `|mut store|` where it is reopened.
macro_rules! store_test {
    ($name:ident, |$store:ident| async $body:block) => {
        store_test!(@each $name, ($store), $store, $body);
    };
    ($name:ident, |mut $store:ident| async $body:block) => {
        store_test!(@each $name, (mut $store), $store, $body);
    };
    (@each $name:ident, ($($binding:tt)+), $store:ident, $body:block) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn sqlite() {
                let $($binding)+ = Home::sqlite();
                $body
                $store.leave().await;
            }

            #[tokio::test]
            async fn postgres() {
                let $($binding)+ = Home::postgres().await;
                $body
                $store.leave().await;
            }
        }
    };
}
pub(crate) use store_test;

/// A store of its own: in a temporary folder, or in a schema.
pub(crate) struct Home {
    pub(crate) options: Options,
    /// How many commands each commit carried.
    pub(crate) commits: Arc<Mutex<Vec<usize>>>,
    store: Option<Arc<dyn Store>>,
    folder: TempDir,
}

/// Where and how a store is opened.
#[derive(Clone)]
pub(crate) enum Options {
    Sqlite(SqliteOptions),
    /// With the text of its URL.
    Postgres(Box<PostgresOptions>, String),
}

impl Options {
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::Sqlite(options) => Arc::new(SqliteStore::open(options)?),
            Self::Postgres(options, _) => Arc::new(PostgresStore::open(options).await?),
        })
    }

    pub(crate) fn seals(&mut self) -> &mut Keyring {
        match self {
            Self::Sqlite(options) => &mut options.seals,
            Self::Postgres(options, _) => &mut options.seals,
        }
    }

    /// Those of a file.
    pub(crate) fn sqlite(&self) -> &SqliteOptions {
        match self {
            Self::Sqlite(options) => options,
            Self::Postgres(..) => panic!("it is in no file"),
        }
    }
}

impl Home {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let (commits, on_commit) = counting();
        let options = SqliteOptions {
            path: folder.path().join("data/relay.db"),
            key: [7; 32],
            seals: Keyring::default(),
            clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
            on_commit: Some(on_commit),
        };
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&options).unwrap());
        Self {
            options: Options::Sqlite(options),
            commits,
            store: Some(store),
            folder,
        }
    }

    pub(crate) async fn postgres() -> Self {
        Self::at(postgres::shared().url()).await
    }

    /// The store of this URL.
    pub(crate) async fn at(url: String) -> Self {
        let (commits, on_commit) = counting();
        let options = PostgresOptions {
            url: PostgresUrl::parse(&url).unwrap(),
            key: [7; 32],
            seals: Keyring::default(),
            name: "test".to_owned(),
            clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
            on_commit: Some(on_commit),
        };
        let options = Options::Postgres(Box::new(options), url);
        Self {
            store: Some(options.open().await.unwrap()),
            options,
            commits,
            folder: TempDir::new().unwrap(),
        }
    }

    /// Closes the store and opens it again, as a restart does.
    pub(crate) async fn reopen(&mut self) {
        self.close().await;
        self.store = Some(self.options.open().await.unwrap());
    }

    pub(crate) async fn close(&mut self) {
        let store = self.store.take().expect("it is open");
        store.close().await.unwrap();
    }

    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().expect("it is open"))
    }

    /// The end of every test: whatever happened, the store is sound.
    pub(crate) async fn leave(mut self) {
        if self.store.is_some() {
            self.close().await;
        }
        match &self.options {
            Options::Sqlite(options) => sound_file(options),
            Options::Postgres(_, url) => sound_schema(url).await,
        }
        self.folder.close().unwrap();
    }

    /// Accepts what must be acceptable.
    pub(crate) async fn accepted(&self, plan: AcceptPlan) -> Accepted {
        accepted(self.accept(plan).await)
    }

    /// The number that this process owns its lanes under.
    pub(crate) async fn fence(&self) -> Fence {
        let lanes = ["crm", "ats", "slack", "hiring", "old", "new"].map(Into::into);
        self.lease(&lanes).await.unwrap()[0].fence
    }

    /// How many rows a table has.
    pub(crate) async fn count_rows(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        match &self.options {
            Options::Sqlite(options) => {
                let conn = rusqlite::Connection::open(&options.path).unwrap();
                conn.query_row(&sql, [], |row| row.get(0)).unwrap()
            }
            Options::Postgres(_, url) => {
                let client = postgres::connect(url).await;
                client.query_one(&sql, &[]).await.unwrap().get(0)
            }
        }
    }

    /// Settles a delivery at `T + millis`, with an attempt.
    pub(crate) async fn settled(
        &self,
        delivery: DeliveryId,
        millis: i64,
        outcome: Outcome,
    ) -> mojito_relay::model::State {
        let verdict = match &outcome {
            Outcome::Delivered { .. } => Verdict::Accepted,
            Outcome::Waiting { .. } => Verdict::Retry,
            Outcome::Dead { .. } | Outcome::Skipped { .. } => Verdict::Rejected,
        };
        let settlement = Settlement {
            delivery,
            fence: self.fence().await,
            attempt: Some(attempt(millis, verdict)),
            outcome,
            gone: None,
            at: at(millis),
        };
        self.settle(settlement).await.unwrap().state
    }

    /// What is due at `T + millis`, in the order it may go out.
    pub(crate) async fn due_ids(
        &self,
        destination: &str,
        millis: i64,
        ordered: bool,
    ) -> Vec<DeliveryId> {
        let due = self
            .due(&destination.into(), at(millis), 100, ordered)
            .await;
        due.unwrap()
            .items
            .iter()
            .map(|waiting| waiting.id)
            .collect()
    }

    /// Replays one delivery at `T + millis`.
    pub(crate) async fn replayed(
        &self,
        delivery: DeliveryId,
        millis: i64,
        how: Replay,
    ) -> Result<Done, Refusal> {
        let act = Act {
            what: What::Replay {
                deliveries: vec![delivery],
                how,
            },
            now: at(millis),
            dry_run: false,
            turn: None,
        };
        let acts = self.act(act).await.unwrap();
        assert_eq!((acts.all.len(), acts.all[0].id), (1, delivery));
        acts.all[0].outcome
    }

    pub(crate) async fn state(&self, delivery: DeliveryId) -> mojito_relay::model::State {
        self.delivery(delivery).await.state
    }

    pub(crate) async fn delivery(&self, id: DeliveryId) -> mojito_relay::model::Delivery {
        let detail = self
            .event(id.event)
            .await
            .unwrap()
            .expect("the event is there");
        detail.deliveries[usize::from(id.number)].clone()
    }
}

/// Notes how many commands each commit carries.
fn counting() -> (Arc<Mutex<Vec<usize>>>, OnCommit) {
    let commits = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&commits);
    let on_commit = move |_, commands| {
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(commands);
    };
    (commits, Arc::new(on_commit))
}

fn sound_file(options: &SqliteOptions) {
    let conn = rusqlite::Connection::open(&options.path).unwrap();
    let check = |pragma: &str| -> Vec<String> {
        let mut statement = conn.prepare(pragma).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(check("PRAGMA integrity_check"), ["ok"]);
    assert_eq!(check("PRAGMA foreign_key_check"), [""; 0]);
}

/// There are no foreign keys, so whatever belongs to something that is gone is looked for; and counts are compared.
async fn sound_schema(url: &str) {
    let client = postgres::connect(url).await;
    for (what, sql) in [
        ("payload", "SELECT count(*) FROM payload WHERE seq NOT IN (SELECT seq FROM event)"),
        ("delivery", "SELECT count(*) FROM delivery WHERE event_seq NOT IN (SELECT seq FROM event)"),
        (
            "attempt",
            "SELECT count(*) FROM attempt WHERE (event_seq, number) NOT IN (SELECT event_seq, number FROM delivery)",
        ),
        ("event", "SELECT count(*) FROM event WHERE subject IS NOT NULL AND subject NOT IN (SELECT id FROM subject)"),
        ("latest", "SELECT count(*) FROM subject WHERE latest_seq NOT IN (SELECT seq FROM event)"),
        ("receipt", "SELECT count(*) FROM receipt WHERE subject NOT IN (SELECT id FROM subject)"),
        ("awaited", "SELECT count(*) FROM awaited WHERE subject NOT IN (SELECT id FROM subject)"),
        ("unconfirmed", "SELECT count(*) FROM unconfirmed WHERE subject NOT IN (SELECT id FROM subject)"),
        ("candidate", "SELECT count(*) FROM candidate WHERE subject NOT IN (SELECT id FROM subject)"),
        (
            "tally",
            "SELECT count(*) FROM (SELECT state, destination, sum(count) AS n FROM tally GROUP BY 1, 2) AS t
             FULL JOIN (SELECT state, destination, count(*) AS n FROM delivery GROUP BY 1, 2) AS d
                 ON d.state = t.state AND d.destination = t.destination
             WHERE coalesce(t.n, 0) <> coalesce(d.n, 0)",
        ),
        (
            "owned lanes",
            "SELECT count(*) FROM lane AS l JOIN replica AS r ON r.id = l.owner WHERE r.until > clock_timestamp()",
        ),
    ] {
        let found: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(found, 0, "{what}");
    }
}

impl std::ops::Deref for Home {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &**self.store.as_ref().expect("it is open")
    }
}

/// `T + millis`, T being the moment at which the tests begin.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_790_000_000_000 + millis).unwrap()
}

/// A plan for a revision of a subject, received at `T + millis`, with a delivery to each destination.
pub(crate) fn plan(subject: &str, revision: u32, millis: i64, to: &[&str]) -> AcceptPlan {
    AcceptPlan {
        event: Arc::new(Event {
            id: event_id(millis),
            source: "jobmojito".into(),
            event_type: EventType::new("interview.submitted"),
            subject: Subject::new(subject).ok(),
            revision,
            changed: if revision > 1 {
                vec!["score".to_owned()]
            } else {
                Vec::new()
            },
            candidate: None,
            received_at: at(millis),
            route_errors: Vec::new(),
        }),
        payload: Bytes::from(format!("{{\"id\":\"{subject}\",\"at\":{millis}}}")),
        kept: None,
        fields: digests(&[("score", revision)]),
        trace: None,
        deliveries: to
            .iter()
            .map(|destination| delivery(destination, millis))
            .collect(),
    }
}

/// The same, its deliveries taking the place of those that wait.
pub(crate) fn superseding(subject: &str, revision: u32, millis: i64, to: &[&str]) -> AcceptPlan {
    let mut plan = plan(subject, revision, millis, to);
    for delivery in &mut plan.deliveries {
        delivery.supersedes = true;
    }
    plan
}

pub(crate) fn delivery(destination: &str, millis: i64) -> NewDelivery {
    NewDelivery {
        destination: destination.into(),
        route: "everything".into(),
        skipped: None,
        due_at: at(millis),
        supersedes: false,
        settle_by: None,
        takes_up: false,
    }
}

/// A new id for `T + millis`; ids rise within a millisecond.
pub(crate) fn event_id(millis: i64) -> EventId {
    static MINT: LazyLock<Mutex<std::collections::BTreeMap<i64, Mint>>> =
        LazyLock::new(Mutex::default);
    let mut mints = MINT.lock().unwrap_or_else(PoisonError::into_inner);
    mints.entry(millis).or_default().event(at(millis), 5)
}

pub(crate) fn digests(fields: &[(&str, u32)]) -> FieldDigests {
    let mut digests = FieldDigests::default();
    for (field, value) in fields {
        let mut digest = [0; 16];
        digest[..4].copy_from_slice(&value.to_be_bytes());
        digests.set(*field, digest);
    }
    digests
}

pub(crate) fn attempt(millis: i64, verdict: Verdict) -> Attempt {
    Attempt {
        at: at(millis),
        duration: Duration::from_millis(12),
        status: Some(503),
        verdict,
        reason: "503 Service Unavailable".to_owned(),
        excerpt: Some("come back later".to_owned()),
    }
}

pub(crate) fn delivered(receipt: Option<&str>) -> Outcome {
    Outcome::Delivered {
        receipt: receipt.map(|value| Receipt {
            value: value.to_owned(),
            scope: "https://ats.example".to_owned(),
        }),
        warning: None,
    }
}

/// Another try at `T + millis` after one that was charged.
pub(crate) fn retry(millis: i64, supersedable: bool) -> Outcome {
    Outcome::Waiting {
        due_at: at(millis),
        reason: "503 Service Unavailable".to_owned(),
        budget: Budget {
            tries: 1,
            charged: 1,
            ..Budget::default()
        },
        supersedable,
    }
}

pub(crate) fn dead() -> Outcome {
    Outcome::Dead {
        cause: Cause::Rejected,
        reason: "404 Not Found".to_owned(),
    }
}

pub(crate) fn accepted(outcome: Result<AcceptOutcome, StoreError>) -> Accepted {
    match outcome.unwrap() {
        AcceptOutcome::Accepted(accepted) => accepted,
        AcceptOutcome::Stale(head) => panic!("stale, the latest is {}", head.revision),
        AcceptOutcome::Erased => panic!("the subject was erased"),
    }
}

pub(crate) fn stale(outcome: Result<AcceptOutcome, StoreError>) -> Head {
    match outcome.unwrap() {
        AcceptOutcome::Accepted(_) | AcceptOutcome::Erased => panic!("it should have been stale"),
        AcceptOutcome::Stale(head) => head,
    }
}

pub(crate) fn ids(items: &[Waiting]) -> Vec<DeliveryId> {
    items.iter().map(|waiting| waiting.id).collect()
}

pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

pub(crate) fn later(millis: i64, by: Duration) -> Timestamp {
    plus(at(millis), by)
}
