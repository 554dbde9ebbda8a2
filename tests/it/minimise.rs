//! A source that is minimised: what no rule uses never reaches the disk, and nothing else is different.

mod findings;
mod reloads;
mod requests;

use std::path::Path;

use mojito_relay::model::State;
use serde_json::{Value, json};

use crate::harness::{TestRelay, answer, delivered};

/// One destination that reads the score alone.
pub const RULES: &str = r#"
[sources.jobmojito]
auth = "none"
minimise = true
[destinations.app]
url = "http://app.test/in"
retry = { first = "5s" }
body = { score = "{{ result.score }}", before = "{{ previous.score }}", changed = "{{ event.changed }}" }
[[routes]]
name = "scores"
events = ["*"]
when = "result.processing_status != 'running'"
to = ["app"]
"#;

const CANARY: &str = "canary-7f3a-never-on-disk";

fn result(score: f64, unused: &str) -> String {
    json!({
        "id": "r-1", "status": "active", "interview_status": "completed", "processing_status": "completed",
        "candidate_external_id": "c-1", "score": score,
        "ai_analysis_recruiter": unused, "nested": { "deep": [unused] },
    })
    .to_string()
}

/// Files of the folder that hold `text`: the store, its log, and whatever lies beside them.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes());
        if holds {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

async fn detail(relay: &TestRelay, receipt: &Value) -> Value {
    let id = receipt["id"].as_str().unwrap();
    relay.get(&format!("/api/v1/events/{id}")).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_uses_is_in_no_file_and_is_compared_all_the_same() {
    let mut relay = TestRelay::start(RULES).await;
    let first = relay.post("jobmojito", result(5.0, CANARY)).await;
    assert_eq!(first.status, 202);
    let again = relay.post("jobmojito", result(5.0, CANARY)).await;
    assert_eq!(
        (again.status, &again.json()["duplicate"]),
        (200, &json!(true))
    );
    let other = relay
        .post("jobmojito", result(5.0, &format!("{CANARY}-2")))
        .await
        .json();
    assert_eq!(other["revision"], 2);
    let shown = detail(&relay, &other).await;
    assert_eq!(shown["changed"], json!(["ai_analysis_recruiter", "nested"]));
    let fields = [
        "candidate_external_id",
        "id",
        "interview_status",
        "processing_status",
        "score",
        "status",
    ];
    assert_eq!(shown["kept_fields"], json!(fields));
    let mut payload: Vec<&String> = shown["payload"].as_object().unwrap().keys().collect();
    payload.sort();
    assert_eq!(payload, fields);
    relay.ended(State::Delivered, 2).await;
    let told = relay.receivers.seen()[1].json();
    assert_eq!(
        told,
        json!({"score": 5, "before": 5, "changed": ["ai_analysis_recruiter", "nested"]})
    );
    assert_eq!(holding(relay.folder(), CANARY), [""; 0]);
    assert!(
        !holding(relay.folder(), "interview_status").is_empty(),
        "the files are looked into"
    );
    let (_, remains) = relay.stop().await;
    let relay = remains.start(RULES).await;
    assert_eq!(holding(relay.folder(), CANARY), [""; 0]);
    let back = relay.post("jobmojito", result(5.0, CANARY)).await.json();
    assert_eq!(
        back["revision"], 3,
        "the last word counts, also after a restart"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_payload_is_told_from_one_that_is_not() {
    let relay = TestRelay::start(&RULES.replace("minimise = true", "minimise = false")).await;
    let receipt = relay.post("jobmojito", result(5.0, CANARY)).await.json();
    let shown = detail(&relay, &receipt).await;
    assert_eq!(shown["kept_fields"], Value::Null);
    assert_eq!(shown["payload"]["ai_analysis_recruiter"], CANARY);
    assert!(!holding(relay.folder(), CANARY).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_sees_the_same_from_memory_and_after_a_restart() {
    let mut relay = TestRelay::start(RULES).await;
    relay.receivers.answer("app.test", [answer(503, "")]);
    relay.post("jobmojito", result(5.0, CANARY)).await;
    relay.attempts(1).await;
    let (_, remains) = relay.stop().await;
    let mut relay = remains.start(RULES).await;
    relay.drive("the second attempt", delivered(1)).await;
    let seen = relay.receivers.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, seen[1].body);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_bodies_keep_what_is_used_of_them_byte_for_byte() {
    let relay = TestRelay::start(RULES).await;
    for (body, payload) in [
        (
            r#"{"id":"\ud800x","score": 1e999 ,"other":"secret","score":  -0.50E+1 }"#,
            r#"{"id":"\ud800x","score":-0.50E+1}"#,
        ),
        (r#"["secret"]"#, "[]"),
        ("\"secret\"", "\"\""),
        ("41", "0"),
        (r#"{"other":"secret"}"#, "{}"),
    ] {
        let receipt = relay.post("jobmojito", body).await;
        assert_eq!(receipt.status, 202, "{body}");
        let id = receipt.json()["id"].as_str().unwrap().to_owned();
        let shown = relay.get(&format!("/api/v1/events/{id}")).await;
        let shown = String::from_utf8(shown.body.to_vec()).unwrap();
        let told = format!("\"payload\":{payload},");
        assert!(shown.contains(&told), "{told} of {shown}");
    }
    assert_eq!(holding(relay.folder(), "secret"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_erased_from_what_was_kept_too() {
    let mut relay = TestRelay::start(RULES).await;
    let receipt = relay.post("jobmojito", result(5.0, CANARY)).await.json();
    relay.ended(State::Delivered, 1).await;
    let erased = relay.ask("/api/v1/erase", r#"{"candidate":"c-1"}"#).await;
    assert_eq!(erased.status, 200);
    let id = receipt["id"].as_str().unwrap();
    let gone = relay.get(&format!("/api/v1/events/{id}")).await;
    assert_eq!(gone.status, 404);
    assert_eq!(holding(relay.folder(), "r-1"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_and_changed_back_is_named_where_it_can_no_longer_be_compared() {
    let rules = RULES.replace("retry =", "revisions = \"latest\"\nretry =");
    for (minimise, changed) in [
        ("true", json!(["ai_analysis_recruiter", "nested", "score"])),
        ("false", json!(["score"])),
    ] {
        let rules = rules.replace("minimise = true", &format!("minimise = {minimise}"));
        let mut relay = TestRelay::start(&rules).await;
        relay.post("jobmojito", result(1.0, "one")).await;
        relay.ended(State::Delivered, 1).await;
        relay.tell("/api/v1/destinations/app/pause", "").await;
        relay.post("jobmojito", result(2.0, "two")).await;
        relay.post("jobmojito", result(3.0, "one")).await;
        relay.tell("/api/v1/destinations/app/resume", "").await;
        relay.ended(State::Delivered, 2).await;
        let told = relay.receivers.seen()[1].json();
        assert_eq!(
            told,
            json!({"score": 3, "before": 1, "changed": changed}),
            "minimise = {minimise}"
        );
    }
}
