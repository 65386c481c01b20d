//! What is sent to others.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{ContentId, ServentId};

/// One file that one servent takes, or took, from here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UploadReport {
    /// Who takes it.
    pub peer: ServentId,
    /// What its user calls it; unescaped, and never an identity.
    pub peer_name: String,
    /// Where its connection comes from.
    pub address: SocketAddr,
    /// The content.
    pub id: ContentId,
    /// What the file is called here; unescaped.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of it sent to this servent since the start.
    pub sent: u64,
    /// Bytes a second at present.
    pub rate: u64,
    /// Where it stands.
    pub state: UploadState,
}

/// Where an upload stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// It has a slot.
    Sending,
    /// It waits for a slot.
    Queued {
        /// Its place; 1: next.
        position: u32,
    },
    /// It is connected and has asked for nothing that it did not get.
    Idle,
    /// Its connection has ended.
    Ended,
    /// It has said that the file is whole and in place there.
    Delivered,
}
