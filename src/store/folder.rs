//! A folder that is coming, and its last step to its final name.
//!
//! Always true: it is made in the hidden folder for parts, where nobody else can enter, and
//! comes to its place whole, by one rename that replaces nothing; paths in it are those of
//! [`laid_out`](super::layout::laid_out); no file in it is written twice. It is flushed once, before it is placed, and not file by file: what a crash has left of it is
//! held against its hash by the next run ([`StagedFolder::whole`]). That the bytes of a
//! file are right is the caller's business.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::{Disk, Kind, PARTS_FOLDER, read_full};
use super::error::StoreError;
use super::leftover::{held, list_of};
use super::name::{numbered, safe_name};
use super::part::{InPlace, MAX_NAMESAKES, RESERVE, make_folder, make_parts, move_in};
use super::part_place::PartPlace;
use crate::base::{ContentId, Geometry};
use crate::transfer::PieceList;

/// What stands behind the id in the name of a folder that is coming.
const ENDING: &str = "folder";
/// What a folder takes on a disk, in bytes: a block of most file systems.
const FOLDER_SIZE: u64 = 4096;
/// Bytes that are copied at a time.
const COPIED_AT_ONCE: usize = 1 << 20;
/// Folders of the right name that are looked into for one that was placed just before a
/// crash: it is the first of them but for a folder full of twins.
const MAX_LOOKED_INTO: usize = 8;

/// A folder that is coming. All methods block, and may be called from many threads.
pub struct StagedFolder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    id: ContentId,
}

impl StagedFolder {
    /// Where the folder of the collection `id` is made.
    #[must_use]
    pub fn path_of(disk: &dyn Disk, place: &PartPlace, id: ContentId) -> PathBuf {
        place.folder(disk, id).join(format!("{id}.{ENDING}"))
    }

    /// Opens the folder of the collection `id`, with what an earlier run has left in it, or
    /// makes it; with it the folders that `paths`, as
    /// [`laid_out`](super::layout::laid_out) gives them, lead through.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when all those folders would leave less than [`RESERVE`];
    /// [`StoreError::Stopped`] when `stop` was set; else what the disk says.
    pub fn open<'a>(
        disk: Arc<dyn Disk>,
        place: &PartPlace,
        id: ContentId,
        paths: impl Iterator<Item = &'a str>,
        stop: &AtomicBool,
    ) -> Result<Self, StoreError> {
        let path = Self::path_of(&*disk, place, id);
        make_parts(&*disk, path.parent().unwrap_or(&path))?;
        make_folder(&*disk, &path, 0o777)?;
        if disk.kind(&path).ok() != Some(Kind::Folder) {
            return Err(StoreError::NotAFolder { path });
        }
        let staged = Self { disk, path, id };
        let mut folders = BTreeSet::new();
        for mut path in paths {
            while let Some((folder, _)) = path.rsplit_once('/')
                && folders.insert(folder)
            {
                path = folder;
            }
        }
        let is_made = |folder: &str| {
            staged.disk.kind(&staged.path.join(folder)).is_ok_and(|kind| kind == Kind::Folder)
        };
        folders.retain(|folder| !is_made(folder));
        staged.has_room(FOLDER_SIZE.saturating_mul(folders.len() as u64))?;
        for folder in folders {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            make_folder(&*staged.disk, &staged.path.join(folder), 0o777)?;
        }
        Ok(staged)
    }

    /// Where it is made.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is room for so many bytes more.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when they would leave less than [`RESERVE`]; else what the
    /// disk says.
    pub fn has_room(&self, needed: u64) -> Result<(), StoreError> {
        let folder = self.path.clone();
        let free = self.disk.free_space(&folder);
        let free = free.map_err(|error| StoreError::from_io("measure", &folder, error))?;
        if free.saturating_sub(RESERVE) < needed {
            return Err(StoreError::NoRoom { folder, needed, free });
        }
        Ok(())
    }

    /// Bytes that are here of the part of a larger file `id` of it.
    fn held_of(&self, id: ContentId) -> u64 {
        let (downloads, to) = (self.path.clone(), self.path.clone());
        held(&*self.disk, &PartPlace { downloads, to, recorded: None }, id).unwrap_or(0)
    }

    /// Bytes that are here of parts of its larger files.
    #[must_use]
    pub fn in_parts(&self) -> u64 {
        let entries = self.disk.list(&self.path.join(PARTS_FOLDER)).unwrap_or_default();
        let id = |name: &OsStr| name.to_str()?.strip_suffix(".part")?.parse().ok();
        let ids = entries.iter().filter_map(|entry| id(&entry.name));
        ids.map(|id| self.held_of(id)).fold(0, u64::saturating_add)
    }

    /// Writes a whole file, verified by the caller, at `path`; on return the kernel has it.
    ///
    /// # Errors
    /// What the disk says; then there is no such file.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(path);
        self.disk.create_file(&path, bytes).map_err(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                let _ = self.disk.remove_file(&path); // the first half of it
            }
            StoreError::from_io("write", &path, error)
        })
    }

    /// Removes the file at `path`, if there is one.
    pub fn discard(&self, path: &str) {
        let _ = self.disk.remove_file(&self.path.join(path)); // writing it says what is wrong
    }

    /// Whether a file of so many bytes is at `path`.
    #[must_use]
    pub fn has(&self, path: &str, size: u64) -> bool {
        let found = self.disk.look(&self.path.join(path));
        found.is_ok_and(|(kind, stamp)| kind == Kind::File && stamp.size == size)
    }

    /// Makes the file at `to` another one like that at `from`, which is whole.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when `stop` was set, or what the disk says; then there is no
    /// such file.
    pub fn copy(&self, from: &str, to: &str, stop: &AtomicBool) -> Result<(), StoreError> {
        let (source, copy) = (self.path.join(from), self.path.join(to));
        let copied = || {
            let (source, copy) = (self.disk.open_shared(&source)?, self.disk.open_part(&copy)?);
            let mut bytes = vec![0; COPIED_AT_ONCE];
            let mut offset = 0;
            loop {
                if stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let read = read_full(&*source, &mut bytes, offset)?;
                let Some(some) = bytes.get(..read).filter(|some| !some.is_empty()) else { break };
                copy.write_at(some, offset)?;
                offset += read as u64;
            }
            copy.make_public().map(|()| true)
        };
        let failed = match copied() {
            Ok(true) => return Ok(()),
            Ok(false) => StoreError::Stopped,
            Err(error) => StoreError::from_io("write", &copy, error),
        };
        self.discard(to); // the first half of it
        Err(failed)
    }

    /// The list of the file at `path`, if an earlier run has left all of it; what is left of
    /// any other is removed.
    #[must_use]
    pub fn whole(&self, path: &str, id: ContentId, stop: &AtomicBool) -> Option<PieceList> {
        let path = self.path.join(path);
        self.disk.kind(&path).ok()?;
        let list = whole_file(&*self.disk, &path, id, stop);
        if list.is_none() && !stop.load(Ordering::Relaxed) {
            let _ = self.disk.remove_file(&path); // writing it says what is in the way
        }
        list
    }

    /// Removes what is here of larger files that did not come, flushes the rest and gives it
    /// its final name in `folder`: `wanted` made safe, with a number where that is taken by
    /// anything at all.
    ///
    /// # Errors
    /// As for a part: it is then where it was, and placing can be tried again.
    pub fn place(&self, folder: &Path, wanted: &str) -> Result<InPlace, StoreError> {
        remove_all(&*self.disk, self.path.join(PARTS_FOLDER))?;
        let flushed = self.disk.flush(&self.path);
        flushed.map_err(|error| StoreError::from_io("flush", &self.path, error))?;
        make_folder(&*self.disk, folder, 0o777)?;
        let target = self.disk.open_folder(folder);
        let target = target.map_err(|error| StoreError::from_io("open", folder, error))?;
        let path = move_in(&*self.disk, &*target, &self.path, folder, wanted, self.id)?;
        let flushed = target.sync();
        let unflushed = flushed.err().map(|error| StoreError::from_io("flush", folder, error));
        // Fails while parts are in it, which is what it is asked for.
        self.path.parent().map(|parts| self.disk.remove_folder(parts));
        Ok(InPlace { path, unflushed })
    }
}

/// Removes what is here of the folder of a collection; what is gone already is no error.
///
/// # Errors
/// What the disk says.
pub fn remove_staged(disk: &dyn Disk, place: &PartPlace, id: ContentId) -> Result<(), StoreError> {
    remove_all(disk, StagedFolder::path_of(disk, place, id))
}

/// Removes the folder at `path` with all that is in it, if there is one.
fn remove_all(disk: &dyn Disk, path: PathBuf) -> Result<(), StoreError> {
    match disk.kind(&path) {
        Ok(Kind::Folder) => {}
        // Nobody's link is followed, and what is no folder is not ours.
        Ok(_) | Err(_) => return Ok(()),
    }
    let mut folders = vec![(path, false)];
    while let Some((folder, emptied)) = folders.pop() {
        let failed = |error| StoreError::from_io("remove", &folder, error);
        if emptied {
            disk.remove_folder(&folder).map_err(failed)?;
            continue;
        }
        folders.push((folder.clone(), true));
        for entry in disk.list(&folder).map_err(failed)? {
            let path = folder.join(&entry.name);
            if entry.kind == Kind::Folder {
                folders.push((path, false));
            } else if let Err(error) = disk.remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(StoreError::from_io("remove", &path, error));
            }
        }
    }
    Ok(())
}

/// The folder that a crash kept from being told of: it is in place in `folder` under the
/// name `wanted` or a numbered one, and holds all of `files`, whose lists are returned, and
/// nothing else. To be asked only where a run had begun to place it: the same files may be
/// its user's own.
#[must_use]
pub fn placed_folder(
    disk: &dyn Disk,
    folder: &Path,
    wanted: &str,
    id: ContentId,
    files: &[(String, ContentId)],
    stop: &AtomicBool,
) -> Option<(PathBuf, Vec<PieceList>)> {
    let plain = safe_name(wanted, id);
    let numbers = (1..=MAX_NAMESAKES).map(|number| numbered(&plain, number));
    let names = std::iter::once(plain.clone()).chain(numbers);
    let folders = names.map(|name| folder.join(name));
    folders
        .take_while(|path| disk.kind(path).is_ok())
        .filter(|path| disk.kind(path).ok() == Some(Kind::Folder))
        .take(MAX_LOOKED_INTO)
        .filter(|path| holds_only(disk, path, files))
        .find_map(|path| {
            let list =
                |(file, id): &(String, ContentId)| whole_file(disk, &path.join(file), *id, stop);
            let lists = files.iter().map(list).collect::<Option<Vec<_>>>()?;
            Some((path, lists))
        })
}

/// Whether nothing is in `folder` but `files`, and folders that lead to them.
fn holds_only(disk: &dyn Disk, folder: &Path, files: &[(String, ContentId)]) -> bool {
    let mut known: HashMap<&Path, Kind> = HashMap::new();
    for (file, _) in files {
        let file = Path::new(file);
        known.insert(file, Kind::File);
        let around = file.ancestors().skip(1);
        let fresh = around.take_while(|folder| known.insert(folder, Kind::Folder).is_none());
        fresh.for_each(drop);
    }
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        let Ok(entries) = disk.list(&folder.join(&inside)) else { return false };
        for entry in entries {
            let path = inside.join(&entry.name);
            if known.get(&*path) != Some(&entry.kind) {
                return false;
            }
            if entry.kind == Kind::Folder {
                folders.push(path);
            }
        }
    }
    true
}

/// The list of the file at `path`, if that holds `id`.
fn whole_file(disk: &dyn Disk, path: &Path, id: ContentId, stop: &AtomicBool) -> Option<PieceList> {
    let file = disk.open_shared(path).ok()?;
    let geometry = Geometry::of(file.stamp().ok()?.size)?;
    list_of(&*file, geometry, stop).filter(|list| list.id() == id)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::store::{MemoryDisk, RealDisk};

    fn id_of(bytes: &[u8]) -> ContentId {
        ContentId(*blake3::hash(bytes).as_bytes())
    }

    fn never() -> AtomicBool {
        AtomicBool::new(false)
    }

    fn open(place: &PartPlace, paths: &[&str]) -> Result<StagedFolder, StoreError> {
        let id = ContentId([7; 32]);
        StagedFolder::open(Arc::new(RealDisk), place, id, paths.iter().copied(), &never())
    }

    /// A folder for downloads, where they go to, and one that is coming there.
    fn staged(paths: &[&str]) -> (tempfile::TempDir, PartPlace, StagedFolder) {
        let home = tempfile::tempdir().unwrap();
        let downloads = home.path().join("downloads");
        let place = PartPlace { downloads: downloads.clone(), to: downloads, recorded: None };
        fs::create_dir(&place.to).unwrap();
        let folder = open(&place, paths).unwrap();
        (home, place, folder)
    }

    #[test]
    fn it_comes_to_its_place_whole_and_replaces_nothing() {
        let (home, place, folder) = staged(&["a", "d/e/b"]);
        folder.write("a", b"one").unwrap();
        folder.write("d/e/b", b"two").unwrap();
        let parts = folder.path().join(PARTS_FOLDER);
        fs::create_dir(&parts).unwrap();
        for ending in ["part", "list"] {
            fs::write(parts.join(format!("{}.{ending}", folder.id)), "half of it").unwrap();
        }
        assert_eq!((folder.in_parts(), folder.held_of(folder.id)), (10, 10));
        assert!(folder.write("a", b"again").is_err(), "no file is written twice");
        fs::write(place.to.join("Music"), "mine").unwrap();
        symlink(home.path(), place.to.join("Music (1)")).unwrap();
        let InPlace { path, unflushed } = folder.place(&place.to, "../Music").unwrap();
        assert!(unflushed.is_none());
        assert_eq!(path, place.to.join("Music (2)"));
        assert_eq!(fs::read(path.join("d/e/b")).unwrap(), b"two");
        assert_eq!(fs::read(path.join("a")).unwrap(), b"one");
        assert!(!path.join(PARTS_FOLDER).exists(), "nothing of what did not come");
        assert_eq!(fs::read(place.to.join("Music")).unwrap(), b"mine");
        assert!(!place.to.join(".part2part").exists(), "nothing is left");
        let files = [("a", &b"one"[..]), ("d/e/b", b"two")];
        let files = files.map(|(path, bytes)| (path.to_owned(), id_of(bytes)));
        let found = placed_folder(&RealDisk, &place.to, "Music", folder.id, &files, &never());
        assert_eq!(found.map(|(path, lists)| (path, lists.len())), Some((path, 2)));
        let find = |files: &[(String, ContentId)]| {
            placed_folder(&RealDisk, &place.to, "Music", folder.id, files, &never())
        };
        let mut other = files.clone();
        other[0].1 = id_of(b"two");
        assert!(find(&other).is_none(), "another file");
        assert!(find(&files[..1]).is_none(), "more than the files");
        let (found, _) = find(&files).unwrap();
        for more in ["d/mine", "mine"] {
            symlink(home.path(), found.join(more)).unwrap();
            assert!(find(&files).is_none(), "{more}");
            fs::remove_file(found.join(more)).unwrap();
        }
        fs::create_dir(found.join("d/e/mine")).unwrap();
        assert!(find(&files).is_none(), "another folder");
    }

    #[test]
    fn of_what_a_crash_has_left_only_whole_files_stay() {
        let (home, place, folder) = staged(&["a", "d/b", "d/c"]);
        folder.write("a", b"one").unwrap();
        folder.write("d/b", b"tw").unwrap();
        symlink(home.path(), folder.path().join("d/c")).unwrap();
        drop(folder);
        let again = open(&place, &["a", "d/b", "d/c"]).unwrap();
        assert_eq!(again.whole("a", id_of(b"one"), &never()).unwrap().geometry().size(), 3);
        assert!(again.whole("d/b", id_of(b"two"), &never()).is_none());
        assert!(again.whole("d/c", id_of(b"two"), &never()).is_none());
        again.write("d/b", b"two").unwrap();
        again.write("d/c", b"new").unwrap();
        remove_staged(&RealDisk, &place, ContentId([7; 32])).unwrap();
        assert!(!again.path().exists() && home.path().join("downloads").exists());
        remove_staged(&RealDisk, &place, ContentId([7; 32])).unwrap();
    }

    #[test]
    fn somebody_elses_link_is_not_our_folder() {
        let (home, place, folder) = staged(&[]);
        fs::remove_dir(folder.path()).unwrap();
        symlink(home.path(), folder.path()).unwrap();
        assert!(matches!(open(&place, &["a"]).err(), Some(StoreError::NotAFolder { .. })));
        remove_staged(&RealDisk, &place, ContentId([7; 32])).unwrap();
        assert!(home.path().join("downloads").exists());
    }

    #[test]
    fn what_does_not_fit_is_said_before() {
        let (_home, _place, folder) = staged(&[]);
        folder.has_room(1).unwrap();
        assert!(matches!(folder.has_room(u64::MAX), Err(StoreError::NoRoom { .. })));
    }

    #[test]
    fn a_folder_whose_name_may_be_lost_is_in_place_all_the_same() {
        let disk = MemoryDisk::new();
        let place = PartPlace { downloads: "/d".into(), to: "/d".into(), recorded: None };
        let (paths, id) = (["a"].into_iter(), ContentId([7; 32]));
        let folder = StagedFolder::open(Arc::new(disk.clone()), &place, id, paths, &never());
        let folder = folder.unwrap();
        disk.set_free(0);
        let InPlace { path, unflushed } = folder.place(&place.to, "Music").unwrap();
        assert!(unflushed.is_some_and(|error| error.is_full()));
        assert_eq!(disk.kind(&path).unwrap(), Kind::Folder);
    }

    #[test]
    fn folders_are_made_where_there_is_room_for_all_and_until_it_is_stopped() {
        let disk = MemoryDisk::new();
        let place = PartPlace { downloads: "/d".into(), to: "/d".into(), recorded: None };
        let paths: Vec<String> = (0..100).map(|number| format!("{number}/in/x")).collect();
        let open = |stop: bool| {
            let (disk, stop) = (Arc::new(disk.clone()), AtomicBool::new(stop));
            let paths = paths.iter().map(String::as_str);
            StagedFolder::open(disk, &place, ContentId([7; 32]), paths, &stop)
        };
        let made = || disk.list(&StagedFolder::path_of(&disk, &place, ContentId([7; 32]))).unwrap();
        disk.set_free(RESERVE + 199 * FOLDER_SIZE);
        let needed = 200 * FOLDER_SIZE;
        assert!(matches!(open(false), Err(StoreError::NoRoom { needed: n, .. }) if n == needed));
        disk.set_free(RESERVE + 200 * FOLDER_SIZE);
        assert!(matches!(open(true), Err(StoreError::Stopped)));
        assert_eq!(made().len(), 0);
        assert!(open(false).is_ok());
        assert_eq!(made().len(), 100);
        disk.set_free(RESERVE);
        assert!(open(false).is_ok(), "they are there");
    }
}
