//! `[sources.*]`. The comments are what editors show.

use schemars::JsonSchema;

use super::forms::{Duration, HeaderName, Network, Pointer, Rate, Secrets, Text};

/// `[sources.*]`
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Source {
    /// "jobmojito" knows interview results; "generic" takes any JSON and needs `type`.
    pub kind: Option<SourceKind>,
    /// What kind of event a generic body is: a JSON pointer into it, { header = "…" } or { fixed = "…" }.
    pub r#type: Option<PickedBy>,
    /// What a generic body is about, picked as `type` is. Events of one subject are revisions of each
    /// other; without subject each is its own.
    pub subject: Option<PickedBy>,
    /// How the sender proves who it is. "none" says that anybody may send.
    pub auth: Auth,
    /// Addresses that may send, such as "203.0.113.0/24"; empty for any.
    pub allow_ips: Option<Vec<Network>>,
    /// "100/s" lets 100 in at once and refills in a second; above it 429.
    pub rate_limit: Option<Rate>,
    /// Top-level fields that only churn, such as `pdf_export_url`: a change in them is no new revision.
    pub ignore: Option<Vec<Text>>,
    /// Only the top-level fields that some rule or template uses are kept; the rest never reaches the disk.
    pub minimise: Option<bool>,
    /// Without an event for longer than this, the source is silent: status, metric and log tell.
    pub silent_after: Option<Duration>,
    /// An interview that was collected and not submitted within this time is stuck; told likewise.
    pub stuck_after: Option<Duration>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum SourceKind {
    Jobmojito,
    Generic,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum PickedBy {
    Pointer(Pointer),
    Table(Pick),
}

/// Either a header's value, or always the same.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["header"] }, { "required": ["fixed"] }]))]
pub struct Pick {
    /// The header that tells.
    pub header: Option<HeaderName>,
    /// The same for every event, such as "order.paid".
    pub fixed: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Auth {
    Nobody(Nobody),
    Way(AuthWay),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Nobody {
    None,
}

/// One of `header` with `secrets`, `bearer`, `basic`, `hmac_sha256`, `standard_webhooks`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["header", "secrets"] },
    { "required": ["bearer"] },
    { "required": ["basic"] },
    { "required": ["hmac_sha256"] },
    { "required": ["standard_webhooks"] },
]))]
pub struct AuthWay {
    /// The header that holds one of `secrets`.
    pub header: Option<HeaderName>,
    /// What `header` may hold.
    pub secrets: Option<Secrets>,
    /// Tokens for `Authorization: Bearer`.
    pub bearer: Option<Secrets>,
    /// user:password, for `Authorization: Basic`.
    pub basic: Option<Secrets>,
    /// A signature of the body in a header.
    pub hmac_sha256: Option<Hmac>,
    /// Standard Webhooks secrets (whsec_…).
    pub standard_webhooks: Option<Secrets>,
}

/// HMAC-SHA256 of the body.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Hmac {
    /// The header that holds the signature.
    pub header: HeaderName,
    /// The keys.
    pub secrets: Secrets,
    /// How the signature is written; hex if nothing is said.
    pub encoding: Option<Encoding>,
    /// What stands before the signature, such as "sha256=".
    pub prefix: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Encoding {
    Hex,
    Base64,
}
