//! Recruitee: a note on a candidate. The shape of its errors was not seen, so they have no body here.

use serde_json::json;

use super::fake::{Asked, Reply, Vendor};
use super::scenario::{KEY, Preset, SECRET, case, play};

#[derive(Default)]
struct Recruitee;

impl Preset for Recruitee {
    const NAME: &'static str = "recruitee";
    const CANDIDATE: &'static str = "44178";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("api_key", KEY.to_owned()),
            ("with.company", "\"acme\"".to_owned()),
        ]
    }
}

impl Vendor for Recruitee {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        if asked.bearer() != Some(SECRET) {
            return Reply::empty(401);
        }
        if !asked.is(
            "POST",
            &format!("/c/acme/candidates/{}/notes", Self::CANDIDATE),
        ) {
            return Reply::empty(404);
        }
        let note = &asked.json("application/json").unwrap_or_default()["note"];
        let seen_by = &note["visibility"]["level"];
        if !note["body"].is_string() || !(seen_by == "public" || seen_by == "private") {
            return Reply::empty(422);
        }
        note_made(201)
    }
}

fn note_made(status: u16) -> Reply {
    Reply::json(status, &json!({"note": {"id": 88_001, "body": "…"}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn recruitee_is_understood() {
    play::<Recruitee>([
        case("a note").receipt("88001"),
        case("a note, with the other status")
            .answered(note_made(200))
            .receipt("88001"),
        case("an id that is a number").candidate(44_178),
        case("an unknown id").candidate("1").dead("404 Not Found"),
        case("a hostile id")
            .candidate("44178/notes/../x\r\nX-Evil: 1")
            .dead("404 Not Found"),
        case("another company")
            .key("with.company", "\"other\"")
            .dead("404 Not Found"),
        case("a wrong token")
            .key("api_key", "\"another\"")
            .blocked("401 Unauthorized"),
        case("a user without rights")
            .answered(Reply::empty(403))
            .blocked("403 Forbidden"),
        case("throttled")
            .answered(Reply::empty(429).header("retry-after", 12))
            .again(12..=12, "429 Too Many Requests"),
    ])
    .await;
}
