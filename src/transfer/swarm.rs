//! A small world for one download: honest, lying, slow, refusing and dying sources, one
//! virtual clock, no sockets; and what must hold in it whatever the seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::base::piece::{MAX_FILE, MIN_PIECE};
use crate::base::{Geometry, PieceIndex, PieceMap, ServentId, Time};
use crate::message::transfer::Manifest;
use crate::message::{PieceRange, Refusal};

const SEEDS: u64 = 300;
/// Two slow sources held the last piece, and nobody dialled the good one again.
const ONCE_FAILED: u64 = 4106;
/// Between two parts of a list that drips.
const DRIP: Duration = Duration::from_millis(1900);
const ME: ServentId = ServentId([0; 32]);

/// What a source does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Nature {
    Honest,
    /// Honest, but its connection ends after a few pieces; it can be dialled again.
    Dying,
    /// Honest, but we wait in its queue first.
    Queueing,
    /// Its list does not merge to the id.
    WrongList,
    /// Its list is that of the next level of the tree.
    WrongSize,
    /// Every other piece is not of the file.
    WrongPiece,
    /// It takes requests and sends nothing.
    Stalling,
    /// It says nothing at all.
    Mute,
    /// Its list is of the largest file there is, and a part of it comes now and then; of
    /// pieces it sends none.
    ListDripping,
    /// It sends 100 bytes a second.
    Trickling,
    /// The same, and it goes on with what was cancelled.
    Dripping,
    Refusing,
    Unreachable,
}

impl Nature {
    const ALL: [Self; 11] = [
        Self::Honest,
        Self::Dying,
        Self::Queueing,
        Self::WrongList,
        Self::WrongSize,
        Self::WrongPiece,
        Self::Stalling,
        Self::Mute,
        Self::Trickling,
        Self::Refusing,
        Self::Unreachable,
    ];

    fn lies(self) -> bool {
        matches!(self, Self::WrongList | Self::WrongSize | Self::WrongPiece | Self::ListDripping)
    }

    fn gives(self) -> bool {
        matches!(self, Self::Honest | Self::Dying | Self::Queueing)
    }
}

struct Peer {
    nature: Nature,
    /// The connection's number; what an earlier one brings is dropped.
    connection: u64,
    connected: bool,
    list: Option<Arc<PieceList>>,
    owed: VecDeque<PieceIndex>,
    serving: bool,
    queued: bool,
    given: u32,
    /// When the last part of its list comes, if they drip.
    described: Time,
}

enum Happening {
    Tell(Input),
    From(ServentId, u64, Input),
    Serve(ServentId, u64),
    Drip(ServentId, u64),
}

struct World {
    truth: PieceList,
    download: Download,
    now: Time,
    rng: ChaCha12Rng,
    peers: BTreeMap<ServentId, Peer>,
    ahead: BTreeMap<(Time, u64), Happening>,
    turn: u64,
    /// Whom each piece is asked of.
    asked: BTreeMap<PieceIndex, BTreeSet<ServentId>>,
    proven_last: bool,
    begun: bool,
    here: BTreeSet<u32>,
    liars: BTreeSet<ServentId>,
    over: Option<Output>,
    events: Vec<Event>,
    twice: u32,
}

fn true_list(size: u64) -> PieceList {
    let geometry = Geometry::of(size).unwrap();
    let mut bytes = vec![0; size as usize];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let mut builder = ListBuilder::new(geometry);
    bytes.chunks(geometry.piece_len() as usize).for_each(|piece| builder.push(piece));
    builder.finish().unwrap()
}

/// The list of the next level of the tree, with the size that it goes with.
fn next_level(list: &PieceList) -> (u64, Vec<PieceValue>) {
    use blake3::hazmat::{Mode, merge_subtrees_non_root};
    let pairs: Vec<PieceValue> = list
        .values()
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => merge_subtrees_non_root(left, right, Mode::Hash),
            single => single[0],
        })
        .collect();
    let count = pairs.len().max(1) as u64;
    (count * MIN_PIECE, if count == 1 { Vec::new() } else { pairs })
}

fn id(number: usize) -> ServentId {
    ServentId([number as u8 + 1; 32])
}

impl World {
    fn new(seed: u64, size: u64, natures: &[Nature], once: bool) -> Self {
        let truth = true_list(size);
        let rng = ChaCha12Rng::seed_from_u64(seed ^ 0xD0);
        let peers = natures.iter().enumerate().map(|(number, &nature)| {
            let peer = Peer {
                nature,
                connection: 0,
                connected: false,
                list: None,
                owed: VecDeque::new(),
                serving: false,
                queued: false,
                given: 0,
                described: Time::ZERO,
            };
            (id(number), peer)
        });
        Self {
            download: Download::new(truth.id(), Config { me: ME, once }, rng),
            truth,
            now: Time::ZERO,
            rng: ChaCha12Rng::seed_from_u64(seed),
            peers: peers.collect(),
            ahead: BTreeMap::new(),
            turn: 0,
            asked: BTreeMap::new(),
            proven_last: false,
            begun: false,
            here: BTreeSet::new(),
            liars: BTreeSet::new(),
            over: None,
            events: Vec::new(),
            twice: 0,
        }
    }

    fn after(&mut self, millis: u64, what: Happening) {
        self.turn += 1;
        self.ahead.insert((self.now + Duration::from_millis(millis), self.turn), what);
    }

    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.download.handle(self.now, input, &mut out);
        out.into_iter().for_each(|output| self.obey(output));
        if let Some(at) = self.download.next_deadline() {
            assert!(at > self.now, "a deadline that has passed");
        }
    }

    fn say(&mut self, millis: u64, source: ServentId, input: Input) {
        let connection = self.peers[&source].connection;
        self.after(millis, Happening::From(source, connection, input));
    }

    fn drop_link(&mut self, source: ServentId) {
        let peer = self.peers.get_mut(&source).unwrap();
        (peer.connection, peer.connected, peer.serving) = (peer.connection + 1, false, false);
        (peer.queued, peer.given, peer.list) = (false, 0, None);
        peer.owed.clear();
        self.asked.values_mut().for_each(|askers| {
            askers.remove(&source);
        });
    }

    fn obey(&mut self, output: Output) {
        assert!(self.over.is_none(), "said after the end: {output:?}");
        match output {
            Output::Connect { source } => {
                assert!(!self.liars.contains(&source), "a liar is dialled");
                let peer = &self.peers[&source];
                assert!(!peer.connected);
                let why = Loss("connection refused".into());
                let answer = match peer.nature {
                    Nature::Unreachable => Input::Lost { source, why },
                    _ => Input::Connected { source },
                };
                let delay = self.rng.random_range(1..200);
                self.say(delay, source, answer);
            }
            Output::Disconnect { source, .. } => self.drop_link(source),
            Output::Describe { source, part } => self.describe(source, part),
            Output::Candidate { source, list } => {
                self.peers.get_mut(&source).unwrap().list = Some(list);
            }
            Output::Request { source, pieces } => self.request(source, &pieces),
            Output::CancelPieces { source, pieces } => {
                for piece in self.pieces(source, &pieces) {
                    self.peers.get_mut(&source).unwrap().owed.retain(|&owed| owed != piece);
                    if let Some(askers) = self.asked.get_mut(&piece) {
                        askers.remove(&source);
                    }
                }
            }
            Output::Begin { list } => {
                assert_eq!(*list, self.truth);
                assert!(self.proven_last || list.geometry().is_empty(), "begun unbound");
                self.begun = true;
                let mut held = PieceMap::new(list.geometry().count());
                if let Some(last) = list.geometry().last() {
                    held.insert(last);
                    self.here.insert(last.get());
                }
                self.after(50, Happening::Tell(Input::Begun { held }));
            }
            Output::FindSources => {
                for source in self.peers.keys().copied().collect::<Vec<_>>() {
                    self.after(2000, Happening::Tell(Input::SourceFound { source }));
                }
            }
            Output::Event(event) => {
                if let Event::Lied { source, .. } = &event {
                    assert!(self.peers[source].nature.lies(), "blamed unjustly: {event}");
                    self.liars.insert(*source);
                }
                self.events.push(event);
            }
            Output::Complete => {
                let all: BTreeSet<u32> = (0..self.truth.geometry().count()).collect();
                assert_eq!(self.here, all);
                self.over = Some(Output::Complete);
            }
            Output::Failed(why) => self.over = Some(Output::Failed(why)),
        }
    }

    fn pieces(&self, source: ServentId, ranges: &[PieceRange]) -> Vec<PieceIndex> {
        let candidate = self.peers[&source].list.as_deref().filter(|_| !self.begun);
        let geometry = candidate.unwrap_or(&self.truth).geometry();
        ranges
            .iter()
            .flat_map(|range| range.first..range.first + range.count)
            .map(|number| geometry.piece(number).expect("a piece of the file"))
            .collect()
    }

    fn describe(&mut self, source: ServentId, part: u32) {
        assert!(!self.begun && !self.liars.contains(&source));
        let (mut size, mut values) = (self.truth.geometry().size(), self.truth.values().to_vec());
        match self.peers[&source].nature {
            Nature::WrongList if values.len() > 1 => values.swap(0, 1),
            Nature::WrongList => size = u64::MAX,
            Nature::WrongSize => (size, values) = next_level(&self.truth),
            Nature::Mute => return,
            Nature::ListDripping => {
                let peer = self.peers.get_mut(&source).unwrap();
                peer.described = self.now.max(peer.described) + DRIP;
                let millis = peer.described.since(self.now).as_millis() as u64;
                let (size, values) = (MAX_FILE, vec![[7; 32]; Manifest::PART]);
                return self.say(millis, source, Input::Manifest { source, size, part, values });
            }
            Nature::Refusing => {
                let reason = [Refusal::NotHere, Refusal::Withdrawn, Refusal::Busy];
                let reason = reason[self.rng.random_range(0..3)];
                return self.say(20, source, Input::Refused { source, reason });
            }
            _ => {}
        }
        self.say(20, source, Input::Manifest { source, size, part, values });
    }

    fn request(&mut self, source: ServentId, ranges: &[PieceRange]) {
        assert!(!self.liars.contains(&source), "a liar is asked");
        let pieces = self.pieces(source, ranges);
        let peer = self.peers.get_mut(&source).unwrap();
        assert!(peer.connected && ranges.len() <= crate::message::Request::MAX_RANGES);
        if !self.begun {
            let last = peer.list.as_ref().unwrap().geometry().last();
            assert_eq!(pieces, [last.unwrap()], "more than the last piece is asked");
        }
        let (connection, nature) = (peer.connection, peer.nature);
        let busy = peer.serving || peer.queued;
        peer.owed.extend(&pieces);
        for &piece in &pieces {
            self.note_asked(source, piece);
        }
        match nature {
            Nature::Refusing => {
                let reason = Refusal::Changed;
                self.say(5, source, Input::Refused { source, reason });
            }
            Nature::Stalling | Nature::Mute | Nature::ListDripping => {}
            _ if busy => {}
            Nature::Trickling | Nature::Dripping => {
                self.peers.get_mut(&source).unwrap().serving = true;
                self.after(1000, Happening::Drip(source, connection));
            }
            Nature::Queueing if self.peers[&source].given == 0 => {
                self.peers.get_mut(&source).unwrap().queued = true;
                self.say(5, source, Input::Queued { source, position: 3 });
                self.after(7000, Happening::Serve(source, connection));
            }
            _ => {
                self.peers.get_mut(&source).unwrap().serving = true;
                let delay = self.rng.random_range(5..100);
                self.after(delay, Happening::Serve(source, connection));
            }
        }
    }

    fn note_asked(&mut self, source: ServentId, piece: PieceIndex) {
        let askers = self.asked.entry(piece).or_default();
        askers.insert(source);
        assert!(!self.begun || askers.len() <= 2, "piece {piece} is asked of {askers:?}");
        self.twice += u32::from(askers.len() == 2);
    }

    /// The source sends the next piece that it owes.
    fn serve(&mut self, source: ServentId) {
        let peer = self.peers.get_mut(&source).unwrap();
        let was_queued = std::mem::take(&mut peer.queued);
        peer.serving = true;
        if was_queued {
            self.tell(Input::Progress { source, bytes: 1000 });
            for piece in self.peers[&source].owed.clone() {
                self.note_asked(source, piece);
            }
        }
        let peer = self.peers.get_mut(&source).unwrap();
        let Some(piece) = peer.owed.pop_front() else {
            peer.serving = false;
            return;
        };
        peer.given += 1;
        let honest_list = self.begun || peer.list.as_deref() == Some(&self.truth);
        let bad =
            !honest_list || (peer.nature == Nature::WrongPiece && peer.given.is_multiple_of(2));
        let dies = peer.nature == Nature::Dying && peer.given == 5;
        let connection = peer.connection;
        self.tell(Input::Progress { source, bytes: self.truth.geometry().len(piece) });
        if self.peers[&source].connection != connection {
            return;
        }
        if !bad {
            self.proven_last |= self.truth.geometry().last() == Some(piece);
            if self.begun {
                self.here.insert(piece.get());
            }
        }
        if let Some(askers) = self.asked.get_mut(&piece) {
            askers.remove(&source);
        }
        self.tell(match bad {
            true => Input::PieceBad { source, piece },
            false => Input::PieceGood { source, piece },
        });
        if self.over.is_some() || self.peers[&source].connection != connection {
            return;
        }
        if dies {
            self.drop_link(source);
            return self.tell(Input::Lost { source, why: Loss("connection reset".into()) });
        }
        let delay = self.rng.random_range(5..60);
        self.after(delay, Happening::Serve(source, connection));
    }

    fn run(&mut self, limit: Duration) {
        self.tell(Input::Start { list: None });
        while self.over.is_none() {
            let next = self.ahead.keys().next().copied();
            let deadline = self.download.next_deadline();
            let (at, wake) = match (next, deadline) {
                (Some((at, _)), Some(deadline)) if deadline < at => (deadline, true),
                (Some((at, _)), _) => (at, false),
                (None, Some(deadline)) => (deadline, true),
                (None, None) => panic!("nothing will ever happen again"),
            };
            self.now = at;
            assert!(at.since(Time::ZERO) < limit, "{limit:?} were not enough: {:?}", self.events);
            if wake {
                self.tell(Input::Wake);
            } else if let Some((_, happening)) = self.ahead.pop_first() {
                self.happen(happening);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        let current = |world: &Self, source: &ServentId, connection: u64| {
            world.peers[source].connection == connection
        };
        match happening {
            Happening::Tell(input) => self.tell(input),
            Happening::From(source, connection, input) => {
                if !current(self, &source, connection) {
                    return;
                }
                match &input {
                    Input::Connected { .. } => {
                        self.peers.get_mut(&source).unwrap().connected = true;
                    }
                    Input::Lost { .. } => self.drop_link(source),
                    Input::Queued { .. } => self.asked.values_mut().for_each(|askers| {
                        askers.remove(&source);
                    }),
                    _ => {}
                }
                self.tell(input);
            }
            Happening::Serve(source, connection) => {
                if current(self, &source, connection) {
                    self.serve(source);
                }
            }
            Happening::Drip(source, connection) => {
                let peer = &self.peers[&source];
                let goes_on = !peer.owed.is_empty() || peer.nature == Nature::Dripping;
                if current(self, &source, connection) && goes_on {
                    self.tell(Input::Progress { source, bytes: 100 });
                    self.after(1000, Happening::Drip(source, connection));
                } else if current(self, &source, connection) {
                    self.peers.get_mut(&source).unwrap().serving = false;
                }
            }
        }
    }
}

fn found(world: &mut World) {
    for source in world.peers.keys().copied().collect::<Vec<_>>() {
        world.tell(Input::SourceFound { source });
    }
}

#[test]
fn every_download_with_one_honest_source_completes_and_only_liars_are_blamed() {
    let sizes = [0, 1, MIN_PIECE, MIN_PIECE + 1, 3 * MIN_PIECE, 5 * MIN_PIECE + 7, 41 * MIN_PIECE];
    let (mut lies, mut twice, mut slow, mut queued, mut lost) = (0, 0, 0, 0, 0);
    for seed in (0..SEEDS).chain([ONCE_FAILED]) {
        println!("seed {seed}"); // shown when the test fails
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let size = sizes[rng.random_range(0..sizes.len())];
        let mut natures: Vec<Nature> = (0..rng.random_range(1..=8))
            .map(|_| Nature::ALL[rng.random_range(0..Nature::ALL.len())])
            .collect();
        if !natures.iter().any(|nature| nature.gives()) {
            let place = rng.random_range(0..=natures.len());
            natures.insert(place, Nature::Honest);
        }
        println!("{size} bytes of {natures:?}");
        let mut world = World::new(seed, size, &natures, false);
        if rng.random_bool(0.7) {
            found(&mut world);
        }
        world.run(Duration::from_secs(300));
        assert_eq!(world.over, Some(Output::Complete));
        lies += world.liars.len();
        twice += world.twice;
        let count = |of: fn(&Event) -> bool| world.events.iter().filter(|event| of(event)).count();
        slow += count(|event| matches!(event, Event::Slow { .. }));
        queued += count(|event| matches!(event, Event::Queued { .. }));
        lost += count(|event| matches!(event, Event::Lost { .. }));
    }
    // None of this holds because it never came to it.
    for seen in [lies, twice as usize, slow, queued, lost] {
        assert!(seen > 20, "{lies} lies, {twice} twice, {slow} slow, {queued} queued, {lost} lost");
    }
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let run = || {
        let mut world = World::new(5, 41 * MIN_PIECE, &Nature::ALL, false);
        found(&mut world);
        world.run(Duration::from_secs(300));
        (world.now, world.events)
    };
    assert_eq!(run(), run());
}

#[test]
fn seven_of_eight_that_stall_cost_twenty_seconds_at_most() {
    for seed in 0..20 {
        let bad = [Nature::Stalling, Nature::Mute, Nature::ListDripping, Nature::Trickling];
        for bad in bad {
            let mut natures = [bad; 8];
            natures[(seed % 8) as usize] = Nature::Honest;
            println!("seed {seed}, {bad:?}");
            let mut world = World::new(seed, 41 * MIN_PIECE, &natures, false);
            found(&mut world);
            world.run(Duration::from_secs(20));
            assert_eq!(world.over, Some(Output::Complete));
        }
    }
}

#[test]
fn the_silent_and_the_slow_together_cost_twenty_seconds_at_most() {
    for seed in 0..100 {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let bad = [Nature::Stalling, Nature::Mute, Nature::Trickling, Nature::Dripping];
        let bad = [&bad[..], &[Nature::ListDripping]].concat();
        let bad = |_| bad[rng.random_range(0..bad.len())];
        let mut natures: Vec<Nature> = (0..7).map(bad).collect();
        natures.insert(rng.random_range(0..=7), Nature::Honest);
        println!("seed {seed}, {natures:?}");
        let mut world = World::new(seed, 64 * MIN_PIECE, &natures, false);
        found(&mut world);
        world.run(Duration::from_secs(20));
        assert_eq!(world.over, Some(Output::Complete));
    }
}

#[test]
fn one_bad_source_of_eight_costs_one_piece_and_is_the_only_one_blamed() {
    for seed in 0..20 {
        let mut natures = [Nature::Honest; 8];
        natures[3] = Nature::WrongPiece;
        let mut world = World::new(seed, 200 * MIN_PIECE, &natures, false);
        found(&mut world);
        world.run(Duration::from_secs(60));
        let lied = |event: &&Event| matches!(event, Event::Lied { .. });
        assert_eq!(world.events.iter().filter(lied).count(), 1, "seed {seed}");
    }
}

#[test]
fn once_fails_with_a_sentence_when_every_source_failed() {
    let run = |natures: &[Nature]| {
        let mut world = World::new(1, 5 * MIN_PIECE, natures, true);
        found(&mut world);
        world.run(Duration::from_secs(90));
        match world.over {
            Some(Output::Failed(why)) => (why.to_string(), world.now),
            other => panic!("{other:?}"),
        }
    };
    let (why, at) = run(&[Nature::Unreachable]);
    assert_eq!(why, "lost its only source aeaqcaib (connection refused); no source left");
    assert!(at.since(Time::ZERO) < Duration::from_secs(1));
    let (why, _) = run(&[Nature::WrongList, Nature::Unreachable]);
    assert!(why.ends_with("; no source left"), "{why}");
    let (why, at) = run(&[]);
    assert_eq!(why, "nobody was found who has the file");
    assert_eq!(at.since(Time::ZERO), Duration::from_secs(30));
}
