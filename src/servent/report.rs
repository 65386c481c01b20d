//! What a servent tells its user: plain data, ready to be shown or sent as JSON.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use crate::base::{Contact, ContentId, ServentId};

/// A neighbour, or one of the contacts that `peers --known` lists.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerReport {
    /// Who it is.
    pub id: ServentId,
    /// What its user calls it; unescaped, and never an identity.
    pub name: String,
    /// Where it can be dialled, best first; empty when nobody can.
    pub addresses: Vec<SocketAddr>,
    /// What there is between us.
    pub relation: Relation,
    /// Seconds since a byte was last heard of it, as far as is known.
    pub age_secs: u64,
}

/// What there is between this servent and a peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// A living link.
    Neighbour {
        /// Whether this side dialled.
        dialled: bool,
        /// Whether a person asked for the link.
        manual: bool,
        /// Seconds since the link came up.
        up_secs: u64,
        /// The last measured round trip, in microseconds.
        round_trip_micros: Option<u64>,
    },
    /// Only known of.
    Known,
}

/// How `join` went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinReport {
    /// Who took us in.
    pub neighbour: ServentId,
    /// What its user calls it.
    pub name: String,
    /// Where it was found.
    pub address: SocketAddr,
    /// How many contacts it handed us.
    pub contacts: usize,
}

/// How far a search reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
}

/// One thing that a search brings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchEvent {
    /// A file at a servent.
    Hit(HitReport),
    /// The search is over; nothing follows.
    End(SearchEnd),
}

/// A file that a servent says it has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
}

/// How a search ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    /// How many different files were found.
    pub files: usize,
    /// How long it took, in microseconds.
    pub took_micros: u64,
}

/// One content that the latest search found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
}

/// A servent that has a content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceReport {
    /// Who.
    pub id: ServentId,
    /// What its user calls it.
    pub name: String,
    /// Where it says it can be dialled.
    pub addresses: Vec<SocketAddr>,
    /// How many links its hit crossed; none when it was not found by a search.
    pub hops: Option<u16>,
}

impl SourceReport {
    /// Takes in another hit's word on the same servent. Who answers for somebody else may
    /// name dead addresses, so neither word replaces the other: half of each is kept.
    pub(super) fn merge(&mut self, other: &Self) {
        /// Of each: together they are as many as one contact may have.
        const HALF: usize = Contact::MAX_ADDRESSES / 2;
        if self.addresses != other.addresses {
            let both = other.addresses.iter().take(HALF).chain(self.addresses.iter().take(HALF));
            self.addresses = Contact::new(self.id, both.copied()).addresses;
        }
        self.hops = self.hops.into_iter().chain(other.hops).min();
    }
}

/// What to download.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DownloadTarget {
    /// A result of the latest search.
    Result(usize),
    /// A content, looked for in the mesh when the latest search did not find it.
    Content(ContentId),
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
}

/// One download, running or ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    /// Where it stands.
    pub state: DownloadState,
}

/// Where a download stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownloadState {
    /// Pieces are coming, or are about to.
    Running,
    /// Nobody can give anything at present; it goes on by itself.
    Waiting {
        /// A sentence: why, and what happens next.
        why: String,
    },
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
}

/// Something worth telling that nobody asked for just now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A neighbour came.
    NeighbourUp {
        /// Who.
        id: ServentId,
        /// What its user calls it.
        name: String,
    },
    /// A neighbour went.
    NeighbourDown {
        /// Who.
        id: ServentId,
        /// What its user calls it.
        name: String,
        /// A sentence: why.
        why: String,
    },
    /// Something about a download: a lost source, a wait, a resumption.
    Download {
        /// Which.
        number: usize,
        /// The name that its file will have; unescaped.
        name: String,
        /// A sentence.
        text: String,
    },
    /// A download is complete, verified and in place.
    DownloadDone {
        /// Its last report.
        report: DownloadReport,
    },
    /// A download is over without the file.
    DownloadFailed {
        /// Its last report.
        report: DownloadReport,
    },
    /// Something the user should know about this servent.
    Notice {
        /// A sentence.
        text: String,
    },
}

/// How the servent is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// Who it is.
    pub id: ServentId,
    /// What its user calls it.
    pub name: String,
    /// Where it listens.
    pub listening: Vec<SocketAddr>,
    /// Where others can reach it, as far as it knows.
    pub addresses: Vec<SocketAddr>,
    /// How many neighbours it has.
    pub neighbours: usize,
    /// How many contacts the host cache holds.
    pub cached: usize,
    /// How many files it shares.
    pub shared_files: usize,
    /// How many bytes they are.
    pub shared_bytes: u64,
    /// Downloads that are not over.
    pub downloads: usize,
    /// Uploads that hold a slot.
    pub uploads: usize,
    /// Bytes of pieces received and verified since the start.
    pub received: u64,
    /// Bytes of pieces sent since the start.
    pub sent: u64,
    /// Whether the mesh is private.
    pub private: bool,
    /// Seconds since the start.
    pub up_secs: u64,
    /// Connections that broke the protocol since the start, and tasks that panicked.
    pub incidents: u64,
}

/// How far a `publish` has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishProgress {
    /// Files hashed so far.
    pub files: usize,
    /// Bytes hashed so far.
    pub bytes: u64,
    /// The file in hand; unescaped.
    pub current: String,
}

/// How a `publish` went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishReport {
    /// Files now shared under the path.
    pub files: usize,
    /// How many bytes they are.
    pub bytes: u64,
    /// How many of them were shared already, as they are.
    pub unchanged: usize,
    /// How many files and folders were left out.
    pub left_out: usize,
    /// Some of those, with the reason.
    pub examples: Vec<LeftOut>,
}

/// Something that `publish` passed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// Where it lies; unescaped.
    pub path: String,
    /// Why it is not shared.
    pub why: String,
}

/// How an `unpublish` went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnpublishReport {
    /// Files no longer shared.
    pub files: usize,
    /// How many bytes they are.
    pub bytes: u64,
}

/// A file that this servent shares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
}

/// A path as text: JSON has no other kind, and a name that is no UTF-8 must not
/// cost the whole reply.
fn as_text<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}
