//! The bar on the standard error, while somebody waits at a terminal.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

use crate::sim::{Progress, Stage};

/// Columns of the bar between its ends, where there is room.
const WIDTH: usize = 30;
/// Fewest columns of a bar that tells anything.
const SHORTEST: usize = 5;
/// Columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// What is on the screen at present.
#[derive(Default)]
pub(super) struct Bar {
    shown: String,
}

impl Bar {
    /// Shows how far it is, if that is news.
    pub(super) fn draw(&mut self, progress: Progress) {
        let line = line(progress, columns(io::stderr()).unwrap_or(USUAL_WIDTH));
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

/// Columns of a terminal; none where there is none, or it does not tell.
pub(super) fn columns(of: impl AsFd) -> Option<usize> {
    let size = tcgetwinsize(of).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// How far it is, in less than `columns`: a line that reached the last one would wrap.
fn line(progress: Progress, columns: usize) -> String {
    let Progress { stage, done, of } = progress;
    let what = match stage {
        Stage::Building => "building the mesh",
        Stage::Searching => "searching it",
        Stage::Dying => "many die",
        Stage::Repairing => "it repairs itself",
        Stage::SearchingAgain => "searching again",
        Stage::Comparing => "comparing sizes",
        Stage::Sharing => "the file spreads",
    };
    let of = of.max(1);
    let (done, percent) = (done.min(of), 100 * done.min(of) / of);
    let room = columns.saturating_sub(1);
    let wide = room.saturating_sub(26).min(WIDTH);
    if wide < SHORTEST {
        let short = format!("{what} {percent}%");
        return if short.len() <= room { short } else { format!("{percent}%") };
    }
    let full = usize::try_from(wide as u64 * done / of).unwrap_or(wide);
    let (bar, rest) = ("=".repeat(full), " ".repeat(wide - full));
    format!("{what:<17} [{bar}{rest}] {percent:>3}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        let at = |done, of| line(Progress { stage: Stage::Searching, done, of }, 80);
        assert_eq!(at(0, 20), format!("searching it      [{}]   0%", " ".repeat(30)));
        assert!(at(10, 20).contains(&format!("[{}{}]  50%", "=".repeat(15), " ".repeat(15))));
        assert!(at(20, 20).ends_with("=] 100%") && at(9, 0).ends_with("=] 100%"));
    }

    #[test]
    fn no_bar_reaches_the_last_column_of_any_terminal() {
        for stage in [Stage::Building, Stage::Repairing, Stage::Comparing] {
            for columns in 6..=200 {
                let line = line(Progress { stage, done: 1, of: 2 }, columns);
                assert!(line.len() < columns && line.contains("50%"), "{columns}: {line}");
            }
        }
        let narrow = |columns| line(Progress { stage: Stage::Building, done: 1, of: 2 }, columns);
        assert_eq!(narrow(40), "building the mesh [======       ]  50%");
        assert_eq!(narrow(25), "building the mesh 50%");
    }
}
