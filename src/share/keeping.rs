//! Keeping what is published over the end of the process.
//!
//! Always true: what a publication or an unpublication has reported is on disk; what
//! could not be saved is tried again with the next save, and told meanwhile. What is
//! read back is trusted like the day it was hashed: its stamp is compared before each
//! read, and a stamp that had not settled then makes each piece be hashed again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::shown;
use super::library::{Library, Protected, own_name};
use super::published_path::Published;
use crate::store::disk::Disk;
use crate::store::share_index::{FileRow, Kept, ShareIndex};

/// Most missing publications that are named one by one; the others are counted.
const MAX_WARNINGS: usize = 8;

/// Where a library is kept.
#[derive(Default)]
pub(super) struct Keeping {
    /// None for a library that leaves nothing behind.
    index: Option<ShareIndex>,
    /// One save at a time; why the last one failed, if it did.
    failed: Mutex<Option<String>>,
}

impl Library {
    /// A library on `disk` that is kept in `index`, with what that has `kept`. Touches
    /// none of the files; [`Library::walk`] does.
    #[must_use]
    pub fn restore(
        disk: Arc<dyn Disk>,
        protected: &Protected,
        index: ShareIndex,
        kept: Kept,
    ) -> Self {
        let keeping = Keeping { index: Some(index), failed: Mutex::default() };
        let library = Self::on(disk, protected, keeping);
        // Since then the user may have made a key of what was published.
        let keys = library.key_files();
        let names: BTreeMap<_, _> = kept.names.into_iter().collect();
        let named = names.clone();
        let files = kept.files.into_iter().map(|row| {
            let FileRow { path, stamp, settled, list } = row;
            let own = library.is_protected(&path) || keys.contains(&(stamp.dev, stamp.ino));
            let name = own_name(&path).filter(|_| !own);
            let name = name.map(|name| names.get(&path).cloned().unwrap_or(name));
            let file = name.map(|name| Published::new(path.clone(), name, stamp, list, settled));
            (path, file)
        });
        library.shelf_mut().restore(kept.roots, kept.excluded, named, files);
        library
    }

    /// Whether anything has changed that was not yet saved.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        self.shelf().has_unsaved()
    }

    /// Saves what has changed. When this returns, it outlives the process, whoever's
    /// change it was. Blocks.
    ///
    /// # Errors
    /// A sentence: why not. What was not saved is tried again with the next save.
    pub fn save(&self) -> Result<(), String> {
        let Some(index) = &self.keeping().index else { return Ok(()) };
        let mut failed = self.keeping().failed.lock().unwrap_or_else(PoisonError::into_inner);
        let unsaved = self.shelf_mut().take_unsaved();
        if unsaved.is_empty() {
            return Ok(()); // another's save took it along
        }
        let changes = self.shelf().changes(&unsaved);
        match index.write(&changes) {
            Ok(()) => {
                *failed = None;
                Ok(())
            }
            Err(error) => {
                self.shelf_mut().give_back(unsaved);
                *failed = Some(error.to_string());
                Err(error.to_string())
            }
        }
    }

    /// What the user should know about what is published, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let failed = self.keeping().failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed =
            failed.map(|why| format!("what is published cannot be remembered at present: {why}"));
        let shelf = self.shelf();
        let missing = shelf.missing.iter().map(|(root, why)| {
            let files = match shelf.absent_in(root).len() {
                0 => "nothing of it is".to_owned(),
                1 => "its file is not".to_owned(),
                count => format!("its {count} files are not"),
            };
            let root = shown(root);
            format!("{root} {why}: {files} shared until it is there again; 'unpublish' forgets it")
        });
        let mut warnings: Vec<_> = failed.into_iter().chain(missing.take(MAX_WARNINGS)).collect();
        if let Some(more) = shelf.missing.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
            warnings.push(format!("{more} more published paths are not there"));
        }
        warnings
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::library::{UnpublishTarget, tests::target};
    use super::super::publish::tests::publish;
    use super::super::{PublishReport, Unwatched, WalkReport};
    use super::*;
    use crate::base::ContentId;
    use crate::store::{MemoryDisk, RealDisk, StateDir};
    use std::path::Path;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    /// A library as a process would open it on `disk`, with its state at `/state`.
    pub(in super::super) fn start(disk: &MemoryDisk) -> Library {
        start_at(Arc::new(disk.clone()), Path::new("/state"))
    }

    fn start_at(disk: Arc<dyn Disk>, state: &Path) -> Library {
        let lock = StateDir::lock(Arc::clone(&disk), state, 1).unwrap();
        let (index, kept, notice) = ShareIndex::open(Arc::clone(&disk), Arc::new(lock), 0);
        assert_eq!(notice, None);
        let protected = Protected { state: Some(state.into()), ..Protected::default() };
        Library::restore(disk, &protected, index, kept)
    }

    pub(in super::super) fn walk(library: &Library) -> WalkReport {
        let report = library.walk(&Unwatched, &AtomicBool::new(false));
        library.hash_found(&Unwatched, &AtomicBool::new(false));
        report
    }

    pub(in super::super) fn names(library: &Library) -> Vec<String> {
        library.shared().into_iter().map(|file| file.name).collect()
    }

    fn id_of(bytes: &[u8]) -> ContentId {
        ContentId(*blake3::hash(bytes).as_bytes())
    }

    #[test]
    fn what_is_published_is_there_after_a_restart_and_is_not_hashed_again() {
        let disk = MemoryDisk::new();
        let large = vec![3; 200_000];
        disk.put("/share/large", &large);
        disk.put("/share/in/small", b"small");
        disk.put("/alone", b"alone");
        disk.advance(Duration::from_secs(9));
        let library = start(&disk);
        publish(&library, "/share").unwrap();
        publish(&library, "/alone").unwrap();
        let before = library.shared();
        assert_eq!((before.len(), library.hashing().files), (3, 3));
        drop(library);

        let library = start(&disk);
        assert_eq!(library.shared(), before);
        let mut reader = library.open(id_of(&large)).unwrap();
        let mut piece = Vec::new();
        let last = reader.list().geometry().last().unwrap();
        reader.read_piece(last, &mut piece).unwrap();
        assert_eq!(piece, &large[3 * 65_536..]);
        assert_eq!(walk(&library), WalkReport::default());
        let again = publish(&library, "/share").unwrap();
        assert_eq!((again.files, again.unchanged), (2, 2));
        assert_eq!(library.hashing(), Default::default());
    }

    #[test]
    fn a_real_disk_keeps_it_as_well() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"real").unwrap();
        let state = dir.path().join("state");
        let library = start_at(Arc::new(RealDisk), &state);
        publish(&library, dir.path().join("file").to_str().unwrap()).unwrap();
        drop(library);
        let library = start_at(Arc::new(RealDisk), &state);
        assert!(library.open(id_of(b"real")).is_ok());
        assert_eq!((walk(&library), library.hashing().files), (WalkReport::default(), 0));
    }

    #[test]
    fn only_a_row_that_had_settled_counts_as_checked() {
        let disk = MemoryDisk::new();
        disk.put("/share/old", b"old");
        disk.advance(Duration::from_secs(3));
        disk.put("/share/new", b"new");
        publish(&start(&disk), "/share").unwrap();
        let library = start(&disk);
        let first = crate::base::Geometry::of(3).unwrap().piece(0).unwrap();
        let checked = |path: &str| library.shelf().file(Path::new(path)).unwrap().is_checked(first);
        assert!(checked("/share/old") && !checked("/share/new"));
    }

    #[test]
    fn a_device_with_another_number_is_the_same_but_each_piece_is_checked_again() {
        let disk = MemoryDisk::new();
        disk.put("/share/read", b"read");
        disk.put("/share/walked", b"walked");
        disk.advance(Duration::from_secs(9));
        publish(&start(&disk), "/share").unwrap();
        disk.renumber(7);
        let library = start(&disk);
        let mut reader = library.open(id_of(b"read")).unwrap();
        let only = reader.list().geometry().last().unwrap();
        let checked = |path: &str| library.shelf().file(Path::new(path)).unwrap().is_checked(only);
        assert!(!checked("/share/read"));
        reader.read_piece(only, &mut Vec::new()).unwrap();
        assert!(checked("/share/read"));
        assert_eq!(walk(&library), WalkReport::default());
        assert!(!checked("/share/walked"));
        assert!(library.open(id_of(b"walked")).is_ok());
        assert_eq!((library.hashing().files, library.take_notices().len()), (0, 0));
        library.save().unwrap();
        drop((reader, library));
        disk.forbid("/share");
        let library = start(&disk);
        assert!(library.shelf().files().all(|file| file.stamp.dev == 7));
    }

    #[test]
    fn what_is_unpublished_stays_so_until_it_is_published_by_name() {
        let disk = MemoryDisk::new();
        for path in ["/share/a", "/share/in/b", "/share/in/c", "/share/z", "/other/z"] {
            disk.put(path, path.as_bytes());
        }
        disk.put("/copy", b"/share/z");
        let library = start(&disk);
        for path in ["/share", "/other", "/copy"] {
            publish(&library, path).unwrap();
        }
        let z = UnpublishTarget::Content(id_of(b"/share/z"));
        for (what, files) in [(target("/share/in"), 2), (z, 2), (target("/other"), 1)] {
            assert_eq!(library.unpublish(&what).unwrap().files, files, "{what:?}");
        }
        drop(library);
        let library = start(&disk);
        assert_eq!((names(&library), walk(&library)), (vec!["a".into()], WalkReport::default()));
        assert_eq!(names(&library), ["a"]);
        let PublishReport { files, left_out, .. } = publish(&library, "/share").unwrap();
        assert_eq!((files, left_out.total()), (1, 2));
        publish(&library, "/share/in/c").unwrap();
        drop(library);
        let library = start(&disk);
        walk(&library);
        assert_eq!(names(&library), ["a", "c"]);
        library.unpublish(&target("/share")).unwrap();
        drop(library);
        let library = start(&disk);
        assert!(names(&library).is_empty());
        publish(&library, "/share").unwrap();
        assert_eq!(library.totals().files, 4, "nothing of the old marks is left");
    }

    #[test]
    fn a_finished_download_is_there_after_a_restart() {
        let disk = MemoryDisk::new();
        disk.put("/downloads/x", b"hello");
        let library = start(&disk);
        publish(&library, "/downloads/x").unwrap();
        let list = library.list(id_of(b"hello")).unwrap();
        library.unpublish(&target("/downloads")).unwrap();
        library.add_verified(Path::new("/downloads/x"), (*list).clone()).unwrap();
        drop(library);
        let library = start(&disk);
        assert_eq!(walk(&library), WalkReport::default());
        assert!(library.is_published(id_of(b"hello")) && library.hashing().files == 0);
    }

    #[test]
    fn a_key_made_of_what_was_published_is_shared_no_more() {
        let disk = MemoryDisk::new();
        disk.put("/share/a", b"a");
        disk.put("/share/key", b"key");
        publish(&start(&disk), "/share").unwrap();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let lock = StateDir::lock(Arc::clone(&shared), Path::new("/state"), 1).unwrap();
        let (index, kept, _) = ShareIndex::open(Arc::clone(&shared), Arc::new(lock), 0);
        let protected = Protected { keys: vec!["/share/key".into()], ..Protected::default() };
        let library = Library::restore(shared, &protected, index, kept);
        assert_eq!(names(&library), ["a"]);
    }

    #[test]
    fn what_cannot_be_saved_is_said_and_saved_later() {
        let disk = MemoryDisk::new();
        disk.put("/share/a", b"a");
        let library = start(&disk);
        disk.set_free(0);
        // The index has room of its own for a few rows; a long list has none there.
        let many = (0..4000).map(|number| format!("/share/{number:0200}"));
        let files: Vec<_> = many.collect();
        disk.set_free(1 << 40);
        files.iter().for_each(|path| disk.put(path, path.as_bytes()));
        disk.set_free(0);
        let error = publish(&library, "/share").unwrap_err().to_string();
        assert!(error.starts_with("/share is shared until quit, but cannot be remembered: no "));
        assert_eq!(library.totals().files, 4001);
        assert!(library.warnings()[0].contains("no space left for /state/shares.redb"));
        disk.set_free(1 << 40);
        library.save().unwrap();
        assert!(library.warnings().is_empty());
        drop(library);
        assert_eq!(start(&disk).totals().files, 4001);
    }

    #[test]
    fn unpublishing_wins_over_a_publication_that_is_under_way() {
        let disk = MemoryDisk::new();
        (0..9).for_each(|number| disk.put(format!("/share/{number}"), &[number]));
        let library = start(&disk);
        let taking = library.clone();
        // In the midst of it one that is hashed, one that is not, and one that is not there.
        let meddle = move |at: super::super::PublishProgress<'_>| {
            if at.files == 3 {
                assert_eq!(taking.unpublish(&target("/share/1")).unwrap().files, 1);
                assert_eq!(taking.unpublish(&target("/share/7")).unwrap().files, 0);
                assert!(taking.unpublish(&target("/share/none")).is_err());
            }
        };
        let stop = AtomicBool::new(false);
        let report = library.publish(Path::new("/share"), false, &meddle, &stop).unwrap();
        assert_eq!((report.files, names(&library).len()), (8, 7));
        let library = {
            drop((library, meddle));
            start(&disk)
        };
        walk(&library);
        assert_eq!(names(&library), ["0", "2", "3", "4", "5", "6", "8"]);

        let taking = library.clone();
        (10..19).for_each(|number| disk.put(format!("/share/{number}"), &[number]));
        let meddle = move |_: super::super::PublishProgress<'_>| {
            let _ = taking.unpublish(&target("/share"));
        };
        let error = library.publish(Path::new("/share"), false, &meddle, &stop).unwrap_err();
        assert_eq!(error.to_string(), "/share was unpublished meanwhile");
        assert_eq!(library.totals().files, 0);
    }
}
