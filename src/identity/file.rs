//! Files that hold a secret: made once, for one's own eyes, and never half.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// Longest file that is read as a key, in bytes; ours are far below 100.
const MAX_KEY_FILE: u64 = 4096;

/// Why a key file cannot be used. No variant holds a part of the secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The system did not let us read it.
    #[error("cannot read the key file {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system did not let us write it; nothing is left behind.
    #[error("cannot write the key file {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is there already, and is not written over.
    #[error("{path} exists already, and a key is never written over; choose another name")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others than its owner may read or change it.
    #[error(
        "the key file {path} is open to others (mode {mode:03o}), so its key may be known; if it \
         is not, run 'chmod 600' on it"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold a key.
    #[error(
        "the key file {path} is damaged; put back a copy of it, or move it away to go on under a \
         new identity"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The system's random number generator failed.
    #[error("the system gives no random bytes for a new key")]
    Random,
}

/// The text in the file at `path`; none when there is no file.
pub(super) fn read(path: &Path) -> Result<Option<String>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    // Whatever is there, even a pipe, is opened without waiting for anybody.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() || facts.len() > MAX_KEY_FILE {
        return Err(KeyFileError::Damaged { path: path.to_owned() });
    }
    let mode = facts.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    match file.take(MAX_KEY_FILE).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(KeyFileError::Damaged { path: path.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Makes the file at `path` with `text` in it: all of it on disk, or no file at all.
///
/// It has no name until it is whole, and then gets its own, unless something else has it.
pub(super) fn create(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let done = match create_whole(folder, path, text) {
        // Not every file system has files without a name, and not every system a /proc.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
            create_in_place(path, text)
        }
        done => done.map_err(io::Error::from),
    };
    let done = done.and_then(|()| File::open(folder)?.sync_all());
    done.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => KeyFileError::Write { path: path.to_owned(), source },
    })
}

fn create_whole(folder: &Path, path: &Path, text: &str) -> Result<(), Errno> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?);
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, nameless, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

/// The second best: a crash at the wrong moment leaves a damaged file, which is noticed.
fn create_in_place(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        std::fs::remove_file(path)?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_way_a_file_is_made_once_and_for_its_owner_alone() {
        type Create = fn(&Path, &str) -> io::Result<()>;
        let whole: Create = |path, text| Ok(create_whole(path.parent().unwrap(), path, text)?);
        for make in [whole, create_in_place] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            make(&path, "one").unwrap();
            let error = make(&path, "two").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(read(&path).unwrap().unwrap(), "one");
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_pipe_in_place_of_a_key_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(read(&path), Err(KeyFileError::Damaged { .. })));
    }

    #[test]
    fn a_link_to_nowhere_is_not_followed_when_a_key_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(create(&path, "one"), Err(KeyFileError::Exists { .. })));
        assert!(!folder.path().join("elsewhere").exists());
    }
}
