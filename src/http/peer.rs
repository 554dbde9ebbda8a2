//! Who is at the other end: the address of the connection, or the one that a trusted proxy tells.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// An IPv4 address is one, also where the socket speaks IPv6.
    pub ip: IpAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

impl Peer {
    pub fn new(address: SocketAddr, tls: bool) -> Self {
        Self {
            ip: address.ip().to_canonical(),
            tls,
        }
    }

    /// The address of the client: this peer's own, unless it is a trusted proxy. Then it is the rightmost
    /// address of `X-Forwarded-For` that is not a trusted proxy's. Where an entry cannot be read,
    /// nothing left of it is believed.
    pub fn client(&self, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> IpAddr {
        let trusts = |ip: &IpAddr| trusted_proxies.iter().any(|net| net.contains(ip));
        let mut nearest = self.ip;
        // Several header lines are one list, in their order (RFC 9110, section 5.3).
        let lines = headers.get_all("x-forwarded-for").iter();
        let mut entries = lines.rev().flat_map(|line| line.as_bytes().rsplit(comma));
        while trusts(&nearest) {
            match entries.next().map(address) {
                Some(Some(ip)) => nearest = ip,
                Some(None) | None => break,
            }
        }
        nearest
    }
}

fn comma(byte: &u8) -> bool {
    *byte == b','
}

/// One entry: an address, with or without brackets and a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let ip: Option<IpAddr> = text.parse().ok().or_else(bare).or_else(with_port);
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"]
            .iter()
            .map(|net| net.parse().unwrap())
            .collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let address = SocketAddr::new(peer.parse().unwrap(), 4711);
        Peer::new(address, false)
            .client(&headers, &trusted)
            .to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_is_the_client() {
        let table: &[(&str, &[&str], &str)] = &[
            ("203.0.113.9", &[], "203.0.113.9"),
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            (
                "10.0.0.1",
                &["6.6.6.6, 198.51.100.1,10.2.3.4"],
                "198.51.100.1",
            ),
            (
                "10.0.0.1",
                &["6.6.6.6", "198.51.100.1, 10.9.9.9"],
                "198.51.100.1",
            ),
            ("10.0.0.1", &["198.51.100.1", "10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1:51234"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            (
                "10.0.0.1",
                &["198.51.100.1, ::ffff:10.0.0.7"],
                "198.51.100.1",
            ),
            ("::ffff:203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.4"], "10.0.0.4"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1,"], "10.0.0.1"),
        ];
        for (peer, lines, expected) in table {
            assert_eq!(client(peer, lines), *expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_address() {
        assert_eq!(address(b"\xff\xfe"), None);
        assert_eq!(address(b" 10.0.0.1 "), "10.0.0.1".parse().ok());
    }
}
