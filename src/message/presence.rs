//! Coming, staying, going: the greeting, keep-alive and contacts.

use std::net::SocketAddr;

use bincode::{Decode, Encode};

use super::Extensions;
use crate::base::Contact;

/// What a connection is for, said by its dialler; the acceptor's own is ignored.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Purpose {
    /// A newcomer wants its first neighbour.
    Join,
    /// A member wants one neighbour more; an `isolated` one has none and is always taken.
    Refill {
        /// Whether the dialler has no neighbour at all.
        isolated: bool,
    },
    /// A link that a person asked for, beside those the overlay keeps.
    Manual,
    /// Is this address alive and dialable? Ends after the [`Welcome`].
    Probe,
    /// A transfer connection.
    Transfer {
        /// Names the request that this dial answers, where there was one.
        token: Option<[u8; 16]>,
    },
}

/// The first message of both sides.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Hello {
    /// [`super::VERSION`].
    pub version: u16,
    /// Bits of what the sender can do, or wants, beyond version 1; who does not know one
    /// passes it over. See [`Hello::CRAWL`].
    pub features: u64,
    /// Why the dialler dialled.
    pub purpose: Purpose,
    /// Where the sender listens; 0: nowhere.
    pub listen_port: u16,
    /// Where the sender believes it can be reached: at most
    /// [`Contact::MAX_ADDRESSES`] claims.
    pub addresses: Vec<SocketAddr>,
    /// Program and version, for people: at most [`Hello::MAX_TEXT`] bytes.
    pub agent: String,
    /// What the user calls this servent: at most [`Hello::MAX_TEXT`] bytes, never an identity.
    pub name: String,
    /// Extensions.
    pub ext: Extensions,
}

impl Hello {
    /// Longest `agent` or `name`, in bytes: both fit on a line.
    pub const MAX_TEXT: usize = 64;
    /// The bit of `features` by which a prober asks to be named the neighbours, for a map:
    /// whoever only wants to know whether somebody is there leaves the answer to others.
    pub const CRAWL: u64 = 1;

    /// Whether the sender asks who the neighbours are.
    #[must_use]
    pub fn is_crawl(&self) -> bool {
        self.purpose == Purpose::Probe && self.features & Self::CRAWL != 0
    }
}

/// The acceptor takes the connection.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Welcome {
    /// Where the dialler came from, as the acceptor sees it.
    pub your_address: SocketAddr,
    /// The initial peer list: at most [`AgedContact::MAX_GREETING`].
    pub contacts: Vec<AgedContact>,
    /// Extensions.
    pub ext: Extensions,
}

/// The acceptor has no room, or lets a neighbour go: others to turn to.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Redirect {
    /// At most [`AgedContact::MAX_GREETING`]; none when it has left the mesh itself.
    pub contacts: Vec<AgedContact>,
    /// Extensions.
    pub ext: Extensions,
}

/// A contact and how long ago a byte of it was heard.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct AgedContact {
    /// Who and where.
    pub contact: Contact,
    /// Seconds since the giver had a byte from it (a living link: 0), or the age that
    /// the giver was told and the time since.
    pub age_secs: u32,
}

impl AgedContact {
    /// Most contacts in a [`Welcome`] or [`Redirect`].
    pub const MAX_GREETING: usize = 16;
    /// Most contacts in a [`Shuffle`] or its reply.
    pub const MAX_SHUFFLE: usize = 8;
}

/// How much a servent shares, as it says itself: an extension of [`Ping`] and [`Pong`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    /// Files.
    pub files: u32,
    /// Bytes in them.
    pub bytes: u64,
}

impl Shares {
    /// The tag of the extension.
    pub const TAG: u16 = 1;

    /// As an extension: the files as 4 bytes, the bytes as 8, both little-endian.
    #[must_use]
    pub fn to_extensions(self) -> Extensions {
        let mut value = self.files.to_le_bytes().to_vec();
        value.extend(self.bytes.to_le_bytes());
        vec![(Self::TAG, value)]
    }

    /// What the extensions say; none when they do not, or not as they should.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let (_, value) = extensions.iter().find(|(tag, _)| *tag == Self::TAG)?;
        let (files, bytes) = value.split_first_chunk::<4>()?;
        let bytes = <[u8; 8]>::try_from(bytes).ok()?;
        Some(Self { files: u32::from_le_bytes(*files), bytes: u64::from_le_bytes(bytes) })
    }
}

/// Asks for a [`Pong`]; sent after silence, and to measure the round trip.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Ping {
    /// Comes back in the pong.
    pub nonce: u64,
    /// Extensions.
    pub ext: Extensions,
}

/// Answers a [`Ping`].
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pong {
    /// The ping's.
    pub nonce: u64,
    /// Extensions.
    pub ext: Extensions,
}

/// Why a link ends politely.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum ByeReason {
    /// The sender leaves the mesh.
    Leaving,
    /// The sender has too many neighbours and lets this one go: it asks nothing more, but
    /// answers what it is asked until the receiver closes the link.
    Full,
    /// Another link to the same servent takes this one's place.
    Replaced,
    /// The receiver broke the protocol.
    Misbehaved,
    /// The receiver reads too slowly.
    TooSlow,
}

/// The end of a link: the last message on it, but for [`ByeReason::Full`].
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Bye {
    /// Why.
    pub reason: ByeReason,
    /// Whom to turn to instead, when `reason` is [`ByeReason::Full`]: at most
    /// [`AgedContact::MAX_GREETING`].
    pub contacts: Vec<AgedContact>,
    /// Extensions.
    pub ext: Extensions,
}

/// A random walk that introduces a newcomer (HyParView, 4.2): the servent where it
/// ends dials the newcomer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ForwardJoin {
    /// The newcomer.
    pub newcomer: AgedContact,
    /// Steps left, at most [`ForwardJoin::MAX_WALK`].
    pub walk: u8,
    /// Extensions.
    pub ext: Extensions,
}

impl ForwardJoin {
    /// Longest walk: six steps mix well in a graph of degree 8 (HyParView's ARWL).
    pub const MAX_WALK: u8 = 6;
}

/// Some contacts, and a wish for some in return.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Shuffle {
    /// At most [`AgedContact::MAX_SHUFFLE`].
    pub contacts: Vec<AgedContact>,
    /// Extensions.
    pub ext: Extensions,
}

/// The contacts in return.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ShuffleReply {
    /// At most [`AgedContact::MAX_SHUFFLE`].
    pub contacts: Vec<AgedContact>,
    /// Extensions.
    pub ext: Extensions,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_travels_beside_other_extensions_and_only_in_its_own_shape() {
        let shares = Shares { files: 1204, bytes: u64::MAX };
        let mut extensions = vec![(9, vec![1])];
        extensions.extend(shares.to_extensions());
        assert_eq!(Shares::of(&extensions), Some(shares));
        assert_eq!(Shares::of(&Vec::new()), None);
        for wrong in [0, 3, 11, 13] {
            assert_eq!(Shares::of(&vec![(Shares::TAG, vec![0; wrong])]), None);
        }
    }
}
