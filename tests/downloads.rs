//! Downloads that outlive their process and obey their user.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::files::{content, done, hash, publish};
use common::servent::{Start, TestServent, part2part, wait_by, wait_until};
use part2part::command::Reply;
use part2part::servent::report::{DownloadReport, DownloadState};
use part2part::store::{Disk, RealDisk};
use part2part::transfer::Priority;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

/// A file of some hundred pieces.
const SIZE: usize = 8_000_000;
/// What an upload is capped to that shall last for some looks at it.
const SLOW: &str = "3MB";
/// Bytes that a giver has sent and a killed receiver has not written: what a connection
/// holds at this rate, and the pieces that came half.
const IN_FLIGHT: u64 = 2_000_000;

/// Has `servent` obey a command that must fail; why it did.
fn refused(servent: &TestServent, words: &[&str]) -> String {
    let answer = servent.ctl(words);
    assert_eq!(answer.code, 1, "{words:?}: {}", answer.out);
    answer.err.trim_end().strip_prefix("error: ").unwrap().to_owned()
}

/// A servent that shares `bytes` as `large.iso`, slowly, and one that is its neighbour.
fn pair(bytes: &[u8]) -> (TestServent, TestServent) {
    let giver = TestServent::start(Start::with(&["--max-upload", SLOW, "--name", "attic"]));
    publish(&giver, "large.iso", bytes);
    let taker = TestServent::start(Start::default());
    done(&taker, &["join", &giver.invitation()]);
    let (hits, _) = taker.search(&["large"]);
    assert_eq!(hits.len(), 1);
    (giver, taker)
}

fn downloads(servent: &TestServent) -> Vec<DownloadReport> {
    match servent.replies(&["downloads"]).remove(0) {
        Reply::Downloads { downloads } => downloads,
        other => panic!("{other:?}"),
    }
}

fn wait_for(servent: &TestServent, what: &str, holds: impl Fn(&DownloadReport) -> bool) {
    wait_until(what, || downloads(servent).first().is_some_and(&holds));
}

fn wait_for_bytes(servent: &TestServent, bytes: u64) {
    wait_for(servent, "so many bytes", |report| report.verified >= bytes);
}

fn wait_until_done(servent: &TestServent) -> PathBuf {
    wait_for(servent, "the end of the download", |report| report.state.is_over());
    match downloads(servent).remove(0).state {
        DownloadState::Done { path } => path,
        other => panic!("{other:?}"),
    }
}

/// Waits until the record says that a part was made.
fn wait_until_begun(servent: &TestServent) {
    wait_until("a record of the part", || {
        let record = fs::read_to_string(servent.state().join("downloads")).unwrap_or_default();
        record.contains("\"begun\":true")
    });
}

fn parts(servent: &TestServent) -> PathBuf {
    servent.downloads().join(".part2part")
}

/// Nothing is left but what is finished, and no unfinished download is on the record.
fn is_tidy(servent: &TestServent) {
    assert!(!parts(servent).exists(), "{:?}", fs::read_dir(parts(servent)).unwrap().count());
    let record = fs::read_to_string(servent.state().join("downloads")).unwrap();
    assert_eq!(record.lines().count(), 1, "only the checksum: {record}");
    let names = fs::read_dir(servent.state()).unwrap().map(|entry| entry.unwrap().file_name());
    let litter: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
    assert!(litter.is_empty(), "{litter:?}");
}

/// Waits until what is done to `path` from now on would show in its stamp.
fn settle(path: &Path) {
    wait_until("a stamp that has settled", || {
        let stamp = RealDisk.open_shared(path).and_then(|file| file.stamp()).unwrap();
        stamp.has_settled(RealDisk.now_ns())
    });
}

#[test]
fn after_a_clean_stop_a_download_goes_on_by_itself_and_asks_for_nothing_twice() {
    let bytes = content(1, SIZE);
    let (giver, mut taker) = pair(&bytes);
    done(&taker, &["download", "1", "--priority", "high"]);
    wait_for_bytes(&taker, 2_000_000);
    assert_eq!(taker.stop().code(), Some(0));
    let part = parts(&taker).join(format!("{}.part", hash(&bytes)));
    settle(&part);
    let sent = giver.status().sent;
    taker.restart();
    let report = downloads(&taker).remove(0);
    assert_eq!((report.number, report.name.as_str()), (1, "large.iso"));
    assert_eq!(report.priority, Priority::High);
    assert_eq!(taker.status().resumed, 1);
    wait_for_bytes(&taker, 2_000_000);
    assert!(giver.status().sent - sent < 2_000_000, "what was here is here still");
    assert_eq!(fs::read(wait_until_done(&taker)).unwrap(), bytes);
    assert!(giver.status().sent <= SIZE as u64 + IN_FLIGHT);
    is_tidy(&taker);
    // What is done is no longer on the record, and shared in this run.
    assert_eq!(taker.search(&["large"]).0.len(), 1);
}

#[test]
fn killed_again_and_again_it_ends_with_the_right_file_and_no_litter() {
    let bytes = content(2, SIZE);
    let (giver, mut taker) = pair(&bytes);
    let elsewhere = taker.home().join("films/new");
    done(&taker, &["download", "1", "--to", elsewhere.to_str().unwrap()]);
    let mut rng = ChaCha12Rng::seed_from_u64(7);
    let mut at_least = 0;
    for _ in 0..5 {
        at_least += rng.random_range(0..1_200_000);
        wait_for_bytes(&taker, at_least);
        taker.kill9();
        taker.restart();
        let report = downloads(&taker).remove(0);
        assert_eq!((report.number, report.state.is_over()), (1, false));
        wait_for_bytes(&taker, at_least); // nothing that was here is lost
    }
    let path = wait_until_done(&taker);
    assert_eq!(path, elsewhere.join("large.iso"));
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert!(giver.status().sent <= SIZE as u64 + 5 * IN_FLIGHT);
    is_tidy(&taker);
}

#[test]
fn a_download_is_acknowledged_only_once_a_crash_cannot_lose_it() {
    let bytes = content(3, SIZE);
    let (_giver, mut taker) = pair(&bytes);
    done(&taker, &["download", "1"]);
    taker.kill9();
    taker.restart();
    let report = downloads(&taker).remove(0);
    assert_eq!((report.number, report.id.to_string()), (1, hash(&bytes)));
    assert_eq!(fs::read(wait_until_done(&taker)).unwrap(), bytes);
    is_tidy(&taker);
}

#[test]
fn cancelling_leaves_nothing_behind_and_says_what_it_removed() {
    let (_giver, mut taker) = pair(&content(4, SIZE));
    assert_eq!(
        refused(&taker, &["cancel", "7"]),
        "there is no download 7; nothing has been downloaded since the start"
    );
    done(&taker, &["download", "1"]);
    wait_for_bytes(&taker, 500_000);
    let said = done(&taker, &["cancel", "1"]);
    assert!(said.starts_with("download 1 \"large.iso\" cancelled; "), "{said}");
    assert!(said.ends_with(" of it removed\n"), "{said}");
    is_tidy(&taker);
    assert_eq!(refused(&taker, &["cancel", "1"]), "download 1 was cancelled");
    assert_eq!(refused(&taker, &["pause", "1"]), "download 1 was cancelled");
    assert_eq!(refused(&taker, &["cancel", "2"]), "there is no download 2; 'downloads' lists them");
    // The number is not used again, and the file can be had.
    done(&taker, &["download", "1"]);
    assert_eq!(downloads(&taker)[1].number, 2);
    assert_eq!(done(&taker, &["cancel", "all"]).lines().count(), 1);
    taker.kill9();
    taker.restart();
    assert_eq!(downloads(&taker), []);
    is_tidy(&taker);
}

#[test]
fn a_cancelled_download_that_stays_on_the_record_is_said_to_come_back() {
    let (_giver, taker) = pair(&content(17, SIZE));
    done(&taker, &["download", "1"]);
    wait_for_bytes(&taker, 500_000);
    // Nothing can be written down while a folder is in the way.
    let obstacle = taker.state().join("downloads.tmp");
    wait_until("an obstacle", || fs::create_dir(&obstacle).is_ok());
    let said = taker.ctl(&["cancel", "1"]);
    assert!(
        format!("{}{}", said.out, said.err).contains("comes back at the next start"),
        "{said:?}"
    );
    let said = refused(&taker, &["cancel", "1"]);
    assert!(said.contains("comes back at the next start"), "{said}");
    fs::remove_dir(obstacle).unwrap();
    done(&taker, &["cancel", "1"]);
    is_tidy(&taker);
}

#[test]
fn a_pause_lasts_over_a_restart_holds_no_connection_and_ends_a_wait() {
    let bytes = content(5, SIZE);
    let (giver, mut taker) = pair(&bytes);
    assert_eq!(refused(&taker, &["pause", "all"]), "no download is running");
    done(&taker, &["download", "1"]);
    wait_for_bytes(&taker, 500_000);
    let said = done(&taker, &["pause", "1"]);
    assert!(said.starts_with("download 1 \"large.iso\" is paused at "), "{said}");
    let again = "download 1 is paused already; 'resume 1' lets it go on";
    assert_eq!(refused(&taker, &["pause", "1"]), again);
    wait_until("no upload", || giver.status().uploads == 0);
    let here = downloads(&taker)[0].verified;
    assert_eq!(
        refused(&taker, &["wait"]),
        "only paused downloads are left; 'resume all' lets them go on"
    );
    let one = "download 1 is paused; 'resume 1' lets it go on";
    assert_eq!(refused(&taker, &["wait", "1"]), one);
    taker.kill9();
    taker.restart();
    wait_for_bytes(&taker, here);
    let report = downloads(&taker).remove(0);
    assert_eq!((report.state, report.connected), (DownloadState::Paused, 0));
    assert_eq!((taker.status().resumed, giver.status().uploads), (0, 0));
    let twin = refused(&taker, &["download", &hash(&bytes)]);
    assert_eq!(twin, "download 1 is that file, and paused; 'resume 1' lets it go on");
    let said = done(&taker, &["resume", "all"]);
    assert!(said.starts_with("download 1 \"large.iso\" goes on from "), "{said}");
    assert_eq!(refused(&taker, &["resume", "all"]), "no download is paused");
    assert_eq!(fs::read(wait_until_done(&taker)).unwrap(), bytes);
    assert_eq!(refused(&taker, &["resume", "1"]), "download 1 is done already");
    is_tidy(&taker);
}

#[test]
fn a_download_that_was_begun_alone_finds_its_source_as_soon_as_there_is_a_mesh() {
    let bytes = content(9, 100_000);
    let (giver, taker) =
        (TestServent::start(Start::default()), TestServent::start(Start::default()));
    publish(&giver, "late.bin", &bytes);
    done(&taker, &["download", &hash(&bytes)]);
    wait_for(&taker, "a search that asks nobody", |report| {
        matches!(report.state, DownloadState::Waiting { .. })
    });
    done(&taker, &["join", &giver.invitation()]);
    // The next search by the clock would be at 30 s.
    wait_by(Instant::now() + Duration::from_secs(20), "a source", || {
        downloads(&taker)[0].state.is_over()
    });
    assert_eq!(fs::read(wait_until_done(&taker)).unwrap(), bytes);
}

#[test]
fn a_crash_just_after_placing_is_seen_at_the_next_start() {
    let bytes = content(6, SIZE);
    let (mut giver, mut taker) = pair(&bytes);
    done(&taker, &["download", "1"]);
    wait_for_bytes(&taker, 500_000);
    wait_until_begun(&taker);
    taker.kill9();
    giver.kill9();
    // As it stands between the rename and the end of the record.
    let part = parts(&taker).join(format!("{}.part", hash(&bytes)));
    fs::write(&part, &bytes).unwrap();
    fs::write(taker.downloads().join("large.iso"), content(7, SIZE)).unwrap();
    let placed = taker.downloads().join("large (1).iso");
    fs::rename(&part, &placed).unwrap();
    taker.restart();
    assert_eq!(wait_until_done(&taker), placed);
    is_tidy(&taker);
    assert_eq!(fs::read_dir(taker.downloads()).unwrap().count(), 2);
    assert!(done(&taker, &["shared"]).contains("large (1).iso"));
}

#[test]
fn whatever_the_sidecar_says_the_file_comes_right() {
    let bytes = content(8, SIZE);
    let (_giver, mut taker) = pair(&bytes);
    done(&taker, &["download", "1"]);
    let sidecar = parts(&taker).join(format!("{}.list", hash(&bytes)));
    let part = sidecar.with_extension("part");
    for lie in 0..4 {
        wait_for_bytes(&taker, 1_000_000 * (lie + 1));
        assert_eq!(taker.stop().code(), Some(0));
        settle(&part);
        let mut written = fs::read(&sidecar).unwrap();
        match lie {
            0 => written.truncate(100),
            1 => written[90] ^= 1,
            2 => written.clear(),
            _ => {
                // All pieces are here, says a map under the right stamp and checksum.
                let end = written.iter().position(|&byte| byte == b'\n').unwrap();
                let mut body = written.split_off(end + 1);
                let map = SIZE.div_ceil(65_536).div_ceil(8);
                let from = body.len() - map;
                body[from..].fill(0xff);
                written = format!("part2part list 1 {}\n", blake3::hash(&body)).into_bytes();
                written.extend(body);
            }
        }
        fs::write(&sidecar, written).unwrap();
        taker.restart();
    }
    assert_eq!(fs::read(wait_until_done(&taker)).unwrap(), bytes);
    assert!(taker.log().contains("pieces kept from an earlier run are wrong"));
    is_tidy(&taker);
}

#[test]
fn a_damaged_list_of_downloads_is_kept_aside_said_and_costs_no_piece() {
    let bytes = content(9, SIZE);
    let (giver, mut taker) = pair(&bytes);
    done(&taker, &["download", "1"]);
    wait_for_bytes(&taker, 3_000_000);
    taker.kill9();
    for name in ["downloads", "downloads.old"] {
        fs::write(taker.state().join(name), "\0\0\0").unwrap();
    }
    taker.restart();
    wait_until("a warning", || {
        taker.log().contains("the list of unfinished downloads was damaged")
    });
    let names = fs::read_dir(taker.state()).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = names.filter(|name| name.to_string_lossy().starts_with("downloads.bad-"));
    assert_eq!(aside.count(), 1);
    assert_eq!(downloads(&taker), []);
    done(&taker, &["join", &giver.invitation()]);
    done(&taker, &["download", &hash(&bytes)]);
    assert_eq!(fs::read(wait_until_done(&taker)).unwrap(), bytes);
    assert!(giver.status().sent <= SIZE as u64 + IN_FLIGHT);
}

#[test]
fn a_download_with_once_does_not_outlive_its_servent_but_what_came_does() {
    let bytes = content(10, SIZE);
    let (giver, mut taker) = pair(&bytes);
    done(&taker, &["download", "1", "--once"]);
    wait_for_bytes(&taker, 3_000_000);
    wait_until_begun(&taker);
    taker.kill9();
    for _ in 0..2 {
        // Also at the start after that.
        taker.restart();
        let report = downloads(&taker).remove(0);
        assert!(matches!(report.state, DownloadState::Failed { .. }), "{report:?}");
        assert!(report.verified >= 3_000_000, "{report:?}");
        assert_eq!(done(&taker, &["wait"]), "no download is running\n");
        assert_eq!(taker.stop().code(), Some(0));
    }
    taker.restart();
    done(&taker, &["join", &giver.invitation()]);
    done(&taker, &["download", &hash(&bytes)]);
    wait_until("the end", || downloads(&taker)[1].state.is_over());
    assert_eq!(fs::read(taker.downloads().join("large.iso")).unwrap(), bytes);
    assert!(giver.status().sent <= SIZE as u64 + IN_FLIGHT);
    is_tidy(&taker);
}

#[test]
fn what_a_failed_download_has_left_can_be_cancelled_after_a_restart() {
    let (_giver, mut taker) = pair(&content(16, SIZE));
    done(&taker, &["download", "1", "--once"]);
    wait_for_bytes(&taker, 500_000);
    wait_until_begun(&taker);
    taker.kill9();
    taker.restart();
    assert!(parts(&taker).exists());
    let said = done(&taker, &["cancel", "1"]);
    assert!(said.starts_with("download 1 \"large.iso\" cancelled; "), "{said}");
    is_tidy(&taker);
    taker.kill9();
    taker.restart();
    assert_eq!(downloads(&taker), []);
}

#[test]
fn a_download_whose_folder_is_gone_waits_for_it() {
    let bytes = content(14, SIZE);
    let (_giver, mut taker) = pair(&bytes);
    done(&taker, &["download", "1"]);
    wait_for_bytes(&taker, 500_000);
    wait_until_begun(&taker);
    taker.kill9();
    fs::rename(taker.downloads(), taker.home().join("unmounted")).unwrap();
    taker.restart();
    wait_until("a warning", || taker.log().contains("is paused: its folder"));
    wait_for(&taker, "a pause", |report| report.state == DownloadState::Paused);
    assert!(!taker.downloads().exists());
    fs::rename(taker.home().join("unmounted"), taker.downloads()).unwrap();
    done(&taker, &["resume", "1"]);
    assert_eq!(fs::read(wait_until_done(&taker)).unwrap(), bytes);
    is_tidy(&taker);
}

#[test]
fn another_downloads_folder_loses_nothing_of_what_is_here() {
    let bytes = content(15, SIZE);
    let (giver, mut taker) = pair(&bytes);
    done(&taker, &["download", "1"]);
    wait_for_bytes(&taker, 3_000_000);
    assert_eq!(taker.stop().code(), Some(0));
    let part = parts(&taker).join(format!("{}.part", hash(&bytes)));
    settle(&part);
    let sent = giver.status().sent;
    let elsewhere = taker.home().join("elsewhere");
    taker.restart_with(Start::with(&["--downloads", elsewhere.to_str().unwrap()]));
    wait_for_bytes(&taker, 3_000_000);
    assert!(giver.status().sent - sent < 3_000_000, "what was here is here still");
    let path = wait_until_done(&taker);
    assert_eq!(path, taker.downloads().join("large.iso"));
    assert_eq!(fs::read(path).unwrap(), bytes);
    is_tidy(&taker);
}

#[test]
fn an_ephemeral_servent_keeps_no_list_of_downloads() {
    let bytes = content(11, 1_000_000);
    let giver = TestServent::start(Start::default());
    publish(&giver, "small.iso", &bytes);
    let home = tempfile::tempdir().unwrap();
    let lines = home.path().join("lines");
    fs::write(&lines, format!("download {} --wait\n", hash(&bytes))).unwrap();
    let mut script = part2part(home.path());
    script.args(["--ephemeral", "--listen", "127.0.0.1:0", "--downloads", "d", "--state", "s"]);
    script.args(["--join", &giver.invitation()]).stdin(fs::File::open(lines).unwrap());
    let said = script.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    assert_eq!(fs::read(home.path().join("d/small.iso")).unwrap(), bytes);
    assert!(!home.path().join("s/downloads").exists());
}

#[test]
fn under_a_cap_the_more_urgent_download_gets_clearly_more() {
    let giver = TestServent::start(Start::default());
    let files = [content(12, SIZE), content(13, SIZE)];
    publish(&giver, "urgent.iso", &files[0]);
    publish(&giver, "idle.iso", &files[1]);
    let args = ["--max-download", "2MB", "--join", &giver.invitation()];
    let taker = TestServent::start(Start::with(&args));
    taker.wait_for_neighbours(1);
    done(&taker, &["download", &hash(&files[1])]);
    done(&taker, &["download", &hash(&files[0]), "--priority", "high"]);
    let said = done(&taker, &["priority", "1", "low"]);
    assert!(said.ends_with(": priority low\n"), "{said}");
    let mut seen = Vec::new();
    // From when both run to the end of the first: 4 to 1.
    wait_until("both under way", || downloads(&taker).iter().all(|report| report.verified > 0));
    let before: Vec<u64> = downloads(&taker).iter().map(|report| report.verified).collect();
    wait_until("most of the urgent one", || {
        seen = downloads(&taker).iter().map(|report| report.verified).collect();
        seen[1] > SIZE as u64 * 3 / 4
    });
    let (low, high) = (seen[0] - before[0], seen[1] - before[1]);
    assert!(high > 2 * low, "{high} to {low}");
    assert!(low > 0, "nobody gets nothing");
    done(&taker, &["wait"]);
    for (report, bytes) in downloads(&taker).into_iter().zip(files.iter().rev()) {
        let DownloadState::Done { path } = report.state else { panic!("{report:?}") };
        assert_eq!(&fs::read(path).unwrap(), bytes);
    }
    assert_eq!(refused(&taker, &["priority", "1", "high"]), "download 1 is done already");
}
