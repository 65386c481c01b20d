//! What went wrong on the disk, told to the user.

use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use rustix::io::Errno;

use super::part::RESERVE;
use crate::base::PieceIndex;
use crate::base::escape::Escaped;

/// Why the disk did not do as asked: what, which path, and what may help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, the quota or the permitted file size is used up.
    #[error("no space left for {}: make room and it goes on", shown(.path))]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// There is space, but not for the whole file and the reserve.
    #[error(
        "{} has {} free, but the download needs {} and {} to spare: make room or choose \
         another folder", shown(.folder), bytes(*.free), bytes(*.needed), bytes(RESERVE)
    )]
    NoRoom {
        /// The folder on the disk that is too full.
        folder: PathBuf,
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The file system is mounted read-only, or the permissions say no.
    #[error("not allowed to write {}: choose another folder or change its permissions",
        shown(.path))]
    Denied {
        /// What was being written.
        path: PathBuf,
    },
    /// Something else is where a folder should be.
    #[error("{} is not a folder", shown(.path))]
    NotAFolder {
        /// Where.
        path: PathBuf,
    },
    /// Something else is where a part file should be.
    #[error("{} is not a regular file: move it away", shown(.path))]
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// The name and all its numbered forms are taken.
    #[error("{} holds too many files of that name already: choose another folder",
        shown(.path))]
    NameTaken {
        /// The name wanted, in the folder wanted.
        path: PathBuf,
    },
    /// The part file cannot be renamed into the folder wanted.
    #[error("{} lies on another file system than the part file {}: choose another folder",
        shown(.folder), shown(.part))]
    OtherFileSystem {
        /// The folder wanted.
        folder: PathBuf,
        /// The part file, which is whole and stays.
        part: PathBuf,
    },
    /// The bytes are not as many as the piece has, or the file has no such piece.
    #[error("{given} bytes given for piece {piece} of {expected} bytes")]
    PieceLength {
        /// The piece.
        piece: PieceIndex,
        /// Bytes given.
        given: u64,
        /// Bytes the piece has; 0 when the file has no such piece.
        expected: u64,
    },
    /// The file is in place already: it is no longer a part that can be written.
    #[error("{} is complete and in place already", shown(.path))]
    Placed {
        /// The part file as it was called.
        path: PathBuf,
    },
    /// A flush failed before: what the system shows of the file may not be on the disk.
    #[error("the disk failed to keep {}: its pieces must be checked again", shown(.path))]
    FlushFailed {
        /// The part file; opened anew and recovered it can be used again.
        path: PathBuf,
    },
    /// Another servent with the same folder for downloads writes it.
    #[error("another part2part is fetching this file into {}: wait until it is done, or use \
             another folder", shown(.path))]
    InUse {
        /// The part file.
        path: PathBuf,
    },
    /// The work was stopped before its end.
    #[error("stopped")]
    Stopped,
    /// Another servent uses this state folder.
    #[error("another part2part{} already runs on {}: use it, or start with another --profile",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), shown(.state))]
    Locked {
        /// The state folder.
        state: PathBuf,
        /// The other's process id, if it could be read.
        pid: Option<u32>,
    },
    /// Anything else that the system says.
    #[error("cannot {what} {}: {source}", shown(.path))]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl StoreError {
    /// The error that trying to `what` (a verb) at `path` ended with.
    #[must_use]
    pub fn from_io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if super::disk::NotRegular::is(&source) {
            return Self::NotAFile { path };
        }
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Self::Full { path },
            Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => Self::Denied { path },
            Some(Errno::NOTDIR) => Self::NotAFolder { path },
            _ => Self::Io { what, path, source },
        }
    }

    /// Whether making room is all that is missing, so that waiting may help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoRoom { .. })
    }
}

pub(super) fn shown(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}

/// In powers of ten, as all sizes are shown.
fn bytes(count: u64) -> String {
    ByteSize(count).display().si().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(errno: Errno) -> StoreError {
        StoreError::from_io("write", Path::new("/d/\x1b[2Jx"), errno.into())
    }

    #[test]
    fn a_full_disk_is_told_from_a_forbidden_one() {
        for full in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert!(error_of(full).is_full());
        }
        for denied in [Errno::ROFS, Errno::ACCESS, Errno::PERM] {
            assert!(matches!(error_of(denied), StoreError::Denied { .. }));
        }
        assert!(matches!(error_of(Errno::IO), StoreError::Io { .. }));
    }

    #[test]
    fn every_error_names_the_path_and_escapes_it() {
        for errno in [Errno::NOSPC, Errno::ROFS, Errno::NOTDIR, Errno::IO] {
            let text = error_of(errno).to_string();
            assert!(text.contains("/d/\\u{1b}[2Jx"), "{text}");
        }
    }

    #[test]
    fn the_other_servent_is_named_when_it_left_its_number() {
        let locked = |pid| StoreError::Locked { state: "/s".into(), pid }.to_string();
        assert!(locked(Some(42)).contains("process 42"));
        assert!(!locked(None).contains("process"));
    }
}
