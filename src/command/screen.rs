//! Where replies meet the user: two streams, one for answers and one for errors.
//!
//! A closed stream (`part2part ... | head`) ends nothing and panics nothing; whoever
//! writes learns of it and may stop.

use std::io::{self, Write};

use super::render::{json, text};
use super::{Exit, Reply};

/// How replies are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Text for people.
    Text {
        /// How many columns a line may have; none when nobody counts them.
        width: Option<usize>,
        /// Whether the last line can be overwritten: progress shows only then.
        live: bool,
    },
    /// One JSON object a line, errors among them.
    Json,
}

/// Two streams that show replies in one style.
pub struct Screen<O, E> {
    out: O,
    err: E,
    style: Style,
    /// Whether the cursor stands behind a line of progress.
    in_progress: bool,
}

impl<O: Write, E: Write> Screen<O, E> {
    /// A screen on `out`, with errors on `err`.
    pub fn new(out: O, err: E, style: Style) -> Self {
        Self { out, err, style, in_progress: false }
    }

    /// Shows `reply` and flushes it.
    ///
    /// # Errors
    /// When the stream is closed or full.
    pub fn show(&mut self, reply: &Reply) -> io::Result<()> {
        let Style::Text { width, live } = self.style else {
            writeln!(self.out, "{}", json(reply))?;
            return self.out.flush();
        };
        let text = text(reply, width);
        if let Reply::Progress(_) | Reply::Publishing(_) = reply {
            if live {
                let line =
                    super::layout::cut(text.trim_end(), width.unwrap_or(80).saturating_sub(1));
                write!(self.out, "\r{line}\x1b[K")?;
                self.in_progress = true;
                self.out.flush()?;
            }
            return Ok(());
        }
        self.settle()?;
        if let Reply::Error { kind, .. } = reply {
            // An error stands out by its stream in a script and by its first word at
            // the prompt, where both streams are one terminal.
            let word = if *kind == Exit::Interrupted { "" } else { "error: " };
            write!(self.err, "{word}{text}")?;
            return self.err.flush();
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Takes a line of progress away.
    ///
    /// # Errors
    /// When the stream is closed or full.
    pub fn settle(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.in_progress) {
            self.out.write_all(b"\r\x1b[K")?;
            self.out.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servent::report::PublishProgress;

    fn shown(style: Style, replies: &[Reply]) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, style);
        replies.iter().for_each(|reply| screen.show(reply).unwrap());
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn replies() -> [Reply; 3] {
        let step = PublishProgress { files: 1, bytes: 2, current: "x".into() };
        [
            Reply::Publishing(step),
            Reply::Notice { text: "done".into() },
            Reply::error(Exit::Failed, &"no"),
        ]
    }

    #[test]
    fn errors_go_to_their_own_stream_and_progress_only_to_a_live_one() {
        let piped = shown(Style::Text { width: None, live: false }, &replies());
        assert_eq!(piped, ("done\n".into(), "error: no\n".into()));
        let (live, _) = shown(Style::Text { width: Some(40), live: true }, &replies());
        assert!(live.starts_with("\rhashing: 1 file"), "{live:?}");
        assert!(live.ends_with("\x1b[K\r\x1b[Kdone\n"), "{live:?}");
    }

    #[test]
    fn json_is_one_object_a_line_and_keeps_everything() {
        let (out, err) = shown(Style::Json, &replies());
        assert_eq!(err, "");
        let read: Vec<Reply> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, replies());
    }
}
