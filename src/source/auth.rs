//! Who may send: the credentials of a source, compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, header};
use jiff::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::model::Secret;

/// How far a Standard Webhooks timestamp may be off, in seconds (the reference libraries' tolerance).
const TOLERANCE_SECONDS: i64 = 300;

/// How a source's senders prove themselves. Several secrets are all valid at once: that is rotation.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Said outright: anybody may send.
    None,
    /// A header whose value is one of the secrets.
    Header {
        header: HeaderName,
        secrets: Vec<Secret>,
    },
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Vec<Secret>),
    /// `Authorization: Basic …` (RFC 7617); each secret is `user:password`.
    Basic(Vec<Secret>),
    /// A header with the HMAC-SHA256 of the body, after `prefix`.
    HmacSha256 {
        header: HeaderName,
        secrets: Vec<Secret>,
        encoding: Encoding,
        prefix: String,
    },
    /// Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature` with `v1`.
    StandardWebhooks(Vec<Secret>),
}

/// How an HMAC is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// Not let in. It does not say how close the guess was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credentials are missing or wrong")]
pub struct Refused;

impl Auth {
    /// Whether the body is needed to decide. Where it is not, a stranger is sent away before the body is read.
    pub const fn needs_body(&self) -> bool {
        matches!(self, Self::HmacSha256 { .. } | Self::StandardWebhooks(_))
    }

    /// The position of the secret that was used (0 where none is asked for).
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<usize, Refused> {
        let found = match self {
            Self::None => Some(0),
            Self::Header { header, secrets } => {
                let given = headers.get(header).ok_or(Refused)?.as_bytes();
                position(secrets, |secret| same(given, secret.expose().as_bytes()))
            }
            Self::Bearer(secrets) => {
                let given = authorization(headers, "bearer ").ok_or(Refused)?;
                position(secrets, |secret| {
                    same(given.as_bytes(), secret.expose().as_bytes())
                })
            }
            Self::Basic(secrets) => {
                let given = authorization(headers, "basic ").ok_or(Refused)?;
                let given = STANDARD.decode(given).map_err(|_| Refused)?;
                position(secrets, |secret| same(&given, secret.expose().as_bytes()))
            }
            Self::HmacSha256 {
                header,
                secrets,
                encoding,
                prefix,
            } => {
                let given = headers
                    .get(header)
                    .and_then(|value| value.to_str().ok())
                    .ok_or(Refused)?;
                let given = encoding
                    .decode(given.strip_prefix(prefix.as_str()).ok_or(Refused)?)
                    .ok_or(Refused)?;
                position(secrets, |secret| {
                    is_mac(secret.expose().as_bytes(), &[body], &given)
                })
            }
            Self::StandardWebhooks(secrets) => standard_webhooks(secrets, headers, body, now),
        };
        found.ok_or(Refused)
    }
}

impl Auth {
    /// The headers that a sender with the first secret sends along with `body`; empty where no secret is
    /// known. `id` is the message id that Standard Webhooks asks for.
    pub fn prove(&self, body: &[u8], id: &str, now: Timestamp) -> Vec<(HeaderName, String)> {
        let first = |secrets: &[Secret]| {
            secrets
                .first()
                .map(|secret| secret.expose().to_owned())
                .unwrap_or_default()
        };
        match self {
            Self::None => Vec::new(),
            Self::Header { header, secrets } => vec![(header.clone(), first(secrets))],
            Self::Bearer(secrets) => {
                vec![(header::AUTHORIZATION, format!("Bearer {}", first(secrets)))]
            }
            Self::Basic(secrets) => {
                vec![(
                    header::AUTHORIZATION,
                    format!("Basic {}", STANDARD.encode(first(secrets))),
                )]
            }
            Self::HmacSha256 {
                header,
                secrets,
                encoding,
                prefix,
            } => {
                let mac = mac(first(secrets).as_bytes(), &[body]);
                vec![(header.clone(), format!("{prefix}{}", encoding.encode(&mac)))]
            }
            Self::StandardWebhooks(secrets) => {
                let stamp = now.as_second().to_string();
                let key = webhook_secret(&first(secrets)).unwrap_or_default();
                let mac = mac(&key, &[id.as_bytes(), b".", stamp.as_bytes(), b".", body]);
                vec![
                    (HeaderName::from_static("webhook-id"), id.to_owned()),
                    (HeaderName::from_static("webhook-timestamp"), stamp),
                    (
                        HeaderName::from_static("webhook-signature"),
                        format!("v1,{}", STANDARD.encode(mac)),
                    ),
                ]
            }
        }
    }
}

impl Encoding {
    fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }

    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => STANDARD.decode(text).ok(),
        }
    }
}

/// The bytes of a `whsec_…` secret; None unless 16 to 64 bytes of base64. The specification wants at
/// least 24, senders in the field have fewer.
pub fn webhook_secret(text: &str) -> Option<Vec<u8>> {
    let encoded = text
        .strip_prefix("whsec_")
        .unwrap_or(text)
        .trim_end_matches('=');
    let bytes = STANDARD_NO_PAD.decode(encoded).ok()?;
    (16..=64).contains(&bytes.len()).then_some(bytes)
}

fn standard_webhooks(
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Option<usize> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (id, stamp) = (text("webhook-id")?, text("webhook-timestamp")?);
    let seconds: i64 = stamp.parse().ok()?;
    if now.as_second().saturating_sub(seconds).saturating_abs() > TOLERANCE_SECONDS {
        return None;
    }
    let given: Vec<Vec<u8>> = text("webhook-signature")?
        .split_ascii_whitespace()
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .take(16)
        .collect();
    let signed: [&[u8]; 5] = [id.as_bytes(), b".", stamp.as_bytes(), b".", body];
    position(secrets, |secret| {
        let Some(key) = webhook_secret(secret.expose()) else {
            return false;
        };
        given
            .iter()
            .fold(false, |found, mac| is_mac(&key, &signed, mac) | found)
    })
}

/// The first secret that fits. Every secret is tried, so that time does not tell which one it was.
fn position(secrets: &[Secret], fits: impl Fn(&Secret) -> bool) -> Option<usize> {
    secrets
        .iter()
        .enumerate()
        .fold(None, |found, (at, secret)| {
            let here = fits(secret).then_some(at);
            found.or(here)
        })
}

/// Compares digests, so that neither content nor length shows in the time it takes.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let digests = (blake3::hash(given), blake3::hash(secret));
    digests.0.as_bytes().ct_eq(digests.1.as_bytes()).into()
}

fn is_mac(key: &[u8], parts: &[&[u8]], given: &[u8]) -> bool {
    hmac(key, parts).verify_slice(given).is_ok()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    hmac(key, parts).finalize().into_bytes().to_vec()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, credentials) = value.split_at_checked(scheme.len())?;
    given
        .eq_ignore_ascii_case(scheme)
        .then(|| credentials.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_614_265_330;

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new(text)).collect()
    }

    fn verify(auth: &Auth, headers: &[(&'static str, &str)], body: &str) -> Option<usize> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header value"));
        }
        auth.verify(
            &map,
            body.as_bytes(),
            Timestamp::from_second(NOW).expect("in range"),
        )
        .ok()
    }

    #[test]
    fn each_secret_lets_in_and_tells_its_position() {
        let header = Auth::Header {
            header: HeaderName::from_static("x-relay-token"),
            secrets: secrets(&["new", "old"]),
        };
        assert_eq!(verify(&header, &[("x-relay-token", "new")], ""), Some(0));
        assert_eq!(verify(&header, &[("x-relay-token", "old")], ""), Some(1));
        assert_eq!(verify(&header, &[("x-relay-token", "ol")], ""), None);
        assert_eq!(verify(&header, &[], ""), None);
        let bearer = Auth::Bearer(secrets(&["t0ken"]));
        assert_eq!(
            verify(&bearer, &[("authorization", "bearer t0ken")], ""),
            Some(0)
        );
        assert_eq!(
            verify(&bearer, &[("authorization", "Basic t0ken")], ""),
            None
        );
        let basic = Auth::Basic(secrets(&["user:pass"]));
        assert_eq!(
            verify(&basic, &[("authorization", "Basic dXNlcjpwYXNz")], ""),
            Some(0)
        );
        assert_eq!(
            verify(&basic, &[("authorization", "Basic dXNlcjpwYXNy")], ""),
            None
        );
        assert_eq!(verify(&Auth::None, &[], ""), Some(0));
    }

    #[test]
    fn an_hmac_is_taken_over_the_exact_body() {
        // RFC 4231, test case 2.
        let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let auth = |encoding, prefix: &str| Auth::HmacSha256 {
            header: HeaderName::from_static("x-signature"),
            secrets: secrets(&["wrong", "Jefe"]),
            encoding,
            prefix: prefix.to_owned(),
        };
        let body = "what do ya want for nothing?";
        let hex = auth(Encoding::Hex, "sha256=");
        assert_eq!(
            verify(&hex, &[("x-signature", &format!("sha256={mac}"))], body),
            Some(1)
        );
        assert_eq!(verify(&hex, &[("x-signature", mac)], body), None);
        assert_eq!(
            verify(&hex, &[("x-signature", &format!("sha256={mac}"))], "what"),
            None
        );
        let base64 = auth(Encoding::Base64, "");
        assert_eq!(
            verify(
                &base64,
                &[(
                    "x-signature",
                    "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
                )],
                body
            ),
            Some(1)
        );
    }

    #[test]
    fn standard_webhooks_follow_the_published_vector() {
        let auth = Auth::StandardWebhooks(secrets(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]));
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let check = |id, stamp: &str, signature: &str| {
            let headers = [
                ("webhook-id", id),
                ("webhook-timestamp", stamp),
                ("webhook-signature", signature),
            ];
            verify(&auth, &headers, r#"{"test": 2432232314}"#)
        };
        let (id, now) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW.to_string());
        assert_eq!(check(id, &now, good), Some(0));
        assert_eq!(
            check(id, &now, &format!("v1,AAAA v2,x {good} v1,BBBB")),
            Some(0)
        );
        assert_eq!(check(id, &now, "v1,"), None);
        assert_eq!(
            check(id, &now, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            None
        );
        assert_eq!(check("msg_other", &now, good), None);
        assert_eq!(check(id, &(NOW - 301).to_string(), good), None);
        assert_eq!(check(id, "soon", good), None);
    }

    #[test]
    fn what_proves_one_sender_lets_it_in() {
        let key = secrets(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "other"]);
        let header = HeaderName::from_static("x-token");
        for auth in [
            Auth::Header {
                header: header.clone(),
                secrets: key.clone(),
            },
            Auth::Bearer(key.clone()),
            Auth::Basic(key.clone()),
            Auth::HmacSha256 {
                header,
                secrets: key.clone(),
                encoding: Encoding::Hex,
                prefix: "sha256=".to_owned(),
            },
            Auth::StandardWebhooks(key),
        ] {
            let now = Timestamp::from_second(NOW).expect("in range");
            let proof = auth.prove(b"{}", "msg_1", now);
            let headers: HeaderMap = proof
                .into_iter()
                .map(|(name, value)| (name, value.parse().expect("a header value")))
                .collect();
            assert_eq!(auth.verify(&headers, b"{}", now), Ok(0), "{auth:?}");
        }
    }

    #[test]
    fn a_webhook_secret_is_base64_of_16_to_64_bytes() {
        assert!(webhook_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_some());
        assert!(webhook_secret("whsec_").is_none());
        assert!(webhook_secret("").is_none());
        assert!(webhook_secret("whsec_not base64").is_none());
    }
}
