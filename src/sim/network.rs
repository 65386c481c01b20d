//! A virtual network of servents.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::delay::Delay;
use super::faults::{Faults, Passage};
use super::place::Families;
use super::topology::Links;
use crate::base::{Contact, Guid, ServentId, Time};
use crate::message::{Greeting, LinkMessage, Purpose};
use crate::overlay::{
    Answer, Config, Event, Input, LinkId, Output, Overlay, Peer, RingEnd, TraceTree,
};

/// Everything that happened in one search.
#[derive(Clone, Debug, Default)]
pub struct SearchReport {
    /// The servents that were asked, in order; one that was asked twice is in it twice.
    pub asked: Vec<usize>,
    /// The servents whose hits arrived before the end.
    pub hits: Vec<usize>,
    /// Hits that arrived after the end.
    pub late_hits: usize,
    /// The ends of its rings.
    pub rings: Vec<RingEnd>,
    /// Copies of the query that were sent.
    pub copies: usize,
    /// Dones that were sent.
    pub dones: usize,
    /// How it ran, if it asked for that.
    pub trace: Option<TraceTree>,
}

impl SearchReport {
    /// The end of the last ring, once it has come.
    #[must_use]
    pub fn end(&self) -> Option<RingEnd> {
        self.rings.last().copied().filter(|end| end.last)
    }
}

/// Many servents on one virtual clock.
#[derive(Debug)]
pub struct Network {
    now: Time,
    seq: u64,
    queue: BTreeMap<(Time, u64), (usize, Input)>,
    servents: Vec<SimServent>,
    by_id: BTreeMap<ServentId, usize>,
    wires: BTreeMap<LinkId, Wire>,
    next_link: u64,
    rng: ChaCha12Rng,
    config: Config,
    delay: Delay,
    mean: Duration,
    pub(super) faults: Faults,
    reports: BTreeMap<Guid, SearchReport>,
    calls: Vec<(usize, Contact, [u8; 16])>,
}

#[derive(Debug)]
struct SimServent {
    overlay: Overlay,
    id: ServentId,
    alive: bool,
    families: Families,
    /// Whether its firewall drops whatever comes in.
    shielded: bool,
    /// What its files are called.
    files: BTreeSet<String>,
    wake: Option<(Time, u64)>,
}

/// One end of a link: where what is sent on it arrives.
#[derive(Clone, Debug)]
struct Wire {
    owner: usize,
    far: LinkId,
    to: usize,
    /// What the dialler dialled for, until it is greeted.
    greeting: Option<Purpose>,
    fixed: f64,
    /// Nothing on this link arrives before what was sent before it.
    last: Time,
}

impl Network {
    /// An empty network; all chance comes from `seed`.
    #[must_use]
    pub fn new(seed: u64, config: Config, delay: Delay, mean: Duration) -> Self {
        Self {
            now: Time::from_micros(1_000_000_000),
            seq: 0,
            queue: BTreeMap::new(),
            servents: Vec::new(),
            by_id: BTreeMap::new(),
            wires: BTreeMap::new(),
            next_link: 0,
            rng: ChaCha12Rng::seed_from_u64(seed),
            config,
            delay,
            mean,
            faults: Faults::default(),
            reports: BTreeMap::new(),
            calls: Vec::new(),
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Adds a servent, alone, that has a file of this name; its number is the count of
    /// those before it.
    pub fn add(&mut self, file: &str) -> usize {
        let number = self.servents.len();
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        let id = ServentId(key);
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let overlay = Overlay::new(id, self.config.clone(), seed, self.now);
        let files = BTreeSet::from([file.to_owned()]);
        self.servents.push(SimServent {
            overlay,
            id,
            alive: true,
            families: Families::default(),
            shielded: false,
            files,
            wake: None,
        });
        self.by_id.insert(id, number);
        number
    }

    /// Puts a servent on other Internets than the first; before it dials anybody.
    pub fn settle(&mut self, servent: usize, families: Families) {
        if let Some(s) = self.servents.get_mut(servent) {
            s.families = families;
        }
    }

    /// Makes a mesh of exactly these links, as people would ask for them.
    pub fn link_all(&mut self, links: &Links) {
        for &(a, b) in links {
            self.dial(a, b, Purpose::Manual);
        }
    }

    /// Lets `from` dial `to` as a user's command would.
    pub fn dial(&mut self, from: usize, to: usize, purpose: Purpose) {
        let target = self.servents.get(to);
        let Some(contact) = target.map(|s| s.families.contact(s.id, to)) else { return };
        self.connect(from, &contact, purpose);
    }

    /// The engine of one servent.
    #[must_use]
    pub fn overlay(&self, servent: usize) -> Option<&Overlay> {
        self.servents.get(servent).filter(|s| s.alive).map(|s| &s.overlay)
    }

    /// The servents that are alive.
    pub fn alive(&self) -> impl Iterator<Item = usize> + '_ {
        self.servents.iter().enumerate().filter(|(_, s)| s.alive).map(|(i, _)| i)
    }

    /// The number of the servent with this id.
    #[must_use]
    pub fn number_of(&self, id: ServentId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// The links between living servents.
    #[must_use]
    pub fn links(&self) -> Links {
        let mut links = Links::new();
        for (i, servent) in self.servents.iter().enumerate().filter(|(_, s)| s.alive) {
            for neighbour in servent.overlay.neighbours() {
                if let Some(&j) = self.by_id.get(&neighbour.id()) {
                    links.insert((i.min(j), i.max(j)));
                }
            }
        }
        links
    }

    /// Kills a servent: it says nothing more, and its links break.
    pub fn kill(&mut self, servent: usize) {
        if let Some(s) = self.servents.get_mut(servent) {
            s.alive = false;
        }
        let ends: Vec<LinkId> =
            self.wires.iter().filter(|(_, w)| w.owner == servent).map(|(&l, _)| l).collect();
        for link in ends {
            self.close(link);
        }
    }

    /// Freezes a servent: it says nothing more, and its links stay.
    pub fn freeze(&mut self, servent: usize) {
        if let Some(s) = self.servents.get_mut(servent) {
            s.alive = false;
        }
    }

    /// Breaks the link between two servents, if there is one.
    pub fn cut(&mut self, a: usize, b: usize) {
        let end = self.wires.iter().find(|(_, w)| w.owner == a && w.to == b).map(|(&l, _)| l);
        if let Some(link) = end {
            let far = self.close(link);
            self.schedule(self.now, a, Input::LinkLost { link });
            debug_assert!(far.is_some());
        }
    }

    /// Puts a servent behind a firewall: nobody can dial it any more.
    pub fn shield(&mut self, servent: usize) {
        if let Some(s) = self.servents.get_mut(servent) {
            s.shielded = true;
        }
    }

    /// Tells a servent where it listens, so that it finds out whether it can be dialled.
    pub fn tell_address(&mut self, servent: usize) {
        let families = self.servents.get(servent).map(|s| s.families).unwrap_or_default();
        self.tell(servent, Input::Addresses(families.addresses(servent)));
    }

    /// The calls that have reached the authors of hits: who was called, whom it would dial,
    /// and the token.
    #[must_use]
    pub fn calls(&self) -> &[(usize, Contact, [u8; 16])] {
        &self.calls
    }

    /// Says something to one servent now.
    pub fn tell(&mut self, servent: usize, input: Input) {
        self.schedule(self.now, servent, input);
    }

    /// Starts a search; every file whose name is `text` matches.
    pub fn search(&mut self, servent: usize, text: &str, rings: Vec<u8>) -> Guid {
        self.ask(servent, Bytes::copy_from_slice(text.as_bytes()), rings)
    }

    /// Starts a search that asks for a trace; `text` has at most 250 bytes.
    pub fn search_traced(&mut self, servent: usize, text: &str, rings: Vec<u8>) -> Guid {
        let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
        let body = [&[len], text.as_bytes(), TRACED].concat();
        self.ask(servent, body.into(), rings)
    }

    fn ask(&mut self, servent: usize, body: Bytes, rings: Vec<u8>) -> Guid {
        let mut name = [0; 16];
        self.rng.fill_bytes(&mut name);
        let guid = Guid(name);
        self.reports.insert(guid, SearchReport::default());
        self.tell(servent, Input::Search { guid, body, rings });
        guid
    }

    /// What has happened in a search so far.
    #[must_use]
    pub fn report(&self, guid: Guid) -> SearchReport {
        self.reports.get(&guid).cloned().unwrap_or_default()
    }

    /// Runs until the search is over; false if it is not within `most`.
    pub fn run_until_end(&mut self, guid: Guid, most: Duration) -> bool {
        let until = self.now + most;
        while self.reports.get(&guid).and_then(SearchReport::end).is_none() {
            if !self.step(until) {
                return false;
            }
        }
        true
    }

    /// Runs for a span of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
        self.now = until;
    }

    /// Takes the next input, if it is due by `until`.
    pub fn step(&mut self, until: Time) -> bool {
        let Some((&(at, seq), _)) = self.queue.first_key_value() else { return false };
        if at > until {
            return false;
        }
        let Some((to, input)) = self.queue.remove(&(at, seq)) else { return false };
        self.now = at;
        let Some(servent) = self.servents.get_mut(to).filter(|s| s.alive) else { return true };
        if servent.wake == Some((at, seq)) {
            servent.wake = None;
        }
        if let Some(thaw) = self.faults.thaw(at, to) {
            self.schedule(thaw, to, input);
            return true;
        }
        let mut out = Vec::new();
        servent.overlay.handle(at, input, &mut out);
        for output in out {
            self.perform(to, output);
        }
        self.set_alarm(to);
        true
    }

    fn set_alarm(&mut self, to: usize) {
        let Some(servent) = self.servents.get_mut(to) else { return };
        let Some(due) = servent.overlay.next_deadline() else { return };
        let due = due.max(self.now);
        if servent.wake.is_some_and(|(at, _)| at <= due) {
            return;
        }
        if let Some(old) = servent.wake.take() {
            self.queue.remove(&old);
        }
        self.seq += 1;
        servent.wake = Some((due, self.seq));
        self.queue.insert((due, self.seq), (to, Input::Wake));
    }

    fn schedule(&mut self, at: Time, to: usize, input: Input) {
        self.seq += 1;
        self.queue.insert((at, self.seq), (to, input));
    }

    fn perform(&mut self, from: usize, output: Output) {
        match output {
            Output::Send { link, message } => {
                self.count(&message);
                self.send(link, |far| Input::Received { link: far, message });
            }
            Output::Greet { link, greeting } => self.greet(from, link, greeting),
            Output::Close { link } => {
                self.close(link);
            }
            Output::Dial { contact, purpose } => self.connect(from, &contact, purpose),
            Output::DialBack { link, contact } => {
                let seen = self.dialled_at(&contact);
                let took = 2 * self.delay.draw(self.mean, 0.5, &mut self.rng);
                self.schedule(self.now + took, from, Input::DialledBack { link, seen });
            }
            Output::Call { contact, token } => {
                let seen = self.dialled_at(&contact);
                self.calls.push((from, contact, token));
                let took = 2 * self.delay.draw(self.mean, 0.5, &mut self.rng);
                self.schedule(self.now + took, from, Input::Called { seen });
            }
            Output::Match { guid, body } => {
                if let Some(report) = self.reports.get_mut(&guid) {
                    report.asked.push(from);
                }
                let found = self.servents.get(from).is_some_and(|s| {
                    std::str::from_utf8(text(&body)).is_ok_and(|text| s.files.contains(text))
                });
                let answer = Answer { count: 1, body: Bytes::copy_from_slice(&from.to_be_bytes()) };
                let answers = if found { vec![answer] } else { Vec::new() };
                let took = Duration::from_micros(self.rng.random_range(0..50));
                self.schedule(self.now + took, from, Input::Matched { guid, answers });
            }
            Output::Event(Event::Hit(hit)) => {
                let number = self.by_id.get(&hit.responder).copied();
                if let (Some(report), Some(number)) = (self.reports.get_mut(&hit.guid), number) {
                    match report.end() {
                        None => report.hits.push(number),
                        Some(_) => report.late_hits += 1,
                    }
                }
            }
            Output::Event(Event::Traced { guid, tree }) => {
                if let Some(report) = self.reports.get_mut(&guid) {
                    report.trace = Some(tree);
                }
            }
            Output::Event(Event::RingEnded { guid, end }) => {
                if let Some(report) = self.reports.get_mut(&guid) {
                    report.rings.push(end);
                }
            }
            Output::Event(_) => {}
        }
    }

    fn count(&mut self, message: &LinkMessage) {
        match message {
            LinkMessage::Query(query) => {
                if let Some(report) = self.reports.get_mut(&query.guid) {
                    report.copies += 1;
                }
            }
            LinkMessage::QueryDone(done) => {
                if let Some(report) = self.reports.get_mut(&done.guid) {
                    report.dones += 1;
                }
            }
            _ => {}
        }
    }

    /// Delivers something at the far end of `link`, in its order.
    fn send(&mut self, link: LinkId, input: impl FnOnce(LinkId) -> Input) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let took = self.delay.draw(self.mean, wire.fixed, &mut self.rng);
        let late = match self.faults.passage(self.now, wire.owner, wire.to, &mut self.rng) {
            Passage::Late(late) => late,
            Passage::Broken(at) => {
                let owner = wire.owner;
                self.close(link);
                self.schedule(at, owner, Input::LinkLost { link });
                return;
            }
        };
        let at = (self.now + took + late).max(wire.last);
        wire.last = at;
        let (to, far) = (wire.to, wire.far);
        self.schedule(at, to, input(far));
    }

    /// Where `contact` answers a dial, if it lives and nothing is in the way.
    fn dialled_at(&self, contact: &Contact) -> Option<SocketAddr> {
        let there = self.by_id.get(&contact.id).and_then(|&number| self.servents.get(number))?;
        contact.addresses.first().copied().filter(|_| there.alive && !there.shielded)
    }

    fn connect(&mut self, from: usize, contact: &Contact, purpose: Purpose) {
        let target = self.by_id.get(&contact.id).copied();
        if let Some(wait) = target.and_then(|to| self.faults.unanswered(self.now, from, to)) {
            self.schedule(self.now + wait, from, Input::DialFailed { id: contact.id });
            return;
        }
        let Some((id, families)) = self.servents.get(from).map(|s| (s.id, s.families)) else {
            return;
        };
        let reached = target.and_then(|to| {
            let there = self.servents.get(to).filter(|s| s.alive && !s.shielded)?;
            let there = Some(there).filter(|s| s.families.meet(families))?;
            Some((to, families.seen(from, there.families)?))
        });
        let Some((to, seen)) = reached else {
            let took = self.delay.draw(self.mean, 0.5, &mut self.rng);
            self.schedule(self.now + took, from, Input::DialFailed { id: contact.id });
            return;
        };
        let (near, far) = (LinkId(self.next_link), LinkId(self.next_link + 1));
        self.next_link += 2;
        let fixed = self.rng.random();
        let greeting = Some(purpose.clone());
        let wire = Wire { owner: from, far, to, greeting, fixed, last: self.now };
        self.wires.insert(near, wire);
        let wire = Wire { owner: to, far: near, to: from, greeting: None, fixed, last: self.now };
        self.wires.insert(far, wire);
        let peer = Peer { contact: families.contact(id, from), name: String::new(), seen };
        self.send(near, |link| Input::Accepted { link, peer, purpose });
    }

    fn greet(&mut self, from: usize, link: LinkId, greeting: Greeting) {
        let Some((id, families)) = self.servents.get(from).map(|s| (s.id, s.families)) else {
            return;
        };
        let Some(wire) = self.wires.get(&link) else { return };
        let (far, to) = (wire.far, self.servents.get(wire.to).map(|s| s.families));
        let Some(seen) = to.and_then(|to| families.seen(from, to)) else { return };
        let Some(purpose) = self.wires.get_mut(&far).and_then(|w| w.greeting.take()) else {
            return;
        };
        let peer = Peer { contact: families.contact(id, from), name: String::new(), seen };
        self.send(link, |link| match greeting {
            Greeting::Welcome(welcome) => {
                Input::Dialled { link, peer, purpose, contacts: welcome.contacts }
            }
            Greeting::Redirect(redirect) => Input::Redirected { peer, contacts: redirect.contacts },
            Greeting::Hello(_) => Input::LinkLost { link },
        });
    }

    /// Ends a link; the far side learns of it behind what is on its way.
    fn close(&mut self, link: LinkId) -> Option<LinkId> {
        let wire = self.wires.remove(&link)?;
        let dialling = self.wires.remove(&wire.far).and_then(|far| far.greeting);
        let at = self.faults.end_shows(self.now, wire.owner, wire.to).max(wire.last);
        let lost = match (dialling, self.servents.get(wire.owner)) {
            (Some(_), Some(owner)) => Input::DialFailed { id: owner.id },
            _ => Input::LinkLost { link: wire.far },
        };
        self.schedule(at, wire.to, lost);
        Some(wire.far)
    }
}

/// What the body of a query ends with that asks for a trace, as `wire` encodes it.
const TRACED: &[u8] = &[1, 1, 1, 1];

/// The text that a query asks for.
fn text(body: &[u8]) -> &[u8] {
    match body.strip_suffix(TRACED) {
        Some(counted) => counted.get(1..).unwrap_or_default(),
        None => body,
    }
}
