//! The library: the paths that are published and the contents that they hold.
//!
//! Always true: what is shared was published by name, or lies in what was, and was not
//! unpublished since. What is on the shelf is told in `shelf`, how files are found in
//! `scan` and hashed in `hashing`, how they are read in `published`, how they are matched
//! in `matcher`, how they outlive the process in `keeping` and `walk`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::backlog::Backlog;
use super::error::{PublishError, UnpublishError, shown};
use super::hashing::{Counters, MAX_THREADS};
use super::ignoring::Rules;
use super::keeping::Keeping;
use super::left_out::LeftOut;
use super::published_path::Published;
use super::shelf::Shelf;
use crate::base::{ContentId, FileName};
use crate::store::disk::{Disk, NotRegular, PARTS_FOLDER};
use crate::transfer::PieceList;

/// Most paths that are published at a time: some 3 GiB of memory. More are left out.
pub const MAX_PATHS: usize = 1 << 22;

/// Most notices kept until somebody takes them; the oldest go first.
pub const MAX_NOTICES: usize = 64;

/// Files that leave the shelf at a stroke, while searches and uploads wait for it: some
/// milliseconds.
pub(super) const AT_A_STROKE: usize = 1_000;

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
    hashing: Counters,
    backlog: Mutex<Backlog>,
    ignored: RwLock<Rules>,
    threads: AtomicUsize,
    keeping: Keeping,
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
    /// When it was last modified, in seconds since 1970.
    pub modified: Option<u64>,
}

impl SharedFile {
    pub(super) fn of(file: &Published) -> Self {
        Self {
            path: file.path.clone(),
            name: file.name.as_str().to_owned(),
            id: file.list.id(),
            size: file.stamp.size,
            modified: file.stamp.modified(),
        }
    }
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
        write!(f, "{path} was changed or removed and is not shared until a file is there again")
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
    /// An empty library on `disk`, which lives as long as the process. What is protected
    /// must be there already: links in its paths are resolved now.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, protected: &Protected) -> Self {
        Self::on(disk, protected, Keeping::default())
    }

    pub(super) fn on(disk: Arc<dyn Disk>, protected: &Protected, keeping: Keeping) -> Self {
        // What is compared must be resolved; what is not there yet is taken as it stands.
        let resolve = |path: &Path| disk.resolve(path).unwrap_or_else(|_| path.to_path_buf());
        let protected = Protected {
            state: protected.state.as_deref().map(resolve),
            keys: protected.keys.iter().map(|key| resolve(key)).collect(),
            home: protected.home.as_deref().map(resolve),
        };
        let (shelf, hashing) = (RwLock::default(), Counters::default());
        let (backlog, ignored, threads) = (Mutex::default(), RwLock::default(), 1.into());
        Self(Arc::new(Inner {
            disk,
            protected,
            shelf,
            hashing,
            backlog,
            ignored,
            threads,
            keeping,
        }))
    }

    /// Whether a content is here.
    #[must_use]
    pub fn is_published(&self, id: ContentId) -> bool {
        self.shelf().copies(id).is_some() || self.collection(id).is_some()
    }

    /// The piece values of a content that is here.
    #[must_use]
    pub fn list(&self, id: ContentId) -> Option<Arc<PieceList>> {
        let list = self.copy_of(id).map(|copy| Arc::clone(&copy.list));
        list.or_else(|| Some(Arc::clone(&self.collection(id)?.list)))
    }

    /// What a content that is here is called.
    #[must_use]
    pub fn name(&self, id: ContentId) -> Option<String> {
        let copy = self.copy_of(id).map(|copy| copy.name.clone());
        let name = copy.or_else(|| Some(self.collection(id)?.name.clone()));
        Some(name?.as_str().to_owned())
    }

    /// Where a content that is here lies; one path of it.
    #[must_use]
    pub fn path(&self, id: ContentId) -> Option<PathBuf> {
        let copy = self.copy_of(id).map(|copy| copy.path.clone());
        copy.or_else(|| Some(self.collection(id)?.path.clone()))
    }

    fn copy_of(&self, id: ContentId) -> Option<Arc<Published>> {
        self.shelf().copies(id)?.0.first().map(Arc::clone)
    }

    /// The published file at `path`, however that is spelled.
    #[must_use]
    pub fn shared_at(&self, path: &Path) -> Option<SharedFile> {
        let spellings = self.spellings(path);
        let shelf = self.shelf();
        spellings.iter().find_map(|path| shelf.file(path)).map(|file| SharedFile::of(file))
    }

    /// All that is published, in order of paths: for where that is not much.
    #[must_use]
    pub fn shared(&self) -> Vec<SharedFile> {
        self.shelf().files().map(|file| SharedFile::of(file)).collect()
    }

    /// How much is published.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let shelf = self.shelf();
        Totals { files: shelf.len(), bytes: shelf.bytes() }
    }

    /// How many folders were published by name.
    #[must_use]
    pub fn folders(&self) -> usize {
        self.shelf().marks.folders()
    }

    /// What the library withdrew by itself since this was last asked.
    #[must_use]
    pub fn take_notices(&self) -> Vec<Notice> {
        self.shelf_mut().take_notices()
    }

    /// Stops sharing a file, all that is published in a folder, or a content, and keeps
    /// that from coming back. Whoever reads a content that is gone by that sees it at
    /// once. When this returns, it outlives the process.
    ///
    /// # Errors
    /// [`UnpublishError`].
    pub fn unpublish(&self, target: &UnpublishTarget) -> Result<UnpublishReport, UnpublishError> {
        let what = match target {
            UnpublishTarget::Path(path) => path.to_string_lossy().into_owned(),
            UnpublishTarget::Content(id) => id.to_string(),
        };
        // Before the lock: this asks the disk.
        let candidates = match target {
            UnpublishTarget::Path(path) => self.spellings(path),
            UnpublishTarget::Content(_) => Vec::new(),
        };
        // What lies in a published folder and is not shared yet can be taken out of it.
        let there: Vec<bool> =
            candidates.iter().map(|path| self.disk().kind(path).is_ok()).collect();
        let mut shelf = self.shelf_mut();
        let full = match target {
            UnpublishTarget::Content(id) => {
                // Each of them may take a place.
                let paths = shelf.paths_of(*id);
                shelf.marks.has_no_room_for(paths.len())
            }
            UnpublishTarget::Path(_) => candidates.iter().any(|path| shelf.marks.is_full_for(path)),
        };
        if full {
            return Err(UnpublishError::TooMany { what });
        }
        let report = match target {
            UnpublishTarget::Content(id) => {
                let reports = shelf
                    .paths_of(*id)
                    .into_iter()
                    .filter_map(|path| shelf.unpublish(&path, false));
                reports.reduce(|one, other| UnpublishReport {
                    files: one.files + other.files,
                    bytes: one.bytes.saturating_add(other.bytes),
                })
            }
            UnpublishTarget::Path(_) => candidates.iter().zip(there).find_map(|(path, there)| {
                let coming = there && shelf.marks.wants(path);
                shelf.unpublish(path, coming)
            }),
        };
        drop(shelf);
        let Some(report) = report else { return Err(UnpublishError::NotPublished { what }) };
        self.save().map_err(|why| UnpublishError::NotKept { what, why })?;
        Ok(report)
    }

    /// Shares a file that was just downloaded and verified as `list`, without hashing it
    /// whole; each piece is still hashed before it is first sent. When this returns, it
    /// outlives the process.
    ///
    /// # Errors
    /// [`PublishError`], also when the file is not as long as the list says.
    pub fn add_verified(&self, path: &Path, list: PieceList) -> Result<(), PublishError> {
        let refuse = |why| Err(PublishError::Refused { path: path.to_path_buf(), why });
        let path = self.resolve(path)?;
        let Some(name) = self.name_for(&path) else { return refuse(LeftOut::Name) };
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
        let file = Published::new(path.clone(), name, stamp, Arc::new(list), false);
        let mut shelf = self.shelf_mut();
        let before = shelf.mark(&path, false);
        if let Err(why) = shelf.insert(file) {
            shelf.unmark(&path, before);
            return refuse(why);
        }
        drop(shelf);
        self.save().map_err(|why| PublishError::NotKept { path, why })
    }

    /// Shares a folder of files that were just downloaded and verified, each below it at its
    /// path, as [`Library::add_verified`] shares one.
    ///
    /// # Errors
    /// [`PublishError`]; a file that is not as long as its list says is not shared.
    pub fn add_verified_folder(
        &self,
        folder: &Path,
        files: Vec<(PathBuf, PieceList)>,
    ) -> Result<(), PublishError> {
        let folder = self.resolve(folder)?;
        if self.is_protected(&folder) {
            let why = LeftOut::Protected;
            return Err(PublishError::Refused { path: folder, why });
        }
        let keys = self.key_files();
        let files = files.into_iter().filter_map(|(path, list)| {
            let path = folder.join(path);
            let stamp = self.disk().open_shared(&path).and_then(|file| file.stamp()).ok()?;
            let ours = stamp.size == list.geometry().size();
            let name =
                own_name(&path).filter(|_| ours && !keys.contains(&(stamp.dev, stamp.ino)))?;
            Some(Published::new(path, name, stamp, Arc::new(list), false))
        });
        let mut files = files.collect::<Vec<_>>().into_iter().peekable();
        self.shelf_mut().mark(&folder, true);
        while files.peek().is_some() {
            let mut shelf = self.shelf_mut();
            for file in files.by_ref().take(AT_A_STROKE) {
                // What was taken out of it meanwhile stays so.
                let _ = shelf.insert(file);
            }
        }
        self.collect();
        self.save().map_err(|why| PublishError::NotKept { path: folder, why })
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
    pub(super) fn spellings(&self, path: &Path) -> Vec<PathBuf> {
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
            || memchr::memmem::find(path.as_os_str().as_encoded_bytes(), PARTS_FOLDER.as_bytes())
                .is_some_and(|_| path.components().any(|part| part.as_os_str() == PARTS_FOLDER))
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

    pub(super) fn counters(&self) -> &Counters {
        &self.0.hashing
    }

    pub(super) fn backlog(&self) -> &Mutex<Backlog> {
        &self.0.backlog
    }

    pub(super) fn ignored(&self) -> &RwLock<Rules> {
        &self.0.ignored
    }

    /// How many threads hash for one publication, from the next one on.
    pub fn set_hash_threads(&self, threads: usize) {
        self.0.threads.store(threads.clamp(1, MAX_THREADS), Ordering::Relaxed);
    }

    pub(super) fn hash_threads(&self) -> usize {
        self.0.threads.load(Ordering::Relaxed)
    }

    pub(super) fn keeping(&self) -> &Keeping {
        &self.0.keeping
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
pub(super) mod tests {
    use super::super::publish::tests::{library, publish};
    use super::*;
    use crate::store::disk::Kind;

    pub(in super::super) fn target(path: &str) -> UnpublishTarget {
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
        assert_eq!(library.path(id), Some("/share/b".into()));
        library.unpublish(&target("/share/b")).unwrap();
        assert!(!library.is_published(id) && library.list(id).is_none());
        assert_eq!(library.path(id), None);
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
