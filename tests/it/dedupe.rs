//! Revisions: what is news, what is a duplicate, and who gets which number.

use std::sync::Arc;

use mojito_relay::model::State;
use mojito_relay::store::Store as _;

use crate::harness::{PLAIN, TestRelay, submitted};

#[tokio::test(flavor = "multi_thread")]
async fn equal_to_the_latest_is_a_duplicate_and_goes_nowhere() {
    let mut relay = TestRelay::start(PLAIN).await;
    let first = relay.post("jobmojito", submitted("a", 5.0)).await.json();
    let spelled_otherwise = r#"{ "score": 5, "status":"active", "id":"a", "interview_status":"completed",
        "processing_status":"completed", "candidate_external_id":"c-1", "pdf_export_url": null }"#;
    let again = relay.post("jobmojito", spelled_otherwise).await;
    assert_eq!(again.status, 200);
    assert_eq!(
        (&again.json()["id"], &again.json()["revision"]),
        (&first["id"], &1.into())
    );
    assert_eq!(
        (&again.json()["duplicate"], &again.json()["deliveries"]),
        (&true.into(), &0.into())
    );
    relay.ended(State::Delivered, 1).await;
    relay.post("jobmojito", submitted("a", 6.0)).await;
    relay.ended(State::Delivered, 2).await;
    assert_eq!(relay.receivers.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn yes_no_yes_is_three_revisions_and_the_last_word_arrives() {
    let mut relay = TestRelay::start(PLAIN).await;
    for (score, revision) in [(1.0, 1), (2.0, 2), (1.0, 3)] {
        let reply = relay.post("jobmojito", submitted("a", score)).await;
        assert_eq!(
            (reply.status, &reply.json()["revision"]),
            (202, &revision.into())
        );
    }
    relay.ended(State::Delivered, 3).await;
    let scores: Vec<f64> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.json()["score"].as_f64().unwrap())
        .collect();
    assert_eq!(scores, [1.0, 2.0, 1.0]);
    let changed: Vec<_> = relay
        .events()
        .iter()
        .map(|event| event.changed.clone())
        .collect();
    assert_eq!(
        changed,
        [vec![], vec!["score".to_owned()], vec!["score".to_owned()]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_body_a_hundred_times_at_once_is_one_event() {
    let mut relay = TestRelay::start(PLAIN).await;
    let shared = Arc::new(relay.sender());
    let posts: Vec<_> = (0..100)
        .map(|_| {
            let sender = shared.clone();
            async move { sender.post("jobmojito", submitted("a", 1.0)).await.status }
        })
        .collect();
    let statuses = futures_util::future::join_all(posts).await;
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 99);
    relay.ended(State::Delivered, 1).await;
    let listed = relay.get("/api/v1/events").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn different_bodies_of_one_subject_at_once_get_every_number_once() {
    let mut relay = TestRelay::start(PLAIN).await;
    let shared = Arc::new(relay.sender());
    let posts: Vec<_> = (0..40)
        .map(|n| {
            let sender = shared.clone();
            async move {
                sender
                    .post("jobmojito", submitted("a", f64::from(n)))
                    .await
                    .json()["revision"]
                    .as_u64()
            }
        })
        .collect();
    let mut revisions: Vec<u64> = futures_util::future::join_all(posts)
        .await
        .into_iter()
        .flatten()
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=40).collect::<Vec<u64>>());
    relay.ended(State::Delivered, 40).await;
    let arrived: Vec<String> = relay
        .receivers
        .seen()
        .iter()
        .map(|seen| seen.revision().to_owned())
        .collect();
    let in_order: Vec<String> = (1..=40).map(|n: u32| n.to_string()).collect();
    assert_eq!(arrived, in_order);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_field_alone_is_no_news() {
    let toml = PLAIN.replace(
        r#"auth = "none""#,
        "auth = \"none\"\nignore = [\"pdf_export_url\"]",
    );
    let relay = TestRelay::start(&toml).await;
    let body = |url: &str, score: u32| {
        format!(r#"{{"id":"a","status":"active","score":{score},"pdf_export_url":"{url}"}}"#)
    };
    assert_eq!(
        relay.post("jobmojito", body("https://a", 1)).await.status,
        202
    );
    assert_eq!(
        relay.post("jobmojito", body("https://b", 1)).await.status,
        200
    );
    let changed = relay.post("jobmojito", body("https://c", 2)).await.json();
    let event = relay
        .get(&format!(
            "/api/v1/events/{}",
            changed["id"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(event["changed"], serde_json::json!(["score"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_subject_is_never_a_duplicate() {
    let relay = TestRelay::start(PLAIN).await;
    for _ in 0..2 {
        let reply = relay.post("jobmojito", r#"{"hello":1}"#).await;
        assert_eq!((reply.status, &reply.json()["revision"]), (202, &1.into()));
        assert_eq!(reply.json()["type"], "interview.other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_repeat_of_an_event_whose_answer_was_lost_is_its_retry_even_after_newer_ones() {
    let relay = TestRelay::start(PLAIN).await;
    let first = relay.post("jobmojito", submitted("a", 1.0)).await.json();
    let id = first["id"].as_str().unwrap().parse().unwrap();
    let body = submitted("a", 1.0);
    let digests = mojito_relay::source::Body::parse(body.as_bytes())
        .unwrap()
        .digests(relay.store.key().as_bytes());
    relay.store.mark_unconfirmed(id, digests).await.unwrap();
    assert_eq!(
        relay.post("jobmojito", submitted("a", 2.0)).await.json()["revision"],
        2
    );
    let retry = relay.post("jobmojito", submitted("a", 1.0)).await;
    assert_eq!((retry.status, &retry.json()["id"]), (200, &first["id"]));
    let back_again = relay.post("jobmojito", submitted("a", 1.0)).await;
    assert_eq!(
        (back_again.status, &back_again.json()["revision"]),
        (202, &3.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_hangs_up_and_sends_again_has_sent_one_event() {
    use tokio::io::AsyncWriteExt as _;
    let relay = TestRelay::start(PLAIN).await;
    let body = submitted("a", 1.0);
    for _ in 0..20 {
        let mut socket = tokio::net::TcpStream::connect(relay.relay.ingress)
            .await
            .unwrap();
        let length = body.len();
        let head = format!(
            "POST /hooks/jobmojito HTTP/1.1\r\nhost: relay\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
    }
    // Whether a request was taken before its sender went or not at all: there is one event in the end.
    assert!(matches!(
        relay.post("jobmojito", body).await.status,
        200 | 202
    ));
    let listed = relay.get("/api/v1/events").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}
