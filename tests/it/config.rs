//! Settings: what relay.toml may say, and what the operator reads where it is wrong.

mod findings;
mod layers;
mod own_presets;
mod reference;
mod schema;
mod secrets;

use mojito_relay::config::{Config, Finding, Inputs, Loaded, Secrets, load_text};

/// A configuration with one of each, all sound: tests add to its blocks.
const SOURCE: &str = "[sources.jobmojito]\n";
const AUTH: &str = "auth = \"none\"\n";
const DESTINATION: &str = "[destinations.ats]\n";
const URL: &str = "url = \"http://127.0.0.1:9000/\"\n";
const ROUTE: &str = "[[routes]]\n";
const TO: &str = "to = [\"ats\"]\n";

fn inputs() -> Inputs {
    Inputs {
        file: "relay.toml".into(),
        environment: Vec::new(),
        flags: Vec::new(),
        secrets: Secrets::Read,
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn sound() -> String {
    with("")
}

/// The sound configuration with other text after it.
fn with(text: &str) -> String {
    [SOURCE, AUTH, DESTINATION, URL, ROUTE, TO, text].concat()
}

fn in_source(text: &str) -> String {
    [SOURCE, text, "\n", DESTINATION, URL, ROUTE, TO].concat()
}

fn in_destination(text: &str) -> String {
    [SOURCE, AUTH, DESTINATION, URL, text, "\n", ROUTE, TO].concat()
}

fn in_route(text: &str) -> String {
    [SOURCE, AUTH, DESTINATION, URL, ROUTE, TO, text].concat()
}

/// Everything that is found, errors and warnings, as an operator reads it.
fn found(inputs: &Inputs, text: &str) -> String {
    let findings = match load_text(inputs, text) {
        Ok(loaded) => loaded.warnings,
        Err(findings) => findings,
    };
    let blocks: Vec<String> = findings.iter().map(Finding::to_string).collect();
    blocks.join("\n")
}

fn findings(text: &str) -> String {
    found(&inputs(), text)
}

fn loaded(inputs: &Inputs, text: &str) -> Loaded {
    load_text(inputs, text).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

fn config(text: &str) -> Config {
    loaded(&inputs(), text).config
}
