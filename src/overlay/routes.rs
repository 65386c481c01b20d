//! What is remembered of one search: who sent it, who was sent it, and who waits.

use bytes::Bytes;

use super::neighbours::Neighbours;
use super::{LinkId, Output};
use crate::base::{Guid, Hops, Time, Ttl};
use crate::message::{Extensions, LinkMessage, QueryDone};

/// The largest life that has a bit; no copy has more than `MAX_TTL`.
const MAX_BIT: u8 = 15;

/// Who waits for a servent's Done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Parent {
    /// Nobody: every copy has been answered.
    None,
    /// The user here.
    Searcher,
    /// The neighbour whose copy engaged us.
    Link(LinkId),
    /// Somebody whose link is gone.
    Gone,
}

/// What is known of one search.
#[derive(Debug)]
pub(super) struct Route {
    /// Keyed hash of the body: another body under this name is not taken up.
    pub(super) tag: u64,
    pub(super) born: Time,
    pub(super) mine: bool,
    /// The largest life held.
    pub(super) life: u8,
    /// The hops that a copy sent on bears.
    pub(super) onward: u8,
    /// The fewest hops of any copy.
    pub(super) fewest: u8,
    /// The largest `ttl + hops` of any copy.
    pub(super) radius: u8,
    pub(super) matching: bool,
    /// Whether who asks wants to know how it ran.
    pub(super) traced: bool,
    /// An improvement that waits to be passed on, with the body to pass.
    pub(super) pause: Option<(Time, Bytes)>,
    pub(super) parent: Parent,
    pub(super) way_back: Option<LinkId>,
    /// Copies sent and not yet answered.
    pub(super) outstanding: u32,
    pub(super) asked: u32,
    pub(super) lost: u32,
    pub(super) ties: Vec<Tie>,
}

/// What is known of one search and one link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tie {
    pub(super) link: LinkId,
    /// The life that the neighbour holds at least.
    pub(super) known: u8,
    /// The life of its last copy; 0: it sent none.
    pub(super) came: u8,
    /// The fewest hops of its copies.
    pub(super) hops: u8,
    /// The lives of the copies that we sent it, a bit each.
    lives: u16,
    /// Those of them that were the largest when a copy came.
    marks: u16,
    /// Those of them that a copy has answered which crossed them.
    crossed: u16,
    pub(super) outstanding: u16,
    pub(super) hits: u32,
    pub(super) bytes: u32,
}

impl Route {
    pub(super) fn new(tag: u64, born: Time, mine: bool) -> Self {
        Self {
            tag,
            born,
            mine,
            life: 0,
            onward: 0,
            fewest: u8::MAX,
            radius: 0,
            matching: false,
            traced: false,
            pause: None,
            parent: Parent::None,
            way_back: None,
            outstanding: 0,
            asked: 0,
            lost: 0,
            ties: Vec::new(),
        }
    }

    /// Whether a copy that was sent over `link` waits for its answer.
    pub(super) fn owes(&self, link: LinkId) -> bool {
        self.ties.iter().any(|tie| tie.link == link && tie.outstanding > 0)
    }

    pub(super) fn tie(&mut self, link: LinkId) -> &mut Tie {
        let at = self.ties.iter().position(|tie| tie.link == link).unwrap_or_else(|| {
            self.ties.push(Tie {
                link,
                known: 0,
                came: 0,
                hops: u8::MAX,
                lives: 0,
                marks: 0,
                crossed: 0,
                outstanding: 0,
                hits: 0,
                bytes: 0,
            });
            self.ties.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.ties[at]
    }

    /// Takes over the life of a copy.
    pub(super) fn hold(&mut self, life: u8, hops: Hops) {
        self.life = life;
        self.onward = hops.0.saturating_add(1);
        self.fewest = self.fewest.min(hops.0);
        self.radius = self.radius.max(life.saturating_add(hops.0));
    }

    /// Whether some neighbour would gain from what is held.
    pub(super) fn improves(&mut self, neighbours: &Neighbours) -> bool {
        let Some(Ttl(life)) = Ttl(self.life).spend() else { return false };
        neighbours.iter().any(|neighbour| self.tie(neighbour.link).known < life)
    }

    /// Where hits go: the way back, or the living neighbour whose copy bore the fewest
    /// hops; never back where they came from.
    pub(super) fn way_for_hits(
        &self,
        neighbours: &Neighbours,
        from: Option<LinkId>,
    ) -> Option<LinkId> {
        let open = |link: &LinkId| Some(*link) != from && neighbours.find(*link).is_some();
        self.way_back.filter(open).or_else(|| {
            let copies = self.ties.iter().filter(|tie| tie.came > 0 && open(&tie.link));
            copies.min_by_key(|tie| tie.hops).map(|tie| tie.link)
        })
    }

    /// Takes one copy sent by `link` as answered; false when none waits for an answer.
    pub(super) fn settle(&mut self, link: LinkId) -> bool {
        let tie = self.tie(link);
        let waits = tie.outstanding > 0;
        if waits {
            tie.outstanding -= 1;
            self.outstanding -= 1;
        }
        waits
    }

    /// Whether nothing is awaited any more, here or elsewhere.
    pub(super) fn is_quiet(&self) -> bool {
        !self.matching && self.pause.is_none() && self.outstanding == 0
    }

    /// Forgets a link that is gone for good; how many of its answers were awaited.
    pub(super) fn cut(&mut self, link: LinkId) -> u16 {
        let at = self.ties.iter().position(|tie| tie.link == link);
        at.map_or(0, |at| self.ties.swap_remove(at).outstanding)
    }

    /// Tells the parent what came together, with `ext`, and is engaged no more.
    pub(super) fn answer(&mut self, guid: Guid, ext: Extensions, out: &mut Vec<Output>) {
        let (asked, lost) = (std::mem::take(&mut self.asked), std::mem::take(&mut self.lost));
        if let Parent::Link(link) = std::mem::replace(&mut self.parent, Parent::None) {
            let message = LinkMessage::QueryDone(QueryDone { guid, asked, lost, ext });
            out.push(Output::Send { link, message });
        }
    }
}

impl Tie {
    /// A copy came from it, sent when it had `seen` that life of ours. Whether that crossed
    /// one of ours on the way: the next one, sent when all before this one had come. It says
    /// the same of that one, so each is the other's answer.
    pub(super) fn note_copy(&mut self, life: u8, hops: u8, seen: Ttl) -> bool {
        self.known = self.known.max(life.saturating_add(1));
        self.came = self.came.max(life);
        self.hops = self.hops.min(hops);
        let next = lowest(self.lives & above(seen.0));
        let crossed = self.outstanding > 0 && seen.0 >= highest(self.marks) && next != 0;
        if crossed {
            self.crossed |= next;
        }
        self.marks |= 1 << highest(self.lives);
        crossed
    }

    /// A copy goes to it.
    pub(super) fn note_sent(&mut self, life: u8) {
        self.known = life;
        self.lives |= 1 << life.min(MAX_BIT);
        self.outstanding = self.outstanding.saturating_add(1);
    }

    /// A copy that was to go to it was never sent. Whether one less waits for its answer:
    /// else a copy from there that has crossed it is still to be answered.
    pub(super) fn note_shed(&mut self, life: u8) -> bool {
        let bit = 1 << life.min(MAX_BIT);
        // The other side pairs what crossed this copy with the next one that was on the way.
        let until = highest(lowest(self.marks & !(bit - 1)));
        let next = lowest(self.lives & above(life) & !above(until));
        self.lives &= !bit;
        if self.marks & bit != 0 {
            self.marks = self.marks & !bit | 1 << highest(self.lives & (bit - 1));
        }
        let crossed = self.crossed & bit != 0;
        if crossed {
            self.crossed = self.crossed & !bit | next;
        }
        !crossed || next != 0
    }

    /// Whether we sent it a copy: then it may send hits.
    pub(super) fn is_sent(&self) -> bool {
        self.lives != 0
    }
}

/// The largest life that has a bit in `lives`; 0 when none has.
fn highest(lives: u16) -> u8 {
    MAX_BIT.saturating_sub(u8::try_from(lives.leading_zeros()).unwrap_or(MAX_BIT))
}

/// The bit of the smallest life in `lives`, if any.
fn lowest(lives: u16) -> u16 {
    lives & lives.wrapping_neg()
}

/// The bits of all lives larger than `life`.
fn above(life: u8) -> u16 {
    u16::MAX.checked_shl(u32::from(life) + 1).unwrap_or(0)
}

/// The answer to one copy that came by `link`.
pub(super) fn done(link: LinkId, guid: Guid, asked: u32, lost: u32) -> Output {
    let done = QueryDone { guid, asked, lost, ext: Vec::new() };
    Output::Send { link, message: LinkMessage::QueryDone(done) }
}
