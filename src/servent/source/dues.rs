//! The pieces that one source was asked for.
//!
//! Always true: data of a piece may come as often as it was asked for, and is wanted once.

use std::collections::{BTreeMap, BTreeSet};

/// The pieces that are on their way.
#[derive(Default)]
pub(super) struct Dues {
    asked: BTreeSet<u32>,
    /// How often each was cancelled whose data may come all the same.
    cancelled: BTreeMap<u32, u32>,
}

impl Dues {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.cancelled.is_empty()
    }

    pub(super) fn ask(&mut self, number: u32) {
        self.asked.insert(number);
    }

    pub(super) fn cancel(&mut self, number: u32) {
        if self.asked.remove(&number) {
            *self.cancelled.entry(number).or_default() += 1;
        }
    }

    /// Whether data of this piece may come.
    pub(super) fn expect(&self, number: u32) -> bool {
        self.asked.contains(&number) || self.cancelled.contains_key(&number)
    }

    /// What came of a piece is not gone on with, which only one that was cancelled may be: it
    /// then comes as often less. Whether that may be.
    pub(super) fn give_up(&mut self, number: u32) -> bool {
        let cancelled = self.cancelled.contains_key(&number);
        if cancelled {
            self.forgive(number);
        }
        cancelled
    }

    /// All of a piece came: whether it is wanted. One that was cancelled and asked for again
    /// is taken the first time, and may come once more, of the other request.
    pub(super) fn came(&mut self, number: u32) -> bool {
        let wanted = self.asked.remove(&number);
        if !wanted {
            self.forgive(number);
        }
        wanted
    }

    /// One that was cancelled need not come any more.
    fn forgive(&mut self, number: u32) {
        let Some(times) = self.cancelled.get_mut(&number) else { return };
        *times -= 1;
        if *times == 0 {
            self.cancelled.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_was_cancelled_and_asked_for_again_may_come_of_both_requests() {
        let mut dues = Dues::default();
        for _ in 0..2 {
            dues.ask(7);
            dues.cancel(7);
        }
        dues.ask(7);
        assert!(dues.came(7), "the first is as good as any");
        for _ in 0..2 {
            assert!(dues.expect(7) && !dues.came(7), "it was on its way already");
        }
        assert!(!dues.expect(7) && !dues.came(7), "nobody asked for more");
        dues.cancel(7);
        assert!(!dues.expect(7), "what was not asked for cannot be cancelled");
    }

    #[test]
    fn only_what_was_cancelled_may_be_given_up_half_way_and_no_more_often_than_that() {
        let mut dues = Dues::default();
        dues.ask(7);
        assert!(!dues.give_up(7) && dues.expect(7));
        dues.cancel(7);
        dues.ask(7);
        assert!(dues.give_up(7), "of the request that was cancelled");
        assert!(!dues.give_up(7), "but not of the other");
        assert!(dues.came(7));
    }
}
