//! What its user sees and hears of a download.

use super::Fetch;
use crate::servent::report::{DownloadReport, DownloadState, News};
use crate::transfer::{Event, Next, PauseReason};

impl Fetch {
    pub(super) fn on_event(&mut self, event: &Event) {
        match event {
            // Trying a full disk again is no news; that it is full, or has room again, is.
            Event::Paused(PauseReason::Disk(_)) | Event::Unpaused if self.full.is_some() => return,
            Event::Resumed { .. } => self.trouble = None,
            event => self.trouble = event.trouble().or_else(|| self.trouble.take()),
        }
        let text = self.with_names(event.to_string());
        let DownloadReport { number, name, .. } = self.report_now();
        self.ground.tell(News::Download { number, name, text });
    }

    /// Puts what their users call servents beside their short ids.
    pub(super) fn with_names(&self, mut text: String) -> String {
        for source in self.known.values().filter(|source| !source.name.is_empty()) {
            let short = source.id.short();
            text = text.replace(&short, &format!("{}~{short}", source.name));
        }
        text
    }

    pub(super) fn report_now(&self) -> DownloadReport {
        self.show.borrow().clone()
    }

    /// Brings the numbers up to date.
    pub(super) fn refresh(&mut self) {
        if self.over {
            self.show.send_modify(|report| (report.rate, report.connected) = (0, 0));
            return;
        }
        if self.news_for_the_record {
            self.remember();
            self.tools.unfinished.save_soon();
        }
        let standing = self.plan.standing(self.ground.clock.now());
        let state = match (&self.full, &standing.waits) {
            _ if self.paused => DownloadState::Paused,
            // The plan is over, and what is here is being checked.
            _ if self.complete => DownloadState::Running,
            (Some(full), _) => DownloadState::Waiting { why: full.clone() },
            (None, Some(next)) => {
                let why = match &self.trouble {
                    Some(trouble) => format!("{trouble}; {}", waiting(next)),
                    None => waiting(next),
                };
                DownloadState::Waiting { why: self.with_names(why) }
            }
            (None, None) => DownloadState::Running,
        };
        self.show.send_if_modified(|report| {
            let before = report.clone();
            report.verified = if self.complete { report.size } else { standing.verified };
            report.rate = standing.rate;
            report.connected = standing.connected;
            report.sources = standing.known;
            report.state = state;
            *report != before
        });
    }
}

fn waiting(next: &Next) -> String {
    match next {
        Next::Others { .. } | Next::Queue { .. } | Next::Nothing => next.to_string(),
        Next::Redial { .. } | Next::Search { .. } => {
            next.to_string().replace("no source left; ", "")
        }
    }
}
