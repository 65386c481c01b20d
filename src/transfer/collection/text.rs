//! The text of a collection: what `b3sum` prints for the files of a folder.
//!
//! One line a file, `HASH  relative/path`, sorted by the bytes of the paths; its BLAKE3 hash
//! is the content id of the collection. A path that holds a backslash or a line end is
//! escaped as b3sum does, so that `b3sum --check` takes every such text. Always true: the
//! same files at the same paths make the same text; at most [`MAX_FILES`] and [`MAX_TEXT`]
//! are written or read. What a path may be where it is to be created is left to `store`.

use std::fmt::Write;

use crate::base::ContentId;

/// Most files of one collection: their text is then some megabytes, and a folder of more is
/// published in parts by whoever wants it fetched at a stroke.
pub const MAX_FILES: usize = 100_000;
/// Longest text, in bytes: as many files with paths of 100 bytes each.
pub const MAX_TEXT: usize = 16 << 20;

/// Between the hash and the path.
const GAP: &str = "  ";

/// One file of a collection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Listed {
    /// Where it lies in the folder, as the text says: a claim.
    pub path: String,
    /// What it holds.
    pub id: ContentId,
}

/// Why a text is no collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is longer than any.
    #[error("a collection has at most {MAX_TEXT} bytes of text")]
    TooLong,
    /// It names more files than any.
    #[error("a collection has at most {MAX_FILES} files")]
    TooMany,
    /// It holds no file at all.
    #[error("it lists no file")]
    Empty,
    /// It is no text.
    #[error("it is not UTF-8 text")]
    NoText,
    /// A line is none that b3sum prints.
    #[error("line {0} is not 'HASH  path', as b3sum prints it")]
    Line(usize),
}

/// The text of a folder that holds `files`, in whatever order; none where there is none or
/// too much.
#[must_use]
pub fn text_of(mut files: Vec<Listed>) -> Option<String> {
    if files.is_empty() || files.len() > MAX_FILES {
        return None;
    }
    files.sort_unstable();
    let length = files.iter().map(|file| ContentId::TEXT_LEN + GAP.len() + file.path.len() + 1);
    let mut text = String::with_capacity(length.sum());
    for Listed { path, id } in &files {
        if path.contains(['\\', '\n']) {
            let path = path.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(text, "\\{id}{GAP}{path}"); // a String takes everything
        } else {
            let _ = writeln!(text, "{id}{GAP}{path}");
        }
    }
    (text.len() <= MAX_TEXT).then_some(text)
}

/// The files that a collection's text lists, in its order.
///
/// # Errors
/// [`TextError`], when it is none.
pub fn files_of(text: &[u8]) -> Result<Vec<Listed>, TextError> {
    if text.len() > MAX_TEXT {
        return Err(TextError::TooLong);
    }
    let text = std::str::from_utf8(text).map_err(|_| TextError::NoText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    let mut files = Vec::new();
    for (line, number) in text.split('\n').zip(1..) {
        if files.len() >= MAX_FILES {
            return Err(TextError::TooMany);
        }
        files.push(read_line(line).ok_or(TextError::Line(number))?);
    }
    Ok(files)
}

fn read_line(line: &str) -> Option<Listed> {
    let (escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (hash, path) = line.split_once(GAP)?;
    let path = if escaped { unescaped(path)? } else { path.to_owned() };
    Some(Listed { path, id: hash.parse().ok()? })
}

fn unescaped(path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\\' => match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(path: &str, byte: u8) -> Listed {
        Listed { path: path.to_owned(), id: ContentId([byte; 32]) }
    }

    #[test]
    fn the_text_is_what_b3sum_prints_sorted_by_path() {
        let files = vec![listed("b", 1), listed("a/c", 2), listed("a-b", 3), listed("a\\\nx", 4)];
        let text = text_of(files).unwrap();
        let [one, two, three, four] = [3u8, 2, 4, 1].map(|byte| ContentId([byte; 32]));
        let wanted = format!("{one}  a-b\n{two}  a/c\n\\{three}  a\\\\\\nx\n{four}  b\n");
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_is_no_collection_is_refused_by_its_line() {
        let id = ContentId([7; 32]);
        for (text, error) in [
            (String::new(), TextError::Empty),
            ("\n".to_owned(), TextError::Empty),
            (format!("{id}  a\n\n{id}  b\n"), TextError::Line(2)),
            (format!("{id} a\n"), TextError::Line(1)),
            (format!("{id}  a\nabc  b\n"), TextError::Line(2)),
            (format!("\\{id}  a\\x\n"), TextError::Line(1)),
            (format!("\\{id}  a\\\n"), TextError::Line(1)),
            ("music".to_owned(), TextError::Line(1)),
        ] {
            assert_eq!(files_of(text.as_bytes()), Err(error), "{text:?}");
        }
        assert_eq!(files_of(b"\xff"), Err(TextError::NoText));
        assert_eq!(files_of(&vec![b'a'; MAX_TEXT + 1]), Err(TextError::TooLong));
    }

    #[test]
    fn a_collection_has_so_many_files_and_not_one_more() {
        let many = |count: usize| (0..count).map(|n| listed(&n.to_string(), 1)).collect::<Vec<_>>();
        let text = text_of(many(MAX_FILES)).unwrap();
        assert_eq!(files_of(text.as_bytes()).unwrap().len(), MAX_FILES);
        assert_eq!(text_of(many(MAX_FILES + 1)), None);
        let more = format!("{text}{}  x\n", ContentId([1; 32]));
        assert_eq!(files_of(more.as_bytes()), Err(TextError::TooMany));
        assert_eq!(text_of(vec![listed(&"x".repeat(MAX_TEXT), 1)]), None);
        assert_eq!(text_of(Vec::new()), None);
    }

    proptest! {
        #[test]
        fn every_folder_reads_back_whatever_its_files_are_called(
            files in prop::collection::vec(("(\\PC|[\\\\\n\r ]){0,12}", any::<[u8; 32]>()), 1..20)
        ) {
            let listed = |(path, id): (String, [u8; 32])| Listed { path, id: ContentId(id) };
            let mut files: Vec<_> = files.into_iter().map(listed).collect();
            let text = text_of(files.clone()).unwrap();
            files.sort();
            prop_assert_eq!(files_of(text.as_bytes()), Ok(files));
        }

        #[test]
        fn whatever_comes_is_read_or_refused(text in "(\\PC|[\n\\\\0-9a-f ]){0,200}") {
            if let Ok(files) = files_of(text.as_bytes()) {
                prop_assert!(text_of(files).is_some());
            }
        }
    }
}
