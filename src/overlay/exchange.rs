//! Which contacts are handed on, and how neighbours exchange them.
//!
//! Always true: nobody is named that was not heard of lately; living neighbours come first.

use rand::seq::SliceRandom;

use super::config::{SHUFFLE_EVERY, STRIKE};
use super::membership::Membership;
use super::{LinkId, Output};
use crate::base::{ServentId, Time};
use crate::message::{AgedContact, LinkMessage, Shuffle, ShuffleReply};

impl Membership {
    /// At most `limit` contacts for the servent `id`: living neighbours first.
    pub(super) fn contacts_for(
        &mut self,
        now: Time,
        id: ServentId,
        limit: usize,
    ) -> Vec<AgedContact> {
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

    pub(super) fn on_shuffle(
        &mut self,
        now: Time,
        link: LinkId,
        shuffle: Shuffle,
        out: &mut Vec<Output>,
    ) {
        let Some(neighbour) = self.neighbours.find_mut(link) else { return };
        let (seen, id) = (neighbour.peer.seen.ip(), neighbour.id());
        let last = neighbour.shuffled.replace(now);
        if last.is_some_and(|at| now.since(at) < SHUFFLE_EVERY / 2) {
            self.neighbours.strike(now, link, STRIKE);
            return;
        }
        self.hosts.learn(now, seen, shuffle.contacts);
        let contacts = self.contacts_for(now, id, AgedContact::MAX_SHUFFLE);
        let reply = ShuffleReply { contacts, ext: Vec::new() };
        out.push(Output::Send { link, message: LinkMessage::ShuffleReply(reply) });
    }

    pub(super) fn on_shuffle_reply(&mut self, now: Time, link: LinkId, reply: ShuffleReply) {
        let Some(neighbour) = self.neighbours.find_mut(link) else { return };
        if std::mem::take(&mut neighbour.awaits_shuffle) {
            self.hosts.learn(now, neighbour.peer.seen.ip(), reply.contacts);
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
            let contacts = self.contacts_for(now, id, AgedContact::MAX_SHUFFLE);
            let shuffle = Shuffle { contacts, ext: Vec::new() };
            out.push(Output::Send { link, message: LinkMessage::Shuffle(shuffle) });
        }
        for neighbour in self.neighbours.iter_mut().filter(|n| n.shuffle_at <= now) {
            neighbour.shuffle_at = now + SHUFFLE_EVERY;
            neighbour.awaits_shuffle = true;
        }
    }

    pub(super) fn known(&self, now: Time) -> Vec<AgedContact> {
        let mut known = self.hosts.fresh(now);
        known.retain(|aged| self.neighbours.with_id(aged.contact.id).is_none());
        known
    }
}
