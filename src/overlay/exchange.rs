//! Which contacts are handed on, and how neighbours exchange them.
//!
//! Always true: nobody is named that was not heard of lately; who greets us is named our
//! living neighbours first. Whoever asks again within [`NAMED_FOR`], from whatever address
//! of its network, is named the same again as far as they live: asking often draws no map
//! of the mesh. A shuffle is half neighbours and half others, so that a contact travels
//! further than one hop. What a link tells unasked is taken at a rate.

use std::net::IpAddr;

use rand::seq::{IteratorRandom, SliceRandom};

use super::config::{FRESH, NAMED_FOR, SHUFFLE_EVERY, STRIKE};
use super::membership::Membership;
use super::{LinkId, Output};
use crate::base::{ServentId, Time};
use crate::message::{AgedContact, LinkMessage, Shuffle, ShuffleReply};

/// What a contact weighs in [`super::neighbours::Neighbour::told`].
const CONTACT: u64 = 100;

impl Membership {
    /// Contacts for the servent `id`, which greets us from `seen` or is let go.
    pub(super) fn contacts_for(
        &mut self,
        now: Time,
        id: ServentId,
        seen: IpAddr,
    ) -> Vec<AgedContact> {
        let span = u64::try_from(NAMED_FOR.as_micros()).unwrap_or(u64::MAX);
        let epoch = now.as_micros() / span;
        let rank = |aged: &AgedContact| self.book.rank(epoch, seen, id, aged.contact.id);
        let mut living = self.living(now, id);
        living.sort_by_cached_key(rank);
        let mut others = self.known(now);
        others.retain(|aged| aged.contact.id != id);
        others.sort_by_cached_key(rank);
        living.extend(others);
        living.truncate(AgedContact::MAX_GREETING);
        living
    }

    /// Contacts for the neighbour `id`.
    fn contacts_to_shuffle(&mut self, now: Time, id: ServentId) -> Vec<AgedContact> {
        let mut others = self.known(now);
        others.retain(|aged| aged.contact.id != id);
        let half = AgedContact::MAX_SHUFFLE / 2;
        let mut others = others.into_iter().sample(&mut self.rng, half);
        let mut living = self.living(now, id);
        living.shuffle(&mut self.rng);
        living.truncate(AgedContact::MAX_SHUFFLE - others.len());
        living.append(&mut others);
        living
    }

    /// The neighbours that may be named to the servent `id`. One that should have answered
    /// a ping by now may be frozen: named as living, it would be listed for as long again.
    fn living(&self, now: Time, id: ServentId) -> Vec<AgedContact> {
        let others = self.neighbours.iter().filter(|n| now.since(n.heard) <= FRESH);
        let others = others.filter(|n| n.id() != id && !n.peer.contact.addresses.is_empty());
        // Nor is anybody sent to where we could not come ourselves.
        let others = others.filter(|n| n.dialable != Some(false));
        others.map(|n| AgedContact { contact: n.peer.contact.clone(), age_secs: 0 }).collect()
    }

    /// Takes what a neighbour tells of its own accord, as much as it may.
    pub(super) fn learn(&mut self, now: Time, link: LinkId, mut contacts: Vec<AgedContact>) {
        let Some(neighbour) = self.neighbours.find_mut(link) else { return };
        let told = contacts.iter().take_while(|_| neighbour.told.take(now, CONTACT)).count();
        contacts.truncate(told);
        self.learn_asked(now, link, contacts);
    }

    /// Takes what a neighbour tells because we asked.
    fn learn_asked(&mut self, now: Time, link: LinkId, contacts: Vec<AgedContact>) {
        let Some(neighbour) = self.neighbours.find(link) else { return };
        let (giver, seen) = (neighbour.id(), neighbour.peer.seen.ip());
        let named = contacts.iter().filter(|aged| aged.age_secs == 0);
        let beside: Vec<ServentId> = named.map(|aged| aged.contact.id).collect();
        self.book.learn(now, seen, contacts);
        for id in beside {
            self.book.note_near(now, id);
            if id != giver {
                self.neighbours.witness(now, id);
            }
        }
    }

    pub(super) fn on_shuffle(
        &mut self,
        now: Time,
        link: LinkId,
        shuffle: Shuffle,
        out: &mut Vec<Output>,
    ) {
        let Some(neighbour) = self.neighbours.find_mut(link) else { return };
        let id = neighbour.id();
        let last = neighbour.shuffled.replace(now);
        if last.is_some_and(|at| now.since(at) < SHUFFLE_EVERY / 2) {
            self.neighbours.strike(now, link, STRIKE);
            return;
        }
        self.learn(now, link, shuffle.contacts);
        let contacts = self.contacts_to_shuffle(now, id);
        let reply = ShuffleReply { contacts, ext: Vec::new() };
        out.push(Output::Send { link, message: LinkMessage::ShuffleReply(reply) });
    }

    pub(super) fn on_shuffle_reply(&mut self, now: Time, link: LinkId, reply: ShuffleReply) {
        let Some(neighbour) = self.neighbours.find_mut(link) else { return };
        if std::mem::take(&mut neighbour.awaits_shuffle) {
            self.learn_asked(now, link, reply.contacts);
        } else {
            self.neighbours.strike(now, link, STRIKE);
        }
    }

    pub(super) fn shuffle(&mut self, now: Time, out: &mut Vec<Output>) {
        let due: Vec<(LinkId, ServentId)> = self
            .neighbours
            .iter()
            .filter(|n| n.shuffle_at <= now && !self.config.manual)
            .map(|n| (n.link, n.id()))
            .collect();
        for (link, id) in due {
            let contacts = self.contacts_to_shuffle(now, id);
            let shuffle = Shuffle { contacts, ext: Vec::new() };
            out.push(Output::Send { link, message: LinkMessage::Shuffle(shuffle) });
        }
        for neighbour in self.neighbours.iter_mut().filter(|n| n.shuffle_at <= now) {
            neighbour.shuffle_at = now + SHUFFLE_EVERY;
            neighbour.awaits_shuffle = true;
        }
    }

    pub(super) fn known(&self, now: Time) -> Vec<AgedContact> {
        let mut known = self.book.fresh(now);
        known.retain(|aged| self.neighbours.with_id(aged.contact.id).is_none());
        known
    }
}
