//! Evening the mesh out, a link at a time.
//!
//! Joins leave some servents with many links, and two meshes that met with few links
//! between them. So each servent now and then links with somebody who is nobody's
//! neighbour around it, in exchange for a link to somebody who is, and one that has links
//! to spare lets one go.
//!
//! Always true: the overlay lets nobody go at its target degree or below; what goes was
//! not dialled by us, so that no crowd of newcomers can push out whom we chose; it is not
//! young, and the mesh holds without it: another neighbour has just named it as a neighbour
//! of its own. Only with twice the surplus is a link let go without such a witness. No
//! search that is under way here loses anything by it.

use rand::RngExt;
use rand::seq::IteratorRandom;

use super::config::{REWIRE_EVERY, SHUFFLE_EVERY, SURPLUS, TRIM_EVERY};
use super::membership::{DownReason, Membership};
use super::neighbours::Neighbour;
use super::refill::taken;
use super::{LinkId, Output};
use crate::base::{Contact, Time};
use crate::message::{AgedContact, Bye, ByeReason, LinkMessage, Purpose};

/// The least share of its turns in which a servent links with somebody further off though
/// nothing is wanting: where no two neighbours know each other there may still be two
/// halves of a mesh with few links between them.
const LEAST_SHARE: f64 = 1.0 / 8.0;

impl Membership {
    pub(super) fn rewire(&mut self, now: Time, out: &mut Vec<Output>) {
        if now < self.rewire_at {
            return;
        }
        self.rewire_at = now + REWIRE_EVERY.mul_f64(self.rng.random_range(0.5..1.5));
        if self.alone || self.config.manual {
            return;
        }
        let (degree, target) = (self.neighbours.degree(), self.config.target_degree);
        let most = self.comfortable();
        if degree > most {
            self.rewire_at = now + TRIM_EVERY.mul_f64(self.rng.random_range(0.5..1.5));
            if self.quiet {
                self.let_one_go(now, degree > most + SURPLUS, out);
            }
        } else {
            // A link for a link: if all only took more, nobody would have room for anybody.
            if degree > target && self.quiet {
                self.let_one_go(now, false, out);
            }
            if degree > target && !self.rng.random_bool(self.clustered()) {
                return;
            }
            let excluded = taken(&self.neighbours, &self.dialling);
            if let Some(contact) = self.book.far(now, &mut self.rng, excluded) {
                self.dial(now, contact, Purpose::Refill { isolated: false }, out);
            }
        }
    }

    /// How often to link with somebody further off: as often as neighbours know each other,
    /// for then the mesh is a cluster here.
    fn clustered(&self) -> f64 {
        let neighbours = self.neighbours.iter();
        let witnessed = neighbours.filter(|n| n.witnessed.is_some()).count();
        (witnessed as f64 / self.neighbours.len().max(1) as f64).clamp(LEAST_SHARE, 1.0)
    }

    /// Links that are no surplus.
    pub(super) fn comfortable(&self) -> usize {
        (self.config.target_degree + SURPLUS).min(self.config.max_degree)
    }

    fn let_one_go(&mut self, now: Time, pressing: bool, out: &mut Vec<Output>) {
        let theirs = self.neighbours.iter().filter(|n| !n.manual && !n.dialled);
        let old = theirs.filter(|n| now.since(n.up) >= SHUFFLE_EVERY);
        let mut spare: Vec<LinkId> =
            old.clone().filter(|n| is_witnessed(n, now)).map(|n| n.link).collect();
        if spare.is_empty() && pressing {
            spare = old.map(|n| n.link).collect();
        }
        if let Some(link) = spare.into_iter().choose(&mut self.rng) {
            self.part_with(now, link, None, out);
        }
    }

    /// Ends a link politely: its servent is named others to turn to, first the `newcomer`
    /// for which it goes, or somebody who is not near us.
    pub(super) fn part_with(
        &mut self,
        now: Time,
        link: LinkId,
        newcomer: Option<&Contact>,
        out: &mut Vec<Output>,
    ) {
        let Some(neighbour) = self.neighbours.find(link) else { return };
        let (id, seen) = (neighbour.id(), neighbour.peer.seen.ip());
        let mut contacts = self.contacts_for(now, id, seen);
        if let Some(newcomer) = newcomer.filter(|newcomer| !newcomer.addresses.is_empty()) {
            contacts.retain(|aged| aged.contact.id != newcomer.id);
            contacts.insert(0, AgedContact { contact: newcomer.clone(), age_secs: 0 });
            contacts.truncate(AgedContact::MAX_GREETING);
        } else {
            contacts.reverse();
        }
        let bye = LinkMessage::Bye(Bye { reason: ByeReason::Full, contacts, ext: Vec::new() });
        out.push(Output::Send { link, message: bye });
        self.part(now, link, DownReason::LetGo, out);
    }
}

/// Whether another neighbour has named it as a neighbour of its own just now.
pub(super) fn is_witnessed(neighbour: &Neighbour, now: Time) -> bool {
    neighbour.witnessed.is_some_and(|at| now.since(at) <= SHUFFLE_EVERY)
}
