//! Slack's incoming webhooks: text answers, and the path is the credential.

use serde_json::Value;

use super::fake::{Asked, Reply, Vendor};
use super::scenario::{Preset, SECRET, Scenario, case, play};
use crate::hostile::limits::within_slacks_limits;

#[derive(Default)]
struct Slack;

impl Preset for Slack {
    const NAME: &'static str = "slack";
    const CANDIDATE: &'static str = "gh_4417820";

    fn keys(_origin: &str) -> Vec<(&'static str, String)> {
        vec![("url", "{ env = \"SLACK_WEBHOOK_URL\" }".to_owned())]
    }
}

impl Vendor for Slack {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        if !asked.is("POST", &format!("/services/T0001/B0001/{SECRET}")) {
            return Reply::text(403, "invalid_token");
        }
        let Some(message @ Value::Object(_)) = asked.json("application/json") else {
            return Reply::text(400, "invalid_payload");
        };
        if message["text"].is_null() && message["blocks"].is_null() {
            return Reply::text(400, "no_text");
        }
        match std::panic::catch_unwind(|| within_slacks_limits(&message)) {
            Ok(()) => Reply::text(200, "ok"),
            Err(_) => Reply::text(400, "invalid_blocks"),
        }
    }
}

/// The vendor's list of texts, with statuses where they are known.
fn answers() -> Vec<Scenario> {
    let dead = |status: u16, text: &str| {
        case(text)
            .answered(Reply::text(status, text))
            .dead(&format!("{status} "))
    };
    let blocked = |status: u16, text: &str| {
        case(text)
            .answered(Reply::text(status, text))
            .blocked(&format!("{status} "))
    };
    let mut rows = vec![
        dead(400, "invalid_payload"),
        dead(400, "invalid_blocks"),
        blocked(400, "user_not_found"),
        blocked(403, "action_prohibited"),
        blocked(403, "invalid_token"),
        blocked(404, "channel_not_found"),
        blocked(404, "no_active_hooks"),
        blocked(410, "channel_is_archived"),
    ];
    // Nobody has written down with which status these come, so the text has to be enough.
    let dead_urls = [
        "no_service",
        "no_service_id",
        "no_team",
        "team_disabled",
        "posting_to_general_channel_denied",
    ];
    for text in dead_urls {
        rows.extend([400, 403, 404].map(|status| blocked(status, text)));
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_is_understood() {
    let page = Reply::of(200, "text/html", "<!doctype html><p>sign in".to_owned());
    let busy = Reply::json(
        429,
        &serde_json::json!({"ok": false, "error": "rate_limited"}),
    );
    let rows = [
        case("a message"),
        case("a candidate without an id").candidate(Value::Null),
        case("another URL, one that was revoked")
            .key("url", "\"ORIGIN\"")
            .blocked("403 Forbidden: invalid_token"),
        case("a page that says 200")
            .answered(page)
            .dead("200 OK, but accepted_when does not hold: an HTML page"),
        case("throttled")
            .answered(busy.header("retry-after", 30))
            .again(30..=30, "429 Too Many Requests: rate_limited"),
        case("a failure of Slack's own")
            .answered(Reply::text(500, "rollup_error"))
            .again(5..=6, "500 Internal Server Error: rollup_error"),
    ];
    play::<Slack>(rows.into_iter().chain(answers())).await;
}
