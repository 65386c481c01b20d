//! Folders as one download, and links.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs;

use common::files::{content, done, hash, publish};
use common::servent::{Start, TestServent};
use part2part::command::Reply;
use part2part::servent::report::LinkReport;

/// The link that `servent` prints for `words`, as data.
fn link(servent: &TestServent, words: &[&str]) -> LinkReport {
    match servent.replies(&[&["link"], words].concat()).remove(0) {
        Reply::Link(link) => link,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_is_all_that_who_knows_nobody_needs() {
    let bytes = content(1, 300_000);
    let giver = TestServent::start(Start::with(&["--name", "attic"]));
    publish(&giver, "blue train (live).flac", &bytes);
    let told = link(&giver, &["blue train (live).flac"]);
    assert_eq!((told.size, told.peers), (Some(300_000), vec![giver.id()]));
    let answer = giver.ctl(&["link", &hash(&bytes)]);
    assert_eq!((answer.code, answer.out.trim_end()), (0, told.link.as_str()));
    assert!(answer.err.starts_with("note: only this machine can use this line"), "{answer:?}");
    for text in [&told.link, &told.magnet] {
        let taker = TestServent::start(Start::default());
        done(&taker, &["download", text, "--wait"]);
        let path = taker.downloads().join("blue train (live).flac");
        assert_eq!(fs::read(path).unwrap(), bytes);
        assert_eq!(taker.status().neighbours, 0, "it is in no mesh");
        let again = taker.ctl(&["download", text]);
        assert!(again.err.contains("that file is here already"), "{again:?}");
    }
}

#[test]
fn a_link_that_names_nobody_is_searched_for_and_its_name_chooses_no_path() {
    let bytes = content(2, 300_000);
    let giver = TestServent::start(Start::default());
    publish(&giver, "alpha.bin", &bytes);
    let taker = TestServent::start(Start::default());
    done(&taker, &["join", &giver.invitation()]);
    let text = format!("part2part:{}?name=..%2F..%2F.profile%1B&size=9", hash(&bytes));
    done(&taker, &["download", &text, "--wait"]);
    assert_eq!(fs::read(taker.downloads().join("_profile_")).unwrap(), bytes);
    // What was found is linked to with those who have it.
    let other = TestServent::start(Start::default());
    done(&other, &["join", &taker.invitation()]);
    let (hits, _) = other.search(&["alpha", "--all"]);
    assert_eq!(hits.len(), 1);
    let told = link(&other, &["1"]);
    assert!(
        told.peers.contains(&giver.id()) && told.name.as_deref() == Some("alpha.bin"),
        "{told:?}"
    );
}

#[test]
fn what_is_wrong_with_a_link_is_said_and_nothing_begins() {
    let servent = TestServent::start(Start::default());
    let id = hash(b"");
    for (text, part) in [
        ("part2part:x".to_owned(), "the hash of the link"),
        (format!("part2part:{id}?size=many"), "size= of the link"),
        (format!("part2part:{id}?peer=attic"), "peer 1 of the link"),
        ("magnet:?xt=urn:btih:00".to_owned(), "the magnet has no xt=urn:blake3:HASH"),
    ] {
        let answer = servent.ctl(&["download", &text]);
        assert_eq!(answer.code, 2, "{answer:?}");
        assert!(answer.err.contains(part), "{answer:?}");
    }
    let answer = servent.ctl(&["link", "nothing.bin"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("nothing.bin is not shared here"), "{answer:?}");
    assert_eq!(servent.ctl(&["downloads"]).out, "no downloads\n");
}
