//! Replies as text for people, and as JSON for programs.
//!
//! Whatever another servent or a file's owner wrote is escaped here, on its way out.
//! Text is whole lines, each ended. Tables fit the terminal; sentences, and ids, which are
//! to be copied whole, are left to the terminal to wrap.

use serde::Serialize;

use super::layout::{MAX_NAME, count, cut, folded, servent, size};
use super::schema::Line;
use super::{Exit, Reply, qr};
use crate::base::escape::Escaped;
use crate::servent::report::{InvitationReport, MapProgress, News, TraceReport};

mod browse;
mod download;
mod map;
mod peer;
mod search;
mod setting;
mod shared;
mod status;
mod trace;
mod upload;

/// `reply` as one line of JSON, as [`schema`](super::schema) describes it, without the line
/// end.
#[must_use]
pub fn json(reply: &Reply) -> String {
    ascii(&Line::of(reply))
}

/// `value` as one line of JSON in ASCII, without the line end.
#[must_use]
pub fn ascii(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|error| {
        let text = Escaped(&error.to_string()).to_string();
        let error = Reply::error(Exit::Failed, &text);
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
/// names or breaking sentences can help it. Empty for what people are not shown.
#[must_use]
pub fn text(reply: &Reply, width: Option<usize>) -> String {
    folded(&unfolded(reply, width), width)
}

fn unfolded(reply: &Reply, width: Option<usize>) -> String {
    match reply {
        Reply::Hit(hit) => search::hit_line(hit, width),
        Reply::Trace(trace) => trace::tree(trace, width, false),
        Reply::SearchEnd(end) => format!("{}\n", search::search_end(end)),
        Reply::Results { results } => search::results_table(results, width),
        Reply::Result(result) => search::one_result(result, width),
        Reply::Wanted { wanted } => search::wanted_table(wanted, width),
        Reply::Wants(want) => {
            let words = Escaped(&want.text);
            format!("wanted {}: {words}; what turns up is told\n", want.number)
        }
        Reply::Forgot(want) => {
            format!("{} is wanted no longer\n", Escaped(&want.text))
        }
        Reply::Map { file, report } => map::summary(report, file.as_deref(), width),
        Reply::Mapping(progress) => format!("{}\n", map::progress(progress)),
        Reply::Peers { known, peers } => peer::peers_table(peers, *known, width),
        Reply::Joined(join) => {
            let others = match join.contacts {
                0 => String::new(),
                some => format!("; it knows {}", count(some as u64, "other")),
            };
            let who = servent(&join.name, &join.neighbour);
            format!("joined {who} at {}{others}\n", join.address)
        }
        // Who can use it is said apart, so that the line can be piped.
        Reply::Invitation(invitation) => invitation_lines(invitation, false).0,
        Reply::Left { neighbours } => {
            format!("left; {} told\n", count(*neighbours as u64, "neighbour"))
        }
        Reply::Publishing(progress) => format!(
            "hashing: {}, {}; now {}\n",
            count(progress.files as u64, "file"),
            size(progress.bytes),
            cut(&progress.current, 40)
        ),
        Reply::Published { path, report } => shared::published(path, report),
        Reply::Unpublished(report) => format!(
            "{}, {} no longer shared\n",
            count(report.files as u64, "file"),
            size(report.bytes)
        ),
        Reply::Shared(listing) => shared::shared_table(listing, width),
        Reply::Browse(report) => browse::page(report, width),
        Reply::Download(download) => download::download_sentence(download),
        Reply::Progress(download) => format!("{}\n", download::progress(download)),
        // A link is ASCII without spaces; notes go another way, so that it can be piped.
        Reply::Link(link) if link.as_magnet => format!("{}\n", link.magnet),
        Reply::Link(link) => format!("{}\n", link.link),
        Reply::Downloads { downloads } => download::downloads_table(downloads, width),
        Reply::DownloadSources(download) => download::sources_table(download, width),
        Reply::Settings { settings } => setting::settings_table(settings, width),
        Reply::Setting(setting) => setting::one_setting(setting),
        Reply::Set(setting) => setting::set(setting),
        Reply::Limits { limits } => setting::limits_table(limits, width),
        Reply::Paused { downloads } | Reply::Cancelled { downloads } => {
            download::sentences(downloads)
        }
        Reply::Resumed { downloads } => download::resumed(downloads),
        Reply::Uploads { uploads } => upload::uploads_table(uploads, width),
        Reply::Priority(download) => download::priority(download),
        Reply::Status(status) => status::status_lines(status),
        Reply::Greeting(status) => status::greeting(status),
        Reply::Back(status) => status::back(status),
        Reply::News { news } => news_sentence(news),
        Reply::NewsSwitch { on: true } => "neighbours that come and go are told of\n".into(),
        Reply::NewsSwitch { on: false } => "neighbours come and go in silence\n".into(),
        Reply::ServeSwitch { on: true } => "others are given files\n".into(),
        Reply::ServeSwitch { on: false } => {
            "others are given no files and no hits until 'serve on'\n".into()
        }
        Reply::Error { text, query: Some(query), at: Some(at), .. } => {
            format!("{}{}", lines(text), search::pointed(query, *at))
        }
        Reply::Notice { text } | Reply::Error { text, .. } => lines(text),
        Reply::Help { text } => format!("{text}\n"),
        Reply::Stopping { downloads, uploads, resumed } => {
            status::stopping(*downloads, *uploads, *resumed)
        }
        Reply::Exit { .. } => String::new(),
    }
}

/// The line, and its QR code where it is wanted; and how many addresses the code left out.
pub(super) fn invitation_lines(invitation: &InvitationReport, colour: bool) -> (String, usize) {
    let code = Some(invitation).filter(|invitation| invitation.qr);
    let code = code.and_then(|invitation| qr::invitation_code(invitation, colour));
    let (code, left_out) = code.unwrap_or_default();
    (format!("{}\n{code}", invitation.line), left_out)
}

/// How far a map is, in one line without its end.
pub(super) fn mapping(progress: &MapProgress) -> String {
    map::progress(progress)
}

/// How a search ran, drawn with lines and not with what stands for them.
pub(super) fn drawn_trace(trace: &TraceReport, width: Option<usize>) -> String {
    folded(&trace::tree(trace, width, true), width)
}

/// `text` with each of its lines escaped.
fn lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", Escaped(line))).collect()
}

fn news_sentence(news: &News) -> String {
    match news {
        News::Delivered { id, name, file_name, .. } => {
            upload::delivered(&servent(name, id), file_name)
        }
        News::NeighbourUp { id, name } => format!("neighbour {} came\n", servent(name, id)),
        News::NeighbourDown { id, name, why } => {
            format!("neighbour {} went: {}\n", servent(name, id), Escaped(why))
        }
        News::Download { number, name, text } => {
            format!("download {number} \"{}\": {}\n", cut(name, MAX_NAME), Escaped(text))
        }
        News::Found { number, text, hit } => search::found(*number, text, hit),
        News::Notice { text } => format!("{}\n", Escaped(text)),
        News::DownloadDone { report } | News::DownloadFailed { report } => {
            download::download_sentence(report)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::download::tests::download;
    use super::search::tests::hit;
    use super::*;
    use crate::base::{ContentId, ServentId};
    use crate::servent::report::{
        BrowseReport, BrowsedReport, DownloadReport, DownloadState, FileType, HitReport,
        PeerReport, PublishReport, Relation, ResultReport, SharedListing, SharedReport,
        SourceReport, TracedReport, UploadReport, UploadState, WantedReport,
    };

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
            file_type: None,
            folders: vec![evil.into()],
            modified: Some(u64::MAX),
            collection: None,
        };
        let browsed = BrowseReport {
            servent: id,
            servent_name: evil.into(),
            folder: evil.into(),
            page: 1,
            folders: vec![evil.into()],
            files: vec![BrowsedReport {
                number: 1,
                id: ContentId::of_nothing(),
                size: 1,
                name: evil.into(),
                file_type: None,
                modified: Some(1),
            }],
            more: true,
        };
        let shared = SharedReport {
            name: evil.into(),
            path: evil.into(),
            id: ContentId::of_nothing(),
            size: 1,
            file_type: None,
            modified: None,
        };
        let left = crate::servent::report::LeftOut { path: evil.into(), why: evil.into() };
        let report = PublishReport {
            files: 1,
            bytes: 1,
            unchanged: 1,
            left_out: 2,
            reasons: vec![],
            examples: vec![left],
        };
        let want = WantedReport { number: 1, text: evil.into(), found: 0, asked: 0 };
        let news = |news| Reply::News { news };
        for reply in [
            Reply::Hit(HitReport { servent_name: evil.into(), ..hit(evil) }),
            Reply::Trace(TraceReport {
                servents: vec![TracedReport {
                    name: evil.into(),
                    ..trace::tests::servent(None, 1)
                }],
                ..TraceReport::default()
            }),
            Reply::Results { results: vec![result.clone()] },
            Reply::Result(result),
            Reply::Browse(browsed),
            Reply::Peers { known: true, peers: vec![peer] },
            Reply::Published { path: evil.into(), report },
            Reply::Shared(SharedListing { files: vec![shared], ..SharedListing::default() }),
            Reply::Download(running.clone()),
            Reply::Downloads { downloads: vec![running.clone()] },
            Reply::error(Exit::Failed, &evil),
            Reply::Notice { text: evil.into() },
            Reply::Wants(want.clone()),
            Reply::Wanted { wanted: vec![want] },
            news(News::Found { number: 1, text: evil.into(), hit: hit(evil) }),
            news(News::Notice { text: evil.into() }),
            news(News::Download { number: 1, name: evil.into(), text: evil.into() }),
            news(News::DownloadFailed { report: running.clone() }),
            Reply::Paused { downloads: vec![running.clone()] },
            Reply::Resumed { downloads: vec![running.clone()] },
            Reply::Priority(running.clone()),
            Reply::Uploads {
                uploads: vec![UploadReport {
                    peer_name: evil.into(),
                    name: evil.into(),
                    ..upload::tests::upload(UploadState::Delivered)
                }],
            },
            news(News::Delivered {
                id,
                name: evil.into(),
                file: ContentId::of_nothing(),
                file_name: evil.into(),
            }),
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

    proptest! {
        #[test]
        fn no_line_of_a_table_is_wider_than_the_terminal(
            name in "[a-z \\u{1b}日本語e\u{301}]{0,120}",
            size in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
            number in prop_oneof![1usize..9, Just(99_999)],
            width in 40usize..200,
        ) {
            let id = ServentId([1; 32]);
            let address = "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535".parse().unwrap();
            let peer = |relation| PeerReport {
                id,
                name: name.clone(),
                addresses: vec![address],
                relation,
                age_secs: size,
            };
            let neighbour = Relation::Neighbour {
                dialled: false,
                manual: true,
                up_secs: size,
                round_trip_micros: Some(size),
                shares: None,
                dialable: Some(false),
                sent: size,
                received: size,
            };
            let source = SourceReport {
                id,
                name: name.clone(),
                addresses: vec![address],
                hops: Some(8),
                calls_back: true,
                way: None,
            };
            let result = ResultReport {
                collection: None,
                number,
                id: ContentId::of_nothing(),
                size,
                names: vec![name.clone(), name.clone()],
                sources: vec![source; 3],
                file_type: Some(FileType::Document),
                folders: vec![name.clone()],
                modified: Some(size),
            };
            let browsed = BrowseReport {
                servent: id,
                servent_name: name.clone(),
                folder: name.clone(),
                page: 1,
                folders: vec![name.clone()],
                files: vec![BrowsedReport {
                    number,
                    id: ContentId::of_nothing(),
                    size,
                    name: name.clone(),
                    file_type: None,
                    modified: Some(size),
                }],
                more: true,
            };
            let shared = SharedReport {
                name: name.clone(),
                path: name.clone().into(),
                id: ContentId::of_nothing(),
                size,
                file_type: None,
                modified: Some(size),
            };
            let states = [
                DownloadState::Running,
                DownloadState::Waiting { why: name.clone() },
                DownloadState::Failed { why: name.repeat(3) },
            ];
            let downloads = states.map(|state| DownloadReport {
                number,
                name: name.clone(),
                size,
                rate: size,
                ..download(state)
            });
            let want = WantedReport { number, text: name.clone(), found: number, asked: 1 };
            let setting = crate::servent::report::SettingReport {
                key: "max-download".into(),
                value: name.clone(),
                origin: format!("/home/ann/.config/part2part/config.toml:{number}"),
                help: String::new(),
                note: None,
            };
            for reply in [
                Reply::Settings { settings: vec![setting; 2] },
                Reply::Hit(HitReport { number, size, servent_name: name.clone(), ..hit(&name) }),
                Reply::Results { results: vec![result.clone(); 3] },
                Reply::Result(result),
                Reply::Peers { known: true, peers: vec![peer(Relation::Known); 2] },
                Reply::Peers { known: false, peers: vec![peer(neighbour)] },
                Reply::Shared(SharedListing { files: vec![shared; 2], ..SharedListing::default() }),
                Reply::Browse(browsed),
                Reply::Downloads { downloads: downloads.to_vec() },
                Reply::Wanted { wanted: vec![want; 2] },
            ] {
                let text = text(&reply, Some(width));
                let id = ContentId::of_nothing().to_string();
                for line in text.lines().filter(|line| *line != id) {
                    prop_assert!(line.width() <= width, "{width}: {line:?}");
                }
            }
        }
    }
}
