//! Files that hold a secret: made once, for one's own eyes, and never half.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
    let file = match File::open(path) {
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
/// It is written under a temporary name beside it and then linked to its own, which
/// fails where something is there already.
pub(super) fn create(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => KeyFileError::Write { path: path.to_owned(), source },
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let done = write_new(&temporary, text).and_then(|()| std::fs::hard_link(&temporary, path));
    // Ours in any case: the process id keeps others off this name, and what an earlier
    // process of this id left here is a key that nobody uses.
    let removed = std::fs::remove_file(&temporary);
    done.and(removed).and_then(|()| sync_folder(path)).map_err(failed)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes the new name in the folder of `path` last.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
