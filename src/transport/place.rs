//! What kind of place an IP address is: by the registries of special-purpose addresses (IANA
//! `iana-ipv4-special-registry` and `iana-ipv6-special-registry`), and by what clouds use for metadata.
//! Whether somebody may go there is not decided here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// Kinds of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Public,
    /// Somebody's own network.
    Private,
    /// This machine.
    Loopback,
    LinkLocal,
    /// Where a cloud gives credentials to whoever asks from inside.
    Metadata,
    /// Nobody can be there, or many are: the words say which.
    Nowhere(&'static str),
}

const UNSPECIFIED: Place = Place::Nowhere("the unspecified address");
const BROADCAST: Place = Place::Nowhere("the broadcast address");
const MULTICAST: Place = Place::Nowhere("a multicast address");
const DOCUMENTATION: Place = Place::Nowhere("a documentation address");
const RESERVED: Place = Place::Nowhere("a reserved address");

/// The first that fits decides.
const RANGES: &[(&str, Place)] = &[
    // Metadata services: nearly all clouds; Amazon's containers and pods; Scaleway; Alibaba; Azure; Oracle; Google
    ("169.254.169.254/32", Place::Metadata),
    ("169.254.170.2/32", Place::Metadata),
    ("169.254.170.23/32", Place::Metadata),
    ("169.254.42.42/32", Place::Metadata),
    ("100.100.100.200/32", Place::Metadata),
    ("168.63.129.16/32", Place::Metadata),
    ("192.0.0.192/32", Place::Metadata),
    ("fd00:ec2::254/128", Place::Metadata),
    ("fd00:ec2::23/128", Place::Metadata),
    ("fd00:42::42/128", Place::Metadata),
    ("fd00:c1::a9fe:a9fe/128", Place::Metadata),
    ("fd20:ce::254/128", Place::Metadata),
    // IPv4
    ("0.0.0.0/32", UNSPECIFIED),
    ("0.0.0.0/8", RESERVED),
    ("10.0.0.0/8", Place::Private),
    ("100.64.0.0/10", Place::Private),
    ("127.0.0.0/8", Place::Loopback),
    ("169.254.0.0/16", Place::LinkLocal),
    ("172.16.0.0/12", Place::Private),
    ("192.0.0.0/24", RESERVED),
    ("192.0.2.0/24", DOCUMENTATION),
    ("192.88.99.0/24", RESERVED),
    ("192.168.0.0/16", Place::Private),
    ("198.18.0.0/15", RESERVED),
    ("198.51.100.0/24", DOCUMENTATION),
    ("203.0.113.0/24", DOCUMENTATION),
    ("224.0.0.0/4", MULTICAST),
    ("255.255.255.255/32", BROADCAST),
    ("240.0.0.0/4", RESERVED),
    ("0.0.0.0/0", Place::Public),
    // IPv6, of which nothing is public outside of 2000::/3; 2001::/23 are protocols, such as Teredo, and no hosts
    ("::/128", UNSPECIFIED),
    ("::1/128", Place::Loopback),
    ("fc00::/7", Place::Private),
    ("fe80::/10", Place::LinkLocal),
    ("ff00::/8", MULTICAST),
    ("2001::/23", RESERVED),
    ("2001:db8::/32", DOCUMENTATION),
    ("3fff::/20", DOCUMENTATION),
    ("2000::/3", Place::Public),
    ("::/0", RESERVED),
];

static READ: LazyLock<Vec<(IpNet, Place)>> = LazyLock::new(|| {
    let read = |(range, place): &(&str, Place)| (range.parse().expect("a range"), *place);
    RANGES.iter().map(read).collect()
});

/// What kind of place `ip` is. An IPv6 address that stands for an IPv4 address is what that one is.
pub(super) fn place(ip: IpAddr) -> Place {
    let ip = match ip {
        IpAddr::V6(ip) => v4_within(ip).map_or(IpAddr::V6(ip), IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    let mut ranges = READ.iter();
    let found = ranges.find(|(range, _)| range.contains(&ip));
    found.map_or(RESERVED, |(_, place)| *place)
}

/// The IPv4 address that a packet to `ip` could come out at: mapped (`::ffff:0:0/96`), compatible (`::/96`),
/// NAT64 (`64:ff9b::/96`) and 6to4 (`2002::/16`).
fn v4_within(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = ip.to_bits();
    let at =
        |end: u32| Ipv4Addr::from_bits(u32::try_from(bits >> end & 0xffff_ffff).expect("32 bits"));
    match bits >> 32 {
        // `::` and `::1` are no IPv4 addresses.
        0 if bits < 2 => None,
        0 | 0xffff | 0x0064_ff9b_0000_0000_0000_0000 => Some(at(0)),
        high if high >> 80 == 0x2002 => Some(at(80)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Place, addresses: &str) {
        for text in addresses.split_whitespace() {
            assert_eq!(place(text.parse().expect("an address")), expected, "{text}");
        }
    }

    #[test]
    fn the_ends_of_every_range_are_where_the_registries_put_them() {
        check(
            Place::Public,
            "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
             169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255
             198.20.0.0 223.255.255.255 2001:200::1 2606:4700::1111 3ffe::1",
        );
        check(
            Place::Private,
            "10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255
             fc00:: fdff:ffff::1",
        );
        check(Place::Loopback, "127.0.0.1 127.255.255.255 ::1");
        check(
            Place::LinkLocal,
            "169.254.0.0 169.254.255.255 fe80::1 febf::1",
        );
        check(MULTICAST, "224.0.0.1 239.255.255.255 ff02::1");
        check(UNSPECIFIED, "0.0.0.0 ::");
        check(BROADCAST, "255.255.255.255");
        check(
            DOCUMENTATION,
            "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1",
        );
        check(
            RESERVED,
            "0.1.2.3 192.0.0.1 192.88.99.1 198.18.0.1 198.19.255.255 240.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:1ff::1
             4000::1 5f00::1 fec0::1",
        );
    }

    #[test]
    fn what_gives_credentials_is_known_wherever_its_range_lies() {
        check(
            Place::Metadata,
            "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254
             ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::",
        );
    }

    #[test]
    fn an_ipv6_address_is_what_the_ipv4_address_in_it_is() {
        for (inner, expected) in [
            ("10.0.0.5", Place::Private),
            ("127.0.0.1", Place::Loopback),
            ("169.254.1.1", Place::LinkLocal),
            ("224.0.0.1", MULTICAST),
            ("8.8.8.8", Place::Public),
        ] {
            let four: Ipv4Addr = inner.parse().expect("an address");
            let [a, b, c, d] = four.octets();
            let six = format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1");
            check(expected, inner);
            check(
                expected,
                &format!("::ffff:{inner} ::{inner} 64:ff9b::{inner} {six}"),
            );
        }
    }
}
