//! Greenhouse (Harvest v3): a token for the client, then a note on the candidate.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{Asked, Fake, Reply, Vendor};
use super::scenario::{CLIENT, Preset, SECRET, SLOT, case, configuration, play, post, started};
use crate::harness::delivered;

#[derive(Clone, Default)]
struct Greenhouse {
    tokens: Arc<Mutex<Tokens>>,
    /// It says when a token ends, not how long it lasts.
    tells_when: bool,
}

#[derive(Default)]
struct Tokens {
    minted: usize,
    good: Vec<String>,
}

impl Preset for Greenhouse {
    const NAME: &'static str = "greenhouse";
    const CANDIDATE: &'static str = "4417820";

    fn keys(origin: &str) -> Vec<(&'static str, String)> {
        vec![
            ("base_url", format!("{origin:?}")),
            ("auth.oauth2.token_url", format!("\"{origin}/token\"")),
            ("auth.oauth2.client_id", "{ env = \"CLIENT\" }".to_owned()),
            ("auth.oauth2.client_secret", "{ env = \"KEY\" }".to_owned()),
        ]
    }
}

impl Vendor for Greenhouse {
    fn answer(&self, asked: &Asked, _in_flight: usize) -> Reply {
        if self.is_aside(asked) {
            return self.mint(asked);
        }
        let token = asked.bearer().unwrap_or_default().to_owned();
        if !self.tokens.lock().unwrap().good.contains(&token) {
            let errors = ["Token could not be decoded"];
            return limits(Reply::json(
                401,
                &json!({"message": "Unauthorized", "errors": errors}),
            ));
        }
        if !asked.is("POST", "/v3/notes") {
            return limits(Reply::json(404, &json!({"message": "Resource not found"})));
        }
        let note = asked.json("application/json").unwrap_or_default();
        let Some(candidate) = note["candidate_id"].as_i64() else {
            return unprocessable(&json!([{"candidate_id": "must be an integer"}]));
        };
        let writable = ["public", "private", "admin_only"].map(Value::from);
        if !writable.contains(&note["visibility"])
            || note["note_type"] != "NOTE"
            || !note["body"].is_string()
        {
            return unprocessable(&json!(["visibility is not included in the list"]));
        }
        if candidate.to_string() != Self::CANDIDATE {
            return limits(Reply::json(404, &json!({"message": "Resource not found"})));
        }
        let made = json!({
            "id": 7_330_021, "candidate_id": candidate, "user_id": 158_108, "body": note["body"],
            "visibility": "admin_only_visible", "type": "NOTE",
        });
        limits(Reply::json(201, &made))
    }

    fn is_aside(&self, asked: &Asked) -> bool {
        asked.path == ["token"]
    }
}

impl Greenhouse {
    /// Each new token ends the ones before it.
    fn mint(&self, asked: &Asked) -> Reply {
        let Some((client, secret)) = asked.basic() else {
            return Reply::json(
                401,
                &json!({"message": "Missing credentials", "errorId": "e-1"}),
            );
        };
        if !client.starts_with("client-") {
            let message = format!("client id {client} is malformed");
            return Reply::json(400, &json!({"message": message, "errorId": "e-2"}));
        }
        if (client.as_str(), secret.as_str()) != (CLIENT, SECRET) {
            return Reply::json(401, &json!({"error": "invalid_client"}));
        }
        let form = asked.form();
        let is = |name: &str, value: &str| form.contains(&(name.to_owned(), value.to_owned()));
        if !is("grant_type", "client_credentials") || form.len() > 1 && !is("sub", "158108") {
            return Reply::json(400, &json!({"error": "invalid_grant"}));
        }
        let mut tokens = self.tokens.lock().unwrap();
        tokens.minted += 1;
        let token = format!("jwt-{}", tokens.minted);
        tokens.good = vec![token.clone()];
        let mut body = json!({"access_token": token, "token_type": "Bearer"});
        if self.tells_when {
            body["expires_at"] = "2026-11-22T10:01:00Z".into();
        } else {
            body["expires_in"] = 3600.into();
        }
        Reply::json(200, &body)
    }
}

fn limits(reply: Reply) -> Reply {
    reply
        .header("x-ratelimit-limit", 50)
        .header("x-ratelimit-remaining", 49)
        .header("x-ratelimit-reset", 1_795_338_090)
}

fn unprocessable(errors: &Value) -> Reply {
    limits(Reply::json(
        422,
        &json!({"message": "Unprocessable Content", "errors": errors}),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn greenhouse_is_understood() {
    let no_number = "create.body.candidate_id, line 1: not an integer: it is text that is no number (it reads result.candidate_external_id)";
    let echo = Reply::json(400, &json!({"message": "what is jwt-1?"}));
    play::<Greenhouse>([
        case("a note").receipt("7330021"),
        case("an error that echoes the token").answered(echo).dead("400 Bad Request: what is •••?"),
        case("an author").key("with.user_id", "158108").receipt("7330021"),
        case("an id that is a number").candidate(4_417_820),
        case("an id that is no number").candidate("gh_4417820").dead(no_number).requests(0),
        case("an unknown id").candidate("1").dead("404 Not Found: Resource not found"),
        case("an id sent as text")
            .key("create.body.candidate_id", "\"{{ result.candidate_external_id | string }}\"")
            .dead("422 Unprocessable Entity: Unprocessable Content; candidate_id: must be an integer"),
        case("visibility as it is read, not written")
            .key("create.body.visibility", "\"admin_only_visible\"")
            .dead("422 Unprocessable Entity: Unprocessable Content; visibility is not included in the list"),
        case("a scope is missing")
            .answered(Reply::json(403, &json!({"message": "Forbidden"})))
            .blocked("403 Forbidden: Forbidden"),
        case("throttled")
            .answered(limits(Reply::empty(429)).header("retry-after", 17))
            .again(17..=17, "429 Too Many Requests"),
        case("a wrong secret")
            .key("auth.oauth2.client_secret", "\"another-secret\"")
            .blocked("no token: 401 Unauthorized: invalid_client")
            .requests(0),
        case("a malformed client id, which is echoed")
            .key("auth.oauth2.client_id", "\"malformed-id\"")
            .blocked("no token: 400 Bad Request: client id ••• is malformed")
            .requests(0),
        case("another user")
            .key("with.user_id", "9")
            .blocked("no token: 400 Bad Request: invalid_grant")
            .requests(0),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_kept_until_just_before_it_ends_however_its_end_is_told() {
    for tells_when in [false, true] {
        let vendor = Greenhouse {
            tells_when,
            ..Greenhouse::default()
        };
        let fake = Fake::start(vendor.clone(), Vec::new()).await;
        let toml = configuration("greenhouse", Greenhouse::keys(&fake.origin()), &[]);
        let mut relay = started(&toml, &fake).await;
        let minted = || vendor.tokens.lock().unwrap().minted;
        post::<Greenhouse>(&relay, "submitted-rich").await;
        relay.attempts(1).await;
        relay.advance(Duration::from_mins(50));
        post::<Greenhouse>(&relay, "submitted-rich-selected").await;
        relay.attempts(2).await;
        assert_eq!(minted(), 1, "the token is still good");
        relay.advance(Duration::from_mins(15));
        post::<Greenhouse>(&relay, "submitted-rich-rejected").await;
        let made = relay.attempts(3).await;
        assert_eq!(minted(), 2, "it would have ended");
        assert!(
            made.iter().all(|attempt| attempt.status == Some(201)),
            "{made:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_taken_back_is_renewed_once_and_then_it_is_the_credentials() {
    let vendor = Greenhouse::default();
    let fake = Fake::start(vendor.clone(), Vec::new()).await;
    let toml = configuration("greenhouse", Greenhouse::keys(&fake.origin()), &[]);
    let mut relay = started(&toml, &fake).await;
    post::<Greenhouse>(&relay, "submitted-rich").await;
    relay.attempts(1).await;
    vendor.tokens.lock().unwrap().good.clear();
    relay.advance(SLOT);
    post::<Greenhouse>(&relay, "submitted-rich-selected").await;
    relay.attempts(2).await;
    relay.advance(SLOT);
    let made = relay.attempts(3).await;
    assert_eq!(made[1].status, Some(401));
    assert_eq!(
        (made[2].status, made[2].delivery),
        (Some(201), made[1].delivery)
    );
    assert_eq!(vendor.tokens.lock().unwrap().minted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_of_one_client_share_one_token() {
    let vendor = Greenhouse::default();
    let fake = Fake::start(vendor.clone(), Vec::new()).await;
    let keys = Greenhouse::keys(&fake.origin());
    let first = configuration("greenhouse", keys, &[("rate_limit", "\"none\"".to_owned())]);
    let (head, routes) = first.split_once("[[routes]]").unwrap();
    let second = head.split_once("[destinations.vendor]").unwrap().1;
    let routes = routes.replace("[\"vendor\"]", "[\"vendor\", \"other\"]");
    let toml = format!("{head}\n[destinations.other]{second}\n[[routes]]{routes}");
    let mut relay = started(&toml, &fake).await;
    post::<Greenhouse>(&relay, "submitted-rich").await;
    post::<Greenhouse>(&relay, "long-text").await;
    relay.until("all of them", delivered(4)).await;
    assert_eq!(vendor.tokens.lock().unwrap().minted, 1);
}
