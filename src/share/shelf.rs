//! What is published, by path and by content, and what of that is still to be saved.
//!
//! Always true: every published path belongs to exactly one content; a content is here
//! as long as one path has it, and whoever reads it can see at once when it is gone;
//! nothing is here that the [`Marks`] do not want.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::by_path::ByPath;
use super::collection::Collections;
use super::index::{Files, Index};
use super::left_out::LeftOut;
use super::library::{MAX_NOTICES, MAX_PATHS, Notice, UnpublishReport, own_name};
use super::marks::{Before, Marks, Root, inside};
use super::names::Names;
use super::published_path::Published;
use crate::base::{ContentId, FileName};
use crate::store::share_index::{Changes, RootRow};

/// Files that come into the index while others wait for the shelf: some milliseconds.
const INDEXED_AT_ONCE: usize = 1000;

#[derive(Default)]
pub(super) struct Shelf {
    paths: ByPath,
    names: Names,
    index: Index,
    /// The numbers of those that a start has put back and that the index still lacks.
    unindexed: Range<u32>,
    /// What the marks say of the folder that was last asked about: files come by folders.
    near: Option<Near>,
    contents: BTreeMap<ContentId, Content>,
    bytes: u64,
    notices: VecDeque<Notice>,
    /// Withdrawn because they changed, and to be shared anew as they are now.
    pub(super) changed: BTreeSet<PathBuf>,
    /// Not there at present, most likely because a disk is not; not shared, but known
    /// when they are back as they were.
    absent: BTreeMap<PathBuf, Arc<Published>>,
    /// What was published by name and is not there, and why not.
    pub(super) missing: BTreeMap<PathBuf, String>,
    pub(super) marks: Marks,
    pub(super) collections: Collections,
    /// What is being published by name for the first time.
    pub(super) publishing: BTreeSet<PathBuf>,
    /// What was, until its user stopped it: nothing is added to it.
    stopped: BTreeSet<PathBuf>,
    inserted: u64,
    /// Whether anything is saved at all.
    pub(super) keeps: bool,
    unsaved: Unsaved,
}

/// One content, under at least one path.
struct Content {
    copies: Vec<Arc<Published>>,
    gone: Arc<AtomicBool>,
}

/// What the marks say of all in one folder that has no mark of its own.
struct Near {
    folder: PathBuf,
    wanted: bool,
    untold: u32,
}

/// The paths whose rows are no longer what was saved.
#[derive(Default)]
pub(super) struct Unsaved {
    /// As strings, which compare sooner than paths.
    files: BTreeSet<OsString>,
    marks: BTreeSet<PathBuf>,
}

/// What is known of a path.
pub(super) enum Known {
    /// It is shared.
    Here(Arc<Published>),
    /// It was shared when it was last seen.
    Absent(Arc<Published>),
}

impl Shelf {
    /// The published paths that are `path` or lie in it.
    pub(super) fn paths_in(&self, path: &Path) -> Vec<PathBuf> {
        inside(self.paths.from(path).map(|file| &file.path), path)
    }

    /// Those at or in `path` that are not there at present.
    pub(super) fn absent_in(&self, path: &Path) -> Vec<PathBuf> {
        inside(self.absent.range(path.to_path_buf()..).map(|(path, _)| path), path)
    }

    /// The known files that lie right in `folder`, and the folders in it that hold others.
    pub(super) fn right_in(&self, folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let (mut files, mut folders) = (Vec::new(), BTreeSet::new());
        let here = |at: &Path| Some(self.first_from(at)?.path.clone());
        let absent = |at: &Path| Some(self.absent.range(at.to_path_buf()..).next()?.0.clone());
        for next in [&here as &dyn Fn(&Path) -> Option<PathBuf>, &absent] {
            let mut at = first_in(folder);
            while let Some(path) = next(&at) {
                let Ok(below) = path.strip_prefix(folder) else { break };
                let mut names = below.components();
                if let (Some(name), Some(_)) = (names.next(), names.next()) {
                    let inner = folder.join(name);
                    at = after(&inner);
                    folders.insert(inner);
                } else {
                    at = after(&path);
                    files.push(path);
                }
            }
        }
        (files, folders.into_iter().collect())
    }

    /// The device that what is known in `folder` lay on.
    pub(super) fn device_of(&self, folder: &Path) -> Option<u64> {
        let first = first_in(folder);
        let here = self.first_from(&first);
        let absent = || self.absent.range(first.clone()..).next().map(|(_, file)| file);
        let inside = |file: &&Arc<Published>| file.path.starts_with(folder);
        let file = here.filter(inside).or_else(|| absent().filter(inside));
        file.map(|file| file.stamp.dev)
    }

    /// Whether one of the files that are shared in `folder` is so.
    pub(super) fn any_in(&self, folder: &Path, is_so: impl Fn(&Published) -> bool) -> bool {
        let first = first_in(folder);
        let mut files = self.files_from(&first).take_while(|file| file.path.starts_with(folder));
        files.any(|file| is_so(file))
    }

    pub(super) fn file(&self, path: &Path) -> Option<&Arc<Published>> {
        self.paths.find(path)
    }

    pub(super) fn known(&self, path: &Path) -> Option<Known> {
        let here = self.paths.find(path).map(|file| Known::Here(Arc::clone(file)));
        here.or_else(|| self.absent.get(path).map(|file| Known::Absent(Arc::clone(file))))
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<Published>> {
        self.paths.iter()
    }

    /// The first file at or behind `path`.
    pub(super) fn first_from(&self, path: &Path) -> Option<&Arc<Published>> {
        self.files_from(path).next()
    }

    /// The files at and behind `path`, in order of paths.
    pub(super) fn files_from(&self, path: &Path) -> impl Iterator<Item = &Arc<Published>> {
        self.paths.from(path)
    }

    /// The first file behind `path` and all that is in it.
    pub(super) fn behind(&self, path: &Path) -> Option<&Arc<Published>> {
        self.first_from(&after(path))
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files ever came here; each has its own place below that.
    pub(super) fn inserted(&self) -> u64 {
        self.inserted
    }

    /// The paths that hold `id`, and the flag that tells when none does any more.
    pub(super) fn copies(&self, id: ContentId) -> Option<(&[Arc<Published>], &Arc<AtomicBool>)> {
        self.contents.get(&id).map(|content| (content.copies.as_slice(), &content.gone))
    }

    /// All paths that hold `id`, or did when they were last seen.
    pub(super) fn paths_of(&self, id: ContentId) -> Vec<PathBuf> {
        let here = self.copies(id).map_or(&[][..], |(copies, _)| copies);
        let absent = self.absent.values().filter(|file| file.list.id() == id);
        here.iter().chain(absent).map(|file| file.path.clone()).collect()
    }

    /// Adds a file, in place of what its path held, by the name that it is to have now.
    pub(super) fn insert(&mut self, mut file: Published) -> Result<(), LeftOut> {
        let Some(untold) = self.place(&file.path) else { return Err(LeftOut::Unpublished) };
        if self.paths.len() >= MAX_PATHS && self.paths.find(&file.path).is_none() {
            return Err(LeftOut::TooMany);
        }
        if !self.absent.is_empty() {
            self.absent.remove(&file.path);
        }
        match self.marks.name(&file.path) {
            Some(name) if *name != file.name => file.name = name.clone(),
            None if file.path.file_name() != Some(OsStr::new(file.name.as_str())) => {
                file.name = own_name(&file.path).unwrap_or(file.name);
            }
            _ => {}
        }
        let file = self.shelve(file, untold);
        if let Some(entry) = self.names.entry(file.number) {
            self.index.insert(file.number, &entry);
        }
        self.touch(&file.path);
        self.collections.touch(&file.path, false, &self.marks);
        // After the new one is in: a content that stays is never seen to be gone.
        if let Some(old) = self.paths.insert(file) {
            self.let_go(&old);
        }
        Ok(())
    }

    /// How many bytes of `path` are not told; none when it is not to be shared.
    fn place(&mut self, path: &Path) -> Option<u32> {
        let folder = path.parent()?;
        let known = |near: &Near| near.folder.as_os_str() == folder.as_os_str();
        let near = match self.near.take().filter(known) {
            Some(near) => near,
            None => Near {
                folder: folder.to_path_buf(),
                wanted: self.marks.wants(folder),
                untold: self.marks.untold(path),
            },
        };
        let untold = near.untold;
        let wanted = match near.wanted {
            true => !self.marks.excludes(path),
            false => self.marks.root(path).is_some(),
        };
        self.near = Some(near);
        wanted.then_some(untold)
    }

    /// Adds a file to its content.
    fn shelve(&mut self, mut file: Published, untold: u32) -> Arc<Published> {
        let content = self.contents.entry(file.list.id()).or_insert_with(|| Content {
            copies: Vec::with_capacity(1),
            gone: Arc::new(AtomicBool::new(false)),
        });
        // The same content has the same values: one list is enough in memory.
        if let Some(copy) = content.copies.first().filter(|copy| copy.list == file.list) {
            file.list = Arc::clone(&copy.list);
        }
        file.since = self.inserted;
        self.inserted += 1;
        self.bytes = self.bytes.saturating_add(file.stamp.size);
        file.number = self.names.next();
        let file = Arc::new(file);
        content.copies.push(Arc::clone(&file));
        self.names.put(Arc::clone(&file), untold);
        file
    }

    /// Takes a file away, wherever it is.
    pub(super) fn remove(&mut self, path: &Path) -> Option<Arc<Published>> {
        let here = self.paths.remove(path);
        if let Some(file) = &here {
            self.let_go(file);
        }
        let file = here.or_else(|| self.absent.remove(path))?;
        self.touch(path);
        Some(file)
    }

    /// Shares a file no longer, but knows it when it is back.
    pub(super) fn set_absent(&mut self, path: &Path) {
        if let Some(file) = self.paths.remove(path) {
            self.let_go(&file);
            self.absent.insert(path.to_path_buf(), file);
        }
    }

    /// Takes a file that is no longer among the paths from its content.
    fn let_go(&mut self, file: &Arc<Published>) {
        file.withdrawn.store(true, Ordering::Release);
        self.collections.touch(&file.path, true, &self.marks);
        if let Some(entry) = self.names.entry(file.number) {
            self.index.remove(file.number, &entry);
        }
        self.names.clear(file.number);
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

    /// Withdraws `file`, which is no longer what was published, and leaves a notice. One
    /// that is `gone`, and not changed, may come back.
    pub(super) fn withdraw(&mut self, file: &Arc<Published>, gone: bool) {
        if !self.paths.find(&file.path).is_some_and(|present| Arc::ptr_eq(present, file)) {
            return;
        }
        match gone {
            true => self.set_absent(&file.path),
            false => drop(self.remove(&file.path)),
        }
        self.changed.insert(file.path.clone());
        self.put_back(Notice { path: file.path.clone(), id: file.list.id() });
    }

    /// Gives a notice, or gives it once more.
    pub(super) fn put_back(&mut self, notice: Notice) {
        if self.notices.len() >= MAX_NOTICES {
            let forgotten = self.notices.pop_front().map(|notice| notice.path);
            forgotten.map(|path| self.changed.remove(&path));
        }
        self.notices.push_back(notice);
    }

    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.drain(..).collect()
    }

    /// Whether all that is on the shelf is in the index.
    pub(super) fn is_indexed(&self) -> bool {
        self.unindexed.is_empty()
    }

    /// Brings some of what a start has put back into the index. What changed since is
    /// there already, or is gone; to bring it again changes nothing.
    pub(super) fn index_some(&mut self) {
        for number in self.unindexed.by_ref().take(INDEXED_AT_ONCE) {
            if let Some(entry) = self.names.entry(number) {
                self.index.insert(number, &entry);
            }
        }
    }

    /// What is on the shelf, by the words of its names.
    pub(super) fn index(&self) -> (&Index, &Names) {
        (&self.index, &self.names)
    }

    /// Tells anew where the files in `path` lie: what was published around them changed.
    fn tell_anew(&mut self, path: &Path) {
        self.near = None;
        for path in self.paths_in(path) {
            let Some(file) = self.paths.find(&path) else { continue };
            let untold = self.marks.untold(&path);
            if self.names.untold(file.number) == Some(untold) {
                continue;
            }
            if let Some(entry) = self.names.entry(file.number) {
                self.index.remove(file.number, &entry);
            }
            self.names.put(Arc::clone(file), untold);
            if let Some(entry) = self.names.entry(file.number) {
                self.index.insert(file.number, &entry);
            }
        }
    }

    /// Marks `path` as published by name.
    pub(super) fn mark(&mut self, path: &Path, folder: bool) -> Before {
        self.touch_mark(path);
        let known = self.marks.root(path).is_some_and(|root| root.folder == folder);
        let before = self.marks.publish(path, folder);
        if !known {
            self.tell_anew(path);
        }
        self.near = None;
        before
    }

    /// Publishing `root` begins, after [`Shelf::mark`]: with all that was stopped in it.
    pub(super) fn begin(&mut self, root: &Path, before: Before) {
        let goes_on = self.stopped.contains(root);
        self.stopped.retain(|stopped| !stopped.starts_with(root));
        if before != Before::Root || goes_on {
            self.publishing.insert(root.to_path_buf());
        }
    }

    /// Publishing `root` has ended, or was `stopped` by its user.
    pub(super) fn end(&mut self, root: &Path, stopped: bool) {
        if self.publishing.remove(root) && stopped && self.marks.root(root).is_some() {
            self.stopped.insert(root.to_path_buf());
        }
    }

    /// Whether publishing `root` runs, or was stopped; both see to it alone.
    pub(super) fn is_begun(&self, root: &Path) -> bool {
        self.publishing.contains(root) || self.stopped.contains(root)
    }

    /// Whether a file is new in what its user stopped, and so is not to be added.
    pub(super) fn is_held(&self, path: &Path) -> bool {
        !self.stopped.is_empty()
            && self.known(path).is_none()
            && self.marks.nearest_root(path).is_some_and(|root| self.stopped.contains(root))
    }

    /// Calls a file otherwise; see [`Marks::set_name`].
    pub(super) fn set_name(&mut self, path: &Path, name: Option<FileName>) -> Option<FileName> {
        self.touch_mark(path);
        self.marks.set_name(path, name)
    }

    /// Calls a file that was moved what it was called before, if it was given a name: its
    /// owner did not want to tell the other one.
    pub(super) fn carry_name(&mut self, from: &Path, to: &Path) {
        if self.marks.name(to).is_some() {
            return;
        }
        let Some(name) = self.marks.name(from).cloned() else { return };
        self.set_name(to, Some(name));
        // What was published by its own name keeps that for what comes back there.
        if self.marks.root(from).is_none() {
            self.set_name(from, None);
        }
    }

    /// Takes back a mark that came to nothing.
    pub(super) fn unmark(&mut self, path: &Path, before: Before) {
        self.touch_mark(path);
        self.marks.undo(path, before);
        self.tell_anew(path);
    }

    /// Stops sharing all at and in `path`, now and later. None when there was nothing to
    /// stop, unless something there is `coming`.
    pub(super) fn unpublish(&mut self, path: &Path, coming: bool) -> Option<UnpublishReport> {
        let mut gone = self.paths_in(path);
        gone.extend(self.absent_in(path));
        // What has just changed under its owner's hands is not to come back, either.
        gone.extend(inside(self.changed.range(path.to_path_buf()..), path));
        gone.sort_unstable();
        gone.dedup();
        if gone.is_empty() && !coming && !self.marks.has_root_in(path) {
            return None;
        }
        let mut report = UnpublishReport::default();
        for path in &gone {
            self.changed.remove(path);
            let size = self.remove(path).map_or(0, |file| file.stamp.size);
            report.files += 1;
            report.bytes = report.bytes.saturating_add(size);
        }
        self.near = None;
        for path in self.marks.unpublish(path) {
            self.touch_mark(&path);
        }
        self.missing.retain(|root, _| !root.starts_with(path));
        self.stopped.retain(|root| !root.starts_with(path));
        Some(report)
    }

    /// Forgets what was published by name and is there no more; whether it was a file
    /// that was shared until now.
    pub(super) fn forget(&mut self, root: &Path) -> bool {
        self.touch_mark(root);
        self.marks.forget(root);
        self.missing.remove(root);
        self.stopped.remove(root);
        self.tell_anew(root);
        self.remove(root).is_some()
    }

    /// Puts back what outlived a process; what is no longer to be shared is dropped. From
    /// then on all changes are to be saved.
    pub(super) fn restore(
        &mut self,
        roots: Vec<RootRow>,
        excluded: Vec<PathBuf>,
        names: BTreeMap<PathBuf, FileName>,
        files: impl Iterator<Item = (PathBuf, Option<Published>)>,
    ) {
        for RootRow { path, order, folder } in roots {
            self.collections.touch_root(&path);
            self.marks.restore(path, Root { order, folder, fresh: false });
        }
        excluded.into_iter().for_each(|path| self.marks.exclude(path));
        self.near = None;
        for (path, name) in names {
            self.marks.set_name(&path, Some(name));
        }
        let mut paths = Vec::new();
        for (path, file) in files {
            let place = if paths.len() < MAX_PATHS { self.place(&path) } else { None };
            match file.zip(place) {
                Some((file, untold)) => paths.push(self.shelve(file, untold)),
                None => drop(self.unsaved.files.insert(path.into())),
            }
        }
        // At one stroke: this is what a start waits for.
        self.unindexed = 0..u32::try_from(paths.len()).unwrap_or(u32::MAX);
        self.paths = paths.into_iter().collect();
        self.keeps = true;
    }

    /// Notes that the row of a file is no longer what was saved.
    fn touch(&mut self, path: &Path) {
        if self.keeps {
            self.unsaved.files.insert(path.as_os_str().to_owned());
        }
    }

    fn touch_mark(&mut self, path: &Path) {
        self.collections.touch_root(path);
        if self.keeps {
            self.unsaved.marks.insert(path.to_path_buf());
        }
    }

    /// What is still to be saved, which the caller now has to save or to give back.
    pub(super) fn take_unsaved(&mut self) -> Unsaved {
        std::mem::take(&mut self.unsaved)
    }

    pub(super) fn give_back(&mut self, unsaved: Unsaved) {
        self.unsaved.files.extend(unsaved.files);
        self.unsaved.marks.extend(unsaved.marks);
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// The rows of `unsaved` as they are now.
    pub(super) fn changes(&self, unsaved: &Unsaved) -> Changes {
        let row = |path: &OsString| {
            let path = Path::new(path);
            let file = self.paths.find(path).or_else(|| self.absent.get(path));
            (path.to_path_buf(), file.map(|file| file.row()))
        };
        let root = |path: &PathBuf| {
            let root = self.marks.root(path);
            let row = root.map(|Root { order, folder, .. }| RootRow {
                path: path.clone(),
                order,
                folder,
            });
            (path.clone(), row)
        };
        Changes {
            files: unsaved.files.iter().map(row).collect(),
            roots: unsaved.marks.iter().map(root).collect(),
            names: {
                let marks = unsaved.marks.iter();
                marks.map(|path| (path.clone(), self.marks.name(path).cloned())).collect()
            },
            excluded: {
                let marks = unsaved.marks.iter();
                marks.map(|path| (path.clone(), self.marks.excludes(path))).collect()
            },
        }
    }
}

/// Where what lies in `folder` begins: no name holds a zero, so nothing comes before.
fn first_in(folder: &Path) -> PathBuf {
    folder.join("\0")
}

/// Where what stands behind `path`, and behind all that is in it, begins.
fn after(path: &Path) -> PathBuf {
    let mut end = path.as_os_str().to_os_string();
    end.push("\0");
    end.into()
}

impl Unsaved {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.marks.is_empty()
    }
}
