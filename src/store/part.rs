//! A file that is coming, and its last step to its final name.
//!
//! Always true: it lies in a folder of its own, hidden, that nobody else can enter and
//! that is never shared; its size is set only once the disk has room for all of it;
//! nothing is written to it once it is in place, so that the stamp under which it is
//! then shared stays. That the bytes of a piece are right is the caller's business,
//! but for [`PartFile::recover`], which trusts nothing.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use unicode_normalization::UnicodeNormalization;

use super::disk::{Disk, FolderHandle, Kind, PartHandle, Stamp, read_full};
use super::error::StoreError;
use super::name::{numbered, safe_name};
use super::part_place::PartPlace;
use super::sidecar::{self, Sidecar};
use crate::base::{ContentId, Geometry, PieceIndex, PieceMap};
use crate::transfer::PieceList;

/// Bytes that a download leaves free: a machine without any space misbehaves.
pub const RESERVE: u64 = 64 << 20;

/// Most namesakes that are tried before placing is given up.
pub const MAX_NAMESAKES: u32 = 1000;

/// How often the lock of a part is tried: a download of our own that has just ended lets it
/// go within the time that this takes.
const LOCK_TRIES: usize = 10;
/// Between two of these.
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// How often a part file is tried again whose folder vanished meanwhile, because the
/// last of the others in it had just gone.
const OPEN_TRIES: usize = 3;

/// A part file. All methods take `&self` and may be called from many threads.
pub struct PartFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    id: ContentId,
    geometry: Geometry,
    file: Box<dyn PartHandle>,
    /// Whether nothing is written any more. Written to under the read lock; placing and
    /// the clean stop take the write lock.
    placed: RwLock<bool>,
    /// What it holds, as far as this run knows.
    held: Mutex<PieceMap>,
    /// Whether a flush has failed: the next would succeed without having saved anything.
    flush_failed: AtomicBool,
}

/// A file that has its final name.
#[derive(Debug)]
pub struct InPlace {
    /// Where it is.
    pub path: PathBuf,
    /// Why its folder could not be flushed: until it is, a loss of power may undo the name.
    pub unflushed: Option<StoreError>,
}

impl PartFile {
    /// Opens the part file of `id` at its place, or creates it.
    ///
    /// The folders are created as needed, that of the file too. Call it only when the
    /// size is proven: it is what the file is set to.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another servent writes it; [`StoreError::NoRoom`] when what
    /// is missing of the file would leave less than [`RESERVE`]; else what the disk says.
    pub fn open(
        disk: Arc<dyn Disk>,
        place: &PartPlace,
        id: ContentId,
        geometry: Geometry,
    ) -> Result<Self, StoreError> {
        make_folder(&*disk, &place.to, 0o777)?;
        let path = place.part(&*disk, id);
        let parts = path.parent().unwrap_or(&path);
        let file = open_in(&*disk, parts, &path)?;
        claim(&*file, &path)?;
        let placed = RwLock::new(false);
        let flush_failed = AtomicBool::new(false);
        let held = Mutex::new(PieceMap::new(geometry.count()));
        let part = Self { disk, path, id, geometry, file, placed, held, flush_failed };
        if let Err(error) = part.reserve() {
            part.remove_if_empty();
            return Err(error);
        }
        Ok(part)
    }

    /// Sets the size, if there is room for what is missing.
    fn reserve(&self) -> Result<(), StoreError> {
        self.check_room()?;
        let size = self.geometry.size();
        if self.stamp()?.size == size {
            return Ok(()); // its stamp stays, by which an earlier run's map is known
        }
        self.file.set_len(size).map_err(|error| StoreError::from_io("create", &self.path, error))
    }

    /// Whether the disk has room for what is missing of the file, as far as it tells.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when it would leave less than [`RESERVE`]; else what the disk
    /// says.
    pub fn check_room(&self) -> Result<(), StoreError> {
        let (size, parts) = (self.geometry.size(), self.parts());
        let held: u64 = self
            .file
            .data_ranges()
            .map_err(|error| StoreError::from_io("read", &self.path, error))?
            .iter()
            .map(|(begin, end)| end.saturating_sub(*begin))
            .sum();
        let needed = size.saturating_sub(held);
        let free = self
            .disk
            .free_space(parts)
            .map_err(|error| StoreError::from_io("measure", parts, error))?;
        if free.saturating_sub(RESERVE) < needed {
            return Err(StoreError::NoRoom { folder: parts.to_path_buf(), needed, free });
        }
        Ok(())
    }

    fn stamp(&self) -> Result<Stamp, StoreError> {
        self.file.stamp().map_err(|error| StoreError::from_io("read", &self.path, error))
    }

    /// Does away with a part that was just created and holds nothing.
    fn remove_if_empty(&self) {
        if self.file.data_ranges().is_ok_and(|ranges| ranges.is_empty()) {
            // It is in nobody's way, and the next attempt takes it as it is.
            let _ = self.disk.remove_file(&self.path);
            self.remove_empty_folder();
        }
    }

    /// Where the part lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content that it is to hold.
    #[must_use]
    pub fn id(&self) -> ContentId {
        self.id
    }

    /// Writes `piece`, verified by the caller; on return the kernel has it.
    ///
    /// # Errors
    /// [`StoreError::PieceLength`], [`StoreError::Placed`], or what the disk says; the
    /// piece then counts as missing.
    pub fn write_piece(&self, piece: PieceIndex, bytes: &[u8]) -> Result<(), StoreError> {
        let (given, expected) = (bytes.len() as u64, self.geometry.len(piece));
        if given != expected || given == 0 {
            return Err(StoreError::PieceLength { piece, given, expected });
        }
        let placed = self.placed.read().unwrap_or_else(PoisonError::into_inner);
        if *placed {
            return Err(StoreError::Placed { path: self.path.clone() });
        }
        self.file
            .write_at(bytes, self.geometry.offset(piece))
            .map_err(|error| StoreError::from_io("write", &self.path, error))?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(piece);
        Ok(())
    }

    /// Reads `piece` into `into`, whose contents it replaces; also once it is in place.
    ///
    /// # Errors
    /// [`StoreError::PieceLength`] when the file was cut short or has no such piece;
    /// else what the disk says. Then `into` is empty.
    pub fn read_piece(&self, piece: PieceIndex, into: &mut Vec<u8>) -> Result<(), StoreError> {
        let expected = self.geometry.len(piece);
        into.clear();
        into.resize(usize::try_from(expected).unwrap_or(0), 0);
        let read = read_full(&*self.file, into, self.geometry.offset(piece));
        let result = match read {
            Ok(given) if given as u64 == expected && expected > 0 => return Ok(()),
            Ok(given) => Err(StoreError::PieceLength { piece, given: given as u64, expected }),
            Err(error) => Err(StoreError::from_io("read", &self.path, error)),
        };
        into.clear();
        result
    }

    /// Which pieces the file holds, found by hashing all that has data.
    ///
    /// `progress` is told (pieces hashed, pieces to hash) after each.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when `stop` was set, or what the disk says.
    pub fn recover(
        &self,
        list: &PieceList,
        stop: &AtomicBool,
        progress: &(dyn Fn(u32, u32) + Sync),
    ) -> Result<PieceMap, StoreError> {
        let map = self.prove(list, self.pieces_with_data()?, stop, progress)?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = map.clone();
        Ok(map)
    }

    /// What was held at the last clean stop, if nothing has touched the file since, as far
    /// as its stamp tells; from now on it counts as held. A hint: before the file is
    /// placed, [`PartFile::check`] it.
    #[must_use]
    pub fn trust_held(&self) -> Option<PieceMap> {
        let (stamp, held) = sidecar::read(&*self.disk, self.parts(), self.id)?.held?;
        let present = self.stamp().ok()?;
        let same = held.len() == self.geometry.count() && stamp == present;
        if !same || !present.has_settled(self.disk.now_ns()) {
            return None;
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held.clone();
        Some(held)
    }

    /// Which of `claimed` the file really holds.
    ///
    /// # Errors
    /// As [`PartFile::recover`].
    pub fn check(
        &self,
        list: &PieceList,
        claimed: &PieceMap,
        stop: &AtomicBool,
    ) -> Result<PieceMap, StoreError> {
        let pieces = self.geometry.pieces().filter(|&piece| claimed.contains(piece)).collect();
        self.prove(list, pieces, stop, &|_, _| {})
    }

    /// Keeps `list` beside the part, so that a later run need not ask for it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn keep_list(&self, list: &PieceList) -> Result<(), StoreError> {
        let known = sidecar::read(&*self.disk, self.parts(), self.id);
        if known.is_some_and(|known| known.list == *list) {
            return Ok(());
        }
        sidecar::write(&*self.disk, self.parts(), &Sidecar { list: list.clone(), held: None })
    }

    /// At a clean stop: flushes the part and keeps beside it which pieces it holds. Nothing
    /// is written to it any more.
    ///
    /// # Errors
    /// [`StoreError::Placed`], or what the disk says.
    pub fn keep_held(&self, list: &PieceList) -> Result<(), StoreError> {
        let mut placed = self.placed.write().unwrap_or_else(PoisonError::into_inner);
        if *placed {
            return Err(StoreError::Placed { path: self.path.clone() });
        }
        *placed = true;
        self.sync()?;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let held = Some((self.stamp()?, held));
        sidecar::write(&*self.disk, self.parts(), &Sidecar { list: list.clone(), held })
    }

    fn prove(
        &self,
        list: &PieceList,
        candidates: Vec<PieceIndex>,
        stop: &AtomicBool,
        progress: &(dyn Fn(u32, u32) + Sync),
    ) -> Result<PieceMap, StoreError> {
        let mut map = PieceMap::new(self.geometry.count());
        let total = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        for (done, piece) in (1..=total).zip(candidates) {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            self.read_piece(piece, &mut bytes)?;
            if list.proves(piece, &bytes) {
                map.insert(piece);
            }
            progress(done, total);
        }
        Ok(map)
    }

    /// The pieces whose range holds data, in file order.
    fn pieces_with_data(&self) -> Result<Vec<PieceIndex>, StoreError> {
        let ranges = self
            .file
            .data_ranges()
            .map_err(|error| StoreError::from_io("read", &self.path, error))?;
        let mut pieces = Vec::new();
        let mut next = 0;
        for (begin, end) in ranges {
            if end <= begin {
                continue;
            }
            let first = begin / self.geometry.piece_len();
            let last = (end - 1) / self.geometry.piece_len();
            // Two ranges may lie in one piece.
            for number in first.max(next)..=last {
                let piece = u32::try_from(number).ok().and_then(|n| self.geometry.piece(n));
                pieces.extend(piece);
                next = number + 1;
            }
        }
        Ok(pieces)
    }

    /// Makes the pieces written so far survive a loss of power.
    ///
    /// # Errors
    /// What the disk says, and from then on [`StoreError::FlushFailed`]: the part must
    /// be opened anew and recovered.
    pub fn sync(&self) -> Result<(), StoreError> {
        if self.flush_failed.load(Ordering::Relaxed) {
            return Err(StoreError::FlushFailed { path: self.path.clone() });
        }
        self.file.sync().map_err(|error| {
            self.flush_failed.store(true, Ordering::Relaxed);
            StoreError::from_io("flush", &self.path, error)
        })
    }

    /// Gives the complete file its final name in `folder`: `wanted` made safe, with a
    /// number where that is taken by anything at all, or by a name that differs only
    /// in case or in Unicode form.
    ///
    /// The caller has verified every piece. Flushed are the file, then the folder.
    ///
    /// # Errors
    /// [`StoreError::OtherFileSystem`], [`StoreError::NameTaken`] or what the disk says.
    /// The part is then where it was, and placing can be tried again, also elsewhere.
    pub fn place(&self, folder: &Path, wanted: &str) -> Result<InPlace, StoreError> {
        let mut placed = self.placed.write().unwrap_or_else(PoisonError::into_inner);
        if *placed {
            return Err(StoreError::Placed { path: self.path.clone() });
        }
        make_folder(&*self.disk, folder, 0o777)?;
        let target = self
            .disk
            .open_folder(folder)
            .map_err(|error| StoreError::from_io("open", folder, error))?;
        self.file
            .make_public()
            .map_err(|error| StoreError::from_io("set the permissions of", &self.path, error))?;
        self.sync()?;

        let path = move_in(&*self.disk, &*target, &self.path, folder, wanted, self.id)?;
        *placed = true;
        let flushed = target.sync();
        let unflushed = flushed.err().map(|error| StoreError::from_io("flush", folder, error));
        // The file is in place: what is left beside it is swept at a later start.
        let _ = sidecar::remove(&*self.disk, self.parts(), self.id);
        self.remove_empty_folder();
        Ok(InPlace { path, unflushed })
    }

    fn remove_empty_folder(&self) {
        // Fails while other parts are in it, which is what it is asked for.
        let _ = self.disk.remove_folder(self.parts());
    }

    /// The folder that it lies in.
    #[must_use]
    pub fn parts(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

/// Moves what lies at `from` into the open folder `target`, which is at `folder`: as `wanted`
/// made safe, with a number where that is taken by anything at all, or by a name that differs
/// only in case or in Unicode form. Returns the path, which is not flushed.
pub(super) fn move_in(
    disk: &dyn Disk,
    target: &dyn FolderHandle,
    from: &Path,
    folder: &Path,
    wanted: &str,
    id: ContentId,
) -> Result<PathBuf, StoreError> {
    // Where it cannot be listed the rename itself still replaces nothing.
    let entries = disk.list(folder).unwrap_or_default();
    let names = entries.iter().filter_map(|entry| entry.name.to_str());
    let taken: HashSet<String> = names.map(alike).collect();
    let plain = safe_name(wanted, id);
    let numbered = (1..=MAX_NAMESAKES).map(|number| numbered(&plain, number));
    for name in std::iter::once(plain.clone()).chain(numbered) {
        if taken.contains(&alike(&name)) {
            continue;
        }
        let path = folder.join(&name);
        match target.place(from, &name) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let (folder, part) = (folder.to_path_buf(), from.to_path_buf());
                return Err(StoreError::OtherFileSystem { folder, part });
            }
            Err(error) => return Err(StoreError::from_io("create", &path, error)),
        }
    }
    Err(StoreError::NameTaken { path: folder.join(plain) })
}

/// What two names share that a case-insensitive or normalising file system, or an eye,
/// takes for one.
pub(super) fn alike(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).collect()
}

/// Creates a folder, and those that lead to it, with `mode`; one that exists stays as it is.
pub(super) fn make_folder(disk: &dyn Disk, path: &Path, mode: u32) -> Result<(), StoreError> {
    match disk.create_folder(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::NotAFolder { path: path.to_path_buf() })
        }
        other => other.map_err(|error| StoreError::from_io("create the folder", path, error)),
    }
}

/// Keeps other servents from the open part at `path` until it is closed. Blocks for as long
/// as [`LOCK_TRIES`] take.
pub(super) fn claim(file: &dyn PartHandle, path: &Path) -> Result<(), StoreError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(false) => std::thread::sleep(LOCK_WAIT),
            // Some network file systems know no locks, and are written to all the same.
            Ok(true) | Err(_) => return Ok(()),
        }
    }
    Err(StoreError::InUse { path: path.to_path_buf() })
}

/// Opens the part file at `path`, making its folder `parts` first.
fn open_in(disk: &dyn Disk, parts: &Path, path: &Path) -> Result<Box<dyn PartHandle>, StoreError> {
    let mut tries = 1;
    loop {
        if !make_parts(disk, parts)? && tries < OPEN_TRIES {
            tries += 1;
            continue;
        }
        match disk.open_part(path) {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < OPEN_TRIES => {
                tries += 1;
            }
            Err(error) => return Err(StoreError::from_io("create", path, error)),
        }
    }
}

/// Makes the folder for parts, that nobody else can enter; false when it was gone again.
pub(super) fn make_parts(disk: &dyn Disk, parts: &Path) -> Result<bool, StoreError> {
    if let Some(above) = parts.parent() {
        make_folder(disk, above, 0o777)?;
    }
    make_folder(disk, parts, 0o700)?;
    // Somebody's link to elsewhere is not our folder.
    match disk.kind(parts) {
        Ok(Kind::Folder) => Ok(true),
        Ok(_) => Err(StoreError::NotAFolder { path: parts.to_path_buf() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::from_io("open", parts, error)),
    }
}

#[cfg(test)]
mod tests;
