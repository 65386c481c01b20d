//! Which pieces to ask of whom next.
//!
//! Always true:
//! - each piece is in exactly one state: *missing*, *asked* of one or two sources, or
//!   *held*; only held pieces are never asked again;
//! - a source is asked only for what it is known, or taken, to have;
//! - a piece is asked of a second source only in the endgame, when nothing is missing.
//!
//! The order: rarest first, ties broken at random, so that sources who fetch the same
//! file soon differ and can serve each other. What a complete source says that it has given
//! to others counts as less rare: whoever takes the rest has something to give in return,
//! and the only complete source sends each piece once before it sends one twice. From the piece that chance or rarity
//! picks, the pick goes on over its aligned group of [`RUN`] pieces, because a giver's
//! disk and a request's ranges both like runs. Picking costs the same whatever the
//! file's length. When and how much to ask is left to [`Download`](super::Download).

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

use crate::base::{Geometry, PieceIndex, PieceMap, ServentId};
use crate::message::PieceRange;

/// Pieces of one aligned group, asked of one source in a row where possible: 512 KiB
/// of small pieces, which makes a disk read long and a request short, and is still so
/// little that sources who start together differ after a moment.
pub const RUN: u32 = 8;

/// A source that will need longer than this for what it was asked, in microseconds, may
/// lose a piece in the endgame even when two were asked for it: two slow sources must not
/// keep a fast one from the last pieces.
pub const HOPELESS: u64 = 2_000_000;

/// Random draws for a source that has only a part, before its map is searched in order.
const DRAWS: usize = 16;

/// Who a piece was asked of.
#[derive(Clone, Copy, Debug)]
struct Asked {
    first: ServentId,
    second: Option<ServentId>,
    /// When, as a running number: what a source was asked later comes later.
    turn: u64,
}

/// How much to pick at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Bytes.
    pub bytes: u64,
    /// Of these at most so many that a complete source has given to others already.
    pub given: u64,
    /// Runs of consecutive pieces.
    pub ranges: usize,
}

/// What a partial source has.
#[derive(Debug)]
struct Partial {
    has: PieceMap,
    /// How many pieces of it are not here.
    useful: u32,
}

/// The state of every piece of one file, and the order in which they are asked.
#[derive(Debug)]
pub struct Picker {
    geometry: Geometry,
    held: PieceMap,
    held_bytes: u64,
    /// The missing pieces.
    missing: PieceMap,
    asked: BTreeMap<PieceIndex, Asked>,
    /// The missing pieces, by how many partial sources have them.
    shelves: BTreeMap<u16, Vec<PieceIndex>>,
    /// Where in its shelf each missing piece stands.
    places: Vec<usize>,
    /// How many partial sources have each piece, and how many complete ones have given it to
    /// others; beyond that complete ones count for all alike.
    copies: Vec<u16>,
    /// What partial sources have; who is not here is taken to be complete.
    partial: BTreeMap<ServentId, Partial>,
    /// What complete sources say that they have given to others.
    given: BTreeMap<ServentId, PieceMap>,
    /// The piece that each source was asked for last.
    cursors: BTreeMap<ServentId, PieceIndex>,
    turn: u64,
}

impl Picker {
    /// A picker for a file cut like this, of which `held` is here already.
    #[must_use]
    pub fn new(geometry: Geometry, held: &PieceMap) -> Self {
        let count = geometry.count() as usize;
        let mut picker = Self {
            geometry,
            held: PieceMap::new(geometry.count()),
            held_bytes: 0,
            missing: PieceMap::new(geometry.count()),
            asked: BTreeMap::new(),
            shelves: BTreeMap::new(),
            places: vec![0; count],
            copies: vec![0; count],
            partial: BTreeMap::new(),
            given: BTreeMap::new(),
            cursors: BTreeMap::new(),
            turn: 0,
        };
        for piece in geometry.pieces() {
            if held.contains(piece) {
                picker.mark_held(piece);
            } else {
                picker.shelve(piece);
            }
        }
        picker
    }

    /// Picks the next missing pieces for `source`, about as many bytes as `budget` allows, in
    /// the order in which to ask; from now on they count as asked of it.
    ///
    /// At least one piece when the budget is not 0 and it has one that is missing, and that it
    /// has not given to others unless the budget for these is not 0.
    pub fn pick(
        &mut self,
        source: ServentId,
        budget: Budget,
        rng: &mut ChaCha12Rng,
    ) -> Vec<PieceIndex> {
        let (mut picked, mut bytes) = (Vec::new(), 0);
        let allows = |picker: &Self, piece, bytes| {
            let given = picker.given.get(&source).is_some_and(|given| given.contains(piece));
            bytes < if given { budget.given.min(budget.bytes) } else { budget.bytes }
        };
        for _ in 0..budget.ranges {
            if bytes >= budget.bytes {
                break;
            }
            let start = self.start(source, rng);
            let Some(start) = start.filter(|&piece| allows(self, piece, bytes)) else { break };
            let mut next = Some(start);
            while let Some(piece) = next {
                self.unshelve(piece);
                self.turn += 1;
                let turn = self.turn;
                self.asked.insert(piece, Asked { first: source, second: None, turn });
                self.cursors.insert(source, piece);
                bytes += self.geometry.len(piece);
                picked.push(piece);
                next = self.follower(source, piece).filter(|&piece| allows(self, piece, bytes));
            }
        }
        picked
    }

    /// Picks up to `most` pieces for `source` that others were asked for, when it has none that
    /// is missing; from now on they count as asked of it too.
    ///
    /// `burden` is the time that a source will need for what it was asked, in
    /// microseconds. Taken first are pieces asked of one source only, from the most
    /// burdened, and of these the ones that it will send last. A piece asked of two is
    /// taken from the more burdened of them, if its burden is over [`HOPELESS`] and more
    /// than twice that of `source`; it comes with the one who is relieved of it. As long as
    /// pieces are missing that `source` does not have, nobody is asked twice: whoever is that
    /// burdened is relieved of the piece.
    pub fn pick_again(
        &mut self,
        source: ServentId,
        most: usize,
        burden: impl Fn(ServentId) -> u64,
    ) -> Vec<(PieceIndex, Option<ServentId>)> {
        let endgame = self.is_endgame();
        let has = self.known_to_have(source);
        let limit = HOPELESS.max(burden(source).saturating_mul(2));
        let mut open: Vec<(bool, u64, u64, PieceIndex)> = self
            .asked
            .iter()
            .filter(|(piece, asked)| {
                asked.first != source
                    && asked.second != Some(source)
                    && has.is_none_or(|has| has.contains(**piece))
            })
            .filter_map(|(&piece, asked)| {
                let heavy = asked.second.map_or(0, &burden).max(burden(asked.first));
                let alone = endgame && asked.second.is_none();
                (alone || heavy > limit).then_some((alone, heavy, asked.turn, piece))
            })
            .collect();
        open.sort_unstable_by(|a, b| b.cmp(a));
        open.truncate(most);
        let mut picked = Vec::new();
        for (.., piece) in open {
            let Some(asked) = self.asked.get_mut(&piece) else { continue };
            let relieved = match asked.second.replace(source) {
                Some(second) if burden(second) < burden(asked.first) => {
                    Some(std::mem::replace(&mut asked.first, second))
                }
                Some(second) => Some(second),
                None if endgame => None,
                None => asked.second.take().map(|own| std::mem::replace(&mut asked.first, own)),
            };
            picked.push((piece, relieved));
        }
        picked
    }

    /// Whether nothing is missing: all that is not here was asked of somebody.
    #[must_use]
    pub fn is_endgame(&self) -> bool {
        self.shelves.is_empty()
    }

    /// Asks `source` for `piece` in particular; false, and nothing changes, unless it is
    /// missing.
    pub fn claim(&mut self, source: ServentId, piece: PieceIndex) -> bool {
        if !self.is_missing(piece) {
            return false;
        }
        self.unshelve(piece);
        self.turn += 1;
        self.asked.insert(piece, Asked { first: source, second: None, turn: self.turn });
        true
    }

    /// `source` will not send `piece`; when nobody else was asked, it is missing again.
    pub fn release(&mut self, source: ServentId, piece: PieceIndex) {
        let Some(asked) = self.asked.get_mut(&piece) else { return };
        if asked.second == Some(source) {
            asked.second = None;
        } else if asked.first == source {
            match asked.second.take() {
                Some(other) => asked.first = other,
                None => {
                    self.asked.remove(&piece);
                    self.shelve(piece);
                }
            }
        }
    }

    /// `piece` is here, verified and written; returns the sources that were asked for it.
    pub fn hold(&mut self, piece: PieceIndex) -> Vec<ServentId> {
        if self.held.contains(piece) || piece.get() >= self.geometry.count() {
            return Vec::new();
        }
        let asked = self.asked.remove(&piece);
        if asked.is_none() {
            self.unshelve(piece);
        }
        self.mark_held(piece);
        asked.map_or_else(Vec::new, |asked| {
            [Some(asked.first), asked.second].into_iter().flatten().collect()
        })
    }

    /// `source` is partial, and has `pieces` beside those that it was known to have. A map of
    /// another length is not of this file and changes nothing.
    pub fn learn(&mut self, source: ServentId, pieces: &PieceMap) {
        if pieces.len() != self.geometry.count() {
            return;
        }
        let nothing = || Partial { has: PieceMap::new(pieces.len()), useful: 0 };
        let known = self.partial.entry(source).or_insert_with(nothing);
        let fresh = pieces.without(&known.has);
        known.has.add(&fresh);
        known.useful += fresh.without(&self.held).held();
        self.recount(&fresh, |copies| copies.saturating_add(1));
    }

    /// `source`, which has all, has given `pieces` to others, beside those that it said before.
    pub fn learn_given(&mut self, source: ServentId, pieces: &PieceMap) {
        if pieces.len() != self.geometry.count() {
            return;
        }
        let known = self.given.entry(source).or_insert_with(|| PieceMap::new(pieces.len()));
        let fresh = pieces.without(known);
        known.add(&fresh);
        self.recount(&fresh, |copies| copies.saturating_add(1));
    }

    /// `source` is gone: what it has counts no more. What it was asked for is released
    /// by [`Picker::release`].
    pub fn forget(&mut self, source: ServentId) {
        self.cursors.remove(&source);
        let partial = self.partial.remove(&source).map(|partial| partial.has);
        for pieces in partial.into_iter().chain(self.given.remove(&source)) {
            self.recount(&pieces, |copies| copies.saturating_sub(1));
        }
    }

    /// How many pieces `source` is known to have; none of whoever is taken to have all.
    #[must_use]
    pub fn known_of(&self, source: ServentId) -> Option<u32> {
        self.partial.get(&source).map(|partial| partial.has.held())
    }

    /// Whether `source` has a piece that is not here.
    #[must_use]
    pub fn is_useful(&self, source: ServentId) -> bool {
        self.partial.get(&source).map_or(self.remaining() > 0, |partial| partial.useful > 0)
    }

    /// The first and the last piece that is not here and that none of `sources` has.
    pub fn lacking(
        &self,
        sources: impl Iterator<Item = ServentId>,
    ) -> Option<(PieceIndex, PieceIndex)> {
        let mut there = self.held.clone();
        for source in sources {
            there.add(&self.partial.get(&source)?.has);
        }
        Some((there.missing().next()?, there.missing().last()?))
    }

    /// What is here.
    #[must_use]
    pub fn held(&self) -> &PieceMap {
        &self.held
    }

    /// Bytes of what is here.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Whether `piece` is neither here nor asked of anybody.
    #[must_use]
    pub fn is_missing(&self, piece: PieceIndex) -> bool {
        self.missing.contains(piece)
    }

    /// The sources that were asked for `piece`.
    pub fn askers(&self, piece: PieceIndex) -> impl Iterator<Item = ServentId> + use<> {
        let asked = self.asked.get(&piece);
        let first = asked.map(|asked| asked.first);
        [first, asked.and_then(|asked| asked.second)].into_iter().flatten()
    }

    /// How many pieces are not here yet.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.held.len() - self.held.held()
    }

    /// What `source` has; none of whoever is taken to have all.
    fn known_to_have(&self, source: ServentId) -> Option<&PieceMap> {
        self.partial.get(&source).map(|partial| &partial.has)
    }

    fn rarity(&self, piece: PieceIndex) -> u16 {
        self.copies.get(piece.get() as usize).copied().unwrap_or(0)
    }

    /// Where the next run for `source` begins.
    fn start(&self, source: ServentId, rng: &mut ChaCha12Rng) -> Option<PieceIndex> {
        let has = self.known_to_have(source);
        if has.is_some_and(|has| !has.meets(&self.missing)) {
            return None;
        }
        let has = |piece| has.is_none_or(|has| has.contains(piece));
        if let Some(&cursor) = self.cursors.get(&source)
            && let Some(next) = self.follower(source, cursor)
            && self.shelves.keys().next() == Some(&self.rarity(next))
        {
            return Some(next);
        }
        let drawn = self.shelves.values().find_map(|shelf| draw(shelf, has, rng))?;
        let mut start = drawn;
        while start.get() % RUN != 0
            && let Some(before) = self.geometry.piece(start.get() - 1)
            && self.is_missing(before)
            && has(before)
            && self.rarity(before) == self.rarity(drawn)
        {
            start = before;
        }
        Some(start)
    }

    /// The piece after `piece`, if it belongs to the same run for `source`.
    fn follower(&self, source: ServentId, piece: PieceIndex) -> Option<PieceIndex> {
        let next = self.geometry.piece(piece.get() + 1)?;
        let same_run = next.get() % RUN != 0 && self.rarity(next) == self.rarity(piece);
        let has = || self.known_to_have(source).is_none_or(|has| has.contains(next));
        (same_run && self.is_missing(next) && has()).then_some(next)
    }

    fn mark_held(&mut self, piece: PieceIndex) {
        if self.held.insert(piece) {
            self.held_bytes += self.geometry.len(piece);
            for partial in self.partial.values_mut().filter(|other| other.has.contains(piece)) {
                partial.useful = partial.useful.saturating_sub(1);
            }
        }
    }

    fn shelve(&mut self, piece: PieceIndex) {
        self.missing.insert(piece);
        let shelf = self.shelves.entry(self.rarity(piece)).or_default();
        if let Some(place) = self.places.get_mut(piece.get() as usize) {
            *place = shelf.len();
            shelf.push(piece);
        }
    }

    fn unshelve(&mut self, piece: PieceIndex) {
        self.missing.remove(piece);
        let rarity = self.rarity(piece);
        let Some(shelf) = self.shelves.get_mut(&rarity) else { return };
        let place = self.places.get(piece.get() as usize).copied().unwrap_or(usize::MAX);
        if shelf.get(place) == Some(&piece) {
            shelf.swap_remove(place);
            if let Some(moved) = shelf.get(place)
                && let Some(slot) = self.places.get_mut(moved.get() as usize)
            {
                *slot = place;
            }
        }
        if shelf.is_empty() {
            self.shelves.remove(&rarity);
        }
    }

    fn recount(&mut self, pieces: &PieceMap, change: impl Fn(u16) -> u16) {
        for piece in pieces.pieces() {
            let missing = self.is_missing(piece);
            if missing {
                self.unshelve(piece);
            }
            if let Some(copies) = self.copies.get_mut(piece.get() as usize) {
                *copies = change(*copies);
            }
            if missing {
                self.shelve(piece);
            }
        }
    }
}

/// A piece of `shelf` that the source has, at random.
fn draw(
    shelf: &[PieceIndex],
    has: impl Fn(PieceIndex) -> bool,
    rng: &mut ChaCha12Rng,
) -> Option<PieceIndex> {
    if shelf.is_empty() {
        return None;
    }
    for _ in 0..DRAWS {
        let drawn = shelf.get(rng.random_range(0..shelf.len())).copied();
        if let Some(piece) = drawn.filter(|&piece| has(piece)) {
            return Some(piece);
        }
    }
    shelf.iter().copied().find(|&piece| has(piece))
}

/// `pieces`, in their order, as ranges of consecutive ones.
#[must_use]
pub fn ranges(pieces: &[PieceIndex]) -> Vec<PieceRange> {
    let mut ranges: Vec<PieceRange> = Vec::new();
    for piece in pieces {
        match ranges.last_mut() {
            Some(last) if last.first + last.count == piece.get() => last.count += 1,
            _ => ranges.push(PieceRange { first: piece.get(), count: 1 }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
