use std::net::SocketAddr;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::{Contact, ContentId, Guid, Hops, ServentId, Ttl};
use crate::message::*;
use crate::wire::{
    Fault, MAX_SKIPPED_BODY, MAY_SKIP, data_prefix, decode_hit_body, decode_query_body,
    encode_hit_body, encode_query_body,
};

fn frame(kind: u8, flags: u8, body: &[u8]) -> BytesMut {
    let header = Header { len: body.len() as u32, kind, flags };
    let mut bytes = BytesMut::from(header.to_bytes().as_slice());
    bytes.extend_from_slice(body);
    bytes
}

fn encoded<F: Family>(message: &F) -> BytesMut {
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
fn a_hit_that_names_a_path_is_refused() {
    let body = |name: &str| HitBody {
        addresses: vec![],
        name: "attic".into(),
        unreachable: false,
        hits: vec![Hit { id: ContentId([1; 32]), size: 5, name: name.into(), ext: vec![] }],
        more: false,
        ext: vec![],
    };
    let good = encode_hit_body(&body("ab")).unwrap();
    assert!(decode_hit_body(&good).is_ok());
    assert!(encode_hit_body(&body("..")).is_err());
    let mut forged = good.to_vec();
    let at = forged.windows(2).position(|pair| pair == b"ab").unwrap();
    forged[at..at + 2].copy_from_slice(b"..");
    let error = decode_hit_body(&forged).unwrap_err();
    assert!(matches!(error, DecodeError::Refused { source: Fault::Name(_), .. }));
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
        ttl: Ttl(255),
        hops: Hops(9),
        body: Bytes::from_static(b"\xff nothing that anybody knows"),
    });
    assert_eq!(decoded(encoded(&query)).unwrap(), Some(Received::Message(query)));
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

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>())
        .prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

fn aged(max: usize) -> impl Strategy<Value = Vec<AgedContact>> {
    let one =
        (any::<[u8; 32]>(), vec(address(), 0..=8), any::<u32>()).prop_map(|(id, list, age)| {
            AgedContact { contact: Contact::new(ServentId(id), list), age_secs: age }
        });
    vec(one, 0..=max)
}

fn ext() -> impl Strategy<Value = Extensions> {
    vec((any::<u16>(), vec(any::<u8>(), 0..20)), 0..3)
}

fn text(max: usize) -> impl Strategy<Value = String> {
    "\\PC*".prop_map(move |text| {
        let end = (0..=text.len().min(max)).rev().find(|&at| text.is_char_boundary(at));
        text[..end.unwrap_or(0)].to_owned()
    })
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![
        Just(Purpose::Join),
        any::<bool>().prop_map(|isolated| Purpose::Refill { isolated }),
        Just(Purpose::Manual),
        Just(Purpose::Probe),
        any::<Option<[u8; 16]>>().prop_map(|token| Purpose::Transfer { token }),
    ]
}

fn greeting() -> impl Strategy<Value = Greeting> {
    let hello =
        (any::<u64>(), purpose(), any::<u16>(), vec(address(), 0..=8), text(64), text(64), ext())
            .prop_map(|(features, purpose, listen_port, addresses, agent, name, ext)| {
                let version = VERSION;
                Hello { version, features, purpose, listen_port, addresses, agent, name, ext }
            });
    prop_oneof![
        hello.prop_map(Greeting::Hello),
        (address(), aged(16), ext()).prop_map(|(your_address, contacts, ext)| {
            Greeting::Welcome(Welcome { your_address, contacts, ext })
        }),
        (aged(16), ext())
            .prop_map(|(contacts, ext)| Greeting::Redirect(Redirect { contacts, ext })),
    ]
}

fn link_message() -> impl Strategy<Value = LinkMessage> {
    let reason = prop::sample::select(vec![
        ByeReason::Leaving,
        ByeReason::Full,
        ByeReason::Replaced,
        ByeReason::Misbehaved,
        ByeReason::TooSlow,
    ]);
    prop_oneof![
        (any::<u64>(), ext()).prop_map(|(nonce, ext)| LinkMessage::Ping(Ping { nonce, ext })),
        (any::<u64>(), ext()).prop_map(|(nonce, ext)| LinkMessage::Pong(Pong { nonce, ext })),
        (reason, aged(16), ext()).prop_map(|(reason, contacts, ext)| LinkMessage::Bye(Bye {
            reason,
            contacts,
            ext
        })),
        (aged(1), 0..=6u8, ext()).prop_filter_map("a newcomer", |(mut list, walk, ext)| {
            let newcomer = list.pop()?;
            Some(LinkMessage::ForwardJoin(ForwardJoin { newcomer, walk, ext }))
        }),
        (aged(8), ext())
            .prop_map(|(contacts, ext)| LinkMessage::Shuffle(Shuffle { contacts, ext })),
        (aged(8), ext())
            .prop_map(|(contacts, ext)| LinkMessage::ShuffleReply(ShuffleReply { contacts, ext })),
        (any::<[u8; 16]>(), any::<u8>(), any::<u8>(), vec(any::<u8>(), 1..400)).prop_map(
            |(guid, ttl, hops, body)| {
                let (guid, ttl, hops) = (Guid(guid), Ttl(ttl), Hops(hops));
                LinkMessage::Query(Query { guid, ttl, hops, body: body.into() })
            }
        ),
        (any::<[u8; 16]>(), any::<u8>(), any::<[u8; 32]>(), 1..=64u8, vec(any::<u8>(), 1..2000))
            .prop_map(|(guid, hops, responder, count, body)| {
                let (guid, hops, responder) = (Guid(guid), Hops(hops), ServentId(responder));
                LinkMessage::QueryHit(QueryHit { guid, hops, responder, count, body: body.into() })
            }),
        (any::<[u8; 16]>(), any::<u32>(), any::<u32>(), ext()).prop_map(
            |(guid, asked, lost, ext)| {
                LinkMessage::QueryDone(QueryDone { guid: Guid(guid), asked, lost, ext })
            }
        ),
    ]
}

fn transfer_message() -> impl Strategy<Value = TransferMessage> {
    let id = || any::<[u8; 32]>().prop_map(ContentId);
    let range =
        || (0..1u32 << 31, 1..1u32 << 30).prop_map(|(first, count)| PieceRange { first, count });
    let reason = prop::sample::select(vec![
        Refusal::NotHere,
        Refusal::Withdrawn,
        Refusal::Changed,
        Refusal::Unreadable,
        Refusal::Busy,
        Refusal::BadRequest,
    ]);
    prop_oneof![
        (id(), any::<u32>(), ext())
            .prop_map(|(id, part, ext)| TransferMessage::Describe(Describe { id, part, ext })),
        (id(), any::<u64>(), any::<u32>(), vec(any::<[u8; 32]>(), 0..64), ext()).prop_map(
            |(id, size, part, values, ext)| {
                TransferMessage::Manifest(Manifest { id, size, part, values, ext })
            }
        ),
        (id(), vec(range(), 0..=64), ext())
            .prop_map(|(id, pieces, ext)| TransferMessage::Request(Request { id, pieces, ext })),
        (id(), any::<u32>(), 0..1u32 << 19, vec(any::<u8>(), 1..3000)).prop_map(
            |(id, piece, offset, bytes)| {
                TransferMessage::Data(Data { id, piece, offset, bytes: bytes.into() })
            }
        ),
        (id(), vec(range(), 0..=64), ext())
            .prop_map(|(id, pieces, ext)| TransferMessage::Cancel(Cancel { id, pieces, ext })),
        (id(), any::<u32>(), ext())
            .prop_map(|(id, position, ext)| TransferMessage::Queued(Queued { id, position, ext })),
        (id(), reason, ext()).prop_map(|(id, reason, ext)| TransferMessage::Refused(Refused {
            id,
            reason,
            ext
        })),
    ]
}

/// Encodes `message`, feeds it in two parts cut at `at`, and wants it back.
fn survives<F>(message: &F, at: prop::sample::Index) -> Result<(), TestCaseError>
where
    F: Family + Clone + PartialEq + std::fmt::Debug,
{
    let whole = encoded(message);
    let at = at.index(whole.len());
    let mut codec = Codec::<F>::new();
    if message.kind() != Kind::Hello {
        codec.before = 1;
    }
    let mut bytes = BytesMut::from(&whole[..at]);
    prop_assert_eq!(codec.decode(&mut bytes).unwrap(), None);
    bytes.extend_from_slice(&whole[at..]);
    let expected = Some(Received::Message(message.clone()));
    prop_assert_eq!(codec.decode(&mut bytes).unwrap(), expected);
    prop_assert!(bytes.is_empty());
    Ok(())
}

/// Feeds `parts`; whatever comes of it, memory stays within twice what a frame may have.
fn withstands<F: Family>(parts: &[Vec<u8>], before: u32) -> Result<(), TestCaseError> {
    let mut codec = Codec::<F>::new();
    codec.before = before;
    let mut bytes = BytesMut::new();
    for part in parts {
        bytes.extend_from_slice(part);
        loop {
            match codec.decode(&mut bytes) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return Ok(()),
            }
        }
        prop_assert!(bytes.capacity() <= 2 * bytes.len().max(part.len()) + 2 * MIN_STEP);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_greeting_comes_back_whole_wherever_it_was_cut(
        message in greeting(), at in any::<prop::sample::Index>()
    ) {
        survives(&message, at)?;
    }

    #[test]
    fn a_link_message_comes_back_whole_wherever_it_was_cut(
        message in link_message(), at in any::<prop::sample::Index>()
    ) {
        survives(&message, at)?;
    }

    #[test]
    fn a_transfer_message_comes_back_whole_wherever_it_was_cut(
        message in transfer_message(), at in any::<prop::sample::Index>()
    ) {
        survives(&message, at)?;
    }

    #[test]
    fn random_bytes_neither_panic_nor_take_memory(
        parts in vec(vec(any::<u8>(), 0..600), 0..6), before in 0..2u32
    ) {
        withstands::<Greeting>(&parts, before)?;
        withstands::<LinkMessage>(&parts, before)?;
        withstands::<TransferMessage>(&parts, before)?;
    }

    #[test]
    fn random_bodies_behind_a_good_header_neither_panic_nor_take_memory(
        kind in prop::sample::select(Kind::ALL.to_vec()),
        body in vec(prop_oneof![any::<u8>(), 250..=255u8, 0..3u8], 1..256),
        before in 0..2u32,
    ) {
        let parts = [frame(kind.number(), 0, &body).to_vec()];
        withstands::<Greeting>(&parts, before)?;
        withstands::<LinkMessage>(&parts, before)?;
        withstands::<TransferMessage>(&parts, before)?;
        let _ = decode_query_body(&body);
        let _ = decode_hit_body(&body);
    }

    #[test]
    fn a_garbled_message_neither_panics_nor_takes_memory(
        message in link_message(), at in any::<prop::sample::Index>(), bits in 1..=255u8
    ) {
        let mut bytes = encoded(&message).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        withstands::<LinkMessage>(&[bytes], 0)?;
    }
}
