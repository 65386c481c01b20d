//! A file's pieces and the values that prove them.
//!
//! A piece is a whole subtree of the file's BLAKE3 tree, so its *chaining value* proves
//! it on its own, and the values of all pieces merge to the file's content id (BLAKE3
//! specification, section 2.1; `blake3::hazmat`). A list that merges to the id is
//! therefore as good as the file, with one trap: the list of the next level up the tree
//! merges to the same id, so a list proves the *size* only once the last piece has been
//! verified at its place.

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::base::{ContentId, Geometry, PieceIndex};

/// The value of one piece: a BLAKE3 chaining value; of a file's only piece, the id.
pub type PieceValue = [u8; 32];

/// The values of all pieces of one file. Always true: they merge to its content id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PieceList {
    id: ContentId,
    geometry: Geometry,
    /// Empty when the file has fewer than two pieces: the id itself is the proof.
    values: Vec<PieceValue>,
}

/// Why values are not the list of a file. Always the doing of whoever gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The count does not fit the size that was named.
    #[error("{given} piece values where the size calls for {needed}")]
    Count {
        /// Values given.
        given: usize,
        /// Values that a file of that size has.
        needed: usize,
    },
    /// The values do not merge to the id.
    #[error("the piece values do not merge to the content id")]
    Mismatch,
}

impl PieceList {
    /// Checks that `values` are those of the file `id` cut as `geometry` says.
    ///
    /// # Errors
    /// [`ListError`]; a file without a byte has one id only.
    pub fn new(
        id: ContentId,
        geometry: Geometry,
        values: Vec<PieceValue>,
    ) -> Result<Self, ListError> {
        let needed = Self::values_needed(geometry);
        if values.len() != needed {
            return Err(ListError::Count { given: values.len(), needed });
        }
        let proven = match geometry.count() {
            0 => ContentId::of_nothing() == id,
            1 => true, // the piece itself will tell
            _ => root(&values) == id.0,
        };
        if proven { Ok(Self { id, geometry, values }) } else { Err(ListError::Mismatch) }
    }

    /// How many values the list of a file cut like this has: none below two pieces.
    #[must_use]
    pub fn values_needed(geometry: Geometry) -> usize {
        if geometry.count() < 2 { 0 } else { geometry.count() as usize }
    }

    /// The file.
    #[must_use]
    pub fn id(&self) -> ContentId {
        self.id
    }

    /// How it is cut.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The values, in order of the pieces; empty below two pieces.
    #[must_use]
    pub fn values(&self) -> &[PieceValue] {
        &self.values
    }

    /// Whether `bytes` are the whole of `piece`, to the last bit.
    #[must_use]
    pub fn proves(&self, piece: PieceIndex, bytes: &[u8]) -> bool {
        if bytes.len() as u64 != self.geometry.len(piece) {
            return false;
        }
        let expected = self.values.get(piece.get() as usize).copied().unwrap_or(self.id.0);
        piece_value(self.geometry, piece, bytes) == expected
    }
}

/// The value of `piece`, whose bytes are `bytes`.
#[must_use]
pub fn piece_value(geometry: Geometry, piece: PieceIndex, bytes: &[u8]) -> PieceValue {
    if geometry.count() < 2 {
        return *blake3::hash(bytes).as_bytes();
    }
    if bytes.is_empty() {
        return [0; 32]; // no piece of a longer file is empty; blake3 would panic
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(geometry.offset(piece));
    hasher.update(bytes);
    hasher.finalize_non_root()
}

/// Builds the list of a file from its pieces, given in order.
#[derive(Debug)]
pub struct ListBuilder {
    geometry: Geometry,
    next: u32,
    values: Vec<PieceValue>,
}

impl ListBuilder {
    /// A builder for a file cut like this.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, next: 0, values: Vec::with_capacity(geometry.count() as usize) }
    }

    /// The piece that is expected next; `None` when all are in.
    #[must_use]
    pub fn next_piece(&self) -> Option<PieceIndex> {
        self.geometry.piece(self.next)
    }

    /// Takes the bytes of the next piece; they must be the whole of it.
    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(piece) = self.next_piece() {
            self.values.push(piece_value(self.geometry, piece, bytes));
            self.next += 1;
        }
    }

    /// The finished list; `None` while pieces are missing.
    #[must_use]
    pub fn finish(self) -> Option<PieceList> {
        if self.next_piece().is_some() {
            return None;
        }
        PieceList::of(self.geometry, self.values)
    }
}

impl PieceList {
    /// The list of a file cut like this whose pieces have these values, in order; `None`
    /// when they are not as many as it has pieces.
    #[must_use]
    pub fn of(geometry: Geometry, mut values: Vec<PieceValue>) -> Option<Self> {
        if values.len() != geometry.count() as usize {
            return None;
        }
        let id = match values.as_slice() {
            [] => ContentId::of_nothing(),
            [only] => ContentId(*only),
            many => ContentId(root(many)),
        };
        if values.len() < 2 {
            values.clear();
        }
        Some(Self { id, geometry, values })
    }
}

/// The root over two or more piece values.
fn root(values: &[PieceValue]) -> [u8; 32] {
    let (left, right) = halves(values);
    *merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes()
}

fn subtree(values: &[PieceValue]) -> ChainingValue {
    if let [only] = values {
        return *only;
    }
    let (left, right) = halves(values);
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

/// BLAKE3's rule: the left subtree is the largest power of two that leaves something.
fn halves(values: &[PieceValue]) -> (&[PieceValue], &[PieceValue]) {
    values.split_at(values.len().next_power_of_two() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::piece::MIN_PIECE;

    fn sample(size: u64) -> Vec<u8> {
        let mut bytes = vec![0; size as usize];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn list_of(bytes: &[u8]) -> PieceList {
        let geometry = Geometry::of(bytes.len() as u64).unwrap();
        let mut builder = ListBuilder::new(geometry);
        for chunk in bytes.chunks(geometry.piece_len() as usize) {
            builder.push(chunk);
        }
        builder.finish().unwrap()
    }

    #[test]
    fn the_list_merges_to_the_plain_hash_at_every_size() {
        let p = MIN_PIECE;
        let near = |n: u64| [n - 1, n, n + 1];
        let sizes = [0, 1, 1023, 1024, 1025].into_iter();
        for size in sizes.chain((1..=17).flat_map(|k| near(k * p))) {
            let bytes = sample(size);
            let list = list_of(&bytes);
            assert_eq!(list.id().0, *blake3::hash(&bytes).as_bytes(), "size {size}");
            let again = PieceList::new(list.id(), list.geometry(), list.values().to_vec());
            assert_eq!(again, Ok(list));
        }
    }

    #[test]
    fn a_flipped_bit_and_a_wrong_place_are_caught() {
        let bytes = sample(3 * MIN_PIECE + 5);
        let list = list_of(&bytes);
        for piece in list.geometry().pieces() {
            let start = list.geometry().offset(piece) as usize;
            let mut own = bytes[start..start + list.geometry().len(piece) as usize].to_vec();
            assert!(list.proves(piece, &own));
            own[0] ^= 1;
            assert!(!list.proves(piece, &own));
            own[0] ^= 1;
            let other = list.geometry().piece((piece.get() + 1) % 3).unwrap();
            assert!(!list.proves(other, &own));
            assert!(!list.proves(piece, &own[1..]));
        }
    }

    #[test]
    fn a_list_that_does_not_merge_to_the_id_is_refused() {
        let list = list_of(&sample(5 * MIN_PIECE));
        let mut values = list.values().to_vec();
        values.swap(0, 1);
        let refused = PieceList::new(list.id(), list.geometry(), values.clone());
        assert_eq!(refused, Err(ListError::Mismatch));
        values.pop();
        let refused = PieceList::new(list.id(), list.geometry(), values);
        assert_eq!(refused, Err(ListError::Count { given: 4, needed: 5 }));
        let empty = Geometry::of(0).unwrap();
        assert_eq!(PieceList::new(list.id(), empty, vec![]), Err(ListError::Mismatch));
    }

    #[test]
    fn the_list_of_the_next_level_merges_too_but_its_last_piece_does_not_prove() {
        // The trap: four values of 64 KiB pieces, merged in pairs, are a list for half
        // the pieces, and so for a file of half the size.
        let bytes = sample(4 * MIN_PIECE);
        let list = list_of(&bytes);
        let pairs: Vec<PieceValue> = list.values().chunks(2).map(subtree).collect();
        let half = Geometry::of(2 * MIN_PIECE).unwrap();
        let lie = PieceList::new(list.id(), half, pairs).unwrap();
        let last = half.last().unwrap();
        let start = half.offset(last) as usize;
        assert!(!lie.proves(last, &bytes[start..start + MIN_PIECE as usize]));
    }
}
