//! Wrong tokens at the admin port: few are answered as such, all are counted, and none shuts out the right one.

use std::time::Duration;

use http::Method;

use crate::harness::{PLAIN, Reply, TestRelay};

const TOKEN: &str = "a-token-of-its-own";

async fn relay() -> TestRelay {
    TestRelay::start(&format!("[admin]\ntoken = \"{TOKEN}\"\n{PLAIN}")).await
}

async fn ask(relay: &TestRelay, authorization: &str) -> Reply {
    let url = format!("http://{}/api/v1/status", relay.relay.admin);
    let headers = [("authorization", authorization)];
    relay
        .request(Method::GET, &url, bytes::Bytes::new(), &headers)
        .await
}

async fn refused(relay: &TestRelay, status: u16) -> u64 {
    let metrics = relay.get("/metrics").await.body;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let series = format!("relay_admin_requests_refused_total{{status=\"{status}\"}} ");
    let mut lines = metrics.lines();
    let found = lines.find_map(|line| line.strip_prefix(&series));
    found.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_sixty_wrong_tokens_in_a_minute_the_next_are_told_to_wait() {
    let relay = relay().await;
    for n in 0..60 {
        let reply = ask(&relay, &format!("Bearer guess-{n}")).await;
        assert_eq!((reply.status, reply.header("retry-after")), (401, None));
    }
    for guess in ["Bearer one-more", "Basic of-another-kind", "", "nonsense"] {
        let reply = ask(&relay, guess).await;
        assert_eq!(reply.status, 429, "{guess}");
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
        let problem = reply.json();
        assert_eq!(problem["type"], "urn:mojito-relay:problem:too-many-guesses");
        assert!(!problem.to_string().contains("one-more"), "{problem}");
    }
    assert_eq!(
        (refused(&relay, 401).await, refused(&relay, 429).await),
        (60, 4)
    );
    relay.advance(Duration::from_secs(1));
    assert_eq!(ask(&relay, "Bearer later").await.status, 401);
    assert_eq!(ask(&relay, "Bearer later").await.status, 429);
    relay.advance(Duration::from_mins(1));
    for _ in 0..60 {
        assert_eq!(ask(&relay, "Bearer later").await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_token_is_let_in_from_an_address_that_guesses() {
    let relay = relay().await;
    for _ in 0..70 {
        ask(&relay, "Bearer guess").await;
    }
    assert_eq!(ask(&relay, "Bearer guess").await.status, 429);
    assert_eq!(ask(&relay, &format!("Bearer {TOKEN}")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_no_token_is_asked_for_it_and_guesses_nothing() {
    let relay = relay().await;
    for _ in 0..70 {
        assert_eq!(relay.get("/api/v1/status").await.status, 401);
    }
    assert_eq!(ask(&relay, "Bearer guess").await.status, 401);
    assert_eq!(refused(&relay, 401).await, 71);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_and_other_names_are_counted_too() {
    let relay = TestRelay::start(PLAIN).await;
    let url = format!("http://{}/api/v1/status", relay.relay.admin);
    for header in [("host", "evil.example"), ("sec-fetch-site", "cross-site")] {
        let reply = relay
            .request(Method::GET, &url, bytes::Bytes::new(), &[header])
            .await;
        assert_eq!(reply.status, 403);
    }
    assert_eq!(refused(&relay, 403).await, 2);
}
