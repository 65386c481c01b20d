//! The dials that nobody typed: which are under way, and how many are allowed.
//!
//! A servent dials on the word of strangers, so it must be no weapon: always true is that
//! at most [`MAX_DIALLING`] are under way, that they begin no faster than [`DIAL_RATE`],
//! and that one neighbourhood of addresses that does not answer as servents do gets at
//! most [`GROUP_DIALS`] a minute, whoever named it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::config::{DIAL_BURST, DIAL_RATE, GROUP_DIALS, MAX_DIALLING};
use crate::base::{Bucket, Contact, ServentId, Time};

const A_MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Dialling {
    under_way: BTreeMap<ServentId, Option<IpAddr>>,
    rate: Bucket,
    /// Dials of the last minute that no accepted hello has answered for, by group.
    unanswered: VecDeque<(Time, IpAddr)>,
}

/// Whether a dial may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Permit {
    /// It counts as under way now.
    Granted,
    /// Not to this one; perhaps to others.
    NotThisOne,
    /// To nobody at present.
    NoMore,
}

impl Dialling {
    pub(super) fn new(now: Time) -> Self {
        Self {
            under_way: BTreeMap::new(),
            rate: Bucket::new(DIAL_RATE, DIAL_BURST, now),
            unanswered: VecDeque::new(),
        }
    }

    pub(super) fn contains(&self, id: ServentId) -> bool {
        self.under_way.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn begin(&mut self, now: Time, contact: &Contact) -> Permit {
        let Some(first) = contact.addresses.first() else { return Permit::NotThisOne };
        if self.contains(contact.id) {
            return Permit::NotThisOne;
        }
        while self.unanswered.front().is_some_and(|&(at, _)| now.since(at) >= A_MINUTE) {
            self.unanswered.pop_front();
        }
        let group = group(first);
        if let Some(group) = group {
            let recent = self.unanswered.iter().filter(|(_, other)| *other == group).count();
            if recent as u64 >= GROUP_DIALS {
                return Permit::NotThisOne;
            }
        }
        if self.len() >= MAX_DIALLING || !self.rate.take(now, 1) {
            return Permit::NoMore;
        }
        if let Some(group) = group {
            self.unanswered.push_back((now, group));
        }
        self.under_way.insert(contact.id, group);
        Permit::Granted
    }

    /// The dial was answered by an accepted hello: it does not count against its group.
    pub(super) fn answered(&mut self, id: ServentId) {
        let Some(group) = self.under_way.remove(&id).flatten() else { return };
        if let Some(at) = self.unanswered.iter().rposition(|(_, other)| *other == group) {
            self.unanswered.remove(at);
        }
    }

    /// The dial came to nothing.
    pub(super) fn failed(&mut self, id: ServentId) {
        self.under_way.remove(&id);
    }
}

/// The group that an address is counted with when strangers name it: its /24, or its
/// /64. None for exactly the two loopback addresses, where meshes on one machine live.
fn group(address: &SocketAddr) -> Option<IpAddr> {
    match address.ip().to_canonical() {
        ip if ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST => None,
        IpAddr::V4(v4) => Some(IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xff))),
        IpAddr::V6(v6) => Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(n: u8, ip: [u8; 4]) -> Contact {
        Contact::new(ServentId([n; 32]), [SocketAddr::from((ip, 7272))])
    }

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    #[test]
    fn a_group_that_does_not_answer_gets_four_dials_a_minute() {
        let mut dialling = Dialling::new(at(0));
        let granted = |dialling: &mut Dialling, secs, from| {
            let permits = (from..from + 10).map(|n| {
                let permit = dialling.begin(at(secs), &contact(n, [198, 18, 0, n]));
                dialling.failed(ServentId([n; 32]));
                permit
            });
            permits.filter(|permit| *permit == Permit::Granted).count()
        };
        assert_eq!(granted(&mut dialling, 0, 0), 4);
        assert_eq!(granted(&mut dialling, 30, 10), 0);
        assert_eq!(granted(&mut dialling, 60, 20), 4);
    }

    #[test]
    fn a_group_that_answers_as_servents_do_is_dialled_on() {
        let mut dialling = Dialling::new(at(0));
        for n in 0..10 {
            assert_eq!(dialling.begin(at(0), &contact(n, [198, 18, 0, n])), Permit::Granted);
            dialling.answered(ServentId([n; 32]));
        }
    }

    #[test]
    fn a_burst_is_followed_by_one_a_second_and_nobody_is_dialled_twice() {
        let mut dialling = Dialling::new(at(0));
        let local = |n| contact(n, [127, 0, 0, 1]);
        assert_eq!(dialling.begin(at(0), &local(0)), Permit::Granted);
        assert_eq!(dialling.begin(at(0), &local(0)), Permit::NotThisOne);
        let more = (1..100).filter(|&n| dialling.begin(at(0), &local(n)) == Permit::Granted);
        assert_eq!(more.count(), MAX_DIALLING - 1);
        (0..100).for_each(|n| dialling.failed(ServentId([n; 32])));
        assert_eq!(dialling.begin(at(0), &local(100)), Permit::NoMore);
        assert_eq!(dialling.begin(at(1), &local(100)), Permit::Granted);
    }
}
