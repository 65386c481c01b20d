//! Moving files, against raw TCP and against other tools that are installed.
//!
//! `scripts/bench.sh transfer [one] [sources] [bad] [crowd] [folder]`; without words all five.
//! `PART2PART_BENCH_MIB` sets the size of the file of the first three (1,024),
//! `PART2PART_BENCH_ROUNDS` how often each tool has its turn (5). Files lie in `/dev/shm`, so
//! that no disk is measured. The rounds are interleaved, and the ratios are what to look at:
//! machines are noisy. What cannot be measured here says why.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark"
)]
#![allow(clippy::disallowed_methods, reason = "it reads the clock")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/common/fake_peer.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod fake_peer;
mod figures;
#[path = "../../tests/common/frames.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod frames;
mod liar;
mod memory;
mod namespace;
mod tools;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, PROGRAM};
use figures::{Figures, Row};
use memory::Memory;
use namespace::Namespace;
use tools::{Place, Tool};

const STEP: usize = 1 << 20;
/// What a source of several may send, in bytes a second, and how many there are.
const SOURCE_CAP: u64 = 50_000_000;
const SOURCES: usize = 4;
/// What the slow one among bad sources may send.
const SLOW_CAP: u64 = SOURCE_CAP / 10;
/// When the source that stalls does, of a download that takes many times that.
const STALL_AFTER: Duration = Duration::from_millis(500);
/// By which word the process is started anew to lie.
const LIAR: &str = "liar";
/// What the one source of a crowd may send, how many come at once, and for how much.
const CROWD_CAP: u64 = 20_000_000;
const CROWD: usize = 8;
const CROWD_MIB: u64 = 256;
/// A folder of many small files.
const FILES: usize = 10_000;
const FILE_LEN: usize = 4096;
/// A crowd takes its time.
const CROWD_ROUNDS: usize = 3;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.iter().any(|word| word == "--test") {
        return; // `cargo test --benches` only wants to know that it builds
    }
    if let [word, address, file] = &words[..]
        && word == LIAR
    {
        return liar::run(address, Path::new(file));
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before: {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    let cases: [(&str, fn()); 5] =
        [("one", one), ("sources", sources), ("bad", bad), ("crowd", crowd), ("folder", folder)];
    for (name, case) in cases {
        if words.is_empty() || words.iter().any(|word| word == name) {
            case();
        }
    }
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn rounds() -> usize {
    usize::try_from(number("PART2PART_BENCH_ROUNDS", 5)).unwrap()
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

/// One file, one source, no cap.
fn one() {
    let mib = number("PART2PART_BENCH_MIB", 1024);
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = dir.path().join("sample.bin");
    make(&source, mib);
    let place = Place { under: vec![], addresses: vec!["127.0.0.1".into()] };
    let mut tools = Tool::installed(dir.path(), &source, &place);
    let other = std::env::var("PART2PART_BENCH_OTHER").ok();
    let mut builds = vec![("part2part", PROGRAM)];
    builds.extend(other.iter().map(|other| ("part2part, other build", other.as_str())));
    let givers: Vec<Servent> = builds
        .iter()
        .map(|(name, program)| Servent::giving(&place, 0, &dir.path().join(name), &source, program))
        .collect();
    println!(
        "\none source, {mib} MiB over loopback, ratio to raw TCP (read, send, receive, write)"
    );
    let mut rows = vec![Row::new("raw TCP")];
    rows.extend(builds.iter().map(|(name, _)| Row::new(name)));
    rows.extend(tools.iter().map(|tool| Row::new(tool.name())));
    let mut first = Vec::new();
    for round in 1..=rounds() {
        let to = dir.path().join(format!("round{round}"));
        fs::create_dir(&to).unwrap();
        // The file comes anew, as often as three times at once.
        let _memory = Memory::keep(dir.path(), 4 * (mib << 20));
        rows[0].push(tools::raw_tcp(&source, &to.join("raw")));
        for (giver, row) in givers.iter().zip(&mut rows[1..]) {
            let (figures, first_byte) = part2part(&place, 0, &to, &[giver]);
            row.push(figures);
            if giver.program == PROGRAM {
                first.push(first_byte.as_secs_f64() * 1e3);
            }
        }
        for (tool, row) in tools.iter_mut().zip(&mut rows[1 + givers.len()..]) {
            row.push(tool.fetch(&place, &to.join("fetched")));
        }
        fs::remove_dir_all(&to).unwrap();
    }
    figures::table(&rows, (mib << 20) as f64, &rows[0]);
    println!(
        "part2part: {:.0} ms from the command to the first piece written",
        common::median(first)
    );
}

/// One file from several sources that are capped each.
fn sources() {
    let mib = number("PART2PART_BENCH_MIB", 1024);
    let all = SOURCE_CAP as f64 * SOURCES as f64 / 1e6;
    println!(
        "\n{SOURCES} sources of {} MB/s each, {mib} MiB, share of {all} MB/s",
        SOURCE_CAP / 1_000_000
    );
    let Some(namespace) = Namespace::or_say_why(SOURCES + 1) else { return };
    let place = Place { under: namespace.words(), addresses: namespace.addresses() };
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = dir.path().join("sample.bin");
    make(&source, mib);
    for number in 0..SOURCES {
        namespace.cap(number, SOURCE_CAP);
    }
    let givers: Vec<Servent> = (0..SOURCES)
        .map(|number| Servent::giving(&place, number, dir.path(), &source, PROGRAM))
        .collect();
    let mut tools = Tool::of_many(dir.path(), &source, &place, SOURCES);
    let mut rows = vec![Row::new("part2part")];
    rows.extend(tools.iter().map(|tool| Row::new(tool.name())));
    for round in 1..=rounds().min(CROWD_ROUNDS) {
        let to = dir.path().join(format!("round{round}"));
        fs::create_dir(&to).unwrap();
        let before: Vec<u64> = (0..SOURCES).map(|number| namespace.sent(number)).collect();
        rows[0].push(part2part(&place, SOURCES, &to, &givers.iter().collect::<Vec<_>>()).0);
        let sent = (0..SOURCES).map(|number| namespace.sent(number) - before[number]);
        let sent: Vec<String> = sent.map(|bytes| format!("{:.0}", bytes as f64 / 1e6)).collect();
        println!("round {round}: MB sent by each source of part2part: {}", sent.join(" "));
        for (tool, row) in tools.iter_mut().zip(&mut rows[1..]) {
            row.push(tool.fetch(&place, &to.join("fetched")));
        }
        fs::remove_dir_all(&to).unwrap();
    }
    let bound = Row::of("all of it", (mib << 20) as f64 / (all * 1e6));
    figures::table(&rows, (mib << 20) as f64, &bound);
}

/// One file from an honest source that is capped, one that is ten times slower, one that lies
/// and one that stalls.
fn bad() {
    let mib = number("PART2PART_BENCH_MIB", 1024);
    let bytes = (mib << 20) as f64;
    let [honest, slow, stalling, liar, taker] = [0, 1, 2, 3, 4];
    let honest_rate = (SOURCE_CAP + SLOW_CAP) as f64;
    println!(
        "\none source of {} MB/s, one of {}, one that lies and one that stops after {} ms, {mib} \
         MiB: share of what the first two can give",
        SOURCE_CAP / 1_000_000,
        SLOW_CAP / 1_000_000,
        STALL_AFTER.as_millis()
    );
    let Some(namespace) = Namespace::or_say_why(taker + 1) else { return };
    let place = Place { under: namespace.words(), addresses: namespace.addresses() };
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = dir.path().join("sample.bin");
    make(&source, mib);
    let caps = [(honest, SOURCE_CAP), (slow, SLOW_CAP), (stalling, SOURCE_CAP), (liar, SOURCE_CAP)];
    caps.into_iter().for_each(|(host, rate)| namespace.cap(host, rate));
    let true_hash = blake3::hash(&fs::read(&source).unwrap());
    let mut shares = Vec::new();
    for round in 1..=rounds().min(CROWD_ROUNDS) {
        let lies = tools::Spoken::start(&place, &[LIAR, &place.addresses[liar]], &source);
        let to = dir.path().join(format!("round{round}"));
        let giving = |host| Servent::giving(&place, host, &to, &source, PROGRAM);
        let givers = [giving(honest), giving(slow), giving(stalling)];
        let receiver =
            Servent::taking(&place, taker, &to.join("taker"), &givers.iter().collect::<Vec<_>>());
        receiver.daemon.ctl(&["join", &lies.said]);
        assert!(receiver.finds("sample"), "nothing was found");
        let before = [stalling, liar].map(|host| namespace.sent(host));
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(STALL_AFTER);
                givers[stalling].daemon.signal("STOP");
            });
            receiver.daemon.ctl(&["download", "1", "--wait"]);
        });
        let seconds = began.elapsed().as_secs_f64();
        givers[stalling].daemon.signal("CONT");
        let came = fs::read(to.join("taker/downloads/sample.bin")).unwrap();
        assert_eq!(blake3::hash(&came), true_hash, "not the right file");
        drop(came);
        let [given, lied] = [(stalling, before[0]), (liar, before[1])]
            .map(|(host, before)| (namespace.sent(host) - before) as f64);
        let share = (bytes - given) / honest_rate / seconds;
        println!(
            "round {round}: {seconds:.1} s, {share:.2}; the one that stalled sent {:.0} MB, the \
             liar {:.1}",
            given / 1e6,
            lied / 1e6
        );
        shares.push(share);
        drop((receiver, givers, lies));
        fs::remove_dir_all(&to).unwrap();
    }
    println!("median: {:.2} of what the honest can give", common::median(shares));
}

/// A crowd that comes at once to one source that is capped.
fn crowd() {
    let bound = (CROWD_MIB << 20) as f64 / CROWD_CAP as f64;
    println!(
        "\n{CROWD} receivers at once, one source of {} MB/s, {CROWD_MIB} MiB: seconds until the \
         last has it, over the {bound:.1} s that one alone would take",
        CROWD_CAP / 1_000_000
    );
    let Some(namespace) = Namespace::or_say_why(CROWD + 1) else { return };
    let place = Place { under: namespace.words(), addresses: namespace.addresses() };
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = dir.path().join("sample.bin");
    make(&source, CROWD_MIB);
    namespace.cap(0, CROWD_CAP);
    let giver = Servent::giving(&place, 0, dir.path(), &source, PROGRAM);
    let mut ratios = Vec::new();
    for round in 1..=rounds().min(CROWD_ROUNDS) {
        let to = dir.path().join(format!("round{round}"));
        let receivers: Vec<Servent> = (1..=CROWD)
            .map(|number| Servent::taking(&place, number, &to.join(number.to_string()), &[&giver]))
            .collect();
        let sent = namespace.sent(0);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for receiver in &receivers {
                scope.spawn(|| receiver.daemon.ctl(&["download", "1", "--wait"]));
            }
        });
        let ratio = began.elapsed().as_secs_f64() / bound;
        let copies = (namespace.sent(0) - sent) as f64 / (CROWD_MIB << 20) as f64;
        println!("round {round}: {ratio:.2}; the source sent {copies:.2} copies");
        ratios.push(ratio);
        drop(receivers);
        fs::remove_dir_all(&to).unwrap();
    }
    println!("median: {:.2} of the bound", common::median(ratios));
}

/// A folder of many small files, as one download.
fn folder() {
    println!("\na folder of {FILES} files of {FILE_LEN} bytes, over `cp -r` of it");
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = dir.path().join("benchfolder");
    for number in 0..FILES {
        let below = source.join(format!("{:02}", number % 100));
        fs::create_dir_all(&below).unwrap();
        let seed = blake3::hash(&number.to_le_bytes());
        let bytes: Vec<u8> = seed.as_bytes().iter().copied().cycle().take(FILE_LEN).collect();
        fs::write(below.join(format!("{number}.dat")), bytes).unwrap();
    }
    let place = Place { under: vec![], addresses: vec!["127.0.0.1".into()] };
    let share = ["--share", source.to_str().unwrap()];
    let giver = Servent::start(&place, 0, &dir.path().join("giver"), &share, PROGRAM);
    giver.daemon.await_text(&["shared"], "10,000 files");
    let link = giver.daemon.ctl(&["link", source.to_str().unwrap()]).stdout;
    let link = String::from_utf8_lossy(&link).trim().to_owned();
    let mut tools = Tool::of_folders(dir.path(), &source, &place);
    let mut rows = vec![Row::new("cp -r"), Row::new("part2part")];
    rows.extend(tools.iter().map(|tool| Row::new(tool.name())));
    for round in 1..=rounds() {
        let to = dir.path().join(format!("round{round}"));
        let taker = Servent::start(&place, 0, &to, &["--join", &giver.daemon.address], PROGRAM);
        taker.daemon.await_text(&["peers"], "127.0.0.1");
        let began = Instant::now();
        let copied = Command::new("cp").arg("-r").arg(&source).arg(to.join("copy")).status();
        assert!(copied.unwrap().success());
        rows[0].push(Figures::of_time(began.elapsed()));
        let cpu = giver.daemon.cpu() + taker.daemon.cpu();
        let began = Instant::now();
        taker.daemon.ctl(&["download", &link, "--wait"]);
        rows[1].push(Figures {
            seconds: began.elapsed().as_secs_f64(),
            cpu: Some(giver.daemon.cpu() + taker.daemon.cpu() - cpu),
            memory: Some((giver.daemon.memory("VmHWM"), taker.daemon.memory("VmHWM"))),
        });
        let here = Command::new("find").arg(to.join("downloads")).args(["-name", "*.dat"]).output();
        let here = String::from_utf8_lossy(&here.unwrap().stdout).lines().count();
        assert_eq!(here, FILES, "not all files came");
        for (tool, row) in tools.iter_mut().zip(&mut rows[2..]) {
            row.push(tool.fetch(&place, &to.join("fetched")));
        }
        drop(taker);
        fs::remove_dir_all(&to).unwrap();
    }
    figures::table(&rows, (FILES * FILE_LEN) as f64, &rows[0]);
}

/// A servent of a case, stopped when dropped.
struct Servent {
    daemon: Daemon,
    program: String,
}

impl Servent {
    fn start(place: &Place, host: usize, dir: &Path, arguments: &[&str], program: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        let under: Vec<&str> = place.under.iter().map(String::as_str).collect();
        let address = &place.addresses[host];
        let daemon = Daemon::start_under(&under, program, address, dir, arguments);
        Self { daemon, program: program.to_owned() }
    }

    fn giving(place: &Place, host: usize, dir: &Path, file: &Path, program: &str) -> Self {
        let (own, share) = (dir.join(format!("giver{host}")), file.to_str().unwrap());
        let giver = Self::start(place, host, &own, &["--share", share], program);
        giver.daemon.await_text(&["shared"], "1 file");
        giver
    }

    /// A servent that has found the file at all of `givers`.
    fn taking(place: &Place, host: usize, dir: &Path, givers: &[&Self]) -> Self {
        let joins = givers.iter().flat_map(|giver| ["--join", &giver.daemon.address]);
        let program = &givers[0].program;
        let taker = Self::start(place, host, dir, &joins.collect::<Vec<_>>(), program);
        for giver in givers {
            let address = giver.daemon.address.split('@').next_back().unwrap();
            taker.daemon.await_text(&["peers"], address);
        }
        assert!(taker.finds("sample"), "nothing was found");
        taker
    }

    /// Whether a search brings anything.
    fn finds(&self, words: &str) -> bool {
        let found = self.daemon.try_ctl(&["--json", "search", "--all", words]);
        String::from_utf8_lossy(&found.stdout).contains("after_micros")
    }
}

/// One download of everything that `givers` have, and how long the first piece took.
fn part2part(place: &Place, host: usize, to: &Path, givers: &[&Servent]) -> (Figures, Duration) {
    let dir = to.join("taker");
    let taker = Servent::taking(place, host, &dir, givers);
    let cpu = || givers.iter().map(|giver| giver.daemon.cpu()).sum::<f64>() + taker.daemon.cpu();
    let before = cpu();
    let began = Instant::now();
    let first = std::thread::spawn({
        let parts = dir.join("downloads/.part2part");
        move || {
            while began.elapsed() < Duration::from_secs(1) && !holds_data(&parts) {
                std::thread::sleep(Duration::from_micros(500));
            }
            began.elapsed()
        }
    });
    taker.daemon.ctl(&["download", "1", "--wait"]);
    let seconds = began.elapsed().as_secs_f64();
    let figures = Figures {
        seconds,
        cpu: Some(cpu() - before),
        memory: givers
            .iter()
            .map(|giver| giver.daemon.memory("VmHWM"))
            .max()
            .map(|giver| (giver, taker.daemon.memory("VmHWM"))),
    };
    let first = first.join().unwrap();
    drop(taker);
    fs::remove_dir_all(dir).unwrap();
    (figures, first)
}

/// Whether anything is written in a file of this folder that was not before.
fn holds_data(parts: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(parts).into_iter().flatten().flatten();
    let parts = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
    parts.filter_map(|part| part.metadata().ok()).any(|meta| meta.blocks() > 0)
}
