//! One test for each kind of bug that gateways like this one have shipped, as far as the feature is here.

use std::time::Duration;

use http::HeaderValue;
use mojito_relay::model::State;
use mojito_relay::telemetry::Happening;

use crate::harness::{PLAIN, TestRelay, answer, attempts, delivered, submitted, with};

// Acknowledging before it is on disk; a 4xx to the sender for a fault of our own.
/// Bug 13: a template that cannot be rendered is found before it is in force, not when the first event comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_on_a_sample_is_not_put_in_force() {
    let relay = TestRelay::start(PLAIN).await;
    let broken = PLAIN.replace(
        "[[routes]]",
        "body = { n = \"{{ result.id | int }}\" }\n[[routes]]",
    );
    let findings = relay
        .reload(&broken)
        .await
        .expect_err("it cannot be rendered");
    assert!(
        findings[0]
            .problem
            .contains("cannot be rendered for sample"),
        "{findings:?}"
    );
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["config"]["generation"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_that_is_not_stored_and_the_sender_is_asked_to_come_again() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay.store.fail(&["accept"]);
    let reply = relay.post("jobmojito", submitted("a", 1.0)).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("5"))
    );
    relay.store.fail(&[]);
    assert_eq!(
        relay.post("jobmojito", submitted("a", 1.0)).await.json()["revision"],
        1
    );
    relay.ended(State::Delivered, 1).await;
    assert_eq!(relay.receivers.seen().len(), 1);
}

// Every fault of our own is a 503 with Retry-After: full, store, bodies in flight.
#[tokio::test(flavor = "multi_thread")]
async fn more_bodies_than_may_be_held_are_a_503() {
    let toml = format!("[server]\nmax_body = \"2 KiB\"\nmax_body_in_flight = \"2 KiB\"\n{PLAIN}");
    let relay = TestRelay::start(&toml).await;
    let held = relay.sender().hold("jobmojito", 1_500).await;
    // The held bytes count once they were read: until then others find room.
    let mut reply = relay
        .post("jobmojito", format!("\"{}\"", "x".repeat(1_000)))
        .await;
    while reply.status == 202 {
        reply = relay
            .post("jobmojito", format!("\"{}\"", "x".repeat(1_000)))
            .await;
    }
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
    drop(held);
}

// Forwarding counted as done without a look at the status.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_status_that_says_so_is_a_delivery() {
    let mut relay = TestRelay::start(&with(
        "order = \"none\"\nbreaker = { rejections = 100, failures = 100 }",
    ))
    .await;
    let ends = [
        (200, State::Delivered),
        (204, State::Delivered),
        (302, State::Dead),
        (404, State::Dead),
        (500, State::Waiting),
        (501, State::Dead),
        (408, State::Waiting),
    ];
    for (count, (status, end)) in ends.into_iter().enumerate() {
        relay.receivers.statuses("app.test", &[status]);
        relay
            .post("jobmojito", submitted(&format!("s{count}"), 1.0))
            .await;
        let all = relay.attempts(count + 1).await;
        assert_eq!(all[count].state, end, "{status}");
    }
}

// A lease shorter than the timeout: two attempts at once for one delivery.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_attempt_is_not_joined_by_a_second_one() {
    let mut relay = TestRelay::start(PLAIN).await;
    let gate = relay.receivers.hold();
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.receivers.arrived(1).await;
    relay.advance(Duration::from_hours(24));
    relay.post("jobmojito", submitted("a", 2.0)).await;
    assert_eq!(
        relay.get("/api/v1/deliveries?state=sending").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(relay.receivers.seen().len(), 1);
    gate.add_permits(2);
    relay.ended(State::Delivered, 2).await;
    assert_eq!(relay.receivers.seen().len(), 2);
}

// Requeued exactly one period later: everything comes back at the same instant.
#[tokio::test(flavor = "multi_thread")]
async fn retries_are_spread() {
    let mut relay = TestRelay::start(&with(
        "breaker = { failures = 100 }\nretry = { jitter = 1.0 }",
    ))
    .await;
    relay.receivers.statuses("app.test", &[503; 8]);
    for n in 0..8 {
        relay
            .post("jobmojito", submitted(&format!("s{n}"), 1.0))
            .await;
    }
    let due: std::collections::HashSet<_> = relay
        .attempts(8)
        .await
        .into_iter()
        .map(|attempt| attempt.due_at)
        .collect();
    assert!(due.len() > 4, "{due:?}");
}

// A requeued dead letter that keeps its spent attempts; a second manual retry that is swallowed.
#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_delivery_starts_afresh_as_often_as_it_is_asked_for() {
    let mut relay = TestRelay::start(&with(
        "retry = { attempts = 2 }\nbreaker = { failures = 100 }",
    ))
    .await;
    relay.receivers.always("app.test", answer(500, "boom"));
    let event = relay.post("jobmojito", submitted("a", 1.0)).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let replay = format!(
        "/api/v1/deliveries/{}_0/replay",
        event.replace("evt_", "dlv_")
    );
    for round in 1..=3 {
        let dead = move |log: &[Happening]| {
            attempts(log)
                .filter(|attempt| attempt.state == State::Dead)
                .count()
                >= round
        };
        relay.drive("dead", dead).await;
        assert_eq!(
            relay.receivers.seen().len(),
            2 * round,
            "two attempts each time"
        );
        assert_eq!(relay.tell(&replay, "").await.status, 200);
    }
    relay.receivers.up("app.test");
    relay.drive("delivery", delivered(1)).await;
    let ids: std::collections::HashSet<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 1, "the same id throughout");
}

// A huge answer that is never recorded, so that the event comes again for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_answer_is_recorded_in_part() {
    let mut relay = TestRelay::start(PLAIN).await;
    let mut huge = answer(200, &"x".repeat(64 * 1024));
    huge.complete = false;
    relay.receivers.answer("app.test", [huge]);
    let event = relay.post("jobmojito", submitted("a", 1.0)).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    relay.ended(State::Delivered, 1).await;
    let event = relay.get(&format!("/api/v1/events/{event}")).await.json();
    let attempt = &event["deliveries"][0]["attempts"][0];
    assert_eq!(attempt["response"].as_str().unwrap().len(), 1024);
}

// Handling of 429 that is dead code behind a flattened error.
#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed_in_both_forms() {
    for (form, value) in [
        ("seconds", "90"),
        ("a date", "Sun, 22 Nov 2026 09:01:30 GMT"),
    ] {
        let mut relay = TestRelay::start(PLAIN).await;
        let mut busy = answer(429, "");
        busy.headers
            .insert("retry-after", HeaderValue::from_static(value));
        relay.receivers.answer("app.test", [busy]);
        relay.post("jobmojito", submitted("a", 1.0)).await;
        relay.attempts(1).await;
        relay.drive("delivery", delivered(1)).await;
        let times: Vec<i64> = attempts(&relay.log)
            .map(|attempt| attempt.at.as_second())
            .collect();
        assert_eq!(times[1] - times[0], 90, "{form}");
    }
}

// A payload that is written anew: key order, escapes and numbers change, signatures break.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_leaves_as_it_came() {
    let mut relay = TestRelay::start(PLAIN).await;
    let body = "{\"z\":1, \"id\":\"a\",\t\"a\":\"\\u0000\\ud800\",\"n\":1e999,\"d\":5.10,\"z\":2}";
    relay.post("jobmojito", body).await;
    relay.ended(State::Delivered, 1).await;
    assert_eq!(relay.receivers.seen()[0].body, body);
}

// A blip of the store that kills the worker for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_blip_of_the_store_is_waited_out() {
    let mut relay = TestRelay::start(PLAIN).await;
    let gate = relay.receivers.hold();
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.receivers.arrived(1).await;
    relay.store.fail(&[
        "settle",
        "due",
        "work",
        "release",
        "save_lane",
        "tallies",
        "ready",
    ]);
    relay.post("jobmojito", submitted("a", 2.0)).await;
    assert_eq!(relay.get("/readyz").await.status, 503);
    gate.add_permits(10);
    // It tries on, a second at a time.
    for _ in 0..3 {
        let at = relay.clock.sleeper().await;
        relay.advance(mojito_relay::model::after(
            mojito_relay::clock::Clock::now(&*relay.clock),
            at,
        ));
    }
    relay.store.fail(&[]);
    assert_eq!(relay.get("/readyz").await.status, 200);
    relay.drive("both", delivered(2)).await;
    assert_eq!(
        relay.receivers.seen().len(),
        2,
        "the settlement was repeated, not the request"
    );
}

// A template that fails at send time or at the next boot.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_at_delivery_makes_it_dead_with_words_and_a_mended_one_is_used() {
    let toml = with("body = { next = \"{{ result.score + 1 }}\" }");
    let mut relay = TestRelay::start(&toml).await;
    let body = r#"{"id":"a","status":"active","interview_status":"completed","score":null}"#;
    let event = relay.post("jobmojito", body).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    relay.ended(State::Dead, 1).await;
    assert!(relay.receivers.seen().is_empty(), "no half message");
    let dead = relay.get("/api/v1/deliveries?state=dead").await.json();
    let reason = dead["items"][0]["last_error"].as_str().unwrap();
    assert!(
        reason.contains("body.next") && reason.contains("result.score"),
        "{reason}"
    );
    relay
        .reload(&toml.replace("result.score + 1", "result.score | default(0, true) + 1"))
        .await
        .unwrap();
    relay
        .tell(
            &format!(
                "/api/v1/deliveries/{}_0/replay",
                event.replace("evt_", "dlv_")
            ),
            "",
        )
        .await;
    relay.ended(State::Delivered, 1).await;
}

// A destination that is corrected while it has a backlog: the backlog goes on failing as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_destination_takes_its_backlog_at_once() {
    for (what, old, new) in [
        ("url", "app.test/in", "new.test/in"),
        ("header", "X-Key = \"old\"", "X-Key = \"new\""),
    ] {
        let toml = with("headers = { X-Key = \"old\" }\nbreaker = { failures = 2 }");
        let mut relay = TestRelay::start(&toml).await;
        relay.receivers.down("app.test");
        for n in 0..5 {
            relay
                .post("jobmojito", submitted(&format!("s{n}"), 1.0))
                .await;
        }
        relay
            .until("an open lane", |log| {
                log.iter().any(|one| matches!(one, Happening::Lane { .. }))
            })
            .await;
        if what == "header" {
            relay.receivers.up("app.test");
        }
        relay.reload(&toml.replace(old, new)).await.unwrap();
        relay.ended(State::Delivered, 5).await;
    }
}

// A delivery or an event that vanishes without a record.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_nowhere_has_a_state_and_a_reason() {
    let toml = with("require = [\"result.candidate_external_id\"]")
        .replace("events = [\"*\"]", "events = [\"interview.submitted\"]");
    let mut relay = TestRelay::start(&toml).await;
    let no_candidate = submitted("a", 1.0).replace("\"c-1\"", "null");
    assert_eq!(
        relay.post("jobmojito", no_candidate).await.json()["deliveries"],
        1
    );
    relay.ended(State::Skipped, 1).await;
    let skipped = relay.get("/api/v1/deliveries?state=skipped").await.json();
    assert_eq!(
        skipped["items"][0]["last_error"],
        "result.candidate_external_id is null"
    );
    let unrouted = relay.post("jobmojito", r#"{"hello":1}"#).await.json();
    assert_eq!(unrouted["deliveries"], 0);
    let kept = relay
        .get("/api/v1/events?type=interview.other")
        .await
        .json();
    assert_eq!(kept["items"][0]["id"], unrouted["id"]);
}

// Histories that grow for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_delivery_is_bounded() {
    let mut relay = TestRelay::start(&with(
        "breaker = { failures = 1, probe_after = \"1s\", probe_max = \"1s\" }",
    ))
    .await;
    relay.receivers.down("app.test");
    let event = relay.post("jobmojito", submitted("a", 1.0)).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    relay
        .drive("many probes", |log| attempts(log).count() >= 130)
        .await;
    let event = relay.get(&format!("/api/v1/events/{event}")).await.json();
    assert!(event["deliveries"][0]["attempts"].as_array().unwrap().len() <= 100);
    assert_eq!(
        event["deliveries"][0]["state"], "waiting",
        "probes are not charged"
    );
}

// Labels made of ids and addresses; lag measured from creation instead of due time.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_configured_labels_and_lag_counts_from_due_time() {
    let mut relay = TestRelay::start(&with("retry = { first = \"10m\", jitter = 0 }")).await;
    relay.receivers.statuses("app.test", &[503]);
    let event = relay
        .post("jobmojito", submitted("subject-7", 1.0))
        .await
        .json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    relay.attempts(1).await;
    relay.advance(Duration::from_mins(5));
    let metrics =
        || async { String::from_utf8(relay.get("/metrics").await.body.to_vec()).unwrap() };
    let text = metrics().await;
    assert!(
        text.contains("relay_oldest_waiting_seconds{destination=\"app\"} 0\n"),
        "{text}"
    );
    assert!(
        text.contains("relay_oldest_undelivered_seconds{destination=\"app\"} 300\n"),
        "{text}"
    );
    for leak in [
        event.trim_start_matches("evt_"),
        "subject-7",
        "app.test",
        "c-1",
    ] {
        assert!(!text.contains(leak), "{leak} in {text}");
    }
}

// Documents that name what the code does not have.
#[tokio::test(flavor = "multi_thread")]
async fn the_headers_that_are_promised_are_the_headers_that_are_sent() {
    let toml = with("sign = { secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ\"] }");
    let mut relay = TestRelay::start(&toml).await;
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.ended(State::Delivered, 1).await;
    let seen = relay.receivers.seen().remove(0);
    for name in [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "relay-event-type",
        "relay-subject-revision",
        "relay-attempt",
        "user-agent",
        "content-type",
    ] {
        assert!(!seen.header(name).is_empty(), "{name}");
    }
    assert_eq!(
        seen.header("user-agent"),
        format!("mojito-relay/{}", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(seen.header("traceparent"), "");
}
