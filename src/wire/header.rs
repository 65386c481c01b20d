//! The six bytes before every body: how long it is, what it is, and whether a servent
//! that does not know it may pass it over.
//!
//! Always true: what a length announces is compared with the limit of the kind before
//! any memory is taken for it.

use std::fmt;

/// Bytes of a header: `u32` big-endian length of what follows, kind, flags.
pub const HEADER_LEN: usize = 6;

/// Flag bit 0: a servent that does not know the kind passes the frame over.
///
/// The other bits are sent as 0 and ignored on receipt.
pub const MAY_SKIP: u8 = 1;

/// Most bytes in all before a hello is accepted, its header included: nobody who has
/// not said who he is gets more of our memory.
pub const MAX_HELLO: u32 = 1024;
/// Body limit of a frame that carries contacts: 16 of them with eight addresses each
/// are 3.2 KiB, the rest is room for extensions.
pub const MAX_CONTACTS_BODY: u32 = 8 * 1024;
/// Body limit of a frame with a few numbers in it.
pub const MAX_SMALL_BODY: u32 = 256;
/// Body limit of a Done: the trace of 256 servents is 7.8 KiB; most Dones have 20 bytes.
pub const MAX_DONE_BODY: u32 = 8 * 1024;
/// Body limit of a query: 18 bytes raw, 256 bytes of text, and extensions. Small,
/// because a query is copied over every link of the mesh.
pub const MAX_QUERY_BODY: u32 = 512;
/// Body limit of a hit: 64 files with names of 255 bytes are 19 KiB.
pub const MAX_HIT_BODY: u32 = 32 * 1024;
/// Body limit of a manifest: 1,024 values are 32 KiB, and 1 KiB for the rest.
pub const MAX_MANIFEST_BODY: u32 = 33 * 1024;
/// Body limit of what says which pieces are here: a bit for each of 2^18 pieces is 32 KiB, and
/// 1 KiB for the rest.
pub const MAX_HAVE_BODY: u32 = 33 * 1024;
/// Body limit of a list of piece ranges: 64 of them are 0.7 KiB.
pub const MAX_RANGES_BODY: u32 = 2 * 1024;
/// Body limit of a browse: a folder of 2 KiB, a cursor of 4.1 KiB, and the rest is room for
/// extensions.
pub const MAX_BROWSE_BODY: u32 = 8 * 1024;
/// Body limit of a listing: 100 files with names of 255 bytes are 31 KiB, the cursor 4.1 KiB,
/// and the rest is room for extensions.
pub const MAX_LISTING_BODY: u32 = 40 * 1024;
/// Raw bytes that begin the body of a data frame: id, piece, offset.
pub const DATA_RAW_LEN: usize = 40;
/// Body limit of a data frame: 256 KiB of a piece and what says which.
pub const MAX_DATA_BODY: u32 = 256 * 1024 + DATA_RAW_LEN as u32;
/// Body limit of a call: three ids and a token are 96 bytes, eight addresses 160, and the
/// rest is room for extensions.
pub const MAX_CALL_BODY: u32 = 512;
/// Longest body of an unknown kind that is passed over, on links and transfer
/// connections. It is thrown away as it comes and never held.
pub const MAX_SKIPPED_BODY: u32 = 64 * 1024;
/// Most unknown frames that a peer may send in a minute; the next one is a strike.
///
/// Newer servents send a few of them; a flood of them is no newer servent. The codec
/// reads no clock: it tells of every frame passed over, the link counts.
pub const MAX_SKIPPED_PER_MINUTE: u32 = 8;

/// What a frame holds. The numbers are for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A greeting: [`crate::message::Hello`].
    Hello = 0x01,
    /// A greeting: [`crate::message::Welcome`].
    Welcome = 0x02,
    /// A greeting: [`crate::message::Redirect`].
    Redirect = 0x03,
    /// On a link: [`crate::message::Ping`].
    Ping = 0x10,
    /// On a link: [`crate::message::Pong`].
    Pong = 0x11,
    /// On a link: [`crate::message::Bye`].
    Bye = 0x12,
    /// On a link: [`crate::message::ForwardJoin`].
    ForwardJoin = 0x13,
    /// On a link: [`crate::message::Shuffle`].
    Shuffle = 0x15,
    /// On a link: [`crate::message::ShuffleReply`].
    ShuffleReply = 0x16,
    /// On a link: [`crate::message::DialBack`].
    DialBack = 0x17,
    /// On a link: [`crate::message::DialledBack`].
    DialledBack = 0x18,
    /// On a link: [`crate::message::Query`].
    Query = 0x20,
    /// On a link: [`crate::message::QueryHit`].
    QueryHit = 0x21,
    /// On a link: [`crate::message::QueryDone`].
    QueryDone = 0x22,
    /// On a link: [`crate::message::CallMe`].
    CallMe = 0x23,
    /// On a transfer connection: [`crate::message::Describe`].
    Describe = 0x30,
    /// On a transfer connection: [`crate::message::Manifest`].
    Manifest = 0x31,
    /// On a transfer connection: [`crate::message::Request`].
    Request = 0x32,
    /// On a transfer connection: [`crate::message::Data`].
    Data = 0x33,
    /// On a transfer connection: [`crate::message::Cancel`].
    Cancel = 0x34,
    /// On a transfer connection: [`crate::message::Queued`].
    Queued = 0x35,
    /// On a transfer connection: [`crate::message::Refused`].
    Refused = 0x36,
    /// On a transfer connection: [`crate::message::Have`].
    Have = 0x37,
    /// On a transfer connection: [`crate::message::Sources`].
    Sources = 0x38,
    /// On a transfer connection: [`crate::message::Thanks`].
    Thanks = 0x39,
    /// On a transfer connection: [`crate::message::Browse`].
    Browse = 0x3a,
    /// On a transfer connection: [`crate::message::Listing`].
    Listing = 0x3b,
}

impl Kind {
    /// Every kind that this servent speaks.
    pub const ALL: [Self; 27] = [
        Self::Hello,
        Self::Welcome,
        Self::Redirect,
        Self::Ping,
        Self::Pong,
        Self::Bye,
        Self::ForwardJoin,
        Self::Shuffle,
        Self::ShuffleReply,
        Self::DialBack,
        Self::DialledBack,
        Self::Query,
        Self::QueryHit,
        Self::QueryDone,
        Self::CallMe,
        Self::Describe,
        Self::Manifest,
        Self::Request,
        Self::Data,
        Self::Cancel,
        Self::Queued,
        Self::Refused,
        Self::Have,
        Self::Sources,
        Self::Thanks,
        Self::Browse,
        Self::Listing,
    ];

    /// The kind with this number, if this servent speaks it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The flags it is sent with: [`MAY_SKIP`] for what the first version 1 servents did
    /// not know, and others can do without.
    #[must_use]
    pub const fn flags(self) -> u8 {
        match self {
            Self::Have
            | Self::Sources
            | Self::Thanks
            | Self::Browse
            | Self::Listing
            | Self::DialBack
            | Self::DialledBack
            | Self::CallMe => MAY_SKIP,
            _ => 0,
        }
    }

    /// The longest body in bytes, what is raw at its beginning included.
    #[must_use]
    pub const fn limit(self) -> u32 {
        match self {
            Self::Hello => MAX_HELLO - HEADER_LEN as u32,
            Self::Welcome
            | Self::Redirect
            | Self::Bye
            | Self::ForwardJoin
            | Self::Shuffle
            | Self::ShuffleReply
            | Self::Sources => MAX_CONTACTS_BODY,
            Self::CallMe => MAX_CALL_BODY,
            Self::Query => MAX_QUERY_BODY,
            Self::QueryHit => MAX_HIT_BODY,
            Self::QueryDone => MAX_DONE_BODY,
            Self::Ping
            | Self::Pong
            | Self::DialBack
            | Self::DialledBack
            | Self::Describe
            | Self::Queued
            | Self::Refused
            | Self::Thanks => MAX_SMALL_BODY,
            Self::Manifest => MAX_MANIFEST_BODY,
            Self::Have => MAX_HAVE_BODY,
            Self::Request | Self::Cancel => MAX_RANGES_BODY,
            Self::Data => MAX_DATA_BODY,
            Self::Browse => MAX_BROWSE_BODY,
            Self::Listing => MAX_LISTING_BODY,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Hello => "hello",
            Self::Welcome => "welcome",
            Self::Redirect => "redirect",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Bye => "bye",
            Self::ForwardJoin => "forward join",
            Self::Shuffle => "shuffle",
            Self::ShuffleReply => "shuffle reply",
            Self::DialBack => "dial back",
            Self::DialledBack => "dialled back",
            Self::Query => "query",
            Self::QueryHit => "query hit",
            Self::QueryDone => "query done",
            Self::CallMe => "call me",
            Self::Describe => "describe",
            Self::Manifest => "manifest",
            Self::Request => "request",
            Self::Data => "data",
            Self::Cancel => "cancel",
            Self::Queued => "queued",
            Self::Refused => "refused",
            Self::Have => "have",
            Self::Sources => "sources",
            Self::Thanks => "thanks",
            Self::Browse => "browse",
            Self::Listing => "listing",
        };
        f.pad(name)
    }
}

/// A header, its numbers not judged yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Bytes that follow the header.
    pub len: u32,
    /// The number of the kind, known or not.
    pub kind: u8,
    /// [`MAY_SKIP`], or 0.
    pub flags: u8,
}

impl Header {
    /// The header that `bytes` begin with; `None` when there are fewer than six.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, kind, flags] = *bytes.first_chunk::<HEADER_LEN>()?;
        Some(Self { len: u32::from_be_bytes([a, b, c, d]), kind, flags })
    }

    /// Its six bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [a, b, c, d] = self.len.to_be_bytes();
        [a, b, c, d, self.kind, self.flags]
    }

    /// Whether those who do not know the kind pass the frame over.
    #[must_use]
    pub fn may_skip(self) -> bool {
        self.flags & MAY_SKIP != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_number_and_the_reserved_ones_are_unknown() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
        }
        let known = (0..=255).filter(|&number| Kind::from_number(number).is_some()).count();
        assert_eq!(known, Kind::ALL.len());
        for reserved in [0x00, 0x14, 0x19, 0x3c] {
            assert_eq!(Kind::from_number(reserved), None);
        }
    }

    #[test]
    fn a_header_reads_back_and_needs_all_six_bytes() {
        let header = Header { len: 0x0102_0304, kind: 0x33, flags: MAY_SKIP };
        let bytes = header.to_bytes();
        assert_eq!(bytes, [1, 2, 3, 4, 0x33, 1]);
        assert_eq!(Header::peek(&bytes), Some(header));
        assert_eq!(Header::peek(&bytes[..5]), None);
    }

    #[test]
    fn control_frames_are_at_most_64_kib_and_the_hello_one_in_all() {
        for kind in Kind::ALL {
            assert!(kind == Kind::Data || kind.limit() <= 64 * 1024, "{kind}");
        }
        assert_eq!(Kind::Hello.limit() as usize + HEADER_LEN, 1024);
    }
}
