//! Whether others can dial this servent, and dialling back for neighbours who wonder.
//!
//! After a join, and now and then, one neighbour is asked to dial this servent. Whoever
//! dials it proves that it can be dialled; that it cannot is believed only when two
//! neighbours say so, or the only one that there is. Who dials from within a network
//! proves nothing to a servent with neighbours outside of it.
//!
//! Always true: a dial-back goes to the very address that its asker comes from, so nobody
//! can have anybody dialled but itself; one neighbour gets one each [`DIAL_BACK_EVERY`],
//! and all together [`DIAL_BACK_RATE`].

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

use super::address::{dialable, scope};
use super::config::{
    DIAL_BACK_BURST, DIAL_BACK_EVERY, DIAL_BACK_RATE, DIAL_BACK_WAIT, REACH_AGAIN, REACH_EVERY,
    REACH_SETTLE, STRIKE,
};
use super::dialling::Dialling;
use super::neighbours::{Neighbour, Neighbours};
use super::{Event, LinkId, Output};
use crate::base::{Bucket, Contact, ServentId, Time};
use crate::message::{DialBack, DialOutcome, DialledBack, LinkMessage};

/// Whether others can dial a servent, and how it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reachability {
    /// None while that is not known.
    pub dialable: Option<bool>,
    /// Who dialled it, or could not, and when.
    pub tested: Option<(ServentId, Time)>,
}

#[derive(Debug)]
pub(super) struct Reach {
    id: ServentId,
    /// Where this servent listens, best first.
    addresses: Vec<SocketAddr>,
    known: Reachability,
    /// The neighbour whose answer is awaited, and since when.
    asked: Option<(LinkId, ServentId, Time)>,
    /// A neighbour that could not dial us, until another was asked.
    denied: Option<ServentId>,
    ask_at: Time,
    backs: Bucket,
}

impl Reach {
    pub(super) fn new(id: ServentId, now: Time) -> Self {
        Self {
            id,
            addresses: Vec::new(),
            known: Reachability::default(),
            asked: None,
            denied: None,
            ask_at: now,
            backs: Bucket::new(DIAL_BACK_RATE, DIAL_BACK_BURST, now),
        }
    }

    pub(super) fn known(&self) -> Reachability {
        self.known
    }

    /// This servent listens there from now on: what was found before may hold no longer.
    pub(super) fn on_addresses(&mut self, now: Time, addresses: Vec<SocketAddr>) {
        if self.addresses != addresses {
            self.addresses = addresses;
            self.asked = None;
            self.denied = None;
            self.ask_at = now;
        }
    }

    /// Somebody dialled us from `from`.
    pub(super) fn on_arrival(
        &mut self,
        now: Time,
        neighbours: &Neighbours,
        by: ServentId,
        from: IpAddr,
        out: &mut Vec<Output>,
    ) {
        let outside = neighbours.iter().any(|n| scope(n.peer.seen.ip()) > scope(from));
        if by != self.id && !outside {
            self.conclude(now, true, by, out);
        }
    }

    /// A neighbour has answered our question.
    pub(super) fn on_dialled_back(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        link: LinkId,
        outcome: DialOutcome,
        out: &mut Vec<Output>,
    ) {
        let Some((_, by, _)) = self.asked.take_if(|(asked, ..)| *asked == link) else {
            // It may answer a question that we have dropped, but not again and again.
            neighbours.strike(now, link, STRIKE / 2);
            return;
        };
        match outcome {
            DialOutcome::Reached => self.conclude(now, true, by, out),
            DialOutcome::Unreached => match self.denied.replace(by) {
                Some(other) if other != by => self.conclude(now, false, by, out),
                _ => self.ask(now, neighbours, out),
            },
            DialOutcome::Untried => self.ask(now, neighbours, out),
        }
    }

    /// When something is due.
    pub(super) fn due(&self, neighbours: &Neighbours) -> Option<Time> {
        let first = neighbours.iter().next()?;
        match self.asked {
            _ if self.addresses.is_empty() => None,
            Some((_, _, at)) => Some(at + DIAL_BACK_WAIT),
            // Whom our own join brings here dials us anyway.
            None => Some(self.ask_at.max(first.up + REACH_SETTLE)),
        }
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Time, neighbours: &mut Neighbours, out: &mut Vec<Output>) {
        let gone = self.asked.is_some_and(|(link, ..)| neighbours.find(link).is_none());
        if gone || self.due(neighbours).is_some_and(|due| due <= now) {
            self.asked = None;
            self.ask(now, neighbours, out);
        }
    }

    /// Asks the next neighbour, or makes do with what is known when there is none to ask.
    fn ask(&mut self, now: Time, neighbours: &mut Neighbours, out: &mut Vec<Output>) {
        let Some(port) = self.addresses.first().map(SocketAddr::port) else { return };
        // A little more than what costs a strike there.
        let fresh = |n: &&mut Neighbour| {
            n.we_asked.is_none_or(|at| now.since(at) >= DIAL_BACK_EVERY)
                && Some(n.id()) != self.denied
        };
        let all = neighbours.iter_mut().filter(fresh);
        // Those far away say the most; of them the oldest.
        let best = all.min_by_key(|n| (Reverse(scope(n.peer.seen.ip())), n.up));
        if let Some(neighbour) = best {
            neighbour.we_asked = Some(now);
            self.asked = Some((neighbour.link, neighbour.id(), now));
            let message = LinkMessage::DialBack(DialBack { port, ext: Vec::new() });
            out.push(Output::Send { link: neighbour.link, message });
        } else if let Some(by) = self.denied {
            self.conclude(now, false, by, out);
        } else {
            self.ask_at = now + DIAL_BACK_EVERY;
        }
    }

    fn conclude(&mut self, now: Time, dialable: bool, by: ServentId, out: &mut Vec<Output>) {
        let before = self.known.dialable.replace(dialable);
        self.known.tested = Some((by, now));
        self.denied = None;
        self.ask_at = now + if dialable { REACH_EVERY } else { REACH_AGAIN };
        if before != self.known.dialable {
            out.push(Output::Event(Event::Reachability(self.known)));
        }
    }

    /// A neighbour wonders whether it can be dialled.
    pub(super) fn on_dial_back(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        dialling: &mut Dialling,
        link: LinkId,
        port: u16,
        out: &mut Vec<Output>,
    ) {
        let Some(neighbour) = neighbours.find_mut(link) else { return };
        let early = neighbour.asked_us.is_some_and(|at| now.since(at) < DIAL_BACK_EVERY / 2);
        if early {
            neighbours.strike(now, link, STRIKE);
            return;
        }
        neighbour.asked_us = Some(now);
        let from = neighbour.peer.seen.ip();
        let address = SocketAddr::new(from, port);
        let mut contact = Contact::new(neighbour.id(), [address]);
        if dialable(address, from) && self.backs.take(now, 1) && dialling.admit(now, &mut contact) {
            out.push(Output::DialBack { link, contact });
        } else {
            out.push(answer(link, DialOutcome::Untried));
        }
    }

    /// We have dialled a neighbour back; `seen` is where it answered, if it did.
    pub(super) fn on_tried(
        neighbours: &mut Neighbours,
        dialling: &mut Dialling,
        link: LinkId,
        seen: Option<SocketAddr>,
        out: &mut Vec<Output>,
    ) {
        if let Some(seen) = seen {
            dialling.acquit(&seen);
        }
        let Some(neighbour) = neighbours.find_mut(link) else { return };
        neighbour.dialable = Some(seen.is_some());
        let outcome = if seen.is_some() { DialOutcome::Reached } else { DialOutcome::Unreached };
        out.push(answer(link, outcome));
    }
}

fn answer(link: LinkId, outcome: DialOutcome) -> Output {
    let answer = DialledBack { outcome, ext: Vec::new() };
    Output::Send { link, message: LinkMessage::DialledBack(answer) }
}

#[cfg(test)]
mod tests {
    use super::super::Peer;
    use super::super::config::Config;
    use super::*;

    const ME: ServentId = ServentId([100; 32]);

    fn at(secs: u64) -> Time {
        Time::from_micros((1000 + secs) * 1_000_000)
    }

    fn neighbours(ips: &[[u8; 4]]) -> Neighbours {
        let mut neighbours = Neighbours::default();
        for (n, &ip) in (1..).zip(ips) {
            let seen = SocketAddr::from((ip, 40_000));
            let contact = Contact::new(ServentId([n; 32]), []);
            let peer = Peer { contact, name: String::new(), seen };
            let link = LinkId(n.into());
            neighbours.push(Neighbour::new(link, peer, true, false, &Config::default(), at(0)));
        }
        neighbours
    }

    fn reach() -> Reach {
        let mut reach = Reach::new(ME, at(0));
        reach.on_addresses(at(0), vec![SocketAddr::from(([198, 18, 0, 1], 7272))]);
        reach
    }

    /// The links over which somebody was asked.
    fn asked(out: &[Output]) -> Vec<u64> {
        let asked = out.iter().filter_map(|output| match output {
            Output::Send { link, message: LinkMessage::DialBack(ask) } => {
                assert_eq!(ask.port, 7272);
                Some(link.0)
            }
            _ => None,
        });
        asked.collect()
    }

    fn wake(reach: &mut Reach, now: Time, neighbours: &mut Neighbours) -> Vec<u64> {
        let mut out = Vec::new();
        reach.wake(now, neighbours, &mut out);
        asked(&out)
    }

    fn hear(
        reach: &mut Reach,
        now: Time,
        neighbours: &mut Neighbours,
        link: u64,
        outcome: DialOutcome,
    ) -> Vec<u64> {
        let mut out = Vec::new();
        reach.on_dialled_back(now, neighbours, LinkId(link), outcome, &mut out);
        asked(&out)
    }

    #[test]
    fn nobody_is_asked_by_a_servent_that_was_dialled_lately() {
        let mut all = neighbours(&[[198, 18, 0, 9]]);
        let mut reach = reach();
        assert_eq!(
            wake(&mut reach, at(1), &mut all),
            [0; 0],
            "who joined may be dialled by itself"
        );
        let (by, mut out) = (ServentId([9; 32]), Vec::new());
        reach.on_arrival(at(1), &all, by, [198, 18, 0, 7].into(), &mut out);
        assert_eq!(reach.known(), Reachability { dialable: Some(true), tested: Some((by, at(1))) });
        assert_eq!(out, [Output::Event(Event::Reachability(reach.known()))]);
        assert_eq!(wake(&mut reach, at(1000), &mut all), [0; 0]);
        assert_eq!(wake(&mut reach, at(1801), &mut all), [1], "half an hour later");
    }

    #[test]
    fn two_neighbours_must_agree_that_nobody_can_dial() {
        let mut all = neighbours(&[[198, 18, 0, 9], [198, 18, 0, 8]]);
        let mut reach = reach();
        assert_eq!(wake(&mut reach, at(2), &mut all), [1]);
        assert_eq!(hear(&mut reach, at(12), &mut all, 1, DialOutcome::Unreached), [2]);
        assert_eq!(reach.known().dialable, None);
        assert_eq!(hear(&mut reach, at(22), &mut all, 2, DialOutcome::Unreached), [0; 0]);
        assert_eq!(reach.known().dialable, Some(false));
        assert_eq!(reach.known().tested, Some((ServentId([2; 32]), at(22))));
        assert_eq!(wake(&mut reach, at(23), &mut all), [0; 0]);
        assert_eq!(wake(&mut reach, at(400), &mut all), [1], "perhaps a port is forwarded by now");
        hear(&mut reach, at(401), &mut all, 1, DialOutcome::Reached);
        assert_eq!(reach.known().dialable, Some(true));
    }

    #[test]
    fn the_only_neighbour_is_believed_and_a_silent_one_proves_nothing() {
        let mut all = neighbours(&[[198, 18, 0, 9]]);
        let mut reach = reach();
        assert_eq!(wake(&mut reach, at(2), &mut all), [1]);
        assert_eq!(wake(&mut reach, at(30), &mut all), [0; 0], "it does not answer");
        assert_eq!(reach.known().dialable, None);
        assert_eq!(wake(&mut reach, at(100), &mut all), [1]);
        assert_eq!(hear(&mut reach, at(101), &mut all, 1, DialOutcome::Untried), [0; 0]);
        assert_eq!(reach.known().dialable, None);
        assert_eq!(wake(&mut reach, at(200), &mut all), [1]);
        hear(&mut reach, at(201), &mut all, 1, DialOutcome::Unreached);
        assert_eq!(reach.known().dialable, Some(false));
    }

    #[test]
    fn another_address_is_tested_anew_but_nobody_is_pestered() {
        let mut all = neighbours(&[[198, 18, 0, 9]]);
        let mut reach = reach();
        assert_eq!(wake(&mut reach, at(2), &mut all), [1]);
        hear(&mut reach, at(3), &mut all, 1, DialOutcome::Reached);
        let addresses = vec![SocketAddr::from(([198, 18, 0, 2], 7272))];
        reach.on_addresses(at(10), addresses);
        assert_eq!(wake(&mut reach, at(10), &mut all), [0; 0]);
        assert_eq!(wake(&mut reach, at(70), &mut all), [1]);
    }

    #[test]
    fn who_dials_from_the_own_network_says_nothing_of_the_world() {
        let all = neighbours(&[[203, 0, 113, 9]]);
        let mut reach = reach();
        reach.on_arrival(at(1), &all, ServentId([9; 32]), [192, 168, 0, 7].into(), &mut Vec::new());
        assert_eq!(reach.known().dialable, None);
        reach.on_arrival(at(1), &all, ServentId([9; 32]), [203, 0, 113, 7].into(), &mut Vec::new());
        assert_eq!(reach.known().dialable, Some(true));
    }

    #[test]
    fn a_dial_back_goes_only_where_its_asker_comes_from_and_only_now_and_then() {
        let mut all = neighbours(&[[198, 18, 0, 9]]);
        let (mut reach, mut dialling) = (reach(), Dialling::new(at(0)));
        let mut ask = |now, port, all: &mut Neighbours| {
            let mut out = Vec::new();
            reach.on_dial_back(now, all, &mut dialling, LinkId(1), port, &mut out);
            out
        };
        let there = SocketAddr::from(([198, 18, 0, 9], 7272));
        let contact = Contact::new(ServentId([1; 32]), [there]);
        let dialled = Output::DialBack { link: LinkId(1), contact };
        assert_eq!(ask(at(1), 7272, &mut all), [dialled]);
        assert_eq!(ask(at(2), 7272, &mut all), [], "so soon it is a strike");
        let untried = answer(LinkId(1), DialOutcome::Untried);
        assert_eq!(ask(at(100), 22, &mut all), [untried], "a port of the system's");
        for _ in 0..11 {
            ask(at(101), 7272, &mut all);
        }
        assert_eq!(all.next_offender(), Some(LinkId(1)));
    }
}
