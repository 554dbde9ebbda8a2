//! A reload, or a start, with rules that use other fields than those that were kept.

use mojito_relay::model::State;
use serde_json::json;

use super::{RULES, result};
use crate::harness::TestRelay;

/// [`RULES`] with its destination held.
fn held() -> String {
    RULES.replace("retry =", "paused = true\nretry =")
}

async fn taken(relay: &TestRelay, id: &str) -> String {
    let body = result(5.0, "x").replace("r-1", id);
    let receipt = relay.post("jobmojito", body).await.json();
    receipt["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_newly_used_names_what_waits_without_it() {
    let mut relay = TestRelay::start(&held()).await;
    let (first, second) = (taken(&relay, "a").await, taken(&relay, "b").await);
    assert_eq!(relay.reload(&held()).await.unwrap(), [""; 0]);

    let more = held().replace(
        "body = {",
        "body = { why = \"{{ result.ai_analysis_recruiter }}\",",
    );
    let warnings = relay.reload(&more).await.unwrap();
    let told = format!(
        "source jobmojito: 2 deliveries that wait for app without `ai_analysis_recruiter`, which was not kept: \
         it reads as null (events {first}, {second})"
    );
    assert_eq!(warnings.join("\n"), told);
    let asked = relay.ask("/api/v1/reload", "").await.json();
    assert_eq!(asked["warnings"], json!([told]));
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["last_reload"]["warnings"], json!([told]));
    assert_eq!(status["last_reload"]["errors"], json!([]));

    // What is taken from now on has it.
    let third = taken(&relay, "c").await;
    assert_eq!(relay.reload(&more).await.unwrap(), [told]);
    let freed = more.replace("paused = true", "");
    relay.reload(&freed).await.unwrap();
    relay.ended(State::Delivered, 3).await;
    let mut why: Vec<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.json()["why"].clone())
        .collect();
    why.sort_by_key(ToString::to_string);
    assert_eq!(why, [json!("x"), json!(null), json!(null)], "{third}");
    assert_eq!(
        relay.reload(&freed).await.unwrap(),
        [""; 0],
        "nothing waits"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_required_means_skipped() {
    let mut relay = TestRelay::start(&held()).await;
    let id = taken(&relay, "a").await;
    let require = RULES.replace("retry =", "require = [\"result.pdf_export_url\"]\nretry =");
    let warnings = relay.reload(&require).await.unwrap();
    assert_eq!(
        warnings,
        [format!(
            "source jobmojito: 1 delivery that waits for app without `pdf_export_url`, which was not kept: \
             `pdf_export_url` is required, so they will be skipped (events {id})"
        )]
    );
    relay.ended(State::Skipped, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn minimise_turned_off_does_not_bring_back_what_was_left_out() {
    let relay = TestRelay::start(&held()).await;
    let id = taken(&relay, "a").await;
    let body = held()
        .lines()
        .find(|line| line.starts_with("body ="))
        .unwrap()
        .to_owned();
    let raw = held().replace(&body, "");
    let refused = relay.reload(&raw).await.unwrap_err();
    let words = refused[0].to_string();
    assert!(
        words.contains("sources.jobmojito.minimise: it would keep everything"),
        "{words}"
    );

    let whole = raw.replace("minimise = true", "");
    let told = format!(
        "source jobmojito: 1 delivery that waits for app with a part of the payload alone, and that part is sent: only \
         candidate_external_id, id, interview_status, processing_status, score, status were kept (events {id})"
    );
    assert_eq!(relay.reload(&whole).await.unwrap(), [told]);
    // What has been taken since is whole.
    let later = taken(&relay, "b").await;
    let shown = relay.get(&format!("/api/v1/events/{later}")).await.json();
    assert_eq!(shown["kept_fields"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_answer_does_not_stop_a_reload() {
    let relay = TestRelay::start(&held()).await;
    taken(&relay, "a").await;
    relay.store.fail(&["lacking"]);
    let more = held().replace(
        "body = {",
        "body = { why = \"{{ result.pdf_export_url }}\",",
    );
    assert_eq!(relay.reload(&more).await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_delivery_is_taken_up_only_where_its_route_still_leads() {
    let needs = RULES.replace("retry =", "require = [\"result.pdf_export_url\"]\nretry =");
    let mut relay = TestRelay::start(&needs).await;
    taken(&relay, "a").await;
    relay.ended(State::Skipped, 1).await;
    let elsewhere = format!("{needs}[destinations.other]\nurl = \"http://other.test/\"\nbody = {{ id = \"{{{{ result.id }}}}\" }}\n")
        .replace("to = [\"app\"]", "to = [\"other\"]");
    relay.reload(&elsewhere).await.unwrap();
    let body = json!({"id": "a", "status": "active", "interview_status": "completed", "pdf_export_url": "https://x"});
    let receipt = relay.post("jobmojito", body.to_string()).await.json();
    assert_eq!(receipt["deliveries"], 1);
    relay.ended(State::Delivered, 1).await;
    assert_eq!(relay.receivers.seen()[0].host, "other.test");
}
