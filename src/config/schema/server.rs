//! relay.toml as a whole, and `[server]`, `[admin]`, `[store]`, `[log]`. The comments are what editors show.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::destinations::Destination;
use super::forms::{Address, Count, Duration, Network, Secret, Size, StoreUrl, Text};
use super::routes::Route;
use super::sources::Source;
use super::trials::Test;

/// The configuration of mojito-relay. The shipped relay.toml is its reference.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Root {
    /// A folder with presets of your own, NAME.toml each, relative to the folder of relay.toml.
    pub presets_dir: Option<Text>,
    /// Where senders post.
    pub server: Option<Server>,
    /// Dashboard, API, metrics and health. Not for the internet.
    pub admin: Option<Admin>,
    /// Where events are kept.
    pub store: Option<Store>,
    /// What is written to standard error.
    pub log: Option<Log>,
    /// When the configuration is read again.
    pub reload: Option<Reload>,
    /// Who posts to /hooks/NAME.
    #[schemars(extend("propertyNames" = { "pattern": "^[a-z0-9_-]{1,64}$" }))]
    pub sources: Option<BTreeMap<String, Source>>,
    /// Where events go.
    #[schemars(extend("propertyNames" = { "pattern": "^[a-z0-9_-]{1,64}$" }))]
    pub destinations: Option<BTreeMap<String, Destination>>,
    /// Which events go where. All that match count; one event goes to one destination once.
    pub routes: Option<Vec<Route>>,
    /// Who is told by the relay itself.
    pub alerts: Option<Alerts>,
    /// A folder of *.json bodies of your own, from the folder of relay.toml: `relay check` tries everything with them too.
    pub samples_dir: Option<Text>,
    /// What `relay check` expects of the rules. A relay at work does not run them.
    pub tests: Option<Vec<Test>>,
}

/// `[server]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Server {
    /// Where senders post. Listen on "0.0.0.0:8080" to be reached from elsewhere, and then use auth.
    pub listen: Option<Address>,
    /// Largest body; a larger one is answered with 413.
    pub max_body: Option<Size>,
    /// All bodies together that are being read or stored; above it 503, which the sender tries again.
    pub max_body_in_flight: Option<Size>,
    /// For the headers and body of one request; a slower one is answered with 408. At most 10 minutes.
    pub body_deadline: Option<Duration>,
    /// For the headers alone, and for a TLS handshake. At most 10 minutes.
    pub header_deadline: Option<Duration>,
    /// Connections at once, and at most half of the files that may be open (`ulimit -n`). Beyond it, who is idle makes room.
    pub max_connections: Option<Count>,
    /// HTTP/2 streams at once on one connection.
    pub max_streams: Option<Count>,
    /// How long a shutdown waits for requests and attempts under way. Keep it below your supervisor's limit.
    pub shutdown_grace: Option<Duration>,
    /// HTTPS: PEM files of the certificate chain and its key.
    pub tls: Option<ServerTls>,
    /// Proxies whose X-Forwarded-For is believed: addresses or networks such as "10.0.0.0/8".
    pub trusted_proxies: Option<Vec<Network>>,
}

/// HTTPS: PEM files of the certificate chain and its key.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ServerTls {
    /// The certificate chain, a PEM file.
    pub cert: Text,
    /// Its key, a PEM file.
    pub key: Text,
}

/// `[reload]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Reload {
    /// Whether a change of relay.toml, or of a file that it names, takes effect by itself, within 2 seconds.
    pub watch: Option<bool>,
}

/// `[alerts]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Alerts {
    /// Destinations that are told when a lane is blocked or freed, the store fails, a source falls silent (at once),
    /// and what died (at most once an hour for each destination). About these themselves nothing is told.
    pub to: Option<Vec<String>>,
}

/// `[admin]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Admin {
    /// Where dashboard, API, metrics and health are served.
    pub listen: Option<Address>,
    /// Required as soon as `listen` is not loopback: without it the relay does not start.
    pub token: Option<Secret>,
}

/// `[store]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Store {
    /// Where everything is that was acknowledged: a file such as "sqlite:data/relay.db", or a schema of a database such as
    /// `postgres://user:password@host/database?schema=relay`; or where that is read from.
    pub url: Option<StoreUrl>,
    /// Deliveries waiting, over all destinations; above it senders get 503 and try again later.
    pub max_waiting: Option<Count>,
    /// How long what stays, from when an event was received.
    pub keep: Option<Keep>,
    /// By which keys payloads are encrypted in the store. Without keys they are not.
    pub encrypt: Option<Encrypt>,
}

/// By which keys payloads are encrypted in the store. Without keys they are not.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Encrypt {
    /// 32 bytes each, in base64 or hex. The first encrypts, the others only open what they encrypted before.
    pub keys: Option<Vec<Secret>>,
    /// false takes the encryption off again, with the keys still there.
    pub seal: Option<bool>,
}

/// How long what stays, from when an event was received. A payload stays in any case while one of its deliveries is not final.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Keep {
    /// Payloads of events with a delivery that was delivered.
    pub delivered: Option<Duration>,
    /// Payloads of events with a delivery that is dead.
    pub dead: Option<Duration>,
    /// Payloads of all other events: superseded, skipped, discarded, routed nowhere.
    pub other: Option<Duration>,
    /// Ids, states, times, revision numbers, keyed digests of fields and receipts. At least as long as any payload.
    pub ledger: Option<Duration>,
    /// Payloads by type of event, whatever became of them: { "interview.failed" = "2d" }.
    pub types: Option<BTreeMap<String, Duration>>,
}

/// `[log]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Log {
    /// "auto" is pretty on a terminal and JSON otherwise.
    pub format: Option<LogFormat>,
    /// Dependencies never say more than warn.
    pub level: Option<LogLevel>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Pretty,
    Json,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
