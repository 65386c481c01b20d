//! The address book: servents to turn to, and what is known of each.
//!
//! After Bitcoin's: who was merely told of is *new*, who welcomed a dial of ours is
//! *tried*, and each table is cut into buckets such that one network, however many
//! servents it claims to hold, has few of them. So nobody can fill the book, and who
//! starts anew finds the others again whatever it was told before.
//!
//! Always true: never this servent itself; every address passed [`dialable`]; at most
//! [`NEW_BUCKETS`] buckets of new and [`TRIED_BUCKETS`] of tried, 32 in each;
//! one source network reaches at most [`BUCKETS_PER_SOURCE`] new buckets and one network
//! of addresses at most [`BUCKETS_PER_GROUP`] tried ones; at most [`MAX_PER_GROUP`] entries
//! name an address of one network. What is told goes to *new* only: it is dialled before
//! it is trusted, and handed on only while it is fresh. Nobody loses a tried place that
//! still answers.
//!
//! **A servent with several networks** is one entry, for it has one id, and counts in
//! each of them. Among the new it is placed by the network of the first address that it
//! was told with, which is only a claim: the network of the teller, which is none, limits
//! where it can get. Among the tried it is placed by the network of the address that
//! welcomed us, which cannot be made up.

mod entry;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use rand::rngs::ChaCha12Rng;
use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};

use super::address::{dialable, group};
use super::config::{
    BUCKETS_PER_GROUP, BUCKETS_PER_SOURCE, MAX_PER_GROUP, MAX_TESTS, MAX_TOLD, NEW_BUCKETS,
    NEW_STALE, REDIAL_ISOLATED, TRIED_BUCKETS,
};
use crate::base::{Contact, ServentId, Time};
use crate::message::AgedContact;
use entry::{Entry, Place};
use table::{Table, bytes_of, keyed};

/// A servent as it is kept over a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cached {
    /// Who and where.
    pub contact: Contact,
    /// Whether a dial to it has ever been welcomed.
    pub proven: bool,
    /// When it was last heard of; none when nobody knows.
    pub heard: Option<Time>,
    /// Who told of it first; none when that is not known.
    pub source: Option<IpAddr>,
    /// Where it welcomed a dial of ours, the last time.
    pub answered: Option<SocketAddr>,
    /// Dials in vain since it was last heard of.
    pub failures: u32,
    /// Whether it is to be dialled before all others at the next start.
    pub anchor: bool,
}

impl Cached {
    /// A servent of which no more is known.
    #[must_use]
    pub fn new(contact: Contact, proven: bool, heard: Option<Time>) -> Self {
        let (source, answered) = (None, None);
        Self { contact, proven, heard, source, answered, failures: 0, anchor: false }
    }
}

#[derive(Debug)]
pub(super) struct Book {
    own: ServentId,
    /// What the buckets depend on, and nobody else knows.
    key: [u8; 32],
    entries: BTreeMap<ServentId, Entry>,
    new: Table,
    tried: Table,
    /// How many entries name an address of a network.
    groups: BTreeMap<IpAddr, usize>,
    /// Holders of tried places that are probed because others would have them.
    tests: BTreeMap<ServentId, ServentId>,
}

impl Book {
    pub(super) fn new(own: ServentId, key: [u8; 32]) -> Self {
        Self {
            own,
            key,
            entries: BTreeMap::new(),
            new: Table::default(),
            tried: Table::default(),
            groups: BTreeMap::new(),
            tests: BTreeMap::new(),
        }
    }

    /// Takes what `giver` tells of others.
    pub(super) fn learn(&mut self, now: Time, giver: IpAddr, told: Vec<AgedContact>) {
        for AgedContact { contact, age_secs } in told.into_iter().take(MAX_TOLD) {
            let addresses = contact.addresses.into_iter().filter(|&a| dialable(a, giver));
            let contact = Contact::new(contact.id, addresses);
            let heard = now.before(std::time::Duration::from_secs(age_secs.into()));
            if self.entries.contains_key(&contact.id) {
                self.merge(contact, Some(heard), false);
            } else {
                self.insert(now, contact, Some(heard), giver, false);
            }
        }
    }

    /// Notes that a neighbour names `id` as a neighbour of its own.
    pub(super) fn note_near(&mut self, now: Time, id: ServentId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.near = Some(now);
        }
    }

    /// Takes servents from an earlier run.
    pub(super) fn restore(&mut self, now: Time, cached: Vec<Cached>) {
        for Cached { contact, proven, heard, source, answered, failures, .. } in cached {
            let contact = Contact::new(contact.id, contact.addresses);
            let (id, Some(first)) = (contact.id, contact.addresses.first().copied()) else {
                continue;
            };
            if self.entries.contains_key(&id) {
                self.merge(contact, heard, false);
            } else {
                let source = source.unwrap_or(first.ip());
                self.insert(now, contact, heard, source, proven);
            }
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.learned = heard.unwrap_or(entry.learned);
            entry.failures = entry.failures.max(failures);
            entry.failing = Some(entry.last_sign()).filter(|_| entry.failures > 0);
            if entry.is_terrible(now) {
                self.remove(id);
            } else if proven {
                entry.proven = true;
                entry.home = answered.map(|address| address.ip());
                self.promote(now, id, answered.unwrap_or(first));
            }
        }
    }

    /// Notes that it dialled us, from `seen`.
    pub(super) fn met(&mut self, now: Time, contact: &Contact, seen: IpAddr) {
        let contact = contact.clone();
        let id = contact.id;
        if self.entries.contains_key(&id) {
            self.merge(contact, Some(now), true);
        } else {
            self.insert(now, contact, Some(now), seen, true);
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.met = true;
            entry.home = Some(seen.to_canonical());
            entry.lost = None;
        }
    }

    /// Notes that it answered a dial of ours at `seen` with a hello.
    pub(super) fn answered(&mut self, now: Time, contact: &Contact, seen: SocketAddr) {
        self.met(now, contact, seen.ip());
        self.tests.remove(&contact.id);
        if let Some(entry) = self.entries.get_mut(&contact.id) {
            entry.proven = true;
            (entry.failures, entry.failing) = (0, None);
            entry.next_try = now;
            self.promote(now, contact.id, seen);
        }
    }

    /// Notes a byte from it.
    pub(super) fn heard(&mut self, now: Time, id: ServentId) {
        self.tests.remove(&id); // it is there
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.heard = Some(now);
        }
    }

    /// Notes that a neighbour is gone: it is not handed on until heard of again.
    pub(super) fn gone(&mut self, now: Time, id: ServentId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.lost = Some(now);
        }
    }

    /// Notes a dial that came to nothing; often enough, and the servent is dropped. While
    /// we are `isolated` the fault may be ours.
    pub(super) fn failed(
        &mut self,
        now: Time,
        id: ServentId,
        isolated: bool,
        rng: &mut ChaCha12Rng,
    ) {
        self.gone(now, id);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.failures += 1;
        entry.failing.get_or_insert(now);
        let failures = entry.failures;
        entry.wait(now, failures, isolated, rng);
        if isolated {
            self.tests.remove(&id);
            return;
        }
        if entry.is_terrible(now) {
            self.remove(id);
        } else if let Some(newcomer) = self.tests.remove(&id) {
            self.demote(now, id);
            let seen = self.entries.get(&newcomer).and_then(|entry| entry.answered);
            if let Some(seen) = seen {
                self.promote(now, newcomer, seen);
            }
        }
    }

    /// Notes that a living servent had no room.
    pub(super) fn refused(&mut self, now: Time, id: ServentId, rng: &mut ChaCha12Rng) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.wait(now, 1, false, rng);
        }
    }

    /// Puts the next dial off until `at`.
    pub(super) fn put_off(&mut self, id: ServentId, at: Time) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.next_try = entry.next_try.max(at);
        }
    }

    /// With nobody left, everybody may be tried again soon.
    pub(super) fn hurry(&mut self, now: Time) {
        for entry in self.entries.values_mut() {
            entry.next_try = entry.next_try.min(now + REDIAL_ISOLATED);
        }
    }

    /// Drops who is not worth a place any more.
    pub(super) fn sweep(&mut self, now: Time) {
        let terrible = self.entries.values().filter(|entry| entry.is_terrible(now));
        let terrible: Vec<ServentId> = terrible.map(|entry| entry.contact.id).collect();
        terrible.into_iter().for_each(|id| self.remove(id));
    }

    /// Whether it may be dialled now, as far as its last dial is concerned.
    pub(super) fn is_ripe(&self, now: Time, id: ServentId) -> bool {
        self.entries.get(&id).is_none_or(|entry| entry.next_try <= now)
    }

    /// From where a hello of its has come.
    pub(super) fn home(&self, id: ServentId) -> Option<IpAddr> {
        self.entries.get(&id).and_then(|entry| entry.home)
    }

    /// Whether it was heard of within [`super::config::FRESH`].
    pub(super) fn is_fresh(&self, now: Time, id: ServentId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.is_fresh(now))
    }

    /// Servents to dial now, best first: the fresh that we have met, the proven, the fresh
    /// by others' word, then the rest. Among equals each bucket has its turn, so that who
    /// fills one gains nothing by it.
    pub(super) fn candidates(
        &self,
        now: Time,
        rng: &mut ChaCha12Rng,
        excluded: impl Fn(ServentId) -> bool,
    ) -> Vec<Contact> {
        let ripe = self.entries.values().filter(|entry| entry.is_ripe(now));
        let mut list: Vec<&Entry> = ripe.filter(|entry| !excluded(entry.contact.id)).collect();
        list.shuffle(rng);
        let mut turns: BTreeMap<Place, u32> = BTreeMap::new();
        let mut ranked: Vec<(_, &Entry)> = list
            .into_iter()
            .map(|entry| {
                let turn = turns.entry(entry.place).or_default();
                *turn += 1;
                let fresh = entry.is_fresh(now);
                ((!(fresh && entry.met), !entry.proven, !fresh, entry.failures, *turn), entry)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, entry)| entry.contact.clone()).collect()
    }

    /// When one that cannot be dialled now may be; none when there is none.
    pub(super) fn next_candidate(&self, excluded: impl Fn(ServentId) -> bool) -> Option<Time> {
        let open = self.entries.values().filter(|entry| !excluded(entry.contact.id));
        open.filter(|entry| !entry.contact.addresses.is_empty()).map(|entry| entry.next_try).min()
    }

    /// Whom to probe: the holder of a tried place that somebody else would have, else
    /// somebody new of a random bucket.
    pub(super) fn to_probe(
        &self,
        now: Time,
        rng: &mut ChaCha12Rng,
        excluded: impl Fn(ServentId) -> bool,
    ) -> Option<Contact> {
        let ripe = |id: &ServentId| {
            let entry = self.entries.get(id).filter(|entry| entry.is_ripe(now))?;
            (!excluded(*id)).then_some(entry)
        };
        let tested = self.tests.keys().find_map(ripe);
        let untried = || {
            let bucket = self.new.buckets().choose(rng)?;
            let open: Vec<&Entry> = bucket.iter().filter_map(ripe).collect();
            open.choose(rng).copied()
        };
        tested.or_else(untried).map(|entry| entry.contact.clone())
    }

    /// Somebody fresh who is not known to be a neighbour's neighbour, if there is one.
    pub(super) fn far(
        &self,
        now: Time,
        rng: &mut ChaCha12Rng,
        excluded: impl Fn(ServentId) -> bool,
    ) -> Option<Contact> {
        let open = self.entries.values().filter(|entry| entry.is_fresh(now) && entry.is_ripe(now));
        let far = open.filter(|entry| !entry.is_near(now) && !excluded(entry.contact.id));
        far.choose(rng).map(|entry| entry.contact.clone())
    }

    /// Those that may be handed on, with their ages.
    pub(super) fn fresh(&self, now: Time) -> Vec<AgedContact> {
        let fresh = self.entries.values().filter(|entry| entry.is_fresh(now));
        fresh
            .filter(|entry| !entry.contact.addresses.is_empty())
            .filter_map(|entry| {
                // Nothing is as young as a living link.
                let age = now.since(entry.heard?).as_secs().max(1);
                let age_secs = u32::try_from(age).unwrap_or(u32::MAX);
                Some(AgedContact { contact: entry.contact.clone(), age_secs })
            })
            .collect()
    }

    /// A number that puts `id` in an order that only we know, the same for all who ask
    /// from the network of `seen` in one `epoch`; `asker` stands for who has no network.
    pub(super) fn rank(&self, epoch: u64, seen: IpAddr, asker: ServentId, id: ServentId) -> u16 {
        let seen = bytes_of(group(seen), asker);
        keyed(&self.key, &[b"rank", &epoch.to_le_bytes(), &seen, &id.0], u16::MAX)
    }

    /// All that is worth keeping: the anchors, the proven, those met, then the others.
    pub(super) fn to_keep(&self, anchors: &[ServentId]) -> Vec<Cached> {
        let mut kept: Vec<&Entry> =
            self.entries.values().filter(|entry| !entry.contact.addresses.is_empty()).collect();
        let is_anchor = |entry: &Entry| anchors.contains(&entry.contact.id);
        kept.sort_by_key(|entry| {
            let anchor = anchors.iter().position(|id| *id == entry.contact.id);
            let heard = std::cmp::Reverse(entry.heard);
            (anchor.unwrap_or(usize::MAX), !entry.proven, !entry.met, heard)
        });
        let cached = kept.into_iter().map(|entry| Cached {
            contact: entry.contact.clone(),
            proven: entry.proven,
            heard: entry.heard,
            source: Some(entry.source),
            answered: entry.answered,
            failures: entry.failures,
            anchor: is_anchor(entry),
        });
        cached.collect()
    }

    /// Adds to what is known of an entry; `first_hand` if it was from itself.
    fn merge(&mut self, contact: Contact, heard: Option<Time>, first_hand: bool) {
        let Some(mut entry) = self.entries.remove(&contact.id) else { return };
        entry.heard = entry.heard.max(heard);
        self.uncount(&entry);
        // A stranger may add to what we know of a servent, not replace it.
        let known = std::mem::take(&mut entry.contact.addresses);
        let merged: Vec<SocketAddr> = if first_hand {
            contact.addresses.into_iter().chain(known.iter().copied()).collect()
        } else {
            known.iter().copied().chain(contact.addresses).collect()
        };
        let room = |address: &SocketAddr| known.contains(address) || self.has_room(address.ip());
        let merged = merged.into_iter().filter(room);
        entry.contact = Contact::new(contact.id, merged);
        self.count(&entry);
        self.entries.insert(contact.id, entry);
    }

    /// Puts somebody among the new, if there is room; for who is `known` some is made.
    fn insert(
        &mut self,
        now: Time,
        contact: Contact,
        heard: Option<Time>,
        source: IpAddr,
        known: bool,
    ) {
        let id = contact.id;
        if known {
            for address in &contact.addresses {
                self.make_room(address.ip());
            }
        }
        let addresses = contact.addresses.into_iter().filter(|a| self.has_room(a.ip()));
        let contact = Contact::new(id, addresses);
        let Some(first) = contact.addresses.first() else { return };
        if id == self.own {
            return;
        }
        let bucket = self.new_bucket(first.ip(), source, id);
        if !self.make_place(now, bucket, known) {
            return;
        }
        let entry = Entry {
            contact,
            place: Place::New(bucket),
            source,
            answered: None,
            proven: false,
            met: false,
            heard,
            learned: now,
            home: None,
            near: None,
            lost: None,
            failures: 0,
            failing: None,
            next_try: now,
        };
        self.new.insert(bucket, id);
        self.count(&entry);
        self.entries.insert(id, entry);
    }

    /// Whether a new bucket has a place, or now has: the terrible and the failing go for
    /// anybody, then the stalest does; who was never met goes for somebody who is `known`.
    fn make_place(&mut self, now: Time, bucket: u16, known: bool) -> bool {
        if !self.new.is_full(bucket) {
            return true;
        }
        let held = self.new.bucket(bucket).iter().filter_map(|id| self.entries.get(id));
        let worst = held.max_by_key(|entry| {
            let stale = std::cmp::Reverse(entry.last_sign());
            (entry.is_terrible(now), !entry.proven, !entry.met, entry.failures, stale)
        });
        let yields = worst.filter(|entry| {
            let stale = now.since(entry.last_sign()) > NEW_STALE;
            entry.is_terrible(now) || entry.failures > 0 || stale || (known && !entry.met)
        });
        let Some(id) = yields.map(|entry| entry.contact.id) else { return false };
        self.remove(id);
        true
    }

    /// Moves somebody who answered at `seen` to the tried; when the bucket is full, its
    /// stalest holder is to be probed first.
    fn promote(&mut self, now: Time, id: ServentId, seen: SocketAddr) {
        let bucket = self.tried_bucket(seen.ip(), id);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.answered = Some(seen);
        let Place::New(old) = entry.place else { return };
        if !self.tried.is_full(bucket) {
            entry.place = Place::Tried(bucket);
            self.new.remove(old, id);
            self.tried.insert(bucket, id);
            return;
        }
        let held = self.tried.bucket(bucket).iter().filter_map(|id| self.entries.get(id));
        let stalest = held.min_by_key(|entry| entry.last_sign()).filter(|e| !e.is_fresh(now));
        if let Some(holder) = stalest.map(|entry| entry.contact.id)
            && self.tests.len() < MAX_TESTS
        {
            self.tests.entry(holder).or_insert(id);
        }
    }

    /// Moves somebody who answers no more back among the new, if there is a place.
    fn demote(&mut self, now: Time, id: ServentId) {
        let Some(entry) = self.entries.get(&id) else { return };
        let (Place::Tried(old), Some(first)) = (entry.place, entry.contact.addresses.first())
        else {
            return;
        };
        let bucket = self.new_bucket(first.ip(), entry.source, id);
        if !self.make_place(now, bucket, true) {
            self.remove(id);
            return;
        }
        self.tried.remove(old, id);
        self.new.insert(bucket, id);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.place = Place::New(bucket);
        }
    }

    fn remove(&mut self, id: ServentId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        match entry.place {
            Place::New(bucket) => self.new.remove(bucket, id),
            Place::Tried(bucket) => self.tried.remove(bucket, id),
        }
        self.uncount(&entry);
        self.tests.retain(|holder, newcomer| *holder != id && *newcomer != id);
    }

    fn new_bucket(&self, address: IpAddr, source: IpAddr, id: ServentId) -> u16 {
        let (address, source) = (bytes_of(group(address), id), bytes_of(group(source), id));
        let which = keyed(&self.key, &[b"which", &source, &address], BUCKETS_PER_SOURCE);
        keyed(&self.key, &[b"new", &source, &which.to_le_bytes()], NEW_BUCKETS)
    }

    fn tried_bucket(&self, address: IpAddr, id: ServentId) -> u16 {
        let which = keyed(&self.key, &[b"which", &id.0], BUCKETS_PER_GROUP);
        let address = bytes_of(group(address), id);
        keyed(&self.key, &[b"tried", &address, &which.to_le_bytes()], TRIED_BUCKETS)
    }

    /// Whether one entry more may name an address in the network of `ip`.
    fn has_room(&self, ip: IpAddr) -> bool {
        let held = group(ip).and_then(|group| self.groups.get(&group));
        held.is_none_or(|&held| held < MAX_PER_GROUP)
    }

    /// In a network that is full, one that was never met makes room.
    fn make_room(&mut self, ip: IpAddr) {
        if self.has_room(ip) {
            return;
        }
        let mut inside =
            self.entries.values().filter(|e| group(ip).is_some_and(|g| e.groups().contains(&g)));
        let told = inside.find(|entry| !entry.met && !entry.proven);
        if let Some(id) = told.map(|entry| entry.contact.id) {
            self.remove(id);
        }
    }

    fn count(&mut self, entry: &Entry) {
        for group in entry.groups() {
            *self.groups.entry(group).or_default() += 1;
        }
    }

    fn uncount(&mut self, entry: &Entry) {
        for group in entry.groups() {
            if let Some(count) = self.groups.get_mut(&group) {
                *count -= 1;
                if *count == 0 {
                    self.groups.remove(&group);
                }
            }
        }
    }
}
