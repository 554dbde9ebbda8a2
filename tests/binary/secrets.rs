//! Nothing leaks: a relay with every kind of secret, at the chattiest log level, through success, failure and
//! mistakes; then everything that came out of it is searched for every secret and for what is somebody's own.

mod broken;
mod canaries;
mod world;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use mojito_relay::transport::{Connection, NetworkTransport, Outgoing, Transport as _};

use self::canaries::{
    ADMIN, CANDIDATE, EMAIL, GUESS, HEADER, May, NAME, PHONE, PLAIN, SAID, SECRETS, SOURCE,
    SOURCE_NEXT, SUBJECT, TEXT, found,
};
use self::world::World;
use crate::process::{Folder, PATIENCE, Process, relay};

/// One thing that came out, and what may be in it.
struct Output {
    what: String,
    text: Vec<u8>,
    may: May,
}

/// A relay at work, those around it, and all that came out so far.
struct Run {
    folder: Folder,
    /// Files that the test wrote: they hold the secrets.
    written: Vec<String>,
    environment: Vec<(&'static str, String)>,
    process: Process,
    world: Arc<World>,
    outputs: Vec<Output>,
}

fn payload(score: u32) -> String {
    serde_json::json!({
        "id": SUBJECT, "status": "active", "interview_status": "completed", "processing_status": "completed",
        "candidate_external_id": CANDIDATE, "candidate_name": NAME, "candidate_email": EMAIL,
        "candidate_phone": PHONE, "ai_analysis_recruiter": TEXT, "score": score,
    })
    .to_string()
}

async fn send(method: Method, url: String, headers: &[(&str, &str)], body: &str) -> (u16, Bytes) {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let request = Outgoing {
        method,
        url: url.parse().unwrap(),
        headers,
        body: Bytes::from(body.to_owned()),
        timeout: PATIENCE,
        connection: Arc::new(Connection::default()),
    };
    let network = NetworkTransport::reading(1 << 24);
    let answer = network.send(request).await.unwrap();
    (answer.status.as_u16(), answer.body)
}

impl Run {
    async fn start() -> (Self, SocketAddr) {
        let world = Arc::new(World::default());
        let address = world.start().await;
        let folder = Folder::new(&world::configuration(address));
        let environment = world::environment(address);
        let mut written = world::files(&folder, address);
        folder.write("payload.json", &payload(3));
        written.extend(["payload.json", "relay.toml"].map(str::to_owned));
        let plain: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, &**v)).collect();
        let process = Process::start_in(folder.path(), &plain)
            .unwrap_or_else(|(status, log)| panic!("it ended with {status}: {log}"));
        let run = Self {
            folder,
            written,
            environment,
            process,
            world,
            outputs: Vec::new(),
        };
        (run, address)
    }

    fn keep(&mut self, what: impl Into<String>, text: impl Into<Vec<u8>>, may: May) {
        self.outputs.push(Output {
            what: what.into(),
            text: text.into(),
            may,
        });
    }

    /// Runs a command as an operator does; what it printed.
    fn command(&mut self, args: &[&str], may: May) -> String {
        let mut command = relay(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = command.args(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        self.keep(format!("relay {}", args.join(" ")), &*text, may);
        String::from_utf8(text).unwrap()
    }

    /// Asks the API; what it answered.
    async fn get(&mut self, path: &str, may: May) -> String {
        let url = format!("http://{}{path}", self.process.admin);
        let bearer = format!("Bearer {ADMIN}");
        let (_, body) = send(Method::GET, url, &[("authorization", &bearer)], "").await;
        self.keep(path, &*body, may);
        String::from_utf8_lossy(&body).into_owned()
    }

    async fn post(&mut self, path: &str, body: &str, may: May) -> (u16, String) {
        let url = format!("http://{}{path}", self.process.admin);
        let bearer = format!("Bearer {ADMIN}");
        let headers = [
            ("authorization", &*bearer),
            ("content-type", "application/json"),
        ];
        let (status, answer) = send(Method::POST, url, &headers, body).await;
        self.keep(format!("POST {path}"), &*answer, may);
        (status, String::from_utf8_lossy(&answer).into_owned())
    }

    /// Every sender, and every way of being refused with something to find in it.
    async fn senders(&mut self) {
        let hooks = format!("http://{}/hooks", self.process.ingress);
        let deep = "[".repeat(70);
        let whole = payload(1);
        for (path, token, kind, body) in [
            (
                "jobmojito",
                "canary/source+header.tokem",
                "application/json",
                &*whole,
            ),
            (
                "jobmojito",
                SOURCE,
                "application/json",
                "{\"Zoë Canary Surname\"",
            ),
            ("jobmojito", SOURCE, "application/json", &*deep),
            ("jobmojito", SOURCE, "text/canary-candidate-7", &*whole),
            ("canary-candidate-7", SOURCE, "application/json", &*whole),
            ("by-bearer", SOURCE, "application/json", &*whole),
            ("by-standard", SOURCE, "application/json", &*whole),
        ] {
            let headers = [("x-relay-token", token), ("content-type", kind)];
            let (status, answer) =
                send(Method::POST, format!("{hooks}/{path}"), &headers, body).await;
            assert!((400..500).contains(&status), "{path}: {status}");
            self.keep(format!("refusal by {path}"), &*answer, May::Nothing);
        }
        for (token, score) in [(SOURCE, 1), (SOURCE_NEXT, 2), (SOURCE, 2)] {
            let hook = format!("{hooks}/jobmojito");
            let headers = [("x-relay-token", token)];
            let (status, answer) = send(Method::POST, hook, &headers, &payload(score)).await;
            assert!(matches!(status, 200 | 202), "{status}");
            self.keep("acknowledgement", &*answer, May::Ids);
        }
        for source in ["by-bearer", "by-basic", "by-hmac", "by-standard"] {
            let url = format!("{hooks}/{source}");
            let args = ["send", "payload.json", "--source", source, "--url", &url];
            let told = self.command(&args, May::Ids);
            assert!(told.starts_with("202 "), "{source}: {told}");
        }
    }

    /// Until every destination has shown what it does.
    async fn all_happened(&mut self) {
        loop {
            let url = format!("http://{}/api/v1/deliveries?limit=500", self.process.admin);
            let bearer = format!("Bearer {ADMIN}");
            let (_, body) = send(Method::GET, url, &[("authorization", &bearer)], "").await;
            let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let items = list["items"].as_array().unwrap();
            let has = |name: &str, words: &str| {
                items.iter().any(|one| {
                    one["destination"] == name
                        && (one["state"] == words
                            || one["last_error"]
                                .as_str()
                                .is_some_and(|said| said.contains(words)))
                })
            };
            let expected = [
                ("accept", "delivered"),
                ("reject", "dead"),
                ("refuse", "401"),
                ("fail", "dead"),
                ("redirect", "302"),
                ("slow", "no answer"),
                ("key", "dead"),
                ("key-query", "dead"),
                ("key-basic", "dead"),
                ("oauth", "dead"),
                ("oauth-refused", "no token"),
                ("proxied", "dead"),
                ("slack", "delivered"),
                ("tls", "TLS"),
                ("nobody", "cannot connect"),
                ("nowhere", "dead"),
            ];
            if expected.iter().all(|(name, words)| has(name, words)) {
                return;
            }
        }
    }

    /// Everything that an operator can ask.
    async fn questions(&mut self) {
        for path in [
            "/",
            "/dashboard/main.js",
            "/metrics",
            "/readyz",
            "/openapi.json",
            "/api/v1/jobs",
        ] {
            self.get(path, May::Nothing).await;
        }
        let lists = [
            "status",
            "events",
            "deliveries?limit=500",
            "deliveries?state=dead",
        ];
        for list in lists {
            self.get(&format!("/api/v1/{list}"), May::Ids).await;
        }
        let query = format!("/api/v1/events?subject={SUBJECT}&limit=500");
        let events: serde_json::Value =
            serde_json::from_str(&self.get(&query, May::Ids).await).unwrap();
        let newest = &events["items"][0];
        let id = newest["id"].as_str().unwrap().to_owned();
        let shown = self
            .get(&format!("/api/v1/events/{id}"), May::Payload)
            .await;
        for own in [NAME, EMAIL, PHONE, "Canary spoke well of"] {
            assert!(
                shown.contains(own),
                "{own} is there for who may see it: {shown}"
            );
        }
        let dead = self
            .get("/api/v1/deliveries?state=dead&destination=reject", May::Ids)
            .await;
        assert!(
            dead.contains(SAID),
            "the receiver's words are there for who may see them: {dead}"
        );
        let dead: serde_json::Value = serde_json::from_str(&dead).unwrap();
        let delivery = dead["items"][0]["id"].as_str().unwrap().to_owned();
        self.get(&format!("/api/v1/deliveries/{delivery}"), May::Ids)
            .await;
        let replay = format!("/api/v1/deliveries/{delivery}/replay");
        self.post(&replay, "{\"force\":true}", May::Ids).await;
        self.post(
            "/api/v1/replay",
            "{\"state\":\"dead\",\"dry_run\":true}",
            May::Ids,
        )
        .await;
        self.commands(&id);
        for path in ["/api/v1/status", "/api/v1/nothing"] {
            let url = format!("http://{}{path}", self.process.admin);
            let guess = format!("Bearer {GUESS}");
            let (_, body) = send(Method::GET, url, &[("authorization", &guess)], "").await;
            self.keep("a guess", &*body, May::Nothing);
        }
    }

    fn commands(&mut self, id: &str) {
        let admin = format!("http://{}", self.process.admin);
        let mut ask = |args: &[&str], may| {
            let told = self.command(&[args, &["--admin", &admin]].concat(), may);
            let again = [args, &["--json", "--admin", &admin]].concat();
            self.command(&again, may);
            told
        };
        for list in ["status", "events", "deliveries", "jobs"] {
            ask(&[list], May::Ids);
        }
        assert!(ask(&["event", id, "--payload"], May::Payload).contains(EMAIL));
        ask(&["explain", "--event", id], May::Payload);
        ask(&["explain", "--candidate", CANDIDATE], May::Payload);
        ask(&["diff", "relay.toml"], May::Ids);
        ask(&["replay", "--state", "dead", "--dry-run"], May::Ids);
        ask(&["status", "--token", GUESS], May::Nothing);
        let explained = ["explain", "payload.json", "--source", "jobmojito"];
        assert!(self.command(&explained, May::Payload).contains(EMAIL));
        self.command(&["event", id, "--admin", &admin], May::Ids);
        // Its help says that JSON is with the body.
        self.command(&["event", id, "--json", "--admin", &admin], May::Payload);
        for args in [
            &["check"][..],
            &["check", "--format", "json"],
            &["check", "--online"],
            &["schema"],
            &["presets"],
            &["completions", "bash"],
            &["health", "--admin", &admin],
            &["pause", "accept", "--admin", &admin],
        ] {
            self.command(args, May::Nothing);
        }
    }

    /// A relay.toml that is wrong, with a secret in plain text; then a backup, an erasure, and the end.
    async fn mistakes(&mut self, toml: &str) {
        let plain = toml.replace("{ env = \"HEADER\" }", &format!("{PLAIN:?}"));
        let wrong = plain.replacen("[log]", "slip = 1\n[log]", 1);
        self.folder.write("relay.toml", &wrong);
        self.process.signal("HUP");
        self.process.until_it_says("the one before stays in force");
        let (status, told) = self.post("/api/v1/reload", "{}", May::Nothing).await;
        assert_eq!(status, 422);
        assert!(told.contains("slip"), "{told}");
        self.get("/api/v1/status", May::Ids).await;
        self.command(&["check"], May::Nothing);
        self.folder.write("relay.toml", toml);
        self.command(&["backup", "copy.db"], May::Nothing);
        let erase = format!("{{\"candidate\":{CANDIDATE:?}}}");
        self.post("/api/v1/erase", &erase, May::Ids).await;
    }
}

/// Files below `folder`, by their paths in it.
fn files(folder: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files(folder, &path, found);
        } else {
            found.push(path);
        }
    }
}

/// Follows the relay's news into a file; it is killed when it is dropped.
struct Tail {
    child: Child,
    printed: PathBuf,
}

impl Tail {
    fn start(run: &Run, printed: PathBuf, json: bool) -> Self {
        let out = std::fs::File::create(&printed).unwrap();
        let mut command = relay(run.folder.path());
        command.envs(run.environment.iter().map(|(name, value)| (name, value)));
        command.args(["tail", "--admin", &format!("http://{}", run.process.admin)]);
        command.args(json.then_some("--json"));
        let child = command.stdout(out).stderr(Stdio::null()).spawn().unwrap();
        Self { child, printed }
    }

    fn heard(mut self) -> Vec<u8> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::read(&self.printed).unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_out_anywhere_and_nothing_of_a_person_but_where_it_is_asked_for() {
    let (mut run, address) = Run::start().await;
    let aside = tempfile::TempDir::new().unwrap();
    let tails = [("words", false), ("json", true)];
    let tails = tails.map(|(name, json)| Tail::start(&run, aside.path().join(name), json));
    run.senders().await;
    tokio::time::timeout(PATIENCE, run.all_happened())
        .await
        .unwrap();
    run.questions().await;
    run.mistakes(&world::configuration(address)).await;
    for tail in tails {
        let heard = tail.heard();
        assert!(!heard.is_empty(), "the tail printed nothing");
        run.keep("relay tail", heard, May::Ids);
    }
    let Run {
        folder,
        written,
        process,
        world,
        mut outputs,
        ..
    } = run;
    process.signal("TERM");
    let (status, log) = process.ended();
    assert!(status.success(), "{log}");
    assert!(
        log.lines().count() > 50 && log.contains("slip: unknown key"),
        "{log}"
    );
    assert!(!log.contains("http://"), "a URL in the log:\n{log}");
    let mut keep = |what: &str, text: &[u8], may| {
        let (what, text) = (what.to_owned(), text.to_vec());
        outputs.push(Output { what, text, may });
    };
    keep("the log", log.as_bytes(), May::Nothing);
    let traces = world.traces.lock().unwrap().clone();
    assert!(
        found("deliver slack", &traces).is_some(),
        "traces were collected"
    );
    keep("the traces", &traces, May::Nothing);
    let mut paths = Vec::new();
    files(folder.path(), Path::new(""), &mut paths);
    for path in paths {
        let name = path.display().to_string();
        let is_store = name.starts_with("data/") || name.starts_with("copy.db");
        if !is_store && written.contains(&name) {
            continue;
        }
        // Payloads are sealed in it; ids and what receivers said are not.
        assert!(is_store, "{name} is a file that nobody asked for");
        keep(&name, &std::fs::read(folder.file(&name)).unwrap(), May::Ids);
    }
    every_secret_was_in_use(&world);
    for Output { what, text, may } in &outputs {
        for canary in SECRETS.into_iter().chain(may.forbids()) {
            let form = found(canary, text);
            let shown = String::from_utf8_lossy(text);
            assert_eq!(form, None, "{canary:?} in {what}:\n{shown}");
        }
    }
}

/// What is not in play cannot be found, wherever it may be.
fn every_secret_was_in_use(world: &World) {
    let seen = world.seen.lock().unwrap().join("\n");
    for secret in [
        HEADER,
        canaries::URL_PART,
        canaries::API_KEY,
        canaries::QUERY_KEY,
        canaries::BASIC_KEY,
        canaries::CLIENT_ID,
        canaries::CLIENT_SECRET,
        canaries::ACCESS,
        canaries::PROXY_PASSWORD,
        canaries::SLACK_PART,
        NAME,
        TEXT,
    ] {
        assert!(
            found(secret, seen.as_bytes()).is_some(),
            "{secret} was not sent to anybody"
        );
    }
}
