//! What there is to choose from: results, downloads, published files, peers, paths.
//!
//! The servent is asked as its user would ask it, so all this works at an attached prompt
//! too. It is never waited for longer than [`WITHIN`], and a silent one has nothing to
//! offer. What others wrote is escaped where it is shown and never becomes part of a line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::terminal;
use crate::base::escape::Escaped;
use crate::command::layout::{cut, servent, size};
use crate::command::{Reply, grammar};
use crate::servent::report::{
    DownloadReport, DownloadState, PeerReport, SharedListing, SharedReport,
};

/// Longest pause that Tab may make.
pub(super) const WITHIN: Duration = Duration::from_millis(300);
/// Most candidates that are shown: more is no help, a further letter is.
pub(super) const MOST: usize = 100;
/// Files of one folder that are looked through for those that begin as was typed.
const IN_FOLDER: usize = grammar::MAX_LINES;
/// Columns of a candidate on a terminal that does not tell its width.
const USUAL_WIDTH: usize = 80;

/// Asks the servent; a line and a time in, replies out.
pub(super) type Ask = Box<dyn Fn(&str, Duration) -> Vec<Reply>>;

/// Something that can stand at the cursor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    /// What the list says, escaped.
    pub(super) shown: String,
    /// What goes into the line, quoted; a space after it where the word is whole.
    pub(super) inserted: String,
}

impl Candidate {
    /// `word`, which is whole.
    pub(super) fn word(word: &str) -> Self {
        Self { shown: word.to_owned(), inserted: format!("{word} ") }
    }

    /// `text` as one word of a line, listed as `shown`; none when no line can carry it
    /// as it is.
    fn text(text: &str, shown: &str, whole: bool) -> Option<Self> {
        if Escaped(text).to_string() != text {
            return None;
        }
        let space = if whole { " " } else { "" };
        let inserted = format!("{}{space}", quoted(text));
        Some(Self { shown: Escaped(shown).to_string(), inserted })
    }
}

/// At most [`MOST`] of `all`, each cut to a line. Their common beginning, which Tab
/// inserts, stays that of all.
pub(super) fn bounded(mut all: Vec<Candidate>) -> Vec<Candidate> {
    all.dedup();
    if all.len() > MOST {
        let left_out = all.len() - MOST;
        // In order, the first and the last agree on what all agree on.
        all.sort_by(|one, other| one.inserted.cmp(&other.inserted));
        if let Some(mut last) = all.pop() {
            last.shown = format!("(and {left_out} more) {}", last.shown);
            all.truncate(MOST - 1);
            all.push(last);
        }
    }
    let width = terminal::columns().unwrap_or(USUAL_WIDTH).saturating_sub(2);
    for candidate in &mut all {
        candidate.shown = cut(&candidate.shown, width);
    }
    all
}

/// The values that the help calls `name`, of those that `command` can do something with.
pub(super) fn values(ask: &Ask, command: &str, name: &str, begun: &str) -> Vec<Candidate> {
    match name {
        "N|HASH|LINK" => results(ask, begun),
        "N|HASH|LINK|PATH" => {
            results(ask, begun).into_iter().chain(published(ask, begun)).collect()
        }
        "N|WORDS" => results(ask, begun),
        "--show N" | "--forget N" if command == "wanted" => wanted(ask, begun),
        "N" => downloads(ask, command, begun),
        "N|all" => {
            let all = "all".starts_with(begun).then(|| Candidate::word("all"));
            downloads(ask, command, begun).into_iter().chain(all).collect()
        }
        "PATH|HASH" => published(ask, begun),
        "KEY" => {
            let keys = grammar::keys().into_iter();
            keys.filter(|key| key.starts_with(begun)).map(Candidate::word).collect()
        }
        "PEER" | "SERVENT" => peers(ask, begun, |peer| Some(peer.id.short())),
        "ADDRESS" => peers(ask, begun, |peer| {
            peer.addresses.first().map(|address| format!("{}@{address}", peer.id))
        }),
        _ => Vec::new(),
    }
}

/// What stands behind number `begun`, escaped.
pub(super) fn name_of(ask: &Ask, name: &str, begun: &str, within: Duration) -> Option<String> {
    let number: usize = begun.parse().ok()?;
    let is_result = matches!(name, "N|HASH|LINK" | "N|HASH|LINK|PATH" | "N|WORDS");
    if is_result {
        let replies = ask(&format!("results {number}"), within);
        replies.iter().find_map(|reply| match reply {
            Reply::Result(result) => {
                Some(format!("{} {}", Escaped(result.names.first()?), size(result.size)))
            }
            _ => None,
        })
    } else if name == "N" || name == "N|all" {
        let reports = all_downloads(ask, within);
        let report = reports.into_iter().find(|report| report.number == number)?;
        Some(Escaped(&report.name).to_string())
    } else {
        None
    }
}

fn results(ask: &Ask, begun: &str) -> Vec<Candidate> {
    let replies = ask("results", WITHIN);
    let results = replies.into_iter().find_map(|reply| match reply {
        Reply::Results { results } => Some(results),
        _ => None,
    });
    let candidate = |result: crate::servent::report::ResultReport| {
        let name = result.names.first().map_or("", String::as_str);
        numbered(result.number, name, &size(result.size), begun)
    };
    results.unwrap_or_default().into_iter().filter_map(candidate).collect()
}

fn wanted(ask: &Ask, begun: &str) -> Vec<Candidate> {
    let replies = ask("wanted", WITHIN);
    let wanted = replies.into_iter().find_map(|reply| match reply {
        Reply::Wanted { wanted } => Some(wanted),
        _ => None,
    });
    let candidate = |want: crate::servent::report::WantedReport| {
        numbered(want.number, &want.text, &format!("found {}", want.found), begun)
    };
    wanted.unwrap_or_default().into_iter().filter_map(candidate).collect()
}

fn all_downloads(ask: &Ask, within: Duration) -> Vec<DownloadReport> {
    let replies = ask("downloads", within);
    let reports = replies.into_iter().find_map(|reply| match reply {
        Reply::Downloads { downloads } => Some(downloads),
        _ => None,
    });
    reports.unwrap_or_default()
}

fn downloads(ask: &Ask, command: &str, begun: &str) -> Vec<Candidate> {
    let reports = all_downloads(ask, WITHIN).into_iter();
    let fitting = reports.filter(|report| fits(command, &report.state));
    let candidate = |report: DownloadReport| {
        let percent = match report.size {
            0 => 0,
            size => u128::from(report.verified) * 100 / u128::from(size),
        };
        numbered(report.number, &report.name, &format!("{percent}%"), begun)
    };
    fitting.filter_map(candidate).collect()
}

/// Whether `command` can do something with a download in this state.
fn fits(command: &str, state: &DownloadState) -> bool {
    let paused = *state == DownloadState::Paused;
    match command {
        "pause" => !state.is_over() && !paused,
        "resume" => paused,
        // What is left of one that failed can be removed.
        "cancel" => !state.is_over() || matches!(state, DownloadState::Failed { .. }),
        _ => !state.is_over(),
    }
}

/// A number, found by its digits or by what it stands for.
fn numbered(number: usize, name: &str, more: &str, begun: &str) -> Option<Candidate> {
    let digits = number.to_string();
    let named = !begun.is_empty() && name.to_lowercase().contains(&begun.to_lowercase());
    (digits.starts_with(begun) || named).then(|| Candidate {
        shown: format!("{digits}  {} {more}", Escaped(name)),
        inserted: format!("{digits} "),
    })
}

/// Published files, by path or by name, and folders of them. A path that no line can carry
/// goes by its hash. However much is published, no more is asked for than can be of use.
fn published(ask: &Ask, begun: &str) -> Vec<Candidate> {
    let line = match begun.rsplit_once('/') {
        Some((folder, _)) => {
            format!("shared --lines {IN_FOLDER} --folder {}", quoted(&format!("{folder}/")))
        }
        None if begun.chars().filter(|c| c.is_alphanumeric()).count() > 1
            && begun.chars().all(char::is_alphanumeric) =>
        {
            format!("shared --lines {MOST} -- {begun}*")
        }
        None => format!("shared --lines {MOST}"),
    };
    let replies = ask(&line, WITHIN);
    let listing = replies.into_iter().find_map(|reply| match reply {
        Reply::Shared(listing) => Some(listing),
        _ => None,
    });
    let Some(SharedListing { files, folders, .. }) = listing else { return Vec::new() };
    let folders = folders.into_iter().filter_map(|folder| {
        let path = folder.path.display().to_string();
        path.starts_with(begun).then(|| Candidate::text(&path, &format!("{path}/"), true)).flatten()
    });
    let fitting = |file: &SharedReport| {
        let path = file.path.to_string_lossy();
        path.starts_with(begun) || file.name.starts_with(begun)
    };
    let candidate = |file: SharedReport| {
        let path = file.path.display().to_string();
        Candidate::text(&path, &path, true).unwrap_or_else(|| Candidate {
            shown: Escaped(&path).to_string(),
            inserted: format!("{} ", file.id),
        })
    };
    folders.chain(files.into_iter().filter(fitting).map(candidate)).collect()
}

/// Servents that are linked or known, each as `word` has it.
fn peers(ask: &Ask, begun: &str, word: impl Fn(&PeerReport) -> Option<String>) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for line in ["peers", "peers --known"] {
        let replies = ask(line, WITHIN / 2);
        let peers = replies.into_iter().find_map(|reply| match reply {
            Reply::Peers { peers, .. } => Some(peers),
            _ => None,
        });
        for peer in peers.unwrap_or_default() {
            let Some(word) = word(&peer) else { continue };
            let address = peer.addresses.first().map(ToString::to_string).unwrap_or_default();
            let begins = [&word, &peer.name, &address].iter().any(|text| text.starts_with(begun));
            if begins && !all.iter().any(|known| known.inserted.trim_end() == word) {
                let shown = format!("{} {address}", servent(&peer.name, &peer.id));
                all.push(Candidate { shown, inserted: format!("{word} ") });
            }
        }
    }
    all
}

/// The paths that begin with `begun`; none when the disk is too slow.
pub(super) fn paths(begun: &str, folder: bool) -> Vec<Candidate> {
    let (done, found) = mpsc::sync_channel(1);
    let begun = begun.to_owned();
    // A network disk may hang for good; then only this thread does.
    let looking = thread::Builder::new().name("paths".into()).spawn(move || {
        let _ = done.send(look_up(&begun, folder));
    });
    if looking.is_err() {
        return Vec::new();
    }
    found.recv_timeout(WITHIN).unwrap_or_default()
}

fn look_up(begun: &str, folders_only: bool) -> Vec<Candidate> {
    let (head, stem) = match begun.rfind('/') {
        Some(slash) => begun.split_at(slash + 1),
        None if begun == "~" => return Vec::from_iter(Candidate::text("~/", "~/", false)),
        None => ("", begun),
    };
    let folder = match (head.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ if head.is_empty() => PathBuf::from("."),
        _ => PathBuf::from(head),
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        // Hidden ones only when they are asked for.
        let fits = name.starts_with(stem) && (stem.starts_with('.') || !name.starts_with('.'));
        let is_folder = fits && Path::new(&entry.path()).is_dir();
        (fits && (is_folder || !folders_only)).then_some((name, is_folder))
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    let candidate = |(name, is_folder): (String, bool)| {
        let slash = if is_folder { "/" } else { "" };
        let whole = format!("{head}{name}{slash}");
        Candidate::text(&whole, &format!("{name}{slash}"), !is_folder)
    };
    names.into_iter().filter_map(candidate).collect()
}

/// `text` so that a line's splitting gives it back: with backslashes, so that words that
/// begin alike look alike.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        let plain = c.is_alphanumeric() || !c.is_ascii() || "/._-+,:=@%~^".contains(c);
        if !plain || c.is_whitespace() {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_read_back_as_it_was() {
        for text in ["a b", "it's \"so\"", "日本 語", "#x", "$HOME*", "a\\b", "~/x;y&z"] {
            assert_eq!(shlex::split(&quoted(text)).unwrap(), [text], "{}", quoted(text));
        }
    }

    #[test]
    fn of_very_many_the_common_beginning_stays_that_of_all() {
        let mut all: Vec<_> = (0..500).map(|i| Candidate::word(&format!("aa{i:03}"))).collect();
        all.push(Candidate::word("ab"));
        let few = bounded(all);
        assert_eq!(few.len(), MOST);
        assert_eq!((few[0].shown.as_str(), few[MOST - 1].inserted.as_str()), ("aa000", "ab "));
        assert!(few[MOST - 1].shown.starts_with("(and 401 more) "));
    }

    #[test]
    fn what_no_line_can_carry_is_not_put_into_one() {
        assert_eq!(Candidate::text("a\x1b[2Jb", "x", true), None);
        assert_eq!(Candidate::text("a\nb", "x", true), None);
        let folder = tempfile::tempdir().unwrap();
        for name in ["bell\x07", "plain", ".hidden"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = paths(&format!("{}/", folder.path().display()), false);
        assert_eq!(found.iter().map(|c| c.shown.as_str()).collect::<Vec<_>>(), ["plain"]);
        assert!(paths(&format!("{}/", folder.path().display()), true).is_empty());
    }
}
