//! The library: the paths that are published and the contents that they hold.
//!
//! Always true: every published path belongs to exactly one content; a content is here
//! as long as one path has it, and whoever reads it can see at once when it is gone.
//! How files are found and hashed is told in `publish`, how they are read in
//! `published`, how they are matched in `matcher`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::error::{PublishError, UnpublishError, shown};
use super::fold::FoldedName;
use super::left_out::LeftOut;
use crate::base::{ContentId, FileName, PieceIndex, PieceMap};
use crate::store::disk::{Disk, NotRegular, PARTS_FOLDER, Stamp};
use crate::transfer::PieceList;

/// Most paths that are published at a time: about 2 GiB of memory. More are left out.
pub const MAX_PATHS: usize = 1 << 22;

/// Most notices kept until somebody takes them; the oldest go first.
pub const MAX_NOTICES: usize = 64;

/// What must not be shared, and what is not shared by accident.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    /// The servent's state folder: nothing in it is ever shared. None when it has none.
    pub state: Option<PathBuf>,
    /// Key files outside it: never shared, whatever path or hard link leads to them.
    pub keys: Vec<PathBuf>,
    /// The user's home folder: shared as a whole only when confirmed.
    pub home: Option<PathBuf>,
}

/// What this servent shares. Clones are the same library; all methods take `&self` and
/// may be called from many threads.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    protected: Protected,
    shelf: RwLock<Shelf>,
}

/// One published path. Never changes; a file published anew gets a new one.
pub(super) struct Published {
    pub(super) path: PathBuf,
    pub(super) name: FileName,
    pub(super) folded: FoldedName,
    /// The state of the file that was hashed.
    pub(super) stamp: Stamp,
    pub(super) list: Arc<PieceList>,
    /// The pieces that were hashed under this stamp once it had settled.
    checked: Mutex<PieceMap>,
    withdrawn: AtomicBool,
}

/// What is published, by path and by content.
#[derive(Default)]
pub(super) struct Shelf {
    paths: BTreeMap<PathBuf, Arc<Published>>,
    contents: BTreeMap<ContentId, Content>,
    bytes: u64,
    notices: VecDeque<Notice>,
    /// Withdrawn because they changed, and to be shared anew as they are now.
    pub(super) changed: BTreeSet<PathBuf>,
}

/// One content, under at least one path.
struct Content {
    copies: Vec<Arc<Published>>,
    gone: Arc<AtomicBool>,
}

/// A published file, as `shared` lists it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SharedFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The name that others see; unescaped.
    pub name: String,
    /// What it holds.
    pub id: ContentId,
    /// Its size in bytes.
    pub size: u64,
}

/// How much is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Paths.
    pub files: usize,
    /// Bytes in them.
    pub bytes: u64,
}

/// A file that the library withdrew by itself, worth telling the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Where it lay.
    pub path: PathBuf,
    /// What it held.
    pub id: ContentId,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        write!(f, "{path} was changed or removed and is no longer shared: publish it again")
    }
}

/// What to unpublish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UnpublishTarget {
    /// A file, or all that is published in a folder.
    Path(PathBuf),
    /// A content, under all its paths.
    Content(ContentId),
}

impl UnpublishTarget {
    /// What a user means by `text`: 64 hexadecimal digits are a content.
    #[must_use]
    pub fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Path(text.into()), Self::Content)
    }
}

/// What was unpublished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UnpublishReport {
    /// How many paths.
    pub files: usize,
    /// Bytes in them.
    pub bytes: u64,
}

impl Library {
    /// An empty library on `disk`. What is protected must be there already: links in its
    /// paths are resolved now.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, protected: &Protected) -> Self {
        // What is compared must be resolved; what is not there yet is taken as it stands.
        let resolve = |path: &Path| disk.resolve(path).unwrap_or_else(|_| path.to_path_buf());
        let protected = Protected {
            state: protected.state.as_deref().map(resolve),
            keys: protected.keys.iter().map(|key| resolve(key)).collect(),
            home: protected.home.as_deref().map(resolve),
        };
        Self(Arc::new(Inner { disk, protected, shelf: RwLock::default() }))
    }

    /// Whether a content is here.
    #[must_use]
    pub fn is_published(&self, id: ContentId) -> bool {
        self.shelf().contents.contains_key(&id)
    }

    /// The piece values of a content that is here.
    #[must_use]
    pub fn list(&self, id: ContentId) -> Option<Arc<PieceList>> {
        let shelf = self.shelf();
        let copy = shelf.contents.get(&id)?.copies.first()?;
        Some(Arc::clone(&copy.list))
    }

    /// All that is published, in order of paths.
    #[must_use]
    pub fn shared(&self) -> Vec<SharedFile> {
        let report = |file: &Arc<Published>| SharedFile {
            path: file.path.clone(),
            name: file.name.as_str().to_owned(),
            id: file.list.id(),
            size: file.stamp.size,
        };
        self.shelf().paths.values().map(report).collect()
    }

    /// How much is published.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let shelf = self.shelf();
        Totals { files: shelf.paths.len(), bytes: shelf.bytes }
    }

    /// What the library withdrew by itself since this was last asked.
    #[must_use]
    pub fn take_notices(&self) -> Vec<Notice> {
        self.shelf_mut().notices.drain(..).collect()
    }

    /// Stops sharing a file, all that is published in a folder, or a content. Whoever
    /// reads a content that is gone by that sees it at once.
    ///
    /// # Errors
    /// [`UnpublishError::NotPublished`].
    pub fn unpublish(&self, target: &UnpublishTarget) -> Result<UnpublishReport, UnpublishError> {
        // Before the lock: this asks the disk.
        let candidates = match target {
            UnpublishTarget::Path(path) => self.spellings(path),
            UnpublishTarget::Content(_) => Vec::new(),
        };
        let mut shelf = self.shelf_mut();
        let paths: Vec<PathBuf> = match target {
            UnpublishTarget::Content(id) => {
                let copies = shelf.contents.get(id).map(|content| content.copies.as_slice());
                copies.unwrap_or_default().iter().map(|copy| copy.path.clone()).collect()
            }
            UnpublishTarget::Path(_) => {
                let inside = candidates.iter().map(|path| shelf.paths_in(path));
                inside.into_iter().find(|paths| !paths.is_empty()).unwrap_or_default()
            }
        };
        let mut report = UnpublishReport::default();
        // What has just changed under its owner's hands is not to come back, either.
        let before = shelf.changed.len();
        shelf.changed.retain(|path| !candidates.iter().any(|gone| path.starts_with(gone)));
        report.files += before - shelf.changed.len();
        for path in paths {
            if let Some(file) = shelf.remove(&path) {
                report.files += 1;
                report.bytes = report.bytes.saturating_add(file.stamp.size);
            }
        }
        if report.files > 0 {
            return Ok(report);
        }
        Err(UnpublishError::NotPublished {
            what: match target {
                UnpublishTarget::Path(path) => path.to_string_lossy().into_owned(),
                UnpublishTarget::Content(id) => id.to_string(),
            },
        })
    }

    /// Shares a file that was just downloaded and verified as `list`, without hashing it
    /// whole; each piece is still hashed before it is first sent.
    ///
    /// # Errors
    /// [`PublishError`], also when the file is not as long as the list says.
    pub fn add_verified(&self, path: &Path, list: PieceList) -> Result<(), PublishError> {
        let refuse = |why| Err(PublishError::Refused { path: path.to_path_buf(), why });
        let path = self.resolve(path)?;
        let Some(name) = own_name(&path) else { return refuse(LeftOut::Name) };
        let stamp = match self.disk().open_shared(&path).and_then(|file| file.stamp()) {
            Ok(stamp) => stamp,
            Err(error) if NotRegular::is(&error) => return refuse(LeftOut::Special),
            Err(source) => return Err(PublishError::Unreadable { path, source }),
        };
        if self.is_protected(&path) || self.key_files().contains(&(stamp.dev, stamp.ino)) {
            return refuse(LeftOut::Protected);
        }
        if stamp.size != list.geometry().size() {
            return refuse(LeftOut::Changed);
        }
        let checked = PieceMap::new(list.geometry().count());
        if !self.insert(Published::new(path.clone(), name, stamp, list, checked)) {
            return refuse(LeftOut::TooMany);
        }
        Ok(())
    }

    /// The file's own path, all links resolved; the user named it, so links are followed.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf, PublishError> {
        self.disk().resolve(path).map_err(|source| {
            let path = path.to_path_buf();
            match source.kind() {
                std::io::ErrorKind::NotFound => PublishError::Missing { path },
                _ => PublishError::Unreadable { path, source },
            }
        })
    }

    /// The ways in which a path may have been recorded. It may be gone by now.
    fn spellings(&self, path: &Path) -> Vec<PathBuf> {
        let plain = std::path::absolute(path).map_or_else(|_| path.to_path_buf(), |p| lexical(&p));
        let resolved = self.disk().resolve(path).ok();
        let beside = plain
            .parent()
            .and_then(|parent| self.disk().resolve(parent).ok())
            .and_then(|parent| Some(parent.join(plain.file_name()?)));
        resolved.into_iter().chain(beside).chain([plain]).collect()
    }

    /// Whether nothing at `path` may ever be shared.
    pub(super) fn is_protected(&self, path: &Path) -> bool {
        let Protected { state, keys, .. } = &self.0.protected;
        state.as_ref().is_some_and(|state| path.starts_with(state))
            || keys.iter().any(|key| key == path)
            || path.components().any(|part| part.as_os_str() == PARTS_FOLDER)
    }

    /// (device, inode) of the key files, which hard links share.
    pub(super) fn key_files(&self) -> Vec<(u64, u64)> {
        let stamp = |path: &PathBuf| self.disk().open_shared(path).ok()?.stamp().ok();
        let stamps = self.0.protected.keys.iter().filter_map(stamp);
        stamps.map(|stamp| (stamp.dev, stamp.ino)).collect()
    }

    pub(super) fn protected(&self) -> &Protected {
        &self.0.protected
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.0.disk
    }

    pub(super) fn shelf(&self) -> RwLockReadGuard<'_, Shelf> {
        self.0.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shelf_mut(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.0.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a file, in place of what its path held; false when there are too many.
    pub(super) fn insert(&self, file: Published) -> bool {
        self.shelf_mut().insert(file)
    }

    /// Withdraws `file`, which is no longer what was published, and leaves a notice.
    pub(super) fn withdraw_changed(&self, file: &Arc<Published>) {
        let mut shelf = self.shelf_mut();
        if shelf.paths.get(&file.path).is_some_and(|present| Arc::ptr_eq(present, file)) {
            shelf.remove(&file.path);
            shelf.changed.insert(file.path.clone());
            if shelf.notices.len() >= MAX_NOTICES {
                let forgotten = shelf.notices.pop_front().map(|notice| notice.path);
                forgotten.map(|path| shelf.changed.remove(&path));
            }
            shelf.notices.push_back(Notice { path: file.path.clone(), id: file.list.id() });
        }
    }
}

impl Shelf {
    /// The published paths that are `path` or lie in it.
    pub(super) fn paths_in(&self, path: &Path) -> Vec<PathBuf> {
        let from = self.paths.range(path.to_path_buf()..);
        from.map(|(path, _)| path).take_while(|inner| inner.starts_with(path)).cloned().collect()
    }

    pub(super) fn file(&self, path: &Path) -> Option<&Arc<Published>> {
        self.paths.get(path)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<Published>> {
        self.paths.values()
    }

    /// The paths that hold `id`, and the flag that tells when none does any more.
    pub(super) fn copies(&self, id: ContentId) -> Option<(&[Arc<Published>], &Arc<AtomicBool>)> {
        self.contents.get(&id).map(|content| (content.copies.as_slice(), &content.gone))
    }

    fn insert(&mut self, mut file: Published) -> bool {
        if self.paths.len() >= MAX_PATHS && !self.paths.contains_key(&file.path) {
            return false;
        }
        let (path, size) = (file.path.clone(), file.stamp.size);
        let replaced = self.paths.remove(&path);
        let content = self.contents.entry(file.list.id()).or_insert_with(|| Content {
            copies: Vec::new(),
            gone: Arc::new(AtomicBool::new(false)),
        });
        // The same content has the same values: one list is enough in memory.
        if let Some(copy) = content.copies.first().filter(|copy| copy.list == file.list) {
            file.list = Arc::clone(&copy.list);
        }
        let file = Arc::new(file);
        content.copies.push(Arc::clone(&file));
        self.paths.insert(path, file);
        self.bytes = self.bytes.saturating_add(size);
        // After the new one is in: a content that stays is never seen to be gone.
        if let Some(old) = replaced {
            self.let_go(&old);
        }
        true
    }

    pub(super) fn remove(&mut self, path: &Path) -> Option<Arc<Published>> {
        let file = self.paths.remove(path)?;
        self.let_go(&file);
        Some(file)
    }

    /// Takes a file that is no longer among the paths from its content.
    fn let_go(&mut self, file: &Arc<Published>) {
        file.withdrawn.store(true, Ordering::Release);
        self.bytes = self.bytes.saturating_sub(file.stamp.size);
        let id = file.list.id();
        if let Some(content) = self.contents.get_mut(&id) {
            content.copies.retain(|copy| !Arc::ptr_eq(copy, file));
            if content.copies.is_empty() {
                content.gone.store(true, Ordering::Release);
                self.contents.remove(&id);
            }
        }
    }
}

impl Published {
    pub(super) fn new(
        path: PathBuf,
        name: FileName,
        stamp: Stamp,
        list: PieceList,
        checked: PieceMap,
    ) -> Self {
        let folded = FoldedName::of(name.as_str());
        let (checked, withdrawn) = (Mutex::new(checked), AtomicBool::new(false));
        Self { path, name, folded, stamp, list: Arc::new(list), checked, withdrawn }
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    pub(super) fn is_checked(&self, piece: PieceIndex) -> bool {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).contains(piece)
    }

    pub(super) fn set_checked(&self, piece: PieceIndex) {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).insert(piece);
    }
}

/// The last component of `path` as a name that can be shared; the whole path must be
/// text, since it is shown and sent to the prompt as such.
pub(super) fn own_name(path: &Path) -> Option<FileName> {
    path.to_str()?;
    FileName::new(path.file_name()?.to_str()?).ok()
}

/// `path` with `.` and `..` taken out, as far as the text goes.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::publish::tests::{library, publish};
    use super::*;
    use crate::store::disk::Kind;

    fn target(path: &str) -> UnpublishTarget {
        UnpublishTarget::of(path)
    }

    #[test]
    fn one_content_at_two_paths_is_gone_when_both_are() {
        let (disk, library) = library();
        disk.put("/share/a", b"same");
        disk.put("/share/b", b"same");
        publish(&library, "/share").unwrap();
        let id = ContentId(*blake3::hash(b"same").as_bytes());
        assert_eq!(library.totals(), Totals { files: 2, bytes: 8 });
        library.unpublish(&target("/share/a")).unwrap();
        assert!(library.is_published(id) && library.list(id).is_some());
        library.unpublish(&target("/share/b")).unwrap();
        assert!(!library.is_published(id) && library.list(id).is_none());
        assert_eq!(library.totals(), Totals::default());
    }

    #[test]
    fn a_file_a_folder_and_a_content_can_be_unpublished() {
        let (disk, library) = library();
        for path in ["/share/a", "/share/in/b", "/share/in/c", "/share/inner", "/share/z"] {
            disk.put(path, path.as_bytes());
        }
        publish(&library, "/share").unwrap();
        let report = library.unpublish(&target("/share/in")).unwrap();
        assert_eq!(report, UnpublishReport { files: 2, bytes: 22 });
        disk.remove_file(Path::new("/share/a")).unwrap();
        library.unpublish(&target("/share/../share/./a")).unwrap();
        let id = ContentId(*blake3::hash(b"/share/inner").as_bytes());
        assert_eq!(library.unpublish(&target(&id.to_string())).unwrap().files, 1);
        let left: Vec<_> = library.shared().into_iter().map(|file| file.name).collect();
        assert_eq!(left, ["z"]);
        for nothing in ["/share/a", "/share/in", "/sha", &id.to_string()] {
            let error = library.unpublish(&target(nothing)).unwrap_err();
            assert!(error.to_string().contains(nothing), "{error}");
        }
    }

    #[test]
    fn a_finished_download_is_shared_without_being_hashed() {
        let (disk, library) = library();
        disk.put("/downloads/x", b"hello");
        publish(&library, "/downloads/x").unwrap();
        let id = ContentId(*blake3::hash(b"hello").as_bytes());
        let list = PieceList::clone(&library.list(id).unwrap());
        library.unpublish(&target("/downloads/x")).unwrap();

        library.add_verified(Path::new("/downloads/x"), list.clone()).unwrap();
        assert!(library.is_published(id));
        disk.put("/downloads/y", b"longer than hello");
        disk.put("/state/z", b"hello");
        disk.put_odd("/downloads/link", Kind::Symlink);
        for (path, why) in [
            ("/downloads/y", LeftOut::Changed),
            ("/state/z", LeftOut::Protected),
            ("/downloads/link", LeftOut::Special),
        ] {
            match library.add_verified(Path::new(path), list.clone()) {
                Err(PublishError::Refused { why: found, .. }) => assert_eq!(found, why),
                other => panic!("{path}: {other:?}"),
            }
        }
        let missing = library.add_verified(Path::new("/downloads/none"), list);
        assert!(matches!(missing, Err(PublishError::Missing { .. })));
    }
}
