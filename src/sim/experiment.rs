//! A plan carried out: a mesh is built, searched, killed in part and searched again.
//!
//! Always true: all chance comes from the plan's seed, and nothing here depends on the
//! machine or its clock, so the same plan gives the same report.

use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

use super::measure::{self, Outcome, Snapshot, millis};
use super::network::Network;
use super::plan::{ENOUGH, Plan, Topology};
use super::report::{
    ChurnReport, FailureReport, PlanReport, Report, SearchesReport, TrafficReport, VERSION,
};
use super::servent::Load;
use super::topology::Links;
use crate::base::{Guid, Time};
use crate::message::Purpose;
use crate::overlay::Input;

/// Newcomers arrive in waves, a second apart, each a quarter of those who are there.
const WAVE: Duration = Duration::from_secs(1);
/// See [`WAVE`].
const WAVE_SHARE: usize = 4;
/// How long a mesh that has grown is left to itself before it is looked at, and for how
/// long one that lost servents may repair itself.
const SETTLE: Duration = Duration::from_secs(30);
/// See [`SETTLE`].
const REPAIR: Duration = Duration::from_secs(60);
/// How long new links have to measure their round trips, in mean delays.
const ACQUAINTANCE: u32 = 300;
/// Between two searches.
const PAUSE: Duration = Duration::from_millis(100);
/// Searches are spread over so long when servents come and go meanwhile.
const CHURN_TIME: Duration = Duration::from_secs(60);
/// Longest that a search takes: three rings that the clock ends.
const LONGEST_SEARCH: Duration = Duration::from_secs(60);
/// A servent that leaves says goodbye, and is gone so much later.
const PARTING: Duration = Duration::from_secs(1);
/// Progress is told every so many events.
const TELL_EVERY: u32 = 1 << 14;

/// What is being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The mesh is being built.
    Building,
    /// It is being searched.
    Searching,
    /// Many have died, and it is searched at once.
    Dying,
    /// It repairs itself.
    Repairing,
    /// It is searched again.
    SearchingAgain,
    /// More meshes are built and searched, for the curves of a picture.
    Comparing,
    /// A crowd gets its file.
    Sharing,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How much of it is done,
    pub done: u64,
    /// of how much.
    pub of: u64,
}

/// Who is told how far it is.
pub type Watch<'a> = &'a mut dyn FnMut(Progress);

/// A mesh under test.
pub(super) struct Experiment<'a, 'w> {
    pub(super) plan: &'a Plan,
    pub(super) net: Network,
    pub(super) rng: ChaCha12Rng,
    watch: Watch<'w>,
    progress: Progress,
    churn: Option<Churn>,
    /// The radii that searches ask.
    rings: Vec<u8>,
}

/// Servents that come and go.
struct Churn {
    every: Duration,
    next: Time,
    joins: bool,
    /// Those who have said goodbye, and when they are gone.
    parting: Vec<(Time, usize)>,
    /// Who is in the middle of a search, and stays.
    searcher: usize,
    seen: ChurnReport,
}

/// Carries out `plan`, which [`Plan::check`] has found possible.
#[must_use]
pub fn run(plan: &Plan, watch: Watch<'_>) -> (Report, Links) {
    let mut experiment = Experiment::build(plan, watch);
    let began = Time::from_micros(1_000_000_000);
    let snapshot = Snapshot::of(&experiment.net);
    let mesh = snapshot.report();
    let links = snapshot.links.clone();
    let building = experiment.traffic(began);
    if plan.churn > 0.0 {
        experiment.begin_churn();
    }
    let searches = experiment.searches(Stage::Searching, snapshot);
    let churn = experiment.churn.take().map(|churn| churn.seen);
    let failure = (plan.kill_fraction > 0.0).then(|| experiment.failure());
    let traffic = experiment.traffic(began);
    let plan = PlanReport::from(plan);
    (Report { v: VERSION, plan, mesh, building, searches, churn, failure, traffic }, links)
}

impl<'a, 'w> Experiment<'a, 'w> {
    /// The mesh of the plan, at rest.
    pub(super) fn build(plan: &'a Plan, watch: Watch<'w>) -> Self {
        let Plan { nodes, seed, latency, .. } = *plan;
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut net = Network::new(seed, plan.config(), latency.model, latency.mean);
        net.lose(plan.loss);
        let progress = Progress { stage: Stage::Building, done: 0, of: nodes as u64 };
        let links = plan.topology.links(nodes, plan.degree, &mut rng);
        let rings = plan.rings.clone();
        let mut experiment = Self { plan, net, rng, watch, progress, churn: None, rings };
        experiment.tell(Stage::Building, 0, nodes);
        if plan.topology == Topology::Grown {
            experiment.grow();
        } else {
            for _ in 0..nodes {
                experiment.net.add_bare();
            }
            experiment.net.link_all(&links);
            experiment.run_for(latency.mean * ACQUAINTANCE);
        }
        experiment.publish();
        experiment
    }

    pub(super) fn set_rings(&mut self, rings: Vec<u8>) {
        self.rings = rings;
    }

    /// Servents join wave after wave, each through a random one that is there.
    fn grow(&mut self) {
        self.net.add_bare();
        while self.net.count() < self.plan.nodes {
            let there = self.net.count();
            let wave = there.div_ceil(WAVE_SHARE).min(self.plan.nodes - there);
            for _ in 0..wave {
                let newcomer = self.net.add_bare();
                self.net.dial(newcomer, self.rng.random_range(0..there), Purpose::Join);
            }
            self.run_for(WAVE);
            self.tell(Stage::Building, self.net.count(), self.plan.nodes);
        }
        self.run_for(SETTLE);
    }

    /// Each file goes to some random servents.
    fn publish(&mut self) {
        for file in 0..self.plan.files {
            let holders = (0..self.plan.nodes).sample(&mut self.rng, self.plan.replication);
            for holder in holders {
                self.net.give(holder, &name(file));
            }
        }
    }

    fn tell(&mut self, stage: Stage, done: usize, of: usize) {
        self.progress = Progress { stage, done: done as u64, of: of as u64 };
        (self.watch)(self.progress);
    }

    fn run_for(&mut self, span: Duration) {
        let until = self.net.now() + span;
        let mut events = 0u32;
        while self.net.step(until) {
            events = events.wrapping_add(1);
            if events.is_multiple_of(TELL_EVERY) {
                (self.watch)(self.progress);
            }
        }
        self.net.run_for(until.since(self.net.now()));
    }

    fn traffic(&self, began: Time) -> TrafficReport {
        TrafficReport::new(self.net.traffic(), millis(self.net.now().since(began)))
    }

    fn loads(&self) -> Vec<Load> {
        (0..self.net.count()).map(|servent| self.net.load(servent)).collect()
    }

    /// The searches of the plan, one after the other; `snapshot` is the mesh as it is.
    pub(super) fn searches(&mut self, stage: Stage, mut snapshot: Snapshot) -> SearchesReport {
        let (before, sent) = (self.loads(), self.net.traffic());
        let queries = self.plan.queries;
        let mut outcomes = Vec::with_capacity(queries);
        let spread = CHURN_TIME / u32::try_from(queries).unwrap_or(u32::MAX);
        let pause = if self.churn.is_some() { spread.max(PAUSE) } else { PAUSE };
        for query in 0..queries {
            self.tell(stage, query, queries);
            if self.churn.is_some() {
                self.advance(self.net.now() + pause, None);
                snapshot = Snapshot::of(&self.net);
            } else {
                self.run_for(pause);
            }
            let Some(search) = self.begin(&snapshot) else { break };
            self.advance(self.net.now() + LONGEST_SEARCH, Some(search.guid));
            outcomes.push(self.end(search));
        }
        self.tell(stage, queries, queries);
        measure::searches(&self.net, &outcomes, &before, self.net.traffic().since(sent))
    }

    /// A random servent begins to search for a random file.
    fn begin(&mut self, snapshot: &Snapshot) -> Option<Begun> {
        let &from = snapshot.alive.choose(&mut self.rng)?;
        let file = name(self.rng.random_range(0..self.plan.files));
        if let Some(churn) = &mut self.churn {
            churn.searcher = from;
        }
        let holders: Vec<usize> = self
            .net
            .holders(&file)
            .filter(|&h| h != from && self.net.overlay(h).is_some())
            .collect();
        let radius = self.rings.last().copied().unwrap_or_default();
        let horizon = snapshot.horizon(from, radius);
        let others = snapshot.alive.len().saturating_sub(1);
        let guid = self.net.search_for(from, &file, self.rings.clone(), ENOUGH);
        Some(Begun { guid, horizon, others, holders })
    }

    fn end(&mut self, begun: Begun) -> Outcome {
        let Begun { guid, horizon, others, mut holders } = begun;
        let report = self.net.take_report(guid);
        // A search that had enough asked no wider ring, and promised nothing of it.
        let radius = report.rings.last().map(|end| usize::from(end.radius)).unwrap_or_default();
        let near = horizon.into_iter().filter(|&(_, distance)| distance <= radius);
        let lives = |&servent: &usize| self.net.overlay(servent).is_some();
        let horizon = near.map(|(servent, _)| servent).filter(lives).collect();
        holders.retain(lives);
        Outcome { report, horizon, others, holders }
    }

    /// Runs until then, or until a search is over, while servents come and go.
    fn advance(&mut self, until: Time, search: Option<Guid>) {
        loop {
            let next = self.churn.as_ref().map(Churn::due);
            let stop = next.map_or(until, |next| next.min(until));
            loop {
                if search.is_some_and(|guid| self.net.is_over(guid)) {
                    return;
                }
                if !self.net.step(stop) {
                    break;
                }
            }
            self.net.run_for(stop.since(self.net.now()));
            if stop == until {
                return;
            }
            self.come_and_go();
        }
    }

    fn begin_churn(&mut self) {
        let every = Duration::from_secs_f64(60.0 / self.plan.churn);
        self.churn = Some(Churn {
            every,
            next: self.net.now() + every,
            joins: true,
            parting: Vec::new(),
            searcher: usize::MAX,
            seen: ChurnReport::default(),
        });
    }

    /// Does what is due of the coming and going: one joins, then one leaves, half of them
    /// with a goodbye.
    fn come_and_go(&mut self) {
        let Some(churn) = &mut self.churn else { return };
        let now = self.net.now();
        while let Some(at) = churn.parting.iter().position(|(at, _)| *at <= now) {
            let (_, gone) = churn.parting.swap_remove(at);
            self.net.kill(gone);
        }
        if churn.next > now {
            return;
        }
        churn.next = now + churn.every;
        churn.joins = !churn.joins;
        let busy = |&s: &usize| s == churn.searcher || churn.parting.iter().any(|(_, p)| *p == s);
        let Some(chosen) = self.net.alive().filter(|s| !busy(s)).choose(&mut self.rng) else {
            return;
        };
        if !churn.joins {
            churn.seen.joined += 1;
            let newcomer = self.net.add_bare();
            self.net.dial(newcomer, chosen, Purpose::Join);
        } else if churn.seen.left <= churn.seen.vanished {
            churn.seen.left += 1;
            churn.parting.push((now + PARTING, chosen));
            self.net.tell(chosen, Input::Leave);
        } else {
            churn.seen.vanished += 1;
            self.net.kill(chosen);
        }
    }

    /// Some die at once; the rest is searched at that moment, and again a minute later.
    fn failure(&mut self) -> FailureReport {
        let alive: Vec<usize> = self.net.alive().collect();
        let dying = (alive.len() as f64 * self.plan.kill_fraction).round() as usize;
        let dying = dying.min(alive.len().saturating_sub(1));
        let mut dead = alive.into_iter().sample(&mut self.rng, dying);
        dead.sort_unstable();
        let died = self.net.now();
        for &servent in &dead {
            self.net.kill(servent);
        }
        let snapshot = Snapshot::of(&self.net);
        let mesh_before_repair = snapshot.report();
        let searches_before_repair = self.searches_at_once(&snapshot);
        let mut failure = FailureReport {
            killed: dead.len(),
            mesh_before_repair,
            searches_before_repair,
            one_mesh_after_secs: None,
            mesh_after_repair: None,
            searches_after_repair: None,
        };
        if self.plan.topology != Topology::Grown {
            return failure;
        }
        let repaired = died + REPAIR;
        let whole = failure.mesh_before_repair.components == 1;
        let repaired = self.repair(died, repaired, whole);
        failure.one_mesh_after_secs = if whole { Some(0) } else { repaired };
        let snapshot = Snapshot::of(&self.net);
        failure.mesh_after_repair = Some(snapshot.report());
        failure.searches_after_repair = Some(self.searches(Stage::SearchingAgain, snapshot));
        failure
    }

    /// Lets the mesh repair itself; after how many seconds it was one, if it is not `whole`.
    fn repair(&mut self, died: Time, until: Time, whole: bool) -> Option<u64> {
        let mut one = None;
        while self.net.now() < until {
            let passed = self.net.now().since(died).as_secs();
            self.tell(Stage::Repairing, passed as usize, REPAIR.as_secs() as usize);
            if !whole && one.is_none() && Snapshot::of(&self.net).report().components == 1 {
                one = Some(self.net.now().since(died).as_millis().div_ceil(1000) as u64);
            }
            self.run_for(Duration::from_secs(1).min(until.since(self.net.now())));
        }
        one
    }

    /// As many searches as planned, all begun now, before anything is repaired.
    fn searches_at_once(&mut self, snapshot: &Snapshot) -> SearchesReport {
        let (before, sent) = (self.loads(), self.net.traffic());
        let queries = self.plan.queries;
        let begun: Vec<Begun> = (0..queries).filter_map(|_| self.begin(snapshot)).collect();
        let mut outcomes = Vec::with_capacity(queries);
        let until = self.net.now() + LONGEST_SEARCH;
        for (over, search) in begun.into_iter().enumerate() {
            self.tell(Stage::Dying, over, queries);
            self.advance(until, Some(search.guid));
            outcomes.push(self.end(search));
        }
        measure::searches(&self.net, &outcomes, &before, self.net.traffic().since(sent))
    }
}

/// A search under way.
struct Begun {
    guid: Guid,
    horizon: Vec<(usize, usize)>,
    others: usize,
    holders: Vec<usize>,
}

impl Churn {
    fn due(&self) -> Time {
        self.parting.iter().map(|(at, _)| *at).fold(self.next, Time::min)
    }
}

/// What file `number` is called.
fn name(number: usize) -> String {
    format!("file {number}")
}
