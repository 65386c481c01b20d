//! Event loops of one thread each, where the downloads run.
//!
//! Where several threads share an event loop, one that has nothing to do waits for sockets,
//! and each packet wakes it up, though another thread is reading already: at full speed five
//! changes of threads for each MiB, which is a tenth of all that a download costs. So a
//! download, its plan and its sources, runs on one thread, and a few of these move more than
//! any network brings.
//!
//! Always true: a disk that hangs holds up the downloads of one reactor, and nothing else of
//! the servent.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use super::offload;

/// Most reactors: one moves about a gigabyte a second.
const MOST: usize = 4;

/// The reactors of a servent; each starts with the first download on it.
pub(super) struct Reactors(Vec<Reactor>);

#[derive(Default)]
struct Reactor {
    /// None when the system gave no thread.
    runtime: OnceLock<Option<Runtime>>,
    /// How many downloads run on it.
    downloads: AtomicUsize,
}

impl Default for Reactors {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self((0..cores.min(MOST)).map(|_| Reactor::default()).collect())
    }
}

impl Reactors {
    /// The reactor with the fewest downloads, and its event loop: for one more, until
    /// [`Reactors::leave`]. None where there is one thread for all, as in tests under a paused
    /// clock, or the system gives no more.
    pub(super) fn enter(&self) -> Option<(usize, Handle)> {
        if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
            return None;
        }
        let load = |(_, reactor): &(usize, &Reactor)| reactor.downloads.load(Ordering::Relaxed);
        let (number, reactor) = self.0.iter().enumerate().min_by_key(load)?;
        let runtime = reactor.runtime.get_or_init(|| start().ok()).as_ref()?;
        reactor.downloads.fetch_add(1, Ordering::Relaxed);
        Some((number, runtime.handle().clone()))
    }

    /// A download has ended that ran on this one.
    pub(super) fn leave(&self, number: usize) {
        if let Some(reactor) = self.0.get(number) {
            reactor.downloads.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// An event loop of one thread, which long work can be taken off.
fn start() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("reactor")
        .on_thread_start(offload::allow_brief)
        .enable_all()
        .build()
}

impl Drop for Reactors {
    fn drop(&mut self) {
        for reactor in &mut self.0 {
            if let Some(runtime) = reactor.runtime.take().flatten() {
                runtime.shutdown_background(); // a thread may stand in a disk that hangs
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn downloads_are_spread_over_the_reactors_and_each_runs_on_one_thread() {
        let reactors = Reactors((0..2).map(|_| Reactor::default()).collect());
        let enter = || reactors.enter().unwrap();
        let ((first, on), (second, _)) = (enter(), enter());
        assert_ne!(first, second);
        reactors.leave(first);
        assert_eq!(enter().0, first, "it has the fewest again");
        assert_eq!(on.metrics().num_workers(), 1);
        let name = on.spawn(async { std::thread::current().name().map(str::to_owned) });
        assert_eq!(name.await.unwrap().as_deref(), Some("reactor"));
    }

    #[tokio::test]
    async fn where_one_thread_does_all_no_other_is_started() {
        assert!(Reactors::default().enter().is_none());
    }
}
