//! What strangers do to the address book, and what becomes of it: the cases 23 to 28 of
//! hostile behaviour, as far as the engine decides.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use part2part::base::{Contact, ServentId, Time};
use part2part::message::{AgedContact, Greeting, LinkMessage, Ping, Purpose, Shuffle};
use part2part::overlay::{
    Cached, Config, Dialling, Input, LinkId, Output, Overlay, Peer, Permit, Unanswered, config,
};

const ME: ServentId = ServentId([100; 32]);

fn at(secs: u64) -> Time {
    Time::ZERO + 2 * config::HORIZON + Duration::from_secs(secs)
}

fn overlay(seed: u8) -> Overlay {
    Overlay::new(ME, Config::default(), [seed; 32], at(0))
}

fn tell(overlay: &mut Overlay, now: Time, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    overlay.handle(now, input, &mut out);
    out
}

fn contact(n: u32, ip: [u8; 4]) -> Contact {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    Contact::new(ServentId(key), [SocketAddr::from((ip, 7272))])
}

fn peer(contact: Contact) -> Peer {
    let seen = contact.addresses[0];
    Peer { contact, name: String::new(), seen }
}

fn fresh(contacts: impl IntoIterator<Item = Contact>) -> Vec<AgedContact> {
    contacts.into_iter().map(|contact| AgedContact { contact, age_secs: 0 }).collect()
}

fn accept(overlay: &mut Overlay, now: Time, link: u64, contact: Contact) -> Vec<Output> {
    let purpose = Purpose::Refill { isolated: false };
    tell(overlay, now, Input::Accepted { link: LinkId(link), peer: peer(contact), purpose })
}

fn dials(out: &[Output]) -> Vec<Contact> {
    let dials = out.iter().filter_map(|output| match output {
        Output::Dial { contact, .. } => Some(contact.clone()),
        _ => None,
    });
    dials.collect()
}

/// Nobody is silent.
fn all_say_something(overlay: &mut Overlay, now: Time) {
    for link in overlay.neighbours().map(|n| n.link).collect::<Vec<_>>() {
        let message = LinkMessage::Ping(Ping { nonce: 1, ext: Vec::new() });
        tell(overlay, now, Input::Received { link, message });
    }
}

/// The /16 that a contact is in.
fn group(contact: &Contact) -> [u8; 2] {
    let IpAddr::V4(v4) = contact.addresses[0].ip() else { panic!("{contact:?}") };
    [v4.octets()[0], v4.octets()[1]]
}

#[test]
fn spam_of_one_peer_grows_the_book_by_what_a_link_may_tell_and_no_more() {
    let mut overlay = overlay(1);
    accept(&mut overlay, at(0), 1, contact(0, [127, 9, 9, 9]));
    let before = overlay.cached().len();
    let mut number = 1;
    let (mut messages, mut now) = (0, 0);
    // As fast as no rule is broken, then as fast as it can.
    while messages < 10_000 && overlay.neighbours().len() == 1 {
        now += if messages < 200 { 60 } else { 0 };
        let spam = (0..64).map(|i| {
            number += 1;
            contact(number, [20 + (number >> 16) as u8, (number >> 8) as u8, number as u8, i])
        });
        let shuffle = Shuffle { contacts: fresh(spam.collect::<Vec<_>>()), ext: Vec::new() };
        let message = LinkMessage::Shuffle(shuffle);
        tell(&mut overlay, at(now), Input::Received { link: LinkId(1), message });
        messages += 1;
    }
    let grown = overlay.cached().len() - before;
    let allowed = 64 + now as usize / 10;
    println!("{messages} messages in {now} s: {grown} entries of {number} told");
    assert!(overlay.neighbours().len() == 0, "who goes on and on is let go");
    assert!((64..=allowed).contains(&grown), "{grown} of at most {allowed}");
}

#[test]
fn the_word_of_one_network_fills_no_more_than_its_sixteen_buckets_from_however_many_links() {
    let mut overlay = overlay(2);
    let mut number = 1;
    for link in 0..2000u64 {
        let giver = contact(100_000 + link as u32, [127, 9, (link >> 8) as u8, link as u8]);
        let contacts = fresh((0..16).map(|_| {
            number += 1;
            contact(number, [20 + (number >> 12) as u8, (number >> 4) as u8, number as u8, 1])
        }));
        // A dial that is answered brings the most.
        tell(&mut overlay, at(link), Input::Redirected { peer: peer(giver), contacts });
    }
    let told = overlay.cached().into_iter().filter(|cached| !cached.proven).count();
    println!("{told} entries of {number} told");
    let most = usize::from(config::BUCKETS_PER_SOURCE) * config::BUCKET;
    assert!(told <= most && told > config::BUCKET, "{told} of at most {most}");
}

#[test]
fn an_address_that_is_nobodys_business_is_neither_dialled_nor_passed_on() {
    let bad = [
        "198.51.100.1:0",
        "0.0.0.0:7272",
        "224.0.0.1:7272",
        "255.255.255.255:7272",
        "[::ffff:127.0.0.1]:7272",
        "127.0.0.1:7272",
        "198.51.100.1:80",
        "169.254.1.1:7272",
        "[fe80::1]:7272",
    ];
    let mut overlay = overlay(3);
    let told = bad.iter().enumerate().map(|(i, address)| {
        let id = contact(i as u32 + 1, [1, 1, 1, 1]).id;
        Contact::new(id, [address.parse::<SocketAddr>().unwrap()])
    });
    let me = Contact::new(ME, ["198.51.100.2:7272".parse().unwrap()]);
    let contacts = fresh(told.chain([me]));
    let giver = contact(50, [203, 0, 113, 1]);
    let input = Input::Redirected { peer: peer(giver.clone()), contacts };
    let mut dialled = dials(&tell(&mut overlay, at(0), input));
    for secs in 1..600 {
        dialled.extend(dials(&tell(&mut overlay, at(secs), Input::Wake)));
    }
    assert!(dialled.iter().all(|contact| contact.id == giver.id), "{dialled:?}");
    let greeted = accept(&mut overlay, at(1), 9, contact(60, [203, 0, 113, 9]));
    let welcome = greeted.iter().find_map(|output| match output {
        Output::Greet { greeting: Greeting::Welcome(welcome), .. } => Some(welcome),
        _ => None,
    });
    let welcome = welcome.unwrap_or_else(|| panic!("{greeted:?}"));
    assert!(welcome.contacts.iter().all(|aged| aged.contact.id == giver.id));
}

#[test]
fn a_thousand_who_name_one_neighbourhood_aim_four_dials_a_minute_at_it() {
    let mut overlay = overlay(4);
    let mut minute = 0;
    let mut most = 0;
    let mut number = 1;
    for secs in 0..600u64 {
        if secs % 60 == 0 {
            (most, minute) = (most.max(minute), 0);
        }
        let contacts = fresh((0..16).map(|_| {
            number += 1;
            contact(number, [127, 9, 9, number as u8])
        }));
        let giver = contact(1_000_000 + secs as u32, [127, 8, 1, secs as u8]);
        let mut out =
            tell(&mut overlay, at(secs), Input::Redirected { peer: peer(giver), contacts });
        out.extend(tell(&mut overlay, at(secs), Input::Wake));
        for contact in dials(&out) {
            minute += usize::from(group(&contact) == [127, 9]);
            tell(&mut overlay, at(secs), Input::DialFailed { id: contact.id });
        }
    }
    println!("at most {most} dials a minute");
    assert!((1..=4).contains(&most), "{most}");
}

/// The driver dials the sources of hits and the servents of a map beside the engine.
#[test]
fn the_dials_of_links_sources_and_maps_to_one_neighbourhood_count_together() {
    let unanswered = Unanswered::default();
    let mut overlay = overlay(4).counting_in(unanswered.clone());
    let mut map = Dialling::paced(20, 20, unanswered.clone(), at(0));
    let mut aimed = Vec::new();
    for n in 0..50u32 {
        let next = |of| contact(3 * n + of, [127, 9, 9, (3 * n + of) as u8]);
        let mut source = next(0).addresses;
        aimed.extend(unanswered.aim(at(1), &mut source).then_some("source"));
        let giver = contact(1_000_000 + n, [127, 8, 1, n as u8]);
        let contacts = fresh([next(1)]);
        let mut out = tell(&mut overlay, at(1), Input::Redirected { peer: peer(giver), contacts });
        out.extend(tell(&mut overlay, at(1), Input::Wake));
        let links = dials(&out).into_iter().filter(|contact| group(contact) == [127, 9]);
        aimed.extend(links.map(|_| "link"));
        let mapped = map.begin(at(1), &mut next(2), None, false);
        aimed.extend((mapped == Permit::Granted).then_some("map"));
    }
    assert_eq!(aimed.len(), 4, "{aimed:?}");
    assert!(["source", "link", "map"].iter().all(|of| aimed.contains(of)), "{aimed:?}");
}

#[test]
fn whoever_asks_a_thousand_times_learns_what_it_learned_at_first() {
    let mut overlay = overlay(5);
    for n in 0..14 {
        accept(&mut overlay, at(0), n, contact(n as u32, [20 + n as u8, 1, 1, 1]));
    }
    for n in 0..20u32 {
        let contacts =
            fresh((0..16).map(|i| contact(1000 + 16 * n + i, [40 + n as u8, i as u8, 1, 1])));
        let giver = contact(500 + n, [90, n as u8, 1, 1]);
        tell(&mut overlay, at(0), Input::Redirected { peer: peer(giver), contacts });
    }
    assert!(overlay.known(at(0)).len() > 200);
    let mut named = BTreeSet::new();
    for n in 0..1000u32 {
        let scraper = contact(10_000 + n, [127, 9, (n >> 8) as u8, n as u8]);
        let out = accept(&mut overlay, at(n.into()), 100 + u64::from(n), scraper);
        let contacts = match out.first() {
            Some(Output::Greet { greeting: Greeting::Redirect(redirect), .. }) => {
                &redirect.contacts
            }
            Some(Output::Greet { greeting: Greeting::Welcome(welcome), .. }) => &welcome.contacts,
            other => panic!("{other:?}"),
        };
        assert!(contacts.len() <= 16);
        all_say_something(&mut overlay, at(n.into()));
        if n < 600 {
            named.extend(contacts.iter().map(|aged| aged.contact.id));
        }
    }
    println!("{} servents named in 600 answers", named.len());
    assert!(named.len() <= 64);
}

/// Lets everything that `overlay` dials answer, each with a link of its own.
fn answer_all(overlay: &mut Overlay, now: Time, out: Vec<Output>) -> Vec<Contact> {
    let mut dialled = Vec::new();
    let mut waiting: Vec<Output> = out;
    while !waiting.is_empty() {
        let mut next = Vec::new();
        for output in waiting {
            if let Output::Dial { contact, purpose } = output {
                let link = LinkId(10_000 + dialled.len() as u64);
                dialled.push(contact.clone());
                let peer = peer(contact);
                let contacts = Vec::new();
                next.extend(tell(overlay, now, Input::Dialled { link, peer, purpose, contacts }));
            }
        }
        waiting = next;
    }
    dialled
}

#[test]
fn a_restart_after_two_networks_filled_the_book_finds_the_honest_again_and_the_anchors_first() {
    for seed in 1..20 {
        let mut overlay = overlay(seed);
        // Twelve honest neighbours in networks of their own, of which eight were dialled.
        let honest = |n: u32| contact(n, [50 + n as u8, 1, 1, 1]);
        for n in 0..12 {
            let (link, peer) = (LinkId(n.into()), peer(honest(n)));
            let purpose = Purpose::Refill { isolated: false };
            let input = match n {
                0..8 => Input::Dialled { link, peer, purpose, contacts: vec![] },
                _ => Input::Accepted { link, peer, purpose },
            };
            tell(&mut overlay, at(n.into()), input);
        }
        // Two thousand of two networks, which even answer when they are dialled.
        for n in 0..2000u32 {
            let evil = contact(10_000 + n, [127, 8 + (n % 2) as u8, (n >> 8) as u8, n as u8]);
            tell(&mut overlay, at(20), Input::Redirected { peer: peer(evil), contacts: vec![] });
        }
        tell(&mut overlay, at(30), Input::Leave);
        let kept = overlay.cached();
        let anchors: Vec<ServentId> =
            kept.iter().filter(|cached| cached.anchor).map(|cached| cached.contact.id).collect();
        assert_eq!(anchors, [honest(0).id, honest(1).id], "the longest-lived");

        let mut again = Overlay::new(ME, Config::default(), [seed + 100; 32], at(5000));
        let out = tell(&mut again, at(5000), Input::Cached(kept));
        let dialled = answer_all(&mut again, at(5000), out);
        let first: BTreeSet<ServentId> = dialled[..2].iter().map(|contact| contact.id).collect();
        assert_eq!(first, anchors.into_iter().collect(), "seed {seed}");
        let mut networks = BTreeMap::new();
        for contact in &dialled {
            *networks.entry(group(contact)).or_insert(0) += 1;
        }
        assert_eq!(dialled.len(), 8);
        assert!(networks.values().all(|&count| count == 1), "seed {seed}: {networks:?}");
        let evil = dialled.iter().filter(|contact| group(contact)[0] == 127).count();
        assert!(evil <= 2, "seed {seed}: {evil} of 8");
    }
}

#[test]
fn where_all_are_of_one_network_they_are_linked_all_the_same() {
    let mut overlay = overlay(7);
    let cached: Vec<Cached> = (0..20)
        .map(|n| Cached::new(contact(n, [198, 18, n as u8, 1]), true, Some(at(0))))
        .collect();
    let out = tell(&mut overlay, at(1), Input::Cached(cached));
    assert_eq!(answer_all(&mut overlay, at(1), out).len(), 8);
    assert_eq!(overlay.neighbours().len(), 8);
}

#[test]
fn a_crowd_of_newcomers_pushes_out_nobody_whom_we_dialled() {
    let mut overlay = overlay(8);
    for n in 0..8u32 {
        let (link, peer) = (LinkId(n.into()), peer(contact(n, [50 + n as u8, 1, 1, 1])));
        let purpose = Purpose::Refill { isolated: false };
        tell(&mut overlay, at(0), Input::Dialled { link, peer, purpose, contacts: vec![] });
    }
    for n in 0..1000u32 {
        let newcomer = peer(contact(1000 + n, [127, 9, (n >> 8) as u8, n as u8]));
        let link = LinkId(u64::from(1000 + n));
        let purpose = Purpose::Refill { isolated: true };
        tell(&mut overlay, at(n.into()), Input::Accepted { link, peer: newcomer, purpose });
        all_say_something(&mut overlay, at(n.into()));
    }
    let old = overlay.neighbours().filter(|neighbour| neighbour.dialled).count();
    assert_eq!(old, 8);
    assert!((9..=14).contains(&overlay.neighbours().len()));
}
