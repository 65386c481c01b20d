//! What a front needs of a servent.

use std::future::Future;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Exit, Reply};
use crate::servent::report::News;

/// One command line, and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The line, as typed.
    pub line: String,
    /// The folder that relative paths in the line start from; without one they are
    /// refused.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Whether nobody sits at the keys: then the first command that needs the mesh
    /// waits a little for a neighbour, and `wait` also tells of downloads that ended
    /// before it was asked.
    #[serde(default)]
    pub scripted: bool,
}

/// A servent as a front drives it: in this process, or at the other end of a socket.
pub trait Console: Send + Sync + 'static {
    /// Obeys one line. Replies go to `out` as they come and in order; nothing follows
    /// once the future is ready. Dropping the future interrupts the command, and
    /// whatever it started in the background (a download) goes on.
    fn obey(&self, order: Order, out: mpsc::Sender<Reply>) -> impl Future<Output = Exit> + Send;

    /// What nobody asked for just now, from here on.
    fn news(&self) -> broadcast::Receiver<News>;

    /// Whether the user wants to be told of `news`.
    fn wants(&self, news: &News) -> bool;

    /// Cancelled once somebody has asked the servent to stop.
    fn quitting(&self) -> CancellationToken;
}
