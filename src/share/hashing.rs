//! Hashing files: those that a publication has found, on as many threads as its user
//! asks for, and how far that has come.
//!
//! Always true: a file is shared only with the content that it had, under one stamp, from
//! its first byte to its last. A file is shared as soon as it is hashed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::left_out::LeftOut;
use super::library::Library;
use super::published_path::Published;
use super::scan::{Skip, Todo};
use super::shelf::Known;
use crate::base::Geometry;
use crate::store::disk::{ReadHandle, read_full};
use crate::transfer::{PieceList, PieceValue, piece_value};

/// Bytes read at a time while hashing: few enough to stay in a processor's cache until
/// they are hashed. No piece is cut into more than four.
const READ: u64 = 1 << 20;
/// Files from this size on are hashed by all threads at once, one after the other.
const SHARED_WORK: u64 = 16 << 20;
/// Most threads that hash for one publication.
pub const MAX_THREADS: usize = 64;

/// What a library is hashing, and has hashed since it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hashing {
    /// How many publications run, looks at what is watched included.
    pub running: usize,
    /// Files that were hashed.
    pub files: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Files that were found and wait to be hashed.
    pub files_left: u64,
    /// Bytes in them.
    pub bytes_left: u64,
    /// Bytes a second since publications began to run; none while none does.
    pub rate: u64,
    /// The file that was begun last, while any runs.
    pub current: Option<PathBuf>,
}

/// Where [`Hashing`] is counted.
#[derive(Default)]
pub(super) struct Counters {
    running: AtomicUsize,
    files: AtomicU64,
    bytes: AtomicU64,
    files_left: AtomicU64,
    bytes_left: AtomicU64,
    current: Mutex<Option<PathBuf>>,
    /// When the first of those that run began, and how many bytes had been hashed then.
    began: Mutex<(i128, u64)>,
}

/// One publication, counted as running while this lives.
pub(super) struct Running<'a>(&'a Counters);

impl Counters {
    pub(super) fn begin(&self, now_ns: i128) -> Running<'_> {
        if self.running.fetch_add(1, Ordering::Relaxed) == 0 {
            let bytes = self.bytes.load(Ordering::Relaxed);
            *self.began.lock().unwrap_or_else(PoisonError::into_inner) = (now_ns, bytes);
        }
        Running(self)
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Counts a file that was found and is to be hashed.
    pub(super) fn note_found(&self, size: u64) {
        self.files_left.fetch_add(1, Ordering::Relaxed);
        self.bytes_left.fetch_add(size, Ordering::Relaxed);
    }

    /// Counts a file that was found as begun, or given up.
    pub(super) fn note_taken(&self, size: u64) {
        self.files_left.fetch_sub(1, Ordering::Relaxed);
        self.bytes_left.fetch_sub(size, Ordering::Relaxed);
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
        let (running, bytes) = (counters.running(), counters.bytes.load(Ordering::Relaxed));
        let (began_ns, before) = *counters.began.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = (self.disk().now_ns().saturating_sub(began_ns) / 1_000_000).max(1);
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let hashed = bytes.saturating_sub(before);
        Hashing {
            running,
            rate: if running == 0 { 0 } else { hashed.saturating_mul(1_000) / millis },
            files: counters.files.load(Ordering::Relaxed),
            bytes,
            files_left: counters.files_left.load(Ordering::Relaxed),
            bytes_left: counters.bytes_left.load(Ordering::Relaxed),
            current: counters.current.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// What it takes to hash the files of one publication.
pub(super) struct Hasher<'a> {
    library: &'a Library,
    stop: &'a AtomicBool,
    threads: usize,
    key_files: Vec<(u64, u64)>,
    /// Told of each read but the last of a file: whose, and how far it has come.
    tell: &'a (dyn Fn(&Path, u64) + Sync),
    _running: Running<'a>,
}

impl Library {
    /// A hasher that asks `stop` before each read.
    pub(super) fn hasher<'a>(
        &'a self,
        threads: usize,
        stop: &'a AtomicBool,
        tell: &'a (dyn Fn(&Path, u64) + Sync),
    ) -> Hasher<'a> {
        Hasher {
            library: self,
            stop,
            threads: threads.clamp(1, MAX_THREADS),
            key_files: self.key_files(),
            tell,
            _running: self.counters().begin(self.disk().now_ns()),
        }
    }
}

impl Hasher<'_> {
    /// Hashes all that is to do, in this order as far as one thread does it, and tells
    /// what became of each file. Ends early, with false, when `told` says so.
    pub(super) fn all(
        &self,
        todo: Vec<Todo>,
        told: &(dyn Fn(&Todo, Result<(), Skip>) -> bool + Sync),
    ) -> bool {
        let counters = self.library.counters();
        todo.iter().for_each(|todo| counters.note_found(todo.stamp.size));
        let one = |todo: &Todo, threads, buffer: &mut Vec<u8>| {
            counters.note_taken(todo.stamp.size);
            told(todo, self.file(todo, threads, buffer))
        };
        let taken = AtomicUsize::new(0);
        let going = AtomicBool::new(true);
        // Asked first: what was taken is done and counted, whatever is told meanwhile.
        let next = |all: &[Todo]| {
            let on = going.load(Ordering::Relaxed);
            if on { all.get(taken.fetch_add(1, Ordering::Relaxed)).cloned() } else { None }
        };
        let mut buffer = Vec::new();
        let mut todo = todo;
        if self.threads > 1 {
            let (large, small): (Vec<_>, _) =
                todo.into_iter().partition(|todo| todo.stamp.size >= SHARED_WORK);
            todo = small;
            thread::scope(|scope| {
                for _ in 0..self.threads.min(todo.len()) {
                    scope.spawn(|| {
                        let mut buffer = Vec::new();
                        while let Some(todo) = next(&todo) {
                            if !one(&todo, 1, &mut buffer) {
                                going.store(false, Ordering::Relaxed);
                            }
                        }
                    });
                }
            });
            todo = todo.split_off(taken.load(Ordering::Relaxed).min(todo.len()));
            todo.extend(large);
        }
        let mut left = todo.into_iter();
        while going.load(Ordering::Relaxed) {
            let Some(todo) = left.next() else { return true };
            if !one(&todo, self.threads, &mut buffer) {
                going.store(false, Ordering::Relaxed);
            }
        }
        left.for_each(|todo| counters.note_taken(todo.stamp.size));
        false
    }

    /// Hashes one file and shares it.
    pub(super) fn file(
        &self,
        todo: &Todo,
        threads: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Skip> {
        self.file_with(todo, threads, buffer, &|| {})
    }

    /// The same, with something else `between` each two parts that it reads itself.
    pub(super) fn file_with(
        &self,
        Todo { path, .. }: &Todo,
        threads: usize,
        buffer: &mut Vec<u8>,
        between: &dyn Fn(),
    ) -> Result<(), Skip> {
        let name = self.library.name_for(path).ok_or(Skip::LeftOut(LeftOut::Name))?;
        let disk = self.library.disk();
        let file = disk.open_shared(path)?;
        let stamp = file.stamp()?;
        if self.key_files.contains(&(stamp.dev, stamp.ino)) {
            return Err(Skip::LeftOut(LeftOut::Protected));
        }
        let geometry = Geometry::of(stamp.size).ok_or(Skip::LeftOut(LeftOut::TooLarge))?;
        {
            let shelf = self.library.shelf();
            if !shelf.marks.wants(path) {
                return Err(Skip::LeftOut(LeftOut::Unpublished));
            }
            // Another publication was faster.
            if matches!(shelf.known(path), Some(Known::Here(known)) if known.stamp == stamp) {
                return Ok(());
            }
        }
        let counters = self.library.counters();
        counters.set_current(Some(path.clone()));
        let began_ns = disk.now_ns();
        let list = match threads > 1 && stamp.size >= SHARED_WORK {
            true => self.shared_work(&*file, geometry, path, threads, between)?,
            false => {
                let count = geometry.count();
                let values = self.pieces(&*file, geometry, 0..count, buffer, |done| {
                    (self.tell)(path, done);
                    between();
                })?;
                PieceList::of(geometry, values)
            }
        };
        let list = list.ok_or(Skip::LeftOut(LeftOut::Changed))?;
        if file.stamp()? != stamp {
            return Err(Skip::LeftOut(LeftOut::Changed));
        }
        counters.files.fetch_add(1, Ordering::Relaxed);
        // A stamp younger than the clock's grain may hide a change made meanwhile: then
        // each piece is hashed once more before it is sent.
        let settled = stamp.has_settled(began_ns);
        let file = Published::new(path.clone(), name, stamp, Arc::new(list), settled);
        self.library.shelf_mut().insert(file).map_err(Skip::LeftOut)
    }

    /// The values of some pieces, one after the other.
    fn pieces(
        &self,
        file: &dyn ReadHandle,
        geometry: Geometry,
        numbers: std::ops::Range<u32>,
        buffer: &mut Vec<u8>,
        tell: impl Fn(u64),
    ) -> Result<Vec<PieceValue>, Skip> {
        let mut values = Vec::with_capacity(numbers.len());
        let piece_len = geometry.piece_len();
        let mut at = u64::from(numbers.start) * piece_len;
        let end = (u64::from(numbers.end) * piece_len).min(geometry.size());
        while at < end {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Skip::Stopped);
            }
            let len = usize::try_from(READ.min(end - at)).unwrap_or(0);
            if buffer.len() < len {
                buffer.resize(len, 0);
            }
            let Some(read) = buffer.get_mut(..len) else { break };
            if read_full(file, read, at)? < len {
                return Err(Skip::LeftOut(LeftOut::Changed)); // cut short
            }
            for piece in read.chunks(usize::try_from(piece_len).unwrap_or(usize::MAX)) {
                let number = numbers.start + u32::try_from(values.len()).unwrap_or(u32::MAX);
                let Some(index) = geometry.piece(number) else { break };
                values.push(piece_value(geometry, index, piece));
            }
            at += len as u64;
            self.library.counters().bytes.fetch_add(len as u64, Ordering::Relaxed);
            if at < geometry.size() {
                tell(at);
            }
        }
        Ok(values)
    }

    /// All pieces, on several threads: each takes the next ones that nobody has taken.
    fn shared_work(
        &self,
        file: &dyn ReadHandle,
        geometry: Geometry,
        path: &Path,
        threads: usize,
        between: &dyn Fn(),
    ) -> Result<Option<PieceList>, Skip> {
        let at_once = u32::try_from(READ / geometry.piece_len()).unwrap_or(1).max(1);
        let (count, next) = (geometry.count(), AtomicU64::new(0));
        let (parts, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
        let done = AtomicU64::new(0);
        let work = |between: &dyn Fn()| {
            let mut buffer = Vec::new();
            loop {
                let first = next.fetch_add(u64::from(at_once), Ordering::Relaxed);
                let first = u32::try_from(first).unwrap_or(u32::MAX);
                if first >= count {
                    return;
                }
                let numbers = first..count.min(first.saturating_add(at_once));
                match self.pieces(file, geometry, numbers, &mut buffer, |_| {}) {
                    Ok(values) => {
                        let len = values.len() as u64 * geometry.piece_len();
                        (self.tell)(path, done.fetch_add(len, Ordering::Relaxed) + len);
                        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
                        parts.push((first, values));
                        drop(parts);
                        between();
                    }
                    Err(why) => {
                        next.store(u64::from(count), Ordering::Relaxed);
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    }
                }
            }
        };
        thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(|| work(&|| {}))));
            work(between);
        });
        if let Some(why) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(why);
        }
        let mut parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
        parts.sort_unstable_by_key(|(first, _)| *first);
        let values = parts.into_iter().flat_map(|(_, values)| values).collect();
        Ok(PieceList::of(geometry, values))
    }
}
