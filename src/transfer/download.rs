//! The plan of one download: whom to dial, what to ask of whom, whom to believe.
//!
//! Always true:
//! - nothing is begun, and no byte of disk taken, before a list merges to the content id
//!   and its last piece has been verified, which binds the size;
//! - a list comes whole from one giver, a piece whole from one source, so blame is
//!   certain; who lied is asked for nothing of this file for ten minutes;
//! - a piece is asked of one source, in the endgame of two, never of more;
//! - whatever is wanted later is a deadline: [`Download::next_deadline`];
//! - after [`Output::Complete`], [`Output::Failed`] or [`Input::Cancel`] it says nothing.
//!
//! The plan sees no bytes: its driver dials, verifies and writes. The driver performs all
//! outputs in order before the next input, and reports nothing more of a connection once
//! it has reported it lost or was told to disconnect it.

mod dialling;
mod patience;
mod seek;
mod standing;
mod told;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;

use super::event::{Event, Lie, Loss, Next, PauseReason};
use super::exchange::{Config, Failure, Input, Output, Parting};
use super::picker::{Budget, HOPELESS, Picker, ranges};
use super::sources::{BUSY_WAIT, Link, MAX_OPEN, Mode, Sources, State};
use super::verify::PieceList;
use crate::base::{ContentId, Geometry, PieceIndex, PieceMap, ServentId, Time};
use crate::message::{Refusal, Request};
use seek::{Trial, Trials};

/// Sources dialled before the size is known: one gives the list, the others stand by.
const OPEN_AT_FIRST: usize = 4;
/// Of these, how many stand by.
const STAND_BY: usize = OPEN_AT_FIRST - 1;
/// Pieces that a source without other work is asked for in the endgame, though another
/// was asked already: what may be sent in vain.
const ENDGAME_PIECES: usize = 2;
/// With fewer hopeful sources than this the mesh is searched for more.
const ENOUGH_SOURCES: usize = 4;
/// Between two searches for sources at first; doubled while nothing good comes.
const FIRST_SEARCH_WAIT: Duration = Duration::from_secs(30);
/// Before a search that some did not answer is repeated, at first; doubled each time, up to
/// [`FIRST_SEARCH_WAIT`]. A link that was lost meanwhile is back by then, as a rule.
const PATCHY_SEARCH_WAIT: Duration = Duration::from_secs(1);
/// Between two searches for sources at most.
const MAX_SEARCH_WAIT: Duration = Duration::from_secs(600);

/// The plan of one download.
#[derive(Debug)]
pub struct Download {
    id: ContentId,
    config: Config,
    rng: ChaCha12Rng,
    now: Time,
    stage: Stage,
    paused: bool,
    sources: Sources,
    /// Whether the user was told of a wait that has not ended.
    waiting: bool,
    searched: Option<Time>,
    search_at: Time,
    search_wait: Duration,
    /// The wait after a search that some did not answer.
    patchy_wait: Duration,
    /// What happened last to a source, for the sentence of a failure.
    trouble: Option<Event>,
}

#[derive(Debug)]
enum Stage {
    /// Not started.
    Fresh,
    /// Looking for a list and a proof of its size.
    Seeking {
        trials: Trials,
        /// When the last giver was asked for its list.
        asked: Time,
    },
    /// The driver opens the part file.
    Beginning { list: Arc<PieceList> },
    /// Pieces come.
    Fetching { list: Arc<PieceList>, picker: Box<Picker> },
    /// Complete, failed or cancelled.
    Over,
}

impl Download {
    /// A plan for the file `id`. It does nothing before [`Input::Start`].
    #[must_use]
    pub fn new(id: ContentId, config: Config, rng: ChaCha12Rng) -> Self {
        Self {
            id,
            config,
            rng,
            now: Time::ZERO,
            stage: Stage::Fresh,
            paused: false,
            sources: Sources::default(),
            waiting: false,
            searched: None,
            search_at: Time::ZERO,
            search_wait: FIRST_SEARCH_WAIT,
            patchy_wait: PATCHY_SEARCH_WAIT,
            trouble: None,
        }
    }

    /// Takes one input at `now`; the caller acts on all of `out` before the next one.
    ///
    /// Cannot fail: inputs that no longer matter change nothing.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        if matches!(self.stage, Stage::Over) {
            return;
        }
        match input {
            Input::Start { list } => self.on_start(list, out),
            Input::SourceFound { source } => {
                self.found(source, None);
            }
            Input::SourceTold { source, by } => self.found(source, Some(by)),
            Input::Searched { whole } => self.on_searched(whole),
            Input::Connected { source } => {
                self.sources.connected(self.now, source);
            }
            Input::Lost { source, why } => self.on_lost(source, why, out),
            Input::Manifest { source, size, part, values } => {
                self.on_manifest(source, size, part, &values, out);
            }
            Input::Begun { held } => self.on_begun(&held, out),
            Input::PieceGood { source, piece } => self.on_piece_good(source, piece, out),
            Input::PieceBad { source, piece } => self.on_piece_bad(source, piece, out),
            Input::PieceUnwritten { source, piece } => {
                self.reclaim(source, out);
                self.strike(source, piece);
                if let Stage::Fetching { picker, .. } = &mut self.stage {
                    picker.release(source, piece);
                }
            }
            Input::Progress { source, bytes } => {
                self.reclaim(source, out);
                if let Some(link) = self.sources.link(source) {
                    link.progress(self.now, bytes);
                }
                if let Some(known) = self.sources.source(source) {
                    known.came = known.came.saturating_add(bytes);
                }
            }
            Input::Throttled { source } => {
                if let Some(link) = self.sources.link(source) {
                    link.throttled(self.now);
                }
            }
            Input::Queued { source, position } => self.on_queued(source, position, out),
            Input::Refused { source, reason } => self.on_refused(source, reason, out),
            Input::RoundTrip { source, rtt } => {
                if let Some(link) = self.sources.link(source) {
                    link.set_round_trip(rtt);
                }
            }
            Input::Has { source, pieces } => self.on_has(source, &pieces, out),
            Input::Given { source, pieces } => self.on_given(source, &pieces, out),
            Input::Pause(reason) => self.on_pause(reason, out),
            Input::Resume => self.on_resume(out),
            Input::Cancel => self.end(Parting::Cancelled, out),
            Input::Wake => {}
        }
        self.review(out);
    }

    /// When to say [`Input::Wake`] unless another input comes before; later than the
    /// last input.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if self.paused || matches!(self.stage, Stage::Fresh | Stage::Over) {
            return None;
        }
        let trial = self.next_trial();
        let links = self.sources.links().flat_map(|(_, link)| {
            let aside = match link.mode {
                Mode::Aside { until } => Some(until),
                _ => None,
            };
            [aside, link.hopeless_at(), link.overdue_at(), link.deaf_at()]
        });
        let hopeful = self.hopeful();
        let room = (self.sources.open() < MAX_OPEN && hopeful < self.wanted()) || self.is_stuck();
        let dial = self.sources.next_dial().filter(|_| room).map(|(_, at)| at);
        let search = (hopeful < ENOUGH_SOURCES).then_some(self.search_at);
        let give_up = self.searched.filter(|_| self.config.once).map(|at| at + FIRST_SEARCH_WAIT);
        links.chain([trial, dial, search, give_up]).flatten().filter(|&at| at > self.now).min()
    }

    fn on_start(&mut self, list: Option<Arc<PieceList>>, out: &mut Vec<Output>) {
        if !matches!(self.stage, Stage::Fresh) {
            return;
        }
        let nothing = || {
            let empty = PieceList::new(self.id, Geometry::of(0)?, Vec::new());
            empty.ok().map(Arc::new)
        };
        self.stage = match list.filter(|list| list.id() == self.id).or_else(nothing) {
            Some(list) => {
                out.push(Output::Begin { list: list.clone() });
                Stage::Beginning { list }
            }
            None => Stage::Seeking { trials: Trials::new(), asked: self.now },
        };
        let alone = self.sources.known().is_empty();
        self.search_at = if alone { self.now } else { self.now + FIRST_SEARCH_WAIT };
    }

    /// "Nobody has it" is only known when all have answered: otherwise nobody waits for the
    /// next search by the clock.
    fn on_searched(&mut self, whole: bool) {
        if whole {
            self.patchy_wait = PATCHY_SEARCH_WAIT;
        } else if self.hopeful() == 0 {
            self.search_at = self.search_at.min(self.now + self.patchy_wait);
            self.patchy_wait = self.patchy_wait.saturating_mul(2).min(FIRST_SEARCH_WAIT);
        }
    }

    fn on_lost(&mut self, source: ServentId, why: Loss, out: &mut Vec<Output>) {
        let only = self.sources.known().len() == 1;
        let Some(known) = self.sources.source(source) else { return };
        let told = match known.state {
            State::Away { .. } => return,
            State::Dialling => known.failures == 0,
            State::Open(_) => true,
        };
        self.let_go(source);
        self.sources.failed(self.now, source);
        self.search_soon();
        let event = Event::Lost { source, why, only, next: self.next() };
        self.trouble = Some(event.clone());
        if told {
            self.tell(event, out);
        }
    }

    fn on_begun(&mut self, held: &PieceMap, out: &mut Vec<Output>) {
        let Stage::Beginning { list } = &self.stage else { return };
        let picker = Box::new(Picker::new(list.geometry(), held));
        let complete = picker.remaining() == 0;
        self.stage = Stage::Fetching { list: list.clone(), picker };
        if complete {
            self.complete(out);
        } else {
            self.compare_early(out);
        }
    }

    fn on_piece_good(&mut self, source: ServentId, piece: PieceIndex, out: &mut Vec<Output>) {
        self.reclaim(source, out);
        self.strike(source, piece);
        let now = self.now;
        if let Some(link) = self.sources.link(source) {
            link.answered(now);
        }
        match &mut self.stage {
            Stage::Seeking { trials, .. } => {
                let Some(Trial::Proving(list)) = trials.get(&source) else { return };
                if list.geometry().last() == Some(piece) {
                    let list = list.clone();
                    self.note_good(source, out);
                    self.bind(source, &list, out);
                }
            }
            Stage::Fetching { picker, .. } => {
                let askers = picker.hold(piece);
                let complete = picker.remaining() == 0;
                for other in askers.into_iter().filter(|&other| other != source) {
                    self.strike(other, piece);
                    out.push(Output::CancelPieces { source: other, pieces: ranges(&[piece]) });
                }
                self.note_good(source, out);
                if complete {
                    self.complete(out);
                }
            }
            _ => {}
        }
    }

    fn on_piece_bad(&mut self, source: ServentId, piece: PieceIndex, out: &mut Vec<Output>) {
        let lie = match &self.stage {
            Stage::Seeking { trials, .. } => match trials.get(&source) {
                Some(Trial::Proving(list)) if list.geometry().count() > 1 => {
                    Lie::Size { size: list.geometry().size() }
                }
                _ => Lie::Piece(piece),
            },
            _ => Lie::Piece(piece),
        };
        self.blame(source, lie, out);
    }

    fn on_refused(&mut self, source: ServentId, reason: Refusal, out: &mut Vec<Output>) {
        let Some(link) = self.sources.link(source) else { return };
        if link.partial && link.blind > 0 && reason == Refusal::NotHere {
            link.blind -= 1; // it has said meanwhile what it may be asked for
            return;
        }
        self.let_go(source);
        if reason == Refusal::Busy {
            self.sources.leave_alone(source, self.now + BUSY_WAIT);
            if let Some(known) = self.sources.source(source) {
                known.failed = true;
            }
        } else {
            self.sources.bar(self.now, source, false);
        }
        out.push(Output::Disconnect { source, why: Parting::Refused });
        self.search_soon();
        let event = Event::Refused { source, reason, next: self.next() };
        self.trouble = Some(event.clone());
        self.tell(event, out);
    }

    fn on_pause(&mut self, reason: PauseReason, out: &mut Vec<Output>) {
        self.paused = true;
        self.disconnect_all(Parting::Paused, out);
        out.push(Output::Event(Event::Paused(reason)));
    }

    fn on_resume(&mut self, out: &mut Vec<Output>) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        out.push(Output::Event(Event::Unpaused));
        if let Stage::Beginning { list } = &self.stage {
            out.push(Output::Begin { list: list.clone() });
        }
    }

    /// Looks at what can be done now. Called after every input, so nothing waits for a
    /// timer that does not have to.
    fn review(&mut self, out: &mut Vec<Output>) {
        if self.paused || matches!(self.stage, Stage::Fresh | Stage::Over) {
            return;
        }
        self.sources.forgive(self.now);
        self.chase(out);
        self.seek(out);
        self.fetch(out);
        self.give_up(out); // before another search
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.dial(out);
        self.search(out);
    }

    /// Asks every ready source that owes less than half of what it could.
    fn fetch(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        let Stage::Fetching { list, picker } = &mut self.stage else { return };
        let geometry = list.geometry();
        let ready = self.sources.links().filter(|(_, link)| link.takes_requests());
        let mut ready: Vec<_> = ready.map(|(id, link)| (Reverse(link.rate(now)), id)).collect();
        // Those first who have shown that they give, and of these the fast: what one of the
        // others is idle for may be nobody's in the end.
        ready.sort_by_cached_key(|(rate, id)| (!self.sources.is_proven(*id), *rate, *id));
        let hopeless = |(_, link): (_, &Link)| link.burden(now, 0) > HOPELESS;
        let hopeless = self.sources.links().any(hopeless);
        for (_, source) in ready {
            let Some(link) = self.sources.link(source) else { continue };
            let piece_len = geometry.piece_len();
            let (window, owed, owing) = (link.window(now, piece_len), link.owed(), link.pieces());
            if owed >= window.div_ceil(2) {
                continue;
            }
            let budget = Budget {
                bytes: window - owed,
                given: link.flight(now, piece_len).saturating_sub(owed),
                ranges: Request::MAX_RANGES,
            };
            let mut pieces = picker.pick(source, budget, &mut self.rng);
            let again = owing < ENDGAME_PIECES && (hopeless || picker.is_endgame());
            if pieces.is_empty() && again {
                // Its own with one piece more: of the slow ones none takes from another what
                // it would not bring sooner, and begins its time anew with it.
                let more = |id| if id == source { geometry.piece_len() } else { 0 };
                let burdens =
                    self.sources.links().map(|(id, link)| (id, link.burden(now, more(id))));
                let burdens: BTreeMap<ServentId, u64> = burdens.collect();
                let burden = |id| burdens.get(&id).copied().unwrap_or(u64::MAX);
                // Who never gave anything relieves nobody while somebody is there who did: else
                // the silent would pass the last pieces round among themselves.
                let gives = |id: &ServentId| burden(*id) <= HOPELESS && self.sources.is_proven(*id);
                let shy = !self.sources.is_proven(source) && burdens.keys().any(gives);
                let burden = |id| if id == source && shy { u64::MAX } else { burden(id) };
                for (piece, relieved) in picker.pick_again(source, ENDGAME_PIECES - owing, burden) {
                    if let Some(other) = relieved {
                        if let Some(link) = self.sources.link(other) {
                            link.strike(piece, geometry.len(piece));
                            link.relieve(now);
                        }
                        cancel(other, &[piece], out);
                    }
                    pieces.push(piece);
                }
            }
            if pieces.is_empty() {
                continue;
            }
            let bytes = pieces.iter().map(|&piece| geometry.len(piece)).sum();
            out.push(Output::Request { source, pieces: ranges(&pieces) });
            if let Some(link) = self.sources.link(source) {
                link.ask(now, pieces, bytes);
            }
        }
    }

    fn give_up(&mut self, out: &mut Vec<Output>) {
        if !self.is_hopeless() {
            return;
        }
        let why = self.trouble.take().map_or(Failure::NobodyHasIt, Failure::NoSourceLeft);
        self.end(Parting::Cancelled, out);
        out.push(Output::Failed(why));
    }

    fn tell(&mut self, event: Event, out: &mut Vec<Output>) {
        if let Event::Lost { next, .. }
        | Event::Refused { next, .. }
        | Event::Lied { next, .. }
        | Event::Waiting { next } = &event
        {
            self.waiting |= !matches!(next, Next::Others { .. });
        }
        out.push(Output::Event(event));
    }

    fn note_good(&mut self, source: ServentId, out: &mut Vec<Output>) {
        self.sources.good(source);
        self.search_wait = FIRST_SEARCH_WAIT;
        if std::mem::take(&mut self.waiting) {
            out.push(Output::Event(Event::Resumed { source }));
        }
    }

    fn blame(&mut self, source: ServentId, lie: Lie, out: &mut Vec<Output>) {
        if self.sources.link(source).is_none() {
            return;
        }
        self.let_go(source);
        self.sources.bar(self.now, source, true);
        out.push(Output::Disconnect { source, why: Parting::Lied });
        self.search_soon();
        let event = Event::Lied { source, lie, next: self.next() };
        self.trouble = Some(event.clone());
        self.tell(event, out);
    }

    /// Strikes `piece` off what `source` owes.
    fn strike(&mut self, source: ServentId, piece: PieceIndex) {
        let geometry = match &self.stage {
            Stage::Beginning { list } | Stage::Fetching { list, .. } => list.geometry(),
            Stage::Seeking { trials, .. } => match trials.get(&source) {
                Some(Trial::Proving(list)) => list.geometry(),
                _ => return,
            },
            _ => return,
        };
        if let Some(link) = self.sources.link(source) {
            link.strike(piece, geometry.len(piece));
            link.relieve(self.now);
        }
    }

    fn release(&mut self, source: ServentId, pieces: &[PieceIndex]) {
        if let Stage::Fetching { picker, .. } = &mut self.stage {
            pieces.iter().for_each(|&piece| picker.release(source, piece));
        }
    }

    /// Takes all work from `source`, which stays connected.
    fn take_back(&mut self, source: ServentId, out: &mut Vec<Output>) {
        if let Stage::Seeking { trials, .. } = &mut self.stage {
            trials.remove(&source);
        }
        let Some(link) = self.sources.link(source) else { return };
        let mut pieces = link.clear();
        if let Mode::Queued { pieces: waiting, .. } = &mut link.mode {
            pieces.append(waiting);
            link.mode = Mode::Ready;
        }
        self.release(source, &pieces);
        cancel(source, &pieces, out);
    }

    /// Takes all work from `source`, whose connection is gone or about to be.
    fn let_go(&mut self, source: ServentId) {
        self.take_back(source, &mut Vec::new());
        if let Stage::Fetching { picker, .. } = &mut self.stage {
            picker.forget(source);
        }
    }

    fn disconnect_all(&mut self, why: Parting, out: &mut Vec<Output>) {
        let there = self.sources.known().iter();
        let there = there.filter(|(_, source)| !matches!(source.state, State::Away { .. }));
        let there: Vec<ServentId> = there.map(|(id, _)| *id).collect();
        for source in there {
            self.let_go(source);
            self.sources.leave_alone(source, self.now);
            out.push(Output::Disconnect { source, why });
        }
    }

    fn complete(&mut self, out: &mut Vec<Output>) {
        self.end(Parting::Done, out);
        out.push(Output::Complete);
    }

    fn end(&mut self, why: Parting, out: &mut Vec<Output>) {
        self.disconnect_all(why, out);
        self.stage = Stage::Over;
    }
}

/// Says that `pieces` are not wanted, in as many messages as that takes.
fn cancel(source: ServentId, pieces: &[PieceIndex], out: &mut Vec<Output>) {
    for pieces in ranges(pieces).chunks(Request::MAX_RANGES) {
        out.push(Output::CancelPieces { source, pieces: pieces.to_vec() });
    }
}

#[cfg(test)]
mod tests;
