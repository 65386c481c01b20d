//! Publishing: walking folders, hashing files, and saying what was left out and why.
//!
//! Always true: a file is published only with the content that it had, under one stamp,
//! from its first byte to its last; links are never followed within a folder; what must
//! never be shared is not, whichever way it is named. What was published and is no
//! longer there, or no longer may be, is withdrawn when its folder is published again.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::error::PublishError;
use super::hashing::Running;
use super::left_out::{LeftOut, LeftOutReport};
use super::library::{Library, own_name};
use super::shelf::{Known, Published};
use crate::base::Geometry;
use crate::base::piece::MAX_PIECE;
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
        root: &'a Path,
        progress: &'a (dyn Fn(PublishProgress<'_>) + Sync),
        stop: &'a AtomicBool,
    ) -> Run<'a> {
        Run {
            library: self,
            root,
            progress,
            stop,
            key_files: self.key_files(),
            began: self.shelf().inserted(),
            kept: HashSet::new(),
            buffer: Vec::new(),
            report: PublishReport::default(),
            _running: self.counters().begin(),
        }
    }

    /// Publishes a file, or all that is in a folder and may be shared, and remembers that
    /// it is published. What is published already is hashed again only if it has changed.
    ///
    /// Blocks while it hashes; `stop` ends it after the read in hand. Searches and
    /// uploads go on meanwhile, and each file is shared as soon as it is hashed. When
    /// this returns, what it reports outlives the process.
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
        let refuse = |why| Err(PublishError::Refused { path: root.clone(), why });
        if self.is_protected(&root) {
            return refuse(LeftOut::Protected);
        }
        let folder = match kind {
            Kind::Folder => {
                if let Some(why) = self.needs_confirmation(&root).filter(|_| !confirmed) {
                    return Err(PublishError::NeedsConfirmation { path: root, why });
                }
                if root.to_str().is_none() {
                    return refuse(LeftOut::Name);
                }
                true
            }
            Kind::File => false,
            Kind::Special | Kind::Symlink => return refuse(LeftOut::Special),
        };
        // At once: if the process ends in the midst of it, the next one goes on.
        let before = self.shelf_mut().mark(&root, folder);
        let mut run = self.run(&root, progress, stop);
        let ended = run.root(folder);
        let goes_on = |error: &PublishError| {
            matches!(error, PublishError::Stopped { .. } | PublishError::Unpublished { .. })
        };
        if ended.as_ref().is_err_and(|error| !goes_on(error)) {
            self.shelf_mut().unmark(&root, before);
        }
        let report = run.report();
        let saved = self.save();
        ended?;
        match saved {
            Ok(()) => Ok(report),
            Err(why) => Err(PublishError::NotKept { path: root, why }),
        }
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
    /// What was named.
    root: &'a Path,
    progress: &'a (dyn Fn(PublishProgress<'_>) + Sync),
    stop: &'a AtomicBool,
    /// (device, inode) of what is never shared by any name.
    key_files: Vec<(u64, u64)>,
    /// How many files had ever been published when this began: later ones are another's.
    began: u64,
    /// The paths that are published when this is over.
    kept: HashSet<PathBuf>,
    buffer: Vec<u8>,
    report: PublishReport,
    _running: Running<'a>,
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
    /// Publishes what was named, and withdraws what of it is gone.
    pub(super) fn root(&mut self, folder: bool) -> Result<(), PublishError> {
        let root = self.root;
        let ended = match folder {
            true => self.folder(),
            false => match self.file(root) {
                Ok(()) => Ok(()),
                Err(Skip::Stopped) => Err(self.stopped()),
                Err(Skip::LeftOut(LeftOut::Unpublished)) => Err(self.unpublished()),
                Err(Skip::System(source)) => {
                    self.withdraw_lost();
                    Err(unreadable(root, source))
                }
                Err(Skip::LeftOut(why)) => {
                    self.withdraw_lost();
                    Err(PublishError::Refused { path: root.to_path_buf(), why })
                }
            },
        };
        ended?;
        self.withdraw_lost();
        self.library.shelf_mut().missing.remove(root);
        Ok(())
    }

    pub(super) fn report(self) -> PublishReport {
        self.report
    }

    /// Publishes what is in the root, which must itself be readable.
    fn folder(&mut self) -> Result<(), PublishError> {
        let root = self.root;
        let mut waiting = vec![root.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            self.check_wanted()?;
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
                self.check_wanted()?;
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
        self.check_wanted()
    }

    /// Whether anybody still wants the whole of this.
    fn check_wanted(&self) -> Result<(), PublishError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(self.stopped());
        }
        match self.library.shelf().marks.root(self.root) {
            Some(_) => Ok(()),
            None => Err(self.unpublished()),
        }
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
        } else if self.library.shelf().marks.is_excluded(path) {
            LeftOut::Unpublished
        } else {
            return true;
        };
        self.report.left_out.add(path, why);
        false
    }

    /// Publishes one file.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), Skip> {
        let name = self.library.name_for(path).ok_or(Skip::LeftOut(LeftOut::Name))?;
        let file = self.library.disk().open_shared(path)?;
        let stamp = file.stamp()?;
        if self.key_files.contains(&(stamp.dev, stamp.ino)) {
            return Err(Skip::LeftOut(LeftOut::Protected));
        }
        let geometry = Geometry::of(stamp.size).ok_or(Skip::LeftOut(LeftOut::TooLarge))?;
        let known = self.library.shelf().known(path);
        let same = |known: &Published| known.stamp.is_of_same_state(&stamp);
        match known {
            Some(Known::Here(known)) if known.stamp == stamp => self.report.unchanged += 1,
            // It is back, or its device has another number since: its pieces are hashed
            // before they are sent, and that will do.
            Some(Known::Here(known) | Known::Absent(known)) if same(&known) => {
                self.insert(known.again(stamp))?;
                self.report.unchanged += 1;
            }
            _ => {
                self.library.counters().note_file(path);
                let began_ns = self.library.disk().now_ns();
                let list = Arc::new(self.hash(&*file, geometry, path)?);
                if file.stamp()? != stamp {
                    return Err(Skip::LeftOut(LeftOut::Changed));
                }
                self.library.counters().note_done();
                // A stamp younger than the clock's grain may hide a change made
                // meanwhile: then each piece is hashed once more before it is sent.
                let settled = stamp.has_settled(began_ns);
                self.insert(Published::new(path.to_path_buf(), name, stamp, list, settled))?;
            }
        }
        self.kept.insert(path.to_path_buf());
        self.report.files += 1;
        self.report.bytes = self.report.bytes.saturating_add(stamp.size);
        self.tell(path, 0);
        Ok(())
    }

    fn insert(&self, file: Published) -> Result<(), Skip> {
        self.library.shelf_mut().insert(file).map_err(Skip::LeftOut)
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
            self.library.counters().note_bytes(len as u64);
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

    fn unpublished(&self) -> PublishError {
        PublishError::Unpublished { path: self.root.to_path_buf() }
    }

    /// Withdraws what was published at or in the root and is not any more.
    fn withdraw_lost(&mut self) {
        // Looked for under the shared lock: searches go on meanwhile.
        let (mut lost, others) = {
            let shelf = self.library.shelf();
            let (mut lost, mut others) = (shelf.absent_in(self.root), Vec::new());
            lost.retain(|path| shelf.marks.nearest_root(path) == Some(self.root));
            for path in shelf.paths_in(self.root) {
                let later = shelf.file(&path).is_some_and(|file| file.is_since(self.began));
                if self.kept.contains(&path) || later {
                    continue;
                }
                match shelf.marks.nearest_root(&path) {
                    Some(nearest) if nearest != self.root => others.push(path),
                    _ => lost.push(path),
                }
            }
            (lost, others)
        };
        // Left out here, as what is hidden is, but published by another name.
        let is_gone = |path: &PathBuf| !matches!(self.library.disk().kind(path), Ok(Kind::File));
        lost.extend(others.into_iter().filter(is_gone));
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
pub(super) mod tests;
