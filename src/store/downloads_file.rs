//! The unfinished downloads on disk: one JSON object a line.
//!
//! Always true: at most [`MAX_UNFINISHED`] go out or come in; a line that cannot be read
//! is skipped and counted; a number comes once. When to write is left to the driver.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::state::{Loaded, StateDir};
use crate::base::{ContentId, ServentId};
use crate::transfer::Priority;

/// Most unfinished downloads: more than a person keeps an eye on. With their sources they
/// are under 12 MiB, which a state file can hold.
pub const MAX_UNFINISHED: usize = 1000;
/// Most sources kept of one download: as many as are asked at the same time.
pub const MAX_SOURCES: usize = 16;

/// The file in the state folder.
const FILE: &str = "downloads";

/// What a download needs to go on after a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DownloadRecord {
    /// What the user calls it by.
    pub number: usize,
    /// The content.
    pub id: ContentId,
    /// The name that the file will have, once one is known.
    pub name: Option<String>,
    /// Its size in bytes; 0 while nobody has said.
    pub size: u64,
    /// Whether the size is proven and a part file was made.
    pub begun: bool,
    /// Where the file will go.
    #[serde(with = "path_as_text")]
    pub folder: PathBuf,
    /// The folder that its part was made in; earlier versions did not say.
    #[serde(default, with = "path_as_text::optional")]
    pub parts: Option<PathBuf>,
    /// Whether it fails rather than waits.
    pub once: bool,
    /// Whether its user has paused it.
    pub paused: bool,
    /// Why it failed, if it did and a part of it is here still: then it does not go on, and
    /// can be cancelled.
    #[serde(default)]
    pub failed: Option<String>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// How many files, and bytes in them, it is said to list, if it is a collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<(u64, u64)>,
    /// Whether the folder of a collection was about to be placed: it may be in its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placing: bool,
    /// Who has it, as far as is known: at most [`MAX_SOURCES`].
    pub sources: Vec<SourceRecord>,
}

/// A source, to be dialled again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Who.
    pub id: ServentId,
    /// What its user calls it.
    pub name: String,
    /// Where it can be dialled.
    pub addresses: Vec<SocketAddr>,
    /// Whether pieces came from it, for which it is owed thanks.
    pub gave: bool,
}

/// What the file held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoadedDownloads {
    /// By number.
    pub downloads: BTreeMap<usize, DownloadRecord>,
    /// Lines that could not be read, those of a number that was there already, and those
    /// beyond [`MAX_UNFINISHED`].
    pub skipped: usize,
    /// Where a damaged file was moved to, worth telling the user.
    pub damaged: Option<PathBuf>,
}

/// Writes the list; on return it survives a loss of power.
///
/// # Errors
/// As [`StateDir::write`].
pub fn save_downloads<'a>(
    state: &StateDir,
    downloads: impl Iterator<Item = &'a DownloadRecord>,
) -> Result<(), StoreError> {
    let mut text = String::new();
    for record in downloads.take(MAX_UNFINISHED) {
        // Numbers, texts and lists of them: there is nothing that JSON cannot hold.
        text.extend(serde_json::to_string(record));
        text.push('\n');
    }
    state.write(FILE, text.as_bytes())
}

/// Reads the list; `now_unix` names a damaged file that is set aside.
///
/// # Errors
/// As [`StateDir::read`].
pub fn load_downloads(state: &StateDir, now_unix: u64) -> Result<LoadedDownloads, StoreError> {
    let (bytes, damaged) = match state.read(FILE, now_unix)? {
        Loaded::Nothing => (Vec::new(), None),
        Loaded::Whole(bytes) => (bytes, None),
        Loaded::Damaged { aside, previous } => (previous.unwrap_or_default(), Some(aside)),
    };
    Ok(LoadedDownloads { damaged, ..from_text(&String::from_utf8_lossy(&bytes)) })
}

fn from_text(text: &str) -> LoadedDownloads {
    let mut loaded = LoadedDownloads::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let record = serde_json::from_str::<DownloadRecord>(line).ok().filter(|record| {
            record.number > 0
                && record.folder.is_absolute()
                && record.parts.as_ref().is_none_or(|parts| parts.is_absolute())
                && !loaded.downloads.contains_key(&record.number)
                && !loaded.downloads.values().any(|other| other.id == record.id)
                && loaded.downloads.len() < MAX_UNFINISHED
        });
        match record {
            Some(mut record) => {
                record.sources.truncate(MAX_SOURCES);
                loaded.downloads.insert(record.number, record);
            }
            None => loaded.skipped += 1,
        }
    }
    loaded
}

/// A path as text, or as a list of bytes where it is none: a folder may be called anything.
mod path_as_text {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(to),
            None => path.as_os_str().as_bytes().serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Either::deserialize(from).map(PathBuf::from)
    }

    impl From<Either> for PathBuf {
        fn from(either: Either) -> Self {
            match either {
                Either::Text(text) => text.into(),
                Either::Bytes(bytes) => OsString::from_vec(bytes).into(),
            }
        }
    }

    pub(super) mod optional {
        use super::{Deserialize, Deserializer, Either, PathBuf, Serializer};

        pub(in crate::store::downloads_file) fn serialize<S: Serializer>(
            path: &Option<PathBuf>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match path {
                Some(path) => super::serialize(path, to),
                None => to.serialize_none(),
            }
        }

        pub(in crate::store::downloads_file) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<PathBuf>, D::Error> {
            Ok(Option::<Either>::deserialize(from)?.map(PathBuf::from))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryDisk;
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::Arc;

    fn record(number: usize) -> DownloadRecord {
        DownloadRecord {
            collection: Some((3, 9)),
            placing: true,
            number,
            id: ContentId([number as u8; 32]),
            name: Some("a \"film\"\n.mkv".into()),
            size: 5_000_000_000,
            begun: true,
            folder: Path::new("/d").join(OsStr::from_bytes(b"caf\xe9")),
            parts: Some(Path::new("/p").join(OsStr::from_bytes(b"caf\xe9"))),
            once: false,
            paused: true,
            failed: Some("no source left".into()),
            priority: Priority::High,
            sources: vec![SourceRecord {
                id: ServentId([9; 32]),
                name: "attic".into(),
                addresses: vec!["[2001:db8::1]:7272".parse().unwrap()],
                gave: true,
            }],
        }
    }

    fn state() -> StateDir {
        StateDir::lock(Arc::new(MemoryDisk::new()), Path::new("/s"), 1).unwrap()
    }

    #[test]
    fn downloads_come_back_as_they_were_whatever_their_folder_is_called() {
        let state = state();
        assert_eq!(load_downloads(&state, 0).unwrap(), LoadedDownloads::default());
        let records = [record(1), DownloadRecord { folder: "/plain".into(), ..record(7) }];
        save_downloads(&state, records.iter()).unwrap();
        let loaded = load_downloads(&state, 0).unwrap();
        assert!(loaded.downloads.into_values().eq(records));
        assert_eq!((loaded.skipped, loaded.damaged), (0, None));
    }

    #[test]
    fn a_record_of_an_earlier_version_says_less_and_counts() {
        let old = DownloadRecord {
            parts: None,
            failed: None,
            collection: None,
            placing: false,
            ..record(1)
        };
        let mut line = serde_json::to_value(&old).unwrap();
        assert!(line.get("placing").is_none() && line.get("collection").is_none());
        for field in ["parts", "failed"] {
            line.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(from_text(&line.to_string()).downloads.get(&1), Some(&old));
        let line = serde_json::to_string(&old).unwrap();
        assert_eq!(from_text(&line).downloads.get(&1), Some(&old));
    }

    #[test]
    fn a_line_that_makes_no_sense_costs_itself_only() {
        let line = |record: &DownloadRecord| serde_json::to_string(record).unwrap();
        let relative = DownloadRecord { folder: "d".into(), ..record(3) };
        let twin = DownloadRecord { number: 4, ..record(1) };
        let lines = [
            line(&record(1)),
            "{\"number\": 2}".into(),
            line(&record(1)),
            line(&relative),
            line(&twin),
            line(&record(0)),
            line(&record(5)),
        ];
        let loaded = from_text(&lines.join("\n"));
        assert!(loaded.downloads.keys().eq(&[1, 5]));
        assert_eq!(loaded.skipped, 5);
    }

    #[test]
    fn no_more_is_taken_in_than_goes_out() {
        let record = |number: usize| {
            let id = ContentId(*blake3::hash(&number.to_le_bytes()).as_bytes());
            serde_json::to_string(&DownloadRecord { id, ..record(number) }).unwrap()
        };
        let lines: Vec<String> = (1..=MAX_UNFINISHED + 5).map(record).collect();
        let loaded = from_text(&lines.join("\n"));
        assert_eq!((loaded.downloads.len(), loaded.skipped), (MAX_UNFINISHED, 5));
    }
}
