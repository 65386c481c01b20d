//! What a servent asks of a disk, as a trait, so that tests can bring their own.
//!
//! Always true: whatever is opened is a regular file, checked on the open descriptor,
//! and the last component of a path is never followed when it is a symbolic link.
//! What the answers mean to a user is left to [`super::StoreError`] and to `share`.

use std::any::Any;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The folder for part files, inside a folder for downloads: never shared.
pub const PARTS_FOLDER: &str = ".part2part";

/// What identifies one state of one file: when any of it differs, so may the content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stamp {
    /// The device that the file lies on.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was last changed, in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// When its inode was last changed, in nanoseconds since 1970; no program can set it.
    pub ctime_ns: i128,
}

impl Stamp {
    /// How old a stamp must be before it tells every later change, in nanoseconds:
    /// clocks of file systems tick as slowly as once in two seconds.
    pub const SETTLED_NS: i128 = 2_000_000_000;

    /// Whether a change made at `now_ns` or later would show in the stamp.
    #[must_use]
    pub fn has_settled(&self, now_ns: i128) -> bool {
        now_ns.saturating_sub(self.mtime_ns.max(self.ctime_ns)) > Self::SETTLED_NS
    }

    /// When the content was last changed, in seconds since 1970; none before that.
    #[must_use]
    pub fn modified(&self) -> Option<u64> {
        u64::try_from(self.mtime_ns / 1_000_000_000).ok().filter(|secs| *secs > 0)
    }

    /// Whether `other` is the same state of the same file, as far as can be told when
    /// the machine may have numbered its devices anew.
    #[must_use]
    pub fn is_of_same_state(&self, other: &Self) -> bool {
        *self == Self { dev: self.dev, ..*other }
    }

    /// Whether `other` is most likely the same content in the same file, moved or given
    /// other rights at most: a rename changes the time of the inode and nothing else. A
    /// program can set the time of the content, so what is taken from this is proven
    /// before it is sent.
    #[must_use]
    pub fn has_same_content(&self, other: &Self) -> bool {
        *self == Self { dev: self.dev, ctime_ns: self.ctime_ns, ..*other }
    }
}

/// What a name in a folder stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, whatever it points to.
    Symlink,
    /// A named pipe, a socket or a device.
    Special,
}

/// One name in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The bare name; not always UTF-8.
    pub name: OsString,
    /// What it stands for.
    pub kind: Kind,
}

/// A file open for reading.
pub trait ReadHandle: Send + Sync {
    /// Reads up to `buffer.len()` bytes from `offset`; 0 at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The present stamp of the open file, whatever its path leads to by now.
    ///
    /// # Errors
    /// What the system says.
    fn stamp(&self) -> io::Result<Stamp>;
}

/// A part file, open for reading and writing.
pub trait PartHandle: ReadHandle {
    /// Tries to keep others from locking it, until it is closed; false when somebody else
    /// has it open and locked.
    ///
    /// # Errors
    /// What the system says, among others where files cannot be locked at all.
    fn try_lock(&self) -> io::Result<bool>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the system says; some of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Sets the size; what is added is a hole and takes no space.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, size: u64) -> io::Result<()>;

    /// Where data lies, in order, as (begin, end) in bytes; what lies between are holes.
    ///
    /// A file system that knows no holes answers with the whole file.
    ///
    /// # Errors
    /// What the system says.
    fn data_ranges(&self) -> io::Result<Vec<(u64, u64)>>;

    /// Makes everything written survive a loss of power.
    ///
    /// # Errors
    /// What the system says; what was written since the last success may then be lost,
    /// and asking again does not bring it back.
    fn sync(&self) -> io::Result<()>;

    /// Gives the file the mode that a new one would have: 0644 less the umask.
    ///
    /// # Errors
    /// What the system says.
    fn make_public(&self) -> io::Result<()>;
}

/// A folder that was opened once, and stays the same folder whatever happens to its path.
pub trait FolderHandle: Send + Sync {
    /// Moves the file at `from` here as `name`, never over anything that is there.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken by anything at all; else what the system
    /// says. On any error the file is still at `from`.
    fn place(&self, from: &Path, name: &str) -> io::Result<()>;

    /// Makes the names in this folder survive a loss of power.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self) -> io::Result<()>;
}

/// How an attempt to lock ended.
pub enum LockAttempt {
    /// The lock is ours as long as this lives.
    Held(Box<dyn Any + Send + Sync>),
    /// Somebody else has it; what they wrote into the lock file.
    Taken(String),
}

/// A disk. All calls block; all paths are absolute.
pub trait Disk: Send + Sync {
    /// Opens a regular file for reading, never waiting for a writer of a pipe.
    ///
    /// # Errors
    /// [`NotRegular`] inside an [`io::Error`] for anything but a regular file, a
    /// symbolic link included; else what the system says.
    fn open_shared(&self, path: &Path) -> io::Result<Box<dyn ReadHandle>>;

    /// The path with all symbolic links, `.` and `..` resolved.
    ///
    /// # Errors
    /// What the system says; `NotFound` when it leads nowhere.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;

    /// What is at `path`, not following a symbolic link there.
    ///
    /// # Errors
    /// What the system says.
    fn kind(&self, path: &Path) -> io::Result<Kind>;

    /// What is at `path`, not following a symbolic link there, and its stamp. Opens
    /// nothing.
    ///
    /// # Errors
    /// What the system says.
    fn look(&self, path: &Path) -> io::Result<(Kind, Stamp)>;

    /// The names in a folder, in no particular order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;

    /// Opens a part file, creating it with mode 0600 if it is not there.
    ///
    /// # Errors
    /// As [`Disk::open_shared`].
    fn open_part(&self, path: &Path) -> io::Result<Box<dyn PartHandle>>;

    /// Opens a folder to place files in.
    ///
    /// # Errors
    /// What the system says.
    fn open_folder(&self, path: &Path) -> io::Result<Box<dyn FolderHandle>>;

    /// Creates a folder and the folders that lead to it, those that are created with
    /// `mode` less the umask; one that exists is left as it is.
    ///
    /// # Errors
    /// What the system says.
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Bytes that an ordinary user can still write in this folder.
    ///
    /// # Errors
    /// What the system says.
    fn free_space(&self, folder: &Path) -> io::Result<u64>;

    /// The device that `path` lies on.
    ///
    /// # Errors
    /// What the system says.
    fn device(&self, path: &Path) -> io::Result<u64>;

    /// Removes a file (not a folder).
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// What the system says; among others when it is not empty.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Reads a small regular file whole.
    ///
    /// # Errors
    /// `FileTooLarge` when it is over `limit` bytes; else as [`Disk::open_shared`].
    fn read_small(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Writes a new file of mode 0600 and flushes it.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one; else what the system says.
    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Writes a new file of the mode that new ones have, 0666 less the umask, and does not
    /// flush it.
    ///
    /// # Errors
    /// `AlreadyExists` when anything is there; else what the system says, and then some of
    /// it may be there.
    fn create_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write_new(path, bytes)
    }

    /// Makes everything on the file system of `folder` survive a loss of power.
    ///
    /// # Errors
    /// What the system says.
    fn flush(&self, folder: &Path) -> io::Result<()> {
        self.kind(folder).map(|_| ())
    }

    /// Renames, replacing a file at `to`. For this servent's own state only.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Tries to lock the file at `path`, creating it; having it, writes `text` into it, if
    /// there is room.
    ///
    /// The lock ends with the process, however that ends.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self, path: &Path, text: &str) -> io::Result<LockAttempt>;

    /// The time by the clock that stamps are made with, in nanoseconds since 1970.
    fn now_ns(&self) -> i128;
}

/// Something other than a regular file where only that will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a regular file")]
pub struct NotRegular;

impl NotRegular {
    /// Whether `error` carries this.
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).is_some()
    }
}

impl From<NotRegular> for io::Error {
    fn from(error: NotRegular) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// Fills `buffer` from `offset`, as far as the file goes; how many bytes that were.
///
/// # Errors
/// What the system says.
pub fn read_full<H: ReadHandle + ?Sized>(
    file: &H,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
