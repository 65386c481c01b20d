//! What is not published although it was in a folder, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Most files that are named as left out; the others are only counted.
pub const MAX_EXAMPLES: usize = 8;

/// What was left out, and why.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LeftOutReport {
    /// How many files and folders, by reason.
    pub counts: BTreeMap<LeftOut, u64>,
    /// The first [`MAX_EXAMPLES`] of them that are not just hidden or ignored.
    pub examples: Vec<LeftOutExample>,
}

/// One thing that was left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOutExample {
    /// Its path, as far as it is text; unescaped.
    pub path: String,
    /// Why.
    pub why: LeftOut,
}

/// Why something is not published.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// Its name begins with a dot.
    Hidden,
    /// A symbolic link.
    Symlink,
    /// A named pipe, a socket or a device.
    Special,
    /// It cannot be read.
    Unreadable,
    /// Over 256 GiB.
    TooLarge,
    /// Its name is not UTF-8 text, or too long to be told.
    Name,
    /// It was changed while it was read.
    Changed,
    /// It is the servent's own.
    Protected,
    /// The library is full.
    TooMany,
    /// A pattern of its user's leaves it out.
    Ignored,
    /// It was unpublished, and not published by name since.
    Unpublished,
}

impl LeftOut {
    /// The reason in a word or two, to stand beside a number.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Symlink => "symbolic link",
            Self::Special => "no file",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too large",
            Self::Name => "name",
            Self::Changed => "changed",
            Self::Protected => "part2part's own",
            Self::TooMany => "library full",
            Self::Ignored => "ignored",
            Self::Unpublished => "unpublished",
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hidden => "it is hidden",
            Self::Symlink => "it is a symbolic link",
            Self::Special => "it is a named pipe, a socket or a device",
            Self::Unreadable => "it cannot be read",
            Self::TooLarge => "it is over 256 GiB",
            Self::Name => "its name is not UTF-8 text or over 255 bytes",
            Self::Changed => "it was changed meanwhile",
            Self::Protected => "it belongs to part2part itself",
            Self::TooMany => "the library is full",
            Self::Ignored => "a pattern of yours leaves it out",
            Self::Unpublished => "it was unpublished; publish it by name to share it again",
        })
    }
}

impl LeftOutReport {
    /// How many files and folders were left out.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Counts `path`, and names it while there is room.
    pub(super) fn add(&mut self, path: &Path, why: LeftOut) {
        *self.counts.entry(why).or_default() += 1;
        let meant = matches!(why, LeftOut::Hidden | LeftOut::Ignored);
        if !meant && self.examples.len() < MAX_EXAMPLES {
            let path = path.to_string_lossy().into_owned();
            self.examples.push(LeftOutExample { path, why });
        }
    }
}
