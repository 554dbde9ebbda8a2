//! What a relay with every kind of secret talks to, and its relay.toml.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{HeaderValue, Request, Response, StatusCode, header};
use mojito_relay::app;
use mojito_relay::http::body::{BodyBudget, BodyLimits, Inbound, read_body};
use mojito_relay::http::{Handler, Peer, Reply, Server, ServerLimits, Stop};
use tokio_util::task::TaskTracker;

use super::canaries::{
    ACCESS, ADMIN, API_KEY, BASIC, BASIC_KEY, BEARER, CLIENT_ID, CLIENT_SECRET, COLLECTOR, HEADER,
    HMAC, PROXY_PASSWORD, QUERY_KEY, SAID, SIGNING, SLACK_PART, SOURCE, SOURCE_NEXT, STANDARD,
    STORE, URL_PART,
};
use crate::process::{Folder, PATIENCE};

/// Receiver, vendor, proxy and collector of traces in one. It repeats in its errors whatever it was sent.
#[derive(Default)]
pub struct World {
    /// Heads and bodies that came, but for the traces.
    pub seen: Mutex<Vec<String>>,
    pub traces: Mutex<Vec<u8>>,
}

#[async_trait]
impl Handler for World {
    async fn handle(&self, request: Request<Inbound>, _peer: Peer) -> Response<Reply> {
        let (parts, body) = request.into_parts();
        let limits = BodyLimits {
            max_body: 1 << 24,
            deadline: PATIENCE,
        };
        let body = read_body(body, limits, &BodyBudget::new(1 << 24)).await;
        let body = body.map(|body| body.bytes).unwrap_or_default();
        let sent = format!("{} with {:?}", parts.uri, parts.headers);
        let last = parts.uri.path().rsplit('/').next().unwrap_or_default();
        if last == "traces" {
            self.traces.lock().unwrap().extend_from_slice(&body);
            return Response::new(Reply::new(""));
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        self.seen.lock().unwrap().push(format!("{sent}\n{text}"));
        let status = match last {
            "reject" => StatusCode::UNPROCESSABLE_ENTITY,
            "refuse" => StatusCode::UNAUTHORIZED,
            "fail" => StatusCode::INTERNAL_SERVER_ERROR,
            "redirect" => StatusCode::FOUND,
            "slow" => std::future::pending().await,
            _ => StatusCode::OK,
        };
        let said = match last {
            "token" => format!(r#"{{"access_token":"{ACCESS}","expires_in":3600}}"#),
            _ if SLACK_PART.ends_with(last) => "ok".to_owned(),
            _ => format!("{SAID} at {sent}"),
        };
        let mut response = Response::new(Reply::new(said));
        *response.status_mut() = status;
        let elsewhere = HeaderValue::from_static("http://169.254.169.254/");
        response.headers_mut().insert(header::LOCATION, elsewhere);
        response
    }
}

impl World {
    pub async fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = app::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(ServerLimits::admin(), None, app::system_clock());
        tokio::spawn(server.run(listener, self.clone(), Stop::default(), TaskTracker::new()));
        address
    }
}

/// Secrets that come by the environment.
pub fn environment(world: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("BEARER", BEARER.to_owned()),
        ("HMAC", HMAC.to_owned()),
        ("HEADER", HEADER.to_owned()),
        ("API_KEY", API_KEY.to_owned()),
        ("BASIC_KEY", BASIC_KEY.to_owned()),
        ("PROXY", format!("http://relay:{PROXY_PASSWORD}@{world}")),
        ("SLACK", format!("http://{world}/services/{SLACK_PART}")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{world}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", format!("x-key={COLLECTOR}")),
    ]
}

/// Secrets that come by files.
pub fn files(folder: &Folder, world: SocketAddr) -> Vec<String> {
    let url = |last: &str| format!("http://{world}/{URL_PART}/{last}");
    let mut files = vec![
        ("admin", ADMIN.to_owned()),
        ("source", SOURCE.to_owned()),
        ("source-next", SOURCE_NEXT.to_owned()),
        ("basic", BASIC.to_owned()),
        ("standard", STANDARD.to_owned()),
        ("store", STORE.to_owned()),
        ("signing", SIGNING.to_owned()),
        ("query-key", QUERY_KEY.to_owned()),
        ("client-id", CLIENT_ID.to_owned()),
        ("client-secret", CLIENT_SECRET.to_owned()),
    ];
    files.extend(PLAIN_ONES.map(|last| (last, url(last))));
    for (name, text) in &files {
        folder.write(name, text);
    }
    files.into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// Destinations by what they answer; each has a secret in its URL and one in a header, and is signed.
const PLAIN_ONES: [&str; 6] = ["accept", "reject", "refuse", "fail", "redirect", "slow"];

const HEAD: &str = r#"
[log]
level = "trace"
[reload]
watch = false
[admin]
token = { file = "admin" }
[store]
encrypt = { keys = [{ file = "store" }] }
[sources.jobmojito]
auth = { header = "X-Relay-Token", secrets = [{ file = "source" }, { file = "source-next" }] }
[sources.by-bearer]
auth = { bearer = [{ env = "BEARER" }] }
[sources.by-basic]
auth = { basic = [{ file = "basic" }] }
[sources.by-hmac]
auth = { hmac_sha256 = { header = "X-Sig", secrets = [{ env = "HMAC" }] } }
[sources.by-standard]
auth = { standard_webhooks = [{ file = "standard" }] }
"#;

pub fn configuration(world: SocketAddr) -> String {
    let plain: String = PLAIN_ONES.map(plain).concat();
    let at = |last: &str| format!("url = \"http://{world}/{last}\"\n");
    let oauth = |name: &str, token: &str| {
        let auth = format!(
            "auth = {{ oauth2 = {{ token_url = \"http://{world}/{token}\", client_id = {{ file = \"client-id\" }}, \
             client_secret = {{ file = \"client-secret\" }} }} }}\n"
        );
        format!("[destinations.{name}]\n{}{auth}", at("reject"))
    };
    let more = [
        format!("[destinations.key]\n{}api_key = {{ env = \"API_KEY\" }}\n", at("reject")),
        format!(
            "[destinations.key-query]\n{}api_key = {{ file = \"query-key\" }}\napi_key_in = \"query:key\"\n",
            at("reject")
        ),
        format!(
            "[destinations.key-basic]\n{}api_key = {{ env = \"BASIC_KEY\" }}\napi_key_in = \"basic\"\n",
            at("reject")
        ),
        oauth("oauth", "token"),
        oauth("oauth-refused", "refuse"),
        "[destinations.proxied]\nurl = \"http://behind.example/reject\"\nproxy = { env = \"PROXY\" }\n".to_owned(),
        "[destinations.slack]\npreset = \"slack\"\nrate_limit = \"none\"\nurl = { env = \"SLACK\" }\n".to_owned(),
        format!("[destinations.tls]\nurl = \"https://{world}/tls\"\nheaders = {{ X-Key = {{ env = \"HEADER\" }} }}\n"),
        "[destinations.nobody]\nurl = \"http://127.0.0.1:1/\"\n".to_owned(),
        "[destinations.nowhere]\nurl = \"http://127.0.0.1:9/{{ result.nothing }}\"\n".to_owned(),
    ];
    let more = more.concat();
    let names = more
        .lines()
        .filter_map(|line| line.strip_prefix("[destinations."));
    let names = names
        .map(|name| name.trim_end_matches(']'))
        .chain(PLAIN_ONES);
    let to: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    format!(
        "{HEAD}{plain}{more}[[routes]]\nevents = [\"*\"]\nwhen = \"result.candidate_name != ''\"\nto = [{}]\n",
        to.join(", ")
    )
}

fn plain(name: &str) -> String {
    format!(
        "[destinations.{name}]\nurl = {{ file = {name:?} }}\nheaders = {{ Authorization = {{ env = \"HEADER\" }} }}\n\
         sign = {{ secrets = [{{ file = \"signing\" }}] }}\ntimeout = \"1s\"\nretry = {{ first = \"1s\", attempts = 2 }}\n"
    )
}
