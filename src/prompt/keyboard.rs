//! A person at a terminal: editing, history, completion.

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor, ExternalPrinter};

use super::completion::Words;
use super::front::{Front, run};
use super::printer::Printer;
use super::terminal;
use crate::command::grammar::{self, Command};
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
    let screen = Screen::new(stdout(), stderr(), Style::Text(terminal::measure));
    let screen = Arc::new(Mutex::new(screen));
    let beside = Arc::clone(&screen);
    let mut above = editor.create_external_printer().ok();
    front.printer.redirect(move |text| {
        // While bars stand, a command runs and no line is typed. The lock is not held
        // while the editor prints, which may wait for the end of a search in the history.
        match lock(&beside).interject(&text) {
            Ok(false) => {}
            shown => return shown.is_ok(),
        }
        match &mut above {
            Some(above) => above.print(text).is_ok(),
            // A dumb terminal: what comes meanwhile lands in the typed line.
            None => {
                let mut out = stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
            }
        }
    });
    for reply in opening {
        lock(&screen).show(reply)?;
    }
    loop {
        // Ctrl-D is a `quit` that nobody typed: no history has it.
        let (typed, is_typed) = match editor.readline(PROMPT) {
            Ok(typed) => (typed, true),
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => ("quit".to_owned(), false),
            Err(error) => return Err(error),
        };
        // What was pasted may be several.
        for line in typed.lines().filter(|line| !line.trim().is_empty()) {
            if is_typed
                && !holds_a_key(line)
                && editor.add_history_entry(line)?
                && let Some(file) = history
            {
                let _ = editor.append_history(file);
            }
            let exit = front.obey_by(line, &mut |reply| lock(&screen).show(reply));
            lock(&screen).settle()?;
            if front.is_over() {
                return Ok(Exit::Done);
            }
            if exit? == Exit::Interrupted {
                break;
            }
        }
    }
}

fn lock<T>(screen: &Mutex<T>) -> MutexGuard<'_, T> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the line carries the key of a private mesh, which is to be written nowhere else.
fn holds_a_key(line: &str) -> bool {
    let command = grammar::parse(line);
    matches!(command, Ok(Some(Command::Join { address: Some(target) })) if target.key.is_some())
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
