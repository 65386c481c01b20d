//! Blocking work on a task.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

/// What [`offload_brief`] takes for brief: a piece that goes to or comes from the page cache
/// takes a tenth of this, a disk that makes it wait takes more.
const BRIEF: Duration = Duration::from_millis(5);
/// How many times [`offload_brief`] lets others go on meanwhile, after it was not brief.
const WARY: u32 = 64;

/// How many times of these are left, of all tasks: the disk is the same.
static WARINESS: AtomicU32 = AtomicU32::new(0);
/// Whether a task holds up its thread with brief work: one at a time, so that a disk that
/// hangs takes one thread and no more.
static AT_IT: AtomicBool = AtomicBool::new(false);

/// Runs `work`, which may wait for a disk or a processor, without holding up other
/// tasks. On a single-threaded runtime, as in tests under a paused clock, it just runs.
pub(super) fn offload<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Runs `work` that is brief as a rule, such as a piece's way to or from the page cache, and
/// holds up other tasks of this thread as long as it proves brief: to hand them to another
/// thread costs more than it takes. While another does so, and for a while after a slow disk
/// has shown itself, it is as [`offload`].
pub(super) fn offload_brief<T>(work: impl FnOnce() -> T) -> T {
    let wary = WARINESS.load(Ordering::Relaxed) > 0 || is_alone();
    if wary || AT_IT.swap(true, Ordering::Acquire) {
        let began = Instant::now();
        let done = offload(work);
        note(began.elapsed());
        return done;
    }
    let _done = Done;
    let began = Instant::now();
    let done = work();
    note(began.elapsed());
    done
}

/// Whether there is no other thread that could go on meanwhile.
fn is_alone() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.metrics().num_workers() < 2)
}

fn note(took: Duration) {
    if took >= BRIEF {
        WARINESS.store(WARY, Ordering::Relaxed);
    } else {
        // None are left when none were.
        let _ = WARINESS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }
}

/// Says when dropped that the brief work is over, also when it panicked.
struct Done;

impl Drop for Done {
    fn drop(&mut self) {
        AT_IT.store(false, Ordering::Release);
    }
}
