//! What is waited for in the foreground.

use std::fs::{self, File};

use tempfile::TempDir;

use crate::common::servent::{Start, TestServent};
use crate::seat::{CTRL_C, CTRL_D, Desk, PROMPT, Seat};

/// Somebody who has found `names`, 12 MB each, at a servent that sends 300 kB a second.
fn before_slow_files(desk: Desk, names: &[&str]) -> (TestServent, TempDir, Seat) {
    let other = TestServent::start(Start::with(&["--max-upload", "300kB"]));
    for (number, name) in (1..).zip(names) {
        fs::write(other.home().join(name), vec![number; 12_000_000]).unwrap();
        assert_eq!(other.ctl(&["publish", name]).code, 0);
    }
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take_at(desk, home.path(), &[]);
    seat.see(PROMPT);
    seat.enter(&format!("join {}", other.invitation()), "joined ");
    seat.enter("search slow", &format!(": {} file", names.len()));
    (other, home, seat)
}

#[test]
fn ctrl_c_puts_a_download_into_the_background_and_wait_returns_to_it() {
    let (_other, _home, mut seat) = before_slow_files(Desk::default(), &["slow.iso"]);
    seat.press("download 1 --wait\r");
    seat.see("1 slow.iso [");
    seat.press(CTRL_C);
    seat.see("download 1 goes on in the background; 'wait 1' returns to it");
    seat.see(PROMPT);
    // Nothing is left of the bar.
    assert!(!seat.screen().contains('['), "{}", seat.screen());
    seat.enter("downloads", " of 1 sources");
    seat.press("wait 1\r");
    seat.see("1 slow.iso [");
    seat.press(CTRL_C);
    seat.see("goes on in the background");
    seat.see(PROMPT);
    seat.press(CTRL_D);
    seat.see("goodbye; 1 download stops");
    seat.see_end(0);
}

#[test]
fn all_that_is_waited_for_has_a_bar_each() {
    let (_other, _home, mut seat) =
        before_slow_files(Desk::default(), &["slow one.iso", "slow two.iso"]);
    seat.enter("download 1", "download 1 ");
    seat.enter("download 2", "download 2 ");
    seat.press("wait\r");
    seat.see_screen("two bars, one below the other", |screen| {
        let lines: Vec<_> = screen.trim_end().lines().rev().take(2).collect();
        lines.len() == 2
            && lines[1].starts_with("1 slow ")
            && lines[0].starts_with("2 slow ")
            && lines.iter().all(|line| line.contains('['))
    });
    seat.press(CTRL_C);
    seat.see("downloads 1 and 2 go on in the background; 'wait' returns to them");
    seat.see(PROMPT);
    seat.press(CTRL_D);
    seat.see("goodbye; 2 downloads stop");
    seat.see_end(0);
}

#[test]
fn a_bar_fits_forty_columns_and_follows_the_size_of_the_terminal() {
    let desk = Desk { columns: 100, rows: 24, ..Desk::default() };
    let (_other, _home, mut seat) = before_slow_files(desk, &["slow with a long name.iso"]);
    seat.press("download 1 --wait\r");
    let is_bar = |line: &str| line.starts_with("1 slow") && line.contains("] ");
    seat.see_screen("a bar", |screen| screen.lines().any(is_bar));
    seat.resize(40, 24);
    seat.see_screen("a bar for forty columns, and no other", |screen| {
        let bars: Vec<_> = screen.lines().filter(|line| line.contains('[')).collect();
        bars.len() == 1 && is_bar(bars[0]) && bars[0].contains("/s")
    });
    assert!(seat.screen().lines().all(|line| line.chars().count() <= 40));
    seat.press(CTRL_C);
    seat.see("goes on in the background");
    seat.see(PROMPT);
    seat.press(CTRL_D);
    seat.see_end(0);
}

#[test]
fn a_dumb_terminal_gets_plain_lines_and_no_bar() {
    let desk = Desk { term: "dumb", ..Desk::default() };
    let (_other, _home, mut seat) = before_slow_files(desk, &["slow.iso"]);
    seat.press("download 1 --wait\r");
    seat.see("download 1 \"slow.iso\": 12.0 MB");
    seat.press(CTRL_C);
    seat.see("download 1 goes on in the background");
    seat.see(PROMPT);
    assert!(!seat.screen().contains('['), "{}", seat.screen());
    assert!(!seat.has_written("\x1b["), "no escapes for a terminal that takes none");
    seat.press("quit\r");
    seat.see("goodbye; 1 download stops");
    seat.see_end(0);
}

#[test]
fn ctrl_c_stops_hashing_and_says_what_is_shared() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("share");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.txt"), "abc").unwrap();
    // Long enough to be interrupted, and made of nothing.
    File::create(folder.join("b.img")).unwrap().set_len(200_000_000_000).unwrap();
    let desk = Desk { columns: 60, ..Desk::default() };
    let mut seat = Seat::take_at(desk, home.path(), &[]);
    seat.see(PROMPT);
    seat.press("publish share\r");
    seat.see_screen("the file in hand", |screen| {
        screen
            .trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("hashing: ") && line.ends_with("/b.img"))
    });
    seat.press(CTRL_C);
    seat.see("hashing stopped; 1 file, 3 B are shared in all, and\r\n'publish' again");
    seat.see(PROMPT);
    assert!(!seat.screen().contains("hashing: "), "{}", seat.screen());
    seat.leave();
}
