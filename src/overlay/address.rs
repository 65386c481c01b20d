//! Addresses as strangers name them: which may be dialled, and which belong together.
//!
//! Whoever has one address of a network can have all of it, so that limits count networks:
//! the /16 or /32 for who is known and linked, the /24 or /64 for who is dialled. Exactly
//! 127.0.0.1 and ::1 belong to none: meshes on one machine live there. Every other
//! 127.x.y.z is counted like any address.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::Contact;

/// Whether an address may be dialled on the word of `giver`, who told of it.
///
/// Never: port 0 and the ports below 1024, which belong to other services; addresses
/// that are nobody's, everybody's or only this cable's. Loopback and private addresses
/// only when the giver is there, too: a stranger has no business with our printer.
#[must_use]
pub fn dialable(address: SocketAddr, giver: IpAddr) -> bool {
    let ip = address.ip().to_canonical();
    if address.port() < 1024 || ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    let giver = giver.to_canonical();
    match ip {
        IpAddr::V4(v4) if v4.octets().first() == Some(&0) => false,
        IpAddr::V4(v4) if v4.octets().first().is_some_and(|&first| first >= 224) => false,
        IpAddr::V4(v4) if v4 == Ipv4Addr::BROADCAST || v4.is_link_local() => false,
        IpAddr::V6(v6) if v6.segments().first().is_some_and(|s| s & 0xffc0 == 0xfe80) => false,
        _ => scope(ip) == Scope::Public || scope(giver) <= scope(ip),
    }
}

/// How far an address reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Loopback,
    Private,
    Public,
}

/// How far the address `ip` reaches.
pub(super) fn scope(ip: IpAddr) -> Scope {
    let ip = ip.to_canonical();
    let private = match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || (a == 100 && b & 0xc0 == 64) || (a == 198 && b & 0xfe == 18)
        }
        IpAddr::V6(v6) => v6.segments().first().is_some_and(|s| s & 0xfe00 == 0xfc00),
    };
    match (ip.is_loopback(), private) {
        (true, _) => Scope::Loopback,
        (_, true) => Scope::Private,
        _ => Scope::Public,
    }
}

/// The network of an address, its /16 or /32; none for the two loopback addresses.
pub(super) fn group(ip: IpAddr) -> Option<IpAddr> {
    masked(ip, 16, 32)
}

/// The neighbourhood of an address, its /24 or /64; none for the two loopback addresses.
pub(super) fn vicinity(ip: IpAddr) -> Option<IpAddr> {
    masked(ip, 24, 64)
}

/// The networks that the addresses of `contact` are in.
pub(super) fn groups(contact: &Contact) -> BTreeSet<IpAddr> {
    contact.addresses.iter().filter_map(|address| group(address.ip())).collect()
}

fn masked(ip: IpAddr, v4_bits: u32, v6_bits: u32) -> Option<IpAddr> {
    match ip.to_canonical() {
        ip if ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST => None,
        IpAddr::V4(v4) => {
            Some(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX << (32 - v4_bits)).into())
        }
        IpAddr::V6(v6) => {
            Some(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX << (128 - v6_bits)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_aim_at_others_are_not_dialled() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let public: IpAddr = "192.0.2.7".parse().unwrap();
        for bad in [
            "127.0.0.1:0",
            "127.0.0.1:80",
            "0.0.0.0:7272",
            "224.0.0.1:7272",
            "255.255.255.255:7272",
            "169.254.1.1:7272",
            "[::]:7272",
            "[fe80::1]:7272",
            "[ff02::1]:7272",
            "[::ffff:0.0.0.0]:7272",
        ] {
            assert!(!dialable(bad.parse().unwrap(), local), "{bad}");
        }
        for near in ["127.0.0.1:7272", "[::1]:7272", "10.0.0.1:7272", "[::ffff:127.0.0.1]:7272"] {
            assert!(dialable(near.parse().unwrap(), local), "{near}");
            assert!(!dialable(near.parse().unwrap(), public), "{near}");
        }
        assert!(!dialable("127.0.0.1:7272".parse().unwrap(), "10.0.0.1".parse().unwrap()));
        assert!(dialable("203.0.113.9:7272".parse().unwrap(), public));
    }

    #[test]
    fn an_address_belongs_to_its_network_and_loopback_to_none() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(group(ip("127.9.8.7")), Some(ip("127.9.0.0")));
        assert_eq!(vicinity(ip("::ffff:127.9.8.7")), Some(ip("127.9.8.0")));
        assert_eq!(group(ip("2001:db8:1:2:3::4")), Some(ip("2001:db8::")));
        assert_eq!(vicinity(ip("2001:db8:1:2:3::4")), Some(ip("2001:db8:1:2::")));
        for exempt in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!((group(ip(exempt)), vicinity(ip(exempt))), (None, None));
        }
    }
}
