//! An operator at the command line: what is stuck and why, what came in and went out, and what to do.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use http::Method;
use mojito_relay::transport::NetworkTransport;
use serde_json::Value;

use crate::cli::{Running, run, until};
use crate::process::{Folder, Process, relay, request};
use crate::receiver::Receiver;

/// A relay with one destination that takes everything and one that refuses us.
pub struct Scene {
    pub folder: Folder,
    pub process: Process,
    admin: String,
    _refuses: Running,
}

impl Scene {
    pub async fn start() -> Self {
        let takes = Receiver::failing(0).listen().await;
        let here = Folder::new("");
        let sink = ["sink", "--port", "0", "--status", "401"];
        let (refuses, mut output) = Running::start(relay(here.path()).args(sink));
        let line = until(&mut output, "sink listens on");
        let refused = line.split("http://").nth(1).unwrap();
        let refused = refused.split(';').next().unwrap().trim();
        let folder = Folder::new(&format!(
            "[admin]\ntoken = {{ file = \"token\" }}\n[reload]\nwatch = false\n\
             [sources.jobmojito]\nauth = \"none\"\n\
             [destinations.app]\nurl = \"http://{takes}/in\"\n\
             [destinations.ats]\nurl = \"http://{refused}/in\"\n\
             [[routes]]\nname = \"all\"\nto = [\"app\", \"ats\"]\n"
        ));
        folder.write("token", "the-token");
        let process = Process::start(folder.path());
        let admin = format!("http://{}", process.admin);
        Self {
            folder,
            process,
            admin,
            _refuses: refuses,
        }
    }

    pub async fn post(&self, subject: &str, score: u32) -> String {
        post(&self.process, subject, score).await
    }

    /// What a command says of this relay.
    pub fn asked(&self, args: &[&str]) -> (i32, String) {
        let admin = ["--admin", &self.admin];
        run(self.folder.path(), &[args, &admin[..]].concat())
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let (code, text) = self.asked(&[args, &["--json"]].concat());
        assert_eq!(code, 0, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

async fn post(process: &Process, subject: &str, score: u32) -> String {
    let url = format!("http://{}/hooks/jobmojito", process.ingress);
    let body = format!(
        r#"{{"id":"{subject}","status":"active","interview_status":"completed","candidate_external_id":"c-1","score":{score}}}"#
    );
    let network = NetworkTransport::default();
    let answer = request(&network, Method::POST, &url, body.into()).await;
    let receipt: Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
    receipt["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_begins_with_what_is_stuck_why_and_the_way_out() {
    let scene = Scene::start().await;
    let (code, text) = scene.asked(&["status"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("Nothing is stuck.\n"), "{text}");
    scene.post("s-1", 1).await;
    scene.process.until_it_says("lane is blocked");
    let (_, text) = scene.asked(&["status"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("ats is blocked for ")
            && lines[0].ends_with(" with 1 waiting: 401 Unauthorized: no"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("  it is tried with one delivery in "),
        "{text}"
    );
    assert_eq!(
        lines[2],
        "  way out: correct its block in relay.toml, which frees it; or: relay resume ats"
    );
    assert!(text.contains("DESTINATION  STATE    WAITING"), "{text}");
    assert!(text.contains("generation 1"), "{text}");
    let told = scene.json(&["status"]);
    assert_eq!(told["destinations"][1]["state"], "blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_paused_and_resumed_by_name() {
    let scene = Scene::start().await;
    let paused = (0, "app is paused: paused by an operator\n".to_owned());
    assert_eq!(scene.asked(&["pause", "app"]), paused);
    let (_, text) = scene.asked(&["status"]);
    assert!(text.contains("  way out: relay resume app\n"), "{text}");
    let healthy = (0, "app is healthy\n".to_owned());
    assert_eq!(scene.asked(&["resume", "app"]), healthy);
    assert_eq!(scene.json(&["pause", "app"])["state"], "paused");
    let (code, text) = scene.asked(&["pause", "apps"]);
    assert_eq!(code, 1);
    assert!(
        text.starts_with("relay: pause apps: the relay at http://127.0.0.2:")
            && text.contains("404 Not Found: There is nothing by that name here."),
        "{text}"
    );
}

#[test]
fn a_relay_without_a_token_is_told_what_to_do_from_its_own_machine() {
    let folder = Folder::new(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.app]\nurl = \"http://127.0.0.1:1/in\"\n\
         [[routes]]\nto = [\"app\"]\n",
    );
    let process = Process::start(folder.path());
    let admin = format!("admin.listen={}", process.admin);
    for (command, told) in [
        (
            &["pause", "app"][..],
            "app is paused: paused by an operator\n",
        ),
        (&["resume", "app"], "app is healthy\n"),
        (&["reload"], "the file is in force, as generation 2\n"),
    ] {
        let asked = run(folder.path(), &[command, &["--override", &admin]].concat());
        assert_eq!(asked, (0, told.to_owned()), "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_go_on_where_they_ended() {
    let scene = Scene::start().await;
    let first = scene.post("s-1", 1).await;
    scene.post("s-1", 2).await;
    let other = scene.post("s-2", 1).await;
    scene.process.until_it_says("lane is blocked");
    let (code, text) = scene.asked(&["events", "--limit", "2"]);
    assert_eq!(code, 0, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("EVENT  ") && lines[0].ends_with("CHANGED"),
        "{text}"
    );
    assert!(lines[1].starts_with(&other), "{text}");
    assert!(
        lines[2].contains("  interview.submitted  s-1      2         score"),
        "{text}"
    );
    let cursor = lines[3].split("--cursor ").nth(1).unwrap();
    let rest = scene.json(&["events", "--cursor", cursor]);
    assert_eq!(
        (&rest["items"][0]["id"], &rest["next"]),
        (&first.into(), &Value::Null)
    );
    let count = |args: &[&str]| scene.json(args)["items"].as_array().unwrap().len();
    for (args, found) in [
        (&["events", "--subject", "s-1"][..], 2),
        (&["events", "--candidate", "c-1", "--since", "1h"], 3),
        (&["events", "--until", "2026-01-01T00:00:00Z"], 0),
        (&["events", "--type", "interview.failed"], 0),
        (&["deliveries", "--destination", "ats"], 3),
        (&["deliveries", "--event", &other], 2),
        (
            &["deliveries", "--error", "unauthorized", "--subject", "s-3"],
            0,
        ),
        (&["deliveries", "--limit", "1000"], 6),
    ] {
        assert_eq!(count(args), found, "{args:?}");
    }
    let (_, text) = scene.asked(&["deliveries", "--error", "UNAUTHORIZED", "--limit", "1"]);
    let row = text.lines().nth(1).unwrap();
    assert!(
        row.contains("  ats          waiting  2") && row.ends_with("401 Unauthorized: no"),
        "{text}"
    );
    let (code, text) = scene.asked(&["events", "--subject", "nobody"]);
    assert_eq!(
        (code, text.lines().nth(1)),
        (0, Some("there are no such events"))
    );
    assert_eq!(scene.asked(&["deliveries", "--state", "gone"]).0, 2);
    assert_eq!(scene.asked(&["events", "--since", "yesterday"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_with_every_attempt_and_its_body_only_when_asked_for() {
    let scene = Scene::start().await;
    scene.post("s-1", 1).await;
    let id = scene.post("s-1", 2).await;
    scene.process.until_it_says("to app: delivered");
    scene.process.until_it_says("to app: delivered");
    let (code, text) = scene.asked(&["event", &id]);
    assert_eq!(code, 0, "{text}");
    for words in [
        "subject    s-1\n",
        "candidate  c-1\n",
        &format!("{id} (this)  score\n"),
        "app by route all (dlv_",
        "AT                    TOOK",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("interview_status"), "{text}");
    let (_, text) = scene.asked(&["event", &id, "--payload"]);
    assert!(text.contains(r#""interview_status":"completed""#), "{text}");
    assert_eq!(scene.json(&["event", &id])["payload"]["score"], 2);
    let (code, text) = scene.asked(&["event", "s-1"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("`s-1` is no event id; one looks like `evt_"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_replayed_unless_it_is_older_than_what_was_sent() {
    let scene = Scene::start().await;
    let first = scene.post("s-1", 1).await;
    scene.process.until_it_says("attempt 1 to app: delivered");
    scene.post("s-1", 2).await;
    scene.process.until_it_says("attempt 1 to app: delivered");
    let id = format!("{}_0", first.replace("evt_", "dlv_"));
    let (code, text) = scene.asked(&["replay", &id]);
    assert_eq!(code, 1);
    assert!(text.contains("already got revision 2"), "{text}");
    let told = (0, format!("{id} waits to be sent again\n"));
    assert_eq!(scene.asked(&["replay", &id, "--force", "--new-id"]), told);
    scene.process.until_it_says("to app: delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_what_is_wrong_and_what_is_running_can_still_be_asked() {
    let scene = Scene::start().await;
    let told = scene.asked(&["reload"]);
    assert_eq!(
        told,
        (0, "the file is in force, as generation 2\n".to_owned())
    );
    let sound = std::fs::read_to_string(scene.folder.file("relay.toml")).unwrap();
    scene
        .folder
        .write("relay.toml", &sound.replace("to = [", "too = ["));
    let (code, text) = scene.asked(&["reload"]);
    assert_eq!(code, 78);
    assert!(
        text.contains("relay.toml:13: routes[0].too: unknown key")
            && text.ends_with("nothing has changed\n"),
        "{text}"
    );
    let (code, text) = scene.asked(&["status"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.starts_with("The last reload, ") && text.contains("routes[0].too: unknown key"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_uses_another_field_prints_what_waits_without_it() {
    let rules = "[admin]\n[reload]\nwatch = false\n[sources.jobmojito]\nauth = \"none\"\nminimise = true\n\
                 [destinations.app]\nurl = \"http://127.0.0.1:1/in\"\npaused = true\nbody = { a = \"{{ result.score }}\" }\n\
                 [[routes]]\nto = [\"app\"]\n";
    let folder = Folder::new(rules);
    let process = Process::start(folder.path());
    let id = post(&process, "s-1", 1).await;
    let admin = format!("http://{}", process.admin);
    let asked = |args: &[&str]| run(folder.path(), &[args, &["--admin", &admin]].concat());
    folder.write(
        "relay.toml",
        &rules.replace("result.score", "result.pdf_export_url"),
    );
    let warning = format!(
        "source jobmojito: 1 delivery that waits for app without `pdf_export_url`, which was not kept: \
         it reads as null (events {id})\n"
    );
    let (code, text) = asked(&["reload"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("the file is in force, as generation 2\n"),
        "{text}"
    );
    assert!(text.contains(&format!("warning: {warning}")), "{text}");
    let (_, text) = asked(&["status"]);
    assert!(
        text.starts_with("The reload ") && text.contains(&format!(" ago warned: {warning}")),
        "{text}"
    );
    process.until_it_says("which was not kept");
}

/// The commands that ask a relay, each with what it needs.
const ASKING: [&[&str]; 14] = [
    &["status"],
    &["events"],
    &["event", "evt_01a2027bd6807004aad6e31a7f8bc4c9"],
    &["deliveries"],
    &["tail"],
    &["pause", "app"],
    &["resume", "app"],
    &["reload"],
    &["replay", "dlv_01a2027bd6807004aad6e31a7f8bc4c9_0"],
    &["replay", "--state", "dead"],
    &["discard", "--destination", "ats"],
    &["reroute", "--since", "2h"],
    &["jobs"],
    &["health"],
];

#[test]
fn every_command_says_that_no_relay_answers_and_what_to_do() {
    let folder = Folder::new("[admin]\nlisten = \"127.0.0.1:2\"\n");
    for command in ASKING {
        let (code, text) = run(folder.path(), command);
        assert_eq!(code, 1, "{command:?} {text}");
        assert!(
            text.contains("no relay answers at http://127.0.0.1:2")
                && text.contains(
                    "hint: start one with `relay serve`, or say with --admin where it is"
                ),
            "{command:?} {text}"
        );
        let elsewhere = ["-c", "none.toml", "--admin", "http://127.0.0.1:3"];
        let (code, text) = run(folder.path(), &[command, &elsewhere[..]].concat());
        assert_eq!(code, 1, "{command:?} {text}");
        assert!(
            text.contains("no relay answers at http://127.0.0.1:3"),
            "{text}"
        );
    }
    let (code, text) = run(Path::new("/"), &["status"]);
    assert_eq!(code, 78);
    insta::assert_snapshot!(text, @r"
relay.toml: cannot be read: there is no such file
  hint: name the file with --config PATH
  hint: or say with --admin where the relay is
");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_comes_from_flag_environment_or_file_in_this_order() {
    let scene = Scene::start().await;
    let ask = |flag: Option<&str>, environment: Option<&str>| {
        let mut command = relay(scene.folder.path());
        command.args(["events", "--admin", &scene.admin]);
        if let Some(token) = flag {
            command.args(["--token", token]);
        }
        if let Some(token) = environment {
            command.env("RELAY_ADMIN_TOKEN", token);
        }
        let output = command.output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(ask(None, None).0, 0);
    assert_eq!(ask(None, Some("the-token")).0, 0);
    assert_eq!(ask(Some("the-token"), Some("another")).0, 0);
    for (flag, environment) in [
        (None, Some("another")),
        (Some("another"), Some("the-token")),
    ] {
        let (code, text) = ask(flag, environment);
        assert_eq!(code, 1);
        assert!(
            text.contains(
                "wants another token\n  hint: give it with --token, or in RELAY_ADMIN_TOKEN"
            ),
            "{text}"
        );
    }
}

#[test]
fn shells_are_told_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, text) = run(Path::new("."), &["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        assert!(
            text.contains("deliveries") && text.contains("new-id"),
            "{shell}"
        );
    }
    assert_eq!(run(Path::new("."), &["completions", "sh"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_goes_on_after_a_reload_and_after_a_restart() {
    let scene = Scene::start().await;
    let mut command = relay(scene.folder.path());
    command.args(["tail", "--json", "--admin", &scene.admin]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tail = Running::of(command.spawn().unwrap());
    let mut said = BufReader::new(tail.stderr());
    let mut told = BufReader::new(tail.stdout());
    until(&mut said, "following the relay at");
    scene.post("s-1", 1).await;
    let seen = until(&mut told, r#""destination":"ats","state":"blocked""#);
    for line in seen.lines() {
        let thing: Value = serde_json::from_str(line).unwrap();
        assert!(thing["kind"].is_string(), "{line}");
    }
    assert!(seen.contains(r#"{"kind":"event","id":"evt_"#), "{seen}");
    scene.asked(&["reload"]);
    scene.post("s-2", 1).await;
    until(&mut told, r#""kind":"event""#);
    let admin = scene.process.admin;
    scene.process.kill();
    until(&mut said, "is gone; waiting for it");
    let process = Process::start_again(scene.folder.path(), admin);
    let back = until(&mut said, "the relay is back");
    assert!(back.contains("relay events --since 20"), "{back}");
    let id = post(&process, "s-3", 1).await;
    until(&mut told, &id);
    // Whoever closes the pipe ends it.
    drop(told);
    post(&process, "s-4", 1).await;
    assert!(tail.ended().success());
    assert!(
        said.lines()
            .map_while(Result::ok)
            .all(|line| line.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_s_backlog_is_moved_by_name() {
    let scene = Scene::start().await;
    scene.post("s-1", 1).await;
    scene.process.until_it_says("lane is blocked");
    let config = std::fs::read_to_string(scene.folder.file("relay.toml")).unwrap();
    let (before, after) = config.split_once("[destinations.ats]").unwrap();
    let (_, routes) = after.split_once("[[routes]]").unwrap();
    let gone = format!("{before}[[routes]]{routes}").replace("[\"app\", \"ats\"]", "[\"app\"]");
    scene.folder.write("relay.toml", &gone);
    let (code, text) = scene.asked(&["reload"]);
    assert_eq!(code, 0, "{text}");
    let (_, text) = scene.asked(&["status"]);
    assert!(
        text.contains("way out: put it back") && text.contains("relay move ats TO"),
        "{text}"
    );
    let (code, text) = scene.asked(&["move", "ats", "app"]);
    let words =
        "0 moved from ats to app; 1 discarded: they, or a newer revision, went there already\n";
    assert_eq!((code, text.as_str()), (0, words));
    let (code, text) = scene.asked(&["move", "app", "ats"]);
    assert!(
        code == 1 && text.contains("only an orphan's backlog is moved"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_erased_with_a_receipt() {
    let scene = Scene::start().await;
    scene.post("s-1", 1).await;
    scene.process.until_it_says("lane is blocked");
    let (code, text) = scene.asked(&["erase", "--candidate", "c-1"]);
    assert_eq!(code, 0, "{text}");
    let receipt: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&receipt["subjects"], &receipt["events"]),
        (&1.into(), &1.into())
    );
    assert_eq!(receipt["sent_to"].as_array().unwrap().len(), 2);
    let (_, text) = scene.asked(&["events"]);
    assert!(!text.contains("evt_"), "{text}");
    let (code, _) = scene.asked(&["erase"]);
    assert_eq!(code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_tells_which_deliveries_another_file_would_change() {
    let scene = Scene::start().await;
    let low = scene.post("s-1", 1).await;
    let high = scene.post("s-2", 9).await;
    let config = std::fs::read_to_string(scene.folder.file("relay.toml")).unwrap();
    scene.folder.write(
        "new.toml",
        &config.replace("[[routes]]", "[[routes]]\nwhen = \"result.score >= 5.0\""),
    );
    let (code, text) = scene.asked(&["diff", "new.toml"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains(&format!("- app  {low} interview.submitted\n- ats  {low}")),
        "{text}"
    );
    assert!(!text.contains(&high), "{text}");
    assert!(
        text.ends_with("2 events compared: 0 deliveries appear, 2 vanish, 0 change\n"),
        "{text}"
    );
    let told = scene.json(&["diff", "new.toml", "--last", "1h"]);
    assert_eq!(told["differences"][0]["kind"], "vanishes");
    scene.folder.write("bad.toml", "[serverr]\n");
    let (code, text) = scene.asked(&["diff", "bad.toml"]);
    assert!(code == 78 && text.contains("did you mean"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_online_tells_what_the_running_relay_would_leave_behind() {
    let scene = Scene::start().await;
    scene.post("s-1", 1).await;
    scene.process.until_it_says("lane is blocked");
    let config = std::fs::read_to_string(scene.folder.file("relay.toml")).unwrap();
    let admin = format!("[admin]\nlisten = \"{}\"\n", scene.process.admin);
    let config = config.replace("[admin]\n", &admin);
    let renamed = config
        .replace("destinations.ats", "destinations.hr")
        .replace("\"ats\"", "\"hr\"");
    let renamed = renamed.replace("sources.jobmojito", "sources.interviews");
    scene.folder.write("new.toml", &renamed);
    let (_, text) = run(scene.folder.path(), &["check", "new.toml", "--online"]);
    assert!(
        text.contains("1 waiting for \"ats\", which is not in this file"),
        "{text}"
    );
    assert!(
        text.contains("write was = \"ats\" at its successor"),
        "{text}"
    );
    assert!(text.contains("each of its subjects starts anew"), "{text}");
    scene.folder.write(
        "new.toml",
        &renamed.replace("[destinations.hr]", "[destinations.hr]\nwas = \"ats\""),
    );
    let (_, text) = run(scene.folder.path(), &["check", "new.toml", "--online"]);
    assert!(!text.contains("waiting for"), "{text}");
}
