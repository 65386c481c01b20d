//! Downloads that go on: after a restart, after a pause; or that go on no more.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::download_error::DownloadError;
use super::downloads::{Downloads, room};
use super::fetch::{self, Order, Started, Tools, Wish};
use super::handle::Servent;
use super::offload::offload;
use super::report::{DownloadReport, DownloadState, SourceReport};
use crate::base::escape::Escaped;
use crate::store::{DownloadRecord, PARTS_FOLDER, PartPlace, leftover};
use crate::transfer::Priority;

/// How long a wish waits to be seen in what the download shows: it looks at a large file
/// of an earlier run first, which may take longer, and the wish is granted all the same.
const WISH_LIMIT: Duration = Duration::from_secs(5);

impl Downloads {
    /// Lets the unfinished downloads of earlier runs go on, with their numbers. Those begun
    /// with `--once` fail rather than wait, and so do not outlive their servent; those that
    /// have failed are listed while a part of them is here.
    pub(super) fn resume_all(&self, tools: &Tools) {
        let mut parts = tools.unfinished.parts();
        parts.insert(tools.ground.settings.downloads.join(PARTS_FOLDER));
        leftover::sweep(&*tools.disk, parts.iter().map(AsRef::as_ref), &tools.unfinished.ids());
        let mut list = self.lock();
        for mut record in tools.unfinished.all() {
            list.last = list.last.max(record.number);
            if record.once && record.failed.is_none() {
                let name = record.name.clone().unwrap_or_default();
                tools.ground.warn(format!(
                    "download {} \"{}\" was begun with --once and ended with the servent; \
                     'download {}' goes on with what is here",
                    record.number,
                    Escaped(&name),
                    record.id
                ));
                record.failed = Some("it was begun with --once and ended with the servent".into());
            }
            if let Some(why) = record.failed.clone() {
                let place = fetch::place(&tools.ground, &record);
                let Some(held) = leftover::held(&*tools.disk, &place, record.id) else {
                    tools.unfinished.remove(record.number);
                    continue;
                };
                tools.unfinished.change(record.number, |known| *known = record.clone());
                list.failed_before.insert(record.number);
                list.started.insert(record.number, failed(record, place, held, why));
                continue;
            }
            if !record.paused {
                self.went_on.fetch_add(1, Ordering::Relaxed);
            }
            let number = record.number;
            let sources = record.sources.iter().map(|source| SourceReport {
                id: source.id,
                name: source.name.clone(),
                addresses: source.addresses.clone(),
                hops: None,
                calls_back: false,
                way: None,
            });
            let order = Order { sources: sources.collect(), record, within: None };
            list.started.insert(number, fetch::start(tools.clone(), order));
        }
        tools.unfinished.save_soon();
    }

    /// What download `number` shows and where to send it wishes.
    fn find(&self, number: usize) -> Result<Started, DownloadError> {
        let list = self.lock();
        let unknown = || DownloadError::Unknown { number, any: !list.started.is_empty() };
        list.started.get(&number).cloned().ok_or_else(unknown)
    }

    /// [`Downloads::find`], if it is not over.
    fn unfinished(&self, number: usize) -> Result<Started, DownloadError> {
        let found = self.find(number)?;
        let how = match found.report.borrow().state {
            DownloadState::Done { .. } => "is done already",
            DownloadState::Failed { .. } => "has failed; download its file again",
            DownloadState::Cancelled { .. } => "was cancelled",
            _ => return Ok(found.clone()),
        };
        Err(DownloadError::Over { number, how })
    }

    /// The numbers of those that fit.
    fn those(&self, fits: impl Fn(&DownloadState) -> bool) -> Vec<usize> {
        let reports = self.reports().into_iter();
        reports.filter(|report| fits(&report.state)).map(|report| report.number).collect()
    }
}

impl Servent {
    /// Lets a download, or all that run, stand still; until they are resumed, over restarts
    /// too. What they show then.
    ///
    /// # Errors
    /// [`DownloadError`], when there is nothing to pause.
    pub async fn pause(&self, number: Option<usize>) -> Result<Vec<DownloadReport>, DownloadError> {
        let downloads = &self.0.downloads;
        let numbers = match number {
            Some(number) => vec![number],
            None => downloads.those(|state| !state.is_over() && *state != DownloadState::Paused),
        };
        if numbers.is_empty() {
            return Err(DownloadError::None("no download is running"));
        }
        let mut found = Vec::new();
        for &number in &numbers {
            let started = downloads.unfinished(number)?;
            if started.report.borrow().state == DownloadState::Paused {
                return Err(DownloadError::PausedAlready(number));
            }
            found.push(started);
        }
        self.note(&numbers, |record| record.paused = true)?;
        let paused =
            |report: &DownloadReport| report.state == DownloadState::Paused || over(report);
        wish(found, Wish::Pause, paused).await
    }

    /// Lets a download, or all that are paused, go on.
    ///
    /// # Errors
    /// [`DownloadError`], when there is nothing to resume.
    pub async fn resume(
        &self,
        number: Option<usize>,
    ) -> Result<Vec<DownloadReport>, DownloadError> {
        let downloads = &self.0.downloads;
        let numbers = match number {
            Some(number) => vec![number],
            None => downloads.those(|state| *state == DownloadState::Paused),
        };
        if numbers.is_empty() {
            return Err(DownloadError::None("no download is paused"));
        }
        let mut found = Vec::new();
        for &number in &numbers {
            let started = downloads.unfinished(number)?;
            if started.report.borrow().state != DownloadState::Paused {
                return Err(DownloadError::NotPaused(number));
            }
            room(&self.0.tools, found.len())?;
            found.push(started);
        }
        self.note(&numbers, |record| record.paused = false)?;
        wish(found, Wish::Resume, |report| report.state != DownloadState::Paused).await
    }

    /// Gives a download up, or all that are unfinished, and removes what is here of it.
    ///
    /// # Errors
    /// [`DownloadError`], when there is nothing to cancel.
    pub async fn cancel(
        &self,
        number: Option<usize>,
    ) -> Result<Vec<DownloadReport>, DownloadError> {
        let downloads = &self.0.downloads;
        let Some(number) = number else {
            let numbers = downloads.those(|state| !state.is_over());
            if numbers.is_empty() {
                return Err(DownloadError::None("no download is unfinished"));
            }
            let found = numbers.iter().filter_map(|&number| downloads.unfinished(number).ok());
            return wish(found.collect(), Wish::Cancel, over).await;
        };
        let found = downloads.find(number)?;
        let report = found.report.borrow().clone();
        if matches!(report.state, DownloadState::Failed { .. }) {
            return Ok(vec![self.remove_failed(report)?]);
        }
        wish(vec![downloads.unfinished(number)?], Wish::Cancel, over).await
    }

    /// Sets how urgent a download is.
    ///
    /// # Errors
    /// [`DownloadError`], when it is none or over.
    pub async fn set_priority(
        &self,
        number: usize,
        priority: Priority,
    ) -> Result<DownloadReport, DownloadError> {
        let found = self.0.downloads.unfinished(number)?;
        self.note(&[number], |record| record.priority = priority)?;
        let seen = |report: &DownloadReport| report.priority == priority || over(report);
        let mut reports = wish(vec![found], Wish::Priority(priority), seen).await?;
        reports.pop().ok_or(DownloadError::Stopping)
    }

    /// Changes records and waits until that is on the disk; else they are as they were.
    fn note(
        &self,
        numbers: &[usize],
        change: impl Fn(&mut DownloadRecord),
    ) -> Result<(), DownloadError> {
        let unfinished = &self.0.tools.unfinished;
        let before = unfinished.all();
        numbers.iter().for_each(|&number| unfinished.change(number, &change));
        offload(|| unfinished.save()).map_err(|error| {
            for old in before.into_iter().filter(|record| numbers.contains(&record.number)) {
                unfinished.change(old.number, |record| *record = old);
            }
            DownloadError::Unwritten(error)
        })
    }

    /// A download that failed has left what it had; now that goes as well.
    fn remove_failed(&self, mut report: DownloadReport) -> Result<DownloadReport, DownloadError> {
        let tools = &self.0.tools;
        let (number, id) = (report.number, report.id);
        let mut list = self.0.downloads.lock();
        // Under the lock, so that nobody begins it anew meanwhile.
        if let Some(other) = tools.unfinished.of(id) {
            return Err(DownloadError::Running(other.number)); // its part is in use again
        }
        let Some(started) = list.started.get(&number) else {
            return Err(DownloadError::Unknown { number, any: true });
        };
        let (place, wishes) = (started.place.clone(), started.wishes.clone());
        offload(|| leftover::remove_unused_part(&*tools.disk, &place, id))
            .map_err(DownloadError::Unremoved)?;
        tools.unfinished.remove(number);
        offload(|| tools.unfinished.save())
            .map_err(|error| DownloadError::ComesBack { number, error })?;
        report.state = DownloadState::Cancelled { removed: report.verified };
        let shown = watch::channel(report.clone()).1;
        list.started.insert(number, Started { report: shown, wishes, place });
        Ok(report)
    }
}

/// A download of an earlier run that does not go on, and of which there are so many bytes.
fn failed(record: DownloadRecord, place: PartPlace, held: u64, why: String) -> Started {
    let report = DownloadReport {
        number: record.number,
        id: record.id,
        name: record.name.unwrap_or_else(|| record.id.to_string()),
        size: record.size,
        verified: held.min(record.size),
        rate: 0,
        connected: 0,
        sources: record.sources.len(),
        priority: record.priority,
        gathered: None,
        state: DownloadState::Failed { why },
        from: Vec::new(),
    };
    Started { report: watch::channel(report).1, wishes: mpsc::channel(1).0, place }
}

fn over(report: &DownloadReport) -> bool {
    report.state.is_over()
}

/// Tells downloads the wish, and waits until it shows, within [`WISH_LIMIT`].
async fn wish(
    downloads: Vec<Started>,
    wish: Wish,
    shows: impl Fn(&DownloadReport) -> bool,
) -> Result<Vec<DownloadReport>, DownloadError> {
    for started in &downloads {
        if started.wishes.send(wish).await.is_err() && !over(&started.report.borrow()) {
            return Err(DownloadError::Stopping);
        }
    }
    let mut reports = Vec::new();
    for mut started in downloads {
        let _ = timeout(WISH_LIMIT, started.report.wait_for(&shows)).await;
        reports.push(started.report.borrow().clone());
    }
    Ok(reports)
}
