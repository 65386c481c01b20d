//! Matching a query against all that is published: the slow, obvious way.
//!
//! Every name is looked at, in order of paths, so the same library gives the same
//! answer each time. The cost for a name is that of finding a few strings in it.

use super::file_type::FileType;
use super::fold::FoldedName;
use super::library::Library;
use super::query::{Query, Term, Test};
use super::shelf::{Published, Shelf};
use crate::base::FileInfo;
use crate::message::HitBody;

/// A published file that matches a query, as others may know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// What it is.
    pub file: FileInfo,
    /// The folders in which it lies below the published one, `/` between them; none when
    /// there are none. The published folder's own name, and what is above it, is never here.
    pub folder: Option<String>,
    /// When its content was last changed, in seconds since 1970; 0 for what is older.
    pub modified: u64,
}

/// What matches a query.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matches {
    /// The files; one content under one name only once.
    pub files: Vec<Match>,
    /// Whether more match.
    pub more: bool,
}

impl Library {
    /// The published files that match `query`: at most `max`, and never more than
    /// [`HitBody::MAX_HITS`].
    #[must_use]
    pub fn matches(&self, query: &Query, max: usize) -> Matches {
        let max = max.min(HitBody::MAX_HITS);
        let shelf = self.shelf();
        match query.content() {
            Some(id) => match shelf.copies(id) {
                Some((copies, _)) => select(copies.iter().map(AsRef::as_ref), &shelf, query, max),
                None => Matches::default(),
            },
            None => select(shelf.files().map(AsRef::as_ref), &shelf, query, max),
        }
    }
}

fn select<'a>(
    files: impl Iterator<Item = &'a Published>,
    shelf: &Shelf,
    query: &Query,
    max: usize,
) -> Matches {
    let mut matches = Matches::default();
    for file in files {
        let folder = folder(shelf, file);
        if !query.terms().iter().all(|term| term.holds(file, folder.as_deref())) {
            continue;
        }
        let info = FileInfo { id: file.list.id(), size: file.stamp.size, name: file.name.clone() };
        if matches.files.iter().any(|found| found.file == info) {
            continue;
        }
        if matches.files.len() >= max {
            matches.more = true;
            break;
        }
        let modified = u64::try_from(file.stamp.mtime_ns / 1_000_000_000).unwrap_or(0);
        matches.files.push(Match { file: info, folder, modified });
    }
    matches
}

/// Where others are told that `file` lies.
fn folder(shelf: &Shelf, file: &Published) -> Option<String> {
    let below = file.path.parent()?.strip_prefix(shelf.marks.told_below(&file.path)?).ok()?;
    let folders = below.to_str()?;
    (!folders.is_empty()).then(|| folders.to_owned())
}

impl Term {
    fn holds(&self, file: &Published, folder: Option<&str>) -> bool {
        self.test.holds(file, folder) != self.negative
    }
}

impl Test {
    fn holds(&self, file: &Published, folder: Option<&str>) -> bool {
        let name = file.name.as_str();
        match self {
            Self::Content(id) => file.list.id() == *id,
            Self::Larger(bytes) => file.stamp.size > *bytes,
            Self::Smaller(bytes) => file.stamp.size < *bytes,
            Self::Words(needle) => {
                let mut folders = folder.unwrap_or_default().split('/');
                file.folded.has(needle) || folders.any(|at| FoldedName::of(at).has(needle))
            }
            Self::Ending(ending) => ends_with(name, ending),
            Self::Type(types) => FileType::of_name(name).is_some_and(|kind| types.contains(&kind)),
        }
    }
}

/// Whether `name` ends with `ending`, which is folded, and has something before it.
fn ends_with(name: &str, ending: &str) -> bool {
    if !name.is_ascii() {
        let folded = super::fold::fold(name);
        return folded.len() > ending.len() && folded.ends_with(ending);
    }
    let Some(begin) = name.len().checked_sub(ending.len()).filter(|&begin| begin > 0) else {
        return false;
    };
    name.get(begin..).is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::super::publish::tests::{library, publish};
    use super::*;
    use crate::base::ContentId;

    fn names(library: &Library, query: &str) -> Vec<String> {
        let query = Query::parse(query).unwrap();
        let matches = library.matches(&query, 64);
        assert!(!matches.more);
        matches.files.into_iter().map(|found| found.file.name.as_str().to_owned()).collect()
    }

    #[test]
    fn each_form_of_the_language_finds_what_it_says() {
        let (disk, library) = library();
        for name in [
            "Beatles - Help!.mp3",
            "beatles_help_live.MP3",
            "Béatles, The - Yellow Submarine.ogg",
            "helpless film.mkv",
            "notes.tar.gz",
            "Ümläut.txt",
        ] {
            disk.put(format!("/share/{name}"), name.as_bytes());
        }
        disk.put("/share/zeros.bin", &[0; 5000]);
        publish(&library, "/share").unwrap();
        let id = ContentId(*blake3::hash(b"notes.tar.gz").as_bytes());
        let cases: [(&str, &[&str]); 20] = [
            ("help beatles", &["Beatles - Help!.mp3", "beatles_help_live.MP3"]),
            ("help beatles -live", &["Beatles - Help!.mp3"]),
            ("BEATLES submarine", &["Béatles, The - Yellow Submarine.ogg"]),
            ("béatles .ogg", &["Béatles, The - Yellow Submarine.ogg"]),
            ("help", &["Beatles - Help!.mp3", "beatles_help_live.MP3"]),
            ("help* type:video", &["helpless film.mkv"]),
            ("elp", &[]),
            ("*elpl*", &["helpless film.mkv"]),
            ("*elp* -help", &["helpless film.mkv"]),
            ("\"yellow submarine\"", &["Béatles, The - Yellow Submarine.ogg"]),
            ("\"submarine yellow\"", &[]),
            (".mp3", &["Beatles - Help!.mp3", "beatles_help_live.MP3"]),
            (".tar.gz", &["notes.tar.gz"]),
            (".gz", &["notes.tar.gz"]),
            ("type:archive", &["notes.tar.gz"]),
            ("umlaut", &["Ümläut.txt"]),
            ("u\u{308}mla\u{308}ut", &["Ümläut.txt"]),
            ("zeros size>4999 size<5001", &["zeros.bin"]),
            ("zeros size>5000", &[]),
            ("zeros size<5k", &[]),
        ];
        for (query, expected) in cases {
            assert_eq!(names(&library, query), expected, "{query}");
        }
        assert_eq!(names(&library, &format!("id:{id}")), ["notes.tar.gz"]);
        assert_eq!(names(&library, &format!("id:{id} -.gz")), [""; 0]);
        assert_eq!(names(&library, &format!("id:{}", ContentId([1; 32]))), [""; 0]);
    }

    #[test]
    fn folders_below_the_published_one_are_words_and_are_told_and_nothing_above_is() {
        let (disk, library) = library();
        disk.put("/home/secret/music/Jazz/Coltrane, John/Blue Train.flac", b"train");
        disk.put("/home/secret/music/Blue.flac", b"blue");
        publish(&library, "/home/secret/music").unwrap();
        let found = |query: &str| {
            let matches = library.matches(&Query::parse(query).unwrap(), 64);
            let tell = |found: Match| (found.file.name.as_str().to_owned(), found.folder);
            matches.files.into_iter().map(tell).collect::<Vec<_>>()
        };
        let train = ("Blue Train.flac".to_owned(), Some("Jazz/Coltrane, John".to_owned()));
        for query in ["coltrane train", "\"coltrane john\"", "colt*", "*azz* blue", "jazz john"] {
            assert_eq!(found(query), [train.clone()], "{query}");
        }
        assert_eq!(found("blue -jazz"), [("Blue.flac".to_owned(), None)]);
        for query in ["music", "secret", "home", "*usi*", "\"john blue\"", "\"jazz coltrane\""] {
            assert_eq!(found(query), [], "{query}");
        }
        disk.put("/home/secret/other", b"other");
        publish(&library, "/home/secret").unwrap();
        assert_eq!(found("train music")[0].1.as_deref(), Some("music/Jazz/Coltrane, John"));
        assert_eq!(found("secret").len(), 0);
    }

    #[test]
    fn a_match_tells_when_its_file_was_changed() {
        let (disk, library) = library();
        disk.put("/share/a file", b"a");
        publish(&library, "/share").unwrap();
        let stamp = library.shelf().files().next().map(|file| file.stamp).unwrap();
        let matches = library.matches(&Query::parse("file").unwrap(), 64);
        assert!(matches.files[0].modified > 0);
        assert_eq!(i128::from(matches.files[0].modified), stamp.mtime_ns / 1_000_000_000);
    }

    #[test]
    fn at_most_64_files_are_named_and_more_is_said() {
        let (disk, library) = library();
        for number in 0..64 {
            disk.put(format!("/share/song {number:02}"), &[number]);
        }
        disk.put("/share/copies/song 00", &[0]);
        publish(&library, "/share").unwrap();
        let query = Query::parse("song").unwrap();
        let all = library.matches(&query, 1000);
        assert_eq!((all.files.len(), all.more), (64, false));
        disk.put("/share/song 64", &[64]);
        publish(&library, "/share").unwrap();
        let some = library.matches(&query, 1000);
        assert_eq!((some.files.len(), some.more), (64, true));
        assert_eq!(library.matches(&query, 3).files, all.files[..3]);
    }

    #[test]
    fn the_dearest_query_on_many_long_names_is_cheap() {
        let (disk, library) = library();
        disk.put("/share/x", b"x");
        publish(&library, "/share").unwrap();
        let file = library.shelf().files().next().map(std::sync::Arc::clone).unwrap();
        for number in 0..20_000 {
            let name = format!("{}{number:06}", "a".repeat(240));
            let copy = Published::new(
                format!("/share/{name}").into(),
                crate::base::FileName::new(name).unwrap(),
                file.stamp,
                std::sync::Arc::clone(&file.list),
                false,
            );
            library.shelf_mut().insert(copy).unwrap();
        }
        let part = format!("*{}b*", "a".repeat(18));
        let query = Query::parse(&vec![part; 11].join(" ")).unwrap();
        // Backtracking would not come back before the test run is given up.
        assert_eq!(library.matches(&query, 64), Matches::default());
    }
}
