//! What `relay check` finds in templates and rules, before anything is sent.

use std::path::Path;

use jiff::Timestamp;
use mojito_relay::app::{compile, rehearse};
use mojito_relay::config::{self, Inputs, Secrets};
use tempfile::TempDir;

use crate::harness::toml_blocks;

/// Everything that is found, one block after the other.
pub fn check(toml: &str) -> String {
    checked(toml, Path::new("")).0
}

#[test]
fn a_field_that_nobody_sends_is_found_in_require_and_in_tests() {
    let toml = "[sources.jobmojito]\nauth = \"none\"\n[destinations.ats]\nurl = \"http://127.0.0.1/x\"\n\
                require = [\"result.candidate_externl_id\"]\n[[routes]]\nto = [\"ats\"]\n\
                [[tests]]\nevent = \"submitted-rich\"\nset = { socre = 3 }\nto = [\"ats\"]\n";
    let found = check(toml);
    for words in [
        "relay.toml:5: destinations.ats.require[0]: `result.candidate_externl_id` is no field of an interview result",
        "did you mean `result.candidate_external_id`?",
        "tests[0].set: `result.socre` is no field of an interview result",
    ] {
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn credentials_in_clear_text_are_doubted() {
    let with = |url: &str, more: &str| {
        format!(
            "[sources.jobmojito]\nauth = \"none\"\n[destinations.ats]\nurl = {url}\n{more}\n[[routes]]\nto = [\"ats\"]\n"
        )
    };
    let key = "api_key = { env = \"K\" }";
    let clear = "credentials would travel in clear text";
    assert!(check(&with("\"http://ats.example.com/x\"", key)).contains(clear));
    assert_eq!(check(&with("\"https://ats.example.com/x\"", key)), "");
    assert_eq!(check(&with("\"http://ats.example.com/x\"", "")), "");
    assert_eq!(check(&with("\"http://127.0.0.1:9000/x\"", key)), "");
    let plain = "secret in plain text";
    assert!(check(&with("\"https://ats.example.com/x?token=abc\"", "")).contains(plain));
    let slack = with(
        "\"https://proxy.example.com/services/T/B/x\"",
        "preset = \"slack\"",
    );
    assert!(check(&slack).contains(plain));
}

/// The same for a relay.toml in `folder`, and how many tests passed.
fn checked(toml: &str, folder: &Path) -> (String, usize) {
    let mut passed = 0;
    let inputs = Inputs {
        file: folder.join("relay.toml"),
        environment: Vec::new(),
        flags: Vec::new(),
        secrets: Secrets::Skip,
    };
    let findings = match config::load_text(&inputs, toml).and_then(|loaded| compile(loaded, false))
    {
        Err(findings) => findings,
        Ok(ready) => {
            let rehearsal = rehearse(&ready, Timestamp::UNIX_EPOCH);
            passed = rehearsal.passed;
            ready
                .warnings
                .into_iter()
                .chain(rehearsal.findings)
                .collect()
        }
    };
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let found = lines.join("\n");
    let inside = format!("{}/", folder.display());
    let named = !folder.as_os_str().is_empty();
    let found = if named {
        found.replace(&inside, "")
    } else {
        found
    };
    (found, passed)
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
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
fn the_candidates_of_the_bundled_samples_are_in_nobody_s_system() {
    let number = "body = { id = \"{{ result.candidate_external_id | int }}\" }\nrequire = [\"result.candidate_external_id\"]";
    assert_eq!(check(&with(number, "")), "");
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

/// Two routes: everything to `app`, good ones to `ats`, which needs an id.
const TESTED: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.app]
url = "http://127.0.0.1:9000/"
body = { text = "Score {{ result.score }} for \"{{ with.who }}\"" }
with = { who = "everyone" }
[destinations.ats]
preset = "ashby"
api_key = "k"
[[routes]]
name = "everything"
to = ["app"]
[[routes]]
name = "good"
changed = ["score"]
when = "result.score != null && result.score > 4"
to = ["ats"]
"#;

fn tested(tests: &str) -> (String, usize) {
    let folder = folder(&[("body.json", r#"{"id":"x"}"#)]);
    let (found, passed) = checked(&format!("{TESTED}{tests}"), folder.path());
    // The shipped warning about a key in plain text is not what is tested here.
    let found = found
        .split('\n')
        .skip_while(|line| !line.contains("tests["));
    (found.collect::<Vec<_>>().join("\n"), passed)
}

#[test]
fn tests_that_come_out_as_expected_are_counted() {
    let tests = r#"
[[tests]]
event = "submitted-rich"
set = { score = 4.5 }
to = ["ats", "app"]
contains = { app = ["Score 4.5", 'for "everyone"'], ats = "Interview result" }
lacks = { app = "nobody" }
state = { app = "waiting" }
[[tests]]
name = "a low score stays at home"
event = "submitted-rich"
set = { score = 3 }
to = ["app"]
[[tests]]
name = "no id, no note"
event = "submitted-rich"
unset = ["candidate_external_id"]
to = ["app", "ats"]
state = { ats = "skipped" }
[[tests]]
name = "nothing new about the score"
event = "submitted-rich-selected"
previous = "submitted-rich"
to = ["app"]
[[tests]]
name = "unknown things go nowhere"
event = "body.json"
to = []
"#;
    assert_eq!(tested(tests), (String::new(), 5));
}

#[test]
fn a_test_that_fails_prints_expected_actual_and_the_clause_that_decided() {
    let (found, passed) = tested(
        r#"
[[tests]]
name = "too few"
event = "submitted-rich"
set = { score = 3.5 }
to = ["app", "ats"]
[[tests]]
name = "too many"
event = "submitted-rich"
to = []
[[tests]]
name = "the same again"
event = "submitted-rich"
previous = "submitted-rich"
to = ["app"]
[[tests]]
name = "other words"
event = "submitted"
set = { candidate_external_id = "c-1" }
to = ["app", "ats"]
contains = { app = "Rating" }
lacks = { app = "Score" }
state = { ats = "skipped" }
"#,
    );
    assert_eq!(passed, 0);
    insta::assert_snapshot!(found, @r#"
relay.toml:20: tests[0]: "too few" fails
  expected to = app, ats
  actual   to = app
  ats: not by route good, when = result.score != null && result.score > 4: false (result.score = 3.5)
  hint: `relay explain submitted-rich --set 'score=3.5'` shows every clause
relay.toml:25: tests[1]: "too many" fails
  expected to = nothing
  actual   to = app, ats
  app: sent by route everything, events = ["interview.submitted", "interview.collected", "interview.failed"]: true (type = "interview.submitted")
  ats: sent by route good, when = result.score != null && result.score > 4: true (result.score = 5.12)
  hint: `relay explain submitted-rich` shows every clause
relay.toml:29: tests[2]: "the same again" fails
  expected to = app
  actual   to = nothing
  app: the body equals the revision before, which goes nowhere
  hint: `relay explain submitted-rich --previous submitted-rich` shows every clause
relay.toml:34: tests[3]: "other words" fails
  app: expected "Rating" in the body, actual {"text":"Score 5.12 for \"everyone\""}
  app: expected no "Score" in the body, actual {"text":"Score 5.12 for \"everyone\""}
  ats: expected state skipped, actual waiting
  hint: `relay explain submitted --set 'candidate_external_id="c-1"'` shows every clause
"#);
}

#[test]
fn a_test_that_cannot_be_run_says_why() {
    let (found, passed) = tested(
        r#"
[[tests]]
event = "submited"
to = ["app"]
[[tests]]
event = "body.json"
previous = "submitted"
to = ["app"]
"#,
    );
    assert_eq!(passed, 0);
    insta::assert_snapshot!(found, @r#"
relay.toml:20: tests[0]: "test 1" cannot be run: "submited" is neither a sample nor a file
  hint: did you mean "submitted"?
relay.toml:23: tests[1]: "test 2" cannot be run: the body before it is of another subject (912ff898-2e65-4a31-8ff5-d3c59005eb97, not x): no revision of it
  hint: name other bodies in `event` and `previous`
"#);
}

#[test]
fn a_test_that_is_written_wrongly_is_named_with_its_line() {
    let (found, _) = tested(
        r#"
[[tests]]
event = "submitted"
too = ["app"]
to = ["ap"]
source = "mojito"
contains = { ats = "x" }
state = { app = "delivered" }
"#,
    );
    insta::assert_snapshot!(found, @r#"
relay.toml:22: tests[0].too: unknown key
  hint: did you mean "to"?
relay.toml:23: tests[0].to[0]: there is no destination "ap"
  hint: did you mean "app"?
relay.toml:24: tests[0].source: there is no source "mojito"
  hint: choose from jobmojito
relay.toml:25: tests[0].contains.ats: "ats" is not in this test's `to`
  hint: name it there too, or take it out here
relay.toml:26: tests[0].state.app: "app" is not in this test's `to`
  hint: name it there too, or take it out here
relay.toml:26: tests[0].state.app: expected a state before sending, found "delivered"
  hint: write "waiting", "skipped" or "dead"
"#);
}

#[test]
fn tests_may_stand_in_a_file_beside_relay_toml() {
    let tests = "[[tests]]\nevent = \"submitted\"\nto = [\"app\", \"ats\"]\n[[tests]]\nevent = \"failed\"\nto = []\n";
    let beside = folder(&[("relay.tests.toml", tests)]);
    let (found, passed) = checked(TESTED, beside.path());
    assert_eq!(passed, 1);
    assert!(
        found.contains("relay.tests.toml:4: tests[1]: \"test 2\" fails"),
        "{found}"
    );
    let wrong = folder(&[("relay.tests.toml", "[tests]\nevent = \"x\"\n[server]\n")]);
    let (found, _) = checked(TESTED, wrong.path());
    assert!(
        found.contains("relay.tests.toml:1: tests: expected a list of tables"),
        "{found}"
    );
    assert!(
        found.contains("relay.tests.toml:3: server: unknown key"),
        "{found}"
    );
}

const SHOP: &str = r#"
samples_dir = "mine"
[sources.jobmojito]
auth = "none"
[sources.shop]
kind = "generic"
type = "/event"
subject = "/id"
auth = "none"
[destinations.app]
url = "http://127.0.0.1:9000/"
body = { text = "{{ result.total + 1 }}" }
[destinations.results]
url = "http://127.0.0.1:9001/"
[[routes]]
name = "results"
from = ["jobmojito"]
to = ["results"]
[[routes]]
name = "orders"
from = ["shop"]
events = ["order.*"]
to = ["app"]
[[tests]]
event = "paid"
to = ["app"]
contains = { app = "13" }
"#;

#[test]
fn own_samples_are_rendered_and_count_for_the_source_that_their_folder_names() {
    let paid = r#"{"event":"order.paid","id":"1","total":12}"#;
    let own = folder(&[
        ("mine/shop/paid.json", paid),
        ("mine/shop/notes.txt", "no sample"),
    ]);
    assert_eq!(checked(SHOP, own.path()), (String::new(), 1));
    let own = folder(&[
        ("mine/shop/paid.json", paid),
        (
            "mine/shop/unpaid.json",
            r#"{"event":"order.open","id":"2","total":null}"#,
        ),
        ("mine/shp/other.json", "{}"),
        ("mine/broken.json", "{"),
    ]);
    insta::assert_snapshot!(checked(SHOP, own.path()).0, @r#"
mine/broken.json: the body is not JSON (at byte 1)
  hint: a sample is a body as its sender posts it
relay.toml:2: warning: samples_dir: the folder "shp" in it is named like no source
  hint: did you mean "shop"?
relay.toml:10: destinations.app: cannot be rendered for sample unpaid (route orders): body.text, line 1: something that these kinds of values do not allow (it reads result.total)
  hint: a delivery like that would be dead; `require` skips one whose field is null, and `| default(…)` gives a null another value
"#);
}

#[test]
fn own_samples_make_their_fields_known() {
    let toml = with("body = { a = \"{{ result.badge }}\" }", "");
    let toml = format!("samples_dir = \"mine\"\n{toml}");
    let without = folder(&[("mine/plain.json", r#"{"id":"a"}"#)]);
    assert!(
        checked(&toml, without.path())
            .0
            .contains("`result.badge` is no field")
    );
    let own = folder(&[("mine/new.json", r#"{"id":"a","badge":"gold"}"#)]);
    assert_eq!(checked(&toml, own.path()).0, "");
    assert!(
        checked(&toml, Path::new("nowhere"))
            .0
            .contains("there is no folder")
    );
}

#[test]
fn a_route_that_no_sample_reaches_names_the_clause_that_stops_most() {
    insta::assert_snapshot!(check(&with("", "when = \"result.interview_id == 'gone'\"")), @r#"
relay.toml:6: warning: routes[0]: no sample reaches "all": 15 of 18 end at when = result.interview_id == 'gone'
  hint: put a body that it is for into `samples_dir`, or correct the clause
"#);
    let late = "[[routes]]\nname = \"late\"\nto = [\"app\"]";
    let stopped = with(
        "",
        &format!("when = \"result.id != null\"\nstop = true\n{late}"),
    );
    insta::assert_snapshot!(check(&stopped), @r#"
relay.toml:11: warning: routes[1]: no sample reaches "late": 15 of 18 end at no route above stops (all did)
  hint: put a body that it is for into `samples_dir`, or correct the clause
"#);
}

#[test]
fn a_rate_above_what_the_vendor_allows_is_doubted() {
    let rated = |rate: &str| {
        let preset = format!("preset = \"lever\"\n{rate}");
        check(&TESTED.replace("preset = \"ashby\"", &preset))
    };
    insta::assert_snapshot!(rated("rate_limit = \"3000/min\""), @r#"
relay.toml:11: warning: destinations.ats.api_key: secret in plain text
  hint: write { env = "NAME" } or { file = "/run/secrets/name" }
relay.toml:10: warning: destinations.ats.rate_limit: 3000/m is above what the vendor allows, 10/s
  hint: the vendor would answer 429, and the whole lane waits then; take the key out for the preset's rate
"#);
    assert!(
        rated("rate_limit = \"none\"").contains("no rate_limit is above what the vendor allows")
    );
    for within in ["", "rate_limit = \"1/s\"", "rate_limit = \"60/min\""] {
        assert!(!rated(within).contains("the vendor allows"), "{within}");
    }
}

#[test]
fn alerts_go_to_a_destination_that_can_say_what_they_are() {
    let told = |destination: &str| {
        let toml = format!("{}[alerts]\nto = [\"app\"]\n", with(destination, ""));
        check(&toml)
    };
    assert_eq!(told(""), "");
    assert_eq!(
        told("body = { text = \"{{ event.alert.text or result.score }}\" }"),
        ""
    );
    let deaf = told("body = { text = \"{{ result.score }}\" }");
    assert!(
        deaf.contains("alerts.to[0]: app: its body would not say what an alert is about")
            && deaf.contains("use {{ event.alert.title }} and {{ event.alert.text }}"),
        "{deaf}"
    );
    let picky = told("require = [\"result.score\"]");
    assert!(
        picky.contains("it requires fields that an alert does not have"),
        "{picky}"
    );
    let ats = "[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\npreset = \"ashby\"\napi_key = { env = \"KEY\" }\n\
               [alerts]\nto = [\"app\"]\n[[routes]]\nto = [\"app\"]\n";
    let ats = check(ats);
    assert!(
        ats.contains("relay.toml:7: alerts.to[0]: app: it requires fields"),
        "{ats}"
    );
    let toml = with("", "").replace("9000/", "9000/{{ result.id }}");
    let address = check(&format!("{toml}[alerts]\nto = [\"app\"]\n"));
    assert!(
        address.contains("its address is made from the payload"),
        "{address}"
    );
}
