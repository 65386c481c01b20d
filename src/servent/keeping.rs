//! What is published, kept over the end of the process: opened at the start, looked at
//! again a little later, saved as it changes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::oneshot;

use super::changes::StopOnDrop;
use super::clock::Clock;
use super::ground::Ground;
use super::incidents::Incident;
use super::offload::offload;
use super::report::News;
use crate::share::{Library, Protected, WalkReport};
use crate::store::{Disk, ShareIndex, StateDir};

/// How often what has changed is saved, where nobody waits for it: so much of a large
/// publication is at most hashed again after a crash, and a save is worth its flush.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How long after the start the files are looked at: joining and answering come first.
const WALK_AFTER: Duration = Duration::from_secs(1);
/// The priority of looking at them, as `nice` counts: the user's own work comes first.
const WALK_NICE: i32 = 10;

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

/// Looks once, on a thread of its own, at all that was published in earlier runs.
pub(super) async fn walk(ground: Arc<Ground>, library: Library) {
    tokio::select! {
        () = ground.stop.cancelled() => return,
        () = tokio::time::sleep(WALK_AFTER) => {}
    }
    let stop = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(Arc::clone(&stop));
    let (done, report) = oneshot::channel();
    let walking = library.clone();
    let thread = std::thread::Builder::new().name("walk".to_owned()).spawn(move || {
        // Of this thread only; where it is not allowed it is as good as before.
        let _ = rustix::process::setpriority_process(None, WALK_NICE);
        let _ = done.send(walking.walk(&stop));
    });
    if let Err(error) = thread {
        let text = format!("shared files are not looked at again: {error}");
        return ground.warn(text);
    }
    let report = tokio::select! {
        () = ground.stop.cancelled() => return,
        report = report => report,
    };
    // A walk that ended without a word has panicked, which is our bug.
    let Ok(report) = report else { return ground.incidents.note(Incident::Fault) };
    for text in found(report).into_iter().chain(library.warnings()) {
        ground.tell(News::Notice { text });
    }
}

/// What a walk has found, if that is worth a sentence.
fn found(report: WalkReport) -> Option<String> {
    let files =
        |count: u64| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    match (report.hashed, report.gone) {
        (0, 0) => None,
        (hashed, 0) => {
            Some(format!("{} new or changed since the last run, now shared", files(hashed)))
        }
        (0, gone) => Some(format!("{} gone since the last run, no longer shared", files(gone))),
        (hashed, gone) => Some(format!(
            "since the last run {} new or changed, now shared; {} gone, no longer shared",
            files(hashed),
            files(gone)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_tells_only_what_it_found() {
        let told = |hashed, gone| found(WalkReport { hashed, gone, missing: 0 });
        assert_eq!(told(0, 0), None);
        assert_eq!(told(1, 0).unwrap(), "1 file new or changed since the last run, now shared");
        assert_eq!(told(0, 2).unwrap(), "2 files gone since the last run, no longer shared");
        assert!(
            told(3, 1)
                .unwrap()
                .ends_with("3 files new or changed, now shared; 1 file gone, no longer shared")
        );
    }
}
