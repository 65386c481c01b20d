//! A download looks for sources: the search that it starts by itself, and what others name.
//!
//! Always true: one search of a download waits or runs at a time, none before there is a
//! mesh to flood, and how it ended is told behind all that it found.

use std::sync::Arc;

use super::{Fetch, Tools};
use crate::base::{Contact, ServentId};
use crate::overlay::dialable;
use crate::servent::calling::Approach;
use crate::servent::offload::offload;
use crate::servent::report::{Reach, SearchEvent, SearchRequest, SourceReport};
use crate::servent::searching::{self, SharedResults};
use crate::transfer::Input;

/// Files of one search for sources that are enough: there is only one.
const ONE_FILE: usize = 1;

/// What the search brings.
pub(in crate::servent) enum Finding {
    /// Somebody has the file, calls it so, and perhaps says how many files, and bytes in them,
    /// it lists.
    Source(SourceReport, Option<String>, Option<(u64, u64)>),
    /// It is over; `whole` when everybody asked has answered, and somebody was asked.
    End { whole: bool },
}

impl Fetch {
    pub(super) fn on_finding(&mut self, finding: Finding) {
        match finding {
            Finding::Source(source, name, collected) => self.on_found(source, name, collected),
            Finding::End { whole } => self.tell(Input::Searched { whole }),
        }
    }

    pub(super) fn learn(&mut self, source: SourceReport) {
        let id = source.id;
        let known = self.known.entry(id);
        known.and_modify(|known| known.merge(&source)).or_insert(source);
        self.news_for_the_record = true;
        let approach = self.approach(id);
        if let Some(open) = self.open.get(&id) {
            // Who was on the way by one that is gone takes the new one.
            open.approach.send_if_modified(|known| {
                let another = approach.calls_back && known.way != approach.way;
                if another {
                    *known = approach;
                }
                another
            });
        }
        self.tell(Input::SourceFound { source: id });
        self.forget_strangers();
    }

    pub(super) fn approach(&self, source: ServentId) -> Approach {
        let known = self.known.get(&source).map(|known| Approach {
            addresses: known.addresses.clone(),
            way: known.way,
            calls_back: known.calls_back,
        });
        known.unwrap_or_default()
    }

    /// Anybody may be said to have the file, so only those stay who are of use: the plan
    /// bounds whom it knows, and who gave pieces is owed thanks.
    fn forget_strangers(&mut self) {
        let Self { known, plan, gave, .. } = self;
        known.retain(|&id, _| plan.knows(id) || gave.contains(&id));
    }

    fn on_found(
        &mut self,
        source: SourceReport,
        name: Option<String>,
        collected: Option<(u64, u64)>,
    ) {
        self.collected = self.collected.or(collected);
        if let Some(name) = name.filter(|_| !self.named) {
            self.named = true;
            self.show.send_modify(|report| report.name = name);
            // Before the first piece of it: a run that finds all of them here and no name
            // would place the file under its hash.
            self.remember();
            offload(|| self.tools.unfinished.save_quietly());
        }
        self.learn(source);
    }

    /// A source names others: claims. Nobody is dialled whom a stranger there has no business
    /// to name.
    pub(super) fn on_told(&mut self, by: ServentId, contacts: Vec<Contact>) {
        let Some(seen) = self.open.get(&by).and_then(|open| open.seen) else { return };
        for Contact { id, mut addresses } in contacts {
            addresses.retain(|&address| dialable(address, seen.ip()));
            if addresses.is_empty() {
                continue;
            }
            let name = String::new();
            let (hops, calls_back, way) = (None, false, None);
            let source = SourceReport { id, name, addresses, hops, calls_back, way };
            // Hearsay changes nothing of what is known.
            self.known.entry(id).or_insert(source);
            self.tell(Input::SourceTold { source: id, by });
            self.forget_strangers();
        }
    }

    /// Floods a search for this content as soon as there is a mesh to flood; whoever has it
    /// becomes a source. One search waits or runs at a time.
    pub(super) fn find_sources(&self) {
        let Ok(turn) = Arc::clone(&self.finding).try_acquire_owned() else { return };
        let Tools { ground, driver, mut degree, .. } = self.tools.clone();
        let (id, found, number) = (self.show.borrow().id, self.found.clone(), self.number);
        self.ground.spawn(async move {
            let in_mesh = async {
                let _ = degree.wait_for(|&degree| degree > 0).await;
                ground.finding.wait(number, 1).await;
            };
            // Once the download is over nobody takes what is found.
            tokio::select! {
                () = found.closed() => return,
                () = in_mesh => {}
            }
            let text = format!("id:{id}");
            let request = SearchRequest { text, reach: Reach::All, enough: ONE_FILE, trace: false };
            let results = SharedResults::default();
            let Ok(mut events) =
                searching::start(&ground, &driver, &request, results.clone()).await
            else {
                return;
            };
            let mut whole = false;
            while let Some(event) = events.recv().await {
                let hit = match event {
                    SearchEvent::Hit(hit) => hit,
                    SearchEvent::Trace(_) => continue,
                    SearchEvent::End(end) => {
                        tracing::debug!(%id, ?end, "searched for sources");
                        whole = end.asked > 0 && end.lost == 0 && !end.by_timer;
                        break;
                    }
                };
                let report = results.report_of(id).filter(|_| hit.id == id);
                let Some(report) = report else { continue };
                let collected = report.collection.map(|sums| (sums.files, sums.bytes));
                let source = report.sources.into_iter().find(|source| source.id == hit.servent);
                if let Some(source) = source
                    && found.send(Finding::Source(source, Some(hit.name), collected)).await.is_err()
                {
                    return;
                }
            }
            drop(turn);
            let _ = found.send(Finding::End { whole }).await;
        });
    }
}
