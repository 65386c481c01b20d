//! A running download gives on what it has, and names those whom it takes from.
//!
//! Always true: nothing is offered before the last piece is here, while what an earlier run
//! left is being checked or its user has paused it, or once it is over.

use super::Fetch;
use crate::base::{ContentId, PieceIndex, PieceMap, ServentId};
use crate::servent::swarms::Running;

impl Fetch {
    /// Offers the verified pieces from now on, if that can be done and is not yet.
    pub(super) fn offer(&mut self, held: &PieceMap) {
        let (Some(part), Some(list)) = (self.shelf.part(), &self.list) else { return };
        let bound = list.geometry().last().is_some_and(|last| held.contains(last));
        if self.offered || self.paused || self.checking || !bound {
            return;
        }
        self.offered = true;
        let name = self.show.borrow().name.clone();
        let running = Running::new(list.clone(), part, name, self.found.clone());
        let id = list.id();
        self.ground.swarms.begin(running, held.clone());
        for source in self.gave.clone() {
            self.name_source(id, source);
        }
    }

    /// The same, of what the plan holds.
    pub(super) fn offer_again(&mut self) {
        if !self.offered
            && let Some(held) = self.plan.held().cloned()
        {
            self.offer(&held);
        }
    }

    /// A piece is here that was not; `first`: the first one from `source`.
    pub(super) fn offer_piece(&mut self, source: ServentId, piece: PieceIndex, first: bool) {
        if !self.offered {
            return;
        }
        let id = self.show.borrow().id;
        self.ground.swarms.gained(id, piece);
        if first {
            self.name_source(id, source);
        }
    }

    fn name_source(&self, id: ContentId, source: ServentId) {
        let dialled_at = self.open.get(&source).and_then(|open| open.seen.filter(|_| open.dialled));
        if let Some(at) = dialled_at {
            self.ground.swarms.met(id, source, "", at);
        }
    }

    /// Offers nothing any more.
    pub(super) fn end_offer(&mut self) {
        if std::mem::take(&mut self.offered) {
            self.ground.swarms.end(self.show.borrow().id);
        }
    }
}
