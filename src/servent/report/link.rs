//! What `link` is asked and what it prints.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DownloadTarget;
use crate::base::{ContentId, ServentId};

/// What a link is wanted for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkTarget {
    /// What can be downloaded.
    Known(DownloadTarget),
    /// What is shared from here.
    Path(PathBuf),
}

/// A link to a content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LinkReport {
    /// The link: `part2part:HASH?name=...&size=...&peer=ID@ADDR`.
    pub link: String,
    /// The same as a magnet.
    pub magnet: String,
    /// Whether the magnet is what people are shown.
    pub as_magnet: bool,
    /// The content.
    pub id: ContentId,
    /// What the link calls it, if anything; unescaped.
    pub name: Option<String>,
    /// The size that the link names, in bytes.
    pub size: Option<u64>,
    /// Whom it names as having it.
    pub peers: Vec<ServentId>,
    /// Sentences about who can use the link.
    pub notes: Vec<String>,
}
