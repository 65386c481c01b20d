//! The giving half of a crowd's servents: slots, turns on the line, frames.

use super::member::{Ask, Giving, Parcel, Role, Word};
use super::{Crowd, Happening};
use crate::base::PieceIndex;
use crate::message::{Manifest, Refusal};
use crate::transfer::{Answer, Change};

impl Crowd<'_, '_> {
    /// `taker` says something to `giver`.
    pub(super) fn on_ask(&mut self, giver: u32, taker: u32, number: u64, ask: Ask) {
        let now = self.now;
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        let Some(giving) = member.takers.get_mut(&taker).filter(|g| g.number == number) else {
            // Its machine says so, unless it is dead.
            if !member.dead && !matches!(ask, Ask::Farewell) {
                let what = Parcel::Word(Word::Farewell);
                let at = now + self.latency(giver, taker);
                self.queue.push(at, taker, Happening::Arrive { from: giver, number, what });
            }
            return;
        };
        match ask {
            Ask::Describe(_) | Ask::Request(_) if member.telling.is_none() => {
                self.say(giver, taker, Word::Refused(Refusal::NotHere));
            }
            Ask::Describe(part) => {
                self.enter(giver, taker);
                self.say(giver, taker, Word::Manifest(part));
            }
            Ask::Request(_) if member.role == Role::Staller => {}
            Ask::Request(pieces) => self.on_request(giver, taker, &pieces),
            Ask::Cancel(pieces) => {
                giving.wanted.retain(|piece| !pieces.contains(piece));
                self.rest_if_idle(giver, taker);
            }
            Ask::Farewell => {
                let mut changes = Vec::new();
                member.takers.remove(&taker);
                member.line.forget(taker);
                if let Some(telling) = &mut member.telling {
                    telling.leave(taker);
                }
                member.slots.gone(taker, now, &mut changes);
                self.apply(giver, changes);
            }
        }
    }

    fn on_request(&mut self, giver: u32, taker: u32, pieces: &[PieceIndex]) {
        self.enter(giver, taker);
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        let Some(giving) = member.takers.get_mut(&taker) else { return };
        if pieces.iter().any(|&piece| !member.held.contains(piece)) {
            giving.wanted.clear();
            self.say(giver, taker, Word::Refused(Refusal::NotHere));
            return self.rest_if_idle(giver, taker);
        }
        giving.wanted.extend(pieces);
        self.note_asked(giver, taker, pieces);
        self.ask_slot(giver, taker);
    }

    fn ask_slot(&mut self, giver: u32, taker: u32) {
        let now = self.now;
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        let mut changes = Vec::new();
        match member.slots.ask(taker, None, now, &mut changes) {
            Answer::Granted => changes.push(Change::Granted(taker)),
            Answer::Queued(place) => changes.push(Change::Queued(taker, place)),
            Answer::Busy => {
                if let Some(giving) = member.takers.get_mut(&taker) {
                    giving.wanted.clear();
                }
                self.say(giver, taker, Word::Refused(Refusal::Busy));
            }
        }
        self.apply(giver, changes);
    }

    /// Tells those whose place has changed.
    fn apply(&mut self, giver: u32, changes: Vec<Change<u32>>) {
        for change in changes {
            let Some(member) = self.members.get_mut(giver as usize) else { return };
            match change {
                Change::Granted(taker) => {
                    if let Some(giving) = member.takers.get_mut(&taker) {
                        giving.slot = true;
                    }
                    self.ready(giver, taker);
                }
                Change::Queued(taker, place) => {
                    if let Some(giving) = member.takers.get_mut(&taker) {
                        giving.slot = false;
                        self.say(giver, taker, Word::Queued(place));
                    }
                }
                Change::Stopped(taker) => self.close(giver, taker),
            }
        }
        self.rearm(giver);
    }

    /// `giver` ends the connection that `taker` has to it.
    pub(super) fn close(&mut self, giver: u32, taker: u32) {
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        member.line.forget(taker);
        if let Some(giving) = member.takers.remove(&taker) {
            let what = Parcel::Word(Word::Farewell);
            let (number, at) = (giving.number, self.now + giving.latency);
            self.queue.push(at, taker, Happening::Arrive { from: giver, number, what });
        }
    }

    /// Takes from those who do not read, when that is due.
    pub(super) fn wake_slots(&mut self, giver: u32) {
        let now = self.now;
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        if member.slots.next_deadline().is_some_and(|at| at <= now) {
            let mut changes = Vec::new();
            member.slots.wake(now, &mut changes);
            self.apply(giver, changes);
        }
    }

    /// Says something to `taker`, behind the frame that is being sent to it.
    pub(super) fn say(&mut self, giver: u32, taker: u32, word: Word) {
        let now = self.now;
        let Some(giving) = self.giving(giver, taker) else { return };
        if giving.sending {
            giving.words.push_back(word);
            return;
        }
        let (number, at) = (giving.number, now + giving.latency);
        let what = Parcel::Word(word);
        self.queue.push(at, taker, Happening::Arrive { from: giver, number, what });
    }

    pub(super) fn giving(&mut self, giver: u32, taker: u32) -> Option<&mut Giving> {
        self.members.get_mut(giver as usize)?.takers.get_mut(&taker)
    }

    /// `taker` has room for `bytes` more: they have come.
    pub(super) fn room(&mut self, giver: u32, taker: u32, number: u64, bytes: u64) {
        if let Some(giving) = self.giving(giver, taker).filter(|g| g.number == number) {
            giving.afloat = giving.afloat.saturating_sub(bytes);
            self.ready(giver, taker);
        }
    }

    /// The connection to `taker` may have something to send now.
    fn ready(&mut self, giver: u32, taker: u32) {
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        let Some(giving) = member.takers.get_mut(&taker) else { return };
        if giving.is_able() && !giving.waits {
            giving.waits = true;
            member.line.wait(taker);
        }
        self.pump(giver);
    }

    /// Sends the next frame, if the line is free.
    fn pump(&mut self, giver: u32) {
        let geometry = self.list.geometry();
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        let longest = member.line.frame();
        while let Some(taker) = member.line.next() {
            let Some(giving) = member.takers.get_mut(&taker) else { continue };
            giving.waits = false;
            if !giving.is_able() {
                continue;
            }
            if giving.begun.is_none() {
                giving.begun = giving.wanted.pop_front().map(|p| (p, geometry.len(p)));
            }
            let Some((piece, left)) = &mut giving.begun else { continue };
            let bytes = longest.min(*left);
            *left -= bytes;
            (giving.sending, giving.afloat) = (true, giving.afloat + bytes);
            let (piece, number) = (*piece, giving.number);
            let through = member.line.send(self.now, bytes);
            self.queue.push(through, giver, Happening::Sent { taker, number, piece, bytes });
            return;
        }
    }

    /// A frame has left the line.
    pub(super) fn on_sent(&mut self, giver: u32, sent: (u32, u64, PieceIndex, u64)) {
        let (taker, number, piece, bytes) = sent;
        let now = self.now;
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        member.line.sent();
        member.tally.given += bytes;
        let mut changes = Vec::new();
        if let Some(giving) = member.takers.get_mut(&taker).filter(|g| g.number == number) {
            let last = giving.begun.is_some_and(|(_, left)| left == 0);
            let what = Parcel::Frame { piece, bytes, last };
            let arrives = now + giving.latency;
            self.queue.push(arrives, taker, Happening::Arrive { from: giver, number, what });
            if last {
                giving.begun = None;
                if let Some(copies) = member.tally.copies.get_mut(piece.get() as usize) {
                    *copies += 1;
                }
            }
            giving.sending = false;
            let (news, words) = (giving.news, std::mem::take(&mut giving.words));
            member.slots.served(taker, bytes, now, &mut changes);
            if news {
                self.tell_news(giver, taker); // what is here, before what is not
            }
            words.into_iter().for_each(|word| self.say(giver, taker, word));
        }
        if !changes.is_empty() {
            self.apply(giver, changes);
        }
        self.rest_if_idle(giver, taker);
        self.ready(giver, taker);
        self.pump(giver);
    }

    /// Who wants nothing more leaves its slot to others.
    fn rest_if_idle(&mut self, giver: u32, taker: u32) {
        let now = self.now;
        let Some(member) = self.members.get_mut(giver as usize) else { return };
        let Some(giving) = member.takers.get_mut(&taker) else { return };
        if giving.wanted.is_empty() && giving.begun.is_none() {
            giving.slot = false;
            let mut changes = Vec::new();
            member.slots.idle(taker, now, &mut changes);
            if !changes.is_empty() {
                self.apply(giver, changes);
            }
        }
    }

    /// One part of the list.
    pub(super) fn part(&self, part: u32) -> Vec<[u8; 32]> {
        let first = (part as usize).saturating_mul(Manifest::PART);
        let values = self.list.values().get(first..).unwrap_or_default();
        values.iter().take(Manifest::PART).copied().collect()
    }
}
