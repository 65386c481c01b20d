//! Who may come in, and how many at once.
//!
//! Always true: what is counted is uncounted when its [`Pass`] is dropped, so the
//! tables are never larger than the connections that stand.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::base::Time;

/// Connections that have not said hello yet.
pub(super) const MAX_PENDING: usize = 128;
/// Connections from one address (IPv6: one /64), before and after their hello each.
pub(super) const PER_ADDRESS: usize = 4;
/// Connections from one /16 (IPv6: /32).
pub(super) const PER_GROUP: usize = 32;
/// Connections in all, both kinds: links and transfers.
pub(super) const MAX_INBOUND: usize = 128;
/// Transfers among them, so that whoever fills them keeps no newcomer out of the mesh.
pub(super) const MAX_TRANSFERS: usize = 112;
/// Wrong proofs of the network from one address, a minute: nobody guesses a key faster.
pub(super) const WRONG_PROOFS: u32 = 3;
/// Addresses whose wrong proofs are remembered; the oldest is forgotten for a new one.
const MAX_REMEMBERED: usize = 1024;
const A_MINUTE: Duration = Duration::from_secs(60);

/// Counts connections and turns away what is too much.
#[derive(Clone, Debug, Default)]
pub(super) struct Admission(Arc<Mutex<Tables>>);

/// What an established connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Link,
    Transfer,
}

#[derive(Debug, Default)]
struct Tables {
    next: u64,
    pending: BTreeMap<u64, (IpAddr, CancellationToken)>,
    established: BTreeMap<u64, (IpAddr, Kind)>,
    wrong: HashMap<IpAddr, (u32, Time)>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    admission: Admission,
    number: u64,
    from: IpAddr,
    /// Cancelled when the place is needed for somebody else.
    pub(super) revoked: CancellationToken,
}

impl Admission {
    fn lock(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, to say hello; none when its address has too many already.
    ///
    /// When all places are taken, the oldest of the most populous group loses its own:
    /// a flood pushes out itself, not the honest and slow.
    pub(super) fn admit(&self, now: Time, from: IpAddr) -> Option<Pass> {
        let mut tables = self.lock();
        let address = address(from);
        if tables.wrong.get(&address).is_some_and(|&(count, since)| {
            count >= WRONG_PROOFS && now.since(since) < A_MINUTE && !is_exempt(from)
        }) {
            return None;
        }
        let same = tables.pending.values().filter(|(other, _)| self::address(*other) == address);
        if !is_exempt(from) && same.count() >= PER_ADDRESS {
            return None;
        }
        if tables.pending.len() >= MAX_PENDING {
            tables.drop_victim();
        }
        let number = tables.next;
        tables.next += 1;
        let revoked = CancellationToken::new();
        tables.pending.insert(number, (from, revoked.clone()));
        drop(tables);
        Some(Pass { admission: self.clone(), number, from, revoked })
    }

    /// Notes that an address has shown a wrong proof of the network.
    pub(super) fn note_wrong_proof(&self, now: Time, from: IpAddr) {
        let mut tables = self.lock();
        if tables.wrong.len() >= MAX_REMEMBERED {
            let oldest = tables.wrong.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(&address, _)| address) {
                tables.wrong.remove(&oldest);
            }
        }
        let (count, since) = tables.wrong.entry(address(from)).or_insert((0, now));
        if now.since(*since) >= A_MINUTE {
            (*count, *since) = (0, now);
        }
        *count += 1;
    }
}

impl Tables {
    fn drop_victim(&mut self) {
        let mut crowds: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (from, _) in self.pending.values() {
            *crowds.entry(group(*from)).or_default() += 1;
        }
        let Some((crowd, _)) = crowds.into_iter().max_by_key(|&(_, count)| count) else { return };
        let oldest = self.pending.iter().find(|(_, (from, _))| group(*from) == crowd);
        if let Some(number) = oldest.map(|(&number, _)| number)
            && let Some((_, revoked)) = self.pending.remove(&number)
        {
            revoked.cancel();
        }
    }
}

impl Pass {
    /// The hello is said; false when there are enough connections of its kind.
    pub(super) fn establish(&self, kind: Kind) -> bool {
        let mut tables = self.admission.lock();
        tables.pending.remove(&self.number);
        let (address, group) = (address(self.from), group(self.from));
        let others = tables.established.values();
        let same = |of: fn(IpAddr) -> IpAddr, own| {
            others.clone().filter(|(other, _)| of(*other) == own).count()
        };
        let beside = same(self::address, address);
        let around = same(self::group, group);
        let transfers = others.clone().filter(|(_, other)| *other == Kind::Transfer).count();
        let crowded = beside >= PER_ADDRESS || around >= PER_GROUP;
        if tables.established.len() >= MAX_INBOUND
            || (kind == Kind::Transfer && transfers >= MAX_TRANSFERS)
            || (crowded && !is_exempt(self.from))
        {
            return false;
        }
        tables.established.insert(self.number, (self.from, kind));
        true
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut tables = self.admission.lock();
        tables.pending.remove(&self.number);
        tables.established.remove(&self.number);
    }
}

/// Exactly the two loopback addresses, where whole meshes live on one machine.
fn is_exempt(ip: IpAddr) -> bool {
    ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST
}

fn address(ip: IpAddr) -> IpAddr {
    masked(ip, 32, 64)
}

fn group(ip: IpAddr) -> IpAddr {
    masked(ip, 16, 32)
}

fn masked(ip: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & u32::MAX << (32 - v4_bits)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & u128::MAX << (128 - v6_bits)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_holds_four_places_and_loopback_as_many_as_there_are() {
        let admission = Admission::default();
        let passes: Vec<_> =
            (0..10).filter_map(|_| admission.admit(Time::ZERO, ip("127.9.9.9"))).collect();
        assert_eq!(passes.len(), PER_ADDRESS);
        assert!(passes.iter().all(|pass| pass.establish(Kind::Link)));
        let more = admission.admit(Time::ZERO, ip("127.9.9.9")).unwrap();
        assert!(!more.establish(Kind::Link), "four stand already");
        drop(passes);
        let again = admission.admit(Time::ZERO, ip("127.9.9.9")).unwrap();
        assert!(again.establish(Kind::Link));
        let local: Vec<_> =
            (0..100).filter_map(|_| admission.admit(Time::ZERO, ip("127.0.0.1"))).collect();
        assert_eq!(local.len(), 100);
    }

    #[test]
    fn one_group_holds_thirty_two_places() {
        let admission = Admission::default();
        let passes: Vec<_> = (0..100u8)
            .filter_map(|i| admission.admit(Time::ZERO, IpAddr::from([127, 9, 0, i])))
            .collect();
        assert_eq!(passes.iter().filter(|pass| pass.establish(Kind::Link)).count(), PER_GROUP);
    }

    #[test]
    fn transfers_leave_room_for_newcomers() {
        let admission = Admission::default();
        let mut passes = Vec::new();
        let mut come = |kind| {
            let pass = admission.admit(Time::ZERO, ip("127.0.0.1")).unwrap();
            let stands = pass.establish(kind);
            passes.push(pass);
            stands
        };
        assert_eq!((0..200).filter(|_| come(Kind::Transfer)).count(), MAX_TRANSFERS);
        assert_eq!((0..200).filter(|_| come(Kind::Link)).count(), MAX_INBOUND - MAX_TRANSFERS);
    }

    #[test]
    fn a_flood_pushes_out_its_own() {
        let admission = Admission::default();
        let honest = admission.admit(Time::ZERO, ip("198.18.0.1")).unwrap();
        let flood: Vec<_> = (0..500u16)
            .filter_map(|i| {
                let [high, low] = i.to_be_bytes();
                admission.admit(Time::ZERO, IpAddr::from([127, 9, high, low]))
            })
            .collect();
        assert!(!honest.revoked.is_cancelled());
        let kept = flood.iter().filter(|pass| !pass.revoked.is_cancelled()).count();
        assert_eq!(kept, MAX_PENDING - 1);
    }

    #[test]
    fn three_wrong_proofs_a_minute_shut_the_door() {
        let admission = Admission::default();
        let from = ip("127.9.9.9");
        for _ in 0..WRONG_PROOFS {
            assert!(admission.admit(Time::ZERO, from).is_some());
            admission.note_wrong_proof(Time::ZERO, from);
        }
        assert!(admission.admit(Time::ZERO, from).is_none());
        assert!(admission.admit(Time::ZERO, ip("127.9.9.8")).is_some());
        assert!(admission.admit(Time::ZERO + A_MINUTE, from).is_some());
    }
}
