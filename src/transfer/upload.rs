//! Who may take pieces from here now, and who stands in the queue.
//!
//! Always true:
//! - at most [`SLOTS`] peers hold a slot, at most [`SLOTS_PER_GROUP`] of one address
//!   group, and at most [`MAX_QUEUE`] wait;
//! - no slot is free while somebody waits who may have it;
//! - turns go round: who waited longest is next, and who had [`TURN`] bytes while others
//!   wait goes to the end. Who does not read comes after all who were not tried.
//!
//! A peer asks once with its first request, keeps its slot while it has requests that
//! are not answered and takes the data, and is idle after the last. The caller names
//! peers and address groups; a peer without a group, such as one on this machine, is
//! bound by no rule for groups.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::Time;

/// Peers that are sent pieces at the same time: enough to fill a link whose receivers
/// are slower, few enough that each gets a share worth having.
pub const SLOTS: usize = 8;
/// Slots of one address group, so that one machine with many ids cannot have them all.
pub const SLOTS_PER_GROUP: usize = 2;
/// Peers that wait; who comes after these is told that we are busy.
pub const MAX_QUEUE: usize = 64;
/// Bytes after which a slot goes to the next who waits: 16 large pieces.
pub const TURN: u64 = 16 << 20;
/// How long a peer may take nothing while others wait for its slot.
pub const STALL: Duration = Duration::from_secs(3);
/// How long a peer may take nothing at all.
pub const UNREAD: Duration = Duration::from_secs(30);

/// The answer to a request for a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The peer has one: send.
    Granted,
    /// It waits; 1: next.
    Queued(u32),
    /// Slots and queue are full.
    Busy,
}

/// What has changed for a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<P> {
    /// It has a slot now: send what it asked for.
    Granted(P),
    /// It waits, at this place: tell it, and send nothing for the time being.
    Queued(P, u32),
    /// It read nothing for too long and is out: close it.
    Stopped(P),
}

#[derive(Clone, Debug)]
struct Peer<G> {
    group: Option<G>,
    slot: bool,
    /// When it last took a byte, or got its first slot.
    took: Time,
    /// When this turn began.
    since: Time,
    /// Bytes of this turn.
    turn: u64,
    /// Whether it lost its last slot because it read nothing.
    stalled: bool,
}

/// The upload slots of one servent and the queue for them; `P` names a peer, `G` an
/// address group.
#[derive(Debug)]
pub struct UploadSlots<P, G> {
    peers: BTreeMap<P, Peer<G>>,
    /// Those who wait, the next one first; those who stalled last.
    queue: VecDeque<P>,
}

impl<P, G> Default for UploadSlots<P, G> {
    fn default() -> Self {
        Self { peers: BTreeMap::new(), queue: VecDeque::new() }
    }
}

impl<P: Copy + Ord, G: Clone + Ord> UploadSlots<P, G> {
    /// All slots free, nobody waiting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `peer`, at an address of `group`, has requests. Asking again changes nothing.
    ///
    /// `out` takes what changes for others: to a full queue a newcomer is let in the
    /// place of one who stalled.
    pub fn ask(
        &mut self,
        peer: P,
        group: Option<G>,
        now: Time,
        out: &mut Vec<Change<P>>,
    ) -> Answer {
        if let Some(known) = self.peers.get(&peer) {
            return if known.slot { Answer::Granted } else { self.place(peer) };
        }
        if self.queue.len() >= MAX_QUEUE && !self.may_have(group.as_ref()) {
            let last = self.queue.back().copied();
            match last.filter(|last| self.peers.get(last).is_some_and(|peer| peer.stalled)) {
                Some(last) => self.stop(last, out),
                None => return Answer::Busy,
            }
        }
        let before = self.queue.clone();
        let fresh = Peer { group, slot: false, took: now, since: now, turn: 0, stalled: false };
        self.peers.insert(peer, fresh);
        self.enqueue(peer);
        let mut changes = Vec::new();
        self.fill(now, &mut changes);
        self.tell_places(&before, &mut changes);
        // What it says about the asker is in the answer.
        out.extend(changes.into_iter().filter(
            |change| !matches!(change, Change::Granted(of) | Change::Queued(of, _) if *of == peer),
        ));
        match self.peers.get(&peer) {
            Some(known) if known.slot => Answer::Granted,
            _ => self.place(peer),
        }
    }

    /// `peer` took `bytes` of what it was sent.
    pub fn served(&mut self, peer: P, bytes: u64, now: Time, out: &mut Vec<Change<P>>) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.took = now;
        if !known.slot {
            return; // the rest of a piece that was begun with a slot
        }
        known.stalled = false;
        known.turn = known.turn.saturating_add(bytes);
        if known.turn >= TURN && self.is_wanted(peer) {
            self.rotate(peer, now, out);
        }
    }

    /// Our own cap holds back what `peer` would take, also the rest of a piece whose sending
    /// outlasts its slot: that it takes nothing is not its doing.
    pub fn held_back(&mut self, peer: P, now: Time) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.took = now;
        }
    }

    /// `peer` has no requests that are not answered: its slot, or its place, is free.
    pub fn idle(&mut self, peer: P, now: Time, out: &mut Vec<Change<P>>) {
        self.gone(peer, now, out);
    }

    /// The connection of `peer` has ended.
    pub fn gone(&mut self, peer: P, now: Time, out: &mut Vec<Change<P>>) {
        if self.peers.remove(&peer).is_some() {
            let before = self.queue.clone();
            self.queue.retain(|waiting| *waiting != peer);
            self.fill(now, out);
            self.tell_places(&before, out);
        }
    }

    /// Takes their slots from those who do not read. To be called at
    /// [`UploadSlots::next_deadline`].
    pub fn wake(&mut self, now: Time, out: &mut Vec<Change<P>>) {
        let unread = |peer: &Peer<G>| (peer.slot || peer.stalled) && now.since(peer.took) >= UNREAD;
        let dead = self.peers.iter().filter(|(_, peer)| unread(peer));
        let dead: Vec<P> = dead.map(|(id, _)| *id).collect();
        let before = self.queue.clone();
        for peer in dead {
            self.stop(peer, out);
        }
        self.fill(now, out);
        self.tell_places(&before, out);
        for peer in self.holders().collect::<Vec<_>>() {
            let wanted = self.is_wanted(peer);
            if let Some(known) = self.peers.get_mut(&peer)
                && wanted
                && now.since(known.took.max(known.since)) >= STALL
            {
                known.stalled = true;
                self.rotate(peer, now, out);
            }
        }
    }

    /// When to call [`UploadSlots::wake`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let stalls = self
            .holders()
            .filter(|&peer| self.is_wanted(peer))
            .filter_map(|peer| self.peers.get(&peer).map(|peer| peer.took.max(peer.since) + STALL));
        let unread = self
            .peers
            .values()
            .filter(|peer| peer.slot || peer.stalled)
            .map(|peer| peer.took + UNREAD);
        stalls.chain(unread).min()
    }

    /// Who holds a slot.
    pub fn holders(&self) -> impl Iterator<Item = P> {
        self.peers.iter().filter(|(_, peer)| peer.slot).map(|(id, _)| *id)
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn place(&self, peer: P) -> Answer {
        let place = self.queue.iter().position(|&waiting| waiting == peer);
        let place = place.map_or(self.queue.len(), |place| place + 1);
        Answer::Queued(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// Whether one of `group` may have a slot now.
    fn may_have(&self, group: Option<&G>) -> bool {
        self.holders().count() < SLOTS && self.group_has_room(group)
    }

    fn group_has_room(&self, group: Option<&G>) -> bool {
        let Some(group) = group else { return true };
        let holders = self.peers.values().filter(|peer| peer.slot);
        holders.filter(|peer| peer.group.as_ref() == Some(group)).count() < SLOTS_PER_GROUP
    }

    /// Whether somebody waits who could have the slot of `holder`.
    fn is_wanted(&self, holder: P) -> bool {
        let Some(held) = self.peers.get(&holder) else { return false };
        self.queue.iter().filter_map(|waiting| self.peers.get(waiting)).any(|waiting| {
            let same_group = waiting.group.is_some() && waiting.group == held.group;
            same_group || self.group_has_room(waiting.group.as_ref())
        })
    }

    /// Puts `peer` at the end of the queue; those who stalled stay behind all others.
    fn enqueue(&mut self, peer: P) {
        let stalled = |id: &P| self.peers.get(id).is_some_and(|peer| peer.stalled);
        let place = if stalled(&peer) {
            self.queue.len()
        } else {
            self.queue.iter().position(stalled).unwrap_or(self.queue.len())
        };
        self.queue.insert(place, peer);
    }

    fn rotate(&mut self, peer: P, now: Time, out: &mut Vec<Change<P>>) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.slot = false;
            let before = self.queue.clone();
            self.fill(now, out); // others first
            self.enqueue(peer);
            self.tell_places(&before, out);
        }
    }

    fn stop(&mut self, peer: P, out: &mut Vec<Change<P>>) {
        self.peers.remove(&peer);
        self.queue.retain(|waiting| *waiting != peer);
        out.push(Change::Stopped(peer));
    }

    /// Gives free slots to those who wait and may have one.
    fn fill(&mut self, now: Time, out: &mut Vec<Change<P>>) {
        while let Some(place) = self.queue.iter().position(|waiting| {
            self.peers.get(waiting).is_some_and(|peer| self.may_have(peer.group.as_ref()))
        }) {
            let Some(next) = self.queue.remove(place) else { break };
            if let Some(peer) = self.peers.get_mut(&next) {
                peer.slot = true;
                peer.turn = 0;
                peer.since = now;
                if !peer.stalled {
                    peer.took = now;
                }
                out.push(Change::Granted(next));
            }
        }
    }

    /// Tells those who wait their places, where they are not the same as `before`.
    fn tell_places(&self, before: &VecDeque<P>, out: &mut Vec<Change<P>>) {
        for (place, &waiting) in self.queue.iter().enumerate() {
            if before.get(place) != Some(&waiting) {
                let place = u32::try_from(place + 1).unwrap_or(u32::MAX);
                out.push(Change::Queued(waiting, place));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Slots = UploadSlots<u32, u8>;

    const T0: Time = Time::from_micros(1_000_000);

    fn ask(slots: &mut Slots, peer: u32, group: Option<u8>, now: Time) -> Answer {
        let mut out = Vec::new();
        let answer = slots.ask(peer, group, now, &mut out);
        assert!(out.is_empty(), "{out:?}");
        answer
    }

    /// Eight peers hold slots, the others of `0..count` wait.
    fn crowd(count: u32) -> Slots {
        let mut slots = Slots::new();
        for peer in 0..count {
            let expected = match peer {
                0..8 => Answer::Granted,
                _ => Answer::Queued(peer - 7),
            };
            assert_eq!(ask(&mut slots, peer, None, T0), expected);
        }
        slots
    }

    #[test]
    fn eight_are_served_sixty_four_wait_and_the_next_is_told_that_we_are_busy() {
        let mut slots = crowd(72);
        assert_eq!((slots.holders().count(), slots.waiting()), (SLOTS, MAX_QUEUE));
        assert_eq!(ask(&mut slots, 72, None, T0), Answer::Busy);
        assert_eq!(ask(&mut slots, 3, None, T0), Answer::Granted, "asking again is harmless");
        assert_eq!(ask(&mut slots, 10, None, T0), Answer::Queued(3));
    }

    #[test]
    fn a_group_has_two_slots_and_does_not_hold_up_others() {
        let mut slots = Slots::new();
        assert_eq!(ask(&mut slots, 1, Some(1), T0), Answer::Granted);
        assert_eq!(ask(&mut slots, 2, Some(1), T0), Answer::Granted);
        for peer in 3..67 {
            assert_eq!(ask(&mut slots, peer, Some(1), T0), Answer::Queued(peer - 2));
        }
        assert_eq!(ask(&mut slots, 67, Some(1), T0), Answer::Busy);
        assert_eq!(ask(&mut slots, 68, Some(2), T0), Answer::Granted, "past a full queue");
        assert_eq!(ask(&mut slots, 69, None, T0), Answer::Granted);
    }

    #[test]
    fn a_free_slot_goes_to_who_waited_longest() {
        let mut slots = crowd(10);
        let mut out = Vec::new();
        slots.idle(4, T0, &mut out);
        assert_eq!(out, [Change::Granted(8), Change::Queued(9, 1)]);
        out.clear();
        slots.gone(0, T0, &mut out);
        assert_eq!(out, [Change::Granted(9)]);
        out.clear();
        slots.gone(0, T0, &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_turn_ends_after_its_bytes_only_if_others_wait() {
        let mut slots = crowd(8);
        let mut out = Vec::new();
        slots.served(0, 10 * TURN, T0, &mut out);
        assert!(out.is_empty());
        let answer = slots.ask(8, None, T0, &mut out);
        assert_eq!(answer, Answer::Queued(1));
        slots.served(1, TURN - 1, T0, &mut out);
        assert!(out.is_empty());
        slots.served(1, 1, T0, &mut out);
        assert_eq!(out, [Change::Granted(8), Change::Queued(1, 1)]);
    }

    #[test]
    fn turns_go_round() {
        let mut slots = crowd(16);
        let mut turns = BTreeMap::new();
        for _ in 0..100 {
            for holder in slots.holders().collect::<Vec<_>>() {
                *turns.entry(holder).or_insert(0) += 1;
                slots.served(holder, TURN, T0, &mut Vec::new());
            }
        }
        let (least, most) = (turns.values().min().unwrap(), turns.values().max().unwrap());
        assert!(turns.len() == 16 && most - least <= 1, "{turns:?}");
    }

    #[test]
    fn two_hundred_who_do_not_read_keep_an_honest_peer_waiting_35_s_at_most() {
        let mut slots = Slots::new();
        for peer in 0..200 {
            slots.ask(peer, None, T0, &mut Vec::new());
        }
        let honest = 1000;
        let (mut now, mut granted) = (T0, None);
        let mut retry = T0;
        while granted.is_none() {
            let mut out = Vec::new();
            slots.wake(now, &mut out);
            if now >= retry {
                let answer = slots.ask(honest, None, now, &mut out);
                retry = if answer == Answer::Busy { now + UNREAD } else { now };
                granted = (answer == Answer::Granted).then_some(now);
            }
            if out.contains(&Change::Granted(honest)) {
                granted = Some(now);
            }
            now = now + Duration::from_millis(100);
            assert!(now.since(T0) <= Duration::from_secs(36), "still waiting");
        }
        assert!(granted.unwrap().since(T0) <= Duration::from_secs(35));
    }

    #[test]
    fn who_reads_nothing_for_half_a_minute_is_out_even_if_nobody_waits() {
        let mut slots = crowd(1);
        assert_eq!(slots.next_deadline(), Some(T0 + UNREAD));
        let mut out = Vec::new();
        slots.wake(T0 + Duration::from_secs(29), &mut out);
        assert!(out.is_empty());
        slots.wake(T0 + UNREAD, &mut out);
        assert_eq!(out, [Change::Stopped(0)]);
        assert_eq!(slots.next_deadline(), None);
    }

    #[test]
    fn whom_our_own_cap_holds_back_is_not_taken_for_one_who_does_not_read() {
        let mut slots = crowd(9);
        let mut out = Vec::new();
        // None of it comes at all in ten times the patience with who does not read.
        let end = T0 + UNREAD * 10;
        let mut now = T0;
        while now < end {
            now = now + Duration::from_secs(1);
            (0..8).for_each(|peer| slots.held_back(peer, now));
            slots.wake(now, &mut out);
        }
        assert_eq!(out, []);
        slots.wake(end + STALL, &mut out);
        assert!(out.contains(&Change::Granted(8)), "the cap is no excuse once it is over");
    }

    #[test]
    fn who_lost_its_slot_is_not_stopped_while_it_takes_the_rest_of_its_piece() {
        let mut slots = crowd(9);
        let mut out = Vec::new();
        let mut now = T0 + STALL;
        (1..8).for_each(|peer| slots.served(peer, 1, now, &mut out));
        slots.wake(now, &mut out);
        assert_eq!(out, [Change::Granted(8), Change::Queued(0, 1)]);
        for step in 0..60 {
            now = now + Duration::from_secs(1);
            (1..9).for_each(|peer| slots.held_back(peer, now));
            match step % 2 {
                0 => slots.held_back(0, now),
                _ => slots.served(0, 1, now, &mut out),
            }
            slots.wake(now, &mut out);
        }
        assert!(!out.contains(&Change::Stopped(0)), "{out:?}");
    }

    #[test]
    fn a_stalled_peer_waits_behind_all_who_did_not_stall() {
        let mut slots = crowd(9);
        let mut out = Vec::new();
        let later = T0 + STALL;
        (1..8).for_each(|peer| slots.served(peer, 1, later, &mut out));
        slots.wake(later, &mut out);
        assert_eq!(out, [Change::Granted(8), Change::Queued(0, 1)]);
        out.clear();
        assert_eq!(slots.ask(9, None, later, &mut out), Answer::Queued(1));
        assert_eq!(out, [Change::Queued(0, 2)]);
    }
}
