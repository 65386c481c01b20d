//! What was published and is not there at present: removed, or away with its disk.

use std::io;
use std::path::{Path, PathBuf};

use super::library::{AT_A_STROKE, Library};
use crate::store::disk::Kind;

/// What became of something that was published by name.
pub(super) enum Missing {
    /// Its place is there without it.
    Removed,
    /// A sentence without its subject: why it is not there.
    Away(String),
}

impl Library {
    /// What was published, or lay in what was, and is not there at present.
    #[must_use]
    pub fn away(&self) -> Vec<PathBuf> {
        self.shelf().missing.keys().cloned().collect()
    }

    /// Why what was published as `root` is not there; none when it is. When it was there a
    /// moment ago, its device tells whether it was emptied or its disk was taken away.
    pub(super) fn missing(&self, root: &Path, folder: bool, lately: bool) -> Option<Missing> {
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
                Ok(names) if names.is_empty() && self.lost_its_disk(root, lately) => {
                    away("is empty")
                }
                Ok(_) => None,
            },
            (Kind::File, false) => match self.disk().open_shared(root) {
                Err(error) => unreadable(&error),
                Ok(_) => None,
            },
            _ => away("is something else by now"),
        }
    }

    fn lost_its_disk(&self, root: &Path, lately: bool) -> bool {
        let was_on = self.shelf().device_of(root);
        was_on.is_some() && !(lately && self.disk().device(root).ok() == was_on)
    }

    /// Shares what was published as `root` no longer, but remembers it.
    pub(super) fn set_missing(&self, root: &Path, why: String) {
        {
            let mut shelf = self.shelf_mut();
            if shelf.marks.root(root).is_none() {
                return;
            }
            shelf.missing.insert(root.to_path_buf(), why);
        }
        self.set_absent(root);
    }

    /// Shares what is in `folder` no longer, but knows it when it is back.
    pub(super) fn set_absent(&self, folder: &Path) {
        let paths = self.shelf().paths_in(folder);
        for paths in paths.chunks(AT_A_STROKE) {
            let mut shelf = self.shelf_mut();
            paths.iter().for_each(|path| shelf.set_absent(path));
        }
    }
}
