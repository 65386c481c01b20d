//! Real servents: the built program, started, driven and stopped by a test.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use part2part::base::ServentId;
use part2part::command::Reply;
use part2part::servent::report::{HitReport, PeerReport, SearchEnd, StatusReport};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a test waits for what a loaded machine does late.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(15);

/// Waits until `holds`, and fails the test when it does not in [`PATIENCE`].
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_by(Instant::now() + PATIENCE, what, holds);
}

/// Waits until `holds`, and fails the test when it does not by `deadline`.
pub fn wait_by(deadline: Instant, what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(Instant::now() < deadline, "not within {:?}: {what}", began.elapsed());
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// [`wait_until`] for tests whose fake peers must go on meanwhile.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The program, untouched by the environment of whoever runs the tests; at home in `home`.
pub fn part2part(home: &Path) -> Command {
    at_home(Command::new(env!("CARGO_BIN_EXE_part2part")), home)
}

fn at_home(mut command: Command, home: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("PART2PART_") || name.starts_with("XDG_") {
            command.env_remove(name.as_ref());
        }
    }
    command.env_remove("RUST_LOG").env("HOME", home).current_dir(home);
    command.stdin(Stdio::null());
    command
}

/// How a servent is started.
#[derive(Clone, Default, Debug)]
pub struct Start {
    /// More arguments of `daemon`: `--name`, `--manual`, `--network-key` ...
    pub args: Vec<String>,
    /// What RUST_LOG says; nothing: warnings.
    pub log: Option<String>,
    /// Where it listens, when not on a free port of 127.0.0.1.
    pub listen: Option<SocketAddr>,
    /// A command that becomes the program: `unshare -m` and the like.
    pub under: Vec<String>,
}

impl Start {
    /// With these arguments of `daemon` besides those that every test wants.
    pub fn with(args: &[&str]) -> Self {
        Self { args: args.iter().map(ToString::to_string).collect(), ..Self::default() }
    }
}

/// What a command answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A running servent with folders of its own. Killed when dropped; a panic in it fails
/// the test.
pub struct TestServent {
    start: Start,
    folder: TempDir,
    child: Child,
    addr: SocketAddr,
    id: ServentId,
}

impl TestServent {
    /// Starts a servent with new folders and waits until it is ready.
    pub fn start(start: Start) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), start)
    }

    /// Starts a servent whose state, downloads and log lie in `folder`.
    pub fn start_in(folder: TempDir, start: Start) -> Self {
        let (child, addr, id) = launch(folder.path(), &start);
        Self { start, folder, child, addr, id }
    }

    /// Starts it again, on the same folders; it must have stopped or been killed.
    pub fn restart(&mut self) {
        assert!(self.exited().is_some(), "it still runs");
        (self.child, self.addr, self.id) = launch(self.folder.path(), &self.start);
    }

    /// [`TestServent::restart`], with other arguments.
    pub fn restart_with(&mut self, start: Start) {
        self.start = start;
        self.restart();
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn id(&self) -> ServentId {
        self.id
    }

    /// `ID@HOST:PORT`, what `join` takes.
    pub fn invitation(&self) -> String {
        format!("{}@{}", self.id, self.addr)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A folder for the test's own files, at home beside state and downloads.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    /// Everything that it has written to its standard error.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Everything that it has written to its standard output.
    pub fn printed(&self) -> String {
        let bytes = fs::read(self.folder.path().join("stdout")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn ctl_command(&self, words: &[&str]) -> Command {
        let mut command = part2part(self.folder.path());
        command.arg("ctl").arg("--state").arg(self.state()).args(words);
        command
    }

    /// Has it obey one command, and waits for the end of it.
    pub fn ctl(&self, words: &[&str]) -> Answer {
        answer(self.ctl_command(words))
    }

    /// [`TestServent::ctl`] for tests whose fake peers must go on meanwhile.
    pub async fn ask(&self, words: &[&str]) -> Answer {
        let command = self.ctl_command(words);
        tokio::task::spawn_blocking(|| answer(command)).await.expect("a command")
    }

    /// The replies to one command, as data.
    pub fn replies(&self, words: &[&str]) -> Vec<Reply> {
        replies(&self.ctl(&[&["--json"], words].concat()))
    }

    /// [`TestServent::replies`] for tests whose fake peers must go on meanwhile.
    pub async fn ask_replies(&self, words: &[&str]) -> Vec<Reply> {
        replies(&self.ask(&[&["--json"], words].concat()).await)
    }

    pub fn status(&self) -> StatusReport {
        status(self.replies(&["status"]))
    }

    /// [`TestServent::status`] for tests whose fake peers must go on meanwhile.
    pub async fn ask_status(&self) -> StatusReport {
        status(self.ask_replies(&["status"]).await)
    }

    /// The neighbours, or what `peers --known` lists.
    pub fn peers(&self, known: bool) -> Vec<PeerReport> {
        let words = if known { &["peers", "--known"][..] } else { &["peers"] };
        let mut replies = self.replies(words).into_iter();
        match replies.next() {
            Some(Reply::Peers { peers, .. }) => peers,
            other => panic!("no peers: {other:?}"),
        }
    }

    /// Searches for `words`, which may hold options: the hits, and how it ended.
    pub fn search(&self, words: &[&str]) -> (Vec<HitReport>, SearchEnd) {
        let (mut hits, mut ends) = (Vec::new(), Vec::new());
        for reply in self.replies(&[&["search"], words].concat()) {
            match reply {
                Reply::Hit(hit) => hits.push(hit),
                Reply::SearchEnd(end) => ends.push(end),
                _ => {}
            }
        }
        (hits, ends.pop().expect("a search ends"))
    }

    /// Waits until it has at least so many neighbours.
    pub fn wait_for_neighbours(&self, count: usize) {
        wait_until("neighbours", || self.status().neighbours >= count);
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// As a power cut would end it.
    pub fn kill9(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("the child is ours");
    }

    /// Asks it politely to stop, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_until("a polite stop", || self.exited().is_some());
        self.child.wait().expect("the child is ours")
    }

    /// How many files and connections it holds. Those of event loops do not count: more of
    /// these come with the first downloads, and stay.
    pub fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten().flatten();
        let mut sockets = BTreeSet::new();
        let counts = |to: &PathBuf| match to.to_string_lossy() {
            to if to.starts_with("anon_inode:[event") => false,
            // Each event loop has the one that brings signals.
            to if to.starts_with("socket:") => sockets.insert(to.into_owned()),
            _ => true,
        };
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).filter(counts).count()
    }

    /// Resident memory in bytes, now.
    pub fn memory(&self) -> u64 {
        self.kib("VmRSS:") * 1024
    }

    /// The most resident memory that it has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.kib("VmHWM:") * 1024
    }

    fn kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the servent lives");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).expect("a number of KiB")
    }

    /// The processor time that it has used.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("the servent lives");
        // Behind the name, which may hold anything: fields 3 and on.
        let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.map(|ticks| ticks.expect("a number of ticks")).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for TestServent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "what a failed test is judged by")]
            {
                eprintln!("--- {} had said:\n{}{log}", self.addr, self.printed());
            }
        } else {
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

fn launch(folder: &Path, start: &Start) -> (Child, SocketAddr, ServentId) {
    let listen = start.listen.map_or_else(|| "127.0.0.1:0".to_owned(), |at| at.to_string());
    let mut command = match start.under.split_first() {
        None => part2part(folder),
        Some((first, rest)) => {
            let mut command = at_home(Command::new(first), folder);
            command.args(rest).arg(env!("CARGO_BIN_EXE_part2part"));
            command
        }
    };
    command.args(["daemon", "--listen", &listen]);
    command.arg("--state").arg(folder.join("state"));
    if !start.args.iter().any(|arg| arg == "--downloads") {
        command.arg("--downloads").arg(folder.join("downloads"));
    }
    if let Some(log) = &start.log {
        command.env("RUST_LOG", log);
    }
    let stdout = folder.join("stdout");
    let append = |path: &Path| File::options().append(true).create(true).open(path);
    command.stderr(append(&folder.join("stderr")).expect("a file for the log"));
    command.stdout(File::create(&stdout).expect("a file for the output"));
    let mut child = command.args(&start.args).spawn().expect("the program starts");
    let mut ready = None;
    wait_until("a servent that is ready", || {
        if let Ok(Some(status)) = child.try_wait() {
            let log = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
            panic!("the servent did not start: {status}\n{log}");
        }
        ready = fs::read_to_string(&stdout).ok().and_then(|printed| ready_line(&printed));
        ready.is_some()
    });
    let (addr, id) = ready.expect("waited for");
    (child, addr, id)
}

/// Reads `listening on ADDR as ID`.
fn ready_line(printed: &str) -> Option<(SocketAddr, ServentId)> {
    let (line, _) = printed.split_once('\n')?;
    let (addr, id) = line.strip_prefix("listening on ")?.split_once(" as ")?;
    Some((addr.parse().ok()?, id.parse().ok()?))
}

fn answer(mut command: Command) -> Answer {
    let output: io::Result<_> = command.output();
    let output = output.expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Answer {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn replies(answer: &Answer) -> Vec<Reply> {
    let lines = answer.out.lines();
    lines.map(|line| serde_json::from_str(line).expect("a reply")).collect()
}

fn status(replies: Vec<Reply>) -> StatusReport {
    let status = replies.into_iter().find_map(|reply| match reply {
        Reply::Status(status) => Some(status),
        _ => None,
    });
    status.expect("a status")
}
