//! Searching a mesh of real servents: time to the hit by hop, and a mesh of a hundred.
//!
//! `scripts/bench.sh search`. All servents stand on loopback; times are as the searching
//! servent takes them itself, `ctl` not counted.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark"
)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Daemon, median, quantile};

const LINE: usize = 9;
const ROUNDS: usize = 11;
/// A servent delays its own searches above two a second.
const PACE: Duration = Duration::from_millis(510);

const MANY: usize = 100;
/// One in so many has a file that is searched for.
const ONE_IN: usize = 10;
/// Searches in the mesh of many, each begun by another servent.
const SEARCHES: usize = 100;
/// How long the mesh gets to find its shape before it is measured.
const SETTLING: Duration = Duration::from_secs(10);

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    by_hop();
    in_a_mesh_of_many();
}

fn by_hop() {
    let dir = tempfile::tempdir().unwrap();
    let mut line: Vec<Daemon> = Vec::new();
    for place in 0..LINE {
        let before = line.last().map(|before| before.address.as_str());
        let daemon = start(dir.path(), place, &format!("file{place}"), before, &["--manual"]);
        if place > 0 {
            daemon.await_text(&["peers"], "127.0.0.1");
        }
        line.push(daemon);
    }
    println!("hops  ms to the hit  ms to the certain end (one ring of that TTL; {ROUNDS} each)");
    for hops in 1..LINE {
        let (hits, ends) = (0..ROUNDS)
            .map(|_| {
                std::thread::sleep(PACE);
                let found = search(&line[0], &["--ttl", &hops.to_string(), &format!("file{hops}")]);
                (found.last_hit, found.end)
            })
            .unzip();
        println!("{hops:>4}  {:>13.2}  {:>21.2}", median(hits), median(ends));
    }
}

fn in_a_mesh_of_many() {
    let dir = tempfile::tempdir().unwrap();
    let mut mesh: Vec<Daemon> = Vec::new();
    for place in 0..MANY {
        let name = if place % ONE_IN == 0 { "tune" } else { "other" };
        // Anybody that is there already; the mesh does the rest.
        let known = (place > 0).then(|| mesh[place * 7919 % place].address.as_str());
        mesh.push(start(dir.path(), place, &format!("{name} {place}"), known, &[]));
    }
    std::thread::sleep(SETTLING);
    let others = MANY - 1;
    let (mut hits, mut ends, mut partial) = (Vec::new(), Vec::new(), 0);
    for searcher in (0..MANY).cycle().take(SEARCHES) {
        let found = search(&mesh[searcher], &["--all", "tune"]);
        partial += usize::from(found.asked != others as u64 || !found.whole);
        hits.push(found.last_hit);
        ends.push(found.end);
    }
    println!("mesh of {MANY}, {SEARCHES} searches of all, {} sources", MANY / ONE_IN);
    for (what, times) in [("last hit", hits), ("certain end", ends)] {
        let (p50, p99) = (quantile(&times, 0.5), quantile(&times, 0.99));
        println!("  ms to the {what:<11}  p50 {p50:>6.1}  p99 {p99:>6.1}");
    }
    println!("  searches that did not ask all {others} others, or not for certain: {partial}");
}

fn start(dir: &Path, place: usize, name: &str, known: Option<&str>, flags: &[&str]) -> Daemon {
    let own = dir.join(place.to_string());
    std::fs::create_dir(&own).unwrap();
    let file = own.join(name);
    std::fs::write(&file, place.to_string()).unwrap();
    let mut arguments = [flags, &["--share", file.to_str().unwrap()]].concat();
    if let Some(known) = known {
        arguments.extend(["--join", known]);
    }
    let daemon = Daemon::start(&own, &arguments);
    daemon.await_text(&["shared"], "1 file");
    daemon
}

/// What a search brought; times in milliseconds since it began.
struct Found {
    last_hit: f64,
    end: f64,
    asked: u64,
    whole: bool,
}

fn search(from: &Daemon, words: &[&str]) -> Found {
    let output = from.ctl(&[&["--json", "search"], words].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found = Found { last_hit: 0.0, end: 0.0, asked: 0, whole: false };
    for line in text.lines() {
        let reply: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(after) = reply["after_micros"].as_f64() {
            found.last_hit = found.last_hit.max(after / 1e3);
        }
        if let Some(took) = reply["took_micros"].as_f64() {
            found.end = took / 1e3;
            found.asked = reply["asked"].as_u64().unwrap();
            found.whole = reply["lost"] == 0 && reply["by_timer"] == false;
        }
    }
    assert!(found.last_hit > 0.0, "nothing was found: {text}");
    found
}
