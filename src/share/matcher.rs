//! What of the library matches a query, as others may know it.
//!
//! The index finds it, and the shelf says what it is. A content is named once under each
//! of its names, wherever else it lies.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::index::{Budget, Entry};
use super::library::Library;
use super::published_path::Published;
use super::query::Query;
use crate::base::{ContentId, FileInfo};
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
    /// How many files, and bytes in them, it lists, if it is a collection.
    pub collection: Option<(u64, u64)>,
}

/// What matches a query.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matches {
    /// The files; one content under one name only once.
    pub files: Vec<Match>,
    /// Whether more match.
    pub more: bool,
    /// Whether looking was ended before all was looked at: more may match.
    pub cut: bool,
}

impl Library {
    /// The published files that match `query`, at most `max` of them, in order of paths.
    /// For the user: it may take as long as it takes.
    #[must_use]
    pub fn matches(&self, query: &Query, max: usize) -> Matches {
        self.matches_within(query, max, Budget::unlimited())
    }

    /// What another servent is told: at most [`HitBody::MAX_HITS`], and no more than can be
    /// found with the work that a stranger's query may cost.
    #[must_use]
    pub fn matches_for_stranger(&self, query: &Query) -> Matches {
        self.matches_within(query, HitBody::MAX_HITS, Budget::of_stranger())
    }

    /// Brings what a start has put back into the index, which a start does not wait for. The
    /// first query would do so; it is better done before.
    pub(super) fn index_restored(&self) {
        while !self.shelf().is_indexed() {
            self.shelf_mut().index_some();
        }
    }

    fn matches_within(&self, query: &Query, max: usize, mut budget: Budget) -> Matches {
        self.index_restored();
        // Before the files, so that a folder is found that holds more of them than fit.
        let mut files = self.matching_collections(query, max);
        let shelf = self.shelf();
        let (index, names) = shelf.index();
        let mut found = Found { max: max - files.len(), ..Found::default() };
        match query.content() {
            None => index.search(names, query, &mut budget, |number, entry| {
                names.file(number).map_or(ControlFlow::Continue(()), |file| found.take(file, entry))
            }),
            Some(id) => {
                let copies = shelf.copies(id).map_or(&[][..], |(copies, _)| copies);
                for file in copies {
                    let Some(entry) = names.entry_of(file) else { continue };
                    let checked = budget.name();
                    if checked.is_break()
                        || query.holds(&entry) && found.take(file, &entry).is_break()
                    {
                        break;
                    }
                }
            }
        }
        found.files.sort_unstable_by(|(one, _), (other, _)| one.path.cmp(&other.path));
        files.extend(found.files.into_iter().map(|(_, found)| found));
        Matches { files, more: found.more, cut: budget.is_cut() }
    }
}

/// What was found so far.
#[derive(Default)]
struct Found<'a> {
    max: usize,
    files: Vec<(&'a Published, Match)>,
    known: HashSet<(ContentId, &'a str)>,
    more: bool,
}

impl<'a> Found<'a> {
    fn take(&mut self, file: &'a Published, entry: &Entry<'_>) -> ControlFlow<()> {
        if !self.known.insert((entry.id, file.name.as_str())) {
            return ControlFlow::Continue(());
        }
        if self.files.len() >= self.max {
            self.more = true;
            return ControlFlow::Break(());
        }
        let found = Match {
            file: FileInfo { id: entry.id, size: entry.size, name: file.name.clone() },
            folder: (!entry.folder.is_empty()).then(|| entry.folder.to_owned()),
            modified: u64::try_from(file.stamp.mtime_ns / 1_000_000_000).unwrap_or(0),
            collection: None,
        };
        self.files.push((file, found));
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::keeping::tests::start;
    use super::super::library::UnpublishTarget;
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
            assert_eq!(found(query), std::slice::from_ref(&train), "{query}");
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
        let all = library.matches_for_stranger(&query);
        assert_eq!((all.files.len(), all.more), (64, false));
        disk.put("/share/song 64", &[64]);
        publish(&library, "/share").unwrap();
        let some = library.matches_for_stranger(&query);
        assert_eq!((some.files.len(), some.more), (64, true));
        assert_eq!(library.matches(&query, 1000).files.len(), 65, "the user sees all");
        let few = library.matches(&query, 3);
        assert_eq!((few.files.len(), few.more), (3, true));
    }

    #[test]
    fn where_a_file_lies_is_told_by_what_is_published_now() {
        let (disk, library) = library();
        disk.put("/a/b/c/file", b"f");
        disk.put("/a/b/other", b"o");
        let told = |query: &str| {
            let matches = library.matches(&Query::parse(query).unwrap(), 9);
            matches.files.first().map(|found| found.folder.clone().unwrap_or_default())
        };
        publish(&library, "/a/b/c/file").unwrap();
        assert_eq!(told("file"), Some(String::new()), "published by its own name");
        publish(&library, "/a/b").unwrap();
        assert_eq!((told("file c*"), told("other")), (Some("c".into()), Some(String::new())));
        publish(&library, "/a").unwrap();
        assert_eq!((told("file c*"), told("b* other")), (Some("b/c".into()), Some("b".into())));
        assert!(publish(&library, "/a/none").is_err());
        library.unpublish(&UnpublishTarget::of("/a/b")).unwrap();
        assert_eq!((told("file"), told("b*")), (None, None));
        publish(&library, "/a/b/c").unwrap();
        assert_eq!((told("file"), told("c*")), (Some(String::new()), None));
    }

    #[test]
    fn what_a_start_puts_back_is_found_whatever_became_of_it_meanwhile() {
        let disk = crate::store::MemoryDisk::new();
        for number in 0..2500 {
            disk.put(
                format!("/share/in/song {number:04}"),
                &[1, (number / 256) as u8, number as u8],
            );
        }
        publish(&start(&disk), "/share").unwrap();
        let library = start(&disk);
        library.unpublish(&UnpublishTarget::of("/share/in/song 0007")).unwrap();
        disk.put("/other/song new", b"new");
        publish(&library, "/other").unwrap();
        let found = |query: &str| library.matches(&Query::parse(query).unwrap(), 9999).files.len();
        assert_eq!(
            (found("song"), found("song in"), found("0007"), found("new")),
            (2500, 2499, 0, 1)
        );
    }

    #[test]
    fn what_is_taken_away_is_found_no_more() {
        let (disk, library) = library();
        disk.put("/share/one song.mp3", b"1");
        disk.put("/share/two songs.mp3", b"2");
        publish(&library, "/share").unwrap();
        disk.put("/share/one song.mp3", b"another");
        publish(&library, "/share").unwrap();
        assert_eq!(names(&library, "song* .mp3").len(), 2);
        library.unpublish(&UnpublishTarget::of("/share/one song.mp3")).unwrap();
        assert_eq!(names(&library, ".mp3"), ["two songs.mp3"]);
        assert!(names(&library, "song").is_empty() && names(&library, "*ong* -two").is_empty());
    }
}
