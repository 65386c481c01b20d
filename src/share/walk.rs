//! Looking again at what was published before this process began.
//!
//! Always true: what is as it was is not hashed; what is new, changed or gone is found;
//! what was published by name and cannot be found at all, as when its disk is not
//! mounted, is not shared, and is remembered with all that is known of its files.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::PublishError;
use super::library::Library;
use crate::store::disk::Kind;

/// What a walk has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WalkReport {
    /// Files that are new or have changed, and were hashed.
    pub hashed: u64,
    /// Files that are gone, or no longer may be shared.
    pub gone: u64,
    /// Publications that are not there; [`Library::warnings`] tells them.
    pub missing: u64,
}

/// What became of something that was published by name.
enum Missing {
    /// Its place is there without it.
    Removed,
    /// A sentence without its subject: why it is not there.
    Away(String),
}

impl Library {
    /// Looks at all that was published before this process began, and not since, in the
    /// order in which it was. Blocks; `stop` ends it after the read in hand, and the next walk finds what this one did not come to.
    pub fn walk(&self, stop: &AtomicBool) -> WalkReport {
        self.index_restored();
        let mut report = WalkReport::default();
        let roots = self.shelf().marks.old_roots();
        for (path, root) in roots {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match self.missing(&path, root.folder) {
                Some(Missing::Removed) => {
                    report.gone += u64::from(self.shelf_mut().forget(&path));
                    continue;
                }
                Some(Missing::Away(why)) => {
                    report.missing += 1;
                    let mut shelf = self.shelf_mut();
                    if shelf.marks.root(&path).is_some() {
                        shelf.paths_in(&path).iter().for_each(|path| shelf.set_absent(path));
                        shelf.missing.insert(path, why);
                    }
                    continue;
                }
                None => {}
            }
            let mut run = self.run(&path, &|_| {}, stop);
            // What cannot be read by now is found missing by the next walk.
            let ended = run.root(root.folder);
            if !matches!(ended, Err(PublishError::Unreadable { .. })) {
                let found = run.report();
                report.hashed += found.files - found.unchanged;
                report.gone += found.withdrawn;
            }
        }
        report
    }

    /// Why what was published as `root` is not there; none when it is.
    fn missing(&self, root: &Path, folder: bool) -> Option<Missing> {
        let away = |why: &str| Some(Missing::Away(why.to_owned()));
        let unreadable = |error: &io::Error| {
            Some(Missing::Away(match error.kind() {
                io::ErrorKind::NotFound => "is not there".to_owned(),
                kind => format!("cannot be read ({kind})"),
            }))
        };
        if self.is_protected(root) {
            return away("belongs to part2part itself");
        }
        let kind = match self.disk().kind(root) {
            // A file that was removed is gone, unless all around it is gone as well.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder => {
                let around = root.parent().map(|parent| self.disk().list(parent));
                let removed = matches!(around, Some(Ok(names)) if !names.is_empty());
                return if removed { Some(Missing::Removed) } else { unreadable(&error) };
            }
            Err(error) => return unreadable(&error),
            Ok(kind) => kind,
        };
        match self.disk().resolve(root) {
            Ok(resolved) if resolved == root => {}
            Ok(_) => return away("leads elsewhere by now"),
            Err(error) => return unreadable(&error),
        }
        match (kind, folder) {
            (Kind::Folder, true) => match self.disk().list(root) {
                Err(error) => unreadable(&error),
                // So it looks where a disk is not mounted.
                Ok(names) if names.is_empty() && self.has_files_in(root) => away("is empty"),
                Ok(_) => None,
            },
            (Kind::File, false) => match self.disk().open_shared(root) {
                Err(error) => unreadable(&error),
                Ok(_) => None,
            },
            _ => away("is something else by now"),
        }
    }

    fn has_files_in(&self, root: &Path) -> bool {
        let shelf = self.shelf();
        !(shelf.paths_in(root).is_empty() && shelf.absent_in(root).is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::keeping::tests::{names, start, walk};
    use super::super::library::tests::target;
    use super::super::publish::tests::publish;
    use super::*;
    use crate::store::MemoryDisk;
    use crate::store::disk::Disk;

    #[test]
    fn what_is_new_changed_or_gone_since_the_last_run_is_found() {
        let disk = MemoryDisk::new();
        for name in ["same", "changed", "gone"] {
            disk.put(format!("/share/{name}"), name.as_bytes());
        }
        publish(&start(&disk), "/share").unwrap();
        disk.put("/share/changed", b"anew");
        disk.put("/share/added", b"added");
        disk.remove_file(Path::new("/share/gone")).unwrap();
        let library = start(&disk);
        assert_eq!(names(&library), ["changed", "gone", "same"]);
        assert_eq!(walk(&library), WalkReport { hashed: 2, gone: 1, missing: 0 });
        assert_eq!(names(&library), ["added", "changed", "same"]);
        assert_eq!((library.hashing().files, library.hashing().bytes), (2, 9));
        library.save().unwrap();
        drop(library);
        let library = start(&disk);
        assert_eq!((names(&library).len(), walk(&library)), (3, WalkReport::default()));
    }

    #[test]
    fn what_is_not_there_is_not_shared_and_comes_back_without_being_hashed() {
        type Leave = fn(&MemoryDisk);
        let away: [(&str, Leave); 2] = [
            ("is not there", |disk| disk.rename(Path::new("/disk"), Path::new("/away")).unwrap()),
            ("is empty", |disk| {
                disk.rename(Path::new("/disk"), Path::new("/away")).unwrap();
                disk.create_folder(Path::new("/disk"), 0o700).unwrap();
            }),
        ];
        for (why, leave) in away {
            let disk = MemoryDisk::new();
            disk.put("/disk/a", b"a");
            disk.put("/disk/in/b", b"b");
            let library = start(&disk);
            publish(&library, "/disk").unwrap();
            drop(library);
            leave(&disk);
            for _ in 0..2 {
                let library = start(&disk);
                assert_eq!(walk(&library), WalkReport { missing: 1, ..WalkReport::default() });
                assert!(names(&library).is_empty());
                let warnings = library.warnings();
                let said = format!("/disk {why}: its 2 files are not shared until ");
                assert!(warnings.len() == 1 && warnings[0].starts_with(&said), "{warnings:?}");
                library.save().unwrap();
            }
            let _ = disk.remove_folder(Path::new("/disk"));
            disk.rename(Path::new("/away"), Path::new("/disk")).unwrap();
            let library = start(&disk);
            assert_eq!((walk(&library), names(&library).len()), (WalkReport::default(), 2));
            assert!(library.warnings().is_empty() && library.hashing().files == 0);
        }
    }

    #[test]
    fn what_was_away_can_be_published_again_or_forgotten_by_hand() {
        let disk = MemoryDisk::new();
        disk.put("/disk/a", b"a");
        publish(&start(&disk), "/disk").unwrap();
        disk.rename(Path::new("/disk"), Path::new("/away")).unwrap();
        let library = start(&disk);
        walk(&library);
        disk.rename(Path::new("/away"), Path::new("/disk")).unwrap();
        assert_eq!(publish(&library, "/disk").unwrap().unchanged, 1);
        assert!(library.warnings().is_empty() && library.hashing().files == 0);
        drop(library);

        disk.rename(Path::new("/disk"), Path::new("/away")).unwrap();
        let library = start(&disk);
        assert_eq!(walk(&library).missing, 1);
        assert_eq!(library.unpublish(&target("/disk")).unwrap().files, 1);
        assert!(library.warnings().is_empty());
        drop(library);
        disk.rename(Path::new("/away"), Path::new("/disk")).unwrap();
        let library = start(&disk);
        assert_eq!((walk(&library), names(&library).len()), (WalkReport::default(), 0));
    }

    #[test]
    fn what_this_process_published_is_not_looked_at_again() {
        let disk = MemoryDisk::new();
        disk.put("/share/a", b"a");
        let library = start(&disk);
        publish(&library, "/share").unwrap();
        disk.put("/share/b", b"b");
        assert_eq!((walk(&library), names(&library).len()), (WalkReport::default(), 1));
        drop(library);
        let library = start(&disk);
        assert_eq!((walk(&library).hashed, names(&library).len()), (1, 2));
    }

    #[test]
    fn a_file_that_was_published_by_name_and_removed_is_forgotten() {
        let disk = MemoryDisk::new();
        disk.put("/share/a", b"a");
        disk.put("/share/b", b"b");
        publish(&start(&disk), "/share/a").unwrap();
        disk.remove_file(Path::new("/share/a")).unwrap();
        let library = start(&disk);
        assert_eq!(walk(&library), WalkReport { gone: 1, ..WalkReport::default() });
        library.save().unwrap();
        drop(library);
        disk.put("/share/a", b"another");
        let library = start(&disk);
        walk(&library);
        assert!(names(&library).is_empty() && library.warnings().is_empty());
    }

    #[test]
    fn what_became_something_else_is_not_followed() {
        let disk = MemoryDisk::new();
        disk.put("/share/a", b"a");
        publish(&start(&disk), "/share/a").unwrap();
        disk.put_odd("/share/a", Kind::Symlink);
        let library = start(&disk);
        assert_eq!(walk(&library).missing, 1);
        assert!(names(&library).is_empty());
        assert!(library.warnings()[0].starts_with("/share/a "), "{:?}", library.warnings());
    }

    #[test]
    fn what_is_hidden_and_published_by_name_outlives_the_walk_of_the_folder_around_it() {
        let disk = MemoryDisk::new();
        disk.put("/share/.hidden", b"h");
        disk.put("/share/a", b"a");
        let library = start(&disk);
        publish(&library, "/share/.hidden").unwrap();
        publish(&library, "/share").unwrap();
        assert_eq!(names(&library), [".hidden", "a"]);
        drop(library);
        let library = start(&disk);
        assert_eq!((walk(&library), names(&library).len()), (WalkReport::default(), 2));
    }
}
