//! Lines from a pipe: obeyed in order, with no prompt and no colour.

use std::io::{self, BufRead, Read, stderr, stdin, stdout};
use std::sync::Arc;

use super::front::{Front, run};
use super::printer::Printer;
use super::terminal;
use crate::command::{Console, Exit, Reply, Screen, Style};

/// Longest line in bytes, as for the control socket.
const MAX_LINE: u64 = 64 * 1024;

/// Obeys `first`, then the lines of the standard input until it ends, somebody quits, or
/// a command is interrupted. Answers the exit of the last command that failed.
pub async fn obey_script<C: Console>(
    console: Arc<C>,
    printer: Printer,
    first: Vec<String>,
) -> Exit {
    run(console, printer, true, move |front| {
        front.listen_for_interrupts();
        let mut screen = Screen::new(stdout(), stderr(), Style::Text(terminal::plain));
        // A closed output (`| head`) ends the script; there is nobody to tell.
        obey_all(&front, first, stdin().lock(), &mut screen).unwrap_or(Exit::Failed)
    })
    .await
}

fn obey_all<C: Console, O: io::Write, E: io::Write>(
    front: &Front<C>,
    first: Vec<String>,
    mut lines: impl BufRead,
    screen: &mut Screen<O, E>,
) -> io::Result<Exit> {
    let mut exit = Exit::Done;
    let mut first = first.into_iter();
    loop {
        let line = match first.next() {
            Some(line) => Ok(line),
            None => match next_line(&mut lines)? {
                Some(line) => line,
                None => break,
            },
        };
        let ended = match line {
            Ok(line) => front.obey(&line, screen)?,
            Err(why) => {
                screen.show(&Reply::error(Exit::Usage, &why))?;
                Exit::Usage
            }
        };
        exit = ended.or_earlier(exit);
        if ended == Exit::Interrupted || front.is_over() {
            return Ok(exit);
        }
    }
    // The end of the lines is a `quit`, which only speaks when something stops by it.
    let mut parting = Vec::new();
    front.obey_by("quit", &mut |reply| {
        parting.push(reply.clone());
        Ok(())
    })?;
    for reply in parting {
        if let Reply::Stopping { downloads, .. } = reply
            && downloads > 0
        {
            let text = format!(
                "the lines ended with {} running, which stops; 'wait' as the last line waits",
                crate::command::layout::count(downloads as u64, "download")
            );
            screen.show(&Reply::error(Exit::Failed, &text))?;
            exit = Exit::Failed.or_earlier(exit);
        }
    }
    Ok(exit)
}

/// The next line; none at the end, a sentence when it is no text.
fn next_line(lines: &mut impl BufRead) -> io::Result<Option<Result<String, String>>> {
    let mut line = Vec::new();
    lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() as u64 == MAX_LINE && line.last() != Some(&b'\n') {
        // The rest would be taken for commands.
        loop {
            let buffer = lines.fill_buf()?;
            let (taken, over) = match buffer.iter().position(|&byte| byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            lines.consume(taken);
            if over {
                return Ok(Some(Err(format!("a line is longer than {MAX_LINE} bytes"))));
            }
        }
    }
    Ok(Some(String::from_utf8(line).map_err(|_| "a line is not UTF-8".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Result<String, String>> {
        let mut bytes = bytes;
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut bytes).unwrap() {
            lines.push(line);
        }
        lines
    }

    #[test]
    fn lines_end_with_a_line_end_or_with_the_input() {
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\n\nb"), [Ok("a\n".into()), Ok("\n".into()), Ok("b".into())]);
    }

    #[test]
    fn a_line_over_the_limit_is_passed_over_whole() {
        let limit = usize::try_from(MAX_LINE).unwrap();
        let fits = format!("{}\n", "x".repeat(limit - 1));
        assert_eq!(lines(fits.as_bytes()), [Ok(fits.clone())]);
        let long = format!("{}\nquit\n", "x".repeat(3 * limit));
        let read = lines(long.as_bytes());
        assert!(read[0].as_ref().unwrap_err().contains("longer than"));
        assert_eq!(read[1..], [Ok("quit\n".into())]);
        assert_eq!(lines("x".repeat(limit).as_bytes()).len(), 1);
    }

    #[test]
    fn what_is_no_text_costs_its_line_only() {
        let read = lines(b"\xff\xfe\nstatus\n");
        assert!(read[0].is_err());
        assert_eq!(read[1], Ok("status\n".into()));
    }
}
