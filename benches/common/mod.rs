//! Real servents for benchmarks: the built program, driven as a script drives it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "each benchmark uses its part"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    program: String,
    state: PathBuf,
    /// `ID@HOST:PORT`, as `join` takes it.
    pub(crate) address: String,
    /// From the start of the process to the line that says it listens.
    pub(crate) ready_after: Duration,
}

/// The program that is measured.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_part2part");

impl Daemon {
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        Self::start_under(&[], PROGRAM, "127.0.0.1", dir, arguments)
    }

    /// Starts `program`, a build of it, by a command that ends in another, such as
    /// `ip netns exec NAME`.
    pub(crate) fn start_under(
        under: &[&str],
        program: &str,
        listen: &str,
        dir: &Path,
        arguments: &[&str],
    ) -> Self {
        let state = dir.join("state");
        let began = Instant::now();
        let mut words = under.iter().copied().chain([program]);
        let mut child = Command::new(words.next().expect("a program"))
            .args(words)
            .args(["daemon", "--listen", &format!("{listen}:0"), "--state"])
            .arg(&state)
            .arg("--downloads")
            .arg(dir.join("downloads"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it says where it listens");
        let ready_after = began.elapsed();
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["listening", "on", at, "as", id] = words[..] else { panic!("{line:?}") };
        let program = program.to_owned();
        Self { child, program, state, address: format!("{id}@{at}"), ready_after }
    }

    /// Has it obey, whatever comes of it.
    pub(crate) fn try_ctl(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["ctl", "--state"]).arg(&self.state).args(words);
        command.output().expect("ctl runs")
    }

    pub(crate) fn ctl(&self, words: &[&str]) -> Output {
        let output = self.try_ctl(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Waits until what `ctl` prints holds `text`.
    pub(crate) fn await_text(&self, words: &[&str], text: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !String::from_utf8_lossy(&self.ctl(words).stdout).contains(text) {
            assert!(Instant::now() < until, "{words:?} never says {text:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends it a signal by its name, as `kill` knows it.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -s {name}");
    }

    /// Processor seconds used so far.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(self.child.id())
    }

    /// A line of `/proc/PID/status` in KiB.
    pub(crate) fn memory(&self, what: &str) -> u64 {
        memory_of(self.child.id(), what).unwrap()
    }
}

/// Processor seconds that a process has used so far, and its children that have ended.
pub(crate) fn cpu_of(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(4).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A line of `/proc/PID/status` in KiB, while there is such a process.
pub(crate) fn memory_of(pid: u32, what: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value below which this share of all lies.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    sorted[(last as f64 * share).round() as usize]
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
