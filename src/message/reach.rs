//! Whether a servent can be dialled, and what is done about one that cannot.

use bincode::{Decode, Encode};

use super::Extensions;
use crate::base::{Contact, Guid, ServentId};

/// Asks a neighbour to dial the sender, where that neighbour sees it come from.
///
/// Only the port is named: whoever asks can have nobody dialled but itself.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct DialBack {
    /// Where the sender listens.
    pub port: u16,
    /// Extensions.
    pub ext: Extensions,
}

/// What came of a [`DialBack`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum DialOutcome {
    /// The asker answered there.
    Reached,
    /// Nobody did, or somebody else.
    Unreached,
    /// Nobody tried: the neighbour may not dial there, or has no time for it.
    Untried,
}

/// Answers a [`DialBack`].
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct DialledBack {
    /// What came of it.
    pub outcome: DialOutcome,
    /// Extensions.
    pub ext: Extensions,
}

/// Asks the author of a hit to dial the searcher, who wants a file of it.
///
/// It goes back the way that the hit came, link by link, so that it needs no address of
/// the author; all on that way see who asks.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct CallMe {
    /// The search that the hit answered.
    pub guid: Guid,
    /// Whose hit it was.
    pub responder: ServentId,
    /// Whom to dial: the asker, and nobody else.
    pub asker: Contact,
    /// Shown by the dialler in its hello; good for one connection.
    pub token: [u8; 16],
    /// Extensions.
    pub ext: Extensions,
}
