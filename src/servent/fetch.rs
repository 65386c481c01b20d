//! One download: the task that owns its plan and performs what it asks.
//!
//! `left` finds what earlier runs left of it, `finding` whom it can come from, `part` is its
//! file while it comes, `offering` gives on what is here of it, `end` is how it ends, `show`
//! what its user sees; of a collection `folder` fetches what it lists.

mod end;
mod finding;
mod folder;
mod left;
mod offering;
mod part;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::calling::Approach;
use super::driver::Command;
use super::ground::Ground;
use super::report::{DownloadReport, DownloadState, SourceReport};
use super::searching;
use super::source::{Ask, Report, Shelf, Source};
use super::unfinished::Unfinished;
use crate::base::{ContentId, PieceIndex, ServentId};
use crate::message::Refusal;
use crate::share::Library;
use crate::store::downloads_file::MAX_SOURCES;
use crate::store::{Disk, DownloadRecord, PartPlace, SourceRecord, StoreError};
use crate::transfer::collection::text::Listed;
use crate::transfer::{
    Config, Download, Event, Failure, Input, Loss, Output, Parting, PauseReason, PieceList,
    Priority,
};
pub(super) use finding::Finding;
use folder::large::Within;
use left::Left;
use part::Beginning;

/// Reports of sources that wait for the plan; a full queue slows the sources down.
const REPORTS: usize = 256;
/// Wishes that wait for one source: far more than the plan has open at a time.
const ASKS: usize = 256;
/// Wishes of the user that wait for one download: each waits for its answer.
const WISHES: usize = 16;
/// How soon a full disk is looked at again.
const DISK_RETRY: Duration = Duration::from_secs(5);
/// How often the numbers that people watch are brought up to date while something happens.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// And while it waits and nothing happens: what is shown then counts seconds.
const SHOW_WAITING: Duration = Duration::from_secs(1);

/// What a download is begun with.
pub(super) struct Order {
    pub(super) record: DownloadRecord,
    pub(super) sources: Vec<SourceReport>,
    /// What it is a part of, if nobody is to see it by itself.
    pub(super) within: Option<Within>,
}

/// What every download of a servent uses.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) ground: Arc<Ground>,
    pub(super) driver: mpsc::Sender<Command>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) library: Library,
    /// How many neighbours there are.
    pub(super) degree: watch::Receiver<usize>,
    pub(super) unfinished: Arc<Unfinished>,
}

/// What its user wants of a download that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    Pause,
    Resume,
    Cancel,
    Priority(Priority),
}

/// A download that was started: what it shows, and where to send wishes.
#[derive(Clone)]
pub(super) struct Started {
    pub(super) report: watch::Receiver<DownloadReport>,
    pub(super) wishes: mpsc::Sender<Wish>,
    /// Where its file goes, and its part lies.
    pub(super) place: PartPlace,
}

/// Starts a download; its report changes as it goes on.
pub(super) fn start(tools: Tools, order: Order) -> Started {
    let Order { record, sources, within } = order;
    let DownloadRecord { number, id, priority, .. } = record;
    let report = DownloadReport {
        number,
        id,
        name: record.name.clone().unwrap_or_else(|| id.to_string()),
        // Of a folder what is in it, not its list.
        size: record.collection.map_or(record.size, |(_, bytes)| bytes),
        verified: 0,
        rate: 0,
        connected: 0,
        sources: sources.len(),
        priority,
        gathered: None,
        state: if record.paused { DownloadState::Paused } else { DownloadState::Running },
        from: Vec::new(),
    };
    let (show, shown) = watch::channel(report);
    let (reports, told) = mpsc::channel(REPORTS);
    let (found, finds) = mpsc::channel(REPORTS);
    let (begun, beginnings) = mpsc::channel(1);
    let (checked, checks) = mpsc::channel(1);
    let (wishes, wanted) = mpsc::channel(WISHES);
    let ground = Arc::clone(&tools.ground);
    let place = within.as_ref().map_or_else(|| place(&ground, &record), |w| w.place.clone());
    ground.download.set_priority(number, priority);
    ground.finding.set_priority(number, priority);
    let fetch = Fetch {
        plan: plan(&ground, id, record.once),
        ground: Arc::clone(&ground),
        number,
        known: BTreeMap::new(),
        gave: record.sources.iter().filter(|from| from.gave).map(|from| from.id).collect(),
        open: BTreeMap::new(),
        leaving: BTreeMap::new(),
        next_connection: 0,
        shelf: Arc::default(),
        kept: None,
        list: None,
        beginning: false,
        distrusted: false,
        checking: false,
        complete: false,
        offered: false,
        resume_at: None,
        stopped: Arc::new(AtomicBool::new(false)),
        place: place.clone(),
        named: record.name.is_some(),
        once: record.once,
        collected: record.collection,
        placing: record.placing,
        listed: None,
        within,
        again: false,
        paused: record.paused,
        cancelled: false,
        news_for_the_record: false,
        trouble: None,
        full: None,
        reports,
        found,
        finding: Arc::new(Semaphore::new(1)),
        begun,
        checked,
        show,
        shown_at: Instant::now(),
        quiet: false,
        over: false,
        tools,
    };
    let inbox = Inbox { told, finds, beginnings, checks, wanted };
    ground.spawn_download(fetch.run(record, sources, inbox));
    Started { report: shown, wishes, place }
}

/// Where the file of a download goes, and its part lies.
pub(super) fn place(ground: &Ground, record: &DownloadRecord) -> PartPlace {
    let downloads = ground.settings.downloads.clone();
    PartPlace { downloads, to: record.folder.clone(), recorded: record.parts.clone() }
}

/// Waits until then; without end, when there is no such time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn plan(ground: &Ground, id: ContentId, once: bool) -> Download {
    // The choice of pieces need not be secret, only different everywhere.
    let seed = searching::random().unwrap_or(id.0);
    Download::new(id, Config { me: ground.id, once }, ChaCha12Rng::from_seed(seed))
}

type Reports = (ServentId, u64, Report);

/// Where everything comes in.
struct Inbox {
    told: mpsc::Receiver<Reports>,
    finds: mpsc::Receiver<Finding>,
    beginnings: mpsc::Receiver<Beginning>,
    checks: mpsc::Receiver<Result<bool, StoreError>>,
    wanted: mpsc::Receiver<Wish>,
}

struct Open {
    number: u64,
    asks: mpsc::Sender<Ask>,
    /// Where we see it, once it is connected.
    seen: Option<SocketAddr>,
    /// Whether we have dialled it there.
    dialled: bool,
    /// How to come to it, as far as is known by now.
    approach: watch::Sender<Approach>,
    /// Ends the connection, whatever it waits for.
    _closing: DropGuard,
}

struct Fetch {
    tools: Tools,
    ground: Arc<Ground>,
    number: usize,
    plan: Download,
    /// How to reach whom the plan knows, and who is owed thanks.
    known: BTreeMap<ServentId, SourceReport>,
    /// From whom pieces came.
    gave: BTreeSet<ServentId>,
    open: BTreeMap<ServentId, Open>,
    /// Connections that are open only for thanks.
    leaving: BTreeMap<ServentId, Open>,
    next_connection: u64,
    shelf: Arc<Shelf>,
    /// The piece that bound the size, until there is a file to write it to.
    kept: Option<(PieceIndex, Vec<u8>)>,
    list: Option<Arc<PieceList>>,
    /// Whether the part file is being opened.
    beginning: bool,
    /// Whether an earlier run's word on the part was wrong.
    distrusted: bool,
    /// Whether an earlier run's word on the part is being checked.
    checking: bool,
    /// Whether all pieces are here, as far as is known.
    complete: bool,
    /// Whether what is here is given on.
    offered: bool,
    resume_at: Option<Instant>,
    /// Ends work on the disk that nobody waits for any more.
    stopped: Arc<AtomicBool>,
    place: PartPlace,
    named: bool,
    /// Whether it fails rather than waits.
    once: bool,
    /// How many files, and bytes in them, it is said to list, if it is said to be a
    /// collection.
    collected: Option<(u64, u64)>,
    /// Whether the run before was about to place the folder that it lists.
    placing: bool,
    /// What it lists, once its text is here.
    listed: Option<Vec<Listed>>,
    within: Option<Within>,
    /// Whether, when it fails, it may do better another time.
    again: bool,
    /// Whether its user has paused it.
    paused: bool,
    cancelled: bool,
    /// Whether the record in the state folder is behind.
    news_for_the_record: bool,
    /// What a source did last, while nothing has come since.
    trouble: Option<String>,
    /// While the disk is full: a sentence about it.
    full: Option<String>,
    reports: mpsc::Sender<Reports>,
    found: mpsc::Sender<Finding>,
    /// Held by the search for sources that waits or runs.
    finding: Arc<Semaphore>,
    begun: mpsc::Sender<Beginning>,
    checked: mpsc::Sender<Result<bool, StoreError>>,
    show: watch::Sender<DownloadReport>,
    /// When what people watch was last brought up to date.
    shown_at: Instant,
    /// Whether nothing has happened since.
    quiet: bool,
    over: bool,
}

impl Fetch {
    async fn run(mut self, record: DownloadRecord, sources: Vec<SourceReport>, mut inbox: Inbox) {
        let left = tokio::select! {
            biased;
            () = self.ground.stop.cancelled() => {
                self.stopped.store(true, Ordering::Relaxed);
                return;
            }
            left = left::look(&self.tools, record, &self.place, &self.stopped) => left,
        };
        match left {
            Left::Placed(path, list) => self.placed_before(&path, list, sources),
            Left::List(list) => self.start(sources, Some(Arc::new(list))),
            Left::NoFolder => {
                self.wait_for_folder();
                self.start(sources, None);
            }
            Left::Nothing => self.start(sources, None),
        }
        while !self.over && self.listed.is_none() {
            let due = self.plan.next_deadline().map(|at| self.ground.clock.instant(at));
            let wake = at(due.into_iter().chain(self.resume_at).min());
            let show = at(self.next_refresh());
            tokio::select! {
                biased;
                () = self.ground.stop.cancelled() => break,
                Some(wish) = inbox.wanted.recv() => self.on_wish(wish),
                Some(beginning) = inbox.beginnings.recv() => self.on_beginning(beginning),
                Some(checked) = inbox.checks.recv() => self.on_checked(checked),
                Some(finding) = inbox.finds.recv() => self.on_finding(finding),
                Some((source, number, report)) = inbox.told.recv() => {
                    self.on_report(source, number, report);
                    // What else has come is taken in one go.
                    while let Ok((source, number, report)) = inbox.told.try_recv() {
                        self.on_report(source, number, report);
                    }
                }
                () = wake => self.on_wake(),
                () = show => {
                    self.refresh();
                    continue;
                }
            }
            self.quiet = false;
        }
        if let Some(listed) = self.listed.take() {
            self.gather(listed, &mut inbox).await;
        }
        self.stopped.store(true, Ordering::Relaxed);
        self.end_offer();
        self.open.clear();
        if !self.over {
            self.keep();
        }
        self.ground.download.forget(self.number);
        self.ground.finding.forget(self.number);
        self.refresh();
    }

    fn start(&mut self, sources: Vec<SourceReport>, list: Option<Arc<PieceList>>) {
        if self.paused {
            self.tell(Input::Pause(PauseReason::User));
        }
        for source in sources {
            self.learn(source);
        }
        self.tell(Input::Start { list });
    }

    /// Begins anew, with nothing believed that an earlier run has said.
    fn start_over(&mut self) {
        self.end_offer();
        self.open.clear();
        self.leaving.clear();
        self.distrusted = true;
        self.complete = false;
        self.plan = plan(&self.ground, self.show.borrow().id, self.once);
        let sources = std::mem::take(&mut self.known).into_values().collect();
        self.start(sources, self.list.clone());
    }

    fn on_wish(&mut self, wish: Wish) {
        match wish {
            Wish::Pause if !self.paused => {
                self.paused = true;
                self.resume_at = None;
                self.full = None;
                self.trouble = None;
                self.end_offer();
                self.tell(Input::Pause(PauseReason::User));
            }
            Wish::Resume if self.paused => {
                self.paused = false;
                self.offer_again();
                self.go_on();
            }
            Wish::Pause | Wish::Resume => {}
            Wish::Cancel => self.cancel(),
            Wish::Priority(priority) => {
                self.ground.download.set_priority(self.number, priority);
                self.ground.finding.set_priority(self.number, priority);
                self.show.send_modify(|report| report.priority = priority);
            }
        }
        self.refresh();
    }

    fn on_wake(&mut self) {
        if self.resume_at.is_some_and(|at| at <= Instant::now()) {
            self.resume_at = None;
            if self.has_room() {
                self.go_on();
            }
        }
        self.tell(Input::Wake);
    }

    /// After a pause, or a wait for the disk. Of what is complete the plan is over, and what
    /// is left is to place it.
    fn go_on(&mut self) {
        match self.complete {
            true => self.finish(),
            false => self.tell(Input::Resume),
        }
    }

    fn on_good(&mut self, source: ServentId, piece: PieceIndex) {
        let first = self.gave.insert(source);
        self.news_for_the_record |= first;
        // Before the plan hears of it: with its last piece it ends.
        self.offer_piece(source, piece, first);
        self.tell(Input::PieceGood { source, piece });
        self.offer_again();
    }

    /// Brings the record of this download up to date; its file follows.
    fn remember(&mut self) {
        self.news_for_the_record = false;
        let report = self.show.borrow().clone();
        let parts = self.shelf.part().map(|part| part.parts().to_path_buf());
        // Those first who are owed thanks.
        let (gave, others): (Vec<_>, Vec<_>) =
            self.known.values().partition(|source| self.gave.contains(&source.id));
        let sources = gave.into_iter().chain(others).take(MAX_SOURCES).map(|source| SourceRecord {
            id: source.id,
            name: source.name.clone(),
            addresses: source.addresses.clone(),
            gave: self.gave.contains(&source.id),
        });
        let (sources, named, collected) = (sources.collect(), self.named, self.collected);
        self.tools.unfinished.change(self.number, |record| {
            record.name = named.then_some(report.name);
            record.size = report.size;
            record.collection = collected;
            record.begun |= parts.is_some();
            record.parts = parts.or_else(|| record.parts.take());
            record.sources = sources;
        });
    }

    fn on_report(&mut self, source: ServentId, number: u64, report: Report) {
        if self.open.get(&source).is_none_or(|open| open.number != number) {
            return; // of a connection that the plan has forgotten
        }
        match report {
            Report::Connected { round_trip, seen, dialled } => {
                if let Some(open) = self.open.get_mut(&source) {
                    (open.seen, open.dialled) = (Some(seen), dialled);
                }
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
            Report::Throttled => self.tell(Input::Throttled { source }),
            Report::Good(piece) => {
                self.on_good(source, piece);
                self.on_room();
            }
            Report::Proven(piece, bytes) => {
                self.kept = Some((piece, bytes));
                self.on_good(source, piece);
            }
            Report::Bad(piece) => self.tell(Input::PieceBad { source, piece }),
            Report::Unwritten(piece, error) => {
                self.tell(Input::PieceUnwritten { source, piece });
                self.on_disk_error(&error);
            }
            Report::Queued(position) => self.tell(Input::Queued { source, position }),
            Report::Refused(reason) => self.tell(Input::Refused { source, reason }),
            Report::Has(pieces) => self.tell(Input::Has { source, pieces }),
            Report::Given(pieces) => self.tell(Input::Given { source, pieces }),
            Report::Sources(contacts) => self.on_told(source, contacts),
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
            Output::Disconnect { source, why: Parting::Done } => {
                // Until the file is in place: then there is something to say.
                self.leaving.extend(self.open.remove(&source).map(|open| (source, open)));
            }
            Output::Disconnect { source, why } => {
                self.open.remove(&source); // closes its asks, and it ends
                if matches!(why, Parting::Lied | Parting::Refused) {
                    self.ground.swarms.lost(self.show.borrow().id, source);
                }
            }
            Output::Describe { source, part } => self.ask(source, Ask::Describe(part)),
            Output::Request { source, pieces } => self.ask(source, Ask::Request(pieces)),
            Output::CancelPieces { source, pieces } => self.ask(source, Ask::Cancel(pieces)),
            Output::Candidate { source, list } => self.ask(source, Ask::Candidate(list)),
            Output::Begin { list } => self.begin(list),
            Output::FindSources => self.find_sources(),
            Output::Complete => {
                self.complete = true;
                self.finish();
            }
            Output::Failed(failure) => {
                let (why, source) = match &failure {
                    // Nothing comes next: it is over.
                    Failure::NoSourceLeft(event) => (event.trouble(), event.source()),
                    Failure::NobodyHasIt => (None, None),
                };
                // What a source refuses for good it refuses the next time, too.
                self.again = !matches!(&failure, Failure::NoSourceLeft(Event::Refused { reason, .. })
                    if *reason != Refusal::Busy);
                let why = why.unwrap_or_else(|| failure.to_string());
                self.fail(self.with_names(&why, source));
            }
            // Whoever wished so knows it; a full disk is told of by itself.
            Output::Event(Event::Paused(PauseReason::User) | Event::Unpaused) => {}
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
        let closing = CancellationToken::new();
        let closed = closing.clone();
        let (approach, approaching) = watch::channel(self.approach(source));
        let (seen, dialled, _closing) = (None, false, closing.drop_guard());
        let open = Open { number, asks, seen, dialled, approach, _closing };
        self.open.insert(source, open);
        let task = Source {
            ground: Arc::clone(&self.ground),
            download: self.number,
            closed,
            file: self.show.borrow().id,
            id: source,
            number,
            shelf: Arc::clone(&self.shelf),
            reports: self.reports.clone(),
            driver: self.tools.driver.clone(),
        };
        self.ground.spawn(task.run(approaching, wishes));
    }
}
