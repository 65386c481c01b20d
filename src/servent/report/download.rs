//! What a download is asked and where it stands.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::as_text;
use crate::base::{ContentId, FileLink, ServentId};
use crate::transfer::Priority;

/// What to download.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DownloadTarget {
    /// A result of the latest search.
    Result(usize),
    /// A content, looked for in the mesh when the latest search did not find it.
    Content(ContentId),
    /// What a link names, from those whom it names, and from whoever else is found.
    Link(Box<FileLink>),
}

/// A wish to download.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DownloadRequest {
    /// What.
    pub target: DownloadTarget,
    /// Into which folder; the downloads folder by default.
    pub to: Option<PathBuf>,
    /// Whether to fail, rather than wait, once no source is left.
    pub once: bool,
    /// How urgent it is.
    pub priority: Priority,
}

/// One download, running or ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DownloadReport {
    /// What `cancel` and the like take.
    pub number: usize,
    /// The content.
    pub id: ContentId,
    /// The name it will have, or has.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes verified so far.
    pub verified: u64,
    /// Bytes a second at present.
    pub rate: u64,
    /// How many sources are connected.
    pub connected: usize,
    /// How many sources are known.
    pub sources: usize,
    /// How urgent it is.
    pub priority: Priority,
    /// Of a folder, once it is known what is in it: how many of its files are where.
    #[serde(default)]
    pub gathered: Option<GatheredReport>,
    /// Where it stands.
    pub state: DownloadState,
    /// The sources that are connected.
    #[serde(default)]
    pub from: Vec<SourceProgress>,
}

/// One connected source of a download.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SourceProgress {
    /// Who.
    pub id: ServentId,
    /// What its user calls it, if that is known; unescaped.
    pub name: String,
    /// How much of the file it has, in percent, rounded down: 100 is all of it.
    pub percent: u8,
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes a second at present.
    pub rate: u64,
    /// Our place in its queue, if it has us in one; 1: next.
    pub queued: Option<u32>,
    /// Whether it was too slow and is left alone for a while.
    pub slow: bool,
}

/// How many files of a folder are where.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GatheredReport {
    /// All that can be had.
    pub files: usize,
    /// Those that are here, verified.
    pub here: usize,
    /// Those that nobody gave, once it is over.
    pub missing: usize,
    /// Those that are listed under paths that lead elsewhere, and are not fetched.
    pub left_out: usize,
    /// Sentences about these and those, once it is over; of many about the first.
    pub notes: Vec<String>,
}

/// Where a download stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DownloadState {
    /// Pieces are coming, or are about to.
    Running,
    /// Nobody can give anything at present; it goes on by itself.
    Waiting {
        /// A sentence: why, and what happens next.
        why: String,
    },
    /// It stands still until its user lets it go on.
    Paused,
    /// Verified and in place.
    Done {
        /// Where it lies.
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
    },
    /// Over without the file.
    Failed {
        /// A sentence: why.
        why: String,
    },
    /// Given up by its user; nothing of it is left.
    Cancelled {
        /// Bytes of it that were here and were removed.
        removed: u64,
    },
}

impl DownloadState {
    /// Whether nothing more comes of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. } | Self::Cancelled { .. })
    }
}
