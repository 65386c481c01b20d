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
/// Servents that are weighed: what the allocator keeps differs from one to the next.
const ROUNDS: usize = 5;
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
    let (mut rest, mut linked, mut each) = (Vec::new(), Vec::new(), Vec::new());
    let mut idle = 0.0;
    for round in 0..ROUNDS {
        let share = ["--manual", "--share", shelf.to_str().unwrap()];
        let subject = Daemon::start(&place(&format!("subject{round}")), &share);
        subject.await_text(&["status"], "1,000 files");
        std::thread::sleep(REST);
        let alone = Memory::of(&subject);
        let join = ["--manual", "--join", &subject.address];
        let neighbour = |n| Daemon::start(&place(&format!("neighbour{round}-{n}")), &join);
        let neighbours: Vec<Daemon> = (0..NEIGHBOURS).map(neighbour).collect();
        subject.await_text(&["status"], &format!("{NEIGHBOURS} ("));
        std::thread::sleep(REST);
        let with_all = Memory::of(&subject);
        each.push((with_all.own - alone.own) / neighbours.len() as f64);
        rest.push(alone);
        linked.push(with_all);
        if round + 1 == ROUNDS {
            let before = subject.cpu();
            std::thread::sleep(WATCH);
            idle = (subject.cpu() - before) / WATCH.as_secs_f64();
        }
    }
    print(rest, "alone");
    print(linked, &format!("{NEIGHBOURS} neighbours"));
    println!("a neighbour: {:.0} KiB (median of {ROUNDS})", median(each));
    println!("idle: {:.3} % of a core over {} s", idle * 100.0, WATCH.as_secs());
}

/// What a servent takes, in KiB.
struct Memory {
    all: f64,
    /// Without the pages of files, which are the program's own for the most part.
    own: f64,
}

impl Memory {
    fn of(daemon: &Daemon) -> Self {
        let kib = |what| daemon.memory(what) as f64;
        Self { all: kib("VmRSS"), own: kib("RssAnon") }
    }
}

fn print(seen: Vec<Memory>, how: &str) {
    let (all, own) = seen.into_iter().map(|memory| (memory.all, memory.own)).unzip();
    println!(
        "at rest, {FILES} files, {how}: RSS {:.1} MiB, {:.1} of it anonymous (medians of {ROUNDS})",
        median(all) / 1024.0,
        median(own) / 1024.0
    );
}
