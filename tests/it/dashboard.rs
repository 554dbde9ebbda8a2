//! The dashboard's files and the guard in front of the API that needs no token. What the page does is
//! tried in a browser, in tests/browser.

use http::Method;

use crate::harness::{PLAIN, TestRelay};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_may_run_and_ask_for_the_relays_own_files_only() {
    let relay = TestRelay::start(PLAIN).await;
    let page = relay.get("/").await;
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    let own = text
        .split(['"', '\''])
        .filter(|part| part.starts_with("/dashboard/"));
    let mut paths: Vec<String> = own.map(str::to_owned).collect();
    let main = relay.get("/dashboard/main.js").await;
    let imports = String::from_utf8(main.body.to_vec()).unwrap();
    let imports = imports
        .split('"')
        .filter_map(|part| part.strip_prefix("./"));
    paths.extend(imports.map(|name| format!("/dashboard/{name}")));
    assert!(paths.len() > 8, "{paths:?}");
    paths.push("/".to_owned());
    for path in paths {
        let reply = relay.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|one| one == rule), "{path}: {rule}");
        }
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
    }
    assert!(
        !text.contains("http:") && !text.contains("https:"),
        "nothing from elsewhere"
    );
    assert_eq!(relay.get("/dashboard/").await.status, 404);
    assert_eq!(relay.get("/dashboard/../Cargo.toml").await.status, 404);
}

/// What the relay answers a browser that was told something by another page.
async fn told_elsewhere(
    relay: &TestRelay,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> u16 {
    let url = format!("http://{}{path}", relay.relay.admin);
    let body = bytes::Bytes::new();
    relay.request(method, &url, body, headers).await.status
}

const PAUSE: &str = "/api/v1/destinations/app/pause";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_other_pages_can_neither_act_nor_look() {
    let relay = TestRelay::start(PLAIN).await;
    let token = [("authorization", "Bearer anything")];
    for headers in [
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("host", "evil.example")],
        [("content-type", "text/plain")],
    ] {
        let status = told_elsewhere(&relay, Method::POST, PAUSE, &headers).await;
        assert_eq!(status, 403, "{headers:?}");
        let with_more = [headers[0], token[0]];
        let status = told_elsewhere(&relay, Method::POST, PAUSE, &with_more).await;
        assert_eq!(status, 403, "a token that is not asked for says nothing");
    }
    for headers in [
        [("host", "evil.example:8081")],
        [("sec-fetch-site", "cross-site")],
    ] {
        let status = told_elsewhere(&relay, Method::GET, "/api/v1/events", &headers).await;
        assert_eq!(status, 403, "{headers:?}");
    }
    let url = format!("http://{}{PAUSE}", relay.relay.admin);
    let foreign = [("origin", "https://evil.example")];
    let refused = relay.request(Method::POST, &url, bytes::Bytes::new(), &foreign);
    let detail = refused.await.json()["detail"].clone();
    assert!(
        detail.as_str().unwrap().contains("Another page"),
        "{detail}"
    );
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["destinations"][0]["state"], "healthy");
    let origin = format!("http://{}", relay.relay.admin);
    let own = [
        ("origin", &*origin),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/json"),
    ];
    assert_eq!(told_elsewhere(&relay, Method::POST, PAUSE, &own).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_configured_it_alone_decides() {
    let toml = format!("[admin]\ntoken = \"a-token-of-its-own\"\n{PLAIN}");
    let relay = TestRelay::start(&toml).await;
    let name = ("host", "relay.example");
    assert_eq!(
        told_elsewhere(&relay, Method::POST, PAUSE, &[name]).await,
        401
    );
    let held = [name, ("authorization", "Bearer a-token-of-its-own")];
    assert_eq!(
        told_elsewhere(&relay, Method::POST, PAUSE, &held).await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_came_in_and_went_out_in_the_last_minute() {
    let mut relay = TestRelay::start(PLAIN).await;
    for subject in ["a", "b"] {
        relay
            .post("jobmojito", crate::harness::submitted(subject, 1.0))
            .await;
        relay
            .post("jobmojito", crate::harness::submitted(subject, 1.0))
            .await;
    }
    relay.until("both", crate::harness::delivered(2)).await;
    let pace = async |relay: &TestRelay| {
        let status = relay.get("/api/v1/status").await.json();
        let minutes = |name: &str| status[name].as_array().unwrap()[28..].to_vec();
        (minutes("in_per_minute"), minutes("out_per_minute"))
    };
    let two = serde_json::json!([0, 2]).as_array().unwrap().clone();
    assert_eq!(
        pace(&relay).await,
        (two.clone(), two),
        "a duplicate is not counted"
    );
    relay.advance(std::time::Duration::from_mins(1));
    let before = serde_json::json!([2, 0]).as_array().unwrap().clone();
    assert_eq!(pace(&relay).await, (before.clone(), before));
}
