//! Somebody at a terminal: keys go in, and what the terminal shows is looked at.

use std::num::NonZero;
use std::path::Path;
use std::process::Stdio;

use expectrl::Expect;
use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::common::servent::{PATIENCE, part2part, wait_until};

pub(super) const PROMPT: &str = "part2part> ";
pub(super) const UP: &str = "\x1b[A";
pub(super) const CTRL_C: &str = "\x03";
pub(super) const CTRL_D: &str = "\x04";
pub(super) const CTRL_R: &str = "\x12";

/// What kind of terminal stands there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Desk {
    pub(super) columns: u16,
    pub(super) rows: u16,
    pub(super) term: &'static str,
    /// Whether hints and colour are wanted; they would stand among what the tests look for.
    pub(super) colour: bool,
}

impl Default for Desk {
    fn default() -> Self {
        Self { columns: 200, rows: 50, term: "xterm", colour: false }
    }
}

fn nonzero(number: u16) -> NonZero<u16> {
    NonZero::new(number).unwrap()
}

/// A program that runs at a terminal.
pub(super) struct Seat {
    session: OsSession,
    /// Everything that it has written, raw.
    heard: Vec<u8>,
    /// How much of that [`Seat::see`] has passed.
    seen: usize,
    /// What the terminal shows of it.
    terminal: vt100::Parser,
    ended: bool,
}

impl Seat {
    /// Sits down at a servent of its own, whose state lies in `home`.
    pub(super) fn take(home: &Path, args: &[&str]) -> Self {
        Self::take_at(Desk::default(), home, args)
    }

    pub(super) fn take_at(desk: Desk, home: &Path, args: &[&str]) -> Self {
        let downloads = home.join("downloads");
        let own = ["--listen", "127.0.0.1:0", "--downloads", downloads.to_str().unwrap()];
        Self::sit(desk, home, &[&own[..], args].concat())
    }

    /// Sits down at whatever runs on the state in `home`.
    pub(super) fn sit(desk: Desk, home: &Path, args: &[&str]) -> Self {
        let mut command = part2part(home);
        command.arg("--state").arg(home.join("state")).args(args);
        // It inherits the terminal.
        command.stdin(Stdio::inherit());
        command.env("TERM", desk.term);
        match desk.colour {
            true => command.env_remove("NO_COLOR"),
            false => command.env("NO_COLOR", "1"),
        };
        let mut session = OsSession::spawn(command).unwrap();
        session.get_process_mut().set_window_size(desk.columns, desk.rows).unwrap();
        let terminal = vt100::Parser::new(nonzero(desk.rows), nonzero(desk.columns), 10_000);
        Self { session, heard: Vec::new(), seen: 0, terminal, ended: false }
    }

    /// Takes in what has been written meanwhile.
    fn look(&mut self) {
        let mut bytes = [0; 16 * 1024];
        while !self.ended {
            match self.session.try_read(&mut bytes) {
                Ok(0) => self.ended = true,
                Ok(len) => {
                    self.heard.extend_from_slice(&bytes[..len]);
                    self.terminal.process(&bytes[..len]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // A terminal that nobody holds any more.
                Err(_) => self.ended = true,
            }
        }
    }

    /// Waits until `what` is written, after what was seen before.
    pub(super) fn see(&mut self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.look();
            let rest = &self.heard[self.seen..];
            let found = rest.windows(what.len()).position(|part| part == what.as_bytes());
            if let Some(at) = found {
                self.seen += at + what.len();
                return;
            }
            let shown = String::from_utf8_lossy(rest);
            assert!(!self.ended, "it ended without {what:?}: {shown:?}");
            assert!(Instant::now() < deadline, "no {what:?} in {shown:?}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// What the terminal shows, without the spaces at the ends of its lines.
    pub(super) fn screen(&mut self) -> String {
        self.look();
        self.terminal.screen().contents()
    }

    /// Waits until the screen is as `wanted`.
    pub(super) fn see_screen(&mut self, what: &str, mut wanted: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}:\n{screen}");
            assert!(!self.ended, "it ended without {what}:\n{screen}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// The line in which the cursor stands, without the spaces at its end.
    pub(super) fn line(&mut self) -> String {
        self.look();
        let screen = self.terminal.screen();
        let row = usize::from(screen.cursor_position().0);
        let line = screen.rows(0, screen.size().1.into()).nth(row).unwrap_or_default();
        line.trim_end().to_owned()
    }

    /// How often it has written this so far.
    pub(super) fn count(&mut self, what: &str) -> usize {
        self.look();
        self.heard.windows(what.len()).filter(|part| *part == what.as_bytes()).count()
    }

    /// Whether this has been among what it has written so far.
    pub(super) fn has_written(&mut self, what: &str) -> bool {
        self.count(what) > 0
    }

    /// Makes the terminal narrower or wider.
    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        self.look();
        self.terminal.screen_mut().set_size(nonzero(rows), nonzero(columns));
        self.session.get_process_mut().set_window_size(columns, rows).unwrap();
    }

    pub(super) fn press(&mut self, keys: impl AsRef<[u8]>) {
        self.session.send(keys).unwrap();
    }

    /// Types a line; waits for `answer`, and for the next prompt.
    pub(super) fn enter(&mut self, line: &str, answer: &str) {
        self.press(format!("{line}\r"));
        self.see(answer);
        self.see(PROMPT);
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        let pid = Pid::from_raw(self.session.get_process().pid().as_raw()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn end(&mut self) -> WaitStatus {
        wait_until("an end of the output", || {
            self.look();
            self.ended
        });
        self.session.get_process().wait().unwrap()
    }

    /// Waits until it ends by itself, with this exit code.
    pub(super) fn see_end(&mut self, code: i32) {
        let ended = self.end();
        let said = String::from_utf8_lossy(&self.heard);
        assert!(matches!(ended, WaitStatus::Exited(_, ended) if ended == code), "{ended:?} {said}");
    }

    /// Waits until it is dead of a signal.
    pub(super) fn see_death(&mut self) {
        let ended = self.end();
        assert!(matches!(ended, WaitStatus::Signaled(..)), "{ended:?}");
    }

    /// Leaves by Ctrl-D.
    pub(super) fn leave(mut self) {
        self.press(CTRL_D);
        self.see("goodbye");
        self.see_end(0);
    }
}
