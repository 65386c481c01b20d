//! What is kept beside a part file: the list that proves its pieces and, after a clean
//! stop, which of them it held.
//!
//! Always true: it is whole, by its checksum, or taken for missing; its list merges to
//! the id that it is read for. Everything in it is a hint all the same. The list's size
//! is believed only when the part's last piece fits it, the map only while the part has
//! the very stamp that it had, and whoever places the file proves those pieces first.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Stamp};
use super::error::StoreError;
use crate::base::{ContentId, Geometry, PieceMap};
use crate::transfer::{PieceList, PieceValue};

/// What it begins with, before the checksum: the format and its version.
const HEADER: &str = "part2part list 1 ";
/// Largest sidecar: 2^18 values and a map are 8 MiB and 32 KiB.
const MAX_SIDECAR: u64 = 9 << 20;
/// How its name ends.
pub(super) const ENDING: &str = "list";
/// How the name of one ends that is being written.
pub(super) const UNFINISHED: &str = "list.tmp";

/// What was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sidecar {
    /// The pieces and their values; its size is not proven yet.
    pub list: PieceList,
    /// The part's stamp at the last clean stop, and what it held then.
    pub held: Option<(Stamp, PieceMap)>,
}

/// Where the sidecar of `id` lies in the folder `parts`.
pub(super) fn path(parts: &Path, id: ContentId) -> PathBuf {
    parts.join(format!("{id}.{ENDING}"))
}

/// Writes the sidecar of a part in the folder `parts`; on return it survives a loss of
/// power, and until then the one before stays.
pub(super) fn write(disk: &dyn Disk, parts: &Path, sidecar: &Sidecar) -> Result<(), StoreError> {
    let path = path(parts, sidecar.list.id());
    let temporary = unfinished(parts, sidecar.list.id());
    let body = to_bytes(sidecar);
    let mut bytes = format!("{HEADER}{}\n", blake3::hash(&body)).into_bytes();
    bytes.extend_from_slice(&body);
    let failed = |error| StoreError::from_io("write", &path, error);
    remove_file(disk, &temporary)?;
    if let Err(error) = disk.write_new(&temporary, &bytes) {
        // What was begun takes space that may be the very thing that is missing.
        let _ = disk.remove_file(&temporary);
        return Err(failed(error));
    }
    disk.rename(&temporary, &path).map_err(failed)?;
    disk.open_folder(parts).and_then(|folder| folder.sync()).map_err(failed)
}

/// The sidecar of `id` in the folder `parts`; none when there is none that is whole.
pub(super) fn read(disk: &dyn Disk, parts: &Path, id: ContentId) -> Option<Sidecar> {
    let bytes = disk.read_small(&path(parts, id), MAX_SIDECAR).ok()?;
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let body = rest.get(1..)?;
    let sum = std::str::from_utf8(head).ok()?.strip_prefix(HEADER)?;
    if blake3::Hash::from_hex(sum).ok()? != blake3::hash(body) {
        return None;
    }
    from_bytes(id, body)
}

/// Removes the sidecar of `id`, finished or not.
pub(super) fn remove(disk: &dyn Disk, parts: &Path, id: ContentId) -> Result<(), StoreError> {
    remove_file(disk, &unfinished(parts, id))?;
    remove_file(disk, &path(parts, id))
}

fn unfinished(parts: &Path, id: ContentId) -> PathBuf {
    parts.join(format!("{id}.{UNFINISHED}"))
}

/// Removes a file of our own; one that is gone already is no error.
pub(super) fn remove_file(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::from_io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Little-endian: the size, the values, then nothing or the stamp and a bit a piece.
fn to_bytes(sidecar: &Sidecar) -> Vec<u8> {
    let geometry = sidecar.list.geometry();
    let mut bytes = geometry.size().to_le_bytes().to_vec();
    bytes.extend(sidecar.list.values().iter().flatten());
    let Some((stamp, held)) = &sidecar.held else { return bytes };
    for number in [stamp.dev, stamp.ino, stamp.size] {
        bytes.extend(number.to_le_bytes());
    }
    for time in [stamp.mtime_ns, stamp.ctime_ns] {
        bytes.extend(time.to_le_bytes());
    }
    let mut bits = vec![0u8; geometry.count().div_ceil(8) as usize];
    for piece in geometry.pieces().filter(|&piece| held.contains(piece)) {
        if let Some(byte) = bits.get_mut((piece.get() / 8) as usize) {
            *byte |= 1 << (piece.get() % 8);
        }
    }
    bytes.extend(bits);
    bytes
}

fn from_bytes(id: ContentId, mut bytes: &[u8]) -> Option<Sidecar> {
    let bytes = &mut bytes;
    let geometry = Geometry::of(u64::from_le_bytes(take(bytes)?))?;
    let values: Option<Vec<PieceValue>> =
        (0..PieceList::values_needed(geometry)).map(|_| take(bytes)).collect();
    let list = PieceList::new(id, geometry, values?).ok()?;
    if bytes.is_empty() {
        return Some(Sidecar { list, held: None });
    }
    let mut number = || take(bytes).map(u64::from_le_bytes);
    let (dev, ino, size) = (number()?, number()?, number()?);
    let mut time = || take(bytes).map(i128::from_le_bytes);
    let (mtime_ns, ctime_ns) = (time()?, time()?);
    let stamp = Stamp { dev, ino, size, mtime_ns, ctime_ns };
    if bytes.len() != geometry.count().div_ceil(8) as usize {
        return None;
    }
    let mut held = PieceMap::new(geometry.count());
    for piece in geometry.pieces() {
        let byte = bytes.get((piece.get() / 8) as usize).copied().unwrap_or(0);
        if byte >> (piece.get() % 8) & 1 == 1 {
            held.insert(piece);
        }
    }
    Some(Sidecar { list, held: Some((stamp, held)) })
}

/// Takes `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::super::MemoryDisk;
    use super::*;
    use crate::base::piece::MIN_PIECE;
    use crate::transfer::ListBuilder;

    const PARTS: &str = "/d/.part2part";

    fn sidecar(pieces: u64, held: &[u32]) -> Sidecar {
        let geometry = Geometry::of(pieces * MIN_PIECE).unwrap();
        let mut builder = ListBuilder::new(geometry);
        geometry.pieces().for_each(|_| builder.push(&[0; MIN_PIECE as usize]));
        let mut map = PieceMap::new(geometry.count());
        for piece in held {
            map.insert(geometry.piece(*piece).unwrap());
        }
        let stamp = Stamp { dev: 1, ino: 2, size: 3, mtime_ns: -4, ctime_ns: i128::MAX };
        Sidecar { list: builder.finish().unwrap(), held: Some((stamp, map)) }
    }

    fn disk() -> MemoryDisk {
        let disk = MemoryDisk::new();
        disk.create_folder(Path::new(PARTS), 0o700).unwrap();
        disk
    }

    #[test]
    fn it_comes_back_as_it_was_and_the_next_one_replaces_it() {
        let (disk, parts) = (disk(), Path::new(PARTS));
        for pieces in [1, 2, 9] {
            for held in [&[][..], &[0], &[0, (pieces - 1) as u32]] {
                let mut written = sidecar(pieces, held);
                write(&disk, parts, &written).unwrap();
                let id = written.list.id();
                assert_eq!(read(&disk, parts, id), Some(written.clone()));
                written.held = None;
                write(&disk, parts, &written).unwrap();
                assert_eq!(read(&disk, parts, id), Some(written));
                remove(&disk, parts, id).unwrap();
                assert_eq!(read(&disk, parts, id), None);
            }
        }
        assert!(disk.list(parts).unwrap().is_empty());
    }

    #[test]
    fn whatever_is_changed_in_it_it_counts_as_missing() {
        let (disk, parts) = (disk(), Path::new(PARTS));
        let written = sidecar(3, &[1]);
        write(&disk, parts, &written).unwrap();
        let path = path(parts, written.list.id());
        let whole = disk.contents(&path).unwrap();
        for at in 0..whole.len() {
            let mut garbled = whole.clone();
            garbled[at] ^= 1;
            disk.put(&path, &garbled);
            assert_eq!(read(&disk, parts, written.list.id()), None, "byte {at}");
            disk.put(&path, &whole[..at]);
            assert_eq!(read(&disk, parts, written.list.id()), None, "cut at {at}");
        }
    }

    #[test]
    fn a_list_of_another_file_is_none_even_with_a_good_checksum() {
        let (disk, parts) = (disk(), Path::new(PARTS));
        let written = sidecar(3, &[]);
        write(&disk, parts, &written).unwrap();
        let other = ContentId([7; 32]);
        disk.rename(&path(parts, written.list.id()), &path(parts, other)).unwrap();
        assert_eq!(read(&disk, parts, other), None);
    }
}
