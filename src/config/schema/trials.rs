//! `[[tests]]`. The comments are what editors show.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::forms::{Free, Name, Text};

/// A file of tests beside relay.toml.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Beside {
    /// What `relay check` expects of the rules.
    pub tests: Option<Vec<Test>>,
}

/// `[[tests]]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Test {
    /// What it shows, in words.
    pub name: Option<Text>,
    /// A sample (bundled, or of `samples_dir`) or a file from the folder of relay.toml.
    pub event: Text,
    /// The revision before: a sample or a file.
    pub previous: Option<Text>,
    /// Fields of the body to change first: tables merge, anything else is replaced.
    pub set: Option<Free>,
    /// Top-level fields to take out first: TOML has no null.
    pub unset: Option<Vec<Text>>,
    /// The source that it comes through, where there are several.
    pub source: Option<Name>,
    /// Exactly the destinations that get a delivery, also one that is skipped.
    pub to: Vec<Name>,
    /// By destination: texts that the rendered body contains.
    pub contains: Option<BTreeMap<String, Texts>>,
    /// By destination: texts that the rendered body does not contain.
    pub lacks: Option<BTreeMap<String, Texts>>,
    /// By destination: what becomes of its delivery before anything is sent.
    pub state: Option<BTreeMap<String, State>>,
}

/// A text, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Texts {
    One(String),
    Several(Vec<String>),
}

/// What becomes of a delivery before anything is sent.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum State {
    Waiting,
    Skipped,
    Dead,
}
