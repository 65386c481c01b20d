//! A running servent, as its user's side holds it.
//!
//! What it can be asked stands with what answers: `start`, `join`, `searching`,
//! `publishing`, `downloads`, `set`, `status`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::browsing::Browsing;
use super::crawl::Atlas;
use super::downloads::Downloads;
use super::driver::Command;
use super::fetch::Tools;
use super::ground::Ground;
use super::join::JoinError;
use super::remembered::Remembered;
use super::report::{News, PeerReport};
use super::searching::SharedResults;
use super::slots::Uploads;
use super::wanted::Wanted;
use super::watching::Watching;
use crate::base::ServentId;
use crate::share::Library;
use crate::store::StateDir;

/// How long a stopping servent waits for its farewells.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A running servent; clones are the same one.
#[derive(Clone)]
pub struct Servent(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) ground: Arc<Ground>,
    pub(super) driver: mpsc::Sender<Command>,
    pub(super) degree: watch::Receiver<usize>,
    pub(super) library: Library,
    pub(super) uploads: Arc<Uploads>,
    pub(super) downloads: Downloads,
    pub(super) results: Mutex<SharedResults>,
    /// Whose library was looked through last, and how far.
    pub(super) browsing: Mutex<Option<Browsing>>,
    pub(super) tools: Tools,
    pub(super) atlas: Mutex<Atlas>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) watching: Arc<Watching>,
    pub(super) remembered: Mutex<Remembered>,
    /// Holds the lock on the state folder; none for a servent that leaves nothing behind.
    pub(super) state: Option<Arc<StateDir>>,
}

impl Servent {
    /// Who it is.
    #[must_use]
    pub fn id(&self) -> ServentId {
        self.0.ground.id
    }

    /// Whether what it is and does outlives the process: it is not ephemeral.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.state.is_some()
    }

    /// Where it listens.
    #[must_use]
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.0.ground.listening()
    }

    /// The neighbours.
    pub async fn peers(&self) -> Vec<PeerReport> {
        self.ask(Command::Peers).await.unwrap_or_default()
    }

    /// Servents that are known to have been there a moment ago, beside the neighbours.
    pub async fn known(&self) -> Vec<PeerReport> {
        self.ask(Command::Known).await.unwrap_or_default()
    }

    /// Waits for a neighbour, if there is none; false when none came `within`.
    pub async fn has_neighbour(&self, within: Duration) -> bool {
        let mut degree = self.0.degree.clone();
        let found = timeout(within, degree.wait_for(|&degree| degree > 0)).await;
        matches!(found, Ok(Ok(_)))
    }

    /// News from now on. Who is too slow misses some.
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.0.ground.news.subscribe()
    }

    /// Says bye, saves what is to be saved, and waits for it, for a while.
    pub async fn stop(&self) {
        let ground = &self.0.ground;
        if !self.is_kept() {
            // Nobody would know of its parts any more.
            let _ = timeout(STOP_LIMIT, self.cancel(None)).await;
        }
        ground.stop.cancel();
        ground.tasks.close();
        if timeout(STOP_LIMIT, ground.tasks.wait()).await.is_err() {
            tracing::debug!("stopped with tasks still saying farewell");
        }
    }

    pub(super) fn degree(&self) -> usize {
        *self.0.degree.borrow()
    }

    pub(super) async fn tell(&self, command: Command) -> Result<(), JoinError> {
        self.0.driver.send(command).await.map_err(|_| JoinError::Stopping)
    }

    /// Asks the driver; none when it has stopped.
    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.driver.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}
