//! Looking at what is published: what of it is as it was, what is new, and what is gone.
//!
//! Always true: links are never followed within a folder; no file is opened or read, so a
//! scan costs what listing costs; a file that was moved is known by its stamp and keeps
//! its content id, and its pieces are proven once more before they are sent; what lay on
//! a disk that is not there any more is remembered, not forgotten. Hashing what is new is
//! left to [`super::hashing`], and when to look to whoever calls.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::PublishError;
use super::ignoring::{IGNORE_FILE, Ignoring};
use super::left_out::LeftOut;
use super::library::{AT_A_STROKE, Library, MAX_PATHS, own_name};
use super::publish::{PublishProgress, PublishReport};
use super::published_path::Published;
use super::shelf::Known;
use crate::base::Geometry;
use crate::store::disk::{Entry, Kind, NotRegular, Stamp};

/// Who is told of the folders that are looked at, so that later changes are told of.
pub trait Watcher: Sync {
    /// A folder is about to be listed.
    fn enter(&self, folder: &Path);

    /// Whether this folder was entered before and has been watched since; then a look at
    /// the folder around it needs not look into it.
    fn knows(&self, folder: &Path) -> bool;

    /// Whether a file is too likely to be written at present to be read, by its stamp
    /// and by what else is known of it.
    fn waits(&self, path: &Path, stamp: &Stamp, now_ns: i128) -> bool;

    /// A file has to be looked at again a little later: it was changed while it was read,
    /// or waits.
    fn again(&self, path: &Path);
}

/// Nobody: every folder is looked into, and every file is taken as it is.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn enter(&self, _: &Path) {}

    fn knows(&self, _: &Path) -> bool {
        false
    }

    fn waits(&self, _: &Path, _: &Stamp, _: i128) -> bool {
        false
    }

    fn again(&self, _: &Path) {}
}

/// A file that is to be hashed.
#[derive(Clone, Debug)]
pub(super) struct Todo {
    pub(super) path: PathBuf,
    /// What it was when it was found.
    pub(super) stamp: Stamp,
}

/// Why a file was not published.
pub(super) enum Skip {
    LeftOut(LeftOut),
    System(io::Error),
    Stopped,
}

impl From<io::Error> for Skip {
    fn from(error: io::Error) -> Self {
        if NotRegular::is(&error) { Self::LeftOut(LeftOut::Special) } else { Self::System(error) }
    }
}

/// One look, at as much as is asked of it.
pub(super) struct Scan<'a> {
    library: &'a Library,
    watcher: &'a dyn Watcher,
    progress: &'a (dyn Fn(PublishProgress<'_>) + Sync),
    stop: &'a AtomicBool,
    /// (device, inode) of what is never shared by any name.
    key_files: Vec<(u64, u64)>,
    pub(super) report: PublishReport,
    /// What is to be hashed, in order of paths.
    pub(super) todo: Vec<Todo>,
    /// The same, but not yet.
    waiting: Vec<Todo>,
    /// What is no longer what was published, and may be shared again when it is hashed.
    stale: BTreeSet<PathBuf>,
    /// What is gone, or no longer to be shared.
    lost: Vec<PathBuf>,
    /// Numbers that devices had before the machine numbered them anew.
    renumbered: BTreeSet<u64>,
}

impl Library {
    pub(super) fn scan<'a>(
        &'a self,
        watcher: &'a dyn Watcher,
        progress: &'a (dyn Fn(PublishProgress<'_>) + Sync),
        stop: &'a AtomicBool,
    ) -> Scan<'a> {
        Scan {
            library: self,
            watcher,
            progress,
            stop,
            key_files: self.key_files(),
            report: PublishReport::default(),
            todo: Vec::new(),
            waiting: Vec::new(),
            stale: BTreeSet::new(),
            lost: Vec::new(),
            renumbered: BTreeSet::new(),
        }
    }
}

impl Scan<'_> {
    /// Looks at a file that was published by name.
    pub(super) fn file(&mut self, root: &Path) -> Result<(), PublishError> {
        let why = match self.look_at(root) {
            Ok(()) => {
                self.library.shelf_mut().missing.remove(root);
                return Ok(());
            }
            Err(why) => why,
        };
        if !matches!(&why, Skip::System(error) if may_pass(error)) {
            self.lost.push(root.to_path_buf());
        }
        let path = root.to_path_buf();
        Err(match why {
            Skip::Stopped => self.stopped(),
            Skip::LeftOut(why) => PublishError::Refused { path, why },
            Skip::System(source) => unreadable(root, source),
        })
    }

    /// Looks at `folder`, which is `root` or lies in it, and at the folders in it: at all
    /// of them when `deep`, else at those that nobody watches.
    pub(super) fn folder(
        &mut self,
        root: &Path,
        folder: &Path,
        deep: bool,
    ) -> Result<(), PublishError> {
        let ignoring = match self.way_to(root, folder) {
            Ok(Some(ignoring)) => ignoring,
            Ok(None) => {
                self.lose(root, folder);
                return Ok(());
            }
            Err(error) => {
                self.keep(folder, &error);
                return Ok(());
            }
        };
        let mut waiting = vec![(folder.to_path_buf(), ignoring, deep)];
        while let Some((at, ignoring, deep)) = waiting.pop() {
            self.check_wanted(root)?;
            // In this order: what is made after the list was read is told by the watcher.
            self.watcher.enter(&at);
            let began = self.library.shelf().inserted();
            let mut entries = match self.library.disk().list(&at) {
                Ok(entries) => entries,
                Err(source) if at == root => return Err(unreadable(root, source)),
                Err(error) if may_pass(&error) => {
                    self.keep(&at, &error);
                    continue;
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        self.report.left_out.add(&at, LeftOut::Unreadable);
                    }
                    if !self.is_away(root, &at, &[]) {
                        self.lose(root, &at);
                    }
                    continue;
                }
            };
            if at != root && self.is_away(root, &at, &entries) {
                continue;
            }
            // The same folder is published in the same order each time.
            entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            let ignoring = match entries.iter().any(|entry| entry.name == IGNORE_FILE) {
                true => match ignoring.with_file(self.library.disk(), &at) {
                    Ok(ignoring) => ignoring,
                    Err(error) => {
                        self.keep(&at, &error);
                        continue;
                    }
                },
                false => ignoring,
            };
            let (mut kept, mut folders) = (BTreeSet::new(), Vec::new());
            for Entry { name, kind } in entries {
                if kind != Kind::Folder {
                    self.check_wanted(root)?;
                }
                let path = at.join(&name);
                if !self.may_share(&path, kind, &ignoring) {
                    continue;
                }
                if kind == Kind::Folder {
                    if deep || !self.watcher.knows(&path) {
                        folders.push((path, ignoring.clone(), true));
                    }
                    kept.insert(name);
                    continue;
                }
                let looked = match kind {
                    Kind::Symlink => Err(Skip::LeftOut(LeftOut::Symlink)),
                    Kind::Special => Err(Skip::LeftOut(LeftOut::Special)),
                    Kind::File | Kind::Folder => self.look_at(&path),
                };
                match looked {
                    Ok(()) => drop(kept.insert(name)),
                    Err(Skip::LeftOut(why)) => self.report.left_out.add(&path, why),
                    Err(Skip::System(error)) => {
                        self.report.left_out.add(&path, LeftOut::Unreadable);
                        if may_pass(&error) {
                            kept.insert(name);
                            self.look_later(&path, &error);
                        }
                    }
                    Err(Skip::Stopped) => return Err(self.stopped()),
                }
            }
            self.lose_all_but(root, &at, &kept, began);
            // Off the end of a stack, so backwards.
            waiting.extend(folders.into_iter().rev());
        }
        self.check_wanted(root)?;
        if folder == root {
            self.library.shelf_mut().missing.remove(root);
        }
        Ok(())
    }

    /// Recognises what was moved, withdraws what is gone, and sees to it that what waits
    /// is looked at again. What is left to do is hashing.
    pub(super) fn finish(&mut self) {
        self.recognise_moved();
        self.hold();
        for todo in std::mem::take(&mut self.waiting) {
            self.watcher.again(&todo.path);
        }
        for paths in std::mem::take(&mut self.lost).chunks(AT_A_STROKE) {
            let mut shelf = self.library.shelf_mut();
            let gone = paths.iter().filter_map(|path| shelf.remove(path)).count();
            self.report.withdrawn += gone as u64;
        }
        let stale: Vec<_> = std::mem::take(&mut self.stale).into_iter().collect();
        for paths in stale.chunks(AT_A_STROKE) {
            let mut shelf = self.library.shelf_mut();
            paths.iter().for_each(|path| drop(shelf.remove(path)));
        }
    }

    /// Leaves out what is new where publishing was stopped; called before what has changed
    /// leaves the shelf, since that is not new.
    fn hold(&mut self) {
        let shelf = self.library.shelf();
        self.todo.retain(|todo| !shelf.is_held(&todo.path));
        self.waiting.retain(|todo| !shelf.is_held(&todo.path));
    }

    /// Gives files that are new here the content of one that is gone, where they are the
    /// same file by device, inode, size and time.
    fn recognise_moved(&mut self) {
        let identity = |stamp: &Stamp| (stamp.dev, stamp.ino);
        if self.lost.is_empty() && self.stale.is_empty() {
            return;
        }
        let gone: BTreeMap<_, _> = {
            let shelf = self.library.shelf();
            let lost = self.lost.iter().chain(&self.stale);
            // One that was published by its own name is away by now, and not yet lost.
            let lost = lost.filter_map(|path| match shelf.known(path)? {
                Known::Here(file) | Known::Absent(file) => Some(file),
            });
            lost.map(|file| (identity(&file.stamp), file)).collect()
        };
        let mut moved = |todo: &Todo| {
            let known = gone.get(&identity(&todo.stamp))?;
            let name = self
                .library
                .name_for(&todo.path)
                .filter(|_| known.stamp.has_same_content(&todo.stamp))?;
            let file = known.moved(todo.path.clone(), name, todo.stamp);
            let mut shelf = self.library.shelf_mut();
            shelf.carry_name(&known.path, &todo.path);
            shelf.insert(file).ok()?;
            drop(shelf);
            self.stale.remove(&todo.path);
            self.report.files += 1;
            self.report.unchanged += 1;
            self.report.bytes = self.report.bytes.saturating_add(todo.stamp.size);
            Some(())
        };
        self.todo.retain(|todo| moved(todo).is_none());
        self.waiting.retain(|todo| moved(todo).is_none());
    }

    /// The rules that hold in `folder`; none when a rule on the way keeps it from being
    /// shared.
    fn way_to(&mut self, root: &Path, folder: &Path) -> io::Result<Option<Ignoring>> {
        let mut ignoring = self.library.ignoring(root);
        let mut at = root.to_path_buf();
        let Ok(way) = folder.strip_prefix(root) else { return Ok(None) };
        for name in way {
            ignoring = ignoring.with_file(self.library.disk(), &at)?;
            at.push(name);
            if self.refusal(&at, Kind::Folder, &ignoring).is_some() {
                return Ok(None);
            }
        }
        Ok(Some(ignoring))
    }

    /// Leaves what is known of `folder` as it is, since it cannot be read at present.
    fn keep(&mut self, folder: &Path, error: &io::Error) {
        self.report.left_out.add(folder, LeftOut::Unreadable);
        self.look_later(&folder.join(IGNORE_FILE), error);
    }

    fn look_later(&self, path: &Path, error: &io::Error) {
        if may_pass_soon(error) {
            self.watcher.again(path);
        }
    }

    /// Looks at one file.
    fn look_at(&mut self, path: &Path) -> Result<(), Skip> {
        own_name(path).ok_or(Skip::LeftOut(LeftOut::Name))?;
        let (kind, stamp) = self.library.disk().look(path)?;
        match kind {
            Kind::File => {}
            Kind::Symlink => return Err(Skip::LeftOut(LeftOut::Symlink)),
            Kind::Folder | Kind::Special => return Err(Skip::LeftOut(LeftOut::Special)),
        }
        if self.key_files.contains(&(stamp.dev, stamp.ino)) {
            return Err(Skip::LeftOut(LeftOut::Protected));
        }
        Geometry::of(stamp.size).ok_or(Skip::LeftOut(LeftOut::TooLarge))?;
        let known = self.library.shelf().known(path);
        match known {
            Some(Known::Here(known)) if known.stamp == stamp => {}
            // It is back, or it was given other rights, or its device has another number
            // since: its pieces are hashed before they are sent, and that will do.
            Some(Known::Here(known) | Known::Absent(known))
                if known.stamp.has_same_content(&stamp) =>
            {
                self.library.disk().open_shared(path)?;
                if known.stamp.dev != stamp.dev {
                    self.renumbered.insert(known.stamp.dev);
                }
                self.library.shelf_mut().insert(known.again(stamp)).map_err(Skip::LeftOut)?;
            }
            known => {
                let found = self.library.shelf().len() + self.todo.len() + self.waiting.len();
                if known.is_none() && found >= MAX_PATHS {
                    return Err(Skip::LeftOut(LeftOut::TooMany));
                }
                if matches!(known, Some(Known::Here(_))) {
                    self.stale.insert(path.to_path_buf());
                }
                let todo = Todo { path: path.to_path_buf(), stamp };
                match self.watcher.waits(path, &stamp, self.library.disk().now_ns()) {
                    true => self.waiting.push(todo),
                    false => self.todo.push(todo),
                }
                return Ok(());
            }
        }
        self.report.unchanged += 1;
        self.report.files += 1;
        self.report.bytes = self.report.bytes.saturating_add(stamp.size);
        let PublishReport { files, bytes, .. } = self.report;
        (self.progress)(PublishProgress { files, bytes, path, files_left: 0, bytes_left: 0 });
        Ok(())
    }

    /// Whether something found in a folder may be shared, as far as its path tells; what
    /// may not is counted.
    fn may_share(&mut self, path: &Path, kind: Kind, ignoring: &Ignoring) -> bool {
        let refusal = self.refusal(path, kind, ignoring);
        if let Some(why) = refusal {
            self.report.left_out.add(path, why);
        }
        refusal.is_none()
    }

    fn refusal(&self, path: &Path, kind: Kind, ignoring: &Ignoring) -> Option<LeftOut> {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            Some(LeftOut::Hidden)
        } else if self.library.is_protected(path) {
            Some(LeftOut::Protected)
        } else if own_name(path).is_none() {
            Some(LeftOut::Name)
        } else if ignoring.leaves_out(path, kind == Kind::Folder) {
            Some(LeftOut::Ignored)
        } else if self.library.shelf().marks.is_excluded(path) {
            Some(LeftOut::Unpublished)
        } else {
            None
        }
    }

    /// Whether anybody still wants the whole of this.
    fn check_wanted(&self, root: &Path) -> Result<(), PublishError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(self.stopped());
        }
        match self.library.shelf().marks.root(root) {
            Some(_) => Ok(()),
            None => Err(PublishError::Unpublished { path: root.to_path_buf() }),
        }
    }

    fn stopped(&self) -> PublishError {
        PublishError::Stopped { files: self.report.files }
    }

    /// Loses what was published right in `folder`, or in the folders in it, and is not
    /// among the `kept` names. What came onto the shelf since this `began` was published
    /// by somebody else meanwhile.
    fn lose_all_but(&mut self, root: &Path, folder: &Path, kept: &BTreeSet<OsString>, began: u64) {
        let (files, folders) = self.library.shelf().right_in(folder);
        let is_kept = |path: &Path| path.file_name().is_some_and(|name| kept.contains(name));
        for path in files.into_iter().filter(|path| !is_kept(path)) {
            let later = self.library.shelf().file(&path).is_some_and(|file| file.is_since(began));
            if !later {
                self.lose_file(root, path);
            }
        }
        for inner in folders.into_iter().filter(|path| !is_kept(path)) {
            if !self.is_away(root, &inner, &[]) {
                self.lose(root, &inner);
            }
        }
    }

    /// Loses all that was published in `folder`.
    fn lose(&mut self, root: &Path, folder: &Path) {
        let paths = {
            let shelf = self.library.shelf();
            shelf.paths_in(folder).into_iter().chain(shelf.absent_in(folder)).collect::<Vec<_>>()
        };
        paths.into_iter().for_each(|path| self.lose_file(root, path));
    }

    /// Loses a file, unless it is left out here, as what is hidden is, but published by
    /// another name and still there.
    fn lose_file(&mut self, root: &Path, path: PathBuf) {
        let ours = self.library.shelf().marks.nearest_root(&path).is_none_or(|near| near == root);
        if ours || !matches!(self.library.disk().kind(&path), Ok(Kind::File)) {
            self.lost.push(path);
        }
    }

    /// Whether `folder`, in which there is nothing, is where a disk was that is not there
    /// any more; then what lay on it is remembered. What is there again is said so.
    fn is_away(&mut self, root: &Path, folder: &Path, entries: &[Entry]) -> bool {
        if !entries.is_empty() {
            if !self.library.shelf().missing.is_empty() {
                self.library.shelf_mut().missing.remove(folder);
            }
            return false;
        }
        let Some(was_on) = self.library.shelf().device_of(folder) else { return false };
        let there = folder.ancestors().find_map(|at| self.library.disk().device(at).ok());
        let around = |shelf: &super::shelf::Shelf| {
            shelf.any_in(root, |file| file.stamp.dev == was_on && !file.path.starts_with(folder))
        };
        if there == Some(was_on)
            || self.renumbered.contains(&was_on)
            || around(&self.library.shelf())
        {
            return false;
        }
        let why = "is where a disk was that is not there";
        self.library.shelf_mut().missing.insert(folder.to_path_buf(), why.to_owned());
        self.library.set_absent(folder);
        true
    }
}

/// Whether an error tells nothing of what is on the disk, so that it may pass: too many
/// files are open, a server does not answer.
pub(super) fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, NotADirectory, NotFound, PermissionDenied};
    let lasting = [NotFound, NotADirectory, PermissionDenied, FileTooLarge];
    !lasting.contains(&error.kind()) && !NotRegular::is(error)
}

/// Whether it may so soon that it is worth trying again at once: a disk that fails at one
/// place fails there again, and only the regular looks try that.
pub(super) fn may_pass_soon(error: &io::Error) -> bool {
    /// The number of EIO, everywhere.
    const DISK_FAILS: i32 = 5;
    may_pass(error) && error.raw_os_error() != Some(DISK_FAILS)
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> PublishError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::NotFound => PublishError::Missing { path },
        _ => PublishError::Unreadable { path, source },
    }
}

impl Published {
    /// The same content in the same file, which is now found elsewhere.
    fn moved(&self, path: PathBuf, name: crate::base::FileName, stamp: Stamp) -> Self {
        Self::new(path, name, stamp, Arc::clone(&self.list), false)
    }
}
