//! Ashby: a note on a candidate. What it refuses it mostly refuses with a 200.

use serde_json::{Value, json};

use super::fake::{Asked, Reply, Vendor};
use super::scenario::{KEY, Preset, SECRET, case, play};

#[derive(Default)]
struct Ashby;

impl Preset for Ashby {
    const NAME: &'static str = "ashby";
    const CANDIDATE: &'static str = "b1a7d4a6-52f3-4c37-8b86-5a2b1d5f2c11";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("api_key", KEY.to_owned()),
        ]
    }
}

impl Vendor for Ashby {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        let Some((key, password)) = asked.basic() else {
            return Reply::empty(401);
        };
        if key != SECRET || !password.is_empty() {
            return Reply::empty(403);
        }
        let note = asked.json("application/json").unwrap_or_default();
        let asked_well = asked.is("POST", "/candidate.createNote")
            && asked.header("accept") == "application/json; version=1"
            && note["note"].is_string()
            && note["candidateId"].is_string();
        if !asked_well {
            return refusal("invalid_input", "The request is not as it should be");
        }
        assert_eq!(note["sendNotifications"], false, "nobody is to be notified");
        if note["candidateId"] != Self::CANDIDATE {
            return refusal("candidate_not_found", "Candidate not found");
        }
        success(&json!([]))
    }
}

fn success(warnings: &Value) -> Reply {
    let mut body = json!({
        "success": true,
        "results": {
            "id": "9f2b0d1e-66a5-4f5f-9f0e-0f6b1c2d3e4f", "createdAt": "2026-11-22T09:00:00.000Z",
            "isPrivate": false, "content": "…", "author": {"id": "a1", "firstName": "A", "lastName": "B"},
        },
    });
    if warnings.as_array().is_some_and(|list| !list.is_empty()) {
        body["warnings"] = warnings.clone();
    }
    Reply::json(200, &body).header("x-ashby-request-id", "01J0")
}

fn refusal(code: &str, message: &str) -> Reply {
    let info = json!({ "code": code, "message": message, "requestId": "01J0" });
    Reply::json(200, &json!({ "success": false, "errorInfo": info }))
}

#[tokio::test(flavor = "multi_thread")]
async fn ashby_is_understood() {
    let no = "200 OK, but accepted_when does not hold: ";
    let older = Reply::json(
        200,
        &json!({"success": false, "errors": ["candidate_not_found"]}),
    );
    play::<Ashby>([
        case("a note").receipt("9f2b0d1e-66a5-4f5f-9f0e-0f6b1c2d3e4f"),
        case("accepted with a warning")
            .answered(success(&json!(["The note was shortened"])))
            .warned("The note was shortened"),
        case("an unknown id, with 200")
            .candidate("00000000-0000-4000-8000-000000000000")
            .dead(&format!("{no}Candidate not found; candidate_not_found")),
        case("the older shape of a refusal")
            .answered(older)
            .dead(&format!("{no}candidate_not_found")),
        case("an id that is a number")
            .candidate(7)
            .dead(&format!("{no}Candidate not found")),
        case("no version asked for")
            .key("headers.Accept", "\"application/json\"")
            .dead(&format!("{no}The request is not as it should be")),
        case("a wrong key")
            .key("api_key", "\"another\"")
            .blocked("403 Forbidden"),
        case("a key as bearer")
            .key("api_key_in", "\"bearer\"")
            .blocked("401 Unauthorized"),
        case("throttled")
            .answered(Reply::empty(429))
            .again(5..=6, "429 Too Many Requests"),
        case("no JSON at all, which may have been accepted")
            .answered(Reply::of(200, "text/html", "<!doctype html>".to_owned()))
            .warned("it may not have arrived: the answer is no JSON, but an HTML page"),
    ])
    .await;
}
