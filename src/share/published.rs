//! Reading what is published, and only that.
//!
//! Always true: bytes that leave here are the content they were asked for as: the stamp
//! of the file is compared before and after each read, and a piece is hashed before it
//! is given, until it was once under a stamp that had settled. A file that differs is withdrawn with a notice.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::error::{OpenError, ReadError};
use super::library::Library;
use super::published_path::Published;
use crate::base::{ContentId, PieceIndex};
use crate::store::disk::{NotRegular, ReadHandle, read_full};
use crate::transfer::PieceList;

/// A published content, open for reading.
pub struct SharedReader {
    library: Library,
    copy: Arc<Published>,
    file: Box<dyn ReadHandle>,
    gone: Arc<AtomicBool>,
}

/// What became of one attempt to read.
enum Failure {
    /// It is not the file that was published.
    Changed,
    /// There is nothing at its path.
    Gone,
    /// The system says no, which may pass.
    System(io::Error),
}

impl Library {
    /// Opens a content: the first of its copies that is still what was published.
    ///
    /// # Errors
    /// [`OpenError`]; the copies that were changed are then no longer published.
    pub fn open(&self, id: ContentId) -> Result<SharedReader, OpenError> {
        let (copies, gone) = match self.shelf().copies(id) {
            Some((copies, gone)) => (copies.to_vec(), Arc::clone(gone)),
            None => return self.open_collection(id).ok_or(OpenError::NotHere),
        };
        let mut result = Err(OpenError::NotHere);
        for copy in copies {
            match self.open_copy(copy.clone()) {
                Ok((copy, file)) => {
                    return Ok(SharedReader { library: self.clone(), copy, file, gone });
                }
                Err(Failure::System(source)) => {
                    result = Err(OpenError::Unreadable { path: copy.path.clone(), source });
                }
                Err(failure) => {
                    self.withdraw(&copy, &failure);
                    result = Err(OpenError::Changed { path: copy.path.clone() });
                }
            }
        }
        result
    }

    /// Opens `copy`, or what takes its place when its device has another number by now.
    fn open_copy(
        &self,
        copy: Arc<Published>,
    ) -> Result<(Arc<Published>, Box<dyn ReadHandle>), Failure> {
        let file = self.disk().open_shared(&copy.path).map_err(|error| {
            let elsewhere = matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR));
            match error.kind() {
                io::ErrorKind::NotFound => Failure::Gone,
                _ if elsewhere || NotRegular::is(&error) => Failure::Changed,
                _ => Failure::System(error),
            }
        })?;
        let stamp = file.stamp().map_err(Failure::System)?;
        if stamp == copy.stamp {
            return Ok((copy, file));
        }
        if !copy.stamp.is_of_same_state(&stamp) || copy.is_withdrawn() {
            return Err(Failure::Changed);
        }
        let mut shelf = self.shelf_mut();
        shelf.insert(copy.again(stamp)).map_err(|_| Failure::Changed)?;
        let copy = shelf.file(&copy.path).ok_or(Failure::Changed)?;
        Ok((Arc::clone(copy), file))
    }

    fn withdraw(&self, copy: &Arc<Published>, failure: &Failure) {
        self.shelf_mut().withdraw(copy, matches!(failure, Failure::Gone));
    }
}

impl SharedReader {
    /// A reader of the text of a collection, until it is `gone`.
    pub(super) fn of_text(
        library: Library,
        copy: Published,
        file: Box<dyn ReadHandle>,
        gone: Arc<AtomicBool>,
    ) -> Self {
        Self { library, copy: Arc::new(copy), file, gone }
    }

    /// The piece values of the content.
    #[must_use]
    pub fn list(&self) -> &Arc<PieceList> {
        &self.copy.list
    }

    /// Whether the content is no longer published. Costs next to nothing.
    #[must_use]
    pub fn withdrawn(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Reads all of `piece` into `into`, whose contents it replaces. Goes on with another
    /// copy of the content where this one was changed or unpublished.
    ///
    /// # Errors
    /// [`ReadError`]; then `into` is empty.
    pub fn read_piece(&mut self, piece: PieceIndex, into: &mut Vec<u8>) -> Result<(), ReadError> {
        let read = self.read_any_copy(piece, into);
        if read.is_err() {
            into.clear();
        }
        read
    }

    fn read_any_copy(&mut self, piece: PieceIndex, into: &mut Vec<u8>) -> Result<(), ReadError> {
        if self.list().geometry().piece(piece.get()).is_none() {
            return Err(ReadError::NoSuchPiece { number: piece.get() });
        }
        // Each round either ends or leaves a copy behind that is not published any more.
        loop {
            if self.copy.is_withdrawn() {
                *self = self.library.open(self.list().id())?;
            }
            match self.read_here(piece, into) {
                Ok(()) => return Ok(()),
                Err(Failure::System(source)) => {
                    return Err(ReadError::Unreadable { path: self.copy.path.clone(), source });
                }
                Err(failure) => {
                    self.library.withdraw(&self.copy, &failure);
                    match self.library.open(self.list().id()) {
                        Ok(other) => *self = other,
                        Err(OpenError::NotHere) => {
                            return Err(ReadError::Changed { path: self.copy.path.clone() });
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }

    fn read_here(&self, piece: PieceIndex, into: &mut Vec<u8>) -> Result<(), Failure> {
        let geometry = self.copy.list.geometry();
        let now_ns = self.library.disk().now_ns();
        check_stamp(&*self.file, &self.copy)?;
        // A buffer of the right length is read over, not cleared first.
        into.resize(usize::try_from(geometry.len(piece)).unwrap_or(0), 0);
        let read = read_full(&*self.file, into, geometry.offset(piece)).map_err(Failure::System)?;
        let checked = self.copy.is_checked(piece);
        if read < into.len() || !(checked || self.copy.list.proves(piece, into)) {
            return Err(Failure::Changed);
        }
        check_stamp(&*self.file, &self.copy)?;
        if !checked && self.copy.stamp.has_settled(now_ns) {
            self.copy.set_checked(piece);
        }
        Ok(())
    }
}

fn check_stamp(file: &dyn ReadHandle, copy: &Published) -> Result<(), Failure> {
    match file.stamp() {
        Ok(stamp) if stamp == copy.stamp => Ok(()),
        Ok(_) => Err(Failure::Changed),
        Err(error) => Err(Failure::System(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::library::UnpublishTarget;
    use super::super::publish::tests::{library, publish};
    use super::*;
    use crate::base::Geometry;
    use crate::base::piece::MIN_PIECE;
    use crate::store::disk::{Disk, Kind};
    use crate::store::{MemoryDisk, RealDisk};
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    fn content() -> Vec<u8> {
        let mut bytes = vec![0; 2 * MIN_PIECE as usize + 9];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn id_of(bytes: &[u8]) -> ContentId {
        ContentId(*blake3::hash(bytes).as_bytes())
    }

    fn read(reader: &mut SharedReader, number: u32) -> Result<Vec<u8>, ReadError> {
        let piece = reader.list().geometry().piece(number).unwrap();
        let mut into = vec![1, 2, 3];
        let result = reader.read_piece(piece, &mut into);
        assert!(result.is_ok() || into.is_empty(), "bytes came with an error");
        result.map(|()| into)
    }

    fn shared(bytes: &[u8]) -> (MemoryDisk, Library, SharedReader) {
        let (disk, library) = library();
        disk.put("/share/a", bytes);
        publish(&library, "/share/a").unwrap();
        let reader = library.open(id_of(bytes)).unwrap();
        (disk, library, reader)
    }

    #[test]
    fn every_piece_is_read_as_it_was_published() {
        let bytes = content();
        let (_, _, mut reader) = shared(&bytes);
        let all: Vec<u8> = (0..3).flat_map(|number| read(&mut reader, number).unwrap()).collect();
        assert_eq!(all, bytes);
        let foreign = Geometry::of(9 * MIN_PIECE).unwrap().piece(3).unwrap();
        let refused = reader.read_piece(foreign, &mut Vec::new());
        assert!(matches!(refused, Err(ReadError::NoSuchPiece { number: 3 })));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_gives_no_wrong_byte() {
        type Change = fn(&MemoryDisk, &[u8]);
        let changes: [(&str, Change); 6] = [
            ("truncated", |disk, bytes| disk.put("/share/a", &bytes[..9])),
            ("appended", |disk, bytes| disk.put("/share/a", &[bytes, b"x"].concat())),
            ("rewritten", |disk, bytes| disk.put("/share/a", &vec![7; bytes.len()])),
            ("deleted", |disk, _| disk.remove_file(Path::new("/share/a")).unwrap()),
            ("replaced", |disk, bytes| {
                disk.put("/share/new", bytes);
                disk.rename(Path::new("/share/new"), Path::new("/share/a")).unwrap();
            }),
            ("swapped for a link", |disk, _| {
                disk.remove_file(Path::new("/share/a")).unwrap();
                disk.put_odd("/share/a", Kind::Symlink);
            }),
        ];
        for (what, change) in changes {
            let bytes = content();
            let (disk, library, mut reader) = shared(&bytes);
            read(&mut reader, 0).unwrap();
            change(&disk, &bytes);
            let error = read(&mut reader, 1).unwrap_err();
            assert!(matches!(error, ReadError::Changed { .. }), "{what}: {error}");
            assert!(reader.withdrawn(), "{what}");
            assert!(!library.is_published(id_of(&bytes)), "{what}");
            let notices = library.take_notices();
            assert_eq!(notices.len(), 1, "{what}");
            assert!(notices[0].to_string().starts_with("/share/a "), "{what}");
            assert!(library.take_notices().is_empty());
            let again = library.open(id_of(&bytes)).err().unwrap();
            assert!(matches!(again, OpenError::NotHere), "{what}");
        }
    }

    #[test]
    fn a_file_that_changed_before_it_is_opened_is_withdrawn() {
        let bytes = content();
        let (disk, library, reader) = shared(&bytes);
        drop(reader);
        disk.put_odd("/share/a", Kind::Special);
        let error = library.open(id_of(&bytes)).err().unwrap();
        assert!(matches!(error, OpenError::Changed { .. }), "{error}");
        assert_eq!(library.take_notices().len(), 1);
    }

    #[test]
    fn a_change_that_the_stamp_does_not_show_is_found_by_hashing() {
        // Published within the clock's grain of the change: the stamp is not trusted.
        let bytes = content();
        let (_, library, _) = shared(&bytes);
        let file = library.shelf().files().next().map(Arc::clone).unwrap();
        let other = MemoryDisk::new();
        other.put("/share/a", &vec![7; bytes.len()]);
        let stamp = other.open_shared(Path::new("/share/a")).unwrap().stamp().unwrap();
        let second = Library::new(Arc::new(other), &Default::default());
        let list = Arc::clone(&file.list);
        let wrong = Published::new(file.path.clone(), file.name.clone(), stamp, list, false);
        second.shelf_mut().mark(&file.path, false);
        second.shelf_mut().insert(wrong).unwrap();
        let mut reader = second.open(id_of(&bytes)).unwrap();
        assert!(matches!(read(&mut reader, 0), Err(ReadError::Changed { .. })));
    }

    #[test]
    fn publishing_counts_as_hashing_only_once_the_stamp_has_settled() {
        let (disk, library) = library();
        disk.put("/share/old", b"old");
        disk.advance(Duration::from_secs(3));
        disk.put("/share/new", b"new");
        publish(&library, "/share").unwrap();
        let first = Geometry::of(3).unwrap().piece(0).unwrap();
        let checked = |path: &str| library.shelf().file(Path::new(path)).unwrap().is_checked(first);
        assert!(checked("/share/old") && !checked("/share/new"));
        let mut reader = library.open(id_of(b"new")).unwrap();
        read(&mut reader, 0).unwrap();
        assert!(!checked("/share/new"));
        disk.advance(Duration::from_secs(3));
        read(&mut reader, 0).unwrap();
        assert!(checked("/share/new"));
    }

    #[test]
    fn an_unpublished_content_is_noticed_and_another_copy_goes_on() {
        let bytes = content();
        let (disk, library, mut reader) = shared(&bytes);
        disk.put("/share/b", &bytes);
        publish(&library, "/share").unwrap();
        library.unpublish(&UnpublishTarget::of("/share/a")).unwrap();
        assert!(!reader.withdrawn());
        assert!(read(&mut reader, 1).is_ok());
        disk.put("/share/c", &bytes);
        publish(&library, "/share/c").unwrap();
        disk.remove_file(Path::new("/share/b")).unwrap();
        assert!(read(&mut reader, 1).is_ok());
        library.unpublish(&UnpublishTarget::of("/share/c")).unwrap();
        assert!(reader.withdrawn());
        assert!(matches!(read(&mut reader, 1), Err(ReadError::Withdrawn)));
    }

    #[test]
    fn a_real_file_swapped_for_a_link_is_never_served() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let secret = dir.path().join("secret");
        fs::write(&path, content()).unwrap();
        fs::write(&secret, content()).unwrap();
        let library = Library::new(Arc::new(RealDisk), &Default::default());
        publish(&library, path.to_str().unwrap()).unwrap();
        let mut reader = library.open(id_of(&content())).unwrap();
        assert_eq!(read(&mut reader, 0).unwrap(), content()[..MIN_PIECE as usize]);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        // Whoever had it open may still get the file that was published, nothing else.
        match read(&mut reader, 0) {
            Ok(bytes) => assert_eq!(bytes, content()[..MIN_PIECE as usize]),
            Err(error) => assert!(matches!(error, ReadError::Changed { .. }), "{error}"),
        }
        assert!(library.open(id_of(&content())).is_err());
        assert!(!library.is_published(id_of(&content())));
    }
}
