//! Publishing: walking folders, hashing files, and saying what was left out and why.
//!
//! Always true: a file is published only with the content that it had, under one stamp,
//! from its first byte to its last; links are never followed within a folder; what must
//! never be shared is not, whichever way it is named. What was published and is no
//! longer there, or no longer may be, is withdrawn when its folder is published again.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::error::PublishError;
use super::left_out::{LeftOut, LeftOutReport};
use super::library::{Library, Published, own_name};
use crate::base::piece::MAX_PIECE;
use crate::base::{Geometry, PieceMap};
use crate::store::disk::{Kind, NotRegular, ReadHandle, read_full};
use crate::transfer::{ListBuilder, PieceList};

/// Bytes read at a time while hashing: a whole number of pieces of any file.
const READ: u64 = MAX_PIECE;

/// How far publishing has come.
#[derive(Clone, Copy, Debug)]
pub struct PublishProgress<'a> {
    /// Files done.
    pub files: u64,
    /// Bytes done, those of the present file included.
    pub bytes: u64,
    /// The present file.
    pub path: &'a Path,
}

/// What was published.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PublishReport {
    /// Files that are shared now, of those that were named.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// How many of them were published already and have not changed.
    pub unchanged: u64,
    /// Files that had been published and were withdrawn, because they are gone or are
    /// now left out.
    pub withdrawn: u64,
    /// What was left out.
    pub left_out: LeftOutReport,
}

impl Library {
    pub(super) fn run<'a>(
        &'a self,
        progress: &'a (dyn Fn(PublishProgress<'_>) + Sync),
        stop: &'a AtomicBool,
    ) -> Run<'a> {
        Run {
            library: self,
            progress,
            stop,
            key_files: self.key_files(),
            kept: HashSet::new(),
            buffer: Vec::new(),
            report: PublishReport::default(),
        }
    }

    /// Publishes a file, or all that is in a folder and may be shared. What is published
    /// already is hashed again only if it has changed.
    ///
    /// Blocks while it hashes; `stop` ends it after the read in hand. Searches and
    /// uploads go on meanwhile, and each file is shared as soon as it is hashed.
    ///
    /// # Errors
    /// [`PublishError`]. A folder is published even where some of it cannot be; the
    /// report says what was left out.
    pub fn publish(
        &self,
        path: &Path,
        confirmed: bool,
        progress: &(dyn Fn(PublishProgress<'_>) + Sync),
        stop: &AtomicBool,
    ) -> Result<PublishReport, PublishError> {
        let root = self.resolve(path)?;
        let kind = self.disk().kind(&root).map_err(|source| unreadable(&root, source))?;
        let mut run = self.run(progress, stop);
        let refuse = |why| Err(PublishError::Refused { path: root.clone(), why });
        if self.is_protected(&root) {
            return refuse(LeftOut::Protected);
        }
        match kind {
            Kind::Folder => {
                if let Some(why) = self.needs_confirmation(&root).filter(|_| !confirmed) {
                    return Err(PublishError::NeedsConfirmation { path: root, why });
                }
                if root.to_str().is_none() {
                    return refuse(LeftOut::Name);
                }
                run.folder(&root)?;
            }
            Kind::File => match run.file(&root) {
                Ok(()) => {}
                Err(Skip::Stopped) => return Err(run.stopped()),
                Err(Skip::System(source)) => {
                    run.withdraw_lost(&root);
                    return Err(unreadable(&root, source));
                }
                Err(Skip::LeftOut(why)) => {
                    run.withdraw_lost(&root);
                    return refuse(why);
                }
            },
            Kind::Special | Kind::Symlink => return refuse(LeftOut::Special),
        }
        run.withdraw_lost(&root);
        Ok(run.report)
    }

    /// What is special about a folder that nobody shares as a whole by intent.
    fn needs_confirmation(&self, folder: &Path) -> Option<&'static str> {
        let protected = self.protected();
        if folder.parent().is_none() {
            return Some("is the whole machine");
        }
        if let Some(home) = &protected.home {
            if home == folder {
                return Some("is your home folder");
            }
            if home.starts_with(folder) {
                return Some("holds your home folder");
            }
        }
        let holds_state = protected.state.as_ref().is_some_and(|state| state.starts_with(folder));
        holds_state.then_some("holds the state of part2part")
    }
}

/// One call of publish.
pub(super) struct Run<'a> {
    library: &'a Library,
    progress: &'a (dyn Fn(PublishProgress<'_>) + Sync),
    stop: &'a AtomicBool,
    /// (device, inode) of what is never shared by any name.
    key_files: Vec<(u64, u64)>,
    /// The paths that are published when this is over.
    kept: HashSet<PathBuf>,
    buffer: Vec<u8>,
    report: PublishReport,
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

impl Run<'_> {
    /// Publishes what is in `root`, which must itself be readable.
    fn folder(&mut self, root: &Path) -> Result<(), PublishError> {
        let mut waiting = vec![root.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(self.stopped());
            }
            let mut entries = match self.library.disk().list(&folder) {
                Ok(entries) => entries,
                Err(source) if folder == root => return Err(unreadable(root, source)),
                Err(_) => {
                    self.report.left_out.add(&folder, LeftOut::Unreadable);
                    continue;
                }
            };
            // The same folder is published in the same order each time; folders come
            // from the stack, so they go onto it backwards.
            entries.sort_unstable_by(|one, other| other.name.cmp(&one.name));
            waiting.extend(
                entries
                    .iter()
                    .filter(|entry| entry.kind == Kind::Folder)
                    .map(|entry| folder.join(&entry.name))
                    .filter(|path| self.may_share(path)),
            );
            for entry in entries.iter().rev().filter(|entry| entry.kind != Kind::Folder) {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(self.stopped());
                }
                let path = folder.join(&entry.name);
                if !self.may_share(&path) {
                    continue;
                }
                let result = match entry.kind {
                    Kind::Symlink => Err(Skip::LeftOut(LeftOut::Symlink)),
                    Kind::Special => Err(Skip::LeftOut(LeftOut::Special)),
                    Kind::File | Kind::Folder => self.file(&path),
                };
                match result {
                    Ok(()) => {}
                    Err(Skip::LeftOut(why)) => self.report.left_out.add(&path, why),
                    Err(Skip::System(_)) => self.report.left_out.add(&path, LeftOut::Unreadable),
                    Err(Skip::Stopped) => return Err(self.stopped()),
                }
            }
        }
        Ok(())
    }

    /// Whether something found in a folder may be shared, as far as its path tells; what
    /// may not is counted.
    fn may_share(&mut self, path: &Path) -> bool {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let why = if hidden {
            LeftOut::Hidden
        } else if self.library.is_protected(path) {
            LeftOut::Protected
        } else if own_name(path).is_none() {
            LeftOut::Name
        } else {
            return true;
        };
        self.report.left_out.add(path, why);
        false
    }

    /// Publishes one file.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), Skip> {
        let name = own_name(path).ok_or(Skip::LeftOut(LeftOut::Name))?;
        let file = self.library.disk().open_shared(path)?;
        let stamp = file.stamp()?;
        if self.key_files.contains(&(stamp.dev, stamp.ino)) {
            return Err(Skip::LeftOut(LeftOut::Protected));
        }
        let geometry = Geometry::of(stamp.size).ok_or(Skip::LeftOut(LeftOut::TooLarge))?;
        let known = self.library.shelf().file(path).is_some_and(|known| known.stamp == stamp);
        if known {
            self.report.unchanged += 1;
        } else {
            let began_ns = self.library.disk().now_ns();
            let list = self.hash(&*file, geometry, path)?;
            if file.stamp()? != stamp {
                return Err(Skip::LeftOut(LeftOut::Changed));
            }
            // A stamp younger than the clock's grain may hide a change made meanwhile:
            // then each piece is hashed once more before it is sent.
            let checked = match stamp.has_settled(began_ns) {
                true => PieceMap::full(geometry.count()),
                false => PieceMap::new(geometry.count()),
            };
            let file = Published::new(path.to_path_buf(), name, stamp, list, checked);
            if !self.library.insert(file) {
                return Err(Skip::LeftOut(LeftOut::TooMany));
            }
        }
        self.kept.insert(path.to_path_buf());
        self.report.files += 1;
        self.report.bytes = self.report.bytes.saturating_add(stamp.size);
        self.tell(path, 0);
        Ok(())
    }

    fn hash(
        &mut self,
        file: &dyn ReadHandle,
        geometry: Geometry,
        path: &Path,
    ) -> Result<PieceList, Skip> {
        let mut builder = ListBuilder::new(geometry);
        let piece_len = usize::try_from(geometry.piece_len()).unwrap_or(usize::MAX);
        let mut offset = 0;
        while offset < geometry.size() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Skip::Stopped);
            }
            let len = usize::try_from(READ.min(geometry.size() - offset)).unwrap_or(0);
            self.buffer.resize(self.buffer.len().max(len), 0);
            let Some(buffer) = self.buffer.get_mut(..len) else { break };
            if read_full(file, buffer, offset)? < len {
                return Err(Skip::LeftOut(LeftOut::Changed)); // cut short
            }
            buffer.chunks(piece_len).for_each(|piece| builder.push(piece));
            offset += len as u64;
            if offset < geometry.size() {
                self.tell(path, offset);
            }
        }
        builder.finish().ok_or(Skip::LeftOut(LeftOut::Changed))
    }

    fn tell(&self, path: &Path, of_present: u64) {
        let bytes = self.report.bytes.saturating_add(of_present);
        (self.progress)(PublishProgress { files: self.report.files, bytes, path });
    }

    fn stopped(&self) -> PublishError {
        PublishError::Stopped { files: self.report.files }
    }

    /// Withdraws what was published at or in `root` and is not any more.
    fn withdraw_lost(&mut self, root: &Path) {
        // Looked for under the shared lock: searches go on meanwhile.
        let mut lost = self.library.shelf().paths_in(root);
        lost.retain(|path| !self.kept.contains(path));
        let mut shelf = self.library.shelf_mut();
        for path in lost {
            if shelf.remove(&path).is_some() {
                self.report.withdrawn += 1;
            }
        }
    }
}

fn unreadable(path: &Path, source: io::Error) -> PublishError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::NotFound => PublishError::Missing { path },
        _ => PublishError::Unreadable { path, source },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::left_out::MAX_EXAMPLES;
    use super::super::library::{Protected, Totals};
    use super::*;
    use crate::base::ContentId;
    use crate::base::piece::MAX_FILE;
    use crate::store::{Disk, MemoryDisk, RealDisk};
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::sync::{Arc, Mutex};

    /// A library on a disk in memory, with its state in `/state` and its user in
    /// `/home/me`.
    pub(in crate::share) fn library() -> (MemoryDisk, Library) {
        let disk = MemoryDisk::new();
        for folder in ["/state", "/home/me", "/share"] {
            disk.create_folder(Path::new(folder), 0o700).unwrap();
        }
        disk.put("/keys/network.key", b"secret");
        let protected = Protected {
            state: Some("/state".into()),
            keys: vec!["/keys/network.key".into()],
            home: Some("/home/me".into()),
        };
        let library = Library::new(Arc::new(disk.clone()), &protected);
        (disk, library)
    }

    pub(in crate::share) fn publish(
        library: &Library,
        path: &str,
    ) -> Result<PublishReport, PublishError> {
        library.publish(Path::new(path), false, &|_| (), &AtomicBool::new(false))
    }

    fn names(library: &Library) -> Vec<String> {
        library.shared().into_iter().map(|file| file.name).collect()
    }

    fn refusal(result: Result<PublishReport, PublishError>) -> LeftOut {
        match result {
            Err(PublishError::Refused { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_is_published_with_the_ids_that_b3sum_prints() {
        let (disk, library) = library();
        let sizes = [0, 1, 65_536, 65_537, (3 << 20) + 5];
        for size in sizes {
            disk.put(format!("/share/deep/er/{size}"), &vec![7; size]);
        }
        let report = publish(&library, "/share").unwrap();
        let bytes: usize = sizes.iter().sum();
        assert_eq!((report.files, report.bytes, report.unchanged), (5, bytes as u64, 0));
        assert_eq!(report.left_out, LeftOutReport::default());
        assert_eq!(library.totals(), Totals { files: 5, bytes: bytes as u64 });
        for file in library.shared() {
            let content = disk.contents(&file.path).unwrap();
            assert_eq!(file.id, ContentId(*blake3::hash(&content).as_bytes()));
        }
    }

    #[test]
    fn odd_files_are_left_out_counted_and_named() {
        let (disk, library) = library();
        disk.put("/share/good", b"good");
        disk.put("/share/.hidden", b"");
        disk.put("/share/.git/config", b"");
        disk.put_odd("/share/link", Kind::Symlink);
        disk.put_odd("/share/fifo", Kind::Special);
        disk.put("/share/closed", b"");
        disk.forbid("/share/closed");
        disk.put("/share/shut/x", b"");
        disk.forbid("/share/shut");
        disk.put_hole("/share/huge", 1 << 40);
        disk.put_hole("/share/over", MAX_FILE + 1);
        disk.put(Path::new("/share").join(OsStr::from_bytes(b"\xff.txt")), b"");
        disk.put("/share/a/.part2part/x.part", b"");
        let report = publish(&library, "/share").unwrap();
        assert_eq!(names(&library), ["good"]);
        let counts = [
            (LeftOut::Hidden, 3),
            (LeftOut::Symlink, 1),
            (LeftOut::Special, 1),
            (LeftOut::Unreadable, 2),
            (LeftOut::TooLarge, 2),
            (LeftOut::Name, 1),
        ];
        assert_eq!(report.left_out.counts, BTreeMap::from(counts));
        assert_eq!(report.left_out.total(), 10);
        let named = |path: &str| report.left_out.examples.iter().find(|e| e.path == path).unwrap();
        assert_eq!(named("/share/fifo").why, LeftOut::Special);
        assert_eq!(report.left_out.examples.len(), 7);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<PublishReport>(&text).unwrap(), report);
    }

    #[test]
    fn at_most_eight_of_those_left_out_are_named() {
        let (disk, library) = library();
        (0..20).for_each(|n| disk.put_odd(format!("/share/{n}"), Kind::Symlink));
        let report = publish(&library, "/share").unwrap();
        assert_eq!(report.left_out.examples.len(), MAX_EXAMPLES);
        assert_eq!(report.left_out.total(), 20);
    }

    #[test]
    fn what_is_named_itself_and_cannot_be_shared_is_an_error() {
        let (disk, library) = library();
        disk.put_odd("/share/fifo", Kind::Special);
        disk.put_hole("/share/huge", 1 << 40);
        disk.put("/share/closed", b"");
        disk.forbid("/share/closed");
        assert_eq!(refusal(publish(&library, "/share/fifo")), LeftOut::Special);
        assert_eq!(refusal(publish(&library, "/share/huge")), LeftOut::TooLarge);
        let closed = publish(&library, "/share/closed").unwrap_err();
        assert!(matches!(closed, PublishError::Unreadable { .. }), "{closed}");
        disk.forbid("/share");
        let closed = publish(&library, "/share").unwrap_err();
        assert!(matches!(closed, PublishError::Unreadable { .. }), "{closed}");
        let missing = publish(&library, "/none\x1b[2J").unwrap_err();
        assert!(matches!(missing, PublishError::Missing { .. }), "{missing}");
        assert!(missing.to_string().contains("/none\\u{1b}[2J"), "{missing}");
    }

    #[test]
    fn state_keys_and_parts_are_never_shared() {
        let (disk, library) = library();
        disk.put("/state/key", b"secret");
        disk.put("/downloads/.part2part/x.part", b"part");
        let never = [
            "/state",
            "/state/key",
            "/share/../state/key",
            "/keys/network.key",
            "/downloads/.part2part",
            "/downloads/.part2part/x.part",
        ];
        for path in never {
            assert_eq!(refusal(publish(&library, path)), LeftOut::Protected, "{path}");
        }
        disk.put("/keys/other", b"fine");
        let report = publish(&library, "/keys").unwrap();
        assert_eq!(report.left_out.counts, BTreeMap::from([(LeftOut::Protected, 1)]));
        assert_eq!(names(&library), ["other"]);
    }

    #[test]
    fn a_hard_link_to_a_key_is_not_shared_either() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("share")).unwrap();
        fs::write(at("key"), b"secret").unwrap();
        fs::hard_link(at("key"), at("share/innocent")).unwrap();
        let protected = Protected { keys: vec![at("key")], ..Default::default() };
        let library = Library::new(Arc::new(RealDisk), &protected);
        let report = publish(&library, at("share").to_str().unwrap()).unwrap();
        assert_eq!(report.left_out.counts, BTreeMap::from([(LeftOut::Protected, 1)]));
        assert_eq!(refusal(publish(&library, at("share/innocent").to_str().unwrap())), {
            LeftOut::Protected
        });
    }

    #[test]
    fn what_holds_more_than_one_means_must_be_confirmed() {
        let (disk, library) = library();
        disk.put("/state/key", b"secret");
        disk.put("/home/me/song", b"song");
        for path in ["/", "/home/me", "/home", "/share/.."] {
            let error = publish(&library, path).unwrap_err();
            assert!(matches!(error, PublishError::NeedsConfirmation { .. }), "{path}: {error}");
        }
        assert_eq!(library.totals().files, 0);
        library.publish(Path::new("/"), true, &|_| (), &AtomicBool::new(false)).unwrap();
        assert_eq!(names(&library), ["song"]);
        publish(&library, "/home/me/song").unwrap();
    }

    #[test]
    fn publishing_again_hashes_only_what_changed_and_forgets_what_is_gone() {
        let (disk, library) = library();
        for name in ["same", "changed", "gone", "now a link"] {
            disk.put(format!("/share/{name}"), name.as_bytes());
        }
        publish(&library, "/share").unwrap();
        disk.put("/share/changed", b"anew");
        disk.put("/share/added", b"added");
        disk.remove_file(Path::new("/share/gone")).unwrap();
        disk.put_odd("/share/now a link", Kind::Symlink);
        let report = publish(&library, "/share").unwrap();
        assert_eq!((report.files, report.unchanged, report.withdrawn), (3, 1, 2));
        assert_eq!(names(&library), ["added", "changed", "same"]);
        assert!(library.is_published(ContentId(*blake3::hash(b"anew").as_bytes())));
        assert!(!library.is_published(ContentId(*blake3::hash(b"changed").as_bytes())));
        assert_eq!(library.totals().bytes, 4 + 4 + 5);
    }

    #[test]
    fn a_file_that_changes_while_it_is_hashed_is_left_out() {
        let (disk, library) = library();
        disk.put("/share/busy", &vec![1; 3 << 20]);
        let reads = Mutex::new(0);
        let meddle = |at: PublishProgress<'_>| {
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            if *reads == 2 {
                assert_eq!((at.files, at.bytes), (0, 2 << 20));
                disk.put("/share/busy", &vec![2; 3 << 20]);
            }
        };
        let report =
            library.publish(Path::new("/share"), false, &meddle, &AtomicBool::new(false)).unwrap();
        assert_eq!(report.left_out.counts, BTreeMap::from([(LeftOut::Changed, 1)]));
        assert_eq!(library.totals().files, 0);
        assert_eq!(*reads.lock().unwrap(), 2);
    }

    #[test]
    fn a_stopped_publish_keeps_what_it_has_and_says_so() {
        let (disk, library) = library();
        (0..9).for_each(|n| disk.put(format!("/share/{n}"), &[n]));
        let stop = AtomicBool::new(false);
        let after_three = |at: PublishProgress<'_>| stop.store(at.files == 3, Ordering::Relaxed);
        let error = library.publish(Path::new("/share"), false, &after_three, &stop).unwrap_err();
        assert!(matches!(error, PublishError::Stopped { files: 3 }), "{error}");
        assert_eq!(library.totals().files, 3);
    }

    #[test]
    fn a_real_folder_with_every_odd_thing_in_it_ends_in_a_report() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), vec![9; 200_000]).unwrap();
        fs::write(at("empty"), b"").unwrap();
        symlink(at("loop b"), at("loop a")).unwrap();
        symlink(at("loop a"), at("loop b")).unwrap();
        symlink(dir.path(), at("up")).unwrap();
        let mode = 0o600.into();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, mode, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::File::create(at("sparse")).unwrap().set_len(1 << 40).unwrap();
        fs::write(dir.path().join(OsStr::from_bytes(b"\xff")), b"").unwrap();

        let library = Library::new(Arc::new(RealDisk), &Protected::default());
        let report = publish(&library, dir.path().to_str().unwrap()).unwrap();
        let counts = [
            (LeftOut::Symlink, 3),
            (LeftOut::Special, 2),
            (LeftOut::TooLarge, 1),
            (LeftOut::Name, 1),
        ];
        assert_eq!(report.left_out.counts, BTreeMap::from(counts));
        assert_eq!(names(&library), ["empty", "file"]);
        assert!(library.is_published(ContentId::of_nothing()));
        // A link that is named itself is what it leads to.
        let report = publish(&library, at("up").to_str().unwrap()).unwrap();
        assert_eq!((report.files, report.unchanged), (2, 2));
    }
}
