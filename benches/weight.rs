//! What a servent weighs: its start, its memory and its idle processor time.
//!
//! `scripts/bench.sh weight`. One servent with a thousand files and eight neighbours on
//! loopback is measured; the neighbours share nothing.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod common;

use std::time::Duration;

use common::{Daemon, median};

const NEIGHBOURS: usize = 8;
const FILES: usize = 1000;
const STARTS: usize = 9;
/// How long a servent rests before it is weighed.
const REST: Duration = Duration::from_secs(5);
/// How long it is watched for what it does when it has nothing to do.
const WATCH: Duration = Duration::from_secs(60);

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let place = dir.path().join(name);
        std::fs::create_dir(&place).unwrap();
        place
    };
    let fresh = (0..STARTS).map(|n| Daemon::start(&place(&format!("fresh{n}")), &[]));
    let starts = fresh.map(|daemon| daemon.ready_after.as_secs_f64() * 1e3).collect();
    println!("start, empty state, until it listens: {:.1} ms (median of {STARTS})", median(starts));

    let shelf = place("shelf");
    for n in 0..FILES {
        std::fs::write(shelf.join(format!("file number {n}.txt")), n.to_string()).unwrap();
    }
    let share = ["--manual", "--share", shelf.to_str().unwrap()];
    let subject = Daemon::start(&place("subject"), &share);
    subject.await_text(&["status"], "1,000 files");
    std::thread::sleep(REST);
    let alone = weigh(&subject, "alone");
    let neighbours: Vec<Daemon> = (0..NEIGHBOURS)
        .map(|n| {
            let join = ["--manual", "--join", &subject.address];
            Daemon::start(&place(&format!("neighbour{n}")), &join)
        })
        .collect();
    subject.await_text(&["status"], &format!("{NEIGHBOURS} ("));
    std::thread::sleep(REST);
    let linked = weigh(&subject, &format!("{NEIGHBOURS} neighbours"));
    let each = (linked - alone) / neighbours.len() as f64;
    println!("a neighbour: {each:.0} KiB");
    let before = subject.cpu();
    std::thread::sleep(WATCH);
    let idle = (subject.cpu() - before) / WATCH.as_secs_f64();
    println!("idle: {:.3} % of a core over {} s", idle * 100.0, WATCH.as_secs());
}

/// Prints the memory at rest; KiB that are not a page of the program's file.
fn weigh(daemon: &Daemon, how: &str) -> f64 {
    let kib = |what| daemon.memory(what) as f64;
    let (all, own) = (kib("VmRSS"), kib("RssAnon"));
    println!(
        "at rest, {FILES} files, {how}: RSS {:.1} MiB, {:.1} of it anonymous",
        all / 1024.0,
        own / 1024.0
    );
    own
}
