//! Who is there: neighbours and known contacts, and the way to them.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::ServentId;

/// A neighbour, or one of the contacts that `peers --known` lists.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PeerReport {
    /// Who it is.
    pub id: ServentId,
    /// What its user calls it; unescaped, and never an identity.
    pub name: String,
    /// Where it can be dialled, best first; empty when nobody can.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<SocketAddr>,
    /// What there is between us.
    pub relation: Relation,
    /// Seconds since a byte was last heard of it, as far as is known.
    pub age_secs: u64,
}

/// What there is between this servent and a peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
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
        /// What it says that it shares; none before it has said so.
        shares: Option<SharesReport>,
        /// Whether it can be dialled: it was, or we have tried; none where that is not known.
        dialable: Option<bool>,
        /// Bytes of searches and the like sent to it; files go by connections of their own.
        sent: u64,
        /// Bytes received from it in the same way.
        received: u64,
    },
    /// Only known of.
    Known,
}

/// How much a servent says that it shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SharesReport {
    /// Files.
    pub files: u32,
    /// Bytes in them.
    pub bytes: u64,
}

/// How `join` went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JoinReport {
    /// Who took us in.
    pub neighbour: ServentId,
    /// What its user calls it.
    pub name: String,
    /// Where it was found.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// How many contacts it handed us.
    pub contacts: usize,
}
