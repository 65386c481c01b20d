//! How a newcomer finds its place: random walks, and the servent where one ends dials it
//! (HyParView, 4.2).
//!
//! A servent that has enough links by then puts the newcomer in the middle of one of them:
//! it lets a neighbour go and names it the newcomer, which that one dials if it needs
//! somebody in its place. So all degrees stay as they are however many come, and the mesh
//! stays as random as it was (Cooper, Dyer, Greenhill, SODA 2005, split edges the same way).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};

use super::address::{Scope, group, scope};
use super::config::SPLIT_EVERY;
use super::membership::Membership;
use super::neighbours::Neighbour;
use super::{LinkId, Output};
use crate::base::{Contact, ServentId, Time};
use crate::message::{AgedContact, ForwardJoin, LinkMessage, Purpose};

impl Membership {
    /// Sends a newcomer's walks out: where links are split each brings it two neighbours.
    pub(super) fn send_walks(&mut self, newcomer: &Contact, out: &mut Vec<Output>) {
        let mut links = self.walkable(None, newcomer.id);
        links.shuffle(&mut self.rng);
        let walks = self.config.target_degree / 2 + 1;
        for &link in links.iter().cycle().take(if links.is_empty() { 0 } else { walks }) {
            let newcomer = AgedContact { contact: newcomer.clone(), age_secs: 0 };
            let walk = ForwardJoin { newcomer, walk: ForwardJoin::MAX_WALK, ext: Vec::new() };
            out.push(Output::Send { link, message: LinkMessage::ForwardJoin(walk) });
        }
    }

    /// Sends a walk for each of some strangers through our part of the mesh, so that not
    /// all hangs on the one link between two meshes that met.
    pub(super) fn introduce(
        &mut self,
        now: Time,
        beside: LinkId,
        strangers: &[AgedContact],
        out: &mut Vec<Output>,
    ) {
        for stranger in strangers {
            let links = self.walkable(Some(beside), stranger.contact.id);
            let Some(&link) = links.choose(&mut self.rng) else { return };
            if !self.introductions.take(now, 1) {
                return;
            }
            let newcomer = stranger.clone();
            let walk = ForwardJoin { newcomer, walk: ForwardJoin::MAX_WALK, ext: Vec::new() };
            out.push(Output::Send { link, message: LinkMessage::ForwardJoin(walk) });
        }
    }

    pub(super) fn on_walk(
        &mut self,
        now: Time,
        from: LinkId,
        walk: ForwardJoin,
        out: &mut Vec<Output>,
    ) {
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
        self.learn(now, from, vec![newcomer.clone()]);
        let links = self.walkable(Some(from), id);
        let next = links.choose(&mut self.rng).copied();
        if let (Some(link), Some(walk)) = (next, steps.min(ForwardJoin::MAX_WALK).checked_sub(1)) {
            let walk = ForwardJoin { newcomer, walk, ext };
            out.push(Output::Send { link, message: LinkMessage::ForwardJoin(walk) });
        } else if self.neighbours.with_id(id).is_none()
            && self.neighbours.degree() + self.dialling.links() < self.config.max_degree
        {
            let addresses = newcomer.contact.addresses.into_iter();
            let addresses = addresses.filter(|&a| super::dialable(a, seen));
            let purpose = Purpose::Refill { isolated: false };
            self.dial(now, Contact::new(id, addresses), purpose, out);
        }
    }

    /// Puts the servent at the end of the new `link` in the middle of another link, when it
    /// is one too many here.
    pub(super) fn split(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        if self.neighbours.degree() <= self.comfortable() {
            return;
        }
        let Some(newcomer) = self.neighbours.find(link) else { return };
        // Whoever has one address of a network can have all of it, and name them one by one.
        let network = far(newcomer);
        let dialled = self.neighbours.iter().filter(|n| n.dialled && n.link != link);
        if newcomer.dialled && dialled.map(far).any(|theirs| !theirs.is_disjoint(&network)) {
            return;
        }
        let newcomer = newcomer.peer.contact.clone();
        // Those that we dialled stay: no crowd of newcomers can have them all.
        let others = self.neighbours.iter().filter(|n| !n.manual && !n.dialled && n.link != link);
        let other = others.map(|n| n.link).choose(&mut self.rng);
        if let Some(other) = other.filter(|_| self.splits.take(now, SPLIT_EVERY)) {
            self.part_with(now, other, Some(&newcomer), out);
        }
    }

    /// Somebody lets us go, and names first who is to take its place.
    pub(super) fn replace(
        &mut self,
        now: Time,
        link: LinkId,
        successor: Option<Contact>,
        out: &mut Vec<Output>,
    ) {
        let Some(Contact { id, addresses }) = successor else { return };
        let Some(neighbour) = self.neighbours.find(link).filter(|n| !n.manual) else { return };
        let seen = neighbour.peer.seen.ip();
        let left = self.neighbours.degree().saturating_sub(1) + self.dialling.links();
        let known = id == self.id || self.neighbours.with_id(id).is_some();
        if self.config.manual || known || left >= self.config.target_degree {
            return;
        }
        let addresses = addresses.into_iter().filter(|&a| super::dialable(a, seen));
        let contact = Contact::new(id, addresses);
        self.dial(now, contact, Purpose::Refill { isolated: false }, out);
    }

    /// The links that a walk for `newcomer` may take from `from`.
    pub(super) fn walkable(&self, from: Option<LinkId>, newcomer: ServentId) -> Vec<LinkId> {
        let links = self.neighbours.iter();
        links
            .filter(|n| !n.manual && Some(n.link) != from && n.id() != newcomer)
            .map(|n| n.link)
            .collect()
    }
}

/// The public networks that a neighbour is in: in a local one all are beside each other.
fn far(neighbour: &Neighbour) -> BTreeSet<IpAddr> {
    let addresses = neighbour.peer.contact.addresses.iter().chain([&neighbour.peer.seen]);
    let public = addresses.map(SocketAddr::ip).filter(|&ip| scope(ip) == Scope::Public);
    public.filter_map(group).collect()
}
