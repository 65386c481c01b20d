//! Before the hello is said: garbage, other protocols, silence, slowness, nonsense.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::common::fake_peer::FakePeer;
use crate::common::frames::{FakeHello, FakePurpose, HELLO, PING, Put, nonce};
use crate::common::servent::{Start, until};
use crate::{AT_ONCE, Bench, SLACK, noise};

/// From accept to hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
const CLOSED: Duration = HELLO_TIMEOUT.saturating_add(SLACK);
const A_SECOND: Duration = Duration::from_secs(1);

/// Case 1.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_first_is_closed_and_counted() {
    let bench = Bench::start().await;
    let before = bench.victim.ask_status().await.incidents.greetings;
    let mut ends = JoinSet::new();
    let sizes = [1, 2, 5, 31, 32, 33, 1000, 1024, 4096, 65_536];
    for size in sizes {
        let garbage = noise(size, "garbage");
        let mut peer = FakePeer::dial_tcp(bench.victim.addr(), None).await.unwrap();
        let _ = peer.send_bytes(&garbage).await;
        ends.spawn(async move { peer.expect_closed(CLOSED).await });

        let options = bench.options(1);
        let (mut peer, ..) = FakePeer::dial_tls(bench.victim.addr(), &options).await.unwrap();
        let _ = peer.send_bytes(&garbage).await;
        ends.spawn(async move { peer.expect_closed(CLOSED).await });

        let mut peer = FakePeer::dial(bench.victim.addr(), &options).await.unwrap();
        let _ = peer.send_bytes(&garbage).await;
        ends.spawn(async move { peer.expect_closed(CLOSED).await });
    }
    assert_eq!(ends.join_all().await.len(), 3 * sizes.len());
    until("every offence counted", async || {
        bench.victim.ask_status().await.incidents.greetings >= before + 3 * sizes.len() as u64
    })
    .await;
    assert!(bench.victim.log().len() < 16 * 1024, "{}", bench.victim.log());
    bench.ends_well().await;
}

/// Case 2.
#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_learn_nothing() {
    let bench = Bench::start().await;
    let hello = FakeHello::new(FakePurpose::Join).frame().to_bytes();
    let others: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x05\x01\x00",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02",
        &hello,
    ];
    for other in others {
        let mut peer = FakePeer::dial_tcp(bench.victim.addr(), None).await.unwrap();
        peer.send_bytes(other).await.unwrap();
        let answer = peer.rest(CLOSED).await;
        // At most a TLS alert: a header of five bytes, a level, a reason.
        assert!(answer.is_empty() || (answer.len() == 7 && answer[0] == 0x15), "{answer:02x?}");
    }
    bench.ends_well().await;
}

/// Case 3.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_closed_after_five_seconds_in_all() {
    let bench = Bench::start().await;
    let (addr, options) = (bench.victim.addr(), bench.options(3));
    let start = Instant::now();
    let mut silent = vec![FakePeer::dial_tcp(addr, None).await.unwrap()];
    silent.push(FakePeer::dial_tls(addr, &options).await.unwrap().0);
    silent.push(FakePeer::dial(addr, &options).await.unwrap());
    let mut ends = JoinSet::new();
    for mut peer in silent {
        ends.spawn(async move { peer.expect_closed(CLOSED).await });
    }
    while ends.join_next().await.transpose().unwrap().is_some() {
        assert!(start.elapsed() > HELLO_TIMEOUT - A_SECOND, "{:?}", start.elapsed());
    }
    assert!(start.elapsed() < CLOSED, "{:?}", start.elapsed());
    bench.ends_well().await;
}

/// Case 4.
#[tokio::test(flavor = "multi_thread")]
async fn a_byte_a_second_earns_no_more_time() {
    let bench = Bench::start().await;
    let (addr, options) = (bench.victim.addr(), bench.options(4));
    let hello = FakeHello::new(FakePurpose::Join).frame().to_bytes();
    let (peer, proof, _) = FakePeer::dial_tls(addr, &options).await.unwrap();
    let slow = [
        (FakePeer::dial_tcp(addr, None).await.unwrap(), b"\x16\x03\x01\x02\x00\x01".to_vec()),
        (peer, proof.as_bytes().to_vec()),
        (FakePeer::dial(addr, &options).await.unwrap(), hello),
    ];
    let mut ends = JoinSet::new();
    for (mut peer, bytes) in slow {
        ends.spawn(async move {
            let start = Instant::now();
            for byte in bytes.into_iter().cycle() {
                // Fails once the other end has closed, which is what is waited for.
                let _ = peer.send_bytes(&[byte]).await;
                if peer.is_closed_within(A_SECOND).await {
                    break;
                }
                assert!(start.elapsed() < CLOSED, "still open");
            }
            start.elapsed()
        });
    }
    for took in ends.join_all().await {
        assert!(took > HELLO_TIMEOUT - 2 * A_SECOND, "{took:?}");
    }
    bench.ends_well().await;
}

/// Case 6, before the hello: no length of another kind's, and none over the limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_length_before_the_hello_is_closed_at_once() {
    let bench = Bench::start().await;
    for len in [1_019, 1 << 16, 1 << 24, u32::MAX - 1, u32::MAX] {
        for kind in [HELLO, PING, 0x33, 0x77] {
            let options = bench.options(6);
            let mut peer = FakePeer::dial(bench.victim.addr(), &options).await.unwrap();
            peer.recv_kind(HELLO).await.unwrap();
            let mut bytes = len.to_be_bytes().to_vec();
            bytes.extend([kind, 1]);
            peer.send_bytes(&bytes).await.unwrap();
            peer.expect_closed(AT_ONCE).await;
        }
    }
    assert!(bench.memory_taken() < 20 << 20, "{}", bench.memory_taken());
    bench.ends_well().await;
}

/// Cases 7 and 10, within the hello.
#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_lies_about_itself_is_closed_at_once() {
    let bench = Bench::start().await;
    let start = || Put::default().int(1).int(0).int(0).int(7272);
    let end = |put: Put| put.text("a").text("n").end();
    let hellos = [
        ("2^32 addresses", start().int(1 << 32).raw(&[0; 900])),
        ("2^64-1 addresses", start().int(u64::MAX).raw(&[0; 900])),
        ("nine addresses", end(start().int(9).raw(&[0; 9 * 6]))),
        ("a name of 2^64-1 bytes", start().int(0).text("a").int(u64::MAX).raw(&[b'n'; 900])),
        ("a name of 65 bytes", start().int(0).text("a").text(&"n".repeat(65)).end()),
        ("a name that is no text", start().int(0).text("a").int(2).raw(&[0xc3, 0x28]).end()),
        ("2^32 extensions", start().int(0).text("a").text("n").int(1 << 32).raw(&[0; 900])),
        ("no such purpose", end(Put::default().int(1).int(0).int(9).int(7272).int(0))),
        ("a port over 65,535", end(Put::default().int(1).int(0).int(0).int(1 << 16).int(0))),
        ("bytes behind the end", end(start().int(0)).raw(&[0])),
        ("nothing", Put::default()),
    ];
    for (what, body) in hellos {
        let mut peer = FakePeer::dial(bench.victim.addr(), &bench.options(7)).await.unwrap();
        peer.recv_kind(HELLO).await.unwrap();
        peer.send_frame(HELLO, 0, &body.0).await.unwrap();
        assert!(peer.is_closed_within(AT_ONCE).await, "{what}");
    }
    assert!(bench.memory_taken() < 20 << 20, "{}", bench.memory_taken());
    bench.ends_well().await;
}

/// Case 15.
#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_out_of_order_is_closed_with_a_named_reason() {
    let bench = Bench::with(Start { log: Some("debug".into()), ..Start::default() }).await;
    let (addr, options) = (bench.victim.addr(), bench.options(15));
    let hello = FakeHello::new(FakePurpose::Join);

    let mut twice = bench.neighbour(15).await;
    twice.send(&hello.frame()).await.unwrap();
    twice.expect_closed(AT_ONCE).await;

    let mut early = FakePeer::dial(addr, &options).await.unwrap();
    early.recv_kind(HELLO).await.unwrap();
    early.send(&nonce(PING, 1)).await.unwrap();
    early.expect_closed(AT_ONCE).await;

    let mut newer = FakePeer::dial(addr, &options).await.unwrap();
    newer.recv_kind(HELLO).await.unwrap();
    newer.send(&FakeHello { version: 2, ..hello }.frame()).await.unwrap();
    newer.expect_closed(AT_ONCE).await;

    until("the reasons", async || {
        let log = bench.victim.log();
        let named = ["hello said twice", "ping before the hello", "version 2"];
        named.iter().all(|reason| log.contains(reason))
    })
    .await;

    let own = bench.victim.addr().to_string();
    let joined = bench.victim.ask(&["join", &own]).await;
    assert_eq!(joined.code, 1, "{joined:?}");
    assert!(joined.err.contains("this servent itself"), "{joined:?}");
    bench.ends_well().await;
}
