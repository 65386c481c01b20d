//! THE ENGINE: what one servent does in the mesh, as arithmetic.
//!
//! An [`Overlay`] is told what happened ([`Input`]) and when, and says what to do
//! ([`Output`]). It has no socket, no clock, no task and no randomness of its own: the
//! daemon and the simulator drive the very same type, and the same inputs at the same
//! times with the same seed give the same outputs.
//!
//! **The contract.** The driver performs every output, in order, before the next input.
//! A lost link is an input of its own, behind the outputs in hand. When there is
//! nothing to tell, it waits until [`Overlay::next_deadline`] and says [`Input::Wake`].
//! Messages keep their order on each link.
//!
//! - `membership`: joining, staying, leaving; who is a neighbour (HyParView). `door`: who is
//!   let in; `refill`: whom we dial; `introduction`: a newcomer's walks; `exchange`: which
//!   contacts are handed on.
//! - `keep_alive`: who is still there.
//! - `book`: the address book, whom to turn to when there are too few; `dialling`: how many
//!   dials, how fast; `address`: which addresses are dialled, and which belong together.
//! - `absent`: lost neighbours that may be back; `probing`: trying out who was only told of;
//!   `rewiring`: evening the mesh out.
//! - `survey`: what is told to who draws a map.
//! - `search`: the flood, its exact horizon and its certain end; `fair_share`: how many
//!   searches of others, by which links.
//! - `routes`: what is remembered of one search; `generations`: for how long; `trace`:
//!   what is told of it to who asks.
//! - `reach`: whether others can dial this servent; `ways` and `calls`: how one that nobody
//!   can dial is asked to dial.
//!
//! Matching is not done here: [`Output::Match`] asks, [`Input::Matched`] answers.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::base::{Contact, Guid, ServentId, Time, Ttl};
use crate::message::{AgedContact, CallMe, Greeting, LinkMessage, Purpose, QueryHit, Shares};

mod absent;
mod address;
mod book;
mod calls;
pub mod config;
mod dialling;
mod door;
mod exchange;
mod fair_share;
mod generations;
mod introduction;
mod keep_alive;
mod membership;
mod neighbours;
mod probing;
mod reach;
mod refill;
mod rewiring;
mod routes;
mod search;
mod survey;
#[cfg(test)]
mod tests;
mod trace;
mod ways;

pub use address::dialable;
pub use book::Cached;
pub use config::Config;
pub use dialling::{Dialling, Permit, Unanswered};
pub use membership::DownReason;
pub use neighbours::Neighbour;
pub use reach::Reachability;
pub use search::RingEnd;
pub use trace::{TraceTree, Traced};

/// The driver's name for one overlay link; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LinkId(pub u64);

/// Who is at the other end of a connection, as the greeting showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its proven id, and where it can be dialled.
    pub contact: Contact,
    /// What its user calls it.
    pub name: String,
    /// The address of its end of the connection.
    pub seen: SocketAddr,
}

/// What the world tells the overlay.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody dialled us and said hello; answered by [`Output::Greet`].
    Accepted {
        /// The connection.
        link: LinkId,
        /// Who.
        peer: Peer,
        /// What for; never [`Purpose::Transfer`].
        purpose: Purpose,
    },
    /// Somebody dialled us to ask who our neighbours are; answered by [`Output::Greet`].
    Crawled {
        /// The connection.
        link: LinkId,
        /// Who.
        peer: Peer,
    },
    /// Somebody dialled us and said hello, but there is no place for more connections;
    /// answered by [`Output::Greet`], which names others.
    TurnedAway {
        /// The connection.
        link: LinkId,
        /// Who.
        peer: Peer,
    },
    /// Our dial was welcomed.
    Dialled {
        /// The connection.
        link: LinkId,
        /// Who.
        peer: Peer,
        /// What we dialled for.
        purpose: Purpose,
        /// The contacts that came with the welcome.
        contacts: Vec<AgedContact>,
    },
    /// Our dial found a servent without room, which named others.
    Redirected {
        /// Who has no room.
        peer: Peer,
        /// Whom it named.
        contacts: Vec<AgedContact>,
    },
    /// A dial that [`Output::Dial`] asked for came to nothing.
    DialFailed {
        /// Who was to be dialled.
        id: ServentId,
    },
    /// Contacts kept from an earlier run.
    Cached(Vec<Cached>),
    /// Contacts that no neighbour told of: they were found on the local network.
    Heard {
        /// Them; where neighbours are wanted, they are dialled at once.
        contacts: Vec<AgedContact>,
        /// On whose word, as [`dialable`] judges their addresses.
        giver: IpAddr,
    },
    /// A message from a neighbour.
    Received {
        /// The link that it came by.
        link: LinkId,
        /// The message.
        message: LinkMessage,
    },
    /// A neighbour broke a rule that shows below the overlay.
    Offence {
        /// Its link.
        link: LinkId,
    },
    /// A link is gone; all that it brought has been told.
    LinkLost {
        /// Which.
        link: LinkId,
    },
    /// A copy of a query was thrown out of a full queue before it was sent.
    CopyShed {
        /// The link that it was for.
        link: LinkId,
        /// The search.
        guid: Guid,
        /// Its life.
        ttl: Ttl,
    },
    /// Hits were thrown out of a full queue before they were sent.
    HitShed {
        /// The search.
        guid: Guid,
    },
    /// What [`Output::Match`] found; empty when nothing.
    Matched {
        /// The search.
        guid: Guid,
        /// The frames of the answer.
        answers: Vec<Answer>,
    },
    /// The library had no time for [`Output::Match`].
    MatchRefused {
        /// The search.
        guid: Guid,
    },
    /// The user searches.
    Search {
        /// A fresh random name.
        guid: Guid,
        /// The encoded query.
        body: Bytes,
        /// The radii to ask one after the other, rising.
        rings: Vec<u8>,
    },
    /// The search has found enough: no wider ring.
    Enough {
        /// Which search.
        guid: Guid,
    },
    /// Nobody waits for this search any more.
    Abandon {
        /// Which search.
        guid: Guid,
    },
    /// Where this servent listens, best first.
    Addresses(Vec<SocketAddr>),
    /// Somebody dialled us for a transfer, and said hello.
    Reached {
        /// Who.
        by: ServentId,
        /// From where.
        from: IpAddr,
    },
    /// What [`Output::DialBack`] came to.
    DialledBack {
        /// The link of whom it was for.
        link: LinkId,
        /// Where it answered; none when it did not.
        seen: Option<SocketAddr>,
    },
    /// The author of a hit is to dial us; [`Event::CallUnsent`] when no way is known.
    Call(CallMe),
    /// A dial that [`Output::Call`] asked for has ended.
    Called {
        /// Where it was answered; none when it was not.
        seen: Option<SocketAddr>,
    },
    /// What this servent shares has changed; neighbours learn it with the next ping.
    Shares(Shares),
    /// Whether traces of others' searches name this servent; they do until this says no.
    TraceName(bool),
    /// The user wants to be in the mesh.
    Join,
    /// The user wants to be alone.
    Leave,
    /// The deadline has come.
    Wake,
}

/// One frame of hits, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// How many hits it holds.
    pub count: u8,
    /// The encoded [`crate::message::HitBody`].
    pub body: Bytes,
}

/// What the overlay asks of the world, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Answer the hello of an accepted connection.
    Greet {
        /// The connection.
        link: LinkId,
        /// A welcome or a redirect.
        greeting: Greeting,
    },
    /// Queue `message` for `link`.
    Send {
        /// The link.
        link: LinkId,
        /// What to say.
        message: LinkMessage,
    },
    /// Close `link` once what is queued for it is sent; it is forgotten already.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Dial `contact`; answered by `Dialled`, `Redirected` or `DialFailed`.
    Dial {
        /// Whom.
        contact: Contact,
        /// What for.
        purpose: Purpose,
    },
    /// Dial the neighbour `contact`, say hello and hang up; answered by `DialledBack`.
    DialBack {
        /// Its link.
        link: LinkId,
        /// Where it says that it listens.
        contact: Contact,
    },
    /// Dial `contact`, who wants a file of ours, and serve it; answered by `Called`.
    Call {
        /// Whom.
        contact: Contact,
        /// What to show it.
        token: [u8; 16],
    },
    /// Look up a query in the library; answered by `Matched` or `MatchRefused`.
    Match {
        /// The search.
        guid: Guid,
        /// The encoded [`crate::message::QueryBody`].
        body: Bytes,
    },
    /// Something the user's side wants to know.
    Event(Event),
}

/// What happened, for the user's side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A new neighbour.
    NeighbourUp {
        /// Who.
        peer: Peer,
    },
    /// A neighbour less.
    NeighbourDown {
        /// Who.
        peer: Peer,
        /// Why.
        reason: DownReason,
    },
    /// It has turned out whether others can dial this servent.
    Reachability(Reachability),
    /// No way is known, or no more, by which [`Input::Call`] could go.
    CallUnsent {
        /// Its token.
        token: [u8; 16],
    },
    /// Hits for an own search.
    Hit(QueryHit),
    /// How an own search ran that asked for a trace; before its last ring's end.
    Traced {
        /// The search.
        guid: Guid,
        /// As far as the Dones told.
        tree: TraceTree,
    },
    /// A ring of an own search is over.
    RingEnded {
        /// The search.
        guid: Guid,
        /// How.
        end: RingEnd,
    },
}

/// One servent's part in the mesh.
#[derive(Debug)]
pub struct Overlay {
    membership: membership::Membership,
    flood: search::Flood,
    reach: reach::Reach,
    calls: calls::Calls,
}

impl Overlay {
    /// An overlay for the servent `id`, alone, at `now`; all chance comes from `seed`.
    #[must_use]
    pub fn new(id: ServentId, config: Config, seed: [u8; 32], now: Time) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let flood_rng = ChaCha12Rng::from_rng(&mut rng);
        Self {
            flood: search::Flood::new(id, config.clone(), flood_rng, now),
            membership: membership::Membership::new(id, config, rng, now),
            reach: reach::Reach::new(id, now),
            calls: calls::Calls::new(id, now),
        }
    }

    /// The same, but its dials to strangers count in `unanswered`, as others of this servent.
    #[must_use]
    pub fn counting_in(mut self, unanswered: Unanswered) -> Self {
        self.membership.dialling.count_in(unanswered);
        self
    }

    /// Takes one input at `now`; the caller acts on all of `out` before the next one.
    ///
    /// Cannot fail: what could be malformed was refused in `wire`, and what breaks a
    /// rule costs its sender a strike, and at last the link.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        let neighbours = &mut self.membership.neighbours;
        match input {
            Input::Received { link, message } => self.on_message(now, link, message, out),
            Input::Matched { guid, answers } => {
                self.flood.on_matched(now, neighbours, guid, answers, out);
            }
            Input::MatchRefused { guid } => {
                self.flood.on_match_refused(now, neighbours, guid, out);
            }
            Input::Search { guid, body, rings } => {
                self.flood.search(now, neighbours, guid, body, rings, out);
            }
            Input::Enough { guid } => self.flood.on_enough(guid),
            Input::Abandon { guid } => self.flood.abandon(guid),
            Input::CopyShed { link, guid, ttl } => {
                self.flood.on_copy_shed(now, neighbours, link, (guid, ttl), out);
            }
            Input::HitShed { guid } => self.flood.on_hit_shed(guid),
            Input::Accepted { link, peer, purpose } => {
                let (by, from) = (peer.contact.id, peer.seen.ip());
                self.reach.on_arrival(now, neighbours, by, from, out);
                self.membership.on_accepted(now, link, peer, &purpose, out);
            }
            Input::Crawled { link, peer } => {
                let (by, from) = (peer.contact.id, peer.seen.ip());
                self.reach.on_arrival(now, neighbours, by, from, out);
                self.membership.on_crawled(now, link, &peer, out);
            }
            Input::TurnedAway { link, peer } => {
                self.membership.turn_away(now, link, &peer, out);
            }
            Input::Dialled { link, peer, purpose, contacts } => {
                self.membership.on_dialled(now, link, peer, &purpose, contacts, out);
            }
            Input::Redirected { peer, contacts } => {
                self.membership.on_redirected(now, &peer, contacts, out);
            }
            Input::DialFailed { id } => self.membership.on_dial_failed(now, id, out),
            Input::Cached(contacts) => self.membership.on_cached(now, contacts, out),
            Input::Heard { contacts, giver } => {
                self.membership.on_heard(now, giver, contacts, out);
            }
            Input::Offence { link } => neighbours.strike(now, link, config::STRIKE),
            Input::LinkLost { link } => self.membership.on_link_lost(now, link, out),
            Input::Addresses(addresses) => self.reach.on_addresses(now, addresses),
            Input::Reached { by, from } => self.reach.on_arrival(now, neighbours, by, from, out),
            Input::DialledBack { link, seen } => {
                let dialling = &mut self.membership.dialling;
                reach::Reach::on_tried(neighbours, dialling, link, seen, out);
            }
            Input::Call(call) => {
                calls::Calls::call(now, neighbours, &mut self.flood.ways, call, out);
            }
            Input::Called { seen } => self.calls.on_called(&mut self.membership.dialling, seen),
            Input::Shares(shares) => self.membership.shares = shares,
            Input::TraceName(named) => self.flood.name_in_traces(named),
            Input::Join => self.membership.join(now, out),
            Input::Leave => self.membership.leave(now, out),
            Input::Wake => {}
        }
        self.membership.quiet = self.flood.is_quiet();
        self.membership.wake(now, out);
        self.flood.wake(now, &mut self.membership.neighbours, out);
        self.reach.wake(now, &mut self.membership.neighbours, out);
        self.membership.close_offenders(now, out);
        self.membership.close_parted(now, |link| self.flood.is_settled(link), out);
        while let Some(link) = self.membership.next_lost() {
            self.flood.on_link_lost(now, &mut self.membership.neighbours, link, out);
        }
    }

    fn on_message(&mut self, now: Time, link: LinkId, message: LinkMessage, out: &mut Vec<Output>) {
        let Some(neighbour) = self.membership.neighbours.find_mut(link) else {
            return; // said before it knew that we had let it go
        };
        neighbour.heard = now;
        let neighbours = &mut self.membership.neighbours;
        match message {
            LinkMessage::Query(query) => self.flood.on_query(now, neighbours, link, query, out),
            LinkMessage::QueryHit(hit) => self.flood.on_hit(now, neighbours, link, hit, out),
            LinkMessage::QueryDone(done) => self.flood.on_done(now, neighbours, link, &done, out),
            LinkMessage::DialBack(ask) => {
                let dialling = &mut self.membership.dialling;
                self.reach.on_dial_back(now, neighbours, dialling, link, ask.port, out);
            }
            LinkMessage::DialledBack(answer) => {
                self.reach.on_dialled_back(now, neighbours, link, answer.outcome, out);
            }
            LinkMessage::CallMe(call) => {
                let (ways, dialling) = (&mut self.flood.ways, &mut self.membership.dialling);
                self.calls.on_call(now, neighbours, ways, dialling, (link, call), out);
            }
            other => self.membership.on_message(now, link, other, out),
        }
    }

    /// When [`Input::Wake`] is due at the latest, if nothing else comes first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let reach = self.reach.due(&self.membership.neighbours);
        let due = [Some(self.membership.wake_at), self.flood.next_deadline(), reach];
        due.into_iter().flatten().min()
    }

    /// The living links, oldest first.
    pub fn neighbours(&self) -> impl ExactSizeIterator<Item = &Neighbour> {
        self.membership.neighbours.iter()
    }

    /// Other servents that were heard of within [`config::FRESH`], and how long ago.
    #[must_use]
    pub fn known(&self, now: Time) -> Vec<AgedContact> {
        self.membership.known(now)
    }

    /// Whether others can dial this servent, as far as is known.
    #[must_use]
    pub fn reachability(&self) -> Reachability {
        self.reach.known()
    }

    /// Contacts worth keeping for the next run, best first.
    #[must_use]
    pub fn cached(&self) -> Vec<Cached> {
        self.membership.cached()
    }
}
