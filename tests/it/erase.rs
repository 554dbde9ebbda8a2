//! What is known of somebody is gone on request: from the answer of the API to the bytes of the files.

use std::path::Path;

use mojito_relay::model::State;
use serde_json::{Value, json};

use crate::harness::{Reply, TestRelay, answer};

const CONFIG: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.ats]
base_url = "http://ats.test"
create = { path = "/notes", body = { text = "{{ result.ai_analysis_recruiter }}" } }
receipt = "/id"
[destinations.app]
url = "http://app.test/in"
[[routes]]
events = ["*"]
to = ["ats", "app"]
"#;

/// Occurs in every payload of somebody's.
fn mark(who: &str) -> String {
    format!("MARK-{who}-said-something-of-note")
}

fn body(who: &str, subject: &str, score: u32, candidate: Option<&str>) -> String {
    json!({
        "id": subject, "status": "active", "interview_status": "completed", "score": score,
        "candidate_external_id": candidate, "ai_analysis_recruiter": mark(who),
    })
    .to_string()
}

async fn post(relay: &TestRelay, body: String) -> Reply {
    relay.post("jobmojito", body).await
}

async fn erase(relay: &TestRelay, whose: Value) -> Reply {
    relay.ask("/api/v1/erase", whose.to_string()).await
}

/// Whether a text stands anywhere in the store's files.
fn stands_in(folder: &Path, text: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let holds = |file: &std::fs::DirEntry| {
        let bytes = std::fs::read(file.path()).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let found = files
        .filter(|file| file.file_name() != "relay.toml")
        .filter(holds);
    found
        .map(|file| file.file_name().into_string().unwrap())
        .collect()
}

/// Others, whose candidates and subjects stand in the indexes before and after those of ada, so that pages
/// are split around them.
async fn crowd(relay: &TestRelay, count: u32) {
    for n in 0..count {
        let who = format!("bob{n}");
        let spread = n.wrapping_mul(2_654_435_761);
        let (subject, candidate) = (
            format!("subject-{spread:08x}"),
            format!("candidate-{spread:08x}"),
        );
        post(relay, body(&who, &subject, 1, Some(&candidate))).await;
    }
}

/// How many people, subjects, … a receipt counts.
fn counts(receipt: &Value) -> Vec<u64> {
    let keys = ["subjects", "events", "payloads", "deliveries"];
    keys.map(|key| receipt[key].as_u64().unwrap()).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_gone_from_the_files_and_others_are_not() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay
        .receivers
        .always("ats.test", answer(201, r#"{"id":"NOTE-of-ada-0001"}"#));
    let echo = format!(r#"{{"message":"{} is odd"}}"#, mark("ada"));
    relay
        .receivers
        .answer("app.test", [answer(422, &echo), answer(403, &echo)]);
    // The candidate is known only from the second revision on.
    post(&relay, body("ada", "subject-of-ada-7", 1, None)).await;
    relay.ended(State::Dead, 1).await;
    post(
        &relay,
        body("ada", "subject-of-ada-7", 2, Some("candidate-ada-77")),
    )
    .await;
    relay.attempts(4).await;
    let status = relay.get("/api/v1/status").await.json();
    assert!(
        status["destinations"][0]["reason"]
            .as_str()
            .unwrap()
            .contains(&mark("ada"))
    );
    crowd(&relay, 400).await;
    relay.ended(State::Delivered, 402).await;
    let texts = [
        mark("ada"),
        "subject-of-ada-7".into(),
        "candidate-ada-77".into(),
        "NOTE-of-ada-0001-".into(),
    ];
    assert!(!stands_in(relay.folder(), &texts[0]).is_empty());
    let reply = erase(&relay, json!({"candidate": "candidate-ada-77"})).await;
    assert_eq!(reply.status, 200);
    let receipt = reply.json();
    assert_eq!(counts(&receipt), [1, 2, 2, 4]);
    let sent: Vec<_> = receipt["sent_to"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["destination"].as_str().unwrap(),
                one["receipts"].clone(),
            )
        })
        .collect();
    assert_eq!(
        sent,
        [("app", json!([])), ("ats", json!(["NOTE-of-ada-0001"]))]
    );
    assert!(receipt["not_ours"].to_string().contains("backups"));
    for text in &texts {
        assert_eq!(stands_in(relay.folder(), text), [""; 0], "{text}");
    }
    let status = relay.get("/api/v1/status").await.json();
    assert!(
        status["destinations"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("erased on request")
    );
    assert!(!stands_in(relay.folder(), &mark("bob7")).is_empty());
    assert_eq!(
        relay
            .get("/api/v1/events?candidate=candidate-ada-77")
            .await
            .json()["items"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn later_bodies_of_an_erased_subject_are_dropped_and_a_new_application_is_not() {
    let mut relay = TestRelay::start(CONFIG).await;
    post(&relay, body("ada", "s-1", 1, Some("ada"))).await;
    relay.ended(State::Delivered, 2).await;
    erase(&relay, json!({"subject": "s-1"})).await;
    let again = post(&relay, body("ada", "s-1", 2, Some("ada"))).await;
    assert_eq!((again.status, again.json()), (200, json!({"erased": true})));
    let metrics = relay.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains(
        r#"relay_events_total{outcome="erased",source="jobmojito",type="interview.submitted"} 1"#
    ));
    let new = post(&relay, body("ada", "s-2", 1, Some("ada"))).await;
    assert_eq!((new.status, &new.json()["revision"]), (202, &1.into()));
    let (_, remains) = relay.stop().await;
    let relay = remains.start(CONFIG).await;
    let again = post(&relay, body("ada", "s-1", 3, Some("ada"))).await;
    assert_eq!(
        again.json(),
        json!({"erased": true}),
        "also after a restart"
    );
    assert_eq!(
        stands_in(relay.folder(), &mark("ada")).len(),
        1,
        "s-2 is there, s-1 is not"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_under_way_is_waited_for_and_nothing_of_it_is_written_back() {
    let mut relay = TestRelay::start(CONFIG).await;
    let gate = relay.receivers.hold();
    post(&relay, body("ada", "s-1", 1, Some("ada"))).await;
    relay.receivers.arrived(2).await;
    let (sender, admin) = (relay.sender(), relay.relay.admin);
    let mut erasing = tokio::task::JoinSet::new();
    erasing.spawn(async move {
        let whose = r#"{"candidate":"ada"}"#;
        sender.ask_at(admin, "/api/v1/erase", whose).await
    });
    // Bodies are dropped as soon as the erasure has begun, and it is not over yet.
    while post(&relay, body("ada", "s-1", 2, Some("ada")))
        .await
        .json()["erased"]
        != true
    {}
    assert!(erasing.try_join_next().is_none());
    gate.add_permits(100);
    let reply = erasing.join_next().await.unwrap().unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["attempts"], 2);
    relay.ended(State::Delivered, 2).await;
    assert_eq!(stands_in(relay.folder(), &mark("ada")), [""; 0]);
    assert_eq!(relay.get("/api/v1/events").await.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_interrupts_is_finished_at_the_next_start() {
    let mut relay = TestRelay::start(CONFIG).await;
    post(&relay, body("ada", "s-1", 1, Some("ada"))).await;
    relay.ended(State::Delivered, 2).await;
    relay.store.fail(&["erase"]);
    assert_eq!(erase(&relay, json!({"subject": "s-1"})).await.status, 503);
    let remains = relay.cut_off().await;
    let relay = remains.start(CONFIG).await;
    relay.store.rounds_reached(1).await;
    assert_eq!(stands_in(relay.folder(), &mark("ada")), [""; 0]);
    assert_eq!(
        post(&relay, body("ada", "s-1", 2, None)).await.json(),
        json!({"erased": true})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_erased_with_an_empty_receipt_and_a_vague_request_is_refused() {
    let relay = TestRelay::start(CONFIG).await;
    let reply = erase(&relay, json!({"subject": "nobody"})).await;
    assert_eq!((reply.status, &reply.json()["events"]), (200, &0.into()));
    for vague in [
        json!({}),
        json!({"candidate": ""}),
        json!({"candidate": "a", "subject": "b"}),
        json!([]),
    ] {
        assert_eq!(erase(&relay, vague).await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_carried_through_when_the_caller_goes_away() {
    let mut relay = TestRelay::start(CONFIG).await;
    let held = relay.receivers.hold();
    post(&relay, body("ada", "subject-of-ada-7", 1, None)).await;
    relay.receivers.arrived(2).await;
    let (sender, admin) = (relay.sender(), relay.relay.admin);
    let whose = json!({"subject": "subject-of-ada-7"}).to_string();
    let asking = sender.ask_at(admin, "/api/v1/erase", &whose);
    // What is under way is waited for; meanwhile the subject is noted, and then nobody waits for the answer.
    let noted = async {
        loop {
            let again = post(&relay, body("ada", "subject-of-ada-7", 1, None)).await;
            if again.json()["erased"] == true {
                return;
            }
        }
    };
    tokio::select! {
        _ = asking => panic!("it cannot be done yet"),
        () = noted => {}
    }
    held.add_permits(2);
    let gone = async { while relay.get("/api/v1/events").await.json()["items"] != json!([]) {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone)
        .await
        .expect("it is carried through");
    relay.ended(State::Delivered, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_store_holds_an_erasure_up_and_does_not_lose_its_receipt() {
    let mut relay = TestRelay::start(CONFIG).await;
    post(&relay, body("ada", "subject-of-ada-7", 1, None)).await;
    relay.ended(State::Delivered, 2).await;
    let reader = rusqlite::Connection::open(relay.file("relay.db")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = |sql: &str| -> i64 { reader.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM event"), 1);
    let (sender, admin) = (relay.sender(), relay.relay.admin);
    let asking = tokio_util::task::TaskTracker::new().spawn(async move {
        let whose = json!({"subject": "subject-of-ada-7"}).to_string();
        sender.ask_at(admin, "/api/v1/erase", &whose).await
    });
    while relay.get("/api/v1/events").await.json()["items"] != json!([]) {}
    relay.advance(std::time::Duration::from_secs(5));
    assert!(!asking.is_finished(), "its text is in the log still");
    // Others are not held up by it.
    assert_eq!(post(&relay, body("bob", "s-2", 1, None)).await.status, 202);
    reader.execute_batch("COMMIT").unwrap();
    while !asking.is_finished() {
        relay.advance(std::time::Duration::from_secs(1));
        relay.get("/api/v1/status").await;
    }
    let receipt = asking.await.unwrap();
    assert_eq!(receipt.status, 200);
    assert_eq!(counts(&receipt.json()), [1, 1, 1, 2]);
    assert_eq!(stands_in(relay.folder(), &mark("ada")), [""; 0]);
}
