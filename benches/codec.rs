//! What it costs to turn messages into bytes and back.

use bytes::{Bytes, BytesMut};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use part2part::base::{ContentId, Guid, Hops, ServentId, Ttl};
use part2part::message::{
    Data, Hit, HitBody, LinkMessage, Query, QueryBody, QueryDone, QueryHit, TransferMessage,
};
use part2part::wire::{
    Codec, Family, data_prefix, decode_hit_body, decode_query_body, encode_hit_body,
    encode_query_body,
};
use tokio_util::codec::{Decoder, Encoder};

fn main() {
    divan::main();
}

fn query_body() -> QueryBody {
    QueryBody { text: "ferris the crab live in concert type:audio".into(), ext: vec![] }
}

fn query() -> LinkMessage {
    let body = encode_query_body(&query_body()).expect("a good query");
    LinkMessage::Query(Query {
        guid: Guid([7; 16]),
        ttl: Ttl(5),
        hops: Hops(2),
        seen: Ttl(0),
        body,
    })
}

/// Twenty files, as an answer often has.
fn hit_body() -> HitBody {
    let hit = |i: u8| Hit {
        id: ContentId([i; 32]),
        size: 5_000_000 + u64::from(i),
        name: format!("ferris the crab live in concert - {i:02}.ogg"),
        ext: vec![],
    };
    HitBody {
        addresses: vec!["192.0.2.7:7272".parse().expect("an address")],
        name: "attic".into(),
        unreachable: false,
        hits: (0..20).map(hit).collect(),
        more: false,
        ext: vec![],
    }
}

fn hit() -> LinkMessage {
    let body = encode_hit_body(&hit_body()).expect("a good hit");
    let (guid, responder) = (Guid([7; 16]), ServentId([9; 32]));
    LinkMessage::QueryHit(QueryHit { guid, hops: Hops(1), responder, count: 20, body })
}

fn done() -> LinkMessage {
    LinkMessage::QueryDone(QueryDone { guid: Guid([7; 16]), asked: 412, lost: 3, ext: vec![] })
}

fn data() -> Data {
    let bytes = Bytes::from(vec![5; Data::MAX_LEN]);
    Data { id: ContentId([1; 32]), piece: 77, offset: 0, bytes }
}

fn encode<F: Family>(bencher: Bencher<'_, '_>, message: &F) {
    let mut codec = Codec::<F>::new();
    let mut to = BytesMut::with_capacity(512 * 1024);
    bencher.bench_local(|| {
        to.clear();
        codec.encode(black_box(message), &mut to).expect("a good message");
    });
}

fn decode<F: Family>(bencher: Bencher<'_, '_>, message: &F) {
    let mut frame = BytesMut::new();
    Codec::<F>::new().encode(message, &mut frame).expect("a good message");
    let mut codec = Codec::<F>::new();
    bencher
        .with_inputs(|| frame.clone())
        .bench_local_values(|mut from| codec.decode(&mut from).expect("a good frame"));
}

#[divan::bench]
fn query_encode(bencher: Bencher<'_, '_>) {
    encode(bencher, &query());
}

#[divan::bench]
fn query_decode(bencher: Bencher<'_, '_>) {
    decode(bencher, &query());
}

#[divan::bench]
fn query_body_encode() {
    let _ = black_box(encode_query_body(black_box(&query_body())));
}

#[divan::bench]
fn query_body_decode(bencher: Bencher<'_, '_>) {
    let body = encode_query_body(&query_body()).expect("a good query");
    bencher.bench_local(|| decode_query_body(black_box(&body)));
}

#[divan::bench]
fn hit_encode(bencher: Bencher<'_, '_>) {
    encode(bencher, &hit());
}

#[divan::bench]
fn hit_decode(bencher: Bencher<'_, '_>) {
    decode(bencher, &hit());
}

#[divan::bench]
fn hit_body_encode(bencher: Bencher<'_, '_>) {
    let body = hit_body();
    bencher.bench_local(|| encode_hit_body(black_box(&body)));
}

#[divan::bench]
fn hit_body_decode(bencher: Bencher<'_, '_>) {
    let body = encode_hit_body(&hit_body()).expect("a good hit");
    bencher.bench_local(|| decode_hit_body(black_box(&body)));
}

#[divan::bench]
fn done_encode(bencher: Bencher<'_, '_>) {
    encode(bencher, &done());
}

#[divan::bench]
fn done_decode(bencher: Bencher<'_, '_>) {
    decode(bencher, &done());
}

#[divan::bench]
fn data_encode(bencher: Bencher<'_, '_>) {
    encode(bencher, &TransferMessage::Data(data()));
}

#[divan::bench]
fn data_prefix_encode(bencher: Bencher<'_, '_>) {
    let data = data();
    bencher.bench_local(|| data_prefix(black_box(&data)));
}

#[divan::bench]
fn data_decode(bencher: Bencher<'_, '_>) {
    decode(bencher, &TransferMessage::Data(data()));
}

/// Data as it comes off a TLS stream: in records of 16 KiB, each piece dropped at once.
#[divan::bench]
fn data_stream(bencher: Bencher<'_, '_>) {
    let mut stream = BytesMut::new();
    for _ in 0..16 {
        let data = TransferMessage::Data(data());
        Codec::new().encode(data, &mut stream).expect("a good message");
    }
    let mut codec = Codec::<TransferMessage>::new();
    let mut from = BytesMut::with_capacity(8 * 1024);
    bencher.counter(BytesCount::new(stream.len())).bench_local(|| {
        for record in stream.chunks(16 * 1024) {
            from.extend_from_slice(record);
            while let Some(received) = codec.decode(&mut from).expect("a good frame") {
                black_box(received);
            }
        }
    });
}
