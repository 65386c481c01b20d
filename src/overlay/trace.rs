//! How a search ran: what is gathered of it for who asked to be told.
//!
//! A relay gathers in a [`Tracing`] what it did itself and what the Dones from behind it
//! tell, and hands it on in its own Done. The searcher merges them into a [`TraceTree`].
//! Always true: a relay gathers for at most [`TRACES`] searches at once, at most
//! [`Trace::MAX_NODES`] servents each, whatever strangers say; what is left out is counted
//! at the nearest servent that is told of, so that a trace tells of as many asked as were.

use std::collections::{BTreeMap, VecDeque};

use super::LinkId;
use super::config::{TRACE_BURST, TRACE_RATE, TRACE_SERVENTS, TRACES};
use crate::base::{Bucket, Guid, ServentId, Time};
use crate::message::{Extensions, QueryDone, QueryHit, ShortId, Trace, TraceNode};

/// How an own search ran: who was asked by whom, as the Dones told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TraceTree {
    /// Everybody told of, each behind its parent in this list.
    pub servents: Vec<Traced>,
    /// Servents that were asked and of which nothing is told, not even by whom.
    pub unsaid: u64,
    /// Copies that this servent sent itself.
    pub copies: u32,
    /// Copies among these that found somebody who had the query already.
    pub duplicates: u32,
}

/// One servent of a [`TraceTree`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traced {
    /// Its parent's place in the list; none when the searcher sent it its copy.
    pub parent: Option<usize>,
    /// Who; a claim.
    pub id: ShortId,
    /// Links between the searcher and it, in this tree.
    pub hops: u8,
    /// Whether it looked into its library.
    pub asked: bool,
    /// Whether it said nothing of itself.
    pub silent: bool,
    /// Whether it answered at all.
    pub answered: bool,
    /// Whether a copy that it was sent was still to be answered at the end.
    pub owes: bool,
    /// How many of its files matched, as it told or as hits of it came.
    pub hits: u32,
    /// Copies that it sent.
    pub copies: u32,
    /// Copies among these that found somebody who had the query already.
    pub duplicates: u32,
    /// Copies and matches that came to nothing there.
    pub lost: u32,
    /// Servents asked behind it of which nothing is told.
    pub unsaid: u64,
    /// When its copy left its parent, in microseconds after the search began: as far as
    /// spans on many clocks add up.
    pub sent: u64,
    /// When its answer was back there.
    pub back: u64,
    /// What of the time between was spent on the link and not behind it; none when it
    /// said nothing of itself.
    pub link: Option<u64>,
}

/// What is gathered of one search while this servent is engaged in it.
#[derive(Debug)]
pub(super) struct Tracing {
    /// When it was engaged; of an own search: when that began.
    since: Time,
    own: TraceNode,
    /// Those behind, each behind its parent; those whom we sent copies have depth 1.
    behind: Vec<TraceNode>,
    most: usize,
    deepest: u8,
    /// Whether it is an own search.
    is_own: bool,
    /// What the Dones of those behind count as lost.
    lost_behind: u32,
    /// When the first copy left that waits for its answer.
    sent: Vec<(LinkId, Time)>,
    /// Whose hits came, of an own search: by which link, over how many links more, and how
    /// many. The hits that one search takes bound it.
    delivered: BTreeMap<ShortId, Delivered>,
}

/// Hits of one servent.
#[derive(Clone, Copy, Debug)]
struct Delivered {
    link: LinkId,
    hops: u8,
    hits: u32,
}

impl Tracing {
    fn new(id: ShortId, since: Time, most: usize, deepest: u8) -> Self {
        let own = TraceNode { id, ..TraceNode::default() };
        let (behind, sent, delivered) = (Vec::new(), Vec::new(), BTreeMap::new());
        let is_own = false;
        Self { since, own, behind, most, deepest, is_own, lost_behind: 0, sent, delivered }
    }

    /// A copy leaves.
    pub(super) fn note_copy(&mut self, now: Time, link: LinkId) {
        self.own.copies = self.own.copies.saturating_add(1);
        if !self.sent.iter().any(|(other, _)| *other == link) {
            self.sent.push((link, now));
        }
    }

    /// The library has looked, and found so much.
    pub(super) fn note_match(&mut self, hits: usize) {
        self.own.asked = true;
        self.own.hits = u16::try_from(hits).unwrap_or(u16::MAX);
    }

    /// Hits of an own search came.
    pub(super) fn note_hits(&mut self, link: LinkId, hit: &QueryHit) {
        let new = Delivered { link, hops: hit.hops.0, hits: 0 };
        let delivered = self.delivered.entry(hit.responder.into()).or_insert(new);
        delivered.hits = delivered.hits.saturating_add(hit.count.into());
    }

    /// A copy is answered by the neighbour `id`; `last`: no other waits on its link.
    pub(super) fn note_done(
        &mut self,
        now: Time,
        link: LinkId,
        id: ServentId,
        done: &QueryDone,
        trace: Option<Trace>,
        last: bool,
    ) {
        let at = self.sent.iter().position(|(other, _)| *other == link);
        let left = at.and_then(|at| self.sent.get(at)).map_or(self.since, |&(_, left)| left);
        if let Some(at) = at.filter(|_| last) {
            self.sent.swap_remove(at);
        }
        let (sent, back) = (micros(self.since, left), micros(self.since, now));
        match trace {
            Some(trace) => {
                self.lost_behind = self.lost_behind.saturating_add(done.lost);
                let own = self.is_own;
                let nodes = trace.nodes().iter().map(|node| match node.depth {
                    // The searcher knows its own neighbours, whatever they tell others.
                    0 if own && !node.id.is_named() => {
                        TraceNode { depth: 1, id: id.into(), sent, back, ..*node }
                    }
                    0 => TraceNode { depth: 1, sent, back, ..*node },
                    depth => TraceNode { depth: depth + 1, ..*node },
                });
                self.append(nodes);
            }
            None if done.asked > 0 => {
                self.lost_behind = self.lost_behind.saturating_add(done.lost);
                let lost = u16::try_from(done.lost).unwrap_or(u16::MAX);
                // Who says nothing may not want to be named to others.
                let id = if self.is_own { id.into() } else { ShortId::default() };
                let node = TraceNode { depth: 1, id, silent: true, lost, ..self.own };
                let node = TraceNode { asked: false, hits: 0, copies: 0, duplicates: 0, ..node };
                self.append([TraceNode { unsaid: done.asked, sent, back, took: 0, ..node }]);
            }
            None if done.lost == 0 => self.own.duplicates = self.own.duplicates.saturating_add(1),
            None => {}
        }
    }

    /// Adds one tree; what there is no room for, or lies too deep, is counted at the
    /// nearest that is kept.
    fn append(&mut self, nodes: impl IntoIterator<Item = TraceNode>) {
        // Places of the ancestors that are kept, the nearest last.
        let mut above: Vec<usize> = Vec::new();
        for node in nodes {
            above.truncate(usize::from(node.depth).saturating_sub(1));
            let fits = self.behind.len() < self.most && node.depth <= self.deepest;
            if fits && above.len() + 1 == usize::from(node.depth) {
                above.push(self.behind.len());
                self.behind.push(node);
                continue;
            }
            let kept = above.last().and_then(|&at| self.behind.get_mut(at));
            let nearest = kept.unwrap_or(&mut self.own);
            let left_out = node.unsaid.saturating_add(u32::from(node.asked));
            nearest.unsaid = nearest.unsaid.saturating_add(left_out);
        }
    }

    /// What a Done bears that says `asked` and `lost`; nothing when there is nothing to
    /// tell, or not all of it was gathered.
    fn finish(mut self, now: Time, asked: u32, lost: u32) -> Extensions {
        let lost = lost.saturating_sub(self.lost_behind);
        if !self.own.asked && self.own.unsaid == 0 && self.behind.is_empty() {
            return Extensions::new();
        }
        self.own.lost = u16::try_from(lost).unwrap_or(u16::MAX);
        self.own.took = micros(self.since, now);
        self.behind.insert(0, self.own);
        let whole = Trace::new(self.behind).ok();
        let whole = whole.filter(|trace| trace.asked() == u64::from(asked));
        whole.map_or_else(Extensions::new, |trace| trace.to_extensions())
    }
}

/// The traces that are being gathered.
#[derive(Debug)]
pub(super) struct Traces {
    /// What this servent calls itself in them.
    id: ShortId,
    map: BTreeMap<Guid, Tracing>,
    /// Searches of others that are traced, oldest first.
    others: VecDeque<Guid>,
    rate: Bucket,
}

impl Traces {
    pub(super) fn new(id: ShortId, now: Time) -> Self {
        let rate = Bucket::new(TRACE_RATE, TRACE_BURST, now);
        Self { id, map: BTreeMap::new(), others: VecDeque::new(), rate }
    }

    /// Calls itself `id` from now on.
    pub(super) fn name(&mut self, id: ShortId) {
        self.id = id;
    }

    /// Whether one more search of others may be traced.
    pub(super) fn admits(&mut self, now: Time) -> bool {
        self.rate.take(now, 1)
    }

    /// Begins to trace somebody's search, unless it is being traced; the oldest one yields
    /// where there are too many.
    pub(super) fn begin(&mut self, now: Time, guid: Guid) {
        if self.map.contains_key(&guid) {
            return; // engaged by another, since the first one's link was lost
        }
        if self.others.len() >= TRACES
            && let Some(oldest) = self.others.pop_front()
        {
            self.map.remove(&oldest);
        }
        self.others.push_back(guid);
        self.map
            .insert(guid, Tracing::new(self.id, now, Trace::MAX_NODES - 1, Trace::MAX_DEPTH - 1));
    }

    /// Begins to trace an own search.
    pub(super) fn begin_own(&mut self, now: Time, guid: Guid) {
        let tracing = Tracing::new(self.id, now, TRACE_SERVENTS, Trace::MAX_DEPTH);
        self.map.insert(guid, Tracing { is_own: true, ..tracing });
    }

    pub(super) fn find_mut(&mut self, guid: Guid) -> Option<&mut Tracing> {
        self.map.get_mut(&guid)
    }

    /// Ends it; what the Done bears that says `asked` and `lost`.
    pub(super) fn finish(&mut self, now: Time, guid: Guid, asked: u32, lost: u32) -> Extensions {
        let tracing = self.forget(guid);
        tracing.map_or_else(Extensions::new, |tracing| tracing.finish(now, asked, lost))
    }

    /// Ends it untold.
    pub(super) fn forget(&mut self, guid: Guid) -> Option<Tracing> {
        self.others.retain(|other| *other != guid);
        self.map.remove(&guid)
    }
}

impl TraceTree {
    /// Makes the tree of an own search; `owing`: neighbours that have not answered all.
    pub(super) fn of(tracing: Tracing, owing: impl Iterator<Item = (LinkId, ServentId)>) -> Self {
        let Tracing { own, behind, delivered, .. } = tracing;
        let mut tree = Self {
            servents: Vec::new(),
            unsaid: own.unsaid.into(),
            copies: own.copies.into(),
            duplicates: own.duplicates.into(),
        };
        let mut places = BTreeMap::new();
        // The ancestors: where they stand, and when the query came to them.
        let mut above: Vec<(usize, u64)> = Vec::new();
        for node in behind {
            above.truncate(usize::from(node.depth).saturating_sub(1));
            let parent = above.last().copied();
            above.push(tree.graft(&mut places, parent, &node));
        }
        for (link, id) in owing {
            let at = tree.known_only(&mut places, None, id.into());
            if let Some(servent) = tree.servents.get_mut(at) {
                servent.owes = true;
            }
            for (&id, hits) in delivered.iter().filter(|(_, hits)| hits.link == link) {
                if !places.contains_key(&id) {
                    let at = tree.known_only(&mut places, Some(at), id);
                    if let Some(servent) = tree.servents.get_mut(at) {
                        servent.hops = hits.hops.saturating_add(1);
                    }
                }
            }
        }
        for servent in &mut tree.servents {
            if let Some(delivered) = delivered.get(&servent.id) {
                servent.hits = servent.hits.max(delivered.hits);
            }
        }
        tree
    }

    /// Where a servent stands of which no answer told; it is added where none did.
    fn known_only(
        &mut self,
        places: &mut BTreeMap<ShortId, usize>,
        parent: Option<usize>,
        id: ShortId,
    ) -> usize {
        if let Some(&at) = places.get(&id) {
            return at;
        }
        let node = TraceNode { id, silent: true, ..TraceNode::default() };
        let (at, _) = self.graft(places, parent.map(|at| (at, 0)), &node);
        if let Some(servent) = self.servents.get_mut(at) {
            servent.answered = false;
        }
        at
    }

    /// Adds what is told of one servent under `parent`; a servent that stands somewhere
    /// already stays there, and those behind it come there too. Where it stands, and when
    /// the query came to it.
    fn graft(
        &mut self,
        places: &mut BTreeMap<ShortId, usize>,
        parent: Option<(usize, u64)>,
        node: &TraceNode,
    ) -> (usize, u64) {
        let (above, base) = parent.map_or((None, 0), |(at, base)| (Some(at), base));
        let (sent, back) = (base + u64::from(node.sent), base + u64::from(node.back));
        let link = back.saturating_sub(sent).saturating_sub(node.took.into());
        let came = sent + link / 2;
        let known = places.get(&node.id).copied();
        let known = known.and_then(|at| Some((at, self.servents.get_mut(at)?)));
        if let Some((at, servent)) = known {
            servent.asked |= node.asked;
            servent.silent &= node.silent;
            servent.hits = servent.hits.saturating_add(node.hits.into());
            servent.copies = servent.copies.saturating_add(node.copies.into());
            servent.duplicates = servent.duplicates.saturating_add(node.duplicates.into());
            servent.lost = servent.lost.saturating_add(node.lost.into());
            servent.unsaid = servent.unsaid.saturating_add(node.unsaid.into());
            return (at, came);
        }
        let at = self.servents.len();
        if node.id.is_named() {
            places.insert(node.id, at);
        }
        let hops = above.and_then(|at| self.servents.get(at)).map_or(0, |servent| servent.hops);
        self.servents.push(Traced {
            parent: above,
            id: node.id,
            hops: hops.saturating_add(1),
            asked: node.asked,
            silent: node.silent,
            answered: true,
            owes: false,
            hits: node.hits.into(),
            copies: node.copies.into(),
            duplicates: node.duplicates.into(),
            lost: node.lost.into(),
            unsaid: node.unsaid.into(),
            sent,
            back,
            link: (!node.silent).then_some(link),
        });
        (at, came)
    }
}

/// From `start` to `end`, as far as a number of the wire goes: over an hour.
fn micros(start: Time, end: Time) -> u32 {
    u32::try_from(end.since(start).as_micros()).unwrap_or(u32::MAX)
}
