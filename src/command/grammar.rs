//! The language of the command lines, one for every front.
//!
//! Words are split as a shell splits them, so a name with spaces is quoted and one that
//! begins with a dash follows `--`. Only `search` takes its rest as it stands: quotes
//! and dashes in it belong to the query.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use super::address::join_target;
use crate::base::{ContentId, MAX_TTL};
use crate::servent::JoinTarget;
use crate::servent::report::DownloadTarget;

/// How many different files end a search unless told otherwise: a few screens.
pub const ENOUGH: usize = 50;
/// Most files that a search may ask for: what a servent takes for one query.
pub const MAX_ENOUGH: usize = 2_000;
/// How wide help texts are, in columns.
const HELP_WIDTH: usize = 80;

#[derive(Parser)]
#[command(multicall = true, disable_help_subcommand = true, disable_version_flag = true)]
#[command(term_width = HELP_WIDTH)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What a line asks for.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Join a mesh through a servent that is in it
    ///
    /// The port is 7272 when left out; an IPv6 address goes in brackets. With an id, nobody
    /// but the servent with this id will do. Without an address, servents known from
    /// earlier are tried.
    #[command(override_usage = "join [[ID@]HOST[:PORT]]")]
    Join {
        /// Where to knock
        #[arg(value_parser = join_target)]
        address: Option<JoinTarget>,
    },
    /// Say goodbye to all neighbours and stay alone until the next join
    #[command(override_usage = "leave")]
    Leave,
    /// List the neighbours
    #[command(override_usage = "peers [--known]")]
    Peers {
        /// List the contacts that are known without a link instead
        #[arg(long)]
        known: bool,
    },
    /// Search the mesh for files
    ///
    /// All words must be in the name, whole and in any order; case and accents do not
    /// matter. word* matches beginnings, *word* parts; "a phrase" wants the words together,
    /// -word leaves out; .flac, size>10M, size<1G, type:audio and id:HASH narrow it down.
    /// Hits show as they arrive; the search ends when everybody asked has answered.
    #[command(override_usage = "search WORDS... [--all | --ttl N] [--max N]")]
    Search {
        /// Ask everybody within 8 hops at once, not the near ones first
        #[arg(long, conflicts_with = "ttl")]
        all: bool,
        /// Ask exactly those within N hops
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_TTL)))]
        ttl: Option<u8>,
        /// Ask no further once N different files are found
        #[arg(long, value_name = "N", default_value_t = ENOUGH, value_parser = enough)]
        max: usize,
        /// What to look for
        #[arg(value_name = "WORDS")]
        words: String,
    },
    /// Show what the latest search found, or everybody who has result N
    #[command(override_usage = "results [N]")]
    Results {
        /// A result
        #[arg(value_name = "N", value_parser = number)]
        number: Option<usize>,
    },
    /// Share a file, or everything in a folder
    ///
    /// Hidden files are left out. It is shared until unpublish or quit; to share it at
    /// every start, start with --share PATH. The root of the
    /// file system and the home folder want --yes.
    #[command(override_usage = "publish PATH... [--yes]")]
    Publish {
        /// Share even what is seldom meant to be shared whole
        #[arg(long)]
        yes: bool,
        /// Files and folders
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
    /// Stop sharing a file, a folder, or a content
    #[command(override_usage = "unpublish PATH|HASH")]
    Unpublish {
        /// What is no longer shared
        #[arg(value_name = "PATH|HASH")]
        what: String,
    },
    /// List what this servent shares
    #[command(override_usage = "shared")]
    Shared,
    /// Download a result of the latest search, or a content by its hash
    ///
    /// It goes on in the background, from everybody who has it; every piece is verified.
    #[command(override_usage = "download N|HASH [--wait] [--once] [--to DIR]")]
    Download {
        /// Wait until it is over
        #[arg(long)]
        wait: bool,
        /// Fail, rather than wait, when no source or no space is left
        #[arg(long)]
        once: bool,
        /// Put it into this folder instead of the downloads folder
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// A number that search shows, or 64 digits as b3sum prints them
        #[arg(value_name = "N|HASH", value_parser = download_target)]
        what: DownloadTarget,
    },
    /// List the downloads
    #[command(override_usage = "downloads")]
    Downloads,
    /// Show how this servent is
    #[command(override_usage = "status")]
    Status,
    /// Tell when neighbours come and go, or no longer
    #[command(override_usage = "news on|off")]
    News {
        /// Whether to tell
        #[arg(value_name = "on|off")]
        switch: Switch,
    },
    /// Wait until download N, or every download, is over
    #[command(override_usage = "wait [N]")]
    Wait {
        /// A download
        #[arg(value_name = "N", value_parser = number)]
        number: Option<usize>,
    },
    /// List the commands, or explain one
    #[command(override_usage = "help [COMMAND]", alias = "?")]
    Help {
        /// The command to explain
        command: Option<String>,
    },
    /// Say goodbye and stop
    #[command(override_usage = "quit", alias = "exit")]
    Quit,
}

/// On or off.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

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
    let words = if first == "search" {
        search_words(rest)?
    } else {
        shlex::split(line).ok_or_else(|| {
            UsageError("a quote is opened and not closed (a \\ before it takes it as it is)".into())
        })?
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
/// into the same words; after `search` they stand as they are.
///
/// # Errors
/// A word that no line can carry.
pub fn line_of(words: &[String]) -> Result<String, UsageError> {
    if words.first().is_some_and(|first| first == "search") {
        return Ok(words.join(" "));
    }
    shlex::try_join(words.iter().map(String::as_str))
        .map_err(|_| UsageError("a word of the command holds a NUL".into()))
}

/// The words of a search for clap: its options, then the query as one word.
///
/// Options begin with two dashes and so cannot be meant for the query, where one dash
/// leaves a word out; after `--` everything is query.
fn search_words(rest: &str) -> Result<Vec<String>, UsageError> {
    let mut words = vec!["search".to_owned()];
    let mut query: Vec<&str> = Vec::new();
    let mut tokens = tokens(rest).into_iter();
    while let Some(token) = tokens.next() {
        match token {
            "--" => {
                query.extend(tokens);
                break;
            }
            "--ttl" | "--max" => {
                words.push(token.to_owned());
                words.extend(tokens.next().map(str::to_owned));
            }
            _ if token.starts_with("--") => words.push(token.to_owned()),
            _ => query.push(token),
        }
    }
    if words.iter().any(|word| word == "--help") {
        return Ok(vec!["search".to_owned(), "--help".to_owned()]);
    }
    if query.is_empty() {
        let usage = "usage: search WORDS... [--all | --ttl N] [--max N]";
        return Err(UsageError(format!("search wants at least one word to look for\n{usage}")));
    }
    words.push("--".to_owned());
    words.push(query.join(" "));
    Ok(words)
}

/// `text` cut at white space outside double quotes; quotes stay.
fn tokens(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c.is_whitespace()
    })
    .filter(|token| !token.is_empty())
    .collect()
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a number is wanted".to_owned())
}

fn enough(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_ENOUGH).contains(&number) => Ok(number),
        _ => Err(format!("a number from 1 to {MAX_ENOUGH} is wanted")),
    }
}

fn download_target(text: &str) -> Result<DownloadTarget, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && text.len() < ContentId::TEXT_LEN {
        return match text.parse() {
            Ok(number) if number > 0 => Ok(DownloadTarget::Result(number)),
            _ => Err("results are numbered from 1, as 'results' shows them".to_owned()),
        };
    }
    ContentId::from_str(&text.to_ascii_lowercase()).map(DownloadTarget::Content).map_err(|_| {
        "a number that 'results' shows is wanted, or 64 hexadecimal digits as b3sum prints them"
            .to_owned()
    })
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
    let bare = argument.trim_matches(['<', '>', '[', ']', '.']);
    let what = match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            format!("{name} wants {}", argument.replace(['<', '>'], "").trim_end_matches("..."))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("{name} has no option '{argument}' (a name that begins with '-' follows '--')")
        }
        ErrorKind::UnknownArgument => format!("{name} does not take '{argument}'"),
        ErrorKind::InvalidValue if value.is_empty() => {
            let plain = argument.replace(['<', '>'], "");
            format!("{name} wants a value for {}", plain.trim_end_matches("..."))
        }
        ErrorKind::InvalidValue => {
            format!(
                "'{value}' is not {}",
                context(ContextKind::ValidValue).replace(" and ", " or ")
            )
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string);
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

fn unknown(name: &str) -> UsageError {
    let shown = crate::base::escape::Escaped(name);
    UsageError(match nearest(name) {
        Some(near) => format!("there is no command '{shown}'; did you mean '{near}'?"),
        None => format!("there is no command '{shown}'; 'help' lists them"),
    })
}

/// The command that `name` was most likely meant to be.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let length = name.chars().count();
    let begun = |known: &&&str| length >= 2 && known.starts_with(&name);
    if let Some(known) = names().iter().find(begun) {
        return Some(known);
    }
    let allowed = (length / 3).max(1);
    names()
        .iter()
        .map(|known| (strsim::osa_distance(&name, known), *known))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// The names of all commands, as `help` lists them.
#[must_use]
pub fn names() -> &'static [&'static str] {
    &[
        "join",
        "leave",
        "peers",
        "search",
        "results",
        "publish",
        "unpublish",
        "shared",
        "download",
        "downloads",
        "status",
        "news",
        "wait",
        "help",
        "quit",
    ]
}

/// How `name` is used, without its name: what the prompt hints at.
#[must_use]
pub fn usage_of(name: &str) -> Option<String> {
    let mut grammar = Line::command();
    let usage = grammar.find_subcommand_mut(name)?.render_usage().to_string();
    let rest = usage.trim_start_matches("Usage:").trim().strip_prefix(name)?.trim().to_owned();
    (!rest.is_empty()).then_some(rest)
}

/// The options of `name`, each with its dashes.
#[must_use]
pub fn options_of(name: &str) -> Vec<String> {
    let grammar = Line::command();
    let Some(command) = grammar.find_subcommand(name) else { return Vec::new() };
    let longs = command.get_arguments().filter_map(|argument| argument.get_long());
    longs.filter(|long| *long != "help").map(|long| format!("--{long}")).collect()
}

/// The text of `help` and `help COMMAND`.
///
/// # Errors
/// [`UsageError`] when there is no such command.
pub fn help(command: Option<&str>) -> Result<String, UsageError> {
    let mut grammar = Line::command();
    let Some(name) = command else {
        let about = |command: &clap::Command| {
            command.get_about().map(ToString::to_string).unwrap_or_default()
        };
        let rows =
            grammar.get_subcommands().map(|c| format!("  {:<10} {}\n", c.get_name(), about(c)));
        let rows: String = rows.collect();
        return Ok(format!("{rows}'help COMMAND' explains one of them."));
    };
    let found = grammar.find_subcommand_mut(name).ok_or_else(|| unknown(name))?;
    let found = std::mem::take(found).disable_help_flag(true).term_width(HELP_WIDTH);
    Ok(found.clone().render_long_help().to_string().trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_grammar_holds_together() {
        Line::command().debug_assert();
        let listed: Vec<_> =
            Line::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        assert_eq!(listed, names());
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
    fn options_of_a_search_may_stand_anywhere() {
        for line in
            ["search --all --max 7 a b", "search a --max=7 b --all", "search a b --all --max 7"]
        {
            let wanted = Command::Search { all: true, ttl: None, max: 7, words: "a b".into() };
            assert_eq!(command(line), wanted);
        }
        assert!(refusal("search --all --ttl 3 x").contains("do not go together"));
        assert!(refusal("search --ttl 9 x").contains("'9' will not do"));
        assert!(refusal("search --ttl 0 x").contains("'0' will not do"));
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
            Command::Publish { paths, yes } => (paths, yes),
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
        assert_eq!(refusal("publish"), "publish wants PATH\nusage: publish PATH... [--yes]");
        assert!(refusal("download").starts_with("download wants N|HASH\nusage: download N|HASH"));
        assert_eq!(refusal("leave now"), "leave does not take 'now'\nusage: leave");
        assert!(
            refusal("news maybe").starts_with("'maybe' is not on or off"),
            "{}",
            refusal("news maybe")
        );
        assert!(refusal("wait x").starts_with("'x' will not do for N: a number is wanted\n"));
        assert!(refusal("results 1.5").contains("a number is wanted"));
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
    fn nothing_is_asked_by_an_empty_line_or_a_comment() {
        for line in ["", "  ", "# a comment", "''"] {
            assert!(matches!(parse(line), Ok(None)) || line == "''", "{line}");
        }
        assert!(parse("''").is_err());
    }

    #[test]
    fn every_command_has_help_that_fits_a_terminal() {
        let overview = help(None).unwrap();
        for name in names() {
            assert!(overview.contains(&format!("  {name} ")), "{name}");
            let text = help(Some(name)).unwrap();
            assert!(text.contains(&format!("Usage: {name}")), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= HELP_WIDTH), "{text}");
            let asked = Some(Command::Help { command: Some((*name).to_owned()) });
            assert_eq!(parse(&format!("{name} --help")), Ok(asked));
        }
        assert!(help(Some("serach")).unwrap_err().to_string().contains("'search'"));
    }

    #[test]
    fn words_that_a_shell_split_come_through_as_they_were() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let line = line_of(&words(&["publish", "a b", "it's", "--", "-x"])).unwrap();
        let paths = vec!["a b".into(), "it's".into(), "-x".into()];
        assert_eq!(command(&line), Command::Publish { paths, yes: false });
        let line = line_of(&words(&["search", "\"a b\"", "-c", "size>1M"])).unwrap();
        assert_eq!(query(&line), "\"a b\" -c size>1M");
        assert!(line_of(&words(&["publish", "a\0b"])).is_err());
    }
}
