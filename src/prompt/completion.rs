//! What Tab offers, and the faint hint behind the cursor.

use std::borrow::Cow;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use crate::command::grammar;

/// Completes commands, their options, and paths; hints at arguments and earlier lines.
pub(super) struct Words {
    paths: FilenameCompleter,
    earlier: HistoryHinter,
    /// Without colour a hint could not be told from what was typed.
    colour: bool,
}

impl Words {
    pub(super) fn new(colour: bool) -> Self {
        Self { paths: FilenameCompleter::new(), earlier: HistoryHinter::new(), colour }
    }
}

/// What may stand at the cursor.
#[derive(PartialEq, Eq, Debug)]
enum Place<'a> {
    Command(&'a str),
    /// The words that are allowed there.
    Word(&'a str, Vec<String>),
    Path,
    Anything,
}

/// What may stand at the end of `line`, which is what stands before the cursor.
fn place(line: &str) -> Place<'_> {
    let line = line.trim_start();
    let Some((command, rest)) = line.split_once(char::is_whitespace) else {
        return Place::Command(line);
    };
    let last = rest.rsplit(char::is_whitespace).next().unwrap_or_default();
    let before = rest.strip_suffix(last).unwrap_or_default();
    let dashes = before.split_whitespace().any(|word| word == "--");
    if last.starts_with('-') && !dashes {
        return Place::Word(last, grammar::options_of(command));
    }
    match command {
        "help" | "?" => Place::Command(last),
        "news" => Place::Word(last, vec!["on".to_owned(), "off".to_owned()]),
        "publish" | "unpublish" => Place::Path,
        "download" if is_folder(rest) => Place::Path,
        _ => Place::Anything,
    }
}

/// Whether the end of the words of `download` is the folder of `--to`, in which there may
/// be quoted spaces.
fn is_folder(rest: &str) -> bool {
    let begun = rest.rfind("--to ").or_else(|| rest.rfind("--to="));
    let after = begun.and_then(|begun| rest.get(begun + "--to ".len()..));
    after.is_some_and(|after| {
        let after = after.trim_start();
        after.starts_with(['"', '\'']) || !after.replace("\\ ", "").contains(char::is_whitespace)
    })
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..at).unwrap_or(line);
        let offer = |begun: &str, words: &mut dyn Iterator<Item = &str>| {
            let fitting = words.filter(|word| word.starts_with(begun));
            let pair = |word: &str| Pair { display: word.into(), replacement: format!("{word} ") };
            (at.saturating_sub(begun.len()), fitting.map(pair).collect())
        };
        Ok(match place(typed) {
            Place::Command(begun) => offer(begun, &mut grammar::names().iter().map(String::as_str)),
            Place::Word(begun, words) => offer(begun, &mut words.iter().map(String::as_str)),
            Place::Path => self.paths.complete_path(line, at)?,
            Place::Anything => (at, Vec::new()),
        })
    }
}

impl Hinter for Words {
    type Hint = String;

    fn hint(&self, line: &str, at: usize, context: &Context<'_>) -> Option<String> {
        if !self.colour || at < line.len() || line.trim().is_empty() {
            return None;
        }
        let name = line.strip_suffix(' ').filter(|name| !name.contains(' '));
        name.and_then(grammar::usage_of).or_else(|| self.earlier.hint(line, at, context))
    }
}

impl Highlighter for Words {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.colour {
            true => format!("\x1b[2m{hint}\x1b[0m").into(),
            false => hint.into(),
        }
    }
}

impl Validator for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use rustyline::history::DefaultHistory;

    use super::*;

    fn offered(line: &str) -> Vec<String> {
        let history = DefaultHistory::new();
        let context = Context::new(&history);
        let (start, pairs) = Words::new(true).complete(line, line.len(), &context).unwrap();
        pairs.into_iter().map(|pair| format!("{}{}", &line[..start], pair.replacement)).collect()
    }

    #[test]
    fn commands_and_their_options_are_completed() {
        assert_eq!(offered("do"), ["download ", "downloads "]);
        assert_eq!(offered("  qu"), ["  quit "]);
        assert_eq!(offered("help pub"), ["help publish "]);
        assert_eq!(offered("news o"), ["news on ", "news off "]);
        assert_eq!(
            offered("search x --"),
            ["search x --all ", "search x --ttl ", "search x --max "]
        );
        assert_eq!(offered("download 3 --w"), ["download 3 --wait "]);
        assert_eq!(offered("nonsense --"), Vec::<String>::new());
        assert_eq!(offered("search fer"), Vec::<String>::new());
        assert_eq!(offered("").len(), grammar::names().len());
    }

    #[test]
    fn paths_are_completed_where_paths_stand_and_quoted_when_they_must_be() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("two words"), "").unwrap();
        let stem = folder.path().join("tw").display().to_string();
        for head in ["publish ", "publish a ", "unpublish ", "download 3 --to ", "publish -- "] {
            let line = offered(&format!("{head}{stem}"));
            assert_eq!(line.len(), 1, "{head}");
            let words = shlex::split(&line[0]).unwrap();
            assert!(words.last().unwrap().ends_with("/two words"), "{words:?}");
        }
        let quoted = offered(&format!("publish \"{}/two w", folder.path().display()));
        assert!(
            quoted[0].ends_with("/two words\"") || quoted[0].ends_with("/two words"),
            "{quoted:?}"
        );
        assert_eq!(
            place("download 3 --to x --wa"),
            Place::Word("--wa", grammar::options_of("download"))
        );
        assert_eq!(place("download 3 --to x y"), Place::Anything);
    }

    #[test]
    fn a_hint_shows_how_a_command_goes_on_only_in_colour() {
        let history = DefaultHistory::new();
        let context = Context::new(&history);
        let hint = |colour, line: &str| Words::new(colour).hint(line, line.len(), &context);
        assert_eq!(hint(true, "wait ").as_deref(), Some("[N]"));
        assert_eq!(hint(true, "quit "), None);
        assert_eq!(hint(false, "wait "), None);
    }
}
