//! Bars for what somebody waits for: a line for each download, or one for a publication
//! or a map.
//!
//! They stand below everything else and are drawn anew on every tick. Always true: no line
//! reaches the last column, so none wraps; and they are never higher than the terminal,
//! the last line summing up what has no room. Only the thread that shows replies may draw
//! them, and only while no line is being typed.

use std::collections::BTreeMap;
use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::layout::{count, cut, size, span};
use super::render::mapping;
use crate::base::escape::Escaped;
use crate::servent::report::{DownloadReport, DownloadState, MapProgress, PublishProgress};

/// Columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;
/// Rows that are left for the command and a message above the bars.
const ROWS_ABOVE: usize = 2;
/// Most columns of a name beside a bar.
const MAX_NAME: usize = 24;
/// Columns of the bar itself, its ends included.
const BAR: usize = 22;
/// Fewest columns of a line that has room for a bar of full length and the time left.
const ROOMY: usize = 72;

/// What is shown at present.
#[derive(Default)]
pub(super) struct Bars {
    downloads: BTreeMap<usize, DownloadReport>,
    publishing: Option<PublishProgress>,
    mapping: Option<MapProgress>,
    /// How wide each line on the screen is.
    drawn: Vec<usize>,
}

impl Bars {
    /// Takes in how far a download is.
    pub(super) fn downloading(&mut self, report: &DownloadReport) {
        self.downloads.insert(report.number, report.clone());
    }

    /// Takes in how far a publication is.
    pub(super) fn publishing(&mut self, progress: &PublishProgress) {
        self.publishing = Some(progress.clone());
    }

    /// Takes in how far a map is; none: it is made.
    pub(super) fn mapping(&mut self, progress: Option<MapProgress>) {
        self.mapping = progress;
    }

    /// Forgets a download.
    pub(super) fn downloaded(&mut self, number: usize) {
        self.downloads.remove(&number);
    }

    /// Forgets the publication.
    pub(super) fn published(&mut self) {
        self.publishing = None;
    }

    /// Forgets everything that is shown.
    pub(super) fn clear(&mut self) {
        self.downloads.clear();
        (self.publishing, self.mapping) = (None, None);
    }

    /// Whether there is anything on the screen.
    pub(super) fn are_drawn(&self) -> bool {
        !self.drawn.is_empty()
    }

    /// What takes the bars off a screen that is `width` columns wide now: a terminal that
    /// became narrower has broken their lines.
    pub(super) fn erased(&mut self, width: Option<usize>) -> String {
        let width = width.unwrap_or(USUAL_WIDTH).max(1);
        let rows: usize = self.drawn.iter().map(|line| line.div_ceil(width).max(1)).sum();
        self.drawn.clear();
        match rows {
            0 => String::new(),
            1 => "\r\x1b[J".to_owned(),
            rows => format!("\r\x1b[{}A\x1b[J", rows - 1),
        }
    }

    /// The bars for a terminal of this size; the cursor stays behind the last of them.
    pub(super) fn drawn(&mut self, width: Option<usize>, height: Option<usize>) -> String {
        let lines = self.lines(width.unwrap_or(USUAL_WIDTH).saturating_sub(1), height);
        self.drawn = lines.iter().map(|line| line.width()).collect();
        lines.join("\n")
    }

    fn lines(&self, width: usize, height: Option<usize>) -> Vec<String> {
        let room = height.map_or(usize::MAX, |rows| rows.saturating_sub(ROWS_ABOVE).max(1));
        let many = self.downloads.len() > room;
        let single = if many { room - 1 } else { room };
        let named = |report: &DownloadReport| cut(&report.name, MAX_NAME).width();
        let name = self.downloads.values().take(single).map(named).max().unwrap_or(0);
        let shown = self.downloads.values().take(single);
        let mut lines: Vec<_> = shown.map(|report| line(report, width, name)).collect();
        if many {
            lines.push(sum(self.downloads.values().skip(single), width));
        }
        lines.extend(self.mapping.as_ref().map(|progress| cut(&mapping(progress), width)));
        if let Some(progress) = &self.publishing {
            let PublishProgress { files, bytes, files_left, bytes_left, current } = progress;
            let mut head = format!("hashing: {}, {}; ", count(*files as u64, "file"), size(*bytes));
            if *files_left > 0 {
                let files = count(*files_left, "file");
                head.push_str(&format!("{files}, {} to go; ", size(*bytes_left)));
            }
            // The end of a path says more than its beginning.
            let name = Escaped(current).to_string();
            lines.push(cut(
                &format!("{head}{}", ending(&name, width.saturating_sub(head.width()))),
                width,
            ));
        }
        lines
    }
}

/// The last `width` columns of `text`, which is escaped already.
fn ending(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = text;
    while kept.width() >= width.max(1) {
        let mut rest = kept.chars();
        rest.next();
        kept = rest.as_str();
    }
    format!("…{kept}")
}

/// A download in one line: `3 ferris.png [======>     ]  45%  1.23 MB/s  12s left`. All
/// names take `name` columns where there is room, so that the bars begin alike.
fn line(report: &DownloadReport, width: usize, name: usize) -> String {
    let percent = format!("{:>3}%", hundredths(report.verified, report.size));
    let rate = format!("{}/s", size(report.rate));
    let more = match &report.state {
        DownloadState::Running => {
            match left(report.size.saturating_sub(report.verified), report.rate) {
                Some(left) if width >= ROOMY => format!("{rate:>9}  {left}"),
                _ => format!("{rate:>9}"),
            }
        }
        DownloadState::Waiting { why } => format!("waits: {}", Escaped(why)),
        _ => String::new(),
    };
    let bar = if width >= ROOMY { BAR } else { BAR / 2 };
    // Number, bar, percent and rate stay; the name has what they leave.
    let taken = report.number.to_string().len() + bar + percent.width() + 9 + 5;
    let room = width.saturating_sub(taken).clamp(6, MAX_NAME).min(name);
    let name = cut(&report.name, room);
    let name = format!("{name}{}", " ".repeat(room.saturating_sub(name.width())));
    let bar = gauge(report.verified, report.size, bar);
    cut(format!("{} {name} {bar} {percent}  {more}", report.number).trim_end(), width)
}

/// The downloads that have no line of their own.
fn sum<'a>(reports: impl Iterator<Item = &'a DownloadReport>, width: usize) -> String {
    let (mut number, mut verified, mut total, mut rate) = (0u64, 0u64, 0u64, 0u64);
    for report in reports {
        number += 1;
        verified = verified.saturating_add(report.verified);
        total = total.saturating_add(report.size);
        rate = rate.saturating_add(report.rate);
    }
    let percent = hundredths(verified, total);
    let text = format!("and {number} more: {percent}% of {}, {}/s", size(total), size(rate));
    cut(&text, width)
}

fn gauge(done: u64, of: u64, width: usize) -> String {
    let inner = width.saturating_sub(2);
    let filled = usize::try_from(u128::from(done) * inner as u128 / u128::from(of.max(1)));
    let filled = filled.unwrap_or(inner).min(inner);
    let mut text = String::from("[");
    for at in 0..inner {
        text.push(match at {
            at if at < filled => '=',
            at if at == filled => '>',
            _ => ' ',
        });
    }
    let _ = text.write_char(']');
    text
}

/// Rounded down: a hundred is only what is complete.
fn hundredths(done: u64, of: u64) -> u128 {
    if of == 0 { 0 } else { u128::from(done) * 100 / u128::from(of) }
}

fn left(bytes: u64, rate: u64) -> Option<String> {
    (rate > 0).then(|| format!("{} left", span(bytes.div_ceil(rate))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ContentId;
    use crate::transfer::Priority;

    fn report(number: usize, name: &str, state: DownloadState) -> DownloadReport {
        DownloadReport {
            gathered: None,
            number,
            id: ContentId::of_nothing(),
            name: name.into(),
            size: 12_000_000,
            verified: 5_400_000,
            rate: 1_234_567,
            connected: 1,
            sources: 1,
            priority: Priority::Normal,
            state,
            from: Vec::new(),
        }
    }

    fn bars(reports: impl IntoIterator<Item = DownloadReport>) -> Bars {
        let mut bars = Bars::default();
        reports.into_iter().for_each(|report| bars.downloading(&report));
        bars
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let running = report(3, "ferris.png", DownloadState::Running);
        assert_eq!(
            line(&running, 79, 10),
            "3 ferris.png [=========>          ]  45%  1.23 MB/s  6s left"
        );
        assert_eq!(line(&running, 39, 10), "3 ferris.p… [====>    ]  45%  1.23 MB/s");
    }

    #[test]
    fn no_line_reaches_the_last_column_whatever_a_stranger_wrote() {
        let evil = "\x1b[2J日本語テキスト".repeat(9);
        for width in 20..200 {
            let waits = DownloadState::Waiting { why: evil.clone() };
            let mut bars = bars([
                report(1, &evil, DownloadState::Running),
                report(1_234, "x", waits),
                report(2, &"n".repeat(250), DownloadState::Running),
            ]);
            bars.publishing(&PublishProgress {
                files: 9_999,
                bytes: u64::MAX,
                files_left: u64::MAX,
                bytes_left: u64::MAX,
                current: evil.clone(),
            });
            let drawn = bars.drawn(Some(width), Some(24));
            assert_eq!(drawn.lines().count(), 4);
            assert!(drawn.lines().all(|line| line.width() < width), "{width}: {drawn}");
            assert!(!drawn.contains('\x1b'), "{drawn:?}");
        }
    }

    #[test]
    fn more_downloads_than_rows_are_summed_up() {
        let all = (1..=30).map(|number| report(number, "x", DownloadState::Running));
        let drawn = bars(all).drawn(Some(80), Some(10));
        assert_eq!(drawn.lines().count(), 8);
        let last = drawn.lines().last().unwrap();
        assert_eq!(last, "and 23 more: 45% of 276 MB, 28.4 MB/s");
    }

    #[test]
    fn a_terminal_that_became_narrower_is_cleared_of_the_broken_lines_too() {
        let mut bars = bars([report(1, &"n".repeat(99), DownloadState::Running)]);
        assert!(!bars.drawn(Some(80), None).is_empty());
        assert_eq!(bars.erased(Some(80)), "\r\x1b[J");
        assert_eq!(bars.erased(Some(80)), "");
        let drawn = bars.drawn(Some(80), None).width();
        assert_eq!(bars.erased(Some(40)), format!("\r\x1b[{}A\x1b[J", drawn.div_ceil(40) - 1));
    }
}
