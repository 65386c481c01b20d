//! Folders as one download, and links.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::files::{content, done, hash, publish};
use common::servent::{Start, TestServent, wait_until};
use common::small_disk::{self, on_a_small_disk, seen_by};
use part2part::command::Reply;
use part2part::servent::report::{
    CollectionReport, DownloadReport, DownloadState, GatheredReport, LinkReport,
};

/// Small files of a test's folder.
const SMALL: usize = 300;
/// What an upload is capped to that shall last for some looks at it.
const SLOW: &str = "600kB";
/// Bytes that a giver has sent and a killed receiver has not written, at this rate.
const IN_FLIGHT: u64 = 600_000;

/// The files of a folder by their paths in it.
type Tree = BTreeMap<String, Vec<u8>>;

/// Many small files in folders of different depths, some of them alike, and a few that have
/// more than one piece.
fn some_files() -> Tree {
    let mut files: Tree = (0..SMALL)
        .map(|n| {
            let path = format!("disc {}/part{}/{n:03} \u{e9}.txt", n % 3, n % 7);
            (path, format!("file {n}").repeat(n * 2 + 1).into_bytes())
        })
        .collect();
    files.insert("empty".to_owned(), Vec::new());
    files.insert("twin one".to_owned(), b"twin".to_vec());
    files.insert("disc 1/twin two".to_owned(), b"twin".to_vec());
    files.insert("disc 1/back\\slash".to_owned(), b"\\".to_vec());
    files.insert("large.bin".to_owned(), content(9, 1_500_000));
    files.insert("disc 2/larger.bin".to_owned(), content(8, 200_000));
    files
}

fn write(folder: &Path, files: &Tree) {
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn read(folder: &Path) -> Tree {
    let mut files = Tree::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(around) = folders.pop() {
        for entry in fs::read_dir(around).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

fn bytes_of(files: &Tree) -> u64 {
    files.values().map(|bytes| bytes.len() as u64).sum()
}

/// A servent that shares `files` as the folder Jazz.
fn giver(files: &Tree, args: &[&str]) -> TestServent {
    let giver = TestServent::start(Start::with(args));
    write(&giver.home().join("Jazz"), files);
    done(&giver, &["publish", "Jazz"]);
    giver
}

fn downloads(servent: &TestServent) -> Vec<DownloadReport> {
    match servent.replies(&["downloads"]).remove(0) {
        Reply::Downloads { downloads } => downloads,
        other => panic!("{other:?}"),
    }
}

fn gathered(servent: &TestServent) -> GatheredReport {
    let report = downloads(servent).pop();
    report.and_then(|report| report.gathered).unwrap_or_default()
}

/// Nothing is left of what was coming.
fn is_tidy(servent: &TestServent) {
    let parts = servent.downloads().join(".part2part");
    assert!(!parts.exists(), "{:?}", read(&parts).keys());
}

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

#[test]
fn a_published_folder_is_found_by_its_name_and_comes_whole() {
    let files = some_files();
    let giver = giver(&files, &["--name", "attic"]);
    fs::create_dir_all(giver.home().join("Jazz/nothing/in it")).unwrap();
    let taker = TestServent::start(Start::default());
    done(&taker, &["join", &giver.invitation()]);
    let (hits, _) = taker.search(&["jazz"]);
    let sums = CollectionReport { files: files.len() as u64, bytes: bytes_of(&files) };
    assert_eq!((hits.len(), hits[0].collection), (1, Some(sums)));
    let shown = done(&taker, &["results"]);
    assert!(shown.contains("Jazz/ (collection: 306 files)"), "{shown}");
    let said = done(&taker, &["download", "1", "--wait"]);
    let place = taker.downloads().join("Jazz");
    assert!(said.contains("done: 306 files, 2.") && said.contains("empty folders"), "{said}");
    assert_eq!(read(&place), files);
    assert!(!place.join("nothing").exists());
    is_tidy(&taker);
    // It is a published folder there, too, and the same collection.
    let (hits, _) = giver.search(&["jazz"]);
    assert_eq!((hits.len(), hits[0].collection), (1, Some(sums)));
    assert_eq!(link(&taker, &["downloads/Jazz"]).id, link(&giver, &["Jazz"]).id);
    let again = taker.ctl(&["download", &hits[0].id.to_string()]);
    assert!(again.err.contains("that file is here already"), "{again:?}");
}

#[test]
fn a_link_to_a_folder_is_enough_and_nothing_that_stands_there_is_replaced() {
    let files = Tree::from([("a".to_owned(), b"one".to_vec()), ("b/c".to_owned(), b"2".to_vec())]);
    let giver = giver(&files, &[]);
    let told = link(&giver, &["Jazz"]);
    assert!(told.link.contains("folder=2,4"), "{told:?}");
    let taker = TestServent::start(Start::default());
    fs::create_dir_all(taker.downloads()).unwrap();
    std::os::unix::fs::symlink(taker.home(), taker.downloads().join("jazz")).unwrap();
    done(&taker, &["download", &told.link, "--wait"]);
    assert_eq!(read(&taker.downloads().join("Jazz (1)")), files);
    assert!(!taker.home().join("a").exists());
}

#[test]
fn what_its_user_has_already_is_nobodys_download() {
    let files = Tree::from([("a".to_owned(), b"one".to_vec()), ("b/c".to_owned(), b"2".to_vec())]);
    let giver = giver(&files, &[]);
    let told = link(&giver, &["Jazz"]);
    let taker = TestServent::start(Start::default());
    let own = taker.downloads().join("Jazz");
    write(&own, &files);
    write(&own, &Tree::from([("mine".to_owned(), b"private".to_vec())]));
    done(&taker, &["download", &told.link, "--wait"]);
    assert_eq!(read(&taker.downloads().join("Jazz (1)")), files);
    for path in ["downloads/Jazz/mine", "downloads/Jazz/a", "downloads/Jazz"] {
        assert_eq!(taker.ctl(&["link", path]).code, 1, "{path} is private");
    }
}

#[test]
fn a_folder_that_changes_is_another_collection_once_it_has_settled() {
    let mut files = Tree::from([("a".to_owned(), b"one".to_vec())]);
    let giver = giver(&files, &[]);
    let taker = TestServent::start(Start::default());
    done(&taker, &["join", &giver.invitation()]);
    files.insert("b".to_owned(), b"two".to_vec());
    write(&giver.home().join("Jazz"), &files);
    wait_until("the new file in the collection", || {
        let (hits, _) = taker.search(&["jazz"]);
        hits.first().and_then(|hit| hit.collection).is_some_and(|sums| sums.files == 2)
    });
    done(&taker, &["download", "1", "--wait"]);
    assert_eq!(read(&taker.downloads().join("Jazz")), files);
    // What is taken out of it is in none at once.
    done(&giver, &["unpublish", "Jazz/a"]);
    assert_eq!(giver.ctl(&["link", "Jazz"]).code, 1, "until it was worked out again");
    wait_until("the collection without it", || {
        let (hits, _) = taker.search(&["jazz"]);
        hits.first().and_then(|hit| hit.collection).is_some_and(|sums| sums.files == 1)
    });
}

#[test]
fn after_kill_9_what_is_whole_is_not_fetched_again() {
    let files = some_files();
    let giver = giver(&files, &["--max-upload", SLOW]);
    let mut taker = TestServent::start(Start::default());
    done(&taker, &["join", &giver.invitation()]);
    assert_eq!(taker.search(&["jazz"]).0.len(), 1);
    done(&taker, &["download", "1"]);
    wait_until("some files", || gathered(&taker).here > SMALL / 3);
    taker.kill9();
    taker.restart();
    wait_until("the end", || downloads(&taker)[0].state.is_over());
    let report = downloads(&taker).remove(0);
    assert!(matches!(report.state, DownloadState::Done { .. }), "{report:?}");
    assert_eq!((report.number, report.name.as_str()), (1, "Jazz"));
    assert_eq!(read(&taker.downloads().join("Jazz")), files);
    let sent = giver.status().sent;
    assert!(sent <= bytes_of(&files) + IN_FLIGHT, "{sent} of {}", bytes_of(&files));
    is_tidy(&taker);
}

#[test]
fn a_folder_obeys_its_user_like_a_file() {
    let files = some_files();
    let giver = giver(&files, &["--max-upload", SLOW]);
    let taker = TestServent::start(Start::default());
    done(&taker, &["join", &giver.invitation()]);
    assert_eq!(taker.search(&["jazz"]).0.len(), 1);
    done(&taker, &["download", "1"]);
    wait_until("some files", || gathered(&taker).here > 9);
    done(&taker, &["pause", "1"]);
    assert_eq!(downloads(&taker)[0].state, DownloadState::Paused);
    wait_until("nobody who gives", || downloads(&taker)[0].connected == 0);
    let here = gathered(&taker).here;
    assert!(here < files.len(), "it is not over");
    done(&taker, &["resume", "1"]);
    wait_until("more files", || gathered(&taker).here > here);
    done(&taker, &["cancel", "1"]);
    assert!(matches!(downloads(&taker)[0].state, DownloadState::Cancelled { .. }));
    is_tidy(&taker);
    assert_eq!(read(&taker.downloads()), Tree::new());
}

#[test]
fn a_folder_that_is_stopped_and_sent_on_at_full_speed_comes_whole() {
    let files: Tree = (0..2500)
        .map(|n| (format!("{}/{n}.txt", n % 9), format!("{n} of many").repeat(n % 400).into()))
        .collect();
    let giver = giver(&files, &[]);
    let taker = TestServent::start(Start::default());
    done(&taker, &["join", &giver.invitation()]);
    assert_eq!(taker.search(&["jazz"]).0.len(), 1);
    done(&taker, &["download", "1"]);
    let mut stops = 0;
    while !downloads(&taker)[0].state.is_over() {
        // Whatever is on its way is thrown away, in whatever state it is.
        for command in ["pause", "resume"] {
            let answer = taker.ctl(&[command, "1"]);
            assert!(answer.code == 0 || downloads(&taker)[0].state.is_over(), "{answer:?}");
        }
        let here = gathered(&taker).here;
        wait_until("more files", || {
            gathered(&taker).here > here || downloads(&taker)[0].state.is_over()
        });
        stops += 1;
    }
    let report = downloads(&taker).remove(0);
    assert!(matches!(report.state, DownloadState::Done { .. }), "{report:?}");
    assert!(stops > 0, "it was never stopped");
    assert!(read(&taker.downloads().join("Jazz")) == files);
}

#[test]
fn several_who_share_a_folder_each_give_some_of_it() {
    let files = some_files();
    let one = giver(&files, &["--max-upload", "2MB"]);
    let other = giver(&files, &["--max-upload", "2MB"]);
    let taker = TestServent::start(Start::default());
    done(&taker, &["join", &one.invitation()]);
    done(&taker, &["join", &other.invitation()]);
    let (hits, _) = taker.search(&["jazz"]);
    assert_eq!((hits.len(), hits[0].id), (2, hits[1].id), "the same files, the same collection");
    done(&taker, &["download", "1", "--wait"]);
    assert_eq!(read(&taker.downloads().join("Jazz")), files);
    let sent = [&one, &other].map(|giver| giver.status().sent);
    assert!(sent.iter().all(|sent| *sent > 100_000), "{sent:?}");
}

#[test]
fn paths_that_lead_elsewhere_are_named_and_the_rest_comes() {
    let giver = TestServent::start(Start::default());
    publish(&giver, "good.txt", b"good");
    let id = hash(b"good");
    let text =
        format!("{id}  ../evil\n{id}  /tmp/evil\n{id}  a/.b/good.txt\n{id}  A/.B/GOOD.txt\n");
    publish(&giver, "list", text.as_bytes());
    let told = link(&giver, &["list"]).link + "&folder=4,16";
    let taker = TestServent::start(Start::default());
    let answer = taker.ctl(&["download", &told, "--wait"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.out.contains("left out: \"../evil\": the path has a part"), "{answer:?}");
    assert!(
        answer.out.contains("left out: \"/tmp/evil\": the path begins at the root"),
        "{answer:?}"
    );
    let came = read(&taker.downloads().join("list"));
    let paths: Vec<_> = came.keys().map(String::as_str).collect();
    assert_eq!(paths, ["a/_b/GOOD (1).txt", "a/_b/good.txt"]);
    assert!(!taker.home().join("evil").exists() && !taker.downloads().join("evil").exists());
}

#[test]
fn what_nobody_gives_is_named_and_the_rest_comes() {
    let giver = TestServent::start(Start::default());
    publish(&giver, "good.txt", b"good");
    let (here, gone) = (hash(b"good"), hash(b"gone"));
    publish(&giver, "list", format!("{here}  a\n{gone}  b\n").as_bytes());
    let told = link(&giver, &["list"]).link + "&folder=2,8";
    let taker = TestServent::start(Start::default());
    let answer = taker.ctl(&["download", &told, "--wait"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    let said = format!("{}{}", answer.out, answer.err);
    assert!(said.contains("1 of its 2 files are missing; the others are in"), "{answer:?}");
    assert!(said.contains("missing: \"b\": it does not have the file"), "{answer:?}");
    assert_eq!(read(&taker.downloads().join("list")), Tree::from([("a".into(), b"good".to_vec())]));
    is_tidy(&taker);
}

/// What a download says that waits for room on its disk.
fn waits_for_room(servent: &TestServent) -> String {
    let mut said = String::new();
    wait_until("a download that waits for room", || match downloads(servent).remove(0).state {
        DownloadState::Waiting { why } if why.contains("make room") => {
            said = why;
            true
        }
        DownloadState::Waiting { .. } | DownloadState::Running => false,
        over => panic!("{over:?}"),
    });
    said
}

#[test]
fn copies_that_find_no_room_are_made_when_there_is_some() {
    let Some((taker, small)) = on_a_small_disk("size=200m,nr_inodes=150") else { return };
    let bytes = content(3, 70_000);
    let paths = 0..300;
    let giver = TestServent::start(Start::default());
    publish(&giver, "one", &bytes);
    let id = hash(&bytes);
    let text: String = paths.clone().map(|number| format!("{id}  {number:03}\n")).collect();
    publish(&giver, "list", text.as_bytes());
    let told = link(&giver, &["list"]).link + "&folder=300,21000000";
    done(&taker, &["download", &told]);
    let said = waits_for_room(&taker);
    assert!(said.starts_with("no space left for "), "{said}");
    small_disk::change(&taker, &small, "nr_inodes=9000");
    wait_until("the copies", || downloads(&taker)[0].state.is_over());
    let report = downloads(&taker).remove(0);
    assert!(matches!(report.state, DownloadState::Done { .. }), "{report:?}");
    let came = read(&seen_by(&taker, &small.join("list")));
    assert!(came.keys().cloned().eq(paths.map(|number| format!("{number:03}"))));
    assert!(came.values().all(|copy| *copy == bytes));
}

#[test]
fn nobody_is_asked_for_a_folder_that_the_disk_has_no_room_for() {
    let Some((taker, small)) = on_a_small_disk("size=90m") else { return };
    let files = Tree::from([("a".into(), b"one".to_vec()), ("b".into(), content(6, 80_000))]);
    let giver = giver(&files, &["--max-upload", SLOW]);
    publish(&giver, "other.bin", &content(7, 4_200_000));
    let other = link(&giver, &["other.bin"]).link;
    let told = link(&giver, &["Jazz"]).link.replace("folder=2,80003", "folder=2,50000000");
    let once = taker.ctl(&["download", &told, "--once", "--wait"]);
    let why = "but the download needs 50.0 MB and 67.1 MB to spare";
    assert!(once.code == 1 && once.out.contains(why), "{once:?}");
    let number = |number: usize| {
        let mut all = downloads(&taker).into_iter();
        all.find(|report| report.number == number).unwrap()
    };
    done(&taker, &["download", &told]);
    wait_until("a folder that waits", || match number(2).state {
        DownloadState::Waiting { why: said } => said.contains(why),
        _ => false,
    });
    // The disk is looked at again while this comes, which is slow.
    let elsewhere = taker.home().join("elsewhere");
    done(&taker, &["download", &other, "--wait", "--to", elsewhere.to_str().unwrap()]);
    let report = number(2);
    let here = report.gathered.as_ref().map(|gathered| gathered.here);
    let waits = matches!(&report.state, DownloadState::Waiting { why: said } if said.contains(why));
    assert!(waits && here == Some(0), "{report:?}");
    small_disk::change(&taker, &small, "size=300m");
    wait_until("the files", || number(2).state.is_over());
    assert_eq!(read(&seen_by(&taker, &small.join("Jazz"))), files);
}

#[test]
fn what_does_not_fit_at_all_its_paths_waits_for_room_for_them() {
    let Some((taker, small)) = on_a_small_disk("size=90m") else { return };
    let bytes = content(4, 70_000);
    let paths = 0..1000;
    let giver = TestServent::start(Start::default());
    publish(&giver, "one", &bytes);
    let id = hash(&bytes);
    let text: String = paths.clone().map(|number| format!("{id}  {number:03}\n")).collect();
    publish(&giver, "list", text.as_bytes());
    let before = giver.status().sent;
    let told = link(&giver, &["list"]).link + "&folder=1000,8";
    done(&taker, &["download", &told]);
    let said = waits_for_room(&taker);
    assert!(said.contains("but the download needs 69.9 MB and 67.1 MB to spare"), "{said}");
    let (sent, once) = (giver.status().sent - before, text.len() + bytes.len());
    assert!(sent <= once as u64, "{sent} bytes, where it is all once in {once}");
    small_disk::change(&taker, &small, "size=300m");
    wait_until("the files", || downloads(&taker)[0].state.is_over());
    let came = read(&seen_by(&taker, &small.join("list")));
    assert!(came.len() == paths.len() && came.values().all(|copy| *copy == bytes));
}

#[test]
fn of_a_large_file_that_is_withdrawn_nothing_stays() {
    let files = Tree::from([("a".into(), b"one".to_vec()), ("b".into(), content(5, 3_000_000))]);
    let giver = giver(&files, &["--max-upload", SLOW]);
    let told = link(&giver, &["Jazz"]);
    let taker = TestServent::start(Start::default());
    done(&taker, &["download", &told.link]);
    wait_until("some of it", || downloads(&taker)[0].verified > 100_000);
    done(&giver, &["unpublish", "Jazz/b"]);
    wait_until("the end", || downloads(&taker)[0].state.is_over());
    match downloads(&taker).remove(0).state {
        DownloadState::Failed { why } => assert!(why.contains("1 of its 2 files"), "{why}"),
        other => panic!("{other:?}"),
    }
    let came = Tree::from([("a".into(), b"one".to_vec())]);
    assert_eq!(read(&taker.downloads().join("Jazz")), came);
    is_tidy(&taker);
}

#[test]
fn what_is_said_to_be_a_folder_and_is_none_is_kept_as_a_file() {
    let giver = TestServent::start(Start::default());
    publish(&giver, "song", b"no list at all");
    let told = link(&giver, &["song"]).link + "&folder=2,8";
    let taker = TestServent::start(Start::default());
    done(&taker, &["download", &told, "--wait"]);
    assert_eq!(fs::read(taker.downloads().join("song")).unwrap(), b"no list at all");
}
