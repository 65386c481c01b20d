//! Who comes to a crowd, who leaves it, and whom a search finds.

use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};

use super::member::{Ask, Member, Role};
use super::{Crowd, Happening};
use crate::sim::plan::ENOUGH;
use crate::transfer::exchange::Config;
use crate::transfer::{Download, Input, Telling, UploadSlots};

/// How long a receiver that leaves, and comes back, is away.
const AWAY: Duration = Duration::from_secs(10);

impl Crowd<'_, '_> {
    /// A receiver comes, or comes back to what it had: it knows who had the file when it was
    /// searched for.
    pub(super) fn come(&mut self, receiver: u32) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let (id, list) = (self.list.id(), self.list.clone());
        let Some(member) = self.members.get_mut(receiver as usize) else { return };
        if member.here || member.gone {
            return;
        }
        (member.here, member.dead) = (true, false);
        if member.done.is_some() {
            member.telling = Some(Telling::whole(list.geometry().count()));
            return;
        }
        let config = Config { me: member.id, once: false };
        member.download = Some(Download::new(id, config, ChaCha12Rng::from_seed(seed)));
        let list = Some(list).filter(|_| member.begun);
        let first = self.members.iter().filter(|member| member.role != Role::Receiver);
        let first: Vec<_> = first.map(|member| member.id).collect();
        for source in first {
            self.tell(receiver, Input::SourceFound { source });
        }
        self.tell(receiver, Input::Start { list });
    }

    /// Somebody who is there leaves, for a while.
    pub(super) fn churn(&mut self) {
        let here = |(_, member): &(usize, &Member)| member.role == Role::Receiver && member.here;
        let leaver = self.members.iter().enumerate().filter(here).choose(&mut self.rng);
        if let Some((leaver, _)) = leaver
            && let Ok(leaver) = u32::try_from(leaver)
        {
            self.leave(leaver, false);
        }
        if let Some(every) = self.churns_every() {
            self.queue.push(self.now + every, 0, Happening::Churn);
        }
    }

    /// Each of those who leave comes back, so they leave half as often as both together.
    pub(super) fn churns_every(&self) -> Option<Duration> {
        let churn = self.plan.churn;
        (churn > 0.0).then(|| Duration::from_secs_f64((120.0 / churn).min(MOST_APART)))
    }

    /// A receiver leaves. Those who are connected notice at once, but every second time
    /// nothing tells them: its machine has lost power.
    pub(super) fn leave(&mut self, receiver: u32, for_good: bool) {
        let now = self.now;
        self.leaves += 1;
        let dies = self.leaves.is_multiple_of(2);
        self.events.died += u64::from(dies);
        let Some(member) = self.members.get_mut(receiver as usize) else { return };
        let was_waited_for = member.is_waited_for();
        (member.here, member.dead) = (false, dies);
        member.gone |= for_good;
        member.download = None;
        member.telling = None;
        member.alarm = None;
        member.slots = UploadSlots::new();
        let takers: Vec<u32> = member.takers.keys().copied().collect();
        let givers = std::mem::take(&mut member.givers);
        if for_good {
            self.waited -= usize::from(was_waited_for);
        } else {
            self.events.left += 1;
            self.queue.push(now + AWAY, receiver, Happening::Come);
        }
        if dies {
            if let Some(member) = self.members.get_mut(receiver as usize) {
                member.takers.clear();
            }
            return;
        }
        for taker in takers {
            self.close(receiver, taker);
        }
        for (giver, taking) in givers {
            let (number, at) = (taking.number, now + taking.latency);
            let what = Ask::Farewell;
            self.queue.push(at, giver, Happening::Ask { from: receiver, number, what });
        }
    }

    /// A search is over: it has found some of those who have all of the file.
    pub(super) fn on_found(&mut self, receiver: u32) {
        let holders = self.members.iter().filter(|member| member.here && member.held.is_full());
        let found: Vec<_> = holders.map(|member| member.id).sample(&mut self.rng, ENOUGH);
        for source in found {
            self.tell(receiver, Input::SourceFound { source });
        }
        self.tell(receiver, Input::Searched { whole: true });
    }
}

/// Most seconds between two leaves: longer than any crowd is there.
const MOST_APART: f64 = 1e6;
