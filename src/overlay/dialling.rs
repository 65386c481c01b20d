//! The dials that nobody typed: which are under way, and how many are allowed.
//!
//! A servent dials on the word of strangers, so it must be no weapon: always true is that
//! at most [`MAX_DIALLING`] are under way for one purpose, that they begin no faster than
//! its rate, the engine's than [`DIAL_RATE`], and that one neighbourhood of addresses that
//! does not answer as servents do gets at most [`GROUP_DIALS`] a minute, whoever named it
//! and whatever for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::address::{groups, vicinity};
use super::config::{DIAL_BURST, DIAL_RATE, GROUP_DIALS, MAX_DIALLING};
use crate::base::{Bucket, Contact, ServentId, Time};

const A_MINUTE: Duration = Duration::from_secs(60);
/// Dials remembered; while there are more in one minute, no other is allowed.
const MAX_REMEMBERED: usize = 4096;
/// Addresses remembered where a servent answered: of a full map, and of all sources of
/// some downloads.
const MAX_HOMES: usize = 1024;

/// Dials of the last minute that no accepted hello has answered for, by neighbourhood of
/// addresses, a /24 or /64. Clones are the same table: the engine and its driver, which
/// dials the sources of hits and the servents of a map, count in one and so keep to the
/// limit in sum.
#[derive(Clone, Debug, Default)]
pub struct Unanswered(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    dials: VecDeque<(Time, IpAddr)>,
    /// Where a servent has answered, latest last: no third party lives there.
    homes: VecDeque<SocketAddr>,
}

impl Unanswered {
    /// Takes the addresses out that must not be dialled at `now`; the others count as
    /// dialled. False when none is left.
    pub fn aim(&self, now: Time, addresses: &mut Vec<SocketAddr>) -> bool {
        let mut table = self.table();
        table.spare(now, addresses);
        table.count(now, addresses);
        !addresses.is_empty()
    }

    /// Notes that a dial was answered at `seen` by an accepted hello: it does not count
    /// against that neighbourhood.
    pub fn answered(&self, seen: &SocketAddr) {
        self.table().answered(seen);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes the addresses out that must not be dialled at `now`.
    fn spare(&mut self, now: Time, addresses: &mut Vec<SocketAddr>) {
        while self.dials.front().is_some_and(|&(at, _)| now.since(at) >= A_MINUTE) {
            self.dials.pop_front();
        }
        addresses.retain(|address| self.aims_at(address).is_none_or(|aim| !self.is_spent(aim)));
    }

    /// Notes that all `addresses` may be dialled from now on.
    fn count(&mut self, now: Time, addresses: &[SocketAddr]) {
        let aims: BTreeSet<IpAddr> = addresses.iter().filter_map(|a| self.aims_at(a)).collect();
        self.dials.extend(aims.into_iter().map(|aim| (now, aim)));
    }

    fn answered(&mut self, seen: &SocketAddr) {
        let Some(aim) = self.aims_at(seen) else { return };
        if let Some(at) = self.dials.iter().rposition(|(_, other)| *other == aim) {
            self.dials.remove(at);
        }
        if self.homes.len() >= MAX_HOMES {
            self.homes.pop_front();
        }
        self.homes.push_back(*seen);
    }

    /// The neighbourhood that a dial counts against, if any.
    fn aims_at(&self, address: &SocketAddr) -> Option<IpAddr> {
        vicinity(address.ip()).filter(|_| !self.homes.contains(address))
    }

    fn is_spent(&self, aim: IpAddr) -> bool {
        let recent = self.dials.iter().filter(|(_, other)| *other == aim).count();
        self.dials.len() >= MAX_REMEMBERED || recent as u64 >= GROUP_DIALS
    }
}

/// The dials of one purpose that nobody typed.
#[derive(Debug)]
pub struct Dialling {
    under_way: BTreeMap<ServentId, Errand>,
    rate: Bucket,
    unanswered: Unanswered,
}

/// What is dialled, and whether for a link.
#[derive(Debug)]
struct Errand {
    groups: BTreeSet<IpAddr>,
    for_a_link: bool,
}

/// Whether a dial may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permit {
    /// It counts as under way now.
    Granted,
    /// Not to this one; perhaps to others.
    NotThisOne,
    /// To nobody at present.
    NoMore,
}

impl Dialling {
    pub(super) fn new(now: Time) -> Self {
        Self::paced(DIAL_RATE, DIAL_BURST, Unanswered::default(), now)
    }

    /// None under way; at most `rate` a second and `burst` at once will begin, and they
    /// count in `unanswered`.
    #[must_use]
    pub fn paced(rate: u64, burst: u64, unanswered: Unanswered, now: Time) -> Self {
        Self { under_way: BTreeMap::new(), rate: Bucket::new(rate, burst, now), unanswered }
    }

    /// Counts in `unanswered` from now on.
    pub(super) fn count_in(&mut self, unanswered: Unanswered) {
        self.unanswered = unanswered;
    }

    pub(super) fn contains(&self, id: ServentId) -> bool {
        self.under_way.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// How many links the dials under way may bring.
    pub(super) fn links(&self) -> usize {
        self.under_way.values().filter(|errand| errand.for_a_link).count()
    }

    /// The networks that are being dialled for a link.
    pub(super) fn groups(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let errands = self.under_way.values().filter(|errand| errand.for_a_link);
        errands.flat_map(|errand| errand.groups.iter().copied())
    }

    /// Asks for a dial; addresses in spent neighbourhoods are taken out of `contact`. Its
    /// `home`, from where a hello of its has come, is no third party and never spent.
    pub fn begin(
        &mut self,
        now: Time,
        contact: &mut Contact,
        home: Option<IpAddr>,
        for_a_link: bool,
    ) -> Permit {
        if self.contains(contact.id) {
            return Permit::NotThisOne;
        }
        let at_home = |address: &SocketAddr| Some(address.ip()) == home;
        let (mut addresses, mut abroad): (Vec<_>, Vec<_>) =
            std::mem::take(&mut contact.addresses).into_iter().partition(at_home);
        let mut table = self.unanswered.table();
        table.spare(now, &mut abroad);
        addresses.extend(&abroad);
        contact.addresses = addresses;
        if contact.addresses.is_empty() {
            return Permit::NotThisOne;
        }
        if self.under_way.len() >= MAX_DIALLING || !self.rate.take(now, 1) {
            return Permit::NoMore;
        }
        // Every address may be tried, so every neighbourhood is counted.
        table.count(now, &abroad);
        self.under_way.insert(contact.id, Errand { groups: groups(contact), for_a_link });
        Permit::Granted
    }

    /// Asks for a dial that has a rate of its own, and no place in this table: only the
    /// neighbourhoods are watched. False when all addresses are in spent ones.
    pub(super) fn admit(&mut self, now: Time, contact: &mut Contact) -> bool {
        self.unanswered.aim(now, &mut contact.addresses)
    }

    /// Such a dial was answered at `seen` by an accepted hello.
    pub(super) fn acquit(&mut self, seen: &SocketAddr) {
        self.unanswered.answered(seen);
    }

    /// The dial was answered at `seen` by an accepted hello.
    pub fn answered(&mut self, id: ServentId, seen: &SocketAddr) {
        if self.under_way.remove(&id).is_some() {
            self.unanswered.answered(seen);
        }
    }

    /// The dial came to nothing.
    pub fn failed(&mut self, id: ServentId) {
        self.under_way.remove(&id);
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
                let permit = dialling.begin(at(secs), &mut contact(n, [198, 18, 0, n]), None, true);
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
            assert_eq!(dialling.begin(at(0), &mut contact, None, true), Permit::Granted);
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
            assert_eq!(dialling.begin(at(0), &mut contact, None, true), Permit::Granted);
            dialled += usize::from(contact.addresses.contains(&victim));
            dialling.answered(contact.id, &contact.addresses[0]);
        }
        assert_eq!(dialled, 4);
    }

    #[test]
    fn who_has_said_hello_from_there_is_dialled_again_however_many_are_dead() {
        let mut dialling = Dialling::new(at(0));
        for n in 0..10 {
            let mut contact = contact(n, [198, 18, 0, n]);
            let home = Some(contact.addresses[0].ip());
            assert_eq!(dialling.begin(at(0), &mut contact, home, true), Permit::Granted);
            dialling.failed(contact.id);
        }
        let mut stranger = contact(20, [198, 18, 0, 20]);
        assert_eq!(dialling.begin(at(0), &mut stranger, None, true), Permit::Granted);
    }

    #[test]
    fn a_burst_is_followed_by_one_a_second_and_nobody_is_dialled_twice() {
        let mut dialling = Dialling::new(at(0));
        let local = |n| contact(n, [127, 0, 0, 1]);
        assert_eq!(dialling.begin(at(0), &mut local(0), None, true), Permit::Granted);
        assert_eq!(dialling.begin(at(0), &mut local(0), None, true), Permit::NotThisOne);
        let more = (1..100)
            .filter(|&n| dialling.begin(at(0), &mut local(n), None, true) == Permit::Granted);
        assert_eq!(more.count(), MAX_DIALLING - 1);
        (0..100).for_each(|n| dialling.failed(ServentId([n; 32])));
        assert_eq!(dialling.begin(at(0), &mut local(100), None, true), Permit::NoMore);
        assert_eq!(dialling.begin(at(1), &mut local(100), None, true), Permit::Granted);
    }
}
