//! Why a servent cannot be started as it was asked to, in sentences for its user.

use std::io;
use std::path::{Path, PathBuf};

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
    /// Lines of `config.toml` make no sense.
    #[error("{}", sentences(path, wrong))]
    Lines {
        /// The file.
        path: PathBuf,
        /// Each of those lines, from 1, and what is wrong with it; in the file's order.
        wrong: Vec<(usize, String)>,
    },
}

/// One sentence a line: whoever mends a file mends all of it at once.
fn sentences(path: &Path, wrong: &[(usize, String)]) -> String {
    let told = wrong.iter().map(|(line, why)| format!("{}:{line}: {why}", path.display()));
    told.collect::<Vec<_>>().join("\n")
}
