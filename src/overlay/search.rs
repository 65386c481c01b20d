//! The flood: a correct TTL-bounded breadth-first search.
//!
//! Promised, whatever the order in which messages travel: *every servent within the
//! radius is asked exactly once, and the searcher knows when all have answered.*
//!
//! **The horizon.** A plain flood drops duplicates, and with them a copy that took fewer
//! hops but more time and had more life left; part of the horizon then stays dark. Here
//! a servent remembers the life it holds and the life that each neighbour is known to
//! hold (it sent us a copy, or we sent it one), and passes on what improves theirs.
//!
//! **The end** is Dijkstra and Scholten's termination detection (1980): every copy is
//! answered by one [`QueryDone`], at once if it engaged nobody, otherwise when the
//! servent's own matching is done and every copy that it sent has been answered. The
//! copy that engaged a servent is its way back, for hits and for the Done; since both
//! keep their order on a link, hits never come after the end.
//!
//! Which links a copy crosses is decided in one place: [`Flood::spread`].

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;

use super::config::{
    Config, HIT_BYTES_OWN, HIT_BYTES_PER_LINK, HITS_LATE, HITS_OWN, HITS_PER_LINK, ODD, OWN_BURST,
    OWN_RATE, PAUSE_LEAST, PAUSE_MOST, RING_MOST, STRIKE,
};
use super::generations::Generations;
use super::neighbours::Neighbours;
use super::routes::{Parent, Route, done};
use super::{Answer, Event, LinkId, Output};
use crate::base::{Bucket, Guid, Hops, ServentId, Time, Ttl};
use crate::message::{LinkMessage, Query, QueryDone, QueryHit};

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
struct Search {
    body: Bytes,
    /// Radii to ask, the next one last.
    rings: Vec<u8>,
    radius: u8,
    asked: u64,
    enough: bool,
    cut: bool,
    deadline: Time,
    hits: u32,
    bytes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    Pause(Guid),
    Ring(Guid),
    Start(Guid),
}

#[derive(Debug)]
pub(super) struct Flood {
    id: ServentId,
    config: Config,
    rng: ChaCha12Rng,
    hasher: RandomState,
    routes: Generations<Route>,
    /// Searches with somebody waiting for our Done.
    open: BTreeSet<Guid>,
    searches: BTreeMap<Guid, Search>,
    timers: BTreeSet<(Time, Timer)>,
    relayed: Bucket,
    own: Bucket,
}

impl Flood {
    pub(super) fn new(id: ServentId, config: Config, rng: ChaCha12Rng, now: Time) -> Self {
        let rate = config.relayed_per_second;
        Self {
            id,
            rng,
            hasher: RandomState::new(),
            routes: Generations::new(config.generation, now),
            open: BTreeSet::new(),
            searches: BTreeMap::new(),
            timers: BTreeSet::new(),
            relayed: Bucket::new(rate, rate.saturating_mul(2), now),
            own: Bucket::new(OWN_RATE, OWN_BURST, now),
            config,
        }
    }

    /// The user searches: asks `rings` one after the other, each wider than the last.
    pub(super) fn search(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        body: Bytes,
        mut rings: Vec<u8>,
        out: &mut Vec<Output>,
    ) {
        rings.reverse();
        let route = Route::new(self.hasher.hash_one(&body), now, true);
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

    pub(super) fn on_enough(&mut self, guid: Guid) {
        if let Some(search) = self.searches.get_mut(&guid) {
            search.enough = true;
        }
    }

    pub(super) fn abandon(&mut self, guid: Guid) {
        self.searches.remove(&guid);
    }

    /// A copy of somebody's search.
    pub(super) fn on_query(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        query: Query,
        out: &mut Vec<Output>,
    ) {
        let Query { guid, ttl, hops, body } = query;
        let Some(Ttl(life)) = ttl.clamp_after(hops) else {
            neighbours.strike(now, link, STRIKE);
            return;
        };
        if life < ttl.0 {
            neighbours.strike(now, link, STRIKE); // nobody honest asks that far
        }
        let tag = self.hasher.hash_one(&body);
        let Some(route) = self.routes.find_mut(guid) else {
            self.on_first(now, neighbours, link, Query { guid, ttl: Ttl(life), hops, body }, out);
            return;
        };
        if route.tag != tag {
            out.push(done(link, guid, 0, 1));
            return;
        }
        if route.mine {
            route.tie(link).note_copy(life, hops.0);
            out.push(done(link, guid, 0, 0));
            return;
        }
        let tie = route.tie(link);
        let repeated = tie.came >= life;
        tie.note_copy(life, hops.0);
        if repeated {
            neighbours.strike(now, link, ODD); // each copy on a link has more life than the last
        }
        if life <= route.life || !self.config.improve {
            out.push(done(link, guid, 0, 0));
            return;
        }
        let wider = life + hops.0 > route.radius && hops.0 <= route.fewest;
        route.hold(life, hops);
        match route.parent {
            Parent::Searcher | Parent::Link(_) => out.push(done(link, guid, 0, 0)),
            Parent::None | Parent::Gone => {
                route.parent = Parent::Link(link);
                route.way_back = Some(link);
                self.open.insert(guid);
            }
        }
        if wider {
            route.pause = None;
            self.spread(now, neighbours, guid, &body, out);
        } else if route.pause.is_none() && route.improves(neighbours) {
            let pause = neighbours.slowest().clamp(PAUSE_LEAST, PAUSE_MOST);
            route.pause = Some((now + pause, body));
            self.timers.insert((now + pause, Timer::Pause(guid)));
        }
        self.finish_if_quiet(now, neighbours, guid, out);
    }

    /// The first copy: matched, and passed on at once.
    fn on_first(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        query: Query,
        out: &mut Vec<Output>,
    ) {
        let Query { guid, ttl, hops, body } = query;
        self.turn_if_due(now, out);
        let within = neighbours.find_mut(link).is_some_and(|n| n.taken.take(now, 1));
        if !within {
            neighbours.strike(now, link, ODD); // an honest servent sends half of that
        }
        if !within || !self.routes.admits(link) || !self.relayed.take(now, 1) {
            out.push(done(link, guid, 0, 1));
            return;
        }
        let mut route = Route::new(self.hasher.hash_one(&body), now, false);
        route.ties.reserve_exact(neighbours.len());
        route.hold(ttl.0, hops);
        route.tie(link).note_copy(ttl.0, hops.0);
        route.parent = Parent::Link(link);
        route.way_back = Some(link);
        route.matching = true;
        self.routes.insert(guid, route, Some(link));
        self.open.insert(guid);
        out.push(Output::Match { guid, body: body.clone() });
        self.spread(now, neighbours, guid, &body, out);
    }

    /// THE decision which links a copy crosses: to every neighbour that is not known to
    /// hold as much life as it would get, in random order.
    fn spread(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        body: &Bytes,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        let Some(ttl) = Ttl(route.life).spend() else { return };
        let hops = Hops(route.onward);
        let first = out.len();
        for neighbour in neighbours.iter_mut() {
            let (mine, life) = (route.mine, ttl.0);
            let tie = route.tie(neighbour.link);
            if tie.known >= life {
                continue;
            }
            let fresh = !tie.sent && !mine;
            if fresh && !neighbour.sent.take(now, 1) {
                route.lost = route.lost.saturating_add(1);
                continue;
            }
            tie.known = life;
            tie.sent = true;
            tie.outstanding = tie.outstanding.saturating_add(1);
            route.outstanding += 1;
            let query = Query { guid, ttl, hops, body: body.clone() };
            let message = LinkMessage::Query(query);
            out.push(Output::Send { link: neighbour.link, message });
        }
        if let Some(copies) = out.get_mut(first..) {
            copies.shuffle(&mut self.rng);
        }
    }

    /// A copy that we sent is answered.
    pub(super) fn on_done(
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
        self.finish_if_quiet(now, neighbours, done.guid, out);
    }

    /// Hits were thrown out of a full queue: the searcher shall know that some are missing.
    pub(super) fn on_hit_shed(&mut self, guid: Guid) {
        if let Some(route) = self.routes.find_mut(guid) {
            route.lost = route.lost.saturating_add(1);
        }
    }

    /// A copy was thrown out of a full queue before it was sent.
    pub(super) fn on_copy_shed(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        guid: Guid,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        if route.settle(link) {
            route.lost = route.lost.saturating_add(1);
            self.finish_if_quiet(now, neighbours, guid, out);
        }
    }

    /// The library has looked.
    pub(super) fn on_matched(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        answers: Vec<Answer>,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        if !std::mem::take(&mut route.matching) {
            return;
        }
        route.asked = route.asked.saturating_add(1);
        for Answer { count, body } in answers {
            if let Some(link) = route.way_for_hits(neighbours, None) {
                let hops = Hops(0);
                let hit = QueryHit { guid, hops, responder: self.id, count, body };
                out.push(Output::Send { link, message: LinkMessage::QueryHit(hit) });
            }
        }
        self.finish_if_quiet(now, neighbours, guid, out);
    }

    /// The library had no time.
    pub(super) fn on_match_refused(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        if std::mem::take(&mut route.matching) {
            route.lost = route.lost.saturating_add(1);
            self.finish_if_quiet(now, neighbours, guid, out);
        }
    }

    /// Hits on their way back.
    pub(super) fn on_hit(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        hit: QueryHit,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(hit.guid) else {
            neighbours.strike(now, link, ODD); // nobody asked, or long ago
            return;
        };
        let (mine, born) = (route.mine, route.born);
        let tie = route.tie(link);
        if !tie.sent {
            neighbours.strike(now, link, STRIKE);
            return;
        }
        let (count, bytes) =
            (u32::from(hit.count), u32::try_from(hit.body.len()).unwrap_or(u32::MAX));
        if mine {
            let Some(search) = self.searches.get_mut(&hit.guid) else { return };
            search.hits = search.hits.saturating_add(count);
            search.bytes = search.bytes.saturating_add(bytes);
            if search.hits <= HITS_OWN && search.bytes <= HIT_BYTES_OWN {
                out.push(Output::Event(Event::Hit(hit)));
            } else {
                (search.enough, search.cut) = (true, true);
            }
            return;
        }
        tie.hits = tie.hits.saturating_add(count);
        tie.bytes = tie.bytes.saturating_add(bytes);
        let over = tie.hits > HITS_PER_LINK || tie.bytes > HIT_BYTES_PER_LINK;
        if over || now.since(born) > HITS_LATE {
            route.lost = route.lost.saturating_add(1);
            return;
        }
        let Some(hops) = hit.hops.next() else { return };
        if let Some(back) = route.way_for_hits(neighbours, Some(link)) {
            let hit = QueryHit { hops, ..hit };
            out.push(Output::Send { link: back, message: LinkMessage::QueryHit(hit) });
        }
    }

    /// A link is gone: what it still owed is lost.
    pub(super) fn on_link_lost(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        out: &mut Vec<Output>,
    ) {
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

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Time, neighbours: &mut Neighbours, out: &mut Vec<Output>) {
        while let Some(&(at, timer)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            match timer {
                Timer::Start(guid) => self.next_ring(now, neighbours, guid, out),
                Timer::Ring(guid) => {
                    if self.searches.get(&guid).is_some_and(|search| search.deadline == at) {
                        self.end_ring(now, neighbours, guid, true, out);
                    }
                }
                Timer::Pause(guid) => {
                    let Some(route) = self.routes.find_mut(guid) else { continue };
                    if route.pause.as_ref().is_none_or(|(due, _)| *due != at) {
                        continue;
                    }
                    if let Some((_, body)) = route.pause.take() {
                        self.spread(now, neighbours, guid, &body, out);
                    }
                    self.finish_if_quiet(now, neighbours, guid, out);
                }
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// Says Done once nothing is awaited any more.
    fn finish_if_quiet(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
        if route.matching || route.pause.is_some() || route.outstanding > 0 {
            return;
        }
        match route.parent {
            Parent::None => {
                self.open.remove(&guid);
            }
            Parent::Searcher => self.end_ring(now, neighbours, guid, false, out),
            Parent::Link(_) | Parent::Gone => {
                self.open.remove(&guid);
                route.answer(guid, out);
            }
        }
    }

    /// Asks the next ring, or ends the search where there is none.
    fn next_ring(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        out: &mut Vec<Output>,
    ) {
        let Some(search) = self.searches.get_mut(&guid) else { return };
        let Some(radius) = search.rings.pop() else { return };
        let Some(route) = self.routes.find_mut(guid) else { return };
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

    fn end_ring(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        guid: Guid,
        by_timer: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(route) = self.routes.find_mut(guid) else { return };
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
        out.push(Output::Event(Event::RingEnded { guid, end }));
        if last {
            self.searches.remove(&guid);
        } else {
            self.next_ring(now, neighbours, guid, out);
        }
    }

    /// Begins a new generation of memory when the present one is full or old.
    fn turn_if_due(&mut self, now: Time, out: &mut Vec<Output>) {
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
                route.answer(guid, out);
            }
        }
    }
}
