//! Nothing leaks: a full run with secrets and personal data that are easy to find, at the chattiest log level.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use mojito_relay::app;
use mojito_relay::http::body::Inbound;
use mojito_relay::http::{Handler, Peer, Reply, Server, ServerLimits, Stop};
use mojito_relay::transport::{Connection, NetworkTransport, Outgoing, Transport as _};
use tokio_util::task::TaskTracker;

use crate::process::{Folder, PATIENCE, Process};

const SOURCE_TOKEN: &str = "canary-source-token";
const ADMIN_TOKEN: &str = "canary-admin-token";
const HEADER: &str = "canary-destination-header";
const URL_PART: &str = "canary-secret-url";
const SIGNING: &str = "whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0LW9mLXRoZS1oci1hcHA=";
const STORE_KEY: &str = "Y2FuYXJ5LW9mLXRoZS1rZXktdGhhdC1zZWFscy1hbGw=";
const SECRETS: [&str; 6] = [
    "Y2FuYXJ5LW9mLXRoZS1rZXkt",
    SOURCE_TOKEN,
    ADMIN_TOKEN,
    HEADER,
    URL_PART,
    "Y2FuYXJ5LXNpZ25pbmct",
];
const PERSONAL: [&str; 5] = [
    "canary-subject",
    "canary-candidate",
    "Canary Analysis",
    "canary.report.example",
    "Canary Surname",
];

/// Answers by path, and repeats in its errors what it was sent.
struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, request: Request<Inbound>, _peer: Peer) -> Response<Reply> {
        let status = match request.uri().path().rsplit('/').next() {
            Some("reject") => StatusCode::UNPROCESSABLE_ENTITY,
            Some("refuse") => StatusCode::UNAUTHORIZED,
            Some("fail") => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        };
        let text = format!(
            "Canary Surname at {} with {:?}",
            request.uri(),
            request.headers()
        );
        let mut response = Response::new(Reply::new(text));
        *response.status_mut() = status;
        response
    }
}

async fn echo() -> SocketAddr {
    let listener = app::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(ServerLimits::admin(), None, app::system_clock());
    tokio::spawn(server.run(
        listener,
        Arc::new(Echo),
        Stop::default(),
        TaskTracker::new(),
    ));
    address
}

fn configuration(folder: &Folder, receiver: SocketAddr) -> String {
    let secret = |name: &str, value: &str| {
        folder.write(name, value);
        format!("{{ file = \"{name}\" }}")
    };
    let head = format!(
        "[log]\nlevel = \"trace\"\n[store]\nencrypt = {{ keys = [{}] }}\n[admin]\ntoken = {}\n[sources.jobmojito]\n\
         auth = {{ header = \"X-Relay-Token\", secrets = [{}] }}\n",
        secret("store", STORE_KEY),
        secret("admin", ADMIN_TOKEN),
        secret("source", SOURCE_TOKEN),
    );
    let destination = |name: &str| {
        let url = secret(name, &format!("http://{receiver}/{URL_PART}/{name}"));
        let (header, signing) = (secret("header", HEADER), secret("signing", SIGNING));
        format!(
            "[destinations.{name}]\nurl = {url}\nheaders = {{ Authorization = {header} }}\n\
             sign = {{ secrets = [{signing}] }}\n"
        )
    };
    let plain: String = ["accept", "reject", "refuse", "fail"]
        .map(destination)
        .concat();
    let hook = secret("slack", &format!("http://{receiver}/{URL_PART}/slack"));
    format!(
        "{head}{plain}[destinations.slack]\npreset = \"slack\"\nrate_limit = \"none\"\nurl = {hook}\n\
         [destinations.broken]\nurl = \"http://127.0.0.1:9/{{{{ result.nothing }}}}\"\n[[routes]]\nevents = [\"*\"]\n\
         to = [\"accept\", \"reject\", \"refuse\", \"fail\", \"slack\", \"broken\"]\n"
    )
}

const RESULT: &str = r#"{"id":"canary-subject","status":"active","interview_status":"completed",
    "candidate_external_id":"canary-candidate","ai_analysis_recruiter":"Canary Analysis","score":4,
    "pdf_export_url":"https://canary.report.example/x?token=1"}"#;

async fn send(method: Method, url: String, headers: &[(&str, &str)], body: &str) -> (u16, String) {
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
    let answer = NetworkTransport::default().send(request).await.unwrap();
    (
        answer.status.as_u16(),
        String::from_utf8_lossy(&answer.body).into_owned(),
    )
}

/// Every way of being refused, with something to find in each.
async fn refusals(process: &Process) {
    let hooks = format!("http://{}/hooks", process.ingress);
    let token = ("x-relay-token", SOURCE_TOKEN);
    let deep = "[".repeat(70);
    for (path, headers, body) in [
        (
            "jobmojito",
            vec![("x-relay-token", "canary-source-token-guess")],
            RESULT,
        ),
        ("jobmojito", vec![], RESULT),
        ("jobmojito", vec![token], "{\"Canary Surname\""),
        ("jobmojito", vec![token], deep.as_str()),
        (
            "jobmojito",
            vec![token, ("content-type", "text/canary-candidate")],
            RESULT,
        ),
        ("canary-candidate", vec![token], RESULT),
    ] {
        let (status, _) = send(Method::POST, format!("{hooks}/{path}"), &headers, body).await;
        assert!((400..500).contains(&status), "{status}");
    }
}

/// Everything that a run put out: the log, the metrics, and what the API told.
struct Output {
    log: String,
    metrics: String,
    told: Vec<String>,
}

/// The same with an unknown key and a secret in plain text.
fn mistaken(toml: &str) -> String {
    let plain = format!("\"{HEADER}\"");
    toml.replace("[log]", "slip = 1\n[log]")
        .replace("{ file = \"header\" }", &plain)
}

/// Accepts, refuses, delivers, fails, replays, reloads and ends.
async fn run() -> Output {
    let folder = Folder::new("");
    let toml = configuration(&folder, echo().await);
    folder.write("relay.toml", &toml);
    let process = Process::start(folder.path());
    refusals(&process).await;
    let hook = format!("http://{}/hooks/jobmojito", process.ingress);
    for score in ["4", "5", "5"] {
        let body = RESULT.replace("\"score\":4", &format!("\"score\":{score}"));
        let (status, _) = send(
            Method::POST,
            hook.clone(),
            &[("x-relay-token", SOURCE_TOKEN)],
            &body,
        )
        .await;
        assert!(status == 202 || status == 200, "{status}");
    }
    let admin = |path: &str| format!("http://{}{path}", process.admin);
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let get = async |path: &str| {
        send(Method::GET, admin(path), &[("authorization", &bearer)], "")
            .await
            .1
    };
    while !get("/api/v1/deliveries?state=dead")
        .await
        .contains("broken")
        || !get("/api/v1/status").await.contains("blocked")
    {}
    let events = get("/api/v1/events").await;
    let id = events
        .split("\"id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let told = vec![
        get("/api/v1/status").await,
        get("/api/v1/deliveries").await,
        get(&format!("/api/v1/events/{id}")).await,
    ];
    assert!(
        told[2].contains("Canary Analysis"),
        "the payload is there for who may see it"
    );
    assert_eq!(
        send(Method::GET, admin("/api/v1/events"), &[], "").await.0,
        401
    );
    let replay = format!("/api/v1/deliveries/{}_1/replay", id.replace("evt_", "dlv_"));
    send(
        Method::POST,
        admin(&replay),
        &[("authorization", &bearer)],
        "",
    )
    .await;
    let metrics = send(Method::GET, admin("/metrics"), &[], "").await.1;
    folder.write("relay.toml", &mistaken(&toml));
    process.signal("HUP");
    process.until_it_says("the one before stays in force");
    process.signal("TERM");
    let (_, log) = process.ended();
    Output { log, metrics, told }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_personal_data_is_logged_or_counted() {
    let Output { log, metrics, told } = run().await;
    assert!(
        log.lines().count() > 20 && log.contains("slip: unknown key"),
        "{log}"
    );
    for canary in SECRETS {
        assert!(!log.contains(canary), "{canary} in the log:\n{log}");
        assert!(!metrics.contains(canary), "{canary} in the metrics");
        assert!(
            !told.iter().any(|text| text.contains(canary)),
            "{canary} in the API: {told:?}"
        );
    }
    for canary in PERSONAL {
        assert!(!log.contains(canary), "{canary} in the log:\n{log}");
        assert!(!metrics.contains(canary), "{canary} in the metrics");
    }
    assert!(!log.contains("http://"), "a URL in the log:\n{log}");
}
