//! Replies as text for people, and as JSON for programs.
//!
//! Whatever another servent or a file's owner wrote is escaped here, on its way out.
//! Text is whole lines, each ended.

use std::path::Path;

use serde::Serialize;

use super::layout::{Column, MAX_NAME, count, cut, grouped, servent, size, span, table};
use super::{Exit, Reply};
use crate::base::escape::Escaped;
use crate::servent::report::{
    DownloadReport, DownloadState, HitReport, News, PeerReport, PublishReport, Relation,
    ResultReport, SearchEnd, SharedReport, StatusReport,
};

/// What a person who is alone is told to do about it.
const ALONE: &str = "You are alone. 'join ID@HOST:PORT' takes a friend's line; \
                     there is no public mesh.";

/// `reply` as one line of JSON in ASCII, without the line end.
#[must_use]
pub fn json(reply: &impl Serialize) -> String {
    let text = serde_json::to_string(reply).unwrap_or_else(|error| {
        let text = Escaped(&error.to_string()).to_string();
        let error = Reply::Error { kind: Exit::Failed, text };
        serde_json::to_string(&error).unwrap_or_default()
    });
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        // Outside strings JSON is ASCII, so what is escaped here stands in a string.
        if c.is_ascii() && c != '\x7f' {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// `reply` as text for people; no line is wider than `width` columns where cutting
/// names can help it. Empty for what people are not shown.
#[must_use]
pub fn text(reply: &Reply, width: Option<usize>) -> String {
    match reply {
        Reply::Hit(hit) => hit_line(hit, width),
        Reply::SearchEnd(end) => format!("{}\n", search_end(end)),
        Reply::Results { results } => results_table(results, width),
        Reply::Result(result) => one_result(result, width),
        Reply::Peers { known, peers } => peers_table(peers, *known, width),
        Reply::Joined(join) => {
            let others = match join.contacts {
                0 => String::new(),
                some => format!("; it knows {}", count(some as u64, "other")),
            };
            let who = servent(&join.name, &join.neighbour);
            format!("joined {who} at {}{others}\n", join.address)
        }
        Reply::Left { neighbours } => {
            format!("left; {} told\n", count(*neighbours as u64, "neighbour"))
        }
        Reply::Publishing(progress) => format!(
            "hashing: {}, {}; now {}\n",
            count(progress.files as u64, "file"),
            size(progress.bytes),
            cut(&progress.current, 40)
        ),
        Reply::Published { path, report } => published(path, report),
        Reply::Unpublished(report) => format!(
            "{}, {} no longer shared\n",
            count(report.files as u64, "file"),
            size(report.bytes)
        ),
        Reply::Shared { files } => shared_table(files, width),
        Reply::Download(download) => download_sentence(download),
        Reply::Progress(download) => format!("{}\n", progress(download)),
        Reply::Downloads { downloads } => downloads_table(downloads, width),
        Reply::Status(status) => status_lines(status),
        Reply::Greeting(status) => greeting(status),
        Reply::Back(status) => format!(
            "back in the mesh: {}; sharing {}\n",
            count(status.neighbours as u64, "neighbour"),
            count(status.shared_files as u64, "file")
        ),
        Reply::News { news } => news_sentence(news),
        Reply::NewsSwitch { on: true } => "neighbours that come and go are told of\n".into(),
        Reply::NewsSwitch { on: false } => "neighbours come and go in silence\n".into(),
        Reply::Notice { text } | Reply::Error { text, .. } => lines(text),
        Reply::Help { text } => format!("{text}\n"),
        Reply::Stopping { downloads, uploads } => stopping(*downloads, *uploads),
        Reply::Exit { .. } => String::new(),
    }
}

/// `text` with each of its lines escaped.
fn lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", Escaped(line))).collect()
}

fn path(path: &Path) -> String {
    Escaped(&path.display().to_string()).to_string()
}

fn hops(hops: u64) -> String {
    count(hops, "hop")
}

/// Hits come one by one, so their columns cannot wait for the widest: they are fixed,
/// and the name comes after what is narrow.
fn hit_line(hit: &HitReport, width: Option<usize>) -> String {
    let number = if hit.first { hit.number.to_string() } else { format!("+{}", hit.number) };
    let head = format!("{number:>4}  {:>7}  ", size(hit.size));
    let tail = format!("  {}  {}", servent(&hit.servent_name, &hit.servent), hops(hit.hops.into()));
    let taken = [&head, &tail].map(|text| unicode_width::UnicodeWidthStr::width(text.as_str()));
    let room = width.map_or(MAX_NAME, |width| width.saturating_sub(taken.iter().sum()));
    format!("{head}{}{tail}\n", cut(&hit.name, room.clamp(12, MAX_NAME)))
}

/// How a search ended, in the one sentence that people rely on: whether everybody was
/// asked, whether everybody answered, and what came of it.
fn search_end(end: &SearchEnd) -> String {
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
    format!("asked {asked} within {radius}, {answered}: {found}")
}

fn results_table(results: &[ResultReport], width: Option<usize>) -> String {
    if results.is_empty() {
        return "no results; 'search WORDS' finds some\n".into();
    }
    let row = |result: &ResultReport| {
        let name = result.names.first().cloned().unwrap_or_default();
        let sources = count(result.sources.len() as u64, "source");
        vec![result.number.to_string(), size(result.size), name, sources]
    };
    let rows: Vec<_> = results.iter().map(row).collect();
    table(&[Column::Right, Column::Right, Column::Name, Column::Left], &rows, width)
}

fn one_result(result: &ResultReport, width: Option<usize>) -> String {
    let mut text = String::new();
    for name in &result.names {
        text.push_str(&format!("{}\n", cut(name, MAX_NAME)));
    }
    text.push_str(&format!("{} ({} bytes)\n", size(result.size), grouped(result.size)));
    text.push_str(&format!("{}\n", result.id));
    let rows: Vec<_> = result
        .sources
        .iter()
        .map(|source| {
            let far = source.hops.map_or_else(|| "-".to_owned(), |far| hops(far.into()));
            let place =
                source.addresses.first().map_or_else(|| "-".to_owned(), ToString::to_string);
            vec![servent(&source.name, &source.id), far, place]
        })
        .collect();
    text.push_str(&table(&[Column::Left, Column::Left, Column::Left], &rows, width));
    text
}

fn peers_table(peers: &[PeerReport], known: bool, width: Option<usize>) -> String {
    if peers.is_empty() {
        return match known {
            true => "no contacts heard of lately\n".into(),
            false => "no neighbours; 'join [ID@]HOST:PORT' finds some\n".into(),
        };
    }
    let row = |peer: &PeerReport| {
        let place =
            peer.addresses.first().map_or_else(|| "no address".to_owned(), ToString::to_string);
        let mut row = vec![servent(&peer.name, &peer.id), place];
        match &peer.relation {
            Relation::Neighbour { dialled, manual, up_secs, round_trip_micros } => {
                row.push(if *dialled { "dialled" } else { "dialled us" }.to_owned());
                row.push(format!("up {}", span(*up_secs)));
                row.push(match round_trip_micros {
                    Some(micros) => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
                    None => "-".to_owned(),
                });
                row.push(if *manual { "manual" } else { "" }.to_owned());
            }
            Relation::Known => row.push(format!("heard of {} ago", span(peer.age_secs))),
        }
        row
    };
    let rows: Vec<_> = peers.iter().map(row).collect();
    let columns =
        [Column::Left, Column::Left, Column::Left, Column::Left, Column::Right, Column::Left];
    table(&columns, &rows, width)
}

fn published(asked: &str, report: &PublishReport) -> String {
    let mut text = format!(
        "sharing {}, {} in {}",
        count(report.files as u64, "file"),
        size(report.bytes),
        Escaped(asked)
    );
    if report.unchanged > 0 {
        text.push_str(&format!("; {} as before", grouped(report.unchanged as u64)));
    }
    text.push('\n');
    if report.left_out > 0 {
        text.push_str(&format!("left out: {}\n", grouped(report.left_out as u64)));
        for example in &report.examples {
            text.push_str(&format!("  {}: {}\n", Escaped(&example.path), Escaped(&example.why)));
        }
        if report.left_out > report.examples.len() {
            text.push_str("  ...\n");
        }
    }
    text
}

fn shared_table(files: &[SharedReport], width: Option<usize>) -> String {
    if files.is_empty() {
        return "nothing is shared; 'publish PATH' shares a file or a folder\n".into();
    }
    let row = |file: &SharedReport| {
        vec![file.id.short(), size(file.size), file.path.display().to_string()]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    let mut text = table(&[Column::Left, Column::Right, Column::Name], &rows, width);
    let bytes = files.iter().fold(0u64, |sum, file| sum.saturating_add(file.size));
    text.push_str(&format!("{}, {}\n", count(files.len() as u64, "file"), size(bytes)));
    text
}

/// What is worth saying when a download begins, waits or ends.
fn download_sentence(download: &DownloadReport) -> String {
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

fn progress(download: &DownloadReport) -> String {
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

fn downloads_table(downloads: &[DownloadReport], width: Option<usize>) -> String {
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

fn joined(addresses: &[std::net::SocketAddr]) -> String {
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if all.is_empty() { "nowhere".into() } else { all.join(", ") }
}

fn status_lines(status: &StatusReport) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| text.push_str(&format!("{key:<10} {value}\n"));
    line("id", status.id.to_string());
    if !status.name.is_empty() {
        line("name", servent(&status.name, &status.id));
    }
    line("mesh", if status.private { "private (network key)" } else { "open" }.into());
    line("listening", joined(&status.listening));
    line("addresses", joined(&status.addresses));
    let (neighbours, cached) = (status.neighbours as u64, status.cached as u64);
    line("neighbours", format!("{} ({} known)", grouped(neighbours), count(cached, "contact")));
    let shared = count(status.shared_files as u64, "file");
    line("sharing", format!("{shared}, {}", size(status.shared_bytes)));
    let (downloads, uploads) = (status.downloads as u64, status.uploads as u64);
    line("running", format!("{}, {}", count(downloads, "download"), count(uploads, "upload")));
    line("received", format!("{} ({} bytes)", size(status.received), grouped(status.received)));
    line("sent", format!("{} ({} bytes)", size(status.sent), grouped(status.sent)));
    line("up", span(status.up_secs));
    line("incidents", grouped(status.incidents));
    text
}

fn greeting(status: &StatusReport) -> String {
    let mut text = format!("part2part {}: you are {}\n", env!("CARGO_PKG_VERSION"), status.id);
    text.push_str(&format!("listening on {}\n", joined(&status.listening)));
    if !status.addresses.is_empty() {
        text.push_str(&format!("friends dial {}\n", joined(&status.addresses)));
    }
    text.push_str(&match status.shared_files {
        0 => "nothing is shared yet; 'publish PATH' shares a file or a folder\n".to_owned(),
        files => {
            format!("sharing {}, {}\n", count(files as u64, "file"), size(status.shared_bytes))
        }
    });
    if status.neighbours > 0 {
        text.push_str(&format!("in the mesh: {}\n", count(status.neighbours as u64, "neighbour")));
    } else if status.cached == 0 {
        text.push_str(ALONE);
        text.push('\n');
    }
    text
}

fn news_sentence(news: &News) -> String {
    match news {
        News::NeighbourUp { id, name } => format!("neighbour {} came\n", servent(name, id)),
        News::NeighbourDown { id, name, why } => {
            format!("neighbour {} went: {}\n", servent(name, id), Escaped(why))
        }
        News::Download { number, name, text } => {
            format!("download {number} \"{}\": {}\n", cut(name, MAX_NAME), Escaped(text))
        }
        News::Notice { text } => format!("{}\n", Escaped(text)),
        News::DownloadDone { report } | News::DownloadFailed { report } => {
            download_sentence(report)
        }
    }
}

fn stopping(downloads: usize, uploads: usize) -> String {
    let running = [(downloads, "download"), (uploads, "upload")];
    let some: Vec<_> = running
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| count(number as u64, noun))
        .collect();
    match (some.is_empty(), downloads + uploads) {
        (true, _) => "goodbye\n".to_owned(),
        (_, 1) => format!("goodbye; {} stops\n", some.join("")),
        _ => format!("goodbye; {} stop\n", some.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
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
            files: 0,
            took_micros: 1,
        }
    }

    fn hit(name: &str) -> HitReport {
        HitReport {
            number: 3,
            first: true,
            id: ContentId::of_nothing(),
            size: 12_345_678,
            name: name.into(),
            servent: ServentId([7; 32]),
            servent_name: "attic".into(),
            hops: 2,
            after_micros: 900,
        }
    }

    fn download(state: DownloadState) -> DownloadReport {
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
    fn a_hit_fits_its_line_and_names_everything_that_matters() {
        let line = text(&Reply::Hit(hit("ferris.png")), Some(80));
        assert_eq!(line, "   3  12.3 MB  ferris.png  attic~a4dqobyh  2 hops\n");
        let line = text(&Reply::Hit(hit(&"n".repeat(250))), Some(80));
        assert_eq!(line.trim_end().chars().count(), 80, "{line}");
        let line = text(&Reply::Hit(hit(&"n".repeat(250))), None);
        assert!(line.contains(&format!("{}…", "n".repeat(79))), "{line}");
        let again = text(&Reply::Hit(HitReport { first: false, ..hit("x") }), None);
        assert!(again.starts_with("  +3 "), "{again}");
    }

    #[test]
    fn nothing_that_a_stranger_wrote_steers_a_terminal_or_a_program() {
        let evil = "a\x1b[2J\x1b]52;c;x\x07\r\u{9b}31m\u{202E}\n\u{7f}b";
        let mut running = download(DownloadState::Failed { why: evil.into() });
        running.name = evil.into();
        let id = ServentId([1; 32]);
        let peer = PeerReport {
            id,
            name: evil.into(),
            addresses: Vec::new(),
            relation: Relation::Known,
            age_secs: 0,
        };
        let result = ResultReport {
            number: 1,
            id: ContentId::of_nothing(),
            size: 1,
            names: vec![evil.into()],
            sources: Vec::new(),
        };
        let shared = SharedReport {
            name: evil.into(),
            path: evil.into(),
            id: ContentId::of_nothing(),
            size: 1,
        };
        let left = crate::servent::report::LeftOut { path: evil.into(), why: evil.into() };
        let report =
            PublishReport { files: 1, bytes: 1, unchanged: 1, left_out: 2, examples: vec![left] };
        let news = |news| Reply::News { news };
        for reply in [
            Reply::Hit(HitReport { servent_name: evil.into(), ..hit(evil) }),
            Reply::Results { results: vec![result.clone()] },
            Reply::Result(result),
            Reply::Peers { known: true, peers: vec![peer] },
            Reply::Published { path: evil.into(), report },
            Reply::Shared { files: vec![shared] },
            Reply::Download(running.clone()),
            Reply::Downloads { downloads: vec![running.clone()] },
            Reply::error(Exit::Failed, &evil),
            Reply::Notice { text: evil.into() },
            news(News::Notice { text: evil.into() }),
            news(News::Download { number: 1, name: evil.into(), text: evil.into() }),
            news(News::DownloadFailed { report: running }),
            news(News::NeighbourUp { id, name: evil.into() }),
            news(News::NeighbourDown { id, name: evil.into(), why: evil.into() }),
        ] {
            let shown = text(&reply, Some(80));
            let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202E}';
            assert!(!shown.contains(steers), "{shown:?}");
            assert!(shown.contains("a\\u{1b}"), "{shown:?}");
            let line = json(&reply);
            assert!(line.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{line:?}");
            assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
        }
    }

    #[test]
    fn a_finished_download_says_how_to_check_it() {
        let done = download(DownloadState::Done { path: "/d/x.iso".into() });
        let shown = text(&Reply::Download(done), None);
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

    #[test]
    fn quitting_says_what_stops() {
        assert_eq!(stopping(0, 0), "goodbye\n");
        assert_eq!(stopping(1, 0), "goodbye; 1 download stops\n");
        assert_eq!(stopping(2, 1), "goodbye; 2 downloads and 1 upload stop\n");
    }
}
