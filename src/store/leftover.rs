//! What earlier runs left of a download: its list, its part, the file itself.
//!
//! Always true: nothing found here is believed because of where it lies or what it is
//! called; a list must be proven by a piece, a file by its hash. Removed is only what
//! bears the name that this servent gives to such files, in the folders for them.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::{Disk, Kind, ReadHandle, read_full};
use super::error::StoreError;
use super::name::{numbered, safe_name};
use super::part::{MAX_NAMESAKES, alike, claim};
use super::part_place::PartPlace;
use super::sidecar;
use crate::base::{ContentId, Geometry};
use crate::transfer::{ListBuilder, PieceList};

/// Files of the right name and size that are hashed in search of one that was placed just
/// before a crash: it is the first of them but for a folder full of twins.
const MAX_HASHED: usize = 8;
/// How long ago another servent with the same downloads folder must have begun to write a
/// file for it to be litter, in nanoseconds: a list is written within seconds.
const STALE_NS: i128 = 60_000_000_000;

/// The list that an earlier run kept of `id`, if a part is there whose last piece fits it:
/// that binds the size as well.
#[must_use]
pub fn kept_list(disk: &dyn Disk, place: &PartPlace, id: ContentId) -> Option<PieceList> {
    let part = place.part(disk, id);
    let list = sidecar::read(disk, part.parent()?, id)?.list;
    let geometry = list.geometry();
    let last = geometry.last()?;
    let file = disk.open_shared(&part).ok()?;
    let mut bytes = vec![0; usize::try_from(geometry.len(last)).ok()?];
    let read = read_full(&*file, &mut bytes, geometry.offset(last)).ok()?;
    bytes.truncate(read);
    list.proves(last, &bytes).then_some(list)
}

/// Bytes that are here of a download; none when there is no part.
#[must_use]
pub fn held(disk: &dyn Disk, place: &PartPlace, id: ContentId) -> Option<u64> {
    let part = place.part(disk, id);
    // To open one that is not there would make it.
    disk.kind(&part).ok().filter(|kind| *kind == Kind::File)?;
    let ranges = disk.open_part(&part).ok()?.data_ranges().ok()?;
    Some(ranges.iter().map(|(begin, end)| end.saturating_sub(*begin)).sum())
}

/// [`remove_part`] for who does not have it open: not while another servent writes it.
///
/// # Errors
/// [`StoreError::InUse`]; else as [`remove_part`].
pub fn remove_unused_part(
    disk: &dyn Disk,
    place: &PartPlace,
    id: ContentId,
) -> Result<(), StoreError> {
    let part = place.part(disk, id);
    if disk.kind(&part).is_err() {
        return remove_part(disk, place, id);
    }
    let open = disk.open_part(&part).map_err(|error| StoreError::from_io("open", &part, error))?;
    claim(&*open, &part)?;
    remove_part(disk, place, id) // while it is ours
}

/// Removes the part of a download that was given up, and what is kept beside it: of a
/// collection the folder that was coming.
///
/// # Errors
/// What the disk says; what is gone already is no error.
pub fn remove_part(disk: &dyn Disk, place: &PartPlace, id: ContentId) -> Result<(), StoreError> {
    super::folder::remove_staged(disk, place, id)?;
    let part = place.part(disk, id);
    sidecar::remove_file(disk, &part)?;
    if let Some(parts) = part.parent() {
        sidecar::remove(disk, parts, id)?;
        // Fails while other parts are in it, which is what it is asked for.
        let _ = disk.remove_folder(parts);
    }
    Ok(())
}

/// The file that a crash kept from being told of: `id`, of `size` bytes, in place in
/// `folder` under the name `wanted` or a numbered one. None also when `stop` was set.
#[must_use]
pub fn placed_file(
    disk: &dyn Disk,
    folder: &Path,
    wanted: &str,
    id: ContentId,
    size: u64,
    stop: &AtomicBool,
) -> Option<(PathBuf, PieceList)> {
    let geometry = Geometry::of(size)?;
    let entries = disk.list(folder).ok()?;
    let names: HashSet<&str> = entries.iter().filter_map(|entry| entry.name.to_str()).collect();
    let known: HashSet<String> = names.iter().map(|name| alike(name)).collect();
    let plain = safe_name(wanted, id);
    // It got the first number that was free, so behind a free one there is nothing.
    let taken = (1..=MAX_NAMESAKES)
        .map(|number| numbered(&plain, number))
        .take_while(|name| known.contains(&alike(name)));
    std::iter::once(plain.clone())
        .chain(taken)
        .filter(|name| names.contains(name.as_str()))
        .filter_map(|name| {
            let path = folder.join(name);
            let file = disk.open_shared(&path).ok()?;
            (file.stamp().ok()?.size == size).then_some((path, file))
        })
        .take(MAX_HASHED)
        .find_map(|(path, file)| {
            let list = list_of(&*file, geometry, stop)?;
            (list.id() == id).then_some((path, list))
        })
}

/// The list of an open file; none when it cannot be read, or `stop` was set.
pub(super) fn list_of(
    file: &dyn ReadHandle,
    geometry: Geometry,
    stop: &AtomicBool,
) -> Option<PieceList> {
    let mut builder = ListBuilder::new(geometry);
    let mut bytes = Vec::new();
    for piece in geometry.pieces() {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        bytes.resize(usize::try_from(geometry.len(piece)).ok()?, 0);
        let read = read_full(file, &mut bytes, geometry.offset(piece)).ok()?;
        builder.push(bytes.get(..read).filter(|_| read == bytes.len())?);
    }
    builder.finish()
}

/// Removes what a killed process began to write, and lists whose part is gone, from the
/// folders for parts `folders`; what belongs to `unfinished` downloads and is
/// whole stays.
pub fn sweep<'a>(
    disk: &dyn Disk,
    folders: impl Iterator<Item = &'a Path>,
    unfinished: &BTreeSet<ContentId>,
) {
    for parts in folders {
        let entries = disk.list(parts).unwrap_or_default();
        let names: HashSet<&OsStr> = entries.iter().map(|entry| entry.name.as_os_str()).collect();
        for entry in entries.iter().filter(|entry| entry.kind == Kind::File) {
            let Some((id, ending)) = entry.name.to_str().and_then(|name| name.split_once('.'))
            else {
                continue;
            };
            let Ok(content) = id.parse::<ContentId>() else { continue };
            let path = parts.join(&entry.name);
            let ours = unfinished.contains(&content);
            let litter = match ending {
                sidecar::UNFINISHED => ours || is_stale(disk, &path),
                sidecar::ENDING => !ours && !names.contains(OsStr::new(&format!("{id}.part"))),
                _ => false,
            };
            if litter {
                let _ = disk.remove_file(&path); // the next start tries again
            }
        }
        // Fails while something is in it, which is what it is asked for.
        let _ = disk.remove_folder(parts);
    }
}

fn is_stale(disk: &dyn Disk, path: &Path) -> bool {
    let written = disk.open_shared(path).and_then(|file| file.stamp());
    written.is_ok_and(|stamp| disk.now_ns().saturating_sub(stamp.mtime_ns) > STALE_NS)
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryDisk, PARTS_FOLDER, PartFile};
    use super::*;
    use crate::base::piece::MIN_PIECE;
    use std::sync::Arc;
    use std::time::Duration;

    const SIZE: u64 = 3 * MIN_PIECE + 7;
    const HOME: &str = "/d";

    fn content() -> (Vec<u8>, PieceList) {
        let mut bytes = vec![0; SIZE as usize];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        let mut builder = ListBuilder::new(Geometry::of(SIZE).unwrap());
        bytes.chunks(MIN_PIECE as usize).for_each(|piece| builder.push(piece));
        (bytes, builder.finish().unwrap())
    }

    fn part_of(disk: &MemoryDisk, list: &PieceList) -> PartFile {
        PartFile::open(Arc::new(disk.clone()), &home(), list.id(), list.geometry()).unwrap()
    }

    fn home() -> PartPlace {
        PartPlace { downloads: HOME.into(), to: HOME.into(), recorded: None }
    }

    fn found(disk: &MemoryDisk, id: ContentId) -> Option<PieceList> {
        kept_list(disk, &home(), id)
    }

    #[test]
    fn a_kept_list_counts_once_the_last_piece_proves_its_size() {
        let (bytes, list) = content();
        let disk = MemoryDisk::new();
        let part = part_of(&disk, &list);
        part.keep_list(&list).unwrap();
        assert_eq!(found(&disk, list.id()), None, "nothing proves its size");
        let last = list.geometry().last().unwrap();
        part.write_piece(last, &bytes[list.geometry().offset(last) as usize..]).unwrap();
        assert!(held(&disk, &home(), list.id()).is_some_and(|held| held > 0 && held < SIZE));
        assert_eq!(found(&disk, list.id()), Some(list.clone()));
        remove_part(&disk, &home(), list.id()).unwrap();
        assert_eq!(found(&disk, list.id()), None);
        assert_eq!(held(&disk, &home(), list.id()), None);
        assert!(disk.list(Path::new(HOME)).unwrap().is_empty());
    }

    #[test]
    fn a_list_of_the_next_tree_level_merges_to_the_id_and_is_not_believed() {
        let geometry = Geometry::of(4 * MIN_PIECE).unwrap();
        let bytes = vec![7; 4 * MIN_PIECE as usize];
        let mut builder = ListBuilder::new(geometry);
        bytes.chunks(MIN_PIECE as usize).for_each(|piece| builder.push(piece));
        let list = builder.finish().unwrap();
        let above: Vec<_> = list
            .values()
            .chunks(2)
            .map(|two| {
                use blake3::hazmat::{Mode, merge_subtrees_non_root};
                merge_subtrees_non_root(&two[0], &two[1], Mode::Hash)
            })
            .collect();
        let lie = PieceList::new(list.id(), Geometry::of(2 * MIN_PIECE).unwrap(), above).unwrap();
        let disk = MemoryDisk::new();
        let part = part_of(&disk, &list);
        for (piece, bytes) in geometry.pieces().zip(bytes.chunks(MIN_PIECE as usize)) {
            part.write_piece(piece, bytes).unwrap();
        }
        part.keep_list(&lie).unwrap();
        assert_eq!(found(&disk, list.id()), None);
        part.keep_list(&list).unwrap();
        assert_eq!(found(&disk, list.id()), Some(list));
    }

    #[test]
    fn a_map_counts_only_while_the_part_has_the_very_stamp_and_that_has_settled() {
        let (bytes, list) = content();
        let disk = MemoryDisk::new();
        let part = part_of(&disk, &list);
        let first = list.geometry().piece(0).unwrap();
        part.write_piece(first, &bytes[..MIN_PIECE as usize]).unwrap();
        let held = part.recover(&list, &AtomicBool::new(false), &|_, _| {}).unwrap();
        part.keep_held(&list).unwrap();
        drop(part);
        let part = part_of(&disk, &list);
        assert_eq!(part.trust_held(), None, "its stamp would not tell a change");
        disk.advance(Duration::from_secs(3));
        assert_eq!(part.trust_held(), Some(held.clone()));
        part.write_piece(first, &bytes[..MIN_PIECE as usize]).unwrap();
        disk.advance(Duration::from_secs(3));
        assert_eq!(part.trust_held(), None, "something was written since");
        // What is claimed is proven in the end, whoever claimed it.
        let mut all = held.clone();
        for piece in list.geometry().pieces() {
            all.insert(piece);
        }
        assert_eq!(part.check(&list, &all, &AtomicBool::new(false)).unwrap(), held);
    }

    #[test]
    fn a_file_that_was_placed_is_known_again_by_its_hash_among_its_namesakes() {
        let (bytes, list) = content();
        let disk = MemoryDisk::new();
        let find = |name| {
            let stop = AtomicBool::new(false);
            let found = placed_file(&disk, Path::new(HOME), name, list.id(), SIZE, &stop);
            found.map(|(path, proof)| {
                assert_eq!(proof, list);
                path
            })
        };
        assert_eq!(find("x.txt"), None);
        disk.put("/d/x.txt", b"mine");
        disk.put("/d/X (1).txt", &bytes);
        disk.put("/d/x (2).txt", &vec![0; bytes.len()]);
        disk.put("/d/x (3).txt", &bytes);
        disk.put("/d/x (5).txt", &bytes);
        assert_eq!(find("x.txt"), Some("/d/x (3).txt".into()));
        assert_eq!(find("y.txt"), None);
        disk.remove_file(Path::new("/d/x (3).txt")).unwrap();
        assert_eq!(find("x.txt"), None, "behind a free number there is nothing of ours");
    }

    #[test]
    fn a_sweep_takes_the_litter_and_leaves_what_is_in_use() {
        let disk = MemoryDisk::new();
        let name = |byte: u8, ending: &str| {
            format!("/d/{PARTS_FOLDER}/{}.{ending}", ContentId([byte; 32]))
        };
        for (byte, ending) in [
            (1, "part"),
            (1, "list"),
            (1, "list.tmp"),
            (2, "list"),
            (3, "part"),
            (3, "list"),
            (4, "list.tmp"),
        ] {
            disk.put(name(byte, ending), b"x");
        }
        disk.put(format!("/d/{PARTS_FOLDER}/notes.tmp"), b"mine");
        let left = || {
            let mut left: Vec<_> = disk.list(&Path::new(HOME).join(PARTS_FOLDER)).unwrap();
            left.sort_by(|a, b| a.name.cmp(&b.name));
            left.iter().map(|entry| entry.name.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let unfinished = BTreeSet::from([ContentId([1; 32])]);
        let parts = Path::new(HOME).join(PARTS_FOLDER);
        sweep(&disk, std::iter::once(&*parts), &unfinished);
        let file = |path: String| path.rsplit('/').next().unwrap().to_owned();
        let mut kept: Vec<_> = [(1, "part"), (1, "list"), (3, "part"), (3, "list")]
            .map(|(byte, ending)| file(name(byte, ending)))
            .into();
        kept.push("notes.tmp".into());
        kept.push(file(name(4, "list.tmp")));
        kept.sort();
        assert_eq!(left(), kept);
        disk.advance(Duration::from_secs(61));
        sweep(&disk, std::iter::once(&*parts), &unfinished);
        assert!(!left().contains(&file(name(4, "list.tmp"))));
    }
}
