//! The swarm of each file that is taken from here: what its takers are told, and which pieces
//! of running downloads can be given on.
//!
//! Always true:
//! - of a running download only verified pieces that are written are given, each proven again
//!   before it is sent, and none before the last piece, which binds the size, is here;
//! - its part belongs to the download: nobody here keeps it open once that has ended;
//! - a swarm is forgotten when nobody takes the file and it is not being downloaded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, mpsc};

use super::fetch::Finding;
use super::report::SourceReport;
use crate::base::{ContentId, Geometry, PieceIndex, PieceMap, ServentId};
use crate::message::{PieceRange, Refusal};
use crate::store::PartFile;
use crate::transfer::{PieceList, Telling, Word};

/// Pieces of one request that are looked at one by one: 16 times what anybody asks for ahead.
/// Of more others are not told, and of a running download they are not here.
const MAX_NOTED: usize = 4096;

/// All swarms, by file.
#[derive(Default)]
pub(super) struct Swarms(Mutex<BTreeMap<ContentId, Swarm>>);

struct Swarm {
    cut: Geometry,
    telling: Telling<u64>,
    /// Wake the connections of the takers when there is something to tell.
    bells: BTreeMap<u64, Arc<Notify>>,
    running: Option<Running>,
}

/// A download that runs here, as those see it who take from it.
#[derive(Clone)]
pub(super) struct Running {
    list: Arc<PieceList>,
    part: Weak<PartFile>,
    name: String,
    ended: Arc<AtomicBool>,
    /// Where the download hears of sources.
    found: mpsc::Sender<Finding>,
}

impl Running {
    pub(super) fn new(
        list: Arc<PieceList>,
        part: &Arc<PartFile>,
        name: String,
        found: mpsc::Sender<Finding>,
    ) -> Self {
        Self { list, part: Arc::downgrade(part), name, ended: Arc::default(), found }
    }

    pub(super) fn list(&self) -> &Arc<PieceList> {
        &self.list
    }

    /// What the file will be called, as far as is known.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it runs no more; what it had may be published by now.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Reads a piece that is here, and proves it; blocks.
    pub(super) fn read_piece(&self, piece: PieceIndex, into: &mut Vec<u8>) -> Result<(), Refusal> {
        let part = self.part.upgrade().ok_or(Refusal::NotHere)?;
        if let Err(error) = part.read_piece(piece, into) {
            tracing::warn!(%error, "a piece of a running download cannot be given on");
            return Err(Refusal::Unreadable);
        }
        if !self.list.proves(piece, into) {
            tracing::warn!(%piece, id = %self.list.id(), "somebody else writes to a download");
            into.clear();
            return Err(Refusal::Changed);
        }
        Ok(())
    }
}

impl Swarm {
    fn ring(&self, but: Option<u64>) {
        let others = self.bells.iter().filter(|(taker, _)| Some(**taker) != but);
        others.for_each(|(_, bell)| bell.notify_one());
    }

    fn is_over(&self) -> bool {
        self.running.is_none() && self.telling.is_idle()
    }
}

impl Swarms {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContentId, Swarm>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: ContentId, change: impl FnOnce(&mut Swarm) -> T) -> Option<T> {
        let mut swarms = self.lock();
        let swarm = swarms.get_mut(&id)?;
        let result = change(swarm);
        if swarm.is_over() {
            swarms.remove(&id);
        }
        Some(result)
    }

    /// From now on the pieces of a download are given on; these are here.
    pub(super) fn begin(&self, running: Running, held: PieceMap) {
        let mut swarms = self.lock();
        let fresh = || Swarm {
            cut: running.list.geometry(),
            telling: Telling::partial(PieceMap::new(held.len())),
            bells: BTreeMap::new(),
            running: None,
        };
        let swarm = swarms.entry(running.list.id()).or_insert_with(fresh);
        swarm.telling.restart(held);
        swarm.running = Some(running);
        swarm.ring(None);
    }

    /// A piece of a running download was verified and written.
    pub(super) fn gained(&self, id: ContentId, piece: PieceIndex) {
        self.with(id, |swarm| {
            if swarm.telling.gained(piece) {
                swarm.ring(None);
            }
        });
    }

    /// The download has ended: nothing more is given of its part.
    pub(super) fn end(&self, id: ContentId) {
        self.with(id, |swarm| {
            if let Some(running) = swarm.running.take() {
                running.ended.store(true, Ordering::Release);
                swarm.ring(None);
            }
        });
    }

    /// The download of `id` that runs here, if its pieces can be given on.
    pub(super) fn running(&self, id: ContentId) -> Option<Running> {
        self.lock().get(&id)?.running.clone()
    }

    /// Whether all `pieces` of a running download are here.
    pub(super) fn has(&self, id: ContentId, mut pieces: impl Iterator<Item = PieceIndex>) -> bool {
        self.lock().get(&id).is_some_and(|swarm| {
            let here = pieces.by_ref().take(MAX_NOTED).all(|piece| swarm.telling.has(piece));
            here && pieces.next().is_none()
        })
    }

    /// The connection `taker`, of the servent `who`, takes a file that is cut like this.
    pub(super) fn enter(
        &self,
        id: ContentId,
        cut: Geometry,
        taker: u64,
        who: ServentId,
        bell: &Arc<Notify>,
    ) {
        let mut swarms = self.lock();
        let fresh = || Swarm {
            cut,
            telling: Telling::whole(cut.count()),
            bells: BTreeMap::new(),
            running: None,
        };
        let swarm = swarms.entry(id).or_insert_with(fresh);
        // Who came while it was being downloaded hears that all of it is here now.
        if swarm.running.is_none() && swarm.telling.complete(cut) {
            swarm.ring(None);
        }
        swarm.telling.join(taker, who);
        swarm.bells.insert(taker, Arc::clone(bell));
    }

    pub(super) fn leave(&self, id: ContentId, taker: u64) {
        self.with(id, |swarm| {
            swarm.bells.remove(&taker);
            swarm.telling.leave(taker);
        });
    }

    /// `taker` has asked for pieces; what is not of the file, or not taken by it, says nothing.
    pub(super) fn asked(&self, id: ContentId, taker: u64, ranges: &[PieceRange]) {
        self.with(id, |swarm| {
            let cut = swarm.cut;
            if swarm.telling.asked(taker, pieces_of(cut, ranges).take(MAX_NOTED)) {
                swarm.ring(Some(taker));
            }
        });
    }

    /// `who` has pieces, and was seen where it can be dialled. Others are told, and if the
    /// file is being downloaded here, that download is.
    pub(super) fn met(&self, id: ContentId, who: ServentId, name: &str, at: SocketAddr) {
        let found = self.with(id, |swarm| {
            if !swarm.telling.met(who, at) {
                return None;
            }
            swarm.ring(None);
            swarm.running.as_ref().map(|running| running.found.clone())
        });
        if let Some(found) = found.flatten() {
            let source = SourceReport {
                id: who,
                name: name.to_owned(),
                addresses: vec![at],
                hops: None,
                calls_back: false,
                way: None,
            };
            let _ = found.try_send(Finding::Source(source, None, None)); // it hears enough already
        }
    }

    /// `who` is no source any more.
    pub(super) fn lost(&self, id: ContentId, who: ServentId) {
        self.with(id, |swarm| swarm.telling.lost(who));
    }

    /// What is to be told to `taker` now.
    pub(super) fn words(&self, id: ContentId, taker: u64) -> Vec<Word> {
        self.with(id, |swarm| swarm.telling.words(taker)).unwrap_or_default()
    }
}

/// The pieces of `ranges`, as far as the file has them.
pub(super) fn pieces_of(
    cut: Geometry,
    ranges: &[PieceRange],
) -> impl Iterator<Item = PieceIndex> + '_ {
    ranges.iter().flat_map(move |range| {
        let end = range.first.saturating_add(range.count).min(cut.count());
        (range.first.min(end)..end).filter_map(move |number| cut.piece(number))
    })
}
