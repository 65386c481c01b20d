//! What happened in one search, as an onlooker sees it who sees everything.

use crate::base::{Hops, Time};
use crate::overlay::{RingEnd, TraceTree};

/// Everything that happened in one search.
#[derive(Clone, Debug, Default)]
pub struct SearchReport {
    /// What was searched for.
    pub text: String,
    /// When it began.
    pub began: Time,
    /// When its last ring so far ended.
    pub ended: Time,
    /// The servents that were asked, in order; one that was asked twice is in it twice.
    pub asked: Vec<usize>,
    /// The servents whose hits arrived before the end.
    pub hits: Vec<usize>,
    /// How many links each of these hits had crossed, and when it arrived.
    pub arrivals: Vec<(u8, Time)>,
    /// Hits that arrived after the end.
    pub late_hits: usize,
    /// The ends of its rings.
    pub rings: Vec<RingEnd>,
    /// Copies of the query that were sent.
    pub copies: usize,
    /// Dones that were sent.
    pub dones: usize,
    /// Hits after which no wider ring is asked.
    pub enough: usize,
    /// How it ran, if it asked for that.
    pub trace: Option<TraceTree>,
}

impl SearchReport {
    pub(super) fn new(text: &str, enough: usize, now: Time) -> Self {
        Self { text: text.to_owned(), began: now, ended: now, enough, ..Self::default() }
    }

    /// The end of the last ring, once it has come.
    #[must_use]
    pub fn end(&self) -> Option<RingEnd> {
        self.rings.last().copied().filter(|end| end.last)
    }

    /// Takes a hit in; whether there are enough with it.
    pub(super) fn note_hit(&mut self, servent: usize, behind: Hops, now: Time) -> bool {
        if self.end().is_some() {
            self.late_hits += 1;
            return false;
        }
        self.hits.push(servent);
        self.arrivals.push((behind.0.saturating_add(1), now));
        self.hits.len() == self.enough
    }
}
