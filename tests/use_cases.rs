//! The seven use cases of the original design, each as its user sees it.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::servent::{Start, TestServent, part2part, wait_until};
use part2part::base::ServentId;
use part2part::command::Reply;
use part2part::servent::report::{BrowseReport, DownloadReport, DownloadState, ResultReport};
use tokio::time::Instant;

/// What an upload that must not be over too soon is capped to.
const SLOW: [&str; 2] = ["--max-upload", "300kB"];
/// A file that takes long at this rate, and is of more than one piece.
const LARGE: usize = 12_000_000;

/// Content that no other file of the tests has.
fn content(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn write(servent: &TestServent, name: &str, bytes: &[u8]) -> PathBuf {
    let path = servent.home().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn publish(servent: &TestServent, name: &str, bytes: &[u8]) -> PathBuf {
    let path = write(servent, name, bytes);
    done(servent, &["publish", path.to_str().unwrap()]);
    path
}

/// Has `servent` obey a command that must succeed; what it said.
fn done(servent: &TestServent, words: &[&str]) -> String {
    let answer = servent.ctl(words);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{words:?}");
    answer.out
}

/// A mesh of `count` servents that all know each other.
fn mesh(count: usize) -> Vec<TestServent> {
    let mut servents: Vec<TestServent> = Vec::new();
    for _ in 0..count {
        let newcomer = TestServent::start(Start::default());
        if let Some(known) = servents.last() {
            done(&newcomer, &["join", &known.invitation()]);
        }
        servents.push(newcomer);
    }
    for servent in &servents {
        servent.wait_for_neighbours(count - 1);
    }
    servents
}

/// Neighbours and known contacts.
fn listed(servent: &TestServent) -> BTreeSet<ServentId> {
    let mut all = servent.peers(false);
    all.extend(servent.peers(true));
    all.into_iter().map(|peer| peer.id).collect()
}

fn downloads(servent: &TestServent) -> Vec<DownloadReport> {
    match servent.replies(&["downloads"]).remove(0) {
        Reply::Downloads { downloads } => downloads,
        other => panic!("{other:?}"),
    }
}

/// Waits until the only download of `servent` is under way.
fn wait_for_bytes(servent: &TestServent) {
    wait_until("bytes of a download", || downloads(servent)[0].verified > 0);
}

/// Why the only download of `servent` waits, once it does.
fn wait_for_reason(servent: &TestServent) -> String {
    let mut reason = String::new();
    wait_until("a download that waits", || match &downloads(servent)[0].state {
        DownloadState::Waiting { why } => {
            reason.clone_from(why);
            true
        }
        DownloadState::Running => false,
        over => panic!("{over:?}"),
    });
    reason
}

/// One servent that shares a large file slowly, and one that has found it.
fn slow_pair() -> (TestServent, PathBuf, TestServent) {
    let publisher = TestServent::start(Start::with(&SLOW));
    let path = publish(&publisher, "large file.iso", &content(0, LARGE));
    let receiver = TestServent::start(Start::default());
    done(&receiver, &["join", &publisher.invitation()]);
    let (hits, _) = receiver.search(&["large"]);
    assert_eq!(hits.len(), 1);
    (publisher, path, receiver)
}

#[test]
fn use_case_1_a_newcomer_joins_through_a_known_servent_and_receives_a_peer_list() {
    let old = mesh(3);
    let newcomer = TestServent::start(Start::default());
    let known = &old[1];
    let said = done(&newcomer, &["join", &known.addr().to_string()]);
    let short = known.id().short();
    assert_eq!(said, format!("joined {short} at {}; it knows 2 others\n", known.addr()));
    let neighbours = newcomer.peers(false);
    assert!(neighbours.iter().any(|peer| peer.id == known.id()));
    // What it was handed is enough to link to the others as well.
    let others: BTreeSet<_> = old.iter().map(TestServent::id).collect();
    wait_until("everybody in the newcomer's list", || listed(&newcomer) == others);
    newcomer.wait_for_neighbours(3);
    for servent in &old {
        wait_until("the newcomer in everybody's list", || {
            servent.peers(false).iter().any(|peer| peer.id == newcomer.id())
        });
    }
}

#[test]
fn use_case_2_who_leaves_willingly_is_removed_from_every_peer_list() {
    let mut servents = mesh(4);
    let leaver = servents.pop().unwrap();
    assert_eq!(done(&leaver, &["leave"]), "left; 3 neighbours told\n");
    assert_eq!(leaver.peers(false), []);
    gone(&servents, leaver.id());
    assert_eq!(leaver.peers(false), [], "it stays alone until the next join");
    let refused = servents[0].ctl(&["join", &leaver.addr().to_string()]);
    let why = format!(
        "error: {} has left its mesh and stays alone until its user joins again\n",
        leaver.addr()
    );
    assert_eq!((refused.code, refused.err), (1, why));

    let mut stopped = servents.pop().unwrap();
    assert_eq!(stopped.stop().code(), Some(0));
    gone(&servents, stopped.id());
    done(&leaver, &["join"]);
    let (a, b) = (servents[0].id(), servents[1].id());
    wait_until("those that are there", || listed(&leaver) == BTreeSet::from([a, b]));
}

#[test]
fn use_case_2_who_leaves_by_failure_is_removed_from_every_peer_list() {
    let mut servents = mesh(4);
    let mut killed = servents.pop().unwrap();
    killed.kill9();
    gone(&servents, killed.id());
}

/// Waits until none of `servents` lists `id`, while they go on listing each other.
fn gone(servents: &[TestServent], id: ServentId) {
    for servent in servents {
        wait_until("the end of it in a peer list", || !listed(servent).contains(&id));
        assert_eq!(servent.peers(false).len(), servents.len() - 1);
    }
}

#[test]
fn use_case_3_a_search_by_file_name_lists_the_peers_that_have_it_or_nobody_has_it() {
    let servents = mesh(4);
    publish(&servents[1], "Ferris the crab.png", b"one content");
    publish(&servents[2], "FERRIS.png", b"one content");
    publish(&servents[3], "Other crab.png", b"another content");
    let (hits, end) = servents[0].search(&["ferris", ".png"]);
    let who: BTreeSet<_> = hits.iter().map(|hit| hit.servent).collect();
    assert_eq!(who, BTreeSet::from([servents[1].id(), servents[2].id()]));
    assert!(hits.iter().all(|hit| hit.number == 1 && hit.size == 11 && hit.hops <= 3));
    assert_eq!((end.files, end.asked, end.lost, end.by_timer), (1, 3, 0, false));
    let result = done(&servents[0], &["results", "1"]);
    for holder in [&servents[1], &servents[2]] {
        assert!(result.contains(&holder.id().short()), "{result}");
        assert!(result.contains(&holder.addr().to_string()), "{result}");
    }

    let nobody = servents[0].ctl(&["search", "unheard", "of"]);
    assert_eq!(nobody.out, "asked 3 servents within 8 hops, all answered: nobody has it\n");
    assert_eq!((nobody.code, nobody.err.as_str()), (4, ""));
}

#[test]
fn use_case_4_what_is_published_is_found_by_others() {
    let servents = mesh(2);
    let folder = servents[0].home().join("my songs");
    fs::create_dir_all(folder.join("live")).unwrap();
    for (name, text) in [("first song.mp3", "1"), ("live/second song.mp3", "22"), (".hid", "x")] {
        fs::write(folder.join(name), text).unwrap();
    }
    assert_eq!(servents[1].ctl(&["search", "song"]).code, 4);
    let said = done(&servents[0], &["publish", "my songs"]);
    assert!(said.starts_with("sharing 2 files, 3 B in "), "{said}");
    assert!(said.contains("left out: 1 (hidden)\n"), "{said}");
    let (hits, _) = servents[1].search(&["song"]);
    let found: BTreeSet<_> = hits.iter().map(|hit| (hit.name.as_str(), hit.size)).collect();
    assert_eq!(found, BTreeSet::from([("first song.mp3", 1), ("second song.mp3", 2)]));
    assert!(done(&servents[0], &["shared"]).contains("\n2 files, 3 B in "));
}

#[test]
fn use_case_5_what_is_unpublished_is_found_no_more() {
    let servents = mesh(2);
    let path = publish(&servents[0], "secret.txt", b"not for long");
    assert_eq!(servents[1].search(&["secret"]).0.len(), 1);
    let said = done(&servents[0], &["unpublish", path.to_str().unwrap()]);
    assert_eq!(said, "1 file, 12 B no longer shared\n");
    let late = servents[1].ctl(&["search", "secret"]);
    assert_eq!(late.out, "asked 1 servent within 8 hops, all answered: nobody has it\n");
    assert_eq!(late.code, 4);
    assert!(path.exists(), "nothing happens to the file itself");
}

#[test]
fn use_case_5_an_upload_of_what_is_unpublished_ends_within_a_second_and_says_why() {
    let (publisher, path, receiver) = slow_pair();
    done(&receiver, &["download", "1"]);
    wait_for_bytes(&receiver);
    assert_eq!(publisher.status().uploads, 1);

    done(&publisher, &["unpublish", path.to_str().unwrap()]);
    let unpublished = Instant::now();
    wait_until("the end of the upload", || publisher.status().uploads == 0);
    assert!(unpublished.elapsed() <= Duration::from_secs(1), "{:?}", unpublished.elapsed());
    let why = wait_for_reason(&receiver);
    let short = publisher.id().short();
    assert!(why.starts_with(&format!("source {short} refused: file withdrawn; ")), "{why}");
    let downloads = done(&receiver, &["downloads"]);
    assert!(downloads.contains("file withdrawn"), "{downloads}");
}

#[test]
fn use_case_6_a_download_is_verified_and_equal_to_what_was_published() {
    let servents = mesh(2);
    let bytes = content(1, 3_000_001);
    let path = publish(&servents[0], "höhle & bär.bin", &bytes);
    let empty = publish(&servents[0], "empty.bin", b"");
    let small = publish(&servents[0], "small.bin", b"one piece");

    let hashes = part2part(servents[0].home()).arg("hash").args([&path, &empty, &small]).output();
    let hashes = String::from_utf8(hashes.unwrap().stdout).unwrap();
    let ids: Vec<_> = hashes.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(ids[0], blake3::hash(&bytes).to_hex().as_str());

    assert_eq!(servents[1].search(&["hohle"]).0.len(), 1);
    let said = done(&servents[1], &["download", "1", "--wait"]);
    let place = servents[1].downloads().join("höhle & bär.bin");
    assert!(said.contains(&format!("done: 3.00 MB in {}", place.display())), "{said}");
    assert!(said.contains(&format!("verified: same as b3sum {}", ids[0])), "{said}");
    assert_eq!(fs::read(place).unwrap(), bytes);

    for (id, name, bytes) in [(ids[1], "empty.bin", &b""[..]), (ids[2], "small.bin", b"one piece")]
    {
        done(&servents[1], &["search", name.trim_end_matches(".bin")]);
        done(&servents[1], &["download", id, "--wait"]);
        assert_eq!(fs::read(servents[1].downloads().join(name)).unwrap(), bytes);
    }
    // Who has downloaded a file has it for others.
    let (hits, _) = servents[0].search(&["hohle"]);
    assert!(hits.iter().any(|hit| hit.servent == servents[1].id()));
}

#[test]
fn use_case_7_a_download_whose_only_source_died_says_so_and_ends_by_itself_when_it_is_back() {
    let (mut publisher, _, receiver) = slow_pair();
    done(&receiver, &["download", "1"]);
    wait_for_bytes(&receiver);
    publisher.kill9();
    let why = wait_for_reason(&receiver);
    let short = publisher.id().short();
    assert!(why.starts_with(&format!("lost its only source {short} (")), "{why}");
    assert!(why.contains("redialling") || why.contains("searching"), "{why}");

    let listen = Some(publisher.addr());
    publisher.restart_with(Start { listen, ..Start::default() });
    wait_until("a download that ends by itself", || {
        matches!(downloads(&receiver)[0].state, DownloadState::Done { .. })
    });
    let got = fs::read(receiver.downloads().join("large file.iso")).unwrap();
    assert!(got == content(0, LARGE));
}

#[test]
fn use_case_7_a_download_that_shall_not_wait_fails_with_the_reason() {
    let (mut publisher, _, receiver) = slow_pair();
    let failed = std::thread::scope(|scope| {
        let asking = scope.spawn(|| receiver.ctl(&["download", "1", "--once", "--wait"]));
        wait_until("a download", || !downloads(&receiver).is_empty());
        wait_for_bytes(&receiver);
        publisher.kill9();
        asking.join().unwrap()
    });
    assert_eq!(failed.code, 1, "{failed:?}");
    let short = publisher.id().short();
    let said = format!("download 1 \"large file.iso\" failed: lost its only source {short} (");
    assert!(failed.out.contains(&said), "{failed:?}");
    assert!(!receiver.downloads().join("large file.iso").exists());
}

#[test]
fn use_case_7_a_script_that_waits_for_a_download_hears_why_it_stands_still() {
    let (publisher, path, receiver) = slow_pair();
    let said = receiver.home().join("said");
    let mut waiting = part2part(receiver.home());
    waiting.arg("ctl").arg("--state").arg(receiver.state()).args(["download", "1", "--wait"]);
    let mut waiting = waiting.stdout(fs::File::create(&said).unwrap()).spawn().unwrap();
    wait_until("a download", || !downloads(&receiver).is_empty());
    wait_for_bytes(&receiver);
    done(&publisher, &["unpublish", path.to_str().unwrap()]);
    let short = publisher.id().short();
    let why =
        format!("download 1 \"large file.iso\" waits: source {short} refused: file withdrawn");
    wait_until("the reason", || fs::read_to_string(&said).unwrap().contains(&why));
    assert_eq!(waiting.try_wait().unwrap(), None, "it goes on waiting");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}

#[test]
fn a_library_is_looked_through_page_by_page_and_what_is_seen_can_be_downloaded() {
    let servents = mesh(2);
    let shelf = servents[0].home().join("shelf");
    for number in 0..130 {
        let folder = shelf.join(if number < 120 { "Music/Jazz" } else { "Music" });
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number:03}.flac")), content(number, 100)).unwrap();
    }
    done(&servents[0], &["publish", "shelf"]);
    let whom = servents[0].id().short();
    let look = |words: &[&str]| -> BrowseReport {
        let replies = servents[1].replies(&[&["browse", &whom], words].concat());
        match replies.into_iter().next() {
            Some(Reply::Browse(report)) => report,
            other => panic!("{other:?}"),
        }
    };
    let root = look(&[]);
    assert_eq!((root.folders.as_slice(), root.files.len()), (&["Music".to_owned()][..], 0));
    let music = look(&["Music"]);
    assert_eq!((music.folders.as_slice(), music.files.len()), (&["Jazz".to_owned()][..], 10));
    let (first, second) = (look(&["Music/Jazz"]), look(&["Music/Jazz"]));
    assert_eq!((first.page, first.files.len(), first.more), (1, 100, true));
    assert_eq!((second.page, second.files.len(), second.more), (2, 20, false));
    assert_eq!(second.files[19].name, "119.flac");
    assert!(second.files[19].modified.is_some());
    // Numbers go on from page to page, and those of an earlier page stay.
    assert_eq!((first.files[7].number, second.files[19].number), (8, 120));
    done(&servents[1], &["download", "120", "--wait"]);
    done(&servents[1], &["download", "8", "--wait"]);
    for (number, name) in [(119, "119.flac"), (7, "007.flac")] {
        assert_eq!(fs::read(servents[1].downloads().join(name)).unwrap(), content(number, 100));
    }
    assert_eq!(look(&["Music/Jazz"]).page, 1, "after the last page the first one comes again");
    assert_eq!(look(&["Music/Jazz", "--page", "2"]).files.len(), 20);
    // What a search tells, and how results are sorted and filtered.
    servents[1].search(&["jazz", "11*"]);
    let results = |words: &[&str]| -> Vec<ResultReport> {
        match servents[1].replies(&[&["results"], words].concat()).remove(0) {
            Reply::Results { results } => results,
            other => panic!("{other:?}"),
        }
    };
    let names = |results: Vec<ResultReport>| -> Vec<String> {
        results.into_iter().map(|result| result.names[0].clone()).collect()
    };
    let all = results(&["--sort", "name"]);
    assert!(all.iter().all(|result| result.folders == ["Music/Jazz"] && result.modified.is_some()));
    let sorted: Vec<_> = (110..120).map(|number| format!("{number:03}.flac")).collect();
    assert_eq!(names(all), sorted);
    assert_eq!(names(results(&["117", "type:audio", "size<101"])), ["117.flac"]);
    let shown = done(&servents[1], &["results", "1"]);
    assert!(shown.contains("\nin Music/Jazz\n") && shown.contains("\nmodified 20"), "{shown}");
}

#[test]
fn who_listens_everywhere_downloads_from_a_servent_of_its_own_machine() {
    let giver = TestServent::start(Start::default());
    fs::write(giver.home().join("near.txt"), "near").unwrap();
    assert_eq!(giver.ctl(&["publish", "near.txt"]).code, 0);
    let everywhere = Some("0.0.0.0:0".parse().unwrap());
    let taker = TestServent::start(Start { listen: everywhere, ..Start::default() });
    assert_eq!(taker.ctl(&["join", &giver.invitation()]).code, 0);
    let (hits, _) = taker.search(&["near"]);
    assert_eq!(hits.len(), 1);
    let fetched = taker.ctl(&["download", "1", "--wait", "--once"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
}
