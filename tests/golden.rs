//! The protocol, frozen: one frame of each kind, written by hand from the documentation
//! of `wire`, is read and written as it stands there. A frame here that has to change is
//! a new version of the protocol.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use part2part::base::{Contact, ContentId, Geometry, Guid, Hops, PieceMap, ServentId, Ttl};
use part2part::message::*;
use part2part::wire::{
    Codec, Family, Header, Kind, Received, decode_hit_body, decode_query_body, encode_hit_body,
    encode_query_body,
};
use tokio_util::codec::{Decoder, Encoder};

/// `N` bytes, each one more than the one before.
fn counted<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first + i as u8)
}

fn guid() -> Guid {
    Guid(counted(0x10))
}

fn file() -> ContentId {
    ContentId(counted(0xa0))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The bytes of a frame, without the comments.
fn golden(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let code = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits = code.flat_map(str::split_whitespace);
    digits.map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
}

/// Wants the frame `name` to be `message`, read and written, after a hello if `greeted`.
fn is<F: Family + Debug + PartialEq>(name: &str, message: &F, greeted: bool) -> Vec<u8> {
    let bytes = golden(name);
    let mut codec = Codec::<F>::new();
    let mut stream = BytesMut::new();
    if greeted {
        stream.extend(golden("hello"));
        assert!(codec.decode(&mut stream).is_ok_and(|hello| hello.is_some()));
    }
    stream.extend_from_slice(&bytes);
    let read = codec.decode(&mut stream);
    let Ok(Some(Received::Message(read))) = read else { panic!("{name}: {read:?}") };
    assert_eq!(&read, message, "{name}");
    assert!(stream.is_empty(), "{name}");
    codec.encode(message, &mut stream).expect("a message that may be sent");
    assert_eq!(&stream[..], bytes, "{name}");
    bytes
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn first() -> AgedContact {
    let addresses = [address("192.0.2.7:7272"), address("[2001:db8::1]:250")];
    AgedContact { contact: Contact::new(ServentId(counted(0x20)), addresses), age_secs: 0 }
}

fn second() -> AgedContact {
    AgedContact { contact: Contact::new(ServentId(counted(0x40)), []), age_secs: 300 }
}

#[test]
fn greetings_are_as_documented() {
    let hello = Hello {
        version: 1,
        features: 0,
        purpose: Purpose::Refill { isolated: true },
        listen_port: 7272,
        addresses: vec![address("192.0.2.7:7272")],
        agent: "part2part/0.1".into(),
        name: "attic".into(),
        ext: vec![],
    };
    is("hello", &Greeting::Hello(hello), false);
    let hello = Hello {
        version: 1,
        features: 1 << 40,
        purpose: Purpose::Transfer { token: Some(guid().0) },
        listen_port: 0,
        addresses: vec![],
        agent: String::new(),
        name: String::new(),
        ext: vec![(1000, b"new".to_vec())],
    };
    is("hello_transfer", &Greeting::Hello(hello), false);
    let welcome = Welcome {
        your_address: address("[2001:db8::1]:50000"),
        contacts: vec![first(), second()],
        ext: vec![],
    };
    is("welcome", &Greeting::Welcome(welcome), true);
    let redirect = Redirect { contacts: vec![first()], ext: vec![] };
    is("redirect", &Greeting::Redirect(redirect), true);
}

#[test]
fn presence_on_a_link_is_as_documented() {
    is("ping", &LinkMessage::Ping(Ping { nonce: 251, ext: vec![] }), false);
    is("pong", &LinkMessage::Pong(Pong { nonce: 250, ext: vec![] }), false);
    let bye = Bye { reason: ByeReason::Full, contacts: vec![second()], ext: vec![] };
    is("bye", &LinkMessage::Bye(bye), false);
    let join = ForwardJoin { newcomer: first(), walk: 6, ext: vec![] };
    is("forward_join", &LinkMessage::ForwardJoin(join), false);
    let shuffle = Shuffle { contacts: vec![first()], ext: vec![] };
    is("shuffle", &LinkMessage::Shuffle(shuffle), false);
    let reply = ShuffleReply { contacts: vec![second(), first()], ext: vec![] };
    is("shuffle_reply", &LinkMessage::ShuffleReply(reply), false);
    is("dial_back", &LinkMessage::DialBack(DialBack { port: 7272, ext: vec![] }), false);
    let answer = DialledBack { outcome: DialOutcome::Unreached, ext: vec![] };
    is("dialled_back", &LinkMessage::DialledBack(answer), false);
}

#[test]
fn a_search_is_as_documented() {
    let asked = QueryBody { text: "ferris .ogg".into(), ext: vec![] };
    let body = encode_query_body(&asked).unwrap();
    let query =
        Query { guid: guid(), ttl: Ttl(5), hops: Hops(3), seen: Ttl(0), body: body.clone() };
    let bytes = is("query", &LinkMessage::Query(query), false);
    assert_eq!(decode_query_body(&bytes[6 + 18..]).unwrap(), asked);
    let query =
        Query { guid: guid(), ttl: Ttl(5), hops: Hops(3), seen: Ttl(4), body: body.clone() };
    is("query_seen", &LinkMessage::Query(query), false);

    let hit_of = |id, size, name: &str| Hit { id, size, name: name.into(), ext: vec![] };
    let mut twice = [0; 32];
    twice[..16].copy_from_slice(&guid().0);
    twice[16..].copy_from_slice(&guid().0);
    let found = HitBody {
        addresses: vec![address("192.0.2.7:7272")],
        name: "attic".into(),
        unreachable: false,
        hits: vec![
            hit_of(file(), 5_000_000_000, "ferris.ogg"),
            hit_of(ContentId(twice), 65_535, "Café ferris.ogg"),
        ],
        more: true,
        ext: vec![],
    };
    let hit = QueryHit {
        guid: guid(),
        hops: Hops(1),
        responder: ServentId(counted(0x20)),
        count: 2,
        body: encode_hit_body(&found).unwrap(),
    };
    let bytes = is("query_hit", &LinkMessage::QueryHit(hit.clone()), false);
    assert_eq!(decode_hit_body(&bytes[6 + 51..]).unwrap(), found);
    let plain = found.clone();
    let cut = HitBody { ext: HitBody::extensions(true), ..found };
    let hit = QueryHit { body: encode_hit_body(&cut).unwrap(), ..hit };
    let bytes = is("query_hit_cut", &LinkMessage::QueryHit(hit.clone()), false);
    assert!(decode_hit_body(&bytes[6 + 51..]).unwrap().is_cut());
    let listed =
        Hit { ext: vec![Hit::collected(42, 5_000_000_000)], ..hit_of(file(), 3226, "Jazz") };
    let within = Hit::described("Coltrane", Some(1_767_781_248));
    let within = Hit { ext: within, ..hit_of(ContentId(twice), 65_535, "ferris.ogg") };
    let hits = vec![listed, within];
    let folder = HitBody { hits, more: false, ..plain };
    let body = encode_hit_body(&folder).unwrap();
    is("query_hit_folder", &LinkMessage::QueryHit(QueryHit { body, ..hit }), false);

    let done = QueryDone { guid: guid(), asked: 412, lost: 3, ext: vec![] };
    is("query_done", &LinkMessage::QueryDone(done), false);

    let (responder, asker) = (ServentId(counted(0x20)), second().contact.id);
    let asker = Contact::new(asker, [address("192.0.2.7:7272"), address("[2001:db8::1]:250")]);
    let call = CallMe { guid: guid(), responder, asker, token: counted(0x80), ext: vec![] };
    is("call_me", &LinkMessage::CallMe(call), false);
}

#[test]
fn a_traced_search_is_as_documented() {
    let asked = QueryBody { text: "ferris .ogg".into(), ext: Trace::wanted() };
    let body = encode_query_body(&asked).unwrap();
    assert!(Trace::is_wanted(&body));
    let query = Query { guid: guid(), ttl: Ttl(5), hops: Hops(3), seen: Ttl(0), body };
    is("query_traced", &LinkMessage::Query(query), false);

    let sender = TraceNode {
        id: ShortId(counted(0x20)),
        asked: true,
        hits: 2,
        copies: 3,
        duplicates: 1,
        took: 12_345,
        ..TraceNode::default()
    };
    let silent = TraceNode {
        depth: 1,
        id: ShortId(counted(0x40)),
        silent: true,
        lost: 3,
        unsaid: 411,
        sent: 100,
        back: 9000,
        ..TraceNode::default()
    };
    let trace = Trace::new(vec![sender, silent]).unwrap();
    let done = QueryDone { guid: guid(), asked: 412, lost: 3, ext: trace.to_extensions() };
    assert_eq!(Trace::of(&done), Ok(Some(trace)));
    is("query_done_traced", &LinkMessage::QueryDone(done), false);
}

#[test]
fn a_transfer_is_as_documented() {
    let describe = Describe { id: file(), part: 1, ext: vec![] };
    is("describe", &TransferMessage::Describe(describe), false);
    let values = vec![counted(0x20), counted(0x40)];
    let manifest = Manifest { id: file(), size: 65_537, part: 0, values, ext: vec![] };
    is("manifest", &TransferMessage::Manifest(manifest), false);
    let pieces = vec![PieceRange { first: 0, count: 1 }, PieceRange { first: 70_000, count: 256 }];
    is("request", &TransferMessage::Request(Request { id: file(), pieces, ext: vec![] }), false);
    let bytes = Bytes::from_static(b"ferris!");
    let data = Data { id: file(), piece: 258, offset: 65_536, bytes };
    is("data", &TransferMessage::Data(data), false);
    let cancel = Cancel { id: file(), pieces: vec![], ext: vec![] };
    is("cancel", &TransferMessage::Cancel(cancel), false);
    let queued = Queued { id: file(), position: 3, ext: vec![] };
    is("queued", &TransferMessage::Queued(queued), false);
    let refused = Refused { id: file(), reason: Refusal::Withdrawn, ext: vec![] };
    is("refused", &TransferMessage::Refused(refused), false);
    let mut held = PieceMap::new(1000);
    for number in [16, 17, 31] {
        held.insert(Geometry::of(1000 << 16).and_then(|cut| cut.piece(number)).expect("a piece"));
    }
    let have = Have::new(file(), Holding::Here, &held);
    is("have", &TransferMessage::Have(have), false);
    let given = Have::new(file(), Holding::Given, &PieceMap::new(1000));
    is("have_given", &TransferMessage::Have(given), false);
    let sources = Sources { id: file(), contacts: vec![first().contact], ext: vec![] };
    is("sources", &TransferMessage::Sources(sources), false);
    let thanks = Thanks { id: file(), ext: vec![] };
    is("thanks", &TransferMessage::Thanks(thanks), false);
    let browse = Browse { folder: "Jazz".into(), cursor: vec![1, 2, 251], ext: vec![] };
    is("browse", &TransferMessage::Browse(browse), false);
    let told = Hit {
        id: file(),
        size: 65_535,
        name: "ferris.ogg".into(),
        ext: Hit::described("Jazz", Some(1_000_000_000)),
    };
    let entries = vec![Entry::Folder { name: "Coltrane".into(), ext: vec![] }, Entry::File(told)];
    let outcome = Listed::Page { entries, next: Some(vec![4, 5, 6]) };
    is("listing", &TransferMessage::Listing(Listing { outcome, ext: vec![] }), false);
    let later = Listing { outcome: Listed::Later { secs: 300 }, ext: vec![] };
    is("listing_later", &TransferMessage::Listing(later), false);
}

#[test]
fn there_is_a_frame_of_every_kind_and_each_is_as_long_as_it_says() {
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "hex") {
            continue; // what else is promised
        }
        let bytes = golden(path.file_stem().unwrap().to_str().unwrap());
        let header = Header::peek(&bytes).unwrap();
        assert_eq!(header.len as usize, bytes.len() - 6, "{}", path.display());
        seen.insert(header.kind);
    }
    assert_eq!(seen, Kind::ALL.map(Kind::number).into());
}
