//! How a newcomer finds its place: random walks, and the servent where one ends dials it
//! (HyParView, 4.2).

use rand::seq::{IndexedRandom, SliceRandom};

use super::membership::Membership;
use super::{LinkId, Output};
use crate::base::{Contact, ServentId, Time};
use crate::message::{AgedContact, ForwardJoin, LinkMessage, Purpose};

impl Membership {
    /// Sends a newcomer's walks out, as many as it needs neighbours beside us.
    pub(super) fn send_walks(&mut self, newcomer: &Contact, out: &mut Vec<Output>) {
        let mut links = self.walkable(None, newcomer.id);
        links.shuffle(&mut self.rng);
        let walks = self.config.target_degree.saturating_sub(1);
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

    /// The links that a walk for `newcomer` may take from `from`.
    pub(super) fn walkable(&self, from: Option<LinkId>, newcomer: ServentId) -> Vec<LinkId> {
        let links = self.neighbours.iter();
        links
            .filter(|n| !n.manual && Some(n.link) != from && n.id() != newcomer)
            .map(|n| n.link)
            .collect()
    }
}
