//! A prompt, or a script, on a servent that runs already.

use std::io::Write;

use crate::common::servent::{Start, TestServent, part2part, wait_until};
use crate::seat::{CTRL_C, CTRL_D, Desk, PROMPT, Seat};

fn attach(servent: &TestServent, args: &[&str]) -> Seat {
    let mut seat = Seat::sit(Desk::default(), servent.home(), args);
    seat.see(&format!("attached to the running servent (pid {})", servent.pid()));
    seat.see(PROMPT);
    seat
}

/// Runs `lines` as a script on `servent`: its exit code, output and errors.
fn script(servent: &TestServent, lines: &str, args: &[&str]) -> (i32, String, String) {
    let mut command = part2part(servent.home());
    command.arg("--state").arg(servent.state()).args(args);
    let piped = std::process::Stdio::piped;
    command.stdin(piped()).stdout(piped()).stderr(piped());
    let mut child = command.spawn().unwrap();
    // It may be refused before it reads.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_attached_prompt_drives_the_servent_and_leaves_it_running() {
    let servent = TestServent::start(Start::default());
    std::fs::write(servent.home().join("two words.txt"), "own").unwrap();
    let mut seat = attach(&servent, &[]);
    seat.enter("publish two\\ words.txt", "sharing 1 file, 3 B in ");
    seat.enter("shared", "two words.txt");
    seat.press(CTRL_D);
    seat.see("detached; the servent goes on");
    seat.see_end(0);
    assert_eq!(servent.status().shared_files, 1);

    let mut seat = attach(&servent, &[]);
    seat.press("quit\r");
    seat.see("detached");
    seat.see_end(0);
    assert_eq!(servent.ctl(&["status"]).code, 0);
}

#[test]
fn news_come_to_the_attached_prompt_that_wants_them() {
    let servent = TestServent::start(Start::default());
    let mut seat = attach(&servent, &[]);
    let mut other = attach(&servent, &[]);
    seat.enter("news on", "neighbours that come and go are told of");
    let friend =
        TestServent::start(Start::with(&["--name", "attic", "--join", &servent.invitation()]));
    seat.see("neighbour attic~");
    seat.see(" came");
    assert!(!other.screen().contains("attic"), "{}", other.screen());
    drop(friend);
    seat.see(" went");
}

#[test]
fn quit_stop_ends_the_servent_from_an_attached_prompt() {
    let mut servent = TestServent::start(Start::default());
    let mut other = attach(&servent, &[]);
    let mut seat = attach(&servent, &[]);
    seat.press("quit --stop\r");
    seat.see("goodbye");
    seat.see_end(0);
    wait_until("the end of the servent", || servent.exited().is_some());
    // Whoever else was attached is told, and gone.
    other.see("part2part: the servent has stopped, and this prompt with it");
    other.see_end(3);
}

#[test]
fn a_servent_that_is_killed_ends_the_attached_prompt_with_a_sentence() {
    let mut servent = TestServent::start(Start::default());
    let mut seat = attach(&servent, &[]);
    seat.press("half a line");
    seat.see("half a line");
    servent.kill9();
    seat.see("part2part: the servent has stopped");
    seat.see_end(3);
}

#[test]
fn a_command_of_an_attached_prompt_is_interrupted_alone() {
    let servent = TestServent::start(Start::default());
    let mut seat = attach(&servent, &[]);
    seat.press("news follow\r");
    seat.see("news as they come");
    seat.press(CTRL_C);
    seat.see("interrupted");
    seat.see(PROMPT);
    seat.enter("shared", "nothing is shared");
    seat.press(CTRL_D);
    seat.see_end(0);
}

#[test]
fn a_script_attaches_as_well_and_obeys_join_and_share() {
    let servent = TestServent::start(Start::default());
    let friend = TestServent::start(Start::default());
    std::fs::write(servent.home().join("a.txt"), "a").unwrap();
    let (code, out, err) = script(
        &servent,
        "shared\npeers\nnonsense\n",
        &["--share", "a.txt", "--join", &friend.invitation()],
    );
    assert_eq!(code, 2, "{err}");
    assert!(out.contains("sharing 1 file") && out.contains("joined "), "{out}");
    assert!(out.contains(&friend.addr().to_string()), "{out}");
    assert!(err.contains("no command 'nonsense'"), "{err}");
    assert_eq!(script(&servent, "quit\n", &[]).0, 0);
    assert_eq!((servent.status().neighbours, servent.status().shared_files), (1, 1));
    let (code, out, _) = script(&servent, "quit --stop\n", &[]);
    assert_eq!((code, out.as_str()), (0, "goodbye\n"));
}

#[test]
fn a_flag_that_cannot_act_on_a_running_servent_is_refused() {
    let servent = TestServent::start(Start::default());
    for flags in [&["--listen", ":0"][..], &["--name", "x"], &["--manual"], &["--max-upload=1MB"]] {
        let (code, out, err) = script(&servent, "status\n", flags);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        let flag = flags[0].split('=').next().unwrap();
        assert!(err.contains(&format!("{flag} says how a servent starts")), "{err}");
    }
    let mut daemon = part2part(servent.home());
    daemon.args(["daemon", "--listen", ":0", "--state"]).arg(servent.state());
    let refused = daemon.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn news_can_be_followed_by_a_program() {
    let servent = TestServent::start(Start::default());
    let mut command = part2part(servent.home());
    command.args(["ctl", "--json", "--state"]).arg(servent.state()).args(["news", "follow"]);
    let out = servent.home().join("followed");
    command.stdout(std::fs::File::create(&out).unwrap());
    let mut follower = command.spawn().unwrap();
    let said = || std::fs::read_to_string(&out).unwrap();
    wait_until("the first line", || said().contains("\"notice\""));
    let friend = TestServent::start(Start::with(&["--join", &servent.invitation()]));
    wait_until("the friend in the news", || said().contains("neighbour_up"));
    assert!(said().contains(&friend.id().to_string()));
    assert!(said().lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert_eq!(servent.ctl(&["quit"]).code, 0);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}
