//! `[server]` and `[admin]` of relay.toml.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::Secret;

/// `[server]`: where senders post, and how much of it is taken at once.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSettings {
    pub listen: SocketAddr,
    /// Largest body, in bytes.
    pub max_body: u64,
    /// Of all bodies being read or stored together, in bytes; above it 503.
    pub max_body_in_flight: u64,
    /// Headers and body of one request together, never the commit.
    pub body_deadline: Duration,
    /// For the headers of a request, and for a TLS handshake.
    pub header_deadline: Duration,
    pub max_connections: usize,
    /// HTTP/2 streams at once on one connection.
    pub max_streams: u32,
    /// How long a shutdown waits for what is under way.
    pub shutdown_grace: Duration,
    pub tls: Option<TlsFiles>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// PEM files of a certificate chain and its private key; read again on reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// `[admin]`: dashboard, API, metrics and health.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminSettings {
    pub listen: SocketAddr,
    /// Required unless `listen` is loopback.
    pub token: Option<Secret>,
}
