//! Killed at any moment: what was acknowledged is there at the next start, what has a final
//! name is right, and nothing half-made is left.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::print_stderr)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use common::servent::{PATIENCE, Start, TestServent, wait_by, wait_until};
use part2part::base::ContentId;
use part2part::command::Reply;
use part2part::servent::report::{DownloadReport, DownloadState};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

const ROUNDS: usize = 50;
const SEED: u64 = 7272;
/// Files that can be downloaded; enough for each of its rounds to begin two.
const SAMPLES: usize = 20;
/// The latest moment of a kill after a command was given: commands take a few milliseconds,
/// downloads and publications up to this.
const LATEST: Duration = Duration::from_millis(150);

fn id_of(bytes: &[u8]) -> ContentId {
    ContentId(*blake3::hash(bytes).as_bytes())
}

fn noise(rng: &mut ChaCha12Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes[..]);
    bytes
}

/// What the test knows of the servent that is killed.
struct Ledger {
    rng: ChaCha12Rng,
    /// Folders whose publication was acknowledged, and the files in them.
    published: BTreeMap<PathBuf, BTreeMap<PathBuf, ContentId>>,
    /// Folders whose end as a publication was acknowledged.
    unpublished: BTreeSet<PathBuf>,
    /// Downloads that were acknowledged.
    downloads: BTreeSet<ContentId>,
    /// All that can be downloaded, by name.
    samples: BTreeMap<String, ContentId>,
}

/// Gives a command without waiting for its end.
fn begin(servent: &TestServent, words: &[&str]) -> std::process::Child {
    let mut command = common::servent::part2part(servent.home());
    command.arg("ctl").arg("--state").arg(servent.state()).args(words);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Ledger {
    /// Gives one command, kills the servent at a random moment, and notes what had been
    /// acknowledged by then.
    fn round(&mut self, number: usize, servent: &mut TestServent, giver: &TestServent) {
        let moment = self.rng.random_range(Duration::ZERO..LATEST);
        match number % 5 {
            0 | 1 => {
                let folder = servent.home().join(format!("share/{number}"));
                let files = self.fill(&folder);
                let command = begin(servent, &["publish", folder.to_str().unwrap()]);
                if kill_at(servent, moment, command) {
                    self.published.insert(folder, files);
                }
            }
            2 => {
                let Some(folder) = self.published.keys().next().cloned() else { return };
                self.published.remove(&folder);
                let command = begin(servent, &["unpublish", folder.to_str().unwrap()]);
                if kill_at(servent, moment, command) {
                    self.unpublished.insert(folder);
                }
            }
            3 => {
                let wanted: Vec<_> = self
                    .samples
                    .values()
                    .filter(|id| !self.downloads.contains(id))
                    .copied()
                    .collect();
                for id in wanted.iter().take(2) {
                    if servent.ctl(&["download", &id.to_string()]).code == 0 {
                        self.downloads.insert(*id);
                    }
                }
                kill_at(servent, moment, begin(servent, &["downloads"]));
            }
            _ => {
                kill_at(servent, moment, begin(servent, &["leave"]));
            }
        }
        if servent.exited().is_none() {
            servent.kill9();
        }
        let began = Instant::now();
        servent.restart();
        eprintln!("round {number}: killed after {moment:?}, up again in {:?}", began.elapsed());
        let joined = servent.ctl(&["join", &giver.invitation()]);
        assert_eq!(joined.code, 0, "{joined:?}");
    }

    fn fill(&mut self, folder: &Path) -> BTreeMap<PathBuf, ContentId> {
        fs::create_dir_all(folder).unwrap();
        let count = self.rng.random_range(5..60);
        let mut files = BTreeMap::new();
        for number in 0..count {
            let len = self.rng.random_range(0..40_000);
            let bytes = noise(&mut self.rng, len);
            let path = folder.join(format!("file {number}"));
            fs::write(&path, &bytes).unwrap();
            files.insert(fs::canonicalize(path).unwrap(), id_of(&bytes));
        }
        files
    }

    /// Holds what the servent says and what is on its disk against what was acknowledged.
    fn audit(&self, servent: &TestServent) {
        let shared = match servent.replies(&["shared"]).remove(0) {
            Reply::Shared(listing) => listing.files,
            other => panic!("{other:?}"),
        };
        let shared: BTreeMap<PathBuf, ContentId> =
            shared.into_iter().map(|file| (file.path, file.id)).collect();
        for (path, id) in self.published.values().flatten() {
            assert_eq!(shared.get(path), Some(id), "{} was acknowledged", path.display());
        }
        for folder in &self.unpublished {
            let back = shared.keys().find(|path| path.starts_with(folder));
            assert_eq!(back, None, "its end was acknowledged");
        }
        for (path, id) in &shared {
            let bytes = fs::read(path).unwrap();
            assert_eq!(*id, id_of(&bytes), "{}", path.display());
        }

        let reports = downloads(servent);
        for id in &self.downloads {
            let placed = self.samples.iter().find(|(_, sample)| *sample == id).unwrap().0;
            let there = servent.downloads().join(placed).exists();
            let listed = reports.iter().any(|report| report.id == *id);
            assert!(there || listed, "{placed} was acknowledged, is not there and not coming");
        }
        for name in names(&servent.downloads()) {
            if name == ".part2part" {
                continue;
            }
            let bytes = fs::read(servent.downloads().join(&name)).unwrap();
            assert_eq!(self.samples.get(&name), Some(&id_of(&bytes)), "{name}");
        }
        let running: BTreeSet<String> = reports
            .iter()
            .filter(|report| !matches!(report.state, DownloadState::Done { .. }))
            .map(|report| report.id.to_string())
            .collect();
        for name in names(&servent.downloads().join(".part2part")) {
            let (id, _) = name.split_once('.').unwrap();
            assert!(running.contains(id), "{name} is of no download");
        }
        // It runs, so there may be one that is being written; none stays.
        for folder in [servent.state(), servent.downloads().join(".part2part")] {
            wait_until("no temporary file", || {
                names(&folder).iter().all(|name| !name.contains("tmp"))
            });
        }
        assert!(names(&servent.state()).iter().all(|name| !name.contains(".bad")));
    }
}

/// Kills the servent at `moment`; whether it had acknowledged the command by then.
fn kill_at(servent: &mut TestServent, moment: Duration, mut command: std::process::Child) -> bool {
    let deadline = Instant::now() + moment;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    servent.kill9();
    command.wait().unwrap().success()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn downloads(servent: &TestServent) -> Vec<DownloadReport> {
    match servent.replies(&["downloads"]).remove(0) {
        Reply::Downloads { downloads } => downloads,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fifty_kills_lose_nothing_that_was_acknowledged_and_leave_nothing_half_made() {
    eprintln!("seed {SEED}");
    let mut rng = ChaCha12Rng::seed_from_u64(SEED);
    let giver = TestServent::start(Start::with(&["--max-upload", "20MB"]));
    let mut samples = BTreeMap::new();
    fs::create_dir(giver.home().join("samples")).unwrap();
    for number in 0..SAMPLES {
        let len = rng.random_range(0..3_000_000);
        let bytes = noise(&mut rng, len);
        let name = format!("sample {number}.bin");
        fs::write(giver.home().join("samples").join(&name), &bytes).unwrap();
        samples.insert(name, id_of(&bytes));
    }
    assert_eq!(giver.ctl(&["publish", "samples"]).code, 0);
    let mut servent = TestServent::start(Start::with(&["--no-share-downloads"]));
    assert_eq!(servent.ctl(&["join", &giver.invitation()]).code, 0);

    let mut ledger = Ledger {
        rng,
        published: BTreeMap::new(),
        unpublished: BTreeSet::new(),
        downloads: BTreeSet::new(),
        samples,
    };
    for number in 0..ROUNDS {
        ledger.round(number, &mut servent, &giver);
        ledger.audit(&servent);
    }
    assert!(
        ledger.published.len() > 5 && ledger.downloads.len() > 15,
        "the kills left nothing to do"
    );
    let all = |servent: &TestServent| {
        let here = names(&servent.downloads());
        let wanted = ledger.samples.iter().filter(|(_, id)| ledger.downloads.contains(id));
        wanted.into_iter().all(|(name, _)| here.contains(name))
    };
    // Each looks for its source anew, one a second.
    let deadline = Instant::now() + PATIENCE * 4;
    wait_by(deadline, "all downloads", || all(&servent));
    wait_until("the last part", || !servent.downloads().join(".part2part").exists());
    ledger.audit(&servent);
}
