//! What the system tells of changes in folders: Linux's inotify, and who watches what.
//!
//! Each folder is watched on its own, and only those that are shared are: a hidden or an
//! ignored folder costs nothing. An event names a watch, and a watch stands for a folder
//! whose path may be another by now; so an event never means "this file", only "look at
//! this folder again", and a watch is given up when its folder was moved.
//!
//! Spoken to through `rustix` and not through `notify`: that one subscribes to every open
//! of every file, of which hashing makes two for each, keeps the old paths of folders that
//! were moved, and takes a thread; this costs no library.

use std::collections::{BTreeMap, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::clock::Clock;
use crate::base::Time;
use crate::share::ignoring::IGNORE_FILE;
use crate::share::{Agenda, Watcher};
use crate::store::disk::Stamp;

/// How long after the last word of it a file counts as being written, when nobody has
/// said that it was closed: a writer may pause, and a moved file's end is never told.
const WRITING: Duration = Duration::from_secs(60);
/// Most files that are known to be written; of others only their stamps tell.
const MAX_WRITING: usize = 4_096;
/// Most folders of which it is known that they are not watched; each also stands for a
/// word in `status`.
const MAX_UNWATCHED: usize = 65_536;
/// Most events that are taken in at a time: some milliseconds, in which a worker of the
/// servent does nothing else.
const MAX_EVENTS: usize = 16_384;
/// Bytes of events that are read at a time.
const READ: usize = 64 << 10;

/// File systems that tell nobody of what is changed elsewhere (statfs(2)), by their names.
const UNTOLD: [(u64, &str); 11] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
];

/// The folders that are watched. All methods may be called from many threads.
pub(super) struct Watches {
    /// None where the system gives none, or there is no such system.
    inotify: Option<Arc<OwnedFd>>,
    /// Why there is none.
    why_none: Option<String>,
    clock: Clock,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_watch: HashMap<i32, PathBuf>,
    by_path: BTreeMap<PathBuf, i32>,
    /// Folders in which changes are not told, and why.
    untold: BTreeMap<PathBuf, Untold>,
    /// Files that are being written, and when that was last told.
    writing: BTreeMap<PathBuf, Time>,
    /// Folders to be looked at again.
    again: Vec<PathBuf>,
}

/// Why changes in a folder are not told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Untold {
    /// There are as many watches as there may be.
    Full,
    /// The system gives none at all.
    NoWatcher,
    /// Of what is changed elsewhere nobody hears here.
    Network(&'static str),
    /// Something else.
    Refused(Errno),
}

impl Watches {
    /// Begins to watch; what cannot be watched is looked at now and then.
    pub(super) fn open(clock: Clock) -> Self {
        match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(inotify) => Self::new(Some(Arc::new(inotify)), None, clock),
            Err(Errno::MFILE) => {
                let why = "the system gives no more watchers (fs.inotify.max_user_instances, or \
                           ulimit -n)";
                Self::new(None, Some(why.to_owned()), clock)
            }
            Err(error) => Self::new(None, Some(format!("the system says: {error}")), clock),
        }
    }

    /// Watches nothing: where files are in memory, and for a servent that shares none.
    pub(super) fn none(clock: Clock) -> Self {
        Self::new(None, Some("this disk tells nothing of its changes".to_owned()), clock)
    }

    fn new(inotify: Option<Arc<OwnedFd>>, why_none: Option<String>, clock: Clock) -> Self {
        Self { inotify, why_none, clock, table: Mutex::default() }
    }

    /// What becomes readable when there are events.
    pub(super) fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.inotify.clone()
    }

    /// Notes what has been told by now; whether that is all of it.
    pub(super) fn drain(&self, agenda: &mut Agenda) -> bool {
        let Some(inotify) = &self.inotify else { return true };
        let mut buffer = vec![MaybeUninit::uninit(); READ];
        let mut reader = Reader::new(inotify.as_fd(), &mut buffer);
        let now = self.clock.now();
        let mut taken = 0;
        // What was read from the system is taken in to its end: it is not told again.
        while taken < MAX_EVENTS || !reader.is_buffer_empty() {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(std::ffi::CStr::to_bytes);
                    self.take_in(event.wd(), event.events(), name, agenda, now);
                    taken += 1;
                }
                Err(Errno::INTR) => {}
                Err(_) => return true,
            }
        }
        false
    }

    fn take_in(
        &self,
        watch: i32,
        what: ReadFlags,
        name: Option<&[u8]>,
        agenda: &mut Agenda,
        now: Time,
    ) {
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            return agenda.note_lost(now);
        }
        let mut table = self.table();
        let Some(folder) = table.by_watch.get(&watch).cloned() else { return };
        if what.contains(ReadFlags::IGNORED) {
            table.by_watch.remove(&watch);
            if table.by_path.get(&folder) == Some(&watch) {
                table.by_path.remove(&folder);
            }
            return agenda.note(&folder, false, now);
        }
        if what.intersects(ReadFlags::MOVE_SELF) {
            // Another folder may have its path by now, which stays watched.
            match table.by_path.get(&folder) == Some(&watch) {
                true => self.give_up(&mut table, &folder),
                false => self.give_up_watch(&mut table, watch),
            }
        }
        let Some(name) = name else { return agenda.note(&folder, false, now) };
        if name == IGNORE_FILE.as_bytes() {
            return agenda.note(&folder, true, now);
        }
        if name.starts_with(b".") {
            return; // hidden, as it was and as it will be
        }
        let path = folder.join(std::ffi::OsStr::from_bytes(name));
        if what.contains(ReadFlags::ISDIR) {
            let moved = ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO | ReadFlags::DELETE;
            if what.intersects(moved | ReadFlags::CREATE) {
                self.give_up(&mut table, &path);
            }
            return agenda.note(&folder, false, now);
        }
        if what.contains(ReadFlags::MODIFY) {
            let full = table.writing.len() >= MAX_WRITING;
            match table.writing.get_mut(&path) {
                Some(last) => *last = now,
                None if full => agenda.note(&folder, false, now),
                None => {
                    table.writing.insert(path, now);
                    agenda.note(&folder, false, now);
                }
            }
            return;
        }
        // Other rights or a new name in the midst of it end no writing.
        let ends = ReadFlags::CLOSE_WRITE
            | ReadFlags::MOVED_FROM
            | ReadFlags::MOVED_TO
            | ReadFlags::DELETE;
        if what.intersects(ends) {
            table.writing.remove(&path);
        }
        agenda.note(&folder, false, now);
    }

    /// Notes what is to be looked at again; when there may be more of it, if ever.
    pub(super) fn note_again(&self, agenda: &mut Agenda) -> Option<Time> {
        let now = self.clock.now();
        let mut table = self.table();
        for folder in std::mem::take(&mut table.again) {
            agenda.note_again(&folder, now);
        }
        table.writing.retain(|path, last| {
            let over = now.since(*last) >= WRITING;
            if let Some(folder) = path.parent().filter(|_| over) {
                agenda.note(folder, false, now);
            }
            !over
        });
        table.writing.values().min().map(|first| *first + WRITING)
    }

    /// Watches nothing any more that is in none of these folders.
    pub(super) fn keep_only(&self, roots: &[PathBuf]) {
        let table = &mut *self.table();
        let kept = |path: &PathBuf| roots.iter().any(|root| path.starts_with(root));
        let gone = table.by_watch.iter().filter(|(_, path)| !kept(path));
        for watch in gone.map(|(watch, _)| *watch).collect::<Vec<_>>() {
            self.give_up_watch(table, watch);
        }
        table.untold.retain(|path, _| kept(path));
        table.writing.retain(|path, _| kept(path));
    }

    /// Whether all changes in a published folder are told.
    pub(super) fn is_told(&self, root: &Path) -> bool {
        let table = self.table();
        let first = table.untold.range(root.to_path_buf()..).next();
        !first.is_some_and(|(path, _)| path.starts_with(root))
    }

    /// A sentence about a published folder in which changes are not told, without its
    /// subject; none when all are.
    pub(super) fn why_untold(&self, root: &Path) -> Option<String> {
        let table = self.table();
        let in_root = |(path, _): &(&PathBuf, &Untold)| path.starts_with(root);
        let mut untold = table.untold.range(root.to_path_buf()..).take_while(in_root);
        let (first, why) = untold.next()?;
        let count = 1 + untold.count();
        let watched = table.by_path.range(root.to_path_buf()..);
        let watched = watched.take_while(|(path, _)| path.starts_with(root)).count();
        Some(match why {
            Untold::NoWatcher => {
                let why = self.why_none.as_deref().unwrap_or_default();
                format!("cannot be watched: {why}")
            }
            Untold::Full => format!(
                "is watched in {watched} of its {} folders: the system gives no more watches \
                 (fs.inotify.max_user_watches)",
                watched + count
            ),
            Untold::Network(name) if first == root => {
                format!("lies on a file system ({name}) that does not tell what others change")
            }
            Untold::Network(name) => {
                format!("holds a file system ({name}) that does not tell what others change")
            }
            Untold::Refused(error) => {
                format!("cannot be watched in {count} of its folders: {error}")
            }
        })
    }

    fn give_up(&self, table: &mut Table, folder: &Path) {
        let gone = |path: &&PathBuf| path.starts_with(folder);
        let watched = table.by_path.range(folder.to_path_buf()..).map(|(path, _)| path);
        for path in watched.take_while(gone).cloned().collect::<Vec<_>>() {
            self.give_up_one(table, &path);
        }
        let untold = table.untold.range(folder.to_path_buf()..).map(|(path, _)| path);
        for path in untold.take_while(gone).cloned().collect::<Vec<_>>() {
            table.untold.remove(&path);
        }
    }

    fn give_up_one(&self, table: &mut Table, path: &Path) {
        if let Some(watch) = table.by_path.get(path).copied() {
            self.give_up_watch(table, watch);
        }
    }

    fn give_up_watch(&self, table: &mut Table, watch: i32) {
        if let Some(path) = table.by_watch.remove(&watch)
            && table.by_path.get(&path) == Some(&watch)
        {
            table.by_path.remove(&path);
        }
        if let Some(inotify) = &self.inotify {
            // It may be gone already.
            let _ = inotify::remove_watch(inotify.as_fd(), watch);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Watches {
    fn enter(&self, folder: &Path) {
        let what = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW
            | WatchFlags::EXCL_UNLINK;
        // Before the lock: a server that is asked may take long to answer.
        let network = self.inotify.as_ref().and_then(|_| network(folder));
        let mut table = self.table();
        let untold = match &self.inotify {
            None => Some(Untold::NoWatcher),
            Some(inotify) => match inotify::add_watch(inotify.as_fd(), folder, what) {
                Ok(watch) => {
                    // Another one: that of a folder that was here before.
                    if let Some(old) = table.by_path.insert(folder.to_path_buf(), watch)
                        && old != watch
                    {
                        self.give_up_watch(&mut table, old);
                    }
                    // The same watch as before: the folder was moved here.
                    if let Some(old) = table.by_watch.insert(watch, folder.to_path_buf())
                        && old != folder
                        && table.by_path.get(&old) == Some(&watch)
                    {
                        table.by_path.remove(&old);
                    }
                    network.map(Untold::Network)
                }
                Err(Errno::NOSPC | Errno::NOMEM) => Some(Untold::Full),
                // Gone by now, or no folder any more: the look finds that.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
                Err(error) => Some(Untold::Refused(error)),
            },
        };
        match untold {
            None => drop(table.untold.remove(folder)),
            Some(why) => {
                let room = table.untold.len() < MAX_UNWATCHED;
                if room || table.untold.contains_key(folder) {
                    table.untold.insert(folder.to_path_buf(), why);
                }
            }
        }
    }

    fn knows(&self, folder: &Path) -> bool {
        let table = self.table();
        table.by_path.contains_key(folder) || table.untold.contains_key(folder)
    }

    fn waits(&self, path: &Path, stamp: &Stamp, now_ns: i128) -> bool {
        // Also a stamp that is a little ahead; one from another age tells nothing.
        let settled = -Stamp::SETTLED_NS..=Stamp::SETTLED_NS;
        let recent = |at: i128| settled.contains(&now_ns.saturating_sub(at));
        recent(stamp.mtime_ns) || recent(stamp.ctime_ns) || self.table().writing.contains_key(path)
    }

    fn again(&self, path: &Path) {
        let mut table = self.table();
        // The end of what is written is told, or noted when it never comes.
        if !table.writing.contains_key(path)
            && let Some(folder) = path.parent()
            && table.again.last().is_none_or(|last| last != folder)
        {
            table.again.push(folder.to_path_buf());
        }
    }
}

/// The name of the file system of `folder`, if it is one that others change unseen.
fn network(folder: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    // As wide as the table, whatever the machine's own width is.
    let kind = u64::try_from(kind).ok()? & 0xffff_ffff;
    UNTOLD.into_iter().find(|(magic, _)| *magic == kind).map(|(_, name)| name)
}
