//! A person's evening, from being alone to a file that outlived two deaths.

use std::fs;

use rustix::process::Signal;

use crate::common::servent::wait_until;
use crate::seat::{CTRL_C, CTRL_D, PROMPT, Seat};

/// What a friend is handed: the line that `invite` prints.
fn invitation(seat: &mut Seat) -> String {
    let mut line = String::new();
    seat.press("invite\r");
    seat.see_screen("an invitation", |screen| {
        let invited = screen.lines().find(|line| line.contains("@127.0.0.1:"));
        line = invited.unwrap_or_default().trim().to_owned();
        !line.is_empty()
    });
    seat.see(PROMPT);
    line
}

#[test]
fn an_evening_ends_with_the_file_whatever_died_on_the_way() {
    let (ann_home, bob_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let music = ann_home.path().join("music");
    fs::create_dir(&music).unwrap();
    let train: Vec<u8> = (0..24_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(music.join("blue train (live).flac"), &train).unwrap();
    fs::write(music.join("green.ogg"), "green").unwrap();

    // Alone, and told what to do about it.
    let mut ann = Seat::take(ann_home.path(), &["--name", "ann"]);
    ann.see("You are alone. 'invite' prints a line for a friend");
    ann.see(PROMPT);
    let line = invitation(&mut ann);
    let address = line.rsplit('@').next().unwrap().to_owned();
    ann.enter("set max-upload 4MB", "max-upload is 4MB");

    // A friend joins by that line.
    let mut bob = Seat::take(bob_home.path(), &["--name", "bob"]);
    bob.see(PROMPT);
    bob.enter(&format!("join {line}"), "joined ann~");
    ann.enter("publish music", "sharing 2 files, 24.0 MB in ");
    bob.enter("search blue", "asked 1 servent within 8 hops, all answered: 1 file");
    bob.enter("results", "  1 source");

    // In front, then behind, while something else is looked for.
    bob.press("download 1 --wait\r");
    bob.see("] ");
    bob.see_screen("a bar that moves", |screen| screen.contains("MB/s"));
    bob.press(CTRL_C);
    bob.see("download 1 goes on in the background; 'wait 1' returns to it");
    bob.see(PROMPT);
    bob.enter("search green", ": 1 file");
    bob.enter("downloads", "blue train (live).flac");
    ann.enter("uploads", "to bob~");

    // Its only source dies; the downloader goes to bed.
    ann.signal(Signal::KILL);
    ann.see_death();
    bob.see("lost its only source ann~");
    bob.press(CTRL_D);
    bob.see("goodbye; 1 download stops, and goes on at the next start");
    bob.see_end(0);

    // Both come back, the source where it was, and nothing is typed.
    let bob_again = ["--name", "bob"];
    let mut bob = Seat::take(bob_home.path(), &bob_again);
    bob.see(PROMPT);
    let mut ann = Seat::sit(
        crate::seat::Desk::default(),
        ann_home.path(),
        &["--name", "ann", "--listen", &address],
    );
    ann.see("sharing 2 files in 1 folder, 24.0 MB");
    ann.see(PROMPT);
    ann.enter("set max-upload off", "max-upload is off");
    bob.see("back in the mesh: 1 neighbour; sharing ");
    bob.see("; 1 download resumed");
    let file = bob_home.path().join("downloads/blue train (live).flac");
    wait_until("the file", || file.exists());
    assert!(fs::read(&file).unwrap() == train);
    ann.see("\"blue train (live).flac\" delivered to bob~");
    bob.enter("downloads", "done");
    bob.leave();
    ann.leave();
}

#[test]
fn a_line_with_the_key_of_a_private_mesh_is_kept_in_no_history() {
    let home = tempfile::tempdir().unwrap();
    let mut seat = Seat::take(home.path(), &[]);
    seat.see(PROMPT);
    let id = "a".repeat(52);
    seat.enter(&format!("join {id}@127.0.0.1:1#{id}"), "error: ");
    seat.enter("status", "incidents");
    seat.leave();
    let history = fs::read_to_string(home.path().join("state/history")).unwrap();
    assert!(history.contains("status") && !history.contains("join"), "{history}");
}
