//! A download looks for sources: the search that it starts by itself.
//!
//! Always true: one search of a download waits or runs at a time, none before there is a
//! mesh to flood, and how it ended is told behind all that it found.

use std::sync::Arc;

use super::{Fetch, Tools};
use crate::servent::report::{Reach, SearchEvent, SearchRequest, SourceReport};
use crate::servent::searching::{self, SharedResults};
use crate::transfer::Input;

/// Files of one search for sources that are enough: there is only one.
const ONE_FILE: usize = 1;

/// What the search brings.
pub(super) enum Finding {
    /// Somebody has the file, and calls it so.
    Source(SourceReport, Option<String>),
    /// It is over; `whole` when everybody asked has answered, and somebody was asked.
    End { whole: bool },
}

impl Fetch {
    pub(super) fn on_finding(&mut self, finding: Finding) {
        match finding {
            Finding::Source(source, name) => self.on_found(source, name),
            Finding::End { whole } => self.tell(Input::Searched { whole }),
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
                let source = report.sources.into_iter().find(|source| source.id == hit.servent);
                if let Some(source) = source
                    && found.send(Finding::Source(source, Some(hit.name))).await.is_err()
                {
                    return;
                }
            }
            drop(turn);
            let _ = found.send(Finding::End { whole }).await;
        });
    }
}
