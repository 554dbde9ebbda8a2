//! The JSON Schema of relay.toml: it is the one that is committed, takes every example that there is,
//! and says of a value what the reader says of it.

use mojito_relay::config::schema;
use mojito_relay::destination::preset;
use serde_json::{Value, json};

use super::{findings, in_destination, in_route, in_source, reference, with};
use crate::documents::pages;
use crate::harness::{by_schema, toml_blocks};

#[test]
fn the_committed_file_is_what_relay_schema_prints() {
    let committed = std::fs::read_to_string("relay.schema.json").unwrap();
    let printed = format!("{:#}\n", schema::json());
    assert!(
        committed == printed,
        "write it again: cargo run -- schema > relay.schema.json"
    );
}

#[test]
fn it_takes_the_reference_with_each_of_its_defaults_and_examples() {
    assert_eq!(by_schema(&reference::with_defaults()), "");
    for (line, text) in reference::with_each_example() {
        assert_eq!(by_schema(&text), "", "{line}");
    }
}

#[test]
fn it_takes_every_example_of_the_documents_and_the_demo() {
    let mut texts = vec![std::fs::read_to_string("src/cli/demo/relay.toml").unwrap()];
    for (_, page) in pages() {
        texts.extend(toml_blocks(&page));
    }
    assert!(texts.len() > 1);
    for text in texts {
        assert_eq!(by_schema(&text), "", "{text}");
    }
}

#[test]
fn it_takes_the_example_at_the_head_of_each_preset() {
    let presets = mojito_relay::config::presets();
    for about in &presets {
        let head = about
            .text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .filter_map(|line| line.strip_prefix("#   "))
            .collect::<Vec<_>>()
            .join("\n");
        assert!(
            head.contains(&format!("preset = \"{}\"", about.name)),
            "{head}"
        );
        assert_eq!(by_schema(&head), "", "{}", about.name);
    }
    assert!(!presets.is_empty());
}

#[test]
fn that_of_presets_takes_every_preset_and_refuses_a_slip() {
    let validator = jsonschema::draft7::new(&schema::preset_json()).unwrap();
    let judged = |text: &str| {
        let value: Value = toml_edit::de::from_str(text).unwrap();
        validator
            .iter_errors(&value)
            .next()
            .map(|error| error.to_string())
    };
    let example = std::fs::read_to_string("docs/presets/hr-notes.toml").unwrap();
    assert_eq!(judged(&example), None);
    for (name, text) in preset::BUILT_IN.iter().chain(preset::BASES) {
        assert_eq!(judged(text), None, "{name}");
    }
    let slip = example.replace("vendor_rate", "vendor_rates");
    assert!(judged(&slip).unwrap().contains("vendor_rates"));
    assert!(judged("preset = \"slack\"").unwrap().contains("preset"));
}

#[test]
fn a_slip_of_the_pen_is_refused_and_named() {
    let check = |text: &str, words: &str| {
        let said = by_schema(text);
        assert!(said.contains(words), "{text}\n{said}");
        assert_ne!(findings(text), "", "{text}");
    };
    check(&with("[sever]\n"), "'sever'");
    check(&with("[server]\nlistn = \"127.0.0.1:80\"\n"), "'listn'");
    check(
        &in_source("auth = \"none\"\nkinds = \"generic\""),
        "'kinds'",
    );
    check(&in_destination("retry = { frist = \"1s\" }"), "'frist'");
    check(&in_destination("settel = \"20s\""), "'settel'");
    check(&in_route("whem = \"true\""), "'whem'");
    check(&in_source("auth = { bearer = [{ evn = \"X\" }] }"), "auth");
    check(&in_source(""), "\"auth\" is a required property");
}

/// Keys with forms of their own, and texts for them, parted by |.
const FORMS: [(&str, &str); 7] = [
    (
        "[server]\nheader_deadline = @",
        "250ms|15s|1m 30s|2 min|5||a while|15 parsecs|-1s|s",
    ),
    (
        "[server]\nmax_body = @",
        "256 KiB|1MiB|1.5 MB|1048576|10b|a lot||KiB|1 XB",
    ),
    (
        "[server]\nlisten = @",
        "127.0.0.1:80|[::1]:80|localhost:80|127.0.0.1|:80",
    ),
    (
        "[server]\ntrusted_proxies = [@]",
        "10.0.0.0/8|203.0.113.7|::1|fe80::/10|home|10.0.0.0/x|",
    ),
    (
        "[destinations.b]\nurl = \"http://x/\"\nrate_limit = @",
        "1/s|50/10s|600/min|none|2 / 250ms|fast|5|5/|/s|-1/s",
    ),
    (
        "[destinations.b]\nurl = \"http://x/\"\nreceipt = @",
        "/id|/data/0/id|/a~1b|id||/a~b|/a~2b",
    ),
    (
        "[destinations.b]\nurl = \"http://x/\"\napi_key = \"k\"\napi_key_in = @",
        "bearer|basic|basic:x|header:X-Api-Key|query:key|cookie|header|query:",
    ),
];

/// Whatever the reader takes, the schema takes, and the other way round.
#[test]
fn patterns_say_what_the_reader_says() {
    for (key, values) in FORMS {
        for value in values.split('|') {
            let text = with(&key.replace('@', &json!(value).to_string()));
            let read = !findings(&text).contains("expected");
            let said = by_schema(&text);
            assert_eq!(said.is_empty(), read, "{text}\n{said}");
        }
    }
}

/// Each list of words to choose from is the one that the reader names.
#[test]
fn choices_are_those_of_the_reader() {
    type Within = fn(&str) -> String;
    let schema = schema::json();
    let mut seen = 0;
    let tables: [(&Value, Within); 3] = [
        (&schema["properties"]["log"], |text| {
            with(&format!("[log]\n{text}"))
        }),
        (
            &schema["properties"]["sources"]["additionalProperties"],
            in_source,
        ),
        (
            &schema["properties"]["destinations"]["additionalProperties"],
            in_destination,
        ),
    ];
    for (section, within) in tables {
        for (key, property) in section["properties"].as_object().unwrap() {
            let Some(words) = property["enum"].as_array() else {
                continue;
            };
            let said = findings(&within(&format!("{key} = \"no-such-word\"\n")));
            let words: Vec<String> = words.iter().map(Value::to_string).collect();
            let listed = format!("expected one of {}, found", words.join(", "));
            assert!(said.contains(&listed), "{key}: {said}\n{listed}");
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn no_key_of_a_later_version_is_in_it() {
    for section in schema::SECTIONS {
        for later in section.later {
            assert!(!section.keys.iter().any(|key| key == later), "{later}");
        }
    }
}
