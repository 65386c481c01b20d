//! Real servents: start, weight at rest, and the time of a search by hop.
//!
//! `cargo bench --bench mesh`. The servents stand in a line on loopback; each has one
//! file of its own name. Times are as the servent itself takes them, ctl not counted.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark"
)]
#![allow(clippy::disallowed_methods, reason = "it reads the clock")]

mod common;

use std::time::Duration;

use common::{Daemon, median};

const LINE: usize = 9;
const ROUNDS: usize = 11;
/// A servent delays its own searches above two a second.
const PACE: Duration = Duration::from_millis(510);

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    let dir = tempfile::tempdir().unwrap();
    let mut line: Vec<Daemon> = Vec::new();
    for place in 0..LINE {
        let own = dir.path().join(place.to_string());
        std::fs::create_dir(&own).unwrap();
        let file = own.join(format!("file{place}"));
        std::fs::write(&file, place.to_string()).unwrap();
        let mut arguments = vec!["--manual", "--share", file.to_str().unwrap()];
        if let Some(before) = line.last() {
            arguments.extend(["--join", &before.address]);
        }
        let daemon = Daemon::start(&own, &arguments);
        daemon.await_text(&["shared"], "1 file");
        if place > 0 {
            daemon.await_text(&["peers"], "127.0.0.1");
        }
        line.push(daemon);
    }
    let starts = line.iter().map(|daemon| daemon.ready_after.as_secs_f64() * 1e3).collect();
    println!("start, empty state, until it listens: {:.1} ms (median of {LINE})", median(starts));
    let resting = line.iter().map(|daemon| daemon.memory("VmRSS") as f64 / 1024.0).collect();
    println!("RSS at rest, 1 or 2 neighbours: {:.1} MiB (median of {LINE})", median(resting));
    println!("hops  ms to the hit  ms to the certain end (one ring of that TTL; {ROUNDS} each)");
    for hops in 1..LINE {
        let (hits, ends) = (0..ROUNDS).map(|_| search(&line[0], hops)).unzip();
        println!("{hops:>4}  {:>13.2}  {:>21.2}", median(hits), median(ends));
    }
}

/// Milliseconds until the hit of a search for the file `hops` away, and to its end.
fn search(from: &Daemon, hops: usize) -> (f64, f64) {
    std::thread::sleep(PACE);
    let (ttl, name) = (hops.to_string(), format!("file{hops}"));
    let output = from.ctl(&["--json", "search", "--ttl", &ttl, &name]);
    let text = String::from_utf8(output.stdout).unwrap();
    let micros = |field: &str| {
        let line = text.lines().find(|line| line.contains(field)).expect("it is found");
        let reply: serde_json::Value = serde_json::from_str(line).unwrap();
        reply[field].as_f64().unwrap() / 1e3
    };
    (micros("after_micros"), micros("took_micros"))
}
