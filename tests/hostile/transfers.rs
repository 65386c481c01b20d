//! Asking a servent for what it does not give, or no longer has as it was.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::common::frames::*;
use crate::common::servent::{PATIENCE, until};
use crate::{Bench, noise};

/// Case 49.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_whether_a_file_was_ever_here() {
    let bench = Bench::start().await;
    let bytes = noise(100_000, "withdrawn");
    let withdrawn = bench.publish("withdrawn.bin", &bytes).await;
    let mut peer = bench.taker(49).await;
    peer.send(&describe(&withdrawn, 0)).await.unwrap();
    let list = FakeManifest::read(&peer.recv().await.unwrap());
    assert_eq!((list.size, list.values.len()), (100_000, 2), "it is here");
    let unpublished = bench.victim.ask(&["unpublish", "withdrawn.bin"]).await;
    assert_eq!(unpublished.code, 0, "{unpublished:?}");

    let never = [49; 32];
    let mut fresh = bench.taker(50).await;
    for peer in [&mut peer, &mut fresh] {
        for (id, other) in [(withdrawn, never), (never, withdrawn)] {
            let asks = |id: &[u8; 32]| {
                [
                    describe(id, 0),
                    describe(id, 7),
                    ranges(REQUEST, id, &[(0, 1)]),
                    ranges(REQUEST, id, &[(1000, 1000)]),
                    ranges(REQUEST, id, &[]),
                ]
            };
            for (one, two) in asks(&id).into_iter().zip(asks(&other)) {
                peer.send(&one).await.unwrap();
                let first = peer.recv().await.unwrap();
                peer.send(&two).await.unwrap();
                let second = peer.recv().await.unwrap();
                assert_eq!(read_answer(&first), (id, 0), "not here");
                assert_eq!(read_answer(&second), (other, 0), "not here");
                assert_eq!(first.body[32..], second.body[32..]);
                assert_eq!((first.kind, first.flags), (second.kind, second.flags));
            }
        }
    }
    drop((peer, fresh));
    bench.ends_well().await;
}

/// Cases 50 and 51.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_longer_what_was_published_is_not_sent() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 8] = [
        ("rewritten", |path| fs::write(path, noise(100_000, "other")).unwrap()),
        ("replaced", |path| {
            let other = path.with_extension("new");
            fs::write(&other, noise(100_000, "other")).unwrap();
            fs::rename(other, path).unwrap();
        }),
        ("cut", |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(70_000).unwrap();
        }),
        ("longer", |path| {
            let mut file = fs::File::options().append(true).open(path).unwrap();
            file.write_all(b"more").unwrap();
        }),
        ("gone", |path| fs::remove_file(path).unwrap()),
        ("link", |path| {
            fs::remove_file(path).unwrap();
            symlink("/etc/passwd", path).unwrap();
        }),
        ("folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("pipe", |path| {
            fs::remove_file(path).unwrap();
            mkfifoat(CWD, path, Mode::RWXU).unwrap();
        }),
    ];
    let bench = Bench::start().await;
    for (name, change) in changes {
        let id = bench.publish(name, &noise(100_000, name)).await;
        let mut peer = bench.taker(50).await;
        peer.send(&ranges(REQUEST, &id, &[(1, 1)])).await.unwrap();
        let data = FakeData::read(&peer.recv().await.unwrap());
        assert_eq!(data.bytes, noise(100_000, name)[65_536..], "{name}: it is here");

        change(&bench.victim.home().join(name));
        peer.send(&ranges(REQUEST, &id, &[(0, 2)])).await.unwrap();
        let answer = peer.recv().await.unwrap();
        assert_eq!(answer.kind, REFUSED, "{name}: {answer:02x?}");
        assert_eq!(read_answer(&answer).0, id);
        // And to somebody who comes only now.
        let mut late = bench.taker(51).await;
        late.send(&ranges(REQUEST, &id, &[(0, 1)])).await.unwrap();
        let answer = late.recv().await.unwrap();
        assert_eq!(answer.kind, REFUSED, "{name}: {answer:02x?}");
    }
    bench.ends_well().await;
}

/// Thanks are cheap: they move nothing but what they are for.
#[tokio::test(flavor = "multi_thread")]
async fn thanks_for_nothing_tell_nobody_anything_and_many_end_the_connection() {
    let bench = Bench::start().await;
    let id = bench.publish("thanked.bin", &noise(100_000, "thanked")).await;
    let mut peer = bench.taker(52).await;
    peer.send(&thanks(&id)).await.unwrap();
    peer.send(&ranges(REQUEST, &id, &[(1, 1)])).await.unwrap();
    assert_eq!(peer.recv().await.unwrap().kind, DATA, "it is forgiven");
    for _ in 0..2 {
        peer.send(&thanks(&id)).await.unwrap(); // the first is for something
    }
    peer.send(&describe(&id, 0)).await.unwrap();
    assert_eq!(peer.recv().await.unwrap().kind, MANIFEST);
    assert_eq!(bench.victim.ask_status().await.incidents.offences, 0);
    for _ in 0..3 {
        peer.send(&thanks(&[9; 32])).await.unwrap();
    }
    peer.expect_closed(PATIENCE).await;
    until("an incident", async || bench.victim.ask_status().await.incidents.offences == 1).await;
    let told = bench.victim.log().matches("\"thanked.bin\" delivered").count();
    assert_eq!(told, 1);
    bench.ends_well().await;
}
