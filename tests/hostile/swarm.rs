//! What sources say of their pieces and of each other, when it is a lie, a flood, or a
//! stranger's address; and what of a running download is given to whom.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::common::frames::*;
use crate::common::servent::{PATIENCE, until};
use crate::publisher::{Offer, PIECE, Publisher, piece_of};
use crate::{Bench, noise};

/// Pieces of each file.
const PIECES: u32 = 64;
const LAST: u32 = PIECES - 1;

fn have(id: [u8; 32], count: u32, first: u32, bits: &[u8]) -> Frame {
    FakeHave { id, count, holding: 0, first, bits: bits.to_vec() }.frame()
}

/// Marks what `have` says.
fn note(held: &mut [bool], have: &FakeHave) {
    for (at, byte) in have.bits.iter().enumerate() {
        for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
            held[have.first as usize + at * 8 + bit] = true;
        }
    }
}

/// Downloads a file from an honest source and one that answers for every piece but the last
/// what `evil` says; the honest one gives nothing else before `met` holds of how often the
/// other was asked, and how many of its connections have ended. What the victim had told by
/// the end.
async fn downloaded(
    name: &str,
    evil: impl Fn([u8; 32]) -> Vec<Frame> + Send + Sync + 'static,
    met: impl Fn(usize, usize) -> bool + Send + Sync + 'static,
) -> String {
    let bench = Bench::start().await;
    let bytes = noise(PIECES as usize * PIECE, name);
    let id = *blake3::hash(&bytes).as_bytes();
    let asked = Arc::new(AtomicUsize::new(0));
    let (good, count) = (bytes.clone(), Arc::clone(&asked));
    let data = move |piece| {
        let bytes = piece_of(&good, piece).to_vec();
        vec![FakeData { id, piece, offset: 0, bytes }.frame()]
    };
    let evil = Offer::honest(name, &bytes).given({
        let data = data.clone();
        move |piece| {
            if piece == LAST {
                return data(piece); // else it would be no source at all
            }
            if count.fetch_add(1, Ordering::Relaxed) == 0 { evil(id) } else { vec![] }
        }
    });
    let (seen, ended) = (Arc::clone(&asked), Arc::clone(&evil.ended));
    let met = move || met(seen.load(Ordering::Relaxed), ended.load(Ordering::Relaxed));
    let honest = Offer::honest(name, &bytes).given(move |piece| {
        let deadline = Instant::now() + PATIENCE;
        tokio::task::block_in_place(|| {
            while piece != LAST && !met() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        data(piece)
    });
    let sources =
        [Publisher::start(220, vec![evil]).await, Publisher::start(221, vec![honest]).await];
    for source in &sources {
        let joined = bench.victim.ask(&["join", &source.invitation()]).await;
        assert_eq!(joined.code, 0, "{joined:?}");
    }
    let found = bench.victim.ask(&["search", name, "--ttl", "1"]).await;
    assert_eq!(found.code, 0, "{found:?}");
    let hash = blake3::hash(&bytes).to_string();
    let end = bench.victim.ask(&["download", &hash, "--wait"]).await;
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(fs::read(bench.victim.downloads().join(name)).unwrap(), bytes);
    assert!(asked.load(Ordering::Relaxed) <= PIECES as usize / 2, "it is asked once");
    let told = bench.victim.log() + &bench.victim.printed();
    drop(sources);
    bench.ends_well().await;
    told
}

fn was_left(_: usize, times: usize) -> bool {
    times > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_to_have_all_and_has_nothing_is_asked_once() {
    let all = |id| vec![have(id, PIECES, 0, &[255; 8]), refused(&id, 0)];
    let told = downloaded("hollow", all, was_left).await;
    assert!(told.contains("it does not have the file"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_again_and_again_what_it_has_is_heard_no_more() {
    let flood = |id| vec![have(id, PIECES, 0, &[1]); 10_000];
    let told = downloaded("chatter", flood, was_left).await;
    assert!(told.contains("it says again and again"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_the_file_does_not_have_cost_a_source_its_place() {
    let beyond = |id| vec![have(id, PIECES, PIECES, &[1])];
    let told = downloaded("beyond", beyond, was_left).await;
    assert!(told.contains("it broke the protocol: have"), "{told}");
    let other = |id| vec![have(id, PIECES + 1, 0, &[1])];
    let told = downloaded("other", other, was_left).await;
    assert!(told.contains("says that it has pieces of another file"), "{told}");
}

/// Case 25, by the word of a source.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_a_source_names_is_not_overrun() {
    let stranger = TcpListener::bind("127.9.8.7:0").await.unwrap();
    let at = stranger.local_addr().unwrap();
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    let listening = tokio::spawn(async move {
        while stranger.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let named = move |id: [u8; 32]| {
        let some = |round: u8| {
            let other = |n: u8| -> ([u8; 32], SocketAddr) { ([round * 16 + n; 32], at) };
            sources(&id, &(0..16).map(other).collect::<Vec<_>>())
        };
        (1..15).map(some).collect()
    };
    let seen = Arc::clone(&came);
    downloaded("named", named, move |_, _| seen.load(Ordering::Relaxed) > 0).await;
    listening.abort();
    let came = came.load(Ordering::Relaxed);
    assert!((1..=4).contains(&came), "{came} came");
}

/// Case 49, of what is being downloaded.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_running_download_only_verified_pieces_are_given() {
    let bench = Bench::start().await;
    let bytes = noise(PIECES as usize * PIECE, "half");
    let id = *blake3::hash(&bytes).as_bytes();
    let good = bytes.clone();
    // Gives some pieces, and is silent about the others.
    let offer = Offer::honest("half", &bytes).given(move |piece| {
        let bytes = piece_of(&good, piece).to_vec();
        let given = piece % 8 != 5;
        given.then(|| FakeData { id, piece, offset: 0, bytes }.frame()).into_iter().collect()
    });
    let source = Publisher::start(222, vec![offer]).await;
    let joined = bench.victim.ask(&["join", &source.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let mut early = bench.taker(40).await;
    early.send(&describe(&id, 0)).await.unwrap();
    assert_eq!(read_answer(&early.recv().await.unwrap()), (id, 0), "it was never heard of");
    let hash = blake3::hash(&bytes).to_string();
    assert_eq!(bench.victim.ask(&["download", &hash]).await.code, 0);

    // It is told what is here, and then what has come meanwhile.
    let mut held = vec![false; PIECES as usize];
    until("a part to give on", async || {
        early.send(&describe(&id, 0)).await.unwrap();
        early.recv().await.unwrap().kind != REFUSED
    })
    .await;
    let mut fresh = bench.taker(42).await;
    fresh.send(&describe(&id, 0)).await.unwrap();
    let first = FakeHave::read(&fresh.recv().await.unwrap());
    assert_eq!((first.count, first.holding), (PIECES, 0));
    let list = FakeManifest::read(&fresh.recv_kind(MANIFEST).await.unwrap());
    assert_eq!((list.size, list.values.len()), (bytes.len() as u64, PIECES as usize));
    let mut note = |have: &FakeHave| {
        note(&mut held, have);
        held.clone()
    };
    let mut known = note(&first);
    assert!(known[LAST as usize], "the last piece proves the size");
    while known.iter().filter(|held| **held).count() < 8 {
        known = note(&FakeHave::read(&fresh.recv_kind(HAVE).await.unwrap()));
    }
    let here = known.iter().position(|held| *held).unwrap() as u32;
    fresh.send(&ranges(REQUEST, &id, &[(here, 1)])).await.unwrap();
    let data = FakeData::read(&fresh.recv_kind(DATA).await.unwrap());
    assert_eq!((data.piece, &data.bytes[..]), (here, piece_of(&bytes, here)));
    // What is not verified is not here, together with what was asked for with it; and whoever
    // asks so goes on being served.
    fresh.send(&ranges(REQUEST, &id, &[(here, 1), (5, 1)])).await.unwrap();
    let answer = fresh.recv_kind(REFUSED).await.unwrap();
    assert_eq!(read_answer(&answer), (id, 0), "not here");
    fresh.send(&ranges(REQUEST, &id, &[(PIECES, 1)])).await.unwrap();
    assert_eq!(read_answer(&fresh.recv_kind(REFUSED).await.unwrap()), (id, 5), "no such piece");
    fresh.send(&ranges(REQUEST, &id, &[(here, 1)])).await.unwrap();
    assert_eq!(fresh.recv_kind(DATA).await.unwrap().kind, DATA);

    // Paused, it gives nothing on, as if it had never been heard of.
    assert_eq!(bench.victim.ask(&["pause", "all"]).await.code, 0);
    fresh.send(&ranges(REQUEST, &id, &[(here, 1)])).await.unwrap();
    assert_eq!(read_answer(&fresh.recv_kind(REFUSED).await.unwrap()), (id, 0), "not here");
    assert_eq!(bench.victim.ask(&["cancel", "all"]).await.code, 0);
    drop((source, early, fresh));
    bench.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_from_a_running_download_hears_of_its_last_piece_too() {
    let bench = Bench::start().await;
    let bytes = noise(PIECES as usize * PIECE, "to the end");
    let id = *blake3::hash(&bytes).as_bytes();
    let (good, release) = (bytes.clone(), Arc::new(AtomicUsize::new(0)));
    let released = Arc::clone(&release);
    let offer = Offer::honest("to the end", &bytes).given(move |piece| {
        let deadline = Instant::now() + PATIENCE;
        tokio::task::block_in_place(|| {
            let waits = || piece != LAST && released.load(Ordering::Relaxed) == 0;
            while waits() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let bytes = piece_of(&good, piece).to_vec();
        vec![FakeData { id, piece, offset: 0, bytes }.frame()]
    });
    let source = Publisher::start(223, vec![offer]).await;
    let joined = bench.victim.ask(&["join", &source.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let hash = blake3::hash(&bytes).to_string();
    assert_eq!(bench.victim.ask(&["download", &hash]).await.code, 0);
    let mut taker = bench.taker(43).await;
    let mut held = vec![false; PIECES as usize];
    until("a part to give on", async || {
        taker.send(&describe(&id, 0)).await.unwrap();
        let answer = taker.recv().await.unwrap();
        if answer.kind == HAVE {
            note(&mut held, &FakeHave::read(&answer));
        }
        answer.kind != REFUSED
    })
    .await;
    release.store(1, Ordering::Relaxed);
    while held.contains(&false) {
        note(&mut held, &FakeHave::read(&taker.recv_kind(HAVE).await.unwrap()));
    }
    drop((source, taker));
    bench.ends_well().await;
}
