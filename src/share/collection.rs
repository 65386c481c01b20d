//! Published folders as collections: each is a content too, the text that lists its files.
//!
//! Always true: what a collection lists is shared at this moment, by the names that others
//! are told; nothing that was taken out of the folder is in it. The texts are not kept: the
//! id and what hits tell are worked out when the folder has settled ([`Library::collect`]),
//! the text anew for whoever opens it, and only while it is still the same. A folder that
//! has changed since is no collection until it was worked out again; when something went,
//! whoever reads its text sees that at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::index::Entry;
use super::library::{Library, own_name};
use super::marks::Marks;
use super::matcher::Match;
use super::published::SharedReader;
use super::published_path::Published;
use super::query::Query;
use crate::base::{ContentId, FileInfo, FileName, Geometry};
use crate::store::disk::{ReadHandle, Stamp};
use crate::transfer::collection::text::{Listed, MAX_FILES, text_of};
use crate::transfer::{ListBuilder, PieceList};

/// Files that are looked at under one lock: some milliseconds.
const CHUNK: usize = 4096;

/// A published folder as a content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Collection {
    /// The folder.
    pub path: PathBuf,
    /// What it is called.
    pub name: FileName,
    /// The pieces of its text.
    pub list: Arc<PieceList>,
    /// Files in it.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl Collection {
    /// What it is.
    #[must_use]
    pub fn id(&self) -> ContentId {
        self.list.id()
    }

    fn entry(&self) -> Entry<'_> {
        Entry { folder: "", name: self.name.as_str(), size: self.bytes, id: self.id() }
    }
}

/// The collections of one library, and which folders have changed since.
#[derive(Default)]
pub(super) struct Collections {
    known: BTreeMap<PathBuf, (Arc<Collection>, Arc<AtomicBool>)>,
    stale: BTreeSet<PathBuf>,
    /// The folder of the last change, and whether something went: files come by folders.
    near: Option<(PathBuf, bool)>,
    changes: u64,
}

impl Collections {
    /// A file at `path` came, changed or, if it is `lost`, went.
    pub(super) fn touch(&mut self, path: &Path, lost: bool, marks: &Marks) {
        self.changes = self.changes.wrapping_add(1);
        let Some(folder) = path.parent() else { return };
        if self.near.as_ref().is_some_and(|(near, lost_too)| near == folder && *lost_too >= lost) {
            return;
        }
        self.near = Some((folder.to_path_buf(), lost));
        for root in folder.ancestors().filter(|at| marks.root(at).is_some_and(|at| at.folder)) {
            if lost && let Some((_, gone)) = self.known.get(root) {
                gone.store(true, Ordering::Release);
            }
            self.stale.insert(root.to_path_buf());
        }
    }

    /// Whether `root` is published by name may have changed.
    pub(super) fn touch_root(&mut self, root: &Path) {
        self.changes = self.changes.wrapping_add(1);
        self.near = None;
        self.stale.insert(root.to_path_buf());
    }

    /// Those that are as they were worked out.
    fn fresh(&self) -> impl Iterator<Item = (&Arc<Collection>, &Arc<AtomicBool>)> {
        let fresh = self.known.iter().filter(|(root, _)| !self.stale.contains(*root));
        fresh.map(|(_, (collection, gone))| (collection, gone))
    }

    fn take_stale(&mut self) -> BTreeSet<PathBuf> {
        self.near = None;
        std::mem::take(&mut self.stale)
    }

    fn set(&mut self, root: &Path, found: Option<Collection>) {
        let same = |known: &Arc<Collection>| Some(&**known) == found.as_ref();
        if self
            .known
            .get(root)
            .is_some_and(|(known, gone)| same(known) && !gone.load(Ordering::Acquire))
        {
            return;
        }
        if let Some((_, gone)) = self.known.remove(root) {
            gone.store(true, Ordering::Release);
        }
        if let Some(found) = found {
            self.known.insert(root.to_path_buf(), (Arc::new(found), Arc::default()));
        }
    }
}

impl Library {
    /// A number that changes with what the collections list; none while there is nothing to
    /// be worked out.
    #[must_use]
    pub fn uncollected(&self) -> Option<u64> {
        let shelf = self.shelf();
        let collections = &shelf.collections;
        (!collections.stale.is_empty()).then_some(collections.changes)
    }

    /// Works the collections out of the folders that have changed; blocks for as long as it
    /// takes to go through their files.
    pub fn collect(&self) {
        let stale = self.shelf_mut().collections.take_stale();
        for root in stale {
            let found = self.text_in(&root).map(|text| text.of(&root));
            let mut shelf = self.shelf_mut();
            // What has changed meanwhile is worked out again.
            if !shelf.collections.stale.contains(&root) {
                shelf.collections.set(&root, found.flatten());
            }
        }
    }

    /// The collection of this id, if it is one.
    #[must_use]
    pub fn collection(&self, id: ContentId) -> Option<Arc<Collection>> {
        let shelf = self.shelf();
        let mut fresh = shelf.collections.fresh();
        fresh.find(|(collection, _)| collection.id() == id).map(|(found, _)| Arc::clone(found))
    }

    /// The collection of the published folder `path`, however that is spelled.
    #[must_use]
    pub fn collection_at(&self, path: &Path) -> Option<Arc<Collection>> {
        let spellings = self.spellings(path);
        let shelf = self.shelf();
        let mut fresh = shelf.collections.fresh();
        fresh.find(|(known, _)| spellings.contains(&known.path)).map(|(found, _)| Arc::clone(found))
    }

    /// Those that match `query`, at most `max`.
    pub(super) fn matching_collections(&self, query: &Query, max: usize) -> Vec<Match> {
        let shelf = self.shelf();
        let fresh = shelf.collections.fresh().map(|(collection, _)| collection);
        let found = fresh.filter(|collection| query.holds(&collection.entry())).take(max);
        let tell = |found: &Arc<Collection>| Match {
            file: FileInfo {
                id: found.id(),
                size: found.list.geometry().size(),
                name: found.name.clone(),
            },
            folder: None,
            modified: 0,
            collection: Some((found.files, found.bytes)),
        };
        found.map(tell).collect()
    }

    /// Opens the text of a collection; none when it is none any more.
    pub(super) fn open_collection(&self, id: ContentId) -> Option<SharedReader> {
        let (collection, gone) = {
            let shelf = self.shelf();
            let mut fresh = shelf.collections.fresh();
            let (found, gone) = fresh.find(|(known, _)| known.id() == id)?;
            (Arc::clone(found), Arc::clone(gone))
        };
        let text = self.text_in(&collection.path)?.text;
        // It may have changed since it was looked up.
        if *blake3::hash(text.as_bytes()).as_bytes() != id.0 {
            return None;
        }
        let stamp = stamp_of(&text);
        let (path, name) = (collection.path.clone(), collection.name.clone());
        let copy = Published::new(path, name, stamp, Arc::clone(&collection.list), true);
        Some(SharedReader::of_text(self.clone(), copy, Box::new(Text(text)), gone))
    }

    /// What the folder `root` lists now; none where that is nothing, or too much.
    fn text_in(&self, root: &Path) -> Option<FolderText> {
        let mut files = Vec::new();
        let mut bytes = 0u64;
        let mut from = root.to_path_buf();
        loop {
            let shelf = self.shelf();
            shelf.marks.root(root).filter(|root| root.folder)?;
            let (_, names) = shelf.index();
            // Who is told as little of its path as the folder's name lies in it with nothing
            // taken out in between.
            let told = u32::try_from(root.as_os_str().len()).ok()?.saturating_add(1);
            let mut last = None;
            for file in shelf.files_from(&from).take(CHUNK) {
                let Ok(below) = file.path.strip_prefix(root) else {
                    last = None;
                    break;
                };
                last = Some(&file.path);
                let inside = names.untold(file.number).is_some_and(|untold| untold <= told);
                let Some(path) = below.to_str().filter(|_| inside) else { continue };
                let folder = path.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
                let path = format!("{}{}", folder.unwrap_or_default(), file.name);
                files.push(Listed { path, id: file.list.id() });
                bytes = bytes.saturating_add(file.stamp.size);
            }
            if files.len() > MAX_FILES {
                return None;
            }
            let Some(next) = last.and_then(|last| shelf.behind(last)) else { break };
            if !next.path.starts_with(root) {
                break;
            }
            from = next.path.clone();
        }
        let count = files.len() as u64;
        Some(FolderText { text: text_of(files)?, files: count, bytes })
    }
}

/// What a folder lists, worked out.
struct FolderText {
    text: String,
    files: u64,
    bytes: u64,
}

impl FolderText {
    fn of(&self, root: &Path) -> Option<Collection> {
        let geometry = Geometry::of(self.text.len() as u64)?;
        let mut builder = ListBuilder::new(geometry);
        let piece = usize::try_from(geometry.piece_len()).ok()?;
        self.text.as_bytes().chunks(piece).for_each(|piece| builder.push(piece));
        Some(Collection {
            path: root.to_path_buf(),
            name: own_name(root)?,
            list: Arc::new(builder.finish()?),
            files: self.files,
            bytes: self.bytes,
        })
    }
}

/// A text as a file that is read like any other.
struct Text(String);

fn stamp_of(text: &str) -> Stamp {
    Stamp { dev: 0, ino: 0, size: text.len() as u64, mtime_ns: 0, ctime_ns: 0 }
}

impl ReadHandle for Text {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.as_bytes().get(from..).unwrap_or_default();
        buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Ok(buffer.len().min(rest.len()))
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Ok(stamp_of(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::library::UnpublishTarget;
    use super::super::publish::tests::{library, publish};
    use super::*;
    use crate::transfer::collection::text::files_of;

    fn text(library: &Library, path: &str) -> Option<String> {
        library.collect();
        let collection = library.collection_at(Path::new(path))?;
        let mut reader = library.open(collection.id()).ok()?;
        let (mut text, mut piece) = (Vec::new(), Vec::new());
        for index in collection.list.geometry().pieces() {
            reader.read_piece(index, &mut piece).unwrap();
            text.extend_from_slice(&piece);
        }
        assert_eq!(*blake3::hash(&text).as_bytes(), collection.id().0, "what b3sum prints of it");
        Some(String::from_utf8(text).unwrap())
    }

    fn paths(library: &Library, path: &str) -> Vec<String> {
        let text = text(library, path).unwrap_or_default();
        let files = files_of(text.as_bytes()).unwrap_or_default();
        files.into_iter().map(|file| file.path).collect()
    }

    fn found(library: &Library, query: &str) -> Vec<(String, Option<(u64, u64)>)> {
        let query = Query::parse(query).unwrap();
        let files = library.matches_for_stranger(&query).files;
        files.into_iter().map(|m| (m.file.name.as_str().to_owned(), m.collection)).collect()
    }

    #[test]
    fn a_published_folder_is_found_by_its_name_and_lists_what_is_shared_in_it() {
        let (disk, library) = library();
        disk.put("/home/Jazz/b/two.flac", b"22");
        disk.put("/home/Jazz/a-1.flac", b"1");
        disk.put("/home/Jazz/a/0.flac", b"333");
        disk.put("/home/Jazz/.hidden", b"no");
        publish(&library, "/home/Jazz").unwrap();
        assert_eq!(found(&library, "jazz"), [], "before it was worked out");
        assert_eq!(paths(&library, "/home/Jazz"), ["a-1.flac", "a/0.flac", "b/two.flac"]);
        assert_eq!(found(&library, "jazz"), [("Jazz".to_owned(), Some((3, 6)))]);
        let id = library.collection_at(Path::new("/home/Jazz")).unwrap().id();
        assert_eq!(found(&library, &format!("id:{id}")).len(), 1);
        assert_eq!(found(&library, "jazz size>5").len(), 1, "by the size of the folder");
        assert_eq!(found(&library, "jazz size>6").len(), 0);
        assert_eq!((library.name(id).unwrap(), library.is_published(id)), ("Jazz".into(), true));
        assert_eq!(library.path(id).unwrap(), Path::new("/home/Jazz"));
        assert_eq!(library.uncollected(), None, "nothing is left to do");
    }

    #[test]
    fn what_is_taken_out_or_called_otherwise_is_not_told() {
        let (disk, library) = library();
        for path in ["/m/one", "/m/secret/two", "/m/secret/shown/three", "/m/four"] {
            disk.put(path, path.as_bytes());
        }
        publish(&library, "/m").unwrap();
        assert_eq!(paths(&library, "/m").len(), 4);
        let before = library.collection_at(Path::new("/m")).unwrap();
        let mut reader = library.open(before.id()).unwrap();
        library.unpublish(&UnpublishTarget::of("/m/secret")).unwrap();
        let piece = before.list.geometry().last().unwrap();
        assert!(reader.withdrawn() && library.open(before.id()).is_err(), "at once");
        let _ = reader.read_piece(piece, &mut Vec::new());
        assert_eq!(found(&library, &format!("id:{}", before.id())), []);
        publish(&library, "/m/secret/shown").unwrap();
        assert_eq!(paths(&library, "/m"), ["four", "one"]);
        assert_eq!(paths(&library, "/m/secret/shown"), ["three"]);
        let name = FileName::new("renamed").unwrap();
        let stop = AtomicBool::new(false);
        library.publish_as(Path::new("/m/one"), &name, &|_| {}, &stop).unwrap();
        assert_eq!(paths(&library, "/m"), ["four", "renamed"]);
        library.unpublish(&UnpublishTarget::of("/m")).unwrap();
        assert_eq!(text(&library, "/m"), None);
        assert_eq!(found(&library, "shown"), []);
    }

    #[test]
    fn a_folder_that_changes_is_another_collection_and_one_that_does_not_stays() {
        let (disk, library) = library();
        disk.put("/m/a/one", b"1");
        publish(&library, "/m").unwrap();
        let first = text(&library, "/m").unwrap();
        let mut reader =
            library.open(library.collection_at(Path::new("/m")).unwrap().id()).unwrap();
        disk.put("/m/a/two", b"2");
        publish(&library, "/m").unwrap();
        assert!(library.uncollected().is_some());
        assert!(library.collection_at(Path::new("/m")).is_none(), "until it was worked out");
        assert!(!reader.withdrawn(), "what it lists is still shared");
        let mut bytes = Vec::new();
        let piece = reader.list().geometry().last().unwrap();
        reader.read_piece(piece, &mut bytes).unwrap();
        assert_eq!(bytes, first.as_bytes());
        assert_ne!(text(&library, "/m").unwrap(), first);
        let known = library.collection_at(Path::new("/m")).unwrap();
        publish(&library, "/m").unwrap();
        library.collect();
        assert_eq!(library.collection_at(Path::new("/m")).unwrap(), known);
    }

    #[test]
    fn the_same_files_are_the_same_collection_wherever_they_lie() {
        let (disk, library) = library();
        for root in ["/x/Music", "/y/Other"] {
            for number in 0..CHUNK + 10 {
                disk.put(format!("{root}/d{}/{number}", number % 7), &number.to_le_bytes());
            }
            publish(&library, root).unwrap();
        }
        assert_eq!(paths(&library, "/x/Music").len(), CHUNK + 10);
        let id = |path: &str| library.collection_at(Path::new(path)).unwrap().id();
        assert_eq!(id("/x/Music"), id("/y/Other"));
    }
}
