//! What must hold for any bytes at all, one function for each door that strangers' bytes come through. The targets of
//! fuzz/ and the short run of the suite call the same ones; each panics where its promise is broken.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use jiff::Timestamp;
use mojito_relay::config::{self, Inputs, Secrets};
use mojito_relay::destination::{Action, Destination, retry_after};
use mojito_relay::expr::{EVENT_ROOTS, Expression, RESPONSE_ROOTS};
use mojito_relay::http::call::{AdminCall, IngressCall};
use mojito_relay::model::{FieldDigests, Kept, Secret, Verdict};
use mojito_relay::source::{Auth, Body, Encoding, Kind, Malformed, Pick};
use mojito_relay::transport::Answer;
use mojito_relay::{expr, template};
use serde_json::{Map, Value};

/// Between the parts of an input that has several.
const BREAK: u8 = 0;
const KEY: [u8; 32] = [7; 32];

/// A name and its body.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 8] = [
    ("ingress", ingress),
    ("changes", changes),
    ("relay_toml", relay_toml),
    ("rules", rules),
    ("retry_after", wait),
    ("judge", judge),
    ("signatures", signatures),
    ("paths", paths),
];

fn now() -> Timestamp {
    Timestamp::from_second(1_795_341_600).expect("a time in 2026")
}

/// The input up to the first break, and what follows it.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|&byte| byte == BREAK);
    at.map_or((data, b""), |at| (&data[..at], &data[at + 1..]))
}

/// Lines `name: value`, as far as they are headers.
fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// A body is taken exactly where the grammar takes it, is always some event, and stays the same event when only the
/// fields that tell so are kept of it.
pub fn ingress(data: &[u8]) {
    let grammatical = serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok();
    let body = match Body::parse(data) {
        Ok(body) => body,
        Err(Malformed::NotJson { at }) => {
            assert!(!grammatical && at <= data.len());
            return;
        }
        Err(Malformed::TooDeep) => return,
    };
    assert!(grammatical);
    let digests = body.digests(&KEY);
    let stored = digests.to_bytes();
    assert_eq!(FieldDigests::from_bytes(&stored).as_ref(), Some(&digests));
    drop(body.value());
    for kind in kinds() {
        let found = kind.classify(&body, &HeaderMap::new());
        if let Some(types) = kind.event_types() {
            assert!(types.contains(&found.event_type.as_str()));
        }
        let subject = found.subject.as_ref().map(|subject| subject.as_str().len());
        assert!(subject.is_none_or(|length| (1..=256).contains(&length)));
        let kept: Kept = kind.fields().into_iter().collect();
        let left = body.keeping(&kept);
        let left = Body::parse(&left).expect("what is left of JSON is JSON");
        assert_eq!(kind.classify(&left, &HeaderMap::new()), found);
        let is_object = body.value().is_object();
        let lost = left.digests(&KEY).differing(&digests, |_| false);
        assert!(!is_object || lost.iter().all(|field| !kept.holds(field)));
    }
}

fn kinds() -> [Kind; 2] {
    let pointer = |text: &str| Pick::Pointer(text.to_owned());
    [
        Kind::Jobmojito,
        Kind::Generic {
            event_type: pointer("/event"),
            subject: Some(pointer("/0/id")),
        },
    ]
}

/// Two bodies: what differs is the same from either side, is in one of them, and is nothing where they are the same value.
pub fn changes(data: &[u8]) {
    let (older, newer) = halves(data);
    let (Ok(older), Ok(newer)) = (Body::parse(older), Body::parse(newer)) else {
        return;
    };
    let (a, b) = (older.digests(&KEY), newer.digests(&KEY));
    let changed = b.differing(&a, |_| false);
    assert_eq!(changed, a.differing(&b, |_| false));
    assert!(a.differing(&a, |_| false).is_empty());
    assert!(b.differing(&a, |_| true).is_empty());
    let (older, newer) = (fields(older.value()), fields(newer.value()));
    for field in older.keys().chain(newer.keys()) {
        let (one, other) = (older.get(field), newer.get(field));
        let alike = one.zip(other).is_some_and(|(one, other)| alike(one, other));
        if !changed.contains(field) {
            assert!(alike, "{field:?} differs and nobody says so");
        } else if one.zip(other).is_some_and(|(one, other)| one == other) {
            assert!(one.is_some_and(is_inexact), "{field:?} does not differ");
        }
    }
    for field in &changed {
        assert!(older.contains_key(field) || newer.contains_key(field));
    }
}

/// Top-level fields, where null is missing; what is no object is one field without a name.
fn fields(value: Value) -> Map<String, Value> {
    let Value::Object(mut fields) = value else {
        return Map::from_iter([(String::new(), value)]);
    };
    fields.retain(|_, value| !value.is_null());
    fields
}

/// The same as far as a value can tell: it holds numbers as doubles, and those beyond as their text.
fn alike(one: &Value, other: &Value) -> bool {
    let huge = |value: &Value| {
        value
            .as_str()?
            .parse()
            .ok()
            .filter(|n: &f64| n.is_infinite())
    };
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value)| other.get(key).is_some_and(|other| alike(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other || huge(one).is_some() && huge(one) == huge(other),
    }
}

/// A value that stands for more than one text: a double, or what replaces a lone surrogate.
fn is_inexact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::String(text) => text.contains('\u{fffd}') || text.parse::<f64>().is_ok(),
        Value::Array(items) => items.iter().any(is_inexact),
        Value::Object(fields) => {
            let odd = |(key, value): (&String, _)| key.contains('\u{fffd}') || is_inexact(value);
            fields.iter().any(odd)
        }
        Value::Null | Value::Bool(_) => false,
    }
}

/// Any relay.toml is read to its end, and a finding stands on a line that there is.
pub fn relay_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let inputs = Inputs {
        file: "relay.toml".into(),
        environment: Vec::new(),
        flags: Vec::new(),
        secrets: Secrets::Skip,
    };
    let findings = match config::load_text(&inputs, text) {
        Ok(loaded) => {
            let destinations = &loaded.config.destinations;
            for (settings, _) in destinations.clone() {
                drop(Destination::compile(settings));
            }
            loaded.warnings
        }
        Err(findings) => {
            assert!(findings.iter().any(config::Finding::is_error));
            findings
        }
    };
    let lines = text.split('\n').count();
    for finding in findings {
        assert!(!finding.problem.is_empty());
        let own = finding.file == "relay.toml";
        let line = finding.line.filter(|_| own);
        assert!(
            line.is_none_or(|line| (1..=lines).contains(&line)),
            "{finding}"
        );
    }
}

/// A rule's text and a payload: whatever compiles is evaluated in bounds, and answers or errs.
pub fn rules(data: &[u8]) {
    let (text, payload) = halves(data);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let payload = Body::parse(payload).map_or(Value::Null, |body| body.value());
    let previous = Value::Null;
    for roots in [EVENT_ROOTS, RESPONSE_ROOTS] {
        if let Ok(expression) = Expression::compile(text, roots) {
            let values = [
                ("result", &payload),
                ("json", &payload),
                ("previous", &previous),
                ("event", &payload),
                ("with", &payload),
            ];
            let scope = expr::Scope::new(&values, expression.reads());
            drop(expression.test(&scope));
        }
    }
    let scope = template::Scope::new(&[("result", &payload), ("event", &payload)], |_, _| true);
    let makers = [
        template::Template::typed,
        template::Template::text,
        template::Template::url_part,
        template::Template::condition,
    ];
    for maker in makers {
        if let Ok(template) = maker(text) {
            drop(template.holds(&scope));
            drop(template.value(&scope));
            let written = template.render(&scope).unwrap_or_default();
            let most = template::OUTPUT_BYTES.max(text.len());
            assert!(written.len() <= most, "{} bytes", written.len());
        }
    }
}

/// A `Retry-After`: no wait is longer than what is said, and a date means what it says.
pub fn wait(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, value)]);
    let text = String::from_utf8_lossy(data);
    let digits = !text.trim().is_empty() && text.trim().bytes().all(|b| b.is_ascii_digit());
    let before = Timestamp::from_second(-62_135_596_800).expect("the year 1");
    let (then, now) = (retry_after(&headers, before), retry_after(&headers, now()));
    assert_eq!(then.is_some(), now.is_some());
    assert!(then >= now);
    if digits {
        assert!(now.is_some_and(|wait| wait.as_secs() <= u32::MAX.into()));
        assert_eq!(then, now);
    }
}

const SECRET: &str = "canary-secret-of-a-destination";

/// A destination of each preset that has rules about answers, and one without.
static DESTINATIONS: LazyLock<Vec<Destination>> = LazyLock::new(|| {
    let keys = [
        "preset = \"slack\"\nurl = \"https://hooks.test/services/canary-secret-of-a-destination\"",
        "preset = \"slack-bot\"\napi_key = \"canary-secret-of-a-destination\"\nwith = { channel = \"C1\" }",
        "preset = \"ashby\"\napi_key = \"canary-secret-of-a-destination\"",
        "preset = \"teamtailor\"\napi_key = \"canary-secret-of-a-destination\"\nwith = { user_id = 1 }",
        "url = \"http://app.test/\"\napi_key = \"canary-secret-of-a-destination\"\naccepted_when = \"json.n > 1.0 || headers.x == body\"",
        "url = \"http://app.test/\"\napi_key = \"canary-secret-of-a-destination\"",
    ];
    let blocks = keys.iter().enumerate();
    let blocks = blocks.map(|(n, keys)| format!("[destinations.d{n}]\n{keys}\n"));
    let toml: String = blocks.collect();
    let inputs = Inputs {
        file: "relay.toml".into(),
        environment: Vec::new(),
        flags: Vec::new(),
        secrets: Secrets::Read,
    };
    let loaded = config::load_text(&inputs, &toml).expect("destinations of the house");
    let destinations = loaded.config.destinations.into_iter();
    let compile = |settings| Destination::compile(settings).expect("they compile");
    destinations
        .map(|(settings, _)| compile(settings))
        .collect()
});

/// An answer (two bytes for which destination and status, headers, a break, the body): its judgement keeps to its own
/// rules, and no secret comes back in it.
pub fn judge(data: &[u8]) {
    let [which, code, rest @ ..] = data else {
        return;
    };
    let (head, body) = halves(rest);
    let status = StatusCode::from_u16(200 + 2 * u16::from(*code)).expect("a status");
    let answer = Answer {
        status,
        headers: headers(head),
        body: Bytes::copy_from_slice(body),
        complete: which & 128 == 0,
    };
    let at = usize::from(which & 63) % DESTINATIONS.len();
    let destination = &DESTINATIONS[at];
    let action = if which & 64 == 0 {
        Action::Create
    } else {
        Action::Update
    };
    let found = destination.judge(&Ok(answer), now(), (action, None));
    let retry = found.verdict == Verdict::Retry;
    assert!(retry || found.retry_after.is_none() && !found.holds_lane);
    assert!(found.again.is_none() || retry);
    assert!(found.receipt.is_none() || found.verdict == Verdict::Accepted);
    let receipt = found
        .receipt
        .as_ref()
        .map_or(0, |receipt| receipt.value.len());
    assert!(receipt <= 512);
    let texts = [Some(&found.reason), found.warning.as_ref()];
    for text in texts.into_iter().flatten() {
        assert!(text.encode_utf16().count() <= 300, "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(!text.contains(SECRET), "{text}");
    }
    let excerpt = found.excerpt.unwrap_or_default();
    assert!(
        excerpt.len() <= 1024 && !excerpt.contains(SECRET),
        "{excerpt}"
    );
    if at == DESTINATIONS.len() - 1 {
        assert_eq!(found.verdict, by_status(status.as_u16()));
    }
}

/// The default, as the contract writes it.
fn by_status(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Accepted,
        401 | 403 | 410 => Verdict::Blocked,
        408 | 425 | 429 | 500 | 502..=504 | 506..=599 => Verdict::Retry,
        _ => Verdict::Rejected,
    }
}

/// Headers of a request, a break, its body: nobody comes in without the secret, who has it does, and not with
/// another body.
pub fn signatures(data: &[u8]) {
    let (head, body) = halves(data);
    let guessed = headers(head);
    for auth in doors() {
        let let_in = auth.verify(&guessed, body, now());
        assert!(let_in.is_err() || head_knows(head), "{auth:?}");
        let mut own = guessed.clone();
        for (name, value) in auth.prove(body, "msg_1", now()) {
            own.insert(name, value.parse().expect("a header value"));
        }
        assert_eq!(auth.verify(&own, body, now()), Ok(0), "{auth:?}");
        let altered = [body, b"x"].concat();
        let other_body = auth.verify(&own, &altered, now());
        assert_eq!(other_body.is_err(), auth.needs_body(), "{auth:?}");
    }
}

/// The secret itself, or as Basic writes it.
fn head_knows(head: &[u8]) -> bool {
    let holds = |text: &[u8]| head.windows(text.len()).any(|part| part == text);
    holds(SECRET.as_bytes()) || holds(b"Y2FuYXJ5LXNlY3JldC1vZi1hLWRlc3RpbmF0aW9u")
}

fn doors() -> Vec<Auth> {
    let secrets = || vec![Secret::new(SECRET)];
    let header = HeaderName::from_static("x-signature");
    let hmac = |encoding, prefix: &str| Auth::HmacSha256 {
        header: HeaderName::from_static("x-signature"),
        secrets: secrets(),
        encoding,
        prefix: prefix.to_owned(),
    };
    vec![
        Auth::Header {
            header,
            secrets: secrets(),
        },
        Auth::Bearer(secrets()),
        Auth::Basic(secrets()),
        hmac(Encoding::Hex, ""),
        hmac(Encoding::Base64, "sha256="),
        Auth::StandardWebhooks(vec![Secret::new("whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0")]),
    ]
}

/// A request's target: whatever it is, the name in it is one segment that could stand in relay.toml.
pub fn paths(data: &[u8]) {
    let Ok(target) = Uri::try_from(data) else {
        return;
    };
    if let Ok(IngressCall::Hook { source }) = IngressCall::parse(&Method::POST, &target) {
        assert!((1..=128).contains(&source.len()) && source != "." && source != "..");
        assert!(!source.contains(|c: char| c.is_control() || c == '/' || c == '\\'));
        assert!(target.path().starts_with("/hooks/"));
        let get = IngressCall::parse(&Method::GET, &target);
        assert!(get.is_err());
    }
    if let Ok(call) = AdminCall::parse(&Method::POST, &target) {
        assert!(!call.is_open(), "what changes something asks for a token");
    }
}
