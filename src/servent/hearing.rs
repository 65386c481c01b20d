//! What a source says of its pieces and of others, as far as it is worth hearing.
//!
//! Always true: what is handed on is new; who goes on saying nothing new is heard no longer.

use std::collections::BTreeSet;

use crate::base::{Contact, PieceMap, ServentId};
use crate::message::{Have, Holding, Sources};
use crate::transfer::telling::MAX_NAMED;

/// Messages of one source that say nothing new and are forgiven: a source may have begun
/// anew, or speak of a file that was asked for before.
pub(super) const MAX_SENSELESS: u32 = 64;

/// What one source said on one connection.
#[derive(Default)]
pub(super) struct Hearing {
    here: Option<PieceMap>,
    given: Option<PieceMap>,
    named: BTreeSet<ServentId>,
    senseless: u32,
}

/// Why nothing more is heard; a phrase about "it".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Noise {
    #[error("it says again and again what it has said already")]
    Senseless,
    #[error("it contradicts itself about how many pieces the file has")]
    Contradiction,
}

impl Hearing {
    /// The pieces of `have` that were not said before; none when that is none.
    pub(super) fn have(&mut self, have: &Have) -> Result<Option<PieceMap>, Noise> {
        let Some(said) = have.pieces() else { return self.nothing() };
        let known = match have.holding {
            Holding::Here => &mut self.here,
            Holding::Given => &mut self.given,
        };
        let first = known.is_none();
        let known = known.get_or_insert_with(|| PieceMap::new(said.len()));
        if known.len() != said.len() {
            return Err(Noise::Contradiction);
        }
        let fresh = said.without(known);
        known.add(&fresh);
        // That nothing is here yet is worth knowing once.
        if fresh.held() > 0 || (first && have.holding == Holding::Here) {
            return Ok(Some(fresh));
        }
        self.nothing()
    }

    /// Those of whom are named that are worth hearing of.
    pub(super) fn sources(&mut self, mut sources: Sources) -> Result<Vec<Contact>, Noise> {
        let named = &mut self.named;
        sources.contacts.retain(|other| named.len() < MAX_NAMED && named.insert(other.id));
        if sources.contacts.is_empty() {
            self.nothing::<()>()?;
        }
        Ok(sources.contacts)
    }

    /// Something was said that is of no use.
    pub(super) fn nothing<T>(&mut self) -> Result<Option<T>, Noise> {
        self.senseless += 1;
        if self.senseless > MAX_SENSELESS { Err(Noise::Senseless) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ContentId, Geometry};

    const FILE: ContentId = ContentId([7; 32]);

    fn map(count: u32, pieces: &[u32]) -> PieceMap {
        let cut = Geometry::of(u64::from(count) << 16).unwrap();
        let mut map = PieceMap::new(count);
        pieces.iter().for_each(|&number| assert!(map.insert(cut.piece(number).unwrap())));
        map
    }

    fn here(count: u32, pieces: &[u32]) -> Have {
        Have::new(FILE, Holding::Here, &map(count, pieces))
    }

    #[test]
    fn only_what_is_new_is_handed_on() {
        let mut hearing = Hearing::default();
        assert_eq!(hearing.have(&here(100, &[])), Ok(Some(map(100, &[]))));
        assert_eq!(hearing.have(&here(100, &[3, 99])), Ok(Some(map(100, &[3, 99]))));
        assert_eq!(hearing.have(&here(100, &[3, 4])), Ok(Some(map(100, &[4]))));
        let given = Have::new(FILE, Holding::Given, &map(100, &[3]));
        assert_eq!(hearing.have(&given), Ok(Some(map(100, &[3]))));
        assert_eq!(hearing.have(&here(99, &[5])), Err(Noise::Contradiction));
    }

    #[test]
    fn who_says_nothing_new_is_heard_for_a_while_and_then_no_more() {
        let mut hearing = Hearing::default();
        assert!(hearing.have(&here(100, &[3])).is_ok());
        for _ in 0..MAX_SENSELESS {
            assert_eq!(hearing.have(&here(100, &[3])), Ok(None));
        }
        assert_eq!(hearing.have(&here(100, &[3])), Err(Noise::Senseless));
    }

    #[test]
    fn of_those_whom_one_names_a_few_are_heard_of() {
        let mut hearing = Hearing::default();
        let contact = |byte| Contact::new(ServentId([byte; 32]), []);
        let named = |hearing: &mut Hearing, from: u8| {
            let contacts = (from..from + 16).map(contact).collect();
            hearing.sources(Sources { id: FILE, contacts, ext: Vec::new() }).map(|new| new.len())
        };
        let heard: usize = (0..8).map(|round| named(&mut hearing, round * 16).unwrap()).sum();
        assert_eq!(heard, MAX_NAMED);
        let mut last = Ok(0);
        for _ in 0..=MAX_SENSELESS {
            last = named(&mut hearing, 200);
        }
        assert_eq!(last, Err(Noise::Senseless));
    }
}
