//! The loop that owns the engine and performs what it asks.
//!
//! The only task that touches the [`Overlay`]. It never waits for a peer: messages go
//! to a link's outbox, which takes or sheds; everything slow is a task that reports back.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::called::Caller;
use super::greeting::{self, Greeted, Reception};
use super::ground::Ground;
use super::hosts::HostFile;
use super::incidents::Incident;
use super::listen::Arrival;
use super::matching::Job;
use super::mesh::Mesh;
use super::outbox::{Outbox, Pushed, Shed};
use super::report::{News, PeerReport, Reachable, Relation, SharesReport, TestReport, undialable};
use super::traffic::Traffic;
use super::{dial, link};
use crate::base::{Contact, Guid, ServentId, Time};
use crate::message::{ByeReason, Greeting, Purpose, QueryHit, Shares};
use crate::overlay::{
    DownReason, Event, Input, LinkId, Neighbour, Output, Overlay, Reachability, RingEnd, TraceTree,
};

/// Commands that wait for the loop: they come from people, one at a time.
pub(super) const COMMANDS: usize = 64;
/// Messages from all links that wait for the loop; a full queue slows the readers down.
pub(super) const INPUTS: usize = 1024;
/// What one search may have waiting for its user: more than it is ever sent.
pub(super) const UPDATES: usize = 4096;
/// How long the host cache may be newer than its file.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// How often the host cache is saved when nothing happens: ages move on.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// What other tasks ask of the loop.
pub(super) enum Command {
    /// Somebody dialled us and said hello.
    Arrived(Arrival),
    /// A dial of ours was answered.
    Dialled { greeted: Greeted, reception: Reception, purpose: Purpose },
    /// The user searches.
    Search { guid: Guid, body: bytes::Bytes, rings: Vec<u8>, updates: mpsc::Sender<Update> },
    /// Anything else for the engine.
    Tell(Input),
    /// Say bye to everybody; answered with how many there were.
    Leave(oneshot::Sender<usize>),
    /// Who is there?
    Peers(oneshot::Sender<Vec<PeerReport>>),
    /// Who else is known?
    Known(oneshot::Sender<Vec<PeerReport>>),
    /// Can others dial us, and how is that known?
    Reachability(oneshot::Sender<(Reachable, Option<TestReport>)>),
    /// How many contacts are cached?
    Cached(oneshot::Sender<usize>),
    /// Go into another mesh; answered with whether we did, which needs no neighbours.
    Move(Box<Move>, oneshot::Sender<bool>),
}

/// The part of another mesh.
pub(super) struct Move {
    pub(super) mesh: Arc<Mesh>,
    pub(super) overlay: Overlay,
    pub(super) hosts: HostFile,
    /// What the engine is told first.
    pub(super) first: Vec<Input>,
}

/// What a search brings, raw.
pub(super) enum Update {
    /// Hits, and where our neighbours are just now.
    Hit(QueryHit, Vec<IpAddr>),
    /// How it ran, and what the neighbours are called.
    Trace(TraceTree, Vec<(ServentId, String)>),
    Ring(RingEnd),
}

struct Link {
    outbox: Arc<Outbox>,
    traffic: Arc<Traffic>,
    /// Ends the link without a farewell.
    cut: CancellationToken,
}

pub(super) struct Driver {
    ground: Arc<Ground>,
    overlay: Overlay,
    links: HashMap<LinkId, Link>,
    /// Accepted connections that wait for the engine's greeting.
    arrivals: HashMap<LinkId, Arrival>,
    next_link: u64,
    /// Inputs that performing outputs gave rise to; they come behind those outputs.
    backlog: VecDeque<Input>,
    searches: HashMap<Guid, mpsc::Sender<Update>>,
    desks: Desks,
    inputs: mpsc::Sender<Input>,
    commands: mpsc::Sender<Command>,
    degree: watch::Sender<usize>,
    hosts: HostFile,
    save_at: Instant,
}

/// Where the engine's slow wishes go.
pub(super) struct Desks {
    /// Queries, to the library.
    pub(super) matcher: mpsc::Sender<Job>,
    /// Whoever calls us, to be dialled.
    pub(super) callers: mpsc::Sender<Caller>,
}

impl Driver {
    pub(super) fn new(
        ground: Arc<Ground>,
        overlay: Overlay,
        desks: Desks,
        inputs: mpsc::Sender<Input>,
        commands: mpsc::Sender<Command>,
        degree: watch::Sender<usize>,
        hosts: HostFile,
    ) -> Self {
        Self {
            ground,
            overlay,
            links: HashMap::new(),
            arrivals: HashMap::new(),
            next_link: 0,
            backlog: VecDeque::new(),
            searches: HashMap::new(),
            desks,
            inputs,
            commands,
            degree,
            hosts,
            save_at: Instant::now() + SAVE_EVERY,
        }
    }

    /// Runs until the servent stops; says bye and saves the host cache at the end.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut inputs: mpsc::Receiver<Input>,
    ) {
        self.tell_addresses();
        loop {
            let due = self.overlay.next_deadline().map(|at| self.ground.clock.instant(at));
            let wake = due.map_or(self.save_at, |due| due.min(self.save_at));
            // Own work first, the strangers' last; the clock before either of them.
            tokio::select! {
                biased;
                () = self.ground.stop.cancelled() => break,
                Some(command) = commands.recv() => self.obey(command),
                () = sleep_until(wake) => self.wake(),
                Some(input) = inputs.recv() => self.handle(input),
            }
        }
        self.handle(Input::Leave);
        self.hosts.save(&self.overlay.cached(), self.ground.clock.now());
    }

    fn wake(&mut self) {
        let now = Instant::now();
        if now >= self.save_at {
            self.hosts.save_soon(self.overlay.cached(), self.ground.clock.now());
            self.save_at = now + SAVE_EVERY;
            self.tell_addresses();
        }
        for neighbour in self.overlay.neighbours().filter(|neighbour| !neighbour.dialled) {
            if let Some(round_trip) = neighbour.round_trip {
                self.ground.admission.note_round_trip(neighbour.id(), round_trip);
            }
        }
        self.handle(Input::Wake);
    }

    /// The engine wants to know where we listen, and when that changes.
    fn tell_addresses(&mut self) {
        self.handle(Input::Addresses(self.ground.addresses()));
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Tell(input) => {
                if let Input::Abandon { guid } = input {
                    self.searches.remove(&guid);
                }
                self.handle(input);
            }
            // Greeted in a mesh that we have left since.
            Command::Arrived(arrival) if arrival.greeted.mesh.left.is_cancelled() => {}
            Command::Dialled { greeted, .. } if greeted.mesh.left.is_cancelled() => {}
            Command::Arrived(arrival) => {
                let link = self.new_link();
                let peer = arrival.greeted.peer.clone();
                let purpose = arrival.greeted.hello.purpose.clone();
                let (has_place, crawls) = (arrival.has_place, arrival.greeted.hello.is_crawl());
                self.arrivals.insert(link, arrival);
                self.handle(match has_place {
                    true if crawls => Input::Crawled { link, peer },
                    true => Input::Accepted { link, peer, purpose },
                    false => Input::TurnedAway { link, peer },
                });
            }
            Command::Dialled { greeted, reception, purpose } => {
                self.on_dialled(greeted, reception, purpose);
            }
            Command::Search { guid, body, rings, updates } => {
                self.searches.insert(guid, updates);
                self.handle(Input::Search { guid, body, rings });
            }
            Command::Leave(reply) => {
                let told = self.overlay.neighbours().len();
                self.handle(Input::Leave);
                let _ = reply.send(told);
            }
            Command::Peers(reply) => {
                let now = self.ground.clock.now();
                let traffic = |link| self.links.get(&link).map(|link| &*link.traffic);
                let neighbours = self.overlay.neighbours();
                let peers = neighbours.map(|n| neighbour_report(n, traffic(n.link), now));
                let _ = reply.send(peers.collect());
            }
            Command::Known(reply) => {
                let known = self.overlay.known(self.ground.clock.now()).into_iter();
                let known = known.map(|aged| PeerReport {
                    id: aged.contact.id,
                    name: String::new(),
                    addresses: aged.contact.addresses,
                    relation: Relation::Known,
                    age_secs: aged.age_secs.into(),
                });
                let _ = reply.send(known.collect());
            }
            Command::Reachability(reply) => {
                let _ = reply.send(self.reachability());
            }
            Command::Cached(reply) => {
                let _ = reply.send(self.overlay.cached().len());
            }
            Command::Move(to, reply) => {
                let alone = self.overlay.neighbours().len() == 0;
                if alone {
                    self.move_to(*to);
                }
                let _ = reply.send(alone);
            }
        }
    }

    /// Begins anew, with nothing of the mesh before: whoever is about to be greeted there
    /// is let go, and its searches end.
    fn move_to(&mut self, to: Move) {
        self.hosts.save(&self.overlay.cached(), self.ground.clock.now());
        for (_, link) in self.links.drain() {
            link.cut.cancel();
        }
        self.arrivals.clear();
        self.searches.clear();
        self.backlog.clear();
        self.ground.enter(to.mesh);
        (self.overlay, self.hosts) = (to.overlay, to.hosts);
        self.ground.set_undialable(false);
        for input in to.first {
            self.handle(input);
        }
        self.tell_addresses();
    }

    fn on_dialled(&mut self, greeted: Greeted, reception: Reception, purpose: Purpose) {
        let Greeted { stream, ahead, peer, turn, .. } = greeted;
        let id = peer.contact.id;
        match reception {
            Reception::Redirected(redirect) => {
                self.handle(Input::Redirected { peer, contacts: redirect.contacts });
            }
            Reception::Welcomed(welcome) => {
                self.ground.note_seen(welcome.your_address.ip());
                self.tell_addresses();
                let link = self.new_link();
                let (outbox, traffic) = self.open(link, CancellationToken::new());
                let (ground, inputs) = (Arc::clone(&self.ground), self.inputs.clone());
                let running = link::run(ground, link, stream, ahead, outbox, traffic, inputs);
                self.spawn_link(link, running);
                let contacts = welcome.contacts;
                self.handle(Input::Dialled { link, peer, purpose, contacts });
            }
        }
        if let Some(mut turn) = turn {
            *turn = self.overlay.neighbours().any(|neighbour| neighbour.id() == id);
        }
    }

    fn new_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }

    fn open(&mut self, link: LinkId, cut: CancellationToken) -> (Arc<Outbox>, Arc<Traffic>) {
        let (outbox, traffic) = (Arc::new(Outbox::default()), Arc::new(Traffic::default()));
        let opened = (Arc::clone(&outbox), Arc::clone(&traffic));
        self.links.insert(link, Link { outbox, traffic, cut });
        opened
    }

    fn spawn_link(&self, link: LinkId, running: impl Future<Output = ()> + Send + 'static) {
        let cut = self.links.get(&link).map(|link| link.cut.clone()).unwrap_or_default();
        let inputs = self.inputs.clone();
        self.ground.spawn(async move {
            if cut.run_until_cancelled(running).await.is_none() {
                let _ = inputs.send(Input::LinkLost { link }).await;
            }
        });
    }

    /// Tells the engine one thing, and all that follows from it.
    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        self.backlog.push_back(input);
        while let Some(input) = self.backlog.pop_front() {
            if let Input::LinkLost { link } = input {
                self.links.remove(&link);
            }
            self.overlay.handle(self.ground.clock.now(), input, &mut out);
            for output in out.drain(..) {
                self.perform(output);
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send { link, message } => {
                let Some(Link { outbox, cut, .. }) = self.links.get(&link) else { return };
                match outbox.push(message) {
                    Pushed::Queued(shed) => {
                        self.backlog.extend(shed.into_iter().map(|shed| match shed {
                            Shed::Copy(guid, ttl) => Input::CopyShed { link, guid, ttl },
                            Shed::Hit(guid) => Input::HitShed { guid },
                        }));
                    }
                    Pushed::Full => {
                        tracing::debug!(?link, "too slow");
                        cut.cancel();
                        self.backlog.push_back(Input::LinkLost { link });
                    }
                }
            }
            Output::Close { link } => {
                if let Some(Link { outbox, .. }) = self.links.remove(&link) {
                    outbox.close();
                }
            }
            Output::Greet { link, greeting } => self.greet(link, greeting),
            Output::Dial { contact, purpose } => self.dial(contact, purpose),
            Output::DialBack { link, contact } => self.dial_back(link, contact),
            Output::Call { contact, token } => {
                if self.desks.callers.try_send((contact, token)).is_err() {
                    self.backlog.push_back(Input::Called { seen: None });
                }
            }
            Output::Match { guid, body } => {
                if self.desks.matcher.try_send(Job { guid, body }).is_err() {
                    self.backlog.push_back(Input::MatchRefused { guid });
                }
            }
            Output::Event(event) => self.on_event(event),
        }
    }

    fn greet(&mut self, link: LinkId, greeting: Greeting) {
        let Some(arrival) = self.arrivals.remove(&link) else { return };
        let revoked = arrival.revoked();
        let Arrival { greeted, pass, .. } = arrival;
        let Greeted { mut stream, ahead, .. } = greeted;
        if !matches!(greeting, Greeting::Welcome(_)) {
            self.ground.spawn(async move {
                if greeting::answer(&mut stream, &greeting).await.is_ok() {
                    let _ = stream.shutdown().await;
                }
                drop(pass);
            });
            return;
        }
        // Its place may be given to somebody who deserves it more.
        let (outbox, traffic) = self.open(link, revoked);
        let (ground, inputs) = (Arc::clone(&self.ground), self.inputs.clone());
        self.spawn_link(link, async move {
            if greeting::answer(&mut stream, &greeting).await.is_ok() {
                link::run(ground, link, stream, ahead, outbox, traffic, inputs).await;
            } else {
                let _ = inputs.send(Input::LinkLost { link }).await;
            }
            drop(pass);
        });
    }

    fn dial(&self, contact: Contact, purpose: Purpose) {
        let (ground, inputs) = (Arc::clone(&self.ground), self.inputs.clone());
        let commands = self.commands.clone();
        self.ground.spawn(async move {
            let (id, stop) = (contact.id, ground.stop.clone());
            let dial = dial::dial(&ground, &contact.addresses, Some(id), purpose.clone());
            match stop.run_until_cancelled(dial).await {
                None => {}
                Some(Ok((greeted, reception))) => {
                    let _ = commands.send(Command::Dialled { greeted, reception, purpose }).await;
                }
                Some(Err(error)) => {
                    tracing::debug!(%id, %error, "dial failed");
                    let _ = inputs.send(Input::DialFailed { id }).await;
                }
            }
        });
    }

    /// Dials a neighbour only to see whether it answers.
    fn dial_back(&self, link: LinkId, contact: Contact) {
        let (ground, inputs) = (Arc::clone(&self.ground), self.inputs.clone());
        self.ground.spawn(async move {
            let Contact { id, addresses } = contact;
            let dial = dial::dial(&ground, &addresses, Some(id), Purpose::Probe);
            let Some(dialled) = ground.stop.run_until_cancelled(dial).await else { return };
            let seen = dialled.ok().map(|(greeted, _)| greeted.peer.seen);
            let _ = inputs.send(Input::DialledBack { link, seen }).await;
        });
    }

    fn reachability(&self) -> (Reachable, Option<TestReport>) {
        let Reachability { dialable, tested } = self.overlay.reachability();
        let now = self.ground.clock.now();
        let tested = tested.map(|(by, at)| {
            let neighbour = self.overlay.neighbours().find(|neighbour| neighbour.id() == by);
            let name = neighbour.map(|neighbour| neighbour.peer.name.clone()).unwrap_or_default();
            TestReport { by, name, ago_secs: now.since(at).as_secs() }
        });
        let reachable = match dialable {
            Some(true) => Reachable::Yes,
            Some(false) => Reachable::No,
            None => Reachable::Unknown,
        };
        (reachable, tested)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Reachability(Reachability { dialable, .. }) => {
                let before = self.ground.is_undialable();
                self.ground.set_undialable(dialable == Some(false));
                if dialable == Some(false) {
                    let port = self.ground.addresses().first().map(SocketAddr::port);
                    let advice = undialable(port, self.ground.panel.now().map_port);
                    let text = format!("nobody can dial this servent: {advice}");
                    self.ground.tell(News::Notice { text });
                } else if before {
                    let text = "others can dial this servent now".to_owned();
                    self.ground.tell(News::Notice { text });
                }
            }
            Event::CallUnsent { token } => self.ground.calls.unsent(token),
            Event::NeighbourUp { peer } => {
                self.degree.send_replace(self.overlay.neighbours().len());
                self.save_at = self.save_at.min(Instant::now() + SAVE_AFTER);
                self.ground.tell(News::NeighbourUp { id: peer.contact.id, name: peer.name });
            }
            Event::NeighbourDown { peer, reason } => {
                self.degree.send_replace(self.overlay.neighbours().len());
                if reason == DownReason::Misbehaved {
                    self.ground.incidents.note(Incident::Offence);
                }
                let why = sentence(reason).to_owned();
                let id = peer.contact.id;
                self.ground.tell(News::NeighbourDown { id, name: peer.name, why });
            }
            Event::Hit(hit) => {
                if let Some(updates) = self.searches.get(&hit.guid) {
                    // The engine lets fewer through than fit.
                    let seen = self.overlay.neighbours().map(|n| n.peer.seen.ip()).collect();
                    let _ = updates.try_send(Update::Hit(hit, seen));
                }
            }
            Event::Traced { guid, tree } => {
                if let Some(updates) = self.searches.get(&guid) {
                    let named = self.overlay.neighbours().map(|n| (n.id(), n.peer.name.clone()));
                    let _ = updates.try_send(Update::Trace(tree, named.collect()));
                }
            }
            Event::RingEnded { guid, end } => {
                if let Some(updates) = self.searches.get(&guid) {
                    let _ = updates.try_send(Update::Ring(end));
                }
                if end.last {
                    self.searches.remove(&guid);
                }
            }
        }
    }
}

fn neighbour_report(neighbour: &Neighbour, traffic: Option<&Traffic>, now: Time) -> PeerReport {
    let round_trip = neighbour.round_trip.map(|rtt| rtt.as_micros());
    PeerReport {
        id: neighbour.id(),
        name: neighbour.peer.name.clone(),
        addresses: neighbour.peer.contact.addresses.clone(),
        relation: Relation::Neighbour {
            dialled: neighbour.dialled,
            manual: neighbour.manual,
            up_secs: now.since(neighbour.up).as_secs(),
            round_trip_micros: round_trip.and_then(|micros| u64::try_from(micros).ok()),
            shares: neighbour.shares.map(|Shares { files, bytes }| SharesReport { files, bytes }),
            dialable: neighbour.dialable,
            sent: traffic.map_or(0, Traffic::sent),
            received: traffic.map_or(0, Traffic::received),
        },
        age_secs: now.since(neighbour.heard).as_secs(),
    }
}

fn sentence(reason: DownReason) -> &'static str {
    match reason {
        DownReason::Said(ByeReason::Leaving) => "it left",
        DownReason::Said(ByeReason::Full) => "it has neighbours enough",
        DownReason::Said(ByeReason::Replaced) => "another link to it took its place",
        DownReason::Said(ByeReason::Misbehaved) => "it says that we broke the protocol",
        DownReason::Said(ByeReason::TooSlow) => "it says that we read too slowly",
        DownReason::Broken => "the connection broke",
        DownReason::Silent => "it was silent for 90 s",
        DownReason::LetGo => "there were more neighbours than needed",
        DownReason::Misbehaved => "it broke the protocol",
        DownReason::Left => "we left",
    }
}
