//! How far hashing has come, for whoever wants to know.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::library::Library;

/// What a library is hashing, and has hashed since it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hashing {
    /// How many publications run, looking again at the start included.
    pub running: usize,
    /// Files that were hashed.
    pub files: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// The file that was begun last, while any runs.
    pub current: Option<PathBuf>,
}

/// Where [`Hashing`] is counted.
#[derive(Default)]
pub(super) struct Counters {
    running: AtomicUsize,
    files: AtomicU64,
    bytes: AtomicU64,
    current: Mutex<Option<PathBuf>>,
}

/// One publication, counted as running while this lives.
pub(super) struct Running<'a>(&'a Counters);

impl Counters {
    pub(super) fn begin(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(self)
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn note_file(&self, path: &Path) {
        self.set_current(Some(path.to_path_buf()));
    }

    pub(super) fn note_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn note_done(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    fn set_current(&self, path: Option<PathBuf>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.set_current(None);
        }
    }
}

impl Library {
    /// What is being hashed, and has been since the library was opened.
    #[must_use]
    pub fn hashing(&self) -> Hashing {
        let counters = self.counters();
        Hashing {
            running: counters.running(),
            files: counters.files.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            current: counters.current.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
