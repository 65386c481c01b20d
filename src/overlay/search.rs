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
//! keep their order on a link, hits never come after the end. Two copies that cross on a
//! link answer each other, as in Chang's echo algorithm (1982): either end has sent one,
//! so it is engaged until the other's comes, and most links of a flood are of that sort.
//!
//! Which links a copy crosses is decided in one place: [`Flood::spread`].
//!
//! Here is how copies come and go; `own`: what the user searches; `hits`: their way back;
//! `end`: the Dones.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;

use super::config::{Config, ODD, OWN_BURST, OWN_RATE, PAUSE_LEAST, PAUSE_MOST, STRIKE};
use super::fair_share::FairShare;
use super::generations::Generations;
use super::neighbours::Neighbours;
use super::routes::{Parent, Route, done};
use super::trace::Traces;
use super::ways::Ways;
use super::{LinkId, Output};
use crate::base::{Bucket, Guid, Hops, ServentId, Time, Ttl};
use crate::message::{LinkMessage, Query, ShortId, Trace};

mod end;
mod hits;
mod own;

pub use own::RingEnd;
use own::Search;

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
    /// By which way hits came and went.
    pub(super) ways: Ways,
    /// Searches with somebody waiting for our Done.
    open: BTreeSet<Guid>,
    searches: BTreeMap<Guid, Search>,
    traces: Traces,
    timers: BTreeSet<(Time, Timer)>,
    relayed: FairShare,
    own: Bucket,
}

impl Flood {
    pub(super) fn new(id: ServentId, config: Config, rng: ChaCha12Rng, now: Time) -> Self {
        Self {
            id,
            rng,
            hasher: RandomState::new(),
            routes: Generations::new(config.generation, now),
            ways: Ways::default(),
            open: BTreeSet::new(),
            searches: BTreeMap::new(),
            traces: Traces::new(id.into(), now),
            timers: BTreeSet::new(),
            relayed: FairShare::new(config.relayed_per_second, now),
            own: Bucket::new(OWN_RATE, OWN_BURST, now),
            config,
        }
    }

    /// Whether no search is under way through this servent, as far as it knows.
    pub(super) fn is_quiet(&self) -> bool {
        self.open.is_empty() && self.searches.is_empty()
    }

    /// How often what is remembered of searches has been looked at.
    #[cfg(test)]
    pub(super) fn looks(&self) -> u64 {
        self.routes.looks.get()
    }

    /// Whether others' traces name this servent from now on.
    pub(super) fn name_in_traces(&mut self, named: bool) {
        self.traces.name(if named { self.id.into() } else { ShortId::default() });
    }

    /// Whether nothing is owed over `link`, by either side, as far as this one knows.
    pub(super) fn is_settled(&self, link: LinkId) -> bool {
        let mut open = self.open.iter().filter_map(|&guid| self.routes.find(guid));
        !open.any(|route| route.parent == Parent::Link(link) || route.owes(link))
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
        let Query { guid, ttl, hops, seen, body } = query;
        let Some(Ttl(life)) = ttl.clamp_after(hops) else {
            neighbours.strike(now, link, STRIKE);
            return;
        };
        if life < ttl.0 {
            neighbours.strike(now, link, STRIKE); // nobody honest asks that far
        }
        let tag = self.hasher.hash_one(&body);
        let Some(route) = self.routes.find_mut(guid) else {
            let query = Query { guid, ttl: Ttl(life), hops, seen, body };
            self.on_first(now, neighbours, link, query, out);
            return;
        };
        if route.tag != tag {
            out.push(done(link, guid, 0, 1));
            return;
        }
        let tie = route.tie(link);
        let repeated = tie.came >= life;
        let crossed = tie.note_copy(life, hops.0, seen);
        if repeated && !route.mine {
            neighbours.strike(now, link, ODD); // each copy on a link has more life than the last
        }
        if route.mine || life <= route.life || !self.config.improve {
            if !crossed {
                out.push(done(link, guid, 0, 0));
            } else if route.traced {
                self.on_crossed(now, neighbours, link, guid, out);
            } else if route.settle(link) && route.is_quiet() {
                self.finish_if_quiet(now, neighbours, guid, out);
            }
            return;
        }
        let wider = life + hops.0 > route.radius && hops.0 <= route.fewest;
        route.hold(life, hops);
        match route.parent {
            _ if crossed => {}
            Parent::Searcher | Parent::Link(_) => out.push(done(link, guid, 0, 0)),
            Parent::None | Parent::Gone => {
                route.parent = Parent::Link(link);
                route.way_back = Some(link);
                self.open.insert(guid);
                if route.traced {
                    self.traces.begin(now, guid);
                }
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
        if crossed {
            self.on_crossed(now, neighbours, link, guid, out);
        } else {
            self.finish_if_quiet(now, neighbours, guid, out);
        }
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
        let Query { guid, ttl, hops, seen, body } = query;
        self.turn_if_due(now, out);
        let within = neighbours.find_mut(link).is_some_and(|n| n.taken.take(now, 1));
        if !within {
            neighbours.strike(now, link, ODD); // an honest servent sends half of that
        }
        if !within || !self.routes.admits(link) || !self.relayed.take(now, link, neighbours) {
            out.push(done(link, guid, 0, 1));
            return;
        }
        let mut route = Route::new(self.hasher.hash_one(&body), now, false);
        route.ties.reserve_exact(neighbours.len());
        route.hold(ttl.0, hops);
        route.tie(link).note_copy(ttl.0, hops.0, seen);
        route.parent = Parent::Link(link);
        route.way_back = Some(link);
        route.matching = true;
        route.traced = Trace::is_wanted(&body) && self.traces.admits(now);
        if route.traced {
            self.traces.begin(now, guid);
        }
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
        let mut tracing = if route.traced { self.traces.find_mut(guid) } else { None };
        for neighbour in neighbours.iter_mut() {
            let (mine, life) = (route.mine, ttl.0);
            let tie = route.tie(neighbour.link);
            if tie.known >= life {
                continue;
            }
            let fresh = !tie.is_sent() && !mine;
            if fresh && !neighbour.sent.take(now, 1) {
                route.lost = route.lost.saturating_add(1);
                continue;
            }
            tie.note_sent(life);
            let seen = Ttl(tie.came);
            route.outstanding += 1;
            if let Some(tracing) = &mut tracing {
                tracing.note_copy(now, neighbour.link);
            }
            let query = Query { guid, ttl, hops, seen, body: body.clone() };
            let message = LinkMessage::Query(query);
            out.push(Output::Send { link: neighbour.link, message });
        }
        if let Some(copies) = out.get_mut(first..) {
            copies.shuffle(&mut self.rng);
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
}
