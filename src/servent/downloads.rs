//! The downloads of this servent, by number: beginning them, watching them.
//!
//! Always true: a download that was acknowledged is in the record on the disk; of a content
//! there is one unfinished download at most; a number stays that of its download, over
//! restarts too, and the next one gets the next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::download_error::{DownloadError, MAX_RUNNING};
use super::fetch::{self, Order, Started, Tools};
use super::handle::Servent;
use super::offload::offload;
use super::report::{
    DownloadReport, DownloadRequest, DownloadState, DownloadTarget, ResultReport, SourceReport,
};
use super::searching::SharedResults;
use crate::base::escape::Escaped;
use crate::base::{ContentId, FileLink, ServentId};
use crate::store::{DownloadRecord, SourceRecord};

/// Downloads that are over and remembered until the next start; the oldest go first.
const MAX_OVER: usize = 10_000;

/// All downloads since the start.
#[derive(Default)]
pub(super) struct Downloads {
    list: Mutex<List>,
    /// How many went on by themselves at the start.
    pub(super) went_on: AtomicUsize,
}

#[derive(Default)]
pub(super) struct List {
    pub(super) started: BTreeMap<usize, Started>,
    /// Those of earlier runs that had failed, with a part here.
    pub(super) failed_before: BTreeSet<usize>,
    /// The largest number so far.
    pub(super) last: usize,
}

impl Downloads {
    pub(super) fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        &self,
        tools: &Tools,
        request: DownloadRequest,
        results: &SharedResults,
    ) -> Result<DownloadReport, DownloadError> {
        let Aim { id, name, size, collection, sources } =
            aim(request.target, results, tools.ground.id)?;
        if let Some(path) = tools.library.path(id) {
            return Err(DownloadError::Here(shown(&path)));
        }
        let folder = match request.to {
            Some(to) => absolute(&to)?,
            None => absolute(&tools.ground.settings.downloads)?,
        };
        for source in &sources {
            tools.ground.admission.note_hit(tools.ground.clock.now(), source.id);
        }
        let (record, failed) = {
            let mut list = self.lock();
            // Under the lock, so that nobody else takes the number or begins the same file.
            if let Some(other) = tools.unfinished.of(id) {
                return Err(match other.paused {
                    true => DownloadError::Paused(other.number),
                    false => DownloadError::Running(other.number),
                });
            }
            room(tools, 0)?;
            let failed = tools.unfinished.take_failed(id);
            if !tools.unfinished.make_room() {
                return Err(DownloadError::TooManyUnfinished);
            }
            list.last += 1;
            let record = DownloadRecord {
                number: list.last,
                id,
                name,
                size,
                begun: false,
                folder,
                parts: failed.as_ref().and_then(|failed| failed.parts.clone()),
                once: request.once,
                paused: false,
                failed: None,
                priority: request.priority,
                collection,
                placing: false,
                sources: sources
                    .iter()
                    .map(|source| SourceRecord {
                        id: source.id,
                        name: source.name.clone(),
                        addresses: source.addresses.clone(),
                        gave: false,
                    })
                    .collect(),
            };
            tools.unfinished.put(record.clone());
            (record, failed)
        };
        let number = record.number;
        if let Err(error) = offload(|| tools.unfinished.save()) {
            tools.unfinished.remove(number);
            failed.into_iter().for_each(|failed| tools.unfinished.put(failed));
            return Err(error.into());
        }
        let started = fetch::start(tools.clone(), Order { record, sources, within: None });
        let begun = started.report.borrow().clone();
        let mut list = self.lock();
        list.started.insert(number, started);
        list.forget_oldest();
        Ok(begun)
    }

    pub(super) fn reports(&self) -> Vec<DownloadReport> {
        self.lock().started.values().map(|started| started.report.borrow().clone()).collect()
    }

    pub(super) fn resumed(&self) -> usize {
        self.went_on.load(Ordering::Relaxed)
    }

    /// Waits until a download is over or paused; none when there is none of that number.
    async fn ended(&self, number: usize) -> Option<DownloadReport> {
        let mut report = self.lock().started.get(&number)?.report.clone();
        let stands = |report: &DownloadReport| {
            report.state.is_over() || report.state == DownloadState::Paused
        };
        // A task that is gone without an end was stopped: the last report is the end.
        let _ = report.wait_for(stands).await;
        let ended = report.borrow().clone();
        Some(ended)
    }
}

/// What is to be fetched, as far as is known of it.
pub(super) struct Aim {
    pub(super) id: ContentId,
    pub(super) name: Option<String>,
    /// 0 when nobody has named one.
    pub(super) size: u64,
    /// How many files, and bytes in them, it is said to list, if it is a collection.
    pub(super) collection: Option<(u64, u64)>,
    pub(super) sources: Vec<SourceReport>,
}

/// What `target` means to a servent `me` that has found `results`.
pub(super) fn aim(
    target: DownloadTarget,
    results: &SharedResults,
    me: ServentId,
) -> Result<Aim, DownloadError> {
    let found = |report: ResultReport| Aim {
        id: report.id,
        name: report.names.into_iter().next(),
        size: report.size,
        collection: report.collection.map(|sums| (sums.files, sums.bytes)),
        sources: report.sources,
    };
    let known = |id| {
        let nothing = Aim { id, name: None, size: 0, collection: None, sources: Vec::new() };
        results.report_of(id).map_or(nothing, found)
    };
    Ok(match target {
        DownloadTarget::Result(number) => {
            let results_now = results.reports().len();
            let none = DownloadError::NoResult { number, results: results_now };
            results.report(number).map(found).ok_or(none)?
        }
        DownloadTarget::Content(id) => known(id),
        DownloadTarget::Link(link) => {
            let FileLink { id, name, size, folder, peers } = *link;
            let mut aim = known(id);
            // What was found is as good a claim as the link's, and what its user has seen.
            aim.name = aim.name.or(name);
            aim.collection = aim.collection.or(folder);
            aim.size = if aim.size == 0 { size.unwrap_or(0) } else { aim.size };
            for peer in peers.into_iter().filter(|peer| peer.id != me) {
                let named = SourceReport {
                    id: peer.id,
                    name: String::new(),
                    addresses: peer.addresses,
                    hops: None,
                    calls_back: false,
                    way: None,
                };
                match aim.sources.iter_mut().find(|source| source.id == named.id) {
                    Some(source) => source.merge(&named),
                    None => aim.sources.push(named),
                }
            }
            aim
        }
    })
}

impl List {
    fn forget_oldest(&mut self) {
        let over = |started: &Started| started.report.borrow().state.is_over();
        while self.started.len() > MAX_OVER {
            let oldest = self.started.iter().find(|(_, started)| over(started));
            let Some(oldest) = oldest.map(|(number, _)| *number) else { return };
            self.started.remove(&oldest);
        }
    }
}

/// Whether one download more may run, beside those that run and so many others.
pub(super) fn room(tools: &Tools, others: usize) -> Result<(), DownloadError> {
    if tools.unfinished.running() + others < MAX_RUNNING {
        Ok(())
    } else {
        Err(DownloadError::TooMany)
    }
}

impl Servent {
    /// Starts a download and returns once it is certain to be remembered.
    ///
    /// # Errors
    /// [`DownloadError`], when there is nothing to start.
    pub async fn download(
        &self,
        request: DownloadRequest,
    ) -> Result<DownloadReport, DownloadError> {
        self.0.downloads.begin(&self.0.tools, request, &self.latest())
    }

    /// Waits until a download is over or paused; none when there is none of that number.
    pub async fn download_ended(&self, number: usize) -> Option<DownloadReport> {
        self.0.downloads.ended(number).await
    }

    /// Whether a download had failed before this run, and is listed because a part of it is
    /// here.
    #[must_use]
    pub fn failed_before(&self, number: usize) -> bool {
        self.0.downloads.lock().failed_before.contains(&number)
    }

    /// All downloads of this run, and those of earlier ones that were not finished, in
    /// order of their numbers.
    pub async fn downloads(&self) -> Vec<DownloadReport> {
        self.0.downloads.reports()
    }
}

fn absolute(path: &Path) -> Result<PathBuf, DownloadError> {
    std::path::absolute(path).map_err(|source| DownloadError::Folder { path: shown(path), source })
}

fn shown(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}
