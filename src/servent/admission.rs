//! Who may come in, and how many at once.
//!
//! Always true: what is counted is uncounted when its [`Pass`] is dropped, so the
//! tables are never larger than the connections that stand.

use std::collections::{BTreeMap, HashMap};
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::accept_rate::AcceptRate;
use super::eviction::{self, Merits};
use super::origin::{address, crowd, group, is_exempt};
use crate::base::{ServentId, Time};

/// Connections that have not said hello yet.
pub(super) const MAX_PENDING: usize = 128;
/// Connections from one address (IPv6: one /64), before and after their hello each.
pub(super) const PER_ADDRESS: usize = 4;
/// Connections from one /16 (IPv6: /32).
pub(super) const PER_GROUP: usize = 32;
/// Connections in all, both kinds: links and transfers. Fewer where the process may not
/// open as many files.
pub(super) const MAX_INBOUND: usize = 128;
/// Places among them that transfers cannot have, so that whoever fills the others keeps no
/// newcomer out of the mesh.
pub(super) const FOR_LINKS: usize = 16;
/// Wrong proofs of the network from one address, a minute: nobody guesses a key faster.
pub(super) const WRONG_PROOFS: u32 = 3;
/// Addresses whose wrong proofs are remembered; the oldest is forgotten for a new one.
const MAX_REMEMBERED: usize = 1024;
const A_MINUTE: Duration = Duration::from_secs(60);

/// Counts connections and turns away what is too much.
#[derive(Clone, Debug)]
pub(super) struct Admission(Arc<Mutex<Tables>>);

/// What an established connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Link,
    Transfer,
}

#[derive(Debug)]
struct Tables {
    /// How many may stand, [`MAX_INBOUND`] at most.
    places: usize,
    next: u64,
    pending: BTreeMap<u64, (IpAddr, CancellationToken)>,
    established: BTreeMap<u64, Standing>,
    wrong: HashMap<IpAddr, (u32, Time)>,
    rate: AcceptRate,
    /// So that nobody can tell which groups the choice of a victim favours.
    key: RandomState,
}

/// A connection that said hello and was taken in.
#[derive(Debug)]
struct Standing {
    id: ServentId,
    kind: Kind,
    revoked: CancellationToken,
    merits: Merits,
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
    /// With so many places for those that have said hello.
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(Tables {
            places,
            next: 0,
            pending: BTreeMap::new(),
            established: BTreeMap::new(),
            wrong: HashMap::new(),
            rate: AcceptRate::default(),
            key: RandomState::new(),
        })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many may stand at once.
    pub(super) fn places(&self) -> usize {
        self.lock().places
    }

    /// Lets a connection in, to say hello; none when its address has too many already, or
    /// it and its like come too fast.
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
        if !tables.rate.allows(now, from) {
            return None;
        }
        let same =
            tables.pending.values().filter(|(other, _)| super::origin::address(*other) == address);
        if !is_exempt(from) && same.count() >= PER_ADDRESS {
            return None;
        }
        if tables.pending.len() >= MAX_PENDING {
            tables.drop_pending();
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

    /// Notes a round trip to a neighbour.
    pub(super) fn note_round_trip(&self, id: ServentId, round_trip: Duration) {
        self.note(id, |merits| {
            let before = merits.round_trip.unwrap_or(round_trip);
            merits.round_trip = Some(before.min(round_trip));
        });
    }

    /// Notes that a piece from this servent was right.
    pub(super) fn note_piece(&self, now: Time, id: ServentId) {
        self.note(id, |merits| merits.gave_piece = Some(now));
    }

    /// Notes that the user downloads what a hit of this servent named.
    pub(super) fn note_hit(&self, now: Time, id: ServentId) {
        self.note(id, |merits| merits.gave_hit = Some(now));
    }

    fn note(&self, id: ServentId, merit: impl Fn(&mut Merits)) {
        let mut tables = self.lock();
        tables
            .established
            .values_mut()
            .filter(|standing| standing.id == id)
            .for_each(|standing| merit(&mut standing.merits));
    }
}

impl Tables {
    fn drop_pending(&mut self) {
        let mut crowds: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (from, _) in self.pending.values() {
            *crowds.entry(crowd(*from)).or_default() += 1;
        }
        let Some((most, _)) = crowds.into_iter().max_by_key(|&(_, count)| count) else { return };
        let oldest = self.pending.iter().find(|(_, (from, _))| crowd(*from) == most);
        if let Some(number) = oldest.map(|(&number, _)| number)
            && let Some((_, revoked)) = self.pending.remove(&number)
        {
            revoked.cancel();
        }
    }

    /// Whether there is a place for one more of this kind; somebody may lose theirs to it.
    fn make_room(&mut self, kind: Kind) -> bool {
        let transfers = self.established.values().filter(|one| one.kind == Kind::Transfer).count();
        let crowded = kind == Kind::Transfer && transfers + FOR_LINKS >= self.places;
        if !crowded && self.established.len() < self.places {
            return true;
        }
        let rivals = self.established.values().filter(|one| !crowded || one.kind == kind);
        let rivals: Vec<Merits> = rivals.map(|one| one.merits.clone()).collect();
        let victim = eviction::victim(&rivals, &self.key);
        let Some(evicted) = victim.and_then(|number| self.established.remove(&number)) else {
            return false;
        };
        evicted.revoked.cancel();
        true
    }
}

impl Pass {
    /// The hello is said, by `id`; false when it can have no place, and is to be told so.
    /// Until then it counts among those before their hello.
    pub(super) fn establish(&self, id: ServentId, kind: Kind) -> bool {
        let mut tables = self.admission.lock();
        let (address, group) = (address(self.from), group(self.from));
        let others = tables.established.values().map(|one| one.merits.from);
        let same = |of: fn(IpAddr) -> IpAddr, own| {
            others.clone().filter(|&other| of(other) == own).count()
        };
        let beside = same(super::origin::address, address);
        let around = same(super::origin::group, group);
        let crowded = beside >= PER_ADDRESS || around >= PER_GROUP;
        if (crowded && !is_exempt(self.from)) || !tables.make_room(kind) {
            return false;
        }
        tables.pending.remove(&self.number);
        let merits = Merits {
            number: self.number,
            from: self.from,
            round_trip: None,
            gave_piece: None,
            gave_hit: None,
        };
        let revoked = self.revoked.clone();
        tables.established.insert(self.number, Standing { id, kind, revoked, merits });
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: ServentId = ServentId([1; 32]);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn stands(pass: &Pass, kind: Kind) -> bool {
        pass.establish(SOMEBODY, kind)
    }

    #[test]
    fn one_address_holds_four_places_and_loopback_as_many_as_there_are() {
        let admission = Admission::new(MAX_INBOUND);
        let passes: Vec<_> =
            (0..10).filter_map(|_| admission.admit(Time::ZERO, ip("127.9.9.9"))).collect();
        assert_eq!(passes.len(), PER_ADDRESS);
        assert!(passes.iter().all(|pass| stands(pass, Kind::Link)));
        let later = Time::ZERO + Duration::from_secs(8);
        let more = admission.admit(later, ip("127.9.9.9")).unwrap();
        assert!(!stands(&more, Kind::Link), "four stand already");
        drop(passes);
        let again = admission.admit(later, ip("127.9.9.9")).unwrap();
        assert!(stands(&again, Kind::Link));
        let local: Vec<_> =
            (0..100).filter_map(|_| admission.admit(Time::ZERO, ip("127.0.0.1"))).collect();
        assert_eq!(local.len(), 100);
    }

    #[test]
    fn one_group_holds_thirty_two_places() {
        let admission = Admission::new(MAX_INBOUND);
        let at = |i: u8| Time::ZERO + Duration::from_secs(i.into());
        let passes: Vec<_> = (0..100u8)
            .filter_map(|i| admission.admit(at(i), IpAddr::from([127, 9, 0, i])))
            .collect();
        assert_eq!(passes.len(), 100);
        assert_eq!(passes.iter().filter(|pass| stands(pass, Kind::Link)).count(), PER_GROUP);
    }

    #[test]
    fn transfers_leave_room_for_newcomers_and_evict_each_other() {
        let admission = Admission::new(MAX_INBOUND);
        let come = |kind| {
            let pass = admission.admit(Time::ZERO, ip("127.0.0.1")).unwrap();
            assert!(stands(&pass, kind));
            pass
        };
        let alive = |passes: &[Pass]| passes.iter().filter(|p| !p.revoked.is_cancelled()).count();
        let transfers: Vec<_> = (0..200).map(|_| come(Kind::Transfer)).collect();
        assert_eq!(alive(&transfers), MAX_INBOUND - FOR_LINKS);
        assert!(!transfers[0].revoked.is_cancelled(), "the first came before the crowd");
        let links: Vec<_> = (0..FOR_LINKS).map(|_| come(Kind::Link)).collect();
        assert_eq!((alive(&links), alive(&transfers)), (FOR_LINKS, MAX_INBOUND - FOR_LINKS));
    }

    #[test]
    fn a_newcomer_is_refused_where_all_deserve_their_places() {
        let admission = Admission::new(FOR_LINKS);
        let come = |i: u8| {
            let pass = admission.admit(Time::ZERO, IpAddr::from([22, i, 0, 1])).unwrap();
            let stands = pass.establish(ServentId([i; 32]), Kind::Link);
            (pass, stands)
        };
        let mut passes = Vec::new();
        for i in 0..FOR_LINKS as u8 {
            let (pass, stands) = come(i);
            assert!(stands);
            match i {
                0..8 => admission.note_round_trip(ServentId([i; 32]), Duration::from_millis(5)),
                8..12 => admission.note_piece(Time::ZERO, ServentId([i; 32])),
                _ => admission.note_hit(Time::ZERO, ServentId([i; 32])),
            }
            passes.push(pass);
        }
        assert!(!come(99).1);
        assert!(passes.iter().all(|pass| !pass.revoked.is_cancelled()));
        passes.pop();
        assert!(come(99).1, "a place that is free is given");
    }

    #[test]
    fn a_flood_pushes_out_its_own() {
        let admission = Admission::new(MAX_INBOUND);
        let honest = admission.admit(Time::ZERO, ip("198.18.0.1")).unwrap();
        let flood: Vec<_> = (0..500u16)
            .filter_map(|i| {
                let [high, low] = i.to_be_bytes();
                let at = Time::ZERO + Duration::from_millis(125 * u64::from(i));
                admission.admit(at, IpAddr::from([127, 9, high, low]))
            })
            .collect();
        assert!(!honest.revoked.is_cancelled());
        let kept = flood.iter().filter(|pass| !pass.revoked.is_cancelled()).count();
        assert_eq!(kept, MAX_PENDING - 1);
    }

    #[test]
    fn three_wrong_proofs_a_minute_shut_the_door() {
        let admission = Admission::new(MAX_INBOUND);
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
