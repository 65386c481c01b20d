//! What strangers see who look through the library: a tree of folders, page by page.
//!
//! Always true: of a path only what is below the published folder is told; a page costs at
//! most [`MAX_STEPS`] looks into the order of paths, however much is published and wherever
//! the page begins. What several published folders hold is told as if they were one, so a
//! page may come back with little or nothing and still not be the last.

use std::path::{Path, PathBuf};

use super::library::Library;
use super::published_path::Published;
use super::shelf::Shelf;
use crate::base::FileInfo;

/// Looks into the order of paths that one page may cost: each takes some microseconds, and
/// most pages need one for each entry.
pub const MAX_STEPS: usize = 2048;

/// One page of a folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BrowsePage {
    /// What lies there, each once.
    pub entries: Vec<BrowseEntry>,
    /// Behind which path of this machine the next page begins; none after the last page.
    pub next: Option<PathBuf>,
    /// Whether anything was seen of the folder.
    pub exists: bool,
}

/// One thing in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BrowseEntry {
    /// A folder, by its own name.
    Folder(String),
    /// A file, and when it was last modified in seconds since 1970.
    File(FileInfo, Option<u64>),
}

/// Where to look next.
enum Step {
    /// At what comes behind this and all that is in it.
    Behind(PathBuf),
    /// At this, or what comes first in it or behind it.
    From(PathBuf),
}

impl Library {
    /// At most `max` entries of `folder`, from behind `after` on. The folder begins below the
    /// published ones; empty, it is what they hold.
    #[must_use]
    pub fn browse(&self, folder: &Path, after: Option<PathBuf>, max: usize) -> BrowsePage {
        let shelf = self.shelf();
        let mut page = BrowsePage { exists: folder.as_os_str().is_empty(), ..Default::default() };
        let mut at = after.map(Step::Behind);
        for _ in 0..MAX_STEPS {
            let found = match &at {
                None => shelf.files().next(),
                Some(Step::Behind(path)) => shelf.behind(path),
                Some(Step::From(path)) => shelf.first_from(path),
            };
            let Some(file) = found else {
                page.next = None;
                return page;
            };
            let step = page.look_at(&shelf, file, folder);
            // What was looked at first begins the next page, where this one is full.
            if page.entries.len() > max {
                page.entries.truncate(max);
                return page;
            }
            page.next = Some(match &step {
                Step::Behind(path) => path.clone(),
                Step::From(_) => file.path.clone(), // which lies before that
            });
            at = Some(step);
        }
        page
    }
}

impl BrowsePage {
    /// Takes in what `file` stands for in `folder`, if anything.
    fn look_at(&mut self, shelf: &Shelf, file: &Published, folder: &Path) -> Step {
        let path = file.path.as_path();
        let Some(root) = shelf.marks.told_below(path) else {
            // A file that was published by its own name lies where the library begins.
            if folder.as_os_str().is_empty() {
                self.add(BrowseEntry::of(file));
            }
            return Step::Behind(path.to_path_buf());
        };
        let base = root.join(folder);
        let Ok(below) = path.strip_prefix(&base) else {
            if path < base.as_path() {
                return Step::From(base);
            }
            // Nothing of this root is left, but others may lie in it.
            return match shelf.marks.next_top_root_in(root, path) {
                Some(other) => Step::From(other.to_path_buf()),
                None => Step::Behind(root.to_path_buf()),
            };
        };
        let mut parts = below.components();
        let (Some(first), deeper) = (parts.next(), parts.next().is_some()) else {
            return Step::Behind(path.to_path_buf()); // the folder is a file
        };
        self.exists = true;
        if deeper {
            // A name that is no text could be shown, but neither opened nor always sent.
            if let Some(name) = first.as_os_str().to_str() {
                self.add(BrowseEntry::Folder(name.to_owned()));
            }
            let whole = base.join(first);
            // A root of its own, within what was taken out of this one, begins anew.
            return match shelf.marks.next_top_root_in(root, &whole) {
                Some(other) if other.starts_with(&whole) => Step::From(other.to_path_buf()),
                _ => Step::Behind(whole),
            };
        }
        self.add(BrowseEntry::of(file));
        Step::Behind(path.to_path_buf())
    }

    fn add(&mut self, entry: BrowseEntry) {
        if !self.entries.iter().any(|known| known.is_told_as(&entry)) {
            self.entries.push(entry);
        }
    }
}

impl BrowseEntry {
    fn of(file: &Published) -> Self {
        let info = FileInfo { id: file.list.id(), size: file.stamp.size, name: file.name.clone() };
        Self::File(info, file.stamp.modified())
    }

    /// Whether who looks cannot tell one from the other: copies of a file are one file to it,
    /// whenever each of them was modified.
    fn is_told_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(one), Self::Folder(other)) => one == other,
            (Self::File(one, _), Self::File(other, _)) => {
                (one.id, &one.name) == (other.id, &other.name)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::super::library::tests::target;
    use super::super::publish::tests::{library, publish};
    use super::*;
    use crate::store::disk::Stamp;

    /// All pages of a folder, each of at most `max` entries, as they are told.
    fn pages(library: &Library, folder: &str, max: usize) -> Vec<Vec<String>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = library.browse(Path::new(folder), after, max);
            assert!(page.entries.len() <= max);
            pages.push(
                page.entries
                    .iter()
                    .map(|entry| match entry {
                        BrowseEntry::Folder(name) => format!("{name}/"),
                        BrowseEntry::File(file, _) => file.name.as_str().to_owned(),
                    })
                    .collect(),
            );
            after = page.next;
            if after.is_none() {
                return pages;
            }
            assert!(pages.len() < 100, "it goes on for ever");
        }
    }

    #[test]
    fn a_folder_is_told_with_what_lies_in_it_and_nothing_above() {
        let (disk, library) = library();
        for path in [
            "/home/ann/Music/Jazz/Coltrane/naima.flac",
            "/home/ann/Music/Jazz/so what.flac",
            "/home/ann/Music/Jazzy.mp3",
            "/home/ann/Music/a.mp3",
            "/home/ann/Talks/Jazz/talk.txt",
            "/home/ann/Talks/z.txt",
            "/home/ann/one.iso",
        ] {
            disk.put(path, path.as_bytes());
        }
        for root in ["/home/ann/Music", "/home/ann/Talks", "/home/ann/one.iso"] {
            publish(&library, root).unwrap();
        }
        let all = ["Jazz/", "Jazzy.mp3", "a.mp3", "z.txt", "one.iso"];
        assert_eq!(pages(&library, "", 100), [all]);
        assert_eq!(pages(&library, "Jazz", 100), [["Coltrane/", "so what.flac", "talk.txt"]]);
        assert_eq!(pages(&library, "Jazz/Coltrane", 100), [["naima.flac"]]);
        let none = Vec::<Vec<String>>::from([vec![]]);
        for nowhere in ["Blues", "home", "ann", "Music", "one.iso", "a.mp3", "..", "Jazz/../.."] {
            assert_eq!(pages(&library, nowhere, 100), none, "{nowhere}");
            assert!(!library.browse(Path::new(nowhere), None, 9).exists, "{nowhere}");
        }
        // However small the pages, together they are the same.
        for max in 1..6 {
            assert_eq!(pages(&library, "Jazz", max).concat(), pages(&library, "Jazz", 9).concat());
            let once: std::collections::BTreeSet<_> =
                pages(&library, "", max).concat().into_iter().collect();
            assert_eq!(once, all.map(str::to_owned).into(), "pages of {max}");
        }
    }

    #[test]
    fn what_was_taken_out_is_not_told_and_what_lies_in_it_begins_anew() {
        let (disk, library) = library();
        for path in ["/m/a/1", "/m/x/2", "/m/x/y/3", "/m/x/y/a/4", "/m/z/5", "/m/z/out/in/6"] {
            disk.put(path, path.as_bytes());
        }
        publish(&library, "/m").unwrap();
        for out in ["/m/x", "/m/z/out"] {
            library.unpublish(&target(out)).unwrap();
        }
        publish(&library, "/m/x/y").unwrap();
        publish(&library, "/m/z/out/in").unwrap();
        assert_eq!(pages(&library, "", 9), [["a/", "3", "z/", "6"]]);
        assert_eq!(pages(&library, "a", 9), [["1", "4"]]);
        assert_eq!(pages(&library, "z", 9), [["5"]]);
        assert!(!library.browse(Path::new("x"), None, 9).exists);
        // A file that is published by its own name as well is one file.
        publish(&library, "/m/a/1").unwrap();
        assert_eq!(pages(&library, "a", 9), [["1", "4"]]);
    }

    #[test]
    fn copies_of_a_file_are_told_once_whenever_they_were_modified() {
        let (disk, library) = library();
        for place in ["/m/Jazz/so what.flac", "/n/Jazz/so what.flac", "/1/one.iso", "/2/one.iso"] {
            disk.put(place, b"the same");
        }
        for root in ["/m", "/n", "/1/one.iso", "/2/one.iso"] {
            publish(&library, root).unwrap();
        }
        for copy in ["/n/Jazz/so what.flac", "/2/one.iso"] {
            let mut shelf = library.shelf_mut();
            let file = shelf.file(Path::new(copy)).unwrap();
            let mtime_ns = file.stamp.mtime_ns + 60_000_000_000;
            let later = file.again(Stamp { mtime_ns, ..file.stamp });
            assert_ne!(file.stamp.modified(), later.stamp.modified());
            shelf.insert(later).unwrap();
        }
        assert_eq!(pages(&library, "", 9), [["one.iso", "Jazz/"]]);
        assert_eq!(pages(&library, "Jazz", 9), [["so what.flac"]]);
        // Another of that name is another file.
        disk.put("/n/Jazz/so what.flac", b"another");
        publish(&library, "/n").unwrap();
        assert_eq!(pages(&library, "Jazz", 9), [["so what.flac", "so what.flac"]]);
    }

    #[test]
    fn a_folder_whose_name_is_no_text_is_passed_over() {
        let (disk, library) = library();
        for path in ["/m/a/1", "/m/z/3"] {
            disk.put(path, path.as_bytes());
        }
        publish(&library, "/m").unwrap();
        let mut shelf = library.shelf_mut();
        let file = shelf.file(Path::new("/m/a/1")).unwrap();
        // Shown as text, it is longer than any name that can be sent.
        let odd = Path::new("/m").join(OsStr::from_bytes(&[0xff; 200])).join("2");
        let (name, list) = (file.name.clone(), file.list.clone());
        let odd = Published::new(odd, name, file.stamp, list, true);
        shelf.insert(odd).unwrap();
        drop(shelf);
        assert_eq!(pages(&library, "", 9), [["a/", "z/"]]);
    }

    #[test]
    fn a_page_costs_the_same_wherever_it_begins_and_however_much_there_is() {
        let (disk, library) = library();
        for number in 0..3 * MAX_STEPS {
            disk.put(format!("/alone/{number:05}"), b"x");
            disk.put(format!("/many/in/{number:05}"), b"y");
        }
        disk.put("/many/last", b"z");
        publish(&library, "/many").unwrap();
        let folders = library.browse(Path::new(""), None, 100);
        assert_eq!((folders.entries.len(), folders.next), (2, None), "a folder is one step");
        // So many files published one by one are looked past in several pages.
        for number in 0..3 * MAX_STEPS {
            let path = format!("/alone/{number:05}");
            publish(&library, &path).unwrap();
        }
        let pages = pages(&library, "in", 10_000);
        assert_eq!(pages.concat().len(), 3 * MAX_STEPS);
        assert!(pages.len() > 3 && pages[0].is_empty(), "{}", pages.len());
    }
}
