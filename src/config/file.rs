//! `config.toml`: its keys, and what stands behind each of them.
//!
//! Always true: a file is taken whole or not at all, and whatever is wrong with it is
//! told with its line. Whether a value makes sense is left to those who use it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::ConfigError;
use crate::base::escape::Escaped;
use crate::command::nearest;

/// Longest file that makes sense, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// What may stand behind a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    /// A list of texts, or one.
    Texts,
    /// A path; `~` is the home folder, a relative one begins at the file's folder.
    Path,
    /// A list of paths, or one.
    Paths,
    /// True or false.
    Switch,
    /// A text, or a number of bytes a second.
    Rate,
    /// A number.
    Count,
}

impl Kind {
    const fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Texts => "a list of texts, as [\"one\", \"two\"]",
            Self::Path => "a path in quotes",
            Self::Paths => "a list of paths, as [\"~/Music\", \"notes\"]",
            Self::Switch => "true or false",
            Self::Count => "a number",
            Self::Rate => "a rate, as \"500kB\" or \"10MB\"",
        }
    }
}

/// The keys of the file. Those of the flags that do not say which servent, and so which
/// file, is meant; and what can be changed at the prompt.
pub(super) const KEYS: [(&str, Kind); 20] = [
    ("join", Kind::Texts),
    ("share", Kind::Paths),
    ("ignore", Kind::Texts),
    ("listen", Kind::Text),
    ("announce", Kind::Text),
    ("downloads", Kind::Path),
    ("name", Kind::Text),
    ("network-key", Kind::Path),
    ("manual", Kind::Switch),
    ("map-port", Kind::Switch),
    ("lan", Kind::Switch),
    ("max-upload", Kind::Rate),
    ("max-download", Kind::Rate),
    ("share-downloads", Kind::Switch),
    ("news", Kind::Switch),
    ("serve", Kind::Switch),
    ("trace-name", Kind::Switch),
    ("browse", Kind::Switch),
    ("hash-threads", Kind::Count),
    ("ephemeral", Kind::Switch),
];

/// Flags that say which servent is meant.
pub(super) const WHICH: [&str; 3] = ["config", "state", "profile"];

/// One line of the file, as texts: a switch is `on` or `off`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) key: &'static str,
    pub(super) line: usize,
    pub(super) values: Vec<String>,
}

impl Entry {
    /// Its value, where a key takes one.
    pub(super) fn value(&self) -> String {
        self.values.first().cloned().unwrap_or_default()
    }
}

/// Reads the file; none when it is not there.
pub(super) fn read(path: &Path, home: Option<&Path>) -> Result<Option<Vec<Entry>>, ConfigError> {
    let refused = |why: &str| ConfigError::File { path: path.to_owned(), why: why.to_owned() };
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => refused("you may not read it (permission denied)"),
        io::ErrorKind::IsADirectory => refused("it is a folder; a file is wanted"),
        _ => refused(&format!("it cannot be read: {error}")),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(refused(&format!("it is over {MAX_FILE} bytes; is this a config.toml?")));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("it is no text (UTF-8)"))?;
    entries(&text, path, home).map(Some)
}

fn entries(text: &str, path: &Path, home: Option<&Path>) -> Result<Vec<Entry>, ConfigError> {
    let refused = |wrong| ConfigError::Lines { path: path.to_owned(), wrong };
    let line_of = |at: usize| {
        let before = text.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    };
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        refused(vec![(line_of(span.start), no_toml(error.message(), text.get(span)))])
    })?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in table.get_ref() {
        let line = line_of(name.span().start);
        match entry(name.get_ref(), value.get_ref(), folder, home) {
            Ok((key, values)) => entries.push(Entry { key, line, values }),
            Err(why) => wrong.push((line, why)),
        }
    }
    if !wrong.is_empty() {
        wrong.sort();
        return Err(refused(wrong));
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// What is wrong with a file that is no TOML; `place` is what the parser stumbled over.
fn no_toml(message: &str, place: Option<&str>) -> String {
    match place {
        Some(key) if message == "duplicate key" && !key.is_empty() => {
            format!("'{}' is set twice; keep one of the two lines", Escaped(key))
        }
        _ => message.lines().collect::<Vec<_>>().join("; "),
    }
}

/// A key and its values, once both make sense.
fn entry(
    name: &str,
    value: &DeValue<'_>,
    folder: &Path,
    home: Option<&Path>,
) -> Result<(&'static str, Vec<String>), String> {
    let (key, kind) =
        KEYS.into_iter().find(|(key, _)| *key == name).ok_or_else(|| unknown(name))?;
    let values = texts(value, kind)
        .ok_or_else(|| format!("{key}: {} is wanted, not {}", kind.wanted(), noun(value)))?;
    let values = match kind {
        Kind::Path | Kind::Paths => {
            let whole = values.iter().map(|value| whole(value, folder, home));
            whole.collect::<Result<_, _>>().map_err(|why| format!("{key}: {why}"))?
        }
        _ => values,
    };
    Ok((key, values))
}

/// The values behind a key as texts, if they are of its kind.
fn texts(value: &DeValue<'_>, kind: Kind) -> Option<Vec<String>> {
    match (value, kind) {
        (DeValue::Boolean(on), Kind::Switch) => {
            Some(vec![if *on { "on" } else { "off" }.to_owned()])
        }
        (DeValue::Integer(number), Kind::Rate | Kind::Count) => {
            (number.radix() == 10).then(|| vec![number.as_str().to_owned()])
        }
        (DeValue::Array(values), Kind::Texts | Kind::Paths) => {
            let text = |value: &toml::Spanned<DeValue<'_>>| match value.get_ref() {
                DeValue::String(text) => Some(text.clone().into_owned()),
                _ => None,
            };
            values.iter().map(text).collect()
        }
        (DeValue::String(_), Kind::Switch | Kind::Count) => None,
        (DeValue::String(text), _) => Some(vec![text.clone().into_owned()]),
        _ => None,
    }
}

fn noun(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "such a list",
        DeValue::Table(_) => "a table",
    }
}

fn unknown(name: &str) -> String {
    let shown = Escaped(name);
    if WHICH.contains(&name) {
        let why = "which servent is meant is said by a flag or in the environment";
        return format!("'{shown}' cannot stand here; {why}");
    }
    if let "no-share-downloads" | "no-browse" = name {
        let key = name.trim_start_matches("no-");
        return format!("there is no key '{shown}'; {key} = false says it");
    }
    let known = KEYS.map(|(key, _)| key);
    match nearest::nearest(name, &known) {
        Some(near) => format!("there is no key '{shown}'; did you mean '{near}'?"),
        None => format!("there is no key '{shown}'; there are {}", known.join(", ")),
    }
}

/// A path from the root on.
fn whole(path: &str, folder: &Path, home: Option<&Path>) -> Result<String, String> {
    let whole: PathBuf = match Path::new(path).strip_prefix("~") {
        Ok(rest) => home.ok_or("there is no home folder for '~'")?.join(rest),
        Err(_) => folder.join(path),
    };
    whole.into_os_string().into_string().map_err(|_| "its folder's name is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> Result<Vec<Entry>, String> {
        entries(text, Path::new("/etc/p/config.toml"), Some(Path::new("/home/ann")))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read_with_its_line() {
        let read = read_all(
            "# mine\njoin = [\"a:1\",\n  \"b:2\"]\nshare = \"~/Music\"\n\nmax-upload = 500000\n\
             manual = true\nnetwork-key = 'our/key'\ndownloads = '/d'\n",
        );
        let entry = |key, line, values: &[&str]| Entry {
            key,
            line,
            values: values.iter().map(ToString::to_string).collect(),
        };
        let wanted = vec![
            entry("join", 2, &["a:1", "b:2"]),
            entry("share", 4, &["/home/ann/Music"]),
            entry("max-upload", 6, &["500000"]),
            entry("manual", 7, &["on"]),
            entry("network-key", 8, &["/etc/p/our/key"]),
            entry("downloads", 9, &["/d"]),
        ];
        assert_eq!(read.unwrap(), wanted);
        assert_eq!(read_all("").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_told_with_file_line_and_remedy() {
        let cases = [
            ("\nnmae = 'x'", ":2: there is no key 'nmae'; did you mean 'name'?"),
            ("max_upload = '1MB'", "did you mean 'max-upload'?"),
            ("colour = 'red'", "there is no key 'colour'; there are join, share, "),
            ("no-share-downloads = true", "share-downloads = false says it"),
            ("state = '/s'", "'state' cannot stand here"),
            ("name = 7", ":1: name: a text in quotes is wanted, not a number"),
            ("share = [1]", "share: a list of paths, as [\"~/Music\", \"notes\"] is wanted"),
            ("manual = 'yes'", "manual: true or false is wanted, not a text"),
            ("[name]\nx = 1", ":1: name: a text in quotes is wanted, not a table"),
            ("name = 'a'\nname = 'b'", ":2: 'name' is set twice; keep one of the two lines"),
            ("name = ", ":1: "),
            ("\n\n\x01", ":3: "),
        ];
        for (text, part) in cases {
            let error = read_all(text).unwrap_err();
            assert!(error.starts_with("/etc/p/config.toml:"), "{error}");
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_in_the_files_order() {
        let error = read_all("zebra = 1\nname = 'x'\nmanual = 'yes'\n\nalpha = 2\n").unwrap_err();
        let places: Vec<_> =
            error.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
        let file = "/etc/p/config.toml";
        assert_eq!(places, [format!("{file}:1:"), format!("{file}:3:"), format!("{file}:5:")]);
        assert!(error.contains("'zebra'") && error.contains("'alpha'"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_no_error_and_one_that_is_no_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert!(read(&path, None).unwrap().is_none());
        let said = |path: &Path| read(path, None).unwrap_err().to_string();
        assert!(said(folder.path()).contains("folder"), "{}", said(folder.path()));
        std::fs::write(&path, b"name = '\xff'").unwrap();
        assert!(said(&path).contains("UTF-8"));
        std::fs::write(&path, "#".repeat(MAX_FILE as usize + 1)).unwrap();
        assert!(said(&path).contains("over 65536 bytes"));
        std::fs::write(&path, "#".repeat(MAX_FILE as usize)).unwrap();
        assert_eq!(read(&path, None).unwrap(), Some(Vec::new()));
        std::fs::write(&path, "share = '~'").unwrap();
        assert!(said(&path).contains("no home folder"));
    }
}
