//! Access tokens of OAuth 2.0 clients: fetched once, shared, renewed in time, and refused ones replaced.

use std::time::Duration;

use mojito_relay::model::State;

use crate::harness::{Request, TestRelay, answer, attempts, submitted};

const CONFIG: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.ats]
url = "http://ats.test/notes"
auth = { oauth2 = { token_url = "http://auth.test/token", client_id = "client-1", client_secret = "s3cret-of-it" } }
[[routes]]
to = ["ats"]
"#;

fn token(name: &str) -> mojito_relay::transport::Answer {
    answer(
        200,
        &format!(r#"{{"access_token":"{name}","expires_in":3600}}"#),
    )
}

fn authorizations(relay: &TestRelay) -> Vec<String> {
    let at = relay.receivers.seen_at("ats.test");
    at.iter()
        .map(|request: &Request| request.header("authorization").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_every_delivery_that_needs_it_at_once() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.answer("auth.test", [token("t1")]);
    for n in 0..20 {
        relay
            .post("jobmojito", submitted(&format!("s-{n}"), 1.0))
            .await;
    }
    relay.ended(State::Delivered, 20).await;
    let asked = relay.receivers.seen_at("auth.test");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].body, "grant_type=client_credentials");
    assert_eq!(authorizations(&relay), vec!["Bearer t1"; 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_of_one_client_share_its_token() {
    let second = CONFIG.replace("[[routes]]\nto = [\"ats\"]", "");
    let block = second.split("[destinations.ats]").nth(1).expect("a block");
    let both = format!("{second}\n[destinations.eu]{block}\n[[routes]]\nto = [\"ats\", \"eu\"]");
    let mut relay = TestRelay::start(&both).await;
    relay
        .receivers
        .answer("auth.test", [token("t1"), token("t2")]);
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.ended(State::Delivered, 2).await;
    assert_eq!(relay.receivers.seen_at("auth.test").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_ends() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay
        .receivers
        .answer("auth.test", [token("t1"), token("t2")]);
    for (n, wait) in [(1, 3539), (2, 1), (3, 0)] {
        relay
            .post("jobmojito", submitted(&format!("s-{n}"), 1.0))
            .await;
        relay.ended(State::Delivered, n).await;
        relay.clock.advance(Duration::from_secs(wait));
    }
    assert_eq!(
        authorizations(&relay),
        ["Bearer t1", "Bearer t1", "Bearer t2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_is_replaced_once_at_no_charge() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay
        .receivers
        .answer("auth.test", [token("t1"), token("t2")]);
    relay.receivers.answer(
        "ats.test",
        [answer(200, ""), answer(401, r#"{"message":"t1 expired"}"#)],
    );
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.ended(State::Delivered, 1).await;
    relay.post("jobmojito", submitted("s-2", 1.0)).await;
    relay.ended(State::Delivered, 2).await;
    assert_eq!(
        authorizations(&relay),
        ["Bearer t1", "Bearer t1", "Bearer t2"]
    );
    let refused = attempts(&relay.log).nth(1).expect("the refused one");
    assert_eq!(refused.state, State::Waiting);
    assert_eq!(refused.due_at, Some(relay.clock_now()), "it is due at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_that_is_refused_blocks_the_lane() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.always("auth.test", token("t0ken-of-auth"));
    relay.receivers.always(
        "ats.test",
        answer(401, r#"{"message":"who is t0ken-of-auth?"}"#),
    );
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.attempts(1).await;
    let status = relay.get("/api/v1/status").await.json();
    let lane = &status["destinations"][0];
    assert_eq!(lane["state"], "blocked");
    assert_eq!(lane["reason"], "401 Unauthorized: who is •••?");
    assert_eq!(relay.receivers.seen_at("auth.test").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_block_and_an_endpoint_that_is_down_is_waited_for() {
    let mut relay = TestRelay::start(CONFIG).await;
    relay.receivers.down("auth.test");
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    relay.attempts(1).await;
    relay.receivers.up("auth.test");
    relay.receivers.answer(
        "auth.test",
        [answer(401, r#"{"error":"invalid_client"}"#), token("t2")],
    );
    relay
        .drive("the second attempt", |log| attempts(log).count() >= 2)
        .await;
    let reasons: Vec<_> = attempts(&relay.log)
        .map(|one| (one.status, one.reason.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            (None, "no token: cannot connect: refused"),
            (None, "no token: 401 Unauthorized: invalid_client")
        ]
    );
    relay
        .drive("the probe", |log| {
            attempts(log).any(|one| one.state == State::Delivered)
        })
        .await;
    assert_eq!(authorizations(&relay), ["Bearer t2"]);
}
