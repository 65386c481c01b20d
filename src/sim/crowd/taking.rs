//! The taking half of a crowd's servents: it carries out what the plan of a download says,
//! and tells it what comes.

use std::time::Duration;

use super::member::{Ask, Giving, Parcel, Role, Taking, Word};
use super::{BEGINNING, Crowd, GREETING, Happening, PLACES, UNANSWERED};
use crate::base::{PieceIndex, ServentId};
use crate::message::PieceRange;
use crate::transfer::{Event, Input, Loss, Output, Parting, Telling};

impl Crowd<'_, '_> {
    /// Tells the download of a servent something, and does what it says.
    pub(super) fn tell(&mut self, taker: u32, input: Input) {
        let Some(member) = self.members.get_mut(taker as usize) else { return };
        let Some(mut download) = member.download.take() else { return };
        let mut out = std::mem::take(&mut self.out);
        download.handle(self.now, input, &mut out);
        for output in out.drain(..) {
            self.obey(taker, output);
        }
        self.out = out;
        if let Some(member) = self.members.get_mut(taker as usize) {
            member.download = Some(download).filter(|_| member.done.is_none());
        }
        self.rearm(taker);
    }

    fn obey(&mut self, taker: u32, output: Output) {
        match output {
            Output::Connect { source } => self.connect(taker, source),
            Output::Disconnect { source, why } => {
                if let Some(giver) = self.number_of(source) {
                    self.hang_up(taker, giver);
                }
                if matches!(why, Parting::Lied | Parting::Refused)
                    && let Some(member) = self.members.get_mut(taker as usize)
                    && let Some(telling) = &mut member.telling
                {
                    telling.lost(source);
                }
            }
            Output::Describe { source, part } => self.ask(taker, source, Ask::Describe(part)),
            Output::Request { source, pieces } => {
                let pieces = self.pieces(&pieces);
                if let Some(taking) = self.taking(taker, source) {
                    taking.asked.extend(&pieces);
                }
                self.ask(taker, source, Ask::Request(pieces));
            }
            Output::CancelPieces { source, pieces } => {
                let pieces = self.pieces(&pieces);
                if let Some(taking) = self.taking(taker, source) {
                    taking.asked.retain(|piece| !pieces.contains(piece));
                }
                self.ask(taker, source, Ask::Cancel(pieces));
            }
            Output::Candidate { .. } => {}
            Output::Begin { .. } => {
                let at = self.now + BEGINNING;
                self.queue.push(at, taker, Happening::Begun);
            }
            Output::FindSources => {
                let at = self.now + self.searching;
                self.queue.push(at, taker, Happening::Found);
            }
            Output::Complete => {
                if let Some(member) = self.members.get_mut(taker as usize) {
                    member.done = Some(self.now);
                    self.waited -= 1;
                }
            }
            // It waits as long as it takes.
            Output::Failed(_) => {}
            Output::Event(event) => self.note(&event),
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Lied { source, .. } => {
                let giver = self.number_of(*source).and_then(|g| self.members.get(g as usize));
                if giver.is_some_and(|giver| giver.role == Role::Liar) {
                    self.events.lies += 1;
                } else {
                    self.events.blamed += 1;
                }
            }
            Event::Slow { .. } => self.events.slow += 1,
            Event::Refused { .. } => self.events.refused += 1,
            _ => {}
        }
    }

    fn connect(&mut self, taker: u32, source: ServentId) {
        let Some(giver) = self.number_of(source) else { return };
        self.connections += 1;
        let (number, latency) = (self.connections, self.latency(taker, giver));
        let Some(member) = self.members.get_mut(taker as usize) else { return };
        member.givers.insert(giver, Taking { number, latency, asked: Default::default() });
        let dead = self.members.get(giver as usize).is_some_and(|giver| giver.dead);
        let at = self.now + if dead { UNANSWERED } else { latency * GREETING };
        self.queue.push(at, taker, Happening::Dialled { giver, number });
    }

    /// The greeting is over, if there was one.
    pub(super) fn on_dialled(&mut self, taker: u32, giver: u32, number: u64) {
        let Some(latency) = self.current(taker, giver, number) else { return };
        let source = self.id_of(giver);
        let [Some(from), Some(to)] = self.pair(giver, taker) else { return };
        let window = from.line.window(&to.line, 2 * latency);
        let known = from.takers.contains_key(&taker);
        if !from.here || !known && from.takers.len() >= PLACES {
            let why = if from.here { "it has no place" } else { "nobody answers" };
            if let Some(member) = self.members.get_mut(taker as usize) {
                member.givers.remove(&giver);
            }
            self.tell(taker, Input::Lost { source, why: Loss(why.to_owned()) });
            return;
        }
        if known {
            self.on_ask(giver, taker, self.number(giver, taker), Ask::Farewell);
        }
        if let Some(member) = self.members.get_mut(giver as usize) {
            member.takers.insert(taker, Giving::new(number, latency, window));
        }
        self.tell(taker, Input::Connected { source });
        self.tell(taker, Input::RoundTrip { source, rtt: 2 * latency });
    }

    /// Something arrives over a connection; it is in when the line had time for it.
    pub(super) fn on_arrival(&mut self, taker: u32, from: u32, number: u64, what: Parcel) {
        if self.current(taker, from, number).is_none() {
            // Its machine says so, unless it is dead.
            if self.members.get(taker as usize).is_some_and(|taker| !taker.dead) {
                let what = Ask::Farewell;
                let at = self.now + self.latency(taker, from);
                self.queue.push(at, from, Happening::Ask { from: taker, number, what });
            }
            return;
        }
        let Some(member) = self.members.get_mut(taker as usize) else { return };
        let bytes = if let Parcel::Frame { bytes, .. } = what { bytes } else { 0 };
        let at = member.line.take(self.now, bytes);
        if at > self.now {
            self.queue.push(at, taker, Happening::In { from, number, what });
        } else {
            self.on_parcel(taker, from, number, what);
        }
    }

    /// Something has come in.
    pub(super) fn on_parcel(&mut self, taker: u32, from: u32, number: u64, what: Parcel) {
        if self.current(taker, from, number).is_none() {
            return;
        }
        match what {
            Parcel::Word(word) => self.on_word(taker, from, word),
            Parcel::Frame { piece, bytes, last } => {
                self.room(from, taker, number, bytes);
                let source = self.id_of(from);
                self.tell(taker, Input::Progress { source, bytes });
                if last && self.current(taker, from, number).is_some() {
                    self.on_piece(taker, from, piece);
                }
            }
        }
    }

    fn on_word(&mut self, taker: u32, from: u32, word: Word) {
        let source = self.id_of(from);
        let input = match word {
            Word::Manifest(part) => {
                let (size, values) = (self.list.geometry().size(), self.part(part));
                Input::Manifest { source, size, part, values }
            }
            Word::Queued(position) => Input::Queued { source, position },
            Word::Refused(reason) => {
                if let Some(taking) = self.taking(taker, source) {
                    taking.asked.clear();
                }
                Input::Refused { source, reason }
            }
            Word::News(news) => return self.on_news(taker, from, news),
            Word::Farewell => {
                if let Some(member) = self.members.get_mut(taker as usize) {
                    member.givers.remove(&from);
                }
                Input::Lost { source, why: Loss("it closed the connection".to_owned()) }
            }
        };
        self.tell(taker, input);
    }

    /// A piece is whole: it is verified, and written.
    fn on_piece(&mut self, taker: u32, from: u32, piece: PieceIndex) {
        let source = self.id_of(from);
        let bytes = self.list.geometry().len(piece);
        let wanted = self.taking(taker, source).is_some_and(|taking| taking.asked.remove(&piece));
        let [Some(giver), Some(member)] = self.pair(from, taker) else { return };
        let (role, leaves) = (giver.role, member.leaver);
        let Some(member) = self.members.get_mut(taker as usize) else { return };
        if !wanted {
            member.tally.twice += bytes;
            return;
        }
        if role == Role::Liar {
            member.tally.lies += bytes;
            self.tell(taker, Input::PieceBad { source, piece });
            return;
        }
        if !member.held.insert(piece) {
            member.tally.twice += bytes;
        } else if role != Role::Receiver {
            member.tally.from_sources += bytes;
        }
        let half = 2 * member.held.held() >= member.held.len();
        self.tell(taker, Input::PieceGood { source, piece });
        self.gained(taker, source, piece);
        if leaves && half {
            self.leave(taker, true);
        }
    }

    /// The part file stands.
    pub(super) fn on_begun(&mut self, taker: u32) {
        let Some(member) = self.members.get_mut(taker as usize) else { return };
        if member.download.is_none() {
            return; // it has left meanwhile
        }
        let held = member.held.clone();
        member.begun = true;
        member.telling = Some(Telling::partial(held.clone()));
        self.tell(taker, Input::Begun { held });
    }

    pub(super) fn hang_up(&mut self, taker: u32, giver: u32) {
        let Some(member) = self.members.get_mut(taker as usize) else { return };
        if let Some(Taking { number, latency, .. }) = member.givers.remove(&giver) {
            let what = Ask::Farewell;
            let at = self.now + latency;
            self.queue.push(at, giver, Happening::Ask { from: taker, number, what });
        }
    }

    fn ask(&mut self, taker: u32, source: ServentId, what: Ask) {
        let Some(giver) = self.number_of(source) else { return };
        let Some(taking) = self.taking(taker, source) else { return };
        let (number, latency) = (taking.number, taking.latency);
        self.queue.push(self.now + latency, giver, Happening::Ask { from: taker, number, what });
    }

    fn taking(&mut self, taker: u32, source: ServentId) -> Option<&mut Taking> {
        let giver = self.number_of(source)?;
        self.members.get_mut(taker as usize)?.givers.get_mut(&giver)
    }

    /// The latency of the connection, if it is still this one.
    fn current(&self, taker: u32, giver: u32, number: u64) -> Option<Duration> {
        let taking = self.members.get(taker as usize)?.givers.get(&giver)?;
        (taking.number == number).then_some(taking.latency)
    }

    fn number(&self, giver: u32, taker: u32) -> u64 {
        let giving = self.members.get(giver as usize).and_then(|m| m.takers.get(&taker));
        giving.map_or(0, |giving| giving.number)
    }

    fn pieces(&self, ranges: &[PieceRange]) -> Vec<PieceIndex> {
        let geometry = self.list.geometry();
        let numbers = ranges.iter().flat_map(|range| range.first..range.first + range.count);
        numbers.filter_map(|number| geometry.piece(number)).collect()
    }
}
