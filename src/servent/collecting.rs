//! Keeping the collections of published folders up to date, once these have settled.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::background::in_background;
use super::ground::Ground;
use super::incidents::Incident;
use crate::share::Library;

/// How often is looked whether anything has changed; a folder in which nothing changes
/// between two looks has settled.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long at the most is waited for a folder that does not settle.
const LONGEST: Duration = Duration::from_secs(30);

/// Works out the collections of folders that have changed, until the servent stops.
pub(super) async fn run(ground: Arc<Ground>, library: Library) {
    let mut seen = None;
    let mut since = Instant::now();
    loop {
        tokio::select! {
            () = ground.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let changes = library.uncollected();
        if changes.is_none() || seen.is_none() {
            since = Instant::now();
        }
        let settled = changes == seen || since.elapsed() >= LONGEST;
        seen = changes;
        if changes.is_none() || !settled {
            continue;
        }
        let work = library.clone();
        // Without a thread at present it is tried again at the next look.
        if let Ok(collecting) = in_background("collect", move || work.collect()) {
            if collecting.await.is_err() {
                ground.incidents.note(Incident::Fault);
            }
            seen = None;
        }
    }
}
