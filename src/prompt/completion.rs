//! What Tab offers, and the faint hint behind the cursor.
//!
//! The grammar says what stands at the cursor, [`super::candidates`] what there is of it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Duration;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter, HistoryHinter};
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use unicode_width::UnicodeWidthStr;

use super::candidates::{self, Ask, Candidate, bounded};
use super::terminal;
use crate::command::grammar::{self, Place, Wanted, place};
use crate::command::layout::cut;

/// Longest pause that a hint may make, at every key.
const HINT_TIME: Duration = Duration::from_millis(50);
/// Fewest columns in which the name behind a number is worth showing.
const MIN_HINT: usize = 8;

/// Completes whatever the grammar knows; hints at arguments, names and earlier lines.
pub(super) struct Words {
    ask: Ask,
    earlier: HistoryHinter,
    /// Without colour a hint could not be told from what was typed.
    colour: bool,
    /// The last line whose numbers were looked up, and what was found: each key repaints.
    named: RefCell<(String, Option<String>)>,
}

impl Words {
    pub(super) fn new(colour: bool, ask: Ask) -> Self {
        Self { ask, earlier: HistoryHinter::new(), colour, named: RefCell::default() }
    }

    fn candidates(&self, place: &Place) -> Vec<Candidate> {
        let begun = place.begun.as_str();
        let of = |words: &[String]| {
            let fitting = words.iter().filter(|word| word.starts_with(begun));
            fitting.map(|word| Candidate::word(word)).collect()
        };
        match &place.wanted {
            Wanted::Command => of(grammar::names()),
            Wanted::Option(words) | Wanted::Word(words) => of(words),
            Wanted::Path { folder } => candidates::paths(begun, *folder),
            Wanted::Value { command, name, words } => {
                let mut found = candidates::values(&self.ask, command, name, begun);
                if name == "VALUE" {
                    let key = place.words.get(1).map_or("", String::as_str);
                    let words = grammar::words_of(key).iter();
                    let fitting = words.filter(|word| word.starts_with(begun));
                    found.extend(fitting.map(|word| Candidate::word(word)));
                }
                found.extend::<Vec<_>>(of(words));
                // A folder that was published as a whole is none of the files in it.
                match found.is_empty() && name.contains("PATH") {
                    true => candidates::paths(begun, false),
                    false => found,
                }
            }
            Wanted::Nothing => Vec::new(),
        }
    }

    /// What stands behind the number at the end of `line`.
    fn named(&self, line: &str) -> Option<String> {
        if !line.ends_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        if self.named.borrow().0 == line {
            return self.named.borrow().1.clone();
        }
        let Place { begun, wanted, .. } = place(line);
        let named = match wanted {
            Wanted::Value { name, .. } => candidates::name_of(&self.ask, &name, &begun, HINT_TIME),
            _ => None,
        };
        *self.named.borrow_mut() = (line.to_owned(), named.clone());
        named
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let place = place(line.get(..at).unwrap_or(line));
        let found = bounded(self.candidates(&place)).into_iter();
        let pairs = found.map(|c| Pair { display: c.shown, replacement: c.inserted });
        Ok((place.start, pairs.collect()))
    }
}

/// A hint: what is shown, and what the right arrow takes over, if anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Faint {
    shown: String,
    taken: Option<String>,
}

impl Hint for Faint {
    fn display(&self) -> &str {
        &self.shown
    }

    fn completion(&self) -> Option<&str> {
        self.taken.as_deref()
    }
}

impl Hinter for Words {
    type Hint = Faint;

    fn hint(&self, line: &str, at: usize, context: &Context<'_>) -> Option<Faint> {
        if !self.colour || at < line.len() || line.trim().is_empty() {
            self.named.take();
            return None;
        }
        let only_shown = |shown| Faint { shown, taken: None };
        let name = line.strip_suffix(' ').filter(|name| !name.contains(' '));
        if let Some(usage) = name.and_then(grammar::usage_of) {
            return Some(only_shown(usage));
        }
        if let Some(name) = self.named(line) {
            let taken = super::keyboard::PROMPT.width() + line.width() + 3;
            let room = terminal::columns().unwrap_or(0).saturating_sub(taken);
            return (room >= MIN_HINT).then(|| only_shown(format!("  {}", cut(&name, room))));
        }
        let earlier = self.earlier.hint(line, at, context)?;
        Some(Faint { shown: earlier.clone(), taken: Some(earlier) })
    }
}

impl Highlighter for Words {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.colour {
            true => format!("\x1b[2m{hint}\x1b[0m").into(),
            false => hint.into(),
        }
    }
}

impl Validator for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use rustyline::history::DefaultHistory;

    use super::*;
    use crate::base::{ContentId, ServentId};
    use crate::command::Reply;
    use crate::servent::report::{
        DownloadReport, DownloadState, FolderReport, PeerReport, Relation, ResultReport,
        SharedListing, SharedReport, WantedReport,
    };

    fn result(number: usize, name: &str) -> ResultReport {
        let names = vec![name.to_owned()];
        ResultReport {
            collection: None,
            number,
            id: ContentId::of_nothing(),
            size: 12_345_678,
            names,
            sources: vec![],
            file_type: None,
            folders: vec![],
            modified: None,
        }
    }

    fn download(number: usize, state: DownloadState) -> DownloadReport {
        DownloadReport {
            gathered: None,
            number,
            id: ContentId::of_nothing(),
            name: format!("x{number}.iso"),
            size: 4,
            verified: 1,
            rate: 0,
            connected: 0,
            sources: 0,
            priority: Default::default(),
            state,
            from: Vec::new(),
        }
    }

    fn shared(path: &str) -> SharedReport {
        let name = path.rsplit('/').next().unwrap().to_owned();
        let id = ContentId::of_nothing();
        SharedReport { name, path: path.into(), id, size: 1, file_type: None, modified: None }
    }

    /// A servent that has found, fetches and shares a little.
    fn answer(line: &str, _: Duration) -> Vec<Reply> {
        let evil = "a\x1b[2Jb";
        vec![match line {
            "results" => Reply::Results { results: vec![result(1, "ferris.png"), result(2, evil)] },
            "results 1" => Reply::Result(result(1, "ferris.png")),
            "results 2" => Reply::Result(result(2, evil)),
            "downloads" => Reply::Downloads {
                downloads: vec![
                    download(3, DownloadState::Running),
                    download(4, DownloadState::Done { path: "/x".into() }),
                ],
            },
            "shared --lines 100" | "shared --lines 100 -- two*" => Reply::Shared(SharedListing {
                files: vec![shared("/m/two words.txt")],
                ..SharedListing::default()
            }),
            "shared --lines 1000 --folder /m/" => Reply::Shared(SharedListing {
                files: vec![shared("/m/two words.txt"), shared("/m/tab\there")],
                folders: vec![FolderReport { path: "/m/twins".into(), files: 2, bytes: 3 }],
                ..SharedListing::default()
            }),
            "wanted" => Reply::Wanted {
                wanted: vec![WantedReport {
                    number: 3,
                    text: "blue train".into(),
                    found: 1,
                    asked: 1,
                }],
            },
            "peers" | "peers --known" => Reply::Peers {
                known: line != "peers",
                peers: vec![PeerReport {
                    id: ServentId([7; 32]),
                    name: "attic".into(),
                    addresses: vec!["127.0.0.1:7".parse().unwrap()],
                    relation: Relation::Known,
                    age_secs: 0,
                }],
            },
            _ => return Vec::new(),
        }]
    }

    fn pairs(line: &str) -> (usize, Vec<Pair>) {
        let history = DefaultHistory::new();
        let context = Context::new(&history);
        Words::new(true, Box::new(answer)).complete(line, line.len(), &context).unwrap()
    }

    fn offered(line: &str) -> Vec<String> {
        let (start, pairs) = pairs(line);
        pairs.into_iter().map(|pair| format!("{}{}", &line[..start], pair.replacement)).collect()
    }

    fn listed(line: &str) -> Vec<String> {
        pairs(line).1.into_iter().map(|pair| pair.display).collect()
    }

    #[test]
    fn commands_and_their_options_are_completed() {
        assert_eq!(offered("do"), ["download ", "downloads "]);
        assert_eq!(offered("  qu"), ["  quit "]);
        assert_eq!(offered("help pub"), ["help publish "]);
        assert_eq!(offered("news o"), ["news on ", "news off "]);
        assert_eq!(offered("serve of"), ["serve off "]);
        assert_eq!(offered("set max-d"), ["set max-download "]);
        assert_eq!(offered("set news o"), ["set news on ", "set news off "]);
        assert_eq!(offered("set lan "), ["set lan on ", "set lan off "]);
        assert_eq!(offered("set max-upload "), ["set max-upload off "]);
        assert_eq!(offered("set mesh "), ["set mesh open "]);
        assert_eq!(offered("set name "), Vec::<String>::new());
        assert_eq!(
            offered("results --sort s"),
            ["results --sort size ", "results --sort sources "]
        );
        assert_eq!(offered("shared --sort m"), ["shared --sort modified "]);
        assert_eq!(
            offered("search x --"),
            ["search x --all ", "search x --ttl ", "search x --max ", "search x --trace "]
        );
        assert_eq!(offered("download 3 --w"), ["download 3 --wait "]);
        assert_eq!(offered("nonsense --"), Vec::<String>::new());
        assert_eq!(offered("search fer"), Vec::<String>::new());
        assert_eq!(offered("").len(), grammar::names().len());
    }

    #[test]
    fn hits_downloads_and_peers_are_listed_by_name_and_inserted_by_number() {
        assert_eq!(offered("download "), ["download 1 ", "download 2 "]);
        assert_eq!(listed("download "), ["1  ferris.png 12.3 MB", "2  a\\u{1b}[2Jb 12.3 MB"]);
        assert_eq!(offered("download --wait FERR"), ["download --wait 1 "]);
        assert_eq!(offered("results 2"), ["results 2 "]);
        assert_eq!(
            (offered("wait "), listed("wait ")),
            (vec!["wait 3 ".into()], vec!["3  x3.iso 25%".into()])
        );
        let id = ServentId([7; 32]);
        assert_eq!(offered("join att"), [format!("join {id}@127.0.0.1:7 ")]);
        assert_eq!(listed("join "), [format!("attic~{} 127.0.0.1:7", id.short())]);
        assert_eq!(offered("browse att"), [format!("browse {} ", id.short())]);
        assert_eq!(offered("wanted --show "), ["wanted --show 3 "]);
        assert_eq!(offered("wanted --forget bl"), ["wanted --forget 3 "]);
        assert_eq!(listed("wanted --show "), ["3  blue train found 1"]);
    }

    #[test]
    fn what_is_published_is_offered_by_name_or_path_and_quoted() {
        let hash = ContentId::of_nothing();
        assert_eq!(offered("unpublish two"), ["unpublish /m/two\\ words.txt "]);
        assert_eq!(
            offered("unpublish \"/m/tw"),
            ["unpublish /m/twins ", "unpublish /m/two\\ words.txt "]
        );
        assert_eq!(offered("unpublish /m/tab"), [format!("unpublish {hash} ")]);
        assert_eq!(listed("unpublish /m/tab"), ["/m/tab\\u{9}here"]);
    }

    #[test]
    fn paths_are_completed_where_paths_stand_and_quoted_when_they_must_be() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("two words")).unwrap();
        std::fs::write(folder.path().join("twist"), "").unwrap();
        let stem = folder.path().join("two").display().to_string();
        for head in [
            "publish ",
            "publish a ",
            "unpublish ",
            "download 3 --to ",
            "download 3 --to=",
            "publish -- ",
            "publish \"",
        ] {
            let line = offered(&format!("{head}{stem}"));
            assert_eq!(line.len(), 1, "{head}");
            let words = shlex::split(&line[0]).unwrap();
            assert!(words.last().unwrap().ends_with("/two words/"), "{words:?}");
        }
        assert_eq!(offered(&format!("download 3 --to {}/twi", folder.path().display())).len(), 0);
        assert_eq!(
            listed(&format!("publish {}/tw", folder.path().display())),
            ["twist", "two words/"]
        );
    }

    #[test]
    fn a_hint_shows_how_a_command_goes_on_only_in_colour() {
        let history = DefaultHistory::new();
        let context = Context::new(&history);
        let hint = |colour, line: &str| {
            Words::new(colour, Box::new(answer)).hint(line, line.len(), &context)
        };
        let usage = hint(true, "wait ").unwrap();
        assert_eq!((usage.display(), usage.completion()), ("[N]", None));
        assert_eq!(hint(true, "leave "), None);
        assert_eq!(hint(false, "wait "), None);
    }

    #[test]
    fn what_a_number_stands_for_is_known_and_never_typed() {
        let words = Words::new(true, Box::new(answer));
        assert_eq!(words.named("download 1").as_deref(), Some("ferris.png 12.3 MB"));
        assert_eq!(words.named("download 2").as_deref(), Some("a\\u{1b}[2Jb 12.3 MB"));
        assert_eq!(words.named("wait 3").as_deref(), Some("x3.iso"));
        assert_eq!(words.named("download 9"), None);
        assert_eq!(words.named("search 1"), None);
    }
}
