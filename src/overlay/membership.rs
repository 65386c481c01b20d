//! Who is a neighbour: joining, staying, leaving.
//!
//! After HyParView (Leitao, Pereira, Rodrigues, DSN 2007): a small active view of
//! living links, which the loss of a link refills at once from a larger passive view,
//! here the host cache. A newcomer is introduced by random walks; the servent where a
//! walk ends dials it. Unlike the paper, an active view may exceed its target, up to a
//! limit, so that a newcomer seldom costs another servent its place.
//!
//! Always true: one link to each servent, none to this one; at most `max_degree` links
//! beside those that people asked for; after `leave`, none until the next `join`.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::config::{
    Config, INTRODUCTION_BURST, INTRODUCTION_RATE, LET_GO_RATE, REFILL_EVERY, SHUFFLE_EVERY,
    SIMULTANEOUS, STRIKE, WALKS_TAKE,
};
use super::dialling::{Dialling, Permit};
use super::hosts::{Cached, HostCache};
use super::neighbours::{Neighbour, Neighbours};
use super::{Event, LinkId, Output, Peer, keep_alive};
use crate::base::{Bucket, Contact, ServentId, Time};
use crate::message::{
    AgedContact, Bye, ByeReason, ForwardJoin, Greeting, LinkMessage, Purpose, Redirect, Shares,
    Shuffle, ShuffleReply, Welcome,
};

/// Why a neighbour is one no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DownReason {
    /// It said bye, and why.
    Said(ByeReason),
    /// The connection broke.
    Broken,
    /// It was silent too long.
    Silent,
    /// We let it go to make room for a newcomer.
    LetGo,
    /// It broke the protocol.
    Misbehaved,
    /// We left.
    Left,
}

#[derive(Debug)]
pub(super) struct Membership {
    id: ServentId,
    config: Config,
    pub(super) rng: ChaCha12Rng,
    pub(super) neighbours: Neighbours,
    pub(super) hosts: HostCache,
    /// What this servent shares, as its neighbours are told.
    pub(super) shares: Shares,
    /// Those whom a person asked us to be linked with: dialled again when lost.
    asked_for: BTreeMap<ServentId, Contact>,
    dialling: Dialling,
    let_go: Bucket,
    introductions: Bucket,
    alone: bool,
    refill_at: Time,
    pub(super) wake_at: Time,
    lost: Vec<LinkId>,
}

impl Membership {
    pub(super) fn new(id: ServentId, config: Config, rng: ChaCha12Rng, now: Time) -> Self {
        Self {
            id,
            config,
            rng,
            neighbours: Neighbours::default(),
            hosts: HostCache::new(id),
            shares: Shares::default(),
            asked_for: BTreeMap::new(),
            dialling: Dialling::new(now),
            let_go: Bucket::new(LET_GO_RATE, LET_GO_RATE, now),
            introductions: Bucket::new(INTRODUCTION_RATE, INTRODUCTION_BURST, now),
            alone: false,
            refill_at: now,
            wake_at: now,
            lost: Vec::new(),
        }
    }

    /// A dialler has said hello.
    pub(super) fn on_accepted(
        &mut self,
        now: Time,
        link: LinkId,
        peer: Peer,
        purpose: &Purpose,
        out: &mut Vec<Output>,
    ) {
        let id = peer.contact.id;
        if id == self.id || *purpose == Purpose::Probe {
            let contacts = Vec::new();
            let welcome = Welcome { your_address: peer.seen, contacts, ext: Vec::new() };
            out.push(Output::Greet { link, greeting: Greeting::Welcome(welcome) });
            out.push(Output::Close { link });
            return;
        }
        if self.alone {
            // Naming nobody says that there is no mesh to be had here.
            self.redirect_to(link, Vec::new(), out);
            return;
        }
        if !self.has_room(now, id, purpose, false, out) {
            self.redirect(now, link, id, out);
            return;
        }
        let Some(standing) = self.settle(now, id, false, out) else {
            self.redirect(now, link, id, out);
            return;
        };
        let contacts = self.contacts_for(now, id, AgedContact::MAX_GREETING);
        let welcome = Welcome { your_address: peer.seen, contacts, ext: Vec::new() };
        out.push(Output::Greet { link, greeting: Greeting::Welcome(welcome) });
        let introduce = *purpose == Purpose::Join && !self.config.manual;
        let contact = peer.contact.clone();
        let manual = *purpose == Purpose::Manual || self.config.manual;
        self.add(now, link, peer, false, manual, out);
        self.tell_up(link, standing, out);
        if introduce && !contact.addresses.is_empty() && self.introductions.take(now, 1) {
            self.send_walks(&contact, out);
        }
    }

    /// Our own dial was welcomed.
    pub(super) fn on_dialled(
        &mut self,
        now: Time,
        link: LinkId,
        peer: Peer,
        purpose: &Purpose,
        contacts: Vec<AgedContact>,
        out: &mut Vec<Output>,
    ) {
        let id = peer.contact.id;
        self.dialling.answered(id, &peer.seen);
        if id == self.id || *purpose == Purpose::Probe {
            out.push(Output::Close { link });
            return;
        }
        self.hosts.met(now, &peer.contact, true);
        self.hosts.learn(now, peer.seen.ip(), contacts);
        let settled = if self.alone {
            Err(ByeReason::Leaving)
        } else if !self.has_room(now, id, purpose, true, out) {
            Err(ByeReason::Full)
        } else {
            self.settle(now, id, true, out).ok_or(ByeReason::Replaced)
        };
        let standing = match settled {
            Ok(standing) => standing,
            Err(reason) => return self.say_bye(link, reason, Vec::new(), out),
        };
        let manual = *purpose == Purpose::Manual;
        if manual && self.asked_for.len() < self.config.max_manual {
            self.asked_for.insert(id, peer.contact.clone());
        }
        self.add(now, link, peer, true, manual, out);
        self.tell_up(link, standing, out);
        if *purpose == Purpose::Join {
            // The walks that this join sets off bring neighbours without more dials.
            self.refill_at = now + WALKS_TAKE;
        }
        self.wake_at = now;
    }

    /// Our own dial found somebody without room.
    pub(super) fn on_redirected(
        &mut self,
        now: Time,
        peer: &Peer,
        contacts: Vec<AgedContact>,
        out: &mut Vec<Output>,
    ) {
        self.dialling.answered(peer.contact.id, &peer.seen);
        self.hosts.met(now, &peer.contact, true);
        self.hosts.refused(now, peer.contact.id, &mut self.rng);
        if contacts.is_empty() {
            // It has left the mesh: it may be back, but it is nobody to tell others of.
            self.hosts.gone(now, peer.contact.id);
        }
        self.hosts.learn(now, peer.seen.ip(), contacts);
        self.refill(now, out);
    }

    pub(super) fn on_dial_failed(&mut self, now: Time, id: ServentId, out: &mut Vec<Output>) {
        self.dialling.failed(id);
        let pressing = self.neighbours.len() == 0 || self.asked_for.contains_key(&id);
        self.hosts.failed(now, id, pressing, &mut self.rng);
        self.refill(now, out);
    }

    pub(super) fn on_cached(&mut self, now: Time, cached: Vec<Cached>, out: &mut Vec<Output>) {
        self.hosts.restore(now, cached);
        self.refill(now, out);
    }

    pub(super) fn on_link_lost(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        self.drop_link(now, link, DownReason::Broken, out);
    }

    /// A message that is not about a search.
    pub(super) fn on_message(
        &mut self,
        now: Time,
        link: LinkId,
        message: LinkMessage,
        out: &mut Vec<Output>,
    ) {
        let Some(neighbour) = self.neighbours.find_mut(link) else { return };
        let seen = neighbour.peer.seen.ip();
        match message {
            LinkMessage::Ping(ping) => self.on_ping(link, &ping, out),
            LinkMessage::Pong(pong) => self.on_pong(now, link, &pong),
            LinkMessage::Bye(Bye { reason, contacts, .. }) => {
                self.hosts.learn(now, seen, contacts);
                out.push(Output::Close { link });
                self.drop_link(now, link, DownReason::Said(reason), out);
            }
            LinkMessage::ForwardJoin(walk) => self.on_walk(now, link, walk, out),
            LinkMessage::Shuffle(Shuffle { contacts, .. }) => {
                let early = SHUFFLE_EVERY / 2;
                let too_soon = neighbour.shuffled.is_some_and(|at| now.since(at) < early);
                neighbour.shuffled = Some(now);
                let id = neighbour.id();
                if too_soon {
                    self.neighbours.strike(now, link, STRIKE);
                    return;
                }
                self.hosts.learn(now, seen, contacts);
                let contacts = self.contacts_for(now, id, AgedContact::MAX_SHUFFLE);
                let reply = ShuffleReply { contacts, ext: Vec::new() };
                out.push(Output::Send { link, message: LinkMessage::ShuffleReply(reply) });
            }
            LinkMessage::ShuffleReply(ShuffleReply { contacts, .. }) => {
                if std::mem::take(&mut neighbour.awaits_shuffle) {
                    self.hosts.learn(now, seen, contacts);
                } else {
                    self.neighbours.strike(now, link, STRIKE);
                }
            }
            LinkMessage::Query(_) | LinkMessage::QueryHit(_) | LinkMessage::QueryDone(_) => {}
        }
    }

    /// The user wants to be in the mesh.
    pub(super) fn join(&mut self, now: Time, out: &mut Vec<Output>) {
        self.alone = false;
        self.hosts.hurry(now);
        self.refill(now, out);
    }

    /// The user wants to be alone.
    pub(super) fn leave(&mut self, now: Time, out: &mut Vec<Output>) {
        self.alone = true;
        self.asked_for.clear();
        let links: Vec<LinkId> = self.neighbours.iter().map(|n| n.link).collect();
        for link in links {
            self.say_bye(link, ByeReason::Leaving, Vec::new(), out);
            self.drop_link(now, link, DownReason::Left, out);
        }
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
        let pings = self.neighbours.iter().map(keep_alive::due);
        let shuffles = self.neighbours.iter().map(|n| n.shuffle_at);
        let next = pings.chain(shuffles).chain([self.refill_at]).min();
        self.wake_at = next.unwrap_or(self.refill_at).max(now + Duration::from_millis(1));
    }

    /// Lets go of those who broke too many rules.
    pub(super) fn close_offenders(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some(link) = self.neighbours.next_offender() {
            if self.neighbours.find(link).is_some() {
                self.say_bye(link, ByeReason::Misbehaved, Vec::new(), out);
                self.drop_link(now, link, DownReason::Misbehaved, out);
            }
        }
    }

    /// A link that is gone and that the flood has not been told of.
    pub(super) fn next_lost(&mut self) -> Option<LinkId> {
        self.lost.pop()
    }

    pub(super) fn known(&self, now: Time) -> Vec<AgedContact> {
        let mut known = self.hosts.fresh(now);
        known.retain(|aged| self.neighbours.with_id(aged.contact.id).is_none());
        known
    }

    /// Whether `peer` may become a neighbour; may let another go for it.
    fn has_room(
        &mut self,
        now: Time,
        id: ServentId,
        purpose: &Purpose,
        dialled: bool,
        out: &mut Vec<Output>,
    ) -> bool {
        if self.neighbours.with_id(id).is_some() {
            return true; // it takes its own place, if any
        }
        let manual = self.neighbours.len() - self.neighbours.degree();
        match purpose {
            Purpose::Manual => return manual < self.config.max_manual,
            Purpose::Join if self.config.manual => return manual < self.config.max_manual,
            _ if self.config.manual => return false,
            _ => {}
        }
        if self.neighbours.degree() < self.config.max_degree {
            return true;
        }
        let pressing = matches!(purpose, Purpose::Join | Purpose::Refill { isolated: true });
        if !pressing || (!dialled && !self.let_go.take(now, 1)) {
            return false;
        }
        // Those we dialled ourselves stay: no crowd of newcomers can have them all.
        let links = self.neighbours.iter().filter(|n| !n.manual && !n.dialled);
        let links: Vec<LinkId> = links.map(|n| n.link).collect();
        let Some(&victim) = links.choose(&mut self.rng) else { return false };
        let contacts = self.neighbours.find(victim).map(Neighbour::id);
        let contacts = contacts.map(|id| self.contacts_for(now, id, AgedContact::MAX_GREETING));
        self.say_bye(victim, ByeReason::Full, contacts.unwrap_or_default(), out);
        self.drop_link(now, victim, DownReason::LetGo, out);
        true
    }

    /// Settles which of two links to one servent stays: none when the old one does, else
    /// whether there was an old one.
    ///
    /// Both ends must come to the same answer: of two dials that crossed, the one of
    /// the smaller id stays; otherwise the newer, since the older may be dead.
    fn settle(
        &mut self,
        now: Time,
        id: ServentId,
        dialled: bool,
        out: &mut Vec<Output>,
    ) -> Option<bool> {
        let Some(old) = self.neighbours.with_id(id) else { return Some(false) };
        let crossed = old.dialled != dialled && now.since(old.up) < SIMULTANEOUS;
        if crossed && dialled != (self.id < id) {
            return None;
        }
        let link = old.link;
        self.say_bye(link, ByeReason::Replaced, Vec::new(), out);
        if self.neighbours.remove(link).is_some() {
            self.lost.push(link);
        }
        Some(true)
    }

    /// Tells of a new neighbour, unless only its link is new.
    fn tell_up(&self, link: LinkId, standing: bool, out: &mut Vec<Output>) {
        let neighbour = self.neighbours.find(link).filter(|_| !standing);
        out.extend(
            neighbour.map(|neighbour| {
                Output::Event(Event::NeighbourUp { peer: neighbour.peer.clone() })
            }),
        );
    }

    fn add(
        &mut self,
        now: Time,
        link: LinkId,
        peer: Peer,
        dialled: bool,
        manual: bool,
        out: &mut Vec<Output>,
    ) {
        self.hosts.met(now, &peer.contact, dialled);
        let mut neighbour = Neighbour::new(link, peer, dialled, manual, &self.config, now);
        let jitter = self.rng.random_range(0.5..1.0);
        neighbour.shuffle_at = now + SHUFFLE_EVERY.mul_f64(jitter);
        self.neighbours.push(neighbour);
        self.ping(now, link, out);
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
        let Some(Neighbour { peer, .. }) = self.neighbours.remove(link) else { return };
        self.lost.push(link);
        match reason {
            DownReason::LetGo | DownReason::Left => {}
            DownReason::Said(ByeReason::Full) => {
                self.hosts.refused(now, peer.contact.id, &mut self.rng);
            }
            _ => self.hosts.gone(now, peer.contact.id),
        }
        out.push(Output::Event(Event::NeighbourDown { peer, reason }));
        if self.neighbours.len() == 0 {
            self.hosts.hurry(now);
        }
        self.refill(now, out);
    }

    fn say_bye(
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

    fn redirect(&mut self, now: Time, link: LinkId, id: ServentId, out: &mut Vec<Output>) {
        let contacts = self.contacts_for(now, id, AgedContact::MAX_GREETING);
        self.redirect_to(link, contacts, out);
    }

    fn redirect_to(&self, link: LinkId, contacts: Vec<AgedContact>, out: &mut Vec<Output>) {
        let redirect = Redirect { contacts, ext: Vec::new() };
        out.push(Output::Greet { link, greeting: Greeting::Redirect(redirect) });
        out.push(Output::Close { link });
    }

    /// At most `limit` contacts for the servent `id`: living neighbours first.
    fn contacts_for(&mut self, now: Time, id: ServentId, limit: usize) -> Vec<AgedContact> {
        let mut living: Vec<AgedContact> = self
            .neighbours
            .iter()
            .filter(|n| n.id() != id && !n.peer.contact.addresses.is_empty())
            .map(|n| AgedContact { contact: n.peer.contact.clone(), age_secs: 0 })
            .collect();
        living.shuffle(&mut self.rng);
        let mut others = self.known(now);
        others.retain(|aged| aged.contact.id != id);
        others.shuffle(&mut self.rng);
        living.extend(others);
        living.truncate(limit);
        living
    }

    /// Sends a newcomer's walks out, as many as it needs neighbours beside us.
    fn send_walks(&mut self, newcomer: &Contact, out: &mut Vec<Output>) {
        let mut links = self.walkable(None, newcomer.id);
        links.shuffle(&mut self.rng);
        let walks = self.config.target_degree.saturating_sub(1);
        for &link in links.iter().cycle().take(if links.is_empty() { 0 } else { walks }) {
            let newcomer = AgedContact { contact: newcomer.clone(), age_secs: 0 };
            let walk = ForwardJoin { newcomer, walk: ForwardJoin::MAX_WALK, ext: Vec::new() };
            out.push(Output::Send { link, message: LinkMessage::ForwardJoin(walk) });
        }
    }

    fn on_walk(&mut self, now: Time, from: LinkId, walk: ForwardJoin, out: &mut Vec<Output>) {
        let Some(neighbour) = self.neighbours.find_mut(from) else { return };
        if !neighbour.walks.take(now, 1) {
            return;
        }
        let seen = neighbour.peer.seen.ip();
        let ForwardJoin { newcomer, walk: steps, ext } = walk;
        let id = newcomer.contact.id;
        if id == self.id || self.config.manual {
            return;
        }
        self.hosts.learn(now, seen, vec![newcomer.clone()]);
        let links = self.walkable(Some(from), id);
        let next = links.choose(&mut self.rng).copied();
        if let (Some(link), Some(walk)) = (next, steps.min(ForwardJoin::MAX_WALK).checked_sub(1)) {
            let walk = ForwardJoin { newcomer, walk, ext };
            out.push(Output::Send { link, message: LinkMessage::ForwardJoin(walk) });
        } else if self.neighbours.with_id(id).is_none()
            && self.neighbours.degree() + self.dialling.len() < self.config.max_degree
        {
            let addresses = newcomer.contact.addresses.into_iter();
            let addresses = addresses.filter(|&a| super::hosts::dialable(a, seen));
            let purpose = Purpose::Refill { isolated: false };
            self.dial(now, Contact::new(id, addresses), purpose, out);
        }
    }

    /// The links that a walk for `newcomer` may take from `from`.
    fn walkable(&self, from: Option<LinkId>, newcomer: ServentId) -> Vec<LinkId> {
        let links = self.neighbours.iter();
        links
            .filter(|n| !n.manual && Some(n.link) != from && n.id() != newcomer)
            .map(|n| n.link)
            .collect()
    }

    /// Dials contacts while there are fewer neighbours than wanted.
    fn refill(&mut self, now: Time, out: &mut Vec<Output>) {
        self.refill_at = now + REFILL_EVERY;
        self.redial(now, out);
        let kept = self.neighbours.degree() + self.dialling.len();
        let wanted = self.config.target_degree.saturating_sub(kept);
        if self.alone || self.config.manual || wanted == 0 {
            return;
        }
        let excluded = taken(&self.neighbours, &self.dialling);
        let candidates = self.hosts.candidates(now, &mut self.rng, excluded);
        let isolated = self.neighbours.len() == 0;
        for contact in candidates.into_iter().take(wanted) {
            if !self.dial(now, contact, Purpose::Refill { isolated }, out) {
                break;
            }
        }
        let excluded = taken(&self.neighbours, &self.dialling);
        let next = self.hosts.next_candidate(excluded);
        // What the dial rate held back is due in a second; else when a contact ripens.
        let soonest = now + Duration::from_secs(1);
        self.refill_at = next.map_or(self.refill_at, |at| at.min(self.refill_at).max(soonest));
        self.wake_at = self.wake_at.min(self.refill_at);
    }

    /// Dials those again whom a person asked us to be linked with.
    fn redial(&mut self, now: Time, out: &mut Vec<Output>) {
        let lost = self.asked_for.values().filter(|contact| {
            self.neighbours.with_id(contact.id).is_none() && self.hosts.is_ripe(now, contact.id)
        });
        for contact in lost.cloned().collect::<Vec<_>>() {
            if !self.dial(now, contact, Purpose::Manual, out) {
                return;
            }
        }
    }

    /// Asks for a dial; false when no more dials are allowed for now.
    fn dial(
        &mut self,
        now: Time,
        mut contact: Contact,
        purpose: Purpose,
        out: &mut Vec<Output>,
    ) -> bool {
        match self.dialling.begin(now, &mut contact) {
            Permit::Granted => out.push(Output::Dial { contact, purpose }),
            Permit::NotThisOne => {}
            Permit::NoMore => return false,
        }
        true
    }

    fn shuffle(&mut self, now: Time, out: &mut Vec<Output>) {
        let due: Vec<(LinkId, ServentId)> = self
            .neighbours
            .iter()
            .filter(|n| n.shuffle_at <= now && !self.config.manual)
            .map(|n| (n.link, n.id()))
            .collect();
        for (link, id) in due {
            let contacts = self.contacts_for(now, id, AgedContact::MAX_SHUFFLE);
            let shuffle = Shuffle { contacts, ext: Vec::new() };
            out.push(Output::Send { link, message: LinkMessage::Shuffle(shuffle) });
        }
        for neighbour in self.neighbours.iter_mut().filter(|n| n.shuffle_at <= now) {
            neighbour.shuffle_at = now + SHUFFLE_EVERY;
            neighbour.awaits_shuffle = true;
        }
    }
}

/// Who needs no dial: the neighbours, and those being dialled.
fn taken<'a>(
    neighbours: &'a Neighbours,
    dialling: &'a Dialling,
) -> impl Fn(ServentId) -> bool + 'a {
    |id| neighbours.with_id(id).is_some() || dialling.contains(id)
}
