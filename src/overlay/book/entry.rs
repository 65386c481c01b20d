//! One servent in the address book, and what is known of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

use super::super::address::groups;
use super::super::config::{
    FAILING_SPAN, FAILURES_TRIED, FAILURES_UNTRIED, FRESH, HORIZON, REDIAL_FIRST, REDIAL_ISOLATED,
    REDIAL_ISOLATED_LONGEST, REDIAL_LONGEST, SHUFFLE_EVERY,
};
use crate::base::{Contact, Time};

/// The table and the bucket that an entry is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Place {
    New(u16),
    Tried(u16),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) contact: Contact,
    pub(super) place: Place,
    /// Who told of it first.
    pub(super) source: IpAddr,
    /// Where it welcomed a dial of ours, the last time.
    pub(super) answered: Option<SocketAddr>,
    /// From where a hello of its came, the last time.
    pub(super) home: Option<IpAddr>,
    /// Whether a dial to it was welcomed.
    pub(super) proven: bool,
    /// Whether a hello passed between us: then it is more than somebody's word.
    pub(super) met: bool,
    /// When anybody last had a byte from it, as far as was told.
    pub(super) heard: Option<Time>,
    /// When it came into the book.
    pub(super) learned: Time,
    /// When a neighbour last named it as a neighbour of its own.
    pub(super) near: Option<Time>,
    /// When it was last found dead: word of it from before then counts for nothing.
    pub(super) lost: Option<Time>,
    pub(super) failures: u32,
    /// When the first of these failures was, at the latest.
    pub(super) failing: Option<Time>,
    pub(super) next_try: Time,
}

impl Entry {
    pub(super) fn is_fresh(&self, now: Time) -> bool {
        self.heard.is_some_and(|heard| {
            now.since(heard) <= FRESH && self.lost.is_none_or(|lost| lost < heard)
        })
    }

    /// Whether it is a neighbour's neighbour, as far as was told lately.
    pub(super) fn is_near(&self, now: Time) -> bool {
        self.near.is_some_and(|near| now.since(near) <= 2 * SHUFFLE_EVERY)
    }

    pub(super) fn is_ripe(&self, now: Time) -> bool {
        self.next_try <= now && !self.contact.addresses.is_empty()
    }

    /// When it last gave reason to keep it.
    pub(super) fn last_sign(&self) -> Time {
        self.heard.map_or(self.learned, |heard| heard.max(self.learned))
    }

    /// Whether it is not worth its place: not heard of for too long, or dialled in vain
    /// too often.
    pub(super) fn is_terrible(&self, now: Time) -> bool {
        let failing = self.failing.map_or(Duration::ZERO, |since| now.since(since));
        let hopeless = if self.proven {
            self.failures >= FAILURES_TRIED && failing >= FAILING_SPAN
        } else {
            self.failures >= FAILURES_UNTRIED
        };
        hopeless || now.since(self.last_sign()) > HORIZON
    }

    pub(super) fn groups(&self) -> BTreeSet<IpAddr> {
        groups(&self.contact)
    }

    /// Puts the next dial off after one more failure.
    pub(super) fn wait(&mut self, now: Time, failures: u32, isolated: bool, rng: &mut ChaCha12Rng) {
        self.next_try = now + wait(failures, isolated, rng);
    }
}

/// The wait after `failures` dials, doubling, with a quarter of jitter so that many who
/// lost the same servent do not come back together.
fn wait(failures: u32, isolated: bool, rng: &mut ChaCha12Rng) -> Duration {
    let (first, longest) = if isolated {
        (REDIAL_ISOLATED, REDIAL_ISOLATED_LONGEST)
    } else {
        (REDIAL_FIRST, REDIAL_LONGEST)
    };
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    doubled.mul_f64(rng.random_range(0.75..1.25))
}
