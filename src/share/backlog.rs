//! What was found in watched folders and waits to be hashed.
//!
//! Always true: a path waits at most once; a large file holds up no small one for longer
//! than a part of it takes, and small ones hold up a large one only for so many of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::hashing::MAX_THREADS;
use super::left_out::LeftOut;
use super::library::Library;
use super::scan::{Skip, Todo, Watcher, may_pass_soon};
use crate::store::disk::Stamp;

/// From this size on a file is large: to hash it takes longer than a person waits.
const LARGE: u64 = 64 << 20;
/// Small files that go before a large one that waits: an endless flow of small ones is not
/// to hold it up for ever.
const SMALL_FIRST: u32 = 256;

/// The files that wait, small and large ones, each in order of paths.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    small: BTreeMap<PathBuf, Stamp>,
    large: BTreeMap<PathBuf, Stamp>,
    /// Small ones that were taken since a large one was.
    small_taken: u32,
}

impl Backlog {
    /// Adds a file; what waits for the same path no longer does.
    fn add(&mut self, todo: Todo) -> Option<Stamp> {
        let Todo { path, stamp } = todo;
        let before = self.small.remove(&path).or_else(|| self.large.remove(&path));
        let list = if stamp.size < LARGE { &mut self.small } else { &mut self.large };
        list.insert(path, stamp);
        before
    }

    fn take_small(&mut self) -> Option<Todo> {
        self.small.pop_first().map(|(path, stamp)| Todo { path, stamp })
    }

    fn take(&mut self) -> Option<Todo> {
        if self.small_taken < SMALL_FIRST
            && let Some(todo) = self.take_small()
        {
            self.small_taken += 1;
            return Some(todo);
        }
        self.small_taken = 0;
        let large = self.large.pop_first().map(|(path, stamp)| Todo { path, stamp });
        large.or_else(|| self.take_small())
    }
}

impl Library {
    /// Adds what a scan has found.
    pub(super) fn add_found(&self, found: Vec<Todo>) {
        if found.is_empty() {
            return;
        }
        let mut backlog = self.backlog().lock().unwrap_or_else(PoisonError::into_inner);
        for todo in found {
            self.counters().note_found(todo.stamp.size);
            if let Some(before) = backlog.add(todo) {
                self.counters().note_taken(before.size);
            }
        }
    }

    /// Whether anything that was found waits to be hashed.
    #[must_use]
    pub fn has_found(&self) -> bool {
        let backlog = self.backlog().lock().unwrap_or_else(PoisonError::into_inner);
        !(backlog.small.is_empty() && backlog.large.is_empty())
    }

    /// Hashes and shares what was found, until nothing waits any more or `stop` says so.
    /// What changes while it is read is to be looked at `again`. Blocks.
    pub fn hash_found(&self, watcher: &dyn Watcher, stop: &AtomicBool) {
        let threads = self.hash_threads().clamp(1, MAX_THREADS);
        let hasher = &self.hasher(threads, stop, &|_, _| {});
        // A large file is hashed by all threads together, in turn with the small ones that
        // are found meanwhile.
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| {
                    let mut buffer = Vec::new();
                    while let Some(todo) = self.next_small(stop) {
                        let hashed = self.as_found(&todo, || hasher.file(&todo, 1, &mut buffer));
                        self.settle(watcher, &todo, &hashed);
                    }
                });
            }
            let mut buffer = Vec::new();
            while let Some(todo) = self.next_found(stop) {
                let between = || {
                    if let Some(small) = self.next_small(stop) {
                        let mut buffer = Vec::new();
                        let hash = || hasher.file(&small, 1, &mut buffer);
                        self.settle(watcher, &small, &self.as_found(&small, hash));
                    }
                };
                let hash = || hasher.file_with(&todo, threads, &mut buffer, &between);
                let hashed = self.as_found(&todo, hash);
                self.settle(watcher, &todo, &hashed);
            }
        });
    }

    fn next_small(&self, stop: &AtomicBool) -> Option<Todo> {
        let mut backlog = self.backlog().lock().unwrap_or_else(PoisonError::into_inner);
        let todo = if stop.load(Ordering::Relaxed) { None } else { backlog.take_small() }?;
        self.counters().note_taken(todo.stamp.size);
        Some(todo)
    }

    fn next_found(&self, stop: &AtomicBool) -> Option<Todo> {
        let mut backlog = self.backlog().lock().unwrap_or_else(PoisonError::into_inner);
        let todo = if stop.load(Ordering::Relaxed) { None } else { backlog.take() }?;
        self.counters().note_taken(todo.stamp.size);
        Some(todo)
    }

    /// Hashes a file, unless it was changed since it was found: then it may still be
    /// written.
    fn as_found(&self, todo: &Todo, hash: impl FnOnce() -> Result<(), Skip>) -> Result<(), Skip> {
        let (_, stamp) = self.disk().look(&todo.path)?;
        if stamp == todo.stamp { hash() } else { Err(Skip::LeftOut(LeftOut::Changed)) }
    }

    /// What becomes of a file that could not be shared.
    fn settle(&self, watcher: &dyn Watcher, todo: &Todo, hashed: &Result<(), Skip>) {
        match hashed {
            Err(Skip::LeftOut(LeftOut::Changed)) => {
                watcher.again(&todo.path);
            }
            Err(Skip::System(error)) if may_pass_soon(error) => watcher.again(&todo.path),
            // What cannot be read is not shared; the next look tries again.
            Ok(()) | Err(Skip::LeftOut(_) | Skip::System(_)) => {}
            // It goes on where it stopped.
            Err(Skip::Stopped) => self.add_found(vec![todo.clone()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Unwatched;
    use super::super::keeping::tests::{names, start};
    use super::super::publish::tests::publish;
    use super::super::walk::Look;
    use super::*;
    use crate::store::MemoryDisk;
    use std::path::Path;

    fn todo(path: String, size: u64) -> Todo {
        Todo { path: path.into(), stamp: Stamp { dev: 1, ino: 1, size, mtime_ns: 0, ctime_ns: 0 } }
    }

    #[test]
    fn an_endless_flow_of_small_files_holds_no_large_one_up_for_ever() {
        let mut backlog = Backlog::default();
        backlog.add(todo("/large".to_owned(), LARGE));
        for number in 0..SMALL_FIRST {
            backlog.add(todo(format!("/{number}"), 1));
            backlog.add(todo(format!("/more/{number}"), 1));
            assert_ne!(backlog.take().unwrap().path, Path::new("/large"));
        }
        assert_eq!(backlog.take().unwrap().path, Path::new("/large"));
        assert!(backlog.take().is_some());
    }

    /// Tells which files are to be looked at again.
    #[derive(Default)]
    struct Noted(std::sync::Mutex<Vec<PathBuf>>);

    impl Watcher for Noted {
        fn enter(&self, _: &Path) {}

        fn knows(&self, _: &Path) -> bool {
            false
        }

        fn waits(&self, _: &Path, _: &Stamp, _: i128) -> bool {
            false
        }

        fn again(&self, path: &Path) {
            self.0.lock().unwrap().push(path.to_path_buf());
        }
    }

    #[test]
    fn what_cannot_be_read_for_a_moment_is_looked_at_again() {
        let disk = MemoryDisk::new();
        disk.put("/share/a", b"a");
        let library = start(&disk);
        publish(&library, "/share").unwrap();
        disk.put("/share/busy", b"busy");
        disk.put("/share/closed", b"closed");
        disk.fail("/share/busy", true);
        disk.forbid("/share/closed");
        let (noted, stop) = (Noted::default(), AtomicBool::new(false));
        let all = [Look { folder: "/share".into(), deep: true }];
        library.look(&all, &Unwatched, &stop);
        library.hash_found(&noted, &stop);
        assert_eq!(noted.0.into_inner().unwrap(), [Path::new("/share/busy")]);
        disk.fail("/share/busy", false);
        library.look(&all, &Unwatched, &stop);
        library.hash_found(&Unwatched, &stop);
        assert_eq!(names(&library), ["a", "busy"]);
    }
}
