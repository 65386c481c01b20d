//! The table of living links.

use std::time::Duration;

use super::config::{
    CALL_BURST, CALL_RATE, Config, MAX_STRIKES, QUERY_BURST, STRIKE, TOLD_BURST, TOLD_PER_100_SECS,
    WALK_BURST, WALK_RATE,
};
use super::{LinkId, Peer};
use crate::base::{Bucket, ServentId, Time};
use crate::message::Shares;

/// A living link to another servent.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// The link.
    pub link: LinkId,
    /// Who is there.
    pub peer: Peer,
    /// Whether this side dialled.
    pub dialled: bool,
    /// Whether a person asked for it: it does not count towards the degree.
    pub manual: bool,
    /// When it came up.
    pub up: Time,
    /// When a message last came.
    pub heard: Time,
    /// The last measured round trip.
    pub round_trip: Option<Duration>,
    /// What it says that it shares.
    pub shares: Option<Shares>,
    /// Whether it can be dialled, where that is known: it was, or we have tried.
    pub dialable: Option<bool>,
    /// When it was last pinged.
    pub(super) pinged: Time,
    /// The nonce and time of the ping that waits for its pong.
    pub(super) ping: Option<(u64, Time)>,
    /// When the next shuffle is due.
    pub(super) shuffle_at: Time,
    /// Whether a shuffle of ours waits for its reply.
    pub(super) awaits_shuffle: bool,
    /// When a shuffle of theirs was last answered.
    pub(super) shuffled: Option<Time>,
    /// When another neighbour last named it as a neighbour of its own.
    pub(super) witnessed: Option<Time>,
    /// Contacts taken from here unasked, in hundredths.
    pub(super) told: Bucket,
    /// When we last asked it to dial us back.
    pub(super) we_asked: Option<Time>,
    /// When it last asked us to dial it back.
    pub(super) asked_us: Option<Time>,
    /// Calls taken from here.
    pub(super) calls: Bucket,
    /// New searches taken from here.
    pub(super) taken: Bucket,
    /// New searches sent there.
    pub(super) sent: Bucket,
    /// Walks taken from here.
    pub(super) walks: Bucket,
    strikes: u64,
    struck: Time,
}

/// A link that is being given up: nothing new goes over it, and what is under way on it
/// comes to its end.
#[derive(Debug)]
struct Parting {
    neighbour: Neighbour,
    /// When it is closed in any case.
    until: Time,
    /// Whether the other side said so first: then it is for us to close, once we owe it
    /// nothing and it owes us nothing.
    told: bool,
}

/// The living links, oldest first, at most one to each servent.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    list: Vec<Neighbour>,
    /// Their links, in the same order: every message is looked up here, and the list is
    /// a page of memory long.
    links: Vec<LinkId>,
    parting: Vec<Parting>,
    offenders: Vec<LinkId>,
}

impl Neighbour {
    pub(super) fn new(
        link: LinkId,
        peer: Peer,
        dialled: bool,
        manual: bool,
        config: &Config,
        now: Time,
    ) -> Self {
        Self {
            link,
            peer,
            dialled,
            manual,
            up: now,
            heard: now,
            round_trip: None,
            shares: None,
            dialable: dialled.then_some(true),
            we_asked: None,
            asked_us: None,
            calls: Bucket::new(CALL_RATE, CALL_BURST, now),
            pinged: now,
            ping: None,
            shuffle_at: now,
            awaits_shuffle: false,
            shuffled: None,
            witnessed: None,
            told: Bucket::new(TOLD_PER_100_SECS, 100 * TOLD_BURST, now),
            taken: Bucket::new(config.taken_per_link, 2 * config.taken_per_link, now),
            sent: Bucket::new(config.sent_per_link, config.sent_per_link.max(QUERY_BURST), now),
            walks: Bucket::new(WALK_RATE, WALK_BURST, now),
            strikes: 0,
            struck: now,
        }
    }

    /// Who is there.
    #[must_use]
    pub fn id(&self) -> ServentId {
        self.peer.contact.id
    }
}

impl Neighbours {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Neighbour> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Neighbour> {
        self.list.iter_mut()
    }

    fn place(&self, link: LinkId) -> Option<usize> {
        self.links.iter().position(|&other| other == link)
    }

    /// The link, were it one that is being given up.
    pub(super) fn find(&self, link: LinkId) -> Option<&Neighbour> {
        if let Some(place) = self.place(link) {
            return self.list.get(place);
        }
        let mut parting = self.parting.iter().map(|parting| &parting.neighbour);
        parting.find(|neighbour| neighbour.link == link)
    }

    /// The link, were it one that is being given up.
    pub(super) fn find_mut(&mut self, link: LinkId) -> Option<&mut Neighbour> {
        if let Some(place) = self.place(link) {
            return self.list.get_mut(place);
        }
        let mut parting = self.parting.iter_mut().map(|parting| &mut parting.neighbour);
        parting.find(|neighbour| neighbour.link == link)
    }

    pub(super) fn with_id(&self, id: ServentId) -> Option<&Neighbour> {
        self.list.iter().find(|neighbour| neighbour.id() == id)
    }

    /// Notes that another neighbour named `id` as a neighbour of its own.
    pub(super) fn witness(&mut self, now: Time, id: ServentId) {
        if let Some(neighbour) = self.list.iter_mut().find(|neighbour| neighbour.id() == id) {
            neighbour.witnessed = Some(now);
        }
    }

    pub(super) fn push(&mut self, neighbour: Neighbour) {
        debug_assert!(self.with_id(neighbour.id()).is_none(), "one link to each servent");
        self.links.push(neighbour.link);
        self.list.push(neighbour);
    }

    pub(super) fn remove(&mut self, link: LinkId) -> Option<Neighbour> {
        let place = self.place(link)?;
        self.links.remove(place);
        Some(self.list.remove(place))
    }

    /// Gives a link up by `until` at the latest.
    pub(super) fn part(&mut self, link: LinkId, until: Time, told: bool) -> Option<&Neighbour> {
        let neighbour = self.remove(link)?;
        self.parting.push(Parting { neighbour, until, told });
        self.parting.last().map(|parting| &parting.neighbour)
    }

    /// The links that are given up and still have something to bring.
    pub(super) fn all_parting(&self) -> Vec<LinkId> {
        self.parting.iter().map(|parting| parting.neighbour.link).collect()
    }

    pub(super) fn is_parting(&self, link: LinkId) -> bool {
        self.parting.iter().any(|parting| parting.neighbour.link == link)
    }

    /// Notes that the other side gives the link up as well.
    pub(super) fn part_too(&mut self, link: LinkId) {
        for parting in self.parting.iter_mut().filter(|p| p.neighbour.link == link) {
            parting.told = true;
        }
    }

    /// Forgets a link that was given up; false if it was not.
    pub(super) fn forget_parting(&mut self, link: LinkId) -> bool {
        let before = self.parting.len();
        self.parting.retain(|parting| parting.neighbour.link != link);
        self.parting.len() < before
    }

    /// The next link that was given up and is to be closed now.
    pub(super) fn parted(&self, now: Time, is_settled: impl Fn(LinkId) -> bool) -> Option<LinkId> {
        let mut parting = self.parting.iter();
        let over = parting.find(|parting| {
            parting.until <= now || (parting.told && is_settled(parting.neighbour.link))
        });
        over.map(|parting| parting.neighbour.link)
    }

    /// When the next link is closed that was given up.
    pub(super) fn parts_at(&self) -> Option<Time> {
        self.parting.iter().map(|parting| parting.until).min()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// How many links the overlay itself keeps.
    pub(super) fn degree(&self) -> usize {
        self.list.iter().filter(|neighbour| !neighbour.manual).count()
    }

    /// The largest round trip to any neighbour; zero when none is measured.
    pub(super) fn slowest(&self) -> Duration {
        self.list.iter().filter_map(|neighbour| neighbour.round_trip).max().unwrap_or_default()
    }

    /// Notes a broken rule of some weight; a neighbour that is over the limit is handed
    /// out by [`Neighbours::next_offender`].
    pub(super) fn strike(&mut self, now: Time, link: LinkId, weight: u64) {
        let Some(neighbour) = self.find_mut(link) else { return };
        let forgotten = now.since(neighbour.struck).as_secs().saturating_mul(STRIKE) / 60;
        if forgotten > 0 {
            neighbour.strikes = neighbour.strikes.saturating_sub(forgotten);
            neighbour.struck = now;
        }
        neighbour.strikes += weight;
        if neighbour.strikes > MAX_STRIKES && !self.offenders.contains(&link) {
            self.offenders.push(link);
        }
    }

    pub(super) fn next_offender(&mut self) -> Option<LinkId> {
        self.offenders.pop()
    }
}
