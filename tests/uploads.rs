//! What a giver sees of those who take, and what those see of their givers.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs;

use common::files::{content, done, hash, publish};
use common::servent::{PATIENCE, Start, TestServent, wait_until};
use part2part::command::Reply;
use part2part::servent::report::{DownloadReport, DownloadState, UploadReport, UploadState};
use tokio::time::{Duration, Instant};

fn uploads(servent: &TestServent) -> Vec<UploadReport> {
    match servent.replies(&["uploads"]).remove(0) {
        Reply::Uploads { uploads } => uploads,
        other => panic!("{other:?}"),
    }
}

fn download(servent: &TestServent) -> DownloadReport {
    match servent.replies(&["downloads"]).remove(0) {
        Reply::Downloads { mut downloads } => downloads.remove(0),
        other => panic!("{other:?}"),
    }
}

fn giver(args: &[&str], bytes: &[u8]) -> TestServent {
    let giver = TestServent::start(Start::with(args));
    publish(&giver, "large.iso", bytes);
    giver
}

#[test]
fn a_delivery_is_thanked_for_and_shown_to_the_giver() {
    let bytes = content(1, 3_000_000);
    let giver = giver(&["--max-upload", "2MB"], &bytes);
    let none = "nobody has taken anything from here since the start\n";
    assert_eq!(done(&giver, &["uploads"]), none);
    let args = ["--name", "attic", "--join", &giver.invitation()];
    let mut taker = TestServent::start(Start::with(&args));
    taker.wait_for_neighbours(1);
    done(&taker, &["download", &hash(&bytes)]);
    let mut seen = Vec::new();
    wait_until("an upload", || {
        seen = uploads(&giver);
        seen.iter().any(|upload| upload.sent > 0 && upload.state == UploadState::Sending)
    });
    let upload = seen.remove(0);
    assert_eq!(upload.peer, taker.id());
    assert_eq!((upload.peer_name.as_str(), upload.name.as_str()), ("attic", "large.iso"));
    assert_eq!((upload.id.to_string(), upload.size), (hash(&bytes), 3_000_000));
    done(&taker, &["wait"]);
    wait_until("thanks", || uploads(&giver)[0].state == UploadState::Delivered);
    assert_eq!(uploads(&giver)[0].sent, 3_000_000);
    let who = format!("delivered to attic~{}", taker.id().short());
    assert!(done(&giver, &["uploads"]).ends_with(&format!("large.iso  {who}\n")));
    wait_until("news", || giver.log().contains(&format!("\"large.iso\" {who}")));
    assert_eq!(giver.status().incidents.offences, 0);
    assert_eq!(taker.stop().code(), Some(0));
}

#[test]
fn a_servent_dials_from_the_address_that_it_listens_on() {
    let giver = giver(&[], &content(1, 1000));
    let listen = Some("127.18.0.77:0".parse().unwrap());
    let taker = TestServent::start(Start { listen, ..Start::default() });
    done(&taker, &["join", &giver.invitation()]);
    taker.search(&["large"]);
    done(&taker, &["download", "1", "--wait"]);
    let uploads = uploads(&giver);
    assert_eq!(uploads[0].address.ip(), taker.addr().ip(), "{uploads:?}");
}

#[test]
fn who_waits_for_a_slot_sees_the_place_in_the_queue_and_how_it_moves() {
    let bytes = content(2, 15_000_000);
    let giver = giver(&["--max-upload", "1MB", "--name", "attic"], &bytes);
    // Eight may take at a time; none gives to the others.
    let args = ["--manual", "--no-share-downloads", "--join", &giver.invitation()];
    let takers: Vec<_> = (0..11).map(|_| TestServent::start(Start::with(&args))).collect();
    for taker in &takers {
        taker.wait_for_neighbours(1);
        done(taker, &["download", &hash(&bytes)]);
    }
    let state = |taker: &TestServent| download(taker).state;
    let place = |taker: &TestServent| match state(taker) {
        DownloadState::Waiting { why } => {
            let short = giver.id().short();
            let (_, place) = why.split_once("number ")?;
            let (number, whose) = place.split_once(' ')?;
            assert_eq!(whose, format!("in the queue of attic~{short}"), "{why}");
            number.parse::<u32>().ok()
        }
        _ => None,
    };
    let mut places = Vec::new();
    wait_until("three in the queue", || {
        places = takers.iter().filter_map(place).collect();
        places.sort_unstable();
        places == [1, 2, 3]
    });
    let waiting = |upload: &&UploadReport| matches!(upload.state, UploadState::Queued { .. });
    assert_eq!(uploads(&giver).iter().filter(waiting).count(), 3);
    // Who gives up its slot lets everybody move up by one.
    let sending = |taker: &&TestServent| state(taker) == DownloadState::Running;
    let first = takers.iter().find(sending).unwrap();
    done(first, &["cancel", "1"]);
    wait_until("the queue to move", || {
        places = takers.iter().filter_map(place).collect();
        places.sort_unstable();
        places == [1, 2]
    });
}

#[test]
fn two_sources_both_give_and_losing_one_makes_no_pause() {
    let size = 40_000_000;
    let bytes = content(3, size);
    let capped = ["--max-upload", "10MB"];
    let mut givers: Vec<_> = (0..2).map(|_| giver(&capped, &bytes)).collect();
    done(&givers[1], &["join", &givers[0].invitation()]);
    // The first taker must not become a third source, without a cap, for the second.
    let join = ["--join", &givers[0].invitation(), "--no-share-downloads"];
    let takers = [(); 2].map(|()| TestServent::start(Start::with(&join)));
    takers.iter().for_each(|taker| taker.wait_for_neighbours(2));

    done(&takers[0], &["download", &hash(&bytes), "--wait"]);
    for giver in &givers {
        let sent = giver.status().sent;
        assert!(sent * 100 >= size as u64 * 30, "{sent} of {size}");
    }

    let taker = &takers[1];
    let gives = |giver: &TestServent| {
        let mine = |upload: &&UploadReport| upload.peer == taker.id();
        uploads(giver).iter().find(mine).map_or(0, |upload| upload.sent)
    };
    done(taker, &["download", &hash(&bytes)]);
    wait_until("bytes from the one", || gives(&givers[1]) > 2_000_000);
    givers[1].kill9();
    let mut seen = (download(taker).verified, Instant::now());
    let mut longest = Duration::ZERO;
    let killed = Instant::now();
    while download(taker).state == DownloadState::Running && killed.elapsed() < PATIENCE {
        let verified = download(taker).verified;
        if verified > seen.0 {
            longest = longest.max(seen.1.elapsed());
            seen = (verified, Instant::now());
        }
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    done(taker, &["wait"]);
    let DownloadState::Done { path } = download(taker).state else { panic!("not done") };
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn a_lost_source_is_dialled_again_and_gives_again() {
    let bytes = content(4, 20_000_000);
    let capped = ["--max-upload", "1MB"];
    let steady = giver(&capped, &bytes);
    let mut shaky = giver(&capped, &bytes);
    let path = shaky.home().join("large.iso");
    done(&shaky, &["join", &steady.invitation()]);
    let taker = TestServent::start(Start::with(&["--join", &steady.invitation()]));
    taker.wait_for_neighbours(2);
    done(&taker, &["download", &hash(&bytes)]);
    let sent = |giver: &TestServent| giver.status().sent;
    wait_until("bytes from both", || sent(&steady) > 0 && sent(&shaky) > 0);
    shaky.kill9();
    wait_until("the loss", || download(&taker).connected == 1);
    let again = Start {
        listen: Some(shaky.addr()),
        ..Start::with(&["--max-upload", "1MB", "--share", path.to_str().unwrap()])
    };
    shaky.restart_with(again);
    wait_until("bytes from who came back", || sent(&shaky) > 0);
    assert_eq!(download(&taker).state, DownloadState::Running);
    done(&taker, &["cancel", "all"]);
}

/// A giver with a cap, and takers who know nobody else and take its file at the same time.
#[test]
fn those_who_download_together_get_most_of_it_from_each_other() {
    const TAKERS: usize = 4;
    let bytes = content(5, 8_000_000);
    let giver = giver(&["--max-upload", "2MB"], &bytes);
    let args = ["--manual", "--join", &giver.invitation()];
    let takers: Vec<_> = (0..TAKERS).map(|_| TestServent::start(Start::with(&args))).collect();
    for taker in &takers {
        taker.wait_for_neighbours(1);
        assert_eq!(taker.search(&["large", "--ttl", "1"]).0.len(), 1);
    }
    for taker in &takers {
        done(taker, &["download", "1"]);
    }
    // Each sees how much of the file the others have.
    wait_until("a source that has a part", || {
        match takers[0].replies(&["downloads", "1"]).remove(0) {
            Reply::DownloadSources(report) => {
                let all = report
                    .from
                    .iter()
                    .any(|source| source.id == giver.id() && source.percent == 100);
                let part = report.from.iter().any(|source| (1..100).contains(&source.percent));
                all && part && report.from.len() == TAKERS
            }
            other => panic!("{other:?}"),
        }
    });
    for taker in &takers {
        done(taker, &["wait"]);
        assert_eq!(fs::read(taker.downloads().join("large.iso")).unwrap(), bytes);
        assert!(taker.status().sent > 0, "each has something to give");
    }
    let sent = giver.status().sent;
    let others: u64 = takers.iter().map(|taker| taker.status().sent).sum();
    assert!(others > sent, "{sent} from the giver, {others} from each other");
    let offences = takers.iter().chain([&giver]).map(|one| one.status().incidents.offences);
    assert_eq!(offences.sum::<u64>(), 0);
}

#[test]
fn what_one_has_of_a_file_that_nobody_has_is_found_and_taken() {
    let bytes = content(6, 8_000_000);
    let mut giver = giver(&["--max-upload", "2MB"], &bytes);
    let first = TestServent::start(Start::with(&["--name", "half"]));
    done(&first, &["join", &giver.invitation()]);
    assert_eq!(first.search(&["large"]).0.len(), 1);
    done(&first, &["download", "1"]);
    wait_until("a part", || download(&first).verified >= 2_000_000);
    giver.kill9();
    let second = TestServent::start(Start::with(&["--join", &first.invitation()]));
    second.wait_for_neighbours(1);
    done(&second, &["download", &hash(&bytes)]);
    wait_until("all that there is", || {
        let (one, two) = (download(&first).verified, download(&second).verified);
        one == two && one >= 2_000_000
    });
    wait_until("a sentence about the rest", || match download(&second).state {
        DownloadState::Waiting { why } => why.contains("nobody has piece"),
        _ => false,
    });
    assert_eq!(download(&second).name, "large.iso");
}
