//! The disk of this machine.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags, SeekFrom};
use rustix::io::Errno;

use super::disk::{
    Disk, Entry, FolderHandle, Kind, LockAttempt, NotRegular, PartHandle, ReadHandle, Stamp,
};

/// The disk of this machine, through the standard library and `rustix`. No memory maps:
/// a file that its user cuts short must not kill the servent.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

/// Longest lock file that is read: a process id has at most ten digits.
const MAX_LOCK_TEXT: u64 = 64;

struct OpenFile(File);

struct OpenFolder(File);

impl Disk for RealDisk {
    fn open_shared(&self, path: &Path) -> io::Result<Box<dyn ReadHandle>> {
        Ok(Box::new(OpenFile(open_regular(path, OpenOptions::new().read(true))?)))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Kind> {
        Ok(kind_of(fs::symlink_metadata(path)?.file_type()))
    }

    fn look(&self, path: &Path) -> io::Result<(Kind, Stamp)> {
        let meta = fs::symlink_metadata(path)?;
        Ok((kind_of(meta.file_type()), stamp_of(&meta)))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) => entries.push(Entry { name: entry.file_name(), kind: kind_of(kind) }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // gone meanwhile
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn open_part(&self, path: &Path) -> io::Result<Box<dyn PartHandle>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(Box::new(OpenFile(open_regular(path, &mut options)?)))
    }

    fn open_folder(&self, path: &Path) -> io::Result<Box<dyn FolderHandle>> {
        let flags = flags(OFlags::DIRECTORY | OFlags::CLOEXEC);
        Ok(Box::new(OpenFolder(OpenOptions::new().read(true).custom_flags(flags).open(path)?)))
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(mode).create(path)
    }

    fn free_space(&self, folder: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(folder)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn device(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.dev())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn read_small(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = open_regular(path, OpenOptions::new().read(true))?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn create_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
    }

    fn flush(&self, folder: &Path) -> io::Result<()> {
        let flags = flags(OFlags::DIRECTORY | OFlags::CLOEXEC);
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(folder)?;
        Ok(rustix::fs::syncfs(&folder)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn lock(&self, path: &Path, text: &str) -> io::Result<LockAttempt> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = open_regular(path, &mut options)?;
        match file.try_lock() {
            Ok(()) => {
                // On a full disk the lock holds all the same, it only names nobody.
                let _ = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
                Ok(LockAttempt::Held(Box::new(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What cannot be read names nobody; the lock is taken all the same.
                let _ = file.take(MAX_LOCK_TEXT).read_to_string(&mut holder);
                Ok(LockAttempt::Taken(holder))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the stamps of files are of this clock")]
    fn now_ns(&self) -> i128 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
    }
}

impl ReadHandle for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buffer, offset)
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Ok(stamp_of(&self.0.metadata()?))
    }
}

impl PartHandle for OpenFile {
    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn data_ranges(&self) -> io::Result<Vec<(u64, u64)>> {
        let size = self.0.metadata()?.len();
        let mut ranges = Vec::new();
        let mut at = 0;
        // Only this looks at the descriptor's cursor; all else is positioned.
        while at < size {
            let begin = match rustix::fs::seek(&self.0, SeekFrom::Data(at)) {
                Ok(begin) => begin,
                Err(Errno::NXIO) => break,
                Err(Errno::INVAL) => return Ok(vec![(0, size)]),
                Err(error) => return Err(error.into()),
            };
            let end = rustix::fs::seek(&self.0, SeekFrom::Hole(begin))?.min(size);
            if end <= begin {
                break; // cut short meanwhile
            }
            ranges.push((begin, end));
            at = end;
        }
        Ok(ranges)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn make_public(&self) -> io::Result<()> {
        self.0.set_permissions(Permissions::from_mode(0o644 & !umask()))
    }
}

impl FolderHandle for OpenFolder {
    fn place(&self, from: &Path, name: &str) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, &self.0, name, RenameFlags::NOREPLACE) {
            // The file system knows no such rename: a hard link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(CWD, from, &self.0, name, AtFlags::empty())?;
                fs::remove_file(from)
            }
            other => other.map_err(Into::into),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

fn stamp_of(meta: &fs::Metadata) -> Stamp {
    let nanos = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
    Stamp {
        dev: meta.dev(),
        ino: meta.ino(),
        size: meta.size(),
        mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
    }
}

fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = flags(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC);
    let file = options.custom_flags(flags).open(path).map_err(|error| {
        // A link at the end; a socket or a pipe that nobody reads.
        match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => NotRegular.into(),
            _ => error,
        }
    })?;
    if !file.metadata()?.is_file() {
        return Err(NotRegular.into());
    }
    Ok(file)
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}

fn kind_of(file_type: fs::FileType) -> Kind {
    if file_type.is_file() {
        Kind::File
    } else if file_type.is_dir() {
        Kind::Folder
    } else if file_type.is_symlink() {
        Kind::Symlink
    } else {
        Kind::Special
    }
}

/// The process's umask as the kernel tells it: asking by setting it would race with
/// whatever else the process creates. Where it cannot be told: closed to all others.
fn umask() -> u32 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let value = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
            u32::from_str_radix(value.trim(), 8).ok()
        })
        .unwrap_or(0o077)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), b"hello").unwrap();
        symlink(path("file"), path("link")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        let fifo = path("fifo");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();

        assert!(RealDisk.open_shared(&path("file")).is_ok());
        for odd in ["link", "folder", "fifo", "socket"] {
            let error = RealDisk.open_shared(&path(odd)).err().unwrap();
            assert!(NotRegular::is(&error), "{odd}: {error}");
            let error = RealDisk.open_part(&path(odd)).err().unwrap();
            assert!(NotRegular::is(&error), "{odd}: {error}");
        }
        let missing = RealDisk.open_shared(&path("none")).err().unwrap();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(RealDisk.kind(&path("link")).unwrap(), Kind::Symlink);
        assert_eq!(RealDisk.kind(&path("fifo")).unwrap(), Kind::Special);
    }

    #[test]
    fn a_file_that_took_anothers_place_has_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"hello").unwrap();
        let open = RealDisk.open_shared(&path).unwrap();
        let before = open.stamp().unwrap();
        assert_eq!(before.size, 5);
        assert_eq!(open.stamp().unwrap(), before);
        fs::write(dir.path().join("new"), b"hallo").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        let now = RealDisk.open_shared(&path).unwrap().stamp().unwrap();
        assert_ne!(now.ino, before.ino);
    }

    #[test]
    fn a_small_file_is_read_up_to_its_limit_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("small");
        RealDisk.write_new(&path, b"12345").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(RealDisk.read_small(&path, 5).unwrap(), b"12345");
        let error = RealDisk.read_small(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let error = RealDisk.write_new(&path, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_lock_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = RealDisk.lock(&path, "42").unwrap();
        assert!(matches!(first, LockAttempt::Held(_)));
        let second = RealDisk.lock(&path, "43").unwrap();
        assert!(matches!(second, LockAttempt::Taken(text) if text == "42"));
        drop(first);
        assert!(matches!(RealDisk.lock(&path, "44").unwrap(), LockAttempt::Held(_)));
    }
}
