//! How a download stands: what is here, who helps, what it waits for.

use super::{Download, FIRST_SEARCH_WAIT, Stage};
use crate::base::{PieceMap, ServentId, Time};
use crate::transfer::event::Next;
use crate::transfer::exchange::{SourceStanding, Standing};
use crate::transfer::sources::{Link, Mode, State};

impl Download {
    /// How the download stands.
    #[must_use]
    pub fn standing(&self, now: Time) -> Standing {
        let (size, verified) = match &self.stage {
            Stage::Beginning { list } => (Some(list.geometry().size()), 0),
            Stage::Fetching { list, picker } => (Some(list.geometry().size()), picker.held_bytes()),
            _ => (None, 0),
        };
        Standing {
            size,
            verified,
            rate: self.sources.links().map(|(_, link)| link.rate(now)).sum(),
            connected: self.sources.links().count(),
            known: self.sources.known().len(),
            waits: match self.next() {
                Next::Others { .. } => self.queue().or_else(|| self.lack()),
                next => Some(next),
            },
            sources: self
                .sources
                .links()
                .map(|(id, link)| self.standing_of(now, id, link))
                .collect(),
        }
    }

    fn standing_of(&self, now: Time, source: ServentId, link: &Link) -> SourceStanding {
        let has = match &self.stage {
            Stage::Fetching { picker, .. } => picker.known_of(source),
            _ => link.early.as_ref().map(PieceMap::held),
        };
        SourceStanding {
            source,
            has,
            came: self.sources.known().get(&source).map_or(0, |known| known.came),
            rate: link.rate(now),
            queued: link.position(),
            aside: matches!(link.mode, Mode::Aside { .. }),
        }
    }

    fn lack(&self) -> Option<Next> {
        let (first, last) = self.lacking()?;
        Some(Next::Lacking { first, last, wait: self.search_at.since(self.now) })
    }

    /// Whether it knows `source`: who was found too late, has failed too often or lied is
    /// forgotten.
    #[must_use]
    pub fn knows(&self, source: ServentId) -> bool {
        self.sources.known().contains_key(&source)
    }

    /// The pieces that are here, once the download has begun.
    #[must_use]
    pub fn held(&self) -> Option<&PieceMap> {
        match &self.stage {
            Stage::Fetching { picker, .. } => Some(picker.held()),
            _ => None,
        }
    }

    /// Whether a download that shall not wait is at its end.
    pub(super) fn is_hopeless(&self) -> bool {
        let known = self.sources.known();
        if !self.config.once || matches!(self.stage, Stage::Beginning { .. }) {
            return false;
        }
        if known.is_empty() && self.trouble.is_none() {
            // Nobody was ever known: the first search may still find somebody.
            return self.searched.is_some_and(|at| self.now.since(at) >= FIRST_SEARCH_WAIT);
        }
        known.values().all(|source| source.failed && matches!(source.state, State::Away { .. }))
    }

    /// What comes next, as the sources stand.
    pub(super) fn next(&self) -> Next {
        let there = self.sources.known().values().filter(|source| match source.state {
            State::Away { .. } => source.failures == 0 && !source.failed,
            State::Dialling | State::Open(_) => true,
        });
        match there.count() {
            0 if self.is_hopeless() => Next::Nothing,
            0 => match self.sources.next_dial() {
                Some((source, at)) => Next::Redial { source, wait: at.since(self.now) },
                None => Next::Search { wait: self.search_at.since(self.now) },
            },
            left => Next::Others { left },
        }
    }

    /// Our best place in a queue, while nobody but those who queue us can be asked.
    fn queue(&self) -> Option<Next> {
        let busy = self.sources.known().values().any(|source| match &source.state {
            State::Away { .. } => false,
            State::Dialling => true,
            State::Open(link) => link.is_ready(),
        });
        let places = self.sources.links().filter_map(|(id, link)| Some((link.position()?, id)));
        let (position, source) = places.filter(|_| !busy).min()?;
        Some(Next::Queue { source, position })
    }
}
