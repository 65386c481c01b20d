//! What the index of names costs and what a query takes, among a million names.
//!
//! Sets of names: made-up ones (3 to 8 words each, common and rare as words are, and
//! in every third name one that is in no other), the same in two levels of folders, and real
//! ones, repeated under numbered folders until they are a million: every path of this
//! Debian, as `dpkg -L` tells it; and a tenth as many that are as long as can be, for the
//! queries that cost most.
//! Of each: memory of the index by the process's resident set, the time to insert and to
//! remove, and for each kind of query the median time of the index, as a stranger's query
//! and without a budget, beside that of looking at every name, in the same run.
//!
//! `cargo bench --bench index`

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "it measures, and tells"
)]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use part2part::base::ContentId;
use part2part::share::Query;
use part2part::share::fold::{FoldedName, words};
use part2part::share::index::{Budget, Entry, Files, Index};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

/// Names in each set.
const NAMES: usize = 1_000_000;
/// Words of the made-up names, of which the n-th comes up n times as seldom as the first.
const WORDS: usize = 80_000;
/// Results that are enough, as for a stranger.
const ENOUGH: usize = 64;
/// Rounds of a query, of which the median counts; odd.
const ROUNDS: usize = 21;
/// What the index may take, of a million names.
const MOST_MEMORY: f64 = 45.0;
/// What a query for words, and one for parts of words, may take.
const WORD: Duration = Duration::from_micros(200);
const PART: Duration = Duration::from_millis(2);
/// What a stranger's query may take at all. Cut by work and not by the clock, it is allowed
/// half as much again on a machine that is half as fast.
const STRANGER: Duration = Duration::from_millis(3);

/// What the dearest query may take on 100,000 names of full length.
const HOSTILE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    // `cargo test --benches` runs this too, to see that it works.
    let measure = std::env::args().any(|argument| argument == "--bench");
    let count = if measure { NAMES } else { 2_000 };
    let sets = ["made-up", "made-up-in-folders", "installed", "long"];
    let chosen = std::env::args().find_map(|argument| sets.iter().position(|set| *set == argument));
    let good = match chosen.map(|at| sets[at]) {
        // Each in a process of its own: memory that one gave back is not the next one's.
        None if measure => sets.iter().fold(true, |good, set| {
            let itself = std::env::current_exe().expect("this program");
            let status = Command::new(itself).args(["--bench", *set]).status();
            status.is_ok_and(|status| status.success()) && good
        }),
        None => sets.iter().all(|set| run(set, count, false)),
        Some(set) => run(set, count, measure),
    };
    if good || !measure { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(set: &'static str, count: usize, measure: bool) -> bool {
    let names = match set {
        "installed" => match installed() {
            Some(paths) => repeated(&paths, count),
            None => {
                println!("there is no dpkg here: real names are not measured");
                return true;
            }
        },
        "long" => (0..count / 10)
            .map(|number| ("".into(), format!("{}{number:06}", "a".repeat(240)).into()))
            .collect(),
        set => made_up(count, set.ends_with("folders")),
    };
    Bench::new(set, names).run(measure)
}

/// The files, as a shelf knows them.
struct Shelf(Vec<(Box<str>, Box<str>)>);

impl Files for Shelf {
    fn entry(&self, number: u32) -> Option<Entry<'_>> {
        let (folder, name) = self.0.get(number as usize)?;
        let size = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (number % 50);
        Some(Entry { folder, name, size, id: ContentId([0; 32]) })
    }
}

struct Bench {
    what: &'static str,
    shelf: Shelf,
    index: Index,
    good: bool,
}

impl Bench {
    fn new(what: &'static str, names: Vec<(Box<str>, Box<str>)>) -> Self {
        Self { what, shelf: Shelf(names), index: Index::default(), good: true }
    }

    fn run(mut self, measure: bool) -> bool {
        let count = self.shelf.0.len();
        let bytes: usize = self.shelf.0.iter().map(|(_, name)| name.len()).sum();
        println!("\n{count} names, {}, {:.1} MB of them:", self.what, bytes as f64 / 1e6);
        self.grow(count);
        let lines: Vec<FoldedName> =
            self.shelf.0.iter().map(|(folder, name)| FoldedName::within(folder, name)).collect();
        println!(
            "  {:34} {:>6} {:>10} {:>10} {:>10} {:>10} {:>8}",
            "query", "found", "stranger", "own", "priced", "each name", "ratio"
        );
        for (what, text, most) in self.queries() {
            self.query(what, &text, most, &lines, if measure { ROUNDS } else { 1 });
        }
        self.good
    }

    /// Inserts all, takes a tenth out and puts it back.
    fn grow(&mut self, count: usize) {
        let before = resident();
        let began = Instant::now();
        for number in 0..count as u32 {
            self.insert(number);
        }
        let inserted = began.elapsed();
        let memory = resident() - before;
        let some = || (0..count as u32).filter(|number| number % 10 == 3);
        let began = Instant::now();
        for number in some() {
            if let Some(entry) = self.shelf.entry(number) {
                self.index.remove(number, &entry);
            }
        }
        let removed = began.elapsed();
        some().for_each(|number| self.insert(number));
        let each = |time: Duration, count: usize| time.as_nanos() as f64 / 1e3 / count as f64;
        println!(
            "  index {memory:.1} MiB (target {MOST_MEMORY}), insert {:.2} us, remove {:.2} us a name",
            each(inserted, count),
            each(removed, count / 10),
        );
        // The folders' words come on top, and names of full length are for their queries.
        self.good &= memory <= MOST_MEMORY || self.what.ends_with("folders") || self.what == "long";
    }

    fn insert(&mut self, number: u32) {
        if let Some(entry) = self.shelf.entry(number) {
            self.index.insert(number, &entry);
        }
    }

    /// A query of each kind, made of the words that there are, and how long it may take.
    fn queries(&self) -> Vec<(&'static str, String, Duration)> {
        if self.what == "long" {
            let parts = |part: &str| vec![format!("*{part}*"); 11].join(" ");
            return vec![
                ("common parts", parts("aaa"), HOSTILE),
                ("long common parts", parts(&"a".repeat(18)), HOSTILE),
                ("parts that are not there", parts(&format!("{}b", "a".repeat(17))), HOSTILE),
                ("parts that begin as all do", parts(&format!("{}1", "a".repeat(17))), HOSTILE),
                ("parts that end as all do", parts(&format!("ba{}", "a".repeat(17))), HOSTILE),
                ("one part of a number", "*001234*".to_owned(), HOSTILE),
            ];
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (_, name) in &self.shelf.0 {
            for word in words(name).into_iter().filter(|word| word.len() > 2) {
                *counts.entry(word).or_default() += 1;
            }
        }
        let mut by_count: Vec<(String, usize)> = counts.into_iter().collect();
        by_count.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let word = |at: usize| by_count.get(at).map_or("none", |(word, _)| word);
        let once = by_count.iter().find(|(_, count)| *count < 9).map_or("none", |(word, _)| word);
        let part = |at: usize| word(at).get(..3).unwrap_or("none");
        // Two common words that stand in no name together.
        let apart = (0..40).flat_map(|one| (0..one).map(move |other| (one, other))).find(|pair| {
            let both = [word(pair.0), word(pair.1)];
            !self
                .shelf
                .0
                .iter()
                .take(100_000)
                .any(|(_, name)| both.iter().all(|w| name.contains(w)))
        });
        let (one, other) = apart.unwrap_or((30, 39));
        vec![
            ("a common word", word(0).to_owned(), WORD),
            ("a rare word", once.to_owned(), WORD),
            ("no such word", "zzyzxq".to_owned(), WORD),
            ("two common words", format!("{} {}", word(0), word(1)), WORD),
            ("three common words", format!("{} {} {}", word(0), word(1), word(2)), WORD),
            ("two that are never together", format!("{} {}", word(one), word(other)), WORD),
            ("a common and a rare word", format!("{} {once}", word(0)), WORD),
            ("a common word without another", format!("{} -{}", word(0), word(1)), WORD),
            ("an ending", ".mp3".to_owned(), WORD),
            ("a type", "type:audio".to_owned(), WORD),
            ("types and a word", format!("type:audio|video {}", word(4)), WORD),
            ("a type of some size", "type:document size>1M size<1010k".to_owned(), PART),
            ("a beginning", format!("{}*", part(1)), PART),
            ("a short beginning", "a*".to_owned(), PART),
            ("a common part", format!("*{}*", part(2)), PART),
            ("a rare part", format!("*{}*", once.get(1..).unwrap_or(once)), PART),
            ("no such part", "*zzyzx*".to_owned(), PART),
            ("two common parts", format!("*{}* *{}*", part(2), part(7)), PART),
            (
                "parts never together",
                format!("*{}* *{}* *{}*", word(one), word(other), part(5)),
                PART,
            ),
            ("a part and a common word", format!("*{}* {}", part(2), word(0)), PART),
            ("a part of one type", format!("*{}* type:archive", part(2)), PART),
            ("a phrase", format!("\"{} {}\"", word(3), word(2)), STRANGER),
            (
                "a phrase of what is apart",
                format!("\"{} {}\" -x", word(one), word(other)),
                STRANGER,
            ),
            (
                "a dozen common parts",
                (0..12).map(|at| format!("*{}*", part(at))).collect::<Vec<_>>().join(" "),
                STRANGER,
            ),
            ("a dozen beginnings", "a* b* c* d* e* f* g* h* i* j* k* l*".to_owned(), STRANGER),
        ]
    }

    fn query(
        &mut self,
        what: &str,
        text: &str,
        most: Duration,
        lines: &[FoldedName],
        rounds: usize,
    ) {
        let Ok(query) = Query::parse(text) else { return };
        let mut cut = false;
        let (found, stranger) = median(rounds, || {
            let mut budget = Budget::of_stranger();
            let found = self.search(&query, &mut budget);
            cut = budget.is_cut();
            found
        });
        let mut priced = 0;
        let (_, own) = median(rounds.min(5), || {
            let mut budget = Budget::unlimited();
            let found = self.search(&query, &mut budget);
            priced = budget.spent();
            found
        });
        let (_, slow) = median(rounds.min(3), || slowly(lines, text));
        let late = (stranger > most) || (!cut && own > most);
        let ratio = slow.as_secs_f64() / stranger.as_secs_f64();
        println!(
            "  {what:34} {found:6} {:>8.1}us{} {:>8.1}us {:>8.1}us {:>8.1}us {ratio:7.0}x{}",
            stranger.as_nanos() as f64 / 1e3,
            if cut { "#" } else { " " },
            own.as_nanos() as f64 / 1e3,
            priced as f64 / 1e3,
            slow.as_nanos() as f64 / 1e3,
            if late { "  MISSED" } else { "" },
        );
        self.good &= !late;
    }

    fn search(&self, query: &Query, budget: &mut Budget) -> usize {
        let mut found = 0;
        self.index.search(&self.shelf, query, budget, |_, _| {
            found += 1;
            if found > ENOUGH { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }
}

/// Every name, one after the other, until there is enough: words, beginnings, parts and
/// phrases only, which is what makes the time.
fn slowly(lines: &[FoldedName], text: &str) -> usize {
    let needle = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        match word {
            _ if word.starts_with(['.', '-', '"']) || word.contains(':') => format!("{bare} "),
            _ if word.starts_with('*') => bare.to_owned(),
            _ if word.ends_with('*') => format!(" {bare}"),
            _ => format!(" {bare} "),
        }
    };
    let needles: Vec<String> = text.split(' ').map(needle).collect();
    let holds = |line: &&FoldedName| needles.iter().all(|needle| line.has(needle));
    lines.iter().filter(holds).take(ENOUGH + 1).count()
}

fn median<T>(rounds: usize, mut run: impl FnMut() -> T) -> (T, Duration) {
    let mut last = None;
    let mut times: Vec<Duration> = (0..rounds.max(1))
        .map(|_| {
            let began = Instant::now();
            last = Some(std::hint::black_box(run()));
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let time = times.get(times.len() / 2).copied().unwrap_or_default();
    (last.expect("at least one round"), time)
}

/// MiB of memory that this process has touched.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

fn made_up(count: usize, folders: bool) -> Vec<(Box<str>, Box<str>)> {
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    let endings = ["mp3", "flac", "ogg", "mkv", "mp4", "jpg", "png", "pdf", "txt", "zip"];
    let mut file = |number: usize| {
        let mut name = String::new();
        for _ in 0..rng.random_range(3..=8) {
            let rank = (WORDS as f64).powf(rng.random::<f64>()) as usize;
            name.push_str(&spelled(rank));
            name.push([' ', '_', '-', '.'][rng.random_range(0..4)]);
        }
        if number.is_multiple_of(3) {
            name.push_str(&spelled(WORDS + number));
        }
        name.push('.');
        name.push_str(endings[rng.random_range(0..endings.len())]);
        let folder = match folders {
            true => format!("{}/{}", spelled(number / 2000), spelled(WORDS + number / 12)),
            false => String::new(),
        };
        (folder.into_boxed_str(), name.into_boxed_str())
    };
    (0..count).map(&mut file).collect()
}

/// A word that can be spoken for each number.
fn spelled(mut number: usize) -> String {
    const SYLLABLES: [&str; 40] = [
        "ka", "to", "mi", "ra", "sen", "lo", "vi", "dan", "pe", "shu", "gor", "ne", "al", "ber",
        "fi", "tul", "cha", "om", "wi", "zet", "by", "qua", "ri", "sto", "ma", "kel", "hu", "ja",
        "dro", "ix", "po", "lan", "te", "gu", "sy", "nor", "va", "be", "cle", "ur",
    ];
    let mut word = String::new();
    loop {
        word.push_str(SYLLABLES[number % SYLLABLES.len()]);
        number /= SYLLABLES.len();
        if number == 0 {
            return word;
        }
    }
}

/// Every path that the packages of this Debian have brought; none where there is no dpkg.
fn installed() -> Option<Vec<String>> {
    let packages = Command::new("dpkg-query").args(["-W", "-f", "${binary:Package}\\n"]).output();
    let packages = String::from_utf8(packages.ok()?.stdout).ok()?;
    let listed = Command::new("dpkg").arg("-L").args(packages.lines()).output().ok()?;
    let mut paths: Vec<String> = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter(|line| line.starts_with('/'))
        .map(str::to_owned)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    // A path that another goes on from is a folder.
    let folder = |pair: &[String]| pair[1].starts_with(&format!("{}/", pair[0]));
    let keep: Vec<bool> = paths.windows(2).map(|pair| !folder(pair)).collect();
    let files: Vec<String> =
        paths.into_iter().zip(keep).filter_map(|(path, keep)| keep.then_some(path)).collect();
    println!("{} paths of {} packages", files.len(), packages.lines().count());
    (!files.is_empty()).then_some(files)
}

fn repeated(paths: &[String], count: usize) -> Vec<(Box<str>, Box<str>)> {
    let file = |number: usize| {
        let path = paths.get(number % paths.len())?.trim_start_matches('/');
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let machine = number / paths.len();
        Some((format!("machine{machine}/{folder}").into_boxed_str(), name.into()))
    };
    (0..count).filter_map(file).collect()
}
