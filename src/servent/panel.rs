//! The tuning of a running servent: tasks read what counts now, or wait for a change.

use std::sync::Arc;

use tokio::sync::watch;

use super::tuning::Tuning;

/// What counts now. Nothing of it is held across an await.
pub(super) struct Panel(watch::Sender<Arc<Tuning>>);

impl Panel {
    pub(super) fn new(tuning: Tuning) -> Self {
        Self(watch::channel(Arc::new(tuning)).0)
    }

    pub(super) fn now(&self) -> Arc<Tuning> {
        Arc::clone(&self.0.borrow())
    }

    pub(super) fn replace(&self, tuning: Tuning) {
        self.0.send_replace(Arc::new(tuning));
    }

    /// Waits until `holds`.
    pub(super) async fn until(&self, holds: impl Fn(&Tuning) -> bool) {
        let mut changes = self.0.subscribe();
        // The sender is ours and outlives this.
        let _ = changes.wait_for(|tuning| holds(tuning)).await;
    }

    /// Waits until others are given no files.
    pub(super) async fn serving_ends(&self) {
        self.until(|tuning| !tuning.serve).await;
    }
}
