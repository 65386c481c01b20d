//! What is shared, and how that came about.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::as_text;
use crate::base::ContentId;
use crate::share::{self, FileType, SharedOrder};

/// How far a `publish` has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PublishProgress {
    /// Files hashed so far.
    pub files: usize,
    /// Bytes hashed so far.
    pub bytes: u64,
    /// Files that are still to be hashed.
    #[serde(default)]
    pub files_left: u64,
    /// Bytes that are still to be hashed.
    #[serde(default)]
    pub bytes_left: u64,
    /// The file in hand; unescaped.
    pub current: String,
}

/// How a `publish` went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PublishReport {
    /// Files now shared under the path.
    pub files: usize,
    /// How many bytes they are.
    pub bytes: u64,
    /// How many of them were shared already, as they are.
    pub unchanged: usize,
    /// How many files and folders were left out.
    pub left_out: usize,
    /// Why they were, and how many for each reason.
    #[serde(default)]
    pub reasons: Vec<LeftOutCount>,
    /// Some of those that are not just hidden, with the reason.
    pub examples: Vec<LeftOut>,
}

impl PublishReport {
    /// How many were left out and are not among the examples, but for those that are just
    /// hidden: these are never examples.
    #[must_use]
    pub fn unnamed(&self) -> usize {
        let hidden = |counted: &&LeftOutCount| counted.reason == share::LeftOut::Hidden.word();
        let hidden = self.reasons.iter().find(hidden).map_or(0, |counted| counted.count);
        self.left_out.saturating_sub(hidden).saturating_sub(self.examples.len())
    }
}

/// How many files and folders `publish` passed over for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LeftOutCount {
    /// The reason in a word or two: `hidden`.
    pub reason: String,
    /// How many.
    pub count: usize,
}

/// Something that `publish` passed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// Where it lies; unescaped.
    pub path: String,
    /// Why it is not shared.
    pub why: String,
}

/// How an `unpublish` went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnpublishReport {
    /// Files no longer shared.
    pub files: usize,
    /// How many bytes they are.
    pub bytes: u64,
}

/// A file that this servent shares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SharedReport {
    /// What others see.
    pub name: String,
    /// Where it lies.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// What it holds.
    pub id: ContentId,
    /// Its size in bytes.
    pub size: u64,
    /// What kind of file it is, as far as its name tells.
    #[serde(rename = "type", default)]
    pub file_type: Option<FileType>,
    /// When it was last modified, in seconds since 1970.
    #[serde(default)]
    pub modified: Option<u64>,
}

/// Which of the published files to list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SharedRequest {
    /// Only what lies in this folder, and its folders summed up.
    pub folder: Option<PathBuf>,
    /// Only what fits this query.
    pub words: Option<String>,
    /// In which order.
    pub order: SharedOrder,
}

/// Rows of what this servent shares.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SharedListing {
    /// The files, in the order that was asked for.
    pub files: Vec<SharedReport>,
    /// The folders in the folder that was asked for.
    #[serde(default)]
    pub folders: Vec<FolderReport>,
    /// Whether only some of what is shared was asked for.
    #[serde(default)]
    pub filtered: bool,
    /// Which page this is, from 1; none: rows of all, of which there may be several replies.
    #[serde(default)]
    pub page: Option<usize>,
    /// Whether there are further rows.
    #[serde(default)]
    pub more: bool,
    /// All that fits what was asked for; with a page, or with the last rows.
    #[serde(default)]
    pub totals: Option<SharedTotals>,
}

/// A folder, and what is shared in it, at whatever depth.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FolderReport {
    /// Where it lies.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// How much is shared of what was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SharedTotals {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Folders that hold at least one of them.
    pub folders: u64,
    /// The same by type.
    pub types: Vec<TypeTotal>,
}

/// How much there is of one type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TypeTotal {
    /// The type; none: the files whose names tell none.
    #[serde(rename = "type")]
    pub file_type: Option<FileType>,
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}
