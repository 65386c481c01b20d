//! Standing searches: what the user wants and the mesh may not have yet.
//!
//! Always true: at most [`MAX_WANTED`] of them, each asked of the mesh when it is new,
//! when the servent comes back into a mesh, and every [`ASK_EVERY`] while it is in one;
//! they take turns with the downloads that look for sources, so that the user's own
//! searches keep their half. What is found is told once for each content and run, and
//! kept as results that `download` takes numbers of. The list outlives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::driver::Command;
use super::ground::Ground;
use super::handle::Servent;
use super::report::{News, Reach, ResultReport, SearchEvent, SearchRequest, WantedReport};
use super::searching::{self, SharedResults};
use crate::base::ContentId;
use crate::share::{Library, Query, QueryError};
use crate::store::{Loaded, StateDir, StoreError};

/// Most standing searches: all of them together stay a small part of what a servent may ask.
pub(super) const MAX_WANTED: usize = 32;
/// How often each is asked again. Files come up over hours, not seconds.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(600);
/// Contents that one of them keeps; more are not told any more.
pub(super) const MAX_FINDS: usize = 200;
/// The file in the state folder: a number and the words on each line.
const FILE: &str = "wanted";

/// Why a standing search cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum WantedError {
    /// The words make no query.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The same words stand there already.
    #[error("that is wanted already, as number {0}")]
    Twice(usize),
    /// There are as many as there may be.
    #[error("{MAX_WANTED} searches stand already; 'wanted --forget N' makes room")]
    TooMany,
    /// There is none of that number.
    #[error("nothing is wanted under number {0}; 'wanted' lists what is")]
    Unknown(usize),
    /// It cannot be remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WantedError {
    /// How many characters of the query stand before what is wrong with it, if that is it.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        match self {
            Self::Query(error) => error.place(),
            _ => None,
        }
    }
}

struct Want {
    text: String,
    results: SharedResults,
    told: BTreeSet<ContentId>,
    /// When it is asked next.
    due: Instant,
    asked: u64,
}

/// The standing searches of a servent.
pub(super) struct Wanted {
    list: Mutex<BTreeMap<usize, Want>>,
    changed: Notify,
    state: Option<Arc<StateDir>>,
}

impl Wanted {
    /// Those of the run before, and a sentence if their file was damaged.
    pub(super) fn load(state: Option<Arc<StateDir>>) -> Result<(Self, Option<String>), StoreError> {
        let loaded = match &state {
            Some(state) => state.read(FILE, Clock::unix())?,
            None => Loaded::Nothing,
        };
        let (bytes, damaged) = match loaded {
            Loaded::Nothing => (Vec::new(), None),
            Loaded::Whole(bytes) => (bytes, None),
            Loaded::Damaged { aside, previous } => (previous.unwrap_or_default(), Some(aside)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let wants = text.lines().filter_map(|line| {
            let (number, text) = line.split_once(' ')?;
            Query::parse(text).ok()?;
            Some((number.parse().ok()?, Want::new(text.to_owned())))
        });
        let list = Mutex::new(wants.take(MAX_WANTED).collect());
        let notice = damaged.map(|aside| {
            format!(
                "the list of what is wanted was damaged; it is kept as {}, and 'wanted' shows \
                 what is left of it",
                aside.display()
            )
        });
        Ok((Self { list, changed: Notify::new(), state }, notice))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Want>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &str) -> Result<WantedReport, WantedError> {
        Query::parse(text)?;
        // One line of the file each.
        let text = &text.split(char::is_control).collect::<Vec<_>>().join(" ");
        let mut list = self.lock();
        if let Some((number, _)) = list.iter().find(|(_, want)| want.text == *text) {
            return Err(WantedError::Twice(*number));
        }
        if list.len() >= MAX_WANTED {
            return Err(WantedError::TooMany);
        }
        let number = list.keys().next_back().map_or(1, |last| last + 1);
        list.insert(number, Want::new(text.to_owned()));
        if let Err(error) = self.save(&list) {
            list.remove(&number);
            return Err(error.into());
        }
        self.changed.notify_one();
        Ok(WantedReport { number, text: text.to_owned(), found: 0, asked: 0 })
    }

    fn forget(&self, number: usize) -> Result<WantedReport, WantedError> {
        let mut list = self.lock();
        let want = list.remove(&number).ok_or(WantedError::Unknown(number))?;
        let report = want.report(number);
        if let Err(error) = self.save(&list) {
            list.insert(number, want);
            return Err(error.into());
        }
        Ok(report)
    }

    fn save(&self, list: &BTreeMap<usize, Want>) -> Result<(), StoreError> {
        let Some(state) = &self.state else { return Ok(()) };
        let lines = list.iter().map(|(number, want)| format!("{number} {}\n", want.text));
        let text: String = lines.collect();
        super::offload::offload(|| state.write(FILE, text.as_bytes()))
    }

    /// Asks for what is wanted, one after the other, until the servent stops.
    pub(super) async fn run(
        self: Arc<Self>,
        ground: Arc<Ground>,
        driver: mpsc::Sender<Command>,
        library: Library,
        mut degree: watch::Receiver<usize>,
    ) {
        loop {
            let due = self.lock().values().map(|want| want.due).min();
            let in_mesh = *degree.borrow_and_update() > 0;
            let wake = async {
                match due {
                    Some(due) if in_mesh => sleep_until(due).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ground.stop.cancelled() => return,
                () = self.changed.notified() => {}
                changed = degree.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if !in_mesh && *degree.borrow() > 0 {
                        self.ask_all_anew();
                    }
                }
                () = wake => {
                    let asking = self.ask_next(&ground, &driver, &library);
                    let _ = ground.stop.run_until_cancelled(asking).await;
                }
            }
        }
    }

    fn ask_all_anew(&self) {
        let now = Instant::now();
        self.lock().values_mut().for_each(|want| want.due = now);
    }

    /// Asks for whatever is due first.
    async fn ask_next(
        &self,
        ground: &Arc<Ground>,
        driver: &mpsc::Sender<Command>,
        library: &Library,
    ) {
        ground.await_finding().await;
        let next = {
            let mut list = self.lock();
            let next = list.iter_mut().min_by_key(|(_, want)| want.due);
            next.map(|(number, want)| {
                want.due = Instant::now() + ASK_EVERY;
                (*number, want.text.clone(), want.results.clone())
            })
        };
        let Some((number, text, results)) = next else { return };
        let request = SearchRequest { text, reach: Reach::All, enough: MAX_FINDS, trace: false };
        let Ok(mut events) = searching::start(ground, driver, &request, results).await else {
            return;
        };
        while let Some(event) = events.recv().await {
            match event {
                SearchEvent::Hit(hit) => {
                    if library.is_published(hit.id) || !self.is_new(number, hit.id) {
                        continue;
                    }
                    ground.tell(News::Found { number, text: request.text.clone(), hit });
                }
                SearchEvent::Trace(_) => {}
                SearchEvent::End(_) => {
                    if let Some(want) = self.lock().get_mut(&number) {
                        want.asked += 1;
                    }
                }
            }
        }
    }

    /// Whether `id` is the first of its kind for want `number`, which takes it in.
    fn is_new(&self, number: usize, id: ContentId) -> bool {
        let mut list = self.lock();
        let Some(want) = list.get_mut(&number) else { return false };
        want.told.len() < MAX_FINDS && want.told.insert(id)
    }
}

impl Want {
    fn new(text: String) -> Self {
        let (results, told) = (SharedResults::with_room(MAX_FINDS), BTreeSet::new());
        Self { text, results, told, due: Instant::now(), asked: 0 }
    }

    fn report(&self, number: usize) -> WantedReport {
        let found = self.results.files();
        WantedReport { number, text: self.text.clone(), found, asked: self.asked }
    }
}

impl Servent {
    /// Keeps `text` as a standing search: what turns up for it is told as news.
    ///
    /// # Errors
    /// [`WantedError`]; nothing is kept then.
    pub async fn want(&self, text: &str) -> Result<WantedReport, WantedError> {
        self.0.wanted.add(text)
    }

    /// Gives up a standing search.
    ///
    /// # Errors
    /// [`WantedError::Unknown`], or it cannot be written.
    pub async fn forget_wanted(&self, number: usize) -> Result<WantedReport, WantedError> {
        self.0.wanted.forget(number)
    }

    /// The standing searches, by number.
    #[must_use]
    pub fn wanted(&self) -> Vec<WantedReport> {
        self.0.wanted.lock().iter().map(|(number, want)| want.report(*number)).collect()
    }

    /// Takes what was found for a standing search as the results that `download` names.
    ///
    /// # Errors
    /// [`WantedError::Unknown`].
    pub async fn show_wanted(&self, number: usize) -> Result<Vec<ResultReport>, WantedError> {
        let list = self.0.wanted.lock();
        let results = list.get(&number).ok_or(WantedError::Unknown(number))?.results.clone();
        drop(list);
        let reports = results.reports();
        *self.0.results.lock().unwrap_or_else(PoisonError::into_inner) = results;
        Ok(reports)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::MemoryDisk;

    fn state(disk: &MemoryDisk) -> Option<Arc<StateDir>> {
        let locked = StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap();
        Some(Arc::new(locked))
    }

    fn texts(wanted: &Wanted) -> Vec<(usize, String)> {
        wanted.lock().iter().map(|(number, want)| (*number, want.text.clone())).collect()
    }

    #[test]
    fn what_is_wanted_outlives_the_process_under_its_number() {
        let disk = MemoryDisk::new();
        let (wanted, _) = Wanted::load(state(&disk)).unwrap();
        for text in ["ferris .png", "\"blue train\" size>1M", "héron"] {
            wanted.add(text).unwrap();
        }
        wanted.forget(1).unwrap();
        let kept = texts(&wanted);
        assert_eq!(kept[0], (2, "\"blue train\" size>1M".to_owned()));
        drop(wanted);
        let (wanted, notice) = Wanted::load(state(&disk)).unwrap();
        assert_eq!((texts(&wanted), notice), (kept, None));
        assert_eq!(wanted.add("another").unwrap().number, 4);
    }

    #[test]
    fn damage_is_kept_aside_and_said() {
        let disk = MemoryDisk::new();
        disk.put("/s/wanted", b"rubbish");
        let (wanted, notice) = Wanted::load(state(&disk)).unwrap();
        assert_eq!(texts(&wanted), []);
        assert!(notice.unwrap().contains("/s/wanted.bad-"));
    }

    #[test]
    fn nonsense_repetition_and_too_much_are_refused() {
        let (wanted, _) = Wanted::load(None).unwrap();
        assert!(matches!(wanted.add("*"), Err(WantedError::Query(_))));
        wanted.add("word0").unwrap();
        assert!(matches!(wanted.add("word0"), Err(WantedError::Twice(1))));
        for number in 1..MAX_WANTED {
            wanted.add(&format!("word{number}")).unwrap();
        }
        assert!(matches!(wanted.add("more"), Err(WantedError::TooMany)));
        assert!(matches!(wanted.forget(99), Err(WantedError::Unknown(99))));
        wanted.forget(1).unwrap();
        assert!(wanted.add("more").is_ok());
    }

    #[test]
    fn what_a_client_sends_on_several_lines_is_kept_on_one() {
        let disk = MemoryDisk::new();
        let (wanted, _) = Wanted::load(state(&disk)).unwrap();
        wanted.add("\"blue\ntrain\"").unwrap();
        drop(wanted);
        let (wanted, _) = Wanted::load(state(&disk)).unwrap();
        assert_eq!(texts(&wanted), [(1, "\"blue train\"".to_owned())]);
    }

    #[test]
    fn a_content_is_told_once() {
        let (wanted, _) = Wanted::load(None).unwrap();
        let number = wanted.add("blue").unwrap().number;
        let id = ContentId::of_nothing();
        assert!(wanted.is_new(number, id));
        assert!(!wanted.is_new(number, id));
        assert!(!wanted.is_new(7, id), "it was given up meanwhile");
    }
}
