//! Asking the mesh, and its answers.

use std::net::SocketAddr;

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::Extensions;
use crate::base::{ContentId, Guid, Hops, ServentId, Ttl};

/// One copy of a search on its way out. Nothing in it names its author.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// The search.
    pub guid: Guid,
    /// Life left, the hop to the receiver included.
    pub ttl: Ttl,
    /// Hops behind it.
    pub hops: Hops,
    /// The life of the last copy of this search that had come from the receiver when this
    /// one was sent; 0: none had. So both ends know of two copies that crossed on the way.
    pub seen: Ttl,
    /// An encoded [`QueryBody`]; relays pass it on unread.
    pub body: Bytes,
}

/// What a query asks.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct QueryBody {
    /// The words, as typed: [`QueryBody::MIN_TEXT`] to [`QueryBody::MAX_TEXT`] bytes,
    /// at most [`QueryBody::MAX_WORDS`] words.
    pub text: String,
    /// Extensions.
    pub ext: Extensions,
}

impl QueryBody {
    /// Shortest text that is answered, in bytes.
    pub const MIN_TEXT: usize = 2;
    /// Longest text, in bytes.
    pub const MAX_TEXT: usize = 256;
    /// Most words.
    pub const MAX_WORDS: usize = 12;
}

/// Files found at one servent, on their way back to the searcher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueryHit {
    /// The search that it answers.
    pub guid: Guid,
    /// Hops behind it: at the searcher, one less than the links it crossed.
    pub hops: Hops,
    /// Who has the files. A claim until a connection proves it.
    pub responder: ServentId,
    /// How many hits the body holds: 1 to [`HitBody::MAX_HITS`].
    pub count: u8,
    /// An encoded [`HitBody`]; relays pass it on unread.
    pub body: Bytes,
}

/// What a servent found in its library.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct HitBody {
    /// Where the responder can be dialled: at most
    /// [`crate::base::Contact::MAX_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
    /// What its user calls it; never an identity.
    pub name: String,
    /// Whether nobody can dial it.
    pub unreachable: bool,
    /// The files, [`HitBody::MAX_HITS`] at most.
    pub hits: Vec<Hit>,
    /// Whether the responder has more that match than it says.
    pub more: bool,
    /// Extensions: see [`HitBody::is_cut`].
    pub ext: Extensions,
}

impl HitBody {
    /// Most hits in one frame, and in one servent's answer.
    pub const MAX_HITS: usize = 64;
    /// The extension that says that the responder stopped looking.
    const CUT: u16 = 1;

    /// The extensions of an answer; `cut` when the responder stopped looking before it had
    /// looked at all that may match, because a stranger's query may not cost more.
    #[must_use]
    pub fn extensions(cut: bool) -> Extensions {
        if cut { vec![(Self::CUT, vec![1])] } else { Vec::new() }
    }

    /// Whether the responder says that it stopped looking.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.ext.iter().any(|(tag, value)| *tag == Self::CUT && value[..] == [1])
    }
}

/// One file that matches.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Hit {
    /// What it holds.
    pub id: ContentId,
    /// Its size in bytes: a claim until its pieces prove it.
    pub size: u64,
    /// Its name there: 1 to 255 bytes; a claim, made safe where it meets a disk or an eye.
    pub name: String,
    /// Extensions.
    pub ext: Extensions,
}

/// Answers one copy of a query: everything behind it has been asked.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct QueryDone {
    /// The search.
    pub guid: Guid,
    /// How many servents were asked for the first time.
    pub asked: u32,
    /// How many copies or matches came to nothing on the way.
    pub lost: u32,
    /// Extensions.
    pub ext: Extensions,
}
