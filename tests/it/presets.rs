//! The presets as files: what each sends for every sample, and that it needs what it says.

mod slack;

use std::fmt::Write as _;

use bytes::Bytes;
use mojito_relay::app::{
    DeliveryOutcome, Past, Question, Ready, SAMPLES, compile, explain, sample as find_sample,
};
use mojito_relay::config::{self, presets};
use mojito_relay::destination::Shown;
use mojito_relay::model::Subject;
use serde_json::Value;

use crate::harness::{inputs_without_a_file, sample};

/// Each preset with the least that an operator writes.
pub const OPERATORS: [(&str, &str); 10] = [
    ("slack", "url = \"https://hooks.slack.com/services/T/B/x\""),
    (
        "lever",
        "api_key = \"k3y-of-the-test\"\nwith.perform_as = \"8d49b010-cc6a-4f40-ace5-e86061c677ed\"",
    ),
    ("ashby", "api_key = \"k3y-of-the-test\""),
    (
        "workable",
        "api_key = \"k3y-of-the-test\"\nwith.subdomain = \"acme\"\nwith.member_id = \"3247e8c7\"",
    ),
    (
        "slack-bot",
        "api_key = \"k3y-of-the-test\"\nwith.channel = \"C0123456789\"",
    ),
    (
        "greenhouse",
        "auth.oauth2 = { client_id = \"client-1\", client_secret = \"k3y-of-the-test\" }",
    ),
    (
        "teamtailor",
        "api_key = \"k3y-of-the-test\"\nwith.user_id = \"2\"",
    ),
    ("smartrecruiters", "api_key = \"k3y-of-the-test\""),
    (
        "recruitee",
        "api_key = \"k3y-of-the-test\"\nwith.company = \"acme\"",
    ),
    (
        "bamboohr",
        "api_key = \"k3y-of-the-test\"\nwith.company = \"acme\"",
    ),
];

/// Later revisions, each with the sample that it follows.
const LATER: [(&str, &str); 8] = [
    ("submitted-rich", "collected"),
    ("submitted-rich-selected", "submitted-rich"),
    ("submitted-rich-rejected", "submitted-rich-selected"),
    ("submitted-rich-rescored", "submitted-rich"),
    ("submitted-rich", "submitted-rich-selected"),
    ("submitted-stopped-early", "submitted"),
    ("other-archived", "submitted"),
    ("failed", "submitted-rich"),
];

/// The rules of a relay with one destination, `ats`, that gets everything.
pub fn ready(preset: &str, keys: &str) -> Ready {
    let toml = format!(
        "[sources.jobmojito]\nauth = \"none\"\n\
         [sources.shop]\nkind = \"generic\"\nauth = \"none\"\ntype = \"/event\"\nsubject = \"/id\"\n\
         [destinations.ats]\npreset = \"{preset}\"\n{keys}\n[[routes]]\nevents = [\"*\"]\nto = [\"ats\"]\n"
    );
    let loaded = config::load_text(&inputs_without_a_file(), &toml);
    let loaded = loaded.unwrap_or_else(|findings| panic!("{preset}: {findings:#?}"));
    compile(loaded, true).unwrap_or_else(|findings| panic!("{preset}: {findings:#?}"))
}

/// What becomes of a body of `source`, by the code that does it for real. `previous` is taken for an
/// earlier revision of it that was sent.
pub fn outcome(ready: &Ready, source: &str, body: &str, previous: Option<&str>) -> DeliveryOutcome {
    let sources = &ready.compiled.rules.sources;
    let source = sources.values().find(|known| &*known.name == source);
    let (source, now) = (source.unwrap(), "2026-11-22T09:00:00Z".parse().unwrap());
    let before = previous.and_then(|previous| as_revision_of(body, previous));
    let supposed = |before: &Bytes| Past::supposed(ready, source, before, now).unwrap();
    let history: Vec<Past> = before.iter().map(supposed).collect();
    let body = Bytes::from(body.to_owned());
    let told = |history| explain(ready, Question::new(source, &body, history, now)).unwrap();
    let mut told = match told(&history) {
        equal if equal.duplicate => told(&[]),
        news => news,
    };
    told.deliveries.pop().expect("everything is routed").outcome
}

/// `previous` with the id of `body`; None where that is no subject.
fn as_revision_of(body: &str, previous: &str) -> Option<Bytes> {
    let [body, mut previous] =
        [body, previous].map(|text| serde_json::from_str::<Value>(text).unwrap());
    let id = body
        .get("id")
        .filter(|id| id.as_str().is_some_and(|id| Subject::new(id).is_ok()));
    previous["id"] = id?.clone();
    Some(previous.to_string().into())
}

#[test]
fn golden_requests_of_every_sample() {
    for (preset, keys) in OPERATORS {
        let ready = ready(preset, keys);
        let mut golden = String::new();
        for (name, body) in SAMPLES {
            section(&mut golden, name, &outcome(&ready, "jobmojito", body, None));
        }
        for (name, previous) in LATER {
            let title = format!("{name}, after {previous}");
            let told = outcome(&ready, "jobmojito", sample(name), find_sample(previous));
            section(&mut golden, &title, &told);
        }
        insta::assert_snapshot!(format!("preset-{preset}"), golden);
    }
}

fn section(golden: &mut String, title: &str, told: &DeliveryOutcome) {
    writeln!(golden, "=== {title}").unwrap();
    match told {
        DeliveryOutcome::Request(request) => write(golden, request),
        DeliveryOutcome::Skipped { reason } => writeln!(golden, "skipped: {reason}\n").unwrap(),
        DeliveryOutcome::Dead { reason } => writeln!(golden, "dead: {reason}\n").unwrap(),
    }
}

/// Method, what follows the host, the headers that a vendor looks at, and the body as an outline.
fn write(golden: &mut String, request: &Shown) {
    let place = request.url.splitn(4, '/').nth(3).unwrap_or_default();
    writeln!(golden, "{} /{place}", request.method).unwrap();
    let ours = |name: &str| {
        name.starts_with("webhook-") || name.starts_with("relay-") || name == "user-agent"
    };
    for (name, value) in request.headers.iter().filter(|(name, _)| !ours(name)) {
        writeln!(golden, "{name}: {value}").unwrap();
    }
    let body: Value = serde_json::from_str(&request.body).unwrap();
    golden.push_str(&outline(&body, 0));
    golden.push('\n');
}

/// JSON as people read it: text of several lines stands on several lines, Slack's texts are one thing.
pub fn outline(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    if let Some(text) = slack_text(value) {
        return outline(&text, depth);
    }
    match value {
        Value::Object(fields) => {
            let each = |(key, value): (&String, &Value)| {
                let below = outline(value, depth + 1);
                let gap = if below.contains('\n') && below.lines().count() > 1 || value.is_array() {
                    "\n"
                } else {
                    " "
                };
                format!("{pad}{key}:{gap}{}", below.trim_start_matches('\n'))
            };
            fields.iter().map(each).collect()
        }
        Value::Array(items) => {
            let each = |item| match outline(item, depth + 1) {
                text if text.starts_with('\n') => format!("{pad}-{text}"),
                text if text.starts_with(' ') => format!("{pad}- {}", text.trim_start()),
                text => format!("{pad}- {text}"),
            };
            items.iter().map(each).collect()
        }
        Value::String(text) if text.contains('\n') => {
            let lines = text.lines().map(|line| format!("{pad}| {line}\n"));
            format!("\n{}", lines.collect::<String>())
        }
        scalar => format!("{scalar}\n"),
    }
}

/// A text object of Slack's as one text: its kind and what it says.
fn slack_text(value: &Value) -> Option<Value> {
    let (kind, text) = (value.get("type")?.as_str()?, value.get("text")?.as_str()?);
    Some(format!("({kind}) {text}").into())
}

/// What the systems of applicants are told of samples that name no candidate, if they named one.
#[test]
fn golden_notes_of_every_sample() {
    let ready = ready("lever", OPERATORS[1].1);
    let mut golden = String::new();
    let named = |body: &str| {
        let mut body: Value = serde_json::from_str(body).unwrap();
        body["candidate_external_id"] = "c-1".into();
        body.to_string()
    };
    let first = SAMPLES.iter().map(|(name, _)| (*name, None));
    let later = LATER
        .iter()
        .map(|(name, previous)| (*name, Some(*previous)));
    for (name, previous) in first.chain(later) {
        let before = previous.map(|previous| named(sample(previous)));
        let told = outcome(&ready, "jobmojito", &named(sample(name)), before.as_deref());
        let DeliveryOutcome::Request(request) = told else {
            panic!("{name}: {told:?}");
        };
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let after = previous.map_or_else(String::new, |previous| format!(", after {previous}"));
        writeln!(
            golden,
            "=== {name}{after}\n{}\n",
            body["value"].as_str().unwrap()
        )
        .unwrap();
    }
    insta::assert_snapshot!("notes", golden);
}

#[test]
fn a_preset_names_what_its_operator_forgot() {
    for about in presets() {
        let toml = format!(
            "[sources.jobmojito]\nauth = \"none\"\n[destinations.ats]\npreset = \"{}\"\n[[routes]]\nto = [\"ats\"]\n",
            about.name
        );
        let findings = config::load_text(&inputs_without_a_file(), &toml).unwrap_err();
        let text: Vec<String> = findings
            .iter()
            .map(|finding| format!("{}: {}", finding.key, finding.problem))
            .collect();
        for key in &about.needs {
            let key = format!("destinations.ats.{key}");
            assert!(
                text.iter().any(|line| line.starts_with(&key)),
                "{key} in {text:#?}"
            );
        }
    }
}

#[test]
fn presets_only_write_notes() {
    let verbs = [
        "/stage",
        "/move",
        "/reject",
        "/advance",
        "/disqualify",
        "changeStage",
        "archive",
    ];
    for about in presets() {
        let paths = about.text.lines().filter(|line| line.starts_with("path"));
        for path in paths {
            assert!(
                !verbs.iter().any(|verb| path.contains(verb)),
                "{}: {path}",
                about.name
            );
        }
    }
}

#[test]
fn no_preset_is_left_out_of_these_tests() {
    let mut known: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
    let mut all: Vec<String> = presets().into_iter().map(|about| about.name).collect();
    known.sort_unstable();
    all.sort_unstable();
    assert_eq!(known, all);
}
