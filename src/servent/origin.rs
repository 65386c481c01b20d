//! Where a connection comes from, as the limits on strangers see it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Exactly the two loopback addresses, where whole meshes live on one machine.
pub(super) fn is_exempt(ip: IpAddr) -> bool {
    ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST
}

/// One customer's: an address, of IPv6 the /64 that a house is given.
pub(super) fn address(ip: IpAddr) -> IpAddr {
    masked(ip, 32, 64)
}

/// One provider's: the /16, of IPv6 the /32.
pub(super) fn group(ip: IpAddr) -> IpAddr {
    masked(ip, 16, 32)
}

/// The [`group`], for choosing who has to go: both loopback addresses are one.
pub(super) fn crowd(ip: IpAddr) -> IpAddr {
    if is_exempt(ip) { Ipv4Addr::LOCALHOST.into() } else { group(ip) }
}

fn masked(ip: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & u32::MAX << (32 - v4_bits)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & u128::MAX << (128 - v6_bits)).into(),
    }
}
