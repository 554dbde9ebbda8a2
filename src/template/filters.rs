//! What templates can call: filters, tests and functions. In all of them null and a missing field are
//! the same and read as nothing. Errors name kinds of values, never values.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::text;
use super::value::{display, is_null};

/// Everything but the characters that RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Longest URL that counts as a link; more than Slack takes for a button.
const LINK_UNITS: usize = 3000;

/// A number that is longer is written with an exponent.
const NUMBER_DIGITS: usize = 24;

/// Functions that templates can call.
pub(super) const FUNCTIONS: &[&str] = &["changes", "range", "dict", "namespace"];

/// Filters to suggest where one is misspelt.
pub(super) const FILTERS: &[&str] = &[
    "mrkdwn",
    "plain",
    "shorten",
    "int",
    "number",
    "seconds",
    "urlencode",
    "bullets",
    "lower",
    "upper",
    "title",
    "capitalize",
    "trim",
    "replace",
    "default",
    "join",
    "length",
    "first",
    "last",
    "list",
    "map",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "sort",
    "unique",
    "reverse",
    "round",
    "abs",
    "float",
    "min",
    "max",
    "sum",
    "items",
    "dictsort",
    "tojson",
    "string",
    "split",
    "lines",
];

/// An error of our own: its words may be shown, other than the engine's, which can quote values.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Told(pub(super) String);

/// Gives `environment` the names that every template has.
pub(super) fn install(environment: &mut Environment<'static>) {
    for unsafe_name in ["safe", "escape", "e", "pprint", "format"] {
        environment.remove_filter(unsafe_name);
    }
    environment.remove_global("debug");
    environment.add_filter("mrkdwn", |value: &Value, limit: Option<usize>| {
        text::mrkdwn(&display(value), limit)
    });
    environment.add_filter("plain", |value: &Value, limit: Option<usize>| {
        text::plain(&display(value), limit)
    });
    environment.add_filter("shorten", |value: &Value, limit: usize| {
        text::shorten(&display(value), limit)
    });
    environment.add_filter("int", int);
    environment.add_filter("number", number);
    environment.add_filter("seconds", seconds);
    environment.add_filter("urlencode", |value: &Value| encode(&display(value)));
    environment.add_filter("bullets", bullets);
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("join", join);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    install_text_filters(environment);
    environment.add_test("none", is_null);
    environment.add_test("defined", |value: &Value| !is_null(value));
    environment.add_test("undefined", is_null);
    environment.add_test("link", is_link);
    environment.add_function("changes", changes);
}

/// Percent-encodes everything that is not unreserved.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The engine's own versions refuse null, or write it out as a word.
fn install_text_filters(environment: &mut Environment<'static>) {
    environment.add_filter("string", |value: &Value| display(value).into_owned());
    environment.add_filter("lower", |value: &Value| display(value).to_lowercase());
    environment.add_filter("upper", |value: &Value| display(value).to_uppercase());
    environment.add_filter("trim", |value: &Value| display(value).trim().to_owned());
    environment.add_filter("capitalize", |value: &Value| {
        let shown = display(value);
        let mut chars = shown.chars();
        let first: String = chars
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .collect();
        first + chars.as_str()
    });
    environment.add_filter("replace", |value: &Value, from: &str, to: &str| {
        if from.is_empty() {
            return Err(told("`replace` needs a text to look for"));
        }
        Ok(display(value).replace(from, to))
    });
}

fn told(words: impl Into<String>) -> Error {
    let words = words.into();
    Error::new(ErrorKind::InvalidOperation, words.clone()).with_source(Told(words))
}

fn kind(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => "null",
        ValueKind::Bool => "true or false",
        ValueKind::Number => "a number",
        ValueKind::String => "text",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "a table",
        _ => "of another kind",
    }
}

/// A JSON integer, from a whole number or from text of digits alone.
fn int(value: &Value) -> Result<Value, Error> {
    let failure = |what: &str| Err(told(format!("not an integer: it is {what}")));
    if let Some(text) = value.as_str() {
        let trimmed = text.trim();
        let digits = trimmed.strip_prefix('-').unwrap_or(trimmed);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return failure("text that is no number");
        }
        return match trimmed.parse::<i64>() {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => failure("too large"),
        };
    }
    if value.is_integer() {
        return Ok(value.clone());
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.fract() == 0.0 => failure("too large"),
        Ok(_) => failure("a number with a fraction"),
        Err(_) => failure(kind(value)),
    }
}

/// A number as people write it, with at most `digits` decimals. What is no number stays as it is.
fn number(value: &Value, digits: Option<usize>) -> Value {
    if !value.is_number() {
        return value.clone();
    }
    let shown = display(value).into_owned();
    if shown.len() > NUMBER_DIGITS
        && let Ok(number) = f64::try_from(value.clone())
    {
        return Value::from(format!("{number:e}"));
    }
    let Some(digits) = digits.filter(|_| shown.contains('.')) else {
        return Value::from(shown);
    };
    let Ok(number) = f64::try_from(value.clone()) else {
        return Value::from(shown);
    };
    let rounded = format!("{number:.0$}", digits.min(17));
    let short = match rounded.split_once('.') {
        Some(_) => rounded.trim_end_matches('0').trim_end_matches('.'),
        None => &rounded,
    };
    Value::from(if short == "-0" { "0" } else { short })
}

/// A duration such as `7d` in seconds.
fn seconds(value: &Value) -> Result<f64, Error> {
    let text = display(value);
    humantime::parse_duration(&text)
        .map(|duration| duration.as_secs_f64())
        .map_err(|_| {
            let found = match value.as_str() {
                Some(_) => "other text",
                None => kind(value),
            };
            told(format!(
                "`seconds` needs a duration such as \"7d\", and this is {found}"
            ))
        })
}

/// One line for each item that is not blank, each after a bullet and of at most `limit` units. A text
/// that is no list is a list of one.
fn bullets(value: &Value, limit: Option<usize>) -> Result<String, Error> {
    let items = match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.collect(),
        _ => vec![value.clone()],
    };
    let lines = items.iter().map(|item| text::plain(&display(item), limit));
    let lines: Vec<String> = lines
        .filter(|line| !line.is_empty())
        .map(|line| format!("• {line}"))
        .collect();
    Ok(lines.join("\n"))
}

fn length(value: &Value) -> Result<usize, Error> {
    if is_null(value) {
        return Ok(0);
    }
    value
        .len()
        .ok_or_else(|| told(format!("no length: it is {}", kind(value))))
}

fn join(value: &Value, separator: Option<&str>) -> Result<String, Error> {
    let items: Vec<Value> = match value.kind() {
        ValueKind::Undefined | ValueKind::None => Vec::new(),
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.collect(),
        _ => {
            return Err(told(format!(
                "`join` needs a list, and this is {}",
                kind(value)
            )));
        }
    };
    let shown: Vec<_> = items.iter().map(display).collect();
    Ok(shown.join(separator.unwrap_or_default()))
}

/// `other` in place of null; with a second argument that is true, in place of anything empty.
fn default(value: &Value, other: Option<Value>, also_empty: Option<bool>) -> Value {
    if is_null(value) || (also_empty.unwrap_or(false) && !value.is_true()) {
        return other.unwrap_or_else(|| Value::from(""));
    }
    value.clone()
}

/// An absolute http or https URL with a real host and no user name, short enough for a button.
fn is_link(value: &Value) -> bool {
    let Some(text) = value.as_str() else {
        return false;
    };
    let odd =
        |c: char| text::is_hidden(c) || c.is_whitespace() || matches!(c, '<' | '>' | '|' | '\\');
    if text.contains(odd) || text::units(text) > LINK_UNITS {
        return false;
    }
    let scheme = ["https://", "http://"]
        .iter()
        .any(|start| text.starts_with(start));
    let Some(url) = url::Url::parse(text).ok().filter(|_| scheme) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    host.contains(|c: char| c.is_alphanumeric())
        && url.username().is_empty()
        && url.password().is_none()
}

/// What differs between two payloads: for each name in `changed` a table of `field`, `label`, `before`
/// and `after`. `labels` gives names for people.
fn changes(
    previous: &Value,
    result: &Value,
    changed: &Value,
    labels: Option<&Value>,
) -> Result<Value, Error> {
    let labels = labels.cloned().unwrap_or_default();
    let mut list = Vec::new();
    for field in changed.try_iter()? {
        let named = labels.get_item(&field).unwrap_or_default();
        let label = if is_null(&named) {
            label(&display(&field))
        } else {
            named
        };
        list.push(Value::from_pairs([
            ("before", previous.get_item(&field).unwrap_or_default()),
            ("after", result.get_item(&field).unwrap_or_default()),
            ("field", field),
            ("label", label),
        ]));
    }
    Ok(Value::from(list))
}

/// `next_round` as `Next round`.
fn label(field: &str) -> Value {
    let words = field.replace('_', " ");
    let mut chars = words.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    Value::from(first + chars.as_str())
}
