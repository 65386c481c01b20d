//! Neighbours that were lost without a word, and may be back.
//!
//! They are dialled again though others have taken their places, after 15 s, 30 s, 60 s and
//! so on for an hour: so that a partition heals from both sides as soon as anything passes
//! again. Always true: at most [`MAX_ABSENT`], none of them a neighbour, and they are
//! dialled within the rate of all dials.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

use super::config::{ESTRANGED, FRESH, MAX_ABSENT, RETURN_FIRST, RETURN_LAST};
use super::dialling::Permit;
use super::membership::Membership;
use super::{Output, Peer};
use crate::base::{Contact, ServentId, Time};
use crate::message::{AgedContact, Purpose};

/// How soon somebody is tried again whose neighbourhood was dialled too often just now.
const SPARED: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Absent(BTreeMap<ServentId, Absentee>);

#[derive(Debug)]
struct Absentee {
    contact: Contact,
    lost: Time,
    tries: u32,
    next: Time,
}

impl Absent {
    /// Notes that a neighbour was lost; says when it is dialled again.
    pub(super) fn note(&mut self, now: Time, contact: &Contact, rng: &mut ChaCha12Rng) -> Time {
        if self.0.len() >= MAX_ABSENT {
            let longest = self.0.iter().min_by_key(|(_, absentee)| absentee.lost);
            if let Some(id) = longest.map(|(&id, _)| id) {
                self.0.remove(&id);
            }
        }
        let mut absentee = Absentee { contact: contact.clone(), lost: now, tries: 0, next: now };
        absentee.put_off(now, rng);
        let next = absentee.next;
        if !contact.addresses.is_empty() {
            self.0.insert(contact.id, absentee);
        }
        next
    }

    pub(super) fn forget(&mut self, id: ServentId) {
        self.0.remove(&id);
    }

    /// When it was lost; none if it was not.
    pub(super) fn lost(&self, id: ServentId) -> Option<Time> {
        self.0.get(&id).map(|absentee| absentee.lost)
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.values().map(|absentee| absentee.next).min()
    }
}

impl Absentee {
    /// Doubles the wait, with a quarter of jitter: a partition ends for many at once.
    fn put_off(&mut self, now: Time, rng: &mut ChaCha12Rng) {
        let wait = RETURN_FIRST.saturating_mul(1 << self.tries.min(16));
        self.next = now + wait.mul_f64(rng.random_range(0.75..1.25));
        self.tries += 1;
    }
}

impl Membership {
    /// Dials those again whom it is time to look for.
    pub(super) fn seek_the_absent(&mut self, now: Time, out: &mut Vec<Output>) {
        self.absent.0.retain(|_, absentee| now.since(absentee.lost) < RETURN_LAST);
        let due = self.absent.0.values().filter(|absentee| absentee.next <= now);
        for contact in due.map(|absentee| absentee.contact.clone()).collect::<Vec<_>>() {
            let id = contact.id;
            let isolated = self.neighbours.len() == 0;
            let permit = self.dial(now, contact, Purpose::Refill { isolated }, out);
            let under_way = self.dialling.contains(id);
            let Some(absentee) = self.absent.0.get_mut(&id) else { continue };
            match permit {
                _ if under_way => absentee.put_off(now, &mut self.rng),
                Permit::NoMore => break, // it stays due
                // Its neighbourhood was dialled too often; that passes.
                Permit::Granted | Permit::NotThisOne => absentee.next = now + SPARED,
            }
        }
    }

    /// Somebody has no room for us. If we had lost it, it may have been in another part of
    /// a mesh that was divided: one of those that it names will do as well.
    pub(super) fn turn_to(
        &mut self,
        now: Time,
        peer: &Peer,
        named: &[AgedContact],
        out: &mut Vec<Output>,
    ) {
        if self.absent.lost(peer.contact.id).is_none() {
            return;
        }
        self.absent.forget(peer.contact.id);
        let other = named
            .iter()
            .map(|aged| &aged.contact)
            .find(|contact| contact.id != self.id && self.neighbours.with_id(contact.id).is_none());
        if let Some(other) = other.filter(|_| self.neighbours.degree() < self.config.max_degree) {
            let seen = peer.seen.ip();
            let addresses = other.addresses.iter().copied();
            let addresses = addresses.filter(|&address| super::dialable(address, seen));
            let other = Contact::new(other.id, addresses);
            self.dial(now, other, Purpose::Refill { isolated: false }, out);
        }
    }

    /// Those that a welcome names, when they are of another mesh than we are, or of a part
    /// of it that was divided from ours: nobody of them was heard of lately.
    pub(super) fn strangers(
        &self,
        now: Time,
        peer: &Peer,
        purpose: &Purpose,
        named: &[AgedContact],
    ) -> Vec<AgedContact> {
        let estranged = match purpose {
            Purpose::Join => true,
            Purpose::Refill { isolated: false } => {
                let lost = self.absent.lost(peer.contact.id);
                lost.is_some_and(|lost| now.since(lost) >= ESTRANGED)
            }
            _ => false,
        };
        let known = |id| self.neighbours.with_id(id).is_some() || self.book.is_fresh(now, id);
        let ids = named.iter().map(|aged| aged.contact.id);
        if !estranged || self.neighbours.degree() == 0 || ids.clone().any(known) {
            return Vec::new();
        }
        let seen = peer.seen.ip();
        let fresh = named.iter().filter(|aged| Duration::from_secs(aged.age_secs.into()) <= FRESH);
        let named = fresh.map(|aged| {
            let addresses = aged.contact.addresses.iter().copied();
            let addresses = addresses.filter(|&address| super::dialable(address, seen));
            let contact = Contact::new(aged.contact.id, addresses);
            AgedContact { contact, age_secs: aged.age_secs }
        });
        let itself = AgedContact { contact: peer.contact.clone(), age_secs: 0 };
        let strangers = named.chain([itself]);
        strangers
            .filter(|aged| aged.contact.id != self.id && !aged.contact.addresses.is_empty())
            .collect()
    }
}
