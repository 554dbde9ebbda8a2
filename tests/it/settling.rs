//! Revisions that wait for each other, and deliveries that lacked a field until a later revision brought it.

use std::time::Duration;

use mojito_relay::model::State;
use serde_json::json;

use crate::harness::{TestRelay, submitted};

const SETTLING: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.ats]
url = "http://ats.test/notes"
body = { score = "{{ result.score }}" }
revisions = "latest"
settle = "20s"
settle_max = "50s"
[[routes]]
to = ["ats"]
"#;

fn scores(relay: &TestRelay) -> Vec<String> {
    let told = |request: &crate::harness::Request| request.json()["score"].to_string();
    relay.receivers.seen().iter().map(told).collect()
}

/// Until when the delivery that waits is to wait, in seconds from now.
async fn waits(relay: &TestRelay) -> Option<i64> {
    let waiting = relay.get("/api/v1/deliveries?state=waiting").await.json();
    let due: jiff::Timestamp = waiting["items"].get(0)?["due_at"].as_str()?.parse().ok()?;
    Some(due.as_second() - relay.clock_now().as_second())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_revision_within_the_wait_goes_out_once() {
    let mut relay = TestRelay::start(SETTLING).await;
    for score in [1, 2, 3] {
        relay
            .post("jobmojito", submitted("s-1", f64::from(score)))
            .await;
        assert_eq!(waits(&relay).await, Some(20), "each starts the wait anew");
        relay.clock.advance(Duration::from_secs(10));
    }
    relay.post("jobmojito", submitted("s-1", 3.0)).await;
    assert_eq!(waits(&relay).await, Some(10), "a duplicate is no revision");
    assert!(relay.receivers.seen().is_empty());
    relay
        .drive("the end of the wait", |log| {
            crate::harness::delivered(1)(log)
        })
        .await;
    assert_eq!(scores(&relay), ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_revision_keeps_the_first_waiting_for_longer_than_the_most() {
    let relay = TestRelay::start(SETTLING).await;
    let mut left = Vec::new();
    for score in [1, 2, 3, 4] {
        relay
            .post("jobmojito", submitted("s-1", f64::from(score)))
            .await;
        left.push(waits(&relay).await);
        relay.clock.advance(Duration::from_secs(15));
    }
    assert_eq!(left, [Some(20), Some(20), Some(20), Some(5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_goes_on_over_a_restart() {
    let relay = TestRelay::start(SETTLING).await;
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.clock.advance(Duration::from_secs(15));
    relay.post("jobmojito", submitted("s-1", 2.0)).await;
    let (_, remains) = relay.stop().await;
    let mut relay = remains.start(SETTLING).await;
    assert_eq!(waits(&relay).await, Some(20));
    relay.clock.advance(Duration::from_secs(19));
    relay.post("jobmojito", submitted("s-1", 3.0)).await;
    assert_eq!(waits(&relay).await, Some(16), "the first came 34 s ago");
    relay
        .drive("the end of the wait", |log| {
            crate::harness::delivered(1)(log)
        })
        .await;
    assert_eq!(scores(&relay), ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_subject_has_a_wait_of_its_own_and_what_was_sent_is_not_waited_for_again() {
    let mut relay = TestRelay::start(SETTLING).await;
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay
        .drive("the first", |log| crate::harness::delivered(1)(log))
        .await;
    relay.clock.advance(Duration::from_mins(5));
    relay.post("jobmojito", submitted("s-1", 2.0)).await;
    assert_eq!(waits(&relay).await, Some(20));
    relay
        .drive("the second", |log| crate::harness::delivered(2)(log))
        .await;
    assert_eq!(scores(&relay), ["1", "2"]);
}

const REQUIRING: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.ats]
url = "http://ats.test/notes"
body = { score = "{{ result.score }}", candidate = "{{ result.candidate_external_id }}" }
require = ["result.candidate_external_id"]
revisions = "latest"
[[routes]]
name = "scores"
changed = ["score"]
when = "result.score >= 2.0"
to = ["ats"]
"#;

fn result(score: f64, candidate: Option<&str>) -> String {
    json!({
        "id": "s-1", "status": "active", "interview_status": "completed", "score": score,
        "candidate_external_id": candidate,
    })
    .to_string()
}

async fn states(relay: &TestRelay) -> Vec<(String, String)> {
    let list = relay.get("/api/v1/deliveries").await.json();
    let told = |item: &serde_json::Value| {
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("last_error"))
    };
    list["items"].as_array().unwrap().iter().map(told).collect()
}

fn pair(state: &str, why: &str) -> (String, String) {
    (state.to_owned(), why.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_brings_the_field_takes_a_skipped_delivery_up() {
    let mut relay = TestRelay::start(REQUIRING).await;
    relay.post("jobmojito", result(3.0, None)).await;
    let skipped = pair("skipped", "result.candidate_external_id is null");
    assert_eq!(states(&relay).await, [skipped]);
    // The score did not change, so the route alone would not have taken it.
    let reply = relay.post("jobmojito", result(3.0, Some("c-9"))).await;
    assert_eq!(reply.json()["deliveries"], 1);
    relay.ended(State::Delivered, 1).await;
    assert_eq!(
        states(&relay).await,
        [
            pair("delivered", ""),
            pair("superseded", "taken up by revision 2")
        ]
    );
    assert_eq!(
        relay.receivers.seen()[0].json(),
        json!({"score": 3, "candidate": "c-9"})
    );
    let reply = relay
        .post(
            "jobmojito",
            json!({"id": "s-1", "status": "active", "interview_status": "completed",
        "score": 3.0, "candidate_external_id": "c-10"})
            .to_string(),
        )
        .await;
    assert_eq!(reply.json()["deliveries"], 0, "it is taken up once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_route_would_not_choose_any_more_stays_skipped() {
    let relay = TestRelay::start(REQUIRING).await;
    relay.post("jobmojito", result(3.0, None)).await;
    let reply = relay.post("jobmojito", result(1.0, Some("c-9"))).await;
    assert_eq!(reply.json()["deliveries"], 0, "`when` is false");
    relay
        .reload(&REQUIRING.replace("\"scores\"", "\"other\""))
        .await
        .expect("a sound file");
    let reply = relay
        .post(
            "jobmojito",
            json!({"id": "s-1", "status": "active", "interview_status": "completed",
        "score": 1.0, "candidate_external_id": "c-10"})
            .to_string(),
        )
        .await;
    assert_eq!(reply.json()["deliveries"], 0, "the route is gone");
    assert_eq!(states(&relay).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_lacks_the_field_too_is_skipped_and_both_are_taken_up() {
    let mut relay = TestRelay::start(REQUIRING).await;
    relay.post("jobmojito", result(3.0, None)).await;
    relay.post("jobmojito", result(4.0, None)).await;
    relay.post("jobmojito", result(5.0, Some("c-9"))).await;
    relay.ended(State::Delivered, 1).await;
    let up = || pair("superseded", "taken up by revision 3");
    assert_eq!(states(&relay).await, [pair("delivered", ""), up(), up()]);
    assert_eq!(relay.receivers.seen()[0].json()["score"], 5.0);
}

/// The report's link of the sample, as sent by `preset` when `days` have passed since it came.
async fn report_after(preset: &str, days: u64) -> String {
    let toml = format!(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.it]\n{preset}\nrate_limit = \"none\"\npaused = true\n\
         with.report_ttl = \"7d\"\n[[routes]]\nto = [\"it\"]\n"
    );
    let mut relay = TestRelay::start(&toml).await;
    let body = r#"{"ok":true,"ts":"1.1","data":{"id":"n"}}"#;
    relay
        .receivers
        .always("it.test", crate::harness::answer(200, body));
    relay
        .post("jobmojito", crate::harness::sample("submitted-rich"))
        .await;
    relay.clock.advance(Duration::from_hours(24 * days));
    relay
        .reload(&toml.replace("paused = true", ""))
        .await
        .expect("a sound file");
    relay.ended(State::Delivered, 1).await;
    relay.receivers.seen()[0].json().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_s_link_that_outlived_its_time_is_replaced_by_words_and_the_result_s_id() {
    let bot = "preset = \"slack-bot\"\nbase_url = \"http://it.test\"\napi_key = \"xoxb-of-the-test\"\nwith.channel = \"C1\"";
    let note = "preset = \"lever\"\nbase_url = \"http://it.test\"\napi_key = \"k3y-of-the-test\"";
    for preset in [bot, note] {
        let sent = report_after(preset, 6).await;
        assert!(
            sent.contains("912ff898.pdf") && !sent.contains("expired"),
            "{sent}"
        );
        let sent = report_after(preset, 8).await;
        let words = "The link to the report has expired. It is with the result in JobMojito: \
                     912ff898-2e65-4a31-8ff5-d3c59005eb97";
        assert!(
            sent.contains(words) && !sent.contains("912ff898.pdf"),
            "{sent}"
        );
    }
}
