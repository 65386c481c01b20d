//! Connections to sources that nobody uses for a moment, for the next who wants one there.
//!
//! Always true: at most [`MAX_KEPT`] are kept, each for [`KEEP`] at the most and only while
//! nothing is on its way over it; one that has said anything of weight since, or was closed, or is of
//! another mesh, is given to nobody. Who wants a connection and finds none here dials.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::admission::Pass;
use super::calling::Reached;
use super::frames::FrameReader;
use super::greeting::{Greeted, Secured};
use super::ground::Ground;
use super::mesh::Mesh;
use super::reactors;
use crate::base::{ContentId, ServentId};
use crate::message::TransferMessage;

/// Connections that are kept: some for each of a few sources.
const MAX_KEPT: usize = 16;
/// How long one is kept: the next file of a folder is asked for well within it, and nobody
/// holds places of others for longer than it takes to type a line.
const KEEP: Duration = Duration::from_secs(3);
/// Messages about a file that come when it is here already, and are passed over: what
/// accumulates in the time of [`KEEP`] while a crowd takes the same.
pub(super) const LATE_NEWS: usize = 64;
/// A closing connection says farewell within this time.
const FAREWELL: Duration = Duration::from_secs(1);

/// Files taken over one connection that are remembered: of as many a source tells at once.
const MAX_TAKEN: usize = 8;

/// A connection with a source, greeted and welcomed.
pub(super) struct Line {
    pub(super) reader: FrameReader<Secured, TransferMessage>,
    pub(super) mesh: Arc<Mesh>,
    /// Where we see it.
    pub(super) seen: SocketAddr,
    /// Its place among those that came in, if it came in.
    pub(super) pass: Option<Pass>,
    /// The reactor that hears of its packets; none when it came in, or nothing runs on any.
    pub(super) reactor: Option<usize>,
    /// What was taken over it: the source may go on telling who else has that.
    pub(super) taken: Vec<ContentId>,
}

impl From<Reached> for Line {
    fn from(Reached { greeted, pass }: Reached) -> Self {
        let Greeted { stream, ahead, mesh, peer, .. } = greeted;
        let reactor = if pass.is_none() { reactors::here() } else { None };
        Self {
            reactor,
            reader: FrameReader::resume(stream, ahead),
            mesh,
            seen: peer.seen,
            pass,
            taken: vec![],
        }
    }
}

impl Line {
    /// Notes that `file` was taken over it.
    pub(super) fn note_taken(&mut self, file: ContentId) {
        self.taken.retain(|&other| other != file);
        if self.taken.len() >= MAX_TAKEN {
            self.taken.remove(0);
        }
        self.taken.push(file);
    }

    /// Closes it.
    pub(super) async fn close(mut self) {
        let _ = timeout(FAREWELL, self.reader.io_mut().shutdown()).await;
    }

    /// Whether the other side has said no more than who else has what it gave, and has not
    /// closed it.
    fn is_quiet(&mut self) -> bool {
        if self.mesh.left.is_cancelled() {
            return false;
        }
        for _ in 0..=LATE_NEWS {
            match self.reader.next().now_or_never() {
                None => return true,
                Some(Ok(Some(TransferMessage::Have(_) | TransferMessage::Sources(_)))) => {}
                Some(_) => return false,
            }
        }
        false
    }
}

struct Kept {
    source: ServentId,
    until: Instant,
    line: Line,
}

/// The connections that are kept, the oldest first.
#[derive(Default)]
pub(super) struct Pool(Mutex<VecDeque<Kept>>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to `source`, if one is kept that is still good, and not of another reactor,
    /// which may be held up.
    pub(super) fn take(&self, source: ServentId) -> Option<Line> {
        loop {
            let mut line = {
                let mut kept = self.lock();
                let here = |line: &Line| line.reactor.is_none() || line.reactor == reactors::here();
                let at = kept.iter().rposition(|kept| kept.source == source && here(&kept.line))?;
                kept.remove(at)?.line
            };
            if line.is_quiet() {
                return Some(line);
            }
        }
    }

    /// Those whose time is over.
    fn take_old(&self) -> Vec<Line> {
        let (mut kept, now) = (self.lock(), Instant::now());
        let old = kept.iter().take_while(|kept| kept.until <= now).count();
        kept.drain(..old).map(|kept| kept.line).collect()
    }
}

/// Keeps a connection to `source` over which nothing is on its way, and closes it when
/// nobody wants it.
pub(super) async fn keep(ground: &Arc<Ground>, source: ServentId, line: Line) {
    if ground.stop.is_cancelled() {
        return line.close().await;
    }
    let until = Instant::now() + KEEP;
    let surplus = {
        let mut kept = ground.pool.lock();
        kept.push_back(Kept { source, until, line });
        if kept.len() > MAX_KEPT { kept.pop_front() } else { None }
    };
    let spawned = Arc::clone(ground);
    ground.spawn(async move {
        if let Some(surplus) = surplus {
            surplus.line.close().await;
        }
        let _ = spawned.stop.run_until_cancelled(tokio::time::sleep_until(until)).await;
        let stopping = spawned.stop.is_cancelled();
        let old = match stopping {
            true => std::mem::take(&mut *spawned.pool.lock()).into_iter().map(|k| k.line).collect(),
            false => spawned.pool.take_old(),
        };
        for line in old {
            line.close().await;
        }
    });
}
