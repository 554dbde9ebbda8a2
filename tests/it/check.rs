//! What `relay check` finds in templates and rules, before anything is sent.

use jiff::Timestamp;
use mojito_relay::app::{compile, rehearse};
use mojito_relay::config::{self, Inputs, Secrets};

use crate::harness::toml_blocks;

/// Everything that is found, one block after the other.
fn check(toml: &str) -> String {
    let inputs = Inputs {
        file: "relay.toml".into(),
        environment: Vec::new(),
        flags: Vec::new(),
        secrets: Secrets::Skip,
    };
    let findings = match config::load_text(&inputs, toml).and_then(|loaded| compile(loaded, false))
    {
        Err(findings) => findings,
        Ok(ready) => {
            let found = rehearse(&ready, Timestamp::UNIX_EPOCH).findings;
            ready.warnings.into_iter().chain(found).collect()
        }
    };
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn with(destination: &str, route: &str) -> String {
    format!(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\nurl = \"http://127.0.0.1:9000/\"\n{destination}\n\
         [[routes]]\nname = \"all\"\nto = [\"app\"]\n{route}\n"
    )
}

#[test]
fn a_sound_configuration_renders_and_nothing_is_found() {
    assert_eq!(
        check(&with(
            "body = { score = \"{{ result.score }}\" }",
            "when = \"result.score != null && result.score > 4\""
        )),
        ""
    );
}

#[test]
fn the_shipped_configuration_is_sound() {
    let shipped = std::fs::read_to_string("relay.toml").unwrap();
    assert_eq!(check(&shipped), "");
}

#[test]
fn every_example_of_the_readme_is_sound() {
    let examples = toml_blocks(&std::fs::read_to_string("README.md").unwrap());
    assert!(!examples.is_empty());
    for example in examples {
        assert_eq!(check(&example), "", "{example}");
    }
}

#[test]
fn a_template_that_does_not_parse_is_named_with_its_line() {
    insta::assert_snapshot!(check(&with("body = { a = \"{{ result.score \" }", "")), @r#"
relay.toml:5: destinations.app.body.a: unexpected end of input, expected end of variable block
"#);
    insta::assert_snapshot!(check(&with("body = { a = \"{{ reslt.score }}\" }", "")), @r#"
relay.toml:5: destinations.app.body.a: unknown name `reslt`
  hint: did you mean `result`?
"#);
}

#[test]
fn a_template_that_fails_on_a_sample_is_named_with_the_sample() {
    insta::assert_snapshot!(check(&with("body = { a = \"{{ result.score + 1 }}\" }", "")), @r#"
relay.toml:3: destinations.app: cannot be rendered for sample collected (route all): body.a, line 1: something that these kinds of values do not allow (it reads result.score)
  hint: a delivery like that would be dead; `require` skips one whose field is null, and `| default(…)` gives a null another value
"#);
    insta::assert_snapshot!(check(&with("", "").replace("9000/", "9000/{{ result.candidate_external_id }}/note")), @r#"
relay.toml:3: destinations.app: cannot be rendered for sample collected (route all): url: path segment 1 would be empty (it reads result.candidate_external_id)
  hint: a delivery like that would be dead; `require` skips one whose field is null, and `| default(…)` gives a null another value
"#);
}

#[test]
fn a_field_that_no_result_has_is_named_with_the_one_that_was_meant() {
    insta::assert_snapshot!(check(&with("body = { a = \"{{ result.scor }}\" }", "")), @r#"
relay.toml:5: destinations.app.body.a: `result.scor` is no field of an interview result
  hint: did you mean `result.score`?
"#);
    insta::assert_snapshot!(check(&with("", "when = \"result.recruiter_go_next_rund == true\"")), @r#"
relay.toml:9: routes[0].when: `result.recruiter_go_next_rund` is no field of an interview result
  hint: did you mean `result.recruiter_go_next_round`?
"#);
}

#[test]
fn a_condition_that_fails_on_a_sample_is_doubted() {
    insta::assert_snapshot!(check(&with("", "when = \"result.score > 4\"")), @r#"
relay.toml:9: warning: routes[0].when: fails on sample collected as a first revision: > cannot be applied to null and int; that counts as no match
  hint: ask for null first, such as: result.score != null && result.score >= 4
"#);
}

#[test]
fn a_condition_that_does_not_parse_is_named_with_its_column() {
    insta::assert_snapshot!(check(&with("", "when = \"result.score >\"")), @r#"
relay.toml:9: routes[0].when: bad expression at column 15: Syntax error: mismatched input '<EOF>'
  hint: a condition looks like result.score != null && result.score >= 4
"#);
}

#[test]
fn a_response_rule_that_does_not_parse_is_named() {
    insta::assert_snapshot!(check(&with("accepted_when = \"stats == 200\"", "")), @r#"
relay.toml:5: destinations.app.accepted_when: unknown name `stats`, at column 1
  hint: an expression here may use status, headers, body, json
"#);
}
