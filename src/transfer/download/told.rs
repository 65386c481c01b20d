//! What sources say of the pieces that they have, and of those that they gave to others.
//!
//! Always true: a source that has said what it has is asked for nothing else; what it was
//! asked for before it said so goes to others, and that it refuses that is no fault of its.

use super::{Download, Stage};
use crate::base::{PieceIndex, PieceMap, ServentId};
use crate::transfer::event::Lie;
use crate::transfer::exchange::Output;

impl Download {
    pub(super) fn on_has(&mut self, source: ServentId, pieces: &PieceMap, out: &mut Vec<Output>) {
        let Some(link) = self.sources.link(source) else { return };
        let first = !std::mem::replace(&mut link.partial, true);
        if first && pieces.held() == pieces.len() {
            link.blind = 0; // it has all, and so has no reason to refuse
        }
        let Stage::Fetching { list, picker } = &mut self.stage else {
            let early = link.early.get_or_insert_with(|| PieceMap::new(pieces.len()));
            if early.len() != pieces.len() {
                return self.blame(source, Lie::Map, out);
            }
            early.add(pieces);
            return;
        };
        if pieces.len() != list.geometry().count() {
            return self.blame(source, Lie::Map, out);
        }
        picker.learn(source, pieces);
        if first {
            // It refuses these requests, or has got what they lack and answers them.
            for piece in link.owing_beyond(pieces) {
                link.strike(piece, list.geometry().len(piece));
                picker.release(source, piece);
            }
        }
    }

    pub(super) fn on_given(&mut self, source: ServentId, pieces: &PieceMap, out: &mut Vec<Output>) {
        let Some(link) = self.sources.link(source) else { return };
        link.crowded = true;
        // What comes sooner is a loss of order alone.
        let Stage::Fetching { list, picker } = &mut self.stage else { return };
        if pieces.len() != list.geometry().count() {
            return self.blame(source, Lie::Map, out);
        }
        picker.learn_given(source, pieces);
    }

    /// The download has begun: what was said before can be compared with the file.
    pub(super) fn compare_early(&mut self, out: &mut Vec<Output>) {
        let ids: Vec<ServentId> = self.sources.links().map(|(id, _)| id).collect();
        for source in ids {
            let early = self.sources.link(source).and_then(|link| link.early.take());
            if let Some(pieces) = early {
                self.on_has(source, &pieces, out);
            }
        }
    }

    /// The pieces that none of those who are connected has, if it is these that keep the
    /// download from going on.
    pub(super) fn lacking(&self) -> Option<(PieceIndex, PieceIndex)> {
        let Stage::Fetching { picker, .. } = &self.stage else { return None };
        let mut links = self.sources.links().peekable();
        links.peek()?;
        if self.hopeful() > 0 || self.sources.links().any(|(_, link)| !link.owes_nothing()) {
            return None;
        }
        picker.lacking(links.map(|(id, _)| id))
    }
}

#[cfg(test)]
mod tests;
