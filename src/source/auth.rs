//! Who may send: the credentials of a source, compared in constant time.

use http::HeaderName;

use crate::model::Secret;

/// How a source's senders prove themselves. Several secrets are all valid at once: that is rotation.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Said outright: anybody may send.
    None,
    /// A header whose value is one of the secrets.
    Header {
        header: HeaderName,
        secrets: Vec<Secret>,
    },
    /// `Authorization: Bearer …`.
    Bearer(Vec<Secret>),
    /// `Authorization: Basic …`; each secret is `user:password`.
    Basic(Vec<Secret>),
    /// A header with the HMAC-SHA256 of the body, after `prefix`.
    HmacSha256 {
        header: HeaderName,
        secrets: Vec<Secret>,
        encoding: Encoding,
        prefix: String,
    },
    /// Standard Webhooks 1.0 headers, `v1` signatures.
    StandardWebhooks(Vec<Secret>),
}

/// How an HMAC is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// Not let in. It does not say how close the guess was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credentials are missing or wrong")]
pub struct Refused;
