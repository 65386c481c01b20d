//! Connections to sources that are kept for the next download from there.

use std::fs;

use crate::common::frames::*;
use crate::publisher::{Offer, Publisher};
use crate::{Bench, noise};

/// Files that are downloaded, one after the other.
const FILES: usize = 6;

/// Downloads six files of one source, which says `last_words` after each; how many
/// connections that took.
async fn connections(last_words: impl Fn([u8; 32]) -> Vec<Frame>) -> usize {
    let bench = Bench::start().await;
    let files: Vec<_> = (0..FILES).map(|n| noise(70_000 + n, &format!("kept {n}"))).collect();
    let offer = |(number, bytes): (usize, &Vec<u8>)| {
        let honest = Offer::honest(&format!("kept {number}"), bytes);
        Offer { last_words: last_words(honest.id), ..honest }
    };
    let source = Publisher::start(0, files.iter().enumerate().map(offer).collect()).await;
    let victim = &bench.victim;
    let joined = victim.ask(&["join", &source.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let found = victim.ask(&["search", "kept", "--ttl", "1"]).await;
    assert_eq!(found.code, 0, "{found:?}");
    for (number, bytes) in files.iter().enumerate() {
        let id = blake3::hash(bytes).to_string();
        let end = victim.ask(&["download", &id, "--wait"]).await;
        assert_eq!(end.code, 0, "{end:?}");
        assert_eq!(fs::read(victim.downloads().join(format!("kept {number}"))).unwrap(), *bytes);
    }
    let connections = source.takers();
    assert!(connections <= FILES, "{connections} connections");
    drop(source);
    bench.ends_well().await;
    connections
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_download_from_a_source_needs_no_connection_of_its_own() {
    // It may begin before the one before has put its connection away.
    let connections = connections(|_| vec![]).await;
    assert!(connections < FILES, "{connections} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_what_it_has_after_all_is_here_is_asked_again_there() {
    let given = |id| FakeHave { id, count: 2, holding: 1, first: 0, bits: vec![3] }.frame();
    let connections = connections(|id| vec![given(id); 3]).await;
    assert!(connections < FILES, "{connections} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_out_of_turn_on_a_kept_connection_spoils_no_other_download() {
    let junk = |id| {
        let bytes = vec![7; 100];
        vec![FakeData { id, piece: 0, offset: 0, bytes }.frame(); 3]
    };
    connections(junk).await;
}
