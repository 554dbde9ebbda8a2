//! Workable: a comment on a candidate. Its throttling says when in a header of its own.

use serde_json::json;

use super::fake::{Asked, Reply, Vendor};
use super::scenario::{KEY, Preset, SECRET, case, play};

#[derive(Default)]
struct Workable;

impl Preset for Workable {
    const NAME: &'static str = "workable";
    const CANDIDATE: &'static str = "272737d8";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("api_key", KEY.to_owned()),
            (
                "with",
                "{ subdomain = \"acme\", member_id = \"3247e8c7\" }".to_owned(),
            ),
        ]
    }
}

impl Vendor for Workable {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        if asked.bearer() != Some(SECRET) {
            return window(Reply::empty(401), 9);
        }
        let place = format!("/spi/v3/candidates/{}/comments", Self::CANDIDATE);
        if !asked.is("POST", &place) {
            return window(Reply::json(404, &json!({"error": "Not found"})), 9);
        }
        let comment = asked.json("application/json").unwrap_or_default();
        let policy = comment["comment"]["policy"].as_array();
        let whole = comment["member_id"] == "3247e8c7"
            && comment["comment"]["body"].is_string()
            && policy.is_some_and(|roles| {
                roles
                    .iter()
                    .all(|role| role == "recruiter" || role == "admin")
            });
        if !whole {
            return window(Reply::empty(422), 9);
        }
        window(Reply::json(200, &json!({"id": "90775157"})), 9)
    }
}

/// Ten in ten seconds; the reset is a time, not a wait.
fn window(reply: Reply, left: usize) -> Reply {
    reply
        .header("x-rate-limit-limit", 10)
        .header("x-rate-limit-remaining", left)
        .header("x-rate-limit-reset", 1_795_338_070)
}

#[tokio::test(flavor = "multi_thread")]
async fn workable_is_understood() {
    play::<Workable>([
        case("a comment").receipt("90775157"),
        case("created, as documented")
            .answered(Reply::text(201, ""))
            .warned("the answer has no receipt at /id"),
        case("an id of the browser's")
            .candidate("10993111")
            .dead("404 Not Found: Not found"),
        case("a hostile id")
            .candidate("272737d8/comments?x=#\n/..")
            .dead("404 Not Found: Not found"),
        case("an unknown member")
            .key("with", "{ subdomain = \"acme\", member_id = \"nobody\" }")
            .dead("422 Unprocessable Entity"),
        case("an expired token")
            .key("api_key", "\"expired\"")
            .blocked("401 Unauthorized"),
        case("throttled, with the time of the next window only")
            .answered(window(Reply::empty(429), 0))
            .again(5..=6, "429 Too Many Requests"),
    ])
    .await;
}
