//! A collection whose text is here: its files, fetched as one download.
//!
//! Always true: what is seen of it is one download, of one number; the folder comes to its
//! place when nothing more of it can be had, and whole files only; what nobody gives is
//! named. Small files come many ahead over one connection a source ([`giver`]), larger ones
//! as downloads of their own that nobody sees ([`large`]), copied where they are listed more
//! than once ([`copies`]); [`sources`] is who gives them, [`prepared`] what is on the disk,
//! [`room`] what becomes of it while that is full, [`ending`] how it ends.

mod copies;
mod ending;
mod giver;
pub(super) mod large;
mod prepared;
mod room;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{DISK_RETRY, Fetch, Inbox, SHOW_EVERY, Wish as UserWish};
use crate::base::{Meter, ServentId};
use crate::servent::offload::offload;
use crate::servent::report::{DownloadState, GatheredReport, SourceReport};
use crate::store::StoreError;
use crate::transfer::collection::text::Listed;
use crate::transfer::collection::{Batch, Number};
use copies::Copies;
use giver::Report;
use large::Large;
use prepared::{Found, Prepared};
use sources::{Away, Source};

/// Reports of sources that wait for the plan; a full queue slows the sources down.
const REPORTS: usize = 512;

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
    copies: Copies,
    reports: mpsc::Sender<(ServentId, u64, Report)>,
    meter: Meter,
    /// When it is looked at whether the disk has room for the rest: before anybody is asked
    /// for it, and again while it is full.
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
            Found::Coming(prepared) => prepared,
        };
        let (reports, mut told) = mpsc::channel(REPORTS);
        let (large, mut ended) = Large::new();
        let (copies, mut copied) = Copies::new();
        let batch = offload(|| Batch::new(prepared.ids(), &prepared.held()));
        let now = self.ground.clock.now();
        let claimed = self.collected.map_or(0, |(_, bytes)| bytes);
        let mut folder = Folder {
            files: prepared,
            batch,
            open: BTreeMap::new(),
            away: BTreeMap::new(),
            banned: BTreeSet::new(),
            large,
            copies,
            reports,
            meter: Meter::new(now),
            full_until: Some(Instant::now()),
            search_at: None,
            searches: 0,
            searching: false,
            searched: false,
            claimed,
            fetch: self,
        };
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
                Some(copied) = copied.recv() => folder.on_copied(copied),
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
            let placing = self.placing;
            let look = tokio::task::spawn_blocking(move || {
                Prepared::look(&disk, &place, (id, &name), &listed, placing, &stopped)
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
}

impl Folder<'_> {
    /// Whether nothing more can come.
    fn is_over(&self) -> bool {
        if self.fetch.over {
            return true;
        }
        let fetched = self.batch.left() == 0 || self.is_stuck();
        let larger = self.large.is_empty() && self.copies.left().next().is_none();
        fetched && larger && !self.fetch.paused && self.full_until.is_none()
    }

    /// Looks after who is silent, who is to be dialled again, and what is shown.
    fn on_tick(&mut self) {
        let now = Instant::now();
        self.look_for_room(now);
        if !self.fetch.over && !self.fetch.paused && self.full_until.is_none() {
            self.look_after(now);
            self.dial_all();
            self.search(now);
        }
        self.refresh();
    }

    async fn on_wish(&mut self, wish: UserWish) -> Step {
        match wish {
            UserWish::Cancel => {
                self.fetch.cancelled = true;
                self.fetch.stopped.store(true, Ordering::Relaxed);
                self.send_away();
                self.large.cancel().await;
                offload(|| {
                    self.files.settle();
                    self.fetch.end_cancelled();
                });
                return Step::Over;
            }
            UserWish::Pause if !self.fetch.paused => {
                self.send_away();
                self.large.set_paused(true);
                self.fetch.trouble = None;
                self.fetch.full = None;
            }
            // The next look at the disk lets it go on.
            UserWish::Resume if self.fetch.paused => self.full_until = Some(Instant::now()),
            _ => {}
        }
        self.fetch.note_wish(wish);
        self.refresh();
        Step::On
    }

    fn start_large(&mut self) {
        self.large.add(self.batch.take_large());
        if self.fetch.paused || self.fetch.over || self.full_until.is_some() {
            return;
        }
        self.copies.start(&self.files);
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
        if let large::End::Failed { why, again: true } = &end {
            self.fetch.trouble = Some(why.clone());
        }
        let Some(list) = self.large.ended(number, end, self.fetch.once) else { return };
        self.copies.add(number, list);
    }

    fn on_copied(&mut self, copied: Result<(), StoreError>) {
        self.copies.ended(copied.is_ok());
        match copied {
            Ok(()) => self.on_room(),
            Err(error) => self.on_disk_error(&error),
        }
    }

    fn waiting(&self, next: &str) -> DownloadState {
        let trouble = self.fetch.trouble.as_ref();
        let why = trouble.map_or(next.to_owned(), |trouble| format!("{trouble}; {next}"));
        DownloadState::Waiting { why }
    }

    /// Brings the numbers up to date.
    fn refresh(&mut self) {
        if self.fetch.over {
            return; // how it has ended is what is shown
        }
        let now = self.fetch.ground.clock.now();
        let (here, bytes) = self.files.here();
        let (coming, rate) = self.large.progress();
        let placed = self.copies.left().map(|(_, list)| list.geometry().size());
        let coming = placed.fold(coming, u64::saturating_add);
        let files = self.files.files();
        let connected = self.open.values().filter(|source| source.connected).count();
        let state = match &self.fetch.full {
            _ if self.fetch.paused => DownloadState::Paused,
            Some(full) => DownloadState::Waiting { why: full.clone() },
            None if connected == 0 && self.large.running() == 0 && self.batch.left() > 0 => {
                self.waiting("looking for sources")
            }
            None if self.batch.left() == 0 && self.large.waits() => {
                self.waiting("trying the larger files again")
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
