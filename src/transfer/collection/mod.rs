//! The small files of a collection: which is asked of whom, and how many ahead.
//!
//! A small file has one piece at most, and its own hash proves it. Of each source as many
//! are asked ahead as keep it busy, over one connection, so that ten thousand of them cost
//! no round trip each: first their sizes, then the bytes of those that are small; what is
//! larger is handed to whom it belongs to ([`Batch::take_large`]). Always true: a content is
//! on its way from one source at a time; of a source no more is asked ahead than
//! [`SIZES_AHEAD`], [`FILES_AHEAD`] and [`BYTES_AHEAD`]; a source that will not give a file
//! is not asked for it again; whatever was on its way from one that is lost is asked of
//! others. Pure: no clock; who is silent, and when to dial again, is the driver's.

pub mod text;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::{ContentId, Geometry, ServentId};
use crate::message::Refusal;

/// Sizes that are asked of one source ahead of its answers.
pub const SIZES_AHEAD: usize = 128;
/// Files that are asked of one source ahead of their bytes: half of what it lets wait.
pub const FILES_AHEAD: usize = 128;
/// Bytes of files that are asked of one source ahead.
pub const BYTES_AHEAD: u64 = 4 << 20;

/// A content of the collection, by its place among them.
pub type Number = u32;

/// What is asked of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// How large a content is.
    Size(ServentId, Number),
    /// The one piece of a content, of so many bytes.
    Bytes(ServentId, Number, u64),
}

/// Where a content stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Wanted,
    /// On its way from somebody.
    Asked,
    /// Too large to be fetched here.
    Large,
    Here,
}

#[derive(Debug, Default)]
struct From {
    /// How far it has looked through what is wanted.
    at: usize,
    /// Whose sizes it was asked for.
    sizes: BTreeSet<Number>,
    /// Of what it has told the size: what is asked next, and how large it is.
    ready: VecDeque<(Number, u64)>,
    /// What was asked, and how large it is.
    files: BTreeMap<Number, u64>,
    bytes: u64,
}

impl From {
    fn is_idle(&self) -> bool {
        self.sizes.is_empty() && self.ready.is_empty() && self.files.is_empty()
    }

    fn all(self) -> impl Iterator<Item = Number> {
        let ready = self.ready.into_iter().map(|(number, _)| number);
        self.sizes.into_iter().chain(ready).chain(self.files.into_keys())
    }
}

/// The plan for the contents of one collection.
#[derive(Debug)]
pub struct Batch {
    ids: Vec<ContentId>,
    states: Vec<State>,
    /// What is wanted or was, each time anew: every source looks through it once.
    wanted: Vec<Number>,
    /// Who will not give what, and why the last would not.
    refused: BTreeMap<Number, (BTreeSet<ServentId>, Refusal)>,
    large: Vec<(Number, u64)>,
    sources: BTreeMap<ServentId, From>,
    left: usize,
}

impl Batch {
    /// A plan for `ids`, each of them once; those that are `here` are not asked for.
    #[must_use]
    pub fn new(ids: Vec<ContentId>, here: &BTreeSet<ContentId>) -> Self {
        let state = |id| if here.contains(id) { State::Here } else { State::Wanted };
        let states: Vec<_> = ids.iter().map(state).collect();
        let numbers = states.iter().zip(0..);
        let wanted: Vec<Number> = numbers
            .filter(|(state, _)| **state == State::Wanted)
            .map(|(_, number)| number)
            .collect();
        let (left, sources) = (wanted.len(), BTreeMap::new());
        Self { ids, states, wanted, refused: BTreeMap::new(), large: Vec::new(), sources, left }
    }

    /// What `number` is.
    #[must_use]
    pub fn id(&self, number: Number) -> Option<ContentId> {
        self.ids.get(number as usize).copied()
    }

    /// How many are neither here nor known to be large.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sources.values().all(From::is_idle)
    }

    /// Whether something is on its way from `source`.
    #[must_use]
    pub fn is_busy(&self, source: ServentId) -> bool {
        self.sources.get(&source).is_some_and(|from| !from.is_idle())
    }

    /// The contents that are too large for this, and their sizes, as they were named.
    pub fn take_large(&mut self) -> Vec<(Number, u64)> {
        std::mem::take(&mut self.large)
    }

    /// What is still wanted, and why nobody has given it.
    pub fn missing(&self) -> impl Iterator<Item = (Number, Option<Refusal>)> {
        let numbers = self.states.iter().zip(0..);
        let wanted = numbers.filter(|(state, _)| matches!(state, State::Wanted | State::Asked));
        wanted.map(|(_, number)| (number, self.refused.get(&number).map(|(_, why)| *why)))
    }

    /// A source is connected; what to ask of it.
    pub fn connected(&mut self, source: ServentId, out: &mut Vec<Ask>) {
        self.sources.entry(source).or_default().at = 0;
        self.ask(source, out);
    }

    /// A source is gone, or was sent away; what it was asked for is asked of others.
    pub fn lost(&mut self, source: ServentId, out: &mut Vec<Ask>) {
        let Some(from) = self.sources.remove(&source) else { return };
        for number in from.all() {
            self.want_again(number);
        }
        self.ask_all(out);
    }

    /// `source` has named the size of a content; false when nobody asked.
    pub fn described(
        &mut self,
        source: ServentId,
        number: Number,
        size: u64,
        out: &mut Vec<Ask>,
    ) -> bool {
        let Some(from) = self.sources.get_mut(&source) else { return false };
        if !from.sizes.remove(&number) {
            return false;
        }
        match Geometry::of(size).map(Geometry::count) {
            Some(1) => from.ready.push_back((number, size)),
            // One that claims nothing for what is something has lied, and has nothing.
            Some(0) | None => self.refuse(source, number, Refusal::BadRequest),
            Some(_) => {
                self.set(number, State::Large);
                self.large.push((number, size));
            }
        }
        self.ask(source, out);
        true
    }

    /// The bytes of a content have come from `source`, proven and written.
    pub fn came(&mut self, source: ServentId, number: Number, out: &mut Vec<Ask>) {
        if let Some(from) = self.sources.get_mut(&source)
            && let Some(size) = from.files.remove(&number)
        {
            from.bytes = from.bytes.saturating_sub(size);
        }
        self.set(number, State::Here);
        self.ask(source, out);
    }

    /// `source` will not give a content; false when nobody asked.
    pub fn refused(
        &mut self,
        source: ServentId,
        number: Number,
        why: Refusal,
        out: &mut Vec<Ask>,
    ) -> bool {
        let Some(from) = self.sources.get_mut(&source) else { return false };
        let size = from.files.remove(&number);
        from.bytes = from.bytes.saturating_sub(size.unwrap_or(0));
        if size.is_none() && !from.sizes.remove(&number) {
            return false;
        }
        self.refuse(source, number, why);
        self.ask_all(out);
        true
    }

    fn refuse(&mut self, source: ServentId, number: Number, why: Refusal) {
        let refused = self.refused.entry(number).or_insert_with(|| (BTreeSet::new(), why));
        refused.0.insert(source);
        refused.1 = why;
        self.want_again(number);
    }

    fn want_again(&mut self, number: Number) {
        let state = self.states.get(number as usize);
        if state == Some(&State::Asked) {
            self.set(number, State::Wanted);
            self.wanted.push(number);
        }
    }

    fn set(&mut self, number: Number, state: State) {
        let Some(known) = self.states.get_mut(number as usize) else { return };
        let counts = |state| matches!(state, State::Wanted | State::Asked);
        let before = std::mem::replace(known, state);
        if counts(before) && !counts(state) {
            self.left = self.left.saturating_sub(1);
        }
    }

    fn ask_all(&mut self, out: &mut Vec<Ask>) {
        let sources: Vec<_> = self.sources.keys().copied().collect();
        sources.into_iter().for_each(|source| self.ask(source, out));
    }

    /// Keeps `source` busy: bytes first, then sizes.
    fn ask(&mut self, source: ServentId, out: &mut Vec<Ask>) {
        let Self { states, wanted, refused, sources, .. } = self;
        let Some(from) = sources.get_mut(&source) else { return };
        while from.files.len() < FILES_AHEAD
            && let Some(&(number, size)) = from.ready.front()
            && (from.files.is_empty() || from.bytes + size <= BYTES_AHEAD)
        {
            from.ready.pop_front();
            from.files.insert(number, size);
            from.bytes += size;
            out.push(Ask::Bytes(source, number, size));
        }
        while from.sizes.len() + from.ready.len() < SIZES_AHEAD
            && let Some(&number) = wanted.get(from.at)
        {
            from.at += 1;
            let Some(state) = states.get_mut(number as usize) else { continue };
            let wont = refused.get(&number).is_some_and(|(who, _)| who.contains(&source));
            if *state == State::Wanted && !wont {
                *state = State::Asked;
                from.sizes.insert(number);
                out.push(Ask::Size(source, number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ServentId = ServentId([1; 32]);
    const B: ServentId = ServentId([2; 32]);

    fn batch(count: u32) -> Batch {
        let id = |n: u32| ContentId(*blake3::hash(&n.to_le_bytes()).as_bytes());
        Batch::new((0..count).map(id).collect(), &BTreeSet::new())
    }

    /// Answers all that is asked, as `answer` says, until nothing is asked any more; who was
    /// asked for the bytes of each, how often.
    fn run(
        batch: &mut Batch,
        mut asks: VecDeque<Ask>,
        mut answer: impl FnMut(Ask) -> Result<u64, Refusal>,
    ) -> BTreeMap<Number, Vec<ServentId>> {
        let mut gave: BTreeMap<Number, Vec<ServentId>> = BTreeMap::new();
        while let Some(ask) = asks.pop_front() {
            let mut out = Vec::new();
            match (ask, answer(ask)) {
                (Ask::Size(source, number), Ok(size)) => {
                    assert!(batch.described(source, number, size, &mut out));
                }
                (Ask::Bytes(source, number, _), Ok(_)) => {
                    gave.entry(number).or_default().push(source);
                    batch.came(source, number, &mut out);
                }
                (Ask::Size(source, number) | Ask::Bytes(source, number, _), Err(why)) => {
                    assert!(batch.refused(source, number, why, &mut out));
                }
            }
            asks.extend(out);
        }
        gave
    }

    fn connect(batch: &mut Batch, sources: &[ServentId]) -> VecDeque<Ask> {
        let mut asks = Vec::new();
        sources.iter().for_each(|&source| batch.connected(source, &mut asks));
        asks.into()
    }

    #[test]
    fn many_are_asked_ahead_and_never_more_than_may_wait() {
        let mut batch = batch(1000);
        let asks = connect(&mut batch, &[A]);
        assert_eq!(asks.len(), SIZES_AHEAD, "before a single answer");
        let mut open = 0;
        let gave = run(&mut batch, asks, |ask| {
            open += 1;
            assert!(matches!(ask, Ask::Size(A, _) | Ask::Bytes(A, _, 4096)));
            Ok(4096)
        });
        assert_eq!((open, gave.len(), batch.left()), (2000, 1000, 0));
        assert!(batch.is_idle() && batch.missing().next().is_none());
    }

    #[test]
    fn bytes_that_are_asked_ahead_are_bounded_but_for_the_first() {
        let mut batch = batch(200);
        let (mut out, mut ahead) = (Vec::new(), 0);
        for ask in connect(&mut batch, &[A]) {
            let Ask::Size(_, number) = ask else { panic!("{ask:?}") };
            batch.described(A, number, 65_536, &mut out);
        }
        ahead += out.iter().filter(|ask| matches!(ask, Ask::Bytes(..))).count() as u64;
        assert_eq!(ahead * 65_536, BYTES_AHEAD);
    }

    #[test]
    fn two_sources_share_the_work_and_each_file_comes_once() {
        let mut batch = batch(1000);
        let asks = connect(&mut batch, &[A, B]);
        let gave = run(&mut batch, asks, |_| Ok(10));
        assert!(gave.values().all(|who| who.len() == 1));
        let of_a = gave.values().filter(|who| who[0] == A).count();
        assert!((300..700).contains(&of_a), "{of_a}");
    }

    #[test]
    fn what_one_will_not_give_another_gives_and_what_nobody_gives_is_missing() {
        let mut batch = batch(1000);
        let asks = connect(&mut batch, &[A, B]);
        let gave = run(&mut batch, asks, |ask| match ask {
            Ask::Size(_, 7) => Err(Refusal::NotHere),
            Ask::Size(A, number) if number % 2 == 0 => Err(Refusal::NotHere),
            Ask::Bytes(B, 9, _) => Err(Refusal::Withdrawn),
            _ => Ok(1),
        });
        assert_eq!(gave.len(), 999);
        assert!(gave.iter().all(|(number, who)| number % 2 == 1 || *who == [B]));
        assert_eq!(batch.missing().collect::<Vec<_>>(), [(7, Some(Refusal::NotHere))]);
        assert_eq!((batch.left(), batch.is_idle()), (1, true));
        // A third may have it.
        let asks = connect(&mut batch, &[ServentId([3; 32])]);
        assert_eq!(run(&mut batch, asks, |_| Ok(1)).len(), 1);
    }

    #[test]
    fn large_ones_are_handed_on_and_what_cannot_be_is_refused() {
        let mut batch = batch(3);
        let asks = connect(&mut batch, &[A]);
        run(&mut batch, asks, |ask| match ask {
            Ask::Size(_, 0) => Ok(70_000),
            Ask::Size(_, 1) => Ok(u64::MAX),
            _ => Ok(5),
        });
        assert_eq!(batch.take_large(), [(0, 70_000)]);
        assert_eq!(batch.missing().collect::<Vec<_>>(), [(1, Some(Refusal::BadRequest))]);
    }

    #[test]
    fn what_is_here_is_not_asked_for() {
        let ids = batch(3).ids;
        let mut batch = Batch::new(ids.clone(), &ids[..2].iter().copied().collect());
        let asks = connect(&mut batch, &[A]);
        assert_eq!(Vec::from(asks), [Ask::Size(A, 2)]);
    }

    proptest! {
        #[test]
        fn whoever_is_lost_and_refuses_all_comes_from_whoever_is_left(
            steps in prop::collection::vec((0u8..4, 0u8..3), 0..300), count in 1u32..400
        ) {
            let mut batch = batch(count);
            let mut asks = connect(&mut batch, &[A, B]);
            let mut out = Vec::new();
            for (step, who) in steps {
                let source = if who == 0 { A } else { B };
                match step {
                    0 => {
                        batch.lost(source, &mut out);
                        asks.retain(|ask| {
                            !matches!(ask, Ask::Size(s, _) | Ask::Bytes(s, ..) if *s == source)
                        });
                        prop_assert!(!batch.is_busy(source));
                    }
                    1 => batch.connected(source, &mut out),
                    _ => match asks.pop_front() {
                        Some(Ask::Size(s, n)) if who == 2 => {
                            batch.refused(s, n, Refusal::NotHere, &mut out);
                        }
                        Some(Ask::Size(s, n)) => {
                            batch.described(s, n, u64::from(n) + 1, &mut out);
                        }
                        Some(Ask::Bytes(s, n, _)) => batch.came(s, n, &mut out),
                        None => {}
                    },
                }
                asks.extend(out.drain(..));
            }
            // A third one, who has everything and refuses nothing, ends it.
            batch.lost(A, &mut out);
            batch.lost(B, &mut out);
            out.clear();
            let asks = connect(&mut batch, &[ServentId([3; 32])]);
            run(&mut batch, asks, |_| Ok(1));
            prop_assert!(batch.is_idle());
            prop_assert_eq!((batch.left(), batch.missing().count()), (0, 0));
        }
    }
}
