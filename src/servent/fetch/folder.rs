//! A collection whose text is here: its files, fetched as one download.
//!
//! Always true: what is seen of it is one download, of one number; the folder comes to its
//! place when nothing more of it can be had, and whole files only; what nobody gives is
//! named. Small files come many ahead over one connection a source ([`giver`]), larger ones
//! as downloads of their own that nobody sees ([`large`]); [`prepared`] is what is on the
//! disk, [`ending`] how it ends.

mod ending;
mod giver;
pub(super) mod large;
mod prepared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{DISK_RETRY, Fetch, Finding, Inbox, SHOW_EVERY, Wish as UserWish};
use crate::base::{Meter, ServentId};
use crate::servent::offload::offload;
use crate::servent::report::{DownloadState, GatheredReport, News, SourceReport};
use crate::store::StoreError;
use crate::transfer::collection::text::Listed;
use crate::transfer::collection::{Ask, Batch, Number};
use crate::transfer::event::phrase;
use giver::{Giver, Report, Wish};
use large::Large;
use prepared::{Found, Prepared};

/// Sources that small files are taken from at the same time: more only share them out.
const MAX_GIVERS: usize = 8;
/// Wishes that wait for one source: more than the plan asks ahead, and thanks.
const WISHES: usize = 512;
/// Reports of sources that wait for the plan; a full queue slows the sources down.
const REPORTS: usize = 512;
/// A source that was asked for something and says nothing for this long is lost.
const SILENT: Duration = Duration::from_secs(30);
/// How long before a lost source is dialled again; doubled up to the longest each time.
const REDIAL: Duration = Duration::from_secs(1);
const LONGEST_REDIAL: Duration = Duration::from_secs(30);
/// Dials in a row that came to nothing, after which nobody waits for a source.
const HOPELESS: u32 = 4;
/// How long before the mesh is searched again; doubled up to the longest each time.
const SEARCH_AGAIN: Duration = Duration::from_secs(30);
const LONGEST_SEARCH: Duration = Duration::from_secs(600);

/// One source of small files.
struct Source {
    number: u64,
    wishes: mpsc::Sender<Wish>,
    connected: bool,
    /// When it last said something, or was asked while nothing was on its way.
    heard: Instant,
    /// Ends the connection, whatever it waits for.
    _closing: DropGuard,
}

/// A source that is not connected.
#[derive(Clone, Copy, Default)]
struct Away {
    dials: u32,
    again: Option<Instant>,
}

/// The files of a collection on their way.
struct Folder<'f> {
    fetch: &'f mut Fetch,
    files: Arc<Prepared>,
    batch: Batch,
    open: BTreeMap<ServentId, Source>,
    away: BTreeMap<ServentId, Away>,
    /// Who lied.
    banned: BTreeSet<ServentId>,
    large: Large,
    reports: mpsc::Sender<(ServentId, u64, Report)>,
    meter: Meter,
    /// When the disk is tried again, while it is full.
    full_until: Option<Instant>,
    search_at: Option<Instant>,
    searches: u32,
    searching: bool,
    /// Whether a search has ended since somebody last gave something.
    searched: bool,
    /// Bytes that hits have claimed for all.
    claimed: u64,
}

/// What the loop does next.
#[derive(PartialEq, Eq)]
enum Step {
    On,
    Over,
}

impl Fetch {
    /// Fetches the files that the collection lists, until its end or the servent's.
    pub(super) async fn gather(&mut self, listed: Vec<Listed>, inbox: &mut Inbox) {
        // Their connections have nothing more to give for the text.
        self.open.clear();
        self.leaving.clear();
        let Some(found) = self.prepare(listed, inbox).await else { return };
        let prepared = match found {
            Found::Placed(path, files) => return self.folder_placed(&path, files),
            Found::Coming(prepared) => Arc::new(prepared),
        };
        let (reports, mut told) = mpsc::channel(REPORTS);
        let (large, mut ended) = Large::new();
        let batch = Batch::new(prepared.ids(), &prepared.held());
        let now = self.ground.clock.now();
        let claimed = self.collected.map_or(0, |(_, bytes)| bytes);
        let mut folder = Folder {
            files: prepared,
            batch,
            open: BTreeMap::new(),
            away: BTreeMap::new(),
            banned: BTreeSet::new(),
            large,
            reports,
            meter: Meter::new(now),
            full_until: None,
            search_at: None,
            searches: 0,
            searching: false,
            searched: false,
            claimed,
            fetch: self,
        };
        folder.begin();
        let mut tick = tokio::time::interval(SHOW_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !(folder.is_over() && folder.finish()) {
            let stop = folder.fetch.ground.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(wish) = inbox.wanted.recv() => {
                    if folder.on_wish(wish).await == Step::Over {
                        return;
                    }
                }
                Some(finding) = inbox.finds.recv() => folder.on_finding(finding),
                Some((number, end)) = ended.recv() => folder.on_large(number, end),
                Some((source, number, report)) = told.recv() => {
                    folder.on_report(source, number, report);
                    // What else has come is taken in one go.
                    while let Ok((source, number, report)) = told.try_recv() {
                        folder.on_report(source, number, report);
                    }
                }
                _ = tick.tick() => folder.on_tick(),
            }
            folder.start_large();
        }
    }

    /// Looks at the disk; none when it is over, or the servent stops.
    async fn prepare(&mut self, listed: Vec<Listed>, inbox: &mut Inbox) -> Option<Found> {
        let listed = Arc::new(listed);
        loop {
            let (disk, place) = (Arc::clone(&self.tools.disk), self.place.clone());
            let (id, name) = (self.show.borrow().id, self.show.borrow().name.clone());
            let (listed, stopped) = (Arc::clone(&listed), Arc::clone(&self.stopped));
            let look = tokio::task::spawn_blocking(move || {
                Prepared::look(&disk, &place, id, &name, &listed, &stopped)
            });
            tokio::pin!(look);
            let found = loop {
                tokio::select! {
                    biased;
                    () = self.ground.stop.cancelled() => {
                        self.stopped.store(true, Ordering::Relaxed);
                        return None;
                    }
                    found = &mut look => break found.ok()?,
                    Some(wish) = inbox.wanted.recv() => self.note_wish(wish),
                }
            };
            if self.cancelled {
                self.end_cancelled();
                return None;
            }
            match found {
                Ok(found) => return Some(found),
                Err(error) if error.is_full() && !self.once => {
                    self.set_full(&error);
                    tokio::select! {
                        () = self.ground.stop.cancelled() => return None,
                        () = tokio::time::sleep(DISK_RETRY) => {}
                    }
                }
                Err(error) => {
                    self.fail(error.to_string());
                    return None;
                }
            }
        }
    }

    /// What its user wishes while the disk is looked at shows in what comes after.
    fn note_wish(&mut self, wish: UserWish) {
        match wish {
            UserWish::Pause | UserWish::Resume => {
                self.paused = wish == UserWish::Pause;
                let state =
                    if self.paused { DownloadState::Paused } else { DownloadState::Running };
                self.show.send_modify(|report| report.state = state);
            }
            UserWish::Cancel => {
                self.cancelled = true;
                self.stopped.store(true, Ordering::Relaxed);
            }
            UserWish::Priority(priority) => {
                self.ground.download.set_priority(self.number, priority);
                self.show.send_modify(|report| report.priority = priority);
            }
        }
    }

    fn set_full(&mut self, error: &StoreError) {
        let why = format!("{error}; trying again every {} s", DISK_RETRY.as_secs());
        let state = DownloadState::Waiting { why: why.clone() };
        self.show.send_modify(|report| report.state = state);
        if self.full.replace(why.clone()).is_none() {
            let report = self.report_now();
            let (number, name) = (report.number, report.name);
            self.ground.tell(News::Download { number, name, text: format!("paused: {why}") });
        }
    }
}

impl Folder<'_> {
    fn begin(&mut self) {
        let left = self.claimed.saturating_sub(self.files.here().1);
        if let Err(error) = self.files.staged().has_room(left) {
            self.on_disk_error(&error);
        }
        if !self.fetch.over && !self.fetch.paused {
            self.dial_all();
        }
        self.refresh();
    }

    /// Whether nothing more can come.
    fn is_over(&self) -> bool {
        if self.fetch.over {
            return true;
        }
        let fetched = self.batch.left() == 0 || self.is_stuck();
        fetched && self.large.is_empty() && !self.fetch.paused && self.full_until.is_none()
    }

    /// Whether those who are there have refused all that is left, and nobody else is found.
    fn is_stuck(&self) -> bool {
        let connected = self.open.values().filter(|source| source.connected).count();
        let awaited = self.open.len() > connected
            || self.away.values().any(|away| away.dials < HOPELESS && away.again.is_some());
        let nobody = connected == 0 && !self.fetch.once;
        self.batch.is_idle() && !awaited && !nobody && self.searched && !self.searching
    }

    /// Dials whom it knows and may dial now, as far as there is room.
    fn dial_all(&mut self) {
        if self.batch.left() == 0 {
            return;
        }
        let now = Instant::now();
        let due = |away: Option<&Away>| {
            away.is_none_or(|away| away.again.is_some_and(|again| again <= now))
        };
        let known: Vec<_> = self.fetch.known.keys().copied().collect();
        for id in known {
            if self.open.len() >= MAX_GIVERS {
                return;
            }
            let free = !self.banned.contains(&id) && !self.open.contains_key(&id);
            if free && due(self.away.get(&id)) {
                self.dial(id, now);
            }
        }
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
        self.open.insert(id, Source { number, wishes, connected: false, heard: now, _closing });
        self.away.entry(id).or_default().again = None;
    }

    fn on_report(&mut self, source: ServentId, number: u64, report: Report) {
        let Some(open) = self.open.get_mut(&source).filter(|open| open.number == number) else {
            return; // of a connection that was given up
        };
        open.heard = Instant::now();
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
            Report::Progress(bytes) => self.meter.add(self.fetch.ground.clock.now(), bytes),
            Report::Here(number) => {
                self.away.insert(source, Away::default());
                self.searched = false;
                self.fetch.trouble = None;
                self.on_room();
                self.batch.came(source, number, &mut asks);
            }
            Report::Unwritten(number, error) => {
                tracing::debug!(number, %error, "a file of a collection is not written");
                self.on_disk_error(&error);
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

    fn on_finding(&mut self, finding: Finding) {
        match finding {
            Finding::Source(source, _, _) => {
                let fresh = !self.fetch.known.contains_key(&source.id);
                self.learn(source);
                if fresh {
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

    fn learn(&mut self, source: SourceReport) {
        let known = self.fetch.known.entry(source.id);
        known.and_modify(|known| known.merge(&source)).or_insert(source);
        self.fetch.news_for_the_record = true;
    }

    /// Looks after who is silent, who is to be dialled again, and what is shown.
    fn on_tick(&mut self) {
        let now = Instant::now();
        if self.full_until.is_some_and(|until| until <= now) {
            self.full_until = None;
            self.away.values_mut().for_each(|away| away.again = Some(now));
            self.large.set_paused(false);
        }
        if !self.fetch.paused && self.full_until.is_none() {
            let silent = |(&id, source): (&ServentId, &Source)| {
                let busy = !source.connected || self.batch.is_busy(id);
                (busy && now.duration_since(source.heard) > SILENT).then_some(id)
            };
            let silent: Vec<_> = self.open.iter().filter_map(silent).collect();
            for id in silent {
                self.lose(id, &format!("lost source {}", id.short()), "it says nothing");
            }
            self.dial_all();
            self.search(now);
        }
        self.refresh();
    }

    /// Searches the mesh when those who are known give nothing more.
    fn search(&mut self, now: Instant) {
        let dialling = self.open.values().any(|source| !source.connected);
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

    async fn on_wish(&mut self, wish: UserWish) -> Step {
        match wish {
            UserWish::Cancel => {
                self.fetch.cancelled = true;
                self.fetch.stopped.store(true, Ordering::Relaxed);
                self.send_away();
                self.large.cancel().await;
                offload(|| self.fetch.end_cancelled());
                return Step::Over;
            }
            UserWish::Pause if !self.fetch.paused => {
                self.send_away();
                self.large.set_paused(true);
                self.fetch.trouble = None;
                self.fetch.full = None;
                self.full_until = None;
            }
            UserWish::Resume if self.fetch.paused => {
                self.large.set_paused(false);
                self.away.values_mut().for_each(|away| away.again = Some(Instant::now()));
            }
            _ => {}
        }
        self.fetch.note_wish(wish);
        if !self.fetch.paused {
            self.dial_all();
        }
        self.refresh();
        Step::On
    }

    /// Ends all connections; what was on its way is asked anew.
    fn send_away(&mut self) {
        let open = std::mem::take(&mut self.open);
        for id in open.into_keys() {
            self.batch.lost(id, &mut Vec::new());
            self.away.entry(id).or_default().again = Some(Instant::now());
        }
    }

    /// A full disk is waited for, unless the user would not; anything else ends the download.
    fn on_disk_error(&mut self, error: &StoreError) {
        if !error.is_full() || self.fetch.once {
            self.send_away();
            return self.fetch.fail(error.to_string());
        }
        self.send_away();
        self.large.set_paused(true);
        self.fetch.set_full(error);
        self.full_until = Some(Instant::now() + DISK_RETRY);
    }

    /// The disk has taken something.
    fn on_room(&mut self) {
        if self.fetch.full.take().is_some() {
            let report = self.fetch.report_now();
            let (number, name) = (report.number, report.name);
            self.fetch.ground.tell(News::Download { number, name, text: "goes on".to_owned() });
        }
    }

    fn start_large(&mut self) {
        self.large.add(self.batch.take_large());
        if self.fetch.paused || self.fetch.over || self.full_until.is_some() {
            return;
        }
        while let Some((number, size)) = self.large.next() {
            let paths = self.files.paths(number);
            let (Some(id), Some(path)) = (self.batch.id(number), paths.first()) else { continue };
            let usable = |source: &&SourceReport| !self.banned.contains(&source.id);
            let sources = self.fetch.known.values().filter(usable).cloned().collect();
            let priority = self.fetch.show.borrow().priority;
            let (tools, folder) = (&self.fetch.tools, self.files.folder());
            self.large.start(tools, (number, size), (id, folder, path), sources, priority);
        }
    }

    fn on_large(&mut self, number: Number, end: large::End) {
        let Some(list) = self.large.ended(number, end, self.fetch.once) else { return };
        match offload(|| self.files.placed(number, list)) {
            Ok(()) => self.on_room(),
            Err(error) => self.on_disk_error(&error),
        }
    }

    /// Brings the numbers up to date.
    fn refresh(&mut self) {
        let now = self.fetch.ground.clock.now();
        let (here, bytes) = self.files.here();
        let (coming, rate) = self.large.progress();
        let files = self.files.files();
        let connected = self.open.values().filter(|source| source.connected).count();
        let state = match &self.fetch.full {
            _ if self.fetch.paused => DownloadState::Paused,
            Some(full) => DownloadState::Waiting { why: full.clone() },
            None if connected == 0 && self.large.running() == 0 && self.batch.left() > 0 => {
                let trouble = self.fetch.trouble.clone();
                let next = "looking for sources".to_owned();
                let why = trouble.map_or(next.clone(), |trouble| format!("{trouble}; {next}"));
                DownloadState::Waiting { why }
            }
            None => DownloadState::Running,
        };
        if self.fetch.news_for_the_record {
            self.fetch.remember();
            self.fetch.tools.unfinished.save_soon();
        }
        let verified = bytes.saturating_add(coming);
        let size = self.claimed.max(bytes.saturating_add(self.large.size())).max(verified);
        let rate = self.meter.rate(now).saturating_add(rate);
        let gathered = GatheredReport {
            files,
            here,
            missing: 0,
            left_out: self.files.left_out.len(),
            notes: Vec::new(),
        };
        let sources = self.fetch.known.len();
        self.fetch.show.send_if_modified(|report| {
            let before = report.clone();
            (report.verified, report.size, report.rate) = (verified, size, rate);
            (report.connected, report.sources) = (connected.max(self.large.connected()), sources);
            report.state = state;
            report.gathered = Some(gathered);
            *report != before
        });
    }
}
