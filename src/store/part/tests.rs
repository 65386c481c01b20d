//! A part file from its first piece to its name, and what can befall it on the way.

use super::super::disk::PARTS_FOLDER;
use super::super::{MemoryDisk, RealDisk, leftover};
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
    PartFile::open(Arc::clone(disk), &place(dir), list.id(), list.geometry())
}

fn place(dir: &Path) -> PartPlace {
    PartPlace { downloads: dir.into(), to: dir.into(), recorded: None }
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
fn a_part_that_another_servent_writes_is_neither_opened_nor_removed() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (_, list) = content();
    let part = open(&disk, dir.path(), &list).unwrap();
    let twin = open(&disk, dir.path(), &list);
    assert!(matches!(twin, Err(StoreError::InUse { .. })));
    let remove = || leftover::remove_unused_part(&*disk, &place(dir.path()), list.id());
    assert!(matches!(remove(), Err(StoreError::InUse { .. })));
    assert!(part.path().exists());
    drop(part);
    drop(open(&disk, dir.path(), &list).unwrap());
    remove().unwrap();
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
    let InPlace { path, unflushed } = part.place(dir.path(), "../../a film.mkv").unwrap();
    assert!(unflushed.is_none());
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
    assert_eq!(part.place(dir.path(), "x.txt").unwrap().path, at("x (6).txt"));
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
        drop(part);
        leftover::remove_part(&*disk, &place(dir.path()), list.id()).unwrap();
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
fn a_disk_too_full_to_flush_the_folder_leaves_the_file_in_place_all_the_same() {
    let disk = MemoryDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (bytes, list) = content();
    let part = open(&shared, Path::new("/d"), &list).unwrap();
    write_all(&part, &list, &bytes);
    disk.set_free(0);
    let InPlace { path, unflushed } = part.place(Path::new("/d"), "x").unwrap();
    assert!(matches!(unflushed, Some(StoreError::Full { .. })), "{unflushed:?}");
    assert_eq!((path.as_path(), disk.contents(&path)), (Path::new("/d/x"), Some(bytes)));
    assert!(disk.kind(&Path::new("/d").join(PARTS_FOLDER)).is_err());
}

#[test]
fn room_for_the_rest_is_what_a_part_that_goes_on_needs() {
    let disk = MemoryDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (bytes, list) = content();
    let part = open(&shared, Path::new("/d"), &list).unwrap();
    part.write_piece(list.geometry().piece(0).unwrap(), &bytes[..MIN_PIECE as usize]).unwrap();
    disk.set_free(RESERVE + SIZE - MIN_PIECE - 1);
    let error = part.check_room().unwrap_err();
    assert!(matches!(error, StoreError::NoRoom { .. }) && error.is_full(), "{error}");
    disk.set_free(RESERVE + SIZE - MIN_PIECE);
    part.check_room().unwrap();
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
    assert_eq!(part.place(Path::new("/d"), "y").unwrap().path, Path::new("/d/y"));
}
