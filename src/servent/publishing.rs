//! What a servent shares, and how its user changes that.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc;

use super::background::in_background;
use super::changes::StopOnDrop;
use super::handle::Servent;
use super::incidents::Incident;
use super::report::{
    FolderReport, HashingReport, LeftOut, LeftOutCount, PublishProgress, PublishReport,
    SharedListing, SharedReport, SharedRequest, SharedTotals, TypeTotal, UnpublishReport,
};
use crate::base::FileName;
use crate::share::{
    FileType, FolderSum, PublishError, Query, QueryError, SharedFile, SharedFilter, Sums,
    UnpublishError, UnpublishTarget,
};

impl Servent {
    /// Publishes a file or a folder; `confirmed` where that needs a second thought.
    ///
    /// # Errors
    /// [`PublishError`]; what was published before stays so.
    pub async fn publish(
        &self,
        path: PathBuf,
        confirmed: bool,
        progress: mpsc::Sender<PublishProgress>,
    ) -> Result<PublishReport, PublishError> {
        self.publish_named(path, None, confirmed, progress).await
    }

    /// Publishes one file under another name than it has on the disk.
    ///
    /// # Errors
    /// [`PublishError`], for a folder as well.
    pub async fn publish_as(
        &self,
        path: PathBuf,
        name: FileName,
        progress: mpsc::Sender<PublishProgress>,
    ) -> Result<PublishReport, PublishError> {
        self.publish_named(path, Some(name), false, progress).await
    }

    async fn publish_named(
        &self,
        path: PathBuf,
        name: Option<FileName>,
        confirmed: bool,
        progress: mpsc::Sender<PublishProgress>,
    ) -> Result<PublishReport, PublishError> {
        let library = self.0.library.clone();
        let stop = Arc::new(AtomicBool::new(false));
        // If nobody waits for the end any more, hashing ends too.
        let _guard = StopOnDrop(Arc::clone(&stop));
        let shown = path.clone();
        let work = in_background("publish", move || {
            let tell = |seen: crate::share::PublishProgress<'_>| {
                // Made only for somebody who waits for it.
                if progress.capacity() == 0 {
                    return;
                }
                let _ = progress.try_send(PublishProgress {
                    files: usize::try_from(seen.files).unwrap_or(usize::MAX),
                    bytes: seen.bytes,
                    files_left: seen.files_left,
                    bytes_left: seen.bytes_left,
                    current: seen.path.to_string_lossy().into_owned(),
                });
            };
            let published = match name {
                Some(name) => library.publish_as(&path, &name, &tell, &stop),
                None => library.publish(&path, confirmed, &tell, &stop),
            };
            library.collect();
            published
        });
        let work =
            work.map_err(|source| PublishError::Unreadable { path: shown.clone(), source })?;
        let published = work.await;
        self.0.watching.ring();
        match published {
            Ok(published) => published.map(report_of),
            Err(_) => {
                self.0.ground.incidents.note(Incident::Fault);
                let source = io::Error::other("hashing failed, by a fault of this program");
                Err(PublishError::Unreadable { path: shown, source })
            }
        }
    }

    /// Stops sharing a path, all in a folder, or a content.
    ///
    /// # Errors
    /// [`UnpublishError`], when that is not shared.
    pub async fn unpublish(&self, what: String) -> Result<UnpublishReport, UnpublishError> {
        let target = UnpublishTarget::of(&what);
        let gone = super::offload::offload(|| self.0.library.unpublish(&target))?;
        self.0.watching.ring();
        Ok(UnpublishReport { files: gone.files, bytes: gone.bytes })
    }

    /// What is being hashed, and has been since the start.
    #[must_use]
    pub fn hashing(&self) -> HashingReport {
        let hashing = self.0.library.hashing();
        HashingReport {
            running: hashing.running,
            files: hashing.files,
            bytes: hashing.bytes,
            files_left: hashing.files_left,
            bytes_left: hashing.bytes_left,
            rate: hashing.rate,
            current: hashing.current.map(|path| path.to_string_lossy().into_owned()),
        }
    }

    /// A page of what is shared: rows `from` on, from 0, at most `max`.
    ///
    /// # Errors
    /// [`QueryError`], when the words make no sense.
    pub async fn shared(
        &self,
        request: SharedRequest,
        from: usize,
        max: usize,
    ) -> Result<SharedListing, QueryError> {
        let filter = filter_of(request)?;
        let page = super::offload::offload(|| self.0.library.listed(&filter, from, max));
        Ok(SharedListing {
            files: page.files.into_iter().map(file_report).collect(),
            folders: page.folders.into_iter().map(folder_report).collect(),
            filtered: filter.folder.is_some() || filter.query.is_some(),
            page: None,
            more: page.more,
            totals: Some(totals_of(page.sums)),
        })
    }

    /// All that is shared, in listings of at most `max` files; the last has the totals.
    ///
    /// # Errors
    /// [`QueryError`], when the words make no sense.
    pub async fn all_shared(
        &self,
        request: SharedRequest,
        max: usize,
    ) -> Result<impl Iterator<Item = SharedListing> + Send + use<>, QueryError> {
        let filter = filter_of(request)?;
        let filtered = filter.folder.is_some() || filter.query.is_some();
        let rows = super::offload::offload(|| self.0.library.rows(&filter));
        let mut folders: Vec<_> = rows.folders.iter().cloned().map(folder_report).collect();
        let mut from = Some(0);
        Ok(std::iter::from_fn(move || {
            let begin = from?;
            let files: Vec<_> = rows.files(begin, max).into_iter().map(file_report).collect();
            let end = begin + files.len();
            let more =
                usize::try_from(rows.sums.files).unwrap_or(usize::MAX) > end && files.len() == max;
            from = more.then_some(end);
            let totals = (!more).then(|| totals_of(rows.sums.clone()));
            let folders = std::mem::take(&mut folders);
            Some(SharedListing { files, folders, filtered, page: None, more, totals })
        }))
    }
}

fn filter_of(request: SharedRequest) -> Result<SharedFilter, QueryError> {
    let SharedRequest { folder, words, order } = request;
    let query = words.as_deref().map(Query::filter).transpose()?;
    Ok(SharedFilter { folder, query, order })
}

fn file_report(file: SharedFile) -> SharedReport {
    let file_type = FileType::of_name(&file.name);
    let SharedFile { path, name, id, size, modified } = file;
    SharedReport { name, path, id, size, file_type, modified }
}

fn folder_report(sum: FolderSum) -> FolderReport {
    FolderReport { path: sum.path, files: sum.files, bytes: sum.bytes }
}

fn totals_of(sums: Sums) -> SharedTotals {
    let types = sums.types.into_iter();
    let types =
        types.map(|(file_type, (files, bytes))| TypeTotal { file_type, files, bytes }).collect();
    SharedTotals { files: sums.files, bytes: sums.bytes, folders: sums.folders, types }
}

fn report_of(published: crate::share::PublishReport) -> PublishReport {
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    PublishReport {
        files: size(published.files),
        bytes: published.bytes,
        unchanged: size(published.unchanged),
        left_out: size(published.left_out.total()),
        reasons: published
            .left_out
            .counts
            .iter()
            .map(|(why, count)| LeftOutCount { reason: why.word().to_owned(), count: size(*count) })
            .collect(),
        examples: published
            .left_out
            .examples
            .into_iter()
            .map(|left| LeftOut { path: left.path, why: left.why.to_string() })
            .collect(),
    }
}
