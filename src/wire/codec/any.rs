//! Any message comes back whole; any bytes at all do no harm.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{encoded, frame};
use super::*;
use crate::base::{Contact, ContentId, Guid, Hops, ServentId, Ttl};
use crate::message::*;
use crate::wire::{decode_hit_body, decode_query_body};

/// Enough that each of 27 kinds meets short and long bodies many times.
const CASES: u32 = 4096;

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
    let outcome = prop::sample::select(vec![
        DialOutcome::Reached,
        DialOutcome::Unreached,
        DialOutcome::Untried,
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
        (any::<[u8; 16]>(), (0..16u8, 0..16u8), any::<u8>(), vec(any::<u8>(), 1..400)).prop_map(
            |(guid, (ttl, seen), hops, body)| {
                let (guid, ttl, hops, seen) = (Guid(guid), Ttl(ttl), Hops(hops), Ttl(seen));
                LinkMessage::Query(Query { guid, ttl, hops, seen, body: body.into() })
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
        (any::<u16>(), ext()).prop_map(|(port, ext)| LinkMessage::DialBack(DialBack { port, ext })),
        (outcome, ext())
            .prop_map(|(outcome, ext)| { LinkMessage::DialledBack(DialledBack { outcome, ext }) }),
        (any::<[u8; 16]>(), any::<[u8; 32]>(), aged(1), any::<[u8; 16]>(), ext()).prop_filter_map(
            "an asker",
            |(guid, responder, mut list, token, ext)| {
                let (guid, responder) = (Guid(guid), ServentId(responder));
                let asker = list.pop()?.contact;
                Some(LinkMessage::CallMe(CallMe { guid, responder, asker, token, ext }))
            }
        ),
    ]
}

fn listed() -> impl Strategy<Value = Listed> {
    let name = || text(100).prop_map(|name| format!("n{name}"));
    let entry = prop_oneof![
        (name(), ext()).prop_map(|(name, ext)| Entry::Folder { name, ext }),
        (any::<[u8; 32]>(), any::<u64>(), name(), ext()).prop_map(|(id, size, name, ext)| {
            Entry::File(Hit { id: ContentId(id), size, name, ext })
        }),
    ];
    prop_oneof![
        (vec(entry, 0..9), prop::option::of(vec(any::<u8>(), 1..300)))
            .prop_map(|(entries, next)| Listed::Page { entries, next }),
        Just(Listed::Closed),
        any::<u32>().prop_map(|secs| Listed::Later { secs }),
        Just(Listed::NoFolder),
        Just(Listed::Stale),
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
        (id(), ext()).prop_map(|(id, ext)| TransferMessage::Thanks(Thanks { id, ext })),
        (id(), vec(any::<bool>(), 1..5000), any::<bool>(), ext()).prop_map(
            |(id, held, given, ext)| {
                let holding = if given { Holding::Given } else { Holding::Here };
                let bits = held.chunks(8).map(|bits| (bits[0] as u8) << (bits.len() - 1)).collect();
                let count = held.len() as u32;
                TransferMessage::Have(Have { id, count, holding, first: 0, bits, ext })
            }
        ),
        (id(), aged(16), ext()).prop_filter_map("some contacts", |(id, list, ext)| {
            let contacts: Vec<_> = list.into_iter().map(|aged| aged.contact).collect();
            let some = !contacts.is_empty();
            some.then_some(TransferMessage::Sources(Sources { id, contacts, ext }))
        }),
        (text(200), vec(any::<u8>(), 0..300), ext()).prop_map(|(folder, cursor, ext)| {
            TransferMessage::Browse(Browse { folder, cursor, ext })
        }),
        (listed(), ext())
            .prop_map(|(outcome, ext)| TransferMessage::Listing(Listing { outcome, ext })),
    ]
}

/// Any byte, and often one that means something to the decoder.
fn odd_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), 250..=255u8, 0..3u8]
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
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

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
        body in prop_oneof![vec(odd_byte(), 1..60), vec(odd_byte(), 1..256)],
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
