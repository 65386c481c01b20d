//! The sources of a folder's small files: whom it knows, dials, hears, and gives up.
//!
//! Always true: small files are taken from [`MAX_GIVERS`] at a time, of at most [`MAX_KNOWN`] who
//! are known; who lied is asked no more;
//! what was on its way from one that is gone is asked of others. What is asked of whom is the
//! plan's, what goes over a connection is [`giver`](super::giver)'s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::Finding;
use super::Folder;
use super::giver::{Giver, Report, Wish};
use crate::base::ServentId;
use crate::servent::report::{News, SourceReport};
use crate::transfer::collection::Ask;
use crate::transfer::event::phrase;
use crate::transfer::sources::MAX_KNOWN;

/// Sources that small files are taken from at the same time: more only share them out.
const MAX_GIVERS: usize = 8;
/// Wishes that wait for one source: more than the plan asks ahead, and thanks.
const WISHES: usize = 512;
/// A source that is dialled and says nothing for this long is lost.
const SILENT: Duration = Duration::from_secs(30);
/// How long a source that gives nothing whole keeps its place from others who may be better.
const ON_TRIAL: Duration = Duration::from_secs(6);
/// How long before a lost source is dialled again; doubled up to the longest each time.
const REDIAL: Duration = Duration::from_secs(1);
const LONGEST_REDIAL: Duration = Duration::from_secs(30);
/// Dials in a row that came to nothing, after which nobody waits for a source.
const HOPELESS: u32 = 4;
/// How long before the mesh is searched again; doubled up to the longest each time.
const SEARCH_AGAIN: Duration = Duration::from_secs(30);
const LONGEST_SEARCH: Duration = Duration::from_secs(600);

/// One source of small files.
pub(super) struct Source {
    number: u64,
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) connected: bool,
    dialled: Instant,
    /// Ends the connection, whatever it waits for.
    _closing: DropGuard,
}

/// A source that is not connected.
#[derive(Clone, Copy, Default)]
pub(super) struct Away {
    dials: u32,
    pub(super) again: Option<Instant>,
    /// Whether it gave a file since it was last away.
    gave: bool,
}

/// What a source is to the folder, the best first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Here,
    New,
    Lost,
    Useless,
}

/// Whether who was dialled so often in vain is waited for.
fn is_hopeful(away: Option<&Away>) -> bool {
    away.is_none_or(|away| away.dials < HOPELESS)
}

impl Folder<'_> {
    /// Whether whoever is known has refused all that is left, and nobody else is found.
    pub(super) fn is_stuck(&self) -> bool {
        if !self.batch.is_idle() || !self.searched || self.searching {
            return false;
        }
        let mut answered = self.fetch.once;
        for id in self.fetch.known.keys().filter(|id| !self.banned.contains(id)) {
            let awaited = match (self.open.get(id), self.away.get(id)) {
                _ if !self.batch.is_useful(*id) => {
                    answered = true;
                    continue;
                }
                (Some(source), away) => !source.connected && is_hopeful(away),
                (None, Some(away)) => is_hopeful(Some(away)) && away.again.is_some(),
                (None, None) => true,
            };
            if awaited {
                return false;
            }
        }
        answered
    }

    /// Dials whom it knows and may dial now, as far as there is room, or can be.
    pub(super) fn dial_all(&mut self) {
        if self.fetch.paused || self.full_until.is_some() {
            return;
        }
        let now = Instant::now();
        let mut due = Vec::new();
        for &id in self.fetch.known.keys() {
            let free = !self.banned.contains(&id) && !self.open.contains_key(&id);
            let away = self.away.get(&id);
            let due_now = away.is_none_or(|away| away.again.is_some_and(|again| again <= now));
            if free && due_now && self.batch.is_useful(id) {
                // Who gave something first, and then who was not asked yet.
                due.push((away.is_none_or(|away| !away.gave), away.map(|away| away.dials), id));
            }
        }
        due.sort_unstable();
        for (unproven, dials, id) in due {
            let hopeful = !unproven || dials.is_none();
            if self.open.len() < MAX_GIVERS || self.make_place(hopeful, now) {
                self.dial(id, now);
            }
        }
    }

    /// Gives up a source that has nothing for us; and for who is `hopeful`, one that keeps us
    /// waiting: else as many as there are places for, who give nothing, would hide one who does.
    fn make_place(&mut self, hopeful: bool, now: Instant) -> bool {
        let worth = |id| match self.batch.is_useful(id) {
            false => Some(Duration::MAX),
            true => Some(self.batch.lag(id)).filter(|&lag| hopeful && lag >= ON_TRIAL),
        };
        let connected = self.open.iter().filter(|(_, source)| source.connected);
        let worst = connected.filter_map(|(&id, _)| Some((worth(id)?, id))).max();
        let Some((_, worst)) = worst else { return false };
        self.open.remove(&worst);
        self.away.entry(worst).or_default().again = Some(now + LONGEST_REDIAL);
        let mut asks = Vec::new();
        self.batch.lost(worst, &mut asks);
        self.ask(asks);
        true
    }

    fn dial(&mut self, id: ServentId, now: Instant) {
        let fetch = &mut *self.fetch;
        fetch.next_connection += 1;
        let number = fetch.next_connection;
        let (wishes, asked) = mpsc::channel(WISHES);
        let closing = CancellationToken::new();
        let task = Giver {
            ground: Arc::clone(&fetch.ground),
            driver: fetch.tools.driver.clone(),
            download: fetch.number,
            closed: closing.clone(),
            id,
            number,
            files: Arc::clone(&self.files),
            reports: self.reports.clone(),
        };
        fetch.ground.spawn(task.run(fetch.approach(id), asked));
        let _closing = closing.drop_guard();
        self.open.insert(id, Source { number, wishes, connected: false, dialled: now, _closing });
        self.away.entry(id).or_default().again = None;
    }

    pub(super) fn on_report(&mut self, source: ServentId, number: u64, report: Report) {
        let Some(open) = self.open.get_mut(&source).filter(|open| open.number == number) else {
            // Of a connection that was given up; what came over it is here all the same.
            if let Report::Here(number) = report {
                self.batch.here(number);
            }
            return;
        };
        self.batch.at(self.fetch.ground.clock.now()).heard(source);
        let mut asks = Vec::new();
        match report {
            Report::Connected => {
                open.connected = true;
                self.batch.connected(source, &mut asks);
            }
            Report::Lost(why) => {
                self.lose(source, &format!("lost source {}", source.short()), &why);
            }
            Report::Lied(how) => {
                self.banned.insert(source);
                let who = format!("source {} {how}, it is asked no more", source.short());
                self.lose(source, &who, "");
                self.away.remove(&source);
            }
            Report::Size(number, size) => {
                self.batch.described(source, number, size, &mut asks);
            }
            Report::Progress(bytes) => {
                self.meter.add(self.fetch.ground.clock.now(), bytes);
                self.batch.sends(source);
            }
            Report::Throttled => self.batch.throttled(source),
            Report::Here(number) => {
                self.away.insert(source, Away { gave: true, ..Away::default() });
                self.searched = false;
                self.fetch.trouble = None;
                self.on_room();
                self.large.give_up(number); // if another called it large
                self.batch.came(source, number, &mut asks);
            }
            Report::Unwritten(number, error) => {
                tracing::debug!(number, %error, "a file of a collection is not written");
                // What is at its place already came as a larger file.
                if error.is_full() || !self.batch.is_large(number) {
                    self.on_disk_error(&error);
                }
            }
            Report::Refused(number, why) => {
                // Who gives nothing to anybody at present is asked again later.
                if why == crate::message::Refusal::Busy {
                    let who = format!("source {} refused", source.short());
                    return self.lose(source, &who, phrase(why));
                }
                self.batch.refused(source, number, why, &mut asks);
            }
            Report::Queued(position) => {
                self.batch.queued(source);
                let text = format!("number {position} in the queue of {}", source.short());
                self.fetch.trouble = Some(text);
            }
        }
        self.ask(asks);
    }

    fn ask(&mut self, asks: Vec<Ask>) {
        if self.full_until.is_some() {
            return; // whoever was asked is sent away, and asked anew
        }
        for ask in asks {
            let (Ask::Size(source, number) | Ask::Bytes(source, number, _)) = ask;
            let (Some(id), Some(open)) = (self.batch.id(number), self.open.get(&source)) else {
                continue;
            };
            let wish = match ask {
                Ask::Size(..) => Wish::Size(number, id),
                Ask::Bytes(_, _, size) => Wish::Bytes(number, id, size),
            };
            // The queue holds more than the plan asks ahead.
            if open.wishes.try_send(wish).is_err() {
                tracing::debug!(%source, "a source does not take what is asked of it");
            }
        }
    }

    /// Gives up who is waited for in vain, and asks others for what nobody else may bring.
    pub(super) fn look_after(&mut self, now: Instant) {
        let silent = |(&id, source): (&ServentId, &Source)| {
            let gone = !source.connected && now.duration_since(source.dialled) > SILENT;
            gone.then_some((id, "it says nothing"))
        };
        let mut late: Vec<_> = self.open.iter().filter_map(silent).collect();
        late.extend(self.batch.at(self.fetch.ground.clock.now()).late());
        for (id, why) in late {
            self.lose(id, &format!("lost source {}", id.short()), why);
        }
        let mut asks = Vec::new();
        self.batch.hedge(&mut asks);
        self.ask(asks);
    }

    /// Its connection is gone, or is given up; others are asked, and it is dialled again.
    fn lose(&mut self, source: ServentId, what: &str, why: &str) {
        self.open.remove(&source);
        let away = self.away.entry(source).or_default();
        let wait = REDIAL.saturating_mul(1 << away.dials.min(5)).min(LONGEST_REDIAL);
        away.dials = away.dials.saturating_add(1);
        away.again = Some(Instant::now() + wait);
        let text = match why {
            "" => what.to_owned(),
            why => format!("{what} ({why})"),
        };
        let text = self.fetch.with_names(&text, [source]);
        if self.fetch.trouble.replace(text.clone()).is_none() {
            let report = self.fetch.report_now();
            let (number, name) = (report.number, report.name);
            let text = format!("{text}; redialling in {} s", wait.as_secs());
            self.fetch.ground.tell(News::Download { number, name, text });
        }
        let mut asks = Vec::new();
        self.batch.lost(source, &mut asks);
        self.ask(asks);
    }

    pub(super) fn on_finding(&mut self, finding: Finding) {
        match finding {
            Finding::Source(source, _, _) => {
                let fresh = !self.fetch.known.contains_key(&source.id);
                if self.learn(source) && fresh {
                    self.searched = false;
                    self.dial_all();
                }
            }
            Finding::End { .. } => {
                self.searching = false;
                self.searched = true;
            }
        }
    }

    /// Keeps a source in mind; false when as many are known as may be, and none of them is of
    /// less use.
    fn learn(&mut self, source: SourceReport) -> bool {
        let id = source.id;
        if !self.fetch.known.contains_key(&id) && self.fetch.known.len() >= MAX_KNOWN {
            let known = self.fetch.known.keys();
            let worst = known.map(|&known| (self.standing(known), known)).max();
            let Some((_, worst)) = worst.filter(|(worst, _)| *worst > self.standing(id)) else {
                return false;
            };
            self.fetch.known.remove(&worst);
            self.away.remove(&worst);
        }
        let known = self.fetch.known.entry(id);
        known.and_modify(|known| known.merge(&source)).or_insert(source);
        self.fetch.news_for_the_record = true;
        true
    }

    /// Of how little use it seems: nobody goes before who is there or has given something,
    /// who was not asked yet before who could not be reached, and who refused all is the last.
    fn standing(&self, id: ServentId) -> (Standing, u32) {
        let away = self.away.get(&id);
        let gave = self.fetch.gave.contains(&id) || away.is_some_and(|away| away.gave);
        let dials = away.map_or(0, |away| away.dials);
        let standing = match dials {
            _ if self.open.contains_key(&id) => Standing::Here,
            _ if self.banned.contains(&id) || !self.batch.is_useful(id) => Standing::Useless,
            _ if gave => Standing::Here,
            0 => Standing::New,
            _ => Standing::Lost,
        };
        (standing, dials)
    }

    /// Searches the mesh when those who are known give nothing more.
    pub(super) fn search(&mut self, now: Instant) {
        let dialled = |(id, source): (&ServentId, &Source)| {
            !source.connected && is_hopeful(self.away.get(id))
        };
        let dialling = self.open.iter().any(dialled);
        let idle = self.batch.left() > 0 && self.batch.is_idle() && !dialling;
        if idle && *self.fetch.tools.degree.borrow() == 0 {
            self.searched = true; // there is no mesh to ask
            return;
        }
        if !idle || self.searching || self.search_at.is_some_and(|at| now < at) {
            return;
        }
        self.searching = true;
        let wait = SEARCH_AGAIN.saturating_mul(1 << self.searches.min(5)).min(LONGEST_SEARCH);
        self.searches = self.searches.saturating_add(1);
        self.search_at = Some(now + wait);
        self.fetch.find_sources();
    }

    /// Ends all connections; what was on its way is asked anew.
    pub(super) fn send_away(&mut self) {
        let open = std::mem::take(&mut self.open);
        for id in open.into_keys() {
            self.batch.lost(id, &mut Vec::new());
            self.away.entry(id).or_default().again = Some(Instant::now());
        }
    }
}
