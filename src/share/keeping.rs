//! Keeping what is published over the end of the process.
//!
//! Always true: what a publication or an unpublication has reported is on disk; what
//! could not be saved is tried again with the next save, and told meanwhile. What is
//! read back is trusted like the day it was hashed: its stamp is compared before each
//! read, and a stamp that had not settled then makes each piece be hashed again.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::shown;
use super::library::{Library, Protected, own_name};
use super::shelf::Published;
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
        let files = kept.files.into_iter().map(|row| {
            let FileRow { path, stamp, settled, list } = row;
            let own = library.is_protected(&path) || keys.contains(&(stamp.dev, stamp.ino));
            let name = own_name(&path).filter(|_| !own);
            let file = name.map(|name| Published::new(path.clone(), name, stamp, list, settled));
            (path, file)
        });
        library.shelf_mut().restore(kept.roots, kept.excluded, files);
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
            format!(
                "{root} {why}: {files} shared until a start that finds it, or 'publish' does; \
                 'unpublish' forgets it"
            )
        });
        let mut warnings: Vec<_> = failed.into_iter().chain(missing.take(MAX_WARNINGS)).collect();
        if let Some(more) = shelf.missing.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
            warnings.push(format!("{more} more published paths are not there"));
        }
        warnings
    }
}
