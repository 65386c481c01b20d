//! Blocking work on a task.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use super::reactors;

/// What [`offload_brief`] takes for brief: a piece that goes to or comes from the page cache
/// takes a tenth of this, a disk that makes it wait takes more.
const BRIEF: Duration = Duration::from_millis(5);
/// How many times [`offload_brief`] lets others go on meanwhile, after it was not brief.
const WARY: u32 = 64;
/// For how long a disk that was quick is taken for quick: after that it may have gone to sleep.
const AWAKE: Duration = Duration::from_secs(1);

/// Whether a task holds up its thread with brief work: one at a time, so that a disk that
/// hangs in the middle of it takes one thread and no more.
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
/// thread costs more than it takes. While another does so, and while the disk has not been
/// quick of late, it is as [`offload`].
pub(super) fn offload_brief<T>(disk: &Trust, work: impl FnOnce() -> T) -> T {
    let wary = !disk.is_quick() || is_alone();
    if wary || AT_IT.swap(true, Ordering::Acquire) {
        let began = Instant::now();
        let done = offload(work);
        disk.note(began.elapsed());
        return done;
    }
    let _done = Done;
    let began = Instant::now();
    let done = work();
    disk.note(began.elapsed());
    done
}

/// Whether there is no other thread that could go on meanwhile with what matters.
fn is_alone() -> bool {
    let only = Handle::try_current().is_ok_and(|handle| handle.metrics().num_workers() < 2);
    only && !reactors::is_one_of_several()
}

/// How quick a disk has been of late, as far as one who uses it has seen.
#[derive(Default)]
pub(super) struct Trust {
    /// When it was last quick.
    quick: Mutex<Option<Instant>>,
    /// How often it must be quick again.
    wariness: AtomicU32,
}

impl Trust {
    /// Whether what is brief as a rule may be taken for brief.
    pub(super) fn is_quick(&self) -> bool {
        let quick = *self.quick.lock().unwrap_or_else(PoisonError::into_inner);
        self.wariness.load(Ordering::Relaxed) == 0
            && quick.is_some_and(|quick| quick.elapsed() <= AWAKE)
    }

    /// Notes how long work on it took.
    pub(super) fn note(&self, took: Duration) {
        if took >= BRIEF {
            self.wariness.store(WARY, Ordering::Relaxed);
            return;
        }
        *self.quick.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        // None are left when none were.
        let _ = self
            .wariness
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }
}

/// Says when dropped that the brief work is over, also when it panicked.
struct Done;

impl Drop for Done {
    fn drop(&mut self) {
        AT_IT.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_is_quick_that_was_so_a_moment_ago_and_not_slow_before_that() {
        let disk = Trust::default();
        assert!(!disk.is_quick(), "nothing is known of it");
        disk.note(Duration::ZERO);
        assert!(disk.is_quick());
        tokio::time::advance(AWAKE * 2).await;
        assert!(!disk.is_quick(), "it may have gone to sleep");
        disk.note(BRIEF);
        for _ in 0..WARY {
            assert!(!disk.is_quick(), "it was slow");
            disk.note(Duration::ZERO);
        }
        assert!(disk.is_quick());
    }
}
