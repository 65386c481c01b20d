//! What the user searches: one ring after the other, each wider, until there is enough.

use std::hash::BuildHasher;
use std::time::Duration;

use bytes::Bytes;

use super::{Flood, Timer};
use crate::base::{Guid, Time};
use crate::message::Trace;
use crate::overlay::config::RING_MOST;
use crate::overlay::neighbours::Neighbours;
use crate::overlay::routes::{Parent, Route};
use crate::overlay::trace::TraceTree;
use crate::overlay::{Event, Output};

/// How a ring of an own search ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingEnd {
    /// Its radius.
    pub radius: u8,
    /// Servents asked so far, by all rings together.
    pub asked: u64,
    /// Copies and matches of this ring that came to nothing, and neighbours that have
    /// not answered.
    pub lost: u64,
    /// Whether the clock ended it, not the answers.
    pub by_timer: bool,
    /// Whether hits were dropped because there were more than one search takes.
    pub cut: bool,
    /// Whether the search is over.
    pub last: bool,
}

/// An own search.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) body: Bytes,
    /// Radii to ask, the next one last.
    pub(super) rings: Vec<u8>,
    pub(super) radius: u8,
    pub(super) asked: u64,
    pub(super) enough: bool,
    pub(super) cut: bool,
    pub(super) deadline: Time,
    pub(super) hits: u32,
    pub(super) bytes: u32,
}

impl Flood {
    /// The user searches: asks `rings` one after the other, each wider than the last.
    pub(in crate::overlay) fn search(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        body: Bytes,
        mut rings: Vec<u8>,
        out: &mut Vec<Output>,
    ) {
        rings.reverse();
        let mut route = Route::new(self.hasher.hash_one(&body), now, true);
        route.traced = Trace::is_wanted(&body);
        if route.traced {
            self.traces.begin_own(now, guid);
        }
        self.turn_if_due(now, out);
        self.routes.insert(guid, route, None);
        let search = Search {
            body,
            rings,
            radius: 0,
            asked: 0,
            enough: false,
            cut: false,
            deadline: now,
            hits: 0,
            bytes: 0,
        };
        self.searches.insert(guid, search);
        self.own.owe(now, 1);
        let delay = self.own.debt(now);
        if delay.is_zero() {
            self.next_ring(now, neighbours, guid, out);
        } else {
            self.timers.insert((now + delay, Timer::Start(guid)));
        }
    }

    pub(in crate::overlay) fn on_enough(&mut self, guid: Guid) {
        if let Some(search) = self.searches.get_mut(&guid) {
            search.enough = true;
        }
    }

    pub(in crate::overlay) fn abandon(&mut self, guid: Guid) {
        self.searches.remove(&guid);
        let _ = self.traces.forget(guid);
    }

    /// Asks the next ring, or ends the search where there is none.
    pub(super) fn next_ring(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        out: &mut Vec<Output>,
    ) {
        let Some(search) = self.searches.get_mut(&guid) else { return };
        let Some(radius) = search.rings.pop() else { return };
        let Some(route) = self.routes.find_mut(guid) else {
            return self.end_forgotten(guid, radius, out);
        };
        let allowed = 2 * neighbours.slowest() + Duration::from_millis(100);
        let most = Duration::from_millis(250) + allowed * u32::from(radius);
        search.radius = radius;
        search.deadline = now + most.min(RING_MOST);
        self.timers.insert((search.deadline, Timer::Ring(guid)));
        route.life = radius + 1;
        route.parent = Parent::Searcher;
        route.lost = 0;
        self.open.insert(guid);
        let body = search.body.clone();
        self.spread(now, neighbours, guid, &body, out);
        self.finish_if_quiet(now, neighbours, guid, out);
    }

    pub(super) fn end_ring(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        by_timer: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else {
            let radius = self.searches.get(&guid).map_or(0, |search| search.radius);
            return self.end_forgotten(guid, radius, out);
        };
        route.parent = Parent::None;
        if route.outstanding == 0 {
            self.open.remove(&guid);
        }
        let Some(search) = self.searches.get_mut(&guid) else { return };
        search.deadline = Time::ZERO;
        search.asked += u64::from(std::mem::take(&mut route.asked));
        let silent = route.ties.iter().filter(|tie| tie.outstanding > 0).count() as u64;
        let last = search.enough || search.rings.is_empty();
        let end = RingEnd {
            radius: search.radius,
            asked: search.asked,
            lost: u64::from(route.lost) + silent,
            by_timer,
            cut: search.cut,
            last,
        };
        if last && let Some(tracing) = self.traces.forget(guid) {
            let owing = route.ties.iter().filter(|tie| tie.outstanding > 0);
            let owing = owing.filter_map(|tie| neighbours.find(tie.link));
            let owing = owing.map(|neighbour| (neighbour.link, neighbour.id()));
            let tree = TraceTree::of(tracing, owing);
            out.push(Output::Event(Event::Traced { guid, tree }));
        }
        out.push(Output::Event(Event::RingEnded { guid, end }));
        if last {
            self.searches.remove(&guid);
        } else {
            self.next_ring(now, neighbours, guid, out);
        }
    }

    /// Ends an own search that waited so long that strangers' searches have pushed out what
    /// was remembered of it.
    fn end_forgotten(&mut self, guid: Guid, radius: u8, out: &mut Vec<Output>) {
        self.open.remove(&guid);
        let Some(Search { asked, cut, .. }) = self.searches.remove(&guid) else { return };
        let end = RingEnd { radius, asked, lost: 1, by_timer: true, cut, last: true };
        out.push(Output::Event(Event::RingEnded { guid, end }));
    }
}
