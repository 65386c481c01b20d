//! Watching what is published: what changes on the disk changes here, a moment later.
//!
//! Always true: a servent that publishes no folder watches none; looking and hashing hold
//! up nobody, and hashing does not hold up looking; what the system does not tell is found
//! by looking now and then, and `status` says where that is so. When to look is told by
//! [`Agenda`], what there is to see by the [`Library`], what has changed by [`Watches`].

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, oneshot};

use super::background::in_background;
use super::changes::StopOnDrop;
use super::ground::Ground;
use super::incidents::Incident;
use super::inotify::Watches;
use super::offload::offload;
use super::report::{News, WatchReport};
use crate::base::Time;
use crate::base::escape::Escaped;
use crate::share::agenda::RESCAN_UNTOLD;
use crate::share::{Agenda, Library, Look, WalkReport, Watcher as _};

/// How long after the start the files are looked at: joining and answering come first.
const WALK_AFTER: Duration = Duration::from_secs(1);
/// How long events gather before they are read: a storm is not worth a wake-up for each.
const GATHER: Duration = Duration::from_millis(20);
/// How often files that were published by their own names are looked at: they are no
/// folders, so nobody watches them.
const FILES_EVERY: Duration = Duration::from_secs(3);
/// How many of them at a time: about two milliseconds.
const FILES_AT_ONCE: usize = 1_000;

/// How long a look may take before that is worth a sentence: meanwhile nothing else is
/// looked at.
const LONG_LOOK: Duration = Duration::from_secs(180);

/// How it stands with what is watched, for `status`, and the bell that calls the watcher.
#[derive(Default)]
pub(super) struct Watching {
    bell: Notify,
    folders: Mutex<Vec<WatchReport>>,
    /// When the look that runs began.
    looking: Mutex<Option<Time>>,
}

impl Watching {
    /// What is published has changed.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// The published folders, and how each is watched.
    pub(super) fn folders(&self) -> Vec<WatchReport> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_looking(&self, since: Option<Time>) {
        *self.looking.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// A sentence for each published folder that is not, and for a look that takes long.
    pub(super) fn warnings(&self, now: Time) -> Vec<String> {
        let minutes = RESCAN_UNTOLD.as_secs() / 60;
        let told = |folder: WatchReport| {
            let why = folder.untold?;
            let folder = Escaped(&folder.path);
            Some(format!("{folder} {why}; it is looked at every {minutes} minutes"))
        };
        let since = *self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let long = since.map(|since| now.since(since)).filter(|long| *long >= LONG_LOOK);
        let long = long.map(|long| {
            let minutes = long.as_secs() / 60;
            format!(
                "published folders have been looked at for {minutes} minutes: other changes in \
                 them are seen after that; a disk or a server may not answer"
            )
        });
        self.folders().into_iter().filter_map(told).chain(long).collect()
    }
}

/// One servent's watcher.
struct Watch {
    ground: Arc<Ground>,
    library: Library,
    watching: Arc<Watching>,
    /// Whether the disk is the machine's own, which can be watched.
    real: bool,
    agenda: Agenda,
    watches: Arc<Watches>,
    events: Option<AsyncFd<Arc<OwnedFd>>>,
    roots: Vec<PathBuf>,
    /// Ends looking and hashing with the servent.
    stop: Arc<AtomicBool>,
    looking: Option<oneshot::Receiver<WalkReport>>,
    hashing: Option<oneshot::Receiver<()>>,
    /// How far the files that were published by name have been looked at.
    files_after: Option<PathBuf>,
    files_at: Time,
}

/// Watches what is published, until the servent stops.
pub(super) async fn run(
    ground: Arc<Ground>,
    library: Library,
    watching: Arc<Watching>,
    real: bool,
) {
    tokio::select! {
        () = ground.stop.cancelled() => return,
        () = tokio::time::sleep(WALK_AFTER) => {}
    }
    let stop = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(Arc::clone(&stop));
    let clock = ground.clock;
    let watch = Watch {
        library,
        watching,
        real,
        agenda: Agenda::default(),
        watches: Arc::new(Watches::none(clock)),
        events: None,
        roots: Vec::new(),
        stop,
        looking: None,
        hashing: None,
        files_after: None,
        files_at: clock.now() + FILES_EVERY,
        ground,
    };
    watch.run().await;
}

impl Watch {
    async fn run(mut self) {
        self.walk().await;
        let ground = Arc::clone(&self.ground);
        while !ground.stop.is_cancelled() {
            self.take_roots();
            let more = self.watches.note_again(&mut self.agenda);
            let now = ground.clock.now();
            if self.looking.is_none() {
                let looks = self.agenda.take(now, &self.library.away());
                if !looks.is_empty() {
                    self.look(looks);
                }
            }
            if now >= self.files_at {
                self.look_at_files(now);
            }
            self.hash();
            let due = self.agenda.next_due().filter(|_| self.looking.is_none());
            let next = [due, more, Some(self.files_at)].into_iter().flatten().min();
            tokio::select! {
                () = ground.stop.cancelled() => return,
                () = self.watching.bell.notified() => {}
                () = until(&ground, next) => {}
                () = readable(self.events.as_ref()) => self.drain(),
                report = answer(&mut self.looking) => self.looked(report),
                hashed = answer(&mut self.hashing) => {
                    self.hashing = None;
                    self.note_fault(hashed.is_none());
                }
            }
        }
    }

    /// Looks once at all that was published in earlier runs.
    async fn walk(&mut self) {
        let now = self.ground.clock.now();
        self.take_roots();
        // The walk looks at all of them but those that were published since the start.
        let _ = self.agenda.take(now + RESCAN_UNTOLD, &[]);
        for root in self.roots.iter().filter(|root| !self.library.awaits_walk(root)) {
            self.agenda.note(root, true, now);
        }
        let (library, stop) = (self.library.clone(), Arc::clone(&self.stop));
        let watches = Arc::clone(&self.watches);
        self.watching.set_looking(Some(now));
        let walk = in_background("walk", move || library.walk(&*watches, &stop));
        let report = match walk {
            Ok(walk) => tokio::select! {
                () = self.ground.stop.cancelled() => return,
                report = walk => report.ok(),
            },
            Err(error) => {
                self.watching.set_looking(None);
                let text = format!("shared files are not looked at again: {error}");
                return self.ground.warn(text);
            }
        };
        self.note_fault(report.is_none());
        self.looked(report);
        let told = found(report.unwrap_or_default());
        for text in told.into_iter().chain(self.library.warnings()) {
            self.ground.tell(News::Notice { text });
        }
    }

    /// Takes in what is published by now: watches what is new, and what is not any more
    /// no longer.
    fn take_roots(&mut self) {
        let (now, roots) = (self.ground.clock.now(), self.library.published_folders());
        if roots != self.roots {
            if roots.is_empty() {
                self.events = None;
                self.watches = Arc::new(Watches::none(self.ground.clock));
            } else if self.roots.is_empty() && self.real {
                let watches = Watches::open(self.ground.clock);
                match watches.descriptor().map(events_of).transpose() {
                    Ok(events) => (self.events, self.watches) = (events, Arc::new(watches)),
                    Err(error) => {
                        self.ground.warn(format!("published folders are not watched: {error}"));
                    }
                }
            }
            self.watches.keep_only(&roots);
            self.roots = roots;
        }
        let told: Vec<_> =
            self.roots.iter().map(|root| (root.clone(), self.watches.is_told(root))).collect();
        self.agenda.set_roots(&told, now);
        self.agenda.set_away(!self.library.away().is_empty(), now);
    }

    fn look(&mut self, looks: Vec<Look>) {
        let (library, stop) = (self.library.clone(), Arc::clone(&self.stop));
        let watches = Arc::clone(&self.watches);
        match in_background("look", move || library.look(&looks, &*watches, &stop)) {
            Ok(looking) => {
                self.watching.set_looking(Some(self.ground.clock.now()));
                self.looking = Some(looking);
            }
            // No thread at present: what was to be looked at is not known any more.
            Err(_) => self.agenda.note_lost(self.ground.clock.now()),
        }
    }

    /// A look, or the walk, is over.
    fn looked(&mut self, report: Option<WalkReport>) {
        self.looking = None;
        self.watching.set_looking(None);
        self.note_fault(report.is_none());
        let looked_at = self.roots.iter().filter(|root| self.watches.knows(root));
        let reports = looked_at.map(|root| WatchReport {
            path: root.display().to_string(),
            untold: self.watches.why_untold(root),
        });
        let reports = reports.collect();
        *self.watching.folders.lock().unwrap_or_else(PoisonError::into_inner) = reports;
    }

    /// Hashes what was found, if nobody does.
    fn hash(&mut self) {
        if self.hashing.is_some() || !self.library.has_found() {
            return;
        }
        let (library, stop) = (self.library.clone(), Arc::clone(&self.stop));
        let watches = Arc::clone(&self.watches);
        // Without a thread at present it is tried again with the next event.
        self.hashing = in_background("hash", move || library.hash_found(&*watches, &stop)).ok();
    }

    /// Reads what the system has told.
    fn drain(&mut self) {
        let Some(events) = &self.events else { return };
        let (watches, agenda) = (&self.watches, &mut self.agenda);
        // Only when nothing is left may the next event be waited for.
        let _: io::Result<()> = events.try_io(Interest::READABLE, |_| {
            if watches.drain(agenda) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
    }

    fn look_at_files(&mut self, now: Time) {
        self.files_at = now + FILES_EVERY;
        let (library, watches, stop) = (&self.library, &*self.watches, &self.stop);
        let after = self.files_after.take();
        let after = after.as_deref();
        self.files_after = offload(|| library.look_at_files(after, FILES_AT_ONCE, watches, stop));
    }

    /// Work that ended without a word has panicked, which is our bug.
    fn note_fault(&self, faulty: bool) {
        if faulty {
            self.ground.incidents.note(Incident::Fault);
        }
    }
}

#[expect(deprecated, reason = "what it asks of a descriptor holds for an owned one")]
fn events_of(inotify: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    AsyncFd::with_interest(inotify, Interest::READABLE)
}

/// Waits for `next`; for ever when there is none.
async fn until(ground: &Ground, next: Option<Time>) {
    match next {
        Some(time) => tokio::time::sleep_until(ground.clock.instant(time)).await,
        None => std::future::pending().await,
    }
}

/// Waits until there are events, and for those that come right after.
async fn readable(events: Option<&AsyncFd<Arc<OwnedFd>>>) {
    let Some(events) = events else { return std::future::pending().await };
    if events.readable().await.is_err() {
        return std::future::pending().await; // the runtime is going down
    }
    tokio::time::sleep(GATHER).await;
}

/// Waits for what a thread answers; none when it has panicked. For ever when there is no
/// thread.
async fn answer<T>(thread: &mut Option<oneshot::Receiver<T>>) -> Option<T> {
    match thread {
        Some(thread) => thread.await.ok(),
        None => std::future::pending().await,
    }
}

/// What a walk has found, if that is worth a sentence.
fn found(report: WalkReport) -> Option<String> {
    let files =
        |count: u64| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    match (report.found, report.gone) {
        (0, 0) => None,
        (found, 0) => {
            Some(format!("{} new or changed since the last run: to be shared", files(found)))
        }
        (0, gone) => Some(format!("{} gone since the last run, no longer shared", files(gone))),
        (found, gone) => Some(format!(
            "since the last run {} new or changed: to be shared; {} gone, no longer shared",
            files(found),
            files(gone)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_takes_long_is_told_until_it_is_over() {
        let (watching, began) = (Watching::default(), Time::ZERO);
        watching.set_looking(Some(began));
        assert!(watching.warnings(began + LONG_LOOK / 2).is_empty());
        let told = watching.warnings(began + LONG_LOOK);
        assert!(told[0].contains("looked at for 3 minutes"), "{told:?}");
        watching.set_looking(None);
        assert!(watching.warnings(began + LONG_LOOK).is_empty());
    }

    #[test]
    fn a_walk_tells_only_what_it_found() {
        let told = |found_, gone| found(WalkReport { found: found_, gone, missing: 0 });
        assert_eq!(told(0, 0), None);
        assert_eq!(told(1, 0).unwrap(), "1 file new or changed since the last run: to be shared");
        assert_eq!(told(0, 2).unwrap(), "2 files gone since the last run, no longer shared");
        let both = "3 files new or changed: to be shared; 1 file gone, no longer shared";
        assert!(told(3, 1).unwrap().ends_with(both));
    }
}
