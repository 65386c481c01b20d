//! What goes wrong in a virtual network, and how TCP makes it felt.
//!
//! A stream loses nothing and keeps its order: a lost packet is a message that comes a
//! retransmission later, with everything behind it. While the network is divided nothing
//! passes, and a stream with something on its way breaks after half a minute. A frozen
//! servent has its say, and hears all that was said to it, once it thaws. A dial that
//! nobody answers fails after ten seconds.
//!
//! Always true: without faults nothing is drawn from the network's chance, so that a run
//! without them stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

use super::network::Network;
use crate::base::Time;

/// The first wait of TCP before it sends again (Linux: never less).
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// Losses of one message in a row that are told apart; a stream that lost more is broken
/// by [`USER_TIMEOUT`] anyway.
const MOST_LOSSES: u32 = 7;
/// A stream whose bytes nobody acknowledges breaks after this, as the daemon's do.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// A dial that nobody answers fails after this, as the daemon's do.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The faults of a network, present and to come.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    loss: f64,
    partition: Option<Partition>,
    frozen: BTreeMap<usize, Time>,
}

#[derive(Clone, Debug)]
struct Partition {
    /// Those on one side; all others are on the other.
    apart: BTreeSet<usize>,
    until: Time,
}

/// How a message fares that is sent now.
pub(super) enum Passage {
    /// It arrives so much later than it would.
    Late(Duration),
    /// It never arrives: its stream breaks for the sender then.
    Broken(Time),
}

impl Faults {
    /// When a servent that is frozen at `now` thaws.
    pub(super) fn thaw(&self, now: Time, servent: usize) -> Option<Time> {
        self.frozen.get(&servent).copied().filter(|&until| until > now)
    }

    /// How a message from `from` to `to` fares.
    pub(super) fn passage(
        &self,
        now: Time,
        from: usize,
        to: usize,
        rng: &mut ChaCha12Rng,
    ) -> Passage {
        let mut late = Duration::ZERO;
        if let Some(heals) = self.divided(now, from, to) {
            if heals > now + USER_TIMEOUT {
                return Passage::Broken(now + USER_TIMEOUT);
            }
            // The next retransmission is as far off as the last one was.
            let silent = heals.since(now);
            late = silent + silent.mul_f64(rng.random_range(0.0..1.0));
        }
        if self.loss > 0.0 {
            let mut losses = 0;
            while losses < MOST_LOSSES && rng.random_bool(self.loss) {
                late += RETRANSMISSION.saturating_mul(1 << losses);
                losses += 1;
            }
        }
        Passage::Late(late)
    }

    /// When the end of a stream shows at `to`.
    pub(super) fn end_shows(&self, now: Time, from: usize, to: usize) -> Time {
        self.divided(now, from, to).unwrap_or(now)
    }

    /// How long a dial from `from` to `to` waits in vain; none if it may be answered.
    pub(super) fn unanswered(&self, now: Time, from: usize, to: usize) -> Option<Duration> {
        let thaw = self.thaw(now, to);
        let waits = thaw.into_iter().chain(self.divided(now, from, to)).max()?;
        (waits > now + CONNECT_TIMEOUT).then_some(CONNECT_TIMEOUT)
    }

    /// Until when nothing passes between two servents.
    fn divided(&self, now: Time, a: usize, b: usize) -> Option<Time> {
        let partition = self.partition.as_ref().filter(|partition| partition.until > now)?;
        (partition.apart.contains(&a) != partition.apart.contains(&b)).then_some(partition.until)
    }
}

impl Network {
    /// Lets this share of all messages be lost once, and as many of those again.
    pub fn lose(&mut self, share: f64) {
        self.faults.loss = share.clamp(0.0, 0.9);
    }

    /// Divides the network for `span`: nothing passes between those `apart` and the others.
    pub fn divide(&mut self, apart: impl IntoIterator<Item = usize>, span: Duration) {
        let until = self.now() + span;
        self.faults.partition = Some(Partition { apart: apart.into_iter().collect(), until });
    }

    /// Stops a servent for `span`: its links stay, what is said to it waits.
    pub fn freeze_for(&mut self, servent: usize, span: Duration) {
        self.faults.frozen.insert(servent, self.now() + span);
    }
}
