//! The shipped relay.toml: it loads as it is, documents every key, and writes the real defaults.

use super::{config, inputs, loaded};
use mojito_relay::config::{Finding, Inputs, Secrets, load_text, schema};
use proptest::prelude::*;

const REFERENCE: &str = include_str!("../../../relay.toml");

/// The same names as in the reference, and nothing that has a default.
const BARE: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.local]
url = "http://127.0.0.1:9000/interviews"
[[routes]]
name = "everything"
to = ["local"]
"#;

#[test]
fn it_loads_with_nothing_set_and_nothing_found() {
    let loaded = loaded(&inputs(), REFERENCE);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let config = loaded.config;
    assert!(config.server.listen.ip().is_loopback());
    assert_eq!(&*config.sources[0].name, "jobmojito");
    assert_eq!(&*config.destinations[0].0.name, "local");
}

#[test]
fn the_written_defaults_are_the_real_ones() {
    let uncommented = REFERENCE.lines().filter_map(default_of).count();
    assert!(uncommented > 30, "only {uncommented} defaults are written");
    let described = |text: &str| {
        let config = config(text);
        format!(
            "{:#?}",
            (
                config.server,
                config.admin,
                config.store,
                config.log,
                config.sources,
                config.destinations,
                config.routes,
            )
        )
    };
    assert_eq!(described(&with_defaults()), described(BARE));
}

#[test]
fn every_key_is_documented() {
    let mentions = |key: &str| {
        [format!("{key} = "), format!("[{key}]"), format!("[{key}.")]
            .iter()
            .any(|form| {
                REFERENCE.match_indices(form.as_str()).any(|(at, _)| {
                    let before = REFERENCE
                        .get(..at)
                        .and_then(|text| text.chars().next_back());
                    before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
                })
            })
    };
    for section in schema::SECTIONS {
        for key in &section.keys {
            assert!(
                mentions(key),
                "{}.{key} is not in relay.toml",
                section.place
            );
        }
    }
}

#[test]
fn every_example_can_be_switched_on() {
    let inputs = Inputs {
        secrets: Secrets::Skip,
        ..inputs()
    };
    let examples = with_each_example();
    assert!(examples.len() > 20);
    for (line, text) in examples {
        let errors = load_text(&inputs, &text).err().unwrap_or_default();
        let errors: Vec<_> = errors.iter().filter(|finding| finding.is_error()).collect();
        assert!(errors.is_empty(), "{line}: {errors:#?}");
    }
}

proptest! {
    /// Whatever an editor does to the file: findings, never a panic.
    #[test]
    fn a_damaged_file_is_findings(at in 0..10_000usize, gone in 0..40usize, put in "[\\PC\n]{0,6}") {
        let whole = with_defaults();
        let cut = |at: usize| whole.ceil_char_boundary(at.min(whole.len()));
        let before = whole.get(..cut(at)).expect("a boundary");
        let rest = whole.get(cut(at + gone)..).expect("a boundary");
        let text = format!("{before}{put}{rest}");
        if let Err(findings) = load_text(&inputs(), &text) {
            prop_assert!(findings.iter().any(Finding::is_error));
        }
    }
}

/// The reference with every default line in force.
pub(super) fn with_defaults() -> String {
    let lines: Vec<&str> = REFERENCE
        .lines()
        .map(|line| default_of(line).unwrap_or(line))
        .collect();
    lines.join("\n")
}

/// Each example of the reference, and the reference with it switched on.
pub(super) fn with_each_example() -> Vec<(&'static str, String)> {
    let lines: Vec<&str> = REFERENCE.lines().collect();
    let examples = (0..lines.len()).filter(|at| example_of(lines[*at]).is_some());
    examples
        .map(|at| (lines[at], with_example(&lines, at)))
        .collect()
}

/// `# key = value`.
fn default_of(line: &str) -> Option<&str> {
    line.strip_prefix("# ")
        .filter(|rest| key_of(rest).is_some())
}

/// `#key = value` or `#[block]`.
fn example_of(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| rest.starts_with('[') || key_of(rest).is_some())
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(" = ")?;
    let is_key = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_key.then_some(key)
}

/// The reference with the example in line `at` switched on, and what it replaces taken out. All blocks
/// are switched on with it: routes name destinations.
fn with_example(lines: &[&str], at: usize) -> String {
    let mut block = 0;
    let mut open = false;
    let mut parts: Vec<(usize, usize, String)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let header = example_of(line).filter(|rest| rest.starts_with('['));
        if line.starts_with('[') || header.is_some() {
            block += 1;
            open = header.is_some();
        }
        open &= example_of(line).is_some();
        let chosen = number == at || open;
        let text = example_of(line).filter(|_| chosen).unwrap_or(line);
        parts.push((number, block, text.to_owned()));
    }
    let (_, chosen_block, chosen) = parts[at].clone();
    let chosen_key = key_of(&chosen).map(str::to_owned);
    let replaced = |key: Option<&str>| key.is_some() && key == chosen_key.as_deref();
    let kept = parts.iter().filter(|(number, block, text)| {
        *number == at || *block != chosen_block || !replaced(key_of(text))
    });
    let kept: Vec<&str> = kept.map(|(_, _, text)| text.as_str()).collect();
    kept.join("\n")
}
