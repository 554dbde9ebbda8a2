//! OAuth 2.0 client credentials (RFC 6749, section 4.4): words the request for a token and reads the
//! answer. Keeping tokens is the lanes' business.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{HeaderName, Method};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use super::Action;
use super::judge::{Asked, Judgement, Rules};
use super::scrub::Scrubber;
use crate::model::{Secret, Verdict, after, plus};
use crate::transport::{Answer, Connection, Failure, Outgoing};

/// How long a token counts as good whose answer does not say: less than the hour that is usual.
const UNSAID: Duration = Duration::from_mins(30);
/// A token is renewed so long before it ends, so that none ends under way.
const MARGIN: Duration = Duration::from_mins(1);
/// A request for a token takes at most so long.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A client of a vendor. Destinations with equal clients share one token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Oauth2 {
    pub token_url: Url,
    pub client_id: Secret,
    pub client_secret: Secret,
    /// Further fields of the form, such as `scope`.
    pub params: Vec<(String, String)>,
    pub connection: Arc<Connection>,
}

/// An access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub secret: Secret,
    /// From here on it is not used any more.
    pub renew_at: Timestamp,
}

impl Oauth2 {
    /// The request for a token: the client's credentials as Basic, the rest as a form.
    pub fn request(&self) -> Outgoing {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in &self.params {
            form.append_pair(name, value);
        }
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {}", self.basic())).expect("base64 is ASCII");
        authorization.set_sensitive(true);
        let fixed = |text: &'static str| HeaderValue::from_static(text);
        let headers: [(HeaderName, HeaderValue); 3] = [
            (ACCEPT, fixed("application/json")),
            (CONTENT_TYPE, fixed("application/x-www-form-urlencoded")),
            (AUTHORIZATION, authorization),
        ];
        Outgoing {
            method: Method::POST,
            url: self.token_url.clone(),
            headers: HeaderMap::from_iter(headers),
            body: Bytes::from(form.finish()),
            timeout: TIMEOUT,
            connection: self.connection.clone(),
        }
    }

    /// The token in an answer that came at `now`; or what its absence means for the delivery: credentials
    /// that are refused block, whatever the status, everything that may pass is tried again.
    pub fn read(
        &self,
        reply: &Result<Answer, Failure>,
        now: Timestamp,
    ) -> Result<Token, Box<Judgement>> {
        let scrubber = Scrubber::of(&self.secrets());
        let asked = Asked {
            action: Action::Create,
            now,
            scrubber: &scrubber,
        };
        let mut judgement = Rules::default().judge(reply, &asked);
        if let Ok(answer) = reply
            && let Some(token) = token(answer, now).filter(|_| answer.status.is_success())
        {
            return Ok(token);
        }
        match judgement.verdict {
            Verdict::Accepted => {
                judgement.verdict = Verdict::Retry;
                judgement.reason = format!("{}, but it holds no token", judgement.reason);
            }
            Verdict::Rejected => judgement.verdict = Verdict::Blocked,
            Verdict::Retry | Verdict::Blocked => {}
        }
        judgement.warning = None;
        // What a token endpoint says can hold anything; the reason has its words.
        judgement.excerpt = None;
        judgement.reason = format!("no token: {}", judgement.reason);
        Err(Box::new(judgement))
    }

    fn basic(&self) -> String {
        let pair = format!(
            "{}:{}",
            self.client_id.expose().trim(),
            self.client_secret.expose().trim()
        );
        STANDARD.encode(pair)
    }

    /// The texts that an answer could echo.
    pub(super) fn secrets(&self) -> Vec<String> {
        let own = [&self.client_id, &self.client_secret];
        let own = own
            .into_iter()
            .map(|secret| secret.expose().trim().to_owned());
        own.chain([self.basic()]).collect()
    }
}

impl Token {
    /// Puts the token into a request.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let mut value = bearer(self.secret.expose()).expect("checked when it was read");
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("Bearer {token}")).ok()
}

/// `access_token`, good for `expires_in` seconds or until `expires_at`, a time or seconds since 1970.
fn token(answer: &Answer, now: Timestamp) -> Option<Token> {
    let json: Value = serde_json::from_slice(&answer.body).ok()?;
    let secret = json["access_token"].as_str();
    let secret = secret.filter(|text| !text.is_empty() && bearer(text).is_some())?;
    let lifetime = lifetime(&json, now).unwrap_or(UNSAID);
    // Of a very short life half is used.
    let used = lifetime.saturating_sub(MARGIN).max(lifetime / 2);
    Some(Token {
        secret: Secret::new(secret),
        renew_at: plus(now, used),
    })
}

fn lifetime(json: &Value, now: Timestamp) -> Option<Duration> {
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        other => other.as_f64(),
    };
    let seconds = number(&json["expires_in"]).filter(|seconds| *seconds >= 0.0);
    if let Some(lifetime) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        return Some(lifetime);
    }
    let at = &json["expires_at"];
    let time = match at.as_str().and_then(|text| text.trim().parse().ok()) {
        Some(time) => Some(time),
        None => number(at).and_then(|seconds| {
            let since = Duration::try_from_secs_f64(seconds).ok()?;
            Some(plus(Timestamp::UNIX_EPOCH, since))
        }),
    };
    time.map(|time: Timestamp| after(now, time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn client() -> Oauth2 {
        Oauth2 {
            token_url: "https://auth.test/token".parse().unwrap(),
            client_id: Secret::new("client-1"),
            client_secret: Secret::new("s3cret-of-client"),
            params: vec![("sub".to_owned(), "15 8".to_owned())],
            connection: Arc::default(),
        }
    }

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            complete: true,
        }
    }

    #[test]
    fn a_token_is_asked_for_with_basic_and_a_form() {
        let request = client().request();
        assert_eq!(request.body, "grant_type=client_credentials&sub=15+8");
        assert_eq!(
            request.headers["authorization"].to_str().unwrap(),
            "Basic Y2xpZW50LTE6czNjcmV0LW9mLWNsaWVudA=="
        );
        assert!(request.headers["authorization"].is_sensitive());
    }

    #[test]
    fn a_token_is_renewed_before_it_ends_however_its_end_is_told() {
        for (end, minutes) in [
            (r#""expires_in":3600"#, 59),
            (r#""expires_in":"3600""#, 59),
            (r#""expires_at":"2026-11-22T11:00:00Z""#, 59),
            (r#""expires_at":1795345200"#, 59),
            (r#""expires_in":60"#, 0),
            (r#""token_type":"bearer""#, 29),
            (r#""expires_in":-1"#, 29),
        ] {
            let body = format!(r#"{{"access_token":"t1",{end}}}"#);
            let token = client().read(&Ok(answer(200, &body)), now()).unwrap();
            let used = after(now(), token.renew_at);
            assert_eq!(used.as_secs() / 60, minutes, "{end}");
            assert!(!used.is_zero(), "{end}");
        }
    }

    #[test]
    fn refused_credentials_block_and_what_may_pass_is_tried_again() {
        for (status, body, verdict, reason) in [
            (
                401,
                r#"{"error":"invalid_client"}"#,
                Verdict::Blocked,
                "no token: 401 Unauthorized: invalid_client",
            ),
            (
                400,
                r#"{"message":"client-1 is malformed"}"#,
                Verdict::Blocked,
                "no token: 400 Bad Request: ••• is malformed",
            ),
            (503, "", Verdict::Retry, "no token: 503 Service Unavailable"),
            (429, "", Verdict::Retry, "no token: 429 Too Many Requests"),
            (
                200,
                "{}",
                Verdict::Retry,
                "no token: 200 OK, but it holds no token",
            ),
        ] {
            let judgement = client().read(&Ok(answer(status, body)), now()).unwrap_err();
            assert_eq!(
                (judgement.verdict, judgement.reason.as_str()),
                (verdict, reason)
            );
            assert_eq!(judgement.excerpt, None);
        }
    }
}
