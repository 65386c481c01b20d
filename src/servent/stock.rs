//! What can be given to others: what is published, and what of the running downloads is here.
//!
//! Always true: who asks for what is not here, be it unknown, withdrawn or not verified yet,
//! learns that it is not here and no more.

use std::sync::Arc;

use super::ground::Ground;
use super::swarms::Running;
use crate::base::{ContentId, PieceIndex};
use crate::message::Refusal;
use crate::share::{Library, OpenError, ReadError, SharedReader};
use crate::transfer::PieceList;

/// The library, and the downloads that run.
pub(super) struct Stock {
    pub(super) library: Library,
    pub(super) ground: Arc<Ground>,
}

/// A file that is open to be given.
pub(super) enum Opened {
    Published(SharedReader),
    Running(Running),
}

impl Stock {
    /// The download that runs here, if it is given on: its user may share no downloads.
    fn running(&self, id: ContentId) -> Option<Running> {
        self.ground.panel.now().share_downloads.then(|| self.ground.swarms.running(id)).flatten()
    }

    /// The piece values of a file of which something is here.
    pub(super) fn list(&self, id: ContentId) -> Option<Arc<PieceList>> {
        let published = self.library.list(id);
        published.or_else(|| Some(Arc::clone(self.running(id)?.list())))
    }

    pub(super) fn is_here(&self, id: ContentId) -> bool {
        self.library.is_published(id) || self.running(id).is_some()
    }

    /// Whether these pieces can be given of a file of which something is.
    pub(super) fn has(&self, id: ContentId, pieces: impl Iterator<Item = PieceIndex>) -> bool {
        self.library.is_published(id) || self.ground.swarms.has(id, pieces)
    }

    /// What the file is called here.
    pub(super) fn name(&self, id: ContentId) -> Option<String> {
        self.library.name(id).or_else(|| Some(self.running(id)?.name().to_owned()))
    }

    /// Opens a file; blocks.
    pub(super) fn open(&self, id: ContentId) -> Result<Opened, Refusal> {
        match self.library.open(id) {
            Ok(reader) => Ok(Opened::Published(reader)),
            Err(OpenError::NotHere) => {
                self.running(id).map(Opened::Running).ok_or(Refusal::NotHere)
            }
            Err(error) => Err(refusal(&error.into())),
        }
    }
}

impl Opened {
    pub(super) fn list(&self) -> &Arc<PieceList> {
        match self {
            Self::Published(reader) => reader.list(),
            Self::Running(running) => running.list(),
        }
    }

    /// Whether it must be opened anew, if it can be. Costs next to nothing.
    pub(super) fn withdrawn(&self) -> bool {
        match self {
            Self::Published(reader) => reader.withdrawn(),
            Self::Running(running) => running.has_ended(),
        }
    }

    /// Reads all of `piece` into `into`, whose contents it replaces; blocks.
    pub(super) fn read_piece(
        &mut self,
        piece: PieceIndex,
        into: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Published(reader) => {
                reader.read_piece(piece, into).map_err(|error| refusal(&error))
            }
            Self::Running(running) => running.read_piece(piece, into),
        }
    }
}

fn refusal(error: &ReadError) -> Refusal {
    match error {
        // Never published or just withdrawn: who asks anew learns no difference.
        ReadError::Withdrawn => Refusal::NotHere,
        ReadError::Changed { .. } => Refusal::Changed,
        ReadError::Unreadable { .. } => Refusal::Unreadable,
        ReadError::NoSuchPiece { .. } => Refusal::BadRequest,
    }
}
