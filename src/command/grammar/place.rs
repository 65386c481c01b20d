//! Which argument stands at the cursor, read off the definitions: so a new command is
//! completed as soon as it is defined.

use clap::{Arg, ArgAction, CommandFactory, ValueHint};

use super::Line;

/// What stands, or may stand, at the end of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where in the line the word begins, in bytes; its quotes are part of it.
    pub start: usize,
    /// The word as far as it is typed, without quotes.
    pub begun: String,
    /// What is wanted there.
    pub wanted: Wanted,
    /// The words before it, the command first, without their quotes.
    pub words: Vec<String>,
}

/// What is wanted at a [`Place`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The name of a command.
    Command,
    /// One of these options.
    Option(Vec<String>),
    /// One of these words.
    Word(Vec<String>),
    /// A path; a folder's only, perhaps.
    Path {
        /// Whether files will not do.
        folder: bool,
    },
    /// Something else, by the name that the help gives it: `N`, `PATH|HASH`; that of an
    /// option's value has the option before it, as `--ttl N`.
    Value {
        /// The command.
        command: String,
        /// The value's name.
        name: String,
        /// Words that will do as well: `all` of `N|all`.
        words: Vec<String>,
    },
    /// Nothing that could be known.
    Nothing,
}

/// What stands at the end of `line`, which is what stands before the cursor.
#[must_use]
pub fn place(line: &str) -> Place {
    let Split { mut words, begun, start } = split(line);
    let before = words.clone();
    let at = |start, begun, wanted| Place { start, begun, wanted, words: before.clone() };
    if words.is_empty() {
        return at(start, begun, Wanted::Command);
    }
    let grammar = Line::command();
    let name = words.remove(0);
    let Some(command) = grammar.find_subcommand(&name) else {
        return at(start, begun, Wanted::Nothing);
    };
    let option = |word: &str| {
        let long = word.strip_prefix("--")?.split('=').next()?;
        command.get_arguments().find(|argument| argument.get_long() == Some(long))
    };
    let (mut dashes, mut positional, mut given) = (false, 0, Vec::new());
    let mut pending: Option<&Arg> = None;
    for word in &words {
        if pending.take().is_some() {
        } else if dashes || !word.starts_with('-') {
            positional += 1;
        } else if word == "--" {
            dashes = true;
        } else if let Some(option) = option(word) {
            given.push(option.get_id().clone());
            pending = Some(option).filter(|option| takes_value(option) && !word.contains('='));
        }
    }
    if let Some(option) = pending {
        return at(start, begun, wanted(command.get_name(), option));
    }
    if begun.starts_with('-') && !dashes {
        if let (Some((_, value)), Some(option)) = (begun.split_once('='), option(&begun)) {
            let start = start + line.get(start..).and_then(|word| word.find('=')).unwrap_or(0) + 1;
            return at(start, value.to_owned(), wanted(command.get_name(), option));
        }
        let free = command.get_arguments().filter(|argument| {
            !given.contains(argument.get_id()) || matches!(argument.get_action(), ArgAction::Append)
        });
        let longs = free.filter_map(|argument| argument.get_long());
        let longs = longs.filter(|long| *long != "help").map(|long| format!("--{long}"));
        return at(start, begun, Wanted::Option(longs.collect()));
    }
    let positionals: Vec<_> = command.get_positionals().collect();
    let argument = positionals.get(positional).or_else(|| {
        // The last may be repeated.
        let many = |argument: &&&Arg| matches!(argument.get_action(), ArgAction::Append);
        positionals.last().filter(many)
    });
    let wanted = argument.map_or(Wanted::Nothing, |argument| wanted(command.get_name(), argument));
    at(start, begun, wanted)
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

fn wanted(command: &str, argument: &Arg) -> Wanted {
    let values = argument.get_possible_values();
    let words: Vec<_> = values
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    if !words.is_empty() && takes_value(argument) {
        return Wanted::Word(words);
    }
    match argument.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath => return Wanted::Path { folder: false },
        ValueHint::DirPath => return Wanted::Path { folder: true },
        _ => {}
    }
    let name = argument.get_value_names().and_then(|names| names.first());
    let name =
        name.map_or_else(|| argument.get_id().to_string().to_uppercase(), ToString::to_string);
    // What is typed as it stands is written small in the help.
    let is_word = |part: &&str| part.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let words: Vec<_> = name.split('|').filter(is_word).map(str::to_owned).collect();
    let kinds: Vec<_> = name.split('|').filter(|part| !is_word(part)).collect();
    let name = match argument.get_long() {
        Some(long) => format!("--{long} {}", kinds.join("|")),
        None => kinds.join("|"),
    };
    match name.as_str() {
        "COMMAND" => Wanted::Command,
        _ if kinds.is_empty() => Wanted::Word(words),
        _ => Wanted::Value { command: command.to_owned(), name, words },
    }
}

/// A line cut into words, the last of which may still grow.
struct Split {
    words: Vec<String>,
    begun: String,
    start: usize,
}

/// Cuts `line` as a shell does; what is open at its end is open.
fn split(line: &str) -> Split {
    let mut split = Split { words: Vec::new(), begun: String::new(), start: 0 };
    let (mut within, mut quote) = (false, None);
    let mut rest = line.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if quote.is_none() && c.is_whitespace() {
            if within {
                split.words.push(std::mem::take(&mut split.begun));
            }
            within = false;
            split.start = at + c.len_utf8();
            continue;
        }
        within = true;
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), close) if open == close => quote = None,
            (Some('"'), '\\') if !rest.peek().is_some_and(|(_, next)| "\"\\$`".contains(*next)) => {
                split.begun.push(c);
            }
            (None | Some('"'), '\\') => split.begun.extend(rest.next().map(|(_, next)| next)),
            _ => split.begun.push(c),
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> (String, Wanted) {
        let place = place(line);
        assert!(line.is_char_boundary(place.start), "{line}");
        (place.begun, place.wanted)
    }

    fn value(command: &str, name: &str) -> Wanted {
        Wanted::Value { command: command.into(), name: name.into(), words: vec![] }
    }

    #[test]
    fn the_definitions_say_what_stands_where() {
        assert_eq!(at("do"), ("do".into(), Wanted::Command));
        assert_eq!(at("  "), (String::new(), Wanted::Command));
        assert_eq!(at("help pub"), ("pub".into(), Wanted::Command));
        let telling = ["on", "off", "follow"].map(str::to_owned).to_vec();
        assert_eq!(at("news o"), ("o".into(), Wanted::Word(telling)));
        assert_eq!(at("download "), (String::new(), value("download", "N|HASH|LINK")));
        assert_eq!(at("download --wait 3"), ("3".into(), value("download", "N|HASH|LINK")));
        assert_eq!(at("download 3 x"), ("x".into(), Wanted::Nothing));
        assert_eq!(at("download 3 --to d"), ("d".into(), Wanted::Path { folder: true }));
        assert_eq!(at("download 3 --to=d"), ("d".into(), Wanted::Path { folder: true }));
        assert_eq!(at("download --to d "), (String::new(), value("download", "N|HASH|LINK")));
        assert_eq!(at("publish a b"), ("b".into(), Wanted::Path { folder: false }));
        assert_eq!(at("publish -- -x"), ("-x".into(), Wanted::Path { folder: false }));
        assert_eq!(at("unpublish x"), ("x".into(), value("unpublish", "PATH|HASH")));
        assert_eq!(at("search --ttl "), (String::new(), value("search", "--ttl N")));
        assert_eq!(at("leave x").1, Wanted::Nothing);
        assert_eq!(at("nonsense --").1, Wanted::Nothing);
        let options = ["--all", "--max", "--trace"].map(str::to_owned).to_vec();
        assert_eq!(at("search --ttl 3 x --"), ("--".into(), Wanted::Option(options)));
    }

    #[test]
    fn a_value_that_the_help_writes_small_is_a_word() {
        let words = |name: &'static str| wanted("x", &Arg::new("which").value_name(name));
        let all = ["high", "normal", "low"].map(str::to_owned).to_vec();
        assert_eq!(words("high|normal|low"), Wanted::Word(all));
        let (command, name) = ("x".to_owned(), "N".to_owned());
        assert_eq!(words("N|all"), Wanted::Value { command, name, words: vec!["all".into()] });
    }

    #[test]
    fn a_word_is_taken_without_its_quotes_and_found_with_them() {
        for (line, begun, start) in [
            ("publish a\\ b", "a b", 8),
            ("publish \"a b", "a b", 8),
            ("publish 'a b'/c", "a b/c", 8),
            ("publish x\\", "x", 8),
            ("publish \"a\\\"b\\c", "a\"b\\c", 8),
            ("publish 日\\ 本", "日 本", 8),
            ("download 1 --to=\"a b", "a b", 16),
        ] {
            let place = place(line);
            assert_eq!((place.begun.as_str(), place.start), (begun, start), "{line}");
        }
    }
}
