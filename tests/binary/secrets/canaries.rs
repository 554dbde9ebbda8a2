//! Texts that stand for secrets and for what is somebody's own, and how to find them in whatever form.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub const SOURCE: &str = "canary/source+header.token";
pub const SOURCE_NEXT: &str = "canary/source+next.token";
pub const BEARER: &str = "canary+source/bearer.token";
pub const BASIC: &str = "canary-user:canary/basic+pass";
pub const HMAC: &str = "canary hmac/key of a sender";
/// The base64 of `canary-standard-webhooks-key`.
pub const STANDARD: &str = "whsec_Y2FuYXJ5LXN0YW5kYXJkLXdlYmhvb2tzLWtleQ==";
pub const ADMIN: &str = "canary/admin+token.of-length";
pub const HEADER: &str = "canary/destination+header";
pub const URL_PART: &str = "canary-secret+url.part";
pub const API_KEY: &str = "canary+api/key.bearer";
pub const QUERY_KEY: &str = "canary+query/key";
pub const BASIC_KEY: &str = "canary+basic/key";
pub const CLIENT_ID: &str = "canary-oauth+client/id";
pub const CLIENT_SECRET: &str = "canary-oauth+client/secret";
pub const ACCESS: &str = "canary-access.token+of/vendor";
/// The base64 of `canary-signing-secret-of-the-app`.
pub const SIGNING: &str = "whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0LW9mLXRoZS1hcHA=";
pub const PROXY_PASSWORD: &str = "canary.proxy-password";
/// The base64 of `canary-of-the-key-that-seals-all`.
pub const STORE: &str = "Y2FuYXJ5LW9mLXRoZS1rZXktdGhhdC1zZWFscy1hbGw=";
pub const SLACK_PART: &str = "T0CANARY/B0CANARY/canaryslackwebhook";
pub const PLAIN: &str = "canary+in/plain.text";
pub const COLLECTOR: &str = "canary+collector/header";
pub const GUESS: &str = "canary/admin+guess.of-length";
/// In none of these may it be found: nowhere, except in requests to whom it belongs.
pub const SECRETS: [&str; 26] = [
    SOURCE,
    SOURCE_NEXT,
    BEARER,
    BASIC,
    "canary/basic+pass",
    HMAC,
    STANDARD,
    "canary-standard-webhooks-key",
    ADMIN,
    HEADER,
    URL_PART,
    API_KEY,
    QUERY_KEY,
    BASIC_KEY,
    CLIENT_ID,
    CLIENT_SECRET,
    ACCESS,
    SIGNING,
    "canary-signing-secret-of-the-app",
    PROXY_PASSWORD,
    STORE,
    "canary-of-the-key-that-seals-all",
    SLACK_PART,
    PLAIN,
    COLLECTOR,
    GUESS,
];

pub const SUBJECT: &str = "canary-subject-7";
pub const CANDIDATE: &str = "canary-candidate-7";
/// What a receiver says about somebody.
pub const SAID: &str = "Canary Said of Somebody";
pub const NAME: &str = "Zoë Canary Surname";
pub const EMAIL: &str = "zoe.canary@people.example";
pub const PHONE: &str = "+46 70 123 canary 45";
pub const TEXT: &str = "Canary spoke well of \"teams\"";

/// How much of what is somebody's own may be in an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// Nothing: logs, metrics, traces, findings, files.
    Nothing,
    /// Ids, and what receivers said: lists and news.
    Ids,
    /// The payload too: one event, and what would become of it.
    Payload,
}

impl May {
    /// What must not be in it, besides secrets.
    pub fn forbids(self) -> Vec<&'static str> {
        let ids = [SUBJECT, CANDIDATE, SAID];
        let payload = [NAME, EMAIL, PHONE, TEXT];
        match self {
            Self::Nothing => [&ids[..], &payload].concat(),
            Self::Ids => payload.to_vec(),
            Self::Payload => Vec::new(),
        }
    }
}

/// The form in which `canary` is in `text`, if it is.
pub fn found(canary: &str, text: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(text);
    let lower = text.to_lowercase();
    let exact = in_base64(canary);
    if exact.iter().any(|form| text.contains(form)) {
        return Some("base64");
    }
    let mut folded = forms(canary).into_iter();
    let found = folded.find(|(_, form)| lower.contains(&form.to_lowercase()));
    found.map(|(name, _)| name)
}

/// Forms whose case does not matter.
fn forms(canary: &str) -> [(&'static str, String); 6] {
    let quoted = serde_json::Value::from(canary).to_string();
    let quoted = quoted.trim_matches('"').to_owned();
    let twice = serde_json::Value::from(&*quoted).to_string();
    let form: String = url::form_urlencoded::byte_serialize(canary.as_bytes()).collect();
    [
        ("plain", canary.to_owned()),
        ("quoted", quoted),
        ("quoted twice", twice.trim_matches('"').to_owned()),
        ("hex", hex::encode(canary)),
        (
            "percent-encoded",
            utf8_percent_encode(canary, NON_ALPHANUMERIC).to_string(),
        ),
        ("form-encoded", form),
    ]
}

/// The characters that are the same wherever in a longer text it stands: for each of three places.
fn in_base64(canary: &str) -> Vec<String> {
    let mut found = Vec::new();
    for before in 0..3 {
        let text = [&b"xx"[..before], canary.as_bytes()].concat();
        let (first, last) = ((before * 4).div_ceil(3), text.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            found.push(encoded.get(first..last).unwrap().to_owned());
        }
    }
    found
}

#[test]
fn a_canary_is_found_in_every_form_and_none_where_there_is_none() {
    for canary in SECRETS.into_iter().chain(May::Nothing.forbids()) {
        assert_eq!(found(canary, b"nothing of it, and no canary either"), None);
        let mut shown: Vec<String> = forms(canary).map(|(_, form)| form).to_vec();
        shown.push(canary.to_uppercase());
        for before in ["", "x", "yz", "Basic"] {
            shown.push(STANDARD_NO_PAD.encode(format!("{before}{canary} and more")));
            shown.push(URL_SAFE_NO_PAD.encode(format!("{before}{canary}!")));
        }
        for form in shown {
            let text = format!("words {form} words");
            assert!(found(canary, text.as_bytes()).is_some(), "{canary}: {text}");
        }
    }
}
