//! What its user does not want to be shared of a published folder, in the words that git
//! has for it: patterns of all folders (`--ignore`), and a `.part2partignore` in any.
//!
//! Always true: the last pattern that matches decides, and the file in the nearest folder
//! goes before those above it; an ignore file that may not be read leaves out all of its
//! folder, and one that cannot be at present leaves all as it was, since too little may be shared rather than too much; matching a name costs at
//! most its length times that of the pattern.
//!
//! The matcher is our own: it is a page, where the crate that ripgrep has for it brings an
//! engine for regular expressions with it. The tests hold the two against each other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::library::Library;
use super::scan::may_pass;
use crate::store::disk::Disk;

/// The name of a file with patterns.
pub const IGNORE_FILE: &str = ".part2partignore";
/// Longest file with patterns that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// Most patterns that are given for all folders.
pub const MAX_PATTERNS: usize = 256;
/// Longest of them, in bytes: as long as a path may be.
pub const MAX_PATTERN: usize = 4096;

/// The patterns that hold in one folder.
#[derive(Clone, Debug)]
pub(super) struct Ignoring(Option<Arc<Level>>);

#[derive(Debug)]
struct Level {
    /// The folder that the patterns begin at.
    base: PathBuf,
    rules: Rules,
    above: Option<Arc<Self>>,
}

/// The patterns of one place, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    patterns: Arc<[Pattern]>,
    /// Nothing is to be shared: the patterns cannot be read.
    all: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Pattern {
    negated: bool,
    folders_only: bool,
    parts: Vec<Part>,
}

/// What one name of a path must be.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    /// Any number of names.
    Any,
    Name(Vec<Token>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Char(char),
    One,
    Many,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Ignoring {
    /// Those of `rules`, which begin at `root`.
    pub(super) fn at(root: &Path, rules: Rules) -> Self {
        let none = rules.patterns.is_empty() && !rules.all;
        let level = || Level { base: root.to_path_buf(), rules, above: None };
        Self((!none).then(|| Arc::new(level())))
    }

    /// These, and those of the ignore file in `folder`, if there is one. An error when it
    /// cannot be told at present what is in that.
    pub(super) fn with_file(&self, disk: &dyn Disk, folder: &Path) -> io::Result<Self> {
        let rules = match disk.read_small(&folder.join(IGNORE_FILE), MAX_FILE) {
            Ok(text) => Rules::new(String::from_utf8_lossy(&text).lines()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.clone()),
            Err(error) if may_pass(&error) => return Err(error),
            Err(_) => Rules { all: true, ..Rules::default() },
        };
        let base = folder.to_path_buf();
        Ok(Self(Some(Arc::new(Level { base, rules, above: self.0.clone() }))))
    }

    /// Whether what is found at `path` is left out. What lies in a folder that is left out
    /// is not asked for.
    pub(super) fn leaves_out(&self, path: &Path, folder: bool) -> bool {
        let mut level = self.0.as_ref();
        while let Some(Level { base, rules, above }) = level.map(|level| &**level) {
            if rules.all {
                return true;
            }
            let below = path.strip_prefix(base).unwrap_or(path);
            if let Some(left_out) = rules.decide(below, folder) {
                return left_out;
            }
            level = above.as_ref();
        }
        false
    }
}

impl Rules {
    /// The patterns in these lines.
    pub(super) fn new<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        Self { patterns: lines.filter_map(Pattern::read).collect(), all: false }
    }

    /// Whether `path`, which lies below where the patterns begin, is left out; none when
    /// no pattern says anything.
    fn decide(&self, path: &Path, folder: bool) -> Option<bool> {
        if self.patterns.is_empty() {
            return None;
        }
        let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let last = self.patterns.iter().rev().find(|pattern| pattern.matches(&names, folder));
        last.map(|pattern| !pattern.negated)
    }
}

impl Pattern {
    /// Reads one line; none when there is no pattern in it.
    fn read(line: &str) -> Option<Self> {
        let mut text = trimmed(line.strip_suffix('\r').unwrap_or(line));
        if text.starts_with('#') {
            return None;
        }
        let negated = text.starts_with('!');
        text = text.strip_prefix('!').unwrap_or(text);
        let folders_only = text.ends_with('/');
        text = text.strip_suffix('/').unwrap_or(text);
        let anchored = text.contains('/');
        text = text.strip_prefix('/').unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        let mut parts = if anchored { Vec::new() } else { vec![Part::Any] };
        let names: Vec<&str> = text.split('/').collect();
        for (at, name) in names.iter().enumerate() {
            match *name {
                "**" if parts.last() == Some(&Part::Any) => {}
                "**" => parts.push(Part::Any),
                name => parts.push(Part::Name(tokens(name))),
            }
            // At the end it means all that is in the folder, not the folder.
            if *name == "**" && at + 1 == names.len() && at > 0 {
                parts.push(Part::Name(vec![Token::Many]));
            }
        }
        Some(Self { negated, folders_only, parts })
    }

    fn matches(&self, names: &[&str], folder: bool) -> bool {
        (folder || !self.folders_only)
            && wild(
                &self.parts,
                names,
                |part| *part == Part::Any,
                |part, name| match part {
                    Part::Any => true,
                    Part::Name(tokens) => {
                        let chars: Vec<char> = name.chars().collect();
                        wild(tokens, &chars, |token| *token == Token::Many, Token::is)
                    }
                },
            )
    }
}

impl Token {
    fn is(&self, wanted: &char) -> bool {
        match self {
            Self::Char(one) => one == wanted,
            Self::One | Self::Many => true,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (first..=last).contains(&wanted)) != *negated
            }
        }
    }
}

/// Whether `pattern` is all of `text`, where what is `many` stands for any number of its
/// items. When it does not go on, the latest of these takes one more: earlier ones need
/// not be tried again.
fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    many: impl Fn(&P) -> bool,
    is: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut reached) = (0, 0);
    let mut latest = None;
    while let Some(item) = text.get(reached) {
        match pattern.get(at) {
            Some(part) if many(part) => {
                latest = Some((at, reached));
                at += 1;
            }
            Some(part) if is(part, item) => (at, reached) = (at + 1, reached + 1),
            _ => match &mut latest {
                Some((star, from)) => {
                    *from += 1;
                    (at, reached) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(many))
}

/// A line without the spaces at its end, but for one behind a backslash.
fn trimmed(line: &str) -> &str {
    let bare = line.trim_end_matches(' ');
    match bare.len() < line.len() && bare.ends_with('\\') {
        true => line.get(..=bare.len()).unwrap_or(line),
        false => bare,
    }
}

fn tokens(name: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
        tokens.push(match first {
            '*' if tokens.last() == Some(&Token::Many) => continue,
            '*' => Token::Many,
            '?' => Token::One,
            '\\' => {
                let Some(plain) = rest.chars().next() else { continue };
                rest = rest.get(plain.len_utf8()..).unwrap_or_default();
                Token::Char(plain)
            }
            '[' => match class(rest) {
                Some((class, after)) => {
                    rest = after;
                    class
                }
                None => Token::Char('['),
            },
            plain => Token::Char(plain),
        });
    }
    tokens
}

/// What stands between brackets, and what comes after; none when they are not closed.
fn class(text: &str) -> Option<(Token, &str)> {
    let negated = text.starts_with(['!', '^']);
    let text = text.strip_prefix(['!', '^']).unwrap_or(text);
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, one)) = chars.next() {
        if one == ']' && at > 0 {
            return Some((Token::Class { negated, ranges }, text.get(at + 1..)?));
        }
        let one = if one == '\\' { chars.next()?.1 } else { one };
        let mut ahead = chars.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some((_, '-')), Some((_, last))) if last != ']' => {
                chars = ahead;
                if last == '\\' { chars.next()?.1 } else { last }
            }
            _ => one,
        };
        ranges.push((one, to));
    }
    None
}

impl Library {
    /// The patterns that hold in a folder that was published by name, those of its own
    /// file left out.
    pub(super) fn ignoring(&self, root: &Path) -> Ignoring {
        let rules = self.ignored().read().unwrap_or_else(PoisonError::into_inner).clone();
        Ignoring::at(root, rules)
    }

    /// Leaves out of all published folders what one of these patterns matches, from the
    /// next look on; no more than [`MAX_PATTERNS`], which whoever takes them in checks.
    pub fn ignore(&self, patterns: &[String]) {
        let lines = patterns.iter().take(MAX_PATTERNS).map(String::as_str);
        *self.ignored().write().unwrap_or_else(PoisonError::into_inner) = Rules::new(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether the patterns leave out this path, or a folder on its way; a folder ends
    /// with a slash.
    fn left_out(patterns: &str, path: &str) -> bool {
        let ignoring = Ignoring::at(Path::new("/r"), Rules::new(patterns.lines()));
        let folder = path.ends_with('/');
        let full = Path::new("/r").join(path);
        let below: Vec<_> = full.ancestors().take_while(|at| *at != Path::new("/r")).collect();
        below.iter().any(|at| ignoring.leaves_out(at, *at != full || folder))
    }

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        let cases = [
            ("*.o", "a/b/c.o", true),
            ("*.o", "a/b/c.oo", false),
            ("build/", "a/build/x", true),
            ("build/", "a/build", false),
            ("/build", "build", true),
            ("/build", "a/build", false),
            ("a/b", "a/b", true),
            ("a/b", "x/a/b", false),
            ("**/a/b", "x/a/b", true),
            ("a/**", "a/x/y", true),
            ("a/**", "a/", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]y", "]y", true),
            ("[x", "[x", true),
            ("\\#a", "#a", true),
            ("#a", "#a", false),
            ("\\!a", "!a", true),
            ("*.mp3\n!keep.mp3", "keep.mp3", false),
            ("*.mp3\n!keep.mp3", "drop.mp3", true),
            ("a/\n!a/keep", "a/keep", true),
            ("a   ", "a", true),
            ("a\\ ", "a ", true),
            ("\n\n", "a", false),
            ("/", "a", false),
            ("caf\u{e9}*", "caf\u{e9} noir", true),
        ];
        for (patterns, path, expected) in cases {
            assert_eq!(left_out(patterns, path), expected, "{patterns:?} {path}");
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = format!("{}b", "*a".repeat(1000));
        assert!(!left_out(&pattern, &"a".repeat(2000)));
        let pattern = format!("{}b", "**/a/".repeat(300));
        assert!(!left_out(&pattern, &"a/".repeat(600)));
    }

    /// Lines of a pattern file: what both matchers, and git, read alike.
    const PATTERNS: &str = r"(!?/?(\*\*/)?([ab?]{1,2}\*?|\*[ab?]?|\[ab\]|\[!a\]b)(/?|/\*\*|(/\*\*)?/([ab?]{1,2}|\*b?)/?)\n){1,3}";

    proptest! {
        #[test]
        fn it_is_the_matcher_that_others_use(
            patterns in PATTERNS,
            path in "[abc]{1,3}(/[ab]{1,2}){0,3}/?",
        ) {
            let mut builder = ignore::gitignore::GitignoreBuilder::new("/r");
            for line in patterns.lines() {
                builder.add_line(None, line).unwrap();
            }
            let reference = builder.build().unwrap();
            let full = Path::new("/r").join(path.trim_end_matches('/'));
            let folder = path.ends_with('/');
            let mut below = full.ancestors().take_while(|at| *at != Path::new("/r"));
            let expected =
                below.any(|at| reference.matched(at, at != full || folder).is_ignore());
            prop_assert_eq!(left_out(&patterns, &path), expected, "{:?} {}", patterns, path);
        }
    }
}
