//! One servent of a virtual network, and what went through it.

use super::Families;
use crate::base::{ServentId, Time};
use crate::overlay::{LinkId, Overlay};

/// What went through a servent, or through the mesh: messages on links and greetings, as
/// frames; TLS and TCP put about 30 and 40 bytes more around each batch of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Messages.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

impl Load {
    pub(super) fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// What came since it was `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { messages: self.messages - earlier.messages, bytes: self.bytes - earlier.bytes }
    }
}

/// A real engine, and what the network does with it.
#[derive(Debug)]
pub(super) struct SimServent {
    pub(super) overlay: Overlay,
    pub(super) id: ServentId,
    pub(super) state: State,
    pub(super) families: Families,
    /// Whether its firewall drops whatever comes in.
    pub(super) shielded: bool,
    pub(super) alarm: Option<Time>,
    /// Its ends of open links.
    pub(super) ends: Vec<LinkId>,
    pub(super) load: Load,
}

/// Whether it does anything, and whether it may again.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum State {
    Alive,
    Frozen,
    Dead,
}

impl SimServent {
    pub(super) fn is_alive(&self) -> bool {
        self.state == State::Alive
    }

    pub(super) fn can_be_dialled(&self) -> bool {
        self.is_alive() && !self.shielded
    }
}
