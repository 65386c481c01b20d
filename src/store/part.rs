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
use std::sync::{Arc, PoisonError, RwLock};

use unicode_normalization::UnicodeNormalization;

use super::disk::{Disk, Kind, PARTS_FOLDER, PartHandle, read_full};
use super::error::StoreError;
use super::name::{numbered, safe_name};
use crate::base::{ContentId, Geometry, PieceIndex, PieceMap};
use crate::transfer::PieceList;

/// Bytes that a download leaves free: a machine without any space misbehaves.
pub const RESERVE: u64 = 64 << 20;

/// Most namesakes that are tried before placing is given up.
pub const MAX_NAMESAKES: u32 = 1000;

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
    /// Written to under the read lock; placing takes the write lock.
    placed: RwLock<bool>,
    /// Whether a flush has failed: the next would succeed without having saved anything.
    flush_failed: AtomicBool,
}

impl PartFile {
    /// Opens the part file of `id`, or creates it, for a download that will go to the
    /// folder `to`.
    ///
    /// It lies in `downloads`, or in `to` where that is another file system: the last
    /// step must be a rename. The folders are created as needed. Call it only when
    /// the size is proven: it is what the file is set to.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when what is missing of the file would leave less than
    /// [`RESERVE`]; else what the disk says.
    pub fn open(
        disk: Arc<dyn Disk>,
        downloads: &Path,
        to: &Path,
        id: ContentId,
        geometry: Geometry,
    ) -> Result<Self, StoreError> {
        make_folder(&*disk, to, 0o777)?;
        let same = to == downloads
            || match (disk.device(downloads), disk.device(to)) {
                (Ok(one), Ok(other)) => one == other,
                _ => false,
            };
        let parts = if same { downloads } else { to }.join(PARTS_FOLDER);
        let path = parts.join(format!("{id}.part"));
        let file = open_in(&*disk, &parts, &path)?;
        let placed = RwLock::new(false);
        let flush_failed = AtomicBool::new(false);
        let part = Self { disk, path, id, geometry, file, placed, flush_failed };
        if let Err(error) = part.reserve(&parts) {
            part.remove_if_empty();
            return Err(error);
        }
        Ok(part)
    }

    /// Sets the size, if there is room for what is missing.
    fn reserve(&self, parts: &Path) -> Result<(), StoreError> {
        let size = self.geometry.size();
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
        self.file.set_len(size).map_err(|error| StoreError::from_io("create", &self.path, error))
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
            .map_err(|error| StoreError::from_io("write", &self.path, error))
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
        let mut map = PieceMap::new(self.geometry.count());
        let candidates = self.pieces_with_data()?;
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
    /// in case or in Unicode form. Returns the path.
    ///
    /// The caller has verified every piece. Flushed are the file, then the folder.
    ///
    /// # Errors
    /// [`StoreError::OtherFileSystem`], [`StoreError::NameTaken`] or what the disk says.
    /// The part is then where it was, and placing can be tried again, also elsewhere.
    /// Only when the last step fails, to flush `folder`, is the file in place already.
    pub fn place(&self, folder: &Path, wanted: &str) -> Result<PathBuf, StoreError> {
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

        let taken = self.taken_names(folder);
        let plain = safe_name(wanted, self.id);
        let numbered = (1..=MAX_NAMESAKES).map(|number| numbered(&plain, number));
        for name in std::iter::once(plain.clone()).chain(numbered) {
            if taken.contains(&alike(&name)) {
                continue;
            }
            let path = folder.join(&name);
            match target.place(&self.path, &name) {
                Ok(()) => {
                    *placed = true;
                    target.sync().map_err(|error| StoreError::from_io("flush", folder, error))?;
                    self.remove_empty_folder();
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    let (folder, part) = (folder.to_path_buf(), self.path.clone());
                    return Err(StoreError::OtherFileSystem { folder, part });
                }
                Err(error) => return Err(StoreError::from_io("create", &path, error)),
            }
        }
        Err(StoreError::NameTaken { path: folder.join(plain) })
    }

    /// Gives the download up: the part file goes, and its folder if it was the last.
    ///
    /// # Errors
    /// What the disk says; a part that is gone already is no error.
    pub fn discard(self) -> Result<(), StoreError> {
        if *self.placed.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(());
        }
        match self.disk.remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::from_io("remove", &self.path, error))
            }
            _ => {
                self.remove_empty_folder();
                Ok(())
            }
        }
    }

    /// The names in `folder` in the form in which they are compared. Empty where it
    /// cannot be listed: the rename itself still replaces nothing.
    fn taken_names(&self, folder: &Path) -> HashSet<String> {
        let entries = self.disk.list(folder).unwrap_or_default();
        entries.iter().filter_map(|entry| entry.name.to_str()).map(alike).collect()
    }

    fn remove_empty_folder(&self) {
        if let Some(parts) = self.path.parent() {
            // Fails while other parts are in it, which is what it is asked for.
            let _ = self.disk.remove_folder(parts);
        }
    }
}

/// What two names share that a case-insensitive or normalising file system, or an eye,
/// takes for one.
fn alike(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).collect()
}

fn make_folder(disk: &dyn Disk, path: &Path, mode: u32) -> Result<(), StoreError> {
    match disk.create_folder(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::NotAFolder { path: path.to_path_buf() })
        }
        other => other.map_err(|error| StoreError::from_io("create the folder", path, error)),
    }
}

/// Opens the part file at `path`, making its folder `parts` first.
fn open_in(disk: &dyn Disk, parts: &Path, path: &Path) -> Result<Box<dyn PartHandle>, StoreError> {
    let mut tries = 1;
    loop {
        if let Some(above) = parts.parent() {
            make_folder(disk, above, 0o777)?;
        }
        make_folder(disk, parts, 0o700)?;
        // Somebody's link to elsewhere is not our folder.
        match disk.kind(parts) {
            Ok(Kind::Folder) => {}
            Ok(_) => return Err(StoreError::NotAFolder { path: parts.to_path_buf() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < OPEN_TRIES => {
                tries += 1;
                continue;
            }
            Err(error) => return Err(StoreError::from_io("open", parts, error)),
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

#[cfg(test)]
mod tests {
    use super::super::{MemoryDisk, RealDisk};
    use super::*;
    use crate::base::piece::MIN_PIECE;
    use crate::transfer::ListBuilder;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    const SIZE: u64 = 3 * MIN_PIECE + 7;

    fn content() -> (Vec<u8>, PieceList) {
        let mut bytes = vec![0; SIZE as usize];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        let mut builder = ListBuilder::new(Geometry::of(SIZE).unwrap());
        bytes.chunks(MIN_PIECE as usize).for_each(|piece| builder.push(piece));
        (bytes, builder.finish().unwrap())
    }

    fn open(disk: &Arc<dyn Disk>, dir: &Path, list: &PieceList) -> Result<PartFile, StoreError> {
        PartFile::open(Arc::clone(disk), dir, dir, list.id(), list.geometry())
    }

    fn write_all(part: &PartFile, list: &PieceList, bytes: &[u8]) {
        for (piece, bytes) in list.geometry().pieces().zip(bytes.chunks(MIN_PIECE as usize)) {
            part.write_piece(piece, bytes).unwrap();
        }
    }

    fn recovered(part: &PartFile, list: &PieceList) -> Vec<u32> {
        let map = part.recover(list, &AtomicBool::new(false), &|_, _| ()).unwrap();
        list.geometry().pieces().filter(|&p| map.contains(p)).map(PieceIndex::get).collect()
    }

    #[test]
    fn a_finished_file_gets_its_name_and_the_parts_folder_goes() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (bytes, list) = content();
        let part = open(&disk, dir.path(), &list).unwrap();
        let parts = dir.path().join(PARTS_FOLDER);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&parts), mode(part.path())), (0o700, 0o600));
        assert_eq!(fs::metadata(part.path()).unwrap().len(), SIZE);
        assert!(fs::metadata(part.path()).unwrap().blocks() * 512 < SIZE, "not sparse");

        write_all(&part, &list, &bytes);
        let path = part.place(dir.path(), "../../a film.mkv").unwrap();
        assert_eq!(path, dir.path().join("a film.mkv"));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(mode(&path) & 0o111, 0);
        assert!(!parts.exists());
        let (first, mut back) = (list.geometry().piece(0).unwrap(), Vec::new());
        part.read_piece(first, &mut back).unwrap();
        assert_eq!(back, bytes[..MIN_PIECE as usize]);
        let late = part.write_piece(first, &back);
        assert!(matches!(late, Err(StoreError::Placed { .. })));
    }

    #[test]
    fn nothing_that_has_the_name_is_followed_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("elsewhere"), b"mine").unwrap();
        fs::write(at("x.txt"), b"mine").unwrap();
        fs::create_dir(at("x (1).txt")).unwrap();
        symlink(at("elsewhere"), at("x (2).txt")).unwrap();
        symlink(at("nowhere"), at("x (3).txt")).unwrap();
        let fifo = at("x (4).txt");
        let mode = 0o600.into();
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        fs::write(at("X (5).TXT"), b"mine").unwrap();

        let (bytes, list) = content();
        let part = open(&(Arc::new(RealDisk) as Arc<dyn Disk>), dir.path(), &list).unwrap();
        write_all(&part, &list, &bytes);
        assert_eq!(part.place(dir.path(), "x.txt").unwrap(), at("x (6).txt"));
        assert_eq!(fs::read(at("x.txt")).unwrap(), b"mine");
        assert_eq!(fs::read(at("elsewhere")).unwrap(), b"mine");
        assert!(!at("nowhere").exists());
    }

    #[test]
    fn the_kernel_refuses_a_taken_name_even_when_the_folder_cannot_be_listed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("part"), b"new").unwrap();
        fs::write(at("file"), b"mine").unwrap();
        symlink(at("nowhere"), at("link")).unwrap();
        let folder = RealDisk.open_folder(dir.path()).unwrap();
        for taken in ["file", "link"] {
            let error = folder.place(&at("part"), taken).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        folder.place(&at("part"), "free").unwrap();
        assert_eq!(fs::read(at("file")).unwrap(), b"mine");
    }

    #[test]
    fn after_a_crash_only_pieces_that_hash_right_count() {
        for disk in [Arc::new(RealDisk) as Arc<dyn Disk>, Arc::new(MemoryDisk::new())] {
            let dir = tempfile::tempdir().unwrap();
            let (bytes, list) = content();
            let piece = |n| list.geometry().piece(n).unwrap();
            let slice = |n: usize| &bytes[n * MIN_PIECE as usize..][..MIN_PIECE as usize];
            disk.create_folder(dir.path(), 0o700).unwrap();
            let part = open(&disk, dir.path(), &list).unwrap();
            assert_eq!(recovered(&part, &list), [0u32; 0]);
            part.write_piece(piece(1), slice(1)).unwrap();
            part.write_piece(piece(3), &bytes[3 * MIN_PIECE as usize..]).unwrap();
            part.write_piece(piece(2), slice(0)).unwrap();
            drop(part);
            let part = open(&disk, dir.path(), &list).unwrap();
            assert_eq!(recovered(&part, &list), [1, 3]);
            let stopped = part.recover(&list, &AtomicBool::new(true), &|_, _| ());
            assert!(matches!(stopped, Err(StoreError::Stopped)));
            part.discard().unwrap();
            assert!(disk.kind(&dir.path().join(PARTS_FOLDER)).is_err());
        }
    }

    #[test]
    fn a_download_starts_only_with_room_for_all_of_it_and_the_reserve() {
        let disk = MemoryDisk::new();
        disk.create_folder(Path::new("/d"), 0o700).unwrap();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (bytes, list) = content();
        disk.set_free(SIZE + RESERVE - 1);
        let error = open(&shared, Path::new("/d"), &list).err().unwrap();
        assert!(matches!(error, StoreError::NoRoom { needed: SIZE, .. }), "{error}");
        assert!(error.is_full());
        assert!(disk.kind(Path::new("/d/.part2part")).is_err());

        disk.set_free(SIZE + RESERVE);
        let part = open(&shared, Path::new("/d"), &list).unwrap();
        write_all(&part, &list, &bytes);
        drop(part);
        disk.set_free(RESERVE);
        let part = open(&shared, Path::new("/d"), &list).unwrap();
        assert_eq!(recovered(&part, &list), [0, 1, 2, 3]);
    }

    #[test]
    fn a_disk_that_fills_up_meanwhile_is_a_named_error() {
        let disk = MemoryDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (bytes, list) = content();
        let part = open(&shared, Path::new("/d"), &list).unwrap();
        disk.set_free(0);
        let first = list.geometry().piece(0).unwrap();
        let error = part.write_piece(first, &bytes[..MIN_PIECE as usize]).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
    }

    #[test]
    fn a_piece_is_written_whole_or_not_at_all() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let (bytes, list) = content();
        let part = open(&disk, Path::new("/d"), &list).unwrap();
        let last = list.geometry().last().unwrap();
        let foreign = Geometry::of(100 * MIN_PIECE).unwrap().last().unwrap();
        for (piece, len) in [(last, 6), (last, 8), (last, 0), (foreign, 0), (foreign, 9)] {
            let error = part.write_piece(piece, &bytes[..len]).unwrap_err();
            assert!(matches!(error, StoreError::PieceLength { .. }), "{error}");
        }
        let mut into = vec![1];
        assert!(part.read_piece(foreign, &mut into).is_err());
        assert!(into.is_empty());
        assert_eq!(recovered(&part, &list), [0u32; 0]);
    }

    #[test]
    fn a_link_or_a_file_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (_, list) = content();
        fs::create_dir(dir.path().join("target")).unwrap();
        let parts = dir.path().join(PARTS_FOLDER);
        symlink(dir.path().join("target"), &parts).unwrap();
        let error = open(&disk, dir.path(), &list).err().unwrap();
        assert!(matches!(error, StoreError::NotAFolder { .. }), "{error}");
        fs::remove_file(&parts).unwrap();
        fs::create_dir(&parts).unwrap();
        let part = parts.join(format!("{}.part", list.id()));
        symlink(dir.path().join("target/x"), &part).unwrap();
        let error = open(&disk, dir.path(), &list).err().unwrap();
        assert!(matches!(error, StoreError::NotAFile { .. }), "{error}");
        let error = open(&disk, &dir.path().join("nothing/\0"), &list).err().unwrap();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        fs::write(dir.path().join("file"), b"").unwrap();
        let error = open(&disk, &dir.path().join("file"), &list).err().unwrap();
        assert!(matches!(error, StoreError::NotAFolder { .. }), "{error}");
    }

    #[test]
    fn a_name_that_is_taken_a_thousand_times_is_given_up() {
        let disk = MemoryDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (_, list) = content();
        let part = open(&shared, Path::new("/d"), &list).unwrap();
        disk.put("/d/x", b"");
        for number in 1..=MAX_NAMESAKES {
            disk.put(format!("/d/x ({number})"), b"");
        }
        let error = part.place(Path::new("/d"), "x").unwrap_err();
        assert!(matches!(error, StoreError::NameTaken { .. }), "{error}");
        assert_eq!(part.place(Path::new("/d"), "y").unwrap(), Path::new("/d/y"));
    }
}
