//! Publishing a file under another name than it has on the disk.
//!
//! Always true: from the moment on at which the name is given, nobody is told the other one;
//! the name stays over restarts and with every later publication of the file, until the file
//! is unpublished or published under its own name.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::error::PublishError;
use super::library::{Library, own_name};
use super::publish::{PublishProgress, PublishReport};
use crate::base::FileName;
use crate::store::disk::Kind;

impl Library {
    /// Publishes one file as `name`, like [`Library::publish`].
    ///
    /// # Errors
    /// [`PublishError`], for a folder as well; then the file is called what it was, unless
    /// it is still to be shared: what was stopped goes on under the new name.
    pub fn publish_as(
        &self,
        path: &Path,
        name: &FileName,
        progress: &(dyn Fn(PublishProgress<'_>) + Sync),
        stop: &AtomicBool,
    ) -> Result<PublishReport, PublishError> {
        let path = self.resolve(path)?;
        if matches!(self.disk().kind(&path), Ok(Kind::Folder)) {
            return Err(PublishError::NamedFolder { path });
        }
        let other = Some(name).filter(|name| own_name(&path).as_ref() != Some(name)).cloned();
        let before = self.call(&path, other);
        let published = self.publish(&path, false, progress, stop);
        // Only where the mark was taken back, too: what was stopped goes on, and what was
        // unpublished meanwhile has lost its name with its mark.
        let back = published.as_ref().is_err_and(|error| {
            use PublishError::{NotKept, Stopped, Unpublished};
            !matches!(error, NotKept { .. } | Stopped { .. } | Unpublished { .. })
        });
        if back {
            self.call(&path, before);
        }
        published
    }

    /// What a file is called, told from where it lies.
    pub(super) fn name_for(&self, path: &Path) -> Option<FileName> {
        let own = own_name(path)?;
        Some(self.shelf().marks.name(path).cloned().unwrap_or(own))
    }

    /// Calls a file otherwise from now on, or by its own name; what it was called.
    fn call(&self, path: &Path, name: Option<FileName>) -> Option<FileName> {
        let mut shelf = self.shelf_mut();
        let before = shelf.set_name(path, name.clone());
        let name = name.or_else(|| own_name(path));
        if let (Some(file), Some(name)) = (shelf.file(path), name)
            && file.name != name
        {
            let renamed = file.named(name);
            // It is wanted and has a place: it was here just now.
            let _ = shelf.insert(renamed);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::super::keeping::tests::{names, start, walk};
    use super::super::library::tests::target;
    use super::super::publish::tests::publish;
    use super::*;
    use crate::store::MemoryDisk;
    use std::sync::atomic::Ordering;

    fn publish_as(
        library: &Library,
        path: &str,
        name: &str,
    ) -> Result<PublishReport, PublishError> {
        let name = FileName::new(name).unwrap();
        library.publish_as(Path::new(path), &name, &|_| {}, &AtomicBool::new(false))
    }

    #[test]
    fn a_file_keeps_the_name_that_it_was_given_until_it_is_given_its_own() {
        let disk = MemoryDisk::new();
        disk.put("/m/a.bin", b"a");
        disk.put("/m/b.bin", b"b");
        let library = start(&disk);
        assert_eq!(publish_as(&library, "/m/a.bin", "song.mp3").unwrap().files, 1);
        assert_eq!(names(&library), ["song.mp3"]);
        publish(&library, "/m").unwrap();
        publish(&library, "/m/a.bin").unwrap();
        assert_eq!(names(&library), ["song.mp3", "b.bin"]);
        // One that is shared already is called otherwise without being read again.
        publish_as(&library, "/m/b.bin", "two").unwrap();
        assert_eq!(
            (names(&library), library.hashing().files),
            (vec!["song.mp3".into(), "two".into()], 2)
        );
        drop(library);
        disk.put("/m/a.bin", b"other");
        let library = start(&disk);
        walk(&library);
        assert_eq!(names(&library), ["song.mp3", "two"]);
        publish_as(&library, "/m/a.bin", "a.bin").unwrap();
        library.unpublish(&target("/m/b.bin")).unwrap();
        publish(&library, "/m/b.bin").unwrap();
        assert_eq!(names(&library), ["a.bin", "b.bin"]);
        drop(library);
        assert_eq!(names(&start(&disk)), ["a.bin", "b.bin"]);
    }

    #[test]
    fn what_was_stopped_is_shared_later_under_the_name_that_it_was_given() {
        let disk = MemoryDisk::new();
        disk.put("/m/secret.bin", &[7; 3 << 20]);
        let library = start(&disk);
        let (path, name) = (Path::new("/m/secret.bin"), FileName::new("song.mp3").unwrap());
        let stop = AtomicBool::new(false);
        let stop_it = |_: PublishProgress<'_>| stop.store(true, Ordering::Relaxed);
        let stopped = library.publish_as(path, &name, &stop_it, &stop);
        assert!(matches!(stopped, Err(PublishError::Stopped { .. })), "{stopped:?}");
        drop(library);
        let library = start(&disk);
        walk(&library);
        assert_eq!(names(&library), ["song.mp3"]);
    }

    #[test]
    fn a_file_that_was_away_is_back_under_the_name_that_it_was_given_meanwhile() {
        let disk = MemoryDisk::new();
        disk.put("/m/a.bin", b"a");
        let library = start(&disk);
        publish(&library, "/m/a.bin").unwrap();
        library.shelf_mut().set_absent(Path::new("/m/a.bin"));
        publish_as(&library, "/m/a.bin", "song.mp3").unwrap();
        assert_eq!(names(&library), ["song.mp3"]);
        library.shelf_mut().set_absent(Path::new("/m/a.bin"));
        publish_as(&library, "/m/a.bin", "a.bin").unwrap();
        assert_eq!((names(&library), library.hashing().files), (vec!["a.bin".into()], 1));
    }

    #[test]
    fn a_folder_and_what_is_not_there_are_not_given_names() {
        let disk = MemoryDisk::new();
        disk.put("/m/a", b"a");
        let library = start(&disk);
        let error = publish_as(&library, "/m", "x").unwrap_err().to_string();
        assert_eq!(error, "/m is a folder: --as gives one file another name");
        assert!(publish_as(&library, "/m/none", "x").is_err());
        publish(&library, "/m").unwrap();
        assert_eq!(names(&library), ["a"]);
        assert!(library.unpublish(&target("/m")).is_ok());
    }
}
