//! A disk that is a value: for tests, and for runs of the driver that must repeat.
//!
//! Always true: the same calls in the same order give the same answers, stamps
//! included; its clock moves only when something changes or [`MemoryDisk::advance`] is
//! called. Files are sparse, so a large empty one costs nothing. Symbolic links and
//! special files exist only as kinds. One device, unless others are mounted; it can be
//! made small.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use super::disk::{
    Disk, Entry, FolderHandle, Kind, LockAttempt, NotRegular, PartHandle, ReadHandle, Stamp,
};

/// Bytes in one page, the unit of data and holes.
const PAGE: u64 = 4096;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Tree>>);

struct Tree {
    names: BTreeMap<PathBuf, Node>,
    files: BTreeMap<u64, FileData>,
    locks: BTreeSet<PathBuf>,
    /// What cannot be opened or listed, and what the system says.
    failing: BTreeMap<PathBuf, Errno>,
    clock_ns: i128,
    free: u64,
    next_ino: u64,
    device: u64,
    mounts: BTreeMap<PathBuf, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(u64),
    Symlink,
    Special,
}

#[derive(Default)]
struct FileData {
    size: u64,
    pages: BTreeMap<u64, Vec<u8>>,
    mtime_ns: i128,
    ctime_ns: i128,
    /// Where it was made on a device that was mounted.
    device: Option<u64>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            names: BTreeMap::from([(PathBuf::from("/"), Node::Folder)]),
            files: BTreeMap::new(),
            locks: BTreeSet::new(),
            failing: BTreeMap::new(),
            clock_ns: 1_000_000_000,
            free: 1 << 50,
            next_ino: 1,
            device: 1,
            mounts: BTreeMap::new(),
        }
    }
}

impl MemoryDisk {
    /// An empty disk of a pebibyte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a file anew, with the folders that lead to it. Keeps the inode of one that
    /// was there, as an editor does that writes in place.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut tree = self.tree();
        let path = path.as_ref();
        if let Some(parent) = path.parent() {
            tree.make_folders(parent);
        }
        let ino = match tree.names.get(path) {
            Some(Node::File(ino)) => *ino,
            _ => tree.new_file(path),
        };
        let device = tree.mounted(path);
        tree.files.insert(ino, FileData { device, ..FileData::default() });
        // A disk too small for what a test puts on it shows when it is read.
        let _ = tree.write(ino, bytes, 0);
    }

    /// Makes a file of `size` bytes without data.
    pub fn put_hole(&self, path: impl AsRef<Path>, size: u64) {
        self.put(&path, b"");
        let mut tree = self.tree();
        if let Some(Node::File(ino)) = tree.names.get(path.as_ref()).copied()
            && let Some(file) = tree.files.get_mut(&ino)
        {
            file.size = size;
        }
    }

    /// Puts a symbolic link or a special file there, replacing what was.
    pub fn put_odd(&self, path: impl AsRef<Path>, kind: Kind) {
        let node = if kind == Kind::Symlink { Node::Symlink } else { Node::Special };
        let mut tree = self.tree();
        if let Some(parent) = path.as_ref().parent() {
            tree.make_folders(parent);
        }
        tree.names.insert(path.as_ref().to_path_buf(), node);
    }

    /// Lets nobody open or list what is at `path` any more.
    pub fn forbid(&self, path: impl AsRef<Path>) {
        self.tree().failing.insert(path.as_ref().to_path_buf(), Errno::ACCESS);
    }

    /// Lets nobody open or list what is at `path` for a while, as when too many files are
    /// open.
    pub fn fail(&self, path: impl AsRef<Path>, fails: bool) {
        let (mut tree, path) = (self.tree(), path.as_ref().to_path_buf());
        match fails {
            true => drop(tree.failing.insert(path, Errno::MFILE)),
            false => drop(tree.failing.remove(&path)),
        }
    }

    /// Everything that is in a file, or nothing when there is no such file.
    #[must_use]
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.read_small(path.as_ref(), u64::MAX - 1).ok()
    }

    /// Sets how many bytes can still be written.
    pub fn set_free(&self, bytes: u64) {
        self.tree().free = bytes;
    }

    /// Moves the disk's clock on.
    pub fn advance(&self, span: Duration) {
        let mut tree = self.tree();
        tree.clock_ns += i128::try_from(span.as_nanos()).unwrap_or(0);
    }

    /// Gives the disk's one device another number, as a boot may.
    pub fn renumber(&self, device: u64) {
        self.tree().device = device;
    }

    /// Gives a folder a device of its own, as a disk that is mounted there has: what is
    /// made in it from now on lies on that. With none it is as before.
    pub fn mount(&self, folder: impl Into<PathBuf>, device: Option<u64>) {
        let mut tree = self.tree();
        match device {
            Some(device) => drop(tree.mounts.insert(folder.into(), device)),
            None => drop(tree.mounts.remove(&folder.into())),
        }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        match self.tree().allowed(path)? {
            Node::File(ino) => Ok(MemoryFile { disk: self.clone(), ino }),
            _ => Err(NotRegular.into()),
        }
    }
}

impl Tree {
    fn node(&self, path: &Path) -> io::Result<Node> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The node at `path`, for reading what is in it.
    fn allowed(&self, path: &Path) -> io::Result<Node> {
        match self.failing.get(path) {
            Some(errno) => Err((*errno).into()),
            None => self.node(path),
        }
    }

    fn file(&mut self, ino: u64) -> io::Result<&mut FileData> {
        self.files.get_mut(&ino).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The device that is mounted at or above `path`.
    fn mounted(&self, path: &Path) -> Option<u64> {
        path.ancestors().find_map(|at| self.mounts.get(at)).copied()
    }

    fn make_folders(&mut self, path: &Path) {
        for folder in path.ancestors() {
            self.names.entry(folder.to_path_buf()).or_insert(Node::Folder);
        }
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent().map(|parent| self.node(parent)) {
            Some(Ok(Node::Folder)) => Ok(()),
            Some(Ok(_)) => Err(Errno::NOTDIR.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn new_file(&mut self, path: &Path) -> u64 {
        let ino = self.next_ino;
        self.next_ino += 1;
        self.clock_ns += 1;
        let now = self.clock_ns;
        let device = self.mounted(path);
        let (mtime_ns, ctime_ns) = (now, now);
        self.files.insert(ino, FileData { mtime_ns, ctime_ns, device, ..Default::default() });
        self.names.insert(path.to_path_buf(), Node::File(ino));
        ino
    }

    fn write(&mut self, ino: u64, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        self.clock_ns += 1;
        let now = self.clock_ns;
        while !bytes.is_empty() {
            let (page, within) = (offset / PAGE, (offset % PAGE) as usize);
            let room = (PAGE as usize - within).min(bytes.len());
            let (head, rest) = bytes.split_at(room);
            let free = self.free;
            let file = self.file(ino)?;
            let is_new = !file.pages.contains_key(&page);
            if is_new && free < PAGE {
                return Err(Errno::NOSPC.into());
            }
            let data = file.pages.entry(page).or_insert_with(|| vec![0; PAGE as usize]);
            if let Some(target) = data.get_mut(within..within + room) {
                target.copy_from_slice(head);
            }
            offset += room as u64;
            file.size = file.size.max(offset);
            if is_new {
                self.free -= PAGE;
            }
            bytes = rest;
        }
        let file = self.file(ino)?;
        (file.mtime_ns, file.ctime_ns) = (now, now);
        Ok(())
    }

    /// Takes a name away; the file behind it lives on for those who have it open.
    fn forget(&mut self, path: &Path) {
        if let Some(Node::File(ino)) = self.names.remove(path) {
            self.clock_ns += 1;
            let now = self.clock_ns;
            if let Some(file) = self.files.get_mut(&ino) {
                file.ctime_ns = now;
                self.free += file.pages.len() as u64 * PAGE;
            }
        }
    }

    fn children<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = (&'a Path, Node)> {
        let inside = move |path: &&PathBuf| path.starts_with(folder);
        self.names
            .range(folder.to_path_buf()..)
            .take_while(move |(path, _)| inside(path))
            .filter(move |(path, _)| path.parent() == Some(folder))
            .map(|(path, node)| (path.as_path(), *node))
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    ino: u64,
}

struct MemoryFolder {
    disk: MemoryDisk,
    path: PathBuf,
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.tree().locks.remove(&self.path);
    }
}

impl ReadHandle for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut tree = self.disk.tree();
        let file = tree.file(self.ino)?;
        let (page, within) = (offset / PAGE, (offset % PAGE) as usize);
        let left = usize::try_from(file.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(PAGE as usize - within).min(buffer.len());
        let Some(target) = buffer.get_mut(..len) else { return Ok(0) };
        match file.pages.get(&page).and_then(|data| data.get(within..within + len)) {
            Some(data) => target.copy_from_slice(data),
            None => target.fill(0),
        }
        Ok(len)
    }

    fn stamp(&self) -> io::Result<Stamp> {
        let mut tree = self.disk.tree();
        let FileData { size, mtime_ns, ctime_ns, device, .. } = *tree.file(self.ino)?;
        let dev = device.unwrap_or(tree.device);
        Ok(Stamp { dev, ino: self.ino, size, mtime_ns, ctime_ns })
    }
}

impl PartHandle for MemoryFile {
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true) // a disk in memory is of one process
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.tree().write(self.ino, bytes, offset)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        let mut tree = self.disk.tree();
        let file = tree.file(self.ino)?;
        let before = file.pages.len();
        file.pages.retain(|page, _| page * PAGE < size);
        file.size = size;
        let freed = (before - file.pages.len()) as u64 * PAGE;
        tree.free += freed;
        Ok(())
    }

    fn data_ranges(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut tree = self.disk.tree();
        let file = tree.file(self.ino)?;
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for page in file.pages.keys() {
            let (begin, end) = (page * PAGE, ((page + 1) * PAGE).min(file.size));
            match ranges.last_mut() {
                Some(last) if last.1 == begin => last.1 = end,
                _ => ranges.push((begin, end)),
            }
        }
        Ok(ranges)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn make_public(&self) -> io::Result<()> {
        Ok(())
    }
}

impl FolderHandle for MemoryFolder {
    fn place(&self, from: &Path, name: &str) -> io::Result<()> {
        let mut tree = self.disk.tree();
        let to = self.path.join(name);
        if tree.names.contains_key(&to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        tree.check_parent(&to)?;
        let node = tree.node(from)?;
        tree.names.remove(from);
        tree.names.insert(to, node);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let full = self.disk.tree().free == 0;
        if full { Err(Errno::NOSPC.into()) } else { Ok(()) }
    }
}

impl Disk for MemoryDisk {
    fn open_shared(&self, path: &Path) -> io::Result<Box<dyn ReadHandle>> {
        Ok(Box::new(self.open(path)?))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::ParentDir => {
                    plain.pop();
                }
                Component::CurDir => {}
                other => plain.push(other),
            }
        }
        self.tree().node(&plain)?;
        Ok(plain)
    }

    fn kind(&self, path: &Path) -> io::Result<Kind> {
        Ok(kind_of(self.tree().node(path)?))
    }

    fn look(&self, path: &Path) -> io::Result<(Kind, Stamp)> {
        let mut tree = self.tree();
        let node = tree.node(path)?;
        let Node::File(ino) = node else {
            let dev = tree.mounted(path).unwrap_or(tree.device);
            let stamp = Stamp { dev, ino: 0, size: 0, mtime_ns: 0, ctime_ns: 0 };
            return Ok((kind_of(node), stamp));
        };
        let FileData { size, mtime_ns, ctime_ns, device, .. } = *tree.file(ino)?;
        let dev = device.unwrap_or(tree.device);
        Ok((Kind::File, Stamp { dev, ino, size, mtime_ns, ctime_ns }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let tree = self.tree();
        if tree.allowed(folder)? != Node::Folder {
            return Err(Errno::NOTDIR.into());
        }
        let entry = |(path, node): (&Path, Node)| {
            Some(Entry { name: path.file_name()?.to_os_string(), kind: kind_of(node) })
        };
        Ok(tree.children(folder).filter_map(entry).collect())
    }

    fn open_part(&self, path: &Path) -> io::Result<Box<dyn PartHandle>> {
        {
            let mut tree = self.tree();
            tree.check_parent(path)?;
            if !tree.names.contains_key(path) {
                tree.new_file(path);
            }
        }
        Ok(Box::new(self.open(path)?))
    }

    fn open_folder(&self, path: &Path) -> io::Result<Box<dyn FolderHandle>> {
        match self.tree().node(path)? {
            Node::Folder => {}
            _ => return Err(Errno::NOTDIR.into()),
        }
        Ok(Box::new(MemoryFolder { disk: self.clone(), path: path.to_path_buf() }))
    }

    fn create_folder(&self, path: &Path, _mode: u32) -> io::Result<()> {
        let mut tree = self.tree();
        match path.ancestors().find_map(|above| tree.names.get(above)) {
            Some(Node::Folder) => {
                tree.make_folders(path);
                Ok(())
            }
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn free_space(&self, _folder: &Path) -> io::Result<u64> {
        Ok(self.tree().free)
    }

    fn device(&self, path: &Path) -> io::Result<u64> {
        let tree = self.tree();
        tree.node(path).map(|_| tree.mounted(path).unwrap_or(tree.device))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        if tree.node(path)? == Node::Folder {
            return Err(Errno::ISDIR.into());
        }
        tree.forget(path);
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        if tree.node(path)? != Node::Folder {
            return Err(Errno::NOTDIR.into());
        }
        if tree.children(path).next().is_some() {
            return Err(Errno::NOTEMPTY.into());
        }
        tree.forget(path);
        Ok(())
    }

    fn read_small(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let size = file.stamp()?.size;
        if size > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?];
        super::disk::read_full(&file, &mut bytes, 0)?;
        Ok(bytes)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut tree = self.tree();
        tree.check_parent(path)?;
        if tree.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let ino = tree.new_file(path);
        tree.write(ino, bytes, 0)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        let node = tree.node(from)?;
        tree.check_parent(to)?;
        if tree.children(to).next().is_some() {
            return Err(Errno::NOTEMPTY.into());
        }
        tree.forget(to);
        tree.names.remove(from);
        tree.names.insert(to.to_path_buf(), node);
        let inside = |path: &&PathBuf| path.starts_with(from);
        let moved: Vec<_> = tree.names.keys().filter(inside).cloned().collect();
        for path in moved {
            let target = path.strip_prefix(from).map(|rest| to.join(rest));
            if let (Some(node), Ok(target)) = (tree.names.remove(&path), target) {
                tree.names.insert(target, node);
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path, text: &str) -> io::Result<LockAttempt> {
        if !self.tree().locks.insert(path.to_path_buf()) {
            let holder = self.contents(path).unwrap_or_default();
            return Ok(LockAttempt::Taken(String::from_utf8_lossy(&holder).into_owned()));
        }
        self.put(path, text.as_bytes());
        Ok(LockAttempt::Held(Box::new(MemoryLock { disk: self.clone(), path: path.to_path_buf() })))
    }

    fn now_ns(&self) -> i128 {
        self.tree().clock_ns
    }
}

fn kind_of(node: Node) -> Kind {
    match node {
        Node::Folder => Kind::Folder,
        Node::File(_) => Kind::File,
        Node::Symlink => Kind::Symlink,
        Node::Special => Kind::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_the_holes_are_known() {
        let disk = MemoryDisk::new();
        disk.create_folder(Path::new("/d"), 0o700).unwrap();
        let part = disk.open_part(Path::new("/d/part")).unwrap();
        part.set_len(10 * PAGE).unwrap();
        part.write_at(b"hello", 3 * PAGE - 2).unwrap();
        let mut back = [9; 7];
        super::super::disk::read_full(&*part, &mut back, 3 * PAGE - 3).unwrap();
        assert_eq!(&back, b"\0hello\0");
        assert_eq!(part.data_ranges().unwrap(), [(2 * PAGE, 4 * PAGE)]);
    }

    #[test]
    fn a_small_disk_fills_up() {
        let disk = MemoryDisk::new();
        disk.set_free(2 * PAGE);
        let part = disk.open_part(Path::new("/part")).unwrap();
        part.write_at(&[1; 2 * PAGE as usize], 0).unwrap();
        let error = part.write_at(&[1], 2 * PAGE).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOSPC));
        part.write_at(&[2], 0).unwrap();
    }

    #[test]
    fn every_change_shows_in_the_stamp() {
        let disk = MemoryDisk::new();
        disk.put("/a", b"one");
        let open = disk.open_shared(Path::new("/a")).unwrap();
        let first = open.stamp().unwrap();
        disk.put("/a", b"two");
        let second = open.stamp().unwrap();
        assert_ne!(first, second);
        disk.remove_file(Path::new("/a")).unwrap();
        assert_ne!(open.stamp().unwrap(), second);
    }
}
