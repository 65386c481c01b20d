//! Matching a query against all that is published: the slow, obvious way.
//!
//! Every name is looked at, in order of paths, so the same library gives the same
//! answer each time. The cost for a name is that of finding a few strings in it.

use super::library::Library;
use super::query::{Query, Term, Test};
use super::shelf::Published;
use crate::base::FileInfo;
use crate::message::HitBody;

/// What matches a query.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matches {
    /// The files; one content under one name only once.
    pub files: Vec<FileInfo>,
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
                Some((copies, _)) => select(copies.iter().map(AsRef::as_ref), query, max),
                None => Matches::default(),
            },
            None => select(shelf.files().map(AsRef::as_ref), query, max),
        }
    }
}

fn select<'a>(files: impl Iterator<Item = &'a Published>, query: &Query, max: usize) -> Matches {
    let mut matches = Matches::default();
    for file in files.filter(|file| query.terms().iter().all(|term| term.holds(file))) {
        let info = FileInfo { id: file.list.id(), size: file.stamp.size, name: file.name.clone() };
        if matches.files.contains(&info) {
            continue;
        }
        if matches.files.len() >= max {
            matches.more = true;
            break;
        }
        matches.files.push(info);
    }
    matches
}

impl Term {
    fn holds(&self, file: &Published) -> bool {
        self.test.holds(file) != self.negative
    }
}

impl Test {
    fn holds(&self, file: &Published) -> bool {
        let name = file.name.as_str();
        match self {
            Self::Content(id) => file.list.id() == *id,
            Self::Larger(bytes) => file.stamp.size > *bytes,
            Self::Smaller(bytes) => file.stamp.size < *bytes,
            Self::Words(needle) => file.folded.has(needle),
            Self::Ending(ending) => ends_with(name, ending),
            Self::Type(types) => types.iter().any(|kind| kind.fits(name)),
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
        matches.files.into_iter().map(|file| file.name.as_str().to_owned()).collect()
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
