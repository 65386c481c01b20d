//! Blocking work on a task.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work`, which may wait for a disk or a processor, without holding up other
/// tasks: measured the cheapest way to read and write files from a task. On a
/// single-threaded runtime, as in tests under a paused clock, it just runs.
pub(super) fn offload<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
