//! What is published outlives the process, however that ends.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use common::servent::{Start, TestServent, part2part, wait_until};
use part2part::command::Reply;
use part2part::servent::report::{SharedListing, SharedReport};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

/// How often the servent is killed in the midst of its work.
const KILLS: usize = 15;
/// Folders that it publishes while it is killed, and files in each.
const FOLDERS: usize = 40;
const FILES: usize = 12;
/// How soon a servent is to be back. A debug build on a loaded machine gets more than
/// the second that is promised.
const BACK: Duration = Duration::from_secs(5);

fn done(servent: &TestServent, words: &[&str]) -> String {
    let answer = servent.ctl(words);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{words:?}");
    answer.out
}

fn shared(servent: &TestServent) -> Vec<SharedReport> {
    match servent.replies(&["shared"]).remove(0) {
        Reply::Shared(listing) => listing.files,
        other => panic!("{other:?}"),
    }
}

fn names(servent: &TestServent) -> Vec<String> {
    shared(servent).into_iter().map(|file| file.name).collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// Waits until the walk at the start is over: nothing runs, and a new file is found.
fn wait_for_walk(servent: &TestServent, new: &str) {
    wait_until("a walk", || names(servent).iter().any(|name| name == new));
    wait_until("its end", || servent.status().hashing.running == 0);
}

/// What lies in the state folder but what is known to belong there.
fn strangers(servent: &TestServent) -> Vec<String> {
    let names = fs::read_dir(servent.state()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let known = ["key", "lock", "hosts", "hosts.old", "shares.redb", "ctl.sock"];
    names.filter(|name| !known.contains(&name.as_str())).collect()
}

#[test]
fn what_was_published_is_found_after_a_restart_and_not_hashed_again() {
    let mut publisher = TestServent::start(Start::default());
    let folder = publisher.home().join("songs");
    write(&folder, "kept song.mp3", &[7; 300_000]);
    write(&folder, "in/other song.mp3", b"other");
    done(&publisher, &["publish", "songs"]);
    assert_eq!(publisher.status().hashing.bytes, 300_005);
    let before = shared(&publisher);
    publisher.stop();

    write(&folder, "new song.mp3", b"new");
    publisher.restart();
    let at_once = shared(&publisher);
    assert_eq!(at_once, before);
    wait_for_walk(&publisher, "new song.mp3");
    let hashing = publisher.status().hashing;
    assert_eq!((hashing.files, hashing.bytes), (1, 3), "only what is new was hashed");
    assert_eq!(publisher.status().warnings, Vec::<String>::new());

    let receiver = TestServent::start(Start::default());
    done(&receiver, &["join", &publisher.invitation()]);
    assert_eq!(receiver.search(&["song"]).0.len(), 3);
    done(&receiver, &["search", "kept"]);
    done(&receiver, &["download", "1", "--wait"]);
    let got = fs::read(receiver.downloads().join("kept song.mp3")).unwrap();
    assert!(got == [7; 300_000]);
    // What was downloaded is shared, and that outlives its process as well.
    let mut receiver = receiver;
    receiver.kill9();
    receiver.restart();
    assert_eq!(names(&receiver), ["kept song.mp3"]);
    assert_eq!(receiver.status().hashing.files, 0);
}

#[test]
fn share_means_publish_and_is_remembered() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "songs/a.mp3", b"a");
    let share = home.path().join("songs");
    let mut servent =
        TestServent::start_in(home, Start::with(&["--share", share.to_str().unwrap()]));
    wait_until("what --share names", || names(&servent) == ["a.mp3"]);
    // Only what was acknowledged may be counted on.
    let said = |servent: &TestServent| servent.log().matches("sharing 1 file").count();
    wait_until("its reply", || said(&servent) == 1);
    servent.kill9();
    servent.restart_with(Start::default());
    assert_eq!(names(&servent), ["a.mp3"]);
    servent.stop();
    servent.restart_with(Start::with(&["--share", share.to_str().unwrap()]));
    wait_until("its reply", || said(&servent) == 2);
    assert_eq!(servent.status().hashing.files, 0);
}

#[test]
fn what_was_unpublished_within_a_folder_stays_so_over_restarts() {
    let mut servent = TestServent::start(Start::default());
    let folder = servent.home().join("songs");
    for name in ["a", "b", "in/c", "in/d"] {
        write(&folder, name, name.as_bytes());
    }
    done(&servent, &["publish", "songs"]);
    done(&servent, &["unpublish", "songs/a"]);
    done(&servent, &["unpublish", "songs/in"]);
    servent.kill9();
    write(&folder, "new", b"new");
    servent.restart();
    assert_eq!(names(&servent), ["b"]);
    wait_for_walk(&servent, "new");
    assert_eq!(names(&servent), ["b", "new"]);
    let said = done(&servent, &["publish", "songs"]);
    assert!(said.contains("it was unpublished; publish it by name"), "{said}");
    done(&servent, &["publish", "songs/in/d"]);
    servent.stop();
    servent.restart();
    assert_eq!(names(&servent), ["b", "d", "new"]);

    done(&servent, &["unpublish", "songs"]);
    servent.kill9();
    servent.restart();
    assert_eq!(names(&servent), Vec::<String>::new());
}

#[test]
fn one_file_of_a_folder_is_taken_out_and_put_back_by_name() {
    let mut servent = TestServent::start(Start::default());
    let folder = servent.home().join("songs");
    for name in ["a", "b", "in/c"] {
        write(&folder, name, name.as_bytes());
    }
    done(&servent, &["publish", "songs"]);
    done(&servent, &["unpublish", "songs/in/c"]);
    done(&servent, &["publish", "songs"]);
    assert_eq!(names(&servent), ["a", "b"], "publishing the folder again does not bring it back");
    servent.kill9();
    write(&folder, "in/c", b"changed");
    servent.restart();
    write(&folder, "new", b"new");
    done(&servent, &["publish", "songs"]);
    assert_eq!(names(&servent), ["a", "b", "new"]);
    done(&servent, &["publish", "songs/in/c"]);
    servent.kill9();
    servent.restart();
    assert_eq!(names(&servent), ["a", "b", "c", "new"]);
}

#[test]
fn a_file_is_known_to_others_by_the_name_that_it_was_given() {
    let mut servent = TestServent::start(Start::default());
    write(servent.home(), "take 3.wav", b"train");
    let said = done(&servent, &["publish", "--as", "blue train.wav", "take 3.wav"]);
    assert!(said.starts_with("sharing 1 file, 5 B"), "{said}");
    let friend = TestServent::start(Start::default());
    let finds = |friend: &TestServent, word: &str| friend.search(&[word]).0.len();
    done(&friend, &["join", &servent.invitation()]);
    assert_eq!((finds(&friend, "take"), finds(&friend, "train")), (0, 1));
    done(&friend, &["download", "1", "--wait"]);
    assert_eq!(fs::read(friend.downloads().join("blue train.wav")).unwrap(), b"train");
    servent.kill9();
    servent.restart();
    done(&servent, &["publish", "take 3.wav"]);
    assert_eq!(names(&servent), ["blue train.wav"], "it keeps its name");
    assert!(done(&servent, &["shared"]).contains("take 3.wav (as blue train.wav)"));
    done(&servent, &["publish", "--as", "take 3.wav", "take 3.wav"]);
    assert_eq!(names(&servent), ["take 3.wav"]);
}

#[test]
fn what_is_shared_is_listed_by_pages_filtered_sorted_and_summed_up() {
    let servent = TestServent::start(Start::default());
    let folder = servent.home().join("two words");
    for number in 0..1200 {
        write(&folder, &format!("in/{number:04}.txt"), &vec![1; number]);
    }
    write(&folder, "song.mp3", b"song");
    done(&servent, &["publish", "two words"]);
    let listings = |words: &[&str]| -> Vec<SharedListing> {
        let replies = servent.replies(&[&["shared"], words].concat()).into_iter();
        let listing = |reply| match reply {
            Reply::Shared(listing) => Some(listing),
            _ => None,
        };
        replies.filter_map(listing).collect()
    };
    // Everything, in rows that no reader has to hold at once.
    let all = listings(&[]);
    let rows: Vec<_> = all.iter().map(|listing| (listing.files.len(), listing.more)).collect();
    assert_eq!(rows, [(1000, true), (201, false)]);
    let totals = all[1].totals.as_ref().unwrap();
    assert_eq!((totals.files, totals.folders, totals.types.len()), (1201, 2, 2));
    assert_eq!(all[0].totals, None);

    let page = listings(&["--page", "3", "--lines", "500"]).remove(0);
    assert_eq!((page.files.len(), page.page, page.more), (201, Some(3), false));
    let large = listings(&[".txt", "size>1190", "--sort", "size"]).remove(0);
    assert_eq!((large.files.len(), large.files[0].size), (9, 1199));
    let inside = listings(&["--folder", "two words"]).remove(0);
    assert_eq!((inside.folders.len(), inside.files.len()), (1, 1));
    assert_eq!((inside.folders[0].files, &*inside.files[0].name), (1200, "song.mp3"));
    let none = done(&servent, &["shared", "unobtainium"]);
    assert_eq!(none, "nothing that is shared fits; 'shared' lists all\n");
    let text = done(&servent, &["shared", "--page", "2"]);
    assert_eq!(text.lines().count(), 40 + 2, "{text}");
    assert!(text.ends_with("page 2; --page 3 shows the next one\n"), "{text}");
}

#[test]
fn a_damaged_index_is_kept_aside_and_said_and_the_start_goes_on() {
    let mut servent = TestServent::start(Start::default());
    write(servent.home(), "a", b"a");
    done(&servent, &["publish", "a"]);
    let index = servent.state().join("shares.redb");
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("was damaged", |index| fs::write(index, vec![0; 1 << 20]).unwrap()),
        ("was damaged", |index| {
            let half = fs::metadata(index).unwrap().len() / 2;
            fs::File::options().write(true).open(index).unwrap().set_len(half).unwrap();
        }),
        ("was damaged", |index| fs::write(index, b"").unwrap()),
        ("was not a file", |index| {
            fs::remove_file(index).unwrap();
            fs::create_dir(index).unwrap();
        }),
    ];
    for (why, damage) in damages {
        servent.kill9();
        damage(&index);
        servent.restart();
        let warnings = servent.status().warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with(&format!("the list of what is published {why}; it is kept"))
        );
        assert!(servent.log().contains(&warnings[0]), "{}", servent.log());
        let aside = strangers(&servent);
        assert!(aside.len() == 1 && aside[0].starts_with("shares.redb.bad-"), "{aside:?}");
        assert!(warnings[0].contains(&aside[0]), "{warnings:?}");
        assert_eq!(names(&servent), Vec::<String>::new());
        done(&servent, &["publish", "a"]);
        servent.stop();
        servent.restart();
        assert_eq!((names(&servent), servent.status().warnings), (vec!["a".into()], vec![]));
        let aside = servent.state().join(&aside[0]);
        fs::remove_file(&aside).or_else(|_| fs::remove_dir(&aside)).unwrap();
    }
}

#[test]
fn a_folder_that_is_away_is_said_and_comes_back() {
    let mut servent = TestServent::start(Start::default());
    let folder = servent.home().join("disk");
    let away = servent.home().join("away");
    write(&folder, "a", b"a");
    done(&servent, &["publish", "disk"]);
    servent.stop();
    fs::rename(&folder, &away).unwrap();
    servent.restart();
    wait_until("a warning", || !servent.status().warnings.is_empty());
    let said = format!("{} is not there: its file is not shared", folder.display());
    assert!(servent.status().warnings[0].starts_with(&said), "{:?}", servent.status().warnings);
    assert!(done(&servent, &["status"]).contains(&said));
    wait_until("the log", || servent.log().contains(&said));
    assert_eq!(names(&servent), Vec::<String>::new());
    servent.stop();
    fs::rename(&away, &folder).unwrap();
    write(&folder, "b", b"b");
    servent.restart();
    wait_for_walk(&servent, "b");
    assert_eq!(
        (names(&servent), servent.status().hashing.files),
        (vec!["a".into(), "b".into()], 1)
    );
}

#[test]
fn a_folder_of_odd_things_is_published_and_outlives_the_process() {
    let mut servent = TestServent::start(Start::default());
    let folder = servent.home().join("odd");
    write(&folder, "empty", b"");
    write(&folder, "name with \n and \u{202e}", b"n");
    symlink(&folder, folder.join("loop")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("fifo"), fifo, 0o600.into(), 0).unwrap();
    fs::File::create(folder.join("sparse")).unwrap().set_len(1 << 40).unwrap();
    let said = done(&servent, &["publish", "odd"]);
    assert!(said.contains("left out: 3"), "{said}");
    let before = shared(&servent);
    assert_eq!(before.len(), 2);
    servent.kill9();
    servent.restart();
    assert_eq!(shared(&servent), before);
    assert_eq!(servent.status().hashing.files, 0);
}

/// A script that publishes and unpublishes, one folder after the other; what it was told
/// goes to `said`.
fn start_script(servent: &TestServent, round: usize, said: &Path) -> Child {
    let mut command = part2part(servent.home());
    command.arg("ctl").arg("--json").arg("--state").arg(servent.state()).arg("publish");
    let order = (0..FOLDERS).map(|number| (number * 7 + round * 5) % FOLDERS);
    command.args(order.map(|number| format!("folders/{number}")));
    let out = fs::File::create(said).unwrap();
    command.stdout(out).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_at_any_moment() {
    let mut random = ChaCha12Rng::seed_from_u64(9);
    let mut servent = TestServent::start(Start::default());
    let mut ids = BTreeMap::new();
    for folder in 0..FOLDERS {
        for file in 0..FILES {
            let bytes = format!("{folder} {file} ").repeat(1 + file * 900).into_bytes();
            let path = write(servent.home(), &format!("folders/{folder}/{file}"), &bytes);
            ids.insert(path, blake3::hash(&bytes).to_hex().to_string());
        }
    }
    let folder_of = |number: usize| servent.home().join(format!("folders/{number}"));
    let folders: Vec<_> = (0..FOLDERS).map(folder_of).collect();
    let said = servent.home().join("said");
    let (mut published, mut midst) = (vec![false; FOLDERS], 0);
    for round in 0..KILLS {
        let mut script = start_script(&servent, round, &said);
        // By what has been said, which no machine's speed changes; how far the next
        // publication is by then is chance enough.
        let enough = random.random_range(0..FOLDERS - 10);
        let told = || fs::read_to_string(&said).unwrap().matches("\"published\"").count();
        wait_until("the moment to kill", || told() >= enough);
        servent.kill9();
        script.wait().unwrap();
        let heard = fs::read_to_string(&said).unwrap();
        let mut acknowledged = 0;
        for line in heard.lines() {
            if let Ok(Reply::Published { path, report }) = serde_json::from_str(line) {
                assert_eq!(report.files, FILES);
                let number = folders.iter().position(|folder| *folder == Path::new(&path));
                published[number.unwrap()] = true;
                acknowledged += 1;
            }
        }
        midst += usize::from((1..FOLDERS).contains(&acknowledged));

        let began = Instant::now();
        servent.restart();
        assert!(began.elapsed() < BACK, "{:?}", began.elapsed());
        assert_eq!(strangers(&servent), Vec::<String>::new());
        assert_eq!(servent.status().warnings, Vec::<String>::new());
        let there: BTreeMap<_, _> =
            shared(&servent).into_iter().map(|file| (file.path, file.id.to_string())).collect();
        for (path, id) in &there {
            assert_eq!(&ids[path], id, "{}", path.display());
        }
        for (number, folder) in folders.iter().enumerate().filter(|(number, _)| published[*number])
        {
            let count = there.keys().filter(|path| path.starts_with(folder)).count();
            assert_eq!(count, FILES, "folder {number} in round {round}");
        }
        // What is taken back stays so, whenever the process ends after the reply: now and
        // then all of it, so that there is something to hash again.
        let taken = match round % 3 {
            0 => servent.home().join("folders"),
            _ => folders[random.random_range(0..FOLDERS)].clone(),
        };
        let answer = servent.ctl(&["unpublish", taken.to_str().unwrap()]);
        for (published, folder) in published.iter_mut().zip(&folders) {
            let was = *published && folder.starts_with(&taken);
            assert!(!was || answer.code == 0, "{answer:?}");
            *published &= !was;
        }
        servent.kill9();
        servent.restart();
        let back = shared(&servent).into_iter().filter(|file| file.path.starts_with(&taken));
        assert_eq!(back.count(), 0, "{answer:?}");
    }
    assert!(midst >= 5, "only {midst} kills came in the midst of it");
}
