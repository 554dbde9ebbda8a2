//! Values as templates see them: null and missing are the same, whole numbers are integers, and each
//! value has one way of being written as text.

use std::borrow::Cow;

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::{Map, Number, Value as Json};

/// Up to here a double holds every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// JSON as the engine has it. Null becomes the engine's undefined, so that it reads like a missing
/// field everywhere; 5.0 becomes 5.
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(bit) => Value::from(*bit),
        Json::Number(number) => from_number(number),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(fields) => from_fields(fields, |_| true),
    }
}

/// A table with those of `fields` that are `wanted`.
pub(super) fn from_fields(fields: &Map<String, Json>, wanted: impl Fn(&str) -> bool) -> Value {
    let kept = fields.iter().filter(|(name, _)| wanted(name));
    Value::from_pairs(kept.map(|(name, value)| (name.as_str(), from_json(value))))
}

/// A rendered value as JSON; None where it has a part that JSON cannot hold.
pub(super) fn to_json(value: &Value) -> Option<Json> {
    if is_null(value) {
        return Some(Json::Null);
    }
    serde_json::to_value(value).ok()
}

pub(super) fn is_null(value: &Value) -> bool {
    value.is_none() || value.is_undefined()
}

/// How a value stands in text: null as nothing, lists and tables as JSON.
pub(super) fn display(value: &Value) -> Cow<'_, str> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Cow::Borrowed(""),
        ValueKind::Bool => Cow::Borrowed(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => {
            let mut shown = value.to_string();
            if shown.ends_with(".0") {
                shown.truncate(shown.len() - 2);
            }
            Cow::Owned(shown)
        }
        ValueKind::String => match value.as_str() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(value.to_string()),
        },
        _ => Cow::Owned(
            to_json(value)
                .map(|json| json.to_string())
                .unwrap_or_default(),
        ),
    }
}

fn from_number(number: &Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::from(whole);
    }
    if let Some(whole) = number.as_u64() {
        return Value::from(whole);
    }
    let double = number.as_f64().unwrap_or(f64::NAN);
    if double.fract() == 0.0 && double.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
        return Value::from(double as i64);
    }
    Value::from(double)
}
