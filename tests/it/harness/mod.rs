//! A relay in a test: real doors on loopback, a real store in a temporary folder, a clock that the test
//! moves, and receivers that do as the test says.

mod examples;
mod faulty;
mod receiver;

pub use examples::{by_schema, toml_blocks};
pub use faulty::FaultyStore;
pub use receiver::{Receivers, Request, answer};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use mojito_relay::app::{self, Ended, Parts, Relay};
use mojito_relay::clock::{Clock as _, ManualClock};
use mojito_relay::config::{Finding, Inputs, Secrets};
use mojito_relay::model::State;
use mojito_relay::telemetry::{Attempted, Happening, Received};
use mojito_relay::transport::{Connection, Names, NetworkTransport, Outgoing, Transport};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Nothing in a test takes as long as this unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A source and one plain destination for everything.
pub const PLAIN: &str = r#"
[sources.jobmojito]
auth = "none"
[destinations.app]
url = "http://app.test/in"
[[routes]]
events = ["*"]
to = ["app"]
"#;

/// [`PLAIN`] with more keys for its destination.
pub fn with(keys: &str) -> String {
    PLAIN.replace("[[routes]]", &format!("{keys}\n[[routes]]"))
}

/// So many deliveries are delivered.
pub fn delivered(count: usize) -> impl Fn(&[Happening]) -> bool {
    move |log| {
        attempts(log)
            .filter(|attempt| attempt.state == State::Delivered)
            .count()
            >= count
    }
}

/// A relay at work, and what it was heard to do.
pub struct TestRelay {
    pub relay: Relay,
    pub clock: Arc<ManualClock>,
    pub receivers: Arc<Receivers>,
    pub store: Arc<FaultyStore>,
    heard: broadcast::Receiver<Happening>,
    pub log: Vec<Happening>,
    folder: Arc<TempDir>,
    transport: Arc<dyn Transport>,
    environment: Vec<(String, String)>,
    network: NetworkTransport,
}

/// What outlives a relay that was ended.
pub struct Remains {
    pub clock: Arc<ManualClock>,
    pub receivers: Arc<Receivers>,
    folder: Arc<TempDir>,
    transport: Arc<dyn Transport>,
    environment: Vec<(String, String)>,
}

/// What the relay answered a sender or an operator.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl TestRelay {
    /// A relay with an empty store. `toml` holds sources, destinations and routes.
    pub async fn start(toml: &str) -> Self {
        let receivers = Arc::new(Receivers::default());
        Remains::new(receivers.clone(), receivers).start(toml).await
    }

    /// The same with variables of the environment.
    pub async fn start_in(toml: &str, environment: &[(&str, String)]) -> Self {
        let receivers = Arc::new(Receivers::default());
        let remains = Remains::new(receivers.clone(), receivers);
        remains.knowing(environment).start(toml).await
    }

    /// The same, but what it sends goes out over real connections.
    pub async fn start_on_the_network(toml: &str, environment: &[(&str, String)]) -> Self {
        let network = Arc::new(NetworkTransport::default());
        let remains = Remains::new(Arc::default(), network);
        remains.knowing(environment).start(toml).await
    }

    /// The same, where `names` are what hosts are looked up in.
    pub async fn start_knowing(toml: &str, names: Arc<dyn Names>) -> Self {
        let network = Arc::new(NetworkTransport::knowing(names));
        Remains::new(Arc::default(), network).start(toml).await
    }

    /// The same, but what it sends goes to a receiver of the test's own making.
    pub async fn start_towards(transport: Arc<dyn Transport>, toml: &str) -> Self {
        Remains::new(Arc::default(), transport).start(toml).await
    }

    /// What destinations gave back to find things again.
    pub fn receipts(&self) -> Vec<String> {
        let store = rusqlite::Connection::open(self.folder.path().join("relay.db"));
        let store = store.expect("the store is a file");
        let mut rows = store
            .prepare(
                "SELECT value FROM receipt WHERE value IS NOT NULL ORDER BY destination, value",
            )
            .expect("the table of receipts");
        let values = rows.query_map((), |row| row.get(0)).expect("rows");
        values.map(|value| value.expect("a text")).collect()
    }

    /// Somebody who can post from another task.
    pub fn sender(&self) -> Sender {
        Sender {
            ingress: self.relay.ingress,
            network: NetworkTransport::default(),
        }
    }

    /// Posts to a source and answers with what came back.
    pub async fn post(&self, source: &str, body: impl Into<Bytes>) -> Reply {
        self.post_with(source, body, &[]).await
    }

    pub async fn post_with(
        &self,
        source: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let url = format!("http://{}/hooks/{source}", self.relay.ingress);
        self.request(Method::POST, &url, body.into(), headers).await
    }

    /// Where the store's files are.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Posts to the admin API.
    pub async fn ask(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        let url = format!("http://{}{path}", self.relay.admin);
        self.request(Method::POST, &url, body.into(), &[]).await
    }

    /// What the relay takes for the present.
    pub fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Asks the admin API.
    pub async fn get(&self, path: &str) -> Reply {
        let url = format!("http://{}{path}", self.relay.admin);
        self.request(Method::GET, &url, Bytes::new(), &[]).await
    }

    /// Tells the admin API to do something.
    pub async fn tell(&self, path: &str, body: &str) -> Reply {
        let url = format!("http://{}{path}", self.relay.admin);
        self.request(Method::POST, &url, Bytes::from(body.to_owned()), &[])
            .await
    }

    pub async fn request(
        &self,
        method: Method,
        url: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Reply {
        request(&self.network, method, url, (body, headers)).await
    }

    /// A file in the relay's folder.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Moves the clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Listens until what was heard so far is `enough`.
    pub async fn until(&mut self, what: &str, enough: impl Fn(&[Happening]) -> bool) {
        let listening = async {
            while !enough(&self.log) {
                match self.heard.recv().await {
                    Ok(happening) => self.log.push(happening),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, listening).await.is_ok(),
            "waited in vain for {what}; heard {:#?}",
            self.log
        );
    }

    /// Listens until so many attempts were recorded in all.
    pub async fn attempts(&mut self, count: usize) -> Vec<Attempted> {
        self.until("attempts", |log| attempts(log).count() >= count)
            .await;
        attempts(&self.log).cloned().collect()
    }

    /// Listens until so many deliveries reached `state` in all.
    pub async fn ended(&mut self, state: State, count: usize) {
        let reached = move |happening: &Happening| match happening {
            Happening::Attempt(attempted) => attempted.state == state,
            Happening::Delivery { state: end, .. } => *end == state,
            _ => false,
        };
        self.until(state.as_str(), |log| {
            log.iter().filter(|one| reached(one)).count() >= count
        })
        .await;
    }

    /// Lets time pass, from one thing that waits for it to the next, until what was heard is `enough`.
    pub async fn drive(&mut self, what: &str, enough: impl Fn(&[Happening]) -> bool) {
        let driving = async {
            while !enough(&self.log) {
                tokio::select! {
                    biased;
                    heard = self.heard.recv() => self.log.push(heard.expect("the feed goes on")),
                    at = self.clock.sleeper() => {
                        let left = mojito_relay::model::after(self.clock.now(), at);
                        self.clock.advance(left);
                    }
                }
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, driving).await.is_ok(),
            "waited in vain for {what}; heard {:#?}",
            self.log
        );
    }

    /// Events that were taken, duplicates included.
    pub fn events(&self) -> Vec<&Received> {
        self.log
            .iter()
            .filter_map(|happening| match happening {
                Happening::Event(received) => Some(received),
                _ => None,
            })
            .collect()
    }

    /// Puts another configuration in force.
    pub async fn reload(&self, toml: &str) -> Result<Vec<String>, Vec<Finding>> {
        std::fs::write(self.folder.path().join("relay.toml"), toml)
            .expect("the folder is writable");
        self.relay.reloader.reload("a test").await
    }

    /// Ends it in order.
    pub async fn stop(self) -> (Ended, Remains) {
        let ended = self.relay.shut_down(CancellationToken::new()).await;
        (
            ended,
            Remains {
                clock: self.clock,
                receivers: self.receivers,
                folder: self.folder,
                transport: self.transport,
                environment: self.environment,
            },
        )
    }

    /// Ends it at once, as a second signal does: what is under way is cut off.
    pub async fn cut_off(self) -> Remains {
        let force = CancellationToken::new();
        force.cancel();
        self.relay.shut_down(force).await;
        Remains {
            clock: self.clock,
            receivers: self.receivers,
            folder: self.folder,
            transport: self.transport,
            environment: self.environment,
        }
    }
}

impl Remains {
    fn new(receivers: Arc<Receivers>, transport: Arc<dyn Transport>) -> Self {
        let start: Timestamp = "2026-11-22T09:00:00Z".parse().expect("a time");
        Self {
            clock: Arc::new(ManualClock::new(start)),
            receivers,
            folder: Arc::new(TempDir::new().expect("a temporary folder")),
            transport,
            environment: Vec::new(),
        }
    }

    fn knowing(mut self, environment: &[(&str, String)]) -> Self {
        let variables = environment.iter().cloned();
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        self.environment = variables.map(owned).collect();
        self
    }

    /// A relay on the store that is there.
    pub async fn start(self, toml: &str) -> TestRelay {
        let Self {
            clock,
            receivers,
            folder,
            transport,
            environment,
        } = self;
        std::fs::write(folder.path().join("relay.toml"), toml).expect("the folder is writable");
        assert_eq!(by_schema(toml), "", "what runs is right by the schema, too");
        let ready = app::load(&inputs(&folder, &environment))
            .unwrap_or_else(|findings| panic!("{findings:#?}"));
        let telemetry = app::telemetry(&ready).expect("a collector or none");
        let heard = telemetry.listen();
        let store = app::open_store(&ready.config.store, [7; 32], clock.clone(), &telemetry);
        let store = FaultyStore::new(store.await.expect("a store"));
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let parts = Parts {
            clock: clock.clone(),
            seed: [1; 32],
            store: store.clone(),
            transport: transport.clone(),
            telemetry,
            ingress: app::listen(loopback).await.expect("a port"),
            admin: app::listen(loopback).await.expect("a port"),
        };
        let relay = Relay::start(ready, parts).await.expect("it starts");
        let network = NetworkTransport::default();
        TestRelay {
            relay,
            clock,
            receivers,
            store,
            heard,
            log: Vec::new(),
            folder,
            transport,
            environment,
            network,
        }
    }
}

/// Posts from another task.
pub struct Sender {
    pub ingress: std::net::SocketAddr,
    network: NetworkTransport,
}

impl Sender {
    /// Sends so many bytes of a body, and keeps the rest back for as long as the connection is kept.
    pub async fn hold(&self, source: &str, bytes: usize) -> tokio::net::TcpStream {
        use tokio::io::AsyncWriteExt as _;
        let mut socket = tokio::net::TcpStream::connect(self.ingress)
            .await
            .expect("the relay listens");
        let (length, part) = (bytes + 1, "x".repeat(bytes));
        let text = format!(
            "POST /hooks/{source} HTTP/1.1\r\nhost: relay\r\ncontent-length: {length}\r\n\r\n{part}"
        );
        socket
            .write_all(text.as_bytes())
            .await
            .expect("the relay reads");
        socket
    }

    /// Asks an admin API.
    pub async fn get_at(&self, admin: std::net::SocketAddr, path: &str) -> Reply {
        let url = format!("http://{admin}{path}");
        request(&self.network, Method::GET, &url, (Bytes::new(), &[])).await
    }

    /// Posts to an admin API.
    pub async fn ask_at(&self, admin: std::net::SocketAddr, path: &str, body: &str) -> Reply {
        let url = format!("http://{admin}{path}");
        let body = Bytes::from(body.to_owned());
        request(&self.network, Method::POST, &url, (body, &[])).await
    }

    pub async fn post(&self, source: &str, body: impl Into<Bytes>) -> Reply {
        let url = format!("http://{}/hooks/{source}", self.ingress);
        request(&self.network, Method::POST, &url, (body.into(), &[])).await
    }
}

async fn request(
    network: &NetworkTransport,
    method: Method,
    url: &str,
    sent: (Bytes, &[(&str, &str)]),
) -> Reply {
    let (body, headers) = sent;
    let headers = headers.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().expect("a header name");
        (name, HeaderValue::from_str(value).expect("a header value"))
    });
    let request = Outgoing {
        method,
        url: Url::parse(url).expect("a URL"),
        headers: headers.collect(),
        body,
        timeout: PATIENCE,
        connection: Arc::new(Connection::default()),
    };
    let answer = network.send(request).await.expect("the relay answers");
    Reply {
        status: answer.status.as_u16(),
        headers: answer.headers,
        body: answer.body,
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Attempts, in the order in which they were recorded.
pub fn attempts(log: &[Happening]) -> impl Iterator<Item = &Attempted> {
    log.iter().filter_map(|happening| match happening {
        Happening::Attempt(attempted) => Some(attempted),
        _ => None,
    })
}

/// An interview result of subject `id`, submitted, with `score`.
pub fn submitted(id: &str, score: f64) -> String {
    serde_json::json!({
        "id": id, "status": "active", "interview_status": "completed", "processing_status": "completed",
        "candidate_external_id": "c-1", "recruiter_go_next_round": null, "score": score,
    })
    .to_string()
}

/// A bundled sample.
pub fn sample(name: &str) -> &'static str {
    app::sample(name).expect("a bundled sample")
}

/// Inputs for a text that is at hand.
pub fn inputs_without_a_file() -> Inputs {
    Inputs {
        file: "relay.toml".into(),
        environment: Vec::new(),
        flags: Vec::new(),
        secrets: Secrets::Read,
    }
}

fn inputs(folder: &TempDir, environment: &[(String, String)]) -> Inputs {
    Inputs {
        file: folder.path().join("relay.toml"),
        environment: environment.to_vec(),
        flags: vec![
            (
                "store.url".to_owned(),
                format!("sqlite:{}", folder.path().join("relay.db").display()),
            ),
            // Who looks every half second would be what time is driven to.
            ("reload.watch".to_owned(), "false".to_owned()),
        ],
        secrets: Secrets::Read,
    }
}
