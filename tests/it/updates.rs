//! Later revisions change what an earlier one made, found by its receipt.

use mojito_relay::model::{State, Verdict};

use crate::harness::{Remains, Request, TestRelay, answer, attempts, submitted};

const CONFIG: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.ats]
base_url = "http://ats.test"
create = { path = "/notes", body = { text = "{{ result.score }}" } }
update = { path = "/notes/{{ receipt }}", method = "PATCH", body = { text = "{{ result.score }}" }, gone_when = "status == 404" }
receipt = "/id"
revisions = "latest"
[[routes]]
to = ["ats"]
"#;

fn line(request: &Request) -> String {
    format!(
        "{} {} {}",
        request.method,
        request.url,
        request.json()["text"]
    )
}

fn lines(relay: &TestRelay) -> Vec<String> {
    relay.receivers.seen().iter().map(line).collect()
}

async fn delivered(relay: &mut TestRelay, score: f64, count: usize) {
    relay.post("jobmojito", submitted("s-1", score)).await;
    relay.ended(State::Delivered, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_revision_updates_also_after_a_restart() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay
        .receivers
        .always("ats.test", answer(201, r#"{"id":"n-7"}"#));
    delivered(&mut relay, 1.0, 1).await;
    delivered(&mut relay, 2.0, 2).await;
    let (_, remains): (_, Remains) = relay.stop().await;
    let mut relay = remains.start(CONFIG).await;
    // What an update answers is no receipt: the one that creating gave stays.
    relay
        .receivers
        .always("ats.test", answer(200, r#"{"id":"other"}"#));
    delivered(&mut relay, 3.0, 1).await;
    delivered(&mut relay, 4.0, 2).await;
    assert_eq!(
        lines(&relay),
        [
            "POST http://ats.test/notes 1",
            "PATCH http://ats.test/notes/n-7 2",
            "PATCH http://ats.test/notes/n-7 3",
            "PATCH http://ats.test/notes/n-7 4",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_made_anew_within_the_same_delivery_at_no_charge() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.answer(
        "ats.test",
        [
            answer(201, r#"{"id":"n-1"}"#),
            answer(404, r#"{"message":"no such note"}"#),
            answer(201, r#"{"id":"n-2"}"#),
        ],
    );
    delivered(&mut relay, 1.0, 1).await;
    delivered(&mut relay, 2.0, 2).await;
    delivered(&mut relay, 3.0, 3).await;
    assert_eq!(
        lines(&relay),
        [
            "POST http://ats.test/notes 1",
            "PATCH http://ats.test/notes/n-1 2",
            "POST http://ats.test/notes 2",
            "PATCH http://ats.test/notes/n-2 3",
        ]
    );
    let seen = relay.receivers.seen();
    assert_eq!(seen[1].header("webhook-id"), seen[2].header("webhook-id"));
    let gone = attempts(&relay.log).nth(1).expect("the update");
    assert_eq!(gone.verdict, Some(Verdict::Retry));
    assert_eq!(
        (gone.state, gone.reason.as_str()),
        (State::Waiting, "404 Not Found: no such note")
    );
    assert_eq!(gone.due_at, Some(relay.clock_now()), "it is due at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_another_place_is_none() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay
        .receivers
        .always("ats.test", answer(201, r#"{"id":"n-1"}"#));
    relay
        .receivers
        .always("eu.ats.test", answer(201, r#"{"id":"e-1"}"#));
    delivered(&mut relay, 1.0, 1).await;
    let moved = CONFIG.replace("http://ats.test", "http://eu.ats.test");
    relay.reload(&moved).await.expect("a sound file");
    delivered(&mut relay, 2.0, 2).await;
    delivered(&mut relay, 3.0, 3).await;
    let here = |request: &Request| request.host == "eu.ats.test";
    let there: Vec<String> = relay
        .receivers
        .seen()
        .iter()
        .filter(|r| here(r))
        .map(line)
        .collect();
    assert_eq!(
        there,
        [
            "POST http://eu.ats.test/notes 2",
            "PATCH http://eu.ats.test/notes/e-1 3"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_receipt_the_next_revision_creates() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.answer(
        "ats.test",
        [
            answer(200, "no json"),
            answer(422, "{}"),
            answer(201, r#"{"id":"n-3"}"#),
        ],
    );
    delivered(&mut relay, 1.0, 1).await;
    relay.post("jobmojito", submitted("s-1", 2.0)).await;
    relay.ended(State::Dead, 1).await;
    delivered(&mut relay, 3.0, 2).await;
    assert_eq!(
        lines(&relay),
        [
            "POST http://ats.test/notes 1",
            "POST http://ats.test/notes 2",
            "POST http://ats.test/notes 3",
        ]
    );
}

const BOT: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.hiring]
preset = "slack-bot"
base_url = "http://slack.test"
api_key = "xoxb-of-the-test"
rate_limit = "none"
with = { channel = "C1", thread = false }
[[routes]]
to = ["hiring"]
"#;

fn bot_lines(relay: &TestRelay) -> Vec<String> {
    let told = |request: &Request| {
        let json = request.json();
        let fields =
            ["channel", "ts", "thread_ts", "unfurl_links"].map(|field| json[field].to_string());
        format!(
            "{} {}",
            request.url.replace("http://slack.test/api/", ""),
            fields.join(" ")
        )
    };
    relay.receivers.seen().iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_edits_its_message_and_posts_a_new_one_where_it_is_gone() {
    let mut relay = TestRelay::start(BOT).await;
    relay.receivers.answer(
        "slack.test",
        [
            answer(200, r#"{"ok":true,"channel":"C1","ts":"1.1"}"#),
            answer(200, r#"{"ok":true,"channel":"C1","ts":"1.1"}"#),
            answer(200, r#"{"ok":false,"error":"message_not_found"}"#),
            answer(200, r#"{"ok":true,"channel":"C1","ts":"2.2"}"#),
        ],
    );
    for (score, count) in [(1.0, 1), (2.0, 2), (3.0, 3)] {
        delivered(&mut relay, score, count).await;
    }
    assert_eq!(
        bot_lines(&relay),
        [
            r#"chat.postMessage "C1" null null false"#,
            r#"chat.update "C1" "1.1" null null"#,
            r#"chat.update "C1" "1.1" null null"#,
            r#"chat.postMessage "C1" null null false"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_thread_the_bot_answers_its_first_message() {
    let mut relay = TestRelay::start(&BOT.replace("thread = false", "thread = true")).await;
    relay.receivers.answer(
        "slack.test",
        ["1.1", "2.2", "3.3"].map(|ts| answer(200, &format!(r#"{{"ok":true,"ts":"{ts}"}}"#))),
    );
    for (score, count) in [(1.0, 1), (2.0, 2), (3.0, 3)] {
        delivered(&mut relay, score, count).await;
    }
    assert_eq!(
        bot_lines(&relay),
        [
            r#"chat.postMessage "C1" null null false"#,
            r#"chat.postMessage "C1" null "1.1" false"#,
            r#"chat.postMessage "C1" null "1.1" false"#,
        ]
    );
}
