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
    /// Looks at all that is published, in the order in which it was. Blocks; `stop` ends
    /// it after the read in hand, and the next walk finds what this one did not come to.
    pub fn walk(&self, stop: &AtomicBool) -> WalkReport {
        let mut report = WalkReport::default();
        let roots = self.shelf().marks.roots();
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
