//! The prompt, as a person at a terminal has it.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;

use common::servent::{Start, TestServent};
use rustix::process::Signal;
use seat::{CTRL_C, Desk, PROMPT, Seat, UP};

mod attach;
mod bars;
#[path = "../common/mod.rs"]
mod common;
mod evening;
mod seat;
mod storm;

#[test]
fn whoever_sits_down_is_greeted_and_told_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(": you are ");
    seat.see("listening on 127.0.0.1:");
    seat.see("nothing is shared yet; 'publish PATH' shares a file or a folder");
    seat.see("You are alone.");
    seat.see(PROMPT);
    seat.leave();
}

#[test]
fn a_search_shows_its_hits_and_how_it_ended() {
    let other = TestServent::start(Start::default());
    fs::write(other.home().join("crab.txt"), "sideways").unwrap();
    assert_eq!(other.ctl(&["publish", "crab.txt"]).code, 0);
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    seat.enter(&format!("join {}", other.invitation()), " at 127.0.0.1:");
    seat.enter("search crab", "asked 1 servent within 8 hops, all answered: 1 file");
    seat.enter("results", "crab.txt");
    seat.enter("download 1 --wait", "verified: same as b3sum");
    seat.enter("search cray", "asked 1 servent within 8 hops, all answered: nobody has it");
    assert_eq!(seat.count("verified: same as b3sum"), 1, "told once, not as news as well");
    seat.leave();
    assert_eq!(fs::read_to_string(home.path().join("downloads/crab.txt")).unwrap(), "sideways");
}

#[test]
fn a_bad_line_gets_a_sentence_and_another_prompt() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    for (line, answer) in [
        ("serach x", "error: there is no command 'serach'; did you mean 'search'?"),
        ("search", "error: search wants at least one word to look for"),
        ("publish", "usage: publish PATH... [--yes | --as NAME]"),
        ("publish /no/such/file", "error: there is no /no/such/file"),
        ("download 99", "error: there is no result 99: nothing has been found"),
        ("join 127.0.0.1:1", "error: cannot join 127.0.0.1:1: nobody listens there"),
        ("say \"hello", "error: a quote is opened and not closed"),
        ("shared", "nothing is shared; 'publish PATH'"),
    ] {
        seat.enter(line, answer);
    }
    seat.leave();
}

#[test]
fn tab_completes_commands_and_paths_with_spaces() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("two words.txt"), "x").unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    seat.enter("publ\ttwo\t", "sharing 1 file, 1 B in ");
    seat.enter("share\t", "1 file, 1 B");
    seat.enter("unp\ttwo\t", "1 file, 1 B no longer shared");
    seat.leave();
}

#[test]
fn tab_completes_hits_by_name_and_what_is_published() {
    let other = TestServent::start(Start::default());
    for name in ["crab one.txt", "crab two.txt"] {
        fs::write(other.home().join(name), name).unwrap();
    }
    assert_eq!(other.ctl(&["publish", "crab one.txt", "crab two.txt"]).code, 0);
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("own name.txt"), "x").unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    seat.enter(&format!("join {}", other.invitation()), " at 127.0.0.1:");
    seat.enter("search crab", ": 2 files");
    seat.press("download \t\t");
    seat.see_screen("both hits in a list", |screen| {
        ["1  crab ", "2  crab ", "one.txt 12 B", "two.txt 12 B"]
            .iter()
            .all(|part| screen.contains(part))
    });
    seat.press("2\t--wa\t\r");
    seat.see("verified: same as b3sum");
    seat.see(PROMPT);
    seat.enter("publ\town\t", "sharing 1 file");
    seat.enter("unpublish own\t", "1 file, 1 B no longer shared");
    seat.leave();
}

#[test]
fn the_name_of_a_hit_is_a_faint_hint_that_is_never_typed() {
    let other = TestServent::start(Start::default());
    fs::write(other.home().join("crab.txt"), "sideways").unwrap();
    assert_eq!(other.ctl(&["publish", "crab.txt"]).code, 0);
    let home = tempfile::tempdir().unwrap();
    let desk = Desk { colour: true, ..Desk::default() };
    let mut seat = Seat::take_at(desk, home.path(), &[]);
    seat.see(PROMPT);
    seat.enter(&format!("join {}", other.invitation()), " at 127.0.0.1:");
    seat.enter("search crab", ": 1 file");
    seat.press("download 1");
    seat.see("\x1b[2m  crab.txt 8 B\x1b[0m");
    seat.press("\x1b[C --wait\r");
    seat.see("verified: same as b3sum");
    seat.see(PROMPT);
    seat.leave();
}

#[test]
fn ctrl_c_clears_the_line_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    seat.press("quit");
    seat.see("quit");
    seat.press(CTRL_C);
    seat.see(PROMPT);
    seat.enter("news on", "neighbours that come and go are told of");
    seat.leave();
}

#[test]
fn several_lines_can_be_pasted_at_once() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    seat.press("\x1b[200~news on\nshared\n\nnews off\x1b[201~\r");
    seat.see("neighbours that come and go are told of");
    seat.see("nothing is shared");
    seat.see("neighbours come and go in silence");
    seat.see(PROMPT);
    seat.enter(&format!("{UP}{UP}"), "nothing is shared");
    seat.leave();
}

#[test]
fn an_error_is_red_where_colour_is_welcome() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take_at(Desk { colour: true, ..Desk::default() }, home.path(), &[]);
    seat.see(PROMPT);
    seat.enter("serach x", "\x1b[31merror:\x1b[0m there is no command 'serach'");
    seat.leave();
}

#[test]
fn the_history_survives_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    seat.enter("news off", "neighbours come and go in silence");
    seat.signal(Signal::KILL);
    seat.see_death();

    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    seat.enter(UP, "neighbours come and go in silence");
    seat.leave();
}

#[test]
fn a_servent_is_published_and_joined_from_the_command_line() {
    let other = TestServent::start(Start::default());
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("own.txt"), "own").unwrap();
    let mut seat = Seat::take(home.path(), &["--share", "own.txt", "--join", &other.invitation()]);
    seat.see("sharing 1 file, 3 B in ");
    seat.see("joined ");
    assert_eq!(other.search(&["own"]).0.len(), 1);
    seat.leave();
}
