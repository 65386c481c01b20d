//! Gathering the list of a file, part by part, from one giver.
//!
//! Always true: all of it comes from one servent, in order, at one size, so whatever is
//! wrong with it is that servent's doing; no more memory is taken than values came.

use std::sync::Arc;
use std::time::Duration;

use super::event::Lie;
use super::verify::{PieceList, PieceValue};
use crate::base::{ContentId, Geometry};
use crate::message::transfer::Manifest;

/// Parts asked ahead of the answers: 128 KiB, so that a list of 8 MiB does not take 256
/// round trips.
const AHEAD: u32 = 4;

/// The list as far as it has come.
#[derive(Debug)]
pub(super) struct Gather {
    id: ContentId,
    /// Known from the first part on.
    geometry: Option<Geometry>,
    values: Vec<PieceValue>,
    /// Parts asked for.
    asked: u32,
    /// Parts that came.
    came: u32,
}

impl Gather {
    pub(super) fn new(id: ContentId) -> Self {
        Self { id, geometry: None, values: Vec::new(), asked: 0, came: 0 }
    }

    /// The part to ask for now, if any: the first alone, for it names the size, then a
    /// few ahead.
    pub(super) fn next_part(&mut self) -> Option<u32> {
        let (parts, ahead) = match self.geometry {
            None => (1, 1),
            Some(geometry) => (parts(geometry), AHEAD),
        };
        let due = self.asked < parts && self.asked - self.came < ahead;
        due.then(|| {
            self.asked += 1;
            self.asked - 1
        })
    }

    /// How many parts came.
    pub(super) fn came(&self) -> u32 {
        self.came
    }

    /// Whether less came in `span` than its share of a list that is to be here in `due`.
    pub(super) fn is_behind(&self, span: Duration, due: Duration) -> bool {
        let parts = self.geometry.map_or(1, parts);
        u128::from(self.came) * due.as_millis() < u128::from(parts) * span.as_millis()
    }

    /// Takes one part; the list, once it is whole and merges to the id.
    pub(super) fn take(
        &mut self,
        size: u64,
        part: u32,
        values: &[PieceValue],
    ) -> Result<Option<Arc<PieceList>>, Lie> {
        let geometry = Geometry::of(size).ok_or(Lie::TooLarge { size })?;
        if part != self.came
            || part >= self.asked
            || self.geometry.is_some_and(|known| known != geometry)
        {
            return Err(Lie::Parts);
        }
        let all = PieceList::values_needed(geometry);
        let due = (all - self.values.len().min(all)).min(Manifest::PART);
        if values.len() != due {
            return Err(Lie::Parts);
        }
        self.geometry = Some(geometry);
        self.came += 1;
        self.values.extend_from_slice(values);
        if self.came < parts(geometry) {
            return Ok(None);
        }
        let values = std::mem::take(&mut self.values);
        PieceList::new(self.id, geometry, values).map(Arc::new).map(Some).map_err(Lie::List)
    }
}

/// How many parts a list has: at least one, which names the size.
fn parts(geometry: Geometry) -> u32 {
    let values = PieceList::values_needed(geometry);
    u32::try_from(values.div_ceil(Manifest::PART)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::piece::{MAX_FILE, MIN_PIECE};
    use crate::transfer::{ListBuilder, ListError};

    /// A list of `count` values, as if of a file of 1 MiB pieces of nothing but zeros.
    fn list(size: u64) -> PieceList {
        let geometry = Geometry::of(size).unwrap();
        let mut builder = ListBuilder::new(geometry);
        let zeros = vec![0; geometry.piece_len() as usize];
        for piece in geometry.pieces() {
            builder.push(&zeros[..geometry.len(piece) as usize]);
        }
        builder.finish().unwrap()
    }

    #[test]
    fn a_long_list_comes_in_parts_asked_a_few_ahead() {
        // 2,100 pieces of 1 MiB would be 2 GiB to hash; the values need not be true for
        // the order of parts to be seen, only for the merge at the end to fail.
        let size = 2_100 << 20;
        let mut gather = Gather::new(ContentId([7; 32]));
        assert_eq!((gather.next_part(), gather.next_part()), (Some(0), None));
        let values = vec![[1; 32]; 2_100];
        assert_eq!(gather.take(size, 0, &values[..1024]), Ok(None));
        assert_eq!(gather.next_part(), Some(1));
        assert_eq!(gather.next_part(), Some(2));
        assert_eq!(gather.next_part(), None);
        assert_eq!(gather.take(size, 1, &values[1024..2048]), Ok(None));
        let end = gather.take(size, 2, &values[2048..]);
        assert_eq!(end, Err(Lie::List(ListError::Mismatch)));
    }

    #[test]
    fn a_true_list_is_handed_out_whole() {
        let list = list(5 * MIN_PIECE + 1);
        let mut gather = Gather::new(list.id());
        gather.next_part();
        let whole = gather.take(list.geometry().size(), 0, list.values()).unwrap().unwrap();
        assert_eq!(*whole, list);
    }

    #[test]
    fn a_list_is_behind_while_less_than_its_share_of_the_time_came() {
        let due = Duration::from_secs(20);
        let mut gather = Gather::new(ContentId([7; 32]));
        gather.next_part();
        assert!(gather.is_behind(Duration::from_millis(1), due), "not even its length is known");
        gather.take(4_096 << 20, 0, &vec![[1; 32]; 1024]).unwrap();
        assert!(!gather.is_behind(Duration::from_secs(5), due), "a quarter in a quarter");
        assert!(gather.is_behind(Duration::from_millis(5_001), due));
    }

    #[test]
    fn parts_that_do_not_fit_are_a_lie() {
        let size = 3_000 << 20;
        let part = vec![[1; 32]; 1024];
        let fresh = || {
            let mut gather = Gather::new(ContentId([7; 32]));
            gather.next_part();
            gather
        };
        assert_eq!(fresh().take(MAX_FILE + 1, 0, &[]), Err(Lie::TooLarge { size: MAX_FILE + 1 }));
        assert_eq!(fresh().take(size, 1, &part), Err(Lie::Parts));
        assert_eq!(fresh().take(size, 0, &part[1..]), Err(Lie::Parts));
        assert_eq!(fresh().take(MIN_PIECE, 0, &part[..1]), Err(Lie::Parts));
        let mut gather = fresh();
        gather.take(size, 0, &part).unwrap();
        assert_eq!(gather.take(size, 1, &part), Err(Lie::Parts), "not asked for yet");
        gather.next_part();
        assert_eq!(gather.take(size + (1 << 20), 1, &part), Err(Lie::Parts), "another size");
        let unasked = Gather::new(ContentId([7; 32])).take(size, 0, &part);
        assert_eq!(unasked, Err(Lie::Parts));
    }

    #[test]
    fn an_empty_file_is_nobody_elses_id() {
        let mut gather = Gather::new(ContentId([7; 32]));
        gather.next_part();
        assert_eq!(gather.take(0, 0, &[]), Err(Lie::List(ListError::Mismatch)));
    }
}
