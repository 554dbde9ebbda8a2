//! A destination that is renamed or removed: its backlog is seen, moved or discarded, and never lost.

use mojito_relay::model::State;
use serde_json::{Value, json};

use crate::harness::{Request, TestRelay, attempts, submitted};

const CONFIG: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.old]
url = "http://old.test/in"
paused = true
[[routes]]
to = ["old"]
"#;

fn renamed(was: &str) -> String {
    let config = CONFIG.replace("paused = true", was);
    config
        .replace("[destinations.old]", "[destinations.new]")
        .replace("[\"old\"]", "[\"new\"]")
        .replace("old.test", "new.test")
}

async fn destination(relay: &TestRelay, name: &str) -> Value {
    let status = relay.get("/api/v1/status").await.json();
    let all = status["destinations"].as_array().unwrap();
    all.iter()
        .find(|one| one["name"] == name)
        .cloned()
        .unwrap_or_default()
}

async fn backlog(count: usize) -> TestRelay {
    let relay = TestRelay::start(CONFIG).await;
    for n in 0..count {
        relay
            .post("jobmojito", submitted(&format!("s-{n}"), 1.0))
            .await;
    }
    relay
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_under_the_old_name_goes_out_under_the_new_one() {
    let mut relay = backlog(700).await;
    relay
        .reload(&renamed("was = \"old\""))
        .await
        .expect("a sound file");
    relay.ended(State::Delivered, 700).await;
    let seen = relay.receivers.seen();
    assert!(seen.iter().all(|request| request.host == "new.test"));
    assert_eq!(seen.len(), 700);
    let number = |request: &Request| -> usize {
        let id = request.json()["id"].as_str().unwrap().to_owned();
        id.trim_start_matches("s-").parse().unwrap()
    };
    // Eight at once: none is further ahead of the oldest.
    let early = |(at, request)| number(request) <= at + 8;
    assert!(seen.iter().enumerate().all(early), "oldest first");
    assert_eq!(destination(&relay, "old").await, Value::Null);
    assert_eq!(destination(&relay, "new").await["counts"]["delivered"], 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_moves_at_a_start_too() {
    let relay = backlog(3).await;
    let (_, remains) = relay.stop().await;
    let mut relay = remains.start(&renamed("was = \"old\"")).await;
    relay.ended(State::Delivered, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_seen_and_moved_by_hand() {
    let mut relay = backlog(3).await;
    relay.reload(&renamed("")).await.expect("a sound file");
    let orphan = destination(&relay, "old").await;
    assert_eq!(
        (&orphan["state"], &orphan["counts"]["waiting"]),
        (&"orphaned".into(), &3.into())
    );
    let to = |name: &str| json!({ "to": name }).to_string();
    assert_eq!(
        relay
            .ask("/api/v1/destinations/new/move", to("old"))
            .await
            .status,
        409
    );
    assert_eq!(
        relay
            .ask("/api/v1/destinations/old/move", to("nowhere"))
            .await
            .status,
        422
    );
    let moved = relay.ask("/api/v1/destinations/old/move", to("new")).await;
    assert_eq!(
        moved.json(),
        json!({"from": "old", "to": "new", "moved": 3, "discarded": 0})
    );
    relay.ended(State::Delivered, 3).await;
    assert_eq!(destination(&relay, "old").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_revision_is_not_moved_behind_a_newer_one_that_was_sent() {
    let mut relay = backlog(2).await;
    relay.reload(&renamed("")).await.expect("a sound file");
    relay.post("jobmojito", submitted("s-0", 2.0)).await;
    relay.ended(State::Delivered, 1).await;
    let to_new = json!({ "to": "new" }).to_string();
    let moved = relay.ask("/api/v1/destinations/old/move", to_new).await;
    assert_eq!(
        moved.json(),
        json!({"from": "old", "to": "new", "moved": 1, "discarded": 1})
    );
    relay.ended(State::Delivered, 2).await;
    let seen = relay.receivers.seen();
    let sent: Vec<Value> = seen.iter().map(|one| one.json()["id"].clone()).collect();
    assert_eq!(sent, ["s-0", "s-1"]);
    let discarded = relay.get("/api/v1/deliveries?state=discarded").await.json();
    assert_eq!(
        discarded["items"][0]["last_error"],
        "not moved: revision 2 was sent to new already"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_waited_for_and_sent_once() {
    let mut relay = TestRelay::start(&CONFIG.replace("paused = true", "")).await;
    let gate = relay.receivers.hold();
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.receivers.arrived(1).await;
    relay
        .reload(&renamed("was = \"old\""))
        .await
        .expect("a sound file");
    gate.add_permits(10);
    relay.ended(State::Delivered, 1).await;
    relay.post("jobmojito", submitted("s-2", 1.0)).await;
    relay.ended(State::Delivered, 2).await;
    let hosts: Vec<String> = relay
        .receivers
        .seen()
        .iter()
        .map(|request| request.host.clone())
        .collect();
    assert_eq!(hosts, ["old.test", "new.test"]);
    assert_eq!(attempts(&relay.log).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_discarded_once_and_not_sent() {
    let mut relay = backlog(2).await;
    let list = relay.get("/api/v1/deliveries").await.json();
    let id = list["items"][0]["id"].as_str().unwrap().to_owned();
    let discard = format!("/api/v1/deliveries/{id}/discard");
    assert_eq!(relay.ask(&discard, "").await.json()["state"], "discarded");
    assert_eq!(relay.ask(&discard, "").await.status, 409);
    relay
        .reload(&CONFIG.replace("paused = true", ""))
        .await
        .expect("a sound file");
    relay.ended(State::Delivered, 1).await;
    assert_eq!(relay.receivers.seen().len(), 1);
    let counts = destination(&relay, "old").await["counts"].clone();
    assert_eq!(
        (&counts["delivered"], &counts["discarded"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_s_backlog_is_discarded_by_a_job() {
    let relay = backlog(3).await;
    relay.reload(&renamed("")).await.expect("a sound file");
    let body = json!({"filter": {"destination": "old"}}).to_string();
    let mut job = relay.ask("/api/v1/discard", body).await.json();
    while job["state"] == "running" {
        job = relay
            .get(&format!("/api/v1/jobs/{}", job["id"]))
            .await
            .json();
    }
    assert_eq!(job["progress"]["destinations"], json!({"old": 3}));
    assert_eq!(destination(&relay, "old").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_route_is_gone_takes_the_destination_s_own_values() {
    let config = r#"
[sources.jobmojito]
auth = "none"
[destinations.app]
url = "http://app.test/in"
body = { says = "{{ with.words }}" }
with = { words = "its own" }
paused = true
[[routes]]
name = "gone"
to = ["app"]
with = { words = "of the route" }
"#;
    let mut relay = TestRelay::start(config).await;
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    let other = config
        .replace("paused = true", "")
        .replace("name = \"gone\"", "name = \"other\"");
    relay.reload(&other).await.expect("a sound file");
    relay.ended(State::Delivered, 1).await;
    let seen = relay.receivers.seen_at("app.test");
    assert_eq!(seen[0].json(), json!({"says": "its own"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_lasts_over_a_restart() {
    let config = CONFIG.replace("paused = true", "");
    let relay = TestRelay::start(&config).await;
    relay.ask("/api/v1/destinations/old/pause", "").await;
    let (_, remains) = relay.stop().await;
    let mut relay = remains.start(&config).await;
    assert_eq!(destination(&relay, "old").await["state"], "paused");
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    assert_eq!(destination(&relay, "old").await["counts"]["waiting"], 1);
    assert_eq!(relay.receivers.seen().len(), 0);
    relay.ask("/api/v1/destinations/old/resume", "").await;
    relay.ended(State::Delivered, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_need_a_restart_are_refused_by_name() {
    let relay = TestRelay::start(CONFIG).await;
    let more = "[server]\nmax_body = \"2 MiB\"\n[admin]\ntoken = \"a-token-of-sixteen\"\n[log]\nlevel = \"warn\"\n";
    let refused = relay.reload(&format!("{more}{CONFIG}")).await.unwrap_err();
    let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
    let told = told.join("\n");
    for key in ["server.max_body", "admin.token", "log.level"] {
        assert!(
            told.contains(&format!("{key}: cannot change while the relay runs")),
            "{told}"
        );
    }
    assert!(!told.contains("server.listen"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_gets_another_name_is_warned_of() {
    let relay = TestRelay::start(CONFIG).await;
    let other = CONFIG.replace("[sources.jobmojito]", "[sources.interviews]");
    let path = relay.file("relay.toml");
    std::fs::write(path, other).unwrap();
    let warnings = relay.ask("/api/v1/reload", "").await.json()["warnings"].clone();
    let words =
        "the source jobmojito is gone and interviews is new: where it only got another name";
    assert!(
        warnings[0].as_str().unwrap().starts_with(words),
        "{warnings}"
    );
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["last_reload"]["warnings"], warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_limits_apply_to_what_waits_at_once() {
    let config = CONFIG.replace("paused = true", "rate_limit = \"1/h\"");
    let mut relay = TestRelay::start(&config).await;
    for n in 0..5 {
        relay
            .post("jobmojito", submitted(&format!("s-{n}"), 1.0))
            .await;
    }
    assert_eq!(destination(&relay, "old").await["counts"]["waiting"], 5);
    let other = CONFIG.replace("paused = true", "rate_limit = \"none\"");
    relay.reload(&other).await.expect("a sound file");
    // The clock stands still.
    relay.ended(State::Delivered, 5).await;
}
