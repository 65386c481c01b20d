//! Downloads from many sources, of which some lie.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::frames::*;
use crate::publisher::{Offer, PIECE, Publisher, piece_of};
use crate::{Bench, noise};

/// Sources of each file.
const SOURCES: u8 = 8;
/// Pieces of it.
const PIECES: usize = 64;

/// Downloads `bytes` from eight sources, of which each gives what `offer` makes of it; the
/// sources.
async fn downloaded(
    bench: &Bench,
    name: &str,
    bytes: &[u8],
    offer: impl Fn(u8) -> Offer,
) -> Vec<Publisher> {
    let victim = &bench.victim;
    let mut sources = Vec::new();
    for number in 0..SOURCES {
        let source = Publisher::start(200 + number, vec![offer(number)]).await;
        let joined = victim.ask(&["join", &source.invitation()]).await;
        assert_eq!(joined.code, 0, "{joined:?}");
        sources.push(source);
    }
    let found = victim.ask(&["search", name, "--ttl", "1"]).await;
    assert_eq!(found.code, 0, "{found:?}");
    let id = blake3::hash(bytes).to_string();
    let end = victim.ask(&["download", &id, "--wait"]).await;
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(fs::read(victim.downloads().join(name)).unwrap(), bytes);
    sources
}

/// Case 44.
#[tokio::test(flavor = "multi_thread")]
async fn one_liar_of_eight_is_blamed_alone_and_not_asked_again() {
    let bytes = noise(PIECES * PIECE, "liar");
    let id = *blake3::hash(&bytes).as_bytes();
    let lies = Arc::new(AtomicUsize::new(0));
    let bench = Bench::start().await;
    let sources = downloaded(&bench, "liar", &bytes, |number| {
        let honest = Offer::honest("liar", &bytes);
        if number > 0 {
            return honest;
        }
        let (bytes, lies) = (bytes.clone(), Arc::clone(&lies));
        honest.given(move |piece| {
            let mut bytes = piece_of(&bytes, piece).to_vec();
            // The last piece proves the size, and whoever lies there is no source at all.
            if piece as usize != PIECES - 1 {
                bytes[7] ^= 1;
                lies.fetch_add(1, Ordering::Relaxed);
            }
            vec![FakeData { id, piece, offset: 0, bytes }.frame()]
        })
    })
    .await;
    let told = bench.victim.log() + &bench.victim.printed();
    let blamed: Vec<bool> = sources
        .iter()
        .map(|source| {
            let short = source.id().short();
            told.lines().any(|line| line.contains(&short) && line.contains("sent a wrong piece"))
        })
        .collect();
    let given = lies.load(Ordering::Relaxed);
    assert!(blamed[1..].iter().all(|blamed| !blamed), "{told}");
    // It may be done before a lie is looked at.
    assert!(!blamed[0] || given > 0, "{given} lies: {told}");
    // What one request asks for may be under way; no second one is sent.
    assert!(given <= PIECES / 2, "{given} pieces were asked of it");
    drop(sources);
    bench.ends_well().await;
}
