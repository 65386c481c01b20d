//! The program as a script sees it: streams and exit codes.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn part2part(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_part2part"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PART2PART_") {
            command.env_remove(name);
        }
    }
    command.env("PART2PART_STATE", state).env("PART2PART_DOWNLOADS", state.join("downloads"));
    command.env("XDG_CONFIG_HOME", state).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Feeds `lines` to a servent of its own.
fn script(lines: &str) -> Output {
    let state = tempfile::tempdir().unwrap();
    let mut command = part2part(state.path());
    command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::piped());
    let mut servent = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    servent.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    servent.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn bad_lines_get_a_sentence_each_and_lose_nothing() {
    let output = script("serach x\nsearch\nresults 99\n# a comment\n\nshared\n");
    let errors = text(&output.stderr);
    assert!(errors.contains("no command 'serach'; did you mean 'search'?"), "{errors}");
    assert!(errors.contains("search wants at least one word"), "{errors}");
    assert!(errors.contains("there is no result 99: nothing has been found"), "{errors}");
    assert_eq!(text(&output.stdout).lines().count(), 1, "only `shared` answers");
    assert_eq!(output.status.code(), Some(1), "the last command that failed is `results`");
}

#[test]
fn a_script_that_only_asks_ends_well() {
    let output = script("shared\nquit\nserach\n");
    assert_eq!(output.status.code(), Some(0), "nothing after quit is obeyed");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn without_a_servent_ctl_says_so() {
    let state = tempfile::tempdir().unwrap();
    let output = part2part(state.path()).args(["ctl", "status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("no servent runs on"));
    let output = part2part(state.path()).args(["ctl", "serach"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "usage needs no servent");
}

#[test]
fn a_daemon_says_where_it_is_answers_ctl_and_stops_on_quit() {
    let state = tempfile::tempdir().unwrap();
    let mut command = part2part(state.path());
    command.args(["daemon", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut daemon = command.spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with("listening on 127.0.0.1:"), "{ready}");

    let ctl = |words: &[&str]| part2part(state.path()).arg("ctl").args(words).output().unwrap();
    let status = ctl(&["--json", "status"]);
    assert_eq!(status.status.code(), Some(0));
    let lines: Vec<_> = text(&status.stdout).lines().collect();
    assert!(lines[0].starts_with("{\"v\":1,\"reply\":\"status\""), "{lines:?}");
    assert_eq!(lines[1..], ["{\"v\":1,\"reply\":\"exit\",\"code\":0}"]);
    assert_eq!(ctl(&["results", "1"]).status.code(), Some(1));

    let quit = ctl(&["quit"]);
    assert_eq!(text(&quit.stdout), "goodbye\n");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert_eq!(ctl(&["status"]).status.code(), Some(3));
}

#[test]
fn an_output_that_closes_early_panics_nothing() {
    let state = tempfile::tempdir().unwrap();
    let mut command = part2part(state.path());
    command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::piped());
    let mut servent = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(servent.stdout.take());
    servent.stdin.take().unwrap().write_all(b"help\nhelp\nhelp\n").unwrap();
    let output = servent.wait_with_output().unwrap();
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
}

/// Feeds what the program prints to `checker`, and answers what that complained about;
/// none where there is no such checker.
fn checked(words: &[&str], checker: &[&str]) -> Option<String> {
    let state = tempfile::tempdir().unwrap();
    let printed = part2part(state.path()).args(words).output().unwrap();
    assert_eq!((printed.status.code(), text(&printed.stderr)), (Some(0), ""), "{words:?}");
    let file = state.path().join("printed");
    std::fs::write(&file, printed.stdout).unwrap();
    let output = Command::new(checker[0]).args(&checker[1..]).arg(&file).output().ok()?;
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    Some(if output.status.success() { said } else { format!("{}\n{said}", output.status) })
}

#[test]
fn shells_and_typesetters_take_the_generated_texts_without_complaint() {
    let checks = [
        (&["completions", "bash"][..], &["bash", "-n"][..]),
        (&["completions", "zsh"], &["zsh", "-n"]),
        (&["completions", "fish"], &["fish", "-n"]),
        (&["man"], &["groff", "-man", "-Tutf8", "-ww", "-z"]),
        (&["man"], &["mandoc", "-Tlint", "-W", "error"]),
    ];
    let told: Vec<_> = checks.iter().filter_map(|(words, by)| checked(words, by)).collect();
    assert!(!told.is_empty(), "at least bash is there");
    assert!(told.iter().all(String::is_empty), "{told:?}");
    let state = tempfile::tempdir().unwrap();
    let output = part2part(state.path()).args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn bash_completes_the_programs_words_from_what_it_prints() {
    let state = tempfile::tempdir().unwrap();
    let printed = part2part(state.path()).args(["completions", "bash"]).output().unwrap();
    let asked = "COMP_WORDS=(part2part daemon --max-u); COMP_CWORD=2; \
                 _part2part part2part --max-u daemon; echo \"${COMPREPLY[@]}\"";
    let script = format!("{}\n{asked}\n", text(&printed.stdout));
    let bash = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(text(&bash.stdout).trim(), "--max-upload", "{}", text(&bash.stderr));
}
