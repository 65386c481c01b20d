//! What the owner sees of the library: rows of files, filtered, sorted, a page at a time.
//!
//! Always true: only the rows of the page are copied; the lock is held for 4,096 files
//! at a time, so that searches go on while a million are looked through, and what is
//! published or withdrawn meanwhile may be missing or listed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file_type::FileType;
use super::library::{Library, SharedFile};
use super::published_path::Published;
use super::query::Query;

/// Files that are looked at under one lock: some milliseconds.
const CHUNK: usize = 4096;

/// In which order files are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SharedOrder {
    /// By where they lie.
    #[default]
    Path,
    /// By the name that others see.
    Name,
    /// The largest first.
    Size,
    /// The newest first.
    Modified,
}

/// Which files to list.
#[derive(Clone, Debug, Default)]
pub struct SharedFilter {
    /// Only what lies in this folder, and its folders summed up.
    pub folder: Option<PathBuf>,
    /// Only what fits this.
    pub query: Option<Query>,
    /// In which order.
    pub order: SharedOrder,
}

/// A page of what is published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SharedPage {
    /// The folders in the folder that was asked for.
    pub folders: Vec<FolderSum>,
    /// The files.
    pub files: Vec<SharedFile>,
    /// Whether there are further rows.
    pub more: bool,
    /// All that fits, on this page or not.
    pub sums: Sums,
}

/// All rows of a listing.
pub struct SharedRows {
    /// The folders in the folder that was asked for.
    pub folders: Vec<FolderSum>,
    /// All that fits.
    pub sums: Sums,
    rows: Vec<Arc<Published>>,
}

impl SharedRows {
    /// The files from number `from` on, from 0, at most `max` of them.
    #[must_use]
    pub fn files(&self, from: usize, max: usize) -> Vec<SharedFile> {
        self.rows.iter().skip(from).take(max).map(|file| SharedFile::of(file)).collect()
    }
}

/// A folder, and what is published in it, at whatever depth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderSum {
    /// Where it lies.
    pub path: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// How much fits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Folders that hold at least one of them.
    pub folders: u64,
    /// Files and bytes of each type; none: of no type that is known.
    pub types: BTreeMap<Option<FileType>, (u64, u64)>,
}

/// What is gathered on the way.
#[derive(Default)]
struct Gathered {
    sums: Sums,
    /// The folders around the last file, each of them counted.
    around: Vec<PathBuf>,
    folders: BTreeMap<OsString, (u64, u64)>,
    rows: Vec<Arc<Published>>,
}

impl Library {
    /// The rows from number `from` on, from 0, at most `max` of them.
    #[must_use]
    pub fn listed(&self, filter: &SharedFilter, from: usize, max: usize) -> SharedPage {
        let end = from.saturating_add(max);
        let mut gathered = Gathered::default();
        // In order of paths no row has to be kept but those of the page.
        let in_order = filter.order == SharedOrder::Path && filter.folder.is_none();
        let mut number = 0;
        self.each_file(filter, |file| {
            let child = gathered.take(file, filter);
            if child && (!in_order || (from..end).contains(&number)) {
                gathered.rows.push(Arc::clone(file));
            }
            number += usize::from(child);
        });
        let Gathered { sums, folders, mut rows, .. } = gathered;
        let base = filter.folder.clone().unwrap_or_default();
        let count = folders.len() + number;
        let folders = sums_of(&base, folders, from, max);
        if !in_order {
            let first = from.saturating_sub(count - number);
            rows = page_of(rows, filter.order, first, max - folders.len());
        }
        let files = rows.iter().map(|file| SharedFile::of(file)).collect();
        SharedPage { folders, files, more: end < count, sums }
    }

    /// All rows, which are copied only as their pages are asked for.
    #[must_use]
    pub fn rows(&self, filter: &SharedFilter) -> SharedRows {
        let mut gathered = Gathered::default();
        self.each_file(filter, |file| {
            if gathered.take(file, filter) {
                gathered.rows.push(Arc::clone(file));
            }
        });
        let Gathered { sums, folders, rows, .. } = gathered;
        let base = filter.folder.clone().unwrap_or_default();
        let rows = page_of(rows, filter.order, 0, usize::MAX);
        SharedRows { folders: sums_of(&base, folders, 0, usize::MAX), rows, sums }
    }

    /// Calls `look` with each file that fits, in order of paths.
    fn each_file(&self, filter: &SharedFilter, mut look: impl FnMut(&Arc<Published>)) {
        let base = filter.folder.as_deref();
        let mut last: Option<Arc<Published>> = None;
        loop {
            let shelf = self.shelf();
            let begin = match (&last, base) {
                (Some(last), _) => shelf.behind(&last.path),
                (None, Some(base)) => shelf.first_from(base),
                (None, None) => shelf.files().next(),
            };
            let Some(begin) = begin else { return };
            let (mut count, (_, names)) = (0, shelf.index());
            for file in shelf.files_from(&begin.path).take(CHUNK) {
                count += 1;
                if base.is_some_and(|base| !file.path.starts_with(base)) {
                    return;
                }
                let fits = filter.query.as_ref().is_none_or(|query| {
                    names.entry_of(file).is_some_and(|entry| query.fits(&entry))
                });
                if fits {
                    look(file);
                }
                if count == CHUNK {
                    last = Some(Arc::clone(file));
                }
            }
            if count < CHUNK {
                return;
            }
        }
    }
}

impl Gathered {
    /// Counts a file; whether it is a row of its own.
    fn take(&mut self, file: &Published, filter: &SharedFilter) -> bool {
        let size = file.stamp.size;
        self.sums.files += 1;
        self.sums.bytes = self.sums.bytes.saturating_add(size);
        let of_type = self.sums.types.entry(FileType::of_name(file.name.as_str())).or_default();
        *of_type = (of_type.0 + 1, of_type.1.saturating_add(size));
        let parent = file.path.parent().unwrap_or(Path::new("/"));
        // Paths come in order, so a folder that was left does not come again.
        while self.around.last().is_some_and(|around| !parent.starts_with(around)) {
            self.around.pop();
        }
        if self.around.last().is_none_or(|around| around != parent) {
            self.around.push(parent.to_path_buf());
            self.sums.folders += 1;
        }
        let Some(base) = &filter.folder else { return true };
        let Ok(below) = file.path.strip_prefix(base) else { return false };
        let mut parts = below.components();
        match (parts.next(), parts.next()) {
            (Some(first), Some(_)) => {
                let sum = self.folders.entry(first.as_os_str().to_owned()).or_default();
                *sum = (sum.0 + 1, sum.1.saturating_add(size));
                false
            }
            _ => true,
        }
    }
}

/// Those of the folders in `base`, from number `from` on.
fn sums_of(
    base: &Path,
    folders: BTreeMap<OsString, (u64, u64)>,
    from: usize,
    max: usize,
) -> Vec<FolderSum> {
    let folders = folders.into_iter().skip(from).take(max);
    let sum = |(name, (files, bytes))| FolderSum { path: base.join(name), files, bytes };
    folders.map(sum).collect()
}

/// Rows `from` on of all, without sorting those that are not shown.
fn page_of(
    mut rows: Vec<Arc<Published>>,
    order: SharedOrder,
    from: usize,
    max: usize,
) -> Vec<Arc<Published>> {
    use std::cmp::Reverse;
    let compare = |one: &Arc<Published>, other: &Arc<Published>| {
        let by = match order {
            SharedOrder::Path => std::cmp::Ordering::Equal,
            SharedOrder::Name => one.name.as_str().cmp(other.name.as_str()),
            SharedOrder::Size => Reverse(one.stamp.size).cmp(&Reverse(other.stamp.size)),
            SharedOrder::Modified => {
                Reverse(one.stamp.mtime_ns).cmp(&Reverse(other.stamp.mtime_ns))
            }
        };
        by.then_with(|| one.path.cmp(&other.path))
    };
    let end = from.saturating_add(max);
    if end < rows.len() {
        rows.select_nth_unstable_by(end, compare);
        rows.truncate(end);
    }
    if from > 0 && from < rows.len() {
        rows.select_nth_unstable_by(from, compare);
    }
    rows.drain(..from.min(rows.len()));
    rows.sort_unstable_by(compare);
    rows
}

#[cfg(test)]
mod tests {
    use super::super::publish::tests::{library, publish};
    use super::*;

    fn names(page: &SharedPage) -> Vec<&str> {
        page.files.iter().map(|file| file.name.as_str()).collect()
    }

    fn filled() -> Library {
        let (disk, library) = library();
        for (path, size) in [
            ("/m/Jazz/b.flac", 30),
            ("/m/Jazz/live/c.flac", 20),
            ("/m/Jazz/z.txt", 10),
            ("/m/a.iso", 40),
            ("/m/b/deep/er/d.flac", 5),
        ] {
            disk.put(path, &vec![1; size]);
        }
        publish(&library, "/m").unwrap();
        library
    }

    fn ordered(order: SharedOrder) -> SharedFilter {
        SharedFilter { order, ..SharedFilter::default() }
    }

    #[test]
    fn pages_together_are_all_in_every_order() {
        let library = filled();
        let orders = [
            (SharedOrder::Path, ["b.flac", "c.flac", "z.txt", "a.iso", "d.flac"]),
            (SharedOrder::Name, ["a.iso", "b.flac", "c.flac", "d.flac", "z.txt"]),
            (SharedOrder::Size, ["a.iso", "b.flac", "c.flac", "z.txt", "d.flac"]),
        ];
        for (order, wanted) in orders {
            let filter = ordered(order);
            for max in 1..7 {
                let mut all = Vec::new();
                for from in (0..5).step_by(max) {
                    let page = library.listed(&filter, from, max);
                    assert_eq!(page.more, from + max < 5, "{order:?} {from} {max}");
                    assert_eq!((page.sums.files, page.sums.bytes), (5, 105));
                    all.extend(names(&page).into_iter().map(str::to_owned));
                }
                assert_eq!(all, wanted, "{order:?} in pages of {max}");
            }
        }
        assert_eq!(names(&library.listed(&ordered(SharedOrder::Size), 9, 3)), [""; 0]);
    }

    #[test]
    fn the_sums_tell_folders_and_types_of_what_fits() {
        let library = filled();
        let sums = library.listed(&SharedFilter::default(), 0, 1).sums;
        assert_eq!(sums.folders, 4, "/m, Jazz, live and er hold files, b and deep do not");
        let audio = sums.types.get(&Some(FileType::Audio));
        assert_eq!(audio, Some(&(3, 55)));
        let query = Some(Query::parse("jazz .flac").unwrap());
        let page = library.listed(&SharedFilter { query, ..SharedFilter::default() }, 0, 9);
        assert_eq!(names(&page), ["b.flac", "c.flac"]);
        assert_eq!((page.sums.files, page.sums.folders, page.sums.types.len()), (2, 2, 1));
    }

    #[test]
    fn a_folder_is_shown_with_its_folders_summed_up() {
        let library = filled();
        let filter = |folder: &str| SharedFilter {
            folder: Some(folder.into()),
            order: SharedOrder::Size,
            query: None,
        };
        let page = library.listed(&filter("/m"), 0, 9);
        let sum = |path: &str, files, bytes| FolderSum { path: path.into(), files, bytes };
        assert_eq!(page.folders, [sum("/m/Jazz", 3, 60), sum("/m/b", 1, 5)]);
        assert_eq!((names(&page), page.more), (vec!["a.iso"], false));
        // Folders come first, page by page.
        let rows: Vec<_> = (0..3).map(|from| library.listed(&filter("/m"), from, 1)).collect();
        let counts = rows.iter().map(|page| (page.folders.len(), page.files.len(), page.more));
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 0, true), (1, 0, true), (0, 1, false)]);
        assert_eq!(names(&library.listed(&filter("/m/Jazz"), 0, 9)), ["b.flac", "z.txt"]);
        assert_eq!(library.listed(&filter("/m/Ja"), 0, 9), SharedPage::default());
        assert_eq!(names(&library.listed(&filter("/m/a.iso"), 0, 9)), ["a.iso"]);
    }

    #[test]
    fn more_files_than_one_lock_takes_are_all_looked_at() {
        let (disk, library) = library();
        let many = 2 * CHUNK + 1;
        for number in 0..many {
            disk.put(format!("/m/{number:05}"), b"x");
        }
        publish(&library, "/m").unwrap();
        let page = library.listed(&SharedFilter::default(), CHUNK - 1, 3);
        assert_eq!(names(&page), ["04095", "04096", "04097"]);
        assert_eq!(page.sums.files, many as u64);
        let rows = library.rows(&ordered(SharedOrder::Name));
        assert_eq!(rows.files(many - 1, 9)[0].name, format!("{:05}", many - 1));
        assert_eq!((rows.files(0, many + 1).len(), rows.sums), (many, page.sums));
    }
}
