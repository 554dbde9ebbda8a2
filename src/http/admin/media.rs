//! Media types: what a body is said to be, and what an answer may be.

use http::{HeaderMap, HeaderName, header};

use crate::http::problem::AdminProblem;

/// A body has to be JSON, or say nothing.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), AdminProblem> {
    let types = texts(headers, &header::CONTENT_TYPE);
    match types.first().map(|text| essence(text)) {
        None => Ok(()),
        Some(essence) if essence == "application/json" => Ok(()),
        Some(_) => Err(AdminProblem::UnsupportedMediaType),
    }
}

/// An answer of this kind is among what is asked for. Who asks for nothing takes everything.
pub(super) fn acceptable(headers: &HeaderMap, kind: &'static str) -> Result<(), AdminProblem> {
    let ranges = texts(headers, &header::ACCEPT).join(",");
    let mut ranges = ranges.split(',').map(str::trim).peekable();
    let anything = ranges.peek().is_none_or(|first| first.is_empty());
    if anything || ranges.any(|range| takes(range, kind)) {
        Ok(())
    } else {
        Err(AdminProblem::NotAcceptable { kind })
    }
}

fn takes(range: &str, kind: &str) -> bool {
    let mut parameters = range.split(';').skip(1).map(str::trim);
    let weight = parameters.find_map(|parameter| parameter.strip_prefix("q="));
    let refused = weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32));
    let family = kind.split('/').next().unwrap_or_default();
    let range = essence(range);
    let fits = range == kind || range == "*/*" || range == format!("{family}/*");
    fits && !refused
}

/// A media type without its parameters, in small letters.
fn essence(text: &str) -> String {
    let bare = text.split(';').next().unwrap_or_default();
    bare.trim().to_ascii_lowercase()
}

fn texts<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    // What is no text names no media type.
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap_or("?")).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: &HeaderName, values: &[&'static str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_static(value));
        values.map(|value| (name.clone(), value)).collect()
    }

    #[test]
    fn a_body_is_json_or_says_nothing() {
        let check = |values: &[&'static str], sound: bool| {
            let found = is_json(&with(&header::CONTENT_TYPE, values));
            assert_eq!(found.is_ok(), sound, "{values:?}");
        };
        check(&[], true);
        check(&["application/json"], true);
        check(&["Application/JSON; charset=utf-8"], true);
        check(&["text/plain"], false);
        check(&["application/x-www-form-urlencoded"], false);
        check(&[""], false);
    }

    #[test]
    fn an_answer_is_one_of_those_asked_for() {
        let check = |values: &[&'static str], sound: bool| {
            let found = acceptable(&with(&header::ACCEPT, values), "application/json");
            assert_eq!(found.is_ok(), sound, "{values:?}");
        };
        check(&[], true);
        check(&[""], true);
        check(&["*/*"], true);
        check(&["text/html, application/*;q=0.5"], true);
        check(&["text/html", "application/json"], true);
        check(&["text/html"], false);
        check(&["application/json;q=0"], false);
        check(&["application/xml, text/event-stream"], false);
    }
}
