//! The three families of messages, and what of them is raw.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::body::{self, HIT_RAW_LEN, QUERY_RAW_LEN};
use super::check::{Checked, check_bytes};
use super::error::{DecodeError, EncodeError, Fault};
use super::header::{DATA_RAW_LEN, HEADER_LEN, Header, Kind, MAX_SKIPPED_BODY};
use crate::base::{ContentId, Guid, Hops, ServentId, Ttl};
use crate::message::{Data, Greeting, HitBody, LinkMessage, Query, QueryHit, TransferMessage};

/// A family of messages that share a connection.
pub trait Family: Sized {
    /// Longest unknown frame that is passed over, in bytes of its body.
    const MAX_SKIPPED: u32;

    /// Whether a frame of `kind` may come after `before` messages of this family; asked
    /// on the header alone.
    ///
    /// # Errors
    /// [`DecodeError`] that names what is out of place.
    fn admit(kind: Kind, before: u32) -> Result<(), DecodeError>;

    /// The message in a frame of `kind`.
    ///
    /// # Errors
    /// [`DecodeError`], when `body` is none.
    fn decode(kind: Kind, body: Bytes) -> Result<Self, DecodeError>;

    /// Which frame this message travels in.
    fn kind(&self) -> Kind;

    /// Appends the body to `to`, which may be left with a part of it on failure.
    ///
    /// # Errors
    /// [`EncodeError`], when the receiver would refuse it.
    fn encode(&self, to: &mut BytesMut) -> Result<(), EncodeError>;
}

fn limit(kind: Kind) -> usize {
    kind.limit() as usize
}

impl Family for Greeting {
    /// Nothing: whoever has not said hello gets no patience either.
    const MAX_SKIPPED: u32 = 0;

    fn admit(kind: Kind, before: u32) -> Result<(), DecodeError> {
        match (kind, before) {
            (Kind::Hello, 0) => Ok(()),
            (kind, 0) => Err(DecodeError::BeforeHello { kind }),
            (Kind::Hello, _) => Err(DecodeError::HelloTwice),
            (Kind::Welcome | Kind::Redirect, _) => Ok(()),
            (kind, _) => Err(DecodeError::OutOfPlace { kind, place: "in a greeting" }),
        }
    }

    fn decode(kind: Kind, body: Bytes) -> Result<Self, DecodeError> {
        match kind {
            Kind::Hello => body::decode_hello(&body).map(Self::Hello),
            Kind::Welcome => body::decode(&body).map(Self::Welcome),
            Kind::Redirect => body::decode(&body).map(Self::Redirect),
            kind => Err(DecodeError::OutOfPlace { kind, place: "in a greeting" }),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Welcome(_) => Kind::Welcome,
            Self::Redirect(_) => Kind::Redirect,
        }
    }

    fn encode(&self, to: &mut BytesMut) -> Result<(), EncodeError> {
        let room = limit(self.kind());
        match self {
            Self::Hello(hello) => body::encode(hello, to, room),
            Self::Welcome(welcome) => body::encode(welcome, to, room),
            Self::Redirect(redirect) => body::encode(redirect, to, room),
        }
    }
}

impl Family for LinkMessage {
    const MAX_SKIPPED: u32 = MAX_SKIPPED_BODY;

    fn admit(kind: Kind, _before: u32) -> Result<(), DecodeError> {
        match kind {
            Kind::Ping
            | Kind::Pong
            | Kind::Bye
            | Kind::ForwardJoin
            | Kind::Shuffle
            | Kind::ShuffleReply
            | Kind::DialBack
            | Kind::DialledBack
            | Kind::Query
            | Kind::QueryHit
            | Kind::QueryDone
            | Kind::CallMe => Ok(()),
            Kind::Hello => Err(DecodeError::HelloTwice),
            kind => Err(DecodeError::OutOfPlace { kind, place: "on a link" }),
        }
    }

    fn decode(kind: Kind, body: Bytes) -> Result<Self, DecodeError> {
        match kind {
            Kind::Ping => body::decode(&body).map(Self::Ping),
            Kind::Pong => body::decode(&body).map(Self::Pong),
            Kind::Bye => body::decode(&body).map(Self::Bye),
            Kind::ForwardJoin => body::decode(&body).map(Self::ForwardJoin),
            Kind::Shuffle => body::decode(&body).map(Self::Shuffle),
            Kind::ShuffleReply => body::decode(&body).map(Self::ShuffleReply),
            Kind::Query => decode_query(body).map(Self::Query),
            Kind::QueryHit => decode_hit(body).map(Self::QueryHit),
            Kind::QueryDone => body::decode(&body).map(Self::QueryDone),
            Kind::DialBack => body::decode(&body).map(Self::DialBack),
            Kind::DialledBack => body::decode(&body).map(Self::DialledBack),
            Kind::CallMe => body::decode(&body).map(Self::CallMe),
            kind => Err(DecodeError::OutOfPlace { kind, place: "on a link" }),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Ping(_) => Kind::Ping,
            Self::Pong(_) => Kind::Pong,
            Self::Bye(_) => Kind::Bye,
            Self::ForwardJoin(_) => Kind::ForwardJoin,
            Self::Shuffle(_) => Kind::Shuffle,
            Self::ShuffleReply(_) => Kind::ShuffleReply,
            Self::Query(_) => Kind::Query,
            Self::QueryHit(_) => Kind::QueryHit,
            Self::QueryDone(_) => Kind::QueryDone,
            Self::DialBack(_) => Kind::DialBack,
            Self::DialledBack(_) => Kind::DialledBack,
            Self::CallMe(_) => Kind::CallMe,
        }
    }

    fn encode(&self, to: &mut BytesMut) -> Result<(), EncodeError> {
        let room = limit(self.kind());
        match self {
            Self::Ping(ping) => body::encode(ping, to, room),
            Self::Pong(pong) => body::encode(pong, to, room),
            Self::Bye(bye) => body::encode(bye, to, room),
            Self::ForwardJoin(join) => body::encode(join, to, room),
            Self::Shuffle(shuffle) => body::encode(shuffle, to, room),
            Self::ShuffleReply(reply) => body::encode(reply, to, room),
            Self::Query(query) => encode_query(query, to),
            Self::QueryHit(hit) => encode_hit(hit, to),
            Self::QueryDone(done) => body::encode(done, to, room),
            Self::DialBack(ask) => body::encode(ask, to, room),
            Self::DialledBack(answer) => body::encode(answer, to, room),
            Self::CallMe(call) => body::encode(call, to, room),
        }
    }
}

impl Family for TransferMessage {
    const MAX_SKIPPED: u32 = MAX_SKIPPED_BODY;

    fn admit(kind: Kind, _before: u32) -> Result<(), DecodeError> {
        match kind {
            Kind::Describe
            | Kind::Manifest
            | Kind::Request
            | Kind::Data
            | Kind::Cancel
            | Kind::Queued
            | Kind::Refused
            | Kind::Have
            | Kind::Sources
            | Kind::Thanks
            | Kind::Browse
            | Kind::Listing => Ok(()),
            Kind::Hello => Err(DecodeError::HelloTwice),
            kind => Err(DecodeError::OutOfPlace { kind, place: "on a transfer connection" }),
        }
    }

    fn decode(kind: Kind, body: Bytes) -> Result<Self, DecodeError> {
        match kind {
            Kind::Describe => body::decode(&body).map(Self::Describe),
            Kind::Manifest => body::decode(&body).map(Self::Manifest),
            Kind::Request => body::decode(&body).map(Self::Request),
            Kind::Data => decode_data(body).map(Self::Data),
            Kind::Cancel => body::decode(&body).map(Self::Cancel),
            Kind::Queued => body::decode(&body).map(Self::Queued),
            Kind::Refused => body::decode(&body).map(Self::Refused),
            Kind::Have => body::decode(&body).map(Self::Have),
            Kind::Sources => body::decode(&body).map(Self::Sources),
            Kind::Thanks => body::decode(&body).map(Self::Thanks),
            Kind::Browse => body::decode(&body).map(Self::Browse),
            Kind::Listing => body::decode(&body).map(Self::Listing),
            kind => Err(DecodeError::OutOfPlace { kind, place: "on a transfer connection" }),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Describe(_) => Kind::Describe,
            Self::Manifest(_) => Kind::Manifest,
            Self::Request(_) => Kind::Request,
            Self::Data(_) => Kind::Data,
            Self::Cancel(_) => Kind::Cancel,
            Self::Queued(_) => Kind::Queued,
            Self::Refused(_) => Kind::Refused,
            Self::Have(_) => Kind::Have,
            Self::Sources(_) => Kind::Sources,
            Self::Thanks(_) => Kind::Thanks,
            Self::Browse(_) => Kind::Browse,
            Self::Listing(_) => Kind::Listing,
        }
    }

    fn encode(&self, to: &mut BytesMut) -> Result<(), EncodeError> {
        let room = limit(self.kind());
        match self {
            Self::Describe(describe) => body::encode(describe, to, room),
            Self::Manifest(manifest) => body::encode(manifest, to, room),
            Self::Request(request) => body::encode(request, to, room),
            Self::Data(data) => encode_data(data, to),
            Self::Cancel(cancel) => body::encode(cancel, to, room),
            Self::Queued(queued) => body::encode(queued, to, room),
            Self::Refused(refused) => body::encode(refused, to, room),
            Self::Have(have) => body::encode(have, to, room),
            Self::Sources(sources) => body::encode(sources, to, room),
            Self::Thanks(thanks) => body::encode(thanks, to, room),
            Self::Browse(browse) => body::encode(browse, to, room),
            Self::Listing(listing) => body::encode(listing, to, room),
        }
    }
}

/// Takes `N` bytes off the front of `body`, which the caller knows to be there.
fn take<const N: usize>(body: &mut Bytes) -> [u8; N] {
    let mut bytes = [0; N];
    body.copy_to_slice(&mut bytes);
    bytes
}

/// Refuses a body that holds nothing behind its raw bytes.
fn more_than(kind: Kind, body: &Bytes, raw: usize) -> Result<(), DecodeError> {
    if body.len() > raw { Ok(()) } else { Err(DecodeError::Short { kind, len: body.len() }) }
}

fn decode_query(mut body: Bytes) -> Result<Query, DecodeError> {
    more_than(Kind::Query, &body, QUERY_RAW_LEN)?;
    let guid = Guid(take(&mut body));
    let [lives, hops] = take(&mut body);
    let (ttl, seen) = (Ttl(lives & 0x0f), Ttl(lives >> 4));
    Ok(Query { guid, ttl, hops: Hops(hops), seen, body })
}

fn encode_query(query: &Query, to: &mut BytesMut) -> Result<(), EncodeError> {
    opaque_fits(Kind::Query, QUERY_RAW_LEN, &query.body)?;
    to.put_slice(&query.guid.0);
    // Neither is ever above `MAX_TTL`.
    to.put_u8(query.ttl.0.min(0x0f) | query.seen.0.min(0x0f) << 4);
    to.put_u8(query.hops.0);
    to.put_slice(&query.body);
    Ok(())
}

fn decode_hit(mut body: Bytes) -> Result<QueryHit, DecodeError> {
    let kind = Kind::QueryHit;
    more_than(kind, &body, HIT_RAW_LEN)?;
    let guid = Guid(take(&mut body));
    let [ttl, hops] = take(&mut body);
    let responder = ServentId(take(&mut body));
    let [count] = take(&mut body);
    if ttl != 0 {
        return Err(DecodeError::Refused { kind, source: Fault::Ttl { ttl } });
    }
    check_count(count).map_err(|source| DecodeError::Refused { kind, source })?;
    Ok(QueryHit { guid, hops: Hops(hops), responder, count, body })
}

fn encode_hit(hit: &QueryHit, to: &mut BytesMut) -> Result<(), EncodeError> {
    let kind = Kind::QueryHit;
    opaque_fits(kind, HIT_RAW_LEN, &hit.body)?;
    check_count(hit.count).map_err(|source| EncodeError::Refused { kind, source })?;
    to.put_slice(&hit.guid.0);
    to.put_u8(0);
    to.put_u8(hit.hops.0);
    to.put_slice(&hit.responder.0);
    to.put_u8(hit.count);
    to.put_slice(&hit.body);
    Ok(())
}

fn check_count(count: u8) -> Result<(), Fault> {
    let (what, count, max) = ("hits", usize::from(count), HitBody::MAX_HITS);
    match count {
        0 => Err(Fault::None { what }),
        n if n > max => Err(Fault::TooMany { what, count, max }),
        _ => Ok(()),
    }
}

/// Refuses to send an opaque body that the receiver would refuse for its length.
fn opaque_fits(kind: Kind, raw: usize, opaque: &Bytes) -> Result<(), EncodeError> {
    if opaque.is_empty() {
        return Err(EncodeError::Refused { kind, source: Fault::None { what: "body" } });
    }
    if raw + opaque.len() > limit(kind) {
        return Err(EncodeError::TooLong { kind, max: kind.limit() });
    }
    Ok(())
}

fn decode_data(mut body: Bytes) -> Result<Data, DecodeError> {
    let kind = Kind::Data;
    more_than(kind, &body, DATA_RAW_LEN)?;
    let id = ContentId(take(&mut body));
    let (piece, offset) = (body.get_u32(), body.get_u32());
    let data = Data { id, piece, offset, bytes: body };
    data.check().map_err(|source| DecodeError::Refused { kind, source })?;
    Ok(data)
}

fn encode_data(data: &Data, to: &mut BytesMut) -> Result<(), EncodeError> {
    let kind = Kind::Data;
    data.check().map_err(|source| EncodeError::Refused { kind, source })?;
    to.put_slice(&data.id.0);
    to.put_u32(data.piece);
    to.put_u32(data.offset);
    to.put_slice(&data.bytes);
    Ok(())
}

/// Bytes of a data frame before those of the piece: header, id, piece, offset.
pub const DATA_PREFIX_LEN: usize = HEADER_LEN + DATA_RAW_LEN;

/// What a data frame says before the bytes of the piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataHead {
    /// The file.
    pub id: ContentId,
    /// The piece.
    pub piece: u32,
    /// Where in the piece the bytes begin.
    pub offset: u32,
    /// How many bytes follow.
    pub len: u32,
}

/// Takes the head of a data frame whose header is at the front of `from`, once all of it is
/// there.
pub(super) fn take_data_head(
    header: Header,
    from: &mut BytesMut,
) -> Result<Option<DataHead>, DecodeError> {
    let kind = Kind::Data;
    let body = header.len as usize;
    let Some(len) = body.checked_sub(DATA_RAW_LEN).filter(|&len| len > 0) else {
        return Err(DecodeError::Short { kind, len: body });
    };
    if from.len() < DATA_PREFIX_LEN {
        return Ok(None);
    }
    from.advance(HEADER_LEN);
    let mut raw = from.split_to(DATA_RAW_LEN).freeze();
    let id = ContentId(take(&mut raw));
    let (piece, offset) = (raw.get_u32(), raw.get_u32());
    check_bytes(offset, len).map_err(|source| DecodeError::Refused { kind, source })?;
    // Cannot be cut off: it was less than what the header says.
    Ok(Some(DataHead { id, piece, offset, len: len as u32 }))
}

/// What goes out before the bytes of `data`, for a sender that writes these from
/// where they lie instead of copying them into a frame.
///
/// # Errors
/// [`EncodeError::Refused`], as for the whole frame.
pub fn data_prefix(data: &Data) -> Result<[u8; DATA_PREFIX_LEN], EncodeError> {
    let kind = Kind::Data;
    data.check().map_err(|source| EncodeError::Refused { kind, source })?;
    // Cannot be cut off: what was just checked is far below 4 GiB.
    let len = (DATA_RAW_LEN + data.bytes.len()) as u32;
    let mut prefix = [0; DATA_PREFIX_LEN];
    let mut rest = prefix.as_mut_slice();
    rest.put_slice(&Header { len, kind: kind.number(), flags: 0 }.to_bytes());
    rest.put_slice(&data.id.0);
    rest.put_u32(data.piece);
    rest.put_u32(data.offset);
    Ok(prefix)
}
