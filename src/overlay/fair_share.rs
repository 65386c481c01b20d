//! How many searches of others are taken up, shared among the links.
//!
//! Always true: no link takes what is left of another's share, and what nobody uses is for
//! whoever has more to pass on; all together never exceed the rate. That is what serving
//! the links in turn would give, without a queue. Own searches are not counted here, so
//! however many others come, ours go out.

use std::collections::BTreeMap;

use super::LinkId;
use super::neighbours::Neighbours;
use crate::base::{Bucket, Time};

/// The rate of the servent, and what of it is whose.
#[derive(Debug)]
pub(super) struct FairShare {
    rate: u64,
    all: Bucket,
    /// By link, a second's worth of its part at most.
    shares: BTreeMap<LinkId, Bucket>,
}

impl FairShare {
    /// So many a second, and twice as many at once.
    pub(super) fn new(rate: u64, now: Time) -> Self {
        let all = Bucket::new(rate, rate.saturating_mul(2), now);
        Self { rate, all, shares: BTreeMap::new() }
    }

    /// Takes one search up that came by `link`, if it may be.
    pub(super) fn take(&mut self, now: Time, link: LinkId, neighbours: &Neighbours) -> bool {
        let links = neighbours.len().max(1);
        if self.shares.len() != links || !self.shares.contains_key(&link) {
            self.share_out(now, neighbours);
        }
        if self.shares.get_mut(&link).is_some_and(|share| share.take(now, 1)) {
            return self.all.take(now, 1);
        }
        let others = self.shares.values_mut().map(|share| share.level(now)).sum::<u64>();
        self.all.level(now) > others && self.all.take(now, 1)
    }

    /// Links have come or gone: the same for each, and a newcomer has to earn its own.
    fn share_out(&mut self, now: Time, neighbours: &Neighbours) {
        let part = u64::try_from(neighbours.len()).unwrap_or(u64::MAX).max(1);
        let part = (self.rate / part).max(1);
        self.shares.retain(|link, _| neighbours.find(*link).is_some());
        for neighbour in neighbours.iter() {
            let empty = || Bucket::new(part, 0, now);
            self.shares.entry(neighbour.link).or_insert_with(empty).change(now, part, part);
        }
    }
}
