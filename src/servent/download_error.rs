//! Why a download did not do as its user wished.

use crate::store::StoreError;
use crate::store::downloads_file::MAX_UNFINISHED;

/// Downloads that run at the same time; each holds connections and buffers.
pub(super) const MAX_RUNNING: usize = 100;

/// Why a download did not begin, stop, go on or end as was wished.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The latest search has no such result.
    #[error("there is no result {number}: {}", has(*results))]
    NoResult {
        /// What was asked for.
        number: usize,
        /// How many there are.
        results: usize,
    },
    /// It runs already.
    #[error("download {0} is fetching that already")]
    Running(usize),
    /// It was begun already, and paused.
    #[error("download {0} is that file, and paused; 'resume {0}' lets it go on")]
    Paused(usize),
    /// It is shared from here.
    #[error("that file is here already: {0}")]
    Here(String),
    /// Too many at once.
    #[error("{MAX_RUNNING} downloads are running; wait until one is done, or pause one")]
    TooMany,
    /// Too many that are not done.
    #[error("{MAX_UNFINISHED} downloads are unfinished; cancel some")]
    TooManyUnfinished,
    /// The folder cannot be named.
    #[error("{path} is not a folder that can be found: {source}")]
    Folder {
        /// As typed.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It could not be written down, and so would not outlive this process.
    #[error("this cannot be remembered, so it is not done: {0}")]
    Unwritten(#[from] StoreError),
    /// What is here of it could not be removed.
    #[error("it is not removed: {0}")]
    Unremoved(#[source] StoreError),
    /// It was removed, and its end could not be written down.
    #[error(
        "what was here of download {number} is removed, but it comes back at the next start: {error}"
    )]
    ComesBack {
        /// Which.
        number: usize,
        /// Why.
        #[source]
        error: StoreError,
    },
    /// There is none of that number.
    #[error("there is no download {number}; {}", listed(*any))]
    Unknown {
        /// What was asked for.
        number: usize,
        /// Whether there are any.
        any: bool,
    },
    /// It is over.
    #[error("download {number} {how}")]
    Over {
        /// Which.
        number: usize,
        /// How it ended: a phrase.
        how: &'static str,
    },
    /// It is paused.
    #[error("download {0} is paused already; 'resume {0}' lets it go on")]
    PausedAlready(usize),
    /// It is not paused.
    #[error("download {0} is not paused")]
    NotPaused(usize),
    /// There is nothing to do this to.
    #[error("{0}")]
    None(&'static str),
    /// The servent stops.
    #[error("the servent is stopping")]
    Stopping,
}

fn has(results: usize) -> String {
    match results {
        0 => "nothing has been found ('search' first)".to_owned(),
        1 => "there is only result 1".to_owned(),
        more => format!("there are results 1 to {more}"),
    }
}

fn listed(any: bool) -> &'static str {
    if any { "'downloads' lists them" } else { "nothing has been downloaded since the start" }
}
