use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use rand::SeedableRng;

use super::super::config::{BUCKET, FAILING_SPAN, FAILURES_TRIED, FAILURES_UNTRIED, HORIZON};
use super::*;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn id(n: u32) -> ServentId {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    ServentId(key)
}

fn contact(n: u32, ip: [u8; 4]) -> Contact {
    Contact::new(id(n), [SocketAddr::from((ip, 7272))])
}

/// A servent on this machine.
fn local(n: u32) -> Contact {
    contact(n, [127, 0, 0, 1])
}

fn told(contact: Contact, age_secs: u32) -> AgedContact {
    AgedContact { contact, age_secs }
}

fn at(secs: u64) -> Time {
    Time::ZERO + 2 * HORIZON + Duration::from_secs(secs)
}

fn book() -> Book {
    Book::new(id(0), [5; 32])
}

fn rng() -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(1)
}

fn tried(book: &Book) -> BTreeSet<ServentId> {
    book.tried.buckets().flatten().copied().collect()
}

fn answers(book: &mut Book, now: Time, contact: &Contact) {
    book.answered(now, contact, contact.addresses[0]);
}

#[test]
fn a_contact_is_handed_on_while_fresh_and_no_longer() {
    let mut book = book();
    let contacts = vec![told(local(1), 40), told(local(2), 46), told(local(0), 0)];
    book.learn(at(100), LOCAL, contacts);
    assert_eq!(book.fresh(at(100)), [told(local(1), 40)]);
    assert_eq!(book.fresh(at(105)), [told(local(1), 45)]);
    assert_eq!(book.fresh(at(106)), []);
    assert_eq!(book.entries.len(), 2, "it stays for dialling, and we are none of them");
}

#[test]
fn old_word_of_a_dead_servent_does_not_bring_it_back() {
    let mut book = book();
    book.learn(at(100), LOCAL, vec![told(local(1), 0)]);
    book.gone(at(110), id(1));
    book.learn(at(112), LOCAL, vec![told(local(1), 5)]);
    assert_eq!(book.fresh(at(112)), []);
    book.learn(at(120), LOCAL, vec![told(local(1), 5)]);
    assert_eq!(book.fresh(at(120)), [told(local(1), 5)]);
}

#[test]
fn one_who_never_answered_is_dropped_after_three_dials_and_one_who_did_after_a_week() {
    let mut book = book();
    book.learn(at(1), LOCAL, vec![told(local(1), 0)]);
    answers(&mut book, at(1), &local(2));
    for n in 1..=FAILURES_TRIED {
        book.failed(at(2), id(1), false, &mut rng());
        book.failed(at(2), id(2), false, &mut rng());
        assert_eq!(book.entries.contains_key(&id(1)), n < FAILURES_UNTRIED);
    }
    assert!(tried(&book).contains(&id(2)), "it may be away for a few days");
    book.failed(at(2) + FAILING_SPAN, id(2), false, &mut rng());
    assert!(book.entries.is_empty());
}

#[test]
fn failures_while_we_are_alone_drop_nobody() {
    let mut book = book();
    book.learn(at(1), LOCAL, vec![told(local(1), 0)]);
    (0..100).for_each(|_| book.failed(at(2), id(1), true, &mut rng()));
    assert_eq!(book.entries.len(), 1);
}

#[test]
fn who_was_not_heard_of_for_a_month_is_struck() {
    let mut book = book();
    book.learn(at(0), LOCAL, vec![told(local(1), 0), told(local(2), 0)]);
    book.sweep(at(0) + HORIZON);
    assert_eq!(book.entries.len(), 2);
    book.heard(at(0) + DAY, id(2));
    book.sweep(at(1) + HORIZON);
    assert_eq!(book.entries.keys().copied().collect::<Vec<_>>(), [id(2)]);
}

#[test]
fn the_word_of_one_network_reaches_sixteen_buckets_and_loopback_all() {
    let crowd = |n: u32| contact(n, [10, (n >> 6) as u8, n as u8, 1]);
    let mut book = book();
    for n in 1..10_000 {
        let giver = IpAddr::from([10, 200, (n >> 8) as u8, n as u8]);
        book.learn(at(1), giver, vec![told(crowd(n), 0)]);
    }
    assert!(book.new.buckets().len() <= usize::from(BUCKETS_PER_SOURCE));
    assert!(book.entries.len() <= usize::from(BUCKETS_PER_SOURCE) * BUCKET);
    assert!(book.entries.len() > BUCKET, "{}", book.entries.len());

    let mut book = self::book();
    book.learn(at(1), LOCAL, (1..60).map(|n| told(local(n), 0)).collect());
    assert_eq!(book.entries.len(), 59);
    assert!(book.new.buckets().len() > usize::from(BUCKETS_PER_SOURCE));
}

#[test]
fn one_network_has_four_tried_buckets_and_sixty_four_entries_in_all() {
    for network in [[127, 9], [198, 18]] {
        let mut book = book();
        for n in 1..1000u32 {
            let ip = [network[0], network[1], (n >> 8) as u8, n as u8];
            answers(&mut book, at(n.into()), &contact(n, ip));
        }
        assert_eq!(book.entries.len(), MAX_PER_GROUP, "{network:?}");
        assert!(book.tried.buckets().len() <= usize::from(BUCKETS_PER_GROUP), "{network:?}");
        // One more network and one that said hello: neither is kept out by the crowd.
        answers(&mut book, at(2000), &contact(5000, [203, 0, 113, 1]));
        assert!(tried(&book).contains(&id(5000)));
    }
}

#[test]
fn a_contact_with_addresses_in_many_networks_counts_in_each() {
    let spread = |n: u32| {
        let ports =
            (0..4u8).map(|i| SocketAddr::from(([20 + i, 1, (n >> 8) as u8, n as u8], 7272)));
        Contact::new(id(n), ports)
    };
    let mut book = book();
    for n in 1..1000u32 {
        let giver = IpAddr::from([(n % 200) as u8 + 1, n as u8, 1, 1]);
        book.learn(at(1), giver, vec![told(spread(n), 0)]);
    }
    for network in 20..24u8 {
        let inside = book.entries.values().flat_map(|entry| &entry.contact.addresses);
        let inside =
            inside.filter(|a| matches!(a.ip(), IpAddr::V4(v4) if v4.octets()[0] == network));
        assert_eq!(inside.count(), MAX_PER_GROUP);
    }
}

#[test]
fn who_says_hello_takes_the_place_of_one_who_was_only_told_of() {
    let mut book = book();
    for n in 1..200u32 {
        let giver = IpAddr::from([n as u8, 1, 1, 1]);
        book.learn(at(1), giver, vec![told(contact(n, [203, 0, 1, n as u8]), 0)]);
    }
    assert_eq!(book.entries.len(), MAX_PER_GROUP);
    let honest = contact(900, [203, 0, 2, 1]);
    book.met(at(2), &honest, honest.addresses[0].ip());
    assert_eq!(book.entries.len(), MAX_PER_GROUP);
    assert!(book.entries.contains_key(&id(900)));
}

/// A book with a full tried bucket, and one more who answered and belongs there.
fn crowded() -> (Book, ServentId, ServentId) {
    let mut book = book();
    for n in 1.. {
        answers(&mut book, at(n.into()), &local(n));
        if let Some((&holder, &newcomer)) = book.tests.iter().next() {
            assert_eq!(newcomer, id(n));
            return (book, holder, newcomer);
        }
    }
    unreachable!("a table has an end")
}

#[test]
fn a_tried_place_is_lost_only_by_who_does_not_answer() {
    let (mut book, holder, newcomer) = crowded();
    assert!(tried(&book).contains(&holder) && !tried(&book).contains(&newcomer));
    let now = at(100_000);
    let probed = book.to_probe(now, &mut rng(), |_| false).unwrap();
    assert_eq!(probed.id, holder, "it is probed before all others");
    answers(&mut book, now, &probed);
    assert!(tried(&book).contains(&holder) && !tried(&book).contains(&newcomer));
    assert!(book.tests.is_empty());

    let (mut book, holder, newcomer) = crowded();
    book.failed(now, holder, false, &mut rng());
    assert!(!tried(&book).contains(&holder) && tried(&book).contains(&newcomer));
    assert!(book.entries.contains_key(&holder), "it is not forgotten for one dial in vain");
}

#[test]
fn somebody_told_of_is_probed_and_by_its_answer_tried() {
    let mut book = book();
    assert_eq!(book.to_probe(at(1), &mut rng(), |_| false), None);
    book.learn(at(1), LOCAL, vec![told(local(1), 60)]);
    let probed = book.to_probe(at(1), &mut rng(), |_| false).unwrap();
    assert!(tried(&book).is_empty());
    answers(&mut book, at(2), &probed);
    assert_eq!(tried(&book), BTreeSet::from([id(1)]));
}

#[test]
fn what_is_kept_is_taken_back_with_all_that_counts() {
    let mut book = book();
    answers(&mut book, at(1), &contact(1, [203, 0, 113, 1]));
    answers(&mut book, at(2), &contact(2, [198, 51, 100, 2]));
    let giver = IpAddr::from([198, 51, 100, 9]);
    book.learn(at(3), giver, vec![told(contact(3, [192, 0, 2, 3]), 5)]);
    book.failed(at(4), id(3), false, &mut rng());
    let kept = book.to_keep(&[id(2)]);
    assert_eq!(kept.iter().map(|kept| kept.anchor).collect::<Vec<_>>(), [true, false, false]);
    let mut again = Book::new(id(0), [6; 32]);
    again.restore(at(10), kept.clone());
    assert_eq!(again.to_keep(&[id(2)]), kept);
    assert_eq!(tried(&again), tried(&book));
    assert_eq!(again.fresh(at(100)), [], "what was heard in another run is not fresh for ever");
    // After a month away only what is in reach of the horizon comes back.
    let mut late = Book::new(id(0), [6; 32]);
    late.restore(at(10) + HORIZON, kept);
    assert!(late.entries.is_empty());
}

#[test]
fn addresses_of_a_proven_servent_are_added_to_by_strangers_and_not_replaced() {
    let mut book = book();
    let honest = contact(1, [203, 0, 113, 1]);
    answers(&mut book, at(1), &honest);
    let giver = IpAddr::from([192, 0, 2, 1]);
    book.learn(at(2), giver, vec![told(contact(1, [192, 0, 2, 66]), 0)]);
    assert_eq!(book.entries[&id(1)].contact.addresses[0], honest.addresses[0]);
}
