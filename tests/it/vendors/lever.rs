//! Lever: a note on an opportunity.

use serde_json::json;

use super::fake::{Asked, Reply, Vendor};
use super::scenario::{KEY, Preset, SECRET, case, play};

#[derive(Default)]
struct Lever;

impl Preset for Lever {
    const NAME: &'static str = "lever";
    const CANDIDATE: &'static str = "f2f01e16-27f8-4711-a728-7d49499795a0";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("api_key", KEY.to_owned()),
            (
                "with.perform_as",
                "\"8d49b010-cc6a-4f40-ace5-e86061c677ed\"".to_owned(),
            ),
        ]
    }
}

impl Vendor for Lever {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        if asked.basic() != Some((SECRET.to_owned(), String::new())) {
            return refusal(401, "UnauthorizedError", "Invalid credentials");
        }
        // A malformed id, one of somebody else, and a confidential record look alike.
        if !asked.is(
            "POST",
            &format!("/v1/opportunities/{}/notes", Self::CANDIDATE),
        ) {
            return refusal(404, "ResourceNotFound", "Opportunity was not found");
        }
        let known = |(name, _): &(String, String)| name == "perform_as";
        let note = asked.json("application/json").unwrap_or_default();
        let (Some(value), true) = (note["value"].as_str(), asked.query.iter().all(known)) else {
            return refusal(400, "BadRequestError", "value is required");
        };
        assert_eq!(note["notifyFollowers"], false, "nobody is to be notified");
        let data = json!({
            "id": "c5a1a5f7-1d0c-4d0f-8a5b-1b1a5f1c0e4a", "text": "Note",
            "fields": [{"type": "note", "text": "Comment", "value": value, "score": null, "stage": null}],
            "secret": false, "completedAt": 1_784_800_000_000_u64, "createdAt": 1_784_800_000_000_u64,
            "deletedAt": null,
        });
        Reply::json(201, &json!({ "data": data }))
            .header("server", "lever-data-api")
            .header("x-lever-region", "global")
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "code": code, "message": message }))
}

#[tokio::test(flavor = "multi_thread")]
async fn lever_is_understood() {
    let unknown = "404 Not Found: Opportunity was not found; ResourceNotFound";
    let unauthorized = "401 Unauthorized: Invalid credentials; UnauthorizedError";
    let busy = || refusal(429, "TooManyRequests", "Rate limit exceeded");
    play::<Lever>([
        case("a note").receipt("c5a1a5f7-1d0c-4d0f-8a5b-1b1a5f1c0e4a"),
        case("no author").key("with.perform_as", "\"\""),
        case("an unknown id")
            .candidate("00000000-0000-4000-8000-000000000000")
            .dead(unknown),
        case("a malformed id")
            .candidate("../../users?x#y")
            .dead(unknown),
        case("an id of dots")
            .candidate("..")
            .dead("create.path: path segment 3 would be `.` or `..`")
            .requests(0),
        case("a wrong key")
            .key("api_key", "\"another\"")
            .blocked(unauthorized),
        case("a key as bearer")
            .key("api_key_in", "\"bearer\"")
            .blocked(unauthorized),
        case("may not write")
            .answered(refusal(403, "Forbidden", "Missing permission"))
            .blocked("403 Forbidden: Missing permission"),
        case("throttled, without a time")
            .answered(busy())
            .again(5..=6, "429 Too Many Requests: Rate limit exceeded"),
        case("failing")
            .answered(refusal(503, "Unavailable", "Try later"))
            .again(5..=6, "503 Service Unavailable: Try later"),
    ])
    .await;
}
