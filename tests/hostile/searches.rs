//! Searches: lies about life, copies without end, borrowed names, hits nobody asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use part2part::command::Reply;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::common::fake_peer::{FakePeer, Options};
use crate::common::frames::*;
use crate::common::servent::{Start, TestServent, until};
use crate::{AT_ONCE, Bench, SLACK};

/// The longest pause before an improvement of a search is passed on, and more.
const PAUSES: Duration = Duration::from_millis(300);

/// How long an own search takes in a storm of others'.
const OWN_WITHIN: Duration = Duration::from_secs(2).saturating_add(SLACK);

fn query(seed: u8, ttl: u8, hops: u8, text: &str) -> FakeQuery {
    FakeQuery { guid: [seed; 16], ttl, hops, text: text.into() }
}

/// A hit of one file.
pub(crate) fn hit(guid: [u8; 16], responder: u8, name: &str) -> FakeHit {
    FakeHit {
        guid,
        hops: 0,
        responder: [responder; 32],
        addresses: vec![([127, 0, 0, 1], 9999).into()],
        name: "fake".into(),
        unreachable: false,
        files: vec![FakeFile { id: [responder; 32], size: 1, name: name.into() }],
        more: false,
    }
}

/// The copies of searches among `frames`.
fn copies(frames: &[Frame]) -> Vec<FakeQuery> {
    frames.iter().filter(|frame| frame.kind == QUERY).map(FakeQuery::read).collect()
}

/// Everything that a neighbour gets while nobody does anything more, pauses included.
async fn settled(peer: &mut FakePeer) -> Vec<Frame> {
    let start = Instant::now();
    let mut frames = Vec::new();
    let mut number = 1000;
    while start.elapsed() < PAUSES {
        frames.extend(peer.until_pong(number).await.unwrap());
        number += 1;
    }
    frames
}

/// Case 29: a line of eight real servents between the liar and those who count.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_lives_longer_than_eight_hops() {
    let mut line = vec![TestServent::start(Start::with(&["--manual"]))];
    for _ in 1..8 {
        let next = TestServent::start(Start::with(&["--manual"]));
        let last = line.last().unwrap().invitation();
        let joined = next.ask(&["join", &last]).await;
        assert_eq!(joined.code, 0, "{joined:?}");
        line.push(next);
    }
    let mut watchers = Vec::new();
    for (servent, seed) in line.iter().zip(1..) {
        let options = Options::new(seed);
        let joined = FakePeer::join(servent.addr(), &options, FakePurpose::Manual).await;
        watchers.push(joined.unwrap().0);
    }
    let options = Options::new(100);
    let joined = FakePeer::join(line[0].addr(), &options, FakePurpose::Manual).await;
    let mut liar = joined.unwrap().0;

    for (seed, ttl, hops) in [(1, 255, 255), (2, 255, 9), (3, 1, 8), (4, 255, 8), (5, 0, 0)] {
        liar.send(&query(seed, ttl, hops, "dead on arrival").frame()).await.unwrap();
    }
    liar.send(&query(6, 255, 0, "clamped").frame()).await.unwrap();
    liar.send(&query(7, 200, 5, "clamped").frame()).await.unwrap();
    liar.send(&query(8, 8, 0, "honest").frame()).await.unwrap();
    // The copies that the first servent passes on, to be known of all along the line.
    for (watcher, passed) in watchers.iter_mut().zip(1..) {
        let mut seen = BTreeSet::new();
        let wanted = match passed {
            1 | 2 => 3,
            3..8 => 2,
            _ => 0,
        };
        while seen.len() < wanted {
            let copy = FakeQuery::read(&watcher.recv_kind(QUERY).await.unwrap());
            let [seed, ..] = copy.guid;
            let began = if seed == 7 { 5 } else { 0 };
            assert!((6..=8).contains(&seed), "{copy:?}");
            assert_eq!(copy.hops, began + passed, "{copy:?}");
            assert_eq!(copy.ttl + copy.hops, 8, "{copy:?}");
            assert!(seen.insert(seed), "{copy:?} came twice");
            let done = FakeDone { guid: copy.guid, asked: 0, lost: 0 };
            watcher.send(&done.frame()).await.unwrap();
        }
    }
    // All eight real servents are asked, and whoever comes behind them is not.
    let done = loop {
        let done = FakeDone::read(&liar.recv_kind(QUERY_DONE).await.unwrap());
        if done.guid == [8; 16] {
            break done;
        }
    };
    assert_eq!((done.asked, done.lost), (8, 0));
    for watcher in &mut watchers {
        assert_eq!(copies(&settled(watcher).await), [], "and no copy came twice");
    }

    for seed in 20..32 {
        let _ = liar.send(&query(seed, 255, 0, "once more").frame()).await;
    }
    let (reason, _) = read_bye(&liar.recv_kind(BYE).await.unwrap());
    assert_eq!(reason, 3, "misbehaved");
    liar.expect_closed(AT_ONCE).await;
}

/// Case 30.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_repeated_ten_thousand_times_goes_on_once_for_each_life() {
    let bench = Bench::start().await;
    let mut watcher = bench.neighbour(30).await;
    let lives = 2..8;
    let flood: Vec<u8> = lives
        .cycle()
        .take(2_500)
        .flat_map(|ttl| query(30, ttl, 0, "again and again").frame().to_bytes())
        .collect();
    let mut repeaters = tokio::task::JoinSet::new();
    for seed in 31..35 {
        let (mut repeater, flood) = (bench.neighbour(seed).await, flood.clone());
        repeaters.spawn(async move {
            let _ = repeater.send_bytes(&flood).await;
            repeater.expect_closed(AT_ONCE).await;
        });
    }
    assert_eq!(repeaters.join_all().await.len(), 4);
    let seen = copies(&settled(&mut watcher).await);
    assert!(!seen.is_empty() && seen.len() <= 6, "{seen:?}");
    assert!(seen.is_sorted_by_key(|copy| copy.ttl), "{seen:?}");
    let lives: BTreeSet<u8> = seen.iter().map(|copy| copy.ttl).collect();
    assert_eq!(lives.len(), seen.len(), "one copy for each life: {seen:?}");
    assert_eq!(lives.last(), Some(&6));
    drop(watcher);
    bench.ends_well().await;
}

/// Case 31.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_text_of_a_search_wins_and_hits_are_not_crossed() {
    let bench = Bench::start().await;
    bench.publish("alpha.txt", b"alpha").await;
    bench.publish("omega.txt", b"omega").await;
    let (mut first, mut second) = (bench.neighbour(1).await, bench.neighbour(2).await);
    let mut watcher = bench.neighbour(3).await;
    first.send(&query(31, 3, 0, "alpha").frame()).await.unwrap();
    for peer in [&mut second, &mut watcher] {
        let copy = FakeQuery::read(&peer.recv_kind(QUERY).await.unwrap());
        assert_eq!((copy.text.as_str(), copy.ttl, copy.hops), ("alpha", 2, 1));
        let done = FakeDone { guid: copy.guid, asked: 1, lost: 0 };
        peer.send(&done.frame()).await.unwrap();
    }
    let found = FakeHit::read(&first.recv_kind(QUERY_HIT).await.unwrap());
    assert_eq!((found.responder, found.files[0].name.as_str()), (bench.victim.id().0, "alpha.txt"));
    let done = FakeDone::read(&first.recv_kind(QUERY_DONE).await.unwrap());
    assert_eq!((done.asked, done.lost), (4, 0), "two real servents and two fake ones");

    second.send(&query(31, 7, 0, "omega").frame()).await.unwrap();
    let said = settled(&mut second).await;
    let [done] = &said[..] else { panic!("{said:?}") };
    let done = FakeDone::read(done);
    assert_eq!((done.guid, done.asked, done.lost), ([31; 16], 0, 1), "not taken up, and said so");
    assert_eq!(settled(&mut watcher).await, []);
    assert_eq!(settled(&mut first).await, []);
    drop((first, second, watcher));
    bench.ends_well().await;
}

/// Case 34.
#[tokio::test(flavor = "multi_thread")]
async fn hits_that_nobody_asked_for_go_nowhere() {
    let bench = Bench::start().await;
    let mut watcher = bench.neighbour(34).await;
    // Of a life that ends here: nobody else has been asked.
    watcher.send(&query(34, 1, 0, "nothing like it").frame()).await.unwrap();
    watcher.recv_kind(QUERY_DONE).await.unwrap();

    let mut unknown = bench.neighbour(1).await;
    let guids = (100..=u8::MAX).cycle().take(250);
    let hits = guids.flat_map(|n| hit([n; 16], 1, "unasked").frame().to_bytes());
    let _ = unknown.send_bytes(&hits.collect::<Vec<u8>>()).await;
    unknown.expect_closed(AT_ONCE).await;

    let mut overheard = bench.neighbour(2).await;
    for _ in 0..11 {
        let _ = overheard.send(&hit([34; 16], 2, "unasked").frame()).await;
    }
    overheard.expect_closed(AT_ONCE).await;

    let mut own = bench.neighbour(3).await;
    own.send(&query(35, 3, 0, "my own").frame()).await.unwrap();
    own.until_pong(3).await.unwrap();
    for _ in 0..11 {
        let _ = own.send(&hit([35; 16], 3, "unasked").frame()).await;
    }
    own.expect_closed(AT_ONCE).await;

    let said = settled(&mut watcher).await;
    assert!(said.iter().all(|frame| frame.kind == QUERY), "{said:?}");
    assert_eq!(copies(&said), [query(35, 2, 1, "my own")]);
    drop(watcher);
    bench.ends_well().await;
}

/// A query carries nobody's name and nobody's address.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_names_nobody() {
    let relay = TestServent::start(Start::with(&["--manual"]));
    let mut start = Start::with(&["--manual", "--name", "nosy-searcher"]);
    start.listen = Some(([127, 77, 88, 99], 0).into());
    let searcher = TestServent::start(start);
    let joined = searcher.ask(&["join", &relay.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let joined = FakePeer::join(relay.addr(), &Options::new(1), FakePurpose::Manual).await;
    let mut watcher = joined.unwrap().0;
    watcher.until_pong(1).await.unwrap();

    let searching = tokio::spawn(async move {
        let found = searcher.ask(&["search", "what", "nobody", "has"]).await;
        (searcher, found)
    });
    let mut frames = Vec::new();
    // Radius 2 ends at the watcher, 4 and 8 are asked of it once more each.
    while copies(&frames).len() < 3 {
        let frame = watcher.recv().await.unwrap();
        if frame.kind == QUERY {
            let guid = FakeQuery::read(&frame).guid;
            let asked = u32::from(copies(&frames).is_empty());
            watcher.send(&FakeDone { guid, asked, lost: 0 }.frame()).await.unwrap();
        }
        frames.push(frame);
    }
    let (searcher, found) = searching.await.unwrap();
    assert_eq!(found.code, 4, "{found:?}");
    assert!(found.out.contains("asked 2 servents within 8 hops"), "{found:?}");
    frames.extend(settled(&mut watcher).await);

    for (copy, (ttl, hops)) in copies(&frames).iter().zip([(1, 1), (3, 1), (7, 1)]) {
        assert_eq!((copy.ttl, copy.hops), (ttl, hops));
        assert_eq!(copy.text, "what nobody has");
    }
    let (id, addr) = (searcher.id(), searcher.addr());
    let (low, high) = (addr.port() as u8, (addr.port() >> 8) as u8);
    let secrets: [(&str, Vec<u8>); 9] = [
        ("id", id.0.to_vec()),
        ("half of the id", id.0[..16].to_vec()),
        ("text of the id", id.to_string().into_bytes()),
        ("short text of the id", id.short().into_bytes()),
        ("name", b"nosy-searcher".to_vec()),
        ("address", vec![127, 77, 88, 99]),
        ("text of the address", b"127.77.88.99".to_vec()),
        ("port", vec![0xfb, low, high]),
        ("text of the port", addr.port().to_string().into_bytes()),
    ];
    assert!(frames.iter().any(|frame| frame.kind == QUERY));
    for frame in &frames {
        for (what, secret) in &secrets {
            let told = frame.to_bytes().windows(secret.len()).any(|part| part == secret);
            assert!(!told, "the {what} of the searcher is in {frame:02x?}");
        }
    }
    // What makes this test worth something: the watcher does learn it where it should.
    until("the searcher among the relay's neighbours", async || {
        relay.ask(&["peers"]).await.out.contains(&id.short())
    })
    .await;
}

/// Case 33: fifty neighbours with two hundred new searches a second each.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_searches_does_not_hold_up_our_own() {
    let bench = Bench::start().await;
    let mut storm = JoinSet::new();
    for seed in 0..50u8 {
        let mut peer = bench.neighbour(seed).await;
        storm.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            for tick in 1..=100u64 {
                ticks.tick().await;
                let frame = |n: u64| {
                    let mut guid = [seed; 16];
                    guid[..8].copy_from_slice(&(100 * tick + n).to_le_bytes());
                    FakeQuery { guid, ttl: 2, hops: 0, text: "storm".into() }.frame().to_bytes()
                };
                let frames: Vec<u8> = (0..20).flat_map(frame).collect();
                // Whoever goes on like that is closed in the end.
                if peer.send_bytes(&frames).await.is_err() || peer.until_pong(tick).await.is_err() {
                    return;
                }
            }
        });
    }
    for _ in 0..3 {
        let replies = bench.victim.ask_replies(&["search", "health1"]).await;
        let end = replies.iter().find_map(|reply| match reply {
            Reply::SearchEnd(end) => Some(end),
            _ => None,
        });
        let end = end.expect("a search ends");
        assert_eq!(end.files, 1, "{end:?}");
        assert!(end.took_micros < OWN_WITHIN.as_micros() as u64, "{end:?}");
    }
    storm.join_all().await;
    bench.ends_well().await;
}
