//! A relay whose payloads are sealed works like any other, changes its key beside the traffic, and loses
//! no more than what cannot be opened.

use std::time::Duration;

use mojito_relay::model::State;
use serde_json::{Value, json};

use crate::harness::{PLAIN, TestRelay, attempts, submitted, with};

/// Occurs in every body of [`said`].
const MARK: &str = "MARK-what-somebody-said";

/// [`PLAIN`], or another file, under these keys.
fn under(keys: &[&str], toml: &str) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|name| format!("{{ env = \"{name}\" }}"))
        .collect();
    format!(
        "[store]\nencrypt = {{ keys = [{}] }}\n{toml}",
        keys.join(", ")
    )
}

async fn start(toml: &str) -> TestRelay {
    let keys = [("OLD", "01".repeat(32)), ("NEW", "02".repeat(32))];
    TestRelay::start_in(toml, &keys).await
}

fn said(subject: &str, score: f64) -> String {
    let mut body: Value = serde_json::from_str(&submitted(subject, score)).unwrap();
    body["ai_analysis_recruiter"] = MARK.into();
    body.to_string()
}

async fn post(relay: &TestRelay, subject: &str, score: f64) -> Value {
    let reply = relay.post("jobmojito", said(subject, score)).await;
    assert_eq!(reply.status, 202);
    reply.json()["id"].clone()
}

async fn event(relay: &TestRelay, id: &Value) -> Value {
    let path = format!("/api/v1/events/{}", id.as_str().unwrap());
    relay.get(&path).await.json()
}

async fn encryption(relay: &TestRelay) -> Value {
    relay.get("/api/v1/status").await.json()["encryption"].clone()
}

/// Lets upkeep take its steps until nothing is left to seal again.
async fn resealed(relay: &TestRelay) -> Value {
    loop {
        let encryption = encryption(relay).await;
        if encryption["resealing"] != true {
            return encryption;
        }
        // A step that met a reader of the store is tried again later.
        relay.clock.advance(Duration::from_secs(1));
    }
}

fn stands_in_the_files(relay: &TestRelay, text: &str) -> bool {
    let files = std::fs::read_dir(relay.folder()).unwrap();
    files.map(Result::unwrap).any(|file| {
        let bytes = std::fs::read(file.path()).unwrap();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_is_delivered_shown_replayed_and_compared() {
    let mut relay = start(&under(&["NEW"], PLAIN)).await;
    let first = post(&relay, "s-1", 1.0).await;
    relay.ended(State::Delivered, 1).await;
    let second = post(&relay, "s-1", 2.0).await;
    relay.ended(State::Delivered, 2).await;
    let shown = event(&relay, &second).await;
    assert_eq!(shown["payload"]["ai_analysis_recruiter"], MARK);
    assert_eq!(
        (&shown["payload_error"], &shown["changed"]),
        (&Value::Null, &json!(["score"]))
    );
    let delivery = event(&relay, &first).await["deliveries"][0]["id"].clone();
    let replay = format!("/api/v1/deliveries/{}/replay", delivery.as_str().unwrap());
    assert_eq!(relay.ask(&replay, r#"{"force":true}"#).await.status, 200);
    relay.ended(State::Delivered, 3).await;
    let bodies: Vec<String> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| String::from_utf8(seen.body.to_vec()).unwrap())
        .collect();
    let (one, two) = (said("s-1", 1.0), said("s-1", 2.0));
    assert_eq!(bodies, [one.clone(), two.clone(), one]);
    assert_eq!(relay.post("jobmojito", two).await.json()["duplicate"], true);
    assert!(!stands_in_the_files(&relay, MARK));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_beside_the_traffic_until_the_old_one_can_go() {
    let relay = start(PLAIN).await;
    let id = post(&relay, "s-1", 1.0).await;
    assert!(stands_in_the_files(&relay, MARK));
    assert_eq!(encryption(&relay).await, Value::Null);
    let (_, remains) = relay.stop().await;
    let relay = remains.start(&under(&["OLD"], PLAIN)).await;
    let old = resealed(&relay).await;
    assert_eq!(
        (&old["resealing"], &old["left"]),
        (&json!(false), &json!(0))
    );
    assert!(!stands_in_the_files(&relay, MARK));
    post(&relay, "s-2", 1.0).await;
    let (_, remains) = relay.stop().await;
    let relay = remains.start(&under(&["NEW", "OLD"], PLAIN)).await;
    let new = resealed(&relay).await;
    assert_ne!(new["key"], old["key"]);
    let (_, remains) = relay.stop().await;
    let relay = remains.start(&under(&["NEW"], PLAIN)).await;
    assert_eq!(encryption(&relay).await, new);
    assert_eq!(
        event(&relay, &id).await["payload"]["ai_analysis_recruiter"],
        MARK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_payload_ends_its_delivery_and_not_the_lane() {
    let relay = start(&under(&["NEW"], &with("paused = true"))).await;
    let damaged = post(&relay, "s-1", 1.0).await;
    let next = post(&relay, "s-1", 2.0).await;
    post(&relay, "s-2", 1.0).await;
    let store = relay.file("relay.db");
    let (_, remains) = relay.stop().await;
    let damage = "UPDATE payload SET body = zeroblob(length(body)) WHERE seq = 1";
    let conn = rusqlite::Connection::open(store).unwrap();
    assert_eq!(conn.execute(damage, []).unwrap(), 1);
    drop(conn);
    let mut relay = remains.start(&under(&["NEW"], PLAIN)).await;
    relay.ended(State::Dead, 1).await;
    relay.ended(State::Delivered, 2).await;
    assert_eq!(attempts(&relay.log).count(), 3);
    let shown = event(&relay, &damaged).await;
    let delivery = &shown["deliveries"][0];
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&json!("dead"), &json!([]))
    );
    let why = "its payload is damaged in the store: it is not what was sealed for this event";
    assert_eq!(
        (&delivery["last_error"], &shown["payload_error"]),
        (&json!(why), &json!(why))
    );
    assert_eq!(shown["payload"], Value::Null);
    assert_eq!(
        event(&relay, &next).await["deliveries"][0]["state"],
        "delivered"
    );
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["destinations"][0]["state"], "healthy");
    // Its next revision is compared with the one that is sound.
    post(&relay, "s-1", 3.0).await;
    relay.ended(State::Delivered, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_take_a_restart() {
    let relay = start(&under(&["OLD"], PLAIN)).await;
    assert!(relay.reload(&under(&["OLD"], PLAIN)).await.is_ok());
    for toml in [PLAIN.to_owned(), under(&["NEW", "OLD"], PLAIN)] {
        let findings = relay.reload(&toml).await.expect_err("it needs a restart");
        assert!(
            findings[0]
                .to_string()
                .contains("store.encrypt: cannot change"),
            "{findings:?}"
        );
    }
}
