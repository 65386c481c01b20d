//! What a servent is started with.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::tuning::{Origin, Tuning};
use crate::base::ServentId;
use crate::identity::NetworkKey;

/// The settings of one servent, checked by whoever made them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where keys, host cache and control socket live.
    pub state: PathBuf,
    /// Where downloads go.
    pub downloads: PathBuf,
    /// The user's home folder, which is not published by accident.
    pub home: Option<PathBuf>,
    /// Where to listen; none: `[::]:7272`, or `0.0.0.0:7272` on a machine without IPv6.
    pub listen: Option<SocketAddr>,
    /// Where to tell others to dial, instead of what can be found out.
    pub announce: Option<SocketAddr>,
    /// The key of a private mesh, if its user gave one.
    pub network: Option<NetworkSecret>,
    /// Keep exactly the links asked for.
    pub manual: bool,
    /// What can be changed while it runs, and its values at the start.
    pub tuning: Tuning,
    /// Patterns of what is not shared of published folders.
    pub ignore: Vec<String>,
    /// Leave nothing behind: a key and a host cache that live as long as the process.
    pub ephemeral: bool,
}

/// The key of a private mesh, as it was given.
#[derive(Clone, Debug)]
pub struct NetworkSecret {
    /// The key.
    pub key: NetworkKey,
    /// Where it was given.
    pub origin: Origin,
    /// Its file, so that it is never shared; none when it came in a friend's line.
    pub file: Option<PathBuf>,
}

/// Whom to join: one servent, and where it may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinTarget {
    /// Who must answer, when the user named an id.
    pub id: Option<ServentId>,
    /// Where: one place, or the several of a servent whose id is known.
    pub places: Vec<Place>,
    /// The key of its private mesh, when the line holds it.
    pub key: Option<NetworkKey>,
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// A host name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Place {
    /// As they are typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
