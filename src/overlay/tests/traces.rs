//! What is gathered of a search for who wants to know how it ran.

use super::*;
use crate::message::{Extensions, ShortId, Trace, TraceNode};
use crate::overlay::config::{TRACE_BURST, TRACES};

/// A body as `wire` encodes it, with the extension that asks for a trace.
const WANTED: &[u8] = b"\x06ferris\x01\x01\x01\x01";

fn traced(n: u8, ttl: u8, hops: u8) -> LinkMessage {
    let body = Bytes::from_static(WANTED);
    LinkMessage::Query(Query { guid: guid(n), ttl: Ttl(ttl), hops: Hops(hops), seen: Ttl(0), body })
}

fn done(n: u8, asked: u32, lost: u32, ext: Extensions) -> LinkMessage {
    LinkMessage::QueryDone(QueryDone { guid: guid(n), asked, lost, ext })
}

fn node(depth: u8, id: u8) -> TraceNode {
    TraceNode { depth, id: ShortId([id; 5]), asked: true, took: 1000, ..TraceNode::default() }
}

fn trace(nodes: impl IntoIterator<Item = TraceNode>) -> Extensions {
    Trace::new(nodes.into_iter().collect()).unwrap().to_extensions()
}

fn matched(n: u8, count: u8) -> Input {
    let answer = Answer { count, body: Bytes::from_static(b"hits") };
    Input::Matched { guid: guid(n), answers: Vec::from_iter((count > 0).then_some(answer)) }
}

fn after(millis: u64) -> Time {
    at(1) + std::time::Duration::from_millis(millis)
}

/// The one Done in `out`, and its trace.
fn told(out: &[Output]) -> (QueryDone, Option<Trace>) {
    let dones: Vec<_> = sent(out)
        .into_iter()
        .filter_map(|(_, message)| match message {
            LinkMessage::QueryDone(done) => Some(done),
            _ => None,
        })
        .collect();
    let [done] = dones[..] else { panic!("{dones:?}") };
    (done.clone(), Trace::of(done).unwrap())
}

#[test]
fn a_relay_tells_what_it_did_and_what_those_behind_it_tell() {
    let mut overlay = with_neighbours(5);
    let out = tell(&mut overlay, after(0), from(1, traced(1, 4, 2)));
    assert_eq!(copies(&out), [(2, 3, 3), (3, 3, 3), (4, 3, 3), (5, 3, 3)]);
    tell(&mut overlay, after(1), matched(1, 3));
    let behind = trace([node(0, 2), node(1, 20), node(2, 21)]);
    tell(&mut overlay, after(4), from(2, done(1, 3, 1, behind)));
    tell(&mut overlay, after(5), from(3, done(1, 0, 0, vec![])));
    tell(&mut overlay, after(6), from(4, done(1, 7, 2, vec![])));
    let out = tell(&mut overlay, after(9), from(5, done(1, 0, 1, vec![])));
    let (done, trace) = told(&out);
    assert_eq!((done.asked, done.lost), (11, 4));
    let own = TraceNode { hits: 3, copies: 4, duplicates: 1, lost: 1, took: 9000, ..node(0, 100) };
    // Nobody else names who says nothing of itself.
    let silent =
        TraceNode { asked: false, silent: true, lost: 2, unsaid: 7, took: 0, ..node(1, 0) };
    assert_eq!(
        trace.unwrap().nodes(),
        [
            own,
            TraceNode { back: 4000, ..node(1, 2) },
            node(2, 20),
            node(3, 21),
            TraceNode { back: 6000, ..silent },
        ]
    );
}

#[test]
fn nothing_is_gathered_of_a_search_that_asks_for_no_trace() {
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), from(1, query(1, 2, 0, "ferris")));
    tell(&mut overlay, at(1), from(2, done(1, 1, 0, trace([node(0, 2)]))));
    let out = tell(&mut overlay, at(1), matched(1, 0));
    assert_eq!(told(&out).0.ext, Extensions::new());
}

#[test]
fn a_done_with_a_false_trace_counts_but_tells_nothing_and_is_a_strike() {
    let liar = trace([TraceNode { unsaid: u32::MAX, ..node(0, 2) }]);
    for ext in [liar, vec![(Trace::TAG, vec![7; 8000])], vec![(Trace::TAG, vec![])]] {
        let mut overlay = with_neighbours(2);
        tell(&mut overlay, at(1), from(1, traced(1, 2, 0)));
        tell(&mut overlay, at(1), from(2, done(1, 5, 0, ext)));
        let (done, trace) = told(&tell(&mut overlay, at(1), matched(1, 0)));
        assert_eq!(done.asked, 6);
        let trace = trace.unwrap();
        let [_, silent] = trace.nodes() else { panic!("{trace:?}") };
        assert!(silent.silent && silent.unsaid == 5);
    }
    let mut overlay = with_neighbours(2);
    let mut closes = 0;
    for n in 0..20 {
        tell(&mut overlay, at(1), from(1, traced(n, 2, 0)));
        let out = tell(&mut overlay, at(1), from(2, done(n, 5, 0, vec![(1, vec![0])])));
        closes += closed(&out).len();
    }
    assert_eq!(closes, 1, "who goes on lying is let go");
}

#[test]
fn what_has_no_room_is_counted_at_the_nearest_that_has() {
    let mut overlay = with_neighbours(3);
    tell(&mut overlay, at(1), from(1, traced(1, 8, 0)));
    tell(&mut overlay, at(1), matched(1, 0));
    let many = |id: u8| {
        let rest = (0..Trace::MAX_NODES - 2).map(|_| node(2, 9));
        trace([node(0, id), node(1, id + 10)].into_iter().chain(rest))
    };
    let asked = Trace::MAX_NODES as u32;
    tell(&mut overlay, at(1), from(2, done(1, asked, 0, many(2))));
    let out = tell(&mut overlay, at(1), from(3, done(1, asked, 0, many(3))));
    let (done, trace) = told(&out);
    assert_eq!(done.asked, 2 * asked + 1);
    let trace = trace.unwrap();
    assert_eq!((trace.nodes().len(), trace.asked()), (Trace::MAX_NODES, done.asked.into()));
    assert_eq!(trace.nodes()[2].unsaid, 1, "of the first, one");
    assert_eq!(trace.nodes()[0].unsaid, asked, "of the second, all: none is kept");
}

#[test]
fn what_lies_too_deep_is_counted_and_not_told() {
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), from(1, traced(1, 8, 0)));
    tell(&mut overlay, at(1), matched(1, 0));
    let deep = trace((0..Trace::MAX_DEPTH).map(|depth| node(depth, depth + 110)));
    let (done, trace) =
        told(&tell(&mut overlay, at(1), from(2, done(1, Trace::MAX_DEPTH.into(), 0, deep))));
    assert_eq!(done.asked, 65);
    let trace = trace.unwrap();
    assert_eq!((trace.nodes().len(), trace.nodes()[63].unsaid), (64, 1));
}

#[test]
fn many_traced_searches_at_once_take_no_more_than_their_room() {
    let mut overlay = with_neighbours(2);
    let mut now = at(1);
    for n in 0..=TRACES as u8 {
        now = now + std::time::Duration::from_secs(1);
        tell(&mut overlay, now, from(1, traced(n, 2, 0)));
        tell(&mut overlay, now, from(2, done(n, 1, 0, trace([node(0, 2)]))));
    }
    let (done, trace) = told(&tell(&mut overlay, now, matched(0, 0)));
    assert_eq!((done.asked, trace), (2, None), "the oldest yields, and is answered all the same");
    let (_, trace) = told(&tell(&mut overlay, now, matched(1, 0)));
    assert_eq!(trace.unwrap().nodes().len(), 2);
}

#[test]
fn traces_above_the_rate_are_not_gathered_and_their_searches_are_answered() {
    let mut overlay = with_neighbours(1);
    let told = (0..2 * TRACE_BURST as u8).map(|n| {
        tell(&mut overlay, at(1), from(1, traced(n, 1, 0)));
        told(&tell(&mut overlay, at(1), matched(n, 0))).1.is_some()
    });
    assert_eq!(told.filter(|told| *told).count() as u64, TRACE_BURST);
}

#[test]
fn the_searcher_merges_what_all_rings_tell_and_names_who_did_not_answer() {
    let mut overlay = with_neighbours(3);
    let body = Bytes::from_static(WANTED);
    tell(&mut overlay, at(1), Input::Search { guid: guid(1), body, rings: vec![2, 4] });
    let first = trace([TraceNode { hits: 2, ..node(0, 1) }, node(1, 11)]);
    tell(&mut overlay, at(1), from(1, done(1, 2, 0, first)));
    tell(&mut overlay, at(1), from(2, done(1, 0, 0, vec![])));
    tell(&mut overlay, at(1), from(3, done(1, 0, 0, vec![])));
    // The second ring: the first neighbour was asked before, what is behind it is new; one
    // claims to be the first neighbour, and to have it behind itself.
    let again = |node| TraceNode { asked: false, ..node };
    let second = trace([again(node(0, 1)), again(node(1, 11)), node(2, 12)]);
    tell(&mut overlay, at(1), from(1, done(1, 1, 0, second)));
    let liar = trace([node(0, 12), again(node(1, 1)), node(2, 13)]);
    tell(&mut overlay, at(1), from(2, done(1, 2, 0, liar)));
    let out = tell(&mut overlay, at(2), Input::Wake);
    let [Event::Traced { tree, .. }, Event::RingEnded { end, .. }] = &events(&out)[..] else {
        panic!("{out:?}")
    };
    assert!(end.last && end.by_timer);
    let shown: Vec<_> = tree.servents.iter().map(|s| (s.id.0[0], s.parent, s.hops)).collect();
    let expected =
        [(1, None, 1), (11, Some(0), 2), (12, Some(1), 3), (13, Some(0), 2), (3, None, 1)];
    assert_eq!(shown, expected);
    assert_eq!(tree.servents[0].hits, 2);
    let answered = tree.servents.iter().map(|servent| servent.answered);
    assert_eq!(answered.collect::<Vec<_>>(), [true, true, true, true, false]);
}

#[test]
fn who_does_not_want_to_be_named_tells_all_but_its_id() {
    let mut overlay = with_neighbours(1);
    for (n, named) in [(1, true), (2, false), (3, true)] {
        tell(&mut overlay, at(1), Input::TraceName(named));
        tell(&mut overlay, at(1), from(1, traced(n, 1, 0)));
        let trace = told(&tell(&mut overlay, at(1), matched(n, 3))).1.unwrap();
        let own = trace.nodes()[0];
        assert_eq!((own.id.is_named(), own.asked, own.hits), (named, true, 3));
    }
}

/// A hit of `responder` that comes by `link`.
fn hit_of(guid_of: u8, responder: u8, hops: u8, count: u8) -> LinkMessage {
    let responder = ServentId([responder; 32]);
    let body = Bytes::from_static(b"opaque");
    LinkMessage::QueryHit(QueryHit {
        guid: guid(guid_of),
        hops: Hops(hops),
        responder,
        count,
        body,
    })
}

#[test]
fn hits_are_told_of_who_has_not_ended_and_an_end_that_is_missing_of_who_has_answered() {
    let mut overlay = with_neighbours(4);
    let body = Bytes::from_static(WANTED);
    tell(&mut overlay, at(1), Input::Search { guid: guid(1), body, rings: vec![2, 4] });
    // The first answers the first ring and not the second; the second sends hits of its own
    // and of one behind it, and no answer; the third tells nothing of itself; the fourth is
    // dead.
    tell(&mut overlay, at(1), from(1, done(1, 1, 0, trace([node(0, 1)]))));
    tell(&mut overlay, at(1), from(3, done(1, 1, 0, vec![])));
    tell(&mut overlay, at(1), from(2, hit_of(1, 2, 0, 3)));
    tell(&mut overlay, at(1), from(2, hit_of(1, 22, 2, 5)));
    tell(&mut overlay, at(1), from(3, hit_of(1, 3, 0, 4)));
    tell(&mut overlay, at(5), Input::Wake);
    tell(&mut overlay, at(5), from(3, done(1, 0, 0, vec![])));
    let out = tell(&mut overlay, at(12), Input::Wake);
    let [Event::Traced { tree, .. }, Event::RingEnded { end, .. }] = &events(&out)[..] else {
        panic!("{out:?}")
    };
    assert!(end.last && end.by_timer);
    let shown: Vec<_> = tree
        .servents
        .iter()
        .map(|s| (s.id.0[0], s.parent, s.hops, s.hits, s.answered, s.owes))
        .collect();
    let expected = [
        (1, None, 1, 0, true, true),
        (3, None, 1, 4, true, false),
        (2, None, 1, 3, false, true),
        (22, Some(2), 3, 5, false, false),
        (4, None, 1, 0, false, true),
    ];
    assert_eq!(shown, expected);
}

fn events(out: &[Output]) -> Vec<&Event> {
    let events = out.iter().filter_map(|output| match output {
        Output::Event(event @ (Event::Traced { .. } | Event::RingEnded { .. })) => Some(event),
        _ => None,
    });
    events.collect()
}
