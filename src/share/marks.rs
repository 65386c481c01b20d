//! What is published by name, and what is not although it lies in that.
//!
//! Always true: the nearest mark at or above a path decides whether it is to be shared; a
//! path has at most one mark. So a folder that was unpublished within a published one
//! stays so, and a file in it that is then published by name is shared all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::base::FileName;

/// Exclusions that are looked into for roots within them, at a time: whoever takes out more,
/// and publishes something within them by name, has it listed from the next page on.
const MAX_LOOKS: usize = 64;
/// Most paths that are taken out of what is published, and about as many MiB of memory
/// at the longest paths: each is asked for at each name that is looked at.
pub const MAX_EXCLUDED: usize = 1 << 16;

/// The marks of one library.
#[derive(Debug, Default)]
pub(super) struct Marks {
    roots: BTreeMap<PathBuf, Root>,
    excluded: BTreeSet<PathBuf>,
    /// What roots are called that are not called as they are on the disk.
    names: BTreeMap<PathBuf, FileName>,
    next: u64,
}

/// Something that was published by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Root {
    /// Its place among the others, in order of time.
    pub(super) order: u64,
    pub(super) folder: bool,
    /// Whether this process has published it, too: then it needs not look again.
    pub(super) fresh: bool,
}

/// The mark that stood at a path before it was published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    Root,
    Excluded,
    Nothing,
}

impl Marks {
    /// Puts back a root that outlived a process.
    pub(super) fn restore(&mut self, path: PathBuf, root: Root) {
        self.next = self.next.max(root.order.saturating_add(1));
        self.excluded.remove(&path);
        self.roots.insert(path, root);
    }

    /// Puts back an exclusion that outlived a process.
    pub(super) fn exclude(&mut self, path: PathBuf) {
        if !self.roots.contains_key(&path) {
            self.excluded.insert(path);
        }
    }

    /// Marks `path` as published by name; what stood there.
    pub(super) fn publish(&mut self, path: &Path, folder: bool) -> Before {
        if let Some(root) = self.roots.get_mut(path) {
            (root.folder, root.fresh) = (folder, true);
            return Before::Root;
        }
        let was_excluded = self.excluded.remove(path);
        self.roots.insert(path.to_path_buf(), Root { order: self.next, folder, fresh: true });
        self.next = self.next.saturating_add(1);
        if was_excluded { Before::Excluded } else { Before::Nothing }
    }

    /// Takes back a [`Marks::publish`] that came to nothing.
    pub(super) fn undo(&mut self, path: &Path, before: Before) {
        if before == Before::Root || self.roots.remove(path).is_none() {
            return; // it stood before, or was unpublished meanwhile
        }
        if before == Before::Excluded {
            self.excluded.insert(path.to_path_buf());
        }
    }

    /// Forgets all marks at and in `path`, and excludes it where it would still be shared;
    /// the paths whose marks changed.
    pub(super) fn unpublish(&mut self, path: &Path) -> Vec<PathBuf> {
        let mut changed =
            inside(self.roots.range(path.to_path_buf()..).map(|(root, _)| root), path);
        changed.retain(|root| self.roots.remove(root).is_some());
        for excluded in inside(self.excluded.range(path.to_path_buf()..), path) {
            self.excluded.remove(&excluded);
            changed.push(excluded);
        }
        for named in inside(self.names.range(path.to_path_buf()..).map(|(named, _)| named), path) {
            self.names.remove(&named);
            changed.push(named);
        }
        if self.wants(path) && self.excluded.len() < MAX_EXCLUDED {
            self.excluded.insert(path.to_path_buf());
            changed.push(path.to_path_buf());
        }
        changed
    }

    /// Calls a file otherwise from now on, or as it is on the disk; what it was called.
    pub(super) fn set_name(&mut self, path: &Path, name: Option<FileName>) -> Option<FileName> {
        match name {
            Some(name) => self.names.insert(path.to_path_buf(), name),
            None => self.names.remove(path),
        }
    }

    /// What a file is called, if otherwise than on the disk.
    pub(super) fn name(&self, path: &Path) -> Option<&FileName> {
        self.names.get(path)
    }

    /// Forgets a root that is there no more.
    pub(super) fn forget(&mut self, root: &Path) {
        self.roots.remove(root);
        self.names.remove(root);
    }

    /// Whether [`Marks::unpublish`] could not keep `path` from coming back: it lies in what
    /// is published, and too much was taken out of that already.
    pub(super) fn is_full_for(&self, path: &Path) -> bool {
        let around = path.parent().is_some_and(|around| self.wants(around));
        let inside = self.excluded.range(path.to_path_buf()..).next();
        let frees = inside.is_some_and(|excluded| excluded.starts_with(path));
        around && !frees && self.excluded.len() >= MAX_EXCLUDED
    }

    /// Whether so many paths more could not all be taken out.
    pub(super) fn has_no_room_for(&self, paths: usize) -> bool {
        self.excluded.len().saturating_add(paths) > MAX_EXCLUDED
    }

    /// Whether something at or in `path` was published by name.
    pub(super) fn has_root_in(&self, path: &Path) -> bool {
        self.roots
            .range(path.to_path_buf()..)
            .next()
            .is_some_and(|(root, _)| root.starts_with(path))
    }

    /// Whether `path` is to be shared.
    pub(super) fn wants(&self, path: &Path) -> bool {
        self.nearest_root(path).is_some()
    }

    /// Whether `path` lies in something that is published, and was taken out of it.
    pub(super) fn is_excluded(&self, path: &Path) -> bool {
        !self.excluded.is_empty() && !self.wants(path)
    }

    /// What `path` is shared as a part of; none when it is not to be shared.
    pub(super) fn nearest_root<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let nearest =
            path.ancestors().find(|at| self.roots.contains_key(*at) || self.excluded.contains(*at));
        nearest.filter(|at| self.roots.contains_key(*at))
    }

    /// The folder below which others are told where `path` lies: the largest one that was
    /// published by name and holds `path` with nothing taken out between the two. Its own
    /// name and what is above it are never told. None for a file that is only shared by its
    /// own name.
    ///
    /// So a folder that is published within a published one hides nothing that the larger
    /// one tells, and what was published by name within a folder that was taken out does
    /// not tell the name of that.
    pub(super) fn told_below<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let folders = path.ancestors().skip(1);
        let within = folders.take_while(|at| !self.excluded.contains(*at));
        within.filter(|at| self.roots.get(*at).is_some_and(|root| root.folder)).last()
    }

    /// How many bytes of `path` are not told: the published folder and the `/` behind it, or
    /// all where it is not told where it lies.
    pub(super) fn untold(&self, path: &Path) -> u32 {
        let told = self.told_below(path).map(|root| match root.as_os_str().len() {
            1 => 1, // the root of the machine is a '/' itself
            len => len + 1,
        });
        told.and_then(|len| u32::try_from(len).ok()).unwrap_or(u32::MAX)
    }

    /// A root behind `after` that lies in `root` without being a part of it, since something
    /// between them was taken out.
    pub(super) fn next_top_root_in(&self, root: &Path, after: &Path) -> Option<&Path> {
        let above = after.ancestors().take_while(|at| at.starts_with(root));
        let above = above.filter(|at| self.excluded.contains(*at));
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let later = self.excluded.range::<Path, _>(behind).map(PathBuf::as_path);
        let later = later.take_while(|at| at.starts_with(root)).take(MAX_LOOKS);
        above.chain(later).find_map(|out| {
            let behind = (Bound::Excluded(out.max(after)), Bound::Unbounded);
            let (found, _) = self.roots.range::<Path, _>(behind).next()?;
            found.starts_with(out).then_some(found.as_path())
        })
    }

    pub(super) fn root(&self, path: &Path) -> Option<Root> {
        self.roots.get(path).copied()
    }

    pub(super) fn excludes(&self, path: &Path) -> bool {
        self.excluded.contains(path)
    }

    /// What was published by name before this process began, and not since, in order of
    /// time.
    pub(super) fn old_roots(&self) -> Vec<(PathBuf, Root)> {
        let mut roots = self.roots();
        roots.retain(|(_, root)| !root.fresh);
        roots
    }

    /// The folders that were published by name, in order of time.
    pub(super) fn root_folders(&self) -> Vec<PathBuf> {
        let folders = self.roots.iter().filter(|(_, root)| root.folder);
        let mut folders: Vec<_> = folders.map(|(path, root)| (root.order, path)).collect();
        folders.sort_unstable();
        folders.into_iter().map(|(_, path)| path.clone()).collect()
    }

    /// The files that were published by their own names and lie right in one of `folders`.
    pub(super) fn files_in(&self, folders: &BTreeSet<&Path>) -> Vec<PathBuf> {
        let right_in = |folder: &&Path| {
            let in_it = self.roots.range(folder.to_path_buf()..);
            let in_it = in_it.take_while(|(path, _)| path.starts_with(folder));
            let in_it = in_it.filter(|(path, root)| !root.folder && path.parent() == Some(*folder));
            in_it.map(|(path, _)| path.clone()).collect::<Vec<_>>()
        };
        folders.iter().flat_map(right_in).collect()
    }

    /// The first files after `after`, in order of paths, that were published by their own
    /// names.
    pub(super) fn files_after(&self, after: Option<&Path>, most: usize) -> Vec<PathBuf> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = after.map_or(Unbounded, Excluded);
        let files = self.roots.range::<Path, _>((after, Unbounded));
        let files = files.filter(|(_, root)| !root.folder).map(|(path, _)| path.clone());
        files.take(most).collect()
    }

    /// How many folders were published by name.
    pub(super) fn folders(&self) -> usize {
        self.roots.values().filter(|root| root.folder).count()
    }

    /// What was published by name, in order of time.
    fn roots(&self) -> Vec<(PathBuf, Root)> {
        let mut roots: Vec<_> =
            self.roots.iter().map(|(path, root)| (path.clone(), *root)).collect();
        roots.sort_unstable_by_key(|(_, root)| root.order);
        roots
    }
}

/// Those of `paths`, which begin at `path`, that are it or lie in it.
pub(super) fn inside<'a>(paths: impl Iterator<Item = &'a PathBuf>, path: &Path) -> Vec<PathBuf> {
    paths.take_while(|inner| inner.starts_with(path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(marks: &Marks, path: &str) -> bool {
        marks.wants(Path::new(path))
    }

    fn unpublish(marks: &mut Marks, path: &str) -> usize {
        marks.unpublish(Path::new(path)).len()
    }

    #[test]
    fn the_nearest_mark_decides() {
        let mut marks = Marks::default();
        assert!(!wants(&marks, "/a/b/c"));
        assert_eq!(marks.publish(Path::new("/a"), true), Before::Nothing);
        assert!(wants(&marks, "/a") && wants(&marks, "/a/b/c") && !wants(&marks, "/ab"));
        assert_eq!(unpublish(&mut marks, "/a/b"), 1);
        assert!(wants(&marks, "/a/x") && !wants(&marks, "/a/b") && !wants(&marks, "/a/b/c"));
        assert!(marks.is_excluded(Path::new("/a/b/c")) && !marks.is_excluded(Path::new("/a/x")));
        marks.publish(Path::new("/a/b/c"), false);
        assert!(wants(&marks, "/a/b/c") && !wants(&marks, "/a/b/d"));
        assert_eq!(marks.publish(Path::new("/a/b"), true), Before::Excluded);
        assert!(wants(&marks, "/a/b/d"));
    }

    #[test]
    fn unpublishing_a_root_forgets_all_marks_in_it_and_leaves_none_behind() {
        let mut marks = Marks::default();
        for root in ["/a", "/a/b", "/ab"] {
            marks.publish(Path::new(root), true);
        }
        unpublish(&mut marks, "/a/x");
        assert!(marks.has_root_in(Path::new("/a")) && !marks.has_root_in(Path::new("/a/x")));
        assert_eq!(unpublish(&mut marks, "/a"), 3);
        assert!(!wants(&marks, "/a/b") && wants(&marks, "/ab"));
        marks.publish(Path::new("/a"), true);
        assert!(wants(&marks, "/a/x"), "a new publication is a new beginning");
        assert_eq!(unpublish(&mut marks, "/never"), 0);
    }

    #[test]
    fn a_publication_that_came_to_nothing_leaves_what_was() {
        let mut marks = Marks::default();
        let path = Path::new("/a/b");
        let before = marks.publish(path, true);
        marks.undo(path, before);
        assert!(marks.roots().is_empty());
        marks.publish(Path::new("/a"), true);
        unpublish(&mut marks, "/a/b");
        let before = marks.publish(path, true);
        marks.undo(path, before);
        assert!(!wants(&marks, "/a/b") && wants(&marks, "/a/c"));
        let before = marks.publish(path, true);
        unpublish(&mut marks, "/a");
        marks.undo(path, before);
        assert!(!marks.excludes(path), "what was unpublished meanwhile stays so");
    }

    #[test]
    fn where_a_file_lies_is_told_below_the_largest_folder_without_a_gap() {
        let mut marks = Marks::default();
        let told = |marks: &Marks| {
            marks.told_below(Path::new("/a/b/c/d/file")).map(|path| path.display().to_string())
        };
        marks.publish(Path::new("/a/b/c/d/file"), false);
        assert_eq!(told(&marks), None, "by its own name");
        for (folder, largest) in [("/a/b/c", "/a/b/c"), ("/a", "/a"), ("/a/b", "/a")] {
            marks.publish(Path::new(folder), true);
            assert_eq!(told(&marks).as_deref(), Some(largest));
        }
        marks.unpublish(Path::new("/a/b"));
        assert_eq!(told(&marks), None, "a gap");
        marks.publish(Path::new("/a/b/c"), true);
        assert_eq!(told(&marks).as_deref(), Some("/a/b/c"), "not through what was taken out");
        marks.publish(Path::new("/a/b"), true);
        assert_eq!(told(&marks).as_deref(), Some("/a"));
        assert_eq!(marks.told_below(Path::new("/a")), None);
    }

    #[test]
    fn what_is_taken_out_has_a_limit_that_making_room_lifts() {
        let mut marks = Marks::default();
        marks.publish(Path::new("/a"), true);
        for number in 0..MAX_EXCLUDED {
            assert!(!marks.is_full_for(Path::new("/a/x")));
            marks.unpublish(Path::new(&format!("/a/in/{number}")));
        }
        assert!(marks.is_full_for(Path::new("/a/x")) && marks.has_no_room_for(1));
        assert!(!marks.is_full_for(Path::new("/a/in")), "it takes the place of those in it");
        assert!(!marks.is_full_for(Path::new("/a")), "nothing around it is published");
        marks.unpublish(Path::new("/a/in"));
        assert!(!marks.is_full_for(Path::new("/a/x")) && !wants(&marks, "/a/in/7"));
    }

    #[test]
    fn roots_keep_their_order_over_a_restart() {
        let mut marks = Marks::default();
        marks.restore("/z".into(), Root { order: 4, folder: true, fresh: false });
        marks.restore("/y".into(), Root { order: 2, folder: false, fresh: false });
        marks.publish(Path::new("/a"), true);
        let order: Vec<_> = marks.roots().into_iter().map(|(path, _)| path).collect();
        assert_eq!(order, [Path::new("/y"), Path::new("/z"), Path::new("/a")]);
        marks.publish(Path::new("/z"), true);
        let old: Vec<_> = marks.old_roots().into_iter().map(|(path, _)| path).collect();
        assert_eq!(old, [Path::new("/y")], "what is published again needs no second look");
    }
}
