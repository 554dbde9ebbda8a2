//! `[destinations.*]`, which are also the keys of a preset. The comments are what editors show.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::forms::{
    Count, Duration, Free, Pointer, Preset, Rate, Reference, Secret, Secrets, Text,
};

/// `[destinations.*]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Destination {
    /// Defaults that lie under every key here; `relay presets` lists them with what each needs.
    pub preset: Option<Preset>,
    /// Where to send. Templates in the path and query are percent-encoded: `https://host/results/{{ result.id }}`.
    pub url: Option<Url>,
    /// Instead of a url, as presets do: scheme and host alone, so that a sandbox is one line.
    #[schemars(extend("pattern" = "^https?://", "examples" = ["https://api.example.com"]))]
    pub base_url: Option<String>,
    /// The request below `base_url`.
    pub create: Option<Request>,
    /// The request that changes what an earlier revision made, found by `receipt`.
    pub update: Option<Update>,
    /// A client whose token each request carries; instead of `api_key`.
    pub auth: Option<Auth>,
    /// The key that the vendor gave.
    pub api_key: Option<Secret>,
    /// How the key travels: "bearer", "basic", "basic:PASSWORD", "header:X-Api-Key", "header:NAME:PREFIX" or "query:key".
    #[schemars(extend(
        "pattern" = "^(bearer|basic(:.*)?|header:.+|query:.+)$",
        "examples" = ["bearer", "basic", "header:X-Api-Key", "query:key"]
    ))]
    pub api_key_in: Option<String>,
    /// Values that templates see as `with`; a route's own lie over them.
    pub with: Option<Free>,
    /// Named templates that a body uses as texts.NAME.
    pub texts: Option<BTreeMap<String, String>>,
    /// The method of the request.
    pub method: Option<Method>,
    /// Text with templates, or secrets: `{ Authorization = { env = "HR_TOKEN" } }`.
    pub headers: Option<BTreeMap<String, Header>>,
    /// "raw" is the bytes as received.
    pub format: Option<Format>,
    /// Instead of a format: a table whose texts are templates. A text that is one {{ expression }} keeps its type.
    pub body: Option<Free>,
    /// Instead of a format: one template.
    pub body_text: Option<Text>,
    /// Standard Webhooks signatures (v1), one for each secret.
    pub sign: Option<Sign>,
    /// At most so many in every window of that length, evenly spaced.
    pub rate_limit: Option<Rate>,
    /// How many may go out at once after a quiet time; taken out of `rate_limit`.
    pub burst: Option<Count>,
    /// Requests in flight at once, at most 1000.
    #[schemars(extend("maximum" = 1000))]
    pub concurrency: Option<Count>,
    /// One attempt, from connecting to the end of the answer. At most 5 minutes.
    pub timeout: Option<Duration>,
    /// Tells a host of your own, by the header traceparent, which step of a trace the request is.
    pub traceparent: Option<bool>,
    /// "subject": one subject's events go one at a time and in order.
    pub order: Option<Order>,
    /// "latest": a newer revision takes the place of those still waiting.
    pub revisions: Option<Revisions>,
    /// How long a revision waits for the next one, which starts it anew; needs `revisions = "latest"`. At most 1d.
    pub settle: Option<Duration>,
    /// The longest that the first of them waits; five times `settle` if nothing is said.
    pub settle_max: Option<Duration>,
    /// The waits after failures, and when to give up.
    pub retry: Option<Retry>,
    /// When the lane stops sending, and how it probes.
    pub breaker: Option<Breaker>,
    /// Fields that must not be null; else the delivery is skipped.
    pub require: Option<Vec<ResultField>>,
    /// true holds everything back; what waits stays.
    pub paused: Option<bool>,
    /// The name that it had before: what waits under that name is sent here.
    #[schemars(extend("pattern" = "^[a-z0-9_-]{1,64}$"))]
    pub was: Option<String>,
    /// PEM files: an authority of your own, and a client certificate.
    pub tls: Option<Tls>,
    /// "none" ignores `HTTP_PROXY`; "environment" follows it; or a URL such as `http://proxy:3128`.
    pub proxy: Option<Proxy>,
    /// The host may be at a private address, also where its name leads there; a link-local one has to stand in the URL itself.
    pub allow_private: Option<bool>,
    /// CEL over status, headers, body and json: whether a 2xx means what it says. Asked after `retry_when`.
    pub accepted_when: Option<Text>,
    /// CEL: this delivery will never work. Asked after `blocked_when`.
    pub rejected_when: Option<Text>,
    /// CEL: the destination itself refuses. Asked first.
    pub blocked_when: Option<Text>,
    /// CEL: try again later. Asked after `rejected_when`.
    pub retry_when: Option<Text>,
    /// CEL: accepted, with a warning for the operator.
    pub warned_when: Option<Text>,
    /// Where an answer tells the id of what was made.
    pub receipt: Option<Pointer>,
}

/// Templates, or a reference where the URL itself is the secret.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Url {
    Text(HttpUrl),
    Reference(Reference),
}

#[derive(JsonSchema)]
#[schemars(extend("pattern" = "^[hH][tT][tT][pP][sS]?://"))]
pub struct HttpUrl(pub String);

/// A template, or a secret.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Header {
    Text(String),
    Reference(Reference),
}

#[derive(JsonSchema)]
#[schemars(extend("pattern" = r"^result(\.[^.]+)+$", "examples" = ["result.candidate_external_id"]))]
pub struct ResultField(pub String);

/// A request below `base_url`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Request {
    /// Starts with a slash. Templates in it are percent-encoded.
    #[schemars(extend("pattern" = "^/"))]
    pub path: Option<String>,
    /// The method of the request; else the destination's.
    pub method: Option<Method>,
    /// A table whose texts are templates.
    pub body: Option<Free>,
    /// One template.
    pub body_text: Option<Text>,
}

/// A request that changes what an earlier revision made. Templates in it see `receipt`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Update {
    /// Starts with a slash. Templates in it are percent-encoded.
    #[schemars(extend("pattern" = "^/"))]
    pub path: Option<String>,
    /// The method of the request; else the destination's.
    pub method: Option<Method>,
    /// A table whose texts are templates.
    pub body: Option<Free>,
    /// One template.
    pub body_text: Option<Text>,
    /// CEL over status, headers, body and json: the thing is not there any more, so it is made anew.
    pub gone_when: Option<Text>,
}

/// How the relay proves who it is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Auth {
    /// OAuth 2.0 client credentials: a token is fetched, kept in memory and sent as a bearer token.
    pub oauth2: Option<Oauth2>,
}

/// OAuth 2.0 client credentials.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Oauth2 {
    /// The client's id.
    pub client_id: Option<Secret>,
    /// The client's secret.
    pub client_secret: Option<Secret>,
    /// Where tokens are given.
    pub token_url: Option<HttpUrl>,
    /// More fields of the form. One that is `{{ with.name }}` takes that value, and is left out where there is none.
    pub params: Option<BTreeMap<String, String>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE")]
pub enum Method {
    Post,
    Put,
    Patch,
    Delete,
    Get,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Format {
    Raw,
    Envelope,
    CloudEvents,
}

/// Standard Webhooks signatures.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Sign {
    /// whsec_ and the base64 of 24 or more random bytes; each signs, so that several are a rotation.
    pub secrets: Secrets,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Order {
    Subject,
    None,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Revisions {
    All,
    Latest,
}

/// The waits after failures: first, then `factor` times longer each, up to `max`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Retry {
    /// The first wait, at most 6h.
    pub first: Option<Duration>,
    /// The longest wait, at most 6h.
    pub max: Option<Duration>,
    /// How much longer each wait is than the one before: 1 for all alike.
    #[schemars(range(min = 1, max = 100))]
    pub factor: Option<f64>,
    /// The share of a wait that chance adds.
    #[schemars(range(min = 0, max = 1))]
    pub jitter: Option<f64>,
    /// After so many attempts the delivery is dead.
    pub attempts: Option<Count>,
    /// At that age the delivery is dead; at most 90d.
    pub give_up_after: Option<Duration>,
}

/// When the lane stops sending, and how one delivery probes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Breaker {
    /// So many failures in a row open the lane.
    pub failures: Option<Count>,
    /// So many different events rejected in a row block it.
    pub rejections: Option<Count>,
    /// The wait before the first probe, at most 1d.
    pub probe_after: Option<Duration>,
    /// The wait doubles up to this, at most 1d.
    pub probe_max: Option<Duration>,
}

/// PEM files of an outgoing connection.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Tls {
    /// An authority of your own.
    pub ca: Option<Text>,
    /// A client certificate; needs `key`.
    pub cert: Option<Text>,
    /// Its key.
    pub key: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Proxy {
    Word(ProxyWord),
    Url(ProxyUrl),
    Reference(Reference),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ProxyWord {
    None,
    Environment,
}

#[derive(JsonSchema)]
#[schemars(extend("pattern" = "^([hH][tT][tT][pP][sS]?|[sS][oO][cC][kK][sS]5[hH]?)://"))]
pub struct ProxyUrl(pub String);
