//! Downloads from many sources, of which some lie, some are silent, and some are too slow.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::common::frames::*;
use crate::common::servent::{Start, TestServent, until};
use crate::publisher::{Offer, PIECE, Publisher, piece_of};
use crate::{Bench, SLACK, noise};

/// Sources of each file.
const SOURCES: u8 = 8;
/// Pieces of it.
const PIECES: usize = 64;
/// What those who give nothing, or next to it, may cost in all.
const WAITING: Duration = Duration::from_secs(30);

/// Downloads `bytes` from eight sources, of which each gives what `offer` makes of it; how
/// long that took, and the ids of the sources.
async fn downloaded(
    bench: &Bench,
    name: &str,
    bytes: &[u8],
    offer: impl Fn(u8) -> Offer,
) -> (Duration, Vec<Publisher>) {
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
    let began = Instant::now();
    let id = blake3::hash(bytes).to_string();
    let end = victim.ask(&["download", &id, "--wait"]).await;
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(fs::read(victim.downloads().join(name)).unwrap(), bytes);
    (began.elapsed(), sources)
}

/// Case 44.
#[tokio::test(flavor = "multi_thread")]
async fn one_liar_of_eight_is_blamed_alone_and_not_asked_again() {
    let bytes = noise(PIECES * PIECE, "liar");
    let id = *blake3::hash(&bytes).as_bytes();
    let lies = Arc::new(AtomicUsize::new(0));
    let bench = Bench::start().await;
    let (_, sources) = downloaded(&bench, "liar", &bytes, |number| {
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

/// What becomes of the time when `bad` makes what it will of seven offers of eight.
async fn held_up(name: &str, bad: impl Fn(u8, Offer, &[u8]) -> Offer) {
    let bytes = noise(PIECES * PIECE, name);
    let bench = Bench::start().await;
    let (took, sources) = downloaded(&bench, name, &bytes, |number| {
        let honest = Offer::honest(name, &bytes);
        if number == SOURCES - 1 { honest } else { bad(number, honest, &bytes) }
    })
    .await;
    let ids: Vec<String> = sources.iter().map(|source| source.id().short()).collect();
    assert!(took < WAITING + SLACK, "{took:?} of {ids:?}: {}", bench.victim.log());
    drop(sources);
    bench.ends_well().await;
}

/// Case 45.
#[tokio::test(flavor = "multi_thread")]
async fn seven_silent_of_eight_hold_a_download_up_for_half_a_minute_at_most() {
    held_up("silent", |_, honest, _| honest.given(|_| vec![])).await;
}

/// Cases 45 and 46: four are silent, three give a hundred bytes a second whatever is said.
#[tokio::test(flavor = "multi_thread")]
async fn the_silent_and_the_slow_hold_a_download_up_for_half_a_minute_at_most() {
    const TRICKLE: usize = 100;
    held_up("slow", |number, honest, bytes| {
        if number < 4 {
            return honest.given(|_| vec![]);
        }
        let (id, bytes) = (honest.id, bytes.to_vec());
        let drops = move |piece| {
            let chunks = piece_of(&bytes, piece).chunks(TRICKLE).enumerate();
            let drop = |(nth, bytes): (usize, &[u8])| {
                let offset = (nth * TRICKLE) as u32;
                FakeData { id, piece, offset, bytes: bytes.to_vec() }.frame()
            };
            chunks.map(drop).collect()
        };
        honest.given(drops).paced(Duration::from_secs(1))
    })
    .await;
}

/// What two sources were asked for, and have given.
#[derive(Default)]
struct Given {
    asked: BTreeSet<u32>,
    whole: BTreeSet<u32>,
    /// The piece of which each source gave half before it fell silent.
    begun: [Option<u32>; 2],
    /// Whether everything is given from now on.
    all: bool,
}

/// The sources see what a receiver asks for after a kill at half: nothing that was here.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_half_it_asks_again_for_no_piece_that_is_whole_in_its_part() {
    let bytes = noise(PIECES * PIECE, "killed");
    let given = Arc::new(Mutex::new(Given::default()));
    let mut victim = TestServent::start(Start::default());
    let mut sources = Vec::new();
    for number in 0..2 {
        let honest = Offer::honest("killed", &bytes);
        let (id, content, given) = (honest.id, bytes.clone(), Arc::clone(&given));
        let offer = honest.given(move |piece| {
            let bytes = piece_of(&content, piece);
            let frame = |bytes: &[u8]| {
                vec![FakeData { id, piece, offset: 0, bytes: bytes.to_vec() }.frame()]
            };
            let mut given = given.lock().unwrap();
            given.asked.insert(piece);
            if given.all || (given.whole.len() < PIECES / 2 && given.begun[number].is_none()) {
                given.whole.insert(piece);
                frame(bytes)
            } else if given.begun[number].is_none() {
                given.begun[number] = Some(piece);
                frame(&bytes[..PIECE / 2])
            } else {
                vec![]
            }
        });
        sources.push(Publisher::start(10 + number as u8, vec![offer]).await);
    }
    let join = async |victim: &TestServent| {
        for source in &sources {
            let joined = victim.ask(&["join", &source.invitation()]).await;
            assert_eq!(joined.code, 0, "{joined:?}");
        }
    };
    join(&victim).await;
    assert_eq!(victim.ask(&["search", "killed", "--ttl", "1"]).await.code, 0);
    let id = blake3::hash(&bytes).to_string();
    assert_eq!(victim.ask(&["download", &id]).await.code, 0);

    let part = victim.downloads().join(".part2part").join(format!("{id}.part"));
    let held = || -> BTreeSet<u32> {
        let there = fs::read(&part).unwrap_or_default();
        let whole = |&piece: &u32| {
            let from = piece as usize * PIECE;
            there.get(from..from + PIECE) == Some(piece_of(&bytes, piece))
        };
        (0..PIECES as u32).filter(whole).collect()
    };
    until("the half of it, and no more", async || {
        let given = given.lock().unwrap();
        given.begun.iter().all(Option::is_some) && held() == given.whole
    })
    .await;
    victim.kill9();
    let held = held();
    let begun = {
        let mut given = given.lock().unwrap();
        given.asked.clear();
        given.all = true;
        given.begun
    };
    victim.restart();
    join(&victim).await;
    let placed = victim.downloads().join("killed");
    until("the rest", async || placed.exists()).await;
    assert!(fs::read(&placed).unwrap() == bytes);
    let given = given.lock().unwrap();
    let again: Vec<_> = given.asked.intersection(&held).collect();
    assert!(again.is_empty(), "{again:?} of {held:?}");
    assert_eq!(given.asked.len() + held.len(), PIECES);
    // What was thrown away is what had come of one piece from each source.
    assert!(begun.iter().flatten().all(|piece| given.asked.contains(piece)), "{begun:?}");
}

/// Who begins a piece anew for ever looks busy, and gives nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_begins_a_piece_again_and_again_holds_nothing_up() {
    held_up("anew", |_, honest, bytes| {
        let (id, bytes) = (honest.id, bytes.to_vec());
        let half = move |piece| {
            let bytes = piece_of(&bytes, piece)[..1000].to_vec();
            vec![FakeData { id, piece, offset: 0, bytes }.frame(); 200]
        };
        honest.given(half).paced(Duration::from_millis(300))
    })
    .await;
}
