//! Who is a neighbour: joining, staying, leaving.
//!
//! After HyParView (Leitao, Pereira, Rodrigues, DSN 2007): a small active view of
//! living links, which the loss of a link refills at once from a larger passive view,
//! here the host cache. A newcomer is introduced by random walks; the servent where a
//! walk ends dials it. Unlike the paper, an active view may exceed its target, up to a
//! limit, so that a newcomer seldom costs another servent its place.
//!
//! Here is the state, and what becomes of a link; who is let in is in `door`, whom we dial
//! in `refill`, walks are in `introduction`, contacts in `exchange`.
//!
//! Always true: one link to each servent, none to this one; at most `max_degree` links
//! beside those that people asked for; after `leave`, none until the next `join`.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

use super::absent::Absent;
use super::book::{Book, Cached};
use super::config::{
    ANCHORS, Config, INTRODUCTION_BURST, INTRODUCTION_RATE, LET_GO_RATE, PARTING, PROBE_EVERY,
    REWIRE_EVERY, SHUFFLE_EVERY, SIMULTANEOUS, SPLIT_BURST, SPLIT_EVERY, TRIM_EVERY,
};
use super::dialling::Dialling;
use super::neighbours::{Neighbour, Neighbours};
use super::survey::Survey;
use super::{Event, LinkId, Output, Peer, keep_alive};
use crate::base::{Bucket, Contact, ServentId, Time};
use crate::message::{AgedContact, Bye, ByeReason, LinkMessage, Shares};

/// Why a neighbour is one no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DownReason {
    /// It said bye, and why.
    Said(ByeReason),
    /// The connection broke.
    Broken,
    /// It was silent too long.
    Silent,
    /// We let it go: for a newcomer, or because we had more than enough.
    LetGo,
    /// It broke the protocol.
    Misbehaved,
    /// We left.
    Left,
}

#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: ServentId,
    pub(super) config: Config,
    pub(super) rng: ChaCha12Rng,
    pub(super) neighbours: Neighbours,
    pub(super) book: Book,
    /// What this servent shares, as its neighbours are told.
    pub(super) shares: Shares,
    /// Those whom a person asked us to be linked with: dialled again when lost.
    pub(super) asked_for: BTreeMap<ServentId, Contact>,
    pub(super) dialling: Dialling,
    /// Neighbours that were lost, and may be back.
    pub(super) absent: Absent,
    /// Whom to dial first at a start: of the last run, or of this one once we left.
    pub(super) anchors: Vec<ServentId>,
    pub(super) let_go: Bucket,
    pub(super) splits: Bucket,
    pub(super) introductions: Bucket,
    pub(super) survey: Survey,
    pub(super) alone: bool,
    /// Whether no search is under way here: a link may end without loss.
    pub(super) quiet: bool,
    pub(super) refill_at: Time,
    pub(super) probe_at: Time,
    pub(super) rewire_at: Time,
    pub(super) wake_at: Time,
    pub(super) lost: Vec<LinkId>,
}

impl Membership {
    pub(super) fn new(id: ServentId, config: Config, rng: ChaCha12Rng, now: Time) -> Self {
        let mut rng = rng;
        let book = Book::new(id, rng.random());
        Self {
            id,
            config,
            neighbours: Neighbours::default(),
            book,
            shares: Shares::default(),
            asked_for: BTreeMap::new(),
            dialling: Dialling::new(now),
            absent: Absent::default(),
            anchors: Vec::new(),
            let_go: Bucket::new(LET_GO_RATE, LET_GO_RATE, now),
            splits: Bucket::new(1, SPLIT_BURST * SPLIT_EVERY, now),
            introductions: Bucket::new(INTRODUCTION_RATE, INTRODUCTION_BURST, now),
            survey: Survey::new(now),
            alone: false,
            quiet: true,
            refill_at: now,
            probe_at: now + PROBE_EVERY.mul_f64(rng.random_range(0.5..1.5)),
            rewire_at: now + REWIRE_EVERY.mul_f64(rng.random_range(0.5..1.5)),
            rng,
            wake_at: now,
            lost: Vec::new(),
        }
    }

    pub(super) fn on_link_lost(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        if self.neighbours.forget_parting(link) {
            self.lost.push(link);
        } else {
            self.drop_link(now, link, DownReason::Broken, out);
        }
    }

    /// A message that is not about a search.
    pub(super) fn on_message(
        &mut self,
        now: Time,
        link: LinkId,
        message: LinkMessage,
        out: &mut Vec<Output>,
    ) {
        match message {
            LinkMessage::Ping(ping) => self.on_ping(link, &ping, out),
            LinkMessage::Pong(pong) => self.on_pong(now, link, &pong),
            LinkMessage::Bye(Bye { reason, contacts, .. }) => {
                let successor = contacts.first().map(|aged| aged.contact.clone());
                self.learn(now, link, contacts);
                if reason == ByeReason::Full {
                    self.replace(now, link, successor, out);
                    // It answers what we have asked it; then it is for us to close.
                    self.part(now, link, DownReason::Said(reason), out);
                } else {
                    out.push(Output::Close { link });
                    if self.neighbours.forget_parting(link) {
                        self.lost.push(link);
                    } else {
                        self.drop_link(now, link, DownReason::Said(reason), out);
                    }
                }
            }
            LinkMessage::ForwardJoin(walk) => self.on_walk(now, link, walk, out),
            LinkMessage::Shuffle(shuffle) => self.on_shuffle(now, link, shuffle, out),
            LinkMessage::ShuffleReply(reply) => self.on_shuffle_reply(now, link, reply),
            LinkMessage::Query(_)
            | LinkMessage::QueryHit(_)
            | LinkMessage::QueryDone(_)
            | LinkMessage::DialBack(_)
            | LinkMessage::DialledBack(_)
            | LinkMessage::CallMe(_) => {}
        }
    }

    /// The user wants to be in the mesh.
    pub(super) fn join(&mut self, now: Time, out: &mut Vec<Output>) {
        self.alone = false;
        self.book.hurry(now);
        self.refill(now, out);
    }

    /// The user wants to be alone.
    pub(super) fn leave(&mut self, now: Time, out: &mut Vec<Output>) {
        self.alone = true;
        self.anchors = self.anchors_now();
        self.asked_for.clear();
        self.absent = Absent::default();
        let links: Vec<LinkId> = self.neighbours.iter().map(|n| n.link).collect();
        for link in links {
            self.say_bye(link, ByeReason::Leaving, Vec::new(), out);
            self.drop_link(now, link, DownReason::Left, out);
        }
        for link in self.neighbours.all_parting() {
            out.push(Output::Close { link });
            self.neighbours.forget_parting(link);
            self.lost.push(link);
        }
    }

    /// Servents worth keeping for the next run, best first.
    pub(super) fn cached(&self) -> Vec<Cached> {
        let now = self.anchors_now();
        let mut kept = self.book.to_keep(if now.is_empty() { &self.anchors } else { &now });
        for cached in &mut kept {
            if let Some(neighbour) = self.neighbours.with_id(cached.contact.id) {
                cached.heard = cached.heard.max(Some(neighbour.heard));
            }
        }
        kept
    }

    /// The longest-lived of the neighbours that we dialled ourselves.
    pub(super) fn anchors_now(&self) -> Vec<ServentId> {
        let dialled = self.neighbours.iter().filter(|n| n.dialled && !n.manual);
        dialled.map(Neighbour::id).take(ANCHORS).collect()
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Time, out: &mut Vec<Output>) {
        if now < self.wake_at {
            return;
        }
        self.keep_alive(now, out);
        self.shuffle(now, out);
        if now >= self.refill_at {
            self.refill(now, out);
        }
        self.seek_the_absent(now, out);
        self.probe(now, out);
        self.rewire(now, out);
        let pings = self.neighbours.iter().map(keep_alive::due);
        let shuffles = self.neighbours.iter().map(|n| n.shuffle_at);
        let own = [self.refill_at, self.probe_at, self.rewire_at].into_iter();
        let ends = self.absent.next().into_iter().chain(self.neighbours.parts_at());
        let next = pings.chain(shuffles).chain(own).chain(ends).min();
        self.wake_at = next.unwrap_or(self.refill_at).max(now + Duration::from_millis(1));
    }

    /// Lets go of those who broke too many rules.
    pub(super) fn close_offenders(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(link) = self.neighbours.next_offender() {
            if self.neighbours.find(link).is_some() && !self.neighbours.is_parting(link) {
                self.say_bye(link, ByeReason::Misbehaved, Vec::new(), out);
                self.drop_link(now, link, DownReason::Misbehaved, out);
            }
        }
    }

    /// A link that is gone and that the flood has not been told of.
    pub(super) fn next_lost(&mut self) -> Option<LinkId> {
        self.lost.pop()
    }

    /// Tells of a new neighbour, unless only its link is new.
    pub(super) fn tell_up(&self, link: LinkId, standing: bool, out: &mut Vec<Output>) {
        let neighbour = self.neighbours.find(link).filter(|_| !standing);
        out.extend(
            neighbour.map(|neighbour| {
                Output::Event(Event::NeighbourUp { peer: neighbour.peer.clone() })
            }),
        );
    }

    pub(super) fn add(
        &mut self,
        now: Time,
        link: LinkId,
        peer: Peer,
        dialled: bool,
        manual: bool,
        out: &mut Vec<Output>,
    ) {
        if !dialled {
            self.book.met(now, &peer.contact, peer.seen.ip());
        }
        self.absent.forget(peer.contact.id);
        let mut neighbour = Neighbour::new(link, peer, dialled, manual, &self.config, now);
        let jitter = self.rng.random_range(0.5..1.0);
        neighbour.shuffle_at = now + SHUFFLE_EVERY.mul_f64(jitter);
        self.neighbours.push(neighbour);
        self.ping(now, link, out);
        if self.neighbours.degree() > self.comfortable() {
            let soon = TRIM_EVERY.mul_f64(self.rng.random_range(0.5..1.5));
            self.rewire_at = self.rewire_at.min(now + soon);
        }
        self.wake_at = now;
    }

    /// Forgets a link, and refills at once.
    pub(super) fn drop_link(
        &mut self,
        now: Time,
        link: LinkId,
        reason: DownReason,
        out: &mut Vec<Output>,
    ) {
        if let Some(Neighbour { peer, manual, .. }) = self.neighbours.remove(link) {
            self.lost.push(link);
            self.on_loss(now, peer, manual, reason, out);
        }
    }

    /// Gives a link up, refills at once, and lets what is under way on it come to its end.
    pub(super) fn part(
        &mut self,
        now: Time,
        link: LinkId,
        reason: DownReason,
        out: &mut Vec<Output>,
    ) {
        let told = reason != DownReason::LetGo;
        if self.neighbours.is_parting(link) {
            self.neighbours.part_too(link);
        } else if let Some(Neighbour { peer, manual, .. }) =
            self.neighbours.part(link, now + PARTING, told)
        {
            let (peer, manual) = (peer.clone(), *manual);
            self.on_loss(now, peer, manual, reason, out);
        }
        self.wake_at = now;
    }

    /// Closes what was given up and has come to its end.
    pub(super) fn close_parted(
        &mut self,
        now: Time,
        is_settled: impl Fn(LinkId) -> bool,
        out: &mut Vec<Output>,
    ) {
        while let Some(link) = self.neighbours.parted(now, &is_settled) {
            self.neighbours.forget_parting(link);
            out.push(Output::Close { link });
            self.lost.push(link);
        }
    }

    fn on_loss(
        &mut self,
        now: Time,
        peer: Peer,
        manual: bool,
        reason: DownReason,
        out: &mut Vec<Output>,
    ) {
        match reason {
            DownReason::Left => {}
            DownReason::LetGo | DownReason::Said(ByeReason::Full) => {
                self.book.refused(now, peer.contact.id, &mut self.rng);
            }
            // The dial that replaces it is under way; one more would replace that in turn.
            DownReason::Said(ByeReason::Replaced) => {
                self.book.put_off(peer.contact.id, now + SIMULTANEOUS);
            }
            DownReason::Broken | DownReason::Silent if !manual => {
                self.book.gone(now, peer.contact.id);
                let next = self.absent.note(now, &peer.contact, &mut self.rng);
                self.book.put_off(peer.contact.id, next);
            }
            _ => {
                self.book.gone(now, peer.contact.id);
                if !manual {
                    // It has its reasons, or we have ours.
                    self.book.refused(now, peer.contact.id, &mut self.rng);
                }
            }
        }
        out.push(Output::Event(Event::NeighbourDown { peer, reason }));
        if self.neighbours.len() == 0 {
            self.book.hurry(now);
        }
        self.refill(now, out);
    }

    pub(super) fn say_bye(
        &self,
        link: LinkId,
        reason: ByeReason,
        contacts: Vec<AgedContact>,
        out: &mut Vec<Output>,
    ) {
        let bye = LinkMessage::Bye(Bye { reason, contacts, ext: Vec::new() });
        out.push(Output::Send { link, message: bye });
        out.push(Output::Close { link });
    }
}
