//! Copies of the larger files that a collection lists at more than one path.
//!
//! Always true: one file is copied at a time, off the task of the download; one that could
//! not be copied waits, and is tried again.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::prepared::Prepared;
use crate::store::StoreError;
use crate::transfer::PieceList;
use crate::transfer::collection::Number;

/// A file that is in place at the first of its paths, and what proves it.
pub(super) type Single = (Number, Arc<PieceList>);

/// What is to be copied.
pub(super) struct Copies {
    waiting: VecDeque<Single>,
    running: Option<Single>,
    ended: mpsc::Sender<Result<(), StoreError>>,
}

impl Copies {
    pub(super) fn new() -> (Self, mpsc::Receiver<Result<(), StoreError>>) {
        let (ended, told) = mpsc::channel(1);
        (Self { waiting: VecDeque::new(), running: None, ended }, told)
    }

    pub(super) fn add(&mut self, number: Number, list: PieceList) {
        self.waiting.push_back((number, Arc::new(list)));
    }

    /// Those that are not at all of their paths.
    pub(super) fn left(&self) -> impl Iterator<Item = &Single> {
        self.running.iter().chain(&self.waiting)
    }

    /// Copies the next one, unless one is being copied.
    pub(super) fn start(&mut self, files: &Arc<Prepared>) {
        if self.running.is_some() {
            return;
        }
        let Some(next) = self.waiting.pop_front() else { return };
        self.running = Some(next.clone());
        let (files, ended) = (Arc::clone(files), self.ended.clone());
        tokio::task::spawn_blocking(move || {
            let (number, list) = next;
            let _ = ended.try_send(files.placed(number, &list)); // one runs, and there is room
        });
    }

    /// The one that was being copied is at all of its paths, or waits for another try.
    pub(super) fn ended(&mut self, copied: bool) {
        let ended = self.running.take();
        self.waiting.extend(ended.filter(|_| !copied));
    }
}
