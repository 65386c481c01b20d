//! Whose turn it is at something that many want and that comes by and by.
//!
//! Start-time fair queueing: each taker stands on a virtual clock, which what it takes
//! moves on by the amount over its weight; next is who stands lowest. Always true: those
//! who keep wanting get by weight, within one take of each; who wants nothing for a while
//! saves nothing up; if anybody wants, somebody is next. It knows no time and no amounts
//! there are: when the next may take is its driver's.

use std::collections::{BTreeMap, VecDeque};

use super::priority::Priority;

/// What the virtual clock is counted in: a unit over the largest weight.
const SCALE: u64 = Priority::High.weight();

/// One wish to take; see [`Turns::enter`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(u64);

#[derive(Debug, Default)]
struct Taker {
    priority: Priority,
    /// Where it stands on the virtual clock.
    at: u64,
    /// Its wishes, the oldest first: all its sources share one turn.
    wishes: VecDeque<Ticket>,
}

/// The takers, and who is next. A taker is named by a number.
#[derive(Debug, Default)]
pub struct Turns {
    takers: BTreeMap<usize, Taker>,
    /// Where the one stood who took last: nobody starts behind it.
    now: u64,
    next_ticket: u64,
}

impl Turns {
    /// Sets how urgent a taker is, from its next take on.
    pub fn set_priority(&mut self, taker: usize, priority: Priority) {
        self.takers.entry(taker).or_default().priority = priority;
    }

    /// Forgets a taker and its wishes.
    pub fn forget(&mut self, taker: usize) {
        self.takers.remove(&taker);
    }

    /// A wish of `taker`; it stands until it is taken or given up.
    pub fn enter(&mut self, taker: usize) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let now = self.now;
        let taker = self.takers.entry(taker).or_default();
        if taker.wishes.is_empty() {
            taker.at = taker.at.max(now);
        }
        taker.wishes.push_back(ticket);
        ticket
    }

    /// Whose wish is next; none when nobody wants.
    #[must_use]
    pub fn next(&self) -> Option<Ticket> {
        let wanting = self.takers.values().filter_map(|taker| {
            let first = taker.wishes.front()?;
            Some((taker.at, *first))
        });
        wanting.min().map(|(_, ticket)| ticket)
    }

    /// The wish was granted and took `amount`.
    pub fn take(&mut self, ticket: Ticket, amount: u64) {
        let holder = self.takers.values_mut().find(|taker| taker.wishes.contains(&ticket));
        let Some(taker) = holder else { return };
        taker.wishes.retain(|wish| *wish != ticket);
        self.now = self.now.max(taker.at);
        let step = amount.saturating_mul(SCALE) / taker.priority.weight();
        taker.at = taker.at.saturating_add(step);
    }

    /// The wish was given up.
    pub fn leave(&mut self, ticket: Ticket) {
        for taker in self.takers.values_mut() {
            taker.wishes.retain(|wish| *wish != ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Grants `rounds` wishes of one unit; each taker of `wanting` always has so many.
    fn play(turns: &mut Turns, wanting: &[(usize, usize)], rounds: u32) -> BTreeMap<usize, u32> {
        let mut open: BTreeMap<Ticket, usize> = BTreeMap::new();
        let mut got = BTreeMap::new();
        for &(taker, wishes) in wanting {
            for _ in 0..wishes {
                open.insert(turns.enter(taker), taker);
            }
        }
        for _ in 0..rounds {
            let next = turns.next().expect("work is never held back");
            turns.take(next, 1000);
            let taker = open.remove(&next).expect("a wish that stands");
            *got.entry(taker).or_default() += 1;
            open.insert(turns.enter(taker), taker);
        }
        open.into_keys().for_each(|ticket| turns.leave(ticket));
        got
    }

    #[test]
    fn those_who_keep_wanting_get_by_weight_however_many_wishes_they_have() {
        let mut turns = Turns::default();
        for (taker, priority) in [(1, Priority::High), (2, Priority::Normal), (3, Priority::Low)] {
            turns.set_priority(taker, priority);
        }
        let got = play(&mut turns, &[(1, 1), (2, 16), (3, 3)], 700);
        assert!(got[&1].abs_diff(400) <= 2 && got[&3].abs_diff(100) <= 2, "{got:?}");
    }

    #[test]
    fn equals_get_equally_much_in_turn() {
        let mut turns = Turns::default();
        let got = play(&mut turns, &[(1, 2), (2, 2), (7, 1)], 300);
        assert_eq!(got, BTreeMap::from([(1, 100), (2, 100), (7, 100)]));
    }

    #[test]
    fn who_wants_nothing_leaves_all_to_the_others_and_saves_nothing_up() {
        let mut turns = Turns::default();
        turns.set_priority(1, Priority::High);
        assert_eq!(play(&mut turns, &[(2, 1)], 1000), BTreeMap::from([(2, 1000)]));
        let got = play(&mut turns, &[(1, 1), (2, 1)], 60);
        assert!(got[&1].abs_diff(40) <= 1, "{got:?}");
        turns.set_priority(1, Priority::Low);
        let got = play(&mut turns, &[(1, 1), (2, 1)], 60);
        assert!(got[&1].abs_diff(20) <= 2, "{got:?}");
    }

    #[test]
    fn who_is_gone_is_next_no_more() {
        let mut turns = Turns::default();
        assert_eq!(turns.next(), None);
        let (first, second) = (turns.enter(1), turns.enter(2));
        assert_eq!(turns.next(), Some(first));
        turns.leave(first);
        assert_eq!(turns.next(), Some(second));
        turns.forget(2);
        assert_eq!(turns.next(), None);
        turns.take(second, 5); // too late to matter
    }
}
