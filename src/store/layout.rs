//! Where the files of a collection are created: a stranger's paths made safe.
//!
//! Always true: each part of a path is one that the system takes and nobody hides behind, no
//! path leads out of the folder, no two are alike, and no file stands where another one needs
//! a folder; folders are bounded, and so is the memory that this takes.

use std::collections::HashMap;

use super::name::{numbered, safe_name};
use super::part::{MAX_NAMESAKES, alike};
use crate::transfer::collection::text::{Listed, MAX_FILES};

/// Longest path in a folder that is created, in bytes: with that of the downloads folder
/// before it, it is below what the system takes.
pub const MAX_PATH: usize = 2048;
/// Most folders around a file in it: more are made by nobody but to do harm.
pub const MAX_DEPTH: usize = 64;
/// Most folders in a collection: as many as it has files. Of all that its text could name
/// there are millions, which are gigabytes on a disk before the first byte of a file.
pub const MAX_FOLDERS: usize = MAX_FILES;

/// Why a file of a collection is not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It begins with a `/`.
    #[error("the path begins at the root")]
    Absolute,
    /// It has a part that leads nowhere, or up.
    #[error("the path has a part that is empty, '.' or '..'")]
    Part,
    /// It is longer than [`MAX_PATH`].
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// It is deeper than [`MAX_DEPTH`].
    #[error("the path leads through more than {MAX_DEPTH} folders")]
    TooDeep,
    /// It needs a folder more than [`MAX_FOLDERS`].
    #[error("the collection has more than {MAX_FOLDERS} folders")]
    TooManyFolders,
    /// Too many others are called like it.
    #[error("more than {MAX_NAMESAKES} others are called alike")]
    Namesakes,
}

/// Where each file of a collection is created in its folder: each part of its path made
/// safe, and numbered where another one, or one that only differs in case or in Unicode
/// form, has its name. Folders that are alike are one.
#[must_use]
pub fn laid_out(files: &[Listed]) -> Vec<Result<String, BadPath>> {
    let mut taken = Taken::default();
    files.iter().map(|file| taken.path_for(file)).collect()
}

/// What is taken already, by the folder that it is in: the top one is 0, others have numbers
/// in the order in which they came. Names are kept part by part, and so are no longer in all
/// than what is listed, however deep it is.
#[derive(Default)]
struct Taken {
    /// What a name stands for, in the form in which names are compared: the folder that is
    /// called so or wants to be, or a file.
    names: HashMap<(usize, String), Option<usize>>,
    /// What the folders are called, from the first.
    folders: Vec<String>,
    /// The last number that a name got.
    numbers: HashMap<(usize, String), u32>,
}

impl Taken {
    fn path_for(&mut self, file: &Listed) -> Result<String, BadPath> {
        let path = file.path.as_str();
        if path.starts_with('/') {
            return Err(BadPath::Absolute);
        }
        if path.len() > MAX_PATH {
            return Err(BadPath::TooLong);
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(BadPath::Part);
        }
        if path.split('/').count() > MAX_DEPTH + 1 {
            return Err(BadPath::TooDeep);
        }
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (mut place, mut path) = (0, String::new());
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            place = self.folder_in(place, &safe_name(folder, file.id))?;
            path.extend(self.folders.get(place.saturating_sub(1)).map(String::as_str));
            path.push('/');
        }
        let name = self.free_in(place, &safe_name(name, file.id))?;
        path.push_str(&name);
        if path.len() > MAX_PATH {
            return Err(BadPath::TooLong);
        }
        self.names.insert((place, alike(&name)), None);
        Ok(path)
    }

    /// The folder that is called like `name` in `place`, or a new one.
    fn folder_in(&mut self, place: usize, name: &str) -> Result<usize, BadPath> {
        let key = (place, alike(name));
        if let Some(Some(known)) = self.names.get(&key) {
            return Ok(*known);
        }
        if self.folders.len() >= MAX_FOLDERS {
            return Err(BadPath::TooManyFolders);
        }
        let free = self.free_in(place, name)?;
        let number = self.folders.len() + 1;
        // By both: the next that is called so finds it, and no file takes its name.
        self.names.insert((place, alike(&free)), Some(number));
        self.names.insert(key, Some(number));
        self.folders.push(free);
        Ok(number)
    }

    /// `name` in `place`, with a number where that is taken.
    fn free_in(&mut self, place: usize, name: &str) -> Result<String, BadPath> {
        let key = (place, alike(name));
        if !self.names.contains_key(&key) {
            return Ok(name.to_owned());
        }
        let from = self.numbers.get(&key).map_or(1, |last| last + 1);
        for number in from..=MAX_NAMESAKES {
            let name = numbered(name, number);
            if !self.names.contains_key(&(place, alike(&name))) {
                self.numbers.insert(key, number);
                return Ok(name);
            }
        }
        Err(BadPath::Namesakes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::base::ContentId;

    fn listed(paths: &[&str]) -> Vec<Listed> {
        let id = ContentId([0xab; 32]);
        paths.iter().map(|path| Listed { path: (*path).to_owned(), id }).collect()
    }

    fn laid(paths: &[&str]) -> Vec<String> {
        laid_out(&listed(paths)).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn paths_that_lead_elsewhere_are_named_as_such() {
        let deep = "d/".repeat(MAX_DEPTH + 1) + "x";
        let long = format!("{}/x", "d".repeat(MAX_PATH));
        let cases = [
            ("/etc/passwd", BadPath::Absolute),
            ("../x", BadPath::Part),
            ("a/../../x", BadPath::Part),
            ("a//b", BadPath::Part),
            ("./a", BadPath::Part),
            ("a/", BadPath::Part),
            ("", BadPath::Part),
            (deep.as_str(), BadPath::TooDeep),
            (long.as_str(), BadPath::TooLong),
        ];
        for (path, why) in cases {
            assert_eq!(laid_out(&listed(&[path])), [Err(why)], "{path}");
        }
        assert!(laid_out(&listed(&[&deep[2..]]))[0].is_ok());
    }

    #[test]
    fn each_part_is_made_safe_and_the_rest_is_kept() {
        let paths = [".git/.config", "a\0b/c\x1b.txt", "C:\\x", "日本/foo... bar"];
        assert_eq!(laid(&paths), ["_git/_config", "a_b/c_.txt", "C:\\x", "日本/foo... bar"]);
    }

    #[test]
    fn twins_are_both_kept_and_folders_that_are_alike_are_one() {
        assert_eq!(laid(&["A.txt", "a.txt", "A.TXT"]), ["A.txt", "a (1).txt", "A (2).TXT"]);
        assert_eq!(laid(&["\u{e9}", "e\u{301}"]), ["\u{e9}", "e\u{301} (1)"]);
        assert_eq!(laid(&["x", "x"]), ["x", "x (1)"]);
        assert_eq!(laid(&["Dir/a", "dir/b", "DIR/A"]), ["Dir/a", "Dir/b", "Dir/A (1)"]);
        assert_eq!(laid(&["a", "a/b", "a/c"]), ["a", "a (1)/b", "a (1)/c"]);
        assert_eq!(laid(&["a/b", "a"]), ["a/b", "a (1)"]);
        let many: Vec<_> = std::iter::repeat_n("x", MAX_NAMESAKES as usize + 2).collect();
        let laid = laid_out(&listed(&many));
        assert_eq!(laid.iter().filter(|path| path.is_ok()).count(), MAX_NAMESAKES as usize + 1);
        assert_eq!(laid.last(), Some(&Err(BadPath::Namesakes)));
    }

    proptest! {
        #[test]
        fn whatever_is_listed_lies_inside_under_a_name_of_its_own(
            paths in prop::collection::vec("(\\PC|[/./\\\\\n\0aA]){0,12}", 0..40)
        ) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let laid: Vec<_> = laid_out(&listed(&paths)).into_iter().flatten().collect();
            let keys: HashSet<String> = laid.iter().map(|path| alike(path)).collect();
            prop_assert_eq!(keys.len(), laid.len());
            for path in &laid {
                prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
                prop_assert!(!path.contains('\0'));
                // No file stands where another one needs a folder.
                let mut around = path.as_str();
                while let Some((folder, _)) = around.rsplit_once('/') {
                    prop_assert!(!keys.contains(&alike(folder)), "{} in {:?}", folder, laid);
                    around = folder;
                }
            }
        }
    }

    #[test]
    fn folders_beyond_any_honest_number_are_not_made() {
        let mut paths: Vec<String> =
            (0..MAX_FOLDERS / 50).map(|number| format!("{number}{}/x", "/d".repeat(49))).collect();
        paths.extend(["one/more".to_owned(), "0/d/y".to_owned(), "z".to_owned()]);
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let laid = laid_out(&listed(&paths));
        let (last, all) = laid.split_last_chunk::<3>().map(|(all, last)| (last, all)).unwrap();
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(last[0], Err(BadPath::TooManyFolders));
        assert_eq!(last[1..], [Ok("0/d/y".to_owned()), Ok("z".to_owned())]);
    }
}
