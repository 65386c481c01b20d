//! The files of a collection on the disk: where each goes, what of them is here.
//!
//! Always true: a content counts as here only once all its paths hold it; each was held
//! against its hash, in this run or before it was written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use crate::base::{ContentId, Geometry};
use crate::servent::offload::offload;
use crate::store::folder::{StagedFolder, placed_folder};
use crate::store::layout::laid_out;
use crate::store::{BadPath, Disk, PartPlace, StoreError};
use crate::transfer::PieceList;
use crate::transfer::collection::Number;
use crate::transfer::collection::text::Listed;

/// Contents that are written at the same time, at most: more than there are sources to give.
const WRITERS: usize = 16;

/// The files of one collection.
pub(super) struct Prepared {
    staged: StagedFolder,
    contents: Vec<Content>,
    /// The lists of those that are here.
    here: Mutex<BTreeMap<Number, PieceList>>,
    /// Whose turn it is to write one of those contents that have their turns together: the same
    /// may come from two sources at once.
    writing: [Mutex<()>; WRITERS],
    /// Held by whoever writes; alone by who waits until nobody does.
    busy: RwLock<()>,
    /// Ends what is being written.
    stopped: Arc<AtomicBool>,
    /// Files that are listed and not created, with the reason.
    pub(super) left_out: Vec<(String, BadPath)>,
}

/// A content, and all paths that hold it.
struct Content {
    id: ContentId,
    paths: Vec<String>,
}

/// What was found on the disk.
pub(super) enum Found {
    /// It is to be fetched, as far as it is not here.
    Coming(Arc<Prepared>),
    /// The run before has placed all of it and did not live to say so.
    Placed(PathBuf, Vec<(PathBuf, PieceList)>),
}

impl Prepared {
    /// Lays out what is `listed`, and looks at what earlier runs have left of it; blocks.
    /// Only if one of them was `placing` it, it may be in its place.
    pub(super) fn look(
        disk: &Arc<dyn Disk>,
        place: &PartPlace,
        (id, name): (ContentId, &str),
        listed: &[Listed],
        placing: bool,
        stop: &Arc<AtomicBool>,
    ) -> Result<Found, StoreError> {
        let laid = laid_out(listed);
        let mut contents: Vec<Content> = Vec::new();
        let mut numbers: HashMap<ContentId, usize> = HashMap::new();
        let mut left_out = Vec::new();
        for (file, path) in listed.iter().zip(laid) {
            let path = match path {
                Ok(path) => path,
                Err(why) => {
                    left_out.push((file.path.clone(), why));
                    continue;
                }
            };
            let number = *numbers.entry(file.id).or_insert_with(|| {
                contents.push(Content { id: file.id, paths: Vec::new() });
                contents.len() - 1
            });
            if let Some(content) = contents.get_mut(number) {
                content.paths.push(path);
            }
        }
        let fresh = disk.kind(&StagedFolder::path_of(&**disk, place, id)).is_err();
        if placing && fresh && !contents.is_empty() {
            let files = contents
                .iter()
                .flat_map(|content| content.paths.iter().map(|path| (path.clone(), content.id)));
            let files: Vec<_> = files.collect();
            let placed = placed_folder(&**disk, &place.to, name, id, &files, stop);
            if let Some((path, lists)) = placed {
                let files = files.into_iter().map(|(file, _)| PathBuf::from(file)).zip(lists);
                return Ok(Found::Placed(path, files.collect()));
            }
        }
        let paths = contents.iter().flat_map(|content| &content.paths).map(String::as_str);
        let staged = StagedFolder::open(Arc::clone(disk), place, id, paths, stop)?;
        let prepared = Self {
            staged,
            contents,
            here: Mutex::default(),
            writing: Default::default(),
            busy: RwLock::default(),
            stopped: Arc::clone(stop),
            left_out,
        };
        prepared.recover(fresh)?;
        Ok(Found::Coming(Arc::new(prepared)))
    }

    /// Counts what an earlier run has left, and makes files without a byte.
    fn recover(&self, fresh: bool) -> Result<(), StoreError> {
        let stop = &*self.stopped;
        for (content, number) in self.contents.iter().zip(0..) {
            let mut list = None;
            let mut missing = Vec::new();
            for path in &content.paths {
                match (!fresh).then(|| self.staged.whole(path, content.id, stop)).flatten() {
                    Some(found) => list = Some((path, found)),
                    None => missing.push(path),
                }
            }
            if content.id == ContentId::of_nothing() {
                self.write_all(&missing, b"")?;
                let nothing = Geometry::of(0)
                    .and_then(|geometry| PieceList::new(content.id, geometry, Vec::new()).ok());
                self.lock().extend(nothing.map(|list| (number, list)));
            } else if let Some((from, list)) = list {
                self.copy_all(from, &missing, list.geometry().size())?;
                self.lock().insert(number, list);
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Number, PieceList>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All contents, in order of their numbers.
    pub(super) fn ids(&self) -> Vec<ContentId> {
        self.contents.iter().map(|content| content.id).collect()
    }

    /// Those that are not here.
    pub(super) fn missing(&self) -> Vec<Number> {
        let here = self.lock();
        let numbers = self.contents.iter().zip(0..).map(|(_, number)| number);
        numbers.filter(|number| !here.contains_key(number)).collect()
    }

    /// Those that are here.
    pub(super) fn held(&self) -> BTreeSet<ContentId> {
        let here = self.lock();
        let held = here.keys().filter_map(|number| self.contents.get(*number as usize));
        held.map(|content| content.id).collect()
    }

    /// Files, however many of them hold the same.
    pub(super) fn files(&self) -> usize {
        self.contents.iter().map(|content| content.paths.len()).sum()
    }

    /// The paths of a content.
    pub(super) fn paths(&self, number: Number) -> &[String] {
        self.contents.get(number as usize).map_or(&[], |content| &content.paths)
    }

    /// Files and bytes that are here.
    pub(super) fn here(&self) -> (usize, u64) {
        let here = self.lock();
        let all = here.iter().map(|(&number, list)| (number, list.geometry().size()));
        all.fold((0, 0u64), |(files, bytes), (number, size)| {
            let paths = self.paths(number).len();
            (files + paths, bytes.saturating_add(size.saturating_mul(paths as u64)))
        })
    }

    /// Where the folder is made.
    pub(super) fn folder(&self) -> &Path {
        self.staged.path()
    }

    pub(super) fn staged(&self) -> &StagedFolder {
        &self.staged
    }

    /// The contents that are here.
    pub(super) fn all_here(&self) -> Vec<Number> {
        self.lock().keys().copied().collect()
    }

    /// Takes all bytes of a content: false when they are not of it; blocks. What is here stays
    /// as it is: who wrote it may not have lived to say so.
    pub(super) fn take(
        &self,
        number: Number,
        id: ContentId,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let geometry = Geometry::of(bytes.len() as u64);
        let list = geometry.and_then(|geometry| PieceList::new(id, geometry, Vec::new()).ok());
        let Some(list) = list else { return Ok(false) };
        if !list.geometry().last().is_some_and(|piece| list.proves(piece, bytes)) {
            return Ok(false);
        }
        let _busy = self.write()?;
        let turn = self.writing.get(number as usize % WRITERS);
        let _turn = turn.map(|turn| match turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            // Who has it may wait for a disk.
            Err(TryLockError::WouldBlock) => {
                offload(|| turn.lock().unwrap_or_else(PoisonError::into_inner))
            }
        });
        if self.lock().contains_key(&number) {
            return Ok(true);
        }
        self.write_all(&self.paths(number).iter().collect::<Vec<_>>(), bytes)?;
        self.lock().insert(number, list);
        Ok(true)
    }

    /// Takes a content that was placed at the first of its paths: copies it to the others, as
    /// far as an earlier try has not; blocks.
    pub(super) fn placed(&self, number: Number, list: &PieceList) -> Result<(), StoreError> {
        let _busy = self.write()?;
        if let [first, others @ ..] = self.paths(number) {
            let size = list.geometry().size();
            let missing = others.iter().filter(|path| !self.staged.has(path, size));
            self.copy_all(first, &missing.collect::<Vec<_>>(), size)?;
        }
        self.lock().insert(number, list.clone());
        Ok(())
    }

    /// Writes `bytes` at all `paths`, where there is room for that and nobody stops it; else at
    /// none of them.
    fn write_all(&self, paths: &[&String], bytes: &[u8]) -> Result<(), StoreError> {
        self.staged.has_room((bytes.len() as u64).saturating_mul(paths.len() as u64))?;
        for (written, path) in paths.iter().enumerate() {
            let done = match self.stopped.load(Ordering::Relaxed) {
                true => Err(StoreError::Stopped),
                false => self.staged.write(path, bytes),
            };
            done.inspect_err(|_| {
                paths.iter().take(written).for_each(|path| self.staged.discard(path));
            })?;
        }
        Ok(())
    }

    /// Copies the file at `from`, of so many bytes, to all of `paths`, where there is room for
    /// that.
    fn copy_all(&self, from: &str, paths: &[&String], size: u64) -> Result<(), StoreError> {
        self.staged.has_room(size.saturating_mul(paths.len() as u64))?;
        paths.iter().try_for_each(|to| self.staged.copy(from, to, &self.stopped))
    }

    /// Leave to write, unless it is stopped.
    fn write(&self) -> Result<RwLockReadGuard<'_, ()>, StoreError> {
        let stopped = || self.stopped.load(Ordering::Relaxed);
        if stopped() {
            return Err(StoreError::Stopped); // and not behind who waits for the last to end
        }
        let busy = self.busy.read().unwrap_or_else(PoisonError::into_inner);
        if stopped() { Err(StoreError::Stopped) } else { Ok(busy) }
    }

    /// Once it is stopped: waits until nobody writes any more; blocks.
    pub(super) fn settle(&self) {
        drop(self.busy.write());
    }

    /// The files that are here, and what proves them.
    pub(super) fn lists(&self) -> Vec<(PathBuf, PieceList)> {
        let here = self.lock();
        let all = here.iter().flat_map(|(&number, list)| {
            self.paths(number).iter().map(|path| (PathBuf::from(path), list.clone()))
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::part::RESERVE;
    use crate::store::{MemoryDisk, RealDisk};

    fn id_of(bytes: &[u8]) -> ContentId {
        ContentId(*blake3::hash(bytes).as_bytes())
    }

    /// Each path holds the bytes beside it.
    fn listed(files: &[(&str, &[u8])]) -> Vec<Listed> {
        let file =
            |(path, bytes): &(&str, &[u8])| Listed { path: (*path).to_owned(), id: id_of(bytes) };
        files.iter().map(file).collect()
    }

    fn place(home: &tempfile::TempDir) -> PartPlace {
        let downloads = home.path().join("downloads");
        PartPlace { downloads: downloads.clone(), to: downloads, recorded: None }
    }

    fn look(place: &PartPlace, listed: &[Listed], placing: bool) -> Found {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let stop = Arc::default();
        Prepared::look(&disk, place, (id_of(b"list"), "Jazz"), listed, placing, &stop).unwrap()
    }

    fn coming(found: Found) -> Arc<Prepared> {
        match found {
            Found::Coming(prepared) => prepared,
            Found::Placed(path, _) => panic!("in place at {path:?}"),
        }
    }

    #[test]
    fn a_file_is_here_once_it_is_at_all_its_paths() {
        let disk = MemoryDisk::new();
        let place = PartPlace { downloads: "/d".into(), to: "/d".into(), recorded: None };
        let bytes = vec![7; 70_000];
        let many: [(&str, &[u8]); 3] = [("1", b"new"), ("2", b"new"), ("3", b"new")];
        let files = [&[("a", &bytes[..]), ("b/a", &bytes), ("c", &bytes)], &many[..]].concat();
        let files = listed(&files);
        let stop = Arc::default();
        let tools: Arc<dyn Disk> = Arc::new(disk.clone());
        let found = Prepared::look(&tools, &place, (id_of(b"list"), "Jazz"), &files, false, &stop);
        let prepared = coming(found.unwrap());
        let path = |path: &str| prepared.folder().join(path);
        disk.put(path("a"), &bytes);
        let mut builder = crate::transfer::ListBuilder::new(Geometry::of(70_000).unwrap());
        bytes.chunks(65_536).for_each(|piece| builder.push(piece));
        let list = builder.finish().unwrap();
        let lacks = |refused: StoreError, bytes| {
            let lacking = matches!(refused, StoreError::NoRoom { needed, .. } if needed == bytes);
            assert!(lacking, "{refused:?}");
        };
        disk.set_free(RESERVE + 8);
        lacks(prepared.take(1, files[3].id, b"new").unwrap_err(), 9);
        disk.set_free(RESERVE + 139_999);
        lacks(prepared.placed(0, &list).unwrap_err(), 140_000);
        assert!(prepared.staged().copy("a", "c", &stop).is_ok());
        prepared.staged().discard("c");
        disk.set_free(60_000);
        assert!(prepared.staged().copy("a", "c", &stop).unwrap_err().is_full());
        assert!(disk.contents(path("c")).is_none(), "no half of a file stays");
        assert_eq!((prepared.here(), prepared.missing()), ((0, 0), vec![0, 1]));
        disk.set_free(1 << 40);
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(prepared.placed(0, &list), Err(StoreError::Stopped)));
        stop.store(false, Ordering::Relaxed);
        prepared.placed(0, &list).unwrap();
        assert_eq!((prepared.here(), prepared.missing()), ((3, 210_000), vec![1]));
        for copy in ["b/a", "c"] {
            assert!(disk.contents(path(copy)).unwrap() == bytes, "{copy}");
        }
    }

    #[test]
    fn a_folder_in_place_is_ours_only_if_an_earlier_run_was_placing_one() {
        let home = tempfile::tempdir().unwrap();
        let place = place(&home);
        let files = listed(&[("a", b"one"), ("b/c", b"two")]);
        let prepared = coming(look(&place, &files, false));
        for (number, bytes) in [(0, b"one"), (1, b"two")] {
            assert!(prepared.take(number, id_of(bytes), bytes).unwrap());
        }
        let path = prepared.staged().place(&place.to, "Jazz").unwrap().path;
        match look(&place, &files, true) {
            Found::Placed(found, lists) => assert_eq!((found, lists.len()), (path.clone(), 2)),
            Found::Coming(_) => panic!("it is in its place"),
        }
        assert_eq!(coming(look(&place, &files, false)).here(), (0, 0), "its user has such a one");
        fs::remove_dir_all(place.downloads.join(".part2part")).unwrap();
        fs::write(path.join("mine"), "mine").unwrap();
        assert_eq!(coming(look(&place, &files, true)).here(), (0, 0), "it is another one now");
    }
}
