//! Bodies in bincode: the only place that configures it.
//!
//! Always true: nothing is decoded without a limit on the memory that it may claim
//! (without one, nine hostile bytes abort the process), and nothing is left over.

#![expect(
    clippy::disallowed_methods,
    reason = "the one place that configures bincode, always with a limit"
)]

use bincode::enc::write::Writer;
use bincode::{Decode, Encode};
use bytes::{Bytes, BytesMut};

use super::check::Checked;
use super::error::{DecodeError, EncodeError};
use super::header::Kind;
use crate::message::{
    Browse, Bye, CallMe, Cancel, Describe, DialBack, DialledBack, ForwardJoin, Have, Hello,
    HitBody, Listing, Manifest, Ping, Pong, QueryBody, QueryDone, Queued, Redirect, Refused,
    Request, Shuffle, ShuffleReply, Sources, Thanks, VERSION, Welcome,
};

/// How much memory a decoded body may claim, as a multiple of the frame's limit: a
/// short text is three words of memory and one byte on the wire, an address 32 bytes
/// and seven.
const MEMORY_FACTOR: usize = 4;

const fn memory(kind: Kind) -> usize {
    MEMORY_FACTOR * kind.limit() as usize
}

/// A message, or the part of one, that travels in bincode.
pub(super) trait Body: Checked + Encode + Decode<()> {
    /// In which frame.
    const KIND: Kind;

    /// Decodes the beginning of `bytes`; also says how many were used.
    fn read(bytes: &[u8]) -> Result<(Self, usize), bincode::error::DecodeError>;
}

macro_rules! bodies {
    ($($name:ident in $kind:ident),+ $(,)?) => {$(
        impl Body for $name {
            const KIND: Kind = Kind::$kind;

            fn read(bytes: &[u8]) -> Result<(Self, usize), bincode::error::DecodeError> {
                const LIMIT: usize = memory(Kind::$kind);
                bincode::decode_from_slice(bytes, bincode::config::standard().with_limit::<LIMIT>())
            }
        }
    )+};
}

bodies! {
    Hello in Hello, Welcome in Welcome, Redirect in Redirect,
    Ping in Ping, Pong in Pong, Bye in Bye, ForwardJoin in ForwardJoin,
    Shuffle in Shuffle, ShuffleReply in ShuffleReply,
    DialBack in DialBack, DialledBack in DialledBack, CallMe in CallMe,
    QueryBody in Query, HitBody in QueryHit, QueryDone in QueryDone,
    Describe in Describe, Manifest in Manifest, Request in Request, Cancel in Cancel,
    Queued in Queued, Refused in Refused, Have in Have, Sources in Sources, Thanks in Thanks,
    Browse in Browse, Listing in Listing,
}

/// The one `T` that `bytes` are, checked and set in order.
pub(super) fn decode<T: Body>(bytes: &[u8]) -> Result<T, DecodeError> {
    let kind = T::KIND;
    let (mut value, used) = T::read(bytes).map_err(|source| DecodeError::Body { kind, source })?;
    let left = bytes.len().saturating_sub(used);
    if left > 0 {
        return Err(DecodeError::Trailing { kind, left });
    }
    value.check().map_err(|source| DecodeError::Refused { kind, source })?;
    value.tidy();
    Ok(value)
}

/// A hello; its version is judged first, since another version's may look otherwise.
pub(super) fn decode_hello(bytes: &[u8]) -> Result<Hello, DecodeError> {
    const LIMIT: usize = size_of::<u16>();
    let config = bincode::config::standard().with_limit::<LIMIT>();
    let (theirs, _) = bincode::decode_from_slice::<u16, _>(bytes, config)
        .map_err(|source| DecodeError::Body { kind: Kind::Hello, source })?;
    if theirs != VERSION {
        return Err(DecodeError::Version { theirs, ours: VERSION });
    }
    decode(bytes)
}

/// Appends `value` to `to`, at most `room` bytes of it.
///
/// What an error leaves in `to` is for the caller to cut off.
pub(super) fn encode<T: Body>(
    value: &T,
    to: &mut BytesMut,
    room: usize,
) -> Result<(), EncodeError> {
    let kind = T::KIND;
    value.check().map_err(|source| EncodeError::Refused { kind, source })?;
    // Writing is bounded by `Bounded`; bincode's own limit is for decoding only.
    const LIMIT: usize = memory(Kind::Data);
    let config = bincode::config::standard().with_limit::<LIMIT>();
    bincode::encode_into_writer(value, Bounded { to, room }, config)
        .map_err(|_| EncodeError::TooLong { kind, max: kind.limit() })
}

/// Writes to the end of a buffer until the room is used up.
struct Bounded<'a> {
    to: &'a mut BytesMut,
    room: usize,
}

impl Writer for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.room =
            self.room.checked_sub(bytes.len()).ok_or(bincode::error::EncodeError::UnexpectedEnd)?;
        self.to.extend_from_slice(bytes);
        Ok(())
    }
}

/// Raw bytes before the body of a query: guid, ttl, hops.
pub(super) const QUERY_RAW_LEN: usize = 18;
/// Raw bytes before the body of a hit: guid, ttl, hops, responder, count.
pub(super) const HIT_RAW_LEN: usize = QUERY_RAW_LEN + 33;

/// The opaque body of a [`crate::message::Query`].
///
/// # Errors
/// [`EncodeError`], when the receivers would refuse it.
pub fn encode_query_body(body: &QueryBody) -> Result<Bytes, EncodeError> {
    encode_opaque(body, QUERY_RAW_LEN)
}

/// What the opaque body of a [`crate::message::Query`] asks.
///
/// # Errors
/// [`DecodeError`]. The neighbour that relayed it did not read it and is not to blame.
pub fn decode_query_body(body: &[u8]) -> Result<QueryBody, DecodeError> {
    decode_opaque(body, QUERY_RAW_LEN)
}

/// The opaque body of a [`crate::message::QueryHit`].
///
/// # Errors
/// [`EncodeError`], when the receivers would refuse it.
pub fn encode_hit_body(body: &HitBody) -> Result<Bytes, EncodeError> {
    encode_opaque(body, HIT_RAW_LEN)
}

/// What the opaque body of a [`crate::message::QueryHit`] names.
///
/// How many hits it holds was said in the frame as well; an honest responder says the
/// same twice, and relays have counted by the frame.
///
/// # Errors
/// [`DecodeError`]. The neighbour that relayed it did not read it and is not to blame.
pub fn decode_hit_body(body: &[u8]) -> Result<HitBody, DecodeError> {
    decode_opaque(body, HIT_RAW_LEN)
}

fn encode_opaque<T: Body>(body: &T, raw: usize) -> Result<Bytes, EncodeError> {
    let mut bytes = BytesMut::new();
    encode(body, &mut bytes, (T::KIND.limit() as usize).saturating_sub(raw))?;
    Ok(bytes.freeze())
}

fn decode_opaque<T: Body>(body: &[u8], raw: usize) -> Result<T, DecodeError> {
    let kind = T::KIND;
    let len = u32::try_from(body.len().saturating_add(raw)).unwrap_or(u32::MAX);
    if len > kind.limit() {
        return Err(DecodeError::TooLong { kind, len, max: kind.limit() });
    }
    decode(body)
}
