//! What is published, kept over the end of the process: opened at the start, saved as it
//! changes. Looking at it again is left to `watching`.

use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::ground::Ground;
use super::offload::offload;
use super::report::News;
use crate::share::{Library, Protected};
use crate::store::{Disk, ShareIndex, StateDir};

/// How often what has changed is saved, where nobody waits for it: so much of a large
/// publication is at most hashed again after a crash, and a save is worth its flush.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The library of a servent, with what was published in earlier runs, and a sentence if
/// that was damaged.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    protected: &Protected,
    state: Option<&Arc<StateDir>>,
) -> (Library, Option<String>) {
    let Some(state) = state else { return (Library::new(disk, protected), None) };
    offload(|| {
        let state = Arc::clone(state);
        let (index, kept, notice) = ShareIndex::open(Arc::clone(&disk), state, Clock::unix());
        (Library::restore(disk, protected, index, kept), notice)
    })
}

/// Saves what changes, until the servent stops; then once more.
pub(super) async fn save(ground: Arc<Ground>, library: Library) {
    let mut failing = false;
    loop {
        let stopping = tokio::select! {
            () = ground.stop.cancelled() => true,
            () = tokio::time::sleep(SAVE_EVERY) => false,
        };
        if library.has_unsaved() {
            let saved = offload(|| library.save());
            if let Err(why) = &saved
                && !failing
            {
                let text = format!("what is published cannot be remembered at present: {why}");
                ground.tell(News::Notice { text });
            }
            failing = saved.is_err();
        }
        if stopping {
            return;
        }
    }
}
