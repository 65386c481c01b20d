//! What a taker is told unasked: which pieces are here, or were given to others, and who else
//! has some.
//!
//! Always true: it is told of files that it has asked about on this connection and has not
//! given thanks for, of the latest [`MAX_SWARMS`] of them, and at once.

use std::sync::Arc;

use super::{Giver, ServeError};
use crate::base::ContentId;
use crate::message::{Have, Holding, PieceRange, Sources, TransferMessage};
use crate::servent::swarms::pieces_of;
use crate::transfer::{PieceList, Word};

/// Files of which one taker is told at the same time: as many as it may take at once and
/// still be of use to others.
const MAX_SWARMS: usize = 8;

/// How often a taker may ask for nothing for as long as a connection may be idle, while it
/// waits for what a running download here does not have yet.
const HOPES: u32 = 6;

impl Giver {
    /// How often in a row it is waited for in vain before the connection is closed.
    pub(super) fn patience(&self) -> u32 {
        let hopes = self.swarms.iter().any(|&id| self.ground.swarms.running(id).is_some());
        if hopes { HOPES } else { 0 }
    }

    /// The taker has asked for something of this file. Of a file of one piece there is nothing
    /// to tell.
    pub(super) fn enter_swarm(&mut self, list: &PieceList) {
        let (id, cut) = (list.id(), list.geometry());
        if cut.count() < 2 || self.swarms.contains(&id) {
            return;
        }
        if self.swarms.len() >= MAX_SWARMS
            && let Some(oldest) = self.swarms.pop_front()
        {
            self.ground.swarms.leave(oldest, self.taker.connection);
        }
        self.swarms.push_back(id);
        let taker = &self.taker;
        self.ground.swarms.enter(id, cut, taker.connection, taker.id, &self.bell);
    }

    /// The taker has this file, and wants to hear of it no more.
    pub(super) fn leave_swarm(&mut self, file: ContentId) {
        if let Some(at) = self.swarms.iter().position(|&id| id == file) {
            self.swarms.remove(at);
            self.ground.swarms.leave(file, self.taker.connection);
        }
    }

    pub(super) fn leave_swarms(&mut self) {
        for id in self.swarms.drain(..) {
            self.ground.swarms.leave(id, self.taker.connection);
        }
    }

    /// The taker was promised `pieces`. Who asks for others than the last, which proves the
    /// size, has a part of its own by now, and so has something to give itself.
    pub(super) fn note_asked(&self, list: &PieceList, pieces: &[PieceRange]) {
        let (id, cut) = (list.id(), list.geometry());
        let swarms = &self.ground.swarms;
        swarms.asked(id, self.taker.connection, pieces);
        let begun = pieces_of(cut, pieces).any(|piece| cut.last() != Some(piece));
        if let Some(at) = self.dialled_at.filter(|_| begun) {
            swarms.met(id, self.taker.id, &self.taker.name, at);
        }
    }

    /// Tells what there is to tell.
    pub(super) async fn tell_news(&mut self) -> Result<(), ServeError> {
        let ground = Arc::clone(&self.ground);
        for at in 0..self.swarms.len() {
            let Some(&id) = self.swarms.get(at) else { break };
            for word in ground.swarms.words(id, self.taker.connection) {
                let message = match word {
                    Word::Here(pieces) => {
                        TransferMessage::Have(Have::new(id, Holding::Here, &pieces))
                    }
                    Word::Given(pieces) => {
                        TransferMessage::Have(Have::new(id, Holding::Given, &pieces))
                    }
                    Word::Sources(contacts) => {
                        TransferMessage::Sources(Sources { id, contacts, ext: Vec::new() })
                    }
                };
                self.send(&message).await?;
            }
        }
        Ok(())
    }
}
