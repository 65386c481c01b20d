//! Hits, results, and how a search ended.

use unicode_width::UnicodeWidthStr;

use super::shared::modified;
use crate::base::escape::Escaped;
use crate::command::layout::{
    Column, MAX_NAME, count, cut, day, grouped, servent, size, table, wrapped,
};
use crate::servent::report::{
    CollectionReport, FileType, HitReport, ResultReport, SearchEnd, StoppedReport, WantedReport,
};

/// Servents named that stopped looking; of more, the number will do.
const MAX_STOPPED: usize = 3;

/// The work that a stranger's query may cost, as the time that it takes.
const STOPPED_AFTER: &str = "2 ms";

/// Characters of a wrong query that are shown before and behind the place, so that both lines
/// fit a terminal.
const BEFORE_MARK: usize = 40;
const BEHIND_MARK: usize = 30;

/// Folders of one result that are shown, the most common ones; JSON has them all.
const MAX_FOLDERS: usize = 8;

/// Hits come one by one, so their columns cannot wait for the widest: they are fixed,
/// and the name comes after what is narrow.
pub(super) fn hit_line(hit: &HitReport, width: Option<usize>) -> String {
    let number = if hit.first { hit.number.to_string() } else { format!("+{}", hit.number) };
    let bytes = hit.collection.map_or(hit.size, |sums| sums.bytes);
    let head = format!("{number:>4}  {:>7}", size(bytes));
    let from = format!("{}  {}", servent(&hit.servent_name, &hit.servent), hops(hit.hops.into()));
    let row = vec![head, named(&hit.name, hit.collection), from];
    table(&[Column::Left, Column::Name, Column::Left], &[row], width)
}

/// A name, and of a collection how much it lists.
fn named(name: &str, collection: Option<CollectionReport>) -> String {
    match collection {
        Some(sums) => format!("{name}/ (collection: {})", count(sums.files, "file")),
        None => name.to_owned(),
    }
}

/// How a search ended, in the one sentence that people rely on: whether everybody was
/// asked, whether everybody answered, and what came of it.
pub(super) fn search_end(end: &SearchEnd) -> String {
    if end.asked == 0 && end.lost == 0 && end.files == 0 {
        return "nobody was asked: this servent has no neighbour; 'join' finds one".into();
    }
    let answered = match (end.lost, end.by_timer) {
        (0, false) => "all answered".to_owned(),
        (0, true) => "the end declared by the clock".to_owned(),
        (lost, false) => format!("{} did not answer", grouped(lost)),
        (lost, true) => {
            format!("{} did not answer, the end declared by the clock", grouped(lost))
        }
    };
    let found = match end.files {
        0 if end.lost > 0 || end.by_timer => "nobody who answered has it".to_owned(),
        0 => "nobody has it".to_owned(),
        files if end.cut => {
            format!("{}, and more than one search takes", count(files as u64, "file"))
        }
        files if end.enough => {
            format!("{}, which is enough (--max asks for more)", count(files as u64, "file"))
        }
        files => count(files as u64, "file"),
    };
    let (asked, radius) = (count(end.asked, "servent"), hops(end.radius.into()));
    let stopped = stopped(&end.stopped);
    format!("asked {asked} within {radius}, {answered}: {found}{stopped}")
}

/// Who has more to look at than a query may cost; empty when nobody has.
fn stopped(stopped: &[StoppedReport]) -> String {
    let named = stopped.iter().take(MAX_STOPPED);
    let names: Vec<_> = named.map(|who| servent(&who.servent_name, &who.servent)).collect();
    let names = names.join(", ");
    let who = match stopped.len().checked_sub(MAX_STOPPED).filter(|more| *more > 0) {
        _ if stopped.is_empty() => return String::new(),
        None => names,
        Some(more) => format!("{names} and {}", count(more as u64, "more servent")),
    };
    format!("\n{who} stopped looking after {STOPPED_AFTER}: narrow the search")
}

/// A query with a mark below what is wrong in it; of a long one what stands around that.
pub(super) fn pointed(query: &str, at: usize) -> String {
    let from = at.saturating_sub(BEFORE_MARK);
    let before: String = query.chars().skip(from).take(at - from).collect();
    let behind: String = query.chars().skip(at).take(BEHIND_MARK).collect();
    let before = Escaped(&before).to_string();
    let space = " ".repeat(before.width());
    format!("  {before}{}\n  {space}^\n", Escaped(&behind))
}

pub(super) fn results_table(results: &[ResultReport], width: Option<usize>) -> String {
    if results.is_empty() {
        return "no results; 'search WORDS' finds some, 'results' shows all\n".into();
    }
    let row = |result: &ResultReport| {
        let name = result.names.first().map_or("", String::as_str);
        let name = named(name, result.collection);
        let bytes = result.collection.map_or(result.size, |sums| sums.bytes);
        let sources = count(result.sources.len() as u64, "source");
        let kind = result.file_type.map_or("-", FileType::word).to_owned();
        let day = modified(result.modified);
        vec![result.number.to_string(), size(bytes), name, kind, day, sources]
    };
    let rows: Vec<_> = results.iter().map(row).collect();
    let columns = [Column::Right, Column::Right, Column::Name, Column::Left, Column::Left];
    table(&[&columns[..], &[Column::Left]].concat(), &rows, width)
}

pub(super) fn one_result(result: &ResultReport, width: Option<usize>) -> String {
    let mut text = String::new();
    for name in &result.names {
        text.push_str(&format!("{}\n", cut(name, width.unwrap_or(MAX_NAME).min(MAX_NAME))));
    }
    if let Some(sums) = result.collection {
        let files = count(sums.files, "file");
        text.push_str(&format!("collection: {files}, {}\n", size(sums.bytes)));
    }
    let long = format!("{} ({} bytes)", size(result.size), grouped(result.size));
    for line in wrapped(&long, width.unwrap_or(usize::MAX)) {
        text.push_str(&format!("{line}\n"));
    }
    if let Some(kind) = result.file_type {
        text.push_str(&format!("{}\n", kind.word()));
    }
    if let Some(secs) = result.modified {
        text.push_str(&format!("modified {}\n", day(secs)));
    }
    for folder in result.folders.iter().take(MAX_FOLDERS) {
        let room = width.unwrap_or(MAX_NAME).min(MAX_NAME).saturating_sub(3);
        text.push_str(&format!("in {}\n", cut(folder, room)));
    }
    text.push_str(&format!("{}\n", result.id));
    let rows: Vec<_> = result
        .sources
        .iter()
        .map(|source| {
            let far = source.hops.map_or_else(|| "-".to_owned(), |far| hops(far.into()));
            let place =
                source.addresses.first().map_or_else(|| "-".to_owned(), ToString::to_string);
            let back = if source.calls_back { "calls back" } else { "" };
            vec![servent(&source.name, &source.id), far, place, back.to_owned()]
        })
        .collect();
    text.push_str(&table(&[Column::Left; 4], &rows, width));
    text
}

pub(super) fn wanted_table(wanted: &[WantedReport], width: Option<usize>) -> String {
    if wanted.is_empty() {
        return "nothing is wanted; 'wanted WORDS' keeps a search standing\n".into();
    }
    let row = |want: &WantedReport| {
        let asked = match want.asked {
            0 => "not asked yet".to_owned(),
            times => format!("asked {}", count(times, "time")),
        };
        let found = format!("found {}", count(want.found as u64, "file"));
        vec![want.number.to_string(), want.text.clone(), found, asked]
    };
    let rows: Vec<_> = wanted.iter().map(row).collect();
    table(&[Column::Right, Column::Name, Column::Left, Column::Left], &rows, width)
}

/// What turned up for a standing search, and how to have it.
pub(super) fn found(number: usize, text: &str, hit: &HitReport) -> String {
    format!(
        "wanted {number} ({}): {}, {}, at {}; 'wanted --show {number}', then 'download {}'\n",
        cut(text, MAX_NAME),
        cut(&hit.name, MAX_NAME),
        size(hit.size),
        servent(&hit.servent_name, &hit.servent),
        hit.number
    )
}

fn hops(hops: u64) -> String {
    count(hops, "hop")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::{ContentId, ServentId};

    fn end() -> SearchEnd {
        SearchEnd {
            asked: 412,
            lost: 0,
            radius: 4,
            by_timer: false,
            enough: false,
            cut: false,
            stopped: Vec::new(),
            files: 0,
            took_micros: 1,
        }
    }

    pub(in crate::command::render) fn hit(name: &str) -> HitReport {
        HitReport {
            collection: None,
            number: 3,
            first: true,
            id: ContentId::of_nothing(),
            size: 12_345_678,
            name: name.into(),
            servent: ServentId([7; 32]),
            servent_name: "attic".into(),
            hops: 2,
            after_micros: 900,
            file_type: Some(FileType::Image),
            folder: None,
            modified: None,
        }
    }

    #[test]
    fn the_end_of_a_search_says_who_was_asked_and_who_answered() {
        let say = |change: fn(&mut SearchEnd)| {
            let mut end = end();
            change(&mut end);
            search_end(&end)
        };
        assert_eq!(
            say(|end| (end.asked, end.radius) = (7, 8)),
            "asked 7 servents within 8 hops, all answered: nobody has it"
        );
        assert_eq!(
            say(|end| end.files = 3),
            "asked 412 servents within 4 hops, all answered: 3 files"
        );
        assert_eq!(
            say(|end| (end.lost, end.files) = (3, 1)),
            "asked 412 servents within 4 hops, 3 did not answer: 1 file"
        );
        assert_eq!(
            say(|end| end.lost = 3),
            "asked 412 servents within 4 hops, 3 did not answer: nobody who answered has it"
        );
        assert_eq!(
            say(|end| (end.asked, end.radius, end.by_timer) = (1, 1, true)),
            "asked 1 servent within 1 hop, the end declared by the clock: nobody who answered has it"
        );
        assert!(say(|end| end.asked = 0).starts_with("nobody was asked"));
        assert!(
            say(|end| (end.files, end.enough) = (50, true)).contains("50 files, which is enough")
        );
        assert!(
            say(|end| (end.files, end.cut) = (50, true)).ends_with("more than one search takes")
        );
    }

    #[test]
    fn who_stopped_looking_is_named_with_what_to_do() {
        let who =
            |n: u8| StoppedReport { servent: ServentId([n; 32]), servent_name: "attic".into() };
        let say = |count: u8| {
            search_end(&SearchEnd { stopped: (0..count).map(who).collect(), files: 64, ..end() })
        };
        assert!(
            say(1).ends_with(
                ": 64 files\nattic~aaaaaaaa stopped looking after 2 ms: narrow the search"
            )
        );
        assert!(say(5).contains(" and 2 more servents stopped looking"), "{}", say(5));
        assert!(!say(0).contains("stopped"));
    }

    #[test]
    fn the_mark_stands_below_what_is_wrong() {
        assert_eq!(pointed("foo \"bar", 4), "  foo \"bar\n      ^\n");
        assert_eq!(pointed("日本 *x", 3), "  日本 *x\n       ^\n", "by width");
        let long = pointed(&format!("{} *x{}", "a".repeat(99), " b".repeat(99)), 100);
        let lines: Vec<_> = long.lines().collect();
        assert_eq!(lines[0].find('*'), lines[1].find('^'));
        assert!(lines[0].len() < 79, "{long}");
        assert_eq!(pointed("\x1b[2J *", 5), "  \\u{1b}[2J *\n            ^\n");
    }

    #[test]
    fn a_collection_is_told_from_a_file_with_how_much_it_lists() {
        let collection = Some(CollectionReport { files: 300, bytes: 12_345_678 });
        let line = hit_line(&HitReport { size: 9, collection, ..hit("Jazz") }, Some(80));
        let told = "   3  12.3 MB  Jazz/ (collection: 300 files)  attic~a4dqobyh  2 hops\n";
        assert_eq!(line, told);
    }

    #[test]
    fn a_hit_fits_its_line_and_names_everything_that_matters() {
        let line = hit_line(&hit("ferris.png"), Some(80));
        assert_eq!(line, "   3  12.3 MB  ferris.png  attic~a4dqobyh  2 hops\n");
        let line = hit_line(&hit(&"n".repeat(250)), Some(80));
        assert_eq!(line.trim_end().chars().count(), 80, "{line}");
        let line = hit_line(&hit(&"n".repeat(250)), None);
        assert!(line.contains(&format!("{}…", "n".repeat(79))), "{line}");
        let again = hit_line(&HitReport { first: false, ..hit("x") }, None);
        assert!(again.starts_with("  +3 "), "{again}");
    }
}
