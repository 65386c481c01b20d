//! Looking through a library faster than it is shown, and libraries that lie.

use std::collections::BTreeSet;
use std::fs;

use part2part::command::Reply;
use tokio::time::Instant;

use crate::Bench;
use crate::common::fake_peer::{FakeListener, FakePeer, Options};
use crate::common::frames::*;
use crate::common::listing::*;
use crate::common::servent::{Start, TestServent};

/// What `servent/browsed.rs` promises: pages at once, and then one in so many seconds.
const PEER: (u64, u64) = (20, 10);
const GROUP: (u64, u64) = (40, 5);
const ALL: (u64, u64) = (100, 2);
/// Entries of a page.
const PAGE: usize = 100;

/// Publishes so many files at the victim, in one folder that lies in others, and is watched
/// from soon after its start on, with one descriptor more.
async fn publish(bench: &mut Bench, files: usize) {
    let folder = bench.victim.home().join("secret/shelf/Music");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..files {
        fs::write(folder.join(format!("song {number:04}.mp3")), number.to_string()).unwrap();
    }
    let published = bench.victim.ask(&["publish", "secret/shelf"]).await;
    assert_eq!(published.code, 0, "{published:?}");
    bench.descriptors += 1;
}

/// Asks for pages until one is put off; how many were shown.
async fn leaf(peer: &mut FakePeer, most: u64) -> u64 {
    for pages in 0..most {
        peer.send(&browse("Music", b"")).await.unwrap();
        match FakeListing::read(&peer.recv().await.unwrap()) {
            FakeListing::Page { files, .. } => assert_eq!(files.len(), PAGE),
            FakeListing::Later(secs) => {
                assert!((1..=PEER.1).contains(&u64::from(secs)), "{secs}");
                return pages;
            }
            other => panic!("{other:?}"),
        }
    }
    most
}

/// However many a stranger pretends to be, and wherever it comes from, no more pages are
/// shown than the documented limits grant; what that means for a library of 100,000 files
/// is the arithmetic of `servent/browsed.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn a_library_is_shown_no_faster_than_the_limits_say() {
    let mut bench = Bench::start().await;
    publish(&mut bench, PAGE + 1).await;
    let began = Instant::now();
    let within = |(burst, every): (u64, u64)| burst..=burst + began.elapsed().as_secs() / every + 1;
    // One servent, on two connections.
    let mut shown = 0;
    for _ in 0..2 {
        let mut peer = stranger(&bench, [127, 21, 0, 1], 1).await;
        shown += leaf(&mut peer, 2 * PEER.0).await;
    }
    assert!(within(PEER).contains(&shown), "one servent was shown {shown} pages");
    // Many servents of one /16.
    for seed in 2..6 {
        let mut peer = stranger(&bench, [127, 21, 0, seed], seed).await;
        shown += leaf(&mut peer, 2 * PEER.0).await;
    }
    assert!(within(GROUP).contains(&shown), "one /16 was shown {shown} pages");
    // And as many from everywhere.
    for seed in 6..14 {
        let mut peer = stranger(&bench, [127, 20 + 2 * seed, 0, 1], seed).await;
        shown += leaf(&mut peer, 2 * PEER.0).await;
    }
    assert!(within(ALL).contains(&shown), "everybody was shown {shown} pages");
    bench.ends_well().await;
}

/// A taker that comes from that address.
async fn stranger(bench: &Bench, from: [u8; 4], seed: u8) -> FakePeer {
    let options = bench.options(seed).from(from);
    let purpose = FakePurpose::Transfer { token: None };
    FakePeer::join(bench.victim.addr(), &options, purpose).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_folder_is_shown_once_and_nothing_above_it_by_any_name_or_cursor() {
    let mut bench = Bench::start().await;
    publish(&mut bench, 2 * PAGE + 7).await;
    let mut peer = bench.taker(61).await;
    let mut names = BTreeSet::new();
    let (mut cursor, mut pages) = (Vec::new(), 0);
    loop {
        peer.send(&browse("Music", &cursor)).await.unwrap();
        let frame = peer.recv().await.unwrap();
        for word in [&b"secret"[..], b"shelf", b"home", b"tmp"] {
            assert!(!frame.body.windows(word.len()).any(|part| part == word), "it tells {word:?}");
        }
        let FakeListing::Page { files, next, .. } = FakeListing::read(&frame) else {
            panic!("{frame:?}")
        };
        pages += 1;
        for file in files {
            assert!(names.insert(file.name), "a file is shown twice");
        }
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!((names.len(), pages), (2 * PAGE + 7, 3));
    let mut turned = cursor.clone();
    turned[0] ^= 1;
    for (folder, cursor, answer) in [
        ("", &turned[..], FakeListing::Stale),
        ("Music", b"made up", FakeListing::Stale),
        ("Music", &[0xff; 4224], FakeListing::Stale),
        ("..", b"", FakeListing::NoFolder),
        ("../secret", b"", FakeListing::NoFolder),
        ("Music/../..", b"", FakeListing::NoFolder),
        ("/etc", b"", FakeListing::NoFolder),
        ("shelf", b"", FakeListing::NoFolder),
        ("Music/song 0000.mp3", b"", FakeListing::NoFolder),
        ("\0", b"", FakeListing::NoFolder),
    ] {
        peer.send(&browse(folder, cursor)).await.unwrap();
        assert_eq!(FakeListing::read(&peer.recv().await.unwrap()), answer, "{folder:?}");
    }
    // Who wants nobody to look says so, and shows nothing.
    for setting in [["set", "browse", "off"].as_slice(), &["serve", "off"]] {
        assert_eq!(bench.victim.ask(setting).await.code, 0);
        peer.send(&browse("", b"")).await.unwrap();
        let answer = FakeListing::read(&peer.recv().await.unwrap());
        assert_eq!(answer, FakeListing::Closed, "{setting:?}");
        assert_eq!(bench.victim.ask(&["set", "browse", "on"]).await.code, 0);
    }
    assert_eq!(bench.victim.ask(&["serve", "on"]).await.code, 0);
    // A listing that nobody asked for is none of a taker's business.
    peer.send(&FakeListing::Closed.frame()).await.unwrap();
    peer.expect_closed(crate::AT_ONCE).await;
    bench.ends_well().await;
}

fn page(folders: &[&str], files: &[&str], next: Option<&[u8]>) -> Frame {
    let file = |name: &&str| FakeFile { id: [5; 32], size: 1, name: (*name).to_owned() };
    FakeListing::Page {
        folders: folders.iter().map(ToString::to_string).collect(),
        files: files.iter().map(file).collect(),
        next: next.map(<[u8]>::to_vec),
    }
    .frame()
}

/// Browses a fake library that answers with `frames`, one after the other: what was said.
async fn looked_at(asker: &TestServent, words: &[&str], frames: Vec<Frame>) -> (i32, String) {
    let listener = FakeListener::bind(Options::new(77)).await.unwrap();
    let whom = format!("{}@{}", listener.id(), listener.addr());
    let command = [&["browse", &whom], words].concat();
    let lying = async {
        let (mut peer, _) = listener.welcome().await.unwrap();
        for frame in &frames {
            let Ok(asked) = peer.recv().await else { break };
            read_browse(&asked);
            peer.send(frame).await.unwrap();
        }
        while peer.recv().await.is_ok() {}
    };
    let (answer, ()) = tokio::join!(asker.ask(&command), lying);
    (answer.code, answer.out + &answer.err)
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_that_lie_end_with_a_sentence_and_steer_no_terminal() {
    let asker = TestServent::start(Start::with(&["--manual"]));
    let lies = "its listing is not worth going on with";
    let empty = |next: &[u8]| page(&[], &[], Some(next));
    for (frames, says) in [
        (vec![page(&["a", "a"], &[], None)], "names a folder twice"),
        (vec![page(&["a/b"], &[], None)], "names a folder that nobody can have"),
        (vec![page(&[".."], &[], None)], "names a folder that nobody can have"),
        (vec![empty(b"1"), empty(b"1")], "leads from one page back to another"),
        (vec![empty(b"1"), empty(b"2"), empty(b"1")], "leads from one page back to another"),
        (vec![refused(&[1; 32], 0)], "says nothing of what it shares"),
        (vec![page(&[""], &[], None)], "says nothing of what it shares"),
        (vec![FakeListing::Stale.frame()], "no longer knows where that page begins"),
        (vec![FakeListing::Later(u32::MAX).frame()], "ask again in 4294967295 s"),
        (vec![FakeListing::Closed.frame()], "does not let others look"),
    ] {
        let (code, said) = looked_at(&asker, &[], frames).await;
        assert!(code == 1 && said.contains(says), "{says}: {said}");
        assert!(!says.contains("twice") || said.contains(lies), "{said}");
    }
    // Nothing for ever, each time from elsewhere: no command goes on for ever.
    let endless = (0..100u8).map(|number| empty(&[number])).collect();
    let (code, said) = looked_at(&asker, &["endless"], endless).await;
    assert!(code == 1 && said.contains("at most 20 pages are asked for at a time"), "{said}");

    let evil = "a\u{1b}[2J\u{202e}b";
    // A file that is named twice, as copies of it may be, is shown once.
    let frames = vec![page(&[evil], &[evil, evil], None)];
    let (code, said) = looked_at(&asker, &["evil"], frames).await;
    assert!(code == 0 && said.contains("a\\u{1b}[2J\\u{202e}b/"), "{said}");
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said:?}");
    // What was seen are results, and no more than a claim.
    let results = asker.ask_replies(&["results"]).await;
    assert!(matches!(&results[0], Reply::Results { results } if results.len() == 1), "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_come_to_for_a_while_is_looked_through_from_where_one_was() {
    let asker = TestServent::start(Start::with(&["--manual"]));
    let first = || vec![page(&["a"], &[], Some(b"1"))];
    let (code, said) = looked_at(&asker, &["f"], first()).await;
    assert!(code == 0 && said.contains("page 1"), "{said}");
    let gone = FakeListener::bind(Options::new(77)).await.unwrap();
    let whom = format!("{}@{}", gone.id(), gone.addr());
    drop(gone);
    let failed = asker.ask(&["browse", &whom, "f"]).await;
    assert!(failed.code == 1 && failed.err.contains("cannot be asked"), "{failed:?}");
    let (code, said) = looked_at(&asker, &["f"], vec![page(&["b"], &[], None)]).await;
    assert!(code == 0 && said.contains("page 2"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_shrinks_and_grows_again_is_no_lie() {
    let asker = TestServent::start(Start::with(&["--manual"]));
    let more = |name, next: &[u8]| page(&[name], &[], Some(next));
    let last = |name| page(&[name], &[], None);
    let first = ["f", "--page", "1"];
    for (words, frames) in [
        (&["f"][..], vec![more("a", b"1")]),
        // It shrinks to one page, and grows again.
        (&first, vec![last("a")]),
        (&first, vec![more("a", b"1")]),
        (&["f"], vec![more("b", b"2")]),
        (&["f"], vec![more("c", b"3")]),
        // Nothing is left of the second page, so that the third one takes its place.
        (&["f", "--page", "2"], vec![page(&[], &[], Some(b"2")), more("c", b"3")]),
        (&["f"], vec![last("d")]),
    ] {
        let (code, said) = looked_at(&asker, words, frames).await;
        assert_eq!(code, 0, "{words:?}: {said}");
    }
}
