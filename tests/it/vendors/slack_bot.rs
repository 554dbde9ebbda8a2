//! Slack's chat methods: every answer is a 200, and `ok` tells.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::fake::{Asked, Fake, Reply, Vendor};
use super::scenario::{
    KEY, Preset, SECRET, SLOT, Scenario, case, configuration, play, post, started,
};
use crate::hostile::limits::within_slacks_limits;
use crate::presets::outline;

const CHANNEL: &str = "C0123456789";

#[derive(Clone, Default)]
struct SlackBot {
    posts: Arc<Mutex<Vec<Post>>>,
}

#[derive(Clone, Debug)]
struct Post {
    ts: String,
    thread: Option<String>,
    text: String,
}

impl Preset for SlackBot {
    const NAME: &'static str = "slack-bot";
    const CANDIDATE: &'static str = "gh_4417820";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("api_key", KEY.to_owned()),
            ("with.channel", format!("{CHANNEL:?}")),
        ]
    }
}

impl Vendor for SlackBot {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        if asked.bearer() != Some(SECRET) {
            return refusal("invalid_auth");
        }
        let Some(message) = asked.json("application/json") else {
            return refusal("invalid_post_type");
        };
        if message["channel"] != CHANNEL {
            return refusal("channel_not_found");
        }
        if std::panic::catch_unwind(|| within_slacks_limits(&message)).is_err() {
            let words =
                ["[ERROR] must be less than 3001 characters [json-pointer:/blocks/1/text/text]"];
            let body = json!({"ok": false, "error": "invalid_blocks", "response_metadata": {"messages": words}});
            return Reply::json(200, &body);
        }
        let text = message["text"].as_str().unwrap_or_default().to_owned();
        let mut posts = self.posts.lock().unwrap();
        let ts = if asked.is("POST", "/api/chat.postMessage") {
            let thread = message["thread_ts"].as_str().map(str::to_owned);
            let ts = format!("1773301243.{:06}", 651_609 + posts.len());
            posts.push(Post {
                ts: ts.clone(),
                thread,
                text,
            });
            ts
        } else if asked.is("POST", "/api/chat.update") {
            let Some(post) = posts.iter_mut().find(|post| message["ts"] == *post.ts) else {
                return refusal("message_not_found");
            };
            post.text = text;
            post.ts.clone()
        } else {
            return refusal("unknown_method");
        };
        let mut body = json!({"ok": true, "channel": CHANNEL, "ts": ts, "message": {"text": "…"}});
        if !asked.header("content-type").contains("charset=utf-8") {
            body["warning"] = "missing_charset".into();
        }
        Reply::json(200, &body)
    }
}

fn refusal(code: &str) -> Reply {
    Reply::json(200, &json!({"ok": false, "error": code}))
}

/// Slack's codes, by what they mean.
fn codes() -> Vec<Scenario> {
    let row = |code: &&str| case(code).answered(refusal(code));
    let says = |code: &&str| format!("200 OK: {code}");
    let blocked = [
        "not_authed",
        "account_inactive",
        "token_expired",
        "token_revoked",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "restricted_action",
    ];
    let passing = [
        "ratelimited",
        "service_unavailable",
        "request_timeout",
        "internal_error",
        "fatal_error",
    ];
    let ours = [
        "msg_blocks_too_long",
        "no_text",
        "invalid_arguments",
        "metadata_too_large",
        "never_heard_of",
    ];
    let unmet = |code: &&str| format!("200 OK, but accepted_when does not hold: {code}");
    let rows = blocked.iter().map(|code| row(code).blocked(&says(code)));
    rows.chain(
        passing
            .iter()
            .map(|code| row(code).again(5..=6, &says(code))),
    )
    .chain(ours.iter().map(|code| row(code).dead(&unmet(code))))
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn slacks_chat_methods_are_understood() {
    let unmet = "200 OK, but accepted_when does not hold: ";
    let shortened = json!({
        "ok": true, "channel": CHANNEL, "ts": "1773301243.651609",
        "response_metadata": {"warnings": ["message_truncated"]},
    });
    let too_long = json!({
        "ok": false, "error": "invalid_blocks",
        "response_metadata": {"messages": ["[ERROR] must be less than 3001 characters"]},
    });
    let rows = [
        case("a message").receipt("1773301243.651609"),
        case("a candidate without an id").candidate(Value::Null),
        case("another channel")
            .key("with.channel", "\"C9\"")
            .blocked("200 OK: channel_not_found"),
        case("a wrong token")
            .key("api_key", "\"xoxb-another\"")
            .blocked("200 OK: invalid_auth"),
        case("no charset")
            .key("headers.Content-Type", "\"application/json\"")
            .warned("missing_charset"),
        case("shortened")
            .answered(Reply::json(200, &shortened))
            .warned("message_truncated"),
        case("a broken limit")
            .answered(Reply::json(200, &too_long))
            .dead(&format!(
                "{unmet}invalid_blocks; [ERROR] must be less than 3001 characters"
            )),
        case("throttled")
            .answered(Reply::empty(429).header("retry-after", 30))
            .again(30..=30, "429 Too Many Requests"),
    ];
    play::<SlackBot>(rows.into_iter().chain(codes())).await;
}

/// Three revisions of one result; the message is deleted before the third where the test says so.
async fn three_revisions(keys: &[(&'static str, String)], deleted: bool) -> (Vec<Post>, Fake) {
    let vendor = SlackBot::default();
    let fake = Fake::start(vendor.clone(), Vec::new()).await;
    let toml = configuration("slack-bot", SlackBot::keys(&fake.origin()), keys);
    let mut relay = started(&toml, &fake).await;
    let samples = [
        "submitted-rich",
        "submitted-rich-selected",
        "submitted-rich-rejected",
    ];
    for (count, name) in (1..).zip(samples) {
        if deleted && count == 3 {
            vendor.posts.lock().unwrap().clear();
        }
        post::<SlackBot>(&relay, name).await;
        relay.attempts(count).await;
        relay.advance(SLOT);
    }
    if deleted {
        relay.attempts(4).await;
    }
    let posts = vendor.posts.lock().unwrap().clone();
    assert_eq!(relay.receipts().len(), 1);
    (posts, fake)
}

#[tokio::test(flavor = "multi_thread")]
async fn later_revisions_edit_the_message() {
    let (posts, fake) = three_revisions(&[], false).await;
    assert_eq!(posts.len(), 1);
    assert!(posts[0].text.ends_with("rejected"), "{posts:?}");
    let paths: Vec<String> = fake
        .seen()
        .iter()
        .map(|asked| asked.path.join("/"))
        .collect();
    assert_eq!(
        paths,
        ["api/chat.postMessage", "api/chat.update", "api/chat.update"]
    );
    let update = fake.seen()[1].json("application/json").unwrap();
    insta::assert_snapshot!("slack-bot-update", outline(&update, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_gone_is_posted_anew_within_the_same_delivery() {
    let (posts, fake) = three_revisions(&[], true).await;
    assert_eq!(posts.len(), 1);
    assert!(posts[0].text.ends_with("rejected"), "{posts:?}");
    let seen = fake.seen();
    assert_eq!(seen[2].path[1], "chat.update");
    assert_eq!(seen[3].path[1], "chat.postMessage");
    assert_eq!(seen[2].header("webhook-id"), seen[3].header("webhook-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_thread_later_revisions_answer_the_first() {
    let keys = [
        ("with.thread", "true".to_owned()),
        ("revisions", "\"all\"".to_owned()),
    ];
    let (posts, _fake) = three_revisions(&keys, false).await;
    let threads: Vec<Option<&str>> = posts.iter().map(|post| post.thread.as_deref()).collect();
    let first = Some(posts[0].ts.as_str());
    assert_eq!(threads, [None, first, first]);
}
