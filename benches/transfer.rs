//! One file from one source, against raw TCP in the same run.
//!
//! `cargo bench --bench transfer`; `PART2PART_BENCH_MIB` sets the size (1,024). Files lie
//! in `/dev/shm`, so that no disk is measured. The rounds are interleaved, and the ratio
//! is what to look at: these machines are noisy.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark"
)]
#![allow(clippy::disallowed_methods, reason = "it reads the clock")]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use common::{Daemon, median};

const ROUNDS: usize = 5;
const STEP: usize = 1 << 20;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    let mib: u64 =
        std::env::var("PART2PART_BENCH_MIB").ok().and_then(|t| t.parse().ok()).unwrap_or(1024);
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = dir.path().join("sample.bin");
    make(&source, mib);
    let publisher_dir = dir.path().join("publisher");
    std::fs::create_dir(&publisher_dir).unwrap();
    let publisher = Daemon::start(&publisher_dir, &["--share", source.to_str().unwrap()]);
    publisher.await_text(&["shared"], "1 file");

    let bytes = (mib << 20) as f64;
    let (mut raw, mut ours, mut cpu, mut rss) = (vec![], vec![], vec![], vec![]);
    println!("{mib} MiB, raw TCP (read, send, receive, write) against part2part");
    for round in 1..=ROUNDS {
        let seconds = raw_tcp(&source, &dir.path().join("raw.bin"));
        raw.push(bytes / seconds / 1e6);

        let taker_dir = dir.path().join(format!("taker{round}"));
        std::fs::create_dir(&taker_dir).unwrap();
        let taker = Daemon::start(&taker_dir, &["--join", &publisher.address]);
        taker.await_text(&["peers"], "127.0.0.1");
        taker.ctl(&["search", "sample"]);
        let before = publisher.cpu() + taker.cpu();
        let began = Instant::now();
        taker.ctl(&["download", "1", "--wait"]);
        ours.push(bytes / began.elapsed().as_secs_f64() / 1e6);
        let gib = mib as f64 / 1024.0;
        cpu.push((publisher.cpu() + taker.cpu() - before) / gib);
        rss.push(publisher.memory("VmHWM").max(taker.memory("VmHWM")) as f64 / 1024.0);
        println!(
            "round {round}: raw {:.0} MB/s, part2part {:.0} MB/s, {:.2} CPU s/GiB",
            raw[round - 1],
            ours[round - 1],
            cpu[round - 1]
        );
        drop(taker);
        std::fs::remove_dir_all(&taker_dir).unwrap();
    }
    let ratios = ours.iter().zip(&raw).map(|(ours, raw)| ours / raw).collect();
    println!(
        "median: raw {:.0} MB/s, part2part {:.0} MB/s, ratio {:.2}, {:.2} CPU s/GiB both ends, \
         peak RSS {:.1} MiB a side",
        median(raw),
        median(ours),
        median(ratios),
        median(cpu),
        median(rss)
    );
}

fn make(path: &Path, mib: u64) {
    let mut file = File::create(path).unwrap();
    let mut stream = blake3::Hasher::new().finalize_xof();
    let mut step = vec![0; STEP];
    for _ in 0..mib {
        stream.fill(&mut step);
        file.write_all(&step).unwrap();
    }
}

fn raw_tcp(from: &Path, to: &Path) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let from = from.to_owned();
    let began = Instant::now();
    let sender = std::thread::spawn(move || {
        let mut file = File::open(from).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut step = vec![0; STEP];
        loop {
            match file.read(&mut step).unwrap() {
                0 => return,
                read => stream.write_all(&step[..read]).unwrap(),
            }
        }
    });
    let mut stream = TcpStream::connect(address).unwrap();
    let mut file = File::create(to).unwrap();
    let mut step = vec![0; STEP];
    loop {
        match stream.read(&mut step).unwrap() {
            0 => break,
            read => file.write_all(&step[..read]).unwrap(),
        }
    }
    sender.join().unwrap();
    let seconds = began.elapsed().as_secs_f64();
    std::fs::remove_file(to).unwrap();
    seconds
}
