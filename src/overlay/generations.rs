//! What is remembered of each search, for a while.

use std::collections::{BTreeMap, HashMap};

use super::LinkId;
use super::config::GENERATION_AGE;
use crate::base::{Guid, Time};

/// A map from searches to `V` in two generations.
///
/// A generation turns when it is full or old; what was in the one before last is then
/// forgotten. So what is kept lives between one and two turns, and memory is bounded by
/// twice the size of a generation, whatever arrives.
#[derive(Debug)]
pub(super) struct Generations<V> {
    current: HashMap<Guid, V>,
    previous: HashMap<Guid, V>,
    capacity: usize,
    turned: Time,
    /// How much of the current generation each link has filled.
    filled: BTreeMap<LinkId, usize>,
    /// How often an entry was looked for.
    #[cfg(test)]
    pub(super) looks: std::cell::Cell<u64>,
}

impl<V> Generations<V> {
    pub(super) fn new(capacity: usize, now: Time) -> Self {
        Self {
            current: HashMap::new(),
            previous: HashMap::new(),
            capacity,
            turned: now,
            filled: BTreeMap::new(),
            #[cfg(test)]
            looks: std::cell::Cell::new(0),
        }
    }

    pub(super) fn find(&self, guid: Guid) -> Option<&V> {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        self.current.get(&guid).or_else(|| self.previous.get(&guid))
    }

    pub(super) fn find_mut(&mut self, guid: Guid) -> Option<&mut V> {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        self.current.get_mut(&guid).or_else(|| self.previous.get_mut(&guid))
    }

    /// Whether `link` may add one more: at most a quarter of a generation each, so that
    /// none can wash out what the others need.
    pub(super) fn admits(&self, link: LinkId) -> bool {
        self.filled.get(&link).is_none_or(|&filled| filled < self.capacity / 4)
    }

    /// Whether the next insertion should be preceded by a [`Generations::turn`].
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.current.len() >= self.capacity || now.since(self.turned) >= GENERATION_AGE
    }

    /// Adds an entry that `link` brought, or the user.
    pub(super) fn insert(&mut self, guid: Guid, value: V, link: Option<LinkId>) {
        self.current.insert(guid, value);
        if let Some(link) = link {
            *self.filled.entry(link).or_default() += 1;
        }
    }

    /// Begins a new generation; what is forgotten is returned.
    pub(super) fn turn(&mut self, now: Time) -> HashMap<Guid, V> {
        self.turned = now;
        self.filled.clear();
        let current = std::mem::take(&mut self.current);
        std::mem::replace(&mut self.previous, current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guid(n: u32) -> Guid {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Guid(bytes)
    }

    #[test]
    fn an_entry_lives_through_one_turn_and_not_through_two() {
        let mut map = Generations::new(4, Time::ZERO);
        map.insert(guid(1), 'a', None);
        assert!(map.turn(Time::ZERO).is_empty());
        assert_eq!(map.find_mut(guid(1)), Some(&mut 'a'));
        assert_eq!(map.turn(Time::ZERO).len(), 1);
        assert_eq!(map.find_mut(guid(1)), None);
    }

    #[test]
    fn one_link_fills_at_most_a_quarter() {
        let mut map = Generations::new(400, Time::ZERO);
        let (greedy, modest) = (LinkId(1), LinkId(2));
        let added = (0..1000).filter(|&n| {
            let admitted = map.admits(greedy);
            if admitted {
                map.insert(guid(n), (), Some(greedy));
            }
            admitted
        });
        assert_eq!(added.count(), 100);
        assert!(map.admits(modest));
    }

    #[test]
    fn a_generation_is_due_when_full_or_old() {
        let mut map = Generations::new(2, Time::ZERO);
        assert!(!map.is_due(Time::ZERO));
        assert!(map.is_due(Time::ZERO + GENERATION_AGE));
        map.insert(guid(1), (), None);
        map.insert(guid(2), (), None);
        assert!(map.is_due(Time::ZERO));
    }
}
