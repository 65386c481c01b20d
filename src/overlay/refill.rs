//! The dials of the overlay's own accord: more neighbours while there are too few.
//!
//! Always true: no dial to a neighbour, to somebody who is being dialled, or while alone;
//! a loss is refilled at once. Of those that we dial, no two are of one network while the
//! address book offers another; where all are of one, as in a local network, they are
//! taken all the same. How many dials are allowed is left to `dialling`, whom to turn to
//! is left to `book`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::address::groups;
use super::book::Cached;
use super::config::{ANCHORS, REFILL_EVERY, WALKS_TAKE};
use super::dialling::{Dialling, Permit};
use super::membership::Membership;
use super::neighbours::Neighbours;
use super::{LinkId, Output, Peer};
use crate::base::{Contact, ServentId, Time};
use crate::message::{AgedContact, ByeReason, Purpose};

impl Membership {
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
        self.book.answered(now, &peer.contact, peer.seen);
        if id == self.id || *purpose == Purpose::Probe {
            out.push(Output::Close { link });
            return;
        }
        let strangers = self.strangers(now, &peer, purpose, &contacts);
        self.book.learn(now, peer.seen.ip(), contacts);
        let settled = if self.alone {
            Err(ByeReason::Leaving)
        } else if !self.has_room(now, &peer, purpose, true, out) {
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
        if !manual {
            self.split(now, link, out);
        }
        self.introduce(now, link, &strangers, out);
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
        let id = peer.contact.id;
        self.dialling.answered(id, &peer.seen);
        self.book.answered(now, &peer.contact, peer.seen);
        self.book.refused(now, id, &mut self.rng);
        if contacts.is_empty() {
            // It has left the mesh: it may be back, but it is nobody to tell others of.
            self.book.gone(now, id);
        }
        self.turn_to(now, peer, &contacts, out);
        self.book.learn(now, peer.seen.ip(), contacts);
        self.refill(now, out);
    }

    pub(super) fn on_dial_failed(&mut self, now: Time, id: ServentId, out: &mut Vec<Output>) {
        self.dialling.failed(id);
        if self.neighbours.with_id(id).is_some() {
            return; // another dial has succeeded meanwhile
        }
        let pressing = self.neighbours.len() == 0 || self.asked_for.contains_key(&id);
        self.book.failed(now, id, pressing, &mut self.rng);
        self.refill(now, out);
    }

    pub(super) fn on_cached(&mut self, now: Time, cached: Vec<Cached>, out: &mut Vec<Output>) {
        let anchors = cached.iter().filter(|cached| cached.anchor).take(ANCHORS);
        self.anchors = anchors.map(|cached| cached.contact.id).collect();
        self.book.restore(now, cached);
        self.refill(now, out);
    }

    pub(super) fn on_heard(
        &mut self,
        now: Time,
        giver: IpAddr,
        contacts: Vec<AgedContact>,
        out: &mut Vec<Output>,
    ) {
        self.book.learn(now, giver, contacts);
        self.refill(now, out);
    }

    /// Dials contacts while there are fewer neighbours than wanted.
    pub(super) fn refill(&mut self, now: Time, out: &mut Vec<Output>) {
        self.refill_at = now + REFILL_EVERY;
        self.redial(now, out);
        let kept = self.neighbours.degree() + self.dialling.links();
        let wanted = self.config.target_degree.saturating_sub(kept);
        if self.alone || self.config.manual || wanted == 0 {
            return;
        }
        let excluded = taken(&self.neighbours, &self.dialling);
        let candidates = self.book.candidates(now, &mut self.rng, excluded);
        let isolated = self.neighbours.len() == 0;
        let mut left = wanted;
        for contact in self.apart_first(candidates) {
            if left == 0 {
                break;
            }
            match self.dial(now, contact, Purpose::Refill { isolated }, out) {
                Permit::Granted => left -= 1,
                Permit::NotThisOne => {} // its neighbourhood was dialled too often
                Permit::NoMore => break,
            }
        }
        let excluded = taken(&self.neighbours, &self.dialling);
        let next = self.book.next_candidate(excluded);
        // What the dial rate held back is due in a second; else when a contact ripens.
        let soonest = now + Duration::from_secs(1);
        self.refill_at = next.map_or(self.refill_at, |at| at.min(self.refill_at).max(soonest));
        self.wake_at = self.wake_at.min(self.refill_at);
    }

    /// The anchors, then one of each network that we have dialled nobody of, then the
    /// others.
    fn apart_first(&self, candidates: Vec<Contact>) -> Vec<Contact> {
        let dialled = self.neighbours.iter().filter(|n| n.dialled && !n.manual);
        let mut held: BTreeSet<IpAddr> =
            dialled.flat_map(|neighbour| groups(&neighbour.peer.contact)).collect();
        held.extend(self.dialling.groups());
        let (mut first, others): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|contact| self.anchors.contains(&contact.id));
        held.extend(first.iter().flat_map(groups));
        let mut beside = Vec::new();
        for contact in others {
            let groups = groups(&contact);
            if held.is_disjoint(&groups) {
                held.extend(groups);
                first.push(contact);
            } else {
                beside.push(contact);
            }
        }
        first.extend(beside);
        first
    }

    /// Dials those again whom a person asked us to be linked with.
    pub(super) fn redial(&mut self, now: Time, out: &mut Vec<Output>) {
        let lost = self.asked_for.values().filter(|contact| {
            self.neighbours.with_id(contact.id).is_none() && self.book.is_ripe(now, contact.id)
        });
        for contact in lost.cloned().collect::<Vec<_>>() {
            if self.dial(now, contact, Purpose::Manual, out) == Permit::NoMore {
                return;
            }
        }
    }

    /// Asks for a dial, if it is allowed.
    pub(super) fn dial(
        &mut self,
        now: Time,
        mut contact: Contact,
        purpose: Purpose,
        out: &mut Vec<Output>,
    ) -> Permit {
        let for_a_link = purpose != Purpose::Probe;
        let home = self.book.home(contact.id);
        let permit = self.dialling.begin(now, &mut contact, home, for_a_link);
        if permit == Permit::Granted {
            out.push(Output::Dial { contact, purpose });
        }
        permit
    }
}

/// Who needs no dial: the neighbours, and those being dialled.
pub(super) fn taken<'a>(
    neighbours: &'a Neighbours,
    dialling: &'a Dialling,
) -> impl Fn(ServentId) -> bool + 'a {
    |id| neighbours.with_id(id).is_some() || dialling.contains(id)
}
