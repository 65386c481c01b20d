//! Where replies meet the user: two streams, one for answers and one for errors.
//!
//! A closed stream (`part2part ... | head`) ends nothing and panics nothing; whoever
//! writes learns of it and may stop.

use std::io::{self, Write};

use super::bars::Bars;
use super::layout::folded;
use super::render::{drawn_trace, invitation_lines, json, text};
use super::{Exit, Reply};
use crate::base::escape::Escaped;
use crate::servent::report::{DownloadReport, DownloadState};

/// What replies are shown on, as it is at the moment: it may be resized at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Terminal {
    /// How many columns a line may have; none when nobody counts them.
    pub width: Option<usize>,
    /// How many rows there are.
    pub height: Option<usize>,
    /// Whether lines can be overwritten: progress shows only then.
    pub live: bool,
    /// Whether colour is welcome.
    pub colour: bool,
}

/// What an error begins with.
const ERROR: &str = "error:";

/// How replies are shown.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// Text for people, on what this measures.
    Text(fn() -> Terminal),
    /// One JSON object a line, errors among them.
    Json,
}

/// Two streams that show replies in one style.
pub struct Screen<O, E> {
    out: O,
    err: E,
    style: Style,
    bars: Bars,
}

impl<O: Write, E: Write> Screen<O, E> {
    /// A screen on `out`, with errors on `err`.
    pub fn new(out: O, err: E, style: Style) -> Self {
        Self { out, err, style, bars: Bars::default() }
    }

    /// Shows `reply` and flushes it.
    ///
    /// # Errors
    /// When the stream is closed or full.
    pub fn show(&mut self, reply: &Reply) -> io::Result<()> {
        let Style::Text(measure) = self.style else {
            writeln!(self.out, "{}", json(reply))?;
            return self.out.flush();
        };
        let terminal = measure();
        match reply {
            Reply::Progress(report) => self.bars.downloading(report),
            Reply::Publishing(progress) => self.bars.publishing(progress),
            Reply::Download(report) if !is_running(report) => self.bars.downloaded(report.number),
            Reply::Published { .. } => self.bars.published(),
            Reply::Mapping(progress) => self.bars.mapping(Some(*progress)),
            Reply::Map { .. } => self.bars.mapping(None),
            _ => {}
        }
        if let Reply::Progress(_) | Reply::Publishing(_) | Reply::Mapping(_) = reply {
            return if terminal.live { self.draw(terminal, "") } else { Ok(()) };
        }
        let (kind, said) = match reply {
            Reply::Error { kind, .. } => (Some(*kind), text(reply, None)),
            Reply::Invitation(invitation) => {
                // The code's two colours are no decoration: cameras want them that way round.
                let (text, left_out) = invitation_lines(invitation, terminal.live);
                self.draw(terminal, &text)?;
                let mut said = notes(&invitation.notes);
                if left_out > 0 {
                    said +=
                        &format!("note: the code has no room for {left_out} of the addresses\n");
                }
                (None, said)
            }
            Reply::Link(link) => {
                self.draw(terminal, &text(reply, None))?;
                (None, notes(&link.notes))
            }
            Reply::Trace(trace) if terminal.live => {
                return self.draw(terminal, &drawn_trace(trace, terminal.width));
            }
            reply => return self.draw(terminal, &text(reply, terminal.width)),
        };
        self.erase(terminal)?;
        // An error stands out by its stream in a script and by its first word at
        // the prompt, where both streams are one terminal.
        let is_error = kind.is_some_and(|kind| kind != Exit::Interrupted);
        let said = if is_error { format!("{ERROR} {said}") } else { said };
        let said = folded(&said, terminal.width);
        match said.strip_prefix(ERROR) {
            Some(rest) if is_error && terminal.colour => {
                write!(self.err, "\x1b[31m{ERROR}\x1b[0m{rest}")?;
            }
            _ => self.err.write_all(said.as_bytes())?,
        }
        self.err.flush()?;
        self.draw(terminal, "")
    }

    /// Shows `text`, whole lines of somebody else's, above the bars; false when there are
    /// none, and nothing is shown.
    ///
    /// # Errors
    /// When the stream is closed or full.
    pub fn interject(&mut self, text: &str) -> io::Result<bool> {
        match self.style {
            Style::Text(measure) if self.bars.are_drawn() => {
                self.draw(measure(), text).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Takes the bars away.
    ///
    /// # Errors
    /// When the stream is closed or full.
    pub fn settle(&mut self) -> io::Result<()> {
        self.bars.clear();
        match self.style {
            Style::Text(measure) => self.erase(measure()),
            Style::Json => Ok(()),
        }
    }

    fn erase(&mut self, terminal: Terminal) -> io::Result<()> {
        if self.bars.are_drawn() {
            self.out.write_all(self.bars.erased(terminal.width).as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Writes `text`, and the bars below it, at one go.
    fn draw(&mut self, terminal: Terminal, text: &str) -> io::Result<()> {
        let mut all = self.bars.erased(terminal.width);
        all.push_str(text);
        if terminal.live {
            all.push_str(&self.bars.drawn(terminal.width, terminal.height));
        }
        self.out.write_all(all.as_bytes())?;
        self.out.flush()
    }
}

fn is_running(report: &DownloadReport) -> bool {
    matches!(report.state, DownloadState::Running | DownloadState::Waiting { .. })
}

/// Sentences beside what was asked for.
fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("note: {}\n", Escaped(note))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servent::report::PublishProgress;

    fn shown(style: Style, replies: &[Reply]) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, style);
        replies.iter().for_each(|reply| screen.show(reply).unwrap());
        screen.settle().unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn terminal() -> Terminal {
        Terminal { width: Some(40), height: Some(24), live: true, colour: true }
    }

    fn replies() -> [Reply; 3] {
        let step = PublishProgress {
            files: 1,
            bytes: 2,
            files_left: 0,
            bytes_left: 0,
            current: "x".into(),
        };
        [
            Reply::Publishing(step),
            Reply::Notice { text: "done".into() },
            Reply::error(Exit::Failed, &"no"),
        ]
    }

    #[test]
    fn errors_go_to_their_own_stream_and_progress_only_to_a_live_one() {
        let piped = shown(Style::Text(Terminal::default), &replies());
        assert_eq!(piped, ("done\n".into(), "error: no\n".into()));
        let (live, errors) = shown(Style::Text(terminal), &replies());
        let bar = "hashing: 1 file, 2 B; x";
        assert_eq!(live, format!("{bar}\r\x1b[Jdone\n{bar}\r\x1b[J{bar}\r\x1b[J"));
        assert_eq!(errors, "\x1b[31merror:\x1b[0m no\n");
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
