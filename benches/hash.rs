//! How fast files are hashed and found.
//!
//! `scripts/bench.sh publish`. One large file in `/dev/shm`, so that no disk is measured,
//! against `b3sum --num-threads 1 --no-mmap` in interleaved rounds, or where there is no
//! `b3sum`, against the same loop over the same library; then many small files, from the
//! command until a neighbour finds the last of them. `PART2PART_BENCH_MIB` sets the size
//! of the large file (2,048), `PART2PART_BENCH_FILES` the number of small ones (100,000).

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it reads the clock")]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use common::{Daemon, median};
use part2part::share::{Library, Protected};
use part2part::store::RealDisk;

const ROUNDS: usize = 7;
const SMALL: usize = 4096;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    let given = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    large(given("PART2PART_BENCH_MIB").unwrap_or(2_048));
    small(given("PART2PART_BENCH_FILES").map_or(100_000, |files| files as usize));
}

fn large(mib: u64) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("large");
    let mut file = File::create(&path).unwrap();
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut block = vec![0; 1 << 20];
    for _ in 0..mib {
        noise.fill(&mut block);
        file.write_all(&block).unwrap();
    }
    drop(file);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let b3sum = Command::new("b3sum").arg("--version").stdout(Stdio::null()).status().is_ok();
    let against = if b3sum { "b3sum --num-threads 1 --no-mmap" } else { "a loop of its library" };
    println!("one file of {mib} MiB, warm, against {against}; {cores} cores");
    let (mut theirs, mut ours, mut all, mut ratio) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        if b3sum {
            run_b3sum(&path);
        } else {
            plain(&path);
        }
        let their = began.elapsed().as_secs_f64();
        let our = publish(&path, 1);
        ratio.push(their / our);
        for (seconds, rates) in
            [(their, &mut theirs), (our, &mut ours), (publish(&path, cores), &mut all)]
        {
            rates.push((mib << 20) as f64 / seconds / 1e9);
        }
    }
    println!("theirs            {:.2} GB/s (median of {ROUNDS})", median(theirs));
    println!("published, 1      {:.2} GB/s, {:.3} of theirs", median(ours), median(ratio));
    println!("published, {cores:<2}     {:.2} GB/s", median(all));
}

/// Seconds to publish `path` in a library that leaves nothing behind.
fn publish(path: &Path, threads: usize) -> f64 {
    let library = Library::new(Arc::new(RealDisk), &Protected::default());
    library.set_hash_threads(threads);
    let began = Instant::now();
    library.publish(path, false, &|_| {}, &AtomicBool::new(false)).unwrap();
    began.elapsed().as_secs_f64()
}

fn run_b3sum(path: &Path) {
    let mut b3sum = Command::new("b3sum");
    b3sum.args(["--num-threads", "1", "--no-mmap"]).arg(path).stdout(Stdio::null());
    assert!(b3sum.status().unwrap().success());
}

/// What `b3sum --no-mmap` does: reads of 64 KiB, one after the other.
fn plain(path: &Path) {
    let (mut file, mut hasher) = (File::open(path).unwrap(), blake3::Hasher::new());
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            read => drop(hasher.update(buffer.get(..read).unwrap())),
        }
    }
    std::hint::black_box(hasher.finalize());
}

fn small(files: usize) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let place = |name: &str| {
        let place = dir.path().join(name);
        std::fs::create_dir(&place).unwrap();
        place
    };
    let shelf = place("shelf");
    for number in 0..files {
        let folder = shelf.join(format!("folder {}", number / 1_000));
        if number % 1_000 == 0 {
            std::fs::create_dir(&folder).unwrap();
        }
        let mut bytes = [0; SMALL];
        let (head, _) = bytes.split_at_mut(8);
        head.copy_from_slice(&(number as u64).to_le_bytes());
        std::fs::write(folder.join(format!("piece number{number}.txt")), bytes).unwrap();
    }
    let (publisher, searcher) = (Daemon::start(&place("publisher"), &[]), place("searcher"));
    let searcher = Daemon::start(&searcher, &["--join", &publisher.address]);
    searcher.await_text(&["peers"], "127.0.0.1");
    let cpu = publisher.cpu();
    let began = Instant::now();
    publisher.ctl(&["publish", shelf.to_str().unwrap()]);
    let replied = began.elapsed().as_secs_f64();
    // Folders are published in order of their names.
    let last = (0..files.div_ceil(1_000)).map(|folder| format!("folder {folder}")).max().unwrap();
    let last: usize = last.rsplit(' ').next().unwrap().parse().unwrap();
    let in_last = (last * 1_000..files.min((last + 1) * 1_000)).map(|n| format!("number{n}"));
    let last = in_last.max().unwrap();
    searcher.await_text(&["search", &last], "piece");
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{files} files of {SMALL} bytes: {:.0} files/s until a neighbour finds the last ({seconds:.2} \
         s; the reply came after {replied:.2} s, {:.2} s of processor time)",
        files as f64 / seconds,
        publisher.cpu() - cpu
    );
}
