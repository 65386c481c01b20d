//! How often one place may knock.
//!
//! Always true: there is no rate for all together, which a flood would eat up for the
//! others; how many wait at once is bounded elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::origin::{address, group, is_exempt};
use crate::base::{Bucket, Time};

/// Connections a second from one address: a servent that lost its link dials once.
pub(super) const ADDRESS_RATE: u64 = 1;
/// At once: a household's servents, or a download from all of them.
pub(super) const ADDRESS_BURST: u64 = 8;
/// Connections a second from one /16 (IPv6: /32): a campus that joins at 20 a second, with
/// the dials that follow each join, is let in; each costs a thousandth of a core.
pub(super) const GROUP_RATE: u64 = 32;
/// See [`GROUP_RATE`].
pub(super) const GROUP_BURST: u64 = 128;
/// Places of each kind that are remembered, 100 bytes each. Within 8 s a place that was let
/// in is as good as new, so a flood has to come from 500 places a second to be forgotten.
const MAX_REMEMBERED: usize = 4096;

/// What every place that knocked lately has left.
#[derive(Debug)]
pub(super) struct AcceptRate {
    addresses: Places,
    groups: Places,
}

#[derive(Debug)]
struct Places {
    rate: u64,
    burst: u64,
    known: HashMap<IpAddr, (Bucket, Time)>,
}

impl Default for AcceptRate {
    fn default() -> Self {
        let places = |rate, burst| Places { rate, burst, known: HashMap::new() };
        Self {
            addresses: places(ADDRESS_RATE, ADDRESS_BURST),
            groups: places(GROUP_RATE, GROUP_BURST),
        }
    }
}

impl AcceptRate {
    /// Whether a connection from there may come in now.
    pub(super) fn allows(&mut self, now: Time, from: IpAddr) -> bool {
        // One address that is over its own rate takes nothing from its group.
        is_exempt(from)
            || (self.addresses.take(now, address(from)) && self.groups.take(now, group(from)))
    }
}

impl Places {
    fn take(&mut self, now: Time, place: IpAddr) -> bool {
        if self.known.len() >= MAX_REMEMBERED && !self.known.contains_key(&place) {
            self.forget(now);
        }
        let fresh = || (Bucket::new(self.rate, self.burst, now), now);
        let (bucket, last) = self.known.entry(place).or_insert_with(fresh);
        *last = now;
        bucket.take(now, 1)
    }

    /// Forgets those whose burst is whole again; if there is none, who was here least lately.
    fn forget(&mut self, now: Time) {
        let whole = Duration::from_secs(self.burst / self.rate);
        self.known.retain(|_, (_, last)| now.since(*last) < whole);
        if self.known.len() >= MAX_REMEMBERED {
            let oldest = self.known.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(&place, _)| place) {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(rate: &mut AcceptRate, at: Time, from: impl Iterator<Item = [u8; 4]>) -> u64 {
        from.filter(|&from| rate.allows(at, from.into())).count() as u64
    }

    #[test]
    fn one_address_knocks_eight_times_at_once_and_then_once_a_second() {
        let mut rate = AcceptRate::default();
        let knocks = || (0..100).map(|_| [127, 9, 9, 9]);
        assert_eq!(allowed(&mut rate, Time::ZERO, knocks()), ADDRESS_BURST);
        let later = Time::ZERO + Duration::from_secs(3);
        assert_eq!(allowed(&mut rate, later, knocks()), 3 * ADDRESS_RATE);
        // What its group has left is for others: the burst, full again, less the three.
        let others = || (0..200).map(|i| [127, 9, 8, i]);
        assert_eq!(allowed(&mut rate, later, others()), GROUP_BURST - 3);
        assert_eq!(allowed(&mut rate, later, (0..8).map(|_| [127, 10, 0, 1])), ADDRESS_BURST);
    }

    #[test]
    fn loopback_knocks_as_often_as_it_likes() {
        let mut rate = AcceptRate::default();
        assert_eq!(allowed(&mut rate, Time::ZERO, (0..200).map(|_| [127, 0, 0, 1])), 200);
    }

    #[test]
    fn a_million_places_are_not_remembered() {
        let mut rate = AcceptRate::default();
        let places = (0..20_000u32).map(|i| (0x0b00_0000 + i * 7919).to_be_bytes());
        allowed(&mut rate, Time::ZERO, places);
        assert_eq!(rate.addresses.known.len(), MAX_REMEMBERED);
        let later = Time::ZERO + Duration::from_secs(8);
        allowed(&mut rate, later, [[11, 0, 0, 1]].into_iter());
        assert_eq!(rate.addresses.known.len(), 1, "the others are as good as new");
    }
}
