//! The dials that nobody typed: which are under way, and how many are allowed.
//!
//! A servent dials on the word of strangers, so it must be no weapon: always true is that
//! at most [`MAX_DIALLING`] are under way, that they begin no faster than [`DIAL_RATE`],
//! and that one neighbourhood of addresses that does not answer as servents do gets at
//! most [`GROUP_DIALS`] a minute, whoever named it.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::config::{DIAL_BURST, DIAL_RATE, GROUP_DIALS, MAX_DIALLING};
use crate::base::{Bucket, Contact, ServentId, Time};

const A_MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Dialling {
    under_way: BTreeSet<ServentId>,
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
            under_way: BTreeSet::new(),
            rate: Bucket::new(DIAL_RATE, DIAL_BURST, now),
            unanswered: VecDeque::new(),
        }
    }

    pub(super) fn contains(&self, id: ServentId) -> bool {
        self.under_way.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Asks for a dial; addresses in spent groups are taken out of `contact`.
    pub(super) fn begin(&mut self, now: Time, contact: &mut Contact) -> Permit {
        if self.contains(contact.id) {
            return Permit::NotThisOne;
        }
        while self.unanswered.front().is_some_and(|&(at, _)| now.since(at) >= A_MINUTE) {
            self.unanswered.pop_front();
        }
        contact.addresses.retain(|address| group(address).is_none_or(|g| !self.is_spent(g)));
        if contact.addresses.is_empty() {
            return Permit::NotThisOne;
        }
        if self.len() >= MAX_DIALLING || !self.rate.take(now, 1) {
            return Permit::NoMore;
        }
        // Every address may be tried, so every group is counted.
        let groups: BTreeSet<IpAddr> = contact.addresses.iter().filter_map(group).collect();
        self.unanswered.extend(groups.into_iter().map(|group| (now, group)));
        self.under_way.insert(contact.id);
        Permit::Granted
    }

    fn is_spent(&self, group: IpAddr) -> bool {
        let recent = self.unanswered.iter().filter(|(_, other)| *other == group).count();
        recent as u64 >= GROUP_DIALS
    }

    /// The dial was answered at `seen` by an accepted hello: it does not count against
    /// that group.
    pub(super) fn answered(&mut self, id: ServentId, seen: &SocketAddr) {
        if !self.under_way.remove(&id) {
            return;
        }
        let own = group(seen);
        if let Some(at) = self.unanswered.iter().rposition(|(_, other)| Some(*other) == own) {
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
                let permit = dialling.begin(at(secs), &mut contact(n, [198, 18, 0, n]));
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
            let mut contact = contact(n, [198, 18, 0, n]);
            assert_eq!(dialling.begin(at(0), &mut contact), Permit::Granted);
            dialling.answered(contact.id, &contact.addresses[0]);
        }
    }

    #[test]
    fn a_third_party_behind_an_answering_address_is_counted_all_the_same() {
        let mut dialling = Dialling::new(at(0));
        let victim: SocketAddr = "198.18.9.9:7272".parse().unwrap();
        let aimed = |n: u8| {
            let own = SocketAddr::from(([198, 18, n, 1], 7272));
            Contact::new(ServentId([n; 32]), [own, victim])
        };
        let mut dialled = 0;
        for n in 0..8 {
            let mut contact = aimed(n);
            assert_eq!(dialling.begin(at(0), &mut contact), Permit::Granted);
            dialled += usize::from(contact.addresses.contains(&victim));
            dialling.answered(contact.id, &contact.addresses[0]);
        }
        assert_eq!(dialled, 4);
    }

    #[test]
    fn a_burst_is_followed_by_one_a_second_and_nobody_is_dialled_twice() {
        let mut dialling = Dialling::new(at(0));
        let local = |n| contact(n, [127, 0, 0, 1]);
        assert_eq!(dialling.begin(at(0), &mut local(0)), Permit::Granted);
        assert_eq!(dialling.begin(at(0), &mut local(0)), Permit::NotThisOne);
        let more = (1..100).filter(|&n| dialling.begin(at(0), &mut local(n)) == Permit::Granted);
        assert_eq!(more.count(), MAX_DIALLING - 1);
        (0..100).for_each(|n| dialling.failed(ServentId([n; 32])));
        assert_eq!(dialling.begin(at(0), &mut local(100)), Permit::NoMore);
        assert_eq!(dialling.begin(at(1), &mut local(100)), Permit::Granted);
    }
}
