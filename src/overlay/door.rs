//! Who is let in: the answer to a hello, and which of two links to one servent stays.
//!
//! Always true: nobody is refused without others named, unless there is nobody to name; an
//! isolated servent is taken even when there is no room, at the cost of a neighbour that
//! dialled us.

use rand::seq::IteratorRandom;

use super::config::SIMULTANEOUS;
use super::membership::Membership;
use super::rewiring::is_witnessed;
use super::{LinkId, Output, Peer};
use crate::base::{ServentId, Time};
use crate::message::{AgedContact, ByeReason, Greeting, Purpose, Redirect, Welcome};

impl Membership {
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
        if id == self.id {
            return welcome_and_close(link, &peer, out);
        }
        if self.alone {
            // Naming nobody says that there is no mesh to be had here; a feeler learns it too,
            // or who has left would be listed as living.
            self.redirect_to(link, Vec::new(), out);
            return;
        }
        if *purpose == Purpose::Probe {
            return welcome_and_close(link, &peer, out); // now it knows that we are here
        }
        let before = self.neighbours.degree();
        if !self.has_room(now, &peer, purpose, false, out) {
            self.redirect(now, link, &peer, out);
            return;
        }
        let Some(standing) = self.settle(now, id, false, out) else {
            self.redirect(now, link, &peer, out);
            return;
        };
        let contacts = self.contacts_for(now, id, peer.seen.ip());
        let welcome = Welcome { your_address: peer.seen, contacts, ext: Vec::new() };
        out.push(Output::Greet { link, greeting: Greeting::Welcome(welcome) });
        let introduce = *purpose == Purpose::Join && !self.config.manual;
        let contact = peer.contact.clone();
        let manual = *purpose == Purpose::Manual || self.config.manual;
        self.add(now, link, peer, false, manual, out);
        self.tell_up(link, standing, out);
        if introduce && !contact.addresses.is_empty() && self.introductions.take(now, 1) {
            self.send_walks(&contact, out);
            if self.neighbours.degree() > before {
                self.split(now, link, out);
            }
        }
    }

    /// There is no place for another connection, whoever it is of.
    pub(super) fn turn_away(
        &mut self,
        now: Time,
        link: LinkId,
        peer: &Peer,
        out: &mut Vec<Output>,
    ) {
        if self.alone {
            self.redirect_to(link, Vec::new(), out);
        } else {
            self.redirect(now, link, peer, out);
        }
    }

    /// Whether `peer` may become a neighbour; may let another go for it.
    pub(super) fn has_room(
        &mut self,
        now: Time,
        peer: &Peer,
        purpose: &Purpose,
        dialled: bool,
        out: &mut Vec<Output>,
    ) -> bool {
        let id = peer.contact.id;
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
        let pressing = matches!(purpose, Purpose::Join | Purpose::Refill { isolated: true })
            || self.absent.lost(id).is_some();
        if !pressing || (!dialled && !self.let_go.take(now, 1)) {
            return false;
        }
        // Those we dialled ourselves stay: no crowd of newcomers can have them all.
        let links = self.neighbours.iter().filter(|n| !n.manual && !n.dialled);
        let spare = links.clone().filter(|n| is_witnessed(n, now)).map(|n| n.link);
        let victim = spare.choose(&mut self.rng);
        let victim = victim.or_else(|| links.map(|n| n.link).choose(&mut self.rng));
        let Some(victim) = victim else { return false };
        self.part_with(now, victim, Some(&peer.contact), out);
        true
    }

    /// Settles which of two links to one servent stays: none when the old one does, else
    /// whether there was an old one.
    ///
    /// Both ends must come to the same answer: of two dials that crossed, the one of
    /// the smaller id stays; otherwise the newer, since the older may be dead.
    pub(super) fn settle(
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

    pub(super) fn redirect(&mut self, now: Time, link: LinkId, peer: &Peer, out: &mut Vec<Output>) {
        let contacts = self.contacts_for(now, peer.contact.id, peer.seen.ip());
        self.redirect_to(link, contacts, out);
    }

    pub(super) fn redirect_to(
        &self,
        link: LinkId,
        contacts: Vec<AgedContact>,
        out: &mut Vec<Output>,
    ) {
        let redirect = Redirect { contacts, ext: Vec::new() };
        out.push(Output::Greet { link, greeting: Greeting::Redirect(redirect) });
        out.push(Output::Close { link });
    }
}

/// The bare welcome, which proves that somebody is here and names nobody.
fn welcome_and_close(link: LinkId, peer: &Peer, out: &mut Vec<Output>) {
    let (contacts, ext) = (Vec::new(), Vec::new());
    let welcome = Welcome { your_address: peer.seen, contacts, ext };
    out.push(Output::Greet { link, greeting: Greeting::Welcome(welcome) });
    out.push(Output::Close { link });
}
