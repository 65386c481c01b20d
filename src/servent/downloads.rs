//! The downloads of this run, by number.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::fetch::{self, Order, Tools};
use super::handle::Servent;
use super::report::{DownloadReport, DownloadRequest, DownloadState, DownloadTarget, ResultReport};
use super::searching::SharedResults;
use crate::base::ContentId;

/// Downloads that run at the same time; each holds connections and buffers.
pub(super) const MAX_RUNNING: usize = 100;
/// Downloads that one run remembers, by number.
const MAX_REMEMBERED: usize = 10_000;

/// Why a download did not begin.
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
    /// It is shared from here.
    #[error("that file is here already: {0}")]
    Here(String),
    /// Too many at once.
    #[error("{MAX_RUNNING} downloads are running; wait until one is done")]
    TooMany,
    /// More than one run remembers.
    #[error(
        "this servent has begun {MAX_REMEMBERED} downloads, which is all it counts; restart it"
    )]
    Forgetful,
    /// The folder cannot be named.
    #[error("{path} is not a folder that can be found: {source}")]
    Folder {
        /// As typed.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

fn has(results: usize) -> String {
    match results {
        0 => "nothing has been found ('search' first)".to_owned(),
        1 => "the latest search has only result 1".to_owned(),
        more => format!("the latest search has results 1 to {more}"),
    }
}

/// All downloads since the start.
#[derive(Default)]
pub(super) struct Downloads {
    list: Mutex<Vec<watch::Receiver<DownloadReport>>>,
}

impl Downloads {
    pub(super) fn begin(
        &self,
        tools: &Tools,
        request: DownloadRequest,
        results: &SharedResults,
    ) -> Result<DownloadReport, DownloadError> {
        let found = match request.target {
            DownloadTarget::Result(number) => {
                let found = results.report(number);
                let all = results.reports().len();
                Some(found.ok_or(DownloadError::NoResult { number, results: all })?)
            }
            DownloadTarget::Content(id) => results.report_of(id),
        };
        let id = match (request.target, &found) {
            (DownloadTarget::Content(id), _) => id,
            (DownloadTarget::Result(_), Some(found)) => found.id,
            (DownloadTarget::Result(number), None) => {
                return Err(DownloadError::NoResult { number, results: 0 });
            }
        };
        if let Some(here) = tools.library.shared().into_iter().find(|file| file.id == id) {
            return Err(DownloadError::Here(shown(&here.path)));
        }
        let downloads = tools.ground.settings.downloads.clone();
        let folder = match request.to {
            Some(to) => std::path::absolute(&to)
                .map_err(|source| DownloadError::Folder { path: shown(&to), source })?,
            None => downloads,
        };
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let running = list.iter().map(|report| report.borrow()).filter(|report| !is_over(report));
        let mut count = 0;
        for report in running {
            if report.id == id {
                return Err(DownloadError::Running(report.number));
            }
            count += 1;
        }
        if count >= MAX_RUNNING {
            return Err(DownloadError::TooMany);
        }
        if list.len() >= MAX_REMEMBERED {
            return Err(DownloadError::Forgetful);
        }
        let number = list.len() + 1;
        let report = fetch::start(tools.clone(), order(number, id, found, folder, request.once));
        let begun = report.borrow().clone();
        list.push(report);
        Ok(begun)
    }

    pub(super) fn reports(&self) -> Vec<DownloadReport> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().map(|report| report.borrow().clone()).collect()
    }

    /// Waits until a download is over; none when there is none of that number.
    pub(super) async fn ended(&self, number: usize) -> Option<DownloadReport> {
        let mut report = {
            let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            list.get(number.checked_sub(1)?)?.clone()
        };
        // A task that is gone without an end was stopped: the last report is the end.
        let _ = report.wait_for(is_over).await;
        let ended = report.borrow().clone();
        Some(ended)
    }
}

impl Servent {
    /// Starts a download and returns at once.
    ///
    /// # Errors
    /// [`DownloadError`], when there is nothing to start.
    pub async fn download(
        &self,
        request: DownloadRequest,
    ) -> Result<DownloadReport, DownloadError> {
        self.0.downloads.begin(&self.0.tools, request, &self.latest())
    }

    /// Waits until a download is over; none when there is none of that number.
    pub async fn download_ended(&self, number: usize) -> Option<DownloadReport> {
        self.0.downloads.ended(number).await
    }

    /// All downloads of this run, in order of their numbers.
    pub async fn downloads(&self) -> Vec<DownloadReport> {
        self.0.downloads.reports()
    }
}

fn order(
    number: usize,
    id: ContentId,
    found: Option<ResultReport>,
    folder: PathBuf,
    once: bool,
) -> Order {
    let (name, size, sources) = match found {
        Some(found) => (found.names.into_iter().next(), found.size, found.sources),
        None => (None, 0, Vec::new()),
    };
    Order { number, id, name, size, folder, once, sources }
}

pub(super) fn is_over(report: &DownloadReport) -> bool {
    matches!(report.state, DownloadState::Done { .. } | DownloadState::Failed { .. })
}

fn shown(path: &std::path::Path) -> String {
    crate::base::escape::Escaped(&path.to_string_lossy()).to_string()
}
