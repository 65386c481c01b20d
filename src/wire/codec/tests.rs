//! What the codec takes and what it refuses, case by case.

use std::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::base::{Contact, ContentId, Guid, Hops, ServentId, Ttl};
use crate::message::*;
use crate::wire::{
    Fault, MAX_SKIPPED_BODY, MAY_SKIP, data_prefix, decode_hit_body, decode_query_body,
    encode_hit_body, encode_query_body,
};

pub(super) fn frame(kind: u8, flags: u8, body: &[u8]) -> BytesMut {
    let header = Header { len: body.len() as u32, kind, flags };
    let mut bytes = BytesMut::from(header.to_bytes().as_slice());
    bytes.extend_from_slice(body);
    bytes
}

pub(super) fn encoded<F: Family>(message: &F) -> BytesMut {
    let mut bytes = BytesMut::new();
    Codec::<F>::new().encode(message, &mut bytes).unwrap();
    bytes
}

/// Decodes one frame after a hello where the family wants one.
fn decoded<F: Family>(mut bytes: BytesMut) -> Result<Option<Received<F>>, DecodeError> {
    let mut codec = Codec::<F>::new();
    if F::admit(Kind::Welcome, 1).is_ok() && bytes.get(4) != Some(&Kind::Hello.number()) {
        codec.before = 1;
    }
    codec.decode(&mut bytes)
}

fn refused<F: Family + std::fmt::Debug>(bytes: BytesMut) -> DecodeError {
    decoded::<F>(bytes).unwrap_err()
}

fn hello() -> Hello {
    Hello {
        version: VERSION,
        features: 0,
        purpose: Purpose::Join,
        listen_port: 7272,
        addresses: vec!["127.0.0.1:7272".parse().unwrap()],
        agent: "part2part/0.1".into(),
        name: "attic".into(),
        ext: vec![],
    }
}

fn contacts(count: u8) -> Vec<AgedContact> {
    let contact = |i| Contact::new(ServentId([i; 32]), ["[2001:db8::1]:700".parse().unwrap()]);
    (0..count).map(|i| AgedContact { contact: contact(i), age_secs: 5 }).collect()
}

#[test]
fn a_huge_length_is_refused_on_six_bytes_and_takes_no_memory() {
    for kind in Kind::ALL {
        for len in [kind.limit() + 1, 1 << 24, u32::MAX] {
            let header = Header { len, kind: kind.number(), flags: 0 };
            let mut bytes = BytesMut::from(header.to_bytes().as_slice());
            let before = bytes.capacity();
            let error = match kind.number() {
                0x01 => Codec::<Greeting>::new().decode(&mut bytes).unwrap_err(),
                0x02..0x10 => decoded::<Greeting>(bytes.clone()).unwrap_err(),
                0x10..0x30 => Codec::<LinkMessage>::new().decode(&mut bytes).unwrap_err(),
                _ => Codec::<TransferMessage>::new().decode(&mut bytes).unwrap_err(),
            };
            assert!(matches!(error, DecodeError::TooLong { max, .. } if max == kind.limit()));
            assert_eq!(bytes.capacity(), before);
        }
    }
}

#[test]
fn a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let body = |len: usize| {
        let mut body = vec![7; 18];
        body.resize(len, 1);
        body
    };
    assert!(decoded::<LinkMessage>(frame(0x20, 0, &body(512))).unwrap().is_some());
    let error = refused::<LinkMessage>(frame(0x20, 0, &body(513)));
    assert!(matches!(error, DecodeError::TooLong { len: 513, max: 512, .. }));
}

#[test]
fn memory_grows_with_the_bytes_that_came_and_not_with_those_announced() {
    let mut codec = Codec::<TransferMessage>::new();
    let header = Header { len: Kind::Data.limit(), kind: 0x33, flags: 0 };
    let mut bytes = BytesMut::from(header.to_bytes().as_slice());
    while bytes.len() < 100_000 {
        assert!(codec.decode(&mut bytes).unwrap().is_none());
        assert!(bytes.capacity() <= 2 * bytes.len() + 2 * MIN_STEP, "{}", bytes.capacity());
        bytes.extend_from_slice(&[0; 1000]);
    }
}

#[test]
fn a_count_beyond_the_frame_is_refused_before_memory_is_taken() {
    // A shuffle of 2^32 contacts, a manifest of 2^64 - 1 values, a text of 2^40 bytes.
    let claims: [(u8, &[u8]); 2] = [
        (0x15, &[0xfd, 0, 0, 0, 0, 1, 0, 0, 0]),
        (0x15, &[0xfd, 255, 255, 255, 255, 255, 255, 255, 255]),
    ];
    for (kind, claim) in claims {
        let mut body = claim.to_vec();
        body.resize(1024, 0);
        let error = refused::<LinkMessage>(frame(kind, 0, &body));
        assert!(matches!(error, DecodeError::Body { .. }), "{error}");
    }
    let mut manifest = vec![9; 32];
    manifest.extend([0, 0, 0xfd, 255, 255, 255, 255, 255, 255, 255, 255]);
    let error = refused::<TransferMessage>(frame(0x31, 0, &manifest));
    assert!(matches!(error, DecodeError::Body { kind: Kind::Manifest, .. }));
    let text = [0xfd, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    assert!(matches!(decode_query_body(&text), Err(DecodeError::Body { .. })));
}

#[test]
fn a_frame_without_a_body_is_refused_whatever_its_kind() {
    for kind in Kind::ALL {
        let bytes = frame(kind.number(), 0, &[]);
        let error = match kind.number() {
            0x01..0x10 => refused::<Greeting>(bytes),
            0x10..0x30 => refused::<LinkMessage>(bytes),
            _ => refused::<TransferMessage>(bytes),
        };
        assert!(matches!(error, DecodeError::Empty { kind: k } if k == kind));
    }
}

#[test]
fn a_body_that_ends_within_its_raw_beginning_or_right_after_it_is_refused() {
    for (kind, raw) in [(Kind::Query, 18), (Kind::QueryHit, 51), (Kind::Data, 40)] {
        for len in 1..=raw {
            let bytes = frame(kind.number(), 0, &vec![1; len]);
            let error = match kind {
                Kind::Data => refused::<TransferMessage>(bytes),
                _ => refused::<LinkMessage>(bytes),
            };
            assert!(
                matches!(error, DecodeError::Short { kind: k, len: l } if k == kind && l == len)
            );
        }
    }
}

#[test]
fn integers_out_of_range_and_cut_short_are_refused() {
    let mut wide = vec![1; 16];
    wide.extend([0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // asked, a u32, as a u64
    assert!(matches!(refused::<LinkMessage>(frame(0x22, 0, &wide)), DecodeError::Body { .. }));
    let cut = [0xfd, 1, 2, 3];
    assert!(matches!(refused::<LinkMessage>(frame(0x10, 0, &cut)), DecodeError::Body { .. }));
    let variant = [9, 0, 0]; // a reason that nobody knows
    assert!(matches!(refused::<LinkMessage>(frame(0x12, 0, &variant)), DecodeError::Body { .. }));
}

#[test]
fn overlong_integers_are_harmless() {
    let long = [0xfd, 5, 0, 0, 0, 0, 0, 0, 0, 0];
    let ping = LinkMessage::Ping(Ping { nonce: 5, ext: vec![] });
    assert_eq!(decoded(frame(0x10, 0, &long)).unwrap(), Some(Received::Message(ping)));
}

#[test]
fn bytes_left_over_behind_a_body_are_refused() {
    let error = refused::<LinkMessage>(frame(0x10, 0, &[5, 0, 0]));
    assert!(matches!(error, DecodeError::Trailing { kind: Kind::Ping, left: 1 }));
    let mut query =
        encode_query_body(&QueryBody { text: "ferris".into(), ext: vec![] }).unwrap().to_vec();
    assert!(decode_query_body(&query).is_ok());
    query.push(0);
    assert!(matches!(decode_query_body(&query), Err(DecodeError::Trailing { left: 1, .. })));
}

#[test]
fn an_extension_that_nobody_knows_is_carried_along() {
    let ping = Ping { nonce: 5, ext: vec![(999, vec![1, 2, 3])] };
    let message = LinkMessage::Ping(ping);
    let bytes = encoded(&message);
    assert_eq!(decoded(bytes).unwrap(), Some(Received::Message(message)));
}

#[test]
fn unknown_kinds_are_passed_over_only_where_they_say_so() {
    let mut codec = Codec::<LinkMessage>::new();
    let mut bytes = frame(0x7f, MAY_SKIP, b"what is this?");
    bytes.unsplit(frame(0x14, MAY_SKIP, b""));
    bytes.unsplit(frame(0x7f, 0, b"x"));
    let first = codec.decode(&mut bytes).unwrap();
    assert_eq!(first, Some(Received::Skipped { kind: 0x7f, len: 13 }));
    let second = codec.decode(&mut bytes).unwrap();
    assert_eq!(second, Some(Received::Skipped { kind: 0x14, len: 0 }));
    let third = codec.decode(&mut bytes).unwrap_err();
    assert!(matches!(third, DecodeError::UnknownKind { kind: 0x7f }));
}

#[test]
fn a_long_unknown_frame_is_thrown_away_as_it_comes() {
    let mut codec = Codec::<LinkMessage>::new();
    let mut bytes = frame(0x7f, MAY_SKIP, &[0; 1000]);
    bytes[..4].copy_from_slice(&MAX_SKIPPED_BODY.to_be_bytes());
    for part in 1..=66 {
        let received = codec.decode(&mut bytes).unwrap();
        assert!(bytes.is_empty() && bytes.capacity() < 4096);
        match part {
            66 => assert!(matches!(received, Some(Received::Skipped { len, .. })
                if len == MAX_SKIPPED_BODY)),
            _ => assert!(received.is_none()),
        }
        bytes.extend_from_slice(&vec![0; if part == 65 { 536 } else { 1000 }]);
    }
    let header = Header { len: MAX_SKIPPED_BODY + 1, kind: 0x7f, flags: MAY_SKIP };
    let error = refused::<LinkMessage>(BytesMut::from(header.to_bytes().as_slice()));
    assert!(matches!(error, DecodeError::SkipTooLong { max: MAX_SKIPPED_BODY, .. }));
}

#[test]
fn nothing_is_passed_over_in_a_greeting() {
    let error = refused::<Greeting>(frame(0x7f, MAY_SKIP, b"x"));
    assert!(matches!(error, DecodeError::UnknownKind { kind: 0x7f }));
}

#[test]
fn a_message_before_the_hello_and_a_second_hello_are_named_so() {
    let mut codec = Codec::<Greeting>::new();
    let ping = encoded(&LinkMessage::Ping(Ping { nonce: 1, ext: vec![] }));
    let error = codec.decode(&mut ping.clone()).unwrap_err();
    assert!(matches!(error, DecodeError::BeforeHello { kind: Kind::Ping }));

    let said = encoded(&Greeting::Hello(hello()));
    assert!(codec.decode(&mut said.clone()).unwrap().is_some());
    assert!(matches!(codec.decode(&mut said.clone()).unwrap_err(), DecodeError::HelloTwice));
    assert!(matches!(refused::<LinkMessage>(said.clone()), DecodeError::HelloTwice));
    assert!(matches!(refused::<TransferMessage>(said), DecodeError::HelloTwice));

    let error = refused::<TransferMessage>(ping.clone());
    assert!(matches!(error, DecodeError::OutOfPlace { kind: Kind::Ping, .. }));
    assert!(matches!(codec.decode(&mut ping.clone()), Err(DecodeError::OutOfPlace { .. })));
}

#[test]
fn a_welcome_before_the_hello_is_refused_on_its_header() {
    let header = Header { len: 8000, kind: 0x02, flags: 0 };
    let mut bytes = BytesMut::from(header.to_bytes().as_slice());
    let error = Codec::<Greeting>::new().decode(&mut bytes).unwrap_err();
    assert!(matches!(error, DecodeError::BeforeHello { kind: Kind::Welcome }));
}

#[test]
fn a_hello_of_another_version_is_named_even_if_the_rest_means_nothing() {
    let error = refused::<Greeting>(frame(0x01, 0, &[2, 0xff, 0xff]));
    assert!(matches!(error, DecodeError::Version { theirs: 2, ours: VERSION }));
}

#[test]
fn the_read_buffer_outlives_the_greeting() {
    let mut bytes = encoded(&Greeting::Hello(hello()));
    let ping = LinkMessage::Ping(Ping { nonce: 77, ext: vec![] });
    bytes.unsplit(encoded(&ping));
    assert!(Codec::<Greeting>::new().decode(&mut bytes).unwrap().is_some());
    let next = Codec::<LinkMessage>::new().decode(&mut bytes).unwrap();
    assert_eq!(next, Some(Received::Message(ping)));
}

#[test]
fn a_thousand_frames_in_one_buffer_come_out_in_order() {
    let mut bytes = BytesMut::new();
    let mut codec = Codec::<LinkMessage>::new();
    for nonce in 0..1000 {
        codec.encode(&LinkMessage::Ping(Ping { nonce, ext: vec![] }), &mut bytes).unwrap();
    }
    for nonce in 0..1000 {
        let ping = LinkMessage::Ping(Ping { nonce, ext: vec![] });
        assert_eq!(codec.decode(&mut bytes).unwrap(), Some(Received::Message(ping)));
    }
    assert!(codec.decode_eof(&mut bytes).unwrap().is_none());
}

#[test]
fn a_stream_cut_anywhere_within_a_frame_is_an_error_and_no_message() {
    let whole = encoded(&Greeting::Hello(hello()));
    for cut in 1..whole.len() {
        let mut bytes = BytesMut::from(&whole[..cut]);
        let error = Codec::<Greeting>::new().decode_eof(&mut bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Cut), "{cut}");
    }
    let mut skipped = frame(0x7f, MAY_SKIP, &[0; 10]);
    skipped.truncate(12);
    let error = Codec::<LinkMessage>::new().decode_eof(&mut skipped).unwrap_err();
    assert!(matches!(error, DecodeError::Cut));
}

#[test]
fn one_contact_address_word_or_hit_too_many_is_refused_on_both_ends() {
    let shuffle = |n| LinkMessage::Shuffle(Shuffle { contacts: contacts(n), ext: vec![] });
    assert!(decoded::<LinkMessage>(encoded(&shuffle(8))).is_ok());
    let mut sent = BytesMut::from("kept".as_bytes());
    let error = Codec::new().encode(&shuffle(9), &mut sent).unwrap_err();
    assert!(matches!(error, EncodeError::Refused { source: Fault::TooMany { max: 8, .. }, .. }));
    assert_eq!(&sent[..], b"kept");

    // The same nine, from somebody who does not check.
    let redirect = Greeting::Redirect(Redirect { contacts: contacts(9), ext: vec![] });
    let mut forged = encoded(&redirect);
    forged[4] = Kind::Shuffle.number();
    let error = refused::<LinkMessage>(forged);
    assert!(matches!(error, DecodeError::Refused { source: Fault::TooMany { count: 9, .. }, .. }));

    let words = |n| QueryBody { text: vec!["x"; n].join(" "), ext: vec![] };
    assert!(encode_query_body(&words(12)).is_ok());
    assert!(encode_query_body(&words(13)).is_err());
    for text in ["", "x", &"x".repeat(257)] {
        assert!(encode_query_body(&QueryBody { text: text.into(), ext: vec![] }).is_err());
    }
    let mut agent = hello();
    agent.agent = "x".repeat(65);
    let mut bytes = BytesMut::new();
    assert!(Codec::new().encode(&Greeting::Hello(agent), &mut bytes).is_err());
    assert!(bytes.is_empty());
}

#[test]
fn a_hit_has_a_name_and_one_that_a_disk_could_hold() {
    let body = |name: &str| HitBody {
        addresses: vec![],
        name: "attic".into(),
        unreachable: false,
        hits: vec![Hit { id: ContentId([1; 32]), size: 5, name: name.into(), ext: vec![] }],
        more: false,
        ext: vec![],
    };
    for good in ["x", "../x", "..", &"é".repeat(127)] {
        let encoded = encode_hit_body(&body(good)).unwrap();
        assert_eq!(decode_hit_body(&encoded).unwrap(), body(good));
    }
    assert!(encode_hit_body(&body("")).is_err());
    assert!(encode_hit_body(&body(&"é".repeat(128))).is_err());
    let mut forged = encode_hit_body(&body("a")).unwrap().to_vec();
    let at = forged.windows(2).position(|pair| pair == [1, b'a']).unwrap();
    forged.splice(at..at + 2, [0]);
    let error = decode_hit_body(&forged).unwrap_err();
    assert!(matches!(error, DecodeError::Refused { source: Fault::ShortText { .. }, .. }));
}

#[test]
fn a_hit_counts_one_to_sixty_four_and_has_no_life() {
    let raw = |ttl: u8, count: u8| {
        let mut body = vec![1; 16];
        body.extend([ttl, 3]);
        body.extend([2; 32]);
        body.extend([count, 0]);
        frame(0x21, 0, &body)
    };
    for count in [1, 64] {
        assert!(decoded::<LinkMessage>(raw(0, count)).unwrap().is_some());
    }
    for (ttl, count) in [(0, 0), (0, 65), (0, 255), (1, 1)] {
        let error = refused::<LinkMessage>(raw(ttl, count));
        assert!(matches!(error, DecodeError::Refused { .. }), "{ttl} {count}");
    }
    let mut bare = vec![0; 50];
    bare.push(1);
    let error = refused::<LinkMessage>(frame(0x21, 0, &bare));
    assert!(matches!(error, DecodeError::Short { kind: Kind::QueryHit, len: 51 }));
}

#[test]
fn ranges_without_a_piece_or_past_the_last_number_are_refused() {
    let request = |first: u32, count: u32| {
        let mut body = vec![3; 32];
        body.push(1);
        for n in [first, count] {
            body.push(0xfc);
            body.extend(n.to_le_bytes());
        }
        body.push(0);
        decoded::<TransferMessage>(frame(0x32, 0, &body))
    };
    assert!(request(0, 1).is_ok() && request(u32::MAX - 1, 1).is_ok());
    for (first, count) in [(0, 0), (u32::MAX, 1), (1, u32::MAX)] {
        assert!(matches!(request(first, count), Err(DecodeError::Refused { .. })));
    }
}

#[test]
fn data_ends_within_the_largest_piece_and_is_not_copied() {
    let data = |offset, len| Data {
        id: ContentId([7; 32]),
        piece: 3,
        offset,
        bytes: Bytes::from(vec![5; len]),
    };
    let good = data((1 << 20) - Data::MAX_LEN as u32, Data::MAX_LEN);
    let bytes = encoded(&TransferMessage::Data(good.clone()));
    assert_eq!(&bytes[..46], data_prefix(&good).unwrap());
    let begin = bytes[46..].as_ptr();
    let Some(Received::Message(TransferMessage::Data(back))) = decoded(bytes).unwrap() else {
        panic!("no data")
    };
    assert_eq!(back.bytes.as_ptr(), begin);
    assert_eq!(back, good);
    for bad in [data(1 << 20, 1), data(u32::MAX, 1), data(0, 0), data(0, Data::MAX_LEN + 1)] {
        assert!(data_prefix(&bad).is_err());
        let mut to = BytesMut::new();
        assert!(Codec::new().encode(&TransferMessage::Data(bad), &mut to).is_err());
    }
    let mut body = vec![0; 32];
    body.extend([0, 0, 0, 1, 0, 0x10, 0, 0, 9]);
    let error = refused::<TransferMessage>(frame(0x33, 0, &body));
    assert!(matches!(error, DecodeError::Refused { source: Fault::PastEnd { .. }, .. }));
}

#[test]
fn mapped_addresses_are_undressed_and_long_walks_shortened() {
    let mapped: SocketAddr = "[::ffff:10.1.2.3]:9".parse().unwrap();
    let plain: SocketAddr = "10.1.2.3:9".parse().unwrap();
    let contact = Contact { id: ServentId([1; 32]), addresses: vec![mapped, plain] };
    let newcomer = AgedContact { contact, age_secs: 0 };
    let join = ForwardJoin { newcomer, walk: 255, ext: vec![] };
    let bytes = encoded(&LinkMessage::ForwardJoin(join));
    let Some(Received::Message(LinkMessage::ForwardJoin(join))) = decoded(bytes).unwrap() else {
        panic!("no forward join")
    };
    assert_eq!(join.walk, ForwardJoin::MAX_WALK);
    assert_eq!(join.newcomer.contact.addresses, [plain]);

    let welcome = Welcome { your_address: mapped, contacts: vec![], ext: vec![] };
    let bytes = encoded(&Greeting::Welcome(welcome));
    let Some(Received::Message(Greeting::Welcome(welcome))) = decoded(bytes).unwrap() else {
        panic!("no welcome")
    };
    assert_eq!(welcome.your_address, plain);
}

#[test]
fn a_query_is_relayed_without_reading_its_body() {
    let query = LinkMessage::Query(Query {
        guid: Guid([4; 16]),
        ttl: Ttl(15),
        hops: Hops(9),
        seen: Ttl(3),
        body: Bytes::from_static(b"\xff nothing that anybody knows"),
    });
    assert_eq!(decoded(encoded(&query)).unwrap(), Some(Received::Message(query)));
}

#[test]
fn a_relay_passes_on_the_frame_of_a_query_that_came_but_for_two_bytes() {
    let (guid, body) = (Guid([4; 16]), Bytes::from_static(b"\xff whatever"));
    let came = encoded(&LinkMessage::Query(Query {
        guid,
        ttl: Ttl(5),
        hops: Hops(1),
        seen: Ttl(0),
        body,
    }));
    let (whole, begin) = (came.to_vec(), came[24..].as_ptr());
    let Some(Received::Message(LinkMessage::Query(query))) = decoded(came).unwrap() else {
        panic!("no query")
    };
    assert_eq!(query.body.as_ptr(), begin, "the body stays where it was read");
    let onward = Query { ttl: Ttl(4), hops: Hops(2), seen: Ttl(5), ..query };
    let gone = encoded(&LinkMessage::Query(onward));
    let differ: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != gone[at]).collect();
    assert_eq!((gone.len(), differ), (whole.len(), vec![6 + 16, 6 + 17]));
}

#[test]
fn the_largest_honest_messages_fit_their_frames() {
    let address: SocketAddr = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
    let far = |i: u16| SocketAddr::new(address.ip(), address.port() - i);
    let contact = AgedContact {
        contact: Contact::new(ServentId([255; 32]), (0..8).map(far)),
        age_secs: 1 << 30,
    };
    let welcome = Welcome { your_address: address, contacts: vec![contact; 16], ext: vec![] };
    encoded(&Greeting::Welcome(welcome));
    let full = Hello {
        features: u64::MAX,
        purpose: Purpose::Transfer { token: Some([255; 16]) },
        addresses: (0..8).map(far).collect(),
        agent: "x".repeat(64),
        name: "x".repeat(64),
        ..hello()
    };
    encoded(&Greeting::Hello(full));
    let hit = Hit { id: ContentId([1; 32]), size: u64::MAX, name: "x".repeat(255), ext: vec![] };
    let body = HitBody {
        addresses: (0..8).map(far).collect(),
        name: "x".repeat(64),
        unreachable: true,
        hits: vec![hit; 64],
        more: true,
        ext: vec![],
    };
    assert_eq!(decode_hit_body(&encode_hit_body(&body).unwrap()).unwrap(), body);
    let manifest = Manifest {
        id: ContentId([1; 32]),
        size: u64::MAX,
        part: u32::MAX,
        values: vec![[9; 32]; Manifest::PART],
        ext: vec![],
    };
    let message = TransferMessage::Manifest(manifest);
    assert_eq!(decoded(encoded(&message)).unwrap(), Some(Received::Message(message)));
    let range = PieceRange { first: 1 << 31, count: 1 << 30 };
    let request = Request { id: ContentId([1; 32]), pieces: vec![range; 64], ext: vec![] };
    let message = TransferMessage::Request(request);
    assert_eq!(decoded(encoded(&message)).unwrap(), Some(Received::Message(message)));
}
