//! What a search is asked and what it brings.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TraceReport;
use crate::base::{Contact, ContentId, Guid, ServentId};
use crate::share::FileType;

/// How far a search reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Radius 2, then 4, then 8, until there is enough.
    Rings,
    /// Everybody within 8 hops, at once.
    All,
    /// Everybody within this many hops.
    Ttl(u8),
}

/// What to search for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchRequest {
    /// The query, as typed.
    pub text: String,
    /// How far it goes.
    pub reach: Reach,
    /// How many different files are enough to ask no wider ring.
    pub enough: usize,
    /// Whether the servents asked shall tell how the search ran.
    pub trace: bool,
}

/// One thing that a search brings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchEvent {
    /// A file at a servent.
    Hit(HitReport),
    /// How it ran; right before the end.
    Trace(TraceReport),
    /// The search is over; nothing follows.
    End(SearchEnd),
}

/// A file that a servent says it has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HitReport {
    /// The number of the result that it belongs to; hits of one content share it.
    pub number: usize,
    /// Whether it is the first hit of this content.
    pub first: bool,
    /// The content.
    pub id: ContentId,
    /// The size that the servent names, in bytes.
    pub size: u64,
    /// What the servent calls the file; unescaped.
    pub name: String,
    /// Who has it.
    pub servent: ServentId,
    /// What its user calls it.
    pub servent_name: String,
    /// How many links the hit crossed.
    pub hops: u16,
    /// How long after the search began it arrived, in microseconds.
    pub after_micros: u64,
    /// What kind of file it is, as far as its name tells.
    #[serde(rename = "type", default)]
    pub file_type: Option<FileType>,
    /// The folder that the servent says it lies in, below what is published; unescaped.
    #[serde(default)]
    pub folder: Option<String>,
    /// When it was last modified, in seconds since 1970, as the servent says.
    #[serde(default)]
    pub modified: Option<u64>,
    /// What it lists, if it is said to be a collection: a folder that is downloaded whole.
    #[serde(default)]
    pub collection: Option<CollectionReport>,
}

/// What a collection is said to list.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
pub struct CollectionReport {
    /// How many files.
    pub files: u64,
    /// How many bytes in them.
    pub bytes: u64,
}

/// How a search ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SearchEnd {
    /// How many servents were asked.
    pub asked: u64,
    /// How many did not answer.
    pub lost: u64,
    /// Within how many hops.
    pub radius: u8,
    /// Whether the end is known (everybody answered) or was declared by a timer.
    pub by_timer: bool,
    /// Whether it stopped because there was enough.
    pub enough: bool,
    /// Whether there were more hits than one search takes; the rest was dropped.
    pub cut: bool,
    /// Who has hits, and stopped looking for more because a query may not cost more.
    pub stopped: Vec<StoppedReport>,
    /// How many different files were found.
    pub files: usize,
    /// How long it took, in microseconds.
    pub took_micros: u64,
}

/// A servent that stopped looking before it had looked at all that it shares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StoppedReport {
    /// Who.
    pub servent: ServentId,
    /// What its user calls it.
    pub servent_name: String,
}

/// One content that the latest search found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ResultReport {
    /// What `download` takes.
    pub number: usize,
    /// The content.
    pub id: ContentId,
    /// Its size in bytes, as most sources say.
    pub size: u64,
    /// What its sources call it, most common first.
    pub names: Vec<String>,
    /// Who has it, nearest first.
    pub sources: Vec<SourceReport>,
    /// What kind of file it is, as far as its name tells.
    #[serde(rename = "type", default)]
    pub file_type: Option<FileType>,
    /// The folders that its sources say it lies in, most common first; unescaped.
    #[serde(default)]
    pub folders: Vec<String>,
    /// When it was last modified, in seconds since 1970, as most sources say.
    #[serde(default)]
    pub modified: Option<u64>,
    /// What it lists, if its sources say that it is a collection.
    #[serde(default)]
    pub collection: Option<CollectionReport>,
}

/// A standing search.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WantedReport {
    /// What `wanted --show` and `--forget` take.
    pub number: usize,
    /// Its words.
    pub text: String,
    /// How many different files were found since the start.
    pub found: usize,
    /// How often the mesh was asked since the start.
    pub asked: u64,
}

/// A servent that has a content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SourceReport {
    /// Who.
    pub id: ServentId,
    /// What its user calls it.
    pub name: String,
    /// Where it says it can be dialled.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<SocketAddr>,
    /// How many links its hit crossed; none when it was not found by a search.
    pub hops: Option<u16>,
    /// Whether it says that nobody can dial it: it is asked to dial this servent.
    pub calls_back: bool,
    /// The search that found it, whose way back leads to it.
    #[serde(skip)]
    pub way: Option<Guid>,
}

impl SourceReport {
    /// Takes in another hit's word on the same servent. Who answers for somebody else may
    /// name dead addresses, so neither word replaces the other: half of each is kept.
    pub(in crate::servent) fn merge(&mut self, other: &Self) {
        /// Of each: together they are as many as one contact may have.
        const HALF: usize = Contact::MAX_ADDRESSES / 2;
        if self.addresses != other.addresses {
            let both = other.addresses.iter().take(HALF).chain(self.addresses.iter().take(HALF));
            self.addresses = Contact::new(self.id, both.copied()).addresses;
        }
        self.hops = self.hops.into_iter().chain(other.hops).min();
        // Both ways to it are tried, so that a lie about it costs time alone.
        self.calls_back |= other.calls_back;
        self.way = other.way.or(self.way);
    }
}
