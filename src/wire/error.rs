//! Why bytes are no message, and why a message has no bytes.

use std::io;

use super::header::Kind;

/// What is wrong with the values in a message whose bytes are well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A list has more elements than the kind allows.
    #[error("{count} {what}, at most {max} allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A list or a count that must not be empty is.
    #[error("no {what}")]
    None {
        /// Of what.
        what: &'static str,
    },
    /// A text is too long.
    #[error("{what} of {len} bytes, at most {max} allowed")]
    LongText {
        /// Which text.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A text is too short to mean anything.
    #[error("{what} of {len} bytes, at least {min} needed")]
    ShortText {
        /// Which text.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// How long it must be.
        min: usize,
    },
    /// A range of pieces, or bytes of a piece, end behind the last possible number.
    #[error("{what} past the end of any file")]
    PastEnd {
        /// What does.
        what: &'static str,
    },
    /// A hit carries a life, although it is not flooded.
    #[error("a ttl of {ttl} where only 0 is possible")]
    Ttl {
        /// The byte.
        ttl: u8,
    },
}

/// Why bytes from a peer are not a message.
///
/// Always the sender's doing (but for [`Io`](Self::Io)), and found before anybody
/// acts on it. The stream is of no use afterwards: close the connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Refused on the header alone: no room was made for the body.
    #[error("{kind} of {len} bytes announced, at most {max} allowed")]
    TooLong {
        /// What was announced.
        kind: Kind,
        /// How long.
        len: u32,
        /// How long it may be.
        max: u32,
    },
    /// A frame of a known kind without a body; every kind has one.
    #[error("{kind} without a body")]
    Empty {
        /// Which kind.
        kind: Kind,
    },
    /// A kind that this servent does not know and may not pass over.
    #[error("unknown frame kind {kind:#04x}")]
    UnknownKind {
        /// Its number.
        kind: u8,
    },
    /// An unknown kind that may be passed over, but is too long for that.
    #[error("unknown frame kind {kind:#04x} of {len} bytes announced, at most {max} passed over")]
    SkipTooLong {
        /// Its number.
        kind: u8,
        /// How long.
        len: u32,
        /// How long it may be.
        max: u32,
    },
    /// Something else where a hello has to be said first.
    #[error("{kind} before the hello")]
    BeforeHello {
        /// What came instead.
        kind: Kind,
    },
    /// A second hello on one connection.
    #[error("hello said twice")]
    HelloTwice,
    /// A known kind that has no business on this sort of connection.
    #[error("{kind} has no place {place}")]
    OutOfPlace {
        /// Which kind.
        kind: Kind,
        /// Where it was said.
        place: &'static str,
    },
    /// A hello of another protocol version.
    #[error("protocol version {theirs}, this servent speaks {ours}")]
    Version {
        /// What the peer speaks.
        theirs: u16,
        /// What this servent speaks.
        ours: u16,
    },
    /// The body ends within the raw bytes that it has to begin with.
    #[error("{kind} cut short at {len} bytes")]
    Short {
        /// Which kind.
        kind: Kind,
        /// What there is of it.
        len: usize,
    },
    /// The body is not the encoding of its kind; the source says where it broke.
    #[error("malformed {kind}")]
    Body {
        /// Which kind.
        kind: Kind,
        /// Where it broke.
        #[source]
        source: bincode::error::DecodeError,
    },
    /// Bytes are left over behind the body.
    #[error("{left} bytes left over behind a {kind}")]
    Trailing {
        /// Which kind.
        kind: Kind,
        /// How many.
        left: usize,
    },
    /// The body is well formed and says what nobody may say.
    #[error("{kind} refused")]
    Refused {
        /// Which kind.
        kind: Kind,
        /// What is wrong with it.
        #[source]
        source: Fault,
    },
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Cut,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// Why a message cannot be sent. Our own mistake; nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The receiver would refuse its length.
    #[error("{kind} longer than the {max} bytes allowed")]
    TooLong {
        /// Which kind.
        kind: Kind,
        /// How long its body may be.
        max: u32,
    },
    /// The receiver would refuse what it says.
    #[error("{kind} not sent, the receiver would refuse it")]
    Refused {
        /// Which kind.
        kind: Kind,
        /// What is wrong with it.
        #[source]
        source: Fault,
    },
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}
