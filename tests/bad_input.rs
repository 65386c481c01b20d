//! What goes wrong gets one clear sentence and the right exit code, and loses nothing.

// Helpers outside `#[test]` functions fail a test by panicking as well, and say why they
// skip it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]

mod common;
#[path = "prompt/seat.rs"]
#[allow(dead_code, reason = "the prompt's tests use all of it")]
mod seat;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::servent::{Start, TestServent, part2part, wait_until};
use common::small_disk::{self, on_a_small_disk, seen_by};
use part2part::command::Reply;
use part2part::servent::report::{DownloadReport, DownloadState, IncidentsReport};
use seat::{CTRL_D, Desk, PROMPT, Seat};
use tempfile::TempDir;

/// An unprivileged user and group, when the tests run as root.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// A line that cannot be obeyed: its exit code, and how its sentence begins.
struct Bad {
    words: Vec<String>,
    code: i32,
    sentence: String,
}

fn bad(words: &[&str], code: i32, sentence: &str) -> Bad {
    let words = words.iter().map(ToString::to_string).collect();
    Bad { words, code, sentence: sentence.to_owned() }
}

/// A port of this machine at which nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Answers whatever it is sent as a web server would.
fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

/// Bad lines for a servent that has searched once and found one result.
fn bad_lines(own: &TestServent, other: &TestServent, private: &TestServent) -> Vec<Bad> {
    let (closed, web) = (closed_port(), web_server());
    let fifo = own.home().join("fifo");
    if !fifo.exists() {
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    }
    let fifo = fifo.to_str().unwrap();
    let wrong = format!("{}@{}", own.id(), other.addr());
    let missing = format!("{} shares no folder 'no/such'", other.id().short());
    let join = |address: &dyn ToString, why: &str| {
        let address = address.to_string();
        let place = address.rsplit('@').next().unwrap();
        bad(&["join", &address], 1, &format!("cannot join {place}: {why}"))
    };
    vec![
        bad(&["serach", "x"], 2, "there is no command 'serach'; did you mean 'search'?"),
        bad(&["xyzzy"], 2, "there is no command 'xyzzy'; 'help' lists them"),
        bad(&["publish"], 2, "publish wants PATH\nusage: publish PATH... [--yes | --as NAME]\n"),
        bad(&["download"], 2, "download wants N|HASH|LINK\nusage: download N|HASH|LINK"),
        bad(&["search"], 2, "search wants at least one word to look for\nusage: search WORDS"),
        bad(&["results", "size>huge"], 2, "a size is a number and perhaps a unit"),
        bad(&["results", "--sort", "age"], 2, "'age' is not name or size or sources or modified"),
        bad(&["shared", "type:song"], 2, "a type is audio, video, image, document or archive"),
        bad(&["shared", "--page", "0"], 2, "'0' will not do for --page K: pages are numbered from"),
        bad(&["shared", "--page", "9"], 1, "there is no page 9 of what is shared"),
        bad(&["browse"], 2, "browse wants PEER\nusage: browse PEER [FOLDER] [--page K]\n"),
        bad(&["browse", "nobody"], 1, "nobody known is 'nobody': 'peers' lists the neighbours"),
        bad(&["browse", &other.invitation(), "no/such"], 1, &missing),
        bad(&["browse", &other.invitation(), "--page", "9"], 1, "there is no page 9: the last one"),
        bad(&["browse", &own.invitation()], 1, "that is this servent itself; 'shared' lists what"),
        bad(&["publish", "--as", "a/b", "own.txt"], 2, "'a/b' will not do for --as NAME: the name"),
        bad(&["publish", "--as", "x", "own.txt", "y"], 2, "publish --as NAME takes one file"),
        bad(&["publish", "--as", "x", "/"], 1, "/ is a folder: --as gives one file another name"),
        bad(&["search", "x"], 2, "a query has at least 2 characters"),
        bad(
            &["search", "--ttl", "9", "crab"],
            2,
            "'9' will not do for --ttl N: a number from 1 to 8",
        ),
        bad(&["leave", "now"], 2, "leave does not take 'now'\nusage: leave\n"),
        join(&closed, "nobody listens there (connection refused)"),
        join(&web, "what answers there is not a part2part servent"),
        join(&own.addr(), "that is this servent itself"),
        join(&wrong, &format!("expected servent {} there, found {}", own.id(), other.id())),
        join(&private.addr(), "it is in another mesh: the keys differ; ask for the line"),
        bad(&["join", "no-such-host.invalid:7272"], 1, "no-such-host.invalid has no address: "),
        bad(&["join", "host:99999"], 2, "'host:99999' will not do for ADDRESS: '99999' is no port"),
        bad(&["join", "::1"], 2, "'::1' will not do for ADDRESS: an IPv6 address goes in brackets"),
        bad(&["publish", "/no/such/file"], 1, "there is no /no/such/file"),
        bad(&["publish", fifo], 1, &format!("{fifo} cannot be published: it is a named pipe")),
        bad(&["publish", "/"], 1, "/ is the whole machine: confirm with --yes"),
        bad(&["unpublish", "/no/such/file"], 1, "/no/such/file is not published"),
        bad(&["download", "99"], 1, "there is no result 99: there is only result 1"),
        bad(
            &["download", "abc"],
            2,
            "'abc' will not do for N|HASH|LINK: a number that 'results' shows",
        ),
        bad(&["results", "2"], 1, "there is no result 2: there is only result 1"),
        bad(&["wait", "7"], 1, "there is no download 7; 'downloads' lists them"),
    ]
}

/// Three servents: two neighbours, the second of which has found a file of the first, and
/// one of a private mesh.
fn three() -> (TestServent, TestServent, TestServent) {
    let other = TestServent::start(Start::default());
    fs::write(other.home().join("crab.txt"), "sideways").unwrap();
    done(&other, &["publish", "crab.txt"]);
    let own = TestServent::start(Start::default());
    fs::write(own.home().join("own.txt"), "own").unwrap();
    done(&own, &["publish", "own.txt"]);
    done(&own, &["join", &other.invitation()]);
    done(&own, &["search", "crab"]);

    let key = other.home().join("network.key");
    let made = part2part(other.home()).args(["network-key", "new"]).arg(&key).output();
    assert!(made.unwrap().status.success());
    let private = TestServent::start(Start::with(&["--network-key", key.to_str().unwrap()]));
    (own, other, private)
}

fn done(servent: &TestServent, words: &[&str]) {
    let answer = servent.ctl(words);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{words:?}");
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// That the bad lines have cost nothing.
fn unharmed(own: &TestServent, other: &TestServent) {
    assert!(own.ctl(&["shared"]).out.contains("own.txt"));
    let neighbours: Vec<_> = own.peers(false).into_iter().map(|peer| peer.id).collect();
    assert_eq!(neighbours, [other.id()]);
    let results = own.ctl(&["results"]);
    assert!(results.out.contains("crab.txt"), "the results of the last good search stay");
}

#[test]
fn bad_lines_cost_nothing_but_the_same_sentence_whichever_way_they_come() {
    let (own, other, private) = three();
    let bad = bad_lines(&own, &other, &private);
    let mut seat = Seat::sit(Desk::default(), own.home(), &[]);
    seat.see(PROMPT);
    for Bad { words, code, sentence } in bad {
        let answer = own.ctl(&borrowed(&words));
        let wanted = format!("error: {sentence}");
        assert!(answer.err.starts_with(&wanted), "{words:?}: {} instead of {wanted}", answer.err);
        assert_eq!((answer.code, answer.out.as_str()), (code, ""), "{words:?}");
        one_sentence(&answer.err);

        let replies = own.replies(&borrowed(&words));
        let [Reply::Error { text: said, kind, .. }, Reply::Exit { code: exit }] = &replies[..]
        else {
            panic!("{words:?}: {replies:?}");
        };
        assert!(said.starts_with(sentence.trim_end()), "{words:?}: {said}");
        assert_eq!((i32::from(*exit), i32::from(kind.code())), (code, code), "{words:?}");

        let line = words.join(" ");
        let piped = attached(&own, &line);
        assert_eq!(text(&piped.stderr), answer.err, "{line} from a pipe");
        assert_eq!((piped.status.code(), text(&piped.stdout)), (Some(code), ""), "{line}");
        seat.enter(&line, wanted.lines().next().unwrap());
    }
    seat.press(CTRL_D);
    seat.see("detached; the servent goes on");
    unharmed(&own, &other);
}

/// Has the servent that runs already obey a line from a pipe.
fn attached(servent: &TestServent, line: &str) -> Output {
    let mut command = part2part(servent.home());
    command.arg("--state").arg(servent.state());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut front = command.spawn().unwrap();
    front.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    front.wait_with_output().unwrap()
}

/// One line, and perhaps a second that shows the usage, or two that show the place.
fn one_sentence(error: &str) {
    let lines: Vec<_> = error.lines().skip(1).collect();
    let fits = match lines[..] {
        [] => true,
        [usage] => usage.starts_with("usage: "),
        [query, mark] => query.starts_with("  ") && mark.trim_start() == "^",
        _ => false,
    };
    assert!(fits, "{error}");
}

#[test]
fn bad_lines_from_a_pipe_cost_nothing_but_a_sentence_each() {
    let (own, other, private) = three();
    let bad = bad_lines(&own, &other, &private);
    // A servent of the script's own, which stands where `own` stands.
    let mut lines = format!("join {}\nsearch crab\n", other.invitation());
    for Bad { words, .. } in &bad {
        lines.push_str(&format!("{}\n", words.join(" ")));
    }
    lines.push_str("results\nstatus\n");
    let home = tempfile::tempdir().unwrap();
    let output = script(part2part(home.path()), home.path(), &lines);
    let (out, err) = (text(&output.stdout), text(&output.stderr));

    let mut rest = err;
    for Bad { words, sentence, .. } in &bad {
        // This servent is neither `own` nor at its address.
        if words.iter().any(|word| word.ends_with(&own.addr().to_string())) {
            continue;
        }
        let at = rest.find(&format!("error: {sentence}"));
        rest = &rest[at.unwrap_or_else(|| panic!("{words:?}: no {sentence} in {err}"))..];
    }
    assert!(out.contains("crab.txt"), "{out}");
    assert!(out.contains("incidents  none"), "{out}");
    assert_eq!(output.status.code(), Some(1), "the last that failed is `wait 7`");
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Has a servent of its own obey `lines`.
fn script(mut command: Command, home: &Path, lines: &str) -> Output {
    command.args(["--listen", "127.0.0.1:0"]);
    command.arg("--state").arg(home.join("state"));
    command.arg("--downloads").arg(home.join("downloads"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut servent = command.spawn().unwrap();
    servent.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    servent.wait_with_output().unwrap()
}

/// The program as somebody whom permissions stop, and a home of theirs; none when that
/// cannot be had here.
fn unprivileged() -> Option<(Command, TempDir)> {
    let home = tempfile::tempdir().unwrap();
    if fs::metadata(home.path()).unwrap().uid() != 0 {
        return Some((part2part(home.path()), home));
    }
    std::os::unix::fs::chown(home.path(), Some(65534), Some(65534)).unwrap();
    let as_nobody = || {
        let mut command = Command::new(NOBODY[0]);
        command.args(&NOBODY[1..]).arg(env!("CARGO_BIN_EXE_part2part"));
        command.env("HOME", home.path()).current_dir(home.path());
        command
    };
    match as_nobody().arg("--version").output() {
        Ok(output) if output.status.success() => Some((as_nobody(), home)),
        other => {
            eprintln!("skipped: root ignores permissions, and nobody else can be: {other:?}");
            None
        }
    }
}

#[test]
fn what_may_not_be_read_or_written_is_said_and_stops_nothing_else() {
    let Some((command, home)) = unprivileged() else { return };
    let other = TestServent::start(Start::default());
    fs::write(other.home().join("crab.txt"), "sideways").unwrap();
    done(&other, &["publish", "crab.txt"]);
    let closed = tempfile::tempdir().unwrap();
    let (secret, read_only) = (closed.path().join("secret"), closed.path().join("read-only"));
    fs::write(&secret, "secret").unwrap();
    fs::create_dir(&read_only).unwrap();
    for (path, mode) in [(&secret, 0), (&read_only, 0o555)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(closed.path(), Permissions::from_mode(0o755)).unwrap();

    let (secret, read_only) = (secret.display(), read_only.display());
    let lines = format!(
        "join {}\npublish {secret}\nsearch crab\ndownload 1 --wait --to {read_only}\n\
         download 1 --wait\n",
        other.invitation()
    );
    let output = script(command, home.path(), &lines);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(err.contains(&format!("error: cannot read {secret}: ")), "{err}");
    let why = format!("download 1 \"crab.txt\" failed: not allowed to write {read_only}");
    assert!(out.contains(&why), "{out}\n{err}");
    assert!(out.contains("choose another folder or change its permissions"), "{out}");
    assert!(out.contains("download 2 \"crab.txt\" done: 8 B in "), "{out}\n{err}");
    assert_eq!(fs::read_to_string(home.path().join("downloads/crab.txt")).unwrap(), "sideways");
    assert_eq!(output.status.code(), Some(1));
}

fn download(servent: &TestServent) -> DownloadReport {
    match servent.replies(&["downloads"]).remove(0) {
        Reply::Downloads { mut downloads } => downloads.pop().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_disk_that_fills_up_stops_its_own_download_until_there_is_room() {
    let Some((own, small)) = on_a_small_disk("size=90m") else { return };
    let other = TestServent::start(Start::with(&["--max-upload", "3MB"]));
    let big: Vec<u8> = (0..8_000_000u32).map(|number| (number >> 8) as u8).collect();
    for (name, bytes) in [("big.bin", &big[..]), ("other.txt", b"other")] {
        fs::write(other.home().join(name), bytes).unwrap();
        done(&other, &["publish", name]);
    }
    done(&own, &["join", &other.invitation()]);
    done(&own, &["search", "big"]);
    done(&own, &["download", "1"]);
    wait_until("the first pieces", || download(&own).verified > 0);

    let filler = seen_by(&own, &small.join("filler"));
    let full = fs::write(&filler, vec![1; 100 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    let mut said = String::new();
    wait_until("a download that waits for room", || match download(&own).state {
        DownloadState::Waiting { why } => {
            said = why;
            true
        }
        DownloadState::Running => false,
        over => panic!("{over:?}"),
    });
    assert!(said.contains("make room") && said.contains(&*small.to_string_lossy()), "{said}");

    // Another disk has room.
    done(&own, &["search", "other"]);
    let elsewhere = own.home().join("elsewhere");
    done(&own, &["download", "1", "--wait", "--to", elsewhere.to_str().unwrap()]);
    assert_eq!(fs::read(elsewhere.join("other.txt")).unwrap(), b"other");

    fs::remove_file(&filler).unwrap();
    let placed = seen_by(&own, &small.join("big.bin"));
    wait_until("the rest", || placed.exists());
    assert!(fs::read(&placed).unwrap() == big);
}

#[test]
fn a_full_disk_is_said_and_waited_for() {
    let Some((own, small)) = on_a_small_disk("size=68m") else { return };
    let other = TestServent::start(Start::default());
    let bytes = vec![7; 8_000_000];
    fs::write(other.home().join("big.bin"), &bytes).unwrap();
    done(&other, &["publish", "big.bin"]);

    done(&own, &["join", &other.invitation()]);
    done(&own, &["search", "big"]);

    let once = own.ctl(&["download", "1", "--once", "--wait"]);
    let why = format!("download 1 \"big.bin\" failed: {}", small.display());
    assert!(once.out.contains(&why), "{once:?}");
    let how = "but the download needs 8.0 MB and 67.1 MB to spare: make room or choose another";
    assert!(once.out.contains(how), "{once:?}");
    assert_eq!(once.code, 1);

    done(&own, &["download", "1"]);
    let mut said = String::new();
    wait_until("a download that waits for room", || match download(&own).state {
        DownloadState::Waiting { why } => {
            said = why;
            true
        }
        DownloadState::Running => false,
        over => panic!("{over:?}"),
    });
    assert!(said.contains("make room or choose another folder; trying again every"), "{said}");
    small_disk::change(&own, &small, "size=200m");
    wait_until("a download that had to wait for room", || {
        matches!(download(&own).state, DownloadState::Done { .. })
    });
    assert!(fs::read(seen_by(&own, &small.join("big.bin"))).unwrap() == bytes);
}

#[test]
fn a_folder_on_another_file_system_is_as_good() {
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let (own, other, _private) = three();
    if fs::metadata(elsewhere.path()).unwrap().dev() == fs::metadata(own.home()).unwrap().dev() {
        eprintln!("skipped: /dev/shm is on the file system of the downloads");
        return;
    }
    done(&own, &["download", "1", "--wait", "--to", elsewhere.path().to_str().unwrap()]);
    let names = |folder: &Path| -> Vec<_> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names(elsewhere.path()), ["crab.txt"], "and nothing is left behind");
    assert_eq!(fs::read_to_string(elsewhere.path().join("crab.txt")).unwrap(), "sideways");
    unharmed(&own, &other);

    let plain = own.home().join("own.txt");
    done(&other, &["publish", "network.key"]);
    done(&own, &["search", "network"]);
    let failed = own.ctl(&["download", "1", "--wait", "--to", plain.to_str().unwrap()]);
    assert!(failed.out.contains(&format!("failed: {} is not a folder", plain.display())));
    assert_eq!(failed.code, 1);
    assert_eq!(fs::read_to_string(plain).unwrap(), "own");
}

/// What `daemon` says and answers when it cannot start.
fn refused(home: &Path, args: &[&str]) -> (i32, String) {
    let output = part2part(home).arg("daemon").args(args).output().unwrap();
    assert_eq!(text(&output.stdout), "");
    (output.status.code().unwrap(), text(&output.stderr).to_owned())
}

#[test]
fn what_keeps_a_servent_from_starting_is_said_in_one_line() {
    let running = TestServent::start(Start::default());
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let state = state.to_str().unwrap();

    let taken = running.addr().to_string();
    let (code, said) = refused(home.path(), &["--state", state, "--listen", &taken]);
    let hint = "use --listen with another port, or --listen :0 for any free one";
    assert!(said.starts_with(&format!("part2part: {taken} is in use")), "{said}");
    assert!(said.ends_with(&format!("; {hint}\n")), "{said}");
    assert_eq!((code, said.lines().count()), (1, 1));

    let (code, said) = refused(home.path(), &["--state", state, "--listen", "192.0.2.99:7272"]);
    assert!(
        said.ends_with("no such address; --listen :PORT listens on all that it has\n"),
        "{said}"
    );
    assert_eq!((code, said.lines().count()), (1, 1));

    let own = running.state();
    let own = own.to_str().unwrap();
    let (code, said) = refused(home.path(), &["--state", own, "--listen", "127.0.0.1:0"]);
    let who = format!("another part2part (process {}) already runs on {own}", running.pid());
    assert!(said.starts_with(&format!("part2part: {who}: ")), "{said}");
    assert_eq!((code, said.lines().count()), (1, 1));

    for (args, why) in [
        (["--network-key", "/no/such/key"], "--network-key /no/such/key: "),
        (["--join", "host:0"], "--join host:0: '0' is no port"),
        (["--listen", "everywhere"], "--listen everywhere: IP:PORT is wanted"),
        (["--max-upload", "fast"], "--max-upload fast: a rate is wanted"),
    ] {
        let (code, said) = refused(home.path(), &[&["--state", state], &args[..]].concat());
        assert!(said.starts_with(&format!("part2part: {why}")), "{said}");
        assert_eq!((code, said.lines().count()), (2, 1), "{said}");
    }
    assert_eq!(
        running.status().incidents,
        IncidentsReport::default(),
        "the one that runs is not disturbed"
    );
}

#[test]
fn a_search_that_could_ask_nobody_is_no_answer() {
    let alone = TestServent::start(Start::with(&["--manual"]));
    let answer = alone.ctl(&["search", "crab"]);
    let said = "nobody was asked: this servent has no neighbour; 'join' finds one\n";
    assert_eq!((answer.code, answer.out.as_str()), (1, said));
}

#[test]
fn a_network_key_is_never_written_over() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    fs::write(&key, "precious").unwrap();
    let output = part2part(home.path()).args(["network-key", "new", "key"]).output().unwrap();
    let why = "key exists already, and a key is never written over; choose another name";
    assert_eq!(text(&output.stderr), format!("part2part: {why}\n"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(key).unwrap(), "precious");
}
