//! The record of the unfinished downloads, and its file in the state folder. Those that have
//! failed with a part here are in it too, so that it can be cancelled or gone on with.
//!
//! Always true: what [`Unfinished::save`] returned from is on the disk; a servent that
//! leaves nothing behind keeps the record in memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::Clock;
use crate::base::ContentId;
use crate::base::escape::Escaped;
use crate::store::downloads_file::MAX_UNFINISHED;
use crate::store::{
    DownloadRecord, PARTS_FOLDER, StateDir, StoreError, load_downloads, save_downloads,
};

/// The unfinished downloads by number.
#[derive(Default)]
pub(super) struct Unfinished {
    state: Option<Arc<StateDir>>,
    records: Mutex<BTreeMap<usize, DownloadRecord>>,
    /// Whether the file is behind the record.
    dirty: AtomicBool,
    /// One writer at a time, so that what is older never replaces what is newer.
    writing: Mutex<()>,
    /// Whether somebody is about to save.
    saving: AtomicBool,
}

impl Unfinished {
    /// What was saved, and a sentence if some of it was damaged.
    pub(super) fn load(
        state: Option<Arc<StateDir>>,
    ) -> Result<(Arc<Self>, Option<String>), StoreError> {
        let Some(state) = state else { return Ok((Arc::default(), None)) };
        let loaded = load_downloads(&state, Clock::unix())?;
        let damage = loaded.damaged.map(|aside| {
            let aside = Escaped(&aside.to_string_lossy()).to_string();
            let kept = match loaded.downloads.len() {
                0 => "none of them goes on by itself".to_owned(),
                some => format!("{some} of them as they stood before go on"),
            };
            format!(
                "the list of unfinished downloads was damaged; it is kept as {aside}, and {kept} \
                 (downloading a file again goes on with the pieces that are here)"
            )
        });
        let skipped = (loaded.skipped > 0).then(|| {
            format!("{} lines in the list of unfinished downloads make no sense", loaded.skipped)
        });
        let unfinished =
            Self { state: Some(state), records: Mutex::new(loaded.downloads), ..Self::default() };
        Ok((Arc::new(unfinished), damage.or(skipped)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, DownloadRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<DownloadRecord> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn ids(&self) -> BTreeSet<ContentId> {
        self.lock().values().map(|record| record.id).collect()
    }

    /// Where parts may lie, for those who look for what was left there.
    pub(super) fn parts(&self) -> BTreeSet<PathBuf> {
        let records = self.lock();
        let beside = records.values().map(|record| record.folder.join(PARTS_FOLDER));
        beside.chain(records.values().filter_map(|record| record.parts.clone())).collect()
    }

    /// How many are under way.
    pub(super) fn running(&self) -> usize {
        let records = self.lock();
        records.values().filter(|record| !record.paused && record.failed.is_none()).count()
    }

    /// The one of this content that has not failed.
    pub(super) fn of(&self, id: ContentId) -> Option<DownloadRecord> {
        let records = self.lock();
        records.values().find(|record| record.id == id && record.failed.is_none()).cloned()
    }

    /// Takes the one of this content that has failed off the record: it begins again.
    pub(super) fn take_failed(&self, id: ContentId) -> Option<DownloadRecord> {
        let mut records = self.lock();
        let failed = |record: &&DownloadRecord| record.id == id && record.failed.is_some();
        let number = records.values().find(failed).map(|record| record.number)?;
        self.dirty.store(true, Ordering::Release);
        records.remove(&number)
    }

    /// Whether one more may be remembered; the oldest that has failed makes way for it.
    pub(super) fn make_room(&self) -> bool {
        let mut records = self.lock();
        if records.len() < MAX_UNFINISHED {
            return true;
        }
        let oldest = records.values().find(|record| record.failed.is_some());
        let oldest = oldest.map(|record| record.number);
        self.dirty.store(true, Ordering::Release);
        oldest.is_some_and(|oldest| records.remove(&oldest).is_some())
    }

    /// It has failed; without a part there is nothing to remember.
    pub(super) fn fail(&self, number: usize, why: &str) {
        let mut records = self.lock();
        match records.get_mut(&number).filter(|record| record.begun) {
            Some(record) => record.failed = Some(why.to_owned()),
            None => drop(records.remove(&number)),
        }
        self.dirty.store(true, Ordering::Release);
    }

    pub(super) fn put(&self, record: DownloadRecord) {
        self.lock().insert(record.number, record);
        self.dirty.store(true, Ordering::Release);
    }

    pub(super) fn remove(&self, number: usize) {
        if self.lock().remove(&number).is_some() {
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Changes a record, if it is there still.
    pub(super) fn change(&self, number: usize, change: impl FnOnce(&mut DownloadRecord)) {
        let mut records = self.lock();
        let Some(record) = records.get_mut(&number) else { return };
        let before = record.clone();
        change(record);
        if *record != before {
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Brings the file up to date; blocks.
    pub(super) fn save(&self) -> Result<(), StoreError> {
        let Some(state) = &self.state else { return Ok(()) };
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let records = self.all();
        save_downloads(state, records.iter()).inspect_err(|_| {
            self.dirty.store(true, Ordering::Release);
        })
    }

    /// [`Unfinished::save`] where nobody waits for it; a failure is logged, and the next
    /// change tries again.
    pub(super) fn save_quietly(&self) {
        if let Err(error) = self.save() {
            tracing::warn!(%error, "cannot save the list of unfinished downloads");
        }
    }

    /// Saves away from the caller; many changes at once are one write.
    pub(super) fn save_soon(self: &Arc<Self>) {
        if self.state.is_none() || self.saving.swap(true, Ordering::AcqRel) {
            return;
        }
        let unfinished = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            // What changes from here on wants another save.
            unfinished.saving.store(false, Ordering::Release);
            unfinished.save_quietly();
        });
    }
}
