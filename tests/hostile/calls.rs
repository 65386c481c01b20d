//! Calls and dial-backs in the wrong hands: nobody but their author is dialled in vain, and
//! nobody is taken for a source that is none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::common::fake_peer::{FakeListener, FakePeer, Options};
use crate::common::frames::*;
use crate::common::servent::until;
use crate::publisher::Offer;
use crate::{AT_ONCE, Bench, noise};

/// Who has the file, in a search over one link: the hit of the victim.
async fn hit(peer: &mut FakePeer, guid: [u8; 16]) -> FakeHit {
    let query = FakeQuery { guid, ttl: 1, hops: 0, text: "bait".into() };
    peer.send(&query.frame()).await.unwrap();
    FakeHit::read(&peer.recv_kind(QUERY_HIT).await.unwrap())
}

fn call(hit: &FakeHit, asker: [u8; 32], address: SocketAddr, token: [u8; 16]) -> FakeCall {
    let (guid, responder) = (hit.guid, hit.responder);
    FakeCall { guid, responder, asker, addresses: vec![address], token }
}

fn guid(n: usize) -> [u8; 16] {
    let mut guid = [0xca; 16];
    guid[..8].copy_from_slice(&n.to_be_bytes());
    guid
}

/// A listener that counts who comes, and says nothing.
struct Counter {
    addr: SocketAddr,
    came: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Counter {
    async fn bind(at: &str) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let came = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&came);
        let task = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { addr, came, task }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_call_is_answered_with_its_token_and_four_times_at_most() {
    let bench = Bench::start().await;
    bench.publish("bait.txt", &noise(1000, "bait")).await;
    let mut peer = bench.neighbour(50).await;
    let asker = FakeListener::bind(bench.options(51)).await.unwrap();
    let hit = hit(&mut peer, guid(1)).await;
    assert_eq!(hit.responder, bench.victim.id().0);
    let call = call(&hit, asker.id().0, asker.addr(), [9; 16]);
    for _ in 0..20 {
        peer.send(&call.frame()).await.unwrap();
    }
    peer.until_pong(1).await.unwrap();
    let mut dialled = Vec::new();
    for _ in 0..4 {
        let (dial, hello) = asker.welcome().await.unwrap();
        assert_eq!(hello.purpose, FakePurpose::Transfer { token: Some([9; 16]) });
        dialled.push(dial); // and it may ask for pieces there
    }
    let id = *blake3::hash(&noise(1000, "bait")).as_bytes();
    dialled[0].send(&describe(&id, 0)).await.unwrap();
    let manifest = FakeManifest::read(&dialled[0].recv_kind(MANIFEST).await.unwrap());
    assert_eq!((manifest.id, manifest.size), (id, 1000));
    drop(dialled);
    // A fifth dial would come before the answer to a call that was sent after it.
    let other = FakeListener::bind(bench.options(52)).await.unwrap();
    let second = self::hit(&mut peer, guid(2)).await;
    let last = self::call(&second, other.id().0, other.addr(), [8; 16]);
    peer.send(&last.frame()).await.unwrap();
    other.welcome().await.unwrap();
    assert!(tokio::time::timeout(Duration::ZERO, asker.accept_tcp()).await.is_err());
    drop(peer);
    bench.ends_well().await;
}

#[tokio::test]
async fn calls_for_hits_that_were_never_sent_this_way_dial_nobody_and_close_the_link() {
    let bench = Bench::start().await;
    bench.publish("bait.txt", &noise(1000, "bait")).await;
    let target = Counter::bind("127.0.0.1:0").await;
    let mut owner = bench.neighbour(50).await;
    let real = hit(&mut owner, guid(1)).await;

    // A search that nobody made; then a real one, with an author that never answered.
    let mut liar = bench.neighbour(53).await;
    let unknown = FakeHit { guid: guid(7), ..real.clone() };
    let forged = FakeHit { responder: bench.honest.id().0, ..real.clone() };
    for hit in [&unknown, &forged] {
        liar.send(&call(hit, [1; 32], target.addr, [1; 16]).frame()).await.unwrap();
    }
    liar.until_pong(1).await.unwrap();
    // A real hit, that went to somebody else: each of these is a strike.
    for n in 0..40 {
        let _ = liar.send(&call(&real, [n; 32], target.addr, [1; 16]).frame()).await;
    }
    liar.expect_closed(AT_ONCE).await;

    // Unknown ones may be honest, for somebody may have forgotten; a flood of them is not.
    let mut flood = bench.neighbour(54).await;
    for n in 0..1000 {
        let unknown = FakeHit { guid: guid(n + 100), ..real.clone() };
        if flood.send(&call(&unknown, [1; 32], target.addr, [1; 16]).frame()).await.is_err() {
            break;
        }
    }
    flood.expect_closed(AT_ONCE).await;
    owner.until_pong(2).await.unwrap();
    assert_eq!(target.came(), 0);
    drop((owner, liar, flood));
    bench.ends_well().await;
}

#[tokio::test]
async fn calls_that_aim_at_a_third_party_bring_it_four_connections_a_minute() {
    let bench = Bench::start().await;
    bench.publish("bait.txt", &noise(1000, "bait")).await;
    let third = Counter::bind("127.9.9.9:0").await;
    let mut peer = bench.neighbour(50).await;
    for n in 0..40 {
        let hit = hit(&mut peer, guid(n)).await;
        let token = guid(n);
        peer.send(&call(&hit, [n as u8 + 1; 32], third.addr, token).frame()).await.unwrap();
    }
    peer.until_pong(1).await.unwrap();
    until("four dials", async || third.came() >= 4).await;
    // Ports of other services, and addresses that are everybody's, are not dialled at all.
    let low = hit(&mut peer, guid(99)).await;
    peer.send(&call(&low, [77; 32], "127.9.9.8:80".parse().unwrap(), [1; 16]).frame())
        .await
        .unwrap();
    peer.until_pong(2).await.unwrap();
    let came = Arc::clone(&third.came);
    drop(peer);
    bench.ends_well().await;
    assert_eq!(came.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn only_the_called_source_with_its_token_is_taken_for_it() {
    let bench = Bench::start().await;
    let bytes = noise(50_000, "rare");
    let offer = Offer::honest("rare.bin", &bytes);
    let source = bench.options(60);
    let mut peer = bench.neighbour(60).await;
    let hash = blake3::hash(&bytes).to_hex();
    let download = bench.victim.ask(&["download", hash.as_str()]).await;
    assert_eq!(download.code, 0, "{download:?}");
    let query = FakeQuery::read(&peer.recv_kind(QUERY).await.unwrap());
    let file = FakeFile { id: offer.id, size: offer.size, name: offer.name.clone() };
    let hit = FakeHit {
        guid: query.guid,
        hops: 0,
        responder: source.id().0,
        addresses: vec![],
        name: "shy".into(),
        unreachable: true,
        files: vec![file],
        more: false,
    };
    peer.send(&hit.frame()).await.unwrap();
    peer.send(&FakeDone { guid: query.guid, asked: 1, lost: 0 }.frame()).await.unwrap();
    let called = FakeCall::read(&peer.recv_kind(CALL_ME).await.unwrap());
    assert_eq!((called.guid, called.responder), (query.guid, source.id().0));
    assert_eq!(called.asker, bench.victim.id().0);
    assert_eq!(called.addresses, [bench.victim.addr()]);

    let dial = async |options: &Options, token| {
        let purpose = FakePurpose::Transfer { token: Some(token) };
        FakePeer::join(bench.victim.addr(), options, purpose).await
    };
    // A relay that has read the token, and the source with a guess.
    assert!(dial(&bench.options(61), called.token).await.is_err());
    for guess in 0..20 {
        assert!(dial(&source, [guess; 16]).await.is_err());
    }
    let (mut giver, _, _) = dial(&source, called.token).await.expect("the source itself");
    assert!(dial(&source, called.token).await.is_err(), "a token is good for one connection");
    loop {
        let frame = giver.recv().await.unwrap();
        match frame.kind {
            DESCRIBE => giver.send(&(offer.lists)(0).frame()).await.unwrap(),
            REQUEST => {
                for frame in (offer.pieces)(0) {
                    giver.send(&frame).await.unwrap();
                }
            }
            THANKS => break,
            _ => {}
        }
    }
    let here = bench.victim.ask(&["wait"]).await;
    assert_eq!(here.code, 0, "{here:?}");
    assert_eq!(std::fs::read(bench.victim.downloads().join("rare.bin")).unwrap(), bytes);
    drop((giver, peer));
    bench.ends_well().await;
}

#[tokio::test]
async fn a_dial_back_reaches_its_asker_or_nobody() {
    let bench = Bench::start().await;
    let counter = Counter::bind("127.0.0.1:0").await;
    // Where another servent is, the asker is not.
    let mut peer = bench.neighbour(50).await;
    peer.send(&dial_back(bench.honest.addr().port())).await.unwrap();
    assert_eq!(read_outcome(&peer.recv_kind(DIALLED_BACK).await.unwrap()), 1);
    drop(peer);
    // A port of other services is not tried.
    let mut peer = bench.neighbour(51).await;
    peer.send(&dial_back(80)).await.unwrap();
    assert_eq!(read_outcome(&peer.recv_kind(DIALLED_BACK).await.unwrap()), 2);
    drop(peer);
    // Once a minute, whoever it is.
    let mut peer = bench.neighbour(52).await;
    for _ in 0..40 {
        let _ = peer.send(&dial_back(counter.addr.port())).await;
    }
    peer.expect_closed(AT_ONCE).await;
    assert!(counter.came() <= 1, "{}", counter.came());
    drop((peer, counter));
    bench.ends_well().await;
}
