//! How a download ends: placed, failed, or cancelled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Fetch;
use super::folder::large::End as Ending;
use crate::base::escape::Escaped;
use crate::servent::offload::offload;
use crate::servent::report::{DownloadReport, DownloadState, News, SourceReport};
use crate::servent::source::{Ask, say_thanks};
use crate::store::downloads_file::MAX_SOURCES;
use crate::store::{InPlace, PartFile, StoreError, leftover};
use crate::transfer::collection::text::{Listed, MAX_TEXT, TextError, files_of};
use crate::transfer::{Input, PieceList};

impl Fetch {
    /// Once all pieces are written and proven: gives the file its name, and shares it.
    pub(super) fn finish(&mut self) {
        if !self.complete || self.checking || self.over || self.cancelled {
            return;
        }
        let (Some(part), Some(list)) = (self.shelf.part().cloned(), self.list.clone()) else {
            return;
        };
        if self.collected.is_some() && self.within.is_none() {
            match self.unpack(&part, &list) {
                Ok(listed) => {
                    self.remember();
                    self.listed = Some(listed);
                    return;
                }
                Err(why) => {
                    let number = self.number;
                    self.ground.warn(format!(
                        "download {number} was said to be a folder and is none ({why}): it is \
                         kept as a file"
                    ));
                    self.collected = None;
                }
            }
        }
        self.remember();
        let (name, folder) = (self.show.borrow().name.clone(), self.place.to.clone());
        let placed = offload(|| {
            // A crash from here on is told from its record, which must be up to date.
            self.tools.unfinished.save()?;
            part.place(&folder, &name)
        });
        match placed {
            Ok(InPlace { path, unflushed }) => {
                if let Some(error) = unflushed {
                    self.warn_unflushed(&error);
                }
                self.placed(&path, PieceList::clone(&list));
            }
            Err(error) if error.is_full() && !self.once => self.wait_for_room(&error),
            // The flush before failed for want of room: what it should have kept may be gone.
            Err(StoreError::FlushFailed { .. }) if self.full.is_some() => {
                self.shelf = Arc::default();
                self.start_over();
            }
            Err(error) => {
                self.again = error.is_full();
                self.fail(format!("all of it is here, but {error}"));
            }
        }
    }

    /// What the text of a collection lists.
    fn unpack(&self, part: &PartFile, list: &PieceList) -> Result<Vec<Listed>, String> {
        let size = list.geometry().size();
        if size > MAX_TEXT as u64 {
            return Err(TextError::TooLong.to_string());
        }
        offload(|| {
            let (mut text, mut bytes) = (Vec::new(), Vec::new());
            for piece in list.geometry().pieces() {
                part.read_piece(piece, &mut bytes).map_err(|error| error.to_string())?;
                text.extend_from_slice(&bytes);
            }
            files_of(&text).map_err(|error| error.to_string())
        })
    }

    /// The file has its name, and the disk may not have kept that yet.
    pub(super) fn warn_unflushed(&self, error: &StoreError) {
        let DownloadReport { number, name, .. } = self.report_now();
        self.ground.warn(format!(
            "download {number} \"{}\" is in place, but a loss of power may undo its name until the \
             disk has room to keep it: {error}",
            Escaped(&name)
        ));
    }

    /// The run before has placed the file and did not live to say so.
    pub(super) fn placed_before(
        &mut self,
        path: &Path,
        list: PieceList,
        sources: Vec<SourceReport>,
    ) {
        self.known.extend(sources.into_iter().map(|source| (source.id, source)));
        let size = list.geometry().size();
        self.show.send_modify(|report| report.size = size);
        self.placed(path, list);
    }

    fn placed(&mut self, path: &Path, list: PieceList) {
        let size = list.geometry().size();
        if let Some(within) = &self.within {
            within.tell(Ending::Placed(list.clone()));
        }
        let seen = self.within.is_none();
        offload(|| {
            let share = seen && self.ground.panel.now().share_downloads;
            if share && let Err(error) = self.tools.library.add_verified(path, list) {
                tracing::warn!(%error, "a finished download is not shared");
            }
            self.forget();
        });
        self.end_offer(); // from here on it is the library's
        let path: PathBuf = path.to_path_buf();
        self.show.send_modify(|report| {
            report.verified = size;
            report.state = DownloadState::Done { path };
        });
        self.over = true;
        self.thank();
        if seen {
            self.ground.tell(News::DownloadDone { report: self.report_now() });
        }
    }

    /// Tells everybody who gave pieces that the file is in place.
    pub(super) fn thank(&mut self) {
        let file = self.show.borrow().id;
        for source in self.gave.iter().take(MAX_SOURCES) {
            let told = self.leaving.get(source).map(|open| open.asks.try_send(Ask::Thanks));
            if let Some(Ok(())) = told {
                continue;
            }
            let Some(known) = self.known.get(source) else { continue };
            let addresses = known.addresses.clone();
            self.ground.spawn(say_thanks(Arc::clone(&self.ground), file, *source, addresses));
        }
        self.leaving.clear();
    }

    /// Ends without the file. What is here of it stays, for whoever downloads it again or
    /// cancels it, in this run or a later one.
    pub(super) fn fail(&mut self, why: String) {
        if self.over || self.cancelled {
            return;
        }
        self.over = true;
        self.end_offer();
        self.open.clear();
        self.remember();
        offload(|| {
            self.tools.unfinished.fail(self.number, &why);
            self.tools.unfinished.save_quietly();
        });
        if let Some(within) = &self.within {
            within.tell(Ending::Failed { why: why.clone(), again: self.again });
        }
        self.show.send_modify(|report| report.state = DownloadState::Failed { why });
        if self.within.is_none() {
            self.ground.tell(News::DownloadFailed { report: self.report_now() });
        }
    }

    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
        self.end_offer();
        self.stopped.store(true, Ordering::Relaxed);
        self.tell(Input::Cancel);
        self.open.clear();
        // A part that is just being made would be made after its removal.
        if !self.beginning {
            self.end_cancelled();
        }
    }

    /// Removes what is here, and the record last: a crash in between leaves a record of a
    /// download that goes on, and never a part without one.
    pub(super) fn end_cancelled(&mut self) {
        let removed = self.show.borrow().verified;
        let removal = offload(|| {
            let id = self.show.borrow().id;
            let remove = match self.shelf.part() {
                Some(_) => leftover::remove_part,
                None => leftover::remove_unused_part,
            };
            remove(&*self.tools.disk, &self.place, id)
        });
        let unfinished = &self.tools.unfinished;
        let state = match removal {
            Ok(()) => {
                unfinished.remove(self.number);
                match offload(|| unfinished.save()) {
                    Ok(()) => DownloadState::Cancelled { removed },
                    Err(error) => DownloadState::Failed {
                        why: format!("it was cancelled, but comes back at the next start: {error}"),
                    },
                }
            }
            Err(error) => {
                let why = format!("it was cancelled, but {error}");
                unfinished.fail(self.number, &why);
                offload(|| unfinished.save_quietly());
                DownloadState::Failed { why }
            }
        };
        self.over = true;
        self.show.send_modify(|report| report.state = state);
    }

    /// Takes it off the record; blocks.
    pub(super) fn forget(&self) {
        self.tools.unfinished.remove(self.number);
        self.tools.unfinished.save_quietly();
    }
}
