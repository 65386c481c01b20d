//! Too much of what one alone may do: connections, requests, results.

use std::net::Ipv4Addr;
use std::time::Duration;

use part2part::command::Reply;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::common::fake_peer::{FakePeer, Options, connect};
use crate::common::frames::*;
use crate::common::servent::{Start, TestServent};
use crate::doors::{Knocked, knock};
use crate::publisher::Publisher;
use crate::{Bench, SLACK, noise};

/// Connections that have not said hello, at most.
const MAX_PENDING: usize = 128;
/// Connections of one address, and of one /16.
const PER_ADDRESS: usize = 4;
const PER_GROUP: usize = 32;
/// Connections of one address at once; then one a second.
const ADDRESS_BURST: usize = 8;
/// Results that a search takes, at most.
const MAX_RESULTS: usize = 2_000;
/// How long a peer may take nothing.
const UNREAD: Duration = Duration::from_secs(30);
/// How long those who do not read keep an honest peer waiting.
const SLOT_WITHIN: Duration = Duration::from_secs(35);

/// Case 16, on a small scale.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_keeps_nobody_honest_out() {
    let bench = Bench::start().await;
    let before = bench.victim.descriptors();
    let mut flood = Vec::new();
    for n in 0..500u32 {
        let [.., high, low] = n.to_be_bytes();
        let from = Ipv4Addr::new(127, 100 + low % 50, high, low);
        flood.push(connect(bench.victim.addr(), Some(from.into())).await.unwrap());
    }
    let start = Instant::now();
    let newcomer = TestServent::start(Start::with(&["--manual"]));
    let joined = newcomer.ask(&["join", &bench.victim.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    assert!(start.elapsed() < Duration::from_secs(10) + SLACK, "{:?}", start.elapsed());
    // The newcomer's link, the questions of this test, and nothing else.
    let most = before + MAX_PENDING + 8;
    assert!(bench.victim.descriptors() <= most, "{}", bench.victim.descriptors());
    drop((flood, newcomer));
    bench.ends_well().await;
}

/// Cases 17 and 18.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_a_group_have_so_many_places() {
    let bench = Bench::start().await;
    let (addr, purpose) = (bench.victim.addr(), FakePurpose::Transfer { token: None });
    let mut stay = Vec::new();
    let mut sent_on = 0;
    for n in 0..20 {
        let options = bench.options(n).from([127, 17, 0, 1]);
        match knock(addr, &options, purpose).await {
            Knocked::In(peer) => stay.push(peer),
            Knocked::SentOn => sent_on += 1,
            Knocked::Closed => {}
        }
    }
    assert_eq!(stay.len(), PER_ADDRESS);
    assert!(sent_on >= ADDRESS_BURST - PER_ADDRESS, "{sent_on} were told");
    stay.clear();
    let before = bench.victim.descriptors();
    for n in 0..100 {
        let options = bench.options(n).from([127, 18, 0, n]);
        if let Knocked::In(peer) = knock(addr, &options, purpose).await {
            stay.push(peer);
        }
    }
    assert_eq!(stay.len(), PER_GROUP);
    assert!(bench.victim.descriptors() <= before + PER_GROUP + 2);
    let turned_away = bench.victim.ask_status().await.incidents.turned_away;
    assert_eq!(turned_away as usize, 120 - PER_ADDRESS - PER_GROUP, "all are counted");
    drop(stay);
    bench.ends_well().await;
}

/// Case 19.
#[tokio::test(flavor = "multi_thread")]
async fn resets_leave_nothing_behind() {
    let bench = Bench::start().await;
    for n in 0..2_000 {
        let stream = connect(bench.victim.addr(), None).await.unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        if n % 2 == 0 {
            let _ = stream.try_write(&[0x16, 3, 1]);
        }
    }
    assert!(bench.memory_taken() < 20 << 20, "{}", bench.memory_taken());
    bench.ends_well().await;
}

/// Cases 20 and 48: more peers than there are slots ask for much, and read nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_closed_and_keeps_no_slot() {
    let bench = Bench::start().await;
    let id = bench.publish("much.bin", &noise(48 << 20, "much")).await;
    let mut ends = JoinSet::new();
    for n in 0..24 {
        let options = bench.options(n).from([127, n + 20, 0, 1]);
        let (addr, purpose) = (bench.victim.addr(), FakePurpose::Transfer { token: None });
        let (mut peer, ..) = FakePeer::join(addr, &options, purpose).await.unwrap();
        peer.send(&ranges(REQUEST, &id, &[(0, 768)])).await.unwrap();
        ends.spawn(async move {
            let start = Instant::now();
            // Small frames that nobody reads show when the other end is gone.
            while peer.send(&ranges(CANCEL, &id, &[(767, 1)])).await.is_ok() {
                assert!(start.elapsed() < SLOT_WITHIN + UNREAD, "still open");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    let start = Instant::now();
    let bytes = noise(1 << 20, "little");
    bench.publish("little.bin", &bytes).await;
    let hash = blake3::hash(&bytes).to_string();
    let here = bench.honest.ask(&["download", &hash, "--wait"]).await;
    assert_eq!(here.code, 0, "{here:?}");
    assert!(start.elapsed() < SLOT_WITHIN + SLACK, "{:?}", start.elapsed());
    assert_eq!(ends.join_all().await.len(), 24);
    assert!(bench.memory_taken() < 64 << 20, "{}", bench.memory_taken());
    bench.ends_well().await;
}

/// Case 20, on a link: pings by the thousand, and no pong is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_does_not_read_is_closed() {
    let bench = Bench::start().await;
    let mut peer = bench.neighbour(20).await;
    let pings = nonce(PING, 20).to_bytes().repeat(10_000);
    let start = Instant::now();
    while peer.send_bytes(&pings).await.is_ok() {
        assert!(start.elapsed() < UNREAD + SLACK, "still open");
    }
    assert!(bench.memory_taken() < 20 << 20, "{}", bench.memory_taken());
    drop(peer);
    bench.ends_well().await;
}

/// Case 35.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_results_is_cut_and_called_partial() {
    let bench = Bench::start().await;
    let liar = Publisher::answering(35, |query| {
        let files = |frame: u32| {
            (0..64).map(move |n| {
                let id = *blake3::hash(&(64 * frame + n).to_le_bytes()).as_bytes();
                FakeFile { id, size: 1, name: format!("result {frame} {n}.txt") }
            })
        };
        let responder = Options::new(35).id().0;
        let hit = |frame| FakeHit {
            guid: query.guid,
            hops: 0,
            responder,
            addresses: vec![],
            name: "flood".into(),
            unreachable: false,
            files: files(frame).collect(),
            more: true,
        };
        (0..1_600).map(|frame| hit(frame).frame()).collect()
    })
    .await;
    let joined = bench.victim.ask(&["join", &liar.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let start = Instant::now();
    let words = ["search", "result", "--all", "--max", "2000"];
    let replies = bench.victim.ask_replies(&words).await;
    assert!(start.elapsed() < Duration::from_secs(10) + SLACK, "{:?}", start.elapsed());
    let hits = replies.iter().filter(|reply| matches!(reply, Reply::Hit(_))).count();
    assert!((MAX_RESULTS - 64..=MAX_RESULTS).contains(&hits), "{hits}");
    let end = replies.iter().find_map(|reply| match reply {
        Reply::SearchEnd(end) => Some(end),
        _ => None,
    });
    let end = end.expect("an end");
    assert!(end.cut, "called complete: {end:?}");
    assert!(bench.memory_taken() < 20 << 20, "{}", bench.memory_taken());
    drop(liar);
    bench.ends_well().await;
}
