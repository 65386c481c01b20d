//! Where the part of a download lies.
//!
//! Always true: where a part lies already is looked before where a new one would, so that
//! a changed downloads folder loses nothing that is here.

use std::path::{Path, PathBuf};

use super::disk::{Disk, PARTS_FOLDER};
use super::sidecar;
use crate::base::ContentId;

/// What tells where the part of a download lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartPlace {
    /// The folder for downloads, as it is set now.
    pub downloads: PathBuf,
    /// The folder that the file will go to.
    pub to: PathBuf,
    /// The folder that the part was made in, if that is on record.
    pub recorded: Option<PathBuf>,
}

impl PartPlace {
    /// The folder with the part of `id`, or with what is kept beside it; where there is
    /// neither, the one to make it in.
    #[must_use]
    pub fn folder(&self, disk: &dyn Disk, id: ContentId) -> PathBuf {
        let usual = self.usual(disk);
        // Records of earlier versions do not say; their parts were in one of two places.
        let beside = self.to.join(PARTS_FOLDER);
        let holds = |parts: &PathBuf| {
            let files = [part_in(parts, id), parts.join(format!("{id}.{}", sidecar::ENDING))];
            files.iter().any(|file| disk.kind(file).is_ok())
        };
        let places = [self.recorded.clone(), Some(usual.clone()), Some(beside)];
        places.into_iter().flatten().find(holds).unwrap_or(usual)
    }

    /// Where the part of `id` lies, or would.
    #[must_use]
    pub fn part(&self, disk: &dyn Disk, id: ContentId) -> PathBuf {
        part_in(&self.folder(disk, id), id)
    }

    /// Where a new part goes: to the others, or beside the file's own folder where that is
    /// another file system, since the last step must be a rename.
    fn usual(&self, disk: &dyn Disk) -> PathBuf {
        let Self { downloads, to, .. } = self;
        let same = to == downloads
            || match (disk.device(downloads), disk.device(to)) {
                (Ok(one), Ok(other)) => one == other,
                _ => false,
            };
        if same { downloads } else { to }.join(PARTS_FOLDER)
    }
}

fn part_in(parts: &Path, id: ContentId) -> PathBuf {
    parts.join(format!("{id}.part"))
}

#[cfg(test)]
mod tests {
    use super::super::MemoryDisk;
    use super::*;

    const ID: ContentId = ContentId([7; 32]);

    fn place(downloads: &str, recorded: Option<&str>) -> PartPlace {
        let recorded = recorded.map(|folder| Path::new(folder).join(PARTS_FOLDER));
        PartPlace { downloads: downloads.into(), to: "/d".into(), recorded }
    }

    #[test]
    fn a_part_is_found_where_it_was_made_whatever_the_downloads_folder_is_now() {
        let disk = MemoryDisk::new();
        for folder in ["/d", "/new", "/old"] {
            disk.create_folder(Path::new(folder), 0o700).unwrap();
        }
        let folder = |place: PartPlace| place.folder(&disk, ID);
        let made = folder(place("/d", None));
        assert_eq!(made, Path::new("/d").join(PARTS_FOLDER));
        disk.put(part_in(&made, ID), b"x");
        assert_eq!(folder(place("/new", None)), made, "as earlier versions left it");
        assert_eq!(folder(place("/new", Some("/d"))), made);
        let old = Path::new("/old").join(PARTS_FOLDER);
        disk.put(part_in(&old, ID), b"x");
        assert_eq!(folder(place("/new", Some("/old"))), old);
    }

    #[test]
    fn what_is_nowhere_is_made_where_all_are() {
        let disk = MemoryDisk::new();
        disk.create_folder(Path::new("/d"), 0o700).unwrap();
        disk.create_folder(Path::new("/new"), 0o700).unwrap();
        let folder = place("/new", Some("/gone")).folder(&disk, ID);
        assert_eq!(folder, Path::new("/new").join(PARTS_FOLDER));
    }
}
