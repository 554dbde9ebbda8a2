//! `BambooHR`: a comment on an application. It answers in XML unless asked for JSON, and tells what is
//! wrong in a header.

use serde_json::json;

use super::fake::{Asked, Reply, Vendor};
use super::scenario::{KEY, Preset, SECRET, case, play};

#[derive(Default)]
struct BambooHr;

impl Preset for BambooHr {
    const NAME: &'static str = "bamboohr";
    const CANDIDATE: &'static str = "1207";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("api_key", KEY.to_owned()),
            ("with.company", "\"acme\"".to_owned()),
        ]
    }
}

impl Vendor for BambooHr {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        let login = asked.basic();
        if !login.is_some_and(|(key, password)| key == SECRET && !password.is_empty()) {
            return refusal(401, "Invalid API key");
        }
        let place = format!(
            "/api/v1/applicant_tracking/applications/{}/comments",
            Self::CANDIDATE
        );
        if !asked.is("POST", &place) {
            return refusal(404, "Application not found");
        }
        let comment = asked.json("application/json").unwrap_or_default();
        if comment["type"] != "comment" || !comment["comment"].is_string() {
            return refusal(400, "Bad parameters");
        }
        if asked.header("accept") != "application/json" {
            return Reply::of(
                200,
                "text/xml",
                "<?xml version=\"1.0\"?><result/>".to_owned(),
            );
        }
        Reply::json(200, &json!({"type": "comment", "id": 5501}))
    }
}

fn refusal(status: u16, words: &str) -> Reply {
    Reply::empty(status).header("x-bamboohr-error-message", words)
}

#[tokio::test(flavor = "multi_thread")]
async fn bamboohr_is_understood() {
    play::<BambooHr>([
        case("a comment"),
        case("XML, where nothing else is asked for")
            .key("headers.Accept", "\"{{ result.nothing }}\""),
        case("the applicant's id")
            .candidate("99")
            .dead("404 Not Found: Application not found"),
        case("a hostile id")
            .candidate("1207/../1")
            .dead("404 Not Found: Application not found"),
        case("bad parameters")
            .key("create.body.type", "\"letter\"")
            .dead("400 Bad Request: Bad parameters"),
        case("a wrong key")
            .key("api_key", "\"another\"")
            .blocked("401 Unauthorized: Invalid API key"),
        case("locked out after wrong keys")
            .answered(refusal(403, "Too many unknown keys"))
            .blocked("403 Forbidden: Too many unknown keys"),
        case("throttled")
            .answered(refusal(429, "Slow down").header("retry-after", 9))
            .again(9..=9, "429 Too Many Requests: Slow down"),
        case("throttled, in the old form")
            .answered(Reply::empty(503).header("retry-after", 9))
            .again(9..=9, "503"),
        case("unavailable")
            .answered(Reply::empty(503))
            .again(5..=6, "503 Service Unavailable"),
    ])
    .await;
}
