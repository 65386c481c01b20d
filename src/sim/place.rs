//! Where simulated servents live: made-up addresses, to which nothing is ever sent.
//!
//! Always true: each has addresses of its own, and they are spread over as many groups
//! (a /16, a /32) as the addresses of real people would be over many providers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::{Contact, ServentId};

/// Which Internet a servent is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Families {
    /// Only IPv4.
    #[default]
    V4,
    /// Only IPv6.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Whether servents on these can have a connection.
    #[must_use]
    pub fn meet(self, other: Self) -> bool {
        self == other || self == Self::Both || other == Self::Both
    }

    /// Where the servent of this number listens.
    #[must_use]
    pub fn addresses(self, servent: usize) -> Vec<SocketAddr> {
        let number = u32::try_from(servent).unwrap_or(u32::MAX);
        let (group, within) = (number & 0xfff, number >> 12);
        let v4 = Ipv4Addr::from_bits(0x1000_0000 | group << 16 | within & 0xffff);
        let v6 =
            Ipv6Addr::from_bits(0x2000_u128 << 112 | u128::from(group) << 96 | u128::from(within));
        let (v4, v6) = (SocketAddr::from((v4, 7272)), SocketAddr::from((v6, 7272)));
        match self {
            Self::V4 => vec![v4],
            Self::V6 => vec![v6],
            Self::Both => vec![v4, v6],
        }
    }

    /// Where a connection from the servent of this number, on `self`, to one on `to`
    /// comes from.
    pub(super) fn seen(self, servent: usize, to: Self) -> Option<SocketAddr> {
        let shared = match (self, to) {
            (Self::V4, _) | (_, Self::V4) => Self::V4,
            _ => Self::V6,
        };
        shared.addresses(servent).first().copied()
    }

    pub(super) fn contact(self, id: ServentId, servent: usize) -> Contact {
        Contact::new(id, self.addresses(servent))
    }
}
