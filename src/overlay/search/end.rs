//! The end of a search: every copy is answered by one Done, whatever becomes of it.

use super::Flood;
use crate::base::{Guid, Time, Ttl};
use crate::message::{Extensions, QueryDone, Trace};
use crate::overlay::config::STRIKE;
use crate::overlay::neighbours::{Neighbour, Neighbours};
use crate::overlay::routes::{Parent, done};
use crate::overlay::{LinkId, Output};

impl Flood {
    /// A copy that we sent is answered.
    pub(in crate::overlay) fn on_done(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        done: &QueryDone,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(done.guid) else { return };
        if !route.settle(link) {
            neighbours.strike(now, link, STRIKE);
            return;
        }
        route.asked = route.asked.saturating_add(done.asked);
        route.lost = route.lost.saturating_add(done.lost);
        if route.traced {
            let last = route.tie(link).outstanding == 0;
            let id = neighbours.find(link).map(Neighbour::id);
            if let (Some(tracing), Some(id)) = (self.traces.find_mut(done.guid), id) {
                let trace = Trace::of(done).unwrap_or_else(|_| {
                    neighbours.strike(now, link, STRIKE);
                    None
                });
                tracing.note_done(now, link, id, done, trace, last);
            }
        }
        self.finish_if_quiet(now, neighbours, done.guid, out);
    }

    /// A copy that we sent has crossed one that came, which found nothing to do here
    /// either: that is its answer.
    pub(super) fn on_crossed(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        guid: Guid,
        out: &mut Vec<Output>,
    ) {
        let done = QueryDone { guid, asked: 0, lost: 0, ext: Extensions::new() };
        self.on_done(now, neighbours, link, &done, out);
    }

    /// A copy was thrown out of a full queue before it was sent.
    pub(in crate::overlay) fn on_copy_shed(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        (guid, ttl): (Guid, Ttl),
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        if !route.tie(link).note_shed(ttl.0) {
            out.push(done(link, guid, 0, 1));
        } else if route.settle(link) {
            route.lost = route.lost.saturating_add(1);
            self.finish_if_quiet(now, neighbours, guid, out);
        }
    }

    /// A link is gone: what it still owed is lost.
    pub(in crate::overlay) fn on_link_lost(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        out: &mut Vec<Output>,
    ) {
        self.ways.cut(link);
        let open: Vec<Guid> = self.open.iter().copied().collect();
        for guid in open {
            let Some(route) = self.routes.find_mut(guid) else { continue };
            let owed = route.cut(link);
            route.outstanding -= u32::from(owed);
            route.lost = route.lost.saturating_add(u32::from(owed));
            if route.parent == Parent::Link(link) {
                route.parent = Parent::Gone;
            }
            self.finish_if_quiet(now, neighbours, guid, out);
        }
    }

    /// Says Done once nothing is awaited any more.
    pub(super) fn finish_if_quiet(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        if !route.is_quiet() {
            return;
        }
        match route.parent {
            Parent::None => {
                self.open.remove(&guid);
            }
            Parent::Searcher => self.end_ring(now, neighbours, guid, false, out),
            Parent::Link(_) | Parent::Gone => {
                self.open.remove(&guid);
                let (asked, lost) = (route.asked, route.lost);
                let ext = match route.traced {
                    true => self.traces.finish(now, guid, asked, lost),
                    false => Extensions::new(),
                };
                route.answer(guid, ext, out);
            }
        }
    }

    /// Begins a new generation of memory when the present one is full or old.
    pub(super) fn turn_if_due(&mut self, now: Time, out: &mut Vec<Output>) {
        if !self.routes.is_due(now) {
            return;
        }
        let mut forgotten = self.routes.turn(now);
        // Whoever still waits for an answer gets one: what is known by now.
        let open: Vec<Guid> =
            self.open.iter().copied().filter(|guid| forgotten.contains_key(guid)).collect();
        for guid in open {
            self.open.remove(&guid);
            if let Some(mut route) = forgotten.remove(&guid) {
                route.lost = route.lost.saturating_add(route.outstanding);
                let _ = self.traces.forget(guid);
                route.answer(guid, Extensions::new(), out);
            }
        }
    }
}
