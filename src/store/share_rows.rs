//! The rows of the share index, as bytes.
//!
//! Every value begins with a checksum over its key and the rest of it; numbers are little
//! endian. A file: flags, device, inode, size, the two times in nanoseconds, the content
//! id, then the piece values, none below two pieces. A root: its place in the order of
//! time, then what it is. A path that is excluded: nothing more. A file that is called
//! otherwise than on the disk: what it is called.
//!
//! Always true: bytes that were not written by this page for this key are no row.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Stamp;
use crate::base::{ContentId, FileName, Geometry};
use crate::transfer::PieceList;

/// Bytes of the checksum: enough against chance; nobody else writes into the state folder.
const CHECK: usize = 8;
/// The flag of a file whose stamp had settled when it was hashed.
const SETTLED: u8 = 1;

/// A published file, as it outlives the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileRow {
    /// Where it lies.
    pub path: PathBuf,
    /// The state of the file that was hashed.
    pub stamp: Stamp,
    /// Whether that state was old enough, when it was hashed, to tell every later change.
    pub settled: bool,
    /// What it holds.
    pub list: Arc<PieceList>,
}

/// What was published by its own name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootRow {
    /// Where it lies.
    pub path: PathBuf,
    /// Its place among the others, in order of time.
    pub order: u64,
    /// Whether it is a folder.
    pub folder: bool,
}

/// The key of a row.
pub(super) fn key_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// The path behind the key of a row.
pub(super) fn path_of(key: &[u8]) -> PathBuf {
    OsStr::from_bytes(key).into()
}

impl FileRow {
    pub(super) fn value(&self) -> Vec<u8> {
        let Stamp { dev, ino, size, mtime_ns, ctime_ns } = self.stamp;
        let mut body = vec![if self.settled { SETTLED } else { 0 }];
        for number in [dev, ino, size] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        for time in [mtime_ns, ctime_ns] {
            body.extend_from_slice(&time.to_le_bytes());
        }
        body.extend_from_slice(&self.list.id().0);
        body.extend(self.list.values().iter().flatten());
        sealed(key_of(&self.path), &body)
    }

    pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let mut body = opened(key, value)?;
        let [flags] = take(&mut body)?;
        let [dev, ino, size] =
            [take(&mut body)?, take(&mut body)?, take(&mut body)?].map(u64::from_le_bytes);
        let [mtime_ns, ctime_ns] = [take(&mut body)?, take(&mut body)?].map(i128::from_le_bytes);
        let id = ContentId(take(&mut body)?);
        let (values, rest) = body.as_chunks();
        if flags > SETTLED || !rest.is_empty() {
            return None;
        }
        let list = PieceList::new(id, Geometry::of(size)?, values.to_vec()).ok()?;
        Some(Self {
            path: path_of(key),
            stamp: Stamp { dev, ino, size, mtime_ns, ctime_ns },
            settled: flags == SETTLED,
            list: Arc::new(list),
        })
    }
}

impl RootRow {
    pub(super) fn value(&self) -> Vec<u8> {
        let mut body = self.order.to_le_bytes().to_vec();
        body.push(u8::from(self.folder));
        sealed(key_of(&self.path), &body)
    }

    pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let mut body = opened(key, value)?;
        let order = u64::from_le_bytes(take(&mut body)?);
        let [folder] = take(&mut body)?;
        let known = folder <= 1 && body.is_empty();
        known.then(|| Self { path: path_of(key), order, folder: folder == 1 })
    }
}

/// The value of a path that is excluded.
pub(super) fn excluded_value(path: &Path) -> Vec<u8> {
    sealed(key_of(path), &[])
}

pub(super) fn read_excluded(key: &[u8], value: &[u8]) -> Option<PathBuf> {
    opened(key, value)?.is_empty().then(|| path_of(key))
}

/// The value of a path whose file is called otherwise.
pub(super) fn name_value(path: &Path, name: &FileName) -> Vec<u8> {
    sealed(key_of(path), name.as_str().as_bytes())
}

pub(super) fn read_name(key: &[u8], value: &[u8]) -> Option<(PathBuf, FileName)> {
    let name = std::str::from_utf8(opened(key, value)?).ok()?;
    Some((path_of(key), FileName::new(name).ok()?))
}

fn sealed(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = check(key, body).to_vec();
    value.extend_from_slice(body);
    value
}

fn opened<'a>(key: &[u8], mut value: &'a [u8]) -> Option<&'a [u8]> {
    let found: [u8; CHECK] = take(&mut value)?;
    (found == check(key, value)).then_some(value)
}

fn check(key: &[u8], body: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new();
    // No path holds a zero, so no other key and body read the same.
    hasher.update(key).update(&[0]).update(body);
    let mut check = [0; CHECK];
    hasher.finalize_xof().fill(&mut check);
    check
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::ListBuilder;

    fn row(size: usize, settled: bool) -> FileRow {
        let bytes = vec![7; size];
        let geometry = Geometry::of(size as u64).unwrap();
        let mut builder = ListBuilder::new(geometry);
        bytes.chunks(geometry.piece_len() as usize).for_each(|piece| builder.push(piece));
        let stamp = Stamp { dev: 1, ino: 2, size: size as u64, mtime_ns: -3, ctime_ns: 1 << 70 };
        let list = Arc::new(builder.finish().unwrap());
        FileRow { path: "/share/höhle".into(), stamp, settled, list }
    }

    #[test]
    fn rows_read_back_as_they_were_written() {
        for (size, len) in [(0, 97), (5, 97), (200_000, 97 + 4 * 32)] {
            for settled in [true, false] {
                let row = row(size, settled);
                assert_eq!(row.value().len(), len, "{size}");
                assert_eq!(FileRow::read(key_of(&row.path), &row.value()).as_ref(), Some(&row));
            }
        }
        for folder in [true, false] {
            let root = RootRow { path: "/a".into(), order: 1 << 40, folder };
            assert_eq!(RootRow::read(b"/a", &root.value()), Some(root));
        }
        let path = Path::new("/a");
        assert_eq!(read_excluded(b"/a", &excluded_value(path)).as_deref(), Some(path));
        let name = FileName::new("höhle").unwrap();
        let value = name_value(path, &name);
        assert_eq!(read_name(b"/a", &value), Some((path.to_path_buf(), name)));
        assert_eq!(read_name(b"/b", &value), None);
        assert_eq!(read_name(b"/a", &sealed(b"/a", b"no/name")), None);
    }

    #[test]
    fn a_changed_bit_a_lost_end_or_another_key_is_no_row() {
        let row = row(200_000, true);
        let (key, value) = (key_of(&row.path), row.value());
        for at in 0..value.len() {
            let mut other = value.clone();
            other[at] ^= 1;
            assert_eq!(FileRow::read(key, &other), None, "byte {at}");
            assert_eq!(FileRow::read(key, &value[..at]), None, "the first {at} bytes");
        }
        assert_eq!(FileRow::read(b"/share/other", &value), None);
        let (root, excluded) = (RootRow::read(key, &value), read_excluded(key, &value));
        assert_eq!((root, excluded), (None, None), "one table's row is not another's");
    }
}
