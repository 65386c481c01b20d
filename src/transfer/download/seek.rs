//! The first stage of a download: a list, and a proof of the size that goes with it.
//!
//! Always true: a giver is on trial with its own list only; the last piece is asked of
//! whoever gave the list, so if it does not fit there, that giver lied.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::{Download, Stage};
use crate::base::{ServentId, Time};
use crate::transfer::event::{Event, Lie};
use crate::transfer::exchange::Output;
use crate::transfer::gather::Gather;
use crate::transfer::picker::ranges;
use crate::transfer::sources::{Link, Sources};
use crate::transfer::verify::{PieceList, PieceValue};

/// Givers asked for the list at the same time; their lists are 8 MiB each at most.
const MAX_GIVERS: usize = 4;
/// How long after the last giver was asked one more is, whatever the others bring meanwhile:
/// a list is some thirty-thousandth of its file, but one that drips may drip for ever.
const HEDGE: Duration = Duration::from_secs(2);
/// How long a giver that brings next to nothing keeps its trial from others that stand by,
/// once all trials are taken: eight who give nothing cost a quarter of a minute.
const ON_TRIAL: Duration = Duration::from_secs(6);
/// In what time a giver brings its list, evenly, and then its proof; else, once all trials are
/// taken, others that stand by are tried instead, unless it is further than all the rest.
const DUE: Duration = Duration::from_secs(20);

/// What one giver is on trial with.
#[derive(Debug)]
pub(super) enum Trial {
    Gathering(Gather),
    /// Its list merges; it was asked for the last piece.
    Proving(Arc<PieceList>),
}

impl Trial {
    /// How far it is.
    fn stand(&self) -> u32 {
        match self {
            Self::Gathering(gather) => gather.came(),
            Self::Proving(_) => u32::MAX,
        }
    }

    /// Whether it is not as far as it should be after so long.
    fn is_behind(&self, span: Duration) -> bool {
        match self {
            Self::Gathering(gather) => span >= ON_TRIAL && gather.is_behind(span, DUE),
            Self::Proving(_) => span >= DUE,
        }
    }
}

/// All trials, by giver.
pub(super) type Trials = BTreeMap<ServentId, Trial>;

impl Download {
    pub(super) fn on_manifest(
        &mut self,
        source: ServentId,
        size: u64,
        part: u32,
        values: &[PieceValue],
        out: &mut Vec<Output>,
    ) {
        let Stage::Seeking { trials, .. } = &mut self.stage else { return };
        let Some(Trial::Gathering(gather)) = trials.get_mut(&source) else { return };
        let taken = gather.take(size, part, values);
        let Some(link) = self.sources.link(source) else { return };
        link.parts = link.parts.saturating_sub(1);
        link.answered(self.now);
        match taken {
            Ok(None) => {}
            Ok(Some(list)) => {
                let geometry = list.geometry();
                let Some(last) = geometry.last() else { return };
                link.ask(self.now, vec![last], geometry.len(last));
                link.tried = self.now;
                trials.insert(source, Trial::Proving(list.clone()));
                out.push(Output::Candidate { source, list });
                out.push(Output::Request { source, pieces: ranges(&[last]) });
            }
            Err(lie) => self.blame(source, lie, out),
        }
    }

    /// Asks one giver for the list, and one more whenever that takes a while.
    pub(super) fn seek(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        let Stage::Seeking { trials, asked } = &mut self.stage else { return };
        let queued = |id: &ServentId| {
            self.sources.links().any(|(other, link)| other == *id && link.position().is_some())
        };
        // Where nobody has a slot for us the next is asked at once.
        let shut_out = trials.len() < MAX_GIVERS && trials.keys().all(queued);
        let due = shut_out || now.since(*asked) >= HEDGE;
        let free = self.sources.links().filter(|(id, link)| {
            link.is_ready() && link.owes_nothing() && !trials.contains_key(id)
        });
        let free: Vec<ServentId> = free.map(|(id, _)| id).collect();
        let mut idle = None;
        if due && !free.is_empty() {
            if trials.len() >= MAX_GIVERS {
                idle = keeps_waiting(trials, &self.sources, now);
            }
            if trials.len() < MAX_GIVERS || idle.is_some() {
                let drawn = free.get(self.rng.random_range(0..free.len()));
                if let Some(&giver) = drawn {
                    trials.insert(giver, Trial::Gathering(Gather::new(self.id)));
                    *asked = now;
                    if let Some(link) = self.sources.link(giver) {
                        link.tried = now;
                    }
                }
            }
        }
        for (&source, trial) in trials.iter_mut() {
            let Trial::Gathering(gather) = trial else { continue };
            let Some(link) = self.sources.link(source) else { continue };
            while let Some(part) = gather.next_part() {
                link.ask_part(now);
                out.push(Output::Describe { source, part });
            }
        }
        if let Some(idle) = idle {
            // It keeps us waiting, and others can give the list.
            let slow = self.sources.link(idle).is_some_and(|link| link.is_ready());
            self.put_aside(idle, out);
            if slow {
                self.tell(Event::Slow { source: idle }, out);
            }
        }
    }

    /// When one more giver may be asked, though nothing happens until then.
    pub(super) fn next_trial(&self) -> Option<Time> {
        let Stage::Seeking { trials, asked } = &self.stage else { return None };
        let tried = self.sources.links().filter(|(id, _)| trials.contains_key(id));
        let ends = tried.flat_map(|(_, link)| [link.tried + ON_TRIAL, link.tried + DUE]);
        ends.chain([*asked + HEDGE]).filter(|&at| at > self.now).min()
    }

    /// The list's last piece is proven: the size is bound.
    pub(super) fn bind(&mut self, giver: ServentId, list: &Arc<PieceList>, out: &mut Vec<Output>) {
        out.push(Output::Begin { list: list.clone() });
        let bound = Stage::Beginning { list: list.clone() };
        let Stage::Seeking { trials, .. } = std::mem::replace(&mut self.stage, bound) else {
            return;
        };
        for (other, trial) in trials.into_iter().filter(|(other, _)| *other != giver) {
            if let Trial::Proving(claim) = trial
                && claim.geometry() != list.geometry()
            {
                self.blame(other, Lie::Size { size: claim.geometry().size() }, out);
            } else {
                self.take_back(other, out);
            }
        }
    }
}

/// Whose trial another should have: who queues us, else who brought next to nothing for the
/// longest, else who is behind for the longest, though never who is further than all others.
fn keeps_waiting(trials: &Trials, sources: &Sources, now: Time) -> Option<ServentId> {
    type Tried<'a> = (ServentId, &'a Link, &'a Trial);
    let tried = || sources.links().filter_map(|(id, link)| Some((id, link, trials.get(&id)?)));
    let queued = || tried().find(|(_, link, _)| link.position().is_some());
    let lags = |(_, link, _): &Tried| link.lags(now, ON_TRIAL);
    let lagging = || tried().filter(lags).max_by_key(|(_, link, _)| link.lag(now));
    let stand = |(_, link, trial): &Tried| (trial.stand(), Reverse(link.tried));
    let first = tried().max_by_key(stand).map(|(id, ..)| id);
    let is_behind =
        |(id, link, trial): &Tried| Some(*id) != first && trial.is_behind(now.since(link.tried));
    let behind = || tried().filter(is_behind).min_by_key(|(_, link, _)| link.tried);
    queued().or_else(lagging).or_else(behind).map(|(id, ..)| id)
}
