//! Folders from several sources, of which most are of no use, and one is honest.

use std::fs;
use std::time::Duration;

use part2part::base::file_link::MAX_LINK_PEERS;
use part2part::command::Reply;
use tokio::time::Instant;

use crate::common::frames::*;
use crate::common::servent::until;
use crate::publisher::{Offer, Publisher};
use crate::{Bench, SLACK, noise};

/// Files of the folder: more than one source is asked ahead.
const FILES: usize = 300;

/// What an honest source may say of the text after it was given.
fn late_news(id: [u8; 32]) -> Vec<Frame> {
    vec![FakeHave { id, count: 2, holding: 1, first: 0, bits: vec![3] }.frame(); 3]
}

/// A folder as its publishers offer it: its text, and its files.
fn folder(name: &str) -> (Offer, Vec<Offer>, Vec<Vec<u8>>) {
    let bytes: Vec<_> = (0..FILES).map(|n| noise(500 + n, &format!("{name} {n}"))).collect();
    let line = |(n, bytes): (usize, &Vec<u8>)| format!("{}  {n:03}\n", blake3::hash(bytes));
    let text: String = bytes.iter().enumerate().map(line).collect();
    let files = bytes.iter().map(|bytes| Offer::honest("", bytes));
    let text = Offer::honest(name, text.as_bytes());
    let mut files: Vec<_> = files.collect();
    files[0].first_words = late_news(text.id);
    (text, files, bytes)
}

/// Downloads the folder from an honest source and as many others as there are `bad` ones,
/// each of which makes what it will of the files; how long that took.
async fn downloaded(name: &str, bad: &[&dyn Fn(Offer) -> Option<Offer>]) -> Duration {
    let mut bench = Bench::start().await;
    let victim = &bench.victim;
    let (text, files, bytes) = folder(name);
    // The honest one is the last by its id, and takes its time.
    let mut seeds: Vec<u8> = (100..=100 + bad.len() as u8).collect();
    seeds.sort_by_key(|&seed| crate::common::fake_peer::Options::new(seed).id());
    let mut sources = Vec::new();
    for (nth, seed) in seeds.into_iter().enumerate() {
        let files = files.iter().cloned();
        let mut offers: Vec<Offer> = match bad.get(nth) {
            Some(bad) => files.filter_map(bad).collect(),
            None => files.map(|file| file.paced(Duration::from_millis(5))).collect(),
        };
        offers.insert(0, text.clone());
        let source = Publisher::start(seed, offers).await;
        sources.push(source);
    }
    // Who has no place in a link is found by a search.
    let (linked, others) = sources.split_at(sources.len().min(MAX_LINK_PEERS));
    for source in others {
        let joined = victim.ask(&["join", &source.invitation()]).await;
        assert_eq!(joined.code, 0, "{joined:?}");
    }
    let began = Instant::now();
    let id = blake3::Hash::from(text.id);
    let mut link = format!("part2part:{id}?name={name}&folder={FILES},1");
    linked.iter().for_each(|source| link += &format!("&peer={}", source.invitation()));
    let end = victim.ask(&["download", &link, "--wait"]).await;
    assert_eq!(end.code, 0, "{end:?}");
    for (n, bytes) in bytes.iter().enumerate() {
        let path = victim.downloads().join(name).join(format!("{n:03}"));
        assert!(fs::read(&path).unwrap() == *bytes, "{path:?}");
    }
    let took = began.elapsed();
    drop(sources);
    bench.descriptors += 1; // by which it hears of changes in the folder that it shares now
    bench.ends_well().await;
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_files_of_a_folder_back_holds_it_up_for_seconds_only() {
    let silent = |file: Offer| Some(file.given(|_| vec![]));
    let queueing = |file: Offer| {
        let id = file.id;
        Some(file.given(move |_| vec![queued(&id, 7)]))
    };
    let took = downloaded("held", &[&silent, &queueing]).await;
    assert!(took < Duration::from_secs(10) + SLACK, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_news_of_the_text_of_a_folder_after_it_came_is_no_liar() {
    downloaded("news", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_refuse_all_of_a_folder_hide_nobody_who_has_it() {
    let useless: &dyn Fn(Offer) -> Option<Offer> = &|_| None;
    let took = downloaded("hidden", &[useless; MAX_LINK_PEERS]).await;
    assert!(took < Duration::from_secs(10) + SLACK, "{took:?}");
}

/// Sources that one neighbour names.
const NAMED: u16 = 300;
/// Sources that a folder keeps in mind, at most.
const MOST: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn who_names_hundreds_of_sources_of_a_folder_is_heard_as_far_as_there_is_room() {
    let bench = Bench::start().await;
    let victim = &bench.victim;
    let (text, ..) = folder("named");
    let source = Publisher::start(120, vec![text.clone()]).await;
    let (id, size) = (text.id, text.size);
    let liar = Publisher::answering(121, move |query| {
        let hit = |n: u16| FakeHit {
            guid: query.guid,
            hops: 0,
            responder: *blake3::hash(&n.to_be_bytes()).as_bytes(),
            addresses: vec![([127, 0, 0, 1], 1).into()], // nobody is there
            name: "fake".into(),
            unreachable: false,
            files: vec![FakeFile { id, size, name: "named".into() }],
            more: false,
        };
        (0..NAMED).map(|n| hit(n).frame()).collect()
    })
    .await;
    let joined = victim.ask(&["join", &liar.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let link = format!("part2part:{}?folder={FILES},1", blake3::Hash::from(id));
    let begun = victim.ask(&["download", &format!("{link}&peer={}", source.invitation())]).await;
    assert_eq!(begun.code, 0, "{begun:?}");
    let known = async || match victim.ask_replies(&["downloads"]).await.remove(0) {
        Reply::Downloads { downloads } => {
            downloads.iter().find(|one| one.gathered.is_some()).map_or(0, |one| one.sources)
        }
        other => panic!("{other:?}"),
    };
    until("as many as are kept", async || known().await >= MOST).await;
    until("one that was dialled", async || {
        assert!(known().await <= MOST);
        let log = victim.log() + &victim.printed();
        log.contains("lost source")
    })
    .await;
    assert_eq!(victim.ask(&["cancel", "1"]).await.code, 0);
    drop((source, liar));
    bench.ends_well().await;
}
