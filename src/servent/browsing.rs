//! Looking through what somebody else shares, page by page.
//!
//! A listing is a stranger's word: its names are escaped where they are shown, its files
//! become results like those of a search, and are what their ids say or are not kept. Always
//! true: one command asks for at most [`MAX_WALK`] pages; a listing that names a folder twice
//! on a page, or leads back to where it was, ends with a sentence.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::admission::Pass;
use super::calling::{self, Approach, Reached};
use super::frames::{FrameReader, write_frame};
use super::greeting::{Greeted, Secured};
use super::handle::Servent;
use super::join::JoinError;
use super::report::{BrowseReport, BrowseRequest, BrowsedReport, SourceReport, Whom};
use super::searching::SharedResults;
use super::whom::{Acquaintance, WhomError};
use crate::base::escape::Escaped;
use crate::base::{Geometry, ServentId};
use crate::message::{Browse, Entry, Hit, Listed, Listing, TransferMessage};
use crate::share::FileType;

/// Pages that one command asks for, to come to the one that is wanted or past empty ones:
/// what the other side shows at once.
pub(super) const MAX_WALK: usize = 20;
/// How long a page may take: the other side looks into its memory.
const ANSWER: Duration = Duration::from_secs(10);
/// Files of one listing that are numbered; then the numbers begin anew.
const MAX_NUMBERED: usize = 10_000;
/// Pages of one folder that are remembered, to come back to: a hundred thousand files.
const MAX_PAGES: usize = 1000;
/// A closing connection says farewell within this time.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why nothing of a library is seen. Who is meant is named as for people, escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowseError {
    /// It is not clear whose.
    #[error(transparent)]
    Whom(#[from] WhomError),
    /// The place has no address.
    #[error(transparent)]
    Place(Box<JoinError>),
    /// It is our own.
    #[error("that is this servent itself; 'shared' lists what it shares")]
    Oneself,
    /// No folder has such a name.
    #[error("a folder of at most {} bytes is wanted", Browse::MAX_FOLDER)]
    LongFolder,
    /// Nobody can be asked.
    #[error("{who} cannot be asked what it shares: {why}")]
    Unreached {
        /// Who.
        who: String,
        /// Why: a phrase about "it".
        why: String,
    },
    /// It was asked, and does not answer.
    #[error(
        "{0} says nothing of what it shares; its part2part may be older than this, and search \
         finds its files all the same"
    )]
    Silent(String),
    /// Its user does not want it.
    #[error("{0} does not let others look through what it shares; search finds its files")]
    Closed(String),
    /// Too much was asked.
    #[error("{who} has shown as much as it does at a time; ask again in {secs} s")]
    Later {
        /// Who.
        who: String,
        /// After how many seconds.
        secs: u32,
    },
    /// There is nothing of that name.
    #[error("{who} shares no folder '{}'; 'browse {who}' begins where its library does", Escaped(.folder))]
    NoFolder {
        /// Who.
        who: String,
        /// Which folder; unescaped.
        folder: String,
    },
    /// It has forgotten what it said before.
    #[error("{0} no longer knows where that page begins; 'browse' begins anew")]
    Stale(String),
    /// There are fewer pages.
    #[error("there is no page {page}: the last one is {last}")]
    NoPage {
        /// Which was wanted.
        page: usize,
        /// How many there are.
        last: usize,
    },
    /// It is too far behind what was seen.
    #[error(
        "page {page} cannot be come to at once: {last} is the last that is known, and at most {MAX_WALK} pages are asked for at a time"
    )]
    Far {
        /// Which was wanted.
        page: usize,
        /// How many are known.
        last: usize,
    },
    /// What it says cannot be true.
    #[error("{who} {how}; its listing is not worth going on with")]
    Lies {
        /// Who.
        who: String,
        /// What it does: a phrase.
        how: &'static str,
    },
    /// The servent is stopping.
    #[error("the servent is stopping")]
    Stopping,
}

/// Whose library was looked through last, and how far.
pub(super) struct Browsing {
    id: ServentId,
    folder: String,
    /// Where each page begins that is known; the first one with nothing.
    cursors: Vec<Vec<u8>>,
    /// Every cursor that was given since the listing last became shorter.
    seen: BTreeSet<Vec<u8>>,
    /// The page that was shown last; 0: none.
    last: usize,
    results: SharedResults,
}

/// A page as it came.
struct Page {
    folders: Vec<String>,
    files: Vec<Hit>,
    more: bool,
}

/// The way to somebody, open for questions.
struct Desk {
    who: String,
    source: SourceReport,
    reader: FrameReader<Secured, TransferMessage>,
    /// Its place among those that came in, if it came in: taken as long as it is here.
    _pass: Option<Pass>,
}

impl Servent {
    /// Asks somebody for a page of what it shares. The files on it become results that
    /// downloads take by number, in place of those of the latest search.
    ///
    /// # Errors
    /// [`BrowseError`]; then the results stay what they were.
    pub async fn browse(&self, request: BrowseRequest) -> Result<BrowseReport, BrowseError> {
        let BrowseRequest { whom, folder, page } = request;
        let folder = folder.trim_matches('/').to_owned();
        if folder.len() > Browse::MAX_FOLDER {
            return Err(BrowseError::LongFolder);
        }
        let (id, known) = match whom {
            Whom::Named(whom) => match self.meant(&whom).await {
                Err(WhomError::Nobody(_)) if whom == self.tuning().name && !whom.is_empty() => {
                    return Err(BrowseError::Oneself);
                }
                meant => meant?,
            },
            Whom::At(target) => {
                let id = target.id.ok_or_else(|| {
                    let places = target.places.iter().map(ToString::to_string);
                    WhomError::Nobody(places.collect::<Vec<_>>().join(","))
                })?;
                let addresses = self.addresses_of(&target.places).await;
                let addresses = addresses.map_err(|error| BrowseError::Place(Box::new(error)))?;
                let mut known = self.acquaintances().await.remove(&id).unwrap_or_default();
                known.approach.addresses = addresses;
                (id, known)
            }
        };
        if id == self.id() {
            return Err(BrowseError::Oneself);
        }
        let mut desk = self.desk(id, known).await?;
        // Taken out meanwhile: no lock is held while the other side thinks. Who could not be
        // come to changes nothing.
        let earlier = self.browsing().take();
        let same = |earlier: &Browsing| {
            earlier.id == id
                && earlier.folder == folder
                // After the last page the first one comes again.
                && (page.is_some() || earlier.last < earlier.cursors.len())
                && earlier.results.files() < MAX_NUMBERED
        };
        let mut browsing =
            earlier.filter(same).unwrap_or_else(|| Browsing::new(id, folder.clone()));
        let wanted = page.unwrap_or(browsing.last + 1);
        let turned = tokio::select! {
            turned = browsing.turn_to(wanted, &mut desk) => turned,
            () = self.0.ground.stop.cancelled() => Err(BrowseError::Stopping),
        };
        let _ = timeout(FAREWELL, desk.reader.io_mut().shutdown()).await;
        let page = match turned {
            Ok(page) => page,
            Err(error) => {
                if !matches!(error, BrowseError::Stale(_) | BrowseError::Lies { .. }) {
                    *self.browsing() = Some(browsing);
                }
                return Err(error);
            }
        };
        let report = BrowseReport {
            servent: id,
            servent_name: desk.source.name.clone(),
            folder,
            page: browsing.last,
            files: numbered(&browsing.results, &desk.source, page.files),
            folders: page.folders,
            more: page.more,
        };
        *self.0.results.lock().unwrap_or_else(PoisonError::into_inner) = browsing.results.clone();
        *self.browsing() = Some(browsing);
        Ok(report)
    }

    fn browsing(&self) -> std::sync::MutexGuard<'_, Option<Browsing>> {
        self.0.browsing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes to somebody, by whatever way it takes.
    async fn desk(&self, id: ServentId, known: Acquaintance) -> Result<Desk, BrowseError> {
        let Acquaintance { name, approach } = known;
        let ground = &self.0.ground;
        let coming = calling::approach(ground, &self.0.driver, id, &approach);
        let reached = tokio::select! {
            reached = coming => reached,
            () = ground.stop.cancelled() => return Err(BrowseError::Stopping),
        };
        let Reached { greeted, pass } =
            reached.map_err(|why| BrowseError::Unreached { who: shown(&name, id), why })?;
        let Greeted { stream, ahead, peer, .. } = greeted;
        let Approach { addresses, way, calls_back } = approach;
        let name = peer.name;
        Ok(Desk {
            who: shown(&name, id),
            source: SourceReport { id, name, addresses, hops: None, calls_back, way },
            reader: FrameReader::resume(stream, ahead),
            _pass: pass,
        })
    }
}

impl Browsing {
    fn new(id: ServentId, folder: String) -> Self {
        let results = SharedResults::default();
        Self { id, folder, cursors: vec![vec![]], seen: BTreeSet::new(), last: 0, results }
    }

    /// Asks for page `wanted`, and for those before it that are not known.
    async fn turn_to(&mut self, wanted: usize, desk: &mut Desk) -> Result<Page, BrowseError> {
        for _ in 0..MAX_WALK {
            let known = self.cursors.len();
            let turned = wanted.min(known);
            let Some(cursor) = turned.checked_sub(1).and_then(|at| self.cursors.get(at)) else {
                return Err(BrowseError::NoPage { page: wanted, last: known });
            };
            let (page, next) = desk.ask(&self.folder, cursor.clone()).await?;
            let more = next.is_some();
            match next {
                // Nothing to be shown: this page begins where that one says.
                Some(next) if page.folders.is_empty() && page.files.is_empty() => {
                    self.forget_behind(turned);
                    self.advance(&next, desk)?;
                    self.cursors.truncate(turned - 1);
                    self.cursors.push(next);
                    continue;
                }
                Some(next) if turned == known && known < MAX_PAGES => {
                    self.advance(&next, desk)?;
                    self.cursors.push(next);
                }
                Some(_) => {}
                None if wanted > turned => {
                    return Err(BrowseError::NoPage { page: wanted, last: turned });
                }
                None => self.forget_behind(turned),
            }
            if turned == wanted {
                self.last = wanted;
                return Ok(Page { more: more && wanted < MAX_PAGES, ..page });
            }
        }
        Err(BrowseError::Far { page: wanted, last: self.cursors.len() })
    }

    /// Forgets where the pages behind this one begin: the listing has changed. What was
    /// given for them may be given again.
    fn forget_behind(&mut self, page: usize) {
        if page < self.cursors.len() {
            self.cursors.truncate(page);
            self.seen = self.cursors.iter().cloned().collect();
        }
    }

    /// Notes a cursor, which must be new.
    fn advance(&mut self, next: &[u8], desk: &Desk) -> Result<(), BrowseError> {
        match self.seen.insert(next.to_vec()) {
            true => Ok(()),
            false => Err(desk.lies("leads from one page back to another")),
        }
    }
}

impl Desk {
    fn lies(&self, how: &'static str) -> BrowseError {
        BrowseError::Lies { who: self.who.clone(), how }
    }

    /// Asks for one page: what is on it, and where the next one begins.
    async fn ask(
        &mut self,
        folder: &str,
        cursor: Vec<u8>,
    ) -> Result<(Page, Option<Vec<u8>>), BrowseError> {
        let ask = Browse { folder: folder.to_owned(), cursor, ext: Vec::new() };
        let asking = async {
            write_frame(self.reader.io_mut(), &TransferMessage::Browse(ask)).await.ok()?;
            self.reader.next().await.ok()?
        };
        let who = self.who.clone();
        let Ok(Some(TransferMessage::Listing(Listing { outcome, .. }))) =
            timeout(ANSWER, asking).await
        else {
            return Err(BrowseError::Silent(who));
        };
        let (entries, next) = match outcome {
            Listed::Page { entries, next } => (entries, next),
            Listed::Closed => return Err(BrowseError::Closed(who)),
            Listed::Later { secs } => return Err(BrowseError::Later { who, secs }),
            Listed::NoFolder => {
                return Err(BrowseError::NoFolder { who, folder: folder.to_owned() });
            }
            Listed::Stale => return Err(BrowseError::Stale(who)),
        };
        let mut page = Page { folders: Vec::new(), files: Vec::new(), more: next.is_some() };
        for entry in entries {
            match entry {
                Entry::Folder { name, .. } => {
                    if name.contains(['/', '\0']) || name == "." || name == ".." {
                        return Err(self.lies("names a folder that nobody can have"));
                    }
                    if page.folders.contains(&name) {
                        return Err(self.lies("names a folder twice"));
                    }
                    page.folders.push(name);
                }
                Entry::File(hit) => {
                    // Copies that lie in several published folders: one is as good as another.
                    let same = |known: &Hit| (known.id, &known.name) == (hit.id, &hit.name);
                    if !page.files.iter().any(same) {
                        page.files.push(hit);
                    }
                }
            }
        }
        Ok((page, next))
    }
}

/// The files of a page, which are results from now on. What is no file of ours to be is
/// dropped, as from a search.
fn numbered(results: &SharedResults, source: &SourceReport, files: Vec<Hit>) -> Vec<BrowsedReport> {
    let files = files.into_iter().filter(|hit| Geometry::of(hit.size).is_some());
    files
        .filter_map(|hit| {
            let (number, _) = results.add(&hit, source)?;
            Some(BrowsedReport {
                number,
                id: hit.id,
                size: hit.size,
                file_type: FileType::of_name(&hit.name),
                modified: hit.modified(),
                name: hit.name,
            })
        })
        .collect()
}

/// A servent for people: `name~shortid`.
fn shown(name: &str, id: ServentId) -> String {
    if name.is_empty() { id.short() } else { format!("{}~{}", Escaped(name), id.short()) }
}
