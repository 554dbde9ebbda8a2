//! What is old enough goes: payloads first, the ledger later, and never what still has to go out.

use std::time::Duration;

use mojito_relay::model::State;

use crate::harness::{PLAIN, TestRelay, attempts, submitted};

fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

/// Whether an event still has its payload; None where it is gone altogether.
async fn has_payload(relay: &TestRelay, id: &str) -> Option<bool> {
    let reply = relay.get(&format!("/api/v1/events/{id}")).await;
    (reply.status == 200).then(|| !reply.json()["payload"].is_null())
}

async fn post(relay: &TestRelay, subject: &str) -> String {
    let reply = relay.post("jobmojito", submitted(subject, 1.0)).await;
    reply.json()["id"].as_str().expect("an id").to_owned()
}

/// Lets time pass until a round of retention that begins after it is over.
async fn pass(relay: &TestRelay, time: Duration) {
    relay.clock.idler().await;
    let before = relay.store.rounds();
    relay.clock.advance(time);
    relay.store.rounds_reached(before + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_go_by_what_became_of_their_deliveries_and_the_ledger_later() {
    let mut relay = TestRelay::start(PLAIN).await;
    let delivered = post(&relay, "s-1").await;
    relay.ended(State::Delivered, 1).await;
    relay.receivers.statuses("app.test", &[422]);
    let dead = post(&relay, "s-2").await;
    relay.ended(State::Dead, 1).await;
    pass(&relay, days(8)).await;
    assert_eq!(has_payload(&relay, &delivered).await, Some(false));
    assert_eq!(has_payload(&relay, &dead).await, Some(true));
    pass(&relay, days(23)).await;
    assert_eq!(has_payload(&relay, &dead).await, Some(false));
    let counts = relay.get("/api/v1/status").await.json()["counts"].clone();
    assert_eq!(
        (&counts["delivered"], &counts["dead"]),
        (&1.into(), &1.into()),
        "the ledger stays"
    );
    pass(&relay, days(370)).await;
    assert_eq!(has_payload(&relay, &delivered).await, None);
    let counts = relay.get("/api/v1/status").await.json()["counts"].clone();
    assert_eq!(
        (&counts["delivered"], &counts["dead"]),
        (&0.into(), &0.into())
    );
    assert_eq!(
        relay.post("jobmojito", submitted("s-1", 1.0)).await.json()["revision"],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_keeps_its_payload_however_old_it_is() {
    let paused = PLAIN.replace("[[routes]]", "paused = true\n[[routes]]");
    let mut relay = TestRelay::start(&paused).await;
    let waiting = post(&relay, "s-1").await;
    pass(&relay, days(500)).await;
    assert_eq!(has_payload(&relay, &waiting).await, Some(true));
    relay.reload(PLAIN).await.expect("a sound file");
    relay.ended(State::Delivered, 1).await;
    assert_eq!(attempts(&relay.log).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_of_events_has_terms_of_its_own_and_senders_are_taken_meanwhile() {
    let keep =
        "[store]\nkeep = { delivered = \"7d\", types = { \"interview.failed\" = \"1h\" } }\n";
    let mut relay = TestRelay::start(&format!("{keep}{PLAIN}")).await;
    let failed = crate::harness::sample("failed");
    let taken = relay.post("jobmojito", failed).await.json();
    assert_eq!(taken["type"], "interview.failed");
    let failed = taken["id"].as_str().unwrap().to_owned();
    let mut others = Vec::new();
    for n in 0..600 {
        others.push(post(&relay, &format!("s-{n}")).await);
        relay.ended(State::Delivered, n + 2).await;
    }
    // Many steps of a round, and somebody who posts between them.
    let sender = relay.sender();
    relay.clock.idler().await;
    let before = relay.store.rounds();
    relay.clock.advance(Duration::from_hours(2));
    let mut posted = 0;
    while relay.store.rounds() == before {
        let body = submitted(&format!("later-{posted}"), 1.0);
        assert_eq!(sender.post("jobmojito", body).await.status, 202);
        posted += 1;
        relay.ended(State::Delivered, 601 + posted).await;
        relay.clock.advance(Duration::from_millis(200));
    }
    assert!(posted > 1, "a round has several steps");
    assert_eq!(has_payload(&relay, &failed).await, Some(false));
    assert_eq!(has_payload(&relay, &others[0]).await, Some(true));
}
