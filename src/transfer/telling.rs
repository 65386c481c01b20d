//! What one servent tells those who take a file from it: which pieces are here, or which were
//! given to others already, and who else has some.
//!
//! Always true:
//! - nobody is told the same twice, nor what it has asked for itself;
//! - at most [`MAX_NAMED`] others are known, and so told to one taker;
//! - who has the whole file withholds nothing: that pieces were given is a hint, by which the
//!   takers first ask for those that nobody else can give them.
//!
//! What is told is decided here and sent by the caller, at once: [`Telling::words`]. The
//! caller names takers, a servent may be several of them, and says where others can be dialled
//! only as it has seen them itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::sources::MAX_KNOWN;
use crate::base::{Contact, Geometry, PieceIndex, PieceMap, ServentId};
use crate::message::Sources;

/// Others who are known and told of: as many as a download knows.
pub const MAX_NAMED: usize = MAX_KNOWN;

/// Something to tell a taker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// These pieces are here, beside those that were told before.
    Here(PieceMap),
    /// All is here, and these pieces were given to others or are about to be.
    Given(PieceMap),
    /// These have some, too; at most [`Sources::MAX_CONTACTS`].
    Sources(Vec<Contact>),
}

/// What the takers of one file are told; `T` names a taker.
#[derive(Debug)]
pub struct Telling<T> {
    /// What is here, of a file that is not whole; or what was given of one that is.
    pieces: PieceMap,
    whole: bool,
    takers: BTreeMap<T, Taker>,
    others: BTreeMap<ServentId, SocketAddr>,
    /// How many others there ever were to name.
    named: u64,
}

#[derive(Debug)]
struct Taker {
    id: ServentId,
    /// What it was told of the pieces, or need not be told.
    told: PieceMap,
    /// Whether it was told anything of the pieces.
    begun: bool,
    named: BTreeSet<ServentId>,
    /// How many others there were when it was told of them.
    heard: u64,
}

impl<T: Copy + Ord> Telling<T> {
    /// For a file of so many pieces, all of which are here.
    #[must_use]
    pub fn whole(count: u32) -> Self {
        Self {
            pieces: PieceMap::new(count),
            whole: true,
            takers: BTreeMap::new(),
            others: BTreeMap::new(),
            named: 0,
        }
    }

    /// For a file that is being downloaded, of which these pieces are here.
    #[must_use]
    pub fn partial(held: PieceMap) -> Self {
        Self { pieces: held, whole: false, ..Self::whole(0) }
    }

    /// `held` is what is here from now on, of a file that is being downloaded. Who was taking
    /// it is told anew.
    pub fn restart(&mut self, held: PieceMap) {
        for taker in self.takers.values_mut() {
            (taker.told, taker.begun) = (PieceMap::new(held.len()), false);
        }
        (self.pieces, self.whole) = (held, false);
    }

    /// How many pieces the file has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.pieces.len()
    }

    /// Whether `piece` is here.
    #[must_use]
    pub fn has(&self, piece: PieceIndex) -> bool {
        self.whole || self.pieces.contains(piece)
    }

    /// `piece` is here as well; whether that is news.
    pub fn gained(&mut self, piece: PieceIndex) -> bool {
        !self.whole && self.pieces.insert(piece)
    }

    /// All pieces of a file that is `cut` like this are here; whether that is news.
    pub fn complete(&mut self, cut: Geometry) -> bool {
        let before = self.pieces.held();
        if !self.whole && before < cut.count() {
            for piece in cut.pieces() {
                self.pieces.insert(piece);
            }
        }
        !self.whole && self.pieces.held() > before
    }

    /// `taker`, which is `id`, takes the file from here. Saying so again changes nothing.
    pub fn join(&mut self, taker: T, id: ServentId) {
        let told = PieceMap::new(self.count());
        let fresh = Taker { id, told, begun: false, named: BTreeSet::new(), heard: 0 };
        self.takers.entry(taker).or_insert(fresh);
    }

    /// `taker` is gone; who takes nothing any more is named to nobody.
    pub fn leave(&mut self, taker: T) {
        let Some(gone) = self.takers.remove(&taker) else { return };
        if self.takers.values().all(|other| other.id != gone.id) {
            self.others.remove(&gone.id);
        }
    }

    /// Whether nobody takes the file.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.takers.is_empty()
    }

    /// `taker` has asked for `pieces`; whether that is news for others.
    pub fn asked(&mut self, taker: T, pieces: impl Iterator<Item = PieceIndex>) -> bool {
        let Some(asker) = self.takers.get_mut(&taker).filter(|_| self.whole) else {
            return false;
        };
        let mut news = false;
        for piece in pieces {
            asker.told.insert(piece);
            news |= self.pieces.insert(piece);
        }
        news && self.takers.len() > 1
    }

    /// `id` has pieces and can be dialled at `address`; whether that is news.
    pub fn met(&mut self, id: ServentId, address: SocketAddr) -> bool {
        if self.others.len() >= MAX_NAMED || self.others.contains_key(&id) {
            return false;
        }
        self.others.insert(id, address);
        self.named += 1;
        true
    }

    /// `id` is no source any more.
    pub fn lost(&mut self, id: ServentId) {
        self.others.remove(&id);
    }

    /// What is to be told to `taker` now; from now on it counts as told.
    pub fn words(&mut self, taker: T) -> Vec<Word> {
        let Some(Taker { id, told, begun, named, heard }) = self.takers.get_mut(&taker) else {
            return Vec::new();
        };
        let mut words = Vec::new();
        let fresh = self.pieces.without(told);
        // A taker must know from the first that not all is here, even if nothing is.
        if fresh.held() > 0 || !(self.whole || *begun) {
            told.add(&fresh);
            *begun = true;
            words.push(if self.whole { Word::Given(fresh) } else { Word::Here(fresh) });
        }
        if std::mem::replace(heard, self.named) == self.named {
            return words; // which is so for nearly every piece
        }
        let others = self.others.iter().filter(|(other, _)| *other != id);
        let strange = others.filter(|(other, _)| !named.contains(*other));
        let room = MAX_NAMED.saturating_sub(named.len());
        let contacts: Vec<Contact> =
            strange.take(room).map(|(other, at)| Contact::new(*other, [*at])).collect();
        named.extend(contacts.iter().map(|contact| contact.id));
        words.extend(
            contacts.chunks(Sources::MAX_CONTACTS).map(|some| Word::Sources(some.to_vec())),
        );
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::piece::MIN_PIECE;

    const A: ServentId = ServentId([1; 32]);
    const B: ServentId = ServentId([2; 32]);

    fn pieces(numbers: &[u32]) -> impl Iterator<Item = PieceIndex> {
        let cut = Geometry::of(9 * MIN_PIECE).unwrap();
        numbers.iter().map(move |&number| cut.piece(number).unwrap())
    }

    fn map(numbers: &[u32]) -> PieceMap {
        let mut map = PieceMap::new(9);
        pieces(numbers).for_each(|piece| assert!(map.insert(piece)));
        map
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn what_has_come_is_told_once_and_a_file_that_is_not_whole_never_looks_so() {
        let mut telling = Telling::partial(PieceMap::new(9));
        telling.join(1, A);
        assert_eq!(telling.words(1), [Word::Here(map(&[]))]);
        assert!(telling.words(1).is_empty());
        // What it asks for before it is here is told all the same.
        assert!(!telling.asked(1, pieces(&[3])));
        for piece in pieces(&[3, 8]) {
            assert!(telling.gained(piece) && telling.has(piece));
            assert!(!telling.gained(piece));
        }
        assert_eq!(telling.words(1), [Word::Here(map(&[3, 8]))]);
        telling.join(2, B);
        assert_eq!(telling.words(2), [Word::Here(map(&[3, 8]))]);
        telling.restart(map(&[3]));
        assert_eq!(telling.words(1), [Word::Here(map(&[3]))]);
    }

    #[test]
    fn when_the_rest_has_come_another_way_it_is_told_too() {
        let cut = Geometry::of(9 * MIN_PIECE).unwrap();
        let mut telling = Telling::partial(map(&[3]));
        telling.join(1, A);
        telling.words(1);
        assert!(telling.complete(cut) && !telling.complete(cut));
        assert_eq!(telling.words(1), [Word::Here(map(&[0, 1, 2, 4, 5, 6, 7, 8]))]);
        assert!(!Telling::<u64>::whole(9).complete(cut), "it was here before");
    }

    #[test]
    fn of_a_whole_file_others_are_told_what_was_asked_for() {
        let mut telling = Telling::whole(9);
        telling.join(1, A);
        assert!(telling.words(1).is_empty(), "who has all says nothing");
        assert!(!telling.asked(1, pieces(&[0, 1])), "nobody is there to tell");
        telling.join(2, B);
        assert_eq!(telling.words(2), [Word::Given(map(&[0, 1]))]);
        assert!(telling.asked(2, pieces(&[1, 5])));
        assert!(!telling.asked(2, pieces(&[5])));
        assert_eq!(telling.words(1), [Word::Given(map(&[5]))]);
        assert!(telling.words(2).is_empty() && telling.words(3).is_empty());
        assert!(telling.has(pieces(&[7]).next().unwrap()));
    }

    #[test]
    fn others_are_named_once_never_to_themselves_and_not_without_end() {
        let mut telling = Telling::whole(9);
        telling.join(1, A);
        telling.join(2, B);
        assert!(telling.met(B, at(7)) && !telling.met(B, at(8)));
        assert_eq!(telling.words(1), [Word::Sources(vec![Contact::new(B, [at(7)])])]);
        assert!(telling.words(1).is_empty() && telling.words(2).is_empty());
        telling.leave(2);
        telling.join(3, ServentId([3; 32]));
        assert!(telling.words(3).is_empty(), "it takes nothing any more");
        for byte in 10..=255 {
            telling.met(ServentId([byte; 32]), at(9));
        }
        let words = telling.words(3);
        let named = words.iter().map(|word| match word {
            Word::Sources(contacts) => contacts.len(),
            _ => 0,
        });
        let named: Vec<usize> = named.collect();
        assert_eq!(named, [Sources::MAX_CONTACTS; MAX_NAMED / Sources::MAX_CONTACTS]);
        telling.leave(1);
        telling.leave(3);
        assert!(telling.is_idle());
    }
}
