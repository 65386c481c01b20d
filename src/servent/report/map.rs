//! What is known of the mesh around a servent.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::ServentId;

/// The mesh around a servent, as those who were asked told.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct MapReport {
    /// Everybody known; this servent first.
    pub servents: Vec<MappedReport>,
    /// Who is whose neighbour, by the word of either.
    pub links: Vec<MapLink>,
    /// Why not everybody was asked, if so.
    pub note: Option<String>,
}

/// One servent of a map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MappedReport {
    /// Who.
    pub id: ServentId,
    /// What its user calls it; unescaped.
    pub name: String,
    /// Where it is said to be dialled.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<SocketAddr>,
    /// Links between this servent and it; none when no way is known.
    pub hops: Option<usize>,
    /// What came of asking it.
    pub asking: Asking,
    /// How many neighbours it has beside those that it named.
    pub unnamed: u64,
}

/// What came of asking a servent for its neighbours.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "asking", rename_all = "snake_case")]
pub enum Asking {
    /// It is this servent.
    Here,
    /// It named them.
    Answered,
    /// It names them once in ten minutes: these are from the time before.
    Remembered {
        /// How many seconds ago.
        secs: u64,
    },
    /// It is there, and named nobody.
    Declined,
    /// It was dialled in vain.
    Failed {
        /// Why.
        why: String,
    },
    /// It was not dialled: nobody can, or there was no time left.
    NotDialled,
}

/// A link between two servents of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MapLink {
    /// The place of one in the list of servents, from 0.
    pub one: usize,
    /// The place of the other.
    pub other: usize,
}

/// How far a map is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MapProgress {
    /// How many servents are known.
    pub known: usize,
    /// How many of them were asked.
    pub asked: usize,
}
