//! Blocking work on a task.

use std::sync::atomic::{AtomicU32, Ordering};
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
/// thread costs more than it takes. After a slow disk has shown itself it is as [`offload`]
/// for a while.
pub(super) fn offload_brief<T>(work: impl FnOnce() -> T) -> T {
    let wary = WARINESS.load(Ordering::Relaxed);
    let began = Instant::now();
    let done = if wary > 0 { offload(work) } else { work() };
    if began.elapsed() >= BRIEF {
        WARINESS.store(WARY, Ordering::Relaxed);
    } else if wary > 0 {
        WARINESS.store(wary - 1, Ordering::Relaxed);
    }
    done
}
