//! A search of ours: from words to numbered results.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::driver::{Command, UPDATES, Update};
use super::ground::Ground;
use super::handle::Servent;
use super::report::{
    CollectionReport, HitReport, Reach, ResultReport, SearchEnd, SearchEvent, SearchRequest,
    SourceReport, StoppedReport, TraceReport, TracedReport,
};
use crate::base::{Contact, ContentId, Geometry, Guid, MAX_TTL, ServentId};
use crate::message::{Hit, HitBody, QueryBody, QueryHit, ShortId, Trace};
use crate::overlay::{Input, TraceTree, dialable};
use crate::share::index::Entry;
use crate::share::{FileType, Query, QueryError};
use crate::wire::{decode_hit_body, encode_query_body};

/// Events of one search that its user may be behind with; then it waits for them.
const EVENTS: usize = 256;
/// Servents that stopped looking and are named at the end; a search that more servents cut
/// short wants other words anyway.
const MAX_STOPPED: usize = 64;
/// Radii of a search in rings: most of what is wanted is near.
const RINGS: [u8; 3] = [2, 4, MAX_TTL];

/// Why a search did not begin.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The query makes no sense.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// A TTL that nobody may ask for.
    #[error("a search goes 1 to {MAX_TTL} hops far, not {0}")]
    Ttl(u8),
    /// The query cannot be sent.
    #[error("the query cannot be sent: {0}")]
    Encode(#[from] crate::wire::EncodeError),
    /// The operating system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The servent is stopping.
    #[error("the servent is stopping")]
    Stopping,
}

impl SearchError {
    /// How many characters of the query stand before what is wrong with it, if that is it.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        match self {
            Self::Query(error) => error.place(),
            _ => None,
        }
    }
}

/// The results of the latest search, by number.
#[derive(Debug, Default)]
pub(super) struct Results {
    by_id: BTreeMap<ContentId, usize>,
    found: Vec<Found>,
    /// Most contents, where more than one search fills it; one alone is bounded anyway.
    room: Option<usize>,
}

/// Sources, names and sizes that one content keeps where more than one search fills the
/// results: enough to choose from.
const MAX_EACH: usize = 64;

#[derive(Debug)]
struct Found {
    id: ContentId,
    sizes: BTreeMap<u64, usize>,
    names: BTreeMap<String, usize>,
    folders: BTreeMap<String, usize>,
    modified: BTreeMap<u64, usize>,
    collections: BTreeMap<(u64, u64), usize>,
    sources: BTreeMap<ServentId, SourceReport>,
}

/// The results, shared between a search and the commands that use them. A new search
/// brings new results; a search that still runs then goes on filling its own.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedResults(Arc<Mutex<Results>>);

impl SharedResults {
    /// Results that search after search may add to, of at most so many contents.
    pub(super) fn with_room(contents: usize) -> Self {
        let results = Results { room: Some(contents), ..Results::default() };
        Self(Arc::new(Mutex::new(results)))
    }

    pub(super) fn reports(&self) -> Vec<ResultReport> {
        let results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        results.found.iter().zip(1..).map(|(found, number)| found.report(number)).collect()
    }

    pub(super) fn report(&self, number: usize) -> Option<ResultReport> {
        let results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = results.found.get(number.checked_sub(1)?)?;
        Some(found.report(number))
    }

    pub(super) fn report_of(&self, id: ContentId) -> Option<ResultReport> {
        let number = {
            let results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *results.by_id.get(&id)?
        };
        self.report(number)
    }

    /// Takes a hit in: the number of its content, and whether it is the first of that;
    /// none when there is no room for another.
    pub(super) fn add(&self, hit: &Hit, source: &SourceReport) -> Option<(usize, bool)> {
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = if results.room.is_some() { MAX_EACH } else { usize::MAX };
        let (number, first) = match results.by_id.get(&hit.id) {
            Some(&number) => (number, false),
            None if results.room.is_some_and(|room| results.found.len() >= room) => return None,
            None => {
                results.found.push(Found::new(hit.id));
                let number = results.found.len();
                results.by_id.insert(hit.id, number);
                (number, true)
            }
        };
        if let Some(found) = results.found.get_mut(number - 1) {
            count(&mut found.sizes, Some(hit.size), each);
            count(&mut found.names, Some(hit.name.clone()), each);
            count(&mut found.folders, hit.folder().map(str::to_owned), each);
            count(&mut found.modified, hit.modified(), each);
            count(&mut found.collections, hit.collection(), each);
            if found.sources.len() < each || found.sources.contains_key(&source.id) {
                let known = found.sources.entry(source.id);
                known.and_modify(|known| known.merge(source)).or_insert_with(|| source.clone());
            }
        }
        Some((number, first))
    }

    /// What those who have the contents are called.
    fn names(&self) -> Vec<(ServentId, String)> {
        let results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = results.found.iter().flat_map(|found| found.sources.values());
        sources.map(|source| (source.id, source.name.clone())).collect()
    }

    pub(super) fn files(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).found.len()
    }
}

/// Counts one more word for `value`, of which at most `each` different ones are kept.
fn count<T: Ord>(words: &mut BTreeMap<T, usize>, value: Option<T>, each: usize) {
    let Some(value) = value else { return };
    if words.len() < each || words.contains_key(&value) {
        *words.entry(value).or_default() += 1;
    }
}

/// The values, that which most say first.
fn commonest<T: Clone>(words: &BTreeMap<T, usize>) -> Vec<T> {
    let mut words: Vec<_> = words.iter().collect();
    words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    words.into_iter().map(|(value, _)| value.clone()).collect()
}

fn collection_report((files, bytes): (u64, u64)) -> CollectionReport {
    CollectionReport { files, bytes }
}

impl Found {
    fn new(id: ContentId) -> Self {
        Self {
            id,
            sizes: BTreeMap::new(),
            names: BTreeMap::new(),
            folders: BTreeMap::new(),
            modified: BTreeMap::new(),
            collections: BTreeMap::new(),
            sources: BTreeMap::new(),
        }
    }

    fn report(&self, number: usize) -> ResultReport {
        let names = commonest(&self.names);
        let mut sources: Vec<SourceReport> = self.sources.values().cloned().collect();
        sources.sort_by_key(|source| source.hops);
        ResultReport {
            number,
            id: self.id,
            size: commonest(&self.sizes).first().copied().unwrap_or(0),
            file_type: names.first().and_then(|name| FileType::of_name(name)),
            names,
            sources,
            folders: commonest(&self.folders),
            modified: commonest(&self.modified).first().copied(),
            collection: commonest(&self.collections).first().copied().map(collection_report),
        }
    }
}

impl Servent {
    /// Searches. Hits come by the receiver as they arrive, then the end; dropping the
    /// receiver ends the search. Its results replace those of the search before.
    ///
    /// # Errors
    /// [`SearchError`]; then the results of the search before stay.
    pub async fn search(
        &self,
        request: SearchRequest,
    ) -> Result<mpsc::Receiver<SearchEvent>, SearchError> {
        let results = SharedResults::default();
        let inner = &self.0;
        let events = start(&inner.ground, &inner.driver, &request, results.clone()).await?;
        *inner.results.lock().unwrap_or_else(PoisonError::into_inner) = results;
        Ok(events)
    }

    pub(super) fn latest(&self) -> SharedResults {
        self.0.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the latest search has found, or what was seen by browsing since.
    #[must_use]
    pub async fn results(&self) -> Vec<ResultReport> {
        self.latest().reports()
    }

    /// Those of the [`Servent::results`] that fit `query`, as far as they are described.
    ///
    /// # Errors
    /// [`QueryError`], when the query makes no sense.
    pub async fn results_that_fit(&self, query: &str) -> Result<Vec<ResultReport>, QueryError> {
        let query = Query::filter(query)?;
        let mut results = self.latest().reports();
        results.retain(|result| {
            let folders = result.folders.join("/");
            result.names.iter().any(|name| {
                let ResultReport { id, size, .. } = *result;
                query.fits(&Entry { id, size, name, folder: &folders })
            })
        });
        Ok(results)
    }
}

/// Checks a request and starts its search; hits and the end come by the receiver, and
/// dropping it ends the search.
pub(super) async fn start(
    ground: &Arc<Ground>,
    driver: &mpsc::Sender<Command>,
    request: &SearchRequest,
    results: SharedResults,
) -> Result<mpsc::Receiver<SearchEvent>, SearchError> {
    Query::parse(&request.text)?;
    let rings = match request.reach {
        Reach::Rings => RINGS.to_vec(),
        Reach::All => vec![MAX_TTL],
        Reach::Ttl(ttl) if (1..=MAX_TTL).contains(&ttl) => vec![ttl],
        Reach::Ttl(ttl) => return Err(SearchError::Ttl(ttl)),
    };
    let ext = if request.trace { Trace::wanted() } else { Vec::new() };
    let body = QueryBody { text: request.text.clone(), ext };
    let body = encode_query_body(&body)?;
    let guid = Guid(random().ok_or(SearchError::Random)?);
    let (updates, inbox) = mpsc::channel(UPDATES);
    let command = Command::Search { guid, body, rings, updates };
    driver.send(command).await.map_err(|_| SearchError::Stopping)?;
    let (events, outbox) = mpsc::channel(EVENTS);
    let run = Run {
        ground: Arc::clone(ground),
        driver: driver.clone(),
        guid,
        enough: request.enough,
        networks: ground.networks(),
        results,
        stopped: Vec::new(),
        began: Instant::now(),
    };
    ground.spawn(run.run(inbox, events));
    Ok(outbox)
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    use rand::TryRng;
    let mut bytes = [0; N];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).ok()?;
    Some(bytes)
}

struct Run {
    ground: Arc<Ground>,
    driver: mpsc::Sender<Command>,
    guid: Guid,
    enough: usize,
    /// Where this servent is itself.
    networks: Vec<IpAddr>,
    results: SharedResults,
    stopped: Vec<StoppedReport>,
    began: Instant,
}

impl Run {
    async fn run(mut self, mut inbox: mpsc::Receiver<Update>, events: mpsc::Sender<SearchEvent>) {
        loop {
            let update = tokio::select! {
                biased;
                () = self.ground.stop.cancelled() => return,
                () = events.closed() => break,
                update = inbox.recv() => update,
            };
            match update {
                Some(Update::Hit(hit, seen)) => {
                    for report in self.take(&hit, &seen) {
                        let told = events.send(SearchEvent::Hit(report));
                        let _ = self.ground.stop.run_until_cancelled(told).await;
                    }
                    if self.results.files() >= self.enough {
                        self.tell(Input::Enough { guid: self.guid }).await;
                    }
                }
                Some(Update::Trace(tree, named)) => {
                    let report = self.name(tree, named);
                    let _ = events.send(SearchEvent::Trace(report)).await;
                }
                Some(Update::Ring(end)) if end.last => {
                    let files = self.results.files();
                    let end = SearchEnd {
                        asked: end.asked,
                        lost: end.lost,
                        radius: end.radius,
                        by_timer: end.by_timer,
                        enough: files >= self.enough,
                        cut: end.cut,
                        stopped: std::mem::take(&mut self.stopped),
                        files,
                        took_micros: self.took_micros(),
                    };
                    let _ = events.send(SearchEvent::End(end)).await;
                    return;
                }
                Some(Update::Ring(_)) => {}
                None => return,
            }
        }
        self.tell(Input::Abandon { guid: self.guid }).await;
    }

    fn took_micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn tell(&self, input: Input) {
        let _ = self.driver.send(Command::Tell(input)).await;
    }

    /// The trace with the names that are known: neighbours' and those of who has hits.
    fn name(&self, tree: TraceTree, named: Vec<(ServentId, String)>) -> TraceReport {
        let mut names = self.results.names();
        names.extend(named);
        let names: BTreeMap<ShortId, String> =
            names.into_iter().map(|(id, name)| (id.into(), name)).collect();
        let servents = tree.servents.into_iter().map(|servent| TracedReport {
            parent: servent.parent,
            id: servent.id.is_named().then(|| servent.id.to_string()),
            name: names.get(&servent.id).cloned().unwrap_or_default(),
            hops: servent.hops,
            asked: servent.asked,
            silent: servent.silent,
            answered: servent.answered,
            owes: servent.owes,
            hits: servent.hits,
            copies: servent.copies,
            duplicates: servent.duplicates,
            lost: servent.lost,
            unsaid: servent.unsaid,
            sent_micros: servent.sent,
            answered_micros: servent.back,
            link_micros: servent.link,
        });
        TraceReport {
            servents: servents.collect(),
            unsaid: tree.unsaid,
            copies: tree.copies,
            duplicates: tree.duplicates,
        }
    }

    /// Turns a frame of hits into results. What is no file of ours to be is dropped.
    fn take(&mut self, hit: &QueryHit, seen: &[IpAddr]) -> Vec<HitReport> {
        let Ok(body) = decode_hit_body(&hit.body) else { return Vec::new() };
        let cut = body.is_cut();
        let HitBody { addresses, name, unreachable, hits, .. } = body;
        // The relays counted by the frame's own number; who lies to them is not heard.
        if hit.responder == self.ground.id || hits.len() != usize::from(hit.count) {
            return Vec::new();
        }
        let known = |stopped: &StoppedReport| stopped.servent == hit.responder;
        if cut && self.stopped.len() < MAX_STOPPED && !self.stopped.iter().any(known) {
            let servent_name = name.clone();
            self.stopped.push(StoppedReport { servent: hit.responder, servent_name });
        }
        // A hit is a stranger's word, and it crossed others: only what may be dialled on
        // such a word is. It may have come from as near as we or our neighbours are.
        let near =
            |address| self.networks.iter().chain(seen).any(|&giver| dialable(address, giver));
        let usable = addresses.into_iter().filter(|&address| near(address));
        let contact = Contact::new(hit.responder, usable);
        let hops = u16::from(hit.hops.0) + 1;
        let source = SourceReport {
            id: hit.responder,
            name,
            addresses: contact.addresses,
            hops: Some(hops),
            calls_back: unreachable,
            way: Some(hit.guid),
        };
        let mut reports = Vec::new();
        for file in &hits {
            if Geometry::of(file.size).is_none() {
                continue;
            }
            let Some((number, first)) = self.results.add(file, &source) else { continue };
            reports.push(HitReport {
                number,
                first,
                id: file.id,
                size: file.size,
                name: file.name.clone(),
                servent: source.id,
                servent_name: source.name.clone(),
                hops,
                after_micros: self.took_micros(),
                file_type: FileType::of_name(&file.name),
                folder: file.folder().map(str::to_owned),
                modified: file.modified(),
                collection: file.collection().map(collection_report),
            });
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(content: u8, name: &str) -> Hit {
        Hit { id: ContentId([content; 32]), size: 1, name: name.to_owned(), ext: Vec::new() }
    }

    fn source(number: u8) -> SourceReport {
        let id = ServentId([number; 32]);
        let (name, addresses) = (String::new(), Vec::new());
        SourceReport { id, name, addresses, hops: None, calls_back: false, way: None }
    }

    #[test]
    fn results_that_many_searches_fill_stay_bounded() {
        let results = SharedResults::with_room(2);
        for number in 0..=u8::MAX {
            assert_eq!(
                results.add(&hit(1, &number.to_string()), &source(number)).map(|f| f.0),
                Some(1)
            );
        }
        assert_eq!(results.add(&hit(2, "two"), &source(1)), Some((2, true)));
        assert_eq!(results.add(&hit(3, "three"), &source(1)), None);
        let reports = results.reports();
        assert_eq!((reports.len(), results.files()), (2, 2));
        assert_eq!((reports[0].sources.len(), reports[0].names.len()), (MAX_EACH, MAX_EACH));
    }
}
