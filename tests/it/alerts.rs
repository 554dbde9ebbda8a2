//! The relay tells operators by itself: what is blocked, silent, failing or dead; in its own words, once,
//! and never about those whom it tells.

use std::time::Duration;

use jiff::Timestamp;
use mojito_relay::model::State;
use mojito_relay::telemetry::Happening;
use serde_json::{Value, json};

use crate::harness::{TestRelay, answer, submitted};

const CONFIG: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.app]
url = "http://app.test/in"
breaker = { rejections = 10000 }
[destinations.ops]
url = "http://ops.test/alerts"
[alerts]
to = ["ops"]
[[routes]]
to = ["app"]
"#;

/// Occurs in what receivers say.
const MARK: &str = "MARK-of-what-the-vendor-said";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// So many alerts were taken by ops.
async fn told(relay: &mut TestRelay, count: usize) -> Vec<Value> {
    relay
        .until("alerts", |log| {
            let of_ops = |one: &&Happening| {
                matches!(one, Happening::Attempt(one)
                if &*one.destination == "ops" && one.state == State::Delivered)
            };
            log.iter().filter(of_ops).count() >= count
        })
        .await;
    alerts(relay)
}

/// Lets time pass, a step at a time, until so many alerts have arrived. How many steps that takes depends on how
/// fast the disk is: they are not counted.
async fn pass(relay: &TestRelay, step: Duration, count: usize) {
    let passing = async {
        while alerts(relay).len() < count {
            relay.advance(step);
            let asked = relay.get("/api/v1/events?limit=1").await;
            assert!(matches!(asked.status, 200 | 503));
        }
    };
    assert!(
        tokio::time::timeout(MINUTE, passing).await.is_ok(),
        "no more than {} alerts",
        alerts(relay).len()
    );
}

fn alerts(relay: &TestRelay) -> Vec<Value> {
    let seen = relay.receivers.seen_at("ops.test");
    seen.iter().map(crate::harness::Request::json).collect()
}

fn kinds(alerts: &[Value]) -> Vec<&str> {
    let kinds = alerts.iter().map(|alert| alert["alert"].as_str().unwrap());
    kinds.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_blocked_and_freed_is_told_at_once_in_our_words() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.answer("app.test", [answer(401, MARK)]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    let told_first = told(&mut relay, 1).await;
    assert_eq!(told_first[0]["alert"], "blocked");
    assert_eq!(told_first[0]["title"], "app is blocked");
    assert_eq!(told_first[0]["command"], "relay resume app");
    relay.ask("/api/v1/destinations/app/resume", "").await;
    let both = told(&mut relay, 2).await;
    assert_eq!(kinds(&both), ["blocked", "freed"]);
    let text = serde_json::to_string(&both).unwrap();
    assert!(!text.contains(MARK), "{text}");
    // It is an event like others, for whoever looks.
    let events = relay.get("/api/v1/events?type=relay.alert").await.json();
    assert_eq!(events["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(events["items"][0]["source"], "relay.alerts");
    let sent = &relay.receivers.seen_at("ops.test")[0];
    assert_eq!(sent.header("relay-event-type"), "relay.alert");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_is_told_once_an_hour_with_counts_and_the_exact_command() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.always("app.test", answer(422, MARK));
    for (n, subject) in ["a", "b", "c"].into_iter().enumerate() {
        relay.post("jobmojito", submitted(subject, 1.0)).await;
        relay.ended(State::Dead, n + 1).await;
        relay.advance(Duration::from_secs(1));
    }
    assert_eq!(alerts(&relay), [] as [Value; 0], "more may follow");
    pass(&relay, 10 * SECOND, 1).await;
    let first = told(&mut relay, 1).await.remove(0);
    assert_eq!(first["title"], "3 deliveries to app died");
    assert_eq!(first["counts"], json!({"rejected": 3}));
    assert_eq!(first["events"].as_array().map(Vec::len), Some(3));
    let command = first["command"].as_str().unwrap();
    assert_eq!(
        command,
        "relay replay --state dead --destination app --since 2026-11-22T09:00:00Z --until 2026-11-22T09:00:02.001Z"
    );
    assert!(first["text"].as_str().unwrap().contains(command));
    assert!(!first.to_string().contains(MARK));
    for (n, subject) in ["d", "e"].into_iter().enumerate() {
        relay.post("jobmojito", submitted(subject, 1.0)).await;
        relay.ended(State::Dead, n + 4).await;
    }
    pass(&relay, MINUTE, 2).await;
    let second = told(&mut relay, 2).await.remove(1);
    let at = |alert: &Value| -> Timestamp { alert["at"].as_str().unwrap().parse().unwrap() };
    let between = at(&second).duration_since(at(&first)).as_mins();
    assert!(between >= 60, "{between} minutes");
    assert_eq!(second["counts"], json!({"rejected": 2}));
    let since = format!("since={}", value_of(command, "--since"));
    let until = format!("until={}", value_of(command, "--until"));
    let listed = relay
        .get(&format!(
            "/api/v1/deliveries?state=dead&destination=app&{since}&{until}"
        ))
        .await
        .json();
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(3),
        "the three that it was about"
    );
}

fn value_of<'a>(command: &'a str, flag: &str) -> &'a str {
    let (_, rest) = command.split_once(flag).expect("it is there");
    rest.split_whitespace().next().expect("it has a value")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_source_is_told_and_that_it_is_heard_again() {
    let config = CONFIG.replace("auth = \"none\"", "auth = \"none\"\nsilent_after = \"1h\"");
    let mut relay = TestRelay::start(&config).await;
    pass(&relay, MINUTE, 1).await;
    let silent = told(&mut relay, 1).await.remove(0);
    assert_eq!(silent["alert"], "silent");
    assert_eq!(silent["title"], "source jobmojito is silent");
    assert!(
        silent["text"]
            .as_str()
            .unwrap()
            .starts_with("no event for longer than 1h.")
    );
    relay.post("jobmojito", submitted("a", 1.0)).await;
    pass(&relay, 10 * SECOND, 2).await;
    // On a slow disk enough time passes for it to be silent once more.
    let all = told(&mut relay, 2).await;
    assert_eq!(kinds(&all)[..2], ["silent", "heard"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_is_told_past_it_and_its_recovery_through_it() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.store.fail(&["ready", "accept"]);
    pass(&relay, 5 * SECOND, 1).await;
    assert_eq!(alerts(&relay)[0]["alert"], "store_failing");
    assert_eq!(alerts(&relay)[0]["title"], "the store cannot be written");
    relay.advance(3 * MINUTE);
    relay.store.fail(&[]);
    pass(&relay, 5 * SECOND, 2).await;
    let all = alerts(&relay);
    assert_eq!(kinds(&all), ["store_failing", "store_working"], "once each");
    assert!(all[1]["failed_for_seconds"].as_u64().unwrap() >= 180);
    told(&mut relay, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_store_fails_is_said_until_somebody_takes_it() {
    let relay = TestRelay::start(CONFIG).await;
    relay.receivers.statuses("ops.test", &[503, 503, 200]);
    relay.store.fail(&["ready", "accept"]);
    pass(&relay, 5 * SECOND, 3).await;
    for _ in 0..20 {
        relay.advance(MINUTE);
        relay.get("/api/v1/status").await;
    }
    assert_eq!(alerts(&relay).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_repeats_nothing_and_a_lane_freed_after_it_is_told() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.answer("app.test", [answer(401, "no")]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    told(&mut relay, 1).await;
    let (_, remains) = relay.stop().await;
    let mut relay = remains.start(CONFIG).await;
    relay.ask("/api/v1/destinations/app/resume", "").await;
    relay.ended(State::Delivered, 2).await;
    assert_eq!(kinds(&alerts(&relay)), ["blocked", "freed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_gathered_is_told_after_an_orderly_end() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.always("app.test", answer(422, "no"));
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.ended(State::Dead, 1).await;
    let (_, remains) = relay.stop().await;
    let mut relay = remains.start(CONFIG).await;
    let dead = told(&mut relay, 1).await.remove(0);
    assert_eq!(dead["title"], "1 delivery to app died");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_never_causes_an_alert() {
    let config = CONFIG
        .replace("to = [\"ops\"]", "to = [\"ops\", \"pager\"]")
        .replace(
            "[alerts]",
            "[destinations.pager]\nurl = \"http://pager.test/in\"\n[alerts]",
        );
    let mut relay = TestRelay::start(&config).await;
    // Whom it tells refuse: one for good, one what it is sent.
    relay.receivers.always("ops.test", answer(401, "no"));
    relay.receivers.always("pager.test", answer(422, "no"));
    relay.receivers.answer("app.test", [answer(401, "no")]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.ended(State::Dead, 1).await;
    for _ in 0..50 {
        relay.advance(61 * MINUTE);
        assert_eq!(relay.get("/api/v1/status").await.status, 200);
    }
    let events = relay
        .get("/api/v1/events?type=relay.alert&limit=500")
        .await
        .json();
    let count = events["items"].as_array().map(Vec::len);
    assert!(
        count <= Some(2),
        "blocked, and perhaps freed by a probe: {events}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_shows_an_alert_with_title_text_and_command() {
    let config = CONFIG.replace(
        "url = \"http://ops.test/alerts\"",
        "preset = \"slack\"\nurl = \"http://ops.test/alerts\"\nwith = { headline = \"Result\" }",
    );
    let mut relay = TestRelay::start(&config).await;
    relay.receivers.always("ops.test", answer(200, "ok"));
    relay
        .receivers
        .answer("app.test", [answer(401, "<!channel>")]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.attempts(1).await;
    // One message a second.
    pass(&relay, SECOND, 1).await;
    let message = told(&mut relay, 1).await.remove(0);
    insta::assert_snapshot!(serde_json::to_string_pretty(&message).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_who_is_told_and_alerts_go_nowhere_else() {
    let config = CONFIG
        .replace("to = [\"ops\"]", "to = []")
        .replace("[[routes]]\n", "[[routes]]\nevents = [\"*\"]\n");
    let mut relay = TestRelay::start(&config).await;
    relay.receivers.answer("app.test", [answer(401, "no")]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.attempts(1).await;
    relay.ask("/api/v1/destinations/app/resume", "").await;
    relay.ended(State::Delivered, 1).await;
    let both = config.replace("to = []", "to = [\"ops\"]");
    relay.reload(&both).await.expect("a sound file");
    relay.receivers.answer("app.test", [answer(401, "no")]);
    relay.post("jobmojito", submitted("b", 1.0)).await;
    assert_eq!(kinds(&told(&mut relay, 1).await), ["blocked"]);
    let alert = relay.get("/api/v1/events?type=relay.alert").await.json();
    assert_eq!(
        alert["items"].as_array().map(Vec::len),
        Some(1),
        "none while nobody was told"
    );
    let body = json!({"filter": {"type": "relay.alert"}}).to_string();
    let job = relay.ask("/api/v1/reroute", body).await.json();
    let mut job = job;
    while job["state"] == "running" {
        job = relay
            .get(&format!("/api/v1/jobs/{}", job["id"]))
            .await
            .json();
    }
    assert_eq!(
        (&job["progress"]["looked_at"], &job["progress"]["done"]),
        (&1.into(), &0.into())
    );
}
