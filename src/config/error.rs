//! Why a servent cannot be started as it was asked to, in sentences for its user.

use std::io;
use std::path::PathBuf;

/// Why a servent cannot be started with these settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A default folder hangs on the home folder.
    #[error("there is no home folder ($HOME); say where with {flag}")]
    NoHome {
        /// The flag that does without.
        flag: &'static str,
    },
    /// The folder this process stands in is gone.
    #[error("the current folder cannot be read: {0}")]
    NoFolder(io::Error),
    /// A value makes no sense.
    #[error("{place}{}{value}: {why}", if value.is_empty() { "" } else { " " })]
    Value {
        /// The flag, the variable, or file, line and key.
        place: String,
        /// What was given; empty where it is not to be shown.
        value: String,
        /// What is wanted instead.
        why: String,
    },
    /// `--ephemeral`.
    #[error("cannot make a folder in {}: {source}", folder.display())]
    Ephemeral {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `config.toml` cannot be read.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// A line of `config.toml` makes no sense.
    #[error("{}:{line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}
