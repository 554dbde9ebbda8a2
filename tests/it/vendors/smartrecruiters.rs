//! `SmartRecruiters`: a message on a candidate, by a mention in its text. Throttling has no time.

use serde_json::json;

use super::fake::{Asked, Fake, Reply, Vendor};
use super::scenario::{KEY, Preset, SECRET, case, configuration, play, started};
use crate::harness::{TestRelay, attempts, delivered, sample};

#[derive(Default)]
struct SmartRecruiters;

impl Preset for SmartRecruiters {
    const NAME: &'static str = "smartrecruiters";
    const CANDIDATE: &'static str = "2f9c1a3e-6c1f-4a36-a2a7-0f6f4c7f6b2d";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("api_key", KEY.to_owned()),
        ]
    }
}

impl Vendor for SmartRecruiters {
    fn answer(&self, asked: &Asked, in_flight: usize) -> Reply {
        if in_flight > 8 {
            return limits(Reply::empty(429), 0);
        }
        if asked.header("x-smarttoken") != SECRET {
            return limits(Reply::empty(401), 9);
        }
        if !asked.is("POST", "/messages/shares") {
            return limits(Reply::empty(404), 9);
        }
        let message = asked.json("application/json").unwrap_or_default();
        let content = message["content"].as_str().unwrap_or_default();
        let length = content.encode_utf16().count();
        let shared = message["shareWith"]["openNote"] == true;
        let mention = format!("#[CANDIDATE:{}] ", Self::CANDIDATE);
        if !(1..=10_000).contains(&length) || !shared || !content.starts_with(&mention) {
            let error = json!({"code": "MESSAGE_INVALID", "message": "Message cannot be shared"});
            return limits(Reply::json(400, &error), 9);
        }
        let rest = content.trim_start_matches(&mention);
        assert!(
            !rest.contains("@[") && !rest.contains("#["),
            "a mention: {rest}"
        );
        limits(
            Reply::json(201, &json!({"id": "5b0f6d2c", "shareRequired": false})),
            9,
        )
    }
}

fn limits(reply: Reply, left: usize) -> Reply {
    reply
        .header("x-ratelimit-limit", 10)
        .header("x-ratelimit-remaining", left)
        .header("x-ratelimit-concurrent-limit", 8)
        .header("x-ratelimit-concurrent-remaining", left.min(8))
}

#[tokio::test(flavor = "multi_thread")]
async fn smartrecruiters_is_understood() {
    let refused = "400 Bad Request: Message cannot be shared; MESSAGE_INVALID";
    play::<SmartRecruiters>([
        case("a message").receipt("5b0f6d2c"),
        case("a mention in the id")
            .candidate("x] @[USER:1")
            .dead(refused),
        case("an endless id")
            .candidate("9".repeat(20_000))
            .dead(refused),
        case("a wrong key")
            .key("api_key", "\"another\"")
            .blocked("401 Unauthorized"),
        case("a key as bearer")
            .key("api_key_in", "\"bearer\"")
            .blocked("401 Unauthorized"),
        case("may not share")
            .answered(limits(Reply::empty(403), 9))
            .blocked("403 Forbidden"),
        case("throttled, without a time")
            .answered(limits(Reply::empty(429), 0))
            .again(5..=6, "429 Too Many Requests"),
    ])
    .await;
}

/// Twelve results of twelve candidates at once, at a fake that holds its answers back.
async fn twelve(concurrency: Option<&str>) -> (TestRelay, Fake) {
    let fake = Fake::gated(SmartRecruiters).await;
    let mut keys = vec![("rate_limit", "\"none\"".to_owned())];
    keys.extend(concurrency.map(|count| ("concurrency", count.to_owned())));
    let toml = configuration(
        "smartrecruiters",
        SmartRecruiters::keys(&fake.origin()),
        &keys,
    );
    let relay = started(&toml, &fake).await;
    for subject in 0..12 {
        let payload = sample("submitted-rich")
            .replace("912ff898", &format!("{subject:08}"))
            .replace("gh_4417820", SmartRecruiters::CANDIDATE);
        relay.post("jobmojito", payload).await;
    }
    (relay, fake)
}

#[tokio::test(flavor = "multi_thread")]
async fn smartrecruiters_is_asked_four_things_at_once_and_not_more() {
    let (mut relay, fake) = twelve(None).await;
    for count in 4..12 {
        fake.arrived(count).await;
        fake.let_go(1);
    }
    fake.let_go(4);
    relay.attempts(12).await;
    assert!(attempts(&relay.log).all(|attempt| attempt.status == Some(201)));
    assert_eq!(fake.most_in_flight(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_smartrecruiters_throttles_above_eight_at_once_arrives_later() {
    let (mut relay, fake) = twelve(Some("12")).await;
    fake.arrived(12).await;
    fake.let_go(16);
    relay.drive("all of them", delivered(12)).await;
    let throttled = attempts(&relay.log).filter(|attempt| attempt.status == Some(429));
    assert_eq!(throttled.count(), 4);
}
