//! Configurations as texts: taken out of documents, and judged by the JSON Schema.

use std::sync::LazyLock;

use jsonschema::Validator;
use mojito_relay::config::schema;
use serde_json::Value;

/// What the schema has against a relay.toml; empty if nothing.
pub fn by_schema(toml: &str) -> String {
    static VALIDATOR: LazyLock<Validator> =
        LazyLock::new(|| jsonschema::draft7::new(&schema::json()).expect("a sound schema"));
    let value: Value = toml_edit::de::from_str(toml).expect("TOML");
    let errors = VALIDATOR.iter_errors(&value);
    let lines: Vec<String> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    lines.join("\n")
}

/// Each block of a Markdown text that is marked as TOML.
pub fn toml_blocks(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```toml\n").skip(1);
    blocks
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}
