//! Small requests of our own: to a relay that runs on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use url::Url;

use crate::transport::{Answer, Connection, Failure, Outgoing, Transport as _};

/// A relay's own answers are read whole: an event's has the payload in it.
const ANSWER_BYTES: usize = 256 << 20;

/// Sends one request over the real network.
pub(super) async fn request(
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
) -> Result<Answer, Failure> {
    let headers: HeaderMap = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let request = Outgoing {
        method,
        url,
        headers,
        body,
        timeout: Duration::from_secs(30),
        connection: Arc::new(Connection::default()),
    };
    crate::transport::NetworkTransport::reading(ANSWER_BYTES)
        .send(request)
        .await
}

/// How to reach, from this machine, what listens on `address`.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
