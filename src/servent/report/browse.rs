//! What is seen of another servent's library.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{ContentId, ServentId};
use crate::servent::JoinTarget;
use crate::share::FileType;

/// Whom a user means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// Somebody known, by the beginning of the id, by name or by address.
    Named(String),
    /// Whoever is there.
    At(JoinTarget),
}

/// What to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrowseRequest {
    /// Whose library.
    pub whom: Whom,
    /// The folder, `/` between its parts; empty: where the library begins.
    pub folder: String,
    /// Which page, from 1; none: the one after that which was seen last, or the first.
    pub page: Option<usize>,
}

/// One page of what somebody says that it shares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BrowseReport {
    /// Who.
    pub servent: ServentId,
    /// What its user calls it; unescaped.
    pub servent_name: String,
    /// The folder; empty: where the library begins. Unescaped.
    pub folder: String,
    /// Which page of it, from 1.
    pub page: usize,
    /// Folders in it, by their own names; unescaped.
    pub folders: Vec<String>,
    /// Files in it.
    pub files: Vec<BrowsedReport>,
    /// Whether there is a next page.
    pub more: bool,
}

/// A file that somebody says that it shares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BrowsedReport {
    /// What `download` takes.
    pub number: usize,
    /// The content.
    pub id: ContentId,
    /// Its size in bytes, as is said.
    pub size: u64,
    /// Its name there; unescaped.
    pub name: String,
    /// What kind of file it is, as far as its name tells.
    #[serde(rename = "type")]
    pub file_type: Option<FileType>,
    /// When it was last modified, in seconds since 1970, as is said.
    pub modified: Option<u64>,
}
