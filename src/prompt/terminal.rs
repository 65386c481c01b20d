//! What kind of terminal this is.

use std::io::{IsTerminal, stderr, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::command::Terminal;

/// Whether a person sits at both ends: only then there is a prompt.
#[must_use]
pub fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Whether the terminal understands more than text.
#[must_use]
pub fn is_capable() -> bool {
    let name = std::env::var_os("TERM").unwrap_or_default();
    stdout().is_terminal() && !name.is_empty() && name != "dumb"
}

/// Whether colour is welcome (<https://no-color.org>).
#[must_use]
pub fn has_colour() -> bool {
    is_capable() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What answers go to, as it is now.
#[must_use]
pub fn measure() -> Terminal {
    let colour = has_colour() && stderr().is_terminal();
    let (width, height) = size().unzip();
    Terminal { width, height, live: is_capable(), colour }
}

/// [`measure`], for who wants no more than lines of text.
#[must_use]
pub fn plain() -> Terminal {
    Terminal { width: columns(), ..Terminal::default() }
}

/// Columns of the terminal that answers go to; none when they go elsewhere.
#[must_use]
pub fn columns() -> Option<usize> {
    size().map(|(columns, _)| columns)
}

/// Columns and rows.
fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(stdout()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}

/// The terminal's settings as they were: the reader of lines may be in the middle of one,
/// with echo off, when somebody else ends the process.
pub(super) struct Settings(Option<Termios>);

impl Settings {
    pub(super) fn remember() -> Self {
        Self(tcgetattr(stdin()).ok())
    }

    /// Puts the settings back and goes to a fresh line.
    pub(super) fn restore(&self) {
        use std::io::Write;
        let Some(settings) = &self.0 else { return };
        let _ = tcsetattr(stdin(), OptionalActions::Now, settings);
        // Bracketed paste, which the line editor switched on, off again.
        let end: &[u8] = if is_capable() { b"\x1b[?2004l\n" } else { b"\n" };
        let _ = stderr().write_all(end);
    }
}
