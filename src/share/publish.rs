//! Publishing: what its user names is looked at, and what is new in it is hashed.
//!
//! Always true: what must never be shared is not, whichever way it is named; what was
//! left out is said, and why. What was published and is no longer there, or no longer may
//! be, is withdrawn when its folder is published again.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::PublishError;
use super::left_out::{LeftOut, LeftOutReport};
use super::library::Library;
use super::scan::{Skip, Todo, Unwatched, unreadable};
use crate::store::disk::Kind;

/// How far publishing has come.
#[derive(Clone, Copy, Debug)]
pub struct PublishProgress<'a> {
    /// Files done.
    pub files: u64,
    /// Bytes done, those of the present file included.
    pub bytes: u64,
    /// Files that are still to be hashed, the present one included.
    pub files_left: u64,
    /// Bytes that are still to be hashed, those of the present file included.
    pub bytes_left: u64,
    /// The present file.
    pub path: &'a Path,
}

/// What was published.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PublishReport {
    /// Files that are shared now, of those that were named.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// How many of them were published already and have not changed.
    pub unchanged: u64,
    /// Files that had been published and were withdrawn, because they are gone or are
    /// now left out.
    pub withdrawn: u64,
    /// What was left out.
    pub left_out: LeftOutReport,
}

impl Library {
    /// Publishes a file, or all that is in a folder and may be shared, and remembers that
    /// it is published. What is published already is hashed again only if it has changed.
    ///
    /// Blocks while it hashes; `stop` ends it after the read in hand. Searches and
    /// uploads go on meanwhile, and each file is shared as soon as it is hashed. When
    /// this returns, what it reports outlives the process.
    ///
    /// # Errors
    /// [`PublishError`]. A folder is published even where some of it cannot be; the
    /// report says what was left out.
    pub fn publish(
        &self,
        path: &Path,
        confirmed: bool,
        progress: &(dyn Fn(PublishProgress<'_>) + Sync),
        stop: &AtomicBool,
    ) -> Result<PublishReport, PublishError> {
        let root = self.resolve(path)?;
        let kind = self.disk().kind(&root).map_err(|source| unreadable(&root, source))?;
        let refuse = |why| Err(PublishError::Refused { path: root.clone(), why });
        if self.is_protected(&root) {
            return refuse(LeftOut::Protected);
        }
        let folder = match kind {
            Kind::Folder => {
                if let Some(why) = self.needs_confirmation(&root).filter(|_| !confirmed) {
                    return Err(PublishError::NeedsConfirmation { path: root, why });
                }
                if root.to_str().is_none() {
                    return refuse(LeftOut::Name);
                }
                true
            }
            Kind::File => false,
            Kind::Special | Kind::Symlink => return refuse(LeftOut::Special),
        };
        // At once: if the process ends in the midst of it, the next one goes on.
        let before = {
            let mut shelf = self.shelf_mut();
            let before = shelf.mark(&root, folder);
            shelf.begin(&root, before);
            before
        };
        let mut report = PublishReport::default();
        let ended = self.publish_now(&root, folder, &mut report, progress, stop);
        let goes_on = |error: &PublishError| {
            matches!(error, PublishError::Stopped { .. } | PublishError::Unpublished { .. })
        };
        // What its user stopped goes on when it is published again, or at the next start.
        let stopped = matches!(ended, Err(PublishError::Stopped { .. }));
        self.shelf_mut().end(&root, stopped);
        if ended.as_ref().is_err_and(|error| !goes_on(error)) {
            self.shelf_mut().unmark(&root, before);
        }
        let saved = self.save();
        ended?;
        match saved {
            Ok(()) => Ok(report),
            Err(why) => Err(PublishError::NotKept { path: root, why }),
        }
    }

    fn publish_now(
        &self,
        root: &Path,
        folder: bool,
        report: &mut PublishReport,
        progress: &(dyn Fn(PublishProgress<'_>) + Sync),
        stop: &AtomicBool,
    ) -> Result<(), PublishError> {
        let _running = self.counters().begin(self.disk().now_ns());
        let mut scan = self.scan(&Unwatched, progress, stop);
        let scanned = match folder {
            true => scan.folder(root, root, true),
            false => scan.file(root),
        };
        scan.finish();
        *report = scan.report;
        scanned?;
        let todo = scan.todo;
        if !folder && let Some(file) = todo.first() {
            self.shelf_mut().missing.remove(&file.path);
        }
        self.hash_now(root, folder, todo, report, progress, stop)
    }

    /// Hashes what a scan has found, and counts it as it is done.
    fn hash_now(
        &self,
        root: &Path,
        folder: bool,
        todo: Vec<Todo>,
        report: &mut PublishReport,
        progress: &(dyn Fn(PublishProgress<'_>) + Sync),
        stop: &AtomicBool,
    ) -> Result<(), PublishError> {
        struct Tally<'a> {
            report: &'a mut PublishReport,
            files_left: u64,
            bytes_left: u64,
            ended: Result<(), PublishError>,
        }
        let (files_left, bytes_left) =
            (todo.len() as u64, todo.iter().map(|todo| todo.stamp.size).sum());
        let tally = Mutex::new(Tally { report, files_left, bytes_left, ended: Ok(()) });
        let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = |path: &Path, of_present: u64| {
            let Tally { report, files_left, bytes_left, .. } = &*lock();
            let progress_of = PublishProgress {
                files: report.files,
                bytes: report.bytes.saturating_add(of_present),
                files_left: *files_left,
                bytes_left: bytes_left.saturating_sub(of_present),
                path,
            };
            progress(progress_of);
        };
        let told = |todo: &Todo, result: Result<(), Skip>| {
            let done = result.is_ok();
            let wanted = self.shelf().marks.root(root).is_some();
            let mut now = lock();
            now.files_left = now.files_left.saturating_sub(1);
            now.bytes_left = now.bytes_left.saturating_sub(todo.stamp.size);
            let path = root.to_path_buf();
            let files = now.report.files;
            let failed = match result {
                Ok(()) => {
                    now.report.files += 1;
                    now.report.bytes = now.report.bytes.saturating_add(todo.stamp.size);
                    None
                }
                Err(Skip::Stopped) => Some(PublishError::Stopped { files }),
                Err(Skip::LeftOut(LeftOut::Unpublished)) if !folder => {
                    Some(PublishError::Unpublished { path })
                }
                Err(Skip::LeftOut(why)) if !folder => Some(PublishError::Refused { path, why }),
                Err(Skip::System(source)) if !folder => Some(unreadable(root, source)),
                Err(Skip::LeftOut(why)) => {
                    now.report.left_out.add(&todo.path, why);
                    None
                }
                Err(Skip::System(_)) => {
                    now.report.left_out.add(&todo.path, LeftOut::Unreadable);
                    None
                }
            };
            drop(now);
            if done {
                tell(&todo.path, 0);
            }
            let stopped = stop.load(Ordering::Relaxed);
            let mut now = lock();
            if let Some(failed) = failed {
                now.ended = Err(failed);
            } else if !wanted {
                now.ended = Err(PublishError::Unpublished { path: root.to_path_buf() });
            } else if stopped && now.files_left > 0 {
                now.ended = Err(PublishError::Stopped { files: now.report.files });
            }
            now.ended.is_ok()
        };
        self.hasher(self.hash_threads(), stop, &tell).all(todo, &told);
        tally.into_inner().unwrap_or_else(PoisonError::into_inner).ended
    }

    /// What is special about a folder that nobody shares as a whole by intent.
    fn needs_confirmation(&self, folder: &Path) -> Option<&'static str> {
        let protected = self.protected();
        if folder.parent().is_none() {
            return Some("is the whole machine");
        }
        if let Some(home) = &protected.home {
            if home == folder {
                return Some("is your home folder");
            }
            if home.starts_with(folder) {
                return Some("holds your home folder");
            }
        }
        let holds_state = protected.state.as_ref().is_some_and(|state| state.starts_with(folder));
        holds_state.then_some("holds the state of part2part")
    }
}

#[cfg(test)]
pub(super) mod tests;
