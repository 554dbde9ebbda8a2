//! What a refused address means for deliveries, and who tells of it.

use std::sync::atomic::Ordering;

use mojito_relay::model::State;

use super::{Zone, server};
use crate::check::check;
use crate::harness::{Receivers, TestRelay, attempts, submitted};
use crate::online::looks_knowing;

/// A relay.toml with one destination.
fn toml(keys: &str) -> String {
    format!(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\n{keys}\n[[routes]]\nto = [\"app\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_go_there_waits_uncharged_is_told_of_and_goes_once_it_may() {
    let here = server(99).await;
    let at = toml(&format!(
        "url = \"http://app.internal:{}/in\"",
        here.address.port()
    ));
    let mut relay = TestRelay::start_knowing(&at, Zone::new(&[&["127.0.0.1"]])).await;
    let event = relay.post("jobmojito", submitted("s-1", 1.0)).await.json();
    // More probes than there are attempts in a schedule.
    relay
        .drive("many probes", |log| attempts(log).count() >= 15)
        .await;
    let reason = "app.internal is at 127.0.0.1, an address of this machine itself: set allow_private = true \
                  for this destination if that is meant";
    for attempt in attempts(&relay.log) {
        assert_eq!((attempt.state, attempt.status), (State::Waiting, None));
        assert_eq!(attempt.reason, reason);
    }
    let status = relay.get("/api/v1/status").await.json();
    assert_eq!(status["destinations"][0]["state"], "blocked");
    assert_eq!(status["destinations"][0]["reason"], reason);
    let path = format!("/api/v1/events/{}", event["id"].as_str().unwrap());
    let delivery = relay.get(&path).await.json()["deliveries"][0].clone();
    assert_eq!(
        (&delivery["state"], &delivery["last_error"]),
        (&"waiting".into(), &reason.into())
    );
    assert_eq!(here.connections.load(Ordering::SeqCst), 0);

    relay
        .reload(&at.replace("/in\"", "/in\"\nallow_private = true"))
        .await
        .unwrap();
    relay.ended(State::Delivered, 1).await;
    assert_eq!(here.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_never_sent_is_not_to_blame_though_others_are_accepted() {
    let here = server(1).await;
    let inside: &[&str] = &["10.0.0.5"];
    let allowed: &[&str] = &["127.0.0.1"];
    let zone = Zone::new(&[inside, allowed, inside, allowed, inside, allowed]);
    let keys = format!(
        "url = \"http://app.localhost:{}/in\"\nconcurrency = 1",
        here.address.port()
    );
    let mut relay = TestRelay::start_knowing(&toml(&keys), zone).await;
    for id in ["s-1", "s-2", "s-3"] {
        relay.post("jobmojito", submitted(id, 1.0)).await;
    }
    let ended = |log: &[_]| {
        attempts(log)
            .filter(|one| one.state != State::Waiting)
            .count()
            >= 3
    };
    relay.drive("all to end", ended).await;
    let refused = attempts(&relay.log).filter(|one| one.reason.contains("10.0.0.5"));
    assert!(refused.count() >= 2, "{:#?}", relay.log);
    assert!(
        attempts(&relay.log).all(|one| one.state != State::Dead),
        "{:#?}",
        relay.log
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_asked_for_where_nothing_may_be_sent() {
    let auth = "auth = { oauth2 = { token_url = \"http://auth.internal/t\", client_id = \"a\", client_secret = \"b\" } }";
    let keys = format!("url = \"http://127.0.0.1:1/in\"\n{auth}");
    let mut relay = TestRelay::start_knowing(&toml(&keys), Zone::new(&[&["10.0.0.5"]])).await;
    relay.post("jobmojito", submitted("s-1", 1.0)).await;
    let attempt = relay.attempts(1).await.remove(0);
    let told = "no token: auth.internal is at 10.0.0.5, a private address: ";
    assert!(attempt.reason.starts_with(told), "{}", attempt.reason);
    assert_eq!(attempt.state, State::Waiting);
}

#[test]
fn an_address_that_is_refused_is_found_by_check_with_its_line() {
    let found = check(&toml("url = \"http://0xa9fea9fe/latest/{{ result.id }}\""));
    assert_eq!(
        found,
        "relay.toml:4: destinations.app.url: 169.254.169.254 is the address of a cloud's metadata service\n  \
         hint: set allow_private = true for this destination if that is meant"
    );
    let meant = "url = \"http://169.254.169.254/{{ result.id }}\"\nallow_private = true";
    assert_eq!(check(&toml(meant)), "");
    let token = "url = \"https://ats.example/\"\nauth = { oauth2 = { token_url = \"http://[fe80::1]/t\", \
                 client_id = { env = \"A\" }, client_secret = { env = \"B\" } } }";
    let found = check(&toml(token));
    assert!(
        found.contains("destinations.app.auth.oauth2.token_url: fe80::1 is a link-local address"),
        "{found}"
    );
    let never = check(&toml("url = \"http://0.0.0.0/\"\nallow_private = true"));
    assert!(
        never.contains("0.0.0.0 is the unspecified address"),
        "{never}"
    );
    for named in [
        "http://10.0.0.7/in",
        "http://localhost:9000/",
        "http://app.internal/in",
    ] {
        assert_eq!(check(&toml(&format!("url = \"{named}\""))), "", "{named}");
    }
}

#[tokio::test]
async fn check_online_says_where_a_name_leads() {
    let zone = Zone::new(&[&["10.0.0.5"]]);
    let keys = "[destinations.app]\nurl = \"https://app.internal/in\"\n";
    let looks = looks_knowing(keys, &Receivers::default(), zone).await;
    let look = looks
        .iter()
        .find(|look| look.what == "app.internal:443")
        .unwrap();
    assert!(!look.ok);
    assert!(
        look.words
            .starts_with("app.internal is at 10.0.0.5, a private address: "),
        "{}",
        look.words
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_payload_leads_to_another_host() {
    let at = toml(
        "url = \"http://ats.test/v1/{{ result.id }}/notes?of={{ result.id }}\"\norder = \"none\"",
    );
    let mut relay = TestRelay::start(&at).await;
    let values = [
        "@evil.test",
        "x@evil.test",
        "//evil.test/",
        "/../../../evil.test",
        "\\\\evil.test\\",
        "%2f%2fevil.test",
        "%40evil.test",
        "%5cevil.test",
        "..%2f..%2f",
        "http://evil.test/",
        "#@evil.test",
        "?@evil.test",
        ":80@evil.test",
        "evil.test:81",
        "\r\nHost: evil.test",
        "\u{ff0f}\u{ff0f}evil.test",
        "\u{3002}evil.test",
    ];
    for value in values {
        assert_eq!(
            relay.post("jobmojito", submitted(value, 1.0)).await.status,
            202
        );
    }
    relay.ended(State::Delivered, values.len()).await;
    let seen = relay.receivers.seen();
    assert_eq!(seen.len(), values.len());
    for request in seen {
        let url: url::Url = request.url.parse().unwrap();
        assert_eq!(
            url.origin().ascii_serialization(),
            "http://ats.test",
            "{url}"
        );
        assert_eq!(url.path_segments().unwrap().count(), 3, "{url}");
        assert_eq!((url.username(), url.fragment()), ("", None), "{url}");
        let (_, of) = url.query_pairs().next().unwrap();
        assert!(
            values.contains(&&*of),
            "{url}: the receiver reads what was sent"
        );
    }
}

#[test]
fn a_template_in_scheme_host_or_port_is_a_mistake() {
    for url in [
        "{{ result.id }}://ats.example/",
        "http{{ result.id }}://ats.example/",
        "http://{{ result.id }}/",
        "http://{{ result.id }}.ats.example/",
        "http://ats.example{{ result.id }}/",
        "http://ats.example:{{ result.port }}/",
        "http://ats.example:80{{ result.port }}/",
        "http://{% if result.id %}a{% endif %}.example/",
        "{{ result.url }}",
    ] {
        let found = check(&toml(&format!("url = \"{url}\"")));
        assert!(found.contains("destinations.app.url: "), "{url}: {found}");
    }
    let user = check(&toml("url = \"http://{{ result.id }}@ats.example/\""));
    assert!(
        user.contains("a user or password in a URL is not sent"),
        "{user}"
    );
    for base in [
        "http://{{ result.id }}",
        "http://{{ with.a",
        "http://{{ withal }}",
    ] {
        let keys = format!("base_url = \"{base}\"\ncreate = {{ path = \"/in\" }}");
        let found = check(&toml(&keys));
        let told = "destinations.app.base_url: only {{ with.NAME }} can be filled in";
        assert!(found.contains(told), "{base}: {found}");
    }
}
