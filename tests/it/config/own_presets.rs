//! `presets_dir`: presets of the operator's own, and what is found in their files.

use mojito_relay::app::compile;
use mojito_relay::config::{About, Inputs, Loaded, Secrets, load_text, presets_of};
use mojito_relay::destination::{BodyFormat, ConfigText};
use tempfile::TempDir;

use super::inputs;

const USED: &str = "presets_dir = \"mine\"\n[sources.jobmojito]\nauth = \"none\"\n[destinations.ats]\npreset = \"nme\"\n\
                    [[routes]]\nto = [\"ats\"]\n";
const NME: &str = r#"base = "ats"
base_url = "https://nme.example.com"
rate_limit = "2/s"
[about]
title = "NME: a note"
needs = ["api_key"]
vendor_rate = "4/s"
[create]
path = "/people/{{ result.candidate_external_id }}"
body = { text = "{{ texts.note }}" }
"#;

/// A folder with a relay.toml and, in `mine`, presets.
struct Home(TempDir);

impl Home {
    fn with(presets: &[(&str, &str)]) -> Self {
        let home = TempDir::new().unwrap();
        std::fs::create_dir(home.path().join("mine")).unwrap();
        for (name, text) in presets {
            std::fs::write(home.path().join("mine").join(name), text).unwrap();
        }
        Self(home)
    }

    fn inputs(&self) -> Inputs {
        Inputs {
            file: self.0.path().join("relay.toml"),
            secrets: Secrets::Skip,
            ..inputs()
        }
    }

    fn loaded(&self, text: &str) -> Loaded {
        load_text(&self.inputs(), text).unwrap_or_else(|findings| panic!("{findings:#?}"))
    }

    /// Everything that is found, also by compiling, with the folder left out.
    fn findings(&self, text: &str) -> String {
        let ready = load_text(&self.inputs(), text).and_then(|loaded| compile(loaded, false));
        let findings = match ready {
            Ok(ready) => ready.warnings,
            Err(findings) => findings,
        };
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let folder = format!("{}/", self.0.path().display());
        lines.join("\n").replace(&folder, "")
    }

    fn presets(&self, text: &str) -> Vec<About> {
        std::fs::write(self.0.path().join("relay.toml"), text).unwrap();
        let (presets, findings) = presets_of(&self.inputs());
        assert!(findings.is_empty(), "{findings:?}");
        presets
    }
}

fn used(keys: &str) -> String {
    USED.replace("[[routes]]", &format!("{keys}\n[[routes]]"))
}

#[test]
fn an_own_preset_lies_under_the_operator_s_keys_and_over_its_base() {
    let home = Home::with(&[("nme.toml", NME), ("README.md", "not a preset")]);
    let loaded = home.loaded(&used("api_key = { env = \"K\" }\ntimeout = \"5s\""));
    let (settings, lane) = &loaded.config.destinations[0];
    assert_eq!(settings.preset.as_deref(), Some("nme"));
    assert_eq!(settings.timeout.as_secs(), 5);
    assert_eq!(settings.require, ["result.candidate_external_id"]);
    assert_eq!(
        lane.rate_limit.map(|rate| rate.to_string()).as_deref(),
        Some("2/s")
    );
    assert_eq!(
        settings.vendor_rate.map(|rate| rate.to_string()).as_deref(),
        Some("4/s")
    );
    assert!(
        matches!(&settings.url, ConfigText::Template(url) if url.starts_with("https://nme.example.com/people/"))
    );
    assert!(
        matches!(&settings.body, BodyFormat::Structured(body) if body["text"] == "{{ texts.note }}")
    );
    assert!(compile(loaded, false).is_ok());
}

#[test]
fn a_built_in_preset_can_be_the_base_and_its_needs_stay() {
    let text = "base = \"workable\"\nrate_limit = \"1/s\"\n[about]\ntitle = \"Ours\"\n";
    let home = Home::with(&[("ours.toml", text)]);
    let toml = used("").replace("nme", "ours");
    insta::assert_snapshot!(home.findings(&toml), @r#"
relay.toml:4: destinations.ats.with.subdomain: `with.subdomain` is required: it is part of the host's name
  hint: write subdomain = "your-company" in with = { … }: letters, digits and -
relay.toml:4: destinations.ats.api_key: the preset `ours` needs `api_key`
  hint: `relay presets ours` tells what for
relay.toml:4: destinations.ats.with.member_id: the preset `ours` needs `with.member_id`
  hint: `relay presets ours` tells what for
"#);
    let about = home
        .presets(&toml)
        .into_iter()
        .find(|about| about.name == "ours")
        .unwrap();
    assert_eq!(about.title, "Ours");
    assert_eq!(about.needs, ["api_key", "with.subdomain", "with.member_id"]);
    assert_eq!(
        (about.rate_limit.as_str(), about.vendor_rate.as_deref()),
        ("1/s", Some("10/10s"))
    );
}

#[test]
fn what_the_operator_forgot_is_said_of_relay_toml() {
    let home = Home::with(&[("nme.toml", NME)]);
    insta::assert_snapshot!(home.findings(USED), @r#"
relay.toml:4: destinations.ats.api_key: the preset `nme` needs `api_key`
  hint: `relay presets nme` tells what for
"#);
}

#[test]
fn a_name_that_is_taken_or_cannot_be_one_is_refused() {
    let home = Home::with(&[
        ("lever.toml", NME),
        ("ats.toml", NME),
        ("My Notes.toml", NME),
    ]);
    insta::assert_snapshot!(home.findings(&USED.replace("\"nme\"", "\"slack\"\nurl = { env = \"U\" }")), @r#"
mine/ats.toml: there is a built-in preset "ats"
  hint: give the file another name; base = "ats" lays it over that one
mine/lever.toml: there is a built-in preset "lever"
  hint: give the file another name; base = "lever" lays it over that one
mine/My Notes.toml: "My Notes" cannot be a name
  hint: a name has 1 to 64 of a-z, 0-9, _ and -
"#);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let home = Home::with(&[]);
    let toml = USED
        .replace("\"mine\"", "\"elsewhere\"")
        .replace("\"nme\"", "\"slack\"\nurl = { env = \"U\" }");
    insta::assert_snapshot!(home.findings(&toml), @r#"
relay.toml:1: presets_dir: there is no folder elsewhere
  hint: it is a folder, relative to that of relay.toml
"#);
}

#[test]
fn every_mistake_in_it_names_its_file_and_line_whoever_uses_it() {
    let broken = r#"base = "atz"
base_url = "https://nme.example.com/v1"
tiemout = "10s"
rate_limit = "fast"
[about]
titel = "NME"
needs = ["api_key", "wth.company"]
vendor_rate = "often"
[retry]
frist = "1s"
attempts = 0
[create]
method = "POSTE"
body = { text = "{{ texts.note }}" }
"#;
    let home = Home::with(&[("nme.toml", broken), ("torn.toml", "[about\n")]);
    let found = home.findings(&used("api_key = { env = \"K\" }\nconcurency = 3"));
    insta::assert_snapshot!(found, @r#"
relay.toml:7: destinations.ats.concurency: unknown key
  hint: did you mean "concurrency"?
mine/nme.toml:1: base: there is no built-in preset "atz"
  hint: did you mean "ats"?
mine/nme.toml:2: base_url: expected scheme and host alone
  hint: write "https://api.example.com"
mine/nme.toml:3: tiemout: unknown key
  hint: did you mean "timeout"?
mine/nme.toml:4: rate_limit: expected a rate, found "fast"
  hint: write "1/s", "50/10s" or "600/min", or "none"
mine/nme.toml:5: about.title: `title` is required
  hint: write title = "what it makes, and where"
mine/nme.toml:6: about.titel: unknown key
  hint: did you mean "title"?
mine/nme.toml:7: about.needs[1]: `wth.company` is no key of a destination
  hint: did you mean "with"?
mine/nme.toml:8: about.vendor_rate: expected a rate, found "often"
  hint: write "1/s", "50/10s" or "600/min", or "none"
mine/nme.toml:10: retry.frist: unknown key
  hint: did you mean "first"?
mine/nme.toml:11: retry.attempts: expected a whole number of at least 1, found 0
  hint: write a number such as 8, without quotes
mine/nme.toml:12: create.path: `path` is required
  hint: write path = "…"
mine/nme.toml:13: create.method: expected one of "POST", "PUT", "PATCH", "DELETE", "GET", found "POSTE"
  hint: did you mean "POST"?
mine/torn.toml:1: this is not TOML: column 7: unclosed table, expected `]`
  hint: text stands in quotes, and a key only once in its table
"#);
    let unused = USED.replace("\"nme\"", "\"slack\"\nurl = { env = \"U\" }");
    let (own, rest) = found.split_at(found.find("mine/").unwrap());
    assert!(own.starts_with("relay.toml:7"));
    assert_eq!(home.findings(&unused), rest);
}

#[test]
fn a_preset_that_cannot_be_read_is_not_called_missing() {
    let home = Home::with(&[("nme.toml", "[about\n")]);
    insta::assert_snapshot!(home.findings(USED), @r#"
mine/nme.toml:1: this is not TOML: column 7: unclosed table, expected `]`
  hint: text stands in quotes, and a key only once in its table
"#);
}

#[test]
fn another_preset_is_another_configuration() {
    let toml = used("api_key = { env = \"K\" }");
    let home = Home::with(&[("nme.toml", NME)]);
    let loaded = home.loaded(&toml);
    assert!(
        loaded.files.contains(&home.0.path().join("mine/nme.toml")),
        "a change of it is a reload"
    );
    let before = loaded.config.hash;
    assert_eq!(home.loaded(&toml).config.hash, before);
    std::fs::write(home.0.path().join("mine/nme.toml"), format!("{NME}\n")).unwrap();
    assert_ne!(home.loaded(&toml).config.hash, before);
}

#[test]
fn a_template_or_rule_that_does_not_compile_is_found_in_its_file_and_once() {
    let broken =
        NME.replace("texts.note", "txets.note") + "[update]\npath = \"/notes/{{ receipt\"\n";
    let broken = broken.replace(
        "rate_limit",
        "receipt = \"/id\"\naccepted_when = \"json.ok =\"\nrate_limit",
    );
    let home = Home::with(&[("nme.toml", &broken)]);
    let toml = used("api_key = { env = \"K\" }\n[destinations.other]\npreset = \"nme\"\napi_key = { env = \"K\" }")
        .replace("[\"ats\"]", "[\"ats\", \"other\"]");
    insta::assert_snapshot!(home.findings(&toml), @r#"
mine/nme.toml:12: create.body.text: unknown name `txets`
  hint: did you mean `texts`?
mine/nme.toml:14: update.path: path segment 2: unexpected end of input, expected end of variable block
mine/nme.toml:4: accepted_when: Syntax error: token recognition error at: '=', at column 9
"#);
    let unused = USED.replace("\"nme\"", "\"slack\"\nurl = { env = \"U\" }");
    assert_eq!(home.findings(&unused), home.findings(&toml));
}

#[test]
fn a_slip_in_a_preset_s_name_is_answered_with_an_own_one_too() {
    let home = Home::with(&[("nme.toml", NME)]);
    insta::assert_snapshot!(home.findings(&USED.replace("\"nme\"", "\"nmee\"\nurl = { env = \"U\" }")), @r#"
relay.toml:5: destinations.ats.preset: there is no preset "nmee"
  hint: did you mean "nme"?
"#);
}

#[test]
fn the_example_in_the_documents_is_sound() {
    let toml = USED
        .replace("mine", "docs/presets")
        .replace("nme", "hr-notes");
    let toml = toml.replace(
        "[[routes]]",
        "api_key = { env = \"K\" }\nwith = { company = \"acme\" }\n[[routes]]",
    );
    let inputs = Inputs {
        secrets: Secrets::Skip,
        ..inputs()
    };
    let ready = load_text(&inputs, &toml)
        .and_then(|loaded| compile(loaded, false))
        .unwrap();
    assert!(ready.warnings.is_empty());
}
