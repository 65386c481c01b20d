//! Which pieces to ask of whom next.
//!
//! Always true:
//! - each piece is in exactly one state: *missing*, *asked* of one or two sources, or
//!   *held*; only held pieces are never asked again;
//! - a source is asked only for what it is known, or taken, to have;
//! - a piece is asked of a second source only in the endgame, when nothing is missing.
//!
//! The order: rarest first, ties broken at random, so that sources who fetch the same
//! file soon differ and can serve each other. From the piece that chance or rarity
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

/// The state of every piece of one file, and the order in which they are asked.
#[derive(Debug)]
pub struct Picker {
    geometry: Geometry,
    held: PieceMap,
    held_bytes: u64,
    asked: BTreeMap<PieceIndex, Asked>,
    /// The missing pieces, by how many partial sources have them.
    shelves: BTreeMap<u16, Vec<PieceIndex>>,
    /// Where in its shelf each missing piece stands.
    places: Vec<usize>,
    /// How many partial sources have each piece; complete ones count for all alike.
    copies: Vec<u16>,
    /// What partial sources have; who is not here is taken to be complete.
    partial: BTreeMap<ServentId, PieceMap>,
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
            asked: BTreeMap::new(),
            shelves: BTreeMap::new(),
            places: vec![0; count],
            copies: vec![0; count],
            partial: BTreeMap::new(),
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

    /// Picks the next missing pieces for `source`, about `budget` bytes of them, in the
    /// order in which to ask; from now on they count as asked of it.
    ///
    /// At least one piece when `budget` is not 0 and it has one that is missing; at most
    /// `ranges` runs of consecutive pieces.
    pub fn pick(
        &mut self,
        source: ServentId,
        budget: u64,
        ranges: usize,
        rng: &mut ChaCha12Rng,
    ) -> Vec<PieceIndex> {
        let (mut picked, mut bytes) = (Vec::new(), 0);
        for _ in 0..ranges {
            if bytes >= budget {
                break;
            }
            let Some(start) = self.start(source, rng) else { break };
            let mut next = Some(start);
            while let Some(piece) = next {
                self.unshelve(piece);
                self.turn += 1;
                let turn = self.turn;
                self.asked.insert(piece, Asked { first: source, second: None, turn });
                self.cursors.insert(source, piece);
                bytes += self.geometry.len(piece);
                picked.push(piece);
                next = self.follower(source, piece).filter(|_| bytes < budget);
            }
        }
        picked
    }

    /// Picks up to `most` pieces for `source` that others were asked for, when none is
    /// missing; from now on they count as asked of it too.
    ///
    /// `burden` is the time that a source will need for what it was asked, in
    /// microseconds. Taken first are pieces asked of one source only, from the most
    /// burdened, and of these the ones that it will send last. A piece asked of two is
    /// taken from the more burdened of them, if its burden is over [`HOPELESS`] and more
    /// than twice that of `source`; it comes with the one who is relieved of it.
    pub fn pick_again(
        &mut self,
        source: ServentId,
        most: usize,
        burden: impl Fn(ServentId) -> u64,
    ) -> Vec<(PieceIndex, Option<ServentId>)> {
        if !self.shelves.is_empty() {
            return Vec::new();
        }
        let limit = HOPELESS.max(burden(source).saturating_mul(2));
        let mut open: Vec<(bool, u64, u64, PieceIndex)> = self
            .asked
            .iter()
            .filter(|(piece, asked)| {
                asked.first != source && asked.second != Some(source) && self.has(source, **piece)
            })
            .filter_map(|(&piece, asked)| {
                let heavy = asked.second.map_or(0, &burden).max(burden(asked.first));
                let alone = asked.second.is_none();
                (alone || heavy > limit).then_some((alone, heavy, asked.turn, piece))
            })
            .collect();
        open.sort_unstable_by(|a, b| b.cmp(a));
        open.truncate(most);
        let mut picked = Vec::new();
        for (.., piece) in open {
            let Some(asked) = self.asked.get_mut(&piece) else { continue };
            let relieved = asked.second.map(|second| {
                if burden(second) < burden(asked.first) {
                    std::mem::replace(&mut asked.first, second)
                } else {
                    second
                }
            });
            asked.second = Some(source);
            picked.push((piece, relieved));
        }
        picked
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

    /// `source` has exactly `pieces` of the file. A map of another length is not of this
    /// file and changes nothing.
    pub fn learn(&mut self, source: ServentId, pieces: PieceMap) {
        if pieces.len() != self.geometry.count() {
            return;
        }
        self.forget(source);
        if !pieces.is_full() {
            self.recount(&pieces, |copies| copies.saturating_add(1));
            self.partial.insert(source, pieces);
        }
    }

    /// `source` is gone: what it has counts no more. What it was asked for is released
    /// by [`Picker::release`].
    pub fn forget(&mut self, source: ServentId) {
        self.cursors.remove(&source);
        if let Some(pieces) = self.partial.remove(&source) {
            self.recount(&pieces, |copies| copies.saturating_sub(1));
        }
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
        piece.get() < self.geometry.count()
            && !self.held.contains(piece)
            && !self.asked.contains_key(&piece)
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

    fn has(&self, source: ServentId, piece: PieceIndex) -> bool {
        self.partial.get(&source).is_none_or(|pieces| pieces.contains(piece))
    }

    fn rarity(&self, piece: PieceIndex) -> u16 {
        self.copies.get(piece.get() as usize).copied().unwrap_or(0)
    }

    /// Where the next run for `source` begins.
    fn start(&self, source: ServentId, rng: &mut ChaCha12Rng) -> Option<PieceIndex> {
        if let Some(&cursor) = self.cursors.get(&source)
            && let Some(next) = self.follower(source, cursor)
            && self.shelves.keys().next() == Some(&self.rarity(next))
        {
            return Some(next);
        }
        let drawn = self.shelves.values().find_map(|shelf| self.draw(source, shelf, rng))?;
        let mut start = drawn;
        while start.get() % RUN != 0
            && let Some(before) = self.geometry.piece(start.get() - 1)
            && self.is_missing(before)
            && self.has(source, before)
            && self.rarity(before) == self.rarity(drawn)
        {
            start = before;
        }
        Some(start)
    }

    fn draw(
        &self,
        source: ServentId,
        shelf: &[PieceIndex],
        rng: &mut ChaCha12Rng,
    ) -> Option<PieceIndex> {
        if shelf.is_empty() {
            return None;
        }
        for _ in 0..DRAWS {
            let drawn = shelf.get(rng.random_range(0..shelf.len())).copied();
            if let Some(piece) = drawn.filter(|&piece| self.has(source, piece)) {
                return Some(piece);
            }
        }
        shelf.iter().copied().find(|&piece| self.has(source, piece))
    }

    /// The piece after `piece`, if it belongs to the same run for `source`.
    fn follower(&self, source: ServentId, piece: PieceIndex) -> Option<PieceIndex> {
        let next = self.geometry.piece(piece.get() + 1)?;
        let same_run = next.get() % RUN != 0 && self.rarity(next) == self.rarity(piece);
        (same_run && self.is_missing(next) && self.has(source, next)).then_some(next)
    }

    fn mark_held(&mut self, piece: PieceIndex) {
        if self.held.insert(piece) {
            self.held_bytes += self.geometry.len(piece);
        }
    }

    fn shelve(&mut self, piece: PieceIndex) {
        let shelf = self.shelves.entry(self.rarity(piece)).or_default();
        if let Some(place) = self.places.get_mut(piece.get() as usize) {
            *place = shelf.len();
            shelf.push(piece);
        }
    }

    fn unshelve(&mut self, piece: PieceIndex) {
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
        for piece in self.geometry.pieces().filter(|&piece| pieces.contains(piece)) {
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
mod tests {
    use super::*;
    use crate::base::piece::MIN_PIECE;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    const A: ServentId = ServentId([1; 32]);
    const B: ServentId = ServentId([2; 32]);
    const C: ServentId = ServentId([3; 32]);

    fn picker(count: u64) -> Picker {
        let geometry = Geometry::of(count * MIN_PIECE).unwrap();
        Picker::new(geometry, &PieceMap::new(geometry.count()))
    }

    fn rng() -> ChaCha12Rng {
        ChaCha12Rng::seed_from_u64(7)
    }

    fn numbers(pieces: &[PieceIndex]) -> Vec<u32> {
        pieces.iter().map(|piece| piece.get()).collect()
    }

    /// Each piece is in exactly one state, and the shelves are what they claim to be.
    fn check(picker: &Picker) {
        let shelved: Vec<PieceIndex> = picker.shelves.values().flatten().copied().collect();
        let set: BTreeSet<PieceIndex> = shelved.iter().copied().collect();
        assert_eq!(shelved.len(), set.len());
        assert!(picker.shelves.values().all(|shelf| !shelf.is_empty()));
        for piece in picker.geometry.pieces() {
            let states = [
                set.contains(&piece),
                picker.asked.contains_key(&piece),
                picker.held.contains(piece),
            ];
            assert_eq!(states.iter().filter(|&&state| state).count(), 1, "piece {piece}");
            if set.contains(&piece) {
                let place = picker.places[piece.get() as usize];
                assert_eq!(picker.shelves[&picker.rarity(piece)][place], piece);
            }
        }
    }

    #[test]
    fn a_pick_is_an_aligned_run_and_the_next_goes_on_with_it() {
        let (mut picker, mut rng) = (picker(64), rng());
        let first = numbers(&picker.pick(A, 3 * MIN_PIECE, 8, &mut rng));
        assert_eq!(first.len(), 3);
        assert_eq!(first[0] % RUN, 0);
        let rest = numbers(&picker.pick(A, 5 * MIN_PIECE, 8, &mut rng));
        let run: Vec<u32> = (first[0]..first[0] + RUN).collect();
        assert_eq!([first, rest].concat(), run);
        check(&picker);
    }

    #[test]
    fn two_sources_do_not_walk_the_file_in_its_order() {
        let (mut picker, mut rng) = (picker(1024), rng());
        let mut starts = Vec::new();
        for _ in 0..32 {
            for source in [A, B] {
                starts.push(numbers(&picker.pick(source, 8 * MIN_PIECE, 1, &mut rng))[0]);
            }
        }
        assert!(!starts.is_sorted());
        assert_eq!(starts.iter().collect::<BTreeSet<_>>().len(), 64);
    }

    #[test]
    fn the_rarest_piece_is_asked_first() {
        let (mut picker, mut rng) = (picker(100), rng());
        let mut most = PieceMap::full(100);
        let rare = picker.geometry.piece(77).unwrap();
        most.remove(rare);
        picker.learn(B, most.clone());
        picker.learn(C, most);
        check(&picker);
        assert_eq!(picker.pick(A, 1, 8, &mut rng), [rare]);
        // Who does not have it is asked for something else.
        assert!(!numbers(&picker.pick(B, 99 * MIN_PIECE, 99, &mut rng)).contains(&77));
        picker.forget(B);
        picker.forget(C);
        check(&picker);
    }

    #[test]
    fn a_source_is_asked_only_for_what_it_has() {
        let (mut picker, mut rng) = (picker(500), rng());
        let mut one = PieceMap::new(500);
        one.insert(picker.geometry.piece(321).unwrap());
        picker.learn(B, one);
        assert_eq!(numbers(&picker.pick(B, u64::MAX, 64, &mut rng)), [321]);
        assert!(picker.pick(B, u64::MAX, 64, &mut rng).is_empty());
        picker.learn(B, PieceMap::full(499)); // of another file
        assert!(picker.pick(B, u64::MAX, 64, &mut rng).is_empty());
        picker.learn(B, PieceMap::full(500));
        assert!(!picker.pick(B, 1, 64, &mut rng).is_empty());
        check(&picker);
    }

    #[test]
    fn a_piece_is_asked_twice_only_when_nothing_is_missing_and_never_thrice() {
        let (mut picker, mut rng) = (picker(4), rng());
        assert_eq!(picker.pick(A, 2 * MIN_PIECE, 8, &mut rng).len(), 2);
        assert!(picker.pick_again(B, 9, |_| 0).is_empty());
        assert_eq!(picker.pick(B, 9 * MIN_PIECE, 8, &mut rng).len(), 2);
        assert!(picker.pick(C, 1, 8, &mut rng).is_empty());
        // The burdened source is relieved first, of what it would send last.
        let relief = picker.pick_again(C, 1, |source| u64::from(source == A));
        assert_eq!(relief, [(picker.geometry.piece(1).unwrap(), None)]);
        assert_eq!(picker.pick_again(C, 9, |_| 0).len(), 3);
        assert_eq!(picker.pick_again(A, 9, |_| 0).len(), 0);
        check(&picker);
    }

    #[test]
    fn two_slow_sources_lose_a_piece_to_a_fast_one() {
        let (mut picker, mut rng) = (picker(1), rng());
        let piece = picker.pick(A, 1, 1, &mut rng)[0];
        picker.pick_again(B, 1, |_| 0);
        assert!(picker.pick_again(C, 1, |_| HOPELESS).is_empty());
        let slow = |source| if source == C { HOPELESS } else { 2 * HOPELESS };
        assert!(picker.pick_again(C, 1, slow).is_empty());
        let slow = |source| if source == A { HOPELESS + 1 } else { 0 };
        assert_eq!(picker.pick_again(C, 1, slow), [(piece, Some(A))]);
        assert_eq!(picker.askers(piece).collect::<Vec<_>>(), [B, C]);
        check(&picker);
    }

    #[test]
    fn a_released_piece_is_missing_unless_somebody_else_was_asked() {
        let (mut picker, mut rng) = (picker(1), rng());
        let piece = picker.pick(A, 1, 1, &mut rng)[0];
        picker.pick_again(B, 1, |_| 0);
        picker.release(A, piece);
        picker.release(C, piece);
        assert_eq!(picker.askers(piece).collect::<Vec<_>>(), [B]);
        picker.release(B, piece);
        assert!(picker.is_missing(piece) && picker.claim(C, piece) && !picker.claim(A, piece));
        assert_eq!(picker.hold(piece), [C]);
        assert!(picker.hold(piece).is_empty() && picker.remaining() == 0);
        check(&picker);
    }

    #[test]
    fn what_is_here_is_never_asked_for() {
        let geometry = Geometry::of(10 * MIN_PIECE + 1).unwrap();
        let mut held = PieceMap::full(11);
        held.remove(geometry.piece(10).unwrap());
        let mut picker = Picker::new(geometry, &held);
        assert_eq!(picker.held_bytes(), 10 * MIN_PIECE);
        assert_eq!(numbers(&picker.pick(A, u64::MAX, 64, &mut rng())), [10]);
        check(&picker);
    }

    #[test]
    fn ranges_join_what_is_consecutive_and_keep_the_order() {
        let geometry = Geometry::of(20 * MIN_PIECE).unwrap();
        let pieces: Vec<_> = [8, 9, 10, 3, 4, 19].map(|n| geometry.piece(n).unwrap()).into();
        let expected = [(8, 3), (3, 2), (19, 1)];
        assert_eq!(ranges(&pieces), expected.map(|(first, count)| PieceRange { first, count }));
        assert!(ranges(&[]).is_empty());
    }
}
