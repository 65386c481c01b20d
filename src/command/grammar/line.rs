//! From a line to a command, or to a sentence that says why it is none.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::{Command, Line, names};

/// Characters of a wrong value that are said again.
const MAX_QUOTED: usize = 60;

/// Why a line is no command: one sentence, and the usage where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// Reads one line; an empty line or a `#` comment asks for nothing.
///
/// # Errors
/// [`UsageError`], which says what is wrong and how the command is used.
pub fn parse(line: &str) -> Result<Option<Command>, UsageError> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let words = if takes_query(first) {
        query_words(first, rest)?
    } else {
        shlex::split(line).ok_or_else(open_quote)?
    };
    let Some(name) = words.first().cloned() else { return Ok(None) };
    let mut grammar = Line::command();
    let Some(command) = grammar.find_subcommand_mut(&name) else {
        return Err(unknown(&name));
    };
    let usage = command.render_usage();
    match Line::try_parse_from(words) {
        Ok(line) => Ok(Some(line.command)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Ok(Some(Command::Help { command: Some(name) }))
        }
        Err(error) => Err(explain(&name, &error, &usage)),
    }
}

/// The words of `ctl`, which a shell has split already, as one line that [`parse`] splits
/// into the same words; those of a query stand as they are.
///
/// # Errors
/// A word that no line can carry.
pub fn line_of(words: &[String]) -> Result<String, UsageError> {
    if let Some(first) = words.first().filter(|first| takes_query(first)) {
        let with_value = options_with_value(first);
        let mut value = false;
        let word = |word: &String| {
            let is_value = std::mem::replace(&mut value, with_value.contains(word));
            let assigned = with_value.iter().any(|option| {
                word.strip_prefix(option.as_str()).is_some_and(|rest| rest.starts_with('='))
            });
            if is_value || assigned { escaped(word) } else { word.clone() }
        };
        return Ok(words.iter().map(word).collect::<Vec<_>>().join(" "));
    }
    shlex::try_join(words.iter().map(String::as_str))
        .map_err(|_| UsageError("a word of the command holds a NUL".into()))
}

/// Whether what follows `command` is a query, in which quotes and dashes have a meaning.
fn takes_query(command: &str) -> bool {
    matches!(command, "search" | "wanted" | "results" | "shared")
}

/// The options of a command that a value follows.
fn options_with_value(name: &str) -> Vec<String> {
    let grammar = Line::command();
    let arguments =
        grammar.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
    arguments
        .filter(|argument| argument.get_action().takes_values())
        .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
        .collect()
}

/// `word` as the value of an option within a query, so that [`tokens`] and [`unescaped`]
/// give it back.
fn escaped(word: &str) -> String {
    let mut escaped = String::with_capacity(word.len());
    for c in word.chars() {
        if c.is_whitespace() || "\\\"'#".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The value of an option as a shell would take it.
fn unescaped(token: &str) -> Result<String, UsageError> {
    shlex::split(token).map(|words| words.join(" ")).ok_or_else(open_quote)
}

fn open_quote() -> UsageError {
    UsageError("a quote is opened and not closed (a \\ before it takes it as it is)".into())
}

/// The words of a command that takes a query: its options, then the query as one word.
///
/// Options begin with two dashes and so cannot be meant for the query, where one dash
/// leaves a word out; after `--` everything is query.
fn query_words(name: &str, rest: &str) -> Result<Vec<String>, UsageError> {
    let with_value = options_with_value(name);
    let mut words = vec![name.to_owned()];
    let mut query: Vec<&str> = Vec::new();
    let mut tokens = tokens(rest).into_iter();
    while let Some(token) = tokens.next() {
        if token == "--" {
            query.extend(tokens);
            break;
        }
        if !token.starts_with("--") {
            query.push(token);
            continue;
        }
        match token.split_once('=') {
            Some((option, value)) => words.push(format!("{option}={}", unescaped(value)?)),
            None => words.push(token.to_owned()),
        }
        if with_value.iter().any(|option| option == token) {
            words.extend(tokens.next().map(unescaped).transpose()?);
        }
    }
    if words.iter().any(|word| word == "--help") {
        return Ok(vec![name.to_owned(), "--help".to_owned()]);
    }
    if query.is_empty() && name == "search" {
        let usage = "usage: search WORDS... [--all | --ttl N] [--max N] [--trace]";
        return Err(UsageError(format!("search wants at least one word to look for\n{usage}")));
    }
    if !query.is_empty() {
        words.push("--".to_owned());
        words.push(query.join(" "));
    }
    Ok(words)
}

/// `text` cut at white space outside double quotes and behind no backslash; both stay.
fn tokens(text: &str) -> Vec<&str> {
    let (mut quoted, mut escapes) = (false, false);
    text.split(move |c: char| {
        let escaped = escapes;
        escapes = c == '\\' && !escaped;
        quoted ^= c == '"' && !escaped;
        !quoted && !escaped && c.is_whitespace()
    })
    .filter(|token| !token.is_empty())
    .collect()
}

/// What is wrong with a line whose command is known, in our own words.
fn explain(name: &str, error: &clap::Error, usage: &StyledStr) -> UsageError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" and "),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let value = context(ContextKind::InvalidValue);
    let bare = argument.replace(['<', '>', '[', ']'], "");
    let bare = bare.trim_end_matches("...");
    let what = match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            format!("{name} wants {bare}")
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("{name} has no option '{argument}' (a name that begins with '-' follows '--')")
        }
        ErrorKind::UnknownArgument => format!("{name} does not take '{argument}'"),
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("{name} wants a value for {bare}")
        }
        ErrorKind::InvalidValue => {
            format!(
                "'{value}' is not {}",
                context(ContextKind::ValidValue).replace(" and ", " or ")
            )
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            let value = shortened(&value);
            format!("'{value}' will not do for {bare}: {}", why.unwrap_or_default())
        }
        ErrorKind::ArgumentConflict => {
            format!("{argument} and {} do not go together", context(ContextKind::PriorArg))
        }
        _ => format!("{name} does not understand this line"),
    };
    let usage = usage.to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    UsageError(format!("{what}\nusage: {usage}"))
}

/// `value` as a sentence can bear it: a link is long.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

pub(super) fn unknown(name: &str) -> UsageError {
    let shown = crate::base::escape::Escaped(name);
    UsageError(match nearest(name) {
        Some(near) => format!("there is no command '{shown}'; did you mean '{near}'?"),
        None => format!("there is no command '{shown}'; 'help' lists them"),
    })
}

/// The command that `name` was most likely meant to be.
fn nearest(name: &str) -> Option<&'static str> {
    let known: Vec<&'static str> = names().iter().map(String::as_str).collect();
    crate::command::nearest::nearest(name, &known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ContentId, FileLink};
    use crate::servent::report::{DownloadTarget, LinkTarget};

    fn command(line: &str) -> Command {
        parse(line).unwrap().unwrap()
    }

    fn refusal(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    fn query(line: &str) -> String {
        match command(line) {
            Command::Search { words, .. } => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_reaches_the_search_unharmed() {
        for text in [
            "ferris",
            "-live ferris",
            r#""a  phrase" -"other phrase""#,
            "size>10M size<1G",
            "it's O'Brien",
            "type:audio .flac *part* begin*",
            r"back\slash $HOME `x`",
            r#"an "open quote --all"#,
            "-- --all",
        ] {
            let wanted = text.strip_prefix("-- ").unwrap_or(text);
            assert_eq!(query(&format!("search {text}")), wanted);
        }
        assert_eq!(query("search   two \t words  "), "two words");
        assert_eq!(query("search --ttl 3 -- a --max"), "a --max");
    }

    #[test]
    fn a_standing_search_takes_its_words_as_a_search_does() {
        let wanted = |show, forget, words: Option<&str>| Command::Wanted {
            show,
            forget,
            words: words.map(str::to_owned),
        };
        assert_eq!(command("wanted"), wanted(None, None, None));
        let words = r#""blue train" -live size>1M"#;
        assert_eq!(command(&format!("wanted {words}")), wanted(None, None, Some(words)));
        assert_eq!(command("wanted --show 3"), wanted(Some(3), None, None));
        assert_eq!(command("wanted --forget=3"), wanted(None, Some(3), None));
        assert!(refusal("wanted --forget 3 blue").contains("do not go together"));
        assert!(refusal("wanted --forget").contains("wants a value for --forget"));
    }

    #[test]
    fn options_of_a_search_may_stand_anywhere() {
        for line in
            ["search --all --max 7 a b", "search a --max=7 b --all", "search a b --all --max 7"]
        {
            let (ttl, words) = (None, "a b".to_owned());
            let wanted = Command::Search { all: true, ttl, max: 7, trace: false, words };
            assert_eq!(command(line), wanted);
        }
        assert!(refusal("search --all --ttl 3 x").contains("do not go together"));
        for ttl in ["9", "0", "256", "x"] {
            let said = refusal(&format!("search --ttl {ttl} x"));
            let wanted =
                format!("'{ttl}' will not do for --ttl N: a number from 1 to 8 is wanted\n");
            assert!(said.starts_with(&wanted), "{said}");
        }
        assert!(refusal("search --max 0 x").contains("1 to 2000"));
        assert!(refusal("search --max 2001 x").contains("1 to 2000"));
        assert!(refusal("search x --ttl").starts_with("search wants a value for --ttl N\nusage: "));
        assert!(refusal("search --fast x").contains("no option '--fast'"));
    }

    #[test]
    fn a_search_for_nothing_says_so() {
        for line in ["search", "search   ", "search --all", "search --"] {
            assert!(refusal(line).starts_with("search wants at least one word"), "{line}");
        }
    }

    #[test]
    fn names_with_spaces_and_dashes_can_be_published() {
        let paths = |line| match command(line) {
            Command::Publish { paths, yes, name: None } => (paths, yes),
            other => panic!("{other:?}"),
        };
        let quoted = paths(r#"publish "a b" 'c d' e\ f --yes"#);
        assert_eq!(quoted, (vec!["a b".into(), "c d".into(), "e f".into()], true));
        assert_eq!(paths("publish -- -rf --yes"), (vec!["-rf".into(), "--yes".into()], false));
        assert!(refusal("publish -rf").contains("follows '--'"));
        assert!(refusal("publish \"a").contains("not closed"));
    }

    #[test]
    fn an_unknown_command_is_answered_by_the_nearest() {
        for (typed, near) in [
            ("serach", "search"),
            ("sear", "search"),
            ("SEARCH", "search"),
            ("dwonload", "download"),
            ("publsh", "publish"),
            ("halp", "help"),
            ("qiut", "quit"),
        ] {
            assert_eq!(
                refusal(typed),
                format!("there is no command '{typed}'; did you mean '{near}'?")
            );
        }
        assert_eq!(refusal("xyzzy"), "there is no command 'xyzzy'; 'help' lists them");
        assert!(!refusal("\x1b[2Jx").contains('\x1b'));
    }

    #[test]
    fn a_missing_or_surplus_argument_is_named_with_the_usage() {
        assert_eq!(
            refusal("publish"),
            "publish wants PATH\nusage: publish PATH... [--yes | --as NAME]"
        );
        assert!(
            refusal("download").starts_with("download wants N|HASH|LINK\nusage: download N|HASH")
        );
        assert_eq!(refusal("leave now"), "leave does not take 'now'\nusage: leave");
        assert!(
            refusal("news maybe").starts_with("'maybe' is not on or off"),
            "{}",
            refusal("news maybe")
        );
        assert!(refusal("wait x").starts_with("'x' will not do for N: a number is wanted\n"));
        let empty = refusal("publish ''");
        assert!(empty.starts_with("publish wants a value for PATH\n"), "{empty}");
        assert!(refusal("join ::1").contains("brackets"));
        assert!(refusal("download 0").contains("numbered from 1"));
        assert!(refusal("download abc").contains("64 hexadecimal digits"));
    }

    #[test]
    fn a_download_is_named_by_number_or_hash() {
        let id = ContentId::of_nothing();
        let target = |line: &str| match command(line) {
            Command::Download { what, .. } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(target("download 99"), DownloadTarget::Result(99));
        assert_eq!(target(&format!("download {id} --wait --to /x")), DownloadTarget::Content(id));
        let upper = id.to_string().to_uppercase();
        assert_eq!(target(&format!("download {upper}")), DownloadTarget::Content(id));
        let digits = "1".repeat(64);
        assert!(matches!(target(&format!("download {digits}")), DownloadTarget::Content(_)));
    }

    #[test]
    fn a_link_is_taken_wherever_a_number_is_and_what_is_wrong_with_it_is_said() {
        let id = ContentId::of_nothing();
        let link: FileLink = format!("part2part:{id}?name=a%20b&size=7").parse().unwrap();
        for text in [link.to_string(), link.magnet()] {
            let target = DownloadTarget::Link(Box::new(link.clone()));
            let line = line_of(&["download".to_owned(), text.clone()]).unwrap();
            let download = command(&line);
            assert!(matches!(download, Command::Download { what, .. } if what == target), "{text}");
            let what = LinkTarget::Known(target);
            assert_eq!(command(&format!("link '{text}'")), Command::Link { magnet: false, what });
        }
        let what = LinkTarget::Path("a b".into());
        assert_eq!(command("link --magnet 'a b'"), Command::Link { magnet: true, what });
        let wrong = format!("download part2part:{id}?size=x{}", "&y=1".repeat(99));
        let said = refusal(&wrong);
        assert!(said.contains("size= of the link is no number") && said.len() < 400, "{said}");
        assert!(refusal("link part2part:x").contains("the hash of the link"));
        assert!(refusal("link 0").contains("numbered from 1"));
    }

    #[test]
    fn nothing_is_asked_by_an_empty_line_or_a_comment() {
        for line in ["", "  ", "# a comment", "''"] {
            assert!(matches!(parse(line), Ok(None)) || line == "''", "{line}");
        }
        assert!(parse("''").is_err());
    }

    #[test]
    fn words_that_a_shell_split_come_through_as_they_were() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let line = line_of(&words(&["publish", "a b", "it's", "--", "-x"])).unwrap();
        let paths = vec!["a b".into(), "it's".into(), "-x".into()];
        assert_eq!(command(&line), Command::Publish { paths, yes: false, name: None });
        let line = line_of(&words(&["search", "\"a b\"", "-c", "size>1M"])).unwrap();
        assert_eq!(query(&line), "\"a b\" -c size>1M");
        assert!(line_of(&words(&["publish", "a\0b"])).is_err());
    }
}
