//! What a servent is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::tuning::Tuning;
use crate::base::ServentId;

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
    /// The contents of the network key file of a private mesh.
    pub network_key: Option<Vec<u8>>,
    /// Where that file lies, so that it is never shared.
    pub network_key_file: Option<PathBuf>,
    /// Keep exactly the links asked for.
    pub manual: bool,
    /// What can be changed while it runs, and its values at the start.
    pub tuning: Tuning,
    /// Leave nothing behind: a key and a host cache that live as long as the process.
    pub ephemeral: bool,
}

/// Whom to join: one or more addresses, and perhaps who must be found there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinTarget {
    /// Who must answer, when the user named an id.
    pub id: Option<ServentId>,
    /// A host name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}
