//! A crowd that wants one file at once, on one virtual clock.
//!
//! Every servent of it has the very plans of the daemon: a [`Download`] while it wants the
//! file, and [`UploadSlots`](crate::transfer::UploadSlots) for what it has of it. No bytes
//! are moved: a piece is its number, and a lie is who told it. What lies between the plans
//! is modelled: lines with a rate each way, a delay for each pair, the greeting, who is
//! found by a search, and servents that come, leave, lie, stall or are slow.
//!
//! Always true: the same plan gives the same report; what one servent says to another comes
//! in the order in which it was said.
//!
//! - [`plan`]: what to simulate; [`report`]: what came of it.
//! - `member`: one servent; `line`: its bandwidth; `taking` and `giving`: its two halves;
//!   `telling`: what it tells others of pieces and sources; `coming`: who comes and leaves.

mod coming;
mod giving;
mod line;
mod measure;
mod member;
pub mod plan;
pub mod report;
mod taking;
mod telling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};

use super::experiment::{Progress, Stage, Watch};
use super::queue::{Due, Queue};
use crate::base::{Geometry, PieceIndex, ServentId, Time};
use crate::transfer::{Download, Output, PieceList};
use line::Line;
use measure::Sample;
use member::{Ask, Member, Parcel, Role};
pub use plan::{CrowdError, CrowdPlan};
pub use report::CrowdReport;

/// The virtual clock starts late, so that nothing is before its beginning.
const BEGAN: Time = Time::from_micros(1_000_000_000);
/// A greeting takes so many ways: TCP, TLS and the two hellos are four round trips.
const GREETING: u32 = 8;
/// Transfer connections that a servent takes, as the daemon does.
const PLACES: usize = 112;
/// How long who dials waits for a machine that is not there.
const UNANSWERED: Duration = Duration::from_secs(5);
/// How long a part file takes to be opened.
const BEGINNING: Duration = Duration::from_millis(1);
/// A search of the mesh takes so many ways, as the simulator of searches tells.
const SEARCHING: u32 = 30;
/// The crowd comes within this time.
const RUSH: Duration = Duration::from_millis(100);
/// It is given up when it takes so many times as long as it could, and [`SPARE`] more.
const PATIENCE: u32 = 50;
/// See [`PATIENCE`].
const SPARE: Duration = Duration::from_secs(3600);
/// Between two looks at least.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);
/// Progress is told every so many events.
const TELL_EVERY: u32 = 1 << 14;

/// What happens to a servent.
#[derive(Clone, Debug)]
enum Happening {
    /// It comes, or comes back.
    Come,
    /// Its dial is over.
    Dialled { giver: u32, number: u64 },
    /// Its part file stands.
    Begun,
    /// Its search is over.
    Found,
    /// A taker says something to it.
    Ask { from: u32, number: u64, what: Ask },
    /// A frame has left its line.
    Sent { taker: u32, number: u64, piece: PieceIndex, bytes: u64 },
    /// Something from a giver is at its line.
    Arrive { from: u32, number: u64, what: Parcel },
    /// And has come through.
    In { from: u32, number: u64, what: Parcel },
    /// Somebody leaves; it happens to nobody in particular.
    Churn,
    /// The crowd is looked at; it happens to nobody in particular.
    Look,
}

/// What happened that the plans told their users, all together.
#[derive(Clone, Copy, Debug, Default)]
struct Events {
    /// Liars that were found out.
    lies: u64,
    /// Honest ones that were taken for liars.
    blamed: u64,
    slow: u64,
    refused: u64,
    /// Receivers that left, to come back.
    left: u64,
    /// Receivers that left without a word.
    died: u64,
}

/// A crowd under way.
struct Crowd<'a, 'w> {
    plan: &'a CrowdPlan,
    now: Time,
    queue: Queue<Happening>,
    members: Vec<Member>,
    by_id: BTreeMap<ServentId, u32>,
    list: Arc<PieceList>,
    rng: ChaCha12Rng,
    /// From which the delays of pairs are drawn.
    ways: u64,
    searching: Duration,
    /// Connections that there ever were.
    connections: u64,
    /// How often a receiver has left.
    leaves: u64,
    /// Receivers that are waited for.
    waited: usize,
    events: Events,
    samples: Vec<Sample>,
    /// Between two looks.
    look: Duration,
    watch: Watch<'w>,
    /// Outputs of the plan at hand; kept for their memory.
    out: Vec<Output>,
}

/// Lets the crowd of `plan` get its file.
///
/// # Errors
/// What [`CrowdPlan::check`] finds wrong with the plan.
pub fn run_crowd(plan: &CrowdPlan, watch: Watch<'_>) -> Result<CrowdReport, CrowdError> {
    plan.check()?;
    let mut rng = ChaCha12Rng::seed_from_u64(plan.seed);
    let list = some_list(plan.file_size, &mut rng).ok_or(CrowdError::Large(plan.file_size))?;
    let mut crowd = Crowd::new(plan, list, rng, watch);
    crowd.begin();
    crowd.run();
    Ok(crowd.report())
}

impl<'a, 'w> Crowd<'a, 'w> {
    fn new(plan: &'a CrowdPlan, list: PieceList, mut rng: ChaCha12Rng, watch: Watch<'w>) -> Self {
        let mut crowd = Self {
            plan,
            now: BEGAN,
            queue: Queue::new(),
            members: Vec::new(),
            by_id: BTreeMap::new(),
            list: Arc::new(list),
            ways: rng.random(),
            rng,
            searching: plan.latency.mean * SEARCHING,
            connections: 0,
            leaves: 0,
            waited: plan.receivers,
            events: Events::default(),
            samples: Vec::new(),
            look: (plan.bound() / measure::LOOKS).max(SHORTEST_LOOK),
            watch,
            out: Vec::new(),
        };
        let slow = (plan.source_rate / plan::SLOWNESS).max(plan::MIN_RATE);
        for (role, count, up) in [
            (Role::Source, plan.sources, plan.source_rate),
            (Role::Slow, plan.slow, slow),
            (Role::Liar, plan.liars, plan.source_rate),
            (Role::Staller, plan.stallers, plan.source_rate),
            (Role::Receiver, plan.receivers, plan.peer_up),
        ] {
            (0..count).for_each(|_| crowd.add(role, up));
        }
        crowd
    }

    fn add(&mut self, role: Role, up: u64) {
        let mut id = [0; 32];
        self.rng.fill_bytes(&mut id);
        let number = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let line = Line::new(up, self.plan.peer_down);
        let pieces = self.list.geometry().count();
        self.members.push(Member::new(ServentId(id), role, line, pieces));
        self.by_id.insert(ServentId(id), number);
    }

    fn begin(&mut self) {
        let receives = |(_, member): &(usize, &Member)| member.role == Role::Receiver;
        let mut receivers: Vec<u32> = self
            .members
            .iter()
            .enumerate()
            .filter(receives)
            .filter_map(|(number, _)| u32::try_from(number).ok())
            .collect();
        for &receiver in &receivers {
            let rush = u64::try_from(RUSH.as_micros()).unwrap_or(u64::MAX);
            let after = Duration::from_micros(self.rng.random_range(0..=rush));
            self.queue.push(self.now + after, receiver, Happening::Come);
        }
        receivers.shuffle(&mut self.rng);
        for &receiver in receivers.iter().take(self.plan.leavers) {
            if let Some(member) = self.members.get_mut(receiver as usize) {
                member.leaver = true;
            }
        }
        self.queue.push(self.now, 0, Happening::Look);
        if let Some(every) = self.churns_every() {
            self.queue.push(self.now + every, 0, Happening::Churn);
        }
    }

    /// Until everybody has the file who is waited for.
    fn run(&mut self) {
        let until = BEGAN + self.plan.bound() * PATIENCE + SPARE;
        let mut events = 0u32;
        while self.waited > 0
            && let Some((at, to, due)) = self.queue.pop(until)
        {
            self.now = at;
            match due {
                Due::Alarm => self.wake(to),
                Due::Event(happening) => self.happen(to, happening),
            }
            events = events.wrapping_add(1);
            if events.is_multiple_of(TELL_EVERY) {
                self.show();
            }
        }
        self.look();
        self.show();
    }

    fn show(&mut self) {
        let receivers = self.members.iter().filter(|member| member.role == Role::Receiver);
        let done = receivers.map(|member| u64::from(member.held.held())).sum();
        let of = self.plan.receivers as u64 * u64::from(self.list.geometry().count());
        (self.watch)(Progress { stage: Stage::Sharing, done, of });
    }

    fn happen(&mut self, to: u32, happening: Happening) {
        match happening {
            Happening::Come => self.come(to),
            Happening::Dialled { giver, number } => self.on_dialled(to, giver, number),
            Happening::Begun => self.on_begun(to),
            Happening::Found => self.on_found(to),
            Happening::Ask { from, number, what } => self.on_ask(to, from, number, what),
            Happening::Sent { taker, number, piece, bytes } => {
                self.on_sent(to, (taker, number, piece, bytes));
            }
            Happening::Arrive { from, number, what } => self.on_arrival(to, from, number, what),
            Happening::In { from, number, what } => self.on_parcel(to, from, number, what),
            Happening::Churn => self.churn(),
            Happening::Look => {
                self.look();
                self.queue.push(self.now + self.look, 0, Happening::Look);
            }
        }
    }

    fn wake(&mut self, to: u32) {
        let now = self.now;
        let Some(member) = self.members.get_mut(to as usize) else { return };
        if member.alarm.is_none_or(|at| at > now) {
            return; // another alarm, set later, is the one that counts
        }
        member.alarm = None;
        let due = member.download.as_ref().and_then(Download::next_deadline);
        if due.is_some_and(|at| at <= now) {
            self.tell(to, crate::transfer::Input::Wake);
        }
        self.wake_slots(to);
        self.rearm(to);
    }

    /// Sets the alarm of a servent, if it has to ring sooner than it would.
    fn rearm(&mut self, of: u32) {
        let soonest = self.now + Duration::from_micros(1);
        let Some(member) = self.members.get_mut(of as usize) else { return };
        let download = member.download.as_ref().and_then(Download::next_deadline);
        let due = [download, member.slots.next_deadline()].into_iter().flatten().min();
        let Some(due) = due.map(|due| due.max(soonest)) else { return };
        if member.alarm.is_none_or(|at| at > due) {
            member.alarm = Some(due);
            self.queue.alarm(due, of);
        }
    }

    fn number_of(&self, id: ServentId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    fn id_of(&self, number: u32) -> ServentId {
        self.members.get(number as usize).map_or(ServentId([0; 32]), |member| member.id)
    }

    fn pair(&self, one: u32, other: u32) -> [Option<&Member>; 2] {
        [one, other].map(|number| self.members.get(number as usize))
    }

    /// How long a message takes between these two: always the same.
    fn latency(&self, one: u32, other: u32) -> Duration {
        let pair = u64::from(one.min(other)) << 32 | u64::from(one.max(other));
        let mut rng = ChaCha12Rng::seed_from_u64(self.ways ^ pair);
        let fixed = rng.random();
        let latency = self.plan.latency;
        latency.model.draw(latency.mean, fixed, &mut rng).max(Duration::from_micros(1))
    }
}

/// The list of a file of this size that nobody has: its values are drawn, and its id follows
/// from them.
fn some_list(size: u64, rng: &mut ChaCha12Rng) -> Option<PieceList> {
    let geometry = Geometry::of(size)?;
    let mut values = vec![[0; 32]; geometry.count() as usize];
    values.iter_mut().for_each(|value| rng.fill_bytes(value));
    PieceList::of(geometry, values)
}

#[cfg(test)]
mod tests;
