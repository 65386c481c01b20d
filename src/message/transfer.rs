//! Moving the pieces of files.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::Extensions;
use crate::base::{Contact, ContentId, PieceMap};

/// Asks for one part of a file's list of piece values.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Describe {
    /// The file.
    pub id: ContentId,
    /// Which part, of [`Manifest::PART`] values each; 0 is the first.
    pub part: u32,
    /// Extensions.
    pub ext: Extensions,
}

/// One part of a file's list.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Manifest {
    /// The file.
    pub id: ContentId,
    /// Its size in bytes.
    pub size: u64,
    /// Which part this is.
    pub part: u32,
    /// The BLAKE3 chaining values of this part's pieces, in order: [`Manifest::PART`]
    /// of them but in the last part. None when the file has at most one piece, whose
    /// hash is the id itself.
    pub values: Vec<[u8; 32]>,
    /// Extensions.
    pub ext: Extensions,
}

impl Manifest {
    /// Values in one part: 32 KiB of them.
    pub const PART: usize = 1024;
}

/// Consecutive pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PieceRange {
    /// The first.
    pub first: u32,
    /// How many, at least one.
    pub count: u32,
}

/// Asks for pieces, in this order.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Request {
    /// The file.
    pub id: ContentId,
    /// At most [`Request::MAX_RANGES`] ranges.
    pub pieces: Vec<PieceRange>,
    /// Extensions.
    pub ext: Extensions,
}

impl Request {
    /// Most ranges in one request.
    pub const MAX_RANGES: usize = 64;
}

/// Bytes of one piece; a piece may come in several, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Data {
    /// The file.
    pub id: ContentId,
    /// The piece.
    pub piece: u32,
    /// Where in the piece these bytes begin.
    pub offset: u32,
    /// At most [`Data::MAX_LEN`].
    pub bytes: Bytes,
}

impl Data {
    /// Most bytes in one frame.
    pub const MAX_LEN: usize = 256 * 1024;
}

/// The asker no longer wants these pieces. Data already on its way still comes.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Cancel {
    /// The file.
    pub id: ContentId,
    /// At most [`Request::MAX_RANGES`] ranges; none: everything asked of this file.
    pub pieces: Vec<PieceRange>,
    /// Extensions.
    pub ext: Extensions,
}

/// All upload slots are taken; the asker stands in the queue.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Queued {
    /// The file.
    pub id: ContentId,
    /// 1: next.
    pub position: u32,
    /// Extensions.
    pub ext: Extensions,
}

/// What is said of the pieces in a [`Have`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Holding {
    /// The sender has these, verified, and gives them. Who never says so has all.
    Here,
    /// The sender has all, and these were given to others or are about to be: who takes
    /// the others first finds more to give in return.
    Given,
}

/// Some pieces of a file, beside those that were said before on this connection.
///
/// Sent with the flag that lets those who do not know the kind pass it over.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Have {
    /// The file.
    pub id: ContentId,
    /// How many pieces it has.
    pub count: u32,
    /// What is said of the pieces.
    pub holding: Holding,
    /// The piece that the first bit is for.
    pub first: u32,
    /// A bit for each piece from there on, the lowest bit of each byte first; none is for a
    /// piece that the file does not have.
    pub bits: Vec<u8>,
    /// Extensions.
    pub ext: Extensions,
}

impl Have {
    /// Says `holding` of `pieces`.
    #[must_use]
    pub fn new(id: ContentId, holding: Holding, pieces: &PieceMap) -> Self {
        let (first, bits) = pieces.to_bits();
        Self { id, count: pieces.len(), holding, first, bits, ext: Vec::new() }
    }

    /// The pieces; none when a bit is for one that the file does not have.
    #[must_use]
    pub fn pieces(&self) -> Option<PieceMap> {
        PieceMap::from_bits(self.count, self.first, &self.bits)
    }
}

/// Others who have pieces of a file; each is a claim.
///
/// Sent with the flag that lets those who do not know the kind pass it over.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Sources {
    /// The file.
    pub id: ContentId,
    /// At least one, at most [`Sources::MAX_CONTACTS`].
    pub contacts: Vec<Contact>,
    /// Extensions.
    pub ext: Extensions,
}

impl Sources {
    /// Most contacts in one message: as many as are connected at a time.
    pub const MAX_CONTACTS: usize = 16;
}

/// The asker has the whole file, verified and in place, and got some of it from here.
///
/// Sent with the flag that lets those who do not know the kind pass it over.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Thanks {
    /// The file.
    pub id: ContentId,
    /// Extensions.
    pub ext: Extensions,
}

/// Why a file is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Refusal {
    /// Not published here, and no hint whether it ever was.
    NotHere,
    /// It was being sent and its owner has unpublished it.
    Withdrawn,
    /// It changed on the owner's disk.
    Changed,
    /// The owner's disk failed to read it.
    Unreadable,
    /// Slots and queue are full.
    Busy,
    /// The request makes no sense for this file.
    BadRequest,
}

/// The asker will not have the file from here.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Refused {
    /// The file.
    pub id: ContentId,
    /// Why.
    pub reason: Refusal,
    /// Extensions.
    pub ext: Extensions,
}
