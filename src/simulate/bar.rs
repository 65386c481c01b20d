//! The bar on the standard error, while somebody waits at a terminal.

use std::io::{self, IsTerminal, Write};

use crate::sim::{Progress, Stage};

/// Columns of the bar between its ends.
const WIDTH: u64 = 30;

/// What is on the screen at present.
#[derive(Default)]
pub(super) struct Bar {
    shown: String,
}

impl Bar {
    /// Shows how far it is, if that is news.
    pub(super) fn draw(&mut self, progress: Progress) {
        let line = line(progress);
        if line != self.shown {
            // Nobody watches any more: the simulation goes on.
            let _ = write!(io::stderr().lock(), "\r\x1b[K{line}");
            let _ = io::stderr().lock().flush();
            self.shown = line;
        }
    }
}

/// Takes the bar off the screen.
pub(super) fn erase() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr().lock(), "\r\x1b[K");
        let _ = io::stderr().lock().flush();
    }
}

/// At most 60 columns, which fit any terminal.
fn line(progress: Progress) -> String {
    let Progress { stage, done, of } = progress;
    let what = match stage {
        Stage::Building => "building the mesh",
        Stage::Searching => "searching it",
        Stage::Dying => "many die",
        Stage::Repairing => "it repairs itself",
        Stage::SearchingAgain => "searching again",
        Stage::Comparing => "comparing sizes",
    };
    let of = of.max(1);
    let (full, percent) = (WIDTH * done.min(of) / of, 100 * done.min(of) / of);
    let (bar, rest) = ("=".repeat(full as usize), " ".repeat((WIDTH - full) as usize));
    format!("{what:<17} [{bar}{rest}] {percent:>3}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        let at = |done, of| line(Progress { stage: Stage::Searching, done, of });
        assert_eq!(at(0, 20), format!("searching it      [{}]   0%", " ".repeat(30)));
        assert!(at(10, 20).contains(&format!("[{}{}]  50%", "=".repeat(15), " ".repeat(15))));
        assert!(at(20, 20).ends_with("=] 100%") && at(9, 0).ends_with("=] 100%"));
    }
}
