//! A folder that is coming, and its last step to its final name.
//!
//! Always true: it is made in the hidden folder for parts, where nobody else can enter, and
//! comes to its place whole, by one rename that replaces nothing; a stranger's path is made
//! safe part by part, and none leads out of it; no file in it is written twice. It is
//! flushed once, before it is placed, and not file by file: what a crash has left of it is
//! held against its hash by the next run ([`StagedFolder::whole`]). That the bytes of a
//! file are right is the caller's business.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::{Disk, Kind, read_full};
use super::error::StoreError;
use super::leftover::list_of;
use super::name::{numbered, safe_name};
use super::part::{MAX_NAMESAKES, RESERVE, alike, make_folder, make_parts, move_in};
use super::part_place::PartPlace;
use crate::base::{ContentId, Geometry};
use crate::transfer::PieceList;
use crate::transfer::collection::text::Listed;

/// Longest path in a folder that is created, in bytes: with that of the downloads folder
/// before it, it is below what the system takes.
pub const MAX_PATH: usize = 2048;
/// Most folders around a file in it: more are made by nobody but to do harm.
pub const MAX_DEPTH: usize = 64;

/// What stands behind the id in the name of a folder that is coming.
const ENDING: &str = "folder";
/// Bytes that are copied at a time.
const COPIED_AT_ONCE: usize = 1 << 20;
/// Folders of the right name that are looked into for one that was placed just before a
/// crash: it is the first of them but for a folder full of twins.
const MAX_LOOKED_INTO: usize = 8;

/// Why a file of a collection is not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It begins with a `/`.
    #[error("the path begins at the root")]
    Absolute,
    /// It has a part that leads nowhere, or up.
    #[error("the path has a part that is empty, '.' or '..'")]
    Part,
    /// It is longer than [`MAX_PATH`].
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// It is deeper than [`MAX_DEPTH`].
    #[error("the path leads through more than {MAX_DEPTH} folders")]
    TooDeep,
    /// Too many others are called like it.
    #[error("more than {MAX_NAMESAKES} others are called alike")]
    Namesakes,
}

/// Where each file of a collection is created in its folder: each part of its path made
/// safe, and numbered where another one, or one that only differs in case or in Unicode
/// form, has its name. Folders that are alike are one.
#[must_use]
pub fn laid_out(files: &[Listed]) -> Vec<Result<String, BadPath>> {
    let mut taken = Taken::default();
    files.iter().map(|file| taken.path_for(file)).collect()
}

/// The paths that are taken already, in the form in which they are compared.
#[derive(Default)]
struct Taken {
    files: HashSet<String>,
    /// What folders are called that others may call otherwise.
    folders: HashMap<String, String>,
    /// The last number that a name got.
    numbers: HashMap<String, u32>,
}

impl Taken {
    fn path_for(&mut self, file: &Listed) -> Result<String, BadPath> {
        let path = file.path.as_str();
        if path.starts_with('/') {
            return Err(BadPath::Absolute);
        }
        if path.len() > MAX_PATH {
            return Err(BadPath::TooLong);
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(BadPath::Part);
        }
        if path.split('/').count() > MAX_DEPTH + 1 {
            return Err(BadPath::TooDeep);
        }
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut place = String::new();
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            place = self.folder_in(&place, &safe_name(folder, file.id))?;
        }
        let path = self.free_in(&place, &safe_name(name, file.id))?;
        if path.len() > MAX_PATH {
            return Err(BadPath::TooLong);
        }
        self.files.insert(alike(&path));
        Ok(path)
    }

    /// The folder that is called like `name` in `place`, or a new one.
    fn folder_in(&mut self, place: &str, name: &str) -> Result<String, BadPath> {
        let path = join(place, name);
        let key = alike(&path);
        if let Some(known) = self.folders.get(&key) {
            return Ok(known.clone());
        }
        let free = self.free_in(place, name)?;
        // By both: the next that is called so finds it, and no file takes its name.
        self.folders.insert(key, free.clone());
        self.folders.insert(alike(&free), free.clone());
        Ok(free)
    }

    /// `name` in `place`, with a number where that is taken.
    fn free_in(&mut self, place: &str, name: &str) -> Result<String, BadPath> {
        let plain = join(place, name);
        let key = alike(&plain);
        if !self.is_taken(&key) {
            return Ok(plain);
        }
        let from = self.numbers.get(&key).map_or(1, |last| last + 1);
        for number in from..=MAX_NAMESAKES {
            let path = join(place, &numbered(name, number));
            if !self.is_taken(&alike(&path)) {
                self.numbers.insert(key, number);
                return Ok(path);
            }
        }
        Err(BadPath::Namesakes)
    }

    fn is_taken(&self, key: &str) -> bool {
        self.files.contains(key) || self.folders.contains_key(key)
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}/{name}") }
}

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
    /// makes it; with it the folders that `paths`, as [`laid_out`] gives them, lead through.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(
        disk: Arc<dyn Disk>,
        place: &PartPlace,
        id: ContentId,
        paths: impl Iterator<Item = impl AsRef<str>>,
    ) -> Result<Self, StoreError> {
        let path = Self::path_of(&*disk, place, id);
        make_parts(&*disk, path.parent().unwrap_or(&path))?;
        make_folder(&*disk, &path, 0o777)?;
        if disk.kind(&path).ok() != Some(Kind::Folder) {
            return Err(StoreError::NotAFolder { path });
        }
        let mut made = HashSet::new();
        for file in paths {
            let Some((folder, _)) = file.as_ref().rsplit_once('/') else { continue };
            if made.insert(folder.to_owned()) {
                make_folder(&*disk, &path.join(folder), 0o777)?;
            }
        }
        Ok(Self { disk, path, id })
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

    /// Flushes all of it and gives it its final name in `folder`: `wanted` made safe, with a
    /// number where that is taken by anything at all. Returns the path.
    ///
    /// # Errors
    /// As for a part: what has failed can be tried again, but for the flush of `folder`.
    pub fn place(&self, folder: &Path, wanted: &str) -> Result<PathBuf, StoreError> {
        // What parts of its larger files were in.
        let _ = self.disk.remove_folder(&self.path.join(super::disk::PARTS_FOLDER));
        let flushed = self.disk.flush(&self.path);
        flushed.map_err(|error| StoreError::from_io("flush", &self.path, error))?;
        make_folder(&*self.disk, folder, 0o777)?;
        let target = self.disk.open_folder(folder);
        let target = target.map_err(|error| StoreError::from_io("open", folder, error))?;
        let path = move_in(&*self.disk, &*target, &self.path, folder, wanted, self.id)?;
        target.sync().map_err(|error| StoreError::from_io("flush", folder, error))?;
        // Fails while parts are in it, which is what it is asked for.
        self.path.parent().map(|parts| self.disk.remove_folder(parts));
        Ok(path)
    }
}

/// Removes what is here of the folder of a collection; what is gone already is no error.
///
/// # Errors
/// What the disk says.
pub fn remove_staged(disk: &dyn Disk, place: &PartPlace, id: ContentId) -> Result<(), StoreError> {
    let path = StagedFolder::path_of(disk, place, id);
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

    use proptest::prelude::*;

    use super::*;
    use crate::store::RealDisk;

    fn listed(paths: &[&str]) -> Vec<Listed> {
        let id = ContentId([0xab; 32]);
        paths.iter().map(|path| Listed { path: (*path).to_owned(), id }).collect()
    }

    fn laid(paths: &[&str]) -> Vec<String> {
        laid_out(&listed(paths)).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn paths_that_lead_elsewhere_are_named_as_such() {
        let deep = "d/".repeat(MAX_DEPTH + 1) + "x";
        let long = format!("{}/x", "d".repeat(MAX_PATH));
        let cases = [
            ("/etc/passwd", BadPath::Absolute),
            ("../x", BadPath::Part),
            ("a/../../x", BadPath::Part),
            ("a//b", BadPath::Part),
            ("./a", BadPath::Part),
            ("a/", BadPath::Part),
            ("", BadPath::Part),
            (deep.as_str(), BadPath::TooDeep),
            (long.as_str(), BadPath::TooLong),
        ];
        for (path, why) in cases {
            assert_eq!(laid_out(&listed(&[path])), [Err(why)], "{path}");
        }
        assert!(laid_out(&listed(&[&deep[2..]]))[0].is_ok());
    }

    #[test]
    fn each_part_is_made_safe_and_the_rest_is_kept() {
        let paths = [".git/.config", "a\0b/c\x1b.txt", "C:\\x", "日本/foo... bar"];
        assert_eq!(laid(&paths), ["_git/_config", "a_b/c_.txt", "C:\\x", "日本/foo... bar"]);
    }

    #[test]
    fn twins_are_both_kept_and_folders_that_are_alike_are_one() {
        assert_eq!(laid(&["A.txt", "a.txt", "A.TXT"]), ["A.txt", "a (1).txt", "A (2).TXT"]);
        assert_eq!(laid(&["\u{e9}", "e\u{301}"]), ["\u{e9}", "e\u{301} (1)"]);
        assert_eq!(laid(&["x", "x"]), ["x", "x (1)"]);
        assert_eq!(laid(&["Dir/a", "dir/b", "DIR/A"]), ["Dir/a", "Dir/b", "Dir/A (1)"]);
        assert_eq!(laid(&["a", "a/b", "a/c"]), ["a", "a (1)/b", "a (1)/c"]);
        assert_eq!(laid(&["a/b", "a"]), ["a/b", "a (1)"]);
        let many: Vec<_> = std::iter::repeat_n("x", MAX_NAMESAKES as usize + 2).collect();
        let laid = laid_out(&listed(&many));
        assert_eq!(laid.iter().filter(|path| path.is_ok()).count(), MAX_NAMESAKES as usize + 1);
        assert_eq!(laid.last(), Some(&Err(BadPath::Namesakes)));
    }

    proptest! {
        #[test]
        fn whatever_is_listed_lies_inside_under_a_name_of_its_own(
            paths in prop::collection::vec("(\\PC|[/./\\\\\n\0aA]){0,12}", 0..40)
        ) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let laid: Vec<_> = laid_out(&listed(&paths)).into_iter().flatten().collect();
            let keys: HashSet<String> = laid.iter().map(|path| alike(path)).collect();
            prop_assert_eq!(keys.len(), laid.len());
            for path in &laid {
                prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
                prop_assert!(!path.contains('\0'));
                // No file stands where another one needs a folder.
                let mut around = path.as_str();
                while let Some((folder, _)) = around.rsplit_once('/') {
                    prop_assert!(!keys.contains(&alike(folder)), "{} in {:?}", folder, laid);
                    around = folder;
                }
            }
        }
    }

    fn id_of(bytes: &[u8]) -> ContentId {
        ContentId(*blake3::hash(bytes).as_bytes())
    }

    fn never() -> AtomicBool {
        AtomicBool::new(false)
    }

    /// A folder for downloads, where they go to, and one that is coming there.
    fn staged(paths: &[&str]) -> (tempfile::TempDir, PartPlace, StagedFolder) {
        let home = tempfile::tempdir().unwrap();
        let downloads = home.path().join("downloads");
        let place = PartPlace { downloads: downloads.clone(), to: downloads, recorded: None };
        fs::create_dir(&place.to).unwrap();
        let id = ContentId([7; 32]);
        let folder =
            StagedFolder::open(Arc::new(RealDisk), &place, id, paths.iter().copied()).unwrap();
        (home, place, folder)
    }

    #[test]
    fn it_comes_to_its_place_whole_and_replaces_nothing() {
        let (home, place, folder) = staged(&["a", "d/e/b"]);
        folder.write("a", b"one").unwrap();
        folder.write("d/e/b", b"two").unwrap();
        assert!(folder.write("a", b"again").is_err(), "no file is written twice");
        fs::write(place.to.join("Music"), "mine").unwrap();
        symlink(home.path(), place.to.join("Music (1)")).unwrap();
        let path = folder.place(&place.to, "../Music").unwrap();
        assert_eq!(path, place.to.join("Music (2)"));
        assert_eq!(fs::read(path.join("d/e/b")).unwrap(), b"two");
        assert_eq!(fs::read(path.join("a")).unwrap(), b"one");
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
        let paths = ["a", "d/b", "d/c"];
        let again = StagedFolder::open(
            Arc::new(RealDisk),
            &place,
            ContentId([7; 32]),
            paths.iter().copied(),
        );
        let again = again.unwrap();
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
        let id = ContentId([7; 32]);
        let opened = StagedFolder::open(Arc::new(RealDisk), &place, id, ["a"].iter());
        assert!(matches!(opened.err(), Some(StoreError::NotAFolder { .. })));
        remove_staged(&RealDisk, &place, id).unwrap();
        assert!(home.path().join("downloads").exists());
    }

    #[test]
    fn what_does_not_fit_is_said_before() {
        let (_home, _place, folder) = staged(&[]);
        folder.has_room(1).unwrap();
        assert!(matches!(folder.has_room(u64::MAX), Err(StoreError::NoRoom { .. })));
    }
}
