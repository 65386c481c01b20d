//! A virtual network of servents.
//!
//! Always true: the same seed and the same calls give the same run. Messages keep their
//! order on each link; a link's two ends have the numbers `2n` (who dialled) and `2n + 1`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::delay::Delay;
use super::faults::{Faults, Passage};
use super::files::Files;
use super::place::Families;
use super::queue::{Due, Queue};
use super::searching::SearchReport;
use super::servent::{Load, SimServent, State};
use super::topology::Links;
use super::wires::{Wire, far, index};
use crate::base::{Contact, Guid, ServentId, Time};
use crate::message::{Greeting, LinkMessage, Purpose};
use crate::overlay::{Config, Event, Input, LinkId, Output, Overlay, Peer};
use crate::wire::{Family, HEADER_LEN};

/// Many servents on one virtual clock.
#[derive(Debug)]
pub struct Network {
    now: Time,
    queue: Queue<Input>,
    servents: Vec<SimServent>,
    by_id: BTreeMap<ServentId, usize>,
    wires: Vec<Wire>,
    rng: ChaCha12Rng,
    config: Config,
    delay: Delay,
    mean: Duration,
    pub(super) faults: Faults,
    files: Files,
    reports: BTreeMap<Guid, SearchReport>,
    calls: Vec<(usize, Contact, [u8; 16])>,
    traffic: Load,
    /// Outputs of the servent at hand, and a frame; kept for their memory.
    out: Vec<Output>,
    frame: BytesMut,
}

impl Network {
    /// An empty network; all chance comes from `seed`.
    #[must_use]
    pub fn new(seed: u64, config: Config, delay: Delay, mean: Duration) -> Self {
        Self {
            now: Time::from_micros(1_000_000_000),
            queue: Queue::new(),
            servents: Vec::new(),
            by_id: BTreeMap::new(),
            wires: Vec::new(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            config,
            delay,
            mean,
            faults: Faults::default(),
            files: Files::default(),
            reports: BTreeMap::new(),
            calls: Vec::new(),
            traffic: Load::default(),
            out: Vec::new(),
            frame: BytesMut::new(),
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
        let number = self.add_bare();
        self.give(number, file);
        number
    }

    /// Adds a servent, alone, that shares nothing.
    pub fn add_bare(&mut self) -> usize {
        let number = self.servents.len();
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        let id = ServentId(key);
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let overlay = Overlay::new(id, self.config.clone(), seed, self.now);
        let servent = SimServent {
            overlay,
            id,
            state: State::Alive,
            families: Families::default(),
            shielded: false,
            alarm: None,
            ends: Vec::new(),
            load: Load::default(),
        };
        self.servents.push(servent);
        self.by_id.insert(id, number);
        number
    }

    /// Puts a servent on other Internets than the first; before it dials anybody.
    pub fn settle(&mut self, servent: usize, families: Families) {
        if let Some(s) = self.servents.get_mut(servent) {
            s.families = families;
        }
    }

    /// Lets a servent have a file of this name.
    pub fn give(&mut self, servent: usize, file: &str) {
        self.files.give(servent, file);
    }

    /// Who has a file of this name.
    pub fn holders(&self, file: &str) -> impl Iterator<Item = usize> + '_ {
        self.files.holders(file)
    }

    /// Makes a mesh of exactly these links, at once, as if people had asked for them.
    pub fn link_all(&mut self, links: &Links) {
        for &(a, b) in links {
            self.link(a, b);
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        let (Some(from), Some(to)) = (self.peer(a, b), self.peer(b, a)) else { return };
        let link = self.open(a, b, None);
        let purpose = Purpose::Manual;
        self.hear(b, Input::Accepted { link: far(link), peer: from, purpose: purpose.clone() });
        if self.wires.get(index(link)).is_some_and(|wire| wire.open) {
            self.hear(a, Input::Dialled { link, peer: to, purpose, contacts: Vec::new() });
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
        self.servents.get(servent).filter(|s| s.is_alive()).map(|s| &s.overlay)
    }

    /// The servents that are alive.
    pub fn alive(&self) -> impl Iterator<Item = usize> + '_ {
        self.servents.iter().enumerate().filter(|(_, s)| s.is_alive()).map(|(i, _)| i)
    }

    /// How many servents there have ever been.
    #[must_use]
    pub fn count(&self) -> usize {
        self.servents.len()
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
        for (i, servent) in self.servents.iter().enumerate().filter(|(_, s)| s.is_alive()) {
            for neighbour in servent.overlay.neighbours() {
                if let Some(wire) = self.wires.get(index(neighbour.link)) {
                    let j = wire.to as usize;
                    links.insert((i.min(j), i.max(j)));
                }
            }
        }
        links
    }

    /// What has gone through one servent, out and in.
    #[must_use]
    pub fn load(&self, servent: usize) -> Load {
        self.servents.get(servent).map(|s| s.load).unwrap_or_default()
    }

    /// What has been sent in the whole mesh.
    #[must_use]
    pub fn traffic(&self) -> Load {
        self.traffic
    }

    /// Kills a servent: it says nothing more, and its links break.
    pub fn kill(&mut self, servent: usize) {
        let Some(s) = self.servents.get_mut(servent) else { return };
        s.state = State::Dead;
        for link in std::mem::take(&mut s.ends) {
            self.close(link);
        }
    }

    /// Freezes a servent: it says nothing more, and its links stay.
    pub fn freeze(&mut self, servent: usize) {
        if let Some(s) = self.servents.get_mut(servent) {
            s.state = State::Frozen;
        }
    }

    /// Breaks the link between two servents, if there is one.
    pub fn cut(&mut self, a: usize, b: usize) {
        let ends = self.servents.get(a).map(|s| s.ends.as_slice()).unwrap_or_default();
        let leads =
            |end: &&LinkId| self.wires.get(index(**end)).is_some_and(|w| w.to as usize == b);
        if let Some(link) = ends.iter().find(leads).copied() {
            self.close(link);
            self.schedule(self.now, a, Input::LinkLost { link });
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
        self.search_for(servent, text, rings, usize::MAX)
    }

    /// Starts a search that asks for a trace.
    pub fn search_traced(&mut self, servent: usize, text: &str, rings: Vec<u8>) -> Guid {
        self.ask(servent, text, rings, usize::MAX, true)
    }

    /// Starts a search that asks no wider ring once there are `enough` hits.
    pub fn search_for(
        &mut self,
        servent: usize,
        text: &str,
        rings: Vec<u8>,
        enough: usize,
    ) -> Guid {
        self.ask(servent, text, rings, enough, false)
    }

    fn ask(
        &mut self,
        servent: usize,
        text: &str,
        rings: Vec<u8>,
        enough: usize,
        traced: bool,
    ) -> Guid {
        let mut name = [0; 16];
        self.rng.fill_bytes(&mut name);
        let guid = Guid(name);
        self.reports.insert(guid, SearchReport::new(text, enough, self.now));
        let body = super::files::query(text, traced);
        self.tell(servent, Input::Search { guid, body, rings });
        guid
    }

    /// What has happened in a search so far.
    #[must_use]
    pub fn report(&self, guid: Guid) -> SearchReport {
        self.reports.get(&guid).cloned().unwrap_or_default()
    }

    /// What has happened in a search, which is then forgotten here.
    pub fn take_report(&mut self, guid: Guid) -> SearchReport {
        self.reports.remove(&guid).unwrap_or_default()
    }

    /// Whether a search is over.
    #[must_use]
    pub fn is_over(&self, guid: Guid) -> bool {
        self.reports.get(&guid).is_none_or(|report| report.end().is_some())
    }

    /// Runs until the search is over; false if it is not within `most`.
    pub fn run_until_end(&mut self, guid: Guid, most: Duration) -> bool {
        let until = self.now + most;
        while !self.is_over(guid) {
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
        let Some((at, to, due)) = self.queue.pop(until) else { return false };
        self.now = at;
        let to = to as usize;
        match (self.faults.thaw(at, to), due) {
            (None, Due::Event(input)) => self.hear(to, input),
            (None, Due::Alarm) => self.ring(to),
            // It waits until then, in its order.
            (Some(thaw), Due::Event(input)) => self.schedule(thaw, to, input),
            (Some(thaw), Due::Alarm) => self.oversleep(at, thaw, to),
        }
        true
    }

    /// A servent takes an input, and what it wants done is done.
    fn hear(&mut self, to: usize, input: Input) {
        let Some(servent) = self.servents.get_mut(to).filter(|s| s.is_alive()) else { return };
        let mut out = std::mem::take(&mut self.out);
        servent.overlay.handle(self.now, input, &mut out);
        for output in out.drain(..) {
            self.perform(to, output);
        }
        self.out = out;
        self.set_alarm(to);
    }

    /// An alarm that a servent set at some time, unless it was put forward meanwhile.
    fn ring(&mut self, to: usize) {
        let now = self.now;
        let Some(servent) = self.servents.get_mut(to) else { return };
        if servent.alarm != Some(now) {
            return;
        }
        servent.alarm = None;
        if servent.overlay.next_deadline().is_some_and(|due| due <= now) {
            self.hear(to, Input::Wake);
        } else {
            self.set_alarm(to);
        }
    }

    /// An alarm of a servent that is frozen rings once it thaws.
    fn oversleep(&mut self, at: Time, thaw: Time, to: usize) {
        if let Some(servent) = self.servents.get_mut(to).filter(|s| s.alarm == Some(at)) {
            servent.alarm = Some(thaw);
            self.queue.alarm(thaw, small(to));
        }
    }

    fn set_alarm(&mut self, to: usize) {
        let Some(servent) = self.servents.get_mut(to).filter(|s| s.is_alive()) else { return };
        let Some(due) = servent.overlay.next_deadline() else { return };
        let due = due.max(self.now);
        if servent.alarm.is_none_or(|at| at > due) {
            servent.alarm = Some(due);
            self.queue.alarm(due, small(to));
        }
    }

    fn schedule(&mut self, at: Time, to: usize, input: Input) {
        self.queue.push(at, small(to), input);
    }

    fn perform(&mut self, from: usize, output: Output) {
        match output {
            Output::Send { link, message } => {
                if let LinkMessage::Query(query) = &message
                    && let Some(report) = self.reports.get_mut(&query.guid)
                {
                    report.copies += 1;
                }
                if let LinkMessage::QueryDone(done) = &message
                    && let Some(report) = self.reports.get_mut(&done.guid)
                {
                    report.dones += 1;
                }
                let bytes = self.weigh(&message);
                self.send(link, bytes, |far| Input::Received { link: far, message });
            }
            Output::Greet { link, greeting } => self.greet(from, link, greeting),
            Output::Close { link } => self.close(link),
            Output::Dial { contact, purpose } => self.connect(from, &contact, purpose),
            Output::DialBack { link, contact } => {
                let seen = self.dialled_at(from, &contact);
                let took = 2 * self.delay.draw(self.mean, 0.5, &mut self.rng);
                self.schedule(self.now + took, from, Input::DialledBack { link, seen });
            }
            Output::Call { contact, token } => {
                let seen = self.dialled_at(from, &contact);
                self.calls.push((from, contact, token));
                let took = 2 * self.delay.draw(self.mean, 0.5, &mut self.rng);
                self.schedule(self.now + took, from, Input::Called { seen });
            }
            Output::Match { guid, .. } => {
                let mut answers = Vec::new();
                if let Some(report) = self.reports.get_mut(&guid) {
                    report.asked.push(from);
                    let families = self.servents.get(from).map(|s| s.families).unwrap_or_default();
                    answers = self.files.answers(from, families, &report.text);
                }
                let took = Duration::from_micros(self.rng.random_range(0..50));
                self.schedule(self.now + took, from, Input::Matched { guid, answers });
            }
            Output::Event(Event::Hit(hit)) => {
                let number = self.by_id.get(&hit.responder).copied();
                let (Some(report), Some(number)) = (self.reports.get_mut(&hit.guid), number) else {
                    return;
                };
                if report.note_hit(number, hit.hops, self.now) {
                    self.tell(from, Input::Enough { guid: hit.guid });
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
                    report.ended = self.now;
                }
            }
            Output::Event(_) => {}
        }
    }

    /// Bytes of the frame in which a message travels.
    fn weigh(&mut self, message: &impl Family) -> u64 {
        self.frame.clear();
        // What cannot be encoded cannot be sent: the link would close, here it goes on.
        let _ = message.encode(&mut self.frame);
        (HEADER_LEN + self.frame.len()) as u64
    }

    /// Delivers something of so many bytes at the far end of `link`, in its order.
    fn send(&mut self, link: LinkId, bytes: u64, input: impl FnOnce(LinkId) -> Input) {
        let Some(wire) = self.wires.get_mut(index(link)).filter(|wire| wire.open) else { return };
        let took = self.delay.draw(self.mean, wire.fixed, &mut self.rng);
        let (owner, to) = (wire.owner as usize, wire.to as usize);
        let late = match self.faults.passage(self.now, owner, to, &mut self.rng) {
            Passage::Late(late) => late,
            Passage::Broken(at) => {
                self.close(link);
                self.schedule(at, owner, Input::LinkLost { link });
                return;
            }
        };
        let at = (self.now + took + late).max(wire.last);
        wire.last = at;
        self.traffic.add(bytes);
        for end in [owner, to] {
            if let Some(servent) = self.servents.get_mut(end) {
                servent.load.add(bytes);
            }
        }
        self.schedule(at, to, input(far(link)));
    }

    /// A servent as `other` sees it over a connection; none when they cannot have one.
    fn peer(&self, servent: usize, other: usize) -> Option<Peer> {
        let (one, other) = (self.servents.get(servent)?, self.servents.get(other)?);
        let seen = one.families.seen(servent, other.families);
        let seen = seen.filter(|_| one.families.meet(other.families))?;
        let contact = one.families.contact(one.id, servent);
        Some(Peer { contact, name: String::new(), seen })
    }

    /// A new link, of which the dialler's end is returned.
    fn open(&mut self, from: usize, to: usize, greeting: Option<Purpose>) -> LinkId {
        let link = LinkId(self.wires.len() as u64);
        let (fixed, last) = (self.rng.random(), self.now);
        let (a, b) = (small(from), small(to));
        self.wires.push(Wire { owner: a, to: b, open: true, greeting, fixed, last });
        self.wires.push(Wire { owner: b, to: a, open: true, greeting: None, fixed, last });
        for (servent, end) in [(from, link), (to, far(link))] {
            if let Some(servent) = self.servents.get_mut(servent) {
                servent.ends.push(end);
            }
        }
        link
    }

    /// Where `contact` answers a dial, if it lives and nothing is in the way.
    fn dialled_at(&self, from: usize, contact: &Contact) -> Option<SocketAddr> {
        let to = self.by_id.get(&contact.id).copied()?;
        let there = self.servents.get(to)?;
        let cut = self.faults.unanswered(self.now, from, to).is_some();
        self.peer(from, to).filter(|_| there.can_be_dialled() && !cut)?;
        contact.addresses.first().copied()
    }

    fn connect(&mut self, from: usize, contact: &Contact, purpose: Purpose) {
        let target = self.by_id.get(&contact.id).copied();
        if let Some(wait) = target.and_then(|to| self.faults.unanswered(self.now, from, to)) {
            self.schedule(self.now + wait, from, Input::DialFailed { id: contact.id });
            return;
        }
        let alive =
            target.filter(|&t| self.servents.get(t).is_some_and(SimServent::can_be_dialled));
        let reached = alive.and_then(|to| Some((to, self.peer(from, to)?)));
        let Some((to, peer)) = reached else {
            let took = self.delay.draw(self.mean, 0.5, &mut self.rng);
            self.schedule(self.now + took, from, Input::DialFailed { id: contact.id });
            return;
        };
        let link = self.open(from, to, Some(purpose.clone()));
        // The hello is said by the driver, not by the engine: it is weighed as what it is.
        let hello = super::files::hello(purpose.clone(), &peer.contact);
        let bytes = self.weigh(&Greeting::Hello(hello));
        self.send(link, bytes, |link| Input::Accepted { link, peer, purpose });
    }

    fn greet(&mut self, from: usize, link: LinkId, greeting: Greeting) {
        let Some(dialler) = self.wires.get_mut(index(far(link))) else { return };
        let Some(purpose) = dialler.greeting.take() else { return };
        let owner = dialler.owner as usize;
        let Some(peer) = self.peer(from, owner) else { return };
        let bytes = self.weigh(&greeting);
        self.send(link, bytes, |link| match greeting {
            Greeting::Welcome(welcome) => {
                Input::Dialled { link, peer, purpose, contacts: welcome.contacts }
            }
            Greeting::Redirect(redirect) => Input::Redirected { peer, contacts: redirect.contacts },
            Greeting::Hello(_) => Input::LinkLost { link },
        });
    }

    /// Ends a link; the far side learns of it behind what is on its way.
    fn close(&mut self, link: LinkId) {
        let Some(near) = self.wires.get_mut(index(link)).filter(|wire| wire.open) else { return };
        near.open = false;
        near.greeting = None;
        let (owner, to) = (near.owner as usize, near.to as usize);
        let at = self.faults.end_shows(self.now, owner, to).max(near.last);
        let mut dialling = None;
        if let Some(wire) = self.wires.get_mut(index(far(link))) {
            wire.open = false;
            dialling = wire.greeting.take();
        }
        for (servent, end) in [(owner, link), (to, far(link))] {
            if let Some(servent) = self.servents.get_mut(servent) {
                servent.ends.retain(|&other| other != end);
            }
        }
        let lost = match (dialling, self.servents.get(owner)) {
            (Some(_), Some(owner)) => Input::DialFailed { id: owner.id },
            _ => Input::LinkLost { link: far(link) },
        };
        self.schedule(at, to, lost);
    }
}

/// The number of a servent: more than that have no room in any memory.
fn small(servent: usize) -> u32 {
    u32::try_from(servent).unwrap_or(u32::MAX)
}
