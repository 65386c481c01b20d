//! The tests' fake peer and the real `wire` and `identity` understand each other, and
//! the fake one sees what a test relies on it to see.

mod common;

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use common::fake_peer::{FakeListener, FakePeer, Options, connect};
use common::frames::{self, *};
use futures_util::{SinkExt, StreamExt};
use part2part::base::ServentId;
use part2part::identity::{
    Identity, NetworkKey, PROOF_LEN, Proof, Tls, exporter, peer_id, wrong_id,
};
use part2part::message::{
    Greeting, Hello, LinkMessage, Ping, Pong, Purpose, TransferMessage, Welcome,
};
use part2part::wire::{Codec, DecodeError, Family, Received, decode_hit_body, decode_query_body};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::codec::{Decoder, Encoder, Framed};

const SOON: Duration = Duration::from_secs(5);

fn hello(purpose: Purpose) -> Hello {
    Hello {
        version: 1,
        features: 3,
        purpose,
        listen_port: 7272,
        addresses: vec!["[::1]:7272".parse().expect("an address")],
        agent: "real".into(),
        name: "attic".into(),
        ext: vec![],
    }
}

/// A small acceptor made of `identity` and `wire`: takes one peer in and answers pings
/// until something is wrong, which it returns.
async fn serve(
    listener: TcpListener,
    key: &'static [u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let (tcp, from) = listener.accept().await?;
    let tls = Tls::new(&Identity::from_seed([99; 32]))?;
    let mut stream = TlsAcceptor::from(tls.server()).accept(tcp).await?;
    let exported = exporter(stream.get_ref().1)?;
    let key = NetworkKey::from_contents(key);
    let mut proof = [0; PROOF_LEN];
    stream.read_exact(&mut proof).await?;
    if Proof::from_bytes(proof) != key.dialler_proof(&exported) {
        return Err("wrong proof".into());
    }
    stream.write_all(key.acceptor_proof(&exported).as_bytes()).await?;
    let mut greeting = Framed::new(stream, Codec::<Greeting>::new());
    greeting.send(Greeting::Hello(hello(Purpose::Join))).await?;
    let Some(Received::Message(Greeting::Hello(_))) = greeting.next().await.transpose()? else {
        return Err("no hello".into());
    };
    let welcome = Welcome { your_address: from, contacts: vec![], ext: vec![] };
    greeting.send(Greeting::Welcome(welcome)).await?;
    let mut link = greeting.map_codec(|_| Codec::<LinkMessage>::new());
    while let Some(received) = link.next().await.transpose()? {
        if let Received::Message(LinkMessage::Ping(Ping { nonce, ext })) = received {
            link.send(LinkMessage::Pong(Pong { nonce, ext })).await?;
        }
    }
    Ok(())
}

/// Runs [`serve`] beside `peer` and returns how it ended.
async fn against<F: Future<Output = ()>>(
    key: &'static [u8],
    peer: impl FnOnce(std::net::SocketAddr) -> F,
) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound socket");
    // Dropped as soon as it ends, so that the peer sees the connection close.
    let server = async { serve(listener, key).await.map_err(|error| error.to_string()) };
    tokio::join!(server, peer(addr)).0
}

#[tokio::test]
async fn a_fake_peer_is_taken_in_and_answered() {
    let ended = against(b"", async |addr| {
        let mut options = Options::new(7);
        options.expected = Some(Identity::from_seed([99; 32]).id());
        options.source = Some([127, 9, 8, 7].into());
        let joined = FakePeer::join(addr, &options, FakePurpose::Join).await;
        let (mut peer, hello, welcome) = joined.unwrap();
        assert_eq!(peer.peer, options.expected);
        assert_eq!((hello.name.as_str(), hello.listen_port, hello.features), ("attic", 7272, 3));
        assert_eq!(hello.addresses, ["[::1]:7272".parse().unwrap()]);
        assert_eq!(welcome.your_address.ip(), options.source.unwrap());
        for number in [0, 250, 251, 65_535, 65_536, u64::MAX] {
            peer.send(&nonce(PING, number)).await.unwrap();
            assert_eq!(read_nonce(&peer.recv_kind(PONG).await.unwrap()), number);
        }
    })
    .await;
    // The peer went without a word of TLS.
    assert!(ended.is_err());
}

#[tokio::test]
async fn a_fake_peer_sees_itself_thrown_out() {
    let ended = against(b"", async |addr| {
        let purpose = FakePurpose::Refill { isolated: true };
        let joined = FakePeer::join(addr, &Options::new(7), purpose).await;
        let (mut peer, ..) = joined.unwrap();
        peer.send_frame(PING, 0, &[1, 0, 0]).await.unwrap();
        assert!(peer.expect_closed(SOON).await < SOON);
        assert!(peer.recv().await.is_err());
    })
    .await;
    assert_eq!(ended.unwrap_err(), "1 bytes left over behind a ping");
}

#[tokio::test]
async fn a_fake_peer_with_another_network_key_learns_nothing() {
    let ended = against(b"ours", async |addr| {
        let mut options = Options::new(7);
        options.network_key = b"theirs".to_vec();
        let error = FakePeer::dial(addr, &options).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    })
    .await;
    assert_eq!(ended.unwrap_err(), "wrong proof");
}

#[tokio::test]
async fn a_fake_peer_notices_the_wrong_servent() {
    let ended = against(b"", async |addr| {
        let mut options = Options::new(7);
        options.expected = Some(ServentId([1; 32]));
        let error = FakePeer::dial(addr, &options).await.err().unwrap();
        assert_eq!(wrong_id(&error).unwrap().found, Identity::from_seed([99; 32]).id());
    })
    .await;
    assert!(ended.is_err());
}

#[tokio::test]
async fn bare_tcp_is_answered_by_a_close() {
    let ended = against(b"", async |addr| {
        let mut peer = FakePeer::dial_tcp(addr, None).await.unwrap();
        peer.send_bytes(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        peer.expect_closed(SOON).await;
    })
    .await;
    assert!(ended.is_err());
}

#[tokio::test]
async fn a_fake_listener_takes_a_real_dialler_in() {
    let listener = FakeListener::bind(Options::new(5)).await.unwrap();
    let dial = async {
        let tcp: TcpStream = connect(listener.addr(), None).await.unwrap();
        let tls = Tls::new(&Identity::from_seed([99; 32])).unwrap();
        let connector = TlsConnector::from(tls.client(Some(listener.id())));
        let mut stream = connector.connect(Tls::server_name(), tcp).await.unwrap();
        assert_eq!(peer_id(stream.get_ref().1), Ok(listener.id()));
        let exported = exporter(stream.get_ref().1).unwrap();
        let key = NetworkKey::open();
        stream.write_all(key.dialler_proof(&exported).as_bytes()).await.unwrap();
        let mut proof = [0; PROOF_LEN];
        stream.read_exact(&mut proof).await.unwrap();
        assert_eq!(Proof::from_bytes(proof), key.acceptor_proof(&exported));
        let mut greeting = Framed::new(stream, Codec::<Greeting>::new());
        let purpose = Purpose::Transfer { token: Some([3; 16]) };
        greeting.send(Greeting::Hello(hello(purpose))).await.unwrap();
        for _ in 0..2 {
            assert!(matches!(greeting.next().await, Some(Ok(Received::Message(_)))));
        }
        greeting
    };
    let (dialler, taken) = tokio::join!(dial, listener.welcome());
    let (mut peer, hello) = taken.unwrap();
    assert_eq!(peer.peer, Some(Identity::from_seed([99; 32]).id()));
    assert_eq!(hello.purpose, FakePurpose::Transfer { token: Some([3; 16]) });
    drop(dialler);
    peer.expect_closed(SOON).await;
}

/// Reads a fake frame with `wire`, which must write it back as it was.
fn read<F: Family + Debug>(frame: &Frame) -> F {
    let mut bytes = BytesMut::from(frame.to_bytes().as_slice());
    let received: Result<_, DecodeError> = Codec::<F>::new().decode(&mut bytes);
    let Ok(Some(Received::Message(message))) = received else { panic!("{received:?}") };
    Codec::<F>::new().encode(&message, &mut bytes).expect("a message that may be sent");
    assert_eq!(&bytes[..], frame.to_bytes());
    message
}

#[test]
fn both_write_links_frames_alike() {
    let contact = |port| FakeContact {
        id: [4; 32],
        addresses: vec![([192, 0, 2, 1], port).into(), ([0x2001, 0, 0, 0, 0, 0, 0, 1], 9).into()],
        age_secs: 300,
    };
    let list = [contact(7272), contact(250)];
    for frame in [
        nonce(PING, 1 << 33),
        nonce(PONG, 5),
        bye(1, &list),
        forward_join(&list[0], 6),
        contacts(SHUFFLE, &list),
        contacts(SHUFFLE_REPLY, &[]),
    ] {
        read::<LinkMessage>(&frame);
    }
    assert_eq!(read_contacts(&contacts(SHUFFLE, &list)), list);
    assert_eq!(read_bye(&bye(1, &list)), (1, list.to_vec()));
    assert_eq!(frames::read_nonce(&nonce(PING, 1 << 33)), 1 << 33);
}

#[test]
fn both_write_a_search_alike() {
    let query = FakeQuery { guid: [1; 16], ttl: 5, hops: 2, text: "ferris".into() };
    let LinkMessage::Query(real) = read(&query.frame()) else { panic!("no query") };
    assert_eq!(decode_query_body(&real.body).unwrap().text, "ferris");
    assert_eq!(FakeQuery::read(&query.frame()), query);

    let hit = FakeHit {
        guid: [1; 16],
        hops: 1,
        responder: [2; 32],
        addresses: vec![([127, 0, 0, 1], 7272).into()],
        name: "attic".into(),
        unreachable: true,
        files: vec![FakeFile { id: [3; 32], size: 70_000, name: "é.ogg".into() }; 3],
        more: true,
    };
    let LinkMessage::QueryHit(real) = read(&hit.frame()) else { panic!("no hit") };
    let body = decode_hit_body(&real.body).unwrap();
    assert_eq!((body.hits.len(), body.hits[2].name.as_str()), (3, "é.ogg"));
    assert!(body.unreachable && body.more);
    assert_eq!(FakeHit::read(&hit.frame()), hit);

    let done = FakeDone { guid: [1; 16], asked: 412, lost: 70_000 };
    read::<LinkMessage>(&done.frame());
    assert_eq!(FakeDone::read(&done.frame()), done);
}

#[test]
fn both_write_a_transfer_alike() {
    let id = [9; 32];
    let manifest = FakeManifest { id, size: 1 << 20, part: 1, values: vec![[7; 32]; 16] };
    let data = FakeData { id, piece: 258, offset: 70_000, bytes: vec![5; 300] };
    for frame in [
        describe(&id, 300),
        manifest.frame(),
        ranges(REQUEST, &id, &[(0, 1), (70_000, 300)]),
        data.frame(),
        ranges(CANCEL, &id, &[]),
        queued(&id, 3),
        refused(&id, 5),
    ] {
        read::<TransferMessage>(&frame);
    }
    assert_eq!(read_describe(&describe(&id, 300)), (id, 300));
    assert_eq!(FakeManifest::read(&manifest.frame()), manifest);
    assert_eq!(FakeData::read(&data.frame()), data);
    assert_eq!(read_ranges(&ranges(REQUEST, &id, &[(0, 1)])), (id, vec![(0, 1)]));
    assert_eq!(read_answer(&refused(&id, 5)), (id, 5));
}
