//! The larger files of a collection: each is a download of its own, which nobody sees.
//!
//! Always true: at most [`MAX_LARGE`] run at a time; one that loses its sources is tried
//! again, one that all of them refuse is not.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::super::{Order, Started, Tools, Wish, start};
use crate::base::ContentId;
use crate::servent::report::SourceReport;
use crate::store::{DownloadRecord, PartPlace};
use crate::transfer::collection::Number;
use crate::transfer::{PieceList, Priority};

/// Larger files that are fetched at the same time: each asks all sources, so that more
/// would only share them out.
const MAX_LARGE: usize = 2;
/// How long before one that lost its sources is tried again; doubled up to the longest.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_AGAIN: Duration = Duration::from_secs(30);
/// How long those that are given up have to remove what is here of them.
const FAREWELL: Duration = Duration::from_secs(2);

/// How one ended.
pub(in crate::servent::fetch) enum End {
    Placed(PieceList),
    Failed {
        /// A sentence.
        why: String,
        /// Whether it may do better another time.
        again: bool,
    },
}

/// What a download is a part of, and what it tells when it ends.
pub(in crate::servent) struct Within {
    pub(in crate::servent::fetch) place: PartPlace,
    number: Number,
    ended: mpsc::Sender<(Number, End)>,
}

impl Within {
    /// Tells the end; it is told once, and there is room for one of each that runs.
    pub(in crate::servent::fetch) fn tell(&self, end: End) {
        let _ = self.ended.try_send((self.number, end));
    }
}

struct Running {
    started: Started,
    size: u64,
}

/// The larger files of one collection.
pub(super) struct Large {
    waiting: VecDeque<(Number, u64)>,
    running: BTreeMap<Number, Running>,
    /// What is tried again: its size, and when.
    later: BTreeMap<Number, (u64, Instant)>,
    tries: BTreeMap<Number, u32>,
    failed: BTreeMap<Number, String>,
    ended: mpsc::Sender<(Number, End)>,
    paused: bool,
    /// Numbers that no download of the user has.
    next: usize,
}

impl Large {
    pub(super) fn new() -> (Self, mpsc::Receiver<(Number, End)>) {
        let (ended, told) = mpsc::channel(MAX_LARGE);
        let large = Self {
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            later: BTreeMap::new(),
            tries: BTreeMap::new(),
            failed: BTreeMap::new(),
            ended,
            paused: false,
            next: 0,
        };
        (large, told)
    }

    pub(super) fn add(&mut self, large: Vec<(Number, u64)>) {
        self.waiting.extend(large);
    }

    /// Whether nothing is left to come.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.later.is_empty()
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether all that is left was put off.
    pub(super) fn waits(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && !self.later.is_empty()
    }

    /// Those that nobody gives, with the reason.
    pub(super) fn failed(&self) -> &BTreeMap<Number, String> {
        &self.failed
    }

    /// Bytes of those that are to come, as they were named.
    pub(super) fn size(&self) -> u64 {
        let running = self.running.values().map(|running| running.size);
        let later = self.later.values().map(|(size, _)| *size);
        let waiting = self.waiting.iter().map(|(_, size)| *size);
        running.chain(later).chain(waiting).fold(0, u64::saturating_add)
    }

    /// Bytes that are here of those that run, and how many come a second.
    pub(super) fn progress(&self) -> (u64, u64) {
        self.running.values().fold((0, 0), |(bytes, rate), running| {
            let report = running.started.report.borrow();
            (bytes.saturating_add(report.verified), rate.saturating_add(report.rate))
        })
    }

    /// How many sources give one of them.
    pub(super) fn connected(&self) -> usize {
        let connected = |running: &Running| running.started.report.borrow().connected;
        self.running.values().map(connected).max().unwrap_or(0)
    }

    /// Whether another one may begin; which.
    pub(super) fn next(&mut self) -> Option<(Number, u64)> {
        let now = Instant::now();
        let due = self.later.iter().find(|(_, (_, at))| *at <= now);
        if let Some((number, size)) = due.map(|(number, (size, _))| (*number, *size)) {
            self.later.remove(&number);
            self.waiting.push_back((number, size));
        }
        let free = self.running.len() < MAX_LARGE && !self.paused;
        if free { self.waiting.pop_front() } else { None }
    }

    /// Begins to fetch `id` to `path` below `folder`.
    pub(super) fn start(
        &mut self,
        tools: &Tools,
        (number, size): (Number, u64),
        (id, folder, path): (ContentId, &Path, &str),
        sources: Vec<SourceReport>,
        priority: Priority,
    ) {
        let file = folder.join(path);
        let to = file.parent().unwrap_or(folder).to_path_buf();
        let place = PartPlace { downloads: folder.to_path_buf(), to: to.clone(), recorded: None };
        self.next += 1;
        let record = DownloadRecord {
            number: usize::MAX - self.next,
            id,
            name: file.file_name().map(|name| name.to_string_lossy().into_owned()),
            size,
            begun: false,
            folder: to,
            parts: None,
            once: true,
            paused: false,
            failed: None,
            priority,
            collection: None,
            placing: false,
            sources: Vec::new(),
        };
        let within = Some(Within { place, number, ended: self.ended.clone() });
        let started = start(tools.clone(), Order { record, sources, within });
        self.running.insert(number, Running { started, size });
    }

    /// One has ended; its list, if it is in place. With `once` nothing is tried again.
    pub(super) fn ended(&mut self, number: Number, end: End, once: bool) -> Option<PieceList> {
        let size = self.running.remove(&number).map_or(0, |running| running.size);
        match end {
            End::Placed(list) => Some(list),
            End::Failed { again: true, .. } if !once => {
                let tries = self.tries.entry(number).or_default();
                let wait = AGAIN.saturating_mul(1 << (*tries).min(5)).min(LONGEST_AGAIN);
                *tries = tries.saturating_add(1);
                self.later.insert(number, (size, Instant::now() + wait));
                None
            }
            End::Failed { why, .. } => {
                self.failed.insert(number, why);
                None
            }
        }
    }

    /// It has come another way.
    pub(super) fn give_up(&mut self, number: Number) {
        self.waiting.retain(|(other, _)| *other != number);
        self.later.remove(&number);
        if let Some(running) = self.running.remove(&number) {
            let _ = running.started.wishes.try_send(Wish::Cancel); // or it is over
        }
    }

    /// Lets all stand still, or go on.
    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        let wish = if paused { Wish::Pause } else { Wish::Resume };
        for running in self.running.values() {
            let _ = running.started.wishes.try_send(wish); // one that is over wants nothing
        }
    }

    /// Gives all up, and waits until they have removed what is here of them.
    pub(super) async fn cancel(&mut self) {
        let running = std::mem::take(&mut self.running);
        let all = async {
            for mut running in running.into_values() {
                let _ = running.started.wishes.send(Wish::Cancel).await;
                let _ = running.started.report.wait_for(|report| report.state.is_over()).await;
            }
        };
        let _ = timeout(FAREWELL, all).await;
    }
}
