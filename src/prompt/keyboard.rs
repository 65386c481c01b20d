//! A person at a terminal: editing, history, completion.

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor, ExternalPrinter};

use super::completion::Words;
use super::front::{Front, run};
use super::printer::Printer;
use super::terminal;
use crate::command::{Console, Exit, Reply, Screen, Style};

/// What stands before the typed line.
pub(super) const PROMPT: &str = "part2part> ";
/// How many lines the history keeps.
const HISTORY: usize = 1_000;

/// Reads and obeys lines until the user quits; `opening` is shown first. The history lies
/// in the file `history`, if there is to be one; it is written after every line, so that
/// even a killed process keeps it.
pub async fn interact<C: Console>(
    console: Arc<C>,
    printer: Printer,
    history: Option<PathBuf>,
    opening: Vec<Reply>,
) -> Exit {
    run(console, printer, false, move |front| {
        read_and_obey(&front, history.as_deref(), &opening).unwrap_or_else(|error| {
            let _ = writeln!(stderr().lock(), "error: the terminal is lost: {error}");
            Exit::Failed
        })
    })
    .await
}

fn read_and_obey<C: Console>(
    front: &Front<C>,
    history: Option<&Path>,
    opening: &[Reply],
) -> rustyline::Result<Exit> {
    let mut editor = editor(Words::new(terminal::has_colour(), Box::new(front.asker())))?;
    front.listen_for_interrupts();
    if let Some(file) = history {
        // Not there yet, or not readable: an empty history is no reason to fail.
        let _ = editor.load_history(file);
    }
    match editor.create_external_printer() {
        Ok(mut above) => front.printer.redirect(move |text| above.print(text).is_ok()),
        // A dumb terminal: what comes meanwhile lands in the typed line.
        Err(_) => front.printer.redirect(|text| {
            let mut out = stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
        }),
    }
    let screen = || {
        let style = Style::Text { width: terminal::columns(), live: terminal::is_capable() };
        Screen::new(stdout(), stderr(), style)
    };
    for reply in opening {
        screen().show(reply)?;
    }
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => "quit".to_owned(),
            Err(error) => return Err(error),
        };
        if line.trim().is_empty() {
            continue;
        }
        if editor.add_history_entry(line.as_str())?
            && let Some(file) = history
        {
            let _ = editor.append_history(file);
        }
        // The terminal may have been resized: a fresh screen measures it anew.
        front.obey(&line, &mut screen())?;
        if front.is_over() {
            return Ok(Exit::Done);
        }
    }
}

fn editor(words: Words) -> rustyline::Result<Editor<Words, FileHistory>> {
    let colour = terminal::has_colour();
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .color_mode(if colour { ColorMode::Enabled } else { ColorMode::Disabled })
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(words));
    Ok(editor)
}
