//! Downloads: a sentence, a line of progress, a table.

use std::path::Path;

use crate::base::escape::Escaped;
use crate::command::layout::{Column, MAX_NAME, count, cut, grouped, servent, size, span, table};
use crate::servent::report::{DownloadReport, DownloadState, SourceProgress};
use crate::transfer::Priority;

/// What is worth saying when a download begins, waits or ends.
pub(super) fn download_sentence(download: &DownloadReport) -> String {
    let DownloadReport { number, size: bytes, id, .. } = download;
    let name = cut(&download.name, MAX_NAME);
    let head = format!("download {number} \"{name}\"");
    match &download.state {
        DownloadState::Running => match sized(download) {
            Some(size) => format!("{head}: {size}\n"),
            None => format!("{head}: its size is not known yet\n"),
        },
        DownloadState::Waiting { why } => format!("{head} waits: {}\n", Escaped(why)),
        DownloadState::Done { path: place } if download.gathered.is_some() => format!(
            "{head} done: {}, {} in {}\n{}",
            files(download),
            size(*bytes),
            path(place),
            notes(download)
        ),
        DownloadState::Done { path: place } => format!(
            "{head} done: {} in {}\n  verified: same as b3sum {id}\n",
            size(*bytes),
            path(place)
        ),
        DownloadState::Failed { why } => {
            format!("{head} failed: {}\n{}", Escaped(why), notes(download))
        }
        DownloadState::Paused => format!("{head} is paused at {}\n", percent(download)),
        DownloadState::Cancelled { removed: 0 } => {
            format!("{head} cancelled; nothing of it was here yet\n")
        }
        DownloadState::Cancelled { removed } => {
            format!("{head} cancelled; {} of it removed\n", size(*removed))
        }
    }
}

/// How many files of a folder are here.
fn files(download: &DownloadReport) -> String {
    let here = download.gathered.as_ref().map_or(0, |gathered| gathered.here);
    count(here as u64, "file")
}

/// What is to be known of a folder that is in place.
fn notes(download: &DownloadReport) -> String {
    let Some(gathered) = &download.gathered else { return String::new() };
    let each = gathered.notes.iter().map(|note| format!("  {}\n", Escaped(note)));
    let mut notes: String = each.collect();
    notes.push_str("  each file verified by its own hash; empty folders are not part of it\n");
    notes
}

/// What came of a wish for each of `downloads`.
pub(super) fn sentences(downloads: &[DownloadReport]) -> String {
    downloads.iter().map(download_sentence).collect()
}

pub(super) fn resumed(downloads: &[DownloadReport]) -> String {
    let sentence = |download: &DownloadReport| {
        let name = cut(&download.name, MAX_NAME);
        format!("download {} \"{name}\" goes on from {}\n", download.number, percent(download))
    };
    downloads.iter().map(sentence).collect()
}

pub(super) fn priority(download: &DownloadReport) -> String {
    let DownloadReport { number, priority, .. } = download;
    format!(
        "download {number} \"{}\": priority {}\n",
        cut(&download.name, MAX_NAME),
        priority.word()
    )
}

/// The size; none as long as nobody has named one.
fn sized(download: &DownloadReport) -> Option<String> {
    let known = download.size > 0 || matches!(download.state, DownloadState::Done { .. });
    known.then(|| size(download.size))
}

fn percent(download: &DownloadReport) -> String {
    if matches!(download.state, DownloadState::Cancelled { .. }) {
        return "-".into();
    }
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
    let whole = match &download.gathered {
        Some(gathered) => {
            let all = count(gathered.files as u64, "file");
            format!("{} ({} of {all})", size(download.size), grouped(gathered.here as u64))
        }
        None => size(download.size),
    };
    format!(
        "download {}: {} of {whole}, {}/s from {}{remaining}",
        download.number,
        percent(download),
        size(download.rate),
        count(download.connected as u64, "source"),
    )
}

pub(super) fn downloads_table(downloads: &[DownloadReport], width: Option<usize>) -> String {
    if downloads.is_empty() {
        return "no downloads\n".into();
    }
    let row = |download: &DownloadReport| {
        let mut state = match &download.state {
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
            DownloadState::Paused => "paused".to_owned(),
            DownloadState::Cancelled { .. } => "cancelled".to_owned(),
        };
        if download.priority != Priority::Normal && !download.state.is_over() {
            state = format!("{}, {state}", download.priority.word());
        }
        let name = download.name.clone();
        vec![
            download.number.to_string(),
            percent(download),
            sized(download).unwrap_or_else(|| "-".to_owned()),
            name,
            state,
        ]
    };
    let rows: Vec<_> = downloads.iter().map(row).collect();
    let columns = [Column::Right, Column::Right, Column::Right, Column::Name, Column::Left];
    table(&columns, &rows, width)
}

/// A download, and below it its sources: how much of the file each has, and gives.
pub(super) fn sources_table(download: &DownloadReport, width: Option<usize>) -> String {
    let head = downloads_table(std::slice::from_ref(download), width);
    if download.from.is_empty() {
        return format!("{head}no source is connected\n");
    }
    let row = |source: &SourceProgress| {
        let state = match (source.queued, source.slow) {
            (Some(place), _) => format!("number {place} in its queue"),
            (None, true) => "too slow, left alone for a while".to_owned(),
            (None, false) => format!("{}/s", size(source.rate)),
        };
        let has = format!("  {}%", source.percent);
        vec![has, servent(&source.name, &source.id), size(source.received), state]
    };
    let rows: Vec<_> = download.from.iter().map(row).collect();
    let columns = [Column::Right, Column::Left, Column::Right, Column::Left];
    head + &table(&columns, &rows, width)
}

fn path(path: &Path) -> String {
    Escaped(&path.display().to_string()).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::{ContentId, ServentId};

    pub(in crate::command::render) fn download(state: DownloadState) -> DownloadReport {
        DownloadReport {
            gathered: None,
            number: 1,
            id: ContentId::of_nothing(),
            name: "x.iso".into(),
            size: 1000,
            verified: 999,
            rate: 0,
            connected: 1,
            sources: 2,
            priority: Priority::Normal,
            state,
            from: Vec::new(),
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
    fn a_download_that_was_paused_or_cancelled_says_how_far_it_was() {
        let mut paused = download(DownloadState::Paused);
        assert_eq!(download_sentence(&paused), "download 1 \"x.iso\" is paused at 99%\n");
        assert_eq!(resumed(&[paused.clone()]), "download 1 \"x.iso\" goes on from 99%\n");
        paused.priority = Priority::Low;
        let table = downloads_table(&[paused], None);
        assert_eq!(table, "1  99%  1.00 kB  x.iso  low, paused\n");
        let cancelled = download(DownloadState::Cancelled { removed: 999 });
        let shown = sentences(&[cancelled.clone(), cancelled]);
        let one = "download 1 \"x.iso\" cancelled; 999 B of it removed\n";
        assert_eq!(shown, one.repeat(2));
    }

    #[test]
    fn a_download_shows_how_much_of_the_file_each_source_has() {
        let mut running = download(DownloadState::Running);
        let none = "1  99%  1.00 kB  x.iso  0 B/s, 1 of 2 sources\nno source is connected\n";
        assert_eq!(sources_table(&running, None), none);
        let source = |name: &str, percent, queued| SourceProgress {
            id: ServentId([0; 32]),
            name: name.into(),
            percent,
            received: 10 * u64::from(percent),
            rate: 5,
            queued,
            slow: false,
        };
        running.from = vec![source("attic", 100, None), source("", 7, Some(3))];
        let shown = sources_table(&running, None);
        let rows: Vec<&str> = shown.lines().skip(1).collect();
        let expected = [
            "  100%  attic~aaaaaaaa  1.00 kB  5 B/s",
            "    7%  aaaaaaaa           70 B  number 3 in its queue",
        ];
        assert_eq!(rows, expected);
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
