//! Teamtailor: a note on a candidate in JSON:API, which later revisions edit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::fake::{Asked, Fake, Reply, Twist, Vendor};
use super::scenario::{KEY, Preset, SECRET, SLOT, case, configuration, play, post, started};
use crate::presets::outline;

const KIND: &str = "application/vnd.api+json";

#[derive(Clone, Default)]
struct Teamtailor {
    notes: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Preset for Teamtailor {
    const NAME: &'static str = "teamtailor";
    const CANDIDATE: &'static str = "441782";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("api_key", KEY.to_owned()),
            ("with.user_id", "\"2\"".to_owned()),
        ]
    }
}

impl Vendor for Teamtailor {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        if asked.header("authorization") != format!("Token token={SECRET}") {
            return Reply::empty(401);
        }
        if asked.header("x-api-version") != "20240904" {
            let detail = "Use header X-Api-Version. Current version is: 20240904";
            return errors(
                406,
                &json!({"status": 406, "title": "Invalid/Missing API Version", "detail": detail}),
            );
        }
        let Some(document) = asked.json(KIND) else {
            return Reply::empty(400);
        };
        let data = &document["data"];
        let Some(text) = data["attributes"]["note"].as_str() else {
            return invalid("note");
        };
        if asked.is("PATCH", "/v1/notes/*") {
            let id = &asked.path[2];
            assert_eq!((&data["id"], &data["type"]), (&json!(id), &json!("notes")));
            return match self.notes.lock().unwrap().get_mut(id) {
                Some(note) => {
                    text.clone_into(note);
                    note_of(200, id)
                }
                None => Reply::empty(404),
            };
        }
        if !asked.is("POST", "/v1/notes") || data["type"] != "notes" {
            return Reply::empty(404);
        }
        let related = |name: &str, kind: &str, id: &str| {
            data["relationships"][name]["data"] == json!({"type": kind, "id": id})
        };
        if !related("candidate", "candidates", Self::CANDIDATE) {
            return invalid("candidate");
        }
        if !related("user", "users", "2") {
            return invalid("user");
        }
        let mut notes = self.notes.lock().unwrap();
        let id = (9001 + notes.len()).to_string();
        notes.insert(id.clone(), text.to_owned());
        note_of(201, &id)
    }
}

fn note_of(status: u16, id: &str) -> Reply {
    let data =
        json!({"id": id, "type": "notes", "attributes": {"note": "…", "private-note": false}});
    window(Reply::of(status, KIND, json!({ "data": data }).to_string()))
}

fn errors(status: u16, error: &Value) -> Reply {
    window(Reply::of(
        status,
        KIND,
        json!({ "errors": [error] }).to_string(),
    ))
}

fn invalid(field: &str) -> Reply {
    let pointer = format!("/data/attributes/{field}");
    let detail = format!("{field} is invalid");
    let source = json!({ "pointer": pointer });
    errors(
        422,
        &json!({"title": "Invalid", "detail": detail, "code": "100", "source": source, "status": "422"}),
    )
}

/// Fifty in ten seconds; the reset is a wait, not a time.
fn window(reply: Reply) -> Reply {
    reply
        .header("x-rate-limit-limit", 50)
        .header("x-rate-limit-remaining", 49)
        .header("x-rate-limit-reset", 7)
}

#[tokio::test(flavor = "multi_thread")]
async fn teamtailor_is_understood() {
    let wrong_version = "406 Not Acceptable: Use header X-Api-Version. Current version is: 20240904; Invalid/Missing";
    play::<Teamtailor>([
        case("a note").receipt("9001"),
        case("an id that is a number")
            .candidate(441_782)
            .receipt("9001"),
        case("an unknown id")
            .candidate("1")
            .dead("422 Unprocessable Entity: candidate is invalid; Invalid"),
        case("a hostile id")
            .candidate("441782\"}/../1")
            .dead("422 Unprocessable Entity: candidate is invalid"),
        case("no author")
            .key("with.user_id", "\"99\"")
            .dead("422 Unprocessable Entity: user is invalid"),
        case("no version")
            .key("headers.X-Api-Version", "\"{{ result.nothing }}\"")
            .dead(wrong_version),
        case("a wrong key, or the wrong region")
            .key("api_key", "\"another\"")
            .blocked("401 Unauthorized"),
        case("a key as bearer")
            .key("api_key_in", "\"bearer\"")
            .blocked("401 Unauthorized"),
        case("throttled, with a wait in a header of its own")
            .answered(window(Reply::empty(429)))
            .again(5..=6, "429 Too Many Requests"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_revision_edits_the_note_of_teamtailor_and_makes_it_anew_where_it_is_gone() {
    let vendor = Teamtailor::default();
    let fake = Fake::start(vendor.clone(), Vec::new()).await;
    let toml = configuration("teamtailor", Teamtailor::keys(&fake.origin()), &[]);
    let mut relay = started(&toml, &fake).await;
    post::<Teamtailor>(&relay, "submitted-rich").await;
    relay.attempts(1).await;
    relay.advance(SLOT);
    post::<Teamtailor>(&relay, "submitted-rich-selected").await;
    relay.attempts(2).await;
    let notes = vendor.notes.lock().unwrap().clone();
    assert_eq!(notes.keys().collect::<Vec<_>>(), ["9001"]);
    assert!(notes["9001"].contains("Decision: selected"), "{notes:?}");

    // Somebody deletes it.
    vendor.notes.lock().unwrap().clear();
    relay.advance(SLOT);
    post::<Teamtailor>(&relay, "submitted-rich-rejected").await;
    relay.attempts(3).await;
    relay.advance(SLOT);
    let made = relay.attempts(4).await;
    assert_eq!(made[2].delivery, made[3].delivery);
    let notes = vendor.notes.lock().unwrap().clone();
    assert!(
        notes
            .values()
            .all(|note| note.contains("rejected (was selected)")),
        "{notes:?}"
    );
    let seen: Vec<String> = fake
        .seen()
        .iter()
        .map(|asked| format!("{} {}", asked.method, asked.path.join("/")))
        .collect();
    assert_eq!(
        seen,
        [
            "POST v1/notes",
            "PATCH v1/notes/9001",
            "PATCH v1/notes/9001",
            "POST v1/notes"
        ]
    );
    let update = fake.seen()[1].json(KIND).unwrap();
    insta::assert_snapshot!("teamtailor-update", outline(&update, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_id_of_a_note_stays_in_its_segment() {
    let odd = "../users/2?x=1#%2e";
    let fake = Fake::start(Teamtailor::default(), vec![Twist::Say(note_of(201, odd))]).await;
    let toml = configuration("teamtailor", Teamtailor::keys(&fake.origin()), &[]);
    let mut relay = started(&toml, &fake).await;
    post::<Teamtailor>(&relay, "submitted-rich").await;
    relay.attempts(1).await;
    relay.advance(SLOT);
    post::<Teamtailor>(&relay, "submitted-rich-selected").await;
    relay.attempts(2).await;
    let update = &fake.seen()[1];
    assert_eq!((update.path[2].as_str(), update.path.len()), (odd, 3));
    assert!(update.query.is_empty());
}
