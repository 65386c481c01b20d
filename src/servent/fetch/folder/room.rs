//! A folder's disk that is full: said, waited for, and what goes on once it has room.

use tokio::time::Instant;

use super::{DISK_RETRY, Fetch, Folder};
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
