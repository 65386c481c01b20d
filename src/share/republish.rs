//! Sharing anew what changed under its owner's hands.
//!
//! A file that is no longer what was published is withdrawn at the first read that shows
//! it. Whoever shared it most likely wants to share it as it is now; but what stands at
//! its path may by now be something else altogether, so no link is followed to it.

use std::sync::atomic::AtomicBool;

use super::library::{Library, Notice};
use super::scan::Todo;
use crate::store::disk::Kind;

impl Library {
    /// Shares a file anew that was withdrawn because it changed: only the file itself, and
    /// only if nothing but a file stands at its path, without a link on the way. False when
    /// it is not shared in the end, or was unpublished meanwhile. None while it may still be
    /// written: then its notice is given once more.
    ///
    /// Blocks while it hashes; `stop` ends it.
    pub fn republish(&self, notice: &Notice, stop: &AtomicBool) -> Option<bool> {
        let path = notice.path.as_path();
        let plain = matches!(self.disk().kind(path), Ok(Kind::File))
            && self.disk().resolve(path).is_ok_and(|resolved| resolved == path)
            && !self.is_protected(path);
        let wanted = plain && self.shelf().changed.contains(path);
        let stamp = self.disk().look(path).ok().filter(|_| wanted).map(|(_, stamp)| stamp);
        if stamp.is_some_and(|stamp| !stamp.has_settled(self.disk().now_ns())) {
            self.shelf_mut().put_back(notice.clone());
            return None;
        }
        let hasher = self.hasher(1, stop, &|_, _| {});
        let shared = stamp.is_some_and(|stamp| {
            let todo = Todo { path: path.to_path_buf(), stamp };
            hasher.file(&todo, 1, &mut Vec::new()).is_ok()
        });
        let mut shelf = self.shelf_mut();
        let wanted = shelf.changed.remove(path);
        if shared && !wanted {
            shelf.remove(path);
        }
        Some(shared && wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::library::UnpublishTarget;
    use super::super::publish::tests::{library, publish};
    use super::*;
    use crate::base::ContentId;
    use crate::store::MemoryDisk;
    use std::time::Duration;

    const PATH: &str = "/share/a";

    fn id_of(bytes: &[u8]) -> ContentId {
        ContentId(*blake3::hash(bytes).as_bytes())
    }

    /// A library whose one file was changed, and found to be so by a reader.
    fn changed() -> (MemoryDisk, Library) {
        let (disk, library) = library();
        disk.put(PATH, b"before");
        publish(&library, PATH).unwrap();
        disk.put(PATH, b"after");
        assert!(library.open(id_of(b"before")).is_err());
        disk.advance(Duration::from_secs(3));
        (disk, library)
    }

    fn republish(library: &Library) -> bool {
        let notice = Notice { path: PATH.into(), id: id_of(b"before") };
        library.republish(&notice, &AtomicBool::new(false)) == Some(true)
    }

    #[test]
    fn what_may_still_be_written_waits_with_its_notice() {
        let (disk, library) = changed();
        disk.put(PATH, b"half");
        for _ in 0..2 {
            let notices = library.take_notices();
            let [notice] = &notices[..] else { panic!("{notices:?}") };
            assert_eq!(library.republish(notice, &AtomicBool::new(false)), None);
        }
        assert!(!library.is_published(id_of(b"half")));
        disk.advance(Duration::from_secs(3));
        let notice = library.take_notices().remove(0);
        assert_eq!(library.republish(&notice, &AtomicBool::new(false)), Some(true));
        assert!(library.is_published(id_of(b"half")) && library.take_notices().is_empty());
    }

    #[test]
    fn a_changed_file_is_shared_as_it_is_now_and_only_once() {
        let (_, library) = changed();
        assert!(republish(&library));
        assert!(library.is_published(id_of(b"after")));
        assert!(!republish(&library), "nothing has changed since");
    }

    #[test]
    fn what_became_a_folder_or_a_pipe_is_not_shared() {
        let (disk, library) = changed();
        disk.put_odd(PATH, Kind::Symlink);
        assert!(!republish(&library));
        let (disk, library) = changed();
        disk.put_odd(PATH, Kind::Special);
        assert!(!republish(&library));
        assert_eq!(library.totals().files, 0);
    }

    #[test]
    fn what_was_unpublished_meanwhile_does_not_come_back() {
        let (_, library) = changed();
        assert_eq!(library.unpublish(&UnpublishTarget::of(PATH)).unwrap().files, 1);
        assert!(!republish(&library));
        assert!(!library.is_published(id_of(b"after")));
    }

    #[test]
    fn what_was_never_published_is_not_shared_by_this_way() {
        let (disk, library) = library();
        disk.put(PATH, b"mine");
        assert!(!republish(&library));
    }
}
