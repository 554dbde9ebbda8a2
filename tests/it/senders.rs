//! The health of senders: who has gone silent, and what was begun and never ended.

use std::time::Duration;

use mojito_relay::model::SourceState;
use mojito_relay::telemetry::Happening;
use serde_json::{Value, json};

use crate::harness::{TestRelay, submitted};

const WATCHED: &str = r#"
[sources.jobmojito]
auth = "none"
silent_after = "26h"
stuck_after = "2d"
[sources.other]
auth = "none"
[destinations.app]
url = "http://app.test/in"
[[routes]]
to = ["app"]
"#;

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

fn draft(id: &str, interview_status: &str) -> String {
    json!({ "id": id, "status": "draft", "interview_status": interview_status }).to_string()
}

async fn source(relay: &TestRelay, name: &str) -> Value {
    let status = relay.get("/api/v1/status").await.json();
    let sources = status["sources"].as_array().unwrap();
    let mut found = sources.iter().filter(|source| source["name"] == name);
    found.next().cloned().unwrap_or_default()
}

async fn metric(relay: &TestRelay, name: &str) -> Option<String> {
    let text = String::from_utf8(relay.get("/metrics").await.body.to_vec()).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.map(|value| value.trim().to_owned())
}

/// What was told of sources so far.
fn told(log: &[Happening]) -> Vec<(String, SourceState)> {
    let told = log.iter().filter_map(|happening| match happening {
        Happening::Source { source, state, .. } => Some((source.to_string(), *state)),
        _ => None,
    });
    told.collect()
}

/// Lets time pass once the last look is over.
async fn pass(relay: &TestRelay, time: Duration) {
    relay.clock.idler().await;
    relay.advance(time);
}

/// Lets a minute pass, and waits until so many changes were told in all.
async fn a_look(relay: &mut TestRelay, changes: usize) -> Vec<(String, SourceState)> {
    pass(relay, MINUTE).await;
    relay
        .until("a source's change", |log| told(log).len() >= changes)
        .await;
    told(&relay.log)
}

fn named(name: &str, state: SourceState) -> (String, SourceState) {
    (name.to_owned(), state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_silent_after_its_time_and_healthy_with_its_next_event() {
    let mut relay = TestRelay::start(WATCHED).await;
    let fresh =
        json!({ "name": "jobmojito", "state": "healthy", "last_event_at": null, "reason": "" });
    assert_eq!(source(&relay, "jobmojito").await, fresh);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    pass(&relay, 26 * HOUR).await;
    assert_eq!(source(&relay, "jobmojito").await["state"], "healthy");
    let silence = "relay_source_silent{source=\"jobmojito\"}";
    assert_eq!(metric(&relay, silence).await.as_deref(), Some("0"));
    let first = a_look(&mut relay, 1).await;
    assert_eq!(first, [named("jobmojito", SourceState::Silent)]);
    let silent = source(&relay, "jobmojito").await;
    assert_eq!(silent["state"], "silent");
    assert_eq!(silent["reason"], "no event for longer than 1day 2h");
    assert_eq!(silent["last_event_at"], "2026-11-22T09:00:00Z");
    assert_eq!(metric(&relay, silence).await.as_deref(), Some("1"));
    // It is told once, however long it lasts.
    pass(&relay, HOUR).await;
    relay.post("jobmojito", submitted("a", 2.0)).await;
    let at = "relay_source_last_event_timestamp_seconds{source=\"jobmojito\"}";
    let now = relay.clock_now().as_second().to_string();
    assert_eq!(source(&relay, "jobmojito").await["state"], "healthy");
    assert_eq!(metric(&relay, at).await, Some(now));
    let both = a_look(&mut relay, 2).await;
    assert_eq!(both[1..], [named("jobmojito", SourceState::Healthy)]);
    // Of a source without the keys nothing is expected.
    assert_eq!(source(&relay, "other").await["state"], "healthy");
    let silence = "relay_source_silent{source=\"other\"}";
    assert_eq!(metric(&relay, silence).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_never_sent_is_silent_so_long_after_the_start() {
    let mut relay = TestRelay::start(WATCHED).await;
    pass(&relay, 26 * HOUR).await;
    let told = a_look(&mut relay, 1).await;
    assert_eq!(told, [named("jobmojito", SourceState::Silent)]);
    let source = source(&relay, "jobmojito").await;
    assert_eq!(source["last_event_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interview_that_was_collected_and_not_submitted_is_stuck_until_it_is() {
    let calm = WATCHED.replace("silent_after = \"26h\"\n", "");
    let mut relay = TestRelay::start(&calm).await;
    for id in ["ends", "hangs", "breaks-off"] {
        let reply = relay.post("jobmojito", draft(id, "completed")).await;
        assert_eq!(reply.json()["type"], "interview.collected");
    }
    relay.post("jobmojito", submitted("ends", 1.0)).await;
    let failed = relay.post("jobmojito", draft("breaks-off", "failed")).await;
    assert_eq!(failed.json()["type"], "interview.failed");
    pass(&relay, 47 * HOUR + 59 * MINUTE).await;
    assert_eq!(source(&relay, "jobmojito").await["state"], "healthy");
    let first = a_look(&mut relay, 1).await;
    assert_eq!(first, [named("jobmojito", SourceState::Stuck)]);
    let stuck = source(&relay, "jobmojito").await;
    assert_eq!(
        stuck["reason"],
        "1 interview was collected and not submitted within 2days"
    );
    let count = "relay_subjects_stuck{source=\"jobmojito\"}";
    assert_eq!(metric(&relay, count).await.as_deref(), Some("1"));
    relay.post("jobmojito", submitted("hangs", 1.0)).await;
    let both = a_look(&mut relay, 2).await;
    assert_eq!(both[1..], [named("jobmojito", SourceState::Healthy)]);
    assert_eq!(metric(&relay, count).await.as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_is_expected_and_a_restart_forgets_nothing() {
    let relay = TestRelay::start(&WATCHED.replace("26h", "30d")).await;
    relay.post("jobmojito", draft("hangs", "completed")).await;
    pass(&relay, 50 * HOUR).await;
    assert_eq!(source(&relay, "jobmojito").await["state"], "stuck");
    relay.reload(WATCHED).await.expect("a sound file");
    let both = source(&relay, "jobmojito").await;
    assert_eq!(both["state"], "silent");
    assert_eq!(
        both["reason"],
        "no event for longer than 1day 2h; 1 interview was collected and not submitted within 2days"
    );
    let (_, remains) = relay.stop().await;
    let relay = remains.start(WATCHED).await;
    assert_eq!(source(&relay, "jobmojito").await, both);
}
