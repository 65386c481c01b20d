//! The sources of one download: who is known, dialled, connected, put aside or barred.
//!
//! Always true:
//! - a source is in one state: *away* until a moment, *dialling*, or *open*; a barred
//!   one is not known;
//! - at most [`MAX_KNOWN`] are known and [`MAX_OPEN`] dialling or open;
//! - pieces are owed by open sources only, and only ready ones are asked for more;
//! - of those whom one source named at most [`MAX_TOLD`] are known, and of all that only
//!   others named at most [`MAX_TOLD_DIALS`] are dialled at once: a source's word is a claim.
//!
//! It decides nothing that needs the file: [`Download`](super::Download) does.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::picker::HOPELESS;
use crate::base::{Meter, PieceIndex, PieceMap, ServentId, Time};

/// Most sources of one file that are dialled or connected at once.
pub const MAX_OPEN: usize = 16;
/// Most sources of one file that are remembered.
pub const MAX_KNOWN: usize = 64;
/// Most sources that are known on the word of one other: as many as are open, so that one
/// who tells of many cannot be the only one who is believed.
pub const MAX_TOLD: usize = 16;
/// Most sources known only from others that are dialled at the same time: who names those
/// that are not there keeps nobody from the rest, and nobody is overrun.
pub const MAX_TOLD_DIALS: usize = 4;
/// Most barred sources remembered; a liar can make new ids at will, so more is no use.
const MAX_BARRED: usize = 256;
/// How long a liar or a refuser is not asked for this file.
pub(super) const BAR: Duration = Duration::from_secs(600);
/// How long a source that is full is left alone.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(30);
/// Failures in a row after which a source that never gave a piece is forgotten.
const MAX_FAILURES: u32 = 4;
/// The longest wait before a redial; the first is 1 s, then doubled.
const MAX_REDIAL: Duration = Duration::from_secs(30);
/// Silence after which a source that owes something has stalled.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a source has for a whole piece, or else for [`TRIAL_BYTES`].
const TRIAL: Duration = Duration::from_secs(20);
/// Bytes a second of a source that is just worth its requests.
const SLOWEST: u64 = 4 * 1024;
/// What such a source sends in one [`TRIAL`].
const TRIAL_BYTES: u64 = SLOWEST * TRIAL.as_secs();
/// Silence after which even the only source is dialled anew: its connection may be dead.
const DEAF: Duration = Duration::from_secs(60);
/// How long a slow source is put aside at first; doubled each time up to [`BAR`].
const ASIDE: Duration = Duration::from_secs(60);
/// Round trip assumed until one was measured.
const USUAL_ROUND_TRIP: Duration = Duration::from_millis(100);
/// What is asked of a source at least, and of one whose rate is not known yet: enough
/// to keep a fast disk busy, little enough to lose.
const WINDOW: u64 = 4 << 20;
/// Pieces asked of a source whose rate is not known yet.
const FIRST_PIECES: u64 = 4;
/// Most bytes that one source owes: what 1 Gbit/s carries in a round trip of 130 ms.
const MAX_WINDOW: u64 = 16 << 20;
/// Most seconds of work that one source is given ahead, so that a slow one cannot sit on
/// pieces that others would bring sooner.
const MAX_AHEAD_SECS: u64 = 4;
/// The same, of one that gives to others as well: who is done sooner than they has to fetch
/// from it once more what waits for them in their turns, and others who have the pieces, too,
/// are idle meanwhile.
const MAX_AHEAD_IN_CROWD_SECS: u64 = 1;
/// Most requests that one source has not answered in full.
pub(super) const MAX_REQUESTS: usize = 4;

/// One source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) state: State,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Whether it ever gave a good piece.
    pub(super) proven: bool,
    /// Whether it failed since the last good piece from anybody.
    pub(super) failed: bool,
    /// How often in a row it was too slow.
    slow: u32,
    /// Who named it, if it is known from nobody else.
    told_by: Option<ServentId>,
    /// Decides among equals: not everybody shall dial the same ones.
    luck: u64,
    /// Bytes of pieces that came from it.
    pub(super) came: u64,
}

impl Source {
    /// Whether nothing but another source's word speaks for it.
    fn is_hearsay(&self) -> bool {
        self.told_by.is_some() && !self.proven
    }
}

#[derive(Debug)]
pub(super) enum State {
    /// Not connected; to be dialled from then on.
    Away { until: Time },
    /// The driver was told to connect.
    Dialling,
    /// Connected.
    Open(Link),
}

/// What an open source may be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// Anything.
    Ready,
    /// Nothing: these pieces wait at its end for a slot. They count as asked of nobody.
    Queued {
        /// Which they are.
        pieces: Vec<PieceIndex>,
        /// Our place in its queue; 1: next.
        position: u32,
    },
    /// Nothing until then: it was too slow.
    Aside { until: Time },
}

/// The open connection to a source.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) mode: Mode,
    /// Unanswered requests: the pieces of each that are still to come.
    requests: VecDeque<Vec<PieceIndex>>,
    /// Bytes of these pieces.
    owed: u64,
    /// Parts of the list that are still to come.
    pub(super) parts: u32,
    /// When it last sent a byte, or was asked after owing nothing.
    heard: Time,
    trial_from: Time,
    trial_bytes: u64,
    /// Since when it is on trial with the list, or with the proof of its size.
    pub(super) tried: Time,
    /// Since when it owes nothing, because what it owed was taken from it.
    relieved: Option<Time>,
    round_trip: Duration,
    meter: Meter,
    /// Whether it says which pieces it has, and so has not all.
    pub(super) partial: bool,
    /// Whether it has all, and says what it gives to others.
    pub(super) crowded: bool,
    /// Requests that went out before it said that it lacks something: that it refuses so many
    /// is no fault of its. More than [`MAX_REQUESTS`] cannot be unanswered.
    pub(super) blind: u8,
    /// What it has, as long as nothing was begun that this could be compared with.
    pub(super) early: Option<PieceMap>,
}

impl Link {
    pub(super) fn new(now: Time) -> Self {
        Self {
            mode: Mode::Ready,
            requests: VecDeque::new(),
            owed: 0,
            parts: 0,
            heard: now,
            trial_from: now,
            trial_bytes: 0,
            tried: now,
            relieved: None,
            round_trip: USUAL_ROUND_TRIP,
            meter: Meter::new(now),
            partial: false,
            crowded: false,
            blind: 0,
            early: None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.mode == Mode::Ready
    }

    pub(super) fn owed(&self) -> u64 {
        self.owed
    }

    pub(super) fn owes_nothing(&self) -> bool {
        self.requests.is_empty() && self.parts == 0
    }

    /// What it owes of the requests that it cannot answer in full if it has no more than
    /// `pieces`.
    pub(super) fn owing_beyond(&self, pieces: &PieceMap) -> Vec<PieceIndex> {
        let beyond = |asked: &&Vec<_>| asked.iter().any(|&piece| !pieces.contains(piece));
        self.requests.iter().filter(beyond).flatten().copied().collect()
    }

    /// How many pieces it owes.
    pub(super) fn pieces(&self) -> usize {
        self.requests.iter().map(Vec::len).sum()
    }

    /// Whether another request may go out.
    pub(super) fn takes_requests(&self) -> bool {
        self.is_ready() && self.requests.len() < MAX_REQUESTS
    }

    /// Notes that pieces of `bytes` in all were asked for.
    pub(super) fn ask(&mut self, now: Time, pieces: Vec<PieceIndex>, bytes: u64) {
        self.wake(now);
        self.owed += bytes;
        self.requests.push_back(pieces);
        if !self.partial && usize::from(self.blind) < MAX_REQUESTS {
            self.blind += 1;
        }
    }

    /// Notes that a part of the list was asked for.
    pub(super) fn ask_part(&mut self, now: Time) {
        self.wake(now);
        self.parts += 1;
    }

    fn wake(&mut self, now: Time) {
        if !self.owes_nothing() {
            return;
        }
        self.meter.pause(now);
        match self.relieved.take() {
            // Its time goes on: else who gives nothing would never be found out, as long as
            // others take over what it owes.
            Some(since) => {
                let idle = now.since(since);
                self.heard = now.min(self.heard + idle);
                self.trial_from = now.min(self.trial_from + idle);
            }
            None => {
                self.heard = now;
                self.restart_trial(now);
            }
        }
    }

    /// Notes that work was taken from it.
    pub(super) fn relieve(&mut self, now: Time) {
        if self.owes_nothing() {
            self.relieved.get_or_insert(now);
        }
    }

    fn restart_trial(&mut self, now: Time) {
        self.trial_from = now;
        self.trial_bytes = 0;
    }

    /// Notes bytes that came.
    pub(super) fn progress(&mut self, now: Time, bytes: u64) {
        self.heard = now;
        self.trial_bytes = self.trial_bytes.saturating_add(bytes);
        if self.trial_bytes >= TRIAL_BYTES {
            self.restart_trial(now);
        }
        self.meter.add(now, bytes);
    }

    /// Notes that what it sent waits for us, not we for it.
    pub(super) fn throttled(&mut self, now: Time) {
        self.heard = now;
        self.tried = now;
        self.restart_trial(now);
    }

    /// Notes that a part or a piece came whole.
    pub(super) fn answered(&mut self, now: Time) {
        self.relieved = None;
        self.heard = now;
        self.restart_trial(now);
    }

    /// Our place in its queue, if it has us in one.
    pub(super) fn position(&self) -> Option<u32> {
        match self.mode {
            Mode::Queued { position, .. } => Some(position),
            _ => None,
        }
    }

    /// Strikes `piece`, of `bytes`, off what is owed; false when it was not owed.
    pub(super) fn strike(&mut self, piece: PieceIndex, bytes: u64) -> bool {
        for pieces in &mut self.requests {
            if let Some(place) = pieces.iter().position(|&owed| owed == piece) {
                pieces.remove(place);
                self.owed = self.owed.saturating_sub(bytes);
                self.requests.retain(|pieces| !pieces.is_empty());
                return true;
            }
        }
        false
    }

    /// Strikes off everything that is owed, and says which pieces.
    pub(super) fn clear(&mut self) -> Vec<PieceIndex> {
        self.owed = 0;
        self.parts = 0;
        self.relieved = None;
        self.requests.drain(..).flatten().collect()
    }

    pub(super) fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
    }

    pub(super) fn rate(&self, now: Time) -> u64 {
        self.meter.rate(now)
    }

    /// How many bytes it should owe at most, of pieces of `piece_len`.
    pub(super) fn window(&self, now: Time, piece_len: u64) -> u64 {
        let rate = self.meter.rate(now);
        if rate == 0 {
            return (FIRST_PIECES * piece_len).min(WINDOW);
        }
        let ahead =
            if self.crowded || self.partial { MAX_AHEAD_IN_CROWD_SECS } else { MAX_AHEAD_SECS };
        let work = rate.saturating_mul(ahead).max(2 * piece_len);
        WINDOW.saturating_add(self.on_the_way(rate)).min(MAX_WINDOW).min(work)
    }

    /// How many bytes it should owe at most of what it has given to others, who may give it
    /// sooner: what keeps it busy, and no more.
    pub(super) fn flight(&self, now: Time, piece_len: u64) -> u64 {
        self.on_the_way(self.meter.rate(now)).saturating_add(2 * piece_len).min(MAX_WINDOW)
    }

    /// Twice what it sends in a round trip.
    fn on_the_way(&self, rate: u64) -> u64 {
        let micros = u64::try_from(self.round_trip.as_micros()).unwrap_or(u64::MAX);
        rate.saturating_mul(2).saturating_mul(micros.min(10_000_000)) / 1_000_000
    }

    /// Microseconds until it would have sent all that it owes and `more`, as it seems. Of who
    /// is not known to be slow the best is thought, until it was silent for [`HOPELESS`]:
    /// else who was asked just now would lose that to the next who is idle, and so on.
    pub(super) fn burden(&self, now: Time, more: u64) -> u64 {
        let silent = || now.since(self.heard) > Duration::from_micros(HOPELESS);
        match self.meter.rate(now) {
            0 if self.owes_nothing() || !silent() => 0,
            0 => u64::MAX,
            rate => (self.owed + more).saturating_mul(1_000_000) / rate,
        }
    }

    /// When it will have been too slow; never while it owes nothing or queues us.
    pub(super) fn overdue_at(&self) -> Option<Time> {
        let owing = self.is_ready() && !self.owes_nothing();
        owing.then(|| (self.heard + SILENCE).min(self.trial_from + TRIAL))
    }

    /// How long it has had to bring something.
    pub(super) fn lag(&self, now: Time) -> Duration {
        now.since(self.trial_from)
    }

    /// Whether it owes something, and has brought next to nothing for so long.
    pub(super) fn lags(&self, now: Time, span: Duration) -> bool {
        let lag = self.lag(now);
        let worth = SLOWEST.saturating_mul(lag.as_secs());
        self.is_ready() && !self.owes_nothing() && lag >= span && self.trial_bytes < worth
    }

    /// When an idle source may take from it what it owes, though another was asked too.
    pub(super) fn hopeless_at(&self) -> Option<Time> {
        let silent = self.heard + Duration::from_micros(HOPELESS + 1);
        (!self.owes_nothing()).then_some(silent)
    }

    /// When its connection will be taken for dead.
    pub(super) fn deaf_at(&self) -> Option<Time> {
        self.overdue_at().map(|_| self.heard + DEAF)
    }

    pub(super) fn is_deaf(&self, now: Time) -> bool {
        self.deaf_at().is_some_and(|at| at <= now)
    }

    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.overdue_at().is_some_and(|at| at <= now)
    }
}

/// All that is known of the sources.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: BTreeMap<ServentId, Source>,
    /// Who is not asked until then, and whether for a lie.
    barred: BTreeMap<ServentId, (Time, bool)>,
}

impl Sources {
    /// Notes that `id` is said to have the file, by another source or by what is better than
    /// that; false when it is not worth knowing. A source that refused may try again: it says
    /// anew that it has the file.
    pub(super) fn found(
        &mut self,
        now: Time,
        id: ServentId,
        told_by: Option<ServentId>,
        luck: u64,
    ) -> bool {
        if let Some(&(until, lied)) = self.barred.get(&id) {
            if now < until && (lied || told_by.is_some()) {
                return false;
            }
            self.barred.remove(&id);
        }
        if let Some(known) = self.known.get_mut(&id) {
            known.told_by = known.told_by.filter(|_| told_by.is_some());
            return false;
        }
        let theirs = |source: &&Source| told_by.is_some() && source.told_by == told_by;
        if self.known.values().filter(theirs).count() >= MAX_TOLD {
            return false;
        }
        if self.known.len() >= MAX_KNOWN {
            let away = self.known.iter().filter(|(_, source)| {
                matches!(source.state, State::Away { .. })
                    && (source.failures > 0 || (source.is_hearsay() && told_by.is_none()))
            });
            let Some(worst) = away.max_by_key(|(_, source)| source.failures).map(|(id, _)| *id)
            else {
                return false;
            };
            self.known.remove(&worst);
        }
        let state = State::Away { until: now };
        let (failures, proven, failed, slow, came) = (0, false, false, 0, 0);
        let fresh = Source { state, failures, proven, failed, slow, told_by, luck, came };
        self.known.insert(id, fresh);
        true
    }

    pub(super) fn known(&self) -> &BTreeMap<ServentId, Source> {
        &self.known
    }

    pub(super) fn source(&mut self, id: ServentId) -> Option<&mut Source> {
        self.known.get_mut(&id)
    }

    /// Whether `id` ever gave a good piece.
    pub(super) fn is_proven(&self, id: ServentId) -> bool {
        self.known.get(&id).is_some_and(|source| source.proven)
    }

    /// The open connection to `id`.
    pub(super) fn link(&mut self, id: ServentId) -> Option<&mut Link> {
        match &mut self.known.get_mut(&id)?.state {
            State::Open(link) => Some(link),
            _ => None,
        }
    }

    /// The open connections, in order of ids.
    pub(super) fn links(&self) -> impl Iterator<Item = (ServentId, &Link)> {
        self.known.iter().filter_map(|(&id, source)| match &source.state {
            State::Open(link) => Some((id, link)),
            _ => None,
        })
    }

    /// Notes that `id` is connected; false when that was not expected.
    pub(super) fn connected(&mut self, now: Time, id: ServentId) -> bool {
        match self.known.get_mut(&id) {
            Some(source) if matches!(source.state, State::Dialling) => {
                source.state = State::Open(Link::new(now));
                true
            }
            _ => false,
        }
    }

    /// Notes a failure of `id`; it is redialled later, or forgotten.
    pub(super) fn failed(&mut self, now: Time, id: ServentId) {
        let others = self.known.len() > 1;
        let Some(source) = self.known.get_mut(&id) else { return };
        source.failures = source.failures.saturating_add(1);
        source.failed = true;
        if source.failures >= MAX_FAILURES && !source.proven && others {
            self.known.remove(&id);
            return;
        }
        let doubled = Duration::from_secs(1 << (source.failures - 1).min(10));
        source.state = State::Away { until: now + doubled.min(MAX_REDIAL) };
    }

    /// Leaves `id` alone until then, with no failure noted.
    pub(super) fn leave_alone(&mut self, id: ServentId, until: Time) {
        if let Some(source) = self.known.get_mut(&id) {
            source.state = State::Away { until };
        }
    }

    /// Forgets `id` and does not ask it until then.
    pub(super) fn bar(&mut self, now: Time, id: ServentId, lied: bool) {
        self.known.remove(&id);
        if self.barred.len() >= MAX_BARRED {
            let first = self.barred.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(first) = first.map(|(id, _)| *id) {
                self.barred.remove(&first);
            }
        }
        self.barred.insert(id, (now + BAR, lied));
    }

    /// Puts an open source aside for being slow; what it owed was cleared before.
    /// Returns until when.
    pub(super) fn put_aside(&mut self, now: Time, id: ServentId) -> Time {
        let Some(source) = self.known.get_mut(&id) else { return now };
        let span = ASIDE.saturating_mul(1 << source.slow.min(10)).min(BAR);
        source.slow = source.slow.saturating_add(1);
        if let State::Open(link) = &mut source.state {
            link.mode = Mode::Aside { until: now + span };
        }
        now + span
    }

    /// Makes those ready that were aside long enough.
    pub(super) fn forgive(&mut self, now: Time) {
        for source in self.known.values_mut() {
            if let State::Open(link) = &mut source.state
                && matches!(link.mode, Mode::Aside { until } if until <= now)
            {
                link.mode = Mode::Ready;
            }
        }
    }

    /// Notes a good piece from `id`: whatever failed before may be tried again.
    pub(super) fn good(&mut self, id: ServentId) {
        for source in self.known.values_mut() {
            source.failed = false;
        }
        if let Some(source) = self.known.get_mut(&id) {
            source.failures = 0;
            source.slow = 0;
            source.proven = true;
        }
    }

    /// How many are dialling or open.
    pub(super) fn open(&self) -> usize {
        self.known.values().filter(|source| !matches!(source.state, State::Away { .. })).count()
    }

    /// How many are dialling, or open, ready, not overdue, and `useful`.
    pub(super) fn hopeful(&self, now: Time, useful: impl Fn(ServentId) -> bool) -> usize {
        let hopeful = |(id, source): &(&ServentId, &Source)| match &source.state {
            State::Away { .. } => false,
            State::Dialling => true,
            State::Open(link) => link.is_ready() && !link.is_overdue(now) && useful(**id),
        };
        self.known.iter().filter(hopeful).count()
    }

    /// Who is to be dialled next, and from when on: those who failed least first.
    pub(super) fn next_dial(&self) -> Option<(ServentId, Time)> {
        self.known
            .iter()
            .filter_map(|(&id, source)| match source.state {
                State::Away { until } => Some((until, source.failures, id)),
                _ => None,
            })
            .min()
            .map(|(until, _, id)| (id, until))
    }

    /// Who may be dialled now: those who failed least first, those whom only others named last.
    pub(super) fn dialable(&self, now: Time) -> Option<ServentId> {
        let dialling = |source: &&Source| matches!(source.state, State::Dialling);
        let on_hearsay = self.known.values().filter(dialling).filter(|source| source.is_hearsay());
        let full = on_hearsay.count() >= MAX_TOLD_DIALS;
        self.known
            .iter()
            .filter(|(_, source)| matches!(source.state, State::Away { until } if until <= now))
            .filter(|(_, source)| !(full && source.is_hearsay()))
            .min_by_key(|(id, source)| {
                (source.failures, !source.proven, source.is_hearsay(), source.luck, **id)
            })
            .map(|(id, _)| *id)
    }
}
