//! What `invite` prints.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::ServentId;

/// A line that a friend gives to `join`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvitationReport {
    /// The line: `ID@ADDR,ADDR,...`, with `#KEY` behind it where the key was asked for.
    pub line: String,
    /// Who must be found there.
    pub id: ServentId,
    /// Where, best first.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<SocketAddr>,
    /// Whether the mesh is private.
    pub private: bool,
    /// Whether the line holds the key of the private mesh.
    pub with_key: bool,
    /// Whether the line is to be drawn as a QR code as well.
    pub qr: bool,
    /// Sentences about who can use the line, and who should not have it.
    pub notes: Vec<String>,
}
