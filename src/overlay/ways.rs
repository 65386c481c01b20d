//! By which way hits came, so that a call can go back to their author.
//!
//! Always true: at most [`WAYS_PER_LINK`] ways are kept of what one link brought, the
//! oldest are forgotten first, and all of them after [`WAY_AGE`]; the first link that
//! brought a hit of an author stays its way while it lives, whoever else claims it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::LinkId;
use super::config::{CALLS_PER_WAY, WAY_AGE, WAYS_PER_LINK};
use crate::base::{Guid, ServentId, Time};

/// A search, and an author of hits for it.
type Key = (Guid, ServentId);

/// The way of the hits of one author for one search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Way {
    /// The link that brought them; none: they are our own.
    pub(super) from: Option<LinkId>,
    /// The link that they went on by; none: the search is our own.
    pub(super) to: Option<LinkId>,
    at: Time,
    calls: u8,
}

/// All ways.
#[derive(Debug, Default)]
pub(super) struct Ways {
    ways: HashMap<Key, Way>,
    /// The keys of each link's ways, oldest first.
    brought: BTreeMap<Option<LinkId>, VecDeque<Key>>,
}

impl Ways {
    /// Notes that a hit came by `from` and went on by `to`.
    pub(super) fn note(
        &mut self,
        now: Time,
        guid: Guid,
        responder: ServentId,
        from: Option<LinkId>,
        to: Option<LinkId>,
    ) {
        let key = (guid, responder);
        if let Some(way) = self.ways.get_mut(&key).filter(|way| now.since(way.at) < WAY_AGE) {
            if way.from == from {
                way.to = to;
            }
            return;
        }
        if let Some(old) = self.ways.insert(key, Way { from, to, at: now, calls: 0 })
            && let Some(keys) = self.brought.get_mut(&old.from)
        {
            keys.retain(|other| *other != key);
        }
        let keys = self.brought.entry(from).or_default();
        keys.push_back(key);
        while keys.len() > WAYS_PER_LINK
            || keys.front().is_some_and(|key| {
                self.ways.get(key).is_none_or(|way| now.since(way.at) >= WAY_AGE)
            })
        {
            let Some(gone) = keys.pop_front() else { break };
            self.ways.remove(&gone);
        }
    }

    /// The way of these hits, if it is known.
    pub(super) fn find(&self, now: Time, guid: Guid, responder: ServentId) -> Option<Way> {
        self.ways.get(&(guid, responder)).filter(|way| now.since(way.at) < WAY_AGE).copied()
    }

    /// Takes one call over a way; false when it has had all of its calls.
    pub(super) fn take_call(&mut self, guid: Guid, responder: ServentId) -> bool {
        let Some(way) = self.ways.get_mut(&(guid, responder)) else { return false };
        let left = way.calls < CALLS_PER_WAY;
        way.calls += u8::from(left);
        left
    }

    /// Forgets what a link brought that is gone.
    pub(super) fn cut(&mut self, link: LinkId) {
        for key in self.brought.remove(&Some(link)).into_iter().flatten() {
            self.ways.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const R: ServentId = ServentId([7; 32]);

    fn guid(n: usize) -> Guid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Guid(bytes)
    }

    fn at(secs: u64) -> Time {
        Time::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn the_first_link_that_brings_a_hit_is_its_way_until_it_is_gone() {
        let mut ways = Ways::default();
        let (one, two, back) = (Some(LinkId(1)), Some(LinkId(2)), Some(LinkId(3)));
        ways.note(at(0), guid(1), R, one, back);
        ways.note(at(1), guid(1), R, two, back);
        assert_eq!(ways.find(at(1), guid(1), R).unwrap().from, one);
        ways.cut(LinkId(1));
        assert_eq!(ways.find(at(1), guid(1), R), None);
        ways.note(at(2), guid(1), R, two, back);
        assert_eq!(ways.find(at(2), guid(1), R).unwrap().from, two);
    }

    #[test]
    fn what_one_link_brings_washes_out_only_its_own() {
        let mut ways = Ways::default();
        ways.note(at(0), guid(0), R, Some(LinkId(1)), None);
        for n in 1..=2 * WAYS_PER_LINK {
            ways.note(at(1), guid(n), R, Some(LinkId(2)), None);
        }
        assert!(ways.find(at(1), guid(0), R).is_some());
        assert_eq!(ways.find(at(1), guid(WAYS_PER_LINK), R), None);
        assert!(ways.find(at(1), guid(WAYS_PER_LINK + 1), R).is_some());
        assert_eq!(ways.ways.len(), WAYS_PER_LINK + 1);
    }

    #[test]
    fn a_way_ends_with_its_age_and_with_its_calls() {
        let mut ways = Ways::default();
        ways.note(at(0), guid(1), R, None, Some(LinkId(1)));
        let taken = (0..100).filter(|_| ways.take_call(guid(1), R)).count();
        assert_eq!(taken, usize::from(CALLS_PER_WAY));
        assert!(!ways.take_call(guid(2), R));
        let old = Time::ZERO + WAY_AGE;
        assert_eq!(ways.find(old, guid(1), R), None);
        ways.note(old, guid(2), R, None, None);
        assert_eq!((ways.ways.len(), ways.brought[&None].len()), (1, 1));
    }
}
