//! `relay explain` and `relay check`, asked of events that a relay has taken and of folders on disk.

use http::Method;
use mojito_relay::transport::NetworkTransport;
use serde_json::Value;

use crate::cli::run;
use crate::process::{Folder, Process, request};

/// Nobody listens at the first destination; the second wants a field that results may lack.
const RULES: &str = r#"
[admin]
token = { file = "token" }
[sources.jobmojito]
auth = "none"
[destinations.newest]
url = "http://127.0.0.1:1/in"
revisions = "latest"
body = { before = "{{ previous.score }}", score = "{{ result.score }}" }
[destinations.ats]
url = "http://127.0.0.1:1/{{ result.candidate_external_id }}"
headers = { X-Key = { env = "UNSET_IN_THIS_TEST" } }
require = ["result.candidate_external_id"]
[[routes]]
name = "all"
to = ["newest"]
[[routes]]
name = "scores"
changed = ["score"]
when = "result.score > 5.0"
to = ["ats"]
"#;

fn body(score: &str) -> String {
    format!(
        r#"{{"id":"i-1","status":"active","interview_status":"completed","candidate_external_id":null,"score":{score}}}"#
    )
}

/// Posts a body and answers with the event's id.
async fn post(process: &Process, body: String) -> String {
    let url = format!("http://{}/hooks/jobmojito", process.ingress);
    let network = NetworkTransport::default();
    let answer = request(&network, Method::POST, &url, body.into())
        .await
        .unwrap();
    let receipt: Value = serde_json::from_slice(&answer.body).unwrap();
    receipt["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_explained_with_what_became_of_it() {
    let folder = Folder::new(&RULES.replace("{ env = \"UNSET_IN_THIS_TEST\" }", "\"x\""));
    folder.write("token", "the-token");
    let process = Process::start(folder.path());
    post(&process, body("5.5")).await;
    let id = post(&process, body("6.5")).await;
    let admin = format!("http://{}", process.admin);
    let asked = |more: &[&str]| {
        let base = ["explain", "--admin", &admin];
        run(folder.path(), &[&base[..], more].concat())
    };
    let (code, text) = asked(&["--event", &id]);
    assert_eq!(code, 0, "{text}");
    for words in [
        "interview.submitted from jobmojito, subject i-1, revision 2",
        "changed: score",
        "when = result.score > 5.0: true (result.score = 6.5)",
        "takes the place of revision 1",
        "\"before\": null",
        "skipped: result.candidate_external_id is null",
        "What became of it:",
        "newest (by route all): ",
        "ats (by route scores): skipped after 0 attempts: result.candidate_external_id is null",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (code, text) = asked(&[
        "--event",
        &id,
        "--set",
        "candidate_external_id=\"c\"",
        "--json",
    ]);
    assert_eq!(code, 0, "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["id"], id.as_str());
    assert_eq!(
        told["deliveries"][1]["request"]["url"],
        "http://127.0.0.1:1/c"
    );
    assert_eq!(told["became"][1]["state"], "skipped");
    let (code, text) = asked(&["--event", &id, "--token", "another"]);
    assert_eq!(code, 1);
    assert!(text.contains("wants another token"), "{text}");
    let (code, text) = asked(&["--event", "evt_01a2027bd6807004aad6e31a7f8bc4c9"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("There is nothing by that name here"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_minimised_says_so_wherever_it_is_shown() {
    let rules = RULES
        .replace("{ env = \"UNSET_IN_THIS_TEST\" }", "\"x\"")
        .replace("auth = \"none\"", "auth = \"none\"\nminimise = true")
        .replace(
            "require = [",
            "body = { score = \"{{ result.score }}\" }\nrequire = [",
        );
    let folder = Folder::new(&rules);
    folder.write("token", "the-token");
    let process = Process::start(folder.path());
    let with = |note: &str| body("5.5").replace("null", &format!("null,\"note\":\"{note}\""));
    post(&process, with("one")).await;
    let id = post(&process, with("two")).await;
    let admin = format!("http://{}", process.admin);
    let asked = |args: &[&str]| {
        let (code, text) = run(folder.path(), &[args, &["--admin", &admin]].concat());
        assert_eq!(code, 0, "{text}");
        text
    };
    let kept = "candidate_external_id, id, interview_status, score, status";
    let shown = asked(&["event", &id, "--payload"]);
    assert!(
        shown.contains(&format!("kept       of the body: {kept}\n")),
        "{shown}"
    );
    assert!(!shown.contains("two"), "{shown}");
    let told = asked(&["explain", "--event", &id]);
    for words in [
        &format!("Only a part of its body was kept ({kept}): any other field reads as null below"),
        // As the relay saw it: the payloads that are left are equal.
        "revision 2\nchanged: note\n",
        "takes the place of revision 1",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let other = rules.replace(
        "score = \"{{ result.score }}\" }\n[destinations.ats]",
        "note = \"{{ result.note }}\" }\n[destinations.ats]",
    );
    folder.write("new.toml", &other);
    let compared = asked(&["diff", "new.toml"]);
    let note = "2 of them compared by the fields that were kept of their payload: any other field reads as null\n";
    assert!(compared.ends_with(note), "{compared}");
    assert!(
        compared.contains("2 events compared: 0 deliveries appear, 0 vanish, 2 change\n"),
        "{compared}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_explained_by_the_newest_event_of_each_interview() {
    let folder = Folder::new(&RULES.replace("{ env = \"UNSET_IN_THIS_TEST\" }", "\"x\""));
    folder.write("token", "the-token");
    let process = Process::start(folder.path());
    let of = |id: &str, score: &str| {
        let body = body(score).replace("i-1", id);
        body.replace(
            "\"candidate_external_id\":null",
            "\"candidate_external_id\":\"c/7\"",
        )
    };
    post(&process, of("i-1", "5.5")).await;
    post(&process, of("i-1", "6.5")).await;
    post(&process, of("i-2", "7.5")).await;
    let admin = format!("http://{}", process.admin);
    let args = ["explain", "--admin", &admin, "--json", "--candidate"];
    let (code, text) = run(folder.path(), &[&args[..], &["c/7"]].concat());
    assert_eq!(code, 0, "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    let each = told.as_array().unwrap().iter();
    let each: Vec<String> = each
        .map(|one| format!("{} {}", one["subject"], one["revision"]))
        .collect();
    assert_eq!(each, ["\"i-1\" 2", "\"i-2\" 1"]);
    let (_, text) = run(folder.path(), &[&args[..], &["nobody"]].concat());
    assert_eq!(text, "[]\n");
}

#[test]
fn where_no_relay_answers_it_says_what_to_do() {
    let folder = Folder::new(RULES);
    let id = "evt_01a2027bd6807004aad6e31a7f8bc4c9";
    let args = ["explain", "--event", id, "--admin", "http://127.0.0.1:2"];
    let (code, text) = run(folder.path(), &args);
    assert_eq!(code, 1);
    assert!(
        text.contains("no relay answers at http://127.0.0.1:2") && text.contains("hint: start one"),
        "{text}"
    );
    assert_eq!(run(folder.path(), &["explain"]).0, 2);
    assert_eq!(
        run(folder.path(), &["explain", "submitted", "--event", id]).0,
        2
    );
}

#[test]
fn own_samples_are_explained_and_checked_by_name() {
    let careless = RULES.replace("changed = [\"score\"]\n", "");
    let folder = Folder::new(&format!("samples_dir = \"mine\"\n{careless}"));
    std::fs::create_dir(folder.file("mine")).unwrap();
    folder.write("mine/late.json", &body("8.25"));
    let (code, text) = run(folder.path(), &["explain", "late", "--previous", "late"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("a duplicate"), "{text}");
    folder.write(
        "relay.tests.toml",
        "[[tests]]\nevent = \"late\"\nto = [\"newest\", \"ats\"]\nstate = { ats = \"skipped\" }\n",
    );
    let (code, text) = run(folder.path(), &["check", "--no-secrets"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("; 1 test passed"), "{text}");
    assert!(text.contains("routes[1].when: fails on sample"), "{text}");
    let strict = ["check", "--no-secrets", "--deny-warnings"];
    assert_eq!(run(folder.path(), &strict).0, 78);
    // Another folder, named where the command runs: the test's sample is not in it.
    std::fs::create_dir(folder.file("others")).unwrap();
    let others = ["check", "--no-secrets", "--samples", "others"];
    let (code, text) = run(folder.path(), &others);
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("relay.tests.toml:1: tests[0]"), "{text}");
}

#[test]
fn check_online_names_what_cannot_be_reached_and_fails_without_calling_the_file_bad() {
    let folder = Folder::new(&RULES.replace("{ env = \"UNSET_IN_THIS_TEST\" }", "\"x\""));
    folder.write("token", "the-token");
    let (code, text) = run(folder.path(), &["check", "--online"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("FAILS 127.0.0.1:1 (ats, newest): cannot connect"),
        "{text}"
    );
    assert!(
        text.contains("ok    store data/relay.db: can be made; "),
        "{text}"
    );
    assert!(text.contains("1 not as needed online"), "{text}");
    assert_eq!(
        run(folder.path(), &["check", "--online", "--no-secrets"]).0,
        2
    );
}
