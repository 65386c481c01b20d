//! What is published is what is on the disk, a moment later, whatever happens there.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::files::{done, hash};
use common::servent::{PATIENCE, Start, TestServent, part2part, wait_by, wait_until};
use part2part::command::Reply;
use part2part::servent::report::HitReport;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

const SEED: u64 = 7272;

/// What it shares: the paths, and the contents they are shared as.
fn shared(servent: &TestServent) -> BTreeMap<PathBuf, String> {
    let replies = servent.replies(&["shared"]).into_iter();
    let files = replies.flat_map(|reply| match reply {
        Reply::Shared(listing) => listing.files,
        Reply::Exit { .. } => Vec::new(),
        other => panic!("{other:?}"),
    });
    files.map(|file| (file.path, file.id.to_string())).collect()
}

fn names(servent: &TestServent) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<_> = shared(servent).keys().map(name).collect();
    names.sort_unstable();
    names
}

/// What should be shared of `folder`: every file that is not hidden, under what b3sum
/// prints.
fn on_disk(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() {
            on_disk(&entry.path(), found);
        } else if kind.is_file() {
            found.insert(entry.path(), hash(&fs::read(entry.path()).unwrap()));
        }
    }
}

/// A servent that publishes the empty folder `share` at home, and where that is.
fn publisher(start: Start) -> (TestServent, PathBuf) {
    let servent = TestServent::start(start);
    let share = fs::canonicalize(servent.home()).unwrap().join("share");
    fs::create_dir(&share).unwrap();
    done(&servent, &["publish", share.to_str().unwrap()]);
    wait_until("a watcher", || servent.status().folders.len() == 1);
    (servent, share)
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// How many watchers of the system it holds.
fn watchers(servent: &TestServent) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", servent.pid())).unwrap();
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().contains("inotify")).count()
}

#[test]
fn what_changes_on_the_disk_changes_what_others_find() {
    let (servent, share) = publisher(Start::default());
    let searcher = TestServent::start(Start::default());
    done(&searcher, &["join", &servent.invitation()]);
    let find = |words: &str| -> Vec<HitReport> { searcher.search(&[words]).0 };

    put(&share, "blue song.mp3", b"blue");
    wait_until("a new file", || find("blue").len() == 1);
    put(&share, "blue song.mp3", b"another blue");
    let id = hash(b"another blue");
    wait_until("its new content", || find("blue").iter().any(|hit| hit.id.to_string() == id));
    assert_eq!(find("blue").len(), 1, "the old content is not told any more");

    let hashed = servent.status().hashing.files;
    fs::rename(share.join("blue song.mp3"), share.join("red song.mp3")).unwrap();
    wait_until("a new name", || find("red").len() == 1);
    assert!(find("blue").is_empty());
    fs::create_dir(share.join("album")).unwrap();
    fs::rename(share.join("red song.mp3"), share.join("album/green song.mp3")).unwrap();
    fs::rename(share.join("album"), share.join("record")).unwrap();
    wait_until("a move", || shared(&servent).contains_key(&share.join("record/green song.mp3")));
    assert_eq!(find("green")[0].id.to_string(), id);
    assert_eq!(servent.status().hashing.files, hashed, "what was moved is not read again");
    done(&searcher, &["search", "green"]);
    done(&searcher, &["download", "1", "--wait"]);

    // In a folder that was moved, as in any other.
    put(&share, "record/deep/er/white song.mp3", b"white");
    wait_until("a file in a new folder", || find("white").len() == 1);
    fs::rename(share.join("record"), servent.home().join("outside")).unwrap();
    wait_until("a folder moved out", || shared(&servent).is_empty());
    put(servent.home(), "outside/black song.mp3", b"black");
    fs::rename(servent.home().join("outside"), share.join("inside")).unwrap();
    wait_until("a folder moved in", || names(&servent).len() == 3);
    symlink(servent.home(), share.join("link")).unwrap();
    fs::remove_dir_all(share.join("inside/deep")).unwrap();
    fs::remove_file(share.join("inside/black song.mp3")).unwrap();
    wait_until("files gone", || names(&servent) == ["green song.mp3"]);
    assert!(find("white").is_empty() && find("black").is_empty());
}

#[test]
fn a_file_is_not_shared_before_it_is_whole() {
    let (servent, share) = publisher(Start::default());
    let mut file = fs::File::create(share.join("half")).unwrap();
    file.write_all(b"half of ").unwrap();
    // What is written at the same time and closed is there first, and the open one is not.
    put(&share, "whole", b"whole");
    wait_until("a closed file", || names(&servent) == ["whole"]);
    file.write_all(b"it").unwrap();
    put(&share, "other", b"other");
    wait_until("another one", || names(&servent) == ["other", "whole"]);
    drop(file);
    wait_until("a whole file", || names(&servent).len() == 3);
    assert_eq!(shared(&servent)[&share.join("half")], hash(b"half of it"));
    assert_eq!(servent.status().hashing.files, 3, "it was read once");
}

#[test]
fn what_its_user_ignores_is_left_out_and_comes_back() {
    let (servent, share) = publisher(Start::with(&["--ignore", "*.tmp", "--ignore", "/drafts/"]));
    put(&share, "a.tmp", b"a");
    put(&share, "drafts/b", b"b");
    put(&share, "in/drafts/c", b"c");
    put(&share, "in/d.log", b"d");
    put(&share, "in/deep/e.log", b"e");
    wait_until("what is not ignored", || names(&servent) == ["c", "d.log", "e.log"]);
    put(&share, "in/.part2partignore", b"*.log\n!/d.log\n");
    wait_until("a pattern", || names(&servent) == ["c", "d.log"]);
    let said = done(&servent, &["publish", share.to_str().unwrap()]);
    assert!(said.contains("3 ignored"), "{said}");
    fs::remove_file(share.join("in/.part2partignore")).unwrap();
    wait_until("no pattern", || names(&servent) == ["c", "d.log", "e.log"]);
}

#[test]
fn only_a_servent_that_publishes_a_folder_watches() {
    let servent = TestServent::start(Start::default());
    let share = servent.home().join("share");
    put(&share, "in/a", b"a");
    put(servent.home(), "alone", b"alone");
    assert_eq!(watchers(&servent), 0);
    done(&servent, &["publish", "alone"]);
    assert_eq!((watchers(&servent), servent.status().folders.len()), (0, 0));
    // A file that was published by its own name is looked at all the same.
    fs::write(servent.home().join("alone"), b"changed").unwrap();
    let id = hash(b"changed");
    wait_until("its new content", || shared(&servent).values().any(|shared| *shared == id));
    fs::remove_file(servent.home().join("alone")).unwrap();
    wait_until("its end", || shared(&servent).is_empty());
    fs::write(servent.home().join("alone"), b"changed").unwrap();
    wait_until("its return", || names(&servent) == ["alone"]);

    done(&servent, &["publish", "share"]);
    wait_until("a watcher", || watchers(&servent) == 1);
    done(&servent, &["unpublish", "share"]);
    wait_until("no watcher", || watchers(&servent) == 0);
}

#[test]
fn where_the_system_gives_too_few_watches_status_says_so() {
    let limit = "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"";
    let under = ["unshare", "-Ur", "sh", "-c", limit].map(ToOwned::to_owned).to_vec();
    let mut probe = Command::new(&under[0]);
    probe.args(&under[1..]).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return; // this machine lets nobody have limits of one's own
    }
    let servent = TestServent::start(Start { under, ..Start::default() });
    let share = servent.home().join("share");
    (0..9).for_each(|number| put(&share, &format!("{number}/file"), b"x"));
    done(&servent, &["publish", "share"]);
    let said = |servent: &TestServent| servent.status().warnings.join("\n");
    wait_until("a word of it", || said(&servent).contains("fs.inotify.max_user_watches"));
    assert!(said(&servent).contains("is watched in 3 of its 10 folders"), "{}", said(&servent));
    assert!(said(&servent).contains("it is looked at every 5 minutes"), "{}", said(&servent));
    // Where it is watched it is followed, and published again it is whole.
    put(&share, "new", b"new");
    wait_until("a file in what is watched", || names(&servent).contains(&"new".to_owned()));
    put(&share, "8/unseen", b"unseen");
    done(&servent, &["publish", "share"]);
    assert!(names(&servent).contains(&"unseen".to_owned()));
}

/// Has git check out both branches of a repository in turn, so many times.
fn check_out(folder: &Path, times: usize) -> bool {
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(folder).args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(words);
        git.env("HOME", folder).stdout(Stdio::null()).stderr(Stdio::null());
        git.status().is_ok_and(|status| status.success())
    };
    if !git(&["init", "-q", "-b", "one"]) {
        return false;
    }
    (0..60).for_each(|number| put(folder, &format!("src/{}/f{number}", number % 7), b"one"));
    assert!(git(&["add", "."]) && git(&["commit", "-q", "-m", "one"]));
    assert!(git(&["checkout", "-q", "-b", "two"]) && git(&["rm", "-q", "-r", "src/3"]));
    (0..60).for_each(|number| put(folder, &format!("src/{}/f{number}", number % 5), b"two!"));
    assert!(git(&["add", "."]) && git(&["commit", "-q", "-m", "two"]));
    (0..times).all(|time| git(&["checkout", "-q", ["one", "two"][time % 2]]))
}

/// So many random changes in `share`.
fn storm(share: &Path, changes: usize, rng: &mut ChaCha12Rng) {
    let folder = |rng: &mut ChaCha12Rng| format!("d{}", rng.random_range(0..20));
    for number in 0..changes {
        let at = share.join(folder(rng));
        match rng.random_range(0..20) {
            0 => drop(fs::rename(&at, share.join(folder(rng)))),
            1 => drop(fs::rename(&at, share.join(folder(rng)).join(format!("in{number}")))),
            2 => drop(fs::remove_dir_all(&at)),
            3 => drop(fs::rename(at.join("f7"), share.join(format!("moved{number}")))),
            4 | 5 => drop(fs::remove_file(at.join(format!("f{}", number % 50)))),
            6 => drop(fs::rename(at.join("f1"), at.join("f2"))),
            _ => {
                fs::create_dir_all(&at).unwrap();
                let name = format!("f{}", rng.random_range(0..50));
                fs::write(at.join(name), number.to_le_bytes()).unwrap();
            }
        }
    }
}

fn storm_ends_with_the_truth(changes: usize, checkouts: usize) {
    let (servent, share) = publisher(Start::default());
    let mut rng = ChaCha12Rng::seed_from_u64(SEED);
    fs::create_dir(share.join("repository")).unwrap();
    storm(&share, changes / 2, &mut rng);
    check_out(&share.join("repository"), checkouts);
    storm(&share, changes / 2, &mut rng);
    let mut expected = BTreeMap::new();
    on_disk(&share, &mut expected);
    // Its folders hold fifty files each, however long it lasts.
    assert!(expected.len() > 100, "a storm that leaves something behind");
    let deadline = Instant::now() + PATIENCE.max(Duration::from_millis(changes as u64 * 20));
    wait_by(deadline, "the library to be the disk", || shared(&servent) == expected);
    assert_eq!(servent.status().incidents.faults, 0);
    // What is so, stays so: no look at the whole changes anything.
    done(&servent, &["publish", share.to_str().unwrap()]);
    assert_eq!(shared(&servent), expected);
}

#[test]
fn a_storm_on_a_folder_ends_with_the_truth() {
    storm_ends_with_the_truth(2_000, 4);
}

#[test]
#[ignore = "takes minutes"]
fn a_large_storm_on_a_folder_ends_with_the_truth() {
    storm_ends_with_the_truth(40_000, 40);
}

/// Kills a servent at so many random points of publishing so many files.
fn kill_while_publishing(files: usize, kills: usize, latest: Duration) {
    let mut rng = ChaCha12Rng::seed_from_u64(SEED);
    let mut servent = TestServent::start(Start::default());
    let home = fs::canonicalize(servent.home()).unwrap();
    put(&home, "kept/first", b"first");
    done(&servent, &["publish", "kept"]);
    let large = home.join("large");
    for number in 0..files {
        put(&large, &format!("{}/{number}", number % 97), &number.to_le_bytes().repeat(100));
    }
    let mut most = 0;
    for round in 0..kills {
        let mut command = part2part(servent.home());
        command.arg("ctl").arg("--state").arg(servent.state()).args(["publish", "large"]);
        let mut command =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a command");
        let moment = rng.random_range(Duration::ZERO..latest);
        std::thread::park_timeout(moment);
        servent.kill9();
        let acknowledged = command.wait().unwrap().success();
        let began = Instant::now();
        servent.restart();
        let back = began.elapsed();
        assert!(back < Duration::from_secs(5), "round {round}: up again after {back:?}");
        let shared = shared(&servent);
        assert_eq!(shared.get(&home.join("kept/first")), Some(&hash(b"first")));
        for (path, id) in &shared {
            assert_eq!(*id, hash(&fs::read(path).unwrap()), "{}", path.display());
        }
        // What was acknowledged, or kept by itself, is not lost again.
        let there = shared.keys().filter(|path| path.starts_with(&large)).count();
        assert!(there >= most && (!acknowledged || there == files), "{there} of {most}, {files}");
        most = there;
    }
    done(&servent, &["publish", "large"]);
    let hashed = usize::try_from(servent.status().hashing.files).unwrap();
    assert!(hashed + most <= files, "{hashed} hashed although {most} were kept");
    let mut expected = BTreeMap::from([(home.join("kept/first"), hash(b"first"))]);
    on_disk(&large, &mut expected);
    assert_eq!(shared(&servent), expected);
}

#[test]
fn killed_while_it_publishes_it_loses_nothing_and_goes_on() {
    kill_while_publishing(1_500, 5, Duration::from_millis(700));
}

#[test]
#[ignore = "takes minutes"]
fn killed_at_fifty_points_of_publishing_ten_thousand_files_it_loses_nothing() {
    kill_while_publishing(10_000, 50, Duration::from_secs(4));
}
