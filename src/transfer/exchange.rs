//! What a download is told, and what it asks of its driver.
//!
//! The contract between them stands in [`download`](super::download).

use std::sync::Arc;
use std::time::Duration;

use super::event::{Event, Loss, Next, PauseReason};
use super::verify::{PieceList, PieceValue};
use crate::base::{PieceIndex, PieceMap, ServentId};
#[cfg(doc)]
use crate::message::Request;
use crate::message::{PieceRange, Refusal};

/// What the user wants of a download.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// This servent, which is no source for itself.
    pub me: ServentId,
    /// Fail, rather than wait, once every known source failed since the last good piece.
    pub once: bool,
}

/// What the world tells a download.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Go. Sources that are known already should be told before.
    Start {
        /// The list, if an earlier run has bound its size.
        list: Option<Arc<PieceList>>,
    },
    /// Somebody is said to have the file.
    SourceFound {
        /// Who.
        source: ServentId,
    },
    /// A source names somebody who is said to have pieces: a claim.
    SourceTold {
        /// Whom it names.
        source: ServentId,
        /// The source.
        by: ServentId,
    },
    /// The search of [`Output::FindSources`] is over; whom it found was told before.
    Searched {
        /// Whether everybody within its reach, and anybody at all, has answered.
        whole: bool,
    },
    /// The answer to [`Output::Connect`]: it may be asked.
    Connected {
        /// Who.
        source: ServentId,
    },
    /// The dial failed, or the connection ended.
    Lost {
        /// Whose.
        source: ServentId,
        /// Why.
        why: Loss,
    },
    /// A part of the list came.
    Manifest {
        /// From whom.
        source: ServentId,
        /// The size that it names, in bytes.
        size: u64,
        /// Which part.
        part: u32,
        /// The values in it.
        values: Vec<PieceValue>,
    },
    /// The answer to [`Output::Begin`]: the part file stands.
    Begun {
        /// The verified pieces in it, the last one included if it was written.
        held: PieceMap,
    },
    /// A piece came and is proven and, once the download has begun, written.
    PieceGood {
        /// From whom.
        source: ServentId,
        /// Which.
        piece: PieceIndex,
    },
    /// A piece came and is not of the file.
    PieceBad {
        /// From whom.
        source: ServentId,
        /// Which.
        piece: PieceIndex,
    },
    /// A piece came and is proven, but could not be written.
    PieceUnwritten {
        /// From whom.
        source: ServentId,
        /// Which.
        piece: PieceIndex,
    },
    /// Bytes of pieces came, be they whole frames or not.
    Progress {
        /// From whom.
        source: ServentId,
        /// How many.
        bytes: u64,
    },
    /// Bytes came, and more are there that our own cap on downloads keeps from being read:
    /// the silence is not the source's.
    Throttled {
        /// From whom.
        source: ServentId,
    },
    /// The request waits at the source for a slot.
    Queued {
        /// At whom.
        source: ServentId,
        /// 1: next.
        position: u32,
    },
    /// The source will not give the file.
    Refused {
        /// Which.
        source: ServentId,
        /// Why.
        reason: Refusal,
    },
    /// A round trip was measured.
    RoundTrip {
        /// With whom.
        source: ServentId,
        /// How long it took.
        rtt: Duration,
    },
    /// A source says which pieces it has; until it does it is taken to have all.
    Has {
        /// Which.
        source: ServentId,
        /// Pieces that it has, beside those that it said before.
        pieces: PieceMap,
    },
    /// A source that has all says which pieces it has given to others, or is about to.
    Given {
        /// Which.
        source: ServentId,
        /// These pieces, beside those that it said before.
        pieces: PieceMap,
    },
    /// Stand still.
    Pause(PauseReason),
    /// Go on.
    Resume,
    /// Give up.
    Cancel,
    /// The deadline has come.
    Wake,
}

/// Why the plan ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parting {
    /// The file is complete.
    Done,
    /// The download was given up.
    Cancelled,
    /// The download stands still.
    Paused,
    /// The source lied.
    Lied,
    /// The source refused.
    Refused,
    /// Nothing came for so long that the connection may be dead.
    Silent,
    /// The source is too slow, or of no use at present, and others wait to be dialled.
    Slow,
}

/// What a download asks of the world, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Dial the source, greet it, then say [`Input::Connected`] or [`Input::Lost`].
    Connect {
        /// Whom.
        source: ServentId,
    },
    /// End the connection, or the dial; report nothing more of it.
    Disconnect {
        /// Whose.
        source: ServentId,
        /// Why.
        why: Parting,
    },
    /// Ask for a part of the list.
    Describe {
        /// Whom.
        source: ServentId,
        /// Which.
        part: u32,
    },
    /// Ask for pieces.
    Request {
        /// Whom.
        source: ServentId,
        /// At most [`Request::MAX_RANGES`].
        pieces: Vec<PieceRange>,
    },
    /// Say that these pieces are no longer wanted.
    CancelPieces {
        /// To whom.
        source: ServentId,
        /// At most [`Request::MAX_RANGES`].
        pieces: Vec<PieceRange>,
    },
    /// Verify what this source sends against this list, whose size is not bound yet.
    Candidate {
        /// Whose pieces.
        source: ServentId,
        /// Its list.
        list: Arc<PieceList>,
    },
    /// The size is bound: take disk, write the last piece if it was just proven, look at
    /// what an earlier run left, verify whatever comes from anybody against this list,
    /// and say [`Input::Begun`]. Said again when a pause kept it from being done.
    Begin {
        /// The file's list.
        list: Arc<PieceList>,
    },
    /// Search the mesh for more sources.
    FindSources,
    /// All pieces are here.
    Complete,
    /// The download is over without the file.
    Failed(Failure),
    /// Tell the user.
    Event(Event),
}

/// Why a download failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// No search found a source.
    #[error("nobody was found who has the file")]
    NobodyHasIt,
    /// All sources are gone; this is what happened to the last one.
    #[error("{0}")]
    NoSourceLeft(Event),
}

/// How a download stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The size in bytes, once it is bound.
    pub size: Option<u64>,
    /// Bytes verified and written.
    pub verified: u64,
    /// Bytes a second at present.
    pub rate: u64,
    /// Connected sources.
    pub connected: usize,
    /// Known sources.
    pub known: usize,
    /// What it waits for, when nobody can be asked at present.
    pub waits: Option<Next>,
    /// The sources that are connected, in order of their ids.
    pub sources: Vec<SourceStanding>,
}

/// How one connected source of a download stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceStanding {
    /// Who.
    pub source: ServentId,
    /// How many pieces of the file it has, if that is not all.
    pub has: Option<u32>,
    /// Bytes of pieces that came from it.
    pub came: u64,
    /// Bytes a second at present.
    pub rate: u64,
    /// Our place in its queue, if it has us in one; 1: next.
    pub queued: Option<u32>,
    /// Whether it was too slow and is left alone for a while.
    pub aside: bool,
}
