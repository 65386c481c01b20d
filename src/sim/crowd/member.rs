//! One servent of a crowd: what it has, its line, its plans and its connections.
//!
//! Always true: of two servents, one takes from the other over one connection at most; both
//! ends know it by its number, and what bears another number is of one that has ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::line::Line;
use crate::base::{PieceIndex, PieceMap, ServentId, Time};
use crate::message::Refusal;
use crate::transfer::{Download, Telling, UploadSlots, Word as News};

/// What a servent is there for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Role {
    /// It has the file, and gives it.
    Source,
    /// The same, on a slow line.
    Slow,
    /// It says that it has the file, and sends what is not of it.
    Liar,
    /// It says that it has the file, and sends nothing.
    Staller,
    /// It wants the file, and gives what it has of it.
    Receiver,
}

/// What was moved.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Bytes that it sent.
    pub(super) given: u64,
    /// Bytes of good pieces that came from those who had the file from the beginning.
    pub(super) from_sources: u64,
    /// Bytes of pieces that came and were not of the file.
    pub(super) lies: u64,
    /// Bytes of pieces that came and were not wanted any more.
    pub(super) twice: u64,
    /// How often it sent each piece whole; of sources only.
    pub(super) copies: Vec<u32>,
}

/// One servent.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: ServentId,
    pub(super) role: Role,
    pub(super) line: Line,
    /// Whether it is there at present.
    pub(super) here: bool,
    /// Whether its machine is dead, and does not even say that nobody is there.
    pub(super) dead: bool,
    /// Whether it leaves for good with half of the file.
    pub(super) leaver: bool,
    /// Whether it has left for good.
    pub(super) gone: bool,
    /// What it has, verified and written.
    pub(super) held: PieceMap,
    /// Whether it knows the list of the file, and so had it before it left.
    pub(super) begun: bool,
    /// What it tells its takers, once there is anything to give.
    pub(super) telling: Option<Telling<u32>>,
    /// When it had all.
    pub(super) done: Option<Time>,
    pub(super) download: Option<Download>,
    pub(super) slots: UploadSlots<u32, u32>,
    /// When it will be woken.
    pub(super) alarm: Option<Time>,
    /// Who takes from it.
    pub(super) takers: BTreeMap<u32, Giving>,
    /// Whom it takes from.
    pub(super) givers: BTreeMap<u32, Taking>,
    pub(super) tally: Tally,
}

impl Member {
    pub(super) fn new(id: ServentId, role: Role, line: Line, pieces: u32) -> Self {
        let receives = role == Role::Receiver;
        Self {
            id,
            role,
            line,
            here: !receives,
            dead: false,
            leaver: false,
            gone: false,
            held: if receives { PieceMap::new(pieces) } else { PieceMap::full(pieces) },
            begun: !receives,
            telling: (!receives).then(|| Telling::whole(pieces)),
            done: None,
            download: None,
            slots: UploadSlots::new(),
            alarm: None,
            takers: BTreeMap::new(),
            givers: BTreeMap::new(),
            tally: Tally {
                copies: if receives { Vec::new() } else { vec![0; pieces as usize] },
                ..Tally::default()
            },
        }
    }

    /// Whether it is waited for: it wants the file, does not have it, and will come back.
    pub(super) fn is_waited_for(&self) -> bool {
        self.role == Role::Receiver && self.done.is_none() && !self.gone
    }
}

/// The giver's end of a connection.
#[derive(Debug)]
pub(super) struct Giving {
    pub(super) number: u64,
    pub(super) latency: Duration,
    /// What was asked for and is not begun, in order.
    pub(super) wanted: VecDeque<PieceIndex>,
    /// The piece that is being sent, and what is left of it.
    pub(super) begun: Option<(PieceIndex, u64)>,
    /// Whether a frame is on its way out.
    pub(super) sending: bool,
    /// What is to be said behind that frame.
    pub(super) words: VecDeque<Word>,
    /// Whether there are news to be told behind it.
    pub(super) news: bool,
    /// Bytes that are on their way.
    pub(super) afloat: u64,
    /// Most bytes that may be.
    pub(super) window: u64,
    pub(super) slot: bool,
    /// Whether it waits for its turn on the line.
    pub(super) waits: bool,
}

impl Giving {
    pub(super) fn new(number: u64, latency: Duration, window: u64) -> Self {
        Self {
            number,
            latency,
            wanted: VecDeque::new(),
            begun: None,
            sending: false,
            words: VecDeque::new(),
            news: false,
            afloat: 0,
            window,
            slot: false,
            waits: false,
        }
    }

    /// Whether a frame could go out.
    pub(super) fn is_able(&self) -> bool {
        let something = self.begun.is_some() || self.slot && !self.wanted.is_empty();
        something && self.afloat < self.window
    }
}

/// The taker's end of a connection.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) number: u64,
    pub(super) latency: Duration,
    /// Pieces that were asked for and not cancelled.
    pub(super) asked: BTreeSet<PieceIndex>,
}

/// What a giver says.
#[derive(Clone, Debug)]
pub(super) enum Word {
    /// A part of the list.
    Manifest(u32),
    Queued(u32),
    Refused(Refusal),
    /// What it has or gave, and who else has some.
    News(News),
    /// It closes the connection.
    Farewell,
}

/// What a taker says.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Describe(u32),
    Request(Vec<PieceIndex>),
    Cancel(Vec<PieceIndex>),
    /// It closes the connection.
    Farewell,
}

/// What comes over a connection to the taker.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    Word(Word),
    /// Bytes of a piece; `last` when it is whole with them.
    Frame {
        piece: PieceIndex,
        bytes: u64,
        last: bool,
    },
}
