//! Looking again at what was published: all of it at the start, and later what has
//! changed, or may have.
//!
//! Always true: what is as it was is not hashed; what is new, changed or gone is found;
//! what was published by name and cannot be found at all, as when its disk is not
//! mounted, is not shared, and is remembered with all that is known of its files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::absence::Missing;
use super::library::Library;
use super::marks::Root;
use super::scan::{Scan, Watcher};
use crate::store::disk::Kind;

/// What a walk has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WalkReport {
    /// Files that are new or have changed, and now wait to be hashed.
    pub found: u64,
    /// Files that are gone, or no longer may be shared.
    pub gone: u64,
    /// Publications that are not there; [`Library::warnings`] tells them.
    pub missing: u64,
}

/// A folder that is to be looked at.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Look {
    /// Which; in what is published, or around it.
    pub folder: PathBuf,
    /// Whether also into the folders in it that are watched.
    pub deep: bool,
}

impl Library {
    /// Looks at all that was published before this process began, and not since, in the
    /// order in which it was. What is new waits for [`Library::hash_found`]. Blocks; `stop`
    /// ends it after the folder in hand, and the next walk finds what this one did not come
    /// to.
    pub fn walk(&self, watcher: &dyn Watcher, stop: &AtomicBool) -> WalkReport {
        self.index_restored();
        let mut report = WalkReport::default();
        let mut scan = self.scan(watcher, &|_| {}, stop);
        let roots = self.shelf().marks.old_roots();
        for (path, root) in roots {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match self.missing(&path, root.folder, false) {
                Some(Missing::Removed) => {
                    report.gone += u64::from(self.shelf_mut().forget(&path));
                }
                Some(Missing::Away(why)) => {
                    report.missing += 1;
                    self.set_missing(&path, why);
                }
                None => scan_root(&mut scan, &path, root),
            }
        }
        self.close(scan, report)
    }

    /// Looks at some folders again, because something in them has changed or may have.
    /// A file that was published by its own name is not forgotten when it is gone: many a
    /// program removes a file to write it anew. Blocks; `stop` ends it.
    pub fn look(&self, looks: &[Look], watcher: &dyn Watcher, stop: &AtomicBool) -> WalkReport {
        let mut report = WalkReport::default();
        let mut scan = self.scan(watcher, &|_| {}, stop);
        let mut around = BTreeSet::new();
        for Look { folder, deep } in looks {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            around.insert(folder.as_path());
            let (root, within) = {
                let shelf = self.shelf();
                let root = shelf.marks.nearest_root(folder).map(Path::to_path_buf);
                let within = root.as_ref().and_then(|path| shelf.marks.root(path));
                (root, within)
            };
            let (Some(path), Some(root @ Root { folder: true, .. })) = (root, within) else {
                continue;
            };
            if path != *folder && *deep {
                let _ = scan.folder(&path, folder, true);
                continue;
            }
            match self.missing(&path, root.folder, true) {
                Some(Missing::Removed) => {}
                Some(Missing::Away(why)) => {
                    report.missing += 1;
                    self.set_missing(&path, why);
                }
                // What cannot be read by now is found missing by the next look.
                None => drop(scan.folder(&path, folder, *deep)),
            }
        }
        let mut files = self.shelf().marks.files_in(&around);
        self.leave_begun(&mut files);
        files.iter().for_each(|path| self.look_at_file(path, &mut scan));
        self.close(scan, report)
    }

    /// Looks at some of the files that were published by their own names, those after
    /// `after`; the last of them, from which the next call goes on, if there are more.
    pub fn look_at_files(
        &self,
        after: Option<&Path>,
        most: usize,
        watcher: &dyn Watcher,
        stop: &AtomicBool,
    ) -> Option<PathBuf> {
        let mut files = self.shelf().marks.files_after(after, most);
        let last = files.get(most.saturating_sub(1)).cloned();
        self.leave_begun(&mut files);
        let mut scan = self.scan(watcher, &|_| {}, stop);
        for path in &files {
            self.look_at_file(path, &mut scan);
        }
        self.close(scan, WalkReport::default());
        last
    }

    /// Leaves files out whose publishing runs, which hashes them, or was stopped.
    fn leave_begun(&self, files: &mut Vec<PathBuf>) {
        let shelf = self.shelf();
        files.retain(|path| !shelf.is_begun(path));
    }

    fn look_at_file(&self, path: &Path, scan: &mut Scan<'_>) {
        let known = self.shelf().file(path).map(|file| file.stamp);
        match self.disk().look(path) {
            Ok((Kind::File, stamp)) if known == Some(stamp) => return,
            // It was gone before.
            Err(_) if known.is_none() => return,
            _ => {}
        }
        match self.missing(path, false, true) {
            None => drop(scan.file(path)),
            Some(Missing::Away(why)) => self.set_missing(path, why),
            Some(Missing::Removed) => self.set_missing(path, "is not there".to_owned()),
        }
    }

    /// Ends a scan: what it found is to be hashed.
    fn close(&self, mut scan: Scan<'_>, mut report: WalkReport) -> WalkReport {
        scan.finish();
        report.found += scan.todo.len() as u64;
        report.gone += scan.report.withdrawn;
        self.add_found(scan.todo);
        report
    }

    /// The folders that were published by name, in order of time, but for those that are
    /// just being published for the first time.
    #[must_use]
    pub fn published_folders(&self) -> Vec<PathBuf> {
        let shelf = self.shelf();
        let mut folders = shelf.marks.root_folders();
        folders.retain(|folder| !shelf.publishing.contains(folder));
        folders
    }

    /// Whether [`Library::walk`] looks at this folder.
    #[must_use]
    pub fn awaits_walk(&self, root: &Path) -> bool {
        self.shelf().marks.root(root).is_some_and(|root| !root.fresh)
    }
}

/// Looks at something that was published by name; what cannot be read by now is found
/// missing by the next walk.
fn scan_root(scan: &mut Scan<'_>, path: &Path, root: Root) {
    let _ = match root.folder {
        true => scan.folder(path, path, true),
        false => scan.file(path),
    };
}

#[cfg(test)]
mod tests {
    use super::super::Unwatched;
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
        assert_eq!(walk(&library), WalkReport { found: 2, gone: 1, missing: 0 });
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
        assert_eq!((walk(&library).found, names(&library).len()), (1, 2));
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

    fn look(library: &Library, folders: &[(&str, bool)]) -> WalkReport {
        let looks =
            folders.iter().map(|(folder, deep)| Look { folder: folder.into(), deep: *deep });
        let stop = AtomicBool::new(false);
        let report = library.look(&looks.collect::<Vec<_>>(), &Unwatched, &stop);
        library.hash_found(&Unwatched, &stop);
        report
    }

    #[test]
    fn what_was_moved_keeps_its_content_unread_and_is_proven_before_it_is_sent() {
        let disk = MemoryDisk::new();
        disk.put("/one/a", b"a");
        disk.put("/one/in/b", b"b");
        disk.put("/two/c", b"c");
        let library = start(&disk);
        publish(&library, "/one").unwrap();
        publish(&library, "/two").unwrap();
        disk.rename(Path::new("/one/a"), Path::new("/two/x")).unwrap();
        disk.rename(Path::new("/one/in"), Path::new("/two/out")).unwrap();
        let report = look(&library, &[("/one", false), ("/two", false)]);
        assert_eq!(report, WalkReport { found: 0, gone: 2, missing: 0 });
        assert_eq!(
            (names(&library), library.hashing().files),
            (vec!["c", "b", "x"].into_iter().map(Into::into).collect(), 3)
        );
        let file = library.shelf().file(Path::new("/two/x")).cloned().unwrap();
        let only = file.list.geometry().last().unwrap();
        assert!(!file.is_checked(only), "it is looked at before it is sent");
        let mut read = Vec::new();
        library.open(file.list.id()).unwrap().read_piece(only, &mut read).unwrap();
        assert_eq!(read, b"a");
        // One that took another's place, in the same breath.
        disk.rename(Path::new("/two/x"), Path::new("/two/c")).unwrap();
        look(&library, &[("/two", false)]);
        assert_eq!((names(&library).len(), library.hashing().files), (2, 3));
        assert_eq!(library.path(file.list.id()), Some("/two/c".into()));
    }

    #[test]
    fn what_was_published_by_its_own_name_too_is_moved_unread_with_its_given_name() {
        let disk = MemoryDisk::new();
        disk.put("/one/a", b"a");
        let library = start(&disk);
        publish(&library, "/one").unwrap();
        let (name, stop) = (crate::base::FileName::new("song").unwrap(), AtomicBool::new(false));
        library.publish_as(Path::new("/one/a"), &name, &|_| {}, &stop).unwrap();
        for (from, to) in [("/one/a", "/one/b"), ("/one/b", "/one/c")] {
            disk.rename(Path::new(from), Path::new(to)).unwrap();
            look(&library, &[("/one", false)]);
            assert_eq!((names(&library), library.hashing().files), (vec!["song".to_owned()], 1));
            assert!(library.shelf().file(Path::new(to)).is_some());
        }
        library.save().unwrap();
        drop(library);
        assert_eq!(names(&start(&disk)), ["song"]);
    }

    #[test]
    fn a_folder_that_is_gone_is_forgotten_and_one_that_a_disk_left_is_not() {
        for leaves_folder in [true, false] {
            let disk = MemoryDisk::new();
            disk.put("/share/here", b"here");
            disk.put("/share/gone/x", b"x");
            disk.mount("/share/usb", Some(9));
            disk.put("/share/usb/deep/film", b"film");
            let library = start(&disk);
            publish(&library, "/share").unwrap();
            disk.rename(Path::new("/share/gone"), Path::new("/gone")).unwrap();
            disk.rename(Path::new("/share/usb"), Path::new("/usb")).unwrap();
            disk.mount("/share/usb", None);
            if leaves_folder {
                disk.create_folder(Path::new("/share/usb"), 0o700).unwrap();
            }
            assert_eq!(look(&library, &[("/share", true)]).gone, 1);
            assert_eq!(names(&library), ["here"]);
            assert_eq!(library.away(), [Path::new("/share/usb")]);
            let warned = library.warnings();
            assert!(warned[0].starts_with("/share/usb is where a disk was"), "{warned:?}");
            library.save().unwrap();
            drop(library);

            let library = start(&disk);
            walk(&library);
            assert_eq!((names(&library), library.away().len()), (vec!["here".to_owned()], 1));
            let _ = disk.remove_folder(Path::new("/share/usb"));
            disk.rename(Path::new("/usb"), Path::new("/share/usb")).unwrap();
            disk.mount("/share/usb", Some(9));
            look(&library, &[("/share/usb", true)]);
            assert_eq!((names(&library).len(), library.hashing().files), (2, 0));
            assert!(library.away().is_empty());
        }
    }

    #[test]
    fn what_cannot_be_read_for_a_moment_is_not_forgotten() {
        let disk = MemoryDisk::new();
        disk.put("/share/in/a", b"a");
        disk.put("/share/in/deep/b", b"b");
        disk.put("/share/.part2partignore", b"none");
        let library = start(&disk);
        publish(&library, "/share").unwrap();
        for failing in ["/share/in", "/share/in/deep", "/share/.part2partignore"] {
            disk.fail(failing, true);
            look(&library, &[("/share", true), ("/share/in", true)]);
            assert_eq!(names(&library).len(), 2, "{failing}");
            disk.fail(failing, false);
        }
        disk.remove_file(Path::new("/share/in/a")).unwrap();
        disk.put("/share/new", b"new");
        look(&library, &[("/share", true)]);
        assert_eq!((names(&library).len(), library.hashing().files), (2, 3));
        disk.forbid("/share/in");
        look(&library, &[("/share", true)]);
        assert_eq!(names(&library), ["new"]);
    }

    #[test]
    fn a_file_that_was_published_by_name_is_followed_and_not_forgotten() {
        let disk = MemoryDisk::new();
        disk.put("/share/a", b"a");
        let library = start(&disk);
        publish(&library, "/share/a").unwrap();
        let stop = AtomicBool::new(false);
        let follow = || {
            library.look_at_files(None, 10, &Unwatched, &stop);
            library.hash_found(&Unwatched, &stop);
        };
        disk.put("/share/a", b"changed");
        follow();
        assert_eq!((names(&library).len(), library.hashing().files), (1, 2));
        disk.remove_file(Path::new("/share/a")).unwrap();
        disk.put("/share/b", b"b");
        follow();
        assert_eq!((names(&library).len(), library.away().len()), (0, 1));
        disk.put("/share/a", b"again");
        follow();
        assert_eq!((names(&library).len(), library.away().len()), (1, 0));
    }

    #[test]
    fn what_was_stopped_is_watched_but_goes_on_only_when_it_is_published_again() {
        use super::super::{PublishError, PublishProgress};
        let disk = MemoryDisk::new();
        ["a", "b", "c", "d"].iter().for_each(|name| disk.put(format!("/share/{name}"), b"x"));
        disk.put("/file", &[7; 3 << 20]);
        let library = start(&disk);
        for (path, most) in [("/share", 2), ("/file", 0)] {
            let stop = AtomicBool::new(false);
            let told = |at: PublishProgress<'_>| {
                stop.fetch_or(at.files >= most && at.bytes > 0, Ordering::Relaxed);
            };
            let stopped = library.publish(Path::new(path), false, &told, &stop);
            assert!(matches!(stopped, Err(PublishError::Stopped { .. })), "{stopped:?}");
        }
        assert_eq!((names(&library).len(), library.published_folders().len()), (2, 1));
        let stop = AtomicBool::new(false);
        let follow = |library: &Library| {
            library.look_at_files(None, 10, &Unwatched, &stop);
            look(library, &[("/share", true), ("/", false)]);
        };
        disk.remove_file(Path::new("/share/a")).unwrap();
        follow(&library);
        assert_eq!(names(&library), ["b"]);
        assert_eq!(publish(&library, "/share").unwrap().files, 3);
        disk.put("/share/e", b"e");
        follow(&library);
        assert_eq!(names(&library), ["b", "c", "d", "e"]);
        publish(&library, "/file").unwrap();
        assert_eq!(names(&library).len(), 5);
    }

    #[test]
    fn many_threads_that_are_stopped_leave_nothing_to_go() {
        let disk = MemoryDisk::new();
        (0..200).for_each(|number| disk.put(format!("/share/{number}"), &[1; 100]));
        for most in 0..20 {
            let library = start(&disk);
            library.set_hash_threads(4);
            let stop = AtomicBool::new(false);
            let told = |at: super::super::PublishProgress<'_>| {
                stop.fetch_or(at.files >= most, Ordering::Relaxed);
            };
            let stopped = library.publish(Path::new("/share"), false, &told, &stop);
            assert!(stopped.is_err(), "{stopped:?}");
            assert_eq!((library.hashing().files_left, library.hashing().bytes_left), (0, 0));
            library.unpublish(&target("/share")).unwrap();
        }
    }

    #[test]
    fn many_threads_share_what_one_would() {
        let disk = MemoryDisk::new();
        (0..50).for_each(|number| disk.put(format!("/share/{number}"), &[number; 100]));
        disk.put("/share/large", &vec![7; (17 << 20) + 5]);
        let library = start(&disk);
        library.set_hash_threads(4);
        let report = publish(&library, "/share").unwrap();
        assert_eq!((report.files, library.hashing().files), (51, 51));
        assert_eq!((library.hashing().files_left, library.hashing().bytes_left), (0, 0));
        for file in library.shared() {
            let content = disk.contents(&file.path).unwrap();
            assert_eq!(file.id.0, *blake3::hash(&content).as_bytes(), "{}", file.name);
        }
    }
}
