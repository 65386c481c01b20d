//! Whether one file that somebody told of fits a query: the parser of every search, asked of
//! a list that is here already.

use super::index::Entry;
use super::query::Query;

impl Query {
    /// Whether a file fits, as it would when its owner were asked.
    #[must_use]
    pub fn fits(&self, told: &Entry<'_>) -> bool {
        told.satisfies(self.terms())
    }
}

#[cfg(test)]
mod tests {
    use super::super::publish::tests::{library, publish};
    use super::*;
    use crate::base::ContentId;

    /// The owner's side and this one are the same language.
    #[test]
    fn a_file_fits_what_its_owner_would_have_found() {
        let (disk, library) = library();
        let files = [
            ("Jazz/Coltrane", "Blue Train.flac", 9000),
            ("", "blue.txt", 10),
            ("Bücher", "train.pdf", 500),
        ];
        for (folder, name, size) in files {
            disk.put(format!("/share/{folder}/{name}"), &vec![1; size]);
        }
        publish(&library, "/share").unwrap();
        for query in [
            "blue",
            "blue -jazz",
            "coltrane train",
            "train size>1k",
            "train size<1k",
            ".pdf",
            "type:audio",
            "type:document|audio -.txt",
            "*lue*",
            "tra*",
            "\"blue train\"",
            "bucher",
            "nothing",
        ] {
            let query = Query::parse(query).unwrap();
            let found: Vec<_> = library.matches(&query, 64).files;
            for (folder, name, size) in files {
                let id = ContentId(*blake3::hash(&vec![1; size]).as_bytes());
                let told = Entry { id, size: size as u64, name, folder };
                let owner = found.iter().any(|found| found.file.name.as_str() == name);
                assert_eq!(query.fits(&told), owner, "{query:?} {name}");
            }
        }
    }
}
