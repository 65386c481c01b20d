//! Event loops of one thread each, where the downloads run.
//!
//! Where several threads share an event loop, one that has nothing to do waits for sockets,
//! and each packet wakes it up, though another thread is reading already: at full speed five
//! changes of threads for each MiB, which is a tenth of all that a download costs. So a
//! download, its plan and the sources that it dials, runs on one thread, which moves about a
//! gigabyte a second.
//!
//! Always true: a disk that hangs in the middle of a transfer holds up the downloads of one
//! reactor, and neither those of another nor the mesh.

use std::cell::Cell;
use std::io;
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

/// Most reactors: four of them are faster than most networks, and each holds a few files open.
pub(super) const MOST: usize = 4;

thread_local! {
    /// The reactor whose thread this is.
    static HERE: Cell<Option<Here>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Here {
    number: usize,
    /// Whether there are others.
    several: bool,
}

/// The number of the reactor whose thread this is.
pub(super) fn here() -> Option<usize> {
    HERE.get().map(|here| here.number)
}

/// Whether this thread is a reactor's, and there are others.
pub(super) fn is_one_of_several() -> bool {
    HERE.get().is_some_and(|here| here.several)
}

/// The reactors of a servent; each starts with the first download on it.
pub(super) struct Reactors(Mutex<Vec<Reactor>>);

#[derive(Default)]
struct Reactor {
    runtime: Option<Runtime>,
    /// How many downloads are on it, those that wait among them.
    downloads: usize,
}

impl Default for Reactors {
    fn default() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from).min(MOST))
    }
}

impl Reactors {
    fn new(count: usize) -> Self {
        Self(Mutex::new((0..count).map(|_| Reactor::default()).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reactor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reactor with the fewest downloads, and its event loop: for one more, until
    /// [`Reactors::leave`]. None on a reactor, where what belongs to a download stays; none
    /// where one thread does all, as in tests under a paused clock, or where the system gives
    /// no more.
    pub(super) fn enter(&self) -> Option<(usize, Handle)> {
        let alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        if alone || here().is_some() {
            return None;
        }
        let mut all = self.lock();
        let several = all.len() > 1;
        let (number, least) = all.iter_mut().enumerate().min_by_key(|(_, r)| r.downloads)?;
        if least.runtime.is_none() {
            match start(Here { number, several }) {
                Ok(runtime) => least.runtime = Some(runtime),
                Err(error) => tracing::warn!(%error, "no thread for downloads"),
            }
        }
        let running = all.iter_mut().enumerate().filter(|(_, r)| r.runtime.is_some());
        let (number, reactor) = running.min_by_key(|(_, r)| r.downloads)?;
        reactor.downloads += 1;
        Some((number, reactor.runtime.as_ref()?.handle().clone()))
    }

    /// A download has ended that was on this one.
    pub(super) fn leave(&self, number: usize) {
        if let Some(reactor) = self.lock().get_mut(number) {
            reactor.downloads -= 1;
        }
    }
}

/// An event loop of one thread, which long work can be taken off.
fn start(here: Here) -> io::Result<Runtime> {
    let build = || {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("reactor")
            .on_thread_start(move || HERE.set(Some(here)))
            .enable_all()
            .build()
    };
    // Where the system gives no thread, it panics.
    catch_unwind(build).unwrap_or_else(|_| Err(io::Error::other("the system gives no thread")))
}

impl Drop for Reactors {
    fn drop(&mut self) {
        for runtime in self.lock().drain(..).filter_map(|reactor| reactor.runtime) {
            runtime.shutdown_background(); // a thread may stand in a disk that hangs
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn downloads_are_spread_over_the_reactors_and_what_belongs_to_one_stays_there() {
        let reactors = std::sync::Arc::new(Reactors::new(2));
        let ((first, on), (second, _)) = (reactors.enter().unwrap(), reactors.enter().unwrap());
        assert_ne!(first, second);
        assert_eq!(here(), None);
        let of_it = std::sync::Arc::clone(&reactors);
        let there = on.spawn(async move { (here(), of_it.enter().is_none()) });
        assert_eq!(there.await.unwrap(), (Some(first), true));
        reactors.leave(first);
        assert_eq!(reactors.enter().unwrap().0, first, "it has the fewest again");
    }

    #[tokio::test]
    async fn where_one_thread_does_all_no_other_is_started() {
        assert!(Reactors::default().enter().is_none());
    }
}
