//! State that is damaged, in whatever way: kept aside, said, and the start goes on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;

use common::servent::{Start, TestServent, wait_until};

/// Every file of the state that a start reads, but for the key: without that a servent
/// would be somebody else.
const FILES: [&str; 5] = ["hosts", "shares.redb", "downloads", "settings", "wanted"];

type Damage = (&'static str, fn(&Path));

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn zero(path: &Path) {
    let len = fs::metadata(path).unwrap().len();
    fs::write(path, vec![0; usize::try_from(len).unwrap()]).unwrap();
}

fn scramble(path: &Path) {
    let mut bytes = vec![0; 9_000];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn become_a_folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

const DAMAGES: [Damage; 4] =
    [("cut", cut), ("zeroed", zero), ("random", scramble), ("a folder", become_a_folder)];

fn done(servent: &TestServent, words: &[&str]) {
    let answer = servent.ctl(words);
    assert_eq!(answer.code, 0, "{words:?}: {answer:?}");
}

/// Gives the servent something of each kind to remember.
fn remember(servent: &TestServent, friend: &TestServent) {
    fs::write(servent.home().join("own.txt"), "own").unwrap();
    done(servent, &["join", &friend.invitation()]);
    done(servent, &["publish", "own.txt"]);
    done(servent, &["set", "max-upload", "1MB"]);
    // Said to be wanted already, where that file was not the damaged one.
    servent.ctl(&["wanted", "unobtainium"]);
    // Nobody has it, so it stays unfinished; or it is unfinished already.
    servent.ctl(&["download", &"ab".repeat(32)]);
    wait_until("the host cache", || servent.state().join("hosts").exists());
}

#[test]
fn whatever_is_damaged_is_kept_aside_and_said_and_the_start_goes_on() {
    let friend = TestServent::start(Start::default());
    let mut servent = TestServent::start(Start::default());
    let id = servent.id();
    for file in FILES {
        for (how, damage) in DAMAGES {
            remember(&servent, &friend);
            servent.stop();
            damage(&servent.state().join(file));
            servent.restart();
            assert_eq!(servent.id(), id);
            let aside = format!("{file}.bad-");
            let kept = fs::read_dir(servent.state()).unwrap().map(|entry| entry.unwrap());
            let kept: Vec<_> = kept
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(&aside))
                .collect();
            assert_eq!(kept.len(), 1, "{file} {how}: {:?}", servent.log());
            let said = servent.status().warnings;
            assert!(said.iter().any(|said| said.contains(&aside)), "{file} {how}: {said:?}");
            wait_until("the same in its log", || servent.log().contains(&aside));
            match kept[0].metadata().unwrap().is_dir() {
                true => fs::remove_dir(kept[0].path()).unwrap(),
                false => fs::remove_file(kept[0].path()).unwrap(),
            }
        }
    }
    remember(&servent, &friend);
    assert_eq!(servent.status().shared_files, 1);
}
