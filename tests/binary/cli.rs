//! What the command line says, and with which exit code.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Folder, relay};

/// Runs to the end; answers with the exit code and everything that was printed.
pub fn run(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = relay(folder).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

const BROKEN: &str = r#"[server]
listn = "127.0.0.1:8080"

[sources.jobmojito]
auth = "none"

[destinations.hiring]
preset = "slak"

[[routes]]
to = ["hirring"]
when = "reslt.score > 4"
"#;

#[test]
fn help_names_every_command() {
    let (code, text) = run(Path::new("."), &["--help"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(text, @r#"
Durable webhook relay and fan-out gateway for interview results

Usage: relay [OPTIONS] [COMMAND]

Commands:
  serve          Run the relay (the default)
  check          Check a configuration without starting anything
  explain        Tell what would become of a body: each route with its clause, each request; nothing is sent
  diff           Tell which deliveries another relay.toml would add, take away or change
  send           Post a bundled sample or a file to the running relay
  sink           Run a receiver that prints what it gets and fails on demand
  demo           Show the whole relay at work on this machine, with receivers that fail
  status         Tell what is stuck in the running relay, why, and what frees it
  events         List what came in, newest first
  event          Show one event with its revisions, deliveries and attempts
  deliveries     List what goes out, newest first
  tail           Print what happens, as it happens
  pause          Hold a destination back; it lasts over restarts
  resume         Let a destination go on, paused, open or blocked
  replay         Send deliveries again that are delivered, dead or final otherwise: one, or all of a filter
  reroute        Create what today's routes ask for and kept events do not have
  discard        End deliveries that wait: one, or all of a filter
  jobs           List what was begun by replay, reroute and discard, show one, or end it
  move           Move what waits for a destination that is gone from relay.toml to another
  erase          Take away everything about a candidate or a subject, and print the receipt
  backup         Copy the store to a new file, also while a relay has it open
  migrate-store  Move the store from a file into a database, while no relay runs on it
  reload         Have the running relay read its configuration again
  presets        List the destinations that come ready made, or print one
  schema         Print the JSON Schema of relay.toml, for editors
  health         Ask the running relay whether it is ready: exit 0 if so
  completions    Print what a shell needs to complete these commands
  help           Print this message or the help of the given subcommand(s)

Options:
  -c, --config <FILE>         The configuration file [default: relay.toml]
      --override <KEY=VALUE>  Put one key over the file, such as server.listen=127.0.0.1:9090 (may be repeated)
  -h, --help                  Print help
  -V, --version               Print version
"#);
}

#[test]
fn every_command_explains_itself() {
    for command in [
        "serve",
        "check",
        "send",
        "sink",
        "demo",
        "health",
        "schema",
        "status",
        "events",
        "event",
        "deliveries",
        "tail",
        "pause",
        "resume",
        "replay",
        "reroute",
        "discard",
        "jobs",
        "move",
        "erase",
        "backup",
        "migrate-store",
        "diff",
        "reload",
        "completions",
    ] {
        let (code, text) = run(Path::new("."), &[command, "--help"]);
        assert_eq!(code, 0, "{command}");
        assert!(
            text.contains("Usage: relay") && text.contains("--config"),
            "{text}"
        );
    }
}

#[test]
fn schema_prints_what_is_committed_and_named_in_the_shipped_file() {
    let (code, text) = run(Path::new("."), &["schema"]);
    assert_eq!(code, 0);
    assert!(text == include_str!("../../relay.schema.json"));
    assert!(include_str!("../../relay.toml").starts_with("#:schema ./relay.schema.json\n"));
}

const NME: &str = "base = \"ats\"\nbase_url = \"https://nme.example.com\"\n[about]\ntitle = \"NME: a note\"\n\
                   needs = [\"api_key\"]\n[create]\npath = \"/notes\"\nbody = { text = \"{{ texts.note }}\" }\n";

#[test]
fn presets_lists_built_in_and_own_ones_with_what_each_needs() {
    let folder = Folder::new("presets_dir = \"mine\"\n");
    std::fs::create_dir(folder.file("mine")).unwrap();
    folder.write("mine/nme.toml", NME);
    let (code, text) = run(folder.path(), &["presets"]);
    assert_eq!(code, 0, "{text}");
    let parts: Vec<&str> = text.split("\n\n").collect();
    let part = |name: &str| *parts.iter().find(|part| part.starts_with(name)).unwrap();
    insta::assert_snapshot!(part("lever"), @r#"
lever
  Lever: a note on the opportunity
  needs                  api_key
  candidate_external_id  the opportunity's id (a UUID), not the contact's
  rate_limit             5/s (the vendor allows 10/s)
  facts                  request and 201 recorded 2026-07 by others; limits second-hand; Retry-After not documented
"#);
    insta::assert_snapshot!(part("nme"), @r#"
nme  (mine/nme.toml)
  NME: a note
  needs                  api_key
  candidate_external_id  -
  rate_limit             none
  facts                  -
"#);
    let (code, text) = run(folder.path(), &["presets", "--json"]);
    assert_eq!(code, 0);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names: Vec<&serde_json::Value> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert!(
        names.contains(&&"nme".into()) && names.contains(&&"slack".into()),
        "{text}"
    );
    assert!(
        told.as_array()
            .unwrap()
            .iter()
            .all(|one| one["candidate_external_id"].is_string())
    );
}

#[test]
fn presets_prints_one_as_its_file_and_says_what_was_meant() {
    let folder = Folder::new("presets_dir = \"mine\"\n");
    std::fs::create_dir(folder.file("mine")).unwrap();
    folder.write("mine/nme.toml", NME);
    assert_eq!(run(folder.path(), &["presets", "nme"]), (0, NME.to_owned()));
    let (code, text) = run(folder.path(), &["presets", "ats"]);
    assert!(code == 0 && text.contains("[texts]"), "{text}");
    let (code, text) = run(folder.path(), &["presets", "lever", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &told["vendor_rate"]), (0, &"10/s".into()));
    assert!(told["text"].as_str().unwrap().contains("[create]"));
    let (code, text) = run(folder.path(), &["presets", "nmee"]);
    assert_eq!(
        (code, text.as_str()),
        (1, "relay: there is no preset `nmee`; did you mean nme?\n")
    );
    folder.write("mine/nme.toml", "[about");
    let (code, text) = run(folder.path(), &["presets"]);
    assert!(
        code == 78 && text.contains("mine/nme.toml:1: this is not TOML"),
        "{text}"
    );
    assert!(text.contains("lever\n"), "{text}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let (code, text) = run(Path::new("."), &["chek"]);
    assert_eq!(code, 2);
    assert!(
        text.contains("similar subcommand") && text.contains("'check'"),
        "{text}"
    );
    assert_eq!(run(Path::new("."), &["send"]).0, 2);
    assert_eq!(run(Path::new("."), &["sink", "--status", "99"]).0, 2);
}

#[test]
fn check_names_every_mistake_with_its_line_and_what_was_meant() {
    let folder = Folder::new(BROKEN);
    let (code, text) = run(folder.path(), &["check"]);
    assert_eq!(code, 78);
    insta::assert_snapshot!(text, @r#"
relay.toml:2: server.listn: unknown key
  hint: did you mean "listen"?
relay.toml:8: destinations.hiring.preset: there is no preset "slak"
  hint: did you mean "slack"?
relay.toml:11: routes[0].to[0]: there is no destination "hirring"
  hint: did you mean "hiring"?
relay.toml:12: routes[0].when: bad expression at column 1: unknown name `reslt`
  hint: an expression here may use event, result, previous, with
4 errors, 0 warnings
"#);
    let (code, text) = run(folder.path(), &["check", "--format", "json"]);
    assert_eq!(code, 78);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&told["ok"], &told["findings"][0]["line"]),
        (&false.into(), &2.into())
    );
}

#[test]
fn check_of_the_shipped_file_is_ok() {
    let folder = Folder::new(include_str!("../../relay.toml"));
    let (code, text) = run(folder.path(), &["check", "--no-secrets"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(text, @r#"
relay.toml: 1 source, 1 destination, 1 route; 15 messages rendered from samples
ok
"#);
}

#[test]
fn a_bad_file_does_not_start_and_says_why() {
    let folder = Folder::new(BROKEN);
    let (code, text) = run(folder.path(), &["serve"]);
    assert_eq!(code, 78);
    assert!(
        text.contains("relay.toml:2: server.listn: unknown key")
            && text.contains("nothing was started"),
        "{text}"
    );
    assert!(!folder.file("data").exists());
}

#[test]
fn a_missing_file_is_named_with_the_way_out() {
    let folder = Folder::new("");
    let (code, text) = run(folder.path(), &["serve", "-c", "other.toml"]);
    assert_eq!(code, 78);
    insta::assert_snapshot!(text, @r#"
other.toml: cannot be read: there is no such file
  hint: name the file with --config PATH
1 error; nothing was started
"#);
}

#[test]
fn health_and_send_say_that_no_relay_answers() {
    let folder = Folder::new(include_str!("../../relay.toml"));
    let nowhere = [
        "--override",
        "server.listen=127.0.0.1:1",
        "--override",
        "admin.listen=127.0.0.1:2",
    ];
    let (code, text) = run(folder.path(), &[&["health"], &nowhere[..]].concat());
    assert_eq!(code, 1);
    assert!(
        text.starts_with("no relay answers at http://127.0.0.1:2"),
        "{text}"
    );
    let (code, text) = run(
        folder.path(),
        &[&["send", "submitted"], &nowhere[..]].concat(),
    );
    assert_eq!(code, 1);
    assert!(text.contains("start one with `relay serve`"), "{text}");
    let (code, text) = run(
        folder.path(),
        &[&["send", "nonsense"], &nowhere[..]].concat(),
    );
    assert_eq!(code, 1);
    assert!(text.contains("the samples are collected, failed"), "{text}");
}

/// A command that goes on until it is dropped, and its output so far.
pub struct Running(std::process::Child);

impl Running {
    pub fn start(command: &mut Command) -> (Self, std::io::BufReader<std::process::ChildStdout>) {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        (Self(child), output)
    }

    pub fn of(child: std::process::Child) -> Self {
        Self(child)
    }

    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.0.stdout.take().unwrap()
    }

    pub fn stderr(&mut self) -> std::process::ChildStderr {
        self.0.stderr.take().unwrap()
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Reads lines until one holds `words`.
pub fn until(output: &mut impl std::io::BufRead, words: &str) -> String {
    let mut seen = String::new();
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        seen.push_str(&line);
        if line.contains(words) {
            return seen;
        }
        line.clear();
    }
    panic!("{words:?} was never printed: {seen}");
}

#[test]
fn the_shipped_file_serves_a_sample_to_the_sink_without_any_environment() {
    let folder = Folder::new(include_str!("../../relay.toml"));
    let (_sink, mut output) =
        Running::start(relay(folder.path()).args(["sink", "--port", "0", "--fail-first", "1"]));
    let first = until(&mut output, "sink listens on");
    let address = first
        .split("http://")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let toml = include_str!("../../relay.toml").replace("127.0.0.1:9000", &address);
    folder.write(
        "relay.toml",
        &toml.replace("# retry = { first = \"5s\"", "retry = { first = \"50ms\""),
    );
    let process = crate::process::Process::start(folder.path());
    let here = [
        format!("server.listen={}", process.ingress),
        format!("admin.listen={}", process.admin),
    ];
    let (code, text) = run(
        folder.path(),
        &["send", "submitted", "--override", &here[0]],
    );
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("202 Accepted {"), "{text}");
    let seen = until(&mut output, "#2 POST /interviews -> 200 OK");
    assert!(
        seen.contains("#1 POST /interviews -> 503")
            && seen.contains("relay-event-type: interview.submitted"),
        "{seen}"
    );
    let (code, text) = run(folder.path(), &["health", "--override", &here[1]]);
    assert_eq!((code, text.as_str()), (0, "ready\n"));
    assert!(folder.file("data/relay.db").exists());
}

#[test]
fn the_demo_ends_well() {
    let folder = Folder::new("");
    let (code, text) = run(folder.path(), &["demo", "--exit"]);
    assert_eq!(code, 0, "{text}");
    for words in [
        "interview.submitted  revision 2, changed: ai_analysis_recruiter",
        "the same as revision 2: nothing to deliver",
        "changed: recruiter_go_next_round",
        "interview.failed     revision 1",
        "429",
        "503",
        "delivered",
        "Every delivery ended as it should.",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
