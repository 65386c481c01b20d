//! The state folder: small files that are whole or not there, whatever happens.
//!
//! Always true: one servent at a time has the folder; a file in it is either the last
//! one written or the one before; damage is noticed by a checksum, kept aside for
//! whoever wants to look, and never stops a start. What the files say is left to
//! those who write them.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, Entry, Kind, LockAttempt};
use super::error::StoreError;

/// What a state file begins with, before the checksum: the format and its version.
const HEADER: &str = "part2part state 1 ";

/// How the name of a file ends that is being written.
const UNFINISHED: &str = "tmp";

/// Largest state file, in bytes; more is damage. A full host cache is under 400 KiB.
pub const MAX_STATE_FILE: u64 = 16 << 20;

/// The state folder, ours alone.
pub struct StateDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    _lock: Box<dyn Any + Send + Sync>,
}

/// What reading a state file gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loaded {
    /// There is none: the first start, most likely.
    Nothing,
    /// What was last written.
    Whole(Vec<u8>),
    /// The file was damaged and is now at `aside`; what was written before it, if that
    /// was whole.
    Damaged {
        /// Where the damaged file is kept.
        aside: PathBuf,
        /// The contents of the generation before.
        previous: Option<Vec<u8>>,
    },
}

impl StateDir {
    /// Opens the state folder, creating it with mode 0700, and locks it for the process
    /// `pid`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another servent has it; else what the disk says.
    pub fn lock(disk: Arc<dyn Disk>, path: &Path, pid: u32) -> Result<Self, StoreError> {
        match disk.create_folder(path, 0o700) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::NotAFolder { path: path.to_path_buf() });
            }
            other => {
                other.map_err(|error| StoreError::from_io("create the folder", path, error))?;
            }
        }
        let file = path.join("lock");
        let attempt = disk
            .lock(&file, &format!("{pid}\n"))
            .map_err(|error| StoreError::from_io("lock", &file, error))?;
        match attempt {
            LockAttempt::Held(lock) => {
                let state = Self { disk, path: path.to_path_buf(), _lock: lock };
                state.sweep();
                Ok(state)
            }
            LockAttempt::Taken(text) => {
                let (state, pid) = (path.to_path_buf(), text.trim().parse().ok());
                Err(StoreError::Locked { state, pid })
            }
        }
    }

    /// Removes what a killed process was about to write; it has never counted.
    fn sweep(&self) {
        let entries = self.disk.list(&self.path).unwrap_or_default();
        let unfinished = |entry: &&Entry| {
            let name = Path::new(&entry.name);
            entry.kind == Kind::File && name.extension().is_some_and(|end| end == UNFINISHED)
        };
        for entry in entries.iter().filter(unfinished) {
            let _ = self.disk.remove_file(&self.path.join(&entry.name)); // tried at each start
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `body` as the state file `name` (a bare file name of our own), keeping
    /// the one before it as `name.old`. On return it survives a loss of power.
    ///
    /// # Errors
    /// What the disk says; then the file is as it was, or is there as `name.old`.
    pub fn write(&self, name: &str, body: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let (temporary, old) = (self.beside(name, UNFINISHED), self.beside(name, "old"));
        let mut bytes = format!("{HEADER}{}\n", blake3::hash(body)).into_bytes();
        bytes.extend_from_slice(body);

        let failed = |error| StoreError::from_io("write", &path, error);
        if_there(self.disk.remove_file(&temporary)).map_err(failed)?;
        if let Err(error) = self.disk.write_new(&temporary, &bytes) {
            // What was begun takes space that may be the very thing that is missing.
            let _ = self.disk.remove_file(&temporary);
            return Err(failed(error));
        }
        if_there(self.disk.rename(&path, &old)).map_err(failed)?;
        self.disk.rename(&temporary, &path).map_err(failed)?;
        let folder = self.disk.open_folder(&self.path).map_err(failed)?;
        folder.sync().map_err(failed)
    }

    /// Reads the state file `name`. What is damaged, in whatever way, is moved to
    /// `name.bad-<now_unix>`, `now_unix` being seconds since 1970.
    ///
    /// # Errors
    /// What the disk says when it cannot be read or moved at all.
    pub fn read(&self, name: &str, now_unix: u64) -> Result<Loaded, StoreError> {
        let path = self.path.join(name);
        let old = self.beside(name, "old");
        match self.read_whole(&path)? {
            Found::Whole(body) => Ok(Loaded::Whole(body)),
            // A write was cut off between its two renames.
            Found::Missing => match self.read_whole(&old)? {
                Found::Whole(body) => Ok(Loaded::Whole(body)),
                Found::Missing => Ok(Loaded::Nothing),
                Found::Damaged => self.set_aside(&old, name, now_unix, None),
            },
            Found::Damaged => {
                let previous = match self.read_whole(&old)? {
                    Found::Whole(body) => Some(body),
                    Found::Missing | Found::Damaged => None,
                };
                self.set_aside(&path, name, now_unix, previous)
            }
        }
    }

    /// Removes the state file `name`, and the one before it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let failed = |error| StoreError::from_io("remove", &path, error);
        // The older one first: a crash between the two must not bring it back.
        for file in [self.beside(name, "old"), self.beside(name, "tmp"), path.clone()] {
            if_there(self.disk.remove_file(&file)).map_err(failed)?;
        }
        self.disk.open_folder(&self.path).map_err(failed)?.sync().map_err(failed)
    }

    /// The state file `name` of `folder`, whoever has the folder; none if there is no
    /// whole one. Moves nothing aside.
    #[must_use]
    pub fn peek(disk: &dyn Disk, folder: &Path, name: &str) -> Option<Vec<u8>> {
        let names = [name.to_owned(), format!("{name}.old")];
        names.iter().find_map(|name| {
            checked_body(&disk.read_small(&folder.join(name), MAX_STATE_FILE).ok()?)
        })
    }

    fn set_aside(
        &self,
        path: &Path,
        name: &str,
        now_unix: u64,
        previous: Option<Vec<u8>>,
    ) -> Result<Loaded, StoreError> {
        let aside = self.beside(name, &format!("bad-{now_unix}"));
        self.disk
            .rename(path, &aside)
            .map_err(|error| StoreError::from_io("move aside", path, error))?;
        Ok(Loaded::Damaged { aside, previous })
    }

    fn read_whole(&self, path: &Path) -> Result<Found, StoreError> {
        match self.disk.read_small(path, MAX_STATE_FILE) {
            Ok(bytes) => Ok(checked_body(&bytes).map_or(Found::Damaged, Found::Whole)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
            Err(error)
                if error.kind() == io::ErrorKind::FileTooLarge
                    || super::disk::NotRegular::is(&error) =>
            {
                Ok(Found::Damaged)
            }
            Err(error) => Err(StoreError::from_io("read", path, error)),
        }
    }

    fn beside(&self, name: &str, ending: &str) -> PathBuf {
        self.path.join(format!("{name}.{ending}"))
    }
}

enum Found {
    Missing,
    Damaged,
    Whole(Vec<u8>),
}

/// What follows the header, if the header says that it is whole.
fn checked_body(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let body = rest.get(1..)?;
    let sum = std::str::from_utf8(head).ok()?.strip_prefix(HEADER)?;
    (blake3::Hash::from_hex(sum).ok()? == blake3::hash(body)).then(|| body.to_vec())
}

/// Success also where there was nothing to act on.
fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryDisk, RealDisk};
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn real(dir: &Path) -> StateDir {
        StateDir::lock(Arc::new(RealDisk), &dir.join("state"), 42).unwrap()
    }

    #[test]
    fn what_was_written_is_read_back_and_only_the_owner_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = real(dir.path());
        assert_eq!(state.read("hosts", 0).unwrap(), Loaded::Nothing);
        for body in [&b"one"[..], b"", b"three\nlines\n\xff"] {
            state.write("hosts", body).unwrap();
            assert_eq!(state.read("hosts", 0).unwrap(), Loaded::Whole(body.to_vec()));
        }
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path().join("state")), 0o700);
        assert_eq!(mode(dir.path().join("state/hosts")), 0o600);
        assert!(!dir.path().join("state/hosts.tmp").exists());
    }

    #[test]
    fn a_second_servent_on_the_same_state_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = real(dir.path());
        let second = StateDir::lock(Arc::new(RealDisk), first.path(), 43).err().unwrap();
        assert!(matches!(second, StoreError::Locked { pid: Some(42), .. }), "{second}");
        drop(first);
        assert!(StateDir::lock(Arc::new(RealDisk), &dir.path().join("state"), 43).is_ok());
    }

    #[test]
    fn damage_of_any_kind_is_kept_aside_and_the_generation_before_is_used() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 5] = [
            ("truncated", |path| fs::write(path, &fs::read(path).unwrap()[..90]).unwrap()),
            ("emptied", |path| fs::write(path, b"").unwrap()),
            ("zeroed", |path| fs::write(path, [0; 100]).unwrap()),
            ("of a later version", |path| {
                let text = fs::read_to_string(path).unwrap();
                fs::write(path, text.replace("state 1", "state 2")).unwrap();
            }),
            ("a folder", |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        ];
        for (what, damage) in damages {
            let dir = tempfile::tempdir().unwrap();
            let state = real(dir.path());
            state.write("hosts", b"before").unwrap();
            state.write("hosts", b"after, and long enough to be cut").unwrap();
            damage(&state.path().join("hosts"));
            let aside = state.path().join("hosts.bad-77");
            let expected =
                Loaded::Damaged { aside: aside.clone(), previous: Some(b"before".to_vec()) };
            assert_eq!(state.read("hosts", 77).unwrap(), expected, "{what}");
            assert!(aside.exists(), "{what}");
            state.write("hosts", b"anew").unwrap();
            assert_eq!(state.read("hosts", 78).unwrap(), Loaded::Whole(b"anew".to_vec()));
        }
    }

    #[test]
    fn a_write_cut_off_between_its_renames_leaves_the_generation_before() {
        let disk = MemoryDisk::new();
        let state = StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap();
        state.write("hosts", b"one").unwrap();
        disk.rename(Path::new("/s/hosts"), Path::new("/s/hosts.old")).unwrap();
        disk.put("/s/hosts.tmp", b"left behind");
        assert_eq!(state.read("hosts", 0).unwrap(), Loaded::Whole(b"one".to_vec()));
        drop(state);
        let state = StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap();
        assert_eq!(disk.contents("/s/hosts.tmp"), None);
        state.write("hosts", b"two").unwrap();
        assert_eq!(state.read("hosts", 0).unwrap(), Loaded::Whole(b"two".to_vec()));
    }

    #[test]
    fn what_is_removed_does_not_come_back() {
        let disk = MemoryDisk::new();
        let state = StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap();
        state.remove("hosts").unwrap();
        state.write("hosts", b"one").unwrap();
        state.write("hosts", b"two").unwrap();
        state.remove("hosts").unwrap();
        assert_eq!(state.read("hosts", 0).unwrap(), Loaded::Nothing);
        assert_eq!(disk.contents("/s/hosts.old"), None);
    }

    #[test]
    fn a_file_can_be_looked_at_while_a_servent_has_the_folder() {
        let disk = MemoryDisk::new();
        let state = StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap();
        let peek = || StateDir::peek(&disk, Path::new("/s"), "hosts");
        assert_eq!(peek(), None);
        state.write("hosts", b"one").unwrap();
        state.write("hosts", b"two").unwrap();
        assert_eq!(peek().as_deref(), Some(&b"two"[..]));
        disk.put("/s/hosts", b"torn");
        assert_eq!(peek().as_deref(), Some(&b"one"[..]));
        assert_eq!(disk.contents("/s/hosts").as_deref(), Some(&b"torn"[..]));
    }

    #[test]
    fn a_full_disk_leaves_the_file_as_it_was() {
        let disk = MemoryDisk::new();
        let state = StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap();
        state.write("hosts", b"one").unwrap();
        disk.set_free(0);
        let error = state.write("hosts", b"two").unwrap_err();
        assert!(error.is_full(), "{error}");
        assert_eq!(state.read("hosts", 0).unwrap(), Loaded::Whole(b"one".to_vec()));
        assert_eq!(disk.contents("/s/hosts.tmp"), None);
    }
}
