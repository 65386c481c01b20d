//! The small files of a collection: which is asked of whom, and how many ahead.
//!
//! A small file has one piece at most, and its own hash proves it. Of each source as many
//! are asked ahead as keep it busy, over one connection, so that ten thousand of them cost
//! no round trip each: first their sizes, then the bytes of those that are small; what is
//! larger is handed to whom it belongs to ([`Batch::take_large`]). Always true: of a source no
//! more is asked ahead than [`SIZES_AHEAD`], [`FILES_AHEAD`] and [`BYTES_AHEAD`]; a source
//! that will not give a file is not asked for it again; whatever was on its way from one that
//! is lost is asked of others. A content is on its way from one source at a time until nothing
//! else is left; then whoever is idle is asked too for what did not come soon. Pure: time is
//! told by [`Batch::at`]; when to dial again is the driver's.

mod patience;
pub mod text;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::{ContentId, Geometry, ServentId, Time};
use crate::message::Refusal;
use patience::Patience;

/// Sizes that are asked of one source ahead of its answers.
pub const SIZES_AHEAD: usize = 128;
/// Files that are asked of one source ahead of their bytes: half of what it lets wait.
pub const FILES_AHEAD: usize = 128;
/// Bytes of files that are asked of one source ahead.
pub const BYTES_AHEAD: u64 = 4 << 20;
/// How long ago a content was asked for that an idle source is asked for as well. What a
/// source of some megabytes a second was asked ahead comes within it.
const HEDGE: Duration = Duration::from_secs(2);

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
    /// On its way from somebody, as `asked` says.
    Asked,
    /// Too large to be fetched here.
    Large,
    Here,
}

/// What is on its way.
#[derive(Debug)]
struct Asked {
    /// From how many.
    of: usize,
    last: Time,
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
    patience: Patience,
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
    /// How many of those that are left each will not give.
    unwilling: BTreeMap<ServentId, usize>,
    asked: BTreeMap<Number, Asked>,
    large: Vec<(Number, u64)>,
    sources: BTreeMap<ServentId, From>,
    left: usize,
    now: Time,
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
        Self {
            ids,
            states,
            left: wanted.len(),
            wanted,
            refused: BTreeMap::new(),
            unwilling: BTreeMap::new(),
            asked: BTreeMap::new(),
            large: Vec::new(),
            sources: BTreeMap::new(),
            now: Time::ZERO,
        }
    }

    /// The same, `now`.
    pub fn at(&mut self, now: Time) -> &mut Self {
        self.now = self.now.max(now);
        self
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

    /// Whether a content was said to be too large for this.
    #[must_use]
    pub fn is_large(&self, number: Number) -> bool {
        self.states.get(number as usize) == Some(&State::Large)
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

    /// Whether there is anything left that `source` has not refused.
    #[must_use]
    pub fn is_useful(&self, source: ServentId) -> bool {
        self.unwilling.get(&source).copied().unwrap_or(0) < self.left
    }

    /// How long `source` has given nothing whole of what it was asked for; zero, if nothing is
    /// on its way from it.
    #[must_use]
    pub fn lag(&self, source: ServentId) -> Duration {
        let busy = self.sources.get(&source).filter(|from| !from.is_idle());
        busy.map_or(Duration::ZERO, |from| from.patience.lag(self.now))
    }

    /// Whom to wait for no longer, with the reason as a phrase.
    #[must_use]
    pub fn late(&self) -> Vec<(ServentId, &'static str)> {
        let busy = self.sources.iter().filter(|(_, from)| !from.is_idle());
        let late =
            |(&source, from): (&ServentId, &From)| Some((source, from.patience.end(self.now)?));
        busy.filter_map(late).collect()
    }

    /// Asks whoever is idle for what others were asked for a while ago and is not here: who
    /// holds back what is left holds up nothing. The oldest come first.
    pub fn hedge(&mut self, out: &mut Vec<Ask>) {
        let Self { refused, asked, sources, now, .. } = self;
        for (&source, from) in sources.iter_mut().filter(|(_, from)| from.is_idle()) {
            let wont = |number| refused.get(number).is_some_and(|(who, _)| who.contains(&source));
            let late = asked.iter().filter(|(_, asked)| now.since(asked.last) >= HEDGE);
            let able = late.filter(|(number, _)| !wont(number));
            let mut oldest: Vec<_> = able.map(|(&number, asked)| (asked.last, number)).collect();
            oldest.sort_unstable();
            for (_, number) in oldest.into_iter().take(SIZES_AHEAD) {
                let Some(asked) = asked.get_mut(&number) else { continue };
                (asked.of, asked.last) = (asked.of + 1, *now);
                from.sizes.insert(number);
                out.push(Ask::Size(source, number));
            }
            from.patience = Patience::new(*now);
        }
    }

    /// A source has said something, whatever it is.
    pub fn heard(&mut self, source: ServentId) {
        if let Some(from) = self.sources.get_mut(&source) {
            from.patience.heard(self.now);
        }
    }

    /// Some bytes of a file have come from a source.
    pub fn sends(&mut self, source: ServentId) {
        if let Some(from) = self.sources.get_mut(&source) {
            from.patience.sends(self.now);
        }
    }

    /// A source has us in its queue.
    pub fn queued(&mut self, source: ServentId) {
        if let Some(from) = self.sources.get_mut(&source) {
            from.patience.queued(self.now);
        }
    }

    /// What a source has sent waits for our own cap: that is no time that it took.
    pub fn throttled(&mut self, source: ServentId) {
        if let Some(from) = self.sources.get_mut(&source) {
            from.patience.throttled(self.now);
        }
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
        let open = self.asked.contains_key(&number);
        let Some(from) = self.sources.get_mut(&source) else { return false };
        if !from.sizes.remove(&number) {
            return false;
        }
        from.patience.whole(self.now);
        match Geometry::of(size).map(Geometry::count) {
            // Another one was sooner.
            _ if !open => {}
            Some(1) => from.ready.push_back((number, size)),
            // One that claims nothing for what is something has lied, and has nothing.
            Some(0) | None => {
                self.refuse(source, number, Refusal::BadRequest);
                self.ask_all(out);
            }
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
            from.patience.whole(self.now);
        }
        self.here(number);
        self.ask(source, out);
    }

    /// A content is here, from wherever; what it was asked of others for may come yet.
    pub fn here(&mut self, number: Number) {
        self.set(number, State::Here);
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
        if !self.asked.contains_key(&number) {
            return; // another one was sooner
        }
        let refused = self.refused.entry(number).or_insert_with(|| (BTreeSet::new(), why));
        if refused.0.insert(source) {
            *self.unwilling.entry(source).or_default() += 1;
        }
        refused.1 = why;
        self.want_again(number);
    }

    /// One less is asked for it.
    fn want_again(&mut self, number: Number) {
        let Some(asked) = self.asked.get_mut(&number) else { return };
        asked.of = asked.of.saturating_sub(1);
        if asked.of == 0 {
            self.set(number, State::Wanted);
            self.wanted.push(number);
        }
    }

    fn set(&mut self, number: Number, state: State) {
        let Some(known) = self.states.get_mut(number as usize) else { return };
        let counts = |state| matches!(state, State::Wanted | State::Asked);
        let before = std::mem::replace(known, state);
        self.asked.remove(&number);
        if counts(before) && !counts(state) {
            self.left = self.left.saturating_sub(1);
            for source in self.refused.remove(&number).into_iter().flat_map(|(who, _)| who) {
                let unwilling = self.unwilling.entry(source).or_default();
                *unwilling = unwilling.saturating_sub(1);
            }
        }
    }

    fn ask_all(&mut self, out: &mut Vec<Ask>) {
        let sources: Vec<_> = self.sources.keys().copied().collect();
        sources.into_iter().for_each(|source| self.ask(source, out));
    }

    /// Keeps `source` busy: bytes first, then sizes.
    fn ask(&mut self, source: ServentId, out: &mut Vec<Ask>) {
        let Self { states, wanted, refused, asked, sources, now, .. } = self;
        let Some(from) = sources.get_mut(&source) else { return };
        if from.is_idle() {
            from.patience = Patience::new(*now);
        }
        while from.files.len() < FILES_AHEAD
            && let Some(&(number, size)) = from.ready.front()
            && (from.files.is_empty() || from.bytes + size <= BYTES_AHEAD)
        {
            from.ready.pop_front();
            if !asked.contains_key(&number) {
                continue; // another one was sooner
            }
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
                asked.insert(number, Asked { of: 1, last: *now });
                from.sizes.insert(number);
                out.push(Ask::Size(source, number));
            }
        }
    }
}

#[cfg(test)]
mod tests;
