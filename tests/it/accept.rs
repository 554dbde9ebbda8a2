//! What senders are told, and that it is true by then.

use mojito_relay::model::State;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{PLAIN, TestRelay, sample, submitted};

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_event_is_answered_with_its_place_and_is_on_disk() {
    let mut relay = TestRelay::start(PLAIN).await;
    let reply = relay.post("jobmojito", sample("submitted-rich")).await;
    assert_eq!(reply.status, 202);
    let told = reply.json();
    assert_eq!(told["type"], "interview.submitted");
    assert_eq!(told["subject"], "912ff898-2e65-4a31-8ff5-d3c59005eb97");
    assert_eq!(
        (&told["revision"], &told["duplicate"], &told["deliveries"]),
        (&1.into(), &false.into(), &1.into())
    );
    let id = told["id"].as_str().expect("an id");
    let event = relay.get(&format!("/api/v1/events/{id}")).await.json();
    assert_eq!(
        event["payload"],
        serde_json::from_str::<serde_json::Value>(sample("submitted-rich")).unwrap()
    );
    relay.ended(State::Delivered, 1).await;
    let seen = relay.receivers.seen();
    assert_eq!(seen[0].body, sample("submitted-rich"), "byte for byte");
    assert_eq!(seen[0].header("relay-event-type"), "interview.submitted");
    assert_eq!(seen[0].revision(), "1");
    assert_eq!(seen[0].header("relay-attempt"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_is_taken_and_delivered_byte_for_byte() {
    let mut relay = TestRelay::start(PLAIN).await;
    let mut taken = 0;
    for (name, body) in mojito_relay::app::SAMPLES {
        let reply = relay.post("jobmojito", *body).await;
        assert!(reply.status == 202, "{name}: {}", reply.status);
        taken += 1;
    }
    relay.ended(State::Delivered, taken).await;
    let seen = relay.receivers.seen();
    for (name, body) in mojito_relay::app::SAMPLES {
        assert!(
            seen.iter().any(|request| request.body == *body),
            "{name} did not arrive as it was"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_told_why() {
    let relay = TestRelay::start(PLAIN).await;
    let check = |reply: crate::harness::Reply, status: u16, kind: &str| {
        assert_eq!(reply.status, status, "{kind}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json"),
            "{kind}"
        );
        assert_eq!(
            reply.json()["type"]
                .as_str()
                .unwrap_or_default()
                .rsplit(':')
                .next(),
            Some(kind)
        );
    };
    check(relay.post("jobmojito", "{").await, 400, "not-json");
    let not_text = bytes::Bytes::from_static(b"{\"id\":\"\xff\"}");
    check(relay.post("jobmojito", not_text).await, 400, "not-json");
    check(
        relay
            .post("jobmojito", "[".repeat(65) + &"]".repeat(65))
            .await,
        400,
        "too-deep",
    );
    check(relay.post("nobody", "{}").await, 404, "blank");
    check(
        relay
            .post_with("jobmojito", "{}", &[("content-type", "text/plain")])
            .await,
        415,
        "blank",
    );
    check(
        relay
            .post("jobmojito", format!("\"{}\"", "x".repeat(1 << 20)))
            .await,
        413,
        "too-large",
    );
    let url = format!("http://{}/hooks/jobmojito", relay.relay.ingress);
    let get = relay
        .request(http::Method::GET, &url, bytes::Bytes::new(), &[])
        .await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_its_host_once() {
    let relay = TestRelay::start(PLAIN).await;
    let ingress = relay.sender().ingress;
    let answer = async |head: &str| {
        let mut stream = tokio::net::TcpStream::connect(ingress).await.unwrap();
        let request = format!("{head}connection: close\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let to = "POST /hooks/jobmojito";
    for hosts in ["", "host: a\r\nhost: b\r\n", "host: a\r\nhost: a\r\n"] {
        let answer = answer(&format!("{to} HTTP/1.1\r\n{hosts}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("problem:bad-host"), "{answer}");
    }
    let older = answer(&format!("{to} HTTP/1.0\r\n")).await;
    assert!(older.starts_with("HTTP/1.0 202 "), "{older}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_key_that_comes_twice_the_last_counts() {
    let relay = TestRelay::start(PLAIN).await;
    let body = r#"{"id":"first","id":"last","status":"active","score":1,"score":2}"#;
    let taken = relay.post("jobmojito", body).await.json();
    assert_eq!(taken["subject"], "last");
    let same = relay
        .post("jobmojito", r#"{"score":2,"id":"last","status":"active"}"#)
        .await;
    assert_eq!((same.status, &same.json()["id"]), (200, &taken["id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_for_and_rotation_is_counted() {
    let toml = PLAIN.replace(
        r#"auth = "none""#,
        r#"auth = { header = "X-Relay-Token", secrets = ["new-token", "old-token"] }"#,
    );
    let relay = TestRelay::start(&toml).await;
    assert_eq!(relay.post("jobmojito", "{}").await.status, 401);
    assert_eq!(
        relay
            .post_with("jobmojito", "{}", &[("x-relay-token", "wrong")])
            .await
            .status,
        401
    );
    assert_eq!(
        relay
            .post_with("jobmojito", "{}", &[("x-relay-token", "old-token")])
            .await
            .status,
        202
    );
    let metrics = String::from_utf8(relay.get("/metrics").await.body.to_vec()).unwrap();
    assert!(
        metrics.contains(r#"relay_source_secret_uses_total{position="1",source="jobmojito"} 1"#),
        "{metrics}"
    );
    assert!(metrics.contains(r#"relay_requests_refused_total{source="jobmojito",status="401"} 2"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_fast_a_sender_is_told_when_the_next_slot_is() {
    let toml = PLAIN.replace(
        r#"auth = "none""#,
        "auth = \"none\"\nrate_limit = \"2/10s\"",
    );
    let relay = TestRelay::start(&toml).await;
    for n in 0..2 {
        assert_eq!(
            relay
                .post("jobmojito", submitted("s", f64::from(n)))
                .await
                .status,
            202
        );
    }
    let reply = relay.post("jobmojito", submitted("s", 3.0)).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("5"))
    );
    relay.advance(std::time::Duration::from_secs(5));
    assert_eq!(
        relay.post("jobmojito", submitted("s", 3.0)).await.status,
        202
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_not_allowed_are_refused() {
    let toml = PLAIN.replace(
        r#"auth = "none""#,
        "auth = \"none\"\nallow_ips = [\"203.0.113.0/24\"]",
    );
    let relay = TestRelay::start(&toml).await;
    assert_eq!(relay.post("jobmojito", "{}").await.status, 403);
    let spoofed = relay
        .post_with("jobmojito", "{}", &[("x-forwarded-for", "203.0.113.9")])
        .await;
    assert_eq!(
        spoofed.status, 403,
        "nobody said that proxies here are to be believed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_is_full_is_a_503_that_says_when_to_come_again() {
    let toml = format!("[store]\nmax_waiting = 1\n{PLAIN}");
    let relay = TestRelay::start(&toml).await;
    relay.receivers.down("app.test");
    assert_eq!(
        relay.post("jobmojito", submitted("a", 1.0)).await.status,
        202
    );
    let reply = relay.post("jobmojito", submitted("b", 1.0)).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("30"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_json_sender_gets_the_same_revisions_and_promises() {
    let toml = r#"
        [sources.shop]
        kind = "generic"
        type = "/event"
        subject = "/order/id"
        auth = "none"
        [destinations.app]
        url = "http://app.test/in"
        [[routes]]
        events = ["order.*"]
        to = ["app"]
    "#;
    let mut relay = TestRelay::start(toml).await;
    let body = |paid| format!(r#"{{"event":"order.changed","order":{{"id":7}},"paid":{paid}}}"#);
    let first = relay.post("shop", body(false)).await.json();
    assert_eq!(
        (&first["type"], &first["subject"]),
        (&"order.changed".into(), &"7".into())
    );
    assert_eq!(relay.post("shop", body(false)).await.status, 200);
    assert_eq!(relay.post("shop", body(true)).await.json()["revision"], 2);
    relay.ended(State::Delivered, 2).await;
    assert_eq!(relay.post("shop", "{}").await.json()["type"], "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_event_that_was_not_taken_the_relay_is_not_ready_for_a_while() {
    let relay = TestRelay::start(PLAIN).await;
    let ready = async || relay.get("/readyz").await.status;
    relay.store.fail(&["accept"]);
    assert_eq!(ready().await, 200, "nobody has noticed yet");
    let answer = relay.post("jobmojito", submitted("a", 1.0)).await;
    assert_eq!(answer.status, 503);
    let told = relay.get("/readyz").await;
    let words = told.json()["detail"].to_string();
    assert_eq!(told.status, 503);
    assert!(words.contains("the disk is full"), "{words}");
    relay.advance(std::time::Duration::from_secs(6));
    assert_eq!(ready().await, 200, "or nothing would ever try again");
    relay.post("jobmojito", submitted("a", 1.0)).await;
    assert_eq!(ready().await, 503);
    relay.store.fail(&[]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    assert_eq!(ready().await, 200, "the next one was taken");
}
