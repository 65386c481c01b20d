//! How a file is cut into pieces, and which of them somebody has.

use std::fmt;

/// The smallest piece, in bytes.
pub const MIN_PIECE: u64 = 64 * 1024;
/// The largest piece, in bytes: what one servent holds in memory to verify it.
pub const MAX_PIECE: u64 = 1024 * 1024;
/// Pieces grow while a file would have more than this many.
const MANY_PIECES: u64 = 1024;
/// Most pieces of one file: their list is then 8 MiB.
pub const MAX_PIECES: u64 = 1 << 18;
/// The largest file, in bytes: 256 GiB.
pub const MAX_FILE: u64 = MAX_PIECE * MAX_PIECES;

/// The cut of a file into pieces: a function of its size alone.
///
/// All pieces are [`piece_len`](Self::piece_len) bytes but the last, which is what is
/// left. A piece is a whole subtree of the BLAKE3 tree, so each is verified by its
/// own chaining value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    size: u64,
    piece_len: u64,
    count: u32,
}

/// The number of one piece of one file; minted only by the [`Geometry`] that has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The bare number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Geometry {
    /// The cut of a file of `size` bytes, or `None` when it is over [`MAX_FILE`].
    #[must_use]
    pub fn of(size: u64) -> Option<Self> {
        let mut piece_len = MIN_PIECE;
        while size.div_ceil(piece_len) > MANY_PIECES && piece_len < MAX_PIECE {
            piece_len *= 2;
        }
        let count = size.div_ceil(piece_len);
        if count > MAX_PIECES {
            return None;
        }
        let count = u32::try_from(count).ok()?;
        Some(Self { size, piece_len, count })
    }

    /// Bytes in the file.
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }

    /// Bytes in every piece but the last: a power of two.
    #[must_use]
    pub fn piece_len(self) -> u64 {
        self.piece_len
    }

    /// Pieces in the file; 0 for an empty one.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// Piece number `number`, if the file has it.
    #[must_use]
    pub fn piece(self, number: u32) -> Option<PieceIndex> {
        (number < self.count).then_some(PieceIndex(number))
    }

    /// The last piece, whose chaining value binds the size.
    #[must_use]
    pub fn last(self) -> Option<PieceIndex> {
        self.count.checked_sub(1).map(PieceIndex)
    }

    /// All pieces in file order.
    pub fn pieces(self) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator {
        (0..self.count).map(PieceIndex)
    }

    /// Where `piece` begins in the file, in bytes.
    #[must_use]
    pub fn offset(self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * self.piece_len
    }

    /// How many bytes `piece` has.
    #[must_use]
    pub fn len(self, piece: PieceIndex) -> u64 {
        self.piece_len.min(self.size.saturating_sub(self.offset(piece)))
    }

    /// Whether the file has no piece at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.count == 0
    }
}

/// Which pieces of a file somebody has: one bit a piece.
///
/// A map read from a few bits is as small as they are, and so is the work on it: whoever is
/// told of one piece at a time does not pay for the whole file each time.
#[derive(Clone, Debug)]
pub struct PieceMap {
    /// The bits from word `first` on; whatever is outside is not held.
    words: Vec<u64>,
    first: u32,
    len: u32,
    held: u32,
}

/// Equal are maps that hold the same of as many pieces.
impl PartialEq for PieceMap {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.held == other.held && self.pieces().eq(other.pieces())
    }
}

impl Eq for PieceMap {}

impl PieceMap {
    /// A map of `len` pieces, none of them held.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; len.div_ceil(64) as usize], first: 0, len, held: 0 }
    }

    /// A map of `len` pieces, all of them held.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let mut map = Self::new(len);
        (0..len).for_each(|i| {
            map.insert(PieceIndex(i));
        });
        map
    }

    /// Whether `piece` is held.
    #[must_use]
    pub fn contains(&self, piece: PieceIndex) -> bool {
        self.word(piece.0 / 64) >> (piece.0 % 64) & 1 == 1
    }

    fn word(&self, at: u32) -> u64 {
        let place = at.checked_sub(self.first);
        place.and_then(|place| self.words.get(place as usize)).copied().unwrap_or(0)
    }

    fn word_mut(&mut self, at: u32) -> Option<&mut u64> {
        self.words.get_mut(at.checked_sub(self.first)? as usize)
    }

    /// Makes room for the whole file.
    fn widen(&mut self) {
        let mut whole = Self::new(self.len);
        whole.add(self);
        *self = whole;
    }

    /// Adds `piece`; false when it was held already or is not of this file.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        if piece.0 >= self.len || self.contains(piece) {
            return false;
        }
        if self.word_mut(piece.0 / 64).is_none() {
            self.widen();
        }
        if let Some(word) = self.word_mut(piece.0 / 64) {
            *word |= 1 << (piece.0 % 64);
            self.held += 1;
        }
        true
    }

    /// Takes `piece` out; false when it was not held.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        if !self.contains(piece) {
            return false;
        }
        if let Some(word) = self.word_mut(piece.0 / 64) {
            *word &= !(1 << (piece.0 % 64));
            self.held -= 1;
        }
        true
    }

    /// How many pieces are held.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held
    }

    /// How many pieces the file has.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the file has no piece.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every piece is held.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held == self.len
    }

    /// The pieces held, in file order.
    pub fn pieces(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.words.iter().zip(self.first..).flat_map(|(&word, place)| {
            let mut rest: u64 = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some(PieceIndex(place * 64 + bit))
            })
        })
    }

    /// What is held here and not in `other`, a map of the same file.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let own = self.words.iter().zip(self.first..);
        let words: Vec<u64> = own.map(|(own, at)| own & !other.word(at)).collect();
        let held = words.iter().map(|word| word.count_ones()).sum();
        Self { words, first: self.first, len: self.len, held }
    }

    /// Whether both hold a piece; `other` is a map of the same file.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(self.first..).any(|(own, at)| own & other.word(at) != 0)
    }

    /// Adds what `other` holds, a map of the same file.
    pub fn add(&mut self, other: &Self) {
        other.pieces().for_each(|piece| {
            self.insert(piece);
        });
    }

    /// The shortest bytes that say what is held: which piece the first bit is for, a multiple
    /// of 8, and a bit for each piece from there on, the lowest of each byte first.
    #[must_use]
    pub fn to_bits(&self) -> (u32, Vec<u8>) {
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let Some(begin) = bytes.iter().position(|&byte| byte != 0) else {
            return (0, Vec::new());
        };
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(begin, |last| last + 1);
        let bits = bytes.get(begin..end).unwrap_or_default().to_vec();
        (u32::try_from(begin * 8).unwrap_or(u32::MAX).saturating_add(self.first * 64), bits)
    }

    /// The map of `len` pieces that [`PieceMap::to_bits`] said; none when a bit is for a
    /// piece that no such file has.
    #[must_use]
    pub fn from_bits(len: u32, first: u32, bits: &[u8]) -> Option<Self> {
        if u64::from(len) > MAX_PIECES || bits.len() as u64 > MAX_PIECES / 8 {
            return None;
        }
        let said = u32::try_from(bits.len()).ok()?.saturating_mul(8);
        let end = first.saturating_add(said).min(len).div_ceil(64);
        let begin = (first / 64).min(end);
        let words = vec![0; (end - begin) as usize];
        let mut map = Self { words, first: begin, len, held: 0 };
        for (at, byte) in (0..).zip(bits) {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                let number = first.checked_add(at * 8 + bit)?;
                if number >= len {
                    return None;
                }
                map.insert(PieceIndex(number));
            }
        }
        Some(map)
    }

    /// The pieces not held, in file order.
    pub fn missing(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        (0..self.len).map(PieceIndex).filter(|&piece| !self.contains(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_file_exactly_once() {
        let sizes = [0, 1, 65_535, 65_536, 65_537, 1 << 20, (1 << 26) + 1, (1 << 30) - 1, MAX_FILE];
        for size in sizes {
            let cut = Geometry::of(size).unwrap();
            assert!(cut.piece_len().is_power_of_two());
            assert!(cut.count() <= 1024 || cut.piece_len() == MAX_PIECE);
            let total: u64 = cut.pieces().map(|piece| cut.len(piece)).sum();
            assert_eq!(total, size);
            assert!(cut.pieces().all(|piece| cut.len(piece) > 0));
        }
    }

    #[test]
    fn a_file_over_the_limit_has_no_cut() {
        assert!(Geometry::of(MAX_FILE).is_some());
        assert!(Geometry::of(MAX_FILE + 1).is_none());
        assert!(Geometry::of(u64::MAX).is_none());
    }

    #[test]
    fn a_map_counts_what_it_holds() {
        let cut = Geometry::of(MIN_PIECE * 130).unwrap();
        let mut map = PieceMap::new(cut.count());
        let last = cut.last().unwrap();
        assert!(map.insert(last) && !map.insert(last));
        assert!(map.contains(last) && map.held() == 1 && map.missing().count() == 129);
        assert!(map.remove(last) && !map.remove(last));
        assert!(PieceMap::full(130).is_full());
        assert!(PieceMap::new(0).is_full());
    }

    fn map(len: u32, pieces: &[u32]) -> PieceMap {
        let mut map = PieceMap::new(len);
        pieces.iter().for_each(|&piece| assert!(map.insert(PieceIndex(piece))));
        map
    }

    #[test]
    fn a_map_reads_back_from_the_bytes_that_are_not_empty() {
        for pieces in [vec![], vec![0], vec![129], vec![17, 63, 64, 70], (0..130).collect()] {
            let map = map(130, &pieces);
            let held: Vec<u32> = map.pieces().map(PieceIndex::get).collect();
            assert_eq!(held, pieces);
            let (first, bits) = map.to_bits();
            assert_eq!(PieceMap::from_bits(130, first, &bits), Some(map));
        }
        assert_eq!(map(130, &[17, 63]).to_bits(), (16, vec![2, 0, 0, 0, 0, 128]));
        assert_eq!(PieceMap::new(130).to_bits(), (0, vec![]));
    }

    #[test]
    fn a_bit_for_a_piece_that_the_file_does_not_have_is_no_map() {
        assert!(PieceMap::from_bits(130, 128, &[0b11]).is_some());
        for (len, first, bits) in [
            (130, 128, vec![0b100]),
            (130, u32::MAX, vec![3]),
            (0, 0, vec![1]),
            (MAX_PIECES as u32 + 1, 0, vec![]),
            (8, 0, vec![0; MAX_PIECES as usize / 8 + 1]),
        ] {
            assert_eq!(PieceMap::from_bits(len, first, &bits), None, "{len} {first}");
        }
    }

    #[test]
    fn what_a_map_was_said_to_hold_costs_as_much_as_was_said_however_long_the_file() {
        let len = MAX_PIECES as u32;
        let said = PieceMap::from_bits(len, 200_000, &[0b101]).unwrap();
        let mut known = PieceMap::new(len);
        assert_eq!((said.words.len(), said.without(&known).words.len()), (1, 1));
        known.add(&said);
        assert_eq!(known, said);
        assert_eq!(said.without(&known).held(), 0);
        assert!(said.meets(&known) && known.meets(&said));
        assert_eq!(known.without(&said), PieceMap::new(len));
        assert_eq!((said.to_bits(), known.to_bits()), ((200_000, vec![0b101]), said.to_bits()));
        // It is a map like any other all the same.
        let mut grown = said.clone();
        assert!(!grown.contains(PieceIndex(0)) && !grown.remove(PieceIndex(len - 1)));
        for piece in [0, 199_999, len - 1] {
            assert!(grown.insert(PieceIndex(piece)) && grown.contains(PieceIndex(piece)));
        }
        let held: Vec<u32> = grown.pieces().map(PieceIndex::get).collect();
        assert_eq!(held, [0, 199_999, 200_000, 200_002, len - 1]);
        assert!(grown != said && grown.meets(&said) && !said.meets(&map(len, &[200_001])));
        let nothing = PieceMap::from_bits(len, u32::MAX, &[]).unwrap();
        assert_eq!((nothing.to_bits(), nothing.held()), ((0, vec![]), 0));
    }

    #[test]
    fn maps_are_added_and_taken_from_each_other() {
        let (mut one, other) = (map(130, &[1, 64, 129]), map(130, &[64, 65]));
        assert_eq!(one.without(&other), map(130, &[1, 129]));
        one.add(&other);
        assert_eq!(one, map(130, &[1, 64, 65, 129]));
        assert_eq!(one.held(), 4);
    }
}
