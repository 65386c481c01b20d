//! A folder's disk that is full: said, waited for, and what goes on once it has room.

use tokio::time::Instant;

use super::{DISK_RETRY, Fetch, Folder};
use crate::servent::offload::offload;
use crate::servent::report::{DownloadState, News};
use crate::store::StoreError;

impl Fetch {
    pub(super) fn set_full(&mut self, error: &StoreError) {
        let why = format!("{error}; trying again every {} s", DISK_RETRY.as_secs());
        let state = DownloadState::Waiting { why: why.clone() };
        self.show.send_modify(|report| report.state = state);
        if self.full.replace(why.clone()).is_none() {
            let report = self.report_now();
            let (number, name) = (report.number, report.name);
            self.ground.tell(News::Download { number, name, text: format!("paused: {why}") });
        }
    }
}

impl Folder<'_> {
    /// When it is time: lets all go on if the disk has room for the rest, as far as it tells.
    /// Nobody is asked for what could not be written; what a disk does not tell, such as a
    /// quota, a write will.
    pub(super) fn look_for_room(&mut self, now: Instant) {
        if self.fetch.paused {
            return;
        }
        let Some(until) = self.full_until else {
            if self.large.progress().1 > 0 {
                self.on_room();
            }
            return;
        };
        if until > now {
            return;
        }
        match offload(|| self.files.staged().has_room(self.rest())) {
            Err(error) if error.is_full() => self.on_disk_error(&error),
            _ => {
                self.full_until = None;
                // Whoever was stopped may not have lived to say what it had written.
                let (files, batch) = (&self.files, &mut self.batch);
                offload(|| files.all_here().into_iter().for_each(|number| batch.here(number)));
                self.away.values_mut().for_each(|away| away.again = Some(now));
                self.large.set_paused(false);
            }
        }
    }

    /// Bytes that are still to be written, as far as is known, or claimed of the whole. Of a
    /// larger file its own download looks for room, with a size that is proven: that which one
    /// source names must not keep all from going on.
    fn rest(&self) -> u64 {
        let single = self.copies.left().map(|(number, list)| (list.geometry().size(), *number));
        let (placed, copies) = single.fold((0u64, 0u64), |(placed, copies), (size, number)| {
            let others = (self.files.paths(number).len() as u64).saturating_sub(1);
            let all = size.saturating_mul(others);
            (placed.saturating_add(size), copies.saturating_add(all))
        });
        if self.batch.left() == 0 {
            return copies;
        }
        let parts = self.files.staged().in_parts();
        let here = self.files.here().1.saturating_add(placed).saturating_add(parts);
        self.claimed.saturating_sub(here).max(copies)
    }

    /// A full disk is waited for, unless the user would not; anything else ends the download.
    pub(super) fn on_disk_error(&mut self, error: &StoreError) {
        self.send_away();
        if !error.is_full() || self.fetch.once {
            return self.fetch.fail(error.to_string());
        }
        self.large.set_paused(true);
        self.fetch.set_full(error);
        self.full_until = Some(Instant::now() + DISK_RETRY);
    }

    /// The disk has taken something.
    pub(super) fn on_room(&mut self) {
        if self.fetch.full.take().is_some() {
            let report = self.fetch.report_now();
            let (number, name) = (report.number, report.name);
            self.fetch.ground.tell(News::Download { number, name, text: "goes on".to_owned() });
        }
    }
}
