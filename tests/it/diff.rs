//! What another relay.toml would make of the same bodies.

use bytes::Bytes;
use jiff::Timestamp;
use mojito_relay::app::DifferenceKind::{Appears, Changes, Vanishes};
use mojito_relay::app::{
    DifferenceKind, Explanation, Question, compile, differences, explain, sample,
};
use mojito_relay::config;

use crate::harness::inputs_without_a_file;

const OLD: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.app]
url = "http://app.test/in"
[destinations.ats]
url = "http://ats.test/{{ result.candidate_external_id }}"
body = { score = "{{ result.score }}" }
[[routes]]
name = "high"
when = "result.score >= 5.0"
to = ["app", "ats"]
"#;

fn explained(toml: &str) -> Explanation {
    let loaded = config::load_text(&inputs_without_a_file(), toml).unwrap();
    let ready = compile(loaded, true).unwrap();
    let source = ready.compiled.rules.sources["jobmojito"].clone();
    let body = Bytes::from(sample("submitted-rich").unwrap());
    let now: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    explain(&ready, Question::new(&source, &body, &[], now)).unwrap()
}

#[test]
fn deliveries_appear_vanish_and_change() {
    let check = |new: &str, expect: &[(&str, DifferenceKind, &[&str])]| {
        let found = differences(&explained(OLD), &explained(new));
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.destination.as_str(), one.kind, one.what.clone()))
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(name, kind, what)| {
                (
                    *name,
                    *kind,
                    what.iter().map(ToString::to_string).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(found, expect, "{new}");
    };
    check(OLD, &[]);
    check(
        &OLD.replace(">= 5.0", ">= 6.0"),
        &[("app", Vanishes, &[]), ("ats", Vanishes, &[])],
    );
    check(
        &OLD.replace("[\"app\", \"ats\"]", "[\"ats\"]"),
        &[("app", Vanishes, &[])],
    );
    check(
        &OLD.replace("result.score }}\"", "result.score * 2 }}\""),
        &[("ats", Changes, &["another body"])],
    );
    check(
        &OLD.replace(
            "ats.test/{{ result.candidate_external_id }}",
            "ats.test/{{ result.nope }}",
        ),
        &[(
            "ats",
            Changes,
            &["sent → dead (url: path segment 1 would be empty (it reads result.nope))"],
        )],
    );
    let more = OLD.replace(
        "[[routes]]",
        "[destinations.new]\nurl = \"http://new.test/in\"\n[[routes]]\nto = [\"new\"]\n[[routes]]",
    );
    check(&more, &[("new", Appears, &[])]);
}
