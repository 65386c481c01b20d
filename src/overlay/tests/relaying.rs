//! What the flood costs a relay: one look for a copy that it knows, and no copy of a body.

use super::*;

/// How often what is remembered of searches was looked at for `input`.
fn looks(overlay: &mut Overlay, input: Input) -> (u64, Vec<Output>) {
    let before = overlay.flood.looks();
    let out = tell(overlay, at(1), input);
    (overlay.flood.looks() - before, out)
}

fn query_of(n: u8, ttl: u8, hops: u8, body: &Bytes) -> LinkMessage {
    let body = body.clone();
    LinkMessage::Query(Query { guid: guid(n), ttl: Ttl(ttl), hops: Hops(hops), seen: Ttl(0), body })
}

/// The bodies of the copies in `out`.
fn bodies(out: &[Output]) -> Vec<&Bytes> {
    let bodies = sent(out).into_iter().filter_map(|(_, message)| match message {
        LinkMessage::Query(query) => Some(&query.body),
        _ => None,
    });
    bodies.collect()
}

#[test]
fn every_copy_that_goes_on_and_the_match_share_the_bytes_that_came() {
    let mut overlay = with_neighbours(8);
    let body = Bytes::from(b"ferris the crab".to_vec());
    let out = tell(&mut overlay, at(1), from(1, query_of(1, 4, 1, &body)));
    let matched = out.iter().find_map(|output| match output {
        Output::Match { body, .. } => Some(body),
        _ => None,
    });
    let all: Vec<&Bytes> = bodies(&out).into_iter().chain(matched).collect();
    assert_eq!(all.len(), 7 + 1);
    assert!(all.iter().all(|one| one.as_ptr() == body.as_ptr() && one.len() == body.len()));
}

#[test]
fn an_improvement_that_goes_on_shares_the_bytes_that_it_came_with() {
    let mut overlay = with_neighbours(3);
    let first = Bytes::from(b"ferris".to_vec());
    tell(&mut overlay, at(1), from(1, query_of(1, 2, 3, &first)));
    let wider = Bytes::from(b"ferris".to_vec());
    let out = tell(&mut overlay, at(1), from(2, query_of(1, 6, 1, &wider)));
    let gone_on = bodies(&out);
    assert_eq!(gone_on.len(), 2);
    assert!(gone_on.iter().all(|body| body.as_ptr() == wider.as_ptr()));
}

#[test]
fn a_known_copy_costs_one_look_and_at_most_one_done_and_keeps_nothing_of_it() {
    let mut overlay = with_neighbours(8);
    let body = Bytes::from(b"ferris".to_vec());
    tell(&mut overlay, at(1), from(1, query_of(1, 4, 1, &body)));
    for n in 2..=8 {
        let again = Bytes::from(b"ferris".to_vec());
        let LinkMessage::Query(query) = query_of(1, 3, 2, &again) else { unreachable!() };
        // Those that crossed ours need no answer; the others had ours, which had life 3.
        let seen = if n < 5 { Ttl(0) } else { Ttl(3) };
        let copy = LinkMessage::Query(Query { seen, ..query });
        let (looks, out) = looks(&mut overlay, from(n, copy));
        assert_eq!(looks, 1);
        assert!(again.is_unique(), "nobody holds on to the bytes of a copy that is known");
        if n < 5 {
            assert_eq!(out, []);
            continue;
        }
        let [Output::Send { link: to, message: LinkMessage::QueryDone(done) }] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!((*to, done.asked, done.lost, done.ext.capacity()), (link(n), 0, 0, 0));
    }
}

#[test]
fn a_copy_that_crossed_ours_and_was_never_sent_is_answered_after_all() {
    let mut overlay = with_neighbours(2);
    let body = Bytes::from(b"ferris".to_vec());
    tell(&mut overlay, at(1), from(1, query_of(1, 4, 1, &body)));
    assert_eq!(tell(&mut overlay, at(1), from(2, query_of(1, 3, 2, &body))), []);
    let shed = Input::CopyShed { link: link(2), guid: guid(1), ttl: Ttl(3) };
    let out = tell(&mut overlay, at(1), shed);
    let [Output::Send { link: to, message: LinkMessage::QueryDone(done) }] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((*to, done.asked, done.lost), (link(2), 0, 1));
}

#[test]
fn of_two_copies_that_crossed_one_the_other_takes_over_when_the_first_was_never_sent() {
    let body = Bytes::from(b"ferris".to_vec());
    let copy = |ttl, hops, seen| {
        let LinkMessage::Query(query) = query_of(1, ttl, hops, &body) else { unreachable!() };
        LinkMessage::Query(Query { seen: Ttl(seen), ..query })
    };
    let shed = |ttl| Input::CopyShed { link: link(2), guid: guid(1), ttl: Ttl(ttl) };
    let dones = |out: &[Output]| {
        let dones = sent(out).into_iter().filter_map(|(link, message)| match message {
            LinkMessage::QueryDone(done) => Some((link, done.lost)),
            _ => None,
        });
        dones.collect::<Vec<_>>()
    };
    // The first was crossed, then another goes: it is not the shed one that waits.
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), from(1, copy(3, 3, 0)));
    assert_eq!(tell(&mut overlay, at(1), from(2, copy(2, 3, 0))), []);
    tell(&mut overlay, at(1), from(1, copy(6, 1, 0)));
    assert_eq!(dones(&tell(&mut overlay, at(1), shed(2))), [(2, 1)]);
    assert!(!overlay.flood.is_settled(link(2)), "the other still waits");
    // Both were under way when one came: the second is what it crosses there.
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), from(1, copy(3, 3, 0)));
    tell(&mut overlay, at(1), from(1, copy(6, 1, 0)));
    assert_eq!(tell(&mut overlay, at(1), from(2, copy(2, 3, 0))), []);
    assert_eq!(dones(&tell(&mut overlay, at(1), shed(2))), []);
    assert!(overlay.flood.is_settled(link(2)));
}

#[test]
fn a_copy_that_claims_to_have_seen_what_nobody_sent_is_only_answered() {
    for seen in 0..16 {
        let mut overlay = with_neighbours(2);
        let body = Bytes::from(b"ferris".to_vec());
        tell(&mut overlay, at(1), from(1, query_of(1, 4, 1, &body)));
        let LinkMessage::Query(query) = query_of(1, 2, 2, &body) else { unreachable!() };
        let copy = LinkMessage::Query(Query { seen: Ttl(seen), ..query });
        let out = tell(&mut overlay, at(1), from(2, copy));
        assert_eq!(sent(&out).len(), usize::from(seen >= 3), "{seen}");
    }
}

#[test]
fn a_hit_that_goes_back_shares_the_bytes_that_came() {
    let mut overlay = with_neighbours(3);
    let body = Bytes::from(b"ferris".to_vec());
    tell(&mut overlay, at(1), from(1, query_of(1, 4, 1, &body)));
    let hits = Bytes::from(b"opaque hits".to_vec());
    let responder = ServentId([9; 32]);
    let hit = QueryHit { guid: guid(1), hops: Hops(0), responder, count: 1, body: hits.clone() };
    let out = tell(&mut overlay, at(1), from(2, LinkMessage::QueryHit(hit)));
    let [Output::Send { link: to, message: LinkMessage::QueryHit(back) }] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((*to, back.hops, back.body.as_ptr()), (link(1), Hops(1), hits.as_ptr()));
}
