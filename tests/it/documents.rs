//! What docs/ and README.md show is true: complete examples pass `relay check`, and the table of a preset's
//! keys is the schema's.

use std::collections::BTreeMap;

use mojito_relay::config::schema;
use serde_json::Value;

use crate::check::check;
use crate::harness::{by_schema, toml_blocks};

/// Name and text of README.md, SECURITY.md and every page in docs.
pub fn pages() -> Vec<(String, String)> {
    let docs = std::fs::read_dir("docs").unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .chain(["README.md".into(), "SECURITY.md".into()])
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    pages.sort();
    pages
}

#[test]
fn every_complete_example_passes_check_with_nothing_found() {
    let mut complete = BTreeMap::new();
    for (page, text) in pages() {
        for block in toml_blocks(&text) {
            if block.contains("[[routes]]") {
                assert_eq!(check(&block), "", "{page}:\n{block}");
                *complete.entry(page.clone()).or_insert(0) += 1;
            }
        }
    }
    for page in ["slack", "applicant-tracking-systems", "http"] {
        let found = complete.get(&format!("docs/{page}.md"));
        assert!(found.is_some(), "docs/{page}.md has no complete relay.toml");
    }
}

#[test]
fn every_preset_is_in_a_complete_example() {
    let blocks: Vec<String> = pages()
        .iter()
        .flat_map(|(_, text)| toml_blocks(text))
        .collect();
    for about in mojito_relay::config::presets() {
        let used = format!("preset = \"{}\"", about.name);
        let mut complete = blocks.iter().filter(|block| block.contains("[[routes]]"));
        assert!(complete.any(|block| block.contains(&used)), "{used}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for (page, text) in pages() {
        let folder = std::path::Path::new(&page).parent().unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !link.contains("://") {
                assert!(folder.join(file).exists(), "{page}: {link}");
            }
        }
    }
}

/// Where the module of a test's name may stand, without what `cargo test` calls the binaries.
fn files_of(module: &str) -> Vec<String> {
    let inside = module.strip_suffix("::tests").unwrap_or(module);
    let (path, inside) = (module.replace("::", "/"), inside.replace("::", "/"));
    let roots = ["tests/it", "tests/binary", "tests/browser"];
    let tests = roots
        .iter()
        .flat_map(|root| [format!("{root}/{path}.rs"), format!("{root}/{path}/mod.rs")]);
    let own = ["", "/mod", "/tests"].map(|end| format!("src/{inside}{end}.rs"));
    tests.chain(own).collect()
}

/// Whether `text` has a test of this name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    };
    let marked = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let Some(at) = lines.iter().position(|line| begins(line)) else {
        return false;
    };
    let above = lines[..at].iter().rev();
    above
        .take_while(|line| !line.is_empty() && **line != "}")
        .any(marked)
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let text = std::fs::read_to_string("docs/threat-model.md").unwrap();
    let named: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains("::") && !code.contains(['/', ' ']))
        .collect();
    assert!(named.len() > 60, "only {} tests are named", named.len());
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|test| {
            let (module, name) = test.rsplit_once("::").unwrap();
            let mut files = files_of(module).into_iter();
            !files.any(|file| std::fs::read_to_string(file).is_ok_and(|text| has_test(&text, name)))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
    for (text, name) in [("#[test]\nfn one() {", "other"), ("fn one() {", "one")] {
        assert!(!has_test(text, name), "a helper is no test");
    }
}

/// A row of the tables of keys: key, what, default, example.
fn rows() -> Vec<[String; 4]> {
    let text = std::fs::read_to_string("docs/presets.md").unwrap();
    let cells = |line: &str| {
        let cells: Vec<String> = line
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect();
        cells.try_into().ok()
    };
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(cells).collect()
}

/// Every key of a preset's file, dotted, with its schema.
fn keys() -> BTreeMap<String, Value> {
    fn below(path: &str, properties: &Value, keys: &mut BTreeMap<String, Value>) {
        for (key, schema) in properties.as_object().unwrap() {
            let key = format!("{path}{key}");
            if schema.get("properties").is_some() {
                below(&format!("{key}."), &schema["properties"], keys);
            } else {
                keys.insert(key, schema.clone());
            }
        }
    }
    let mut keys = BTreeMap::new();
    below("", &schema::preset_json()["properties"], &mut keys);
    keys
}

#[test]
fn every_key_of_a_preset_is_documented_and_every_documented_key_is_one() {
    let keys = keys();
    let rows = rows();
    let documented: Vec<&str> = rows.iter().map(|[key, ..]| key.trim_matches('`')).collect();
    for key in keys.keys() {
        assert!(
            documented.contains(&key.as_str()),
            "{key} is not documented"
        );
    }
    for [key, what, default, _] in &rows {
        let schema = keys.get(key.trim_matches('`'));
        let schema = schema.unwrap_or_else(|| panic!("{key} is no key"));
        assert_eq!(schema["description"], what.as_str(), "{key}");
        let real = schema.get("default");
        let real = real.map_or_else(|| "–".to_owned(), |real| format!("`{real}`"));
        assert_eq!(*default, real, "{key}");
    }
}

#[test]
fn every_example_of_a_key_is_right_by_the_schema() {
    for [key, _, _, example] in rows() {
        let (key, example) = (key.trim_matches('`'), example.trim_matches('`'));
        if key == "base" || key.starts_with("about.") {
            continue;
        }
        assert_eq!(
            by_schema(&format!("destinations.d.{key} = {example}")),
            "",
            "{key}"
        );
    }
}
