//! A private mesh, for those who have no key.

use std::time::Duration;

use crate::common::fake_peer::{FakePeer, Options};
use crate::common::frames::{FakePurpose, Frame};
use crate::common::servent::{Start, TestServent};
use crate::{AT_ONCE, SLACK, noise};

const KEY: &[u8] = b"the key of the tests\n";
const NOTHING: [u8; 0] = [];
/// Wrong proofs that an address has in a minute.
const WRONG_PROOFS: usize = 3;

fn private_servent() -> TestServent {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    let start = Start::with(&["--network-key", key.to_str().unwrap(), "--name", "secret"]);
    TestServent::start_in(home, start)
}

fn member(seed: u8) -> Options {
    Options { network_key: KEY.to_vec(), ..Options::new(seed) }
}

/// Case 53.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_key_is_closed_in_silence() {
    let victim = private_servent();
    let others: [&[u8]; 4] =
        [b"", b"another key", b"the key of the test", b"the key of the tests "];
    for key in others {
        let options = Options { network_key: key.to_vec(), ..Options::new(53) };
        let (mut peer, wrong, _) = FakePeer::dial_tls(victim.addr(), &options).await.unwrap();
        peer.send_bytes(wrong.as_bytes()).await.unwrap();
        assert_eq!(peer.rest(AT_ONCE).await, NOTHING, "nothing is said to a wrong proof");
    }
    // The right proof, said back to its maker or for another connection, is wrong too.
    let (_, proof, _) = FakePeer::dial_tls(victim.addr(), &member(53)).await.unwrap();
    let (mut peer, _, answer) = FakePeer::dial_tls(victim.addr(), &member(53)).await.unwrap();
    peer.send_bytes(proof.as_bytes()).await.unwrap();
    assert_eq!(peer.rest(AT_ONCE).await, NOTHING, "the proof of another connection");
    let (mut peer, ..) = FakePeer::dial_tls(victim.addr(), &member(53)).await.unwrap();
    peer.send_bytes(answer.as_bytes()).await.unwrap();
    assert_eq!(peer.rest(AT_ONCE).await, NOTHING, "the acceptor's part");
    let (mut peer, ..) = FakePeer::dial_tls(victim.addr(), &member(53)).await.unwrap();
    peer.send_bytes(&noise(1000, "proof")).await.unwrap();
    assert_eq!(peer.rest(AT_ONCE).await, NOTHING, "nothing but noise");
    let (mut peer, ..) = FakePeer::dial_tls(victim.addr(), &Options::new(53)).await.unwrap();
    let patience = Duration::from_secs(5) + SLACK;
    assert_eq!(peer.rest(patience).await, NOTHING, "silence");

    let purpose = FakePurpose::Manual;
    let (mut peer, hello, _) = FakePeer::join(victim.addr(), &member(53), purpose).await.unwrap();
    assert_eq!(hello.name, "secret");
    assert!(peer.until_pong(53).await.unwrap().iter().all(|frame: &Frame| frame.kind == 0x10));
    let status = victim.ask_status().await;
    assert!(status.private && status.neighbours == 1, "{status:?}");
}

/// Case 53.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_three_guesses_a_minute() {
    let victim = private_servent();
    let stranger = Options::new(53).from([127, 53, 0, 1]);
    let mut guesses = 0;
    while let Ok((mut peer, wrong, _)) = FakePeer::dial_tls(victim.addr(), &stranger).await {
        guesses += 1;
        peer.send_bytes(wrong.as_bytes()).await.unwrap();
        assert_eq!(peer.rest(AT_ONCE).await, NOTHING);
    }
    // We may see the last close before it is counted.
    assert!((WRONG_PROOFS..=WRONG_PROOFS + 1).contains(&guesses), "{guesses}");
    let late = member(53).from([127, 53, 0, 1]);
    assert!(FakePeer::dial_tls(victim.addr(), &late).await.is_err(), "even with the key");

    let elsewhere = member(53).from([127, 53, 0, 2]);
    let purpose = FakePurpose::Manual;
    FakePeer::join(victim.addr(), &elsewhere, purpose).await.unwrap();
    // A person at this machine may mistype as often as they like.
    for _ in 0..=WRONG_PROOFS {
        let options = Options::new(53).from([127, 0, 0, 1]);
        let (mut peer, wrong, _) = FakePeer::dial_tls(victim.addr(), &options).await.unwrap();
        peer.send_bytes(wrong.as_bytes()).await.unwrap();
        assert_eq!(peer.rest(AT_ONCE).await, NOTHING);
    }
}
