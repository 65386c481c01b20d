//! After the hello: frames that are slow, huge, empty, malformed, unknown, cut or glued.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::common::fake_peer::{FakePeer, Options};
use crate::common::frames::*;
use crate::common::servent::until;
use crate::{AT_ONCE, Bench, SLACK};

/// A frame that has begun is complete within this time.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
const A_SECOND: Duration = Duration::from_secs(1);
/// Unknown frames that are passed over in a minute.
const MAX_SKIPPED: usize = 8;

/// Case 5.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_slow_frames_are_closed_after_thirty_seconds_each() {
    let bench = Bench::start().await;
    let mut ends = JoinSet::new();
    for n in 0..100 {
        // Of as many groups, or the limits of an address would close them.
        let options = bench.options(n).from([127, n + 10, 0, 1]);
        let (addr, purpose) = (bench.victim.addr(), FakePurpose::Transfer { token: None });
        let (mut peer, ..) = FakePeer::join(addr, &options, purpose).await.unwrap();
        ends.spawn(async move {
            let start = Instant::now();
            peer.send_bytes(&[0, 1, 0, 0, DATA, 0]).await.unwrap();
            while !peer.is_closed_within(A_SECOND).await {
                let _ = peer.send_bytes(&[0]).await;
                assert!(start.elapsed() < FRAME_TIMEOUT + SLACK, "still open");
            }
            start.elapsed()
        });
    }
    for took in ends.join_all().await {
        assert!(took > FRAME_TIMEOUT - 2 * A_SECOND, "{took:?}");
    }
    assert!(bench.memory_taken() < 10 << 20, "{}", bench.memory_taken());
    bench.ends_well().await;
}

/// Case 6, after the hello: every kind has a limit of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_length_is_closed_at_once() {
    let bench = Bench::start().await;
    let limits = [
        (PING, 256),
        (BYE, 8192),
        (FORWARD_JOIN, 8192),
        (SHUFFLE, 8192),
        (QUERY, 512),
        (QUERY_HIT, 32_768),
        (QUERY_DONE, 8192),
        (0x77, 65_536),
        (DESCRIBE, 256),
        (MANIFEST, 33_792),
        (REQUEST, 2048),
        (DATA, 262_184),
        (CANCEL, 2048),
    ];
    for (kind, limit) in limits {
        for len in [limit + 1, 1 << 24, 1 << 31, u32::MAX] {
            let mut peer =
                if kind < DESCRIBE { bench.neighbour(6).await } else { bench.taker(6).await };
            let mut bytes = len.to_be_bytes().to_vec();
            bytes.extend([kind, 1]);
            peer.send_bytes(&bytes).await.unwrap();
            assert!(peer.is_closed_within(AT_ONCE).await, "{len} bytes of {kind:#x}");
        }
    }
    assert!(bench.memory_taken() < 20 << 20, "{}", bench.memory_taken());
    bench.ends_well().await;
}

/// Case 8.
#[tokio::test(flavor = "multi_thread")]
async fn empty_frames_are_closed_before_they_cost_anything() {
    let bench = Bench::start().await;
    let before = bench.victim.cpu();
    for kind in [0x00, PING, QUERY, QUERY_DONE, 0x77] {
        let mut peer = bench.neighbour(8).await;
        let empty = [0, 0, 0, 0, kind, 1].repeat(100_000);
        let _ = peer.send_bytes(&empty).await;
        peer.expect_closed(AT_ONCE).await;
    }
    let took = bench.victim.cpu() - before;
    assert!(took < A_SECOND, "{took:?}");
    bench.ends_well().await;
}

/// Cases 7, 9 and 10.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_closed_at_once() {
    let bench = Bench::start().await;
    let put = Put::default;
    let (id, guid) = ([7; 32], [7; 16]);
    let contact = || put().raw(&id).int(1).raw(&[0, 127, 0, 0, 1]).int(7272).int(0);
    let bodies = [
        ("an integer of 16 bytes", PING, put().raw(&[0xfe; 17]).end()),
        ("no integer at all", PING, put().raw(&[0xff]).end()),
        ("an integer cut short", PING, put().raw(&[0xfd, 1, 2])),
        ("a number over its field", QUERY_DONE, put().raw(&guid).int(1 << 32).int(0).end()),
        ("bytes behind a ping", PING, put().int(1).end().raw(&[0])),
        ("bytes behind a done", QUERY_DONE, put().raw(&guid).int(1).int(0).end().raw(&[0; 9])),
        ("bytes behind a shuffle", SHUFFLE, put().int(0).end().raw(&[1])),
        ("2^32 contacts", SHUFFLE, put().int(1 << 32).raw(&[0; 1000])),
        ("2^64-1 contacts", SHUFFLE_REPLY, put().int(u64::MAX).raw(&[0; 1000])),
        ("nine contacts", SHUFFLE, (0..9).fold(put().int(9), |p, _| p.raw(&contact().0)).end()),
        ("2^32 addresses", FORWARD_JOIN, put().raw(&id).int(1 << 32).raw(&[0; 1000])),
        ("2^32 extensions", PONG, put().int(1).int(1 << 32).raw(&[0; 200])),
        ("an extension of 2^64-1", PONG, put().int(1).int(1).int(1).int(u64::MAX).raw(&[0; 99])),
        ("no such reason", BYE, put().int(77).int(0).end()),
        ("a query without a life", QUERY, put().raw(&guid)),
        ("a hit of nothing", QUERY_HIT, put().raw(&guid).raw(&[0, 0]).raw(&id).raw(&[0])),
        ("a hit with a life", QUERY_HIT, put().raw(&guid).raw(&[1, 0]).raw(&id).raw(&[1, 0])),
        ("2^32 ranges", REQUEST, put().raw(&id).int(1 << 32).raw(&[1; 1000])),
        ("2^64-1 ranges", CANCEL, put().raw(&id).int(u64::MAX).raw(&[1; 1000])),
        ("65 ranges", REQUEST, (0..65).fold(put().raw(&id).int(65), |p, _| p.int(1).int(1)).end()),
        ("an empty range", REQUEST, put().raw(&id).int(1).int(1).int(0).end()),
        ("a range past the end", REQUEST, put().raw(&id).int(1).int(9).int(0xffff_ffff).end()),
        ("bytes behind a describe", DESCRIBE, put().raw(&id).int(0).end().raw(&[0])),
        ("a describe cut short", DESCRIBE, put().raw(&id[..31])),
        ("what a giver sends", MANIFEST, put().raw(&id).int(1).int(0).int(0).end()),
        ("2^32 values", MANIFEST, put().raw(&id).int(1).int(0).int(1 << 32).raw(&[0; 1000])),
        ("a query to a giver", QUERY, put().raw(&guid).raw(&[1, 0]).text("ab").end()),
    ];
    for (what, kind, body) in bodies {
        let to_giver = kind >= DESCRIBE || what.ends_with("giver");
        let mut peer = if to_giver { bench.taker(9).await } else { bench.neighbour(9).await };
        peer.send_frame(kind, 0, &body.0).await.unwrap();
        assert!(peer.is_closed_within(AT_ONCE).await, "{what}");
    }
    assert!(bench.memory_taken() < 20 << 20, "{}", bench.memory_taken());
    bench.ends_well().await;
}

/// Case 11.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_kinds_are_passed_over_eight_times_a_minute() {
    let bench = Bench::start().await;
    let mut peer = bench.neighbour(11).await;
    for n in 0..MAX_SKIPPED {
        peer.send_frame(0x77, 1, &vec![0; n * 9_000]).await.unwrap();
    }
    assert_eq!(peer.until_pong(11).await.unwrap(), []);
    peer.send_frame(0x78, 1, b"one more").await.unwrap();
    peer.expect_closed(AT_ONCE).await;

    let mut peer = bench.taker(11).await;
    for _ in 0..1000 {
        let _ = peer.send_frame(0x77, 1, b"new").await;
    }
    peer.expect_closed(AT_ONCE).await;

    let mut peer = bench.neighbour(11).await;
    peer.send_frame(0x77, 0, b"must be known").await.unwrap();
    peer.expect_closed(AT_ONCE).await;
    assert!(bench.victim.log().len() < 16 * 1024, "{}", bench.victim.log());
    bench.ends_well().await;
}

/// What an honest peer says on a short visit, for a file called `visit.txt`.
fn a_visit() -> Vec<u8> {
    let query = FakeQuery { guid: [12; 16], ttl: 2, hops: 0, text: "visit".into() };
    let hello = FakeHello::new(FakePurpose::Manual).frame();
    let frames = [hello, nonce(PING, 1), query.frame(), contacts(SHUFFLE, &[]), nonce(PING, 2)];
    frames.iter().flat_map(Frame::to_bytes).collect()
}

/// What a peer that has said all of [`a_visit`] gets; shuffles and pings of the victim,
/// which come when they like, left out.
async fn answers_to_a_visit(peer: &mut FakePeer) -> Vec<Frame> {
    let mut answers = Vec::new();
    let (mut pong, mut done, mut hit) = (false, false, false);
    while !(pong && done && hit) {
        let frame = peer.recv().await.unwrap();
        match frame.kind {
            PING | SHUFFLE | HELLO => continue,
            PONG => pong = read_nonce(&frame) == 2,
            QUERY_DONE => done = true,
            QUERY_HIT => hit = true,
            _ => {}
        }
        answers.push(frame);
    }
    // The library answers in its own time; the rest keeps its order.
    answers.sort_by_key(|frame| matches!(frame.kind, QUERY_HIT | QUERY_DONE));
    answers
}

/// Case 12.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_be_cut_anywhere() {
    let bench = Bench::start().await;
    bench.publish("visit.txt", b"a visit").await;
    let visit = a_visit();
    let before = bench.victim.ask_status().await;
    for reset in [false, true] {
        let options = Options { reset, ..bench.options(12) };
        for cut in 0..=visit.len() {
            let mut peer = FakePeer::dial(bench.victim.addr(), &options).await.unwrap();
            peer.send_bytes(&visit[..cut]).await.unwrap();
            if !reset {
                peer.finish().await.unwrap();
            }
        }
    }
    until("no trace of the visits", async || {
        let after = bench.victim.ask_status().await;
        after.neighbours == before.neighbours && after.shared_files == before.shared_files
    })
    .await;
    bench.ends_well().await;
}

/// Cases 13 and 14.
#[tokio::test(flavor = "multi_thread")]
async fn how_a_stream_is_cut_up_changes_no_answer() {
    let bench = Bench::start().await;
    bench.publish("visit.txt", b"a visit").await;
    let visit = a_visit();
    let mut answers = Vec::new();
    for (seed, step) in [(13, 1), (14, visit.len()), (15, 7)] {
        // Each is asked anew, or it would be the same search by another way.
        let visit: Vec<u8> = visit.iter().map(|&b| if b == 12 { seed } else { b }).collect();
        let options = bench.options(13);
        let mut peer = FakePeer::dial(bench.victim.addr(), &options).await.unwrap();
        for part in visit.chunks(step) {
            peer.send_bytes(part).await.unwrap();
        }
        let mut said = answers_to_a_visit(&mut peer).await;
        said.iter_mut().filter(|frame| frame.kind == WELCOME).for_each(|frame| {
            // The port that we came from.
            frame.body.drain(..8);
        });
        for frame in said.iter_mut().filter(|f| matches!(f.kind, QUERY_HIT | QUERY_DONE)) {
            assert_eq!(frame.body[..16], [seed; 16]);
            frame.body.drain(..16);
        }
        answers.push(said);
    }
    let kinds: Vec<u8> = answers[0].iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [WELCOME, PONG, SHUFFLE_REPLY, PONG, QUERY_HIT, QUERY_DONE]);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    bench.ends_well().await;
}

/// Case 14.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_glued_frames_are_all_answered_in_order() {
    let bench = Bench::start().await;
    let mut peer = bench.neighbour(14).await;
    let pings: Vec<u8> = (1..=1000).flat_map(|n| nonce(PING, n).to_bytes()).collect();
    peer.send_bytes(&pings).await.unwrap();
    for n in 1..=1000 {
        assert_eq!(read_nonce(&peer.recv_kind(PONG).await.unwrap()), n);
    }
    drop(peer);
    bench.ends_well().await;
}
