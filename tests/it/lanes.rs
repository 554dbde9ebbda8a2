//! Order, superseding, rate, retry and what becomes of a lane in trouble.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderValue;
use mojito_relay::model::State;
use mojito_relay::telemetry::Happening;

use crate::harness::{PLAIN, TestRelay, answer, attempts, delivered, submitted, with};

const SECOND: Duration = Duration::from_secs(1);

fn latest() -> String {
    PLAIN.replace("[[routes]]", "revisions = \"latest\"\n[[routes]]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_tried_again_when_its_time_has_come() {
    let mut relay = TestRelay::start(&with("retry = { jitter = 0 }")).await;
    relay.receivers.statuses("app.test", &[503, 500]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    let first = relay.attempts(1).await;
    assert_eq!(
        (first[0].status, first[0].state),
        (Some(503), State::Waiting)
    );
    assert_eq!(
        first[0].due_at.map(|due| (due - first[0].at).get_seconds()),
        Some(5)
    );
    relay.drive("delivery", delivered(1)).await;
    let all = relay.attempts(3).await;
    let waits: Vec<i64> = all
        .windows(2)
        .map(|two| two[1].at.as_second() - two[0].at.as_second())
        .collect();
    assert_eq!(waits, [5, 20]);
    let ids: Vec<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    assert!(ids.windows(2).all(|two| two[0] == two[1]), "{ids:?}");
    let numbers: Vec<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.header("relay-attempt").to_owned())
        .collect();
    assert_eq!(numbers, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_given_up_visibly_after_its_attempts() {
    let mut relay = TestRelay::start(&with(
        "retry = { attempts = 3 }\nbreaker = { failures = 100 }",
    ))
    .await;
    relay.receivers.always("app.test", answer(500, "boom"));
    let id = relay.post("jobmojito", submitted("a", 1.0)).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    relay
        .drive("the end", |log| {
            attempts(log).any(|attempt| attempt.state == State::Dead)
        })
        .await;
    assert_eq!(relay.receivers.seen().len(), 3);
    let event = relay.get(&format!("/api/v1/events/{id}")).await.json();
    let delivery = &event["deliveries"][0];
    assert_eq!(delivery["state"], "dead");
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 3);
    let error = delivery["last_error"].as_str().unwrap();
    assert!(
        error.contains("500") && error.contains("retry.attempts"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_delivery_is_dead_at_once_with_the_receiver_s_words() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay.receivers.answer(
        "app.test",
        [answer(422, r#"{"message":"candidate is archived"}"#)],
    );
    relay.post("jobmojito", submitted("a", 1.0)).await;
    let all = relay.attempts(1).await;
    assert_eq!(all[0].state, State::Dead);
    assert!(
        all[0].reason.contains("candidate is archived"),
        "{}",
        all[0].reason
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_subject_goes_one_at_a_time_and_in_order_while_others_pass_by() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay.receivers.statuses("app.test", &[503]);
    for score in [1.0, 2.0, 3.0] {
        relay.post("jobmojito", submitted("slow", score)).await;
        relay.attempts(1).await;
    }
    relay.post("jobmojito", submitted("other", 1.0)).await;
    relay.ended(State::Delivered, 1).await;
    assert_eq!(
        relay.receivers.seen().len(),
        2,
        "revisions 2 and 3 wait behind the first"
    );
    relay.drive("all of them", delivered(4)).await;
    let order: Vec<_> = relay
        .receivers
        .seen()
        .iter()
        .filter(|seen| seen.json()["id"] == "slow")
        .map(|seen| seen.revision().to_owned())
        .collect();
    assert_eq!(order, ["1", "1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_revision_takes_the_place_of_those_that_wait() {
    let mut relay = TestRelay::start(&latest()).await;
    relay.tell("/api/v1/destinations/app/pause", "").await;
    for score in [1.0, 2.0, 3.0] {
        relay.post("jobmojito", submitted("a", score)).await;
    }
    relay.tell("/api/v1/destinations/app/resume", "").await;
    relay.ended(State::Delivered, 1).await;
    let revisions: Vec<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.revision().to_owned())
        .collect();
    assert_eq!(revisions, ["3"]);
    let listed = relay.get("/api/v1/deliveries").await.json();
    let states: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["delivered", "superseded", "superseded"]);
    let reason = listed["items"][2]["last_error"].as_str().unwrap();
    assert!(reason.contains("revision 2"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_revision_does_not_wait_for_the_older_one_s_retry() {
    let mut relay = TestRelay::start(&latest()).await;
    relay.receivers.statuses("app.test", &[503]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.attempts(1).await;
    relay.post("jobmojito", submitted("a", 2.0)).await;
    relay.ended(State::Delivered, 1).await;
    let revisions: Vec<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.revision().to_owned())
        .collect();
    assert_eq!(revisions, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_sent_is_not_superseded_unless_it_comes_back_as_retry() {
    let mut relay = TestRelay::start(&latest()).await;
    let gate = relay.receivers.hold();
    relay.receivers.statuses("app.test", &[200, 503]);
    let first = relay.post("jobmojito", submitted("a", 1.0)).await.json();
    relay.receivers.arrived(1).await;
    relay.post("jobmojito", submitted("a", 2.0)).await;
    let listed = relay.get("/api/v1/deliveries?state=sending").await.json();
    assert_eq!(listed["items"][0]["event_id"], first["id"]);
    gate.add_permits(1);
    relay.ended(State::Delivered, 1).await;
    relay.receivers.arrived(2).await;
    relay.post("jobmojito", submitted("a", 3.0)).await;
    gate.add_permits(2);
    relay.drive("the newest", delivered(2)).await;
    let revisions: Vec<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.revision().to_owned())
        .collect();
    assert_eq!(
        revisions,
        ["1", "2", "3"],
        "2 came back as retry when 3 was there"
    );
    let listed = relay.get("/api/v1/deliveries").await.json();
    let states: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["delivered", "superseded", "delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_and_previous_span_everything_since_the_last_revision_sent() {
    let toml = latest().replace(
        "[[routes]]",
        "body = { before = \"{{ previous.score }}\", now = \"{{ result.score }}\", changed = \"{{ event.changed }}\" }\n[[routes]]",
    );
    let mut relay = TestRelay::start(&toml).await;
    relay.post("jobmojito", submitted("a", 1.5)).await;
    relay.ended(State::Delivered, 1).await;
    relay.receivers.statuses("app.test", &[503]);
    let decided = |score: f64, yes: bool| {
        submitted("a", score).replace("null", if yes { "true" } else { "null" })
    };
    relay.post("jobmojito", decided(2.5, false)).await;
    relay.attempts(2).await;
    relay.post("jobmojito", decided(2.5, true)).await;
    relay.drive("the newest", delivered(2)).await;
    let last = relay.receivers.seen().pop().unwrap().json();
    assert_eq!(
        last,
        serde_json::json!({"before": 1.5, "now": 2.5, "changed": ["recruiter_go_next_round", "score"]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_in_every_window_and_starts_without_a_burst() {
    let mut relay = TestRelay::start(&with("rate_limit = \"5/s\"\nburst = 2")).await;
    for n in 0..12 {
        relay
            .post("jobmojito", submitted(&format!("s{n}"), 1.0))
            .await;
    }
    relay.drive("all of them", delivered(12)).await;
    let mut times: Vec<i64> = attempts(&relay.log)
        .map(|attempt| attempt.at.as_millisecond())
        .collect();
    times.sort_unstable();
    for (n, start) in times.iter().enumerate() {
        let inside = times[n..].iter().filter(|at| **at - start < 1_000).count();
        assert!(inside <= 5, "{inside} in one second: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_slot_spends_no_attempt() {
    let mut relay = TestRelay::start(&with(
        "rate_limit = \"1/min\"\nretry = { attempts = 2, give_up_after = \"30s\" }",
    ))
    .await;
    for n in 0..5 {
        relay
            .post("jobmojito", submitted(&format!("s{n}"), 1.0))
            .await;
    }
    relay.drive("all of them", delivered(5)).await;
    assert_eq!(attempts(&relay.log).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_ends_a_hold() {
    let mut relay = TestRelay::start(PLAIN).await;
    let mut busy = answer(429, "");
    busy.headers
        .insert("retry-after", HeaderValue::from_static("20000"));
    relay.receivers.answer("app.test", [busy]);
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.attempts(1).await;
    let status = relay.get("/api/v1/status").await.json();
    let why = status["destinations"][0]["reason"].as_str().unwrap();
    assert!(why.contains("asked to be sent nothing"), "{why}");
    relay.ask("/api/v1/destinations/app/resume", "").await;
    relay.ended(State::Delivered, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_holds_the_whole_lane_and_costs_nothing() {
    let mut relay = TestRelay::start(&with("retry = { attempts = 2 }")).await;
    let busy = || {
        let mut busy = answer(429, "slow down");
        busy.headers
            .insert("retry-after", HeaderValue::from_static("60"));
        busy
    };
    relay.receivers.answer("app.test", (0..6).map(|_| busy()));
    relay.post("jobmojito", submitted("a", 1.0)).await;
    let first = relay.attempts(1).await;
    relay.post("jobmojito", submitted("b", 1.0)).await;
    let status = relay.get("/api/v1/status").await.json();
    assert!(
        status["destinations"][0]["held_until"].is_string(),
        "{status}"
    );
    relay.drive("both", delivered(2)).await;
    let times: Vec<i64> = attempts(&relay.log)
        .map(|a| a.at.as_second() - first[0].at.as_second())
        .collect();
    assert!(
        times.windows(2).take(6).all(|two| two[1] - two[0] >= 60),
        "one by one, a minute apart: {times:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_is_probed_and_its_backlog_arrives_afterwards() {
    let mut relay = TestRelay::start(&with(
        "breaker = { failures = 3 }\nretry = { attempts = 4 }\nconcurrency = 1",
    ))
    .await;
    relay.receivers.down("app.test");
    for n in 0..8 {
        relay
            .post("jobmojito", submitted(&format!("s{n}"), 1.0))
            .await;
    }
    relay
        .drive("an open lane", |log| {
            log.iter().any(|one| matches!(one, Happening::Lane { .. }))
        })
        .await;
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["destinations"][0]["state"], "open");
    let reason = status["destinations"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("cannot connect"), "{reason}");
    let before = relay.attempts(3).await.len();
    relay
        .drive("probes", |log| attempts(log).count() >= before + 6)
        .await;
    let probes: Vec<_> = attempts(&relay.log).skip(before).collect();
    let waits: Vec<i64> = probes
        .windows(2)
        .map(|two| two[1].at.as_second() - two[0].at.as_second())
        .collect();
    assert_eq!(waits, [60, 120, 240, 480, 600]);
    let distinct: std::collections::HashSet<_> =
        probes.iter().map(|probe| probe.delivery).collect();
    assert_eq!(distinct.len(), 6, "another subject each time");
    relay.receivers.up("app.test");
    relay.drive("all of them", delivered(8)).await;
    assert!(
        attempts(&relay.log).all(|attempt| attempt.state != State::Dead),
        "probes are not charged"
    );
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["destinations"][0]["state"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_blocks_the_lane_and_a_reload_that_mends_it_frees_it_at_once() {
    let toml = with("headers = { Authorization = \"Bearer old\" }\nretry = { attempts = 1 }");
    let mut relay = TestRelay::start(&toml).await;
    relay
        .receivers
        .always("app.test", answer(401, "token expired"));
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.post("jobmojito", submitted("b", 1.0)).await;
    relay
        .until("a blocked lane", |log| {
            log.iter().any(|one| matches!(one, Happening::Lane { .. }))
        })
        .await;
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["destinations"][0]["state"], "blocked");
    assert!(
        status["destinations"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("token expired")
    );
    relay.receivers.up("app.test");
    relay
        .reload(&toml.replace("Bearer old", "Bearer new"))
        .await
        .unwrap();
    relay.ended(State::Delivered, 2).await;
    assert_eq!(
        relay
            .receivers
            .seen()
            .pop()
            .unwrap()
            .header("authorization"),
        "Bearer new"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_refused_twice_with_another_accepted_between_is_rejected_alone() {
    let mut relay = TestRelay::start(&with("concurrency = 1")).await;
    relay.receivers.hold().add_permits(1_000);
    relay.receivers.answer(
        "app.test",
        [
            answer(403, "no access"),
            answer(200, "ok"),
            answer(403, "no access"),
        ],
    );
    relay.post("jobmojito", submitted("secret", 1.0)).await;
    relay.attempts(1).await;
    relay.post("jobmojito", submitted("open", 1.0)).await;
    relay
        .drive("both ends", |log| {
            attempts(log).any(|attempt| attempt.state == State::Dead)
        })
        .await;
    let ends: Vec<_> = attempts(&relay.log).map(|attempt| attempt.state).collect();
    assert_eq!(ends, [State::Waiting, State::Delivered, State::Dead]);
    assert_eq!(
        relay.get("/api/v1/status").await.json()["destinations"][0]["state"],
        "healthy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejections_in_a_row_block_the_lane_before_the_backlog_is_gone() {
    let mut relay = TestRelay::start(&with("breaker = { rejections = 3 }\nconcurrency = 1")).await;
    relay
        .receivers
        .always("app.test", answer(400, "unknown field"));
    for n in 0..6 {
        relay
            .post("jobmojito", submitted(&format!("s{n}"), 1.0))
            .await;
    }
    relay
        .drive("two probes", |log| attempts(log).count() >= 5)
        .await;
    let ends: Vec<_> = attempts(&relay.log).map(|attempt| attempt.state).collect();
    let expect = [
        State::Dead,
        State::Dead,
        State::Dead,
        State::Waiting,
        State::Waiting,
    ];
    assert_eq!(ends, expect, "the first three are dead; probes are not");
    relay.receivers.up("app.test");
    relay.drive("the rest", delivered(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_larger_than_the_window_arrives_in_order() {
    let mut relay = TestRelay::start(&with("paused = true")).await;
    for n in 0..700 {
        relay
            .post(
                "jobmojito",
                submitted(&format!("s{}", n % 50), f64::from(n)),
            )
            .await;
    }
    relay.reload(PLAIN).await.unwrap();
    relay.ended(State::Delivered, 700).await;
    let mut last: HashMap<String, u32> = HashMap::new();
    for seen in relay.receivers.seen() {
        let revision: u32 = seen.revision().parse().unwrap();
        let before = last
            .insert(seen.json()["id"].to_string(), revision)
            .unwrap_or(0);
        assert_eq!(revision, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_resumes_in_order_after_a_restart() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay.receivers.down("app.test");
    for n in 0..30 {
        relay
            .post("jobmojito", submitted(&format!("s{}", n % 3), f64::from(n)))
            .await;
    }
    relay.attempts(1).await;
    let remains = relay.cut_off().await;
    remains.receivers.up("app.test");
    let before = remains.receivers.seen().len();
    let mut relay = remains.start(PLAIN).await;
    relay.drive("all of them", delivered(30)).await;
    let mut last: HashMap<String, u32> = HashMap::new();
    for seen in relay.receivers.seen().into_iter().skip(before) {
        let revision: u32 = seen.revision().parse().unwrap();
        let before = last
            .insert(seen.json()["id"].to_string(), revision)
            .unwrap_or(0);
        assert_eq!(revision, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_lane_holds_no_other_up() {
    let toml = format!(
        "{}\n[destinations.other]\nurl = \"http://other.test/\"\n",
        PLAIN.replace("to = [\"app\"]", "to = [\"app\", \"other\"]")
    );
    let mut relay = TestRelay::start(&toml).await;
    relay.receivers.down("app.test");
    for n in 0..20 {
        relay
            .post("jobmojito", submitted(&format!("s{n}"), 1.0))
            .await;
    }
    relay.ended(State::Delivered, 20).await;
    assert_eq!(relay.receivers.seen_at("other.test").len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_holds_everything_and_resume_lets_it_go() {
    let mut relay = TestRelay::start(PLAIN).await;
    assert_eq!(
        relay
            .tell("/api/v1/destinations/app/pause", "")
            .await
            .status,
        200
    );
    relay.post("jobmojito", submitted("a", 1.0)).await;
    assert_eq!(
        relay.get("/api/v1/status").await.json()["destinations"][0]["state"],
        "paused"
    );
    relay.advance(600 * SECOND);
    assert!(relay.receivers.seen().is_empty());
    relay.tell("/api/v1/destinations/app/resume", "").await;
    relay.ended(State::Delivered, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_delivery_goes_out_without_a_read_of_the_store() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.ended(State::Delivered, 1).await;
    relay.store.fail(&["due", "work"]);
    for score in [2.0, 3.0] {
        relay.post("jobmojito", submitted("a", score)).await;
        relay
            .post("jobmojito", submitted(&format!("b{score}"), 1.0))
            .await;
        relay
            .ended(State::Delivered, if score < 3.0 { 3 } else { 5 })
            .await;
    }
}
