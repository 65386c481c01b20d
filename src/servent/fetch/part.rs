//! The part file of a download: opening it, what an earlier run says of it, a full disk.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::offload::offload;
use super::{DISK_RETRY, Fetch};
use crate::base::PieceMap;
use crate::base::escape::Escaped;
use crate::store::{PartFile, StoreError};
use crate::transfer::{Event, Input, PauseReason, PieceList};

/// A part file that was opened, or why not.
pub(super) type Beginning = (Arc<PieceList>, Result<Begun, StoreError>);

/// An open part file.
pub(super) struct Begun {
    part: Arc<PartFile>,
    held: PieceMap,
    /// Whether what it holds is an earlier run's word.
    claimed: bool,
}

impl Fetch {
    /// Opens the part file, and looks at what an earlier run left in it.
    pub(super) fn begin(&mut self, list: Arc<PieceList>) {
        self.list = Some(Arc::clone(&list));
        let size = list.geometry().size();
        if self.collected.is_none() {
            self.show.send_modify(|report| report.size = size);
        }
        if std::mem::replace(&mut self.beginning, true) {
            return; // it is on its way
        }
        let disk = Arc::clone(&self.tools.disk);
        let (place, kept, distrusted) = (self.place.clone(), self.kept.clone(), self.distrusted);
        let stopped = Arc::clone(&self.stopped);
        let open_already = self.shelf.part().cloned();
        let proof = Arc::clone(&list);
        let work = move || {
            let part = match open_already {
                Some(part) => part,
                None => Arc::new(PartFile::open(disk, &place, proof.id(), proof.geometry())?),
            };
            if let Some((piece, bytes)) = kept {
                part.write_piece(piece, &bytes)?;
            }
            if let Some(held) = part.trust_held().filter(|_| !distrusted) {
                return Ok(Begun { part, held, claimed: true });
            }
            let held = recover(&part, &proof, &stopped)?;
            part.keep_list(&proof)?;
            Ok(Begun { part, held, claimed: false })
        };
        let begun = self.begun.clone();
        self.ground.spawn(async move {
            if let Ok(result) = tokio::task::spawn_blocking(work).await {
                let _ = begun.send((list, result)).await;
            }
        });
    }

    pub(super) fn on_beginning(&mut self, (list, result): Beginning) {
        self.beginning = false;
        if self.cancelled {
            drop(result); // with it our own lock of the part that is to go
            return self.end_cancelled();
        }
        match result {
            Ok(Begun { part, held, claimed }) => {
                self.kept = None;
                self.shelf.fill(Arc::clone(&list), Arc::clone(&part));
                self.news_for_the_record = true;
                if claimed {
                    self.check(part, list, held.clone());
                }
                self.offer(&held);
                self.tell(Input::Begun { held });
                self.on_room();
            }
            Err(error) => self.on_disk_error(&error),
        }
    }

    /// Proves in the background what an earlier run says that the part holds: nothing is
    /// placed before that has come out well.
    fn check(&mut self, part: Arc<PartFile>, list: Arc<PieceList>, claimed: PieceMap) {
        self.checking = true;
        let (checked, stopped) = (self.checked.clone(), Arc::clone(&self.stopped));
        self.ground.spawn(async move {
            let work = move || {
                let held = part.check(&list, &claimed, &stopped)?;
                Ok::<_, StoreError>(held.held() == claimed.held())
            };
            if let Ok(result) = tokio::task::spawn_blocking(work).await {
                let _ = checked.send(result).await;
            }
        });
    }

    pub(super) fn on_checked(&mut self, result: Result<bool, StoreError>) {
        self.checking = false;
        match result {
            Ok(true) => {
                self.offer_again();
                self.finish();
            }
            Ok(false) => {
                tracing::warn!(download = self.number, "pieces kept from an earlier run are wrong");
                self.start_over();
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    /// At a clean stop: what is here is kept so that the next run goes on at once.
    pub(super) fn keep(&mut self) {
        self.remember();
        let (part, list) = (self.shelf.part(), self.list.as_ref());
        offload(|| {
            if let (Some(part), Some(list)) = (part, list)
                && let Err(error) = part.keep_held(list)
            {
                tracing::warn!(%error, "what is here of a download is not kept in mind");
            }
            self.tools.unfinished.save_quietly();
        });
    }

    /// A full disk is waited for, unless the user would not; anything else ends the download
    /// with a sentence.
    pub(super) fn on_disk_error(&mut self, error: &StoreError) {
        if !error.is_full() || self.once {
            self.again = error.is_full();
            self.fail(error.to_string());
            return;
        }
        self.wait_for_room(error);
    }

    /// The disk is full: tries again by and by, also to place what is complete.
    pub(super) fn wait_for_room(&mut self, error: &StoreError) {
        if self.paused {
            return; // its user says when to try again
        }
        if self.resume_at.is_none() {
            let why = full_disk(error);
            let reason = PauseReason::Disk(why.clone());
            match self.complete {
                true => self.on_event(&Event::Paused(reason)), // its plan is over
                false => self.tell(Input::Pause(reason)),
            }
            self.full = Some(why);
        }
        self.resume_at = Some(tokio::time::Instant::now() + DISK_RETRY);
    }

    /// The folder that it was begun for is not there. To make it would begin the file anew,
    /// perhaps below a place where its disk is only not mounted.
    pub(super) fn wait_for_folder(&mut self) {
        self.paused = true;
        self.tools.unfinished.change(self.number, |record| record.paused = true);
        self.tools.unfinished.save_soon();
        let (number, folder) = (self.number, self.place.to.to_string_lossy());
        let name = self.show.borrow().name.clone();
        self.ground.warn(format!(
            "download {number} \"{}\" is paused: its folder {} is not there; with it, or to begin \
             anew, 'resume {number}'",
            Escaped(&name),
            Escaped(&folder)
        ));
    }

    /// Whether it may try to go on after a wait for room: nobody is asked for pieces that
    /// could not be written. What a disk does not tell, such as a quota, a write will.
    pub(super) fn has_room(&mut self) -> bool {
        let Some(part) = self.shelf.part().filter(|_| !self.complete) else { return true };
        match offload(|| part.check_room()) {
            Err(error) if error.is_full() => {
                self.full = Some(full_disk(&error));
                self.resume_at = Some(tokio::time::Instant::now() + DISK_RETRY);
                false
            }
            _ => true,
        }
    }

    /// The disk has taken something.
    pub(super) fn on_room(&mut self) {
        if self.full.take().is_some() {
            self.on_event(&Event::Unpaused);
        }
    }
}

fn full_disk(error: &StoreError) -> String {
    format!("{error}; trying again every {} s", DISK_RETRY.as_secs())
}

fn recover(
    part: &PartFile,
    list: &PieceList,
    stopped: &AtomicBool,
) -> Result<PieceMap, StoreError> {
    part.recover(list, stopped, &|_, _| {})
}
