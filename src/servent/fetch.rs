//! One download: the task that owns its plan and performs what it asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::driver::Command;
use super::ground::Ground;
use super::report::{
    DownloadReport, DownloadState, News, Reach, SearchEvent, SearchRequest, SourceReport,
};
use super::searching::{self, SharedResults};
use super::source::{Ask, Report, Shelf, Source};
use crate::base::{ContentId, PieceIndex, PieceMap, ServentId};
use crate::share::Library;
use crate::store::{Disk, PartFile, StoreError};
use crate::transfer::{
    Config, Download, Event, Failure, Input, Loss, Next, Output, PauseReason, PieceList,
};

/// Reports of sources that wait for the plan; a full queue slows the sources down.
const REPORTS: usize = 256;
/// Wishes that wait for one source: far more than the plan has open at a time.
const ASKS: usize = 256;
/// How soon a full disk is tried again.
const DISK_RETRY: Duration = Duration::from_secs(10);
/// How often the numbers that people watch are brought up to date.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// Files of one search for sources that are enough: there is only one.
const ONE_FILE: usize = 1;

/// What a download is begun with.
pub(super) struct Order {
    pub(super) number: usize,
    pub(super) id: ContentId,
    pub(super) name: Option<String>,
    pub(super) size: u64,
    pub(super) folder: PathBuf,
    pub(super) once: bool,
    pub(super) sources: Vec<SourceReport>,
}

/// What every download of a servent uses.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) ground: Arc<Ground>,
    pub(super) driver: mpsc::Sender<Command>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) library: Library,
}

/// Starts a download; its report changes as it goes on.
pub(super) fn start(tools: Tools, order: Order) -> watch::Receiver<DownloadReport> {
    let report = DownloadReport {
        number: order.number,
        id: order.id,
        name: order.name.clone().unwrap_or_else(|| order.id.to_string()),
        size: order.size,
        verified: 0,
        rate: 0,
        connected: 0,
        sources: order.sources.len(),
        state: DownloadState::Running,
    };
    let (show, shown) = watch::channel(report);
    let (reports, inbox) = mpsc::channel(REPORTS);
    let (found, finds) = mpsc::channel(REPORTS);
    let (begun, beginnings) = mpsc::channel(1);
    // The choice of pieces need not be secret, only different everywhere.
    let seed = searching::random().unwrap_or(order.id.0);
    let config = Config { me: tools.ground.id, once: order.once };
    let fetch = Fetch {
        plan: Download::new(order.id, config, ChaCha12Rng::from_seed(seed)),
        ground: Arc::clone(&tools.ground),
        named: order.name.is_some(),
        tools,
        known: BTreeMap::new(),
        open: BTreeMap::new(),
        next_connection: 0,
        shelf: Arc::default(),
        kept: None,
        list: None,
        resume_at: None,
        stopped: Arc::new(AtomicBool::new(false)),
        folder: order.folder,
        once: order.once,
        trouble: None,
        full: None,
        reports,
        found,
        begun,
        show,
        over: false,
    };
    let ground = Arc::clone(&fetch.ground);
    ground.spawn(fetch.run(order.sources, inbox, finds, beginnings));
    shown
}

type Reports = (ServentId, u64, Report);
type Beginning = (Arc<PieceList>, Result<(Arc<PartFile>, PieceMap), StoreError>);

struct Open {
    number: u64,
    asks: mpsc::Sender<Ask>,
}

struct Fetch {
    tools: Tools,
    ground: Arc<Ground>,
    plan: Download,
    known: BTreeMap<ServentId, SourceReport>,
    open: BTreeMap<ServentId, Open>,
    next_connection: u64,
    shelf: Arc<Shelf>,
    /// The piece that bound the size, until there is a file to write it to.
    kept: Option<(PieceIndex, Vec<u8>)>,
    list: Option<Arc<PieceList>>,
    resume_at: Option<tokio::time::Instant>,
    /// Ends work on the disk that nobody waits for any more.
    stopped: Arc<AtomicBool>,
    folder: PathBuf,
    named: bool,
    /// Whether it fails rather than waits.
    once: bool,
    /// What a source did last, while nothing has come since.
    trouble: Option<String>,
    /// While the disk is full: a sentence about it.
    full: Option<String>,
    reports: mpsc::Sender<Reports>,
    found: mpsc::Sender<(SourceReport, Option<String>)>,
    begun: mpsc::Sender<Beginning>,
    show: watch::Sender<DownloadReport>,
    over: bool,
}

impl Fetch {
    async fn run(
        mut self,
        sources: Vec<SourceReport>,
        mut inbox: mpsc::Receiver<Reports>,
        mut finds: mpsc::Receiver<(SourceReport, Option<String>)>,
        mut beginnings: mpsc::Receiver<Beginning>,
    ) {
        for source in sources {
            self.learn(source);
        }
        self.tell(Input::Start { list: None });
        let mut refresh = tokio::time::interval(SHOW_EVERY);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.over {
            let due = self.plan.next_deadline().map(|at| self.ground.clock.instant(at));
            let due = due.into_iter().chain(self.resume_at).min();
            let wake = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.ground.stop.cancelled() => break,
                Some(beginning) = beginnings.recv() => self.on_beginning(beginning),
                Some((source, name)) = finds.recv() => self.on_found(source, name),
                Some((source, number, report)) = inbox.recv() => {
                    self.on_report(source, number, report);
                    // What else has come is taken in one go.
                    while let Ok((source, number, report)) = inbox.try_recv() {
                        self.on_report(source, number, report);
                    }
                }
                () = wake => self.on_wake(),
                _ = refresh.tick() => self.refresh(),
            }
        }
        self.stopped.store(true, Ordering::Relaxed);
        self.open.clear();
        self.refresh();
    }

    fn on_wake(&mut self) {
        if self.resume_at.is_some_and(|at| at <= tokio::time::Instant::now()) {
            self.resume_at = None;
            self.tell(Input::Resume);
        }
        self.tell(Input::Wake);
    }

    fn learn(&mut self, source: SourceReport) {
        let id = source.id;
        let known = self.known.entry(id);
        known.and_modify(|known| known.merge(&source)).or_insert(source);
        self.tell(Input::SourceFound { source: id });
    }

    fn on_found(&mut self, source: SourceReport, name: Option<String>) {
        if let Some(name) = name.filter(|_| !self.named) {
            self.named = true;
            self.show.send_modify(|report| report.name = name);
        }
        self.learn(source);
    }

    fn on_report(&mut self, source: ServentId, number: u64, report: Report) {
        if self.open.get(&source).is_none_or(|open| open.number != number) {
            return; // of a connection that the plan has forgotten
        }
        match report {
            Report::Connected { round_trip } => {
                self.tell(Input::Connected { source });
                self.tell(Input::RoundTrip { source, rtt: round_trip });
            }
            Report::Lost(why) => {
                self.open.remove(&source);
                self.tell(Input::Lost { source, why: Loss(why) });
            }
            Report::Manifest { size, part, values } => {
                self.tell(Input::Manifest { source, size, part, values });
            }
            Report::Progress(bytes) => self.tell(Input::Progress { source, bytes }),
            Report::Good(piece) => {
                self.tell(Input::PieceGood { source, piece });
                self.on_room();
            }
            Report::Proven(piece, bytes) => {
                self.kept = Some((piece, bytes));
                self.tell(Input::PieceGood { source, piece });
            }
            Report::Bad(piece) => self.tell(Input::PieceBad { source, piece }),
            Report::Unwritten(piece, error) => {
                self.tell(Input::PieceUnwritten { source, piece });
                self.on_disk_error(&error);
            }
            Report::Queued(position) => self.tell(Input::Queued { source, position }),
            Report::Refused(reason) => self.tell(Input::Refused { source, reason }),
        }
    }

    /// A full disk is waited for, unless the user would not; anything else ends the download
    /// with a sentence.
    fn on_disk_error(&mut self, error: &StoreError) {
        if !error.is_full() || self.once {
            self.fail(error.to_string());
            return;
        }
        if self.resume_at.is_none() {
            let wait = DISK_RETRY.as_secs();
            let why = format!("{error}; trying again every {wait} s");
            self.tell(Input::Pause(PauseReason::Disk(why.clone())));
            self.full = Some(why);
        }
        self.resume_at = Some(tokio::time::Instant::now() + DISK_RETRY);
    }

    /// The disk has taken something.
    fn on_room(&mut self) {
        if self.full.take().is_some() {
            self.on_event(&Event::Unpaused);
        }
    }

    /// Tells the plan one thing and does what it asks.
    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.plan.handle(self.ground.clock.now(), input, &mut out);
        for output in out {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Connect { source } => self.connect(source),
            Output::Disconnect { source, .. } => {
                self.open.remove(&source); // closes its asks, and it ends
            }
            Output::Describe { source, part } => self.ask(source, Ask::Describe(part)),
            Output::Request { source, pieces } => self.ask(source, Ask::Request(pieces)),
            Output::CancelPieces { source, pieces } => self.ask(source, Ask::Cancel(pieces)),
            Output::Candidate { source, list } => self.ask(source, Ask::Candidate(list)),
            Output::Begin { list } => self.begin(list),
            Output::FindSources => self.find_sources(),
            Output::Complete => self.complete(),
            Output::Failed(failure) => {
                let why = match &failure {
                    // Nothing comes next: it is over.
                    Failure::NoSourceLeft(event) => event.trouble(),
                    Failure::NobodyHasIt => None,
                };
                let why = why.unwrap_or_else(|| failure.to_string());
                self.fail(self.with_names(why));
            }
            Output::Event(event) => self.on_event(&event),
        }
    }

    fn ask(&mut self, source: ServentId, ask: Ask) {
        let Some(open) = self.open.get(&source) else { return };
        // A source that has not taken a full queue of wishes will not answer them.
        if open.asks.try_send(ask).is_err() {
            tracing::debug!(%source, "a source does not take what is asked of it");
        }
    }

    fn connect(&mut self, source: ServentId) {
        self.next_connection += 1;
        let number = self.next_connection;
        let (asks, wishes) = mpsc::channel(ASKS);
        self.open.insert(source, Open { number, asks });
        let task = Source {
            ground: Arc::clone(&self.ground),
            file: self.show.borrow().id,
            id: source,
            number,
            shelf: Arc::clone(&self.shelf),
            reports: self.reports.clone(),
        };
        let addresses: Vec<SocketAddr> =
            self.known.get(&source).map(|known| known.addresses.clone()).unwrap_or_default();
        self.ground.spawn(task.run(addresses, wishes));
    }

    /// Opens the part file, and looks at what an earlier run left in it.
    fn begin(&mut self, list: Arc<PieceList>) {
        self.list = Some(Arc::clone(&list));
        let size = list.geometry().size();
        self.show.send_modify(|report| report.size = size);
        let Tools { disk, ground, .. } = self.tools.clone();
        let (folder, kept) = (self.folder.clone(), self.kept.clone());
        let (begun, stopped) = (self.begun.clone(), Arc::clone(&self.stopped));
        let open_already = self.shelf.part().cloned();
        let work = move || {
            let part = match open_already {
                Some(part) => part,
                None => {
                    let downloads = &ground.settings.downloads;
                    let (id, geometry) = (list.id(), list.geometry());
                    Arc::new(PartFile::open(disk, downloads, &folder, id, geometry)?)
                }
            };
            if let Some((piece, bytes)) = kept {
                part.write_piece(piece, &bytes)?;
            }
            let held = part.recover(&list, &stopped, &|_, _| {})?;
            Ok((part, held))
        };
        let list = self.list.clone();
        self.ground.spawn(async move {
            let result = tokio::task::spawn_blocking(work).await;
            if let (Ok(result), Some(list)) = (result, list) {
                let _ = begun.send((list, result)).await;
            }
        });
    }

    fn on_beginning(&mut self, (list, result): Beginning) {
        match result {
            Ok((part, held)) => {
                self.kept = None;
                self.shelf.fill(list, part);
                self.tell(Input::Begun { held });
                self.on_room();
            }
            Err(error) => self.on_disk_error(&error),
        }
    }

    /// Floods a search for this content; whoever has it becomes a source.
    fn find_sources(&self) {
        let (ground, driver) = (Arc::clone(&self.ground), self.tools.driver.clone());
        let (id, found) = (self.show.borrow().id, self.found.clone());
        self.ground.spawn(async move {
            ground.await_finding().await;
            let text = format!("id:{id}");
            let request = SearchRequest { text, reach: Reach::All, enough: ONE_FILE };
            let results = SharedResults::default();
            let Ok(mut events) =
                searching::start(&ground, &driver, &request, results.clone()).await
            else {
                return;
            };
            while let Some(event) = events.recv().await {
                let SearchEvent::Hit(hit) = event else { return };
                let report = results.report_of(id).filter(|_| hit.id == id);
                let Some(report) = report else { continue };
                let source = report.sources.into_iter().find(|source| source.id == hit.servent);
                if let Some(source) = source
                    && found.send((source, Some(hit.name))).await.is_err()
                {
                    return;
                }
            }
        });
    }

    /// All pieces are written: gives the file its name, and shares it.
    fn complete(&mut self) {
        let (Some(part), Some(list)) = (self.shelf.part().cloned(), self.list.clone()) else {
            return;
        };
        self.open.clear();
        let (name, folder) = (self.show.borrow().name.clone(), self.folder.clone());
        let library = self.tools.library.clone();
        let share = self.ground.panel.now().share_downloads;
        let placed = super::offload::offload(|| {
            let path = part.place(&folder, &name)?;
            if share && let Err(error) = library.add_verified(&path, PieceList::clone(&list)) {
                tracing::warn!("a finished download: {error}");
            }
            Ok::<_, StoreError>(path)
        });
        match placed {
            Ok(path) => {
                let size = list.geometry().size();
                self.show.send_modify(|report| {
                    report.verified = size;
                    report.state = DownloadState::Done { path };
                });
                self.over = true;
                self.ground.tell(News::DownloadDone { report: self.report_now() });
            }
            Err(error) => self.fail(format!("all of it is here, but {error}")),
        }
    }

    fn fail(&mut self, why: String) {
        if self.over {
            return;
        }
        self.over = true;
        self.open.clear();
        self.show.send_modify(|report| report.state = DownloadState::Failed { why });
        self.ground.tell(News::DownloadFailed { report: self.report_now() });
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            // Trying a full disk again is no news; that it is full, or has room again, is.
            Event::Paused(PauseReason::Disk(_)) | Event::Unpaused if self.full.is_some() => return,
            Event::Resumed { .. } => self.trouble = None,
            event => self.trouble = event.trouble().or_else(|| self.trouble.take()),
        }
        let text = self.with_names(event.to_string());
        let DownloadReport { number, name, .. } = self.report_now();
        self.ground.tell(News::Download { number, name, text });
    }

    /// Puts what their users call servents beside their short ids.
    fn with_names(&self, mut text: String) -> String {
        for source in self.known.values().filter(|source| !source.name.is_empty()) {
            let short = source.id.short();
            text = text.replace(&short, &format!("{}~{short}", source.name));
        }
        text
    }

    fn report_now(&self) -> DownloadReport {
        self.show.borrow().clone()
    }

    /// Brings the numbers up to date.
    fn refresh(&mut self) {
        if self.over {
            self.show.send_modify(|report| (report.rate, report.connected) = (0, 0));
            return;
        }
        let standing = self.plan.standing(self.ground.clock.now());
        let state = match (&self.full, &standing.waits) {
            (Some(full), _) => DownloadState::Waiting { why: full.clone() },
            (None, Some(next)) => {
                let why = match &self.trouble {
                    Some(trouble) => format!("{trouble}; {}", waiting(next)),
                    None => waiting(next),
                };
                DownloadState::Waiting { why: self.with_names(why) }
            }
            (None, None) => DownloadState::Running,
        };
        self.show.send_if_modified(|report| {
            let before = report.clone();
            report.verified = standing.verified;
            report.rate = standing.rate;
            report.connected = standing.connected;
            report.sources = standing.known;
            report.state = state;
            *report != before
        });
    }
}

fn waiting(next: &Next) -> String {
    match next {
        Next::Others { .. } | Next::Nothing => next.to_string(),
        Next::Redial { .. } | Next::Search { .. } => {
            next.to_string().replace("no source left; ", "")
        }
    }
}
