//! Settings, as the built program takes, shows, changes and remembers them.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::servent::{Start, TestServent, part2part, wait_by, wait_until};
use part2part::command::Reply;
use part2part::servent::report::{DownloadReport, DownloadState, SettingReport};
use tokio::time::Instant;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a command that ends by itself said: its exit code, and both of its streams.
fn run(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let said = |bytes| text(bytes).to_owned();
    (output.status.code().unwrap(), said(&output.stdout), said(&output.stderr))
}

fn settings_of(replies: Vec<Reply>) -> Vec<SettingReport> {
    match replies.into_iter().next() {
        Some(Reply::Settings { settings }) => settings,
        other => panic!("no settings: {other:?}"),
    }
}

/// What `part2part config` with these words and variables shows of `key`.
fn config(home: &Path, words: &[&str], variables: &[(&str, &str)], key: &str) -> (String, String) {
    let mut command = part2part(home);
    command.args(["config", "--json"]).args(words).envs(variables.iter().copied());
    let (code, out, err) = run(command);
    assert_eq!((code, err.as_str()), (0, ""), "{words:?}");
    let settings = settings_of(vec![serde_json::from_str(&out).unwrap()]);
    let found = settings.into_iter().find(|setting| setting.key == key).expect(key);
    (found.value, found.origin)
}

/// The settings of a running servent.
fn settings(servent: &TestServent, key: &str) -> (String, String) {
    let settings = settings_of(servent.replies(&["set"]));
    let found = settings.into_iter().find(|setting| setting.key == key).expect(key);
    (found.value, found.origin)
}

/// Has `servent` obey a command that must succeed; what it said.
fn done(servent: &TestServent, words: &[&str]) -> String {
    let answer = servent.ctl(words);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{words:?}");
    answer.out
}

fn publish(servent: &TestServent, name: &str, len: usize) {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    let path = servent.home().join(name);
    fs::write(&path, bytes).unwrap();
    done(servent, &["publish", path.to_str().unwrap()]);
}

fn download(servent: &TestServent) -> DownloadReport {
    match servent.replies(&["downloads"]).remove(0) {
        Reply::Downloads { mut downloads } => downloads.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn flags_go_before_the_environment_that_before_the_file_and_each_says_so() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/part2part");
    fs::create_dir_all(folder.join("work")).unwrap();
    let file = folder.join("config.toml");
    fs::write(&file, "name = 'filed'\n\nmax-upload = '1MB'\nshare = ['x', '~/y']\n").unwrap();
    fs::write(folder.join("work/config.toml"), "name = 'at work'\n").unwrap();
    let home = home.path();
    let line = |line: usize| format!("{}:{line}", file.display());
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());

    assert_eq!(config(home, &[], &[], "name"), pair("filed", &line(1)));
    assert_eq!(config(home, &[], &[], "max-upload"), pair("1MB", &line(3)));
    assert_eq!(config(home, &[], &[], "max-download"), pair("off", "default"));
    let shared = format!("{}/x, {}/y", folder.display(), home.display());
    assert_eq!(config(home, &[], &[], "share"), (shared, line(4)));

    let named = [("PART2PART_NAME", "around")];
    assert_eq!(config(home, &[], &named, "name"), pair("around", "environment PART2PART_NAME"));
    let flagged = config(home, &["--name", "flagged"], &named, "name");
    assert_eq!(flagged, pair("flagged", "flag --name"));
    let withheld = [("PART2PART_NO_SHARE_DOWNLOADS", "yes")];
    let origin = "environment PART2PART_NO_SHARE_DOWNLOADS";
    assert_eq!(config(home, &[], &withheld, "share-downloads"), pair("off", origin));

    let work = folder.join("work/config.toml:1").display().to_string();
    assert_eq!(config(home, &["--profile", "work"], &[], "name"), pair("at work", &work));
    fs::write(home.join("other.toml"), "name = 'other'\n").unwrap();
    let other = format!("{}/other.toml:1", home.display());
    assert_eq!(config(home, &["--config", "other.toml"], &[], "name"), pair("other", &other));

    let mut shown = part2part(home);
    shown.args(["config", "--manual"]);
    let (code, out, err) = run(shown);
    assert_eq!((code, err.as_str()), (0, ""));
    let line = |start: &str| out.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    assert!(line("manual").unwrap().ends_with("flag --manual"), "{out}");
    assert!(line("network-key").unwrap().ends_with("default"), "{out}");
    assert!(!home.join(".local").exists(), "nothing was started");
}

#[test]
fn a_file_that_makes_no_sense_is_refused_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("c.toml");
    for (written, said) in [
        ("nmae = 'x'", ":1: there is no key 'nmae'; did you mean 'name'?"),
        ("\nmax-upload = 'fast'", ":2: max-upload fast: a rate is wanted"),
        ("manual = 'maybe'", ":1: manual: true or false is wanted, not a text"),
        ("join = ['::1']", ":1: join ::1: an IPv6 address goes in brackets"),
        ("name = 'a", ":1: "),
    ] {
        fs::write(&file, written).unwrap();
        for task in [&["daemon"][..], &["config"], &[]] {
            let mut command = part2part(home.path());
            command.args(task).args(["--config", "c.toml"]);
            let (code, out, err) = run(command);
            let said = format!("{}{said}", file.display());
            assert!(err.contains(&said), "{task:?} {written}: {err}");
            assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1), "{err}");
        }
    }
    let mut command = part2part(home.path());
    command.args(["daemon", "--config", "none.toml"]);
    let (code, _, err) = run(command);
    assert!(code == 2 && err.contains("none.toml: there is no such file"), "{err}");
}

#[test]
fn what_is_set_counts_at_once_and_after_a_restart_until_it_is_forgotten() {
    let mut servent = TestServent::start(Start::default());
    assert_eq!(settings(&servent, "name"), (String::new(), "default".to_owned()));
    assert_eq!(done(&servent, &["set", "name", "two", "words"]), "name is two words (set)\n");
    assert_eq!(done(&servent, &["set", "max-upload", "5MB"]), "max-upload is 5MB (set)\n");
    done(&servent, &["news", "on"]);
    assert_eq!(servent.status().name, "two words");
    let explained = done(&servent, &["set", "max-upload"]);
    assert!(explained.starts_with("max-upload is 5MB (set)\n  most bytes"), "{explained}");
    // A running servent does not keep the settings to itself.
    let state = servent.state().display().to_string();
    let shown = |key: &str, words: &[&str]| {
        config(servent.home(), &[&["--state", &state], words].concat(), &[], key)
    };
    assert_eq!(shown("name", &[]), ("two words".to_owned(), "set".to_owned()));
    let flagged = shown("name", &["--name", "x"]);
    assert_eq!(flagged, ("x".to_owned(), "flag --name".to_owned()));

    servent.kill9();
    servent.restart();
    assert_eq!(servent.status().name, "two words");
    assert_eq!(settings(&servent, "max-upload"), ("5MB".to_owned(), "set".to_owned()));
    assert_eq!(settings(&servent, "news"), ("on".to_owned(), "set".to_owned()));
    assert_eq!(done(&servent, &["set", "name", "--forget"]), "name is - (default)\n");

    servent.stop();
    servent.restart_with(Start::with(&["--max-upload", "1MB"]));
    assert_eq!(settings(&servent, "name").1, "default");
    let flagged = ("1MB".to_owned(), "flag --max-upload".to_owned());
    assert_eq!(settings(&servent, "max-upload"), flagged);
    let said = done(&servent, &["set", "max-upload", "2MB"]);
    assert!(said.contains("at the next start the flag --max-upload goes before it"), "{said}");

    servent.kill9();
    fs::write(servent.state().join("settings"), "torn").unwrap();
    servent.restart();
    let aside = fs::read_dir(servent.state()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("settings.bad-")
    });
    assert_eq!(aside.count(), 1);
}

#[test]
fn looking_where_nobody_can_be_found_says_so_and_why_and_no_number() {
    let servent = TestServent::start(Start::default());
    let why = "this servent listens where only this machine can dial it";
    assert!(done(&servent, &["set", "lan", "on"]).contains(why));
    assert!(done(&servent, &["set", "lan"]).contains(why));
    let status = done(&servent, &["status"]);
    assert!(status.contains(&format!("nobody can be found: {why}")), "{status}");
    assert!(!status.contains("0 servents found"), "{status}");
    assert!(!done(&servent, &["set", "lan", "off"]).contains(why));
    wait_until("it is forgotten", || servent.status().lan_error.is_none());
}

#[test]
fn a_setting_that_makes_no_sense_is_refused_and_changes_nothing() {
    let servent = TestServent::start(Start::default());
    for (words, said) in [
        (&["set", "max-uplaod", "1MB"][..], "did you mean 'max-upload'?"),
        (&["set", "colour"], "there are max-upload, max-download,"),
        (&["set", "max-upload", "fast"], "set max-upload: a rate is wanted"),
        (&["set", "serve", "maybe"], "set serve: on or off is wanted"),
        (&["set", "--forget"], "set "),
        (&["set", "name", "a\u{7}b"], "set name: at most 64 bytes"),
        (&["serve"], "serve wants on|off"),
        (&["serve", "perhaps"], "'perhaps' is not on or off"),
        (&["limits", "all"], "limits does not take 'all'"),
    ] {
        let answer = servent.ctl(words);
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{words:?}");
        assert!(answer.err.contains(said), "{words:?}: {}", answer.err);
        let json = servent.ctl(&[&["--json"], words].concat());
        assert!(json.out.contains("\"reply\":\"error\",\"kind\":\"usage\""), "{}", json.out);
    }
    assert!(!servent.state().join("settings").exists());
    let limits = done(&servent, &["limits"]);
    assert!(limits.lines().any(|line| line.contains("hops of a search") && line.contains('8')));
}

#[test]
fn a_cap_that_is_turned_counts_for_the_transfer_that_runs() {
    let publisher = TestServent::start(Start::with(&["--max-upload", "200kB"]));
    publish(&publisher, "large file.iso", 24_000_000);
    let receiver = TestServent::start(Start::default());
    done(&receiver, &["join", &publisher.invitation()]);
    receiver.search(&["large"]);
    done(&receiver, &["download", "1"]);
    let sent = || publisher.status().sent;
    wait_until("the first bytes", || sent() > 0);

    // Up: as much as would have taken ten seconds, and not faster than it may be.
    done(&publisher, &["set", "max-upload", "1MB"]);
    let (before, began) = (sent(), Instant::now());
    wait_by(began + Duration::from_secs(8), "a faster upload", || sent() - before >= 2_000_000);
    assert!(began.elapsed() >= Duration::from_millis(1_200), "{:?}", began.elapsed());

    // Down: a frame of before may still be on its way.
    done(&publisher, &["set", "max-upload", "100kB"]);
    let (before, began) = (sent(), Instant::now());
    wait_until("a slower upload", || sent() - before >= 300_000);
    assert!(began.elapsed() >= Duration::from_millis(1_200), "{:?}", began.elapsed());

    // The receiver's own cap, then none at all: the rest would take minutes.
    done(&receiver, &["set", "max-download", "off"]);
    done(&publisher, &["set", "max-upload", "off"]);
    wait_until("the end", || matches!(download(&receiver).state, DownloadState::Done { .. }));
}

#[test]
fn who_stops_serving_stays_in_the_mesh_and_gives_nothing_until_serving_again() {
    let mut publisher = TestServent::start(Start::with(&["--max-upload", "200kB"]));
    publish(&publisher, "large file.iso", 12_000_000);
    let receiver = TestServent::start(Start::default());
    done(&receiver, &["join", &publisher.invitation()]);
    assert_eq!(receiver.search(&["large"]).0.len(), 1);
    done(&receiver, &["download", "1"]);
    wait_until("the first bytes", || publisher.status().sent > 0);

    let said = done(&publisher, &["serve", "off"]);
    assert_eq!(said, "others are given no files and no hits until 'serve on'\n");
    let soon = Instant::now() + Duration::from_secs(2);
    wait_by(soon, "the end of the upload", || publisher.status().uploads == 0);
    assert!(!publisher.status().serving);
    let status = done(&publisher, &["status"]);
    assert!(status.contains("nobody is given any: serve is off"), "{status}");
    // The source is kept: it is only busy.
    wait_until("a download that waits", || match download(&receiver).state {
        DownloadState::Waiting { why } => why.contains("gives nothing at present"),
        DownloadState::Running => false,
        over => panic!("{over:?}"),
    });
    assert_eq!(download(&receiver).sources, 1);
    let (hits, end) = receiver.search(&["large"]);
    assert_eq!((hits.len(), end.asked, end.lost, end.by_timer), (0, 1, 0, false));

    publisher.kill9();
    publisher.restart();
    assert!(!publisher.status().serving, "it is remembered");
    done(&publisher, &["serve", "on"]);
    publish(&publisher, "small.txt", 1000);
    done(&receiver, &["join", &publisher.invitation()]);
    assert_eq!(receiver.search(&["small"]).0.len(), 1);
    assert_eq!(receiver.ctl(&["download", "1", "--wait"]).code, 0);
}

/// The line that `servent` invites with, which must be all that it prints.
fn invitation(servent: &TestServent, words: &[&str]) -> (String, String) {
    let answer = servent.ctl(&[&["invite"], words].concat());
    assert_eq!((answer.code, answer.out.lines().count()), (0, 1), "{}", answer.out);
    (answer.out.trim_end().to_owned(), answer.err)
}

fn key_file(home: &Path) -> String {
    let mut make = part2part(home);
    make.args(["network-key", "new", "mesh.key"]);
    assert_eq!(run(make).0, 0);
    home.join("mesh.key").display().to_string()
}

#[test]
fn the_line_that_invite_prints_is_all_that_a_friend_needs() {
    let host = TestServent::start(Start::with(&["--name", "attic"]));
    let (line, note) = invitation(&host, &[]);
    assert_eq!(line, host.invitation());
    assert!(note.starts_with("note: only this machine can use this line"), "{note}");
    match host.replies(&["invite"]).remove(0) {
        Reply::Invitation(report) => {
            assert_eq!((report.line.as_str(), report.id), (line.as_str(), host.id()));
            assert_eq!(report.addresses, [host.addr()]);
            assert!(!report.private && !report.with_key && !report.qr);
        }
        other => panic!("{other:?}"),
    }
    let drawn = host.ctl(&["invite", "--qr"]);
    assert!(drawn.out.starts_with(&line) && drawn.out.lines().count() > 15, "{}", drawn.out);
    assert!(drawn.out.lines().all(|line| line.chars().count() <= 80), "{}", drawn.out);
    assert!(!drawn.out.contains('\x1b'), "no colours into a pipe");
    let (_, note) = invitation(&host, &["--key"]);
    assert!(note.contains("the mesh is open: there is no key to add"), "{note}");

    let friend = TestServent::start(Start::with(&["--join", &line]));
    friend.wait_for_neighbours(1);
    // An address where nobody is, before the one that is right.
    let several = TestServent::start(Start::default());
    let with_dead = line.replace('@', "@127.0.0.1:1,[::1]:1,");
    assert!(done(&several, &["join", &with_dead]).starts_with("joined attic~"));
    // The id is checked, whoever answers.
    let other = line.replace(&host.id().to_string(), &friend.id().to_string());
    let refused = TestServent::start(Start::with(&["--manual"])).ctl(&["join", &other]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains(&host.id().short()), "{}", refused.err);

    let outside = TestServent::start(Start::with(&["--announce", "198.51.100.4:9"]));
    let (line, note) = invitation(&outside, &[]);
    assert_eq!((line, note.as_str()), (format!("{}@198.51.100.4:9", outside.id()), ""));
}

#[test]
fn a_line_with_its_key_leads_into_a_private_mesh_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_file(folder.path());
    let member = TestServent::start(Start::with(&["--network-key", &key]));
    let (bare, note) = invitation(&member, &[]);
    assert!(note.contains(&format!("or copy {key}")), "{note}");
    let (line, note) = invitation(&member, &["--key"]);
    assert!(note.contains("whoever has this line is a member"), "{note}");
    assert!(line.starts_with(&format!("{bare}#")) && line.len() == bare.len() + 53, "{line}");

    // Who has friends in the open mesh leaves them first.
    let old_friend = TestServent::start(Start::default());
    let mut friend = TestServent::start(Start::default());
    done(&friend, &["join", &old_friend.invitation()]);
    assert!(friend.ctl(&["join", &bare]).err.contains("the keys differ"));
    let refused = friend.ctl(&["join", &line]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("'leave' first, then join again"), "{}", refused.err);
    assert!(!friend.status().private);
    done(&friend, &["leave"]);
    let said = done(&friend, &["join", &line]);
    assert!(said.contains("from now on, also at later starts"), "{said}");
    friend.wait_for_neighbours(1);
    assert_eq!(friend.peers(false)[0].id, member.id());
    assert!(friend.status().private);
    assert_eq!(settings(&friend, "mesh"), ("private".to_owned(), "set".to_owned()));
    // Again is no change, and a member invites others.
    let again = done(&friend, &["join", &line]);
    assert!(!again.contains("from now on"), "{again}");
    assert_eq!(
        invitation(&friend, &["--key"]).0.split_once('#').unwrap().1,
        &line[bare.len() + 1..]
    );

    let kept = friend.state().join("network.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(friend.ctl(&["publish", kept.to_str().unwrap()]).code, 1, "a key is not shared");

    // It is back there by itself: each mesh has a host cache of its own.
    let id = member.id().to_string();
    let known = || {
        fs::read_dir(friend.state()).unwrap().any(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = friend.state().join(&name);
            let whole = name.starts_with("hosts-") && !name.ends_with(".tmp");
            whole && fs::read_to_string(path).unwrap().contains(&id)
        })
    };
    wait_until("the host cache of the private mesh", known);
    friend.kill9();
    friend.restart();
    friend.wait_for_neighbours(1);
    assert!(friend.status().private);
    assert!(friend.peers(false).iter().all(|peer| peer.id == member.id()));

    assert!(friend.ctl(&["set", "mesh", "open"]).err.contains("'leave' first"));
    done(&friend, &["leave"]);
    assert!(done(&friend, &["set", "mesh", "open"]).starts_with("mesh is open (default)"));
    assert!(!friend.status().private && !kept.exists());
    assert!(!friend.state().join("network.key.old").exists());
    assert!(friend.ctl(&["join", &bare]).err.contains("the keys differ"));
    done(&friend, &["join", &old_friend.invitation()]);
    assert!(friend.peers(false).iter().all(|peer| peer.id == old_friend.id()));

    let said = member.ctl(&["set", "mesh", "open"]).err;
    assert!(said.contains("comes from flag --network-key"), "{said}");
}

#[test]
fn a_servent_that_is_started_with_such_a_line_is_never_in_the_open_mesh() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_file(folder.path());
    let member = TestServent::start(Start::with(&["--network-key", &key]));
    let (line, _) = invitation(&member, &["--key"]);
    let mut friend = TestServent::start(Start::with(&["--join", &line]));
    assert!(friend.status().private, "before it has met anybody");
    friend.wait_for_neighbours(1);
    friend.stop();
    friend.restart_with(Start::default());
    assert!(friend.status().private);
    let state = friend.state().display().to_string();
    let shown = config(friend.home(), &["--state", &state], &[], "network-key");
    assert_eq!(shown, ("in the state folder".to_owned(), "set".to_owned()));
    // What shows settings may be shown around; a key may not.
    let (shown, _) = config(friend.home(), &["--join", &line], &[], "join");
    assert_eq!(shown, format!("{}#...", line.split_once('#').unwrap().0));

    // A key that is lost to damage opens nothing.
    friend.kill9();
    for file in ["network.key", "network.key.old"] {
        fs::write(friend.state().join(file), "torn").unwrap();
    }
    friend.restart();
    assert!(friend.status().private);
    assert!(friend.ctl(&["join", &member.invitation()]).err.contains("the keys differ"));
    assert!(friend.ctl(&["join", &line]).out.contains("from now on"));
    friend.wait_for_neighbours(1);
}

#[test]
fn a_line_that_makes_no_sense_is_refused_by_its_part() {
    let servent = TestServent::start(Start::with(&["--manual"]));
    let id = servent.id();
    for (words, said) in [
        (vec!["join".to_owned(), "a:1,b:2".to_owned()], "several addresses belong to one servent"),
        (vec!["join".to_owned(), format!("{id}@a:1,,b")], "no host is named"),
        (vec!["join".to_owned(), format!("{id}@a:1#secret")], "no key of a mesh"),
        (vec!["join".to_owned(), "#secret".to_owned()], "a key alone lets nobody in"),
        (vec!["join".to_owned(), "you@a:1".to_owned()], "no servent id"),
        (vec!["invite".to_owned(), "me".to_owned()], "invite does not take 'me'"),
        (["set", "mesh", "private"].map(str::to_owned).to_vec(), "only open is wanted here"),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = servent.ctl(&words);
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{words:?}: {}", answer.err);
        assert!(answer.err.contains(said), "{words:?}: {}", answer.err);
    }
    let mut start = part2part(servent.home());
    start.args(["daemon", "--join", &format!("{id}@a:1#secret")]);
    let (code, _, err) = run(start);
    assert_eq!(code, 2);
    assert!(err.contains("no key of a mesh") && !err.contains("secret"), "{err}");
}
