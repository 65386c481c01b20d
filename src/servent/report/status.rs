//! How the servent is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::ServentId;

/// How the servent is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatusReport {
    /// Who it is.
    pub id: ServentId,
    /// What its user calls it.
    pub name: String,
    /// Where it listens.
    #[schemars(with = "Vec<String>")]
    pub listening: Vec<SocketAddr>,
    /// Where others can reach it, as far as it knows.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<SocketAddr>,
    /// Whether others can dial it.
    pub reachable: Reachable,
    /// Who found that out, and when; none while it is not known.
    pub tested: Option<TestReport>,
    /// How many neighbours it has.
    pub neighbours: usize,
    /// How many contacts the host cache holds.
    pub cached: usize,
    /// The port of the router that leads here; none while `map-port` is off.
    pub port_mapping: Option<PortMapping>,
    /// Servents that were found on the local network; none while `lan` is off.
    pub lan: Option<usize>,
    /// Why nobody can be found there; none while all is well.
    pub lan_error: Option<String>,
    /// Whether others are given files; `serve off` ends that.
    pub serving: bool,
    /// How many files it shares.
    pub shared_files: usize,
    /// How many folders were published whole.
    pub shared_folders: usize,
    /// How many bytes they are.
    pub shared_bytes: u64,
    /// Downloads that run or wait; neither over nor paused.
    pub downloads: usize,
    /// Downloads that went on by themselves at the start.
    pub resumed: usize,
    /// Uploads that hold a slot.
    pub uploads: usize,
    /// Bytes of pieces received and verified since the start.
    pub received: u64,
    /// Bytes of pieces sent since the start.
    pub sent: u64,
    /// Bytes of searches and the like received on all links since the start.
    pub mesh_received: u64,
    /// Bytes of searches and the like sent on all links since the start.
    pub mesh_sent: u64,
    /// Whether the mesh is private.
    pub private: bool,
    /// Seconds since the start.
    pub up_secs: u64,
    /// What went wrong with connections since the start.
    pub incidents: IncidentsReport,
    /// What should not be so and stays so, a sentence each.
    pub warnings: Vec<String>,
    /// What is being hashed for publication, and has been.
    pub hashing: HashingReport,
    /// The published folders that are watched, or looked at now and then instead.
    #[serde(default)]
    pub folders: Vec<WatchReport>,
}

/// A published folder, and how its changes are noticed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct WatchReport {
    /// Where it lies; unescaped.
    pub path: String,
    /// Why not all that changes in it is told at once, in a sentence without its subject;
    /// none when all is.
    pub untold: Option<String>,
}

/// What went wrong with connections since the start, by whose doing it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct IncidentsReport {
    /// Connections on which nobody said a hello that could be understood: other programs,
    /// other meshes, lines that broke.
    pub greetings: u64,
    /// Connections that were turned away: too many or too fast from one place, or no room.
    pub turned_away: u64,
    /// Connections that were closed because the servent there broke the rules.
    pub offences: u64,
    /// Tasks of this servent that panicked, each a bug of it.
    pub faults: u64,
}

/// How it stands with a port of the router that leads to a servent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortMapping {
    /// The router is being asked.
    Asking,
    /// It passes a port on.
    Mapped {
        /// Where strangers dial.
        #[schemars(with = "String")]
        outside: SocketAddr,
        /// In which words it was asked.
        by: MappedBy,
        /// The router.
        #[schemars(with = "String")]
        router: IpAddr,
        /// When the mapping is renewed.
        renewed_in_secs: u64,
        /// A sentence: why this is of no use.
        note: Option<String>,
    },
    /// There is no such port.
    Failed {
        /// Why, and what can be done.
        why: String,
        /// When the router is asked again.
        asked_again_in_secs: u64,
    },
}

/// How a router is asked for a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MappedBy {
    /// The Port Control Protocol.
    Pcp,
    /// The NAT Port Mapping Protocol, which came before it.
    NatPmp,
    /// Universal Plug and Play.
    Upnp,
}

impl fmt::Display for MappedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// What is being hashed for publication, and has been since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct HashingReport {
    /// How many publications run, looking again at the start included.
    pub running: usize,
    /// Files that were hashed.
    pub files: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Files that were found and wait to be hashed.
    #[serde(default)]
    pub files_left: u64,
    /// Bytes in them.
    #[serde(default)]
    pub bytes_left: u64,
    /// Bytes a second, while any publication runs.
    #[serde(default)]
    pub rate: u64,
    /// The file that was begun last, while any publication runs; unescaped.
    pub current: Option<String>,
}

/// Whether a servent can be dialled by others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reachable {
    /// Somebody has dialled it.
    Yes,
    /// Two neighbours could not, or the only one.
    No,
    /// Nobody has tried so far.
    Unknown,
}

/// What can be done for a servent that nobody can dial, and what it is like until then.
/// `asked`: the router is asked for a port already.
#[must_use]
pub fn undialable(port: Option<u16>, asked: bool) -> String {
    let port = port.map(|port| format!(" {port}")).unwrap_or_default();
    let router = if asked { "" } else { ", or 'set map-port on' to ask the router for it" };
    format!(
        "forward TCP port{port} to this machine{router}; until then files come and go only \
         between it and those who can be dialled"
    )
}

/// The latest dial that showed whether a servent can be dialled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestReport {
    /// Who dialled.
    pub by: ServentId,
    /// What its user calls it, if it is a neighbour.
    pub name: String,
    /// How long ago, in seconds.
    pub ago_secs: u64,
}
