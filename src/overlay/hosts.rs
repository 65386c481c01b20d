//! The host cache: contacts to turn to, and what is known of each.
//!
//! Always true: at most [`MAX_HOSTS`], never this servent itself, and every address
//! passed [`dialable`]. A contact told by others is only a claim: it is dialled before
//! it is trusted, and handed on only while it is fresh.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;

use super::config::{
    FRESH, REDIAL_FIRST, REDIAL_ISOLATED, REDIAL_ISOLATED_LONGEST, REDIAL_LONGEST, SIMULTANEOUS,
};
use crate::base::{Contact, ServentId, Time};
use crate::message::AgedContact;

/// Most contacts kept: a hundred times the neighbours of a servent.
pub(super) const MAX_HOSTS: usize = 1024;
/// Failures after which a contact that never answered is dropped.
const FAILURES_UNPROVEN: u32 = 3;
/// Failures after which one that did answer once is dropped.
const FAILURES_PROVEN: u32 = 10;

/// A contact as it is kept over a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cached {
    /// Who and where.
    pub contact: Contact,
    /// Whether a dial to it has ever been welcomed.
    pub proven: bool,
    /// When it was last heard of; none when that was in an earlier run.
    pub heard: Option<Time>,
}

#[derive(Debug)]
struct Host {
    contact: Contact,
    /// Whether a dial to it was welcomed.
    proven: bool,
    /// Whether a hello passed between us: then it is more than somebody's word.
    met: bool,
    /// When anybody last had a byte from it, as far as was told.
    heard: Option<Time>,
    /// When it was last found dead: word of it from before then counts for nothing.
    lost: Option<Time>,
    failures: u32,
    next_try: Time,
}

/// What a contact rests on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// Somebody said so.
    Told,
    /// It dialled us.
    Met,
    /// We dialled it, and it welcomed us.
    Dialled,
}

#[derive(Debug)]
pub(super) struct HostCache {
    own: ServentId,
    hosts: BTreeMap<ServentId, Host>,
}

/// Whether an address may be dialled on the word of `giver`, who told of it.
///
/// Never: port 0 and the ports below 1024, which belong to other services; addresses
/// that are nobody's, everybody's or only this cable's. Loopback and private addresses
/// only when the giver is there, too: a stranger has no business with our printer.
#[must_use]
pub fn dialable(address: SocketAddr, giver: IpAddr) -> bool {
    let ip = address.ip().to_canonical();
    if address.port() < 1024 || ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    let giver = giver.to_canonical();
    match ip {
        IpAddr::V4(v4) if v4.octets().first() == Some(&0) => false,
        IpAddr::V4(v4) if v4.octets().first().is_some_and(|&first| first >= 224) => false,
        IpAddr::V4(v4) if v4 == Ipv4Addr::BROADCAST || v4.is_link_local() => false,
        IpAddr::V6(v6) if v6.segments().first().is_some_and(|s| s & 0xffc0 == 0xfe80) => false,
        _ => scope(ip) == Scope::Public || scope(giver) <= scope(ip),
    }
}

/// How far an address reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Loopback,
    Private,
    Public,
}

fn scope(ip: IpAddr) -> Scope {
    let private = match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || (a == 100 && b & 0xc0 == 64) || (a == 198 && b & 0xfe == 18)
        }
        IpAddr::V6(v6) => v6.segments().first().is_some_and(|s| s & 0xfe00 == 0xfc00),
    };
    match (ip.is_loopback(), private) {
        (true, _) => Scope::Loopback,
        (_, true) => Scope::Private,
        _ => Scope::Public,
    }
}

impl HostCache {
    pub(super) fn new(own: ServentId) -> Self {
        Self { own, hosts: BTreeMap::new() }
    }

    /// Takes what `giver` tells of others.
    pub(super) fn learn(&mut self, now: Time, giver: IpAddr, told: Vec<AgedContact>) {
        for AgedContact { contact, age_secs } in told {
            let addresses = contact.addresses.into_iter().filter(|&a| dialable(a, giver));
            let contact = Contact::new(contact.id, addresses);
            let age = Duration::from_secs(age_secs.into());
            let heard = (age <= FRESH && age <= now.since(Time::ZERO)).then(|| now.before(age));
            self.insert(now, contact, heard, Evidence::Told);
        }
    }

    /// Takes contacts from an earlier run.
    pub(super) fn restore(&mut self, now: Time, cached: Vec<Cached>) {
        for Cached { contact, proven, .. } in cached {
            let evidence = if proven { Evidence::Dialled } else { Evidence::Told };
            let contact = Contact::new(contact.id, contact.addresses);
            self.insert(now, contact, None, evidence);
        }
    }

    /// Notes that a connection with `contact` stands; `proven` if we dialled it.
    pub(super) fn met(&mut self, now: Time, contact: &Contact, proven: bool) {
        let evidence = if proven { Evidence::Dialled } else { Evidence::Met };
        self.insert(now, contact.clone(), Some(now), evidence);
        if let Some(host) = self.hosts.get_mut(&contact.id) {
            host.lost = None;
            if proven {
                host.failures = 0;
                host.next_try = now;
            }
        }
    }

    /// Notes that a neighbour is gone: it is not handed on until heard of again.
    pub(super) fn gone(&mut self, now: Time, id: ServentId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.lost = Some(now);
            host.heard = None;
        }
    }

    /// Notes a dial that came to nothing; often enough, and the contact is dropped.
    pub(super) fn failed(
        &mut self,
        now: Time,
        id: ServentId,
        isolated: bool,
        rng: &mut ChaCha12Rng,
    ) {
        self.gone(now, id);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.failures += 1;
        let limit = if host.proven { FAILURES_PROVEN } else { FAILURES_UNPROVEN };
        if host.failures >= limit && !isolated {
            self.hosts.remove(&id);
            return;
        }
        host.next_try = now + wait(host.failures, isolated, rng);
    }

    /// Notes that a living servent had no room.
    pub(super) fn refused(&mut self, now: Time, id: ServentId, rng: &mut ChaCha12Rng) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.next_try = now + wait(1, false, rng);
        }
    }

    /// Notes that another link takes the place of the one to this servent.
    pub(super) fn replaced(&mut self, now: Time, id: ServentId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.next_try = host.next_try.max(now + SIMULTANEOUS);
        }
    }

    /// With nobody left, every contact may be tried again soon.
    pub(super) fn hurry(&mut self, now: Time) {
        for host in self.hosts.values_mut() {
            host.next_try = host.next_try.min(now + REDIAL_ISOLATED);
        }
    }

    /// Whether a contact may be dialled now, as far as its last dial is concerned.
    pub(super) fn is_ripe(&self, now: Time, id: ServentId) -> bool {
        self.hosts.get(&id).is_none_or(|host| host.next_try <= now)
    }

    /// Contacts to dial now, best first: the fresh that we have met, the proven, the fresh
    /// by others' word, then the rest; each in random order.
    pub(super) fn candidates(
        &self,
        now: Time,
        rng: &mut ChaCha12Rng,
        excluded: impl Fn(ServentId) -> bool,
    ) -> Vec<Contact> {
        let mut list: Vec<&Host> = self
            .hosts
            .values()
            .filter(|host| host.next_try <= now && !host.contact.addresses.is_empty())
            .filter(|host| !excluded(host.contact.id))
            .collect();
        list.shuffle(rng);
        list.sort_by_key(|host| {
            let fresh = host.is_fresh(now);
            (!(fresh && host.met), !host.proven, !fresh, host.failures)
        });
        list.into_iter().map(|host| host.contact.clone()).collect()
    }

    /// When a contact that cannot be dialled now may be; none when there is none.
    pub(super) fn next_candidate(&self, excluded: impl Fn(ServentId) -> bool) -> Option<Time> {
        let open = self.hosts.values().filter(|host| !excluded(host.contact.id));
        open.filter(|host| !host.contact.addresses.is_empty()).map(|host| host.next_try).min()
    }

    /// The contacts that may be handed on, with their ages.
    pub(super) fn fresh(&self, now: Time) -> Vec<AgedContact> {
        let fresh = self.hosts.values().filter(|host| host.is_fresh(now));
        fresh
            .filter(|host| !host.contact.addresses.is_empty())
            .filter_map(|host| {
                let age = now.since(host.heard?).as_secs();
                let age_secs = u32::try_from(age).unwrap_or(u32::MAX);
                Some(AgedContact { contact: host.contact.clone(), age_secs })
            })
            .collect()
    }

    /// Everything worth keeping, proven contacts first.
    pub(super) fn to_keep(&self) -> Vec<Cached> {
        let mut kept: Vec<Cached> = self
            .hosts
            .values()
            .filter(|host| !host.contact.addresses.is_empty())
            .map(|host| Cached {
                contact: host.contact.clone(),
                proven: host.proven,
                heard: host.heard,
            })
            .collect();
        kept.sort_by_key(|cached| (!cached.proven, std::cmp::Reverse(cached.heard)));
        kept
    }

    fn insert(&mut self, now: Time, contact: Contact, heard: Option<Time>, evidence: Evidence) {
        let (proven, met) = (evidence == Evidence::Dialled, evidence != Evidence::Told);
        if contact.id == self.own {
            return;
        }
        if let Some(host) = self.hosts.get_mut(&contact.id) {
            let stale = heard.is_some_and(|heard| host.lost.is_some_and(|lost| heard <= lost));
            if !stale {
                host.heard = host.heard.max(heard);
            }
            // A stranger may add to what we know of a proven contact, not replace it.
            let known = std::mem::take(&mut host.contact.addresses);
            let merged: Vec<SocketAddr> = if proven || (met && !host.proven) {
                contact.addresses.into_iter().chain(known).collect()
            } else {
                known.into_iter().chain(contact.addresses).collect()
            };
            host.contact = Contact::new(contact.id, merged);
            host.proven |= proven;
            host.met |= met;
            return;
        }
        if contact.addresses.is_empty() {
            return;
        }
        if self.hosts.len() >= MAX_HOSTS {
            self.drop_worst();
        }
        let host = Host { contact, proven, met, heard, lost: None, failures: 0, next_try: now };
        self.hosts.insert(host.contact.id, host);
    }

    fn drop_worst(&mut self) {
        let worst = self
            .hosts
            .values()
            .max_by_key(|host| {
                (!host.proven, !host.met, host.failures, std::cmp::Reverse(host.heard))
            })
            .map(|host| host.contact.id);
        if let Some(id) = worst {
            self.hosts.remove(&id);
        }
    }
}

impl Host {
    fn is_fresh(&self, now: Time) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) <= FRESH)
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn id(n: u8) -> ServentId {
        ServentId([n; 32])
    }

    fn told(n: u8, age_secs: u32) -> AgedContact {
        let address = SocketAddr::from(([127, 0, 0, 1], 7000 + u16::from(n)));
        AgedContact { contact: Contact::new(id(n), [address]), age_secs }
    }

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn addresses_that_aim_at_others_are_not_dialled() {
        let public: IpAddr = "192.0.2.7".parse().unwrap();
        for bad in [
            "127.0.0.1:0",
            "127.0.0.1:80",
            "0.0.0.0:7272",
            "224.0.0.1:7272",
            "255.255.255.255:7272",
            "169.254.1.1:7272",
            "[::]:7272",
            "[fe80::1]:7272",
            "[ff02::1]:7272",
            "[::ffff:0.0.0.0]:7272",
        ] {
            assert!(!dialable(bad.parse().unwrap(), LOCAL), "{bad}");
        }
        for local in ["127.0.0.1:7272", "[::1]:7272", "10.0.0.1:7272", "[::ffff:127.0.0.1]:7272"] {
            assert!(dialable(local.parse().unwrap(), LOCAL), "{local}");
            assert!(!dialable(local.parse().unwrap(), public), "{local}");
        }
        assert!(!dialable("127.0.0.1:7272".parse().unwrap(), "10.0.0.1".parse().unwrap()));
        assert!(dialable("203.0.113.9:7272".parse().unwrap(), public));
    }

    #[test]
    fn a_contact_is_handed_on_while_fresh_and_no_longer() {
        let mut hosts = HostCache::new(id(0));
        hosts.learn(at(100), LOCAL, vec![told(1, 40), told(2, 46), told(0, 0)]);
        assert_eq!(hosts.fresh(at(100)), [told(1, 40)]);
        assert_eq!(hosts.fresh(at(105)), [told(1, 45)]);
        assert_eq!(hosts.fresh(at(106)), []);
        assert_eq!(hosts.hosts.len(), 2, "it stays for dialling");
    }

    #[test]
    fn old_word_of_a_dead_servent_does_not_bring_it_back() {
        let mut hosts = HostCache::new(id(0));
        hosts.learn(at(100), LOCAL, vec![told(1, 0)]);
        hosts.gone(at(110), id(1));
        hosts.learn(at(112), LOCAL, vec![told(1, 5)]);
        assert_eq!(hosts.fresh(at(112)), []);
        hosts.learn(at(120), LOCAL, vec![told(1, 5)]);
        assert_eq!(hosts.fresh(at(120)), [told(1, 5)]);
    }

    #[test]
    fn a_contact_that_keeps_failing_is_dropped() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut hosts = HostCache::new(id(0));
        hosts.learn(at(1), LOCAL, vec![told(1, 0)]);
        for _ in 0..FAILURES_UNPROVEN {
            assert_eq!(hosts.hosts.len(), 1);
            hosts.failed(at(2), id(1), false, &mut rng);
        }
        assert_eq!(hosts.hosts.len(), 0);
    }

    #[test]
    fn a_full_cache_drops_the_worst_and_keeps_the_proven() {
        let mut hosts = HostCache::new(id(0));
        let good = told(1, 0).contact;
        hosts.met(at(1), &good, true);
        for n in 0..3000u32 {
            let mut key = [9; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            let contact = Contact::new(ServentId(key), good.addresses.clone());
            hosts.learn(at(1), LOCAL, vec![AgedContact { contact, age_secs: 0 }]);
        }
        assert_eq!(hosts.hosts.len(), MAX_HOSTS);
        assert!(hosts.to_keep().iter().any(|kept| kept.contact.id == id(1)));
    }
}
