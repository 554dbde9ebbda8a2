//! The operators' API: what it shows, what it refuses, and that its lists have no gaps.

use std::collections::HashSet;

use http::Method;
use mojito_relay::app::Ended;
use mojito_relay::model::State;

use crate::harness::{PLAIN, TestRelay, answer, submitted};

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_neither_gaps_nor_repeats_while_events_come_in() {
    let mut relay = TestRelay::start(PLAIN).await;
    for n in 0..25 {
        relay
            .post("jobmojito", submitted(&format!("s{n}"), 1.0))
            .await;
    }
    relay.ended(State::Delivered, 25).await;
    for list in ["events", "deliveries"] {
        let mut seen = HashSet::new();
        let mut path = format!("/api/v1/{list}?limit=10");
        loop {
            let page = relay.get(&path).await.json();
            for item in page["items"].as_array().unwrap() {
                assert!(
                    seen.insert(item["id"].as_str().unwrap().to_owned()),
                    "{item} twice"
                );
            }
            relay
                .post(
                    "jobmojito",
                    submitted(&format!("late-{list}-{}", seen.len()), 1.0),
                )
                .await;
            let Some(next) = page["next"].as_str() else {
                break;
            };
            path = format!("/api/v1/{list}?limit=10&cursor={next}");
        }
        assert!(seen.len() >= 25, "{} {list}", seen.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_shows_its_payload_revisions_and_every_attempt() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay
        .receivers
        .answer("app.test", [answer(503, "maintenance")]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.attempts(1).await;
    let second = relay.post("jobmojito", submitted("a", 2.0)).await.json();
    let event = relay
        .get(&format!(
            "/api/v1/events/{}",
            second["id"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(
        (&event["type"], &event["candidate"]),
        (&"interview.submitted".into(), &"c-1".into())
    );
    assert_eq!(event["changed"], serde_json::json!(["score"]));
    assert_eq!(event["payload"]["score"], 2.0);
    let revisions: Vec<_> = event["revisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["revision"].as_u64())
        .collect();
    assert_eq!(revisions, [Some(1), Some(2)]);
    assert_eq!(event["deliveries"][0]["state"], "waiting");
    let first = event["revisions"][0]["id"].as_str().unwrap();
    let event = relay.get(&format!("/api/v1/events/{first}")).await.json();
    let attempt = &event["deliveries"][0]["attempts"][0];
    assert_eq!(
        (&attempt["status"], &attempt["verdict"]),
        (&503.into(), &"retry".into())
    );
    assert_eq!(attempt["response"], "maintenance");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_unknown_filters_are_refused() {
    let relay = TestRelay::start(PLAIN).await;
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.post("jobmojito", r#"{"hello":1}"#).await;
    let count = async |path: &str| {
        relay.get(path).await.json()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count("/api/v1/events").await, 2);
    assert_eq!(count("/api/v1/events?type=interview.other").await, 1);
    assert_eq!(count("/api/v1/events?subject=a").await, 1);
    assert_eq!(count("/api/v1/events?candidate=c-1").await, 1);
    assert_eq!(count("/api/v1/events?until=2026-11-22T09:00:00Z").await, 0);
    assert_eq!(count("/api/v1/deliveries?destination=nobody").await, 0);
    for path in [
        "/api/v1/events?typ=x",
        "/api/v1/deliveries?state=gone",
        "/api/v1/events?limit=1000",
    ] {
        let reply = relay.get(path).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (400, Some("application/problem+json")),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_found_by_type_subject_candidate_and_error() {
    let mut relay = TestRelay::start(PLAIN).await;
    let gate = relay.receivers.hold();
    relay
        .receivers
        .answer("app.test", [answer(422, "no such person")]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.receivers.arrived(1).await;
    let count = async |relay: &TestRelay, query: &str| {
        let path = format!("/api/v1/deliveries?{query}");
        relay.get(&path).await.json()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    // While it is under way it is found by the same filters.
    for (query, found) in [
        ("state=sending", 1),
        (
            "state=sending&type=interview.submitted&subject=a&candidate=c-1",
            1,
        ),
        ("state=sending&subject=b", 0),
        ("state=sending&candidate=c-2", 0),
        ("state=sending&type=interview.other", 0),
        ("state=sending&destination=nobody", 0),
        ("state=sending&error=person", 0),
    ] {
        assert_eq!(count(&relay, query).await, found, "{query}");
    }
    gate.add_permits(10);
    relay.ended(State::Dead, 1).await;
    for (query, found) in [
        ("subject=a", 1),
        ("candidate=c-1&state=dead", 1),
        ("candidate=c-1&state=delivered", 0),
        ("type=interview.submitted&error=NO%20such", 1),
        ("error=another", 0),
    ] {
        assert_eq!(count(&relay, query).await, found, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_that_says_what_to_do() {
    let relay = TestRelay::start(&format!("[admin]\ntoken = \"its-own\"\n{PLAIN}")).await;
    let token = ("authorization", "Bearer its-own");
    let admin = format!("http://{}", relay.relay.admin);
    let unknown = "/api/v1/deliveries/dlv_0198c6d2e0a07000b3a1c2d3e4f50617_0/replay";
    let refused = async |method: Method, path: &str, body: &'static str, header| {
        let url = format!("{admin}{path}");
        let reply = relay
            .request(method, &url, bytes::Bytes::from(body), &[header, token])
            .await;
        let kind = reply.header("content-type").map(str::to_owned);
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{path}");
        let problem = reply.json();
        assert_eq!(problem["status"], reply.status, "{problem}");
        let detail = problem["detail"].as_str().unwrap().to_owned();
        (reply.status, detail)
    };
    let json = ("content-type", "application/json");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let html = ("accept", "text/html");
    for (method, path, body, header, status, words) in [
        (
            Method::GET,
            "/api/v1/events/evt_x",
            "",
            json,
            404,
            "nothing by that name",
        ),
        (Method::PUT, "/api/v1/events", "", json, 405, "GET, HEAD"),
        (
            Method::GET,
            "/api/v1/status",
            "",
            html,
            406,
            "application/json",
        ),
        (
            Method::POST,
            unknown,
            "{}",
            form,
            415,
            "content-type: application/json",
        ),
        (
            Method::POST,
            unknown,
            "{\"forse\":true}",
            json,
            400,
            "`forse`",
        ),
        (
            Method::POST,
            unknown,
            "{}",
            json,
            404,
            "nothing by that name",
        ),
    ] {
        let (answered, detail) = refused(method, path, body, header).await;
        assert_eq!(answered, status, "{path} {detail}");
        assert!(detail.contains(words), "{path}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_api_asks_for_the_token() {
    let relay =
        TestRelay::start(&format!("[admin]\ntoken = \"a-token-of-its-own\"\n{PLAIN}")).await;
    assert_eq!(relay.get("/openapi.json").await.status, 401);
    let url = format!("http://{}/openapi.json", relay.relay.admin);
    let token = ("authorization", "Bearer a-token-of-its-own");
    let reply = relay
        .request(Method::GET, &url, bytes::Bytes::new(), &[token])
        .await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_there_are_no_data() {
    let relay =
        TestRelay::start(&format!("[admin]\ntoken = \"a-token-of-its-own\"\n{PLAIN}")).await;
    for open in ["/", "/healthz", "/readyz", "/metrics"] {
        assert_eq!(relay.get(open).await.status, 200, "{open}");
    }
    assert_eq!(relay.get("/api/v1/stream").await.status, 401);
    for closed in ["/api/v1/status", "/api/v1/events", "/api/v1/deliveries"] {
        let reply = relay.get(closed).await;
        assert_eq!(reply.status, 401, "{closed}");
        assert!(reply.header("www-authenticate").is_some());
        let url = format!("http://{}{closed}", relay.relay.admin);
        for (token, status) in [
            ("Bearer a-token-of-its-own", 200),
            ("Bearer a-token-of-its-ow", 401),
            ("Basic a-token-of-its-own", 401),
        ] {
            let reply = relay
                .request(
                    Method::GET,
                    &url,
                    bytes::Bytes::new(),
                    &[("authorization", token)],
                )
                .await;
            assert_eq!(reply.status, status, "{token}");
        }
    }
    assert_eq!(
        relay
            .tell("/api/v1/destinations/app/pause", "")
            .await
            .status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_refused_where_it_would_do_harm() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay.receivers.answer("app.test", [answer(422, "no")]);
    let first = relay.post("jobmojito", submitted("a", 1.0)).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    relay.ended(State::Dead, 1).await;
    relay.post("jobmojito", submitted("a", 2.0)).await;
    relay.ended(State::Delivered, 1).await;
    let replay = format!(
        "/api/v1/deliveries/{}_0/replay",
        first.replace("evt_", "dlv_")
    );
    let refused = relay.tell(&replay, "").await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("revision 2")
    );
    assert_eq!(relay.tell(&replay, r#"{"force":true}"#).await.status, 200);
    relay.ended(State::Delivered, 2).await;
    assert_eq!(relay.tell(&replay, "{").await.status, 400);
    let unknown = "/api/v1/deliveries/dlv_0198c6d2e0a07000b3a1c2d3e4f50617_0/replay";
    assert_eq!(relay.tell(unknown, "").await.status, 404);
    assert_eq!(relay.get(&replay).await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_under_a_new_id_has_one() {
    let mut relay = TestRelay::start(PLAIN).await;
    let event = relay.post("jobmojito", submitted("a", 1.0)).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    relay.ended(State::Delivered, 1).await;
    let replay = format!(
        "/api/v1/deliveries/{}_0/replay",
        event.replace("evt_", "dlv_")
    );
    relay.tell(&replay, r#"{"new_id":true}"#).await;
    relay.ended(State::Delivered, 2).await;
    let ids: HashSet<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_the_body_and_other_methods_are_named() {
    let relay = TestRelay::start(PLAIN).await;
    let url = format!("http://{}/api/v1/status", relay.relay.admin);
    let head = relay
        .request(Method::HEAD, &url, bytes::Bytes::new(), &[])
        .await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let delete = relay
        .request(Method::DELETE, &url, bytes::Bytes::new(), &[])
        .await;
    assert_eq!(
        (delete.status, delete.header("allow")),
        (405, Some("GET, HEAD"))
    );
    assert_eq!(relay.get("/api/v1/nothing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_gone_from_the_file_is_an_orphan_with_its_backlog() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay.receivers.down("app.test");
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.attempts(1).await;
    relay.reload(&PLAIN.replace("app", "other")).await.unwrap();
    let status = relay.get("/api/v1/status").await.json();
    let states: Vec<_> = status["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str(), one["state"].as_str()))
        .collect();
    assert_eq!(
        states,
        [
            (Some("app"), Some("orphaned")),
            (Some("other"), Some("healthy"))
        ]
    );
    relay.receivers.up("app.test");
    relay.reload(PLAIN).await.unwrap();
    relay
        .drive("the backlog", |log| {
            crate::harness::attempts(log).any(|attempt| attempt.state == State::Delivered)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_a_shutdown_is_finished_and_the_rest_is_kept_in_order() {
    let relay = TestRelay::start(PLAIN).await;
    let gate = relay.receivers.hold();
    for score in 1..=3 {
        relay
            .post("jobmojito", submitted("a", f64::from(score)))
            .await;
    }
    relay.receivers.arrived(1).await;
    gate.add_permits(10);
    let (ended, remains) = relay.stop().await;
    assert_eq!(ended, Ended::Clean);
    let sent = remains.receivers.seen().len();
    let mut relay = remains.start(PLAIN).await;
    relay.receivers.arrived(3).await;
    relay
        .drive("the rest", move |log| {
            crate::harness::attempts(log).count() >= 3 - sent
        })
        .await;
    let revisions: Vec<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.revision().to_owned())
        .collect();
    assert_eq!(revisions, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_with_its_grace_and_what_was_under_way_is_sent_again() {
    let relay = TestRelay::start(PLAIN).await;
    let gate = relay.receivers.hold();
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.receivers.arrived(1).await;
    let clock = relay.clock.clone();
    let stopping = relay.stop();
    tokio::pin!(stopping);
    assert!(futures_util::poll!(&mut stopping).is_pending());
    assert!(clock.next_wake().is_some(), "the grace has begun");
    clock.advance(std::time::Duration::from_secs(25));
    let (ended, remains) = stopping.await;
    assert_eq!(ended, Ended::Forced);
    gate.add_permits(10);
    let mut relay = remains.start(PLAIN).await;
    relay.ended(State::Delivered, 1).await;
    let ids: HashSet<_> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    assert_eq!((relay.receivers.seen().len(), ids.len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_events_has_their_deliveries_without_attempts_or_payload() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.ended(State::Delivered, 1).await;
    let listed = relay.get("/api/v1/events").await.json()["items"][0].clone();
    let delivery = &listed["deliveries"][0];
    assert_eq!(
        (
            &delivery["destination"],
            &delivery["state"],
            &delivery["event_id"]
        ),
        (&"app".into(), &"delivered".into(), &listed["id"])
    );
    assert_eq!(listed.get("payload"), None);
    assert_eq!(delivery.get("attempts"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_drains_is_not_ready() {
    let relay = TestRelay::start(PLAIN).await;
    let held = relay.receivers.hold();
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.receivers.arrived(1).await;
    let (sender, admin) = (relay.sender(), relay.relay.admin);
    assert_eq!(sender.get_at(admin, "/readyz").await.status, 200);
    let asked = async {
        loop {
            let ready = sender.get_at(admin, "/readyz").await;
            if ready.status == 503 {
                held.add_permits(1);
                return ready;
            }
        }
    };
    let ((ended, _), ready) = tokio::join!(relay.stop(), asked);
    assert_eq!(ended, Ended::Clean);
    assert!(ready.header("retry-after").is_some());
}
