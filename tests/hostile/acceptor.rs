//! Whom a servent dials may be hostile as well: every join ends soon, and says why.

use std::time::Duration;

use tokio::time::Instant;

use crate::common::fake_peer::{FakeListener, FakePeer, Options};
use crate::common::frames::*;
use crate::common::servent::TestServent;
use crate::{AT_ONCE, Bench, SLACK, noise};

/// From connect to welcome.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Has `victim` join whoever listens; `act` plays them once a connection has come.
async fn join(
    victim: &TestServent,
    listener: &FakeListener,
    act: impl AsyncFnOnce(&FakeListener),
) -> String {
    let address = format!("{}@{}", Options::new(1).id(), listener.addr());
    let words = ["join", &address];
    let start = Instant::now();
    let (joined, ()) = tokio::join!(victim.ask(&words), act(listener));
    assert_eq!(joined.code, 1, "{joined:?}");
    assert!(start.elapsed() < HELLO_TIMEOUT + SLACK, "{:?}", start.elapsed());
    joined.err
}

async fn listener(options: Options) -> FakeListener {
    FakeListener::bind(options).await.unwrap()
}

/// Greets up to the welcome, which is `frame`, and waits until that is understood.
async fn welcome(listener: &FakeListener, frame: Frame) {
    let mut peer = listener.accept().await.unwrap();
    peer.send(&FakeHello::new(FakePurpose::Join).frame()).await.unwrap();
    peer.recv_kind(HELLO).await.unwrap();
    peer.send(&frame).await.unwrap();
    peer.expect_closed(AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_at_somebody_hostile_ends_with_a_reason() {
    let bench = Bench::start().await;
    let victim = &bench.victim;
    let honest = listener(Options::new(1)).await;

    let said = join(victim, &honest, async |listener| {
        let mut peer = listener.accept_tcp().await.unwrap();
        peer.expect_closed(HELLO_TIMEOUT + SLACK).await;
    });
    assert!(said.await.contains("no answer within 5 s"), "silence");

    let said = join(victim, &honest, async |listener| {
        let mut peer = listener.accept_tcp().await.unwrap();
        peer.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        peer.expect_closed(AT_ONCE).await;
    });
    assert!(said.await.contains("is not a part2part servent"), "another protocol");

    let other = listener(Options::new(2)).await;
    let said = join(victim, &other, async |listener| {
        assert!(listener.accept().await.is_err(), "no proof for the wrong servent");
    });
    let said = said.await;
    let (wanted, found) = (Options::new(1).id().short(), Options::new(2).id().short());
    assert!(said.contains(&wanted) && said.contains(&found), "somebody else: {said}");

    let private = Options { network_key: b"private".to_vec(), ..Options::new(1) };
    let private = listener(private).await;
    let said = join(victim, &private, async |listener| {
        assert!(listener.accept().await.is_err());
    });
    assert!(said.await.contains("another mesh"));

    let said = join(victim, &honest, async |listener| {
        let mut peer = listener.accept().await.unwrap();
        peer.recv_kind(HELLO).await.unwrap();
        peer.expect_closed(HELLO_TIMEOUT + SLACK).await;
    });
    assert!(said.await.contains("no answer within 5 s"), "no hello");

    let said = join(victim, &honest, async |listener| {
        let mut peer = listener.accept().await.unwrap();
        let hello = FakeHello { version: 9, ..FakeHello::new(FakePurpose::Join) };
        peer.send(&hello.frame()).await.unwrap();
        peer.expect_closed(AT_ONCE).await;
    });
    assert!(said.await.contains("version 9"));

    let put = || Put::default().address(&([127, 0, 0, 1], 1).into());
    let contact = FakeContact { id: [5; 32], addresses: vec![], age_secs: 0 };
    let bodies = [
        ("2^32 contacts", put().int(1 << 32).raw(&[0; 8000])),
        ("2^64-1 contacts", put().int(u64::MAX).raw(&[0; 8000])),
        ("17 contacts", put().list(&vec![contact; 17], Put::contact).end()),
        ("bytes left over", put().int(0).end().raw(&[0])),
        ("noise", Put(noise(8000, "welcome"))),
    ];
    for (what, body) in bodies {
        let frame = Frame { kind: WELCOME, flags: 0, body: body.0 };
        let said = join(victim, &honest, async |listener| welcome(listener, frame).await).await;
        assert!(said.contains("welcome"), "{what}: {said}");
    }
    let said = join(victim, &honest, async |listener| {
        let frame = Frame { kind: WELCOME, flags: 0, body: vec![0; 8193] };
        welcome(listener, frame).await;
    });
    assert!(said.await.contains("8193 bytes announced"));
    assert_eq!(victim.ask_status().await.neighbours, 1);
    bench.ends_well().await;
}

/// Whom a redirect or a bye names is dialled within limits, if at all.
#[tokio::test(flavor = "multi_thread")]
async fn contacts_from_a_stranger_aim_the_servent_at_nobody() {
    let bench = Bench::start().await;
    let target = tokio::net::TcpListener::bind("127.99.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    // A thousand servents that nobody knows, all of them where the target listens.
    let contact = |n: usize| FakeContact {
        id: *blake3::hash(&n.to_le_bytes()).as_bytes(),
        addresses: vec![([127, 99, 0, 1], port).into()],
        age_secs: 0,
    };
    let contacts: Vec<FakeContact> = (0..1000).map(contact).collect();
    let purpose = FakePurpose::Join;
    for (seed, some) in (100..).zip(contacts.chunks(16)) {
        let options = bench.options(seed);
        let joined = FakePeer::join(bench.victim.addr(), &options, purpose).await;
        let mut peer = joined.unwrap().0;
        peer.send(&bye(1, some)).await.unwrap();
        peer.expect_closed(AT_ONCE).await;
    }
    let mut dials = 0;
    while let Ok(Ok(_)) = tokio::time::timeout(HELLO_TIMEOUT, target.accept()).await {
        dials += 1;
    }
    assert!((1..=4).contains(&dials), "{dials} dials");
    bench.ends_well().await;
}
