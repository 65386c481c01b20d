//! One published path: what was found there, and which of it has been proven since.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::{FileName, PieceIndex, PieceMap};
use crate::store::disk::Stamp;
use crate::store::share_index::FileRow;
use crate::transfer::PieceList;

/// One published path. Never changes; a file published anew gets a new one.
pub(super) struct Published {
    pub(super) path: PathBuf,
    pub(super) name: FileName,
    /// The state of the file that was hashed.
    pub(super) stamp: Stamp,
    /// Whether that had settled when it was hashed.
    settled: bool,
    pub(super) list: Arc<PieceList>,
    /// The pieces that were hashed under this stamp once it had settled; none while that is
    /// not one of them, or all.
    checked: Mutex<Option<Box<PieceMap>>>,
    all_checked: AtomicBool,
    pub(super) withdrawn: AtomicBool,
    /// Its place in the order in which files came onto the shelf.
    pub(super) since: u64,
    /// What the index knows it by while it is on the shelf.
    pub(super) number: u32,
}

impl Published {
    /// A file that was found to hold `list` under `stamp`; `settled` when the stamp was
    /// then old enough to tell every later change: its pieces need no more hashing.
    pub(super) fn new(
        path: PathBuf,
        name: FileName,
        stamp: Stamp,
        list: Arc<PieceList>,
        settled: bool,
    ) -> Self {
        Self {
            path,
            name,
            stamp,
            settled,
            list,
            checked: Mutex::default(),
            all_checked: AtomicBool::new(settled),
            withdrawn: AtomicBool::new(false),
            since: 0,
            number: 0,
        }
    }

    /// The same file, seen under `stamp`: as it was, or with its device renumbered.
    pub(super) fn again(&self, stamp: Stamp) -> Self {
        let settled = self.settled && stamp == self.stamp;
        let (path, name) = (self.path.clone(), self.name.clone());
        Self::new(path, name, stamp, Arc::clone(&self.list), settled)
    }

    /// The same file under another name.
    pub(super) fn named(&self, name: FileName) -> Self {
        let (path, list) = (self.path.clone(), Arc::clone(&self.list));
        Self::new(path, name, self.stamp, list, self.settled)
    }

    /// What of it outlives the process.
    pub(super) fn row(&self) -> FileRow {
        FileRow {
            path: self.path.clone(),
            stamp: self.stamp,
            settled: self.settled,
            list: Arc::clone(&self.list),
        }
    }

    /// Whether it came onto the shelf when so many had come before it, or later.
    pub(super) fn is_since(&self, inserted: u64) -> bool {
        self.since >= inserted
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    pub(super) fn is_checked(&self, piece: PieceIndex) -> bool {
        self.all_checked.load(Ordering::Acquire)
            || self.checked().as_ref().is_some_and(|checked| checked.contains(piece))
    }

    pub(super) fn set_checked(&self, piece: PieceIndex) {
        let mut checked = self.checked();
        let count = self.list.geometry().count();
        let pieces = checked.get_or_insert_with(|| Box::new(PieceMap::new(count)));
        pieces.insert(piece);
        if pieces.is_full() {
            self.all_checked.store(true, Ordering::Release);
            *checked = None;
        }
    }

    fn checked(&self) -> MutexGuard<'_, Option<Box<PieceMap>>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
