//! Downloads: a sentence, a line of progress, a table.

use std::path::Path;

use crate::base::escape::Escaped;
use crate::command::layout::{Column, MAX_NAME, count, cut, size, span, table};
use crate::servent::report::{DownloadReport, DownloadState};

/// What is worth saying when a download begins, waits or ends.
pub(super) fn download_sentence(download: &DownloadReport) -> String {
    let DownloadReport { number, size: bytes, id, .. } = download;
    let name = cut(&download.name, MAX_NAME);
    let head = format!("download {number} \"{name}\"");
    match &download.state {
        DownloadState::Running => format!("{head}: {}\n", size(*bytes)),
        DownloadState::Waiting { why } => format!("{head} waits: {}\n", Escaped(why)),
        DownloadState::Done { path: place } => format!(
            "{head} done: {} in {}\n  verified: same as b3sum {id}\n",
            size(*bytes),
            path(place)
        ),
        DownloadState::Failed { why } => format!("{head} failed: {}\n", Escaped(why)),
    }
}

fn percent(download: &DownloadReport) -> String {
    if download.size == 0 {
        return "0%".into();
    }
    // Rounded down: 100 % is only what is complete.
    format!("{}%", u128::from(download.verified) * 100 / u128::from(download.size))
}

pub(super) fn progress(download: &DownloadReport) -> String {
    let left = download.size.saturating_sub(download.verified);
    let remaining = match download.rate {
        0 => String::new(),
        rate => format!(", {} left", span(left.div_ceil(rate))),
    };
    format!(
        "download {}: {} of {}, {}/s from {}{remaining}",
        download.number,
        percent(download),
        size(download.size),
        size(download.rate),
        count(download.connected as u64, "source"),
    )
}

pub(super) fn downloads_table(downloads: &[DownloadReport], width: Option<usize>) -> String {
    if downloads.is_empty() {
        return "no downloads\n".into();
    }
    let row = |download: &DownloadReport| {
        let state = match &download.state {
            DownloadState::Running => {
                format!(
                    "{}/s, {} of {} sources",
                    size(download.rate),
                    download.connected,
                    download.sources
                )
            }
            DownloadState::Waiting { why } => format!("waits: {}", Escaped(why)),
            DownloadState::Done { .. } => "done".to_owned(),
            DownloadState::Failed { why } => format!("failed: {}", Escaped(why)),
        };
        let name = download.name.clone();
        vec![download.number.to_string(), percent(download), size(download.size), name, state]
    };
    let rows: Vec<_> = downloads.iter().map(row).collect();
    let columns = [Column::Right, Column::Right, Column::Right, Column::Name, Column::Left];
    table(&columns, &rows, width)
}

fn path(path: &Path) -> String {
    Escaped(&path.display().to_string()).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::ContentId;

    pub(in crate::command::render) fn download(state: DownloadState) -> DownloadReport {
        DownloadReport {
            number: 1,
            id: ContentId::of_nothing(),
            name: "x.iso".into(),
            size: 1000,
            verified: 999,
            rate: 0,
            connected: 1,
            sources: 2,
            state,
        }
    }

    #[test]
    fn a_finished_download_says_how_to_check_it() {
        let done = download(DownloadState::Done { path: "/d/x.iso".into() });
        let shown = download_sentence(&done);
        let hash = ContentId::of_nothing();
        assert_eq!(
            shown,
            format!(
                "download 1 \"x.iso\" done: 1.00 kB in /d/x.iso\n  verified: same as b3sum {hash}\n"
            )
        );
    }

    #[test]
    fn a_download_is_at_a_hundred_percent_only_when_it_is_complete() {
        let mut running = download(DownloadState::Running);
        running.size = u64::MAX;
        running.verified = u64::MAX - 1;
        assert_eq!(percent(&running), "99%");
        running.verified = u64::MAX;
        assert_eq!(percent(&running), "100%");
        running.size = 0;
        assert_eq!(percent(&running), "0%");
    }
}
