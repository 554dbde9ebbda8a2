//! The JSON Schema of relay.toml, in the draft and shape that TOML editors read: draft 07, nothing by
//! reference, and no null, which TOML does not have.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::presets::PresetFile;
use super::server::Root;
use crate::config::{DEFAULTS, locate};

/// The schema of relay.toml, with the real defaults.
pub fn json() -> Value {
    let mut schema = titled::<Root>("relay.toml");
    let defaults = defaults();
    fill(&mut schema, &defaults);
    for (section, block) in [("sources", "source"), ("destinations", "destination")] {
        let table = &mut schema["properties"][section]["additionalProperties"];
        fill(table, &defaults[block]);
    }
    fill(
        &mut schema["properties"]["routes"]["items"],
        &defaults["route"],
    );
    schema
}

/// The schema of a preset's file.
pub fn preset_json() -> Value {
    let mut schema = titled::<PresetFile>("a preset of mojito-relay");
    if let Some(keys) = schema["properties"].as_object_mut() {
        keys.shift_remove("preset");
        keys.shift_remove("was");
    }
    fill(&mut schema, &defaults()["destination"]);
    schema
}

fn defaults() -> Value {
    let (defaults, _) = locate::read("defaults", DEFAULTS).expect("a test reads them");
    defaults
}

/// A whole schema, which says first what it is.
fn titled<T: JsonSchema>(title: &str) -> Value {
    let mut schema = generator().into_root_schema_for::<T>().to_value();
    schema["title"] = title.into();
    if let Value::Object(keys) = &mut schema {
        let rest = std::mem::take(keys);
        let head = ["$schema", "title", "description"];
        let first = head.map(|key| (key.to_owned(), rest[key].clone()));
        keys.extend(first);
        keys.extend(rest);
    }
    schema
}

/// The keys of a table, in the order of their definition.
pub(super) fn keys<T: JsonSchema>() -> Vec<String> {
    let schema = generator().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flat_map(|keys| keys.keys().cloned())
        .collect()
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(plain))
        .into_generator()
}

/// Takes out what only Rust knows: null for what may be missing, number formats, line breaks of comments.
fn plain(schema: &mut Schema) {
    schema.remove("format");
    if let Some(Value::String(words)) = schema.get_mut("description") {
        *words = words.replace('\n', " ");
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let is_null = |choice: &Value| choice["type"] == "null";
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| !is_null(choice));
    if let [Value::Object(only)] = &choices[..] {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            if schema.get(&key).is_none() {
                schema.insert(key, value);
            }
        }
    }
}

/// Writes defaults into the keys that have them.
fn fill(schema: &mut Value, defaults: &Value) {
    for (key, default) in defaults.as_object().into_iter().flatten() {
        let Some(property) = schema["properties"].get_mut(key) else {
            continue;
        };
        if property.get("properties").is_some() {
            fill(property, default);
        } else {
            property["default"] = default.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_rust_is_in_it() {
        let text = json().to_string();
        for word in ["null\"", "$ref", "uint32", "\\n", "Option"] {
            assert!(!text.contains(word), "{word}");
        }
    }

    #[test]
    fn each_key_has_words_for_the_editor_and_the_real_default() {
        let schema = json();
        let server = &schema["properties"]["server"]["properties"];
        assert_eq!(server["max_body"]["default"], "1 MiB");
        let destination =
            &schema["properties"]["destinations"]["additionalProperties"]["properties"];
        assert_eq!(
            destination["retry"]["properties"]["attempts"]["default"],
            12
        );
        check_words("", &schema);
    }

    fn check_words(path: &str, schema: &Value) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{path}.{key}");
            check_words(&format!("{path}.{key}"), property);
        }
    }
}
