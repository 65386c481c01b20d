//! Why something is not published, not found or not read, told to the user.

use std::io;
use std::path::{Path, PathBuf};

use super::left_out::LeftOut;
use super::marks::MAX_EXCLUDED;
use crate::base::escape::Escaped;

/// Why nothing was published, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The folder holds more than anybody means to share; ask, then confirm.
    #[error("{} {why}: confirm with --yes to share all that is in it", shown(.path))]
    NeedsConfirmation {
        /// The folder.
        path: PathBuf,
        /// What is special about it.
        why: &'static str,
    },
    /// There is nothing at the path.
    #[error("there is no {}", shown(.path))]
    Missing {
        /// The path, as given.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}: {source}", shown(.path))]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It was named, but is among the things that are left out of a folder.
    #[error("{} cannot be published: {why}", shown(.path))]
    Refused {
        /// The path.
        path: PathBuf,
        /// Why.
        why: LeftOut,
    },
    /// A name was given for a folder.
    #[error("{} is a folder: --as gives one file another name", shown(.path))]
    NamedFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Publishing was stopped; what was published before that stays so.
    #[error(
        "publishing was stopped after {files} files, which are shared; the next start goes on \
         with it, as does publishing it again; 'unpublish' takes it back"
    )]
    Stopped {
        /// How many files it had published.
        files: u64,
    },
    /// It was unpublished while it was being published.
    #[error("{} was unpublished meanwhile", shown(.path))]
    Unpublished {
        /// What was being published.
        path: PathBuf,
    },
    /// It is shared, but a later start will not know of it.
    #[error("{} is shared until quit, but cannot be remembered: {why}", shown(.path))]
    NotKept {
        /// What was published.
        path: PathBuf,
        /// A sentence: why.
        why: String,
    },
}

/// Why nothing was unpublished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpublishError {
    /// Nothing is published by that path, in that folder, or of that content.
    #[error("{} is not published ('shared' lists what is)", Escaped(.what))]
    NotPublished {
        /// What was named.
        what: String,
    },
    /// Too much was taken out of published folders already.
    #[error(
        "{} stays published: {MAX_EXCLUDED} paths were taken out of published folders already; a \
         pattern in a .part2partignore leaves out more",
        Escaped(.what)
    )]
    TooMany {
        /// What was named.
        what: String,
    },
    /// It is no longer shared, but a later start will not know of that.
    #[error("{} is not shared until quit, but that cannot be remembered: {why}", Escaped(.what))]
    NotKept {
        /// What was named.
        what: String,
        /// A sentence: why.
        why: String,
    },
}

/// Why a content cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not published.
    #[error("not here")]
    NotHere,
    /// The file was changed since it was published, and is no longer.
    #[error("{} was changed since it was published", shown(.path))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The system does not let us read it at present; it stays published.
    #[error("cannot read {}: {source}", shown(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Why a piece cannot be given. Whatever it is, no byte was.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The content was unpublished.
    #[error("unpublished")]
    Withdrawn,
    /// The file was changed since it was published, and is no longer.
    #[error("{} was changed since it was published", shown(.path))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The system does not let us read it at present; it stays published.
    #[error("cannot read {}: {source}", shown(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file has no such piece.
    #[error("there is no piece {number}")]
    NoSuchPiece {
        /// Its number.
        number: u32,
    },
}

impl From<OpenError> for ReadError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotHere => Self::Withdrawn,
            OpenError::Changed { path } => Self::Changed { path },
            OpenError::Unreadable { path, source } => Self::Unreadable { path, source },
        }
    }
}

/// A path as it may meet a terminal.
pub(super) fn shown(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}
