//! The trace of a search: how its flood ran, told to who asks for it.
//!
//! A query asks by an extension; then each Done that answers an engaging copy bears, as an
//! extension too, what its sender and those behind it did. Times are spans by the teller's
//! own clock, so no two clocks are compared. A relay shows itself by a short id and never
//! by an address; the asker is not in it at all. Everything is a claim of who tells it.
//!
//! Always true of a [`Trace`] that was read: at most [`Trace::MAX_NODES`] servents, the
//! first one its sender, none deeper than [`Trace::MAX_DEPTH`], and as many asked as its
//! Done says.

use super::{Extensions, QueryDone};
use crate::base::ServentId;

/// The first 40 bits of a servent's id: what its short form shows. All zero: it does not
/// want to be named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ShortId(pub [u8; 5]);

impl ShortId {
    /// Whether it names somebody.
    #[must_use]
    pub fn is_named(self) -> bool {
        self != Self::default()
    }
}

impl From<ServentId> for ShortId {
    fn from(id: ServentId) -> Self {
        Self(id.0.first_chunk().copied().unwrap_or_default())
    }
}

impl std::fmt::Display for ShortId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut id = ServentId([0; 32]);
        id.0.iter_mut().zip(self.0).for_each(|(byte, ours)| *byte = ours);
        f.pad(&id.short())
    }
}

/// What one servent did in a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceNode {
    /// Hops below the sender of the Done; 0 is the sender itself.
    pub depth: u8,
    /// Who.
    pub id: ShortId,
    /// Whether it looked into its library, now for the first time.
    pub asked: bool,
    /// Whether it said nothing of itself: then its neighbour speaks for it.
    pub silent: bool,
    /// How many of its files matched.
    pub hits: u16,
    /// Copies that it sent.
    pub copies: u16,
    /// Copies among these that found somebody who had the query already.
    pub duplicates: u16,
    /// Copies and matches that came to nothing here.
    pub lost: u16,
    /// Servents asked behind it, of which nothing is told.
    pub unsaid: u32,
    /// Microseconds from when the query came to its parent until the copy left for it.
    pub sent: u32,
    /// Microseconds from when the query came to its parent until its Done came there.
    pub back: u32,
    /// Microseconds from when the copy came until its own Done left.
    pub took: u32,
}

/// What a Done tells of its sender and those behind it, each behind its parent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace(Vec<TraceNode>);

/// Why the trace in a Done is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the trace in a Done is malformed")]
pub struct TraceError;

impl Trace {
    /// The tag of the extensions of a [`QueryBody`](super::QueryBody) that asks, and of the
    /// [`QueryDone`] that answers.
    pub const TAG: u16 = 1;
    /// Most servents in one Done: with 31 bytes for each it has less than 8 KiB.
    pub const MAX_NODES: usize = 256;
    /// Deeper than this below the sender nobody is told of. A way may be longer than a query
    /// lives: who was engaged late in one copy's life passes on a younger one that came later.
    pub const MAX_DEPTH: u8 = 64;
    /// Bytes of one servent.
    const NODE_LEN: usize = 31;
    const ASKED: u8 = 1;
    const SILENT: u8 = 2;

    /// What a query bears that asks for a trace.
    #[must_use]
    pub fn wanted() -> Extensions {
        vec![(Self::TAG, vec![1])]
    }

    /// Whether an encoded [`QueryBody`](super::QueryBody) asks for a trace. Reads of the
    /// body nothing but its extensions.
    #[must_use]
    pub fn is_wanted(body: &[u8]) -> bool {
        // Nearly all bodies end in the empty list of extensions.
        body.last().is_some_and(|&last| last != 0) && asks(body).unwrap_or(false)
    }

    /// A trace of these, the sender of the Done first.
    ///
    /// # Errors
    /// [`TraceError`], when they are none or too many, or one has no parent.
    pub fn new(nodes: Vec<TraceNode>) -> Result<Self, TraceError> {
        let mut room = 0;
        for node in &nodes {
            if node.depth > room || node.depth >= Self::MAX_DEPTH {
                return Err(TraceError);
            }
            room = node.depth + 1;
        }
        let alone = nodes.iter().filter(|node| node.depth == 0).count() == 1;
        if alone && nodes.len() <= Self::MAX_NODES { Ok(Self(nodes)) } else { Err(TraceError) }
    }

    /// The servents, each behind its parent; the sender of the Done first.
    #[must_use]
    pub fn nodes(&self) -> &[TraceNode] {
        &self.0
    }

    /// How many servents were asked, told of or not.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.0.iter().map(|node| u64::from(node.asked) + u64::from(node.unsaid)).sum()
    }

    /// As an extension of a Done.
    #[must_use]
    pub fn to_extensions(&self) -> Extensions {
        let mut value = Vec::with_capacity(self.0.len() * Self::NODE_LEN);
        for node in &self.0 {
            value.push(node.depth);
            value.extend(node.id.0);
            let asked = if node.asked { Self::ASKED } else { 0 };
            value.push(asked | if node.silent { Self::SILENT } else { 0 });
            for number in [node.hits, node.copies, node.duplicates, node.lost] {
                value.extend(number.to_le_bytes());
            }
            for number in [node.unsaid, node.sent, node.back, node.took] {
                value.extend(number.to_le_bytes());
            }
        }
        vec![(Self::TAG, value)]
    }

    /// The trace that a Done bears; none when it bears none.
    ///
    /// # Errors
    /// [`TraceError`], when what it bears breaks a rule, or contradicts the Done itself.
    pub fn of(done: &QueryDone) -> Result<Option<Self>, TraceError> {
        let Some((_, value)) = done.ext.iter().find(|(tag, _)| *tag == Self::TAG) else {
            return Ok(None);
        };
        let (chunks, rest) = value.as_chunks::<{ Self::NODE_LEN }>();
        if !rest.is_empty() || chunks.len() > Self::MAX_NODES {
            return Err(TraceError);
        }
        let trace = Self::new(chunks.iter().map(TraceNode::read).collect())?;
        if trace.asked() == u64::from(done.asked) { Ok(Some(trace)) } else { Err(TraceError) }
    }
}

impl TraceNode {
    fn read(bytes: &[u8; Trace::NODE_LEN]) -> Self {
        let mut rest = bytes.as_slice();
        let [depth] = take(&mut rest);
        let id = ShortId(take(&mut rest));
        let [flags] = take(&mut rest);
        let mut short = || u16::from_le_bytes(take(&mut rest));
        let (hits, copies, duplicates, lost) = (short(), short(), short(), short());
        let mut long = || u32::from_le_bytes(take(&mut rest));
        let (unsaid, sent, back, took) = (long(), long(), long(), long());
        let (asked, silent) = (flags & Trace::ASKED != 0, flags & Trace::SILENT != 0);
        Self { depth, id, asked, silent, hits, copies, duplicates, lost, unsaid, sent, back, took }
    }
}

/// Takes `N` bytes off the front, which the caller knows to be there.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((bytes, left)) = rest.split_first_chunk() else { return [0; N] };
    *rest = left;
    *bytes
}

/// Walks over the text of a query and its extensions; none when it is no query.
fn asks(body: &[u8]) -> Option<bool> {
    let mut rest = body;
    skip(&mut rest)?;
    for _ in 0..int(&mut rest)? {
        let tag = int(&mut rest)?;
        if tag == u64::from(Trace::TAG) {
            return Some(true);
        }
        skip(&mut rest)?;
    }
    Some(false)
}

/// Passes over a text or a list of bytes.
fn skip(rest: &mut &[u8]) -> Option<()> {
    let len = usize::try_from(int(rest)?).ok()?;
    *rest = rest.get(len..)?;
    Some(())
}

/// An int as `wire` describes it.
fn int(rest: &mut &[u8]) -> Option<u64> {
    let (&first, after) = rest.split_first()?;
    *rest = after;
    let wide = match first {
        ..=250 => return Some(first.into()),
        251 => 2,
        252 => 4,
        253 => 8,
        _ => return None,
    };
    let (bytes, after) = rest.split_at_checked(wide)?;
    *rest = after;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Guid;

    fn node(depth: u8, asked: bool, unsaid: u32) -> TraceNode {
        let numbers =
            TraceNode { hits: 1, copies: 2, duplicates: 3, lost: 4, ..Default::default() };
        let id = ShortId([depth + 1; 5]);
        TraceNode { depth, id, asked, unsaid, sent: 5, back: 6, took: u32::MAX, ..numbers }
    }

    fn done(asked: u32, ext: Extensions) -> QueryDone {
        QueryDone { guid: Guid([1; 16]), asked, lost: 0, ext }
    }

    #[test]
    fn a_trace_reads_back_from_its_done_beside_other_extensions() {
        let nodes = vec![node(0, true, 0), node(1, true, 7), node(2, false, 0), node(1, true, 0)];
        let trace = Trace::new(nodes).unwrap();
        let mut ext = vec![(9, vec![1, 2])];
        ext.extend(trace.to_extensions());
        assert_eq!(Trace::of(&done(10, ext)), Ok(Some(trace)));
        assert_eq!(Trace::of(&done(10, Vec::new())), Ok(None));
    }

    #[test]
    fn a_trace_that_breaks_a_rule_is_refused() {
        for wrong in [
            vec![],
            vec![node(1, true, 0)],
            vec![node(0, true, 0), node(2, true, 0)],
            vec![node(0, true, 0), node(0, true, 0)],
            vec![node(0, true, 0); Trace::MAX_NODES + 1],
            (0..=Trace::MAX_DEPTH).map(|depth| node(depth, true, 0)).collect(),
        ] {
            assert_eq!(Trace::new(wrong.clone()), Err(TraceError));
            let asked = wrong.len() as u32;
            let ext = Trace(wrong).to_extensions();
            assert_eq!(Trace::of(&done(asked, ext)), Err(TraceError));
        }
        let good = Trace::new(vec![node(0, true, 3)]).unwrap();
        assert_eq!(Trace::of(&done(5, good.to_extensions())), Err(TraceError), "4 were asked");
        let mut cut = good.to_extensions();
        cut[0].1.pop();
        assert_eq!(Trace::of(&done(4, cut)), Err(TraceError));
    }

    #[test]
    fn the_largest_trace_fits_its_done() {
        let deep = (1..Trace::MAX_NODES).map(|_| node(1, true, u32::MAX));
        let trace = Trace::new(std::iter::once(node(0, true, 0)).chain(deep).collect()).unwrap();
        let [(_, value)] = &trace.to_extensions()[..] else { panic!("one extension") };
        // Guid, two ints, and what says how long the extensions are.
        assert!(value.len() + 16 + 2 * 5 + 1 + 3 + 3 <= 8192);
    }

    #[test]
    fn a_short_id_is_written_like_the_servents_own() {
        let id = ServentId(std::array::from_fn(|i| (i * 37) as u8));
        assert_eq!(ShortId::from(id).to_string(), id.short());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_trace_that_breaks_its_bounds(
            value in prop::collection::vec(any::<u8>(), 0..9000),
            asked: u32,
        ) {
            if let Ok(Some(trace)) = Trace::of(&done(asked, vec![(Trace::TAG, value)])) {
                prop_assert!(trace.nodes().len() <= Trace::MAX_NODES);
                prop_assert_eq!(trace.asked(), u64::from(asked));
            }
        }

        #[test]
        fn no_bytes_of_a_query_panic(body in prop::collection::vec(any::<u8>(), 0..494)) {
            let _ = Trace::is_wanted(&body);
        }
    }
}
