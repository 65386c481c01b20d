//! What one servent does, rule by rule; what a mesh of them does is in `tests/overlay_sim.rs`.

use std::net::SocketAddr;

use super::*;
use crate::base::{Hops, Ttl};
use crate::message::{Bye, ByeReason, ForwardJoin, HitBody, Ping, Pong, Query, QueryDone};

mod relaying;
mod splitting;
mod survey;
mod traces;

const ME: ServentId = ServentId([100; 32]);

fn at(secs: u64) -> Time {
    Time::from_micros((1000 + secs) * 1_000_000)
}

fn peer(n: u8) -> Peer {
    let seen = SocketAddr::from(([127, 0, 0, 1], 7000 + u16::from(n)));
    Peer { contact: Contact::new(ServentId([n; 32]), [seen]), name: String::new(), seen }
}

fn link(n: u8) -> LinkId {
    LinkId(n.into())
}

fn overlay(config: Config) -> Overlay {
    Overlay::new(ME, config, [1; 32], at(0))
}

fn tell(overlay: &mut Overlay, now: Time, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    overlay.handle(now, input, &mut out);
    out
}

/// An overlay with neighbours 1 to `n`, each by the link of its number.
fn with_neighbours(n: u8) -> Overlay {
    let mut overlay = overlay(Config::default());
    for n in 1..=n {
        let purpose = Purpose::Refill { isolated: false };
        tell(&mut overlay, at(0), Input::Accepted { link: link(n), peer: peer(n), purpose });
    }
    overlay
}

fn guid(n: u8) -> Guid {
    Guid([n; 16])
}

fn query(n: u8, ttl: u8, hops: u8, text: &'static str) -> LinkMessage {
    let body = Bytes::from_static(text.as_bytes());
    LinkMessage::Query(Query { guid: guid(n), ttl: Ttl(ttl), hops: Hops(hops), seen: Ttl(0), body })
}

fn from(n: u8, message: LinkMessage) -> Input {
    Input::Received { link: link(n), message }
}

fn hit(n: u8) -> LinkMessage {
    let body = Bytes::from_static(b"hits");
    let responder = ServentId([9; 32]);
    LinkMessage::QueryHit(QueryHit { guid: guid(n), hops: Hops(0), responder, count: 1, body })
}

/// What was sent, by link.
fn sent(out: &[Output]) -> Vec<(u64, &LinkMessage)> {
    let sent = out.iter().filter_map(|output| match output {
        Output::Send { link, message } => Some((link.0, message)),
        _ => None,
    });
    sent.collect()
}

fn copies(out: &[Output]) -> Vec<(u64, u8, u8)> {
    let mut copies: Vec<_> = sent(out)
        .into_iter()
        .filter_map(|(link, message)| match message {
            LinkMessage::Query(query) => Some((link, query.ttl.0, query.hops.0)),
            _ => None,
        })
        .collect();
    copies.sort_unstable();
    copies
}

fn dones(out: &[Output]) -> Vec<(u64, u32, u32)> {
    let dones = sent(out).into_iter().filter_map(|(link, message)| match message {
        LinkMessage::QueryDone(done) => Some((link, done.asked, done.lost)),
        _ => None,
    });
    dones.collect()
}

fn closed(out: &[Output]) -> Vec<u64> {
    let closed = out.iter().filter_map(|output| match output {
        Output::Close { link } => Some(link.0),
        _ => None,
    });
    closed.collect()
}

#[test]
fn a_first_copy_is_matched_and_goes_on_to_the_others() {
    let mut overlay = with_neighbours(4);
    let out = tell(&mut overlay, at(1), from(2, query(1, 3, 1, "ferris")));
    assert!(out.contains(&Output::Match { guid: guid(1), body: Bytes::from_static(b"ferris") }));
    assert_eq!(copies(&out), [(1, 2, 2), (3, 2, 2), (4, 2, 2)]);
    assert_eq!(dones(&out), [], "not before the match and the others' answers");
}

#[test]
fn a_copy_on_its_last_hop_is_matched_and_answered_but_not_relayed() {
    let mut overlay = with_neighbours(3);
    let out = tell(&mut overlay, at(1), from(1, query(1, 1, 4, "ferris")));
    assert_eq!(copies(&out), []);
    let out = tell(&mut overlay, at(1), Input::Matched { guid: guid(1), answers: vec![] });
    assert_eq!(dones(&out), [(1, 1, 0)]);
}

#[test]
fn a_match_that_the_library_refuses_counts_as_lost() {
    let mut overlay = with_neighbours(1);
    tell(&mut overlay, at(1), from(1, query(1, 1, 0, "ferris")));
    let out = tell(&mut overlay, at(1), Input::MatchRefused { guid: guid(1) });
    assert_eq!(dones(&out), [(1, 0, 1)]);
}

#[test]
fn a_life_over_the_limit_is_clamped_and_costs_its_sender_the_link_in_the_end() {
    let mut overlay = with_neighbours(2);
    let out = tell(&mut overlay, at(1), from(1, query(0, 255, 0, "ferris")));
    assert_eq!(copies(&out), [(2, 7, 1)]);
    let out = tell(&mut overlay, at(1), from(1, query(1, 8, 5, "ferris")));
    assert_eq!(copies(&out), [(2, 2, 6)]);
    let lies = (2..50).map(|n| tell(&mut overlay, at(1), from(1, query(n, 3, 255, "ferris"))));
    let closed: Vec<u64> = lies.flat_map(|out| closed(&out)).collect();
    assert_eq!(closed, [1]);
    assert_eq!(overlay.neighbours().len(), 1);
}

#[test]
fn another_query_under_the_same_name_is_not_taken_up() {
    let mut overlay = with_neighbours(3);
    tell(&mut overlay, at(1), from(1, query(1, 3, 1, "ferris")));
    let out = tell(&mut overlay, at(1), from(2, query(1, 6, 0, "corro")));
    assert_eq!((dones(&out), copies(&out)), (vec![(2, 0, 1)], vec![]));
}

#[test]
fn the_same_copy_again_is_answered_and_never_passed_on_and_closes_the_link_in_the_end() {
    let mut overlay = with_neighbours(3);
    tell(&mut overlay, at(1), from(1, query(1, 3, 1, "ferris")));
    let mut passed_on = 0;
    let mut rounds = 0;
    while overlay.neighbours().len() == 3 {
        rounds += 1;
        let out = tell(&mut overlay, at(1), from(1, query(1, 3, 1, "ferris")));
        passed_on += copies(&out).len();
        assert!(rounds < 10_000);
    }
    assert_eq!(passed_on, 0);
    assert!(rounds > 20, "an odd repetition is forgiven");
}

#[test]
fn a_wider_ring_goes_on_at_once_and_is_not_matched_again() {
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), from(1, query(1, 2, 0, "ferris")));
    let out = tell(&mut overlay, at(1), from(1, query(1, 4, 0, "ferris")));
    assert_eq!(copies(&out), [(2, 3, 1)]);
    assert!(!out.iter().any(|output| matches!(output, Output::Match { .. })));
    assert_eq!(dones(&out), [(1, 0, 0)], "engaged already");
}

#[test]
fn an_improvement_waits_a_little_so_that_several_go_out_as_one() {
    let mut overlay = with_neighbours(4);
    tell(&mut overlay, at(1), from(1, query(1, 2, 3, "ferris")));
    let out = tell(&mut overlay, at(1), from(2, query(1, 3, 2, "ferris")));
    assert_eq!(copies(&out), []);
    let out = tell(&mut overlay, at(1), from(3, query(1, 4, 1, "ferris")));
    assert_eq!(copies(&out), []);
    let due = overlay.next_deadline().unwrap();
    assert!(due <= at(1) + config::PAUSE_MOST);
    let out = tell(&mut overlay, due, Input::Wake);
    assert_eq!(copies(&out), [(4, 3, 2)], "the others are known to hold as much");
}

#[test]
fn a_done_waits_for_all_that_was_asked_and_adds_it_up() {
    let mut overlay = with_neighbours(3);
    tell(&mut overlay, at(1), from(1, query(1, 3, 0, "ferris")));
    tell(&mut overlay, at(1), Input::Matched { guid: guid(1), answers: vec![] });
    let done = |n, asked, lost| {
        let done = QueryDone { guid: guid(1), asked, lost, ext: Vec::new() };
        from(n, LinkMessage::QueryDone(done))
    };
    let out = tell(&mut overlay, at(1), done(2, 5, 1));
    assert_eq!(dones(&out), []);
    let out = tell(&mut overlay, at(1), done(3, 2, 0));
    assert_eq!(dones(&out), [(1, 8, 1)]);
}

#[test]
fn a_lost_link_counts_what_it_owed_as_lost() {
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), from(1, query(1, 3, 0, "ferris")));
    tell(&mut overlay, at(1), Input::Matched { guid: guid(1), answers: vec![] });
    let out = tell(&mut overlay, at(1), Input::LinkLost { link: link(2) });
    assert_eq!(dones(&out), [(1, 1, 1)]);
}

#[test]
fn hits_go_back_the_way_the_query_came_with_a_hop_more() {
    let mut overlay = with_neighbours(3);
    tell(&mut overlay, at(1), from(1, query(1, 3, 0, "ferris")));
    let out = tell(&mut overlay, at(1), from(2, hit(1)));
    let sent = sent(&out);
    let [(1, LinkMessage::QueryHit(hit))] = sent[..] else { panic!("{out:?}") };
    assert_eq!(hit.hops, Hops(1));
}

#[test]
fn hits_that_nobody_asked_for_go_nowhere_and_cost_the_link_in_the_end() {
    let mut overlay = with_neighbours(3);
    tell(&mut overlay, at(1), from(1, query(1, 1, 0, "ferris")));
    let mut rounds = 0;
    while overlay.neighbours().len() == 3 {
        rounds += 1;
        assert!(rounds < 10_000);
        let out = tell(&mut overlay, at(1), from(2, hit(1)));
        assert!(!sent(&out).iter().any(|(_, message)| matches!(message, LinkMessage::QueryHit(_))));
    }
    assert!(overlay.neighbours().all(|neighbour| neighbour.link != link(2)));
}

#[test]
fn one_search_gives_one_link_so_many_hits_and_no_more() {
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), from(1, query(1, 3, 0, "ferris")));
    let full = |count| {
        let (guid, body) = (guid(1), Bytes::from_static(b"hits"));
        let hit = QueryHit { guid, hops: Hops(0), responder: ME, count, body };
        from(2, LinkMessage::QueryHit(hit))
    };
    let most = u8::try_from(HitBody::MAX_HITS).unwrap();
    let passed = (0..20).filter(|_| !sent(&tell(&mut overlay, at(1), full(most))).is_empty());
    let passed = passed.count();
    assert_eq!(passed, config::HITS_PER_LINK as usize / HitBody::MAX_HITS);
    tell(&mut overlay, at(1), Input::Matched { guid: guid(1), answers: vec![] });
    let done = QueryDone { guid: guid(1), asked: 1, lost: 0, ext: vec![] };
    let out = tell(&mut overlay, at(1), from(2, LinkMessage::QueryDone(done)));
    let lost = 20 - u32::try_from(passed).unwrap();
    assert_eq!(dones(&out), [(1, 2, lost)], "who asked learns that some were dropped");
}

#[test]
fn a_storm_of_queries_is_answered_as_lost_beyond_the_rate() {
    let mut overlay = with_neighbours(2);
    let mut lost = 0;
    for n in 0..=255u8 {
        let out = tell(&mut overlay, at(1), from(1, query(n, 3, 0, "ferris")));
        lost += dones(&out).iter().filter(|done| done.2 == 1).count();
    }
    assert!(lost > 0 && lost < 256);
}

/// Searches that come by `links` in one second, so many by each, evenly spread; how many of
/// each are taken up.
fn taken_up(overlay: &mut Overlay, second: u64, links: &[(u8, u64)]) -> Vec<usize> {
    let mut taken = vec![0; links.len()];
    for milli in 0..1000u64 {
        for (place, &(from, count)) in links.iter().enumerate() {
            if milli % (1000 / count) != 0 {
                continue;
            }
            let mut guid = [0; 16];
            guid[..8].copy_from_slice(&(second * 1000 + milli).to_le_bytes());
            guid[8] = from;
            let (guid, body) = (Guid(guid), Bytes::from_static(b"ferris"));
            let query = Query { guid, ttl: Ttl(1), hops: Hops(0), seen: Ttl(0), body };
            let now = at(second) + std::time::Duration::from_millis(milli);
            let input = Input::Received { link: link(from), message: LinkMessage::Query(query) };
            let out = tell(overlay, now, input);
            taken[place] +=
                out.iter().filter(|output| matches!(output, Output::Match { .. })).count();
        }
    }
    taken
}

#[test]
fn links_that_storm_leave_the_quiet_ones_their_share_and_own_searches_theirs() {
    let mut overlay = with_neighbours(10);
    let storm: Vec<(u8, u64)> =
        (1..=9).map(|n| (n, 100)).chain(std::iter::once((10, 20))).collect();
    let mut taken = Vec::new();
    for second in 1..=10 {
        taken = taken_up(&mut overlay, second, &storm);
        assert_eq!(taken[9], 20, "second {second}: all of the quiet one's");
    }
    let all: usize = taken.iter().sum();
    assert!((290..=310).contains(&all), "{taken:?}");
    assert!(taken[..9].iter().all(|taken| (30..=50).contains(taken)), "{taken:?}");

    let input = Input::Search { guid: guid(1), body: Bytes::new(), rings: vec![2] };
    assert_eq!(copies(&tell(&mut overlay, at(11), input)).len(), 10, "at once, to everybody");
    // Where the others are silent, one has all that the link itself may.
    tell(&mut overlay, at(30), Input::Wake);
    assert_eq!(taken_up(&mut overlay, 30, &[(1, 100)]), [100]);
}

#[test]
fn of_two_dials_that_crossed_the_smaller_ids_stays() {
    let purpose = Purpose::Refill { isolated: false };
    for (theirs, kept) in [(5u8, 2), (200, 1)] {
        let mut overlay = overlay(Config::default());
        let ours = Input::Dialled {
            link: link(1),
            peer: peer(theirs),
            purpose: purpose.clone(),
            contacts: vec![],
        };
        tell(&mut overlay, at(1), ours);
        let purpose = purpose.clone();
        tell(&mut overlay, at(1), Input::Accepted { link: link(2), peer: peer(theirs), purpose });
        let links: Vec<u64> = overlay.neighbours().map(|n| n.link.0).collect();
        assert_eq!(links, [kept], "we are 100, they are {theirs}");
    }
}

#[test]
fn a_servent_that_comes_back_takes_the_place_of_its_dead_link() {
    let mut overlay = with_neighbours(2);
    let purpose = Purpose::Refill { isolated: true };
    tell(&mut overlay, at(60), Input::Accepted { link: link(7), peer: peer(1), purpose });
    let links: Vec<u64> = overlay.neighbours().map(|n| n.link.0).collect();
    assert_eq!(links, [2, 7]);
}

#[test]
fn who_replaces_our_link_is_not_dialled_which_would_replace_that_in_turn() {
    let purpose = Purpose::Refill { isolated: true };
    let dialled = |n| Input::Dialled {
        link: link(n),
        peer: peer(1),
        purpose: purpose.clone(),
        contacts: vec![],
    };
    let dials = |out: Vec<Output>| out.iter().any(|o| matches!(o, Output::Dial { .. }));
    let bye = |reason| LinkMessage::Bye(Bye { reason, contacts: vec![], ext: vec![] });
    let mut overlay = overlay(Config::default());
    tell(&mut overlay, at(1), dialled(1));
    // A second dial of ours, by a person, has been accepted there, and its answer comes.
    assert!(!dials(tell(&mut overlay, at(2), from(1, bye(ByeReason::Replaced)))));
    assert!(!dials(tell(&mut overlay, at(2), dialled(2))));
    assert_eq!(overlay.neighbours().len(), 1);
    // Where no answer comes, it is dialled after all.
    tell(&mut overlay, at(3), from(2, bye(ByeReason::Replaced)));
    assert!(!dials(tell(&mut overlay, at(6), Input::Wake)));
    assert!(dials(tell(&mut overlay, at(9), Input::Wake)));
}

#[test]
fn a_dial_that_fails_while_another_has_succeeded_says_nothing_against_the_neighbour() {
    let mut overlay = overlay(Config::default());
    let purpose = Purpose::Join;
    let dialled = Input::Dialled { link: link(1), peer: peer(1), purpose, contacts: vec![] };
    tell(&mut overlay, at(1), dialled);
    for _ in 0..20 {
        tell(&mut overlay, at(2), Input::DialFailed { id: peer(1).contact.id });
    }
    assert_eq!(overlay.cached().len(), 1);
}

#[test]
fn a_full_servent_redirects_a_member_and_makes_room_for_a_newcomer() {
    let mut overlay = with_neighbours(14);
    let member = Purpose::Refill { isolated: false };
    let input = Input::Accepted { link: link(50), peer: peer(50), purpose: member };
    let out = tell(&mut overlay, at(1), input);
    let [Output::Greet { greeting: Greeting::Redirect(redirect), .. }, ..] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(redirect.contacts.len(), 14);
    assert_eq!(closed(&out), [50]);

    let newcomer = Input::Accepted { link: link(51), peer: peer(51), purpose: Purpose::Join };
    let out = tell(&mut overlay, at(1), newcomer);
    assert_eq!(overlay.neighbours().len(), 14);
    assert!(overlay.neighbours().any(|neighbour| neighbour.link == link(51)));
    let let_go = sent(&out).into_iter().filter_map(|(link, message)| match message {
        LinkMessage::Bye(bye) => Some((link, bye.reason, bye.contacts.len())),
        _ => None,
    });
    let let_go: Vec<_> = let_go.collect();
    assert!(matches!(let_go[..], [(_, ByeReason::Full, 14)]), "{let_go:?}");
}

#[test]
fn a_walk_that_ends_here_makes_us_dial_the_newcomer_and_a_strangers_port_80_does_not() {
    let mut overlay = with_neighbours(1);
    let walk = |contact: Contact| {
        let newcomer = AgedContact { contact, age_secs: 0 };
        from(1, LinkMessage::ForwardJoin(ForwardJoin { newcomer, walk: 0, ext: vec![] }))
    };
    let out = tell(&mut overlay, at(1), walk(peer(9).contact));
    assert!(out.iter().any(|output| matches!(output, Output::Dial { contact, .. }
        if contact == &peer(9).contact)));
    let web = Contact::new(ServentId([10; 32]), ["127.0.0.1:80".parse().unwrap()]);
    let out = tell(&mut overlay, at(1), walk(web));
    assert!(!out.iter().any(|output| matches!(output, Output::Dial { .. })));
}

#[test]
fn a_silent_neighbour_is_pinged_and_at_last_forgotten() {
    let mut overlay = with_neighbours(1);
    let mut pinged = Vec::new();
    let mut gone = None;
    for secs in 1..200 {
        let out = tell(&mut overlay, at(secs), Input::Wake);
        if sent(&out).iter().any(|(_, message)| matches!(message, LinkMessage::Ping(_))) {
            pinged.push(secs);
        }
        if closed(&out) == [1] {
            gone = Some(secs);
        }
    }
    assert_eq!(gone, Some(90));
    assert_eq!(pinged.first(), Some(&30));
}

#[test]
fn pings_and_pongs_tell_what_is_shared_on_busy_links_too() {
    let mut overlay = with_neighbours(1);
    let (mine, theirs) =
        (Shares { files: 3, bytes: 9 }, Shares { files: 1204, bytes: 7_000_000_000 });
    tell(&mut overlay, at(0), Input::Shares(mine));
    let ping = LinkMessage::Ping(Ping { nonce: 5, ext: theirs.to_extensions() });
    let out = tell(&mut overlay, at(1), from(1, ping.clone()));
    let pong = LinkMessage::Pong(Pong { nonce: 5, ext: mine.to_extensions() });
    assert_eq!(sent(&out), [(1, &pong)]);
    assert_eq!(overlay.neighbours().next().unwrap().shares, Some(theirs));
    // One that says something every second is pinged all the same.
    let mut pinged = Vec::new();
    for secs in 1..100 {
        let mut out = tell(&mut overlay, at(secs), from(1, ping.clone()));
        out.extend(tell(&mut overlay, at(secs), Input::Wake));
        pinged.extend(sent(&out).into_iter().filter_map(|(_, message)| match message {
            LinkMessage::Ping(ping) => Shares::of(&ping.ext).map(|shares| (secs, shares)),
            _ => None,
        }));
    }
    assert_eq!(pinged, [(60, mine)]);
}

#[test]
fn another_link_to_a_neighbour_is_no_news() {
    let mut overlay = with_neighbours(1);
    let purpose = Purpose::Refill { isolated: false };
    let again = Input::Accepted { link: link(2), peer: peer(1), purpose };
    let out = tell(&mut overlay, at(60), again);
    assert_eq!(closed(&out), [1]);
    assert_eq!(overlay.neighbours().map(|n| n.link).collect::<Vec<_>>(), [link(2)]);
    assert!(!out.iter().any(|output| matches!(output, Output::Event(_))), "{out:?}");
}

#[test]
fn a_neighbour_that_leaves_is_forgotten_at_once() {
    let mut overlay = with_neighbours(2);
    let bye = crate::message::Bye { reason: ByeReason::Leaving, contacts: vec![], ext: vec![] };
    let out = tell(&mut overlay, at(1), from(1, LinkMessage::Bye(bye)));
    assert_eq!(overlay.neighbours().len(), 1);
    assert!(overlay.known(at(1)).is_empty(), "and handed to nobody");
    assert!(out.iter().any(|output| matches!(output, Output::Event(Event::NeighbourDown { .. }))));
}

#[test]
fn one_that_left_the_mesh_names_nobody_and_is_named_to_nobody() {
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), Input::Leave);
    let purpose = Purpose::Refill { isolated: false };
    let out = tell(&mut overlay, at(2), Input::Accepted { link: link(3), peer: peer(3), purpose });
    let [Output::Greet { greeting: Greeting::Redirect(redirect), .. }, ..] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(redirect.contacts, []);

    // The other side of it: what names nobody is alive, but nobody to tell others of.
    let mut overlay = with_neighbours(2);
    let listed = |overlay: &Overlay, now| {
        overlay.known(now).into_iter().map(|aged| aged.contact.id).collect::<Vec<_>>()
    };
    let other = AgedContact { contact: peer(4).contact, age_secs: 0 };
    tell(&mut overlay, at(3), Input::Redirected { peer: peer(3), contacts: vec![other] });
    assert_eq!(listed(&overlay, at(3)), [peer(3).contact.id, peer(4).contact.id]);
    tell(&mut overlay, at(4), Input::Redirected { peer: peer(3), contacts: Vec::new() });
    assert_eq!(listed(&overlay, at(4)), [peer(4).contact.id]);
}

#[test]
fn a_neighbour_that_froze_is_named_to_nobody_long_before_it_is_dropped() {
    let mut overlay = with_neighbours(2);
    let alive = LinkMessage::Pong(Pong { nonce: 0, ext: Vec::new() });
    let mut welcomed = |secs, n| {
        tell(&mut overlay, at(secs), from(1, alive.clone()));
        let purpose = Purpose::Refill { isolated: false };
        let input = Input::Accepted { link: link(n), peer: peer(n), purpose };
        let out = tell(&mut overlay, at(secs), input);
        let [Output::Greet { greeting: Greeting::Welcome(welcome), .. }, ..] = &out[..] else {
            panic!("{out:?}");
        };
        let mut named: Vec<_> = welcome.contacts.iter().map(|aged| aged.contact.id).collect();
        named.retain(|id| *id == peer(1).contact.id || *id == peer(2).contact.id);
        named.sort();
        named
    };
    assert_eq!(welcomed(45, 3), [peer(1).contact.id, peer(2).contact.id]);
    assert_eq!(welcomed(46, 4), [peer(1).contact.id], "though its link stands");
}

#[test]
fn own_searches_above_the_rate_are_delayed_and_not_refused() {
    let mut overlay = with_neighbours(1);
    let mut begun = 0;
    for n in 0..20 {
        let input = Input::Search { guid: guid(n), body: Bytes::new(), rings: vec![2] };
        begun += copies(&tell(&mut overlay, at(1), input)).len();
    }
    assert_eq!(begun, 8);
    let later: usize =
        (1..=12u64).map(|n| copies(&tell(&mut overlay, at(1 + n), Input::Wake)).len()).sum();
    assert_eq!(begun + later, 20);
}

#[test]
fn a_generation_that_turns_answers_those_who_still_wait() {
    let config = Config { generation: 8, relayed_per_second: 1000, ..Config::default() };
    let mut overlay = overlay(config);
    for n in 1..=6 {
        let purpose = Purpose::Refill { isolated: false };
        tell(&mut overlay, at(0), Input::Accepted { link: link(n), peer: peer(n), purpose });
    }
    let mut answered = Vec::new();
    for n in 1..=40u8 {
        let out = tell(&mut overlay, at(1), from(1 + n % 5, query(n, 2, 0, "ferris")));
        answered.extend(dones(&out).into_iter().filter(|done| done.2 > 1));
    }
    assert!(!answered.is_empty(), "what was forgotten counts as lost");
}
