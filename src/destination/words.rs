//! What a receiver said, made fit for an operator to read: one line, no secrets, no page of HTML.

use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION};
use serde_json::Value;

use super::scrub::Scrubber;
use crate::model::EXCERPT_BYTES;
use crate::template::text;
use crate::transport::Answer;

/// Longest reason, in UTF-16 units.
const REASON: usize = 300;

/// One line of at most [`REASON`] units, without secrets: neither as they are, nor as they would look once the
/// hidden characters between them are out.
pub(super) fn one_line(words: &str, scrubber: &Scrubber) -> String {
    let line = text::plain(&scrubber.scrub(words), None);
    text::shorten(&scrubber.scrub(&line), REASON)
}

/// `404 Not Found`.
pub(super) fn status(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(words) => format!("{} {words}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// The receiver's own words about what happened; None where it said nothing that helps.
pub(super) fn said(answer: &Answer, json: &Value) -> Option<String> {
    if answer.status.is_redirection() {
        return Some(redirect(answer));
    }
    let body = String::from_utf8_lossy(&answer.body);
    let kind = answer
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let page = kind.is_some_and(|kind| kind.starts_with("text/html"))
        || body.trim_start().starts_with("<!");
    if page {
        return Some("an HTML page".to_owned());
    }
    from_json(json)
        .or_else(|| from_headers(answer))
        .or_else(|| Some(body.trim().to_owned()).filter(|body| !body.is_empty()))
}

/// The start of the body, at most [`EXCERPT_BYTES`], without secrets and control characters.
pub(super) fn excerpt(answer: &Answer, scrubber: &Scrubber) -> Option<String> {
    let body = scrubber.scrub(&String::from_utf8_lossy(&answer.body));
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let mut kept = scrubber.scrub(&body.chars().filter(shown).collect::<String>());
    kept.truncate(kept.floor_char_boundary(EXCERPT_BYTES));
    (!kept.trim().is_empty()).then_some(kept)
}

/// Where it points: the host alone, because the rest can be a credential.
fn redirect(answer: &Answer) -> String {
    let location = answer
        .headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let host = location
        .and_then(|location| url::Url::parse(location).ok())
        .and_then(|url| url.host_str().map(str::to_owned));
    match host {
        Some(host) => format!("points to {host}; redirects are not followed"),
        None => "points elsewhere; redirects are not followed".to_owned(),
    }
}

/// Some say it in a header, such as `X-Vendor-Error-Message`.
fn from_headers(answer: &Answer) -> Option<String> {
    let told = |name: &http::HeaderName| name.as_str().ends_with("error-message");
    let (_, value) = answer.headers.iter().find(|(name, _)| told(name))?;
    let words = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    (!words.is_empty()).then_some(words)
}

/// The keys under which APIs put their words.
fn from_json(json: &Value) -> Option<String> {
    const WARNINGS: [&str; 2] = ["warnings", "warning"];
    const KEYS: [&str; 10] = [
        "error_description",
        "detail",
        "message",
        "error",
        "errorInfo",
        "title",
        "errors",
        "code",
        "response_metadata",
        "messages",
    ];
    match json {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Array(items) => items.first().and_then(from_item),
        Value::Object(fields) => {
            let mut found = Vec::new();
            for words in KEYS.iter().filter_map(|key| from_json(fields.get(*key)?)) {
                if found.len() < 2 && !found.contains(&words) {
                    found.push(words);
                }
            }
            if found.is_empty() {
                let warning = |key: &&str| from_json(fields.get(*key)?);
                return WARNINGS.iter().find_map(warning);
            }
            Some(found.join("; "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// One of a list of errors. In `{"candidate_id": "must be an integer"}` the key is part of what it says.
fn from_item(item: &Value) -> Option<String> {
    let alone = item.as_object().filter(|fields| fields.len() == 1);
    let pair = alone.and_then(|fields| fields.iter().next());
    from_json(item).or_else(|| {
        let (field, words) = pair?;
        Some(format!("{field}: {}", from_json(words)?))
    })
}
