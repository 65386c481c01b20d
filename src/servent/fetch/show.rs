//! What its user sees and hears of a download.

use std::time::Duration;

use tokio::time::Instant;

use super::{Fetch, SHOW_EVERY, SHOW_WAITING};
use crate::base::ServentId;
use crate::servent::report::{DownloadReport, DownloadState, News, SourceProgress};
use crate::transfer::{Event, Next, PauseReason, SourceStanding};

impl Fetch {
    pub(super) fn on_event(&mut self, event: &Event) {
        match event {
            // Trying a full disk again is no news; that it is full, or has room again, is.
            Event::Paused(PauseReason::Disk(_)) | Event::Unpaused if self.full.is_some() => return,
            Event::Resumed { .. } => self.trouble = None,
            event => {
                let trouble = event.trouble().map(|text| self.with_names(&text, event.source()));
                self.trouble = trouble.or_else(|| self.trouble.take());
            }
        }
        if self.within.is_some() {
            return;
        }
        let text = self.with_names(&event.to_string(), event.servents());
        let DownloadReport { number, name, .. } = self.report_now();
        self.ground.tell(News::Download { number, name, text });
    }

    /// Puts what their users call `servents` beside their short ids.
    pub(super) fn with_names(
        &self,
        text: &str,
        servents: impl IntoIterator<Item = ServentId>,
    ) -> String {
        let known = servents.into_iter().filter_map(|servent| self.known.get(&servent));
        let named = known.filter(|source| !source.name.is_empty());
        beside(text, &named.map(|source| (source.id.short(), &*source.name)).collect::<Vec<_>>())
    }

    /// How a source of a file of so many pieces stands.
    fn progress_of(&self, source: &SourceStanding, pieces: u32) -> SourceProgress {
        let SourceStanding { source: id, has, came, rate, queued, aside } = *source;
        let percent = has.map_or(100, |has| u64::from(has) * 100 / u64::from(pieces.max(1)));
        SourceProgress {
            id,
            name: self.known.get(&id).map_or_else(String::new, |known| known.name.clone()),
            percent: u8::try_from(percent).unwrap_or(100),
            received: came,
            rate,
            queued,
            slow: aside,
        }
    }

    pub(super) fn report_now(&self) -> DownloadReport {
        self.show.borrow().clone()
    }

    /// When to bring the numbers up to date; never, while nothing can change them.
    pub(super) fn next_refresh(&self) -> Option<Instant> {
        Some(self.shown_at + pace(&self.show.borrow().state, self.quiet)?)
    }

    /// Brings the numbers up to date.
    pub(super) fn refresh(&mut self) {
        self.shown_at = Instant::now();
        self.quiet = true;
        if self.over {
            self.show.send_modify(|report| {
                (report.rate, report.connected) = (0, 0);
                report.from.clear();
            });
            return;
        }
        if self.news_for_the_record {
            self.remember();
            self.tools.unfinished.save_soon();
        }
        let standing = self.plan.standing(self.ground.clock.now());
        let state = match (&self.full, &standing.waits) {
            _ if self.paused => DownloadState::Paused,
            (Some(full), _) => DownloadState::Waiting { why: full.clone() },
            // The plan is over, and what is here is being checked.
            _ if self.complete => DownloadState::Running,
            (None, Some(next)) => {
                let next = self.with_names(&waiting(next), next.servent());
                let why = match &self.trouble {
                    Some(trouble) => format!("{trouble}; {next}"),
                    None => next,
                };
                DownloadState::Waiting { why }
            }
            (None, None) => DownloadState::Running,
        };
        let pieces = self.list.as_ref().map_or(0, |list| list.geometry().count());
        let from = standing.sources.iter().map(|source| self.progress_of(source, pieces)).collect();
        self.show.send_if_modified(|report| {
            let before = report.clone();
            report.verified = if self.complete { report.size } else { standing.verified };
            report.rate = standing.rate;
            report.connected = standing.connected;
            report.sources = standing.known;
            report.state = state;
            report.from = from;
            *report != before
        });
    }
}

/// How long what is shown in `state` stays true; without end, when only news can change it.
fn pace(state: &DownloadState, quiet: bool) -> Option<Duration> {
    match state {
        DownloadState::Paused if quiet => None,
        DownloadState::Waiting { .. } if quiet => Some(SHOW_WAITING),
        _ => Some(SHOW_EVERY),
    }
}

fn waiting(next: &Next) -> String {
    match next {
        Next::Others { .. } | Next::Queue { .. } | Next::Lacking { .. } | Next::Nothing => {
            next.to_string()
        }
        Next::Redial { .. } | Next::Search { .. } => {
            next.to_string().replace("no source left; ", "")
        }
    }
}

/// Puts the name of each beside its short id. A name is a stranger's text and may look like
/// ids itself: what was put in is not looked through again.
fn beside(text: &str, names: &[(String, &str)]) -> String {
    let mut named = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let splits = names.iter().filter_map(|(short, name)| {
            rest.split_once(short.as_str()).map(|(before, behind)| (before, short, name, behind))
        });
        let Some((before, short, name, behind)) = splits.min_by_key(|split| split.0.len()) else {
            return named + rest;
        };
        named.extend([before, name, "~", short]);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_made_of_ids_does_not_grow() {
        let ids: Vec<String> = (1..=9).map(|byte| ServentId([byte; 32]).short()).collect();
        let names: Vec<String> = ids.iter().skip(1).map(|next| next.repeat(8)).collect();
        let pairs: Vec<_> = ids.iter().cloned().zip(names.iter().map(String::as_str)).collect();
        let told = beside(&format!("lost source {}; 2 sources left", ids[0]), &pairs);
        assert_eq!(told, format!("lost source {}~{}; 2 sources left", names[0], ids[0]));
    }

    #[test]
    fn a_download_that_stands_still_wakes_nobody_until_something_happens() {
        let waiting = DownloadState::Waiting { why: "no source left".into() };
        assert_eq!(pace(&DownloadState::Paused, true), None);
        assert_eq!(pace(&waiting, true), Some(SHOW_WAITING));
        for state in [DownloadState::Paused, waiting, DownloadState::Running] {
            assert_eq!(pace(&state, false), Some(SHOW_EVERY));
        }
    }

    #[test]
    fn every_servent_of_a_sentence_gets_its_name() {
        let (one, other) = (ServentId([1; 32]).short(), ServentId([2; 32]).short());
        let pairs = [(one.clone(), "attic"), (other.clone(), "cellar")];
        let text = format!("lost source {other}; redialling {one} in 1 s");
        let told = format!("lost source cellar~{other}; redialling attic~{one} in 1 s");
        assert_eq!(beside(&text, &pairs), told);
        assert_eq!(beside("goes on", &pairs), "goes on");
        assert_eq!(beside(&text, &[]), text);
    }
}
