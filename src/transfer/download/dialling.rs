//! Whom a download dials, and when it looks for more sources.
//!
//! Always true: no more are dialled or open than can be of use, and the mesh is searched only
//! while there are few to hope for.

use std::time::Duration;

use rand::RngExt;

use super::{
    Download, ENOUGH_SOURCES, FIRST_SEARCH_WAIT, MAX_SEARCH_WAIT, OPEN_AT_FIRST, STAND_BY, Stage,
};
use crate::base::ServentId;
use crate::transfer::event::{Event, Next};
use crate::transfer::exchange::Output;
use crate::transfer::sources::{MAX_OPEN, State};

impl Download {
    /// `source` is said to have pieces; by another source, or by what is better than that.
    pub(super) fn found(&mut self, source: ServentId, told_by: Option<ServentId>) {
        if source != self.config.me {
            let luck = self.rng.random();
            self.sources.found(self.now, source, told_by, luck);
        }
    }

    /// How many there are to hope for: being dialled, or ready and of use.
    pub(super) fn hopeful(&self) -> usize {
        let useful = |source| match &self.stage {
            Stage::Fetching { picker, .. } => picker.is_useful(source),
            _ => true,
        };
        self.sources.hopeful(self.now, useful)
    }

    /// How many there should be to hope for.
    pub(super) fn wanted(&self) -> usize {
        match &self.stage {
            // One more than there are pieces, so that there is somebody for the endgame.
            Stage::Fetching { picker, .. } => MAX_OPEN.min(picker.remaining() as usize + 1),
            // One more for each that keeps us waiting.
            Stage::Seeking { trials, .. } => {
                MAX_OPEN.min(OPEN_AT_FIRST.max(trials.len() + STAND_BY))
            }
            _ => OPEN_AT_FIRST,
        }
    }

    pub(super) fn dial(&mut self, out: &mut Vec<Output>) {
        self.make_place(out);
        while self.sources.open() < MAX_OPEN && self.hopeful() < self.wanted() {
            let Some(source) = self.sources.dialable(self.now) else { return };
            let Some(known) = self.sources.source(source) else { return };
            known.state = State::Dialling;
            out.push(Output::Connect { source });
        }
    }

    pub(super) fn search(&mut self, out: &mut Vec<Output>) {
        if self.now < self.search_at || self.hopeful() >= ENOUGH_SOURCES {
            return;
        }
        out.push(Output::FindSources);
        if self.sources.known().is_empty() && !self.waiting {
            self.tell(Event::Waiting { next: Next::Search { wait: Duration::ZERO } }, out);
        }
        self.searched = Some(self.now);
        self.search_at = self.now + self.search_wait;
        self.search_wait = self.search_wait.saturating_mul(2).min(MAX_SEARCH_WAIT);
    }

    /// When nobody is left, the mesh is searched soon, though not more often than ever.
    pub(super) fn search_soon(&mut self) {
        if self.hopeful() == 0 {
            let soon = self.searched.map_or(self.now, |at| self.now.max(at + FIRST_SEARCH_WAIT));
            self.search_at = self.search_at.min(soon);
        }
    }
}
