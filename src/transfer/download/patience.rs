//! How long a download waits for sources that keep it waiting: slow, silent, queueing.
//!
//! Always true: work is taken from a slow source only if somebody else can do it, and
//! pieces that wait in a queue are free for others until the queue is over.

use super::{Download, Stage, cancel};
use crate::base::{PieceIndex, ServentId};
use crate::transfer::event::{Event, Loss};
use crate::transfer::exchange::{Output, Parting};
use crate::transfer::sources::{Link, MAX_OPEN, Mode};

use super::seek::Trial;

impl Download {
    /// Takes the work from sources that are too slow, if somebody else is there.
    pub(super) fn chase(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        let late = self.sources.links().filter(|(_, link)| link.is_overdue(now));
        let late: Vec<ServentId> = late.map(|(id, _)| id).collect();
        let able = |(_, link): (_, &Link)| link.is_ready() && !link.is_overdue(now);
        if late.is_empty() {
            return;
        }
        let others = self.sources.links().any(able);
        for source in late {
            if others {
                self.put_aside(source, out);
                self.tell(Event::Slow { source }, out);
            } else if self.sources.link(source).is_some_and(|link| link.is_deaf(now)) {
                out.push(Output::Disconnect { source, why: Parting::Silent });
                self.on_lost(source, Loss("nothing came for a minute".into()), out);
            }
        }
    }

    pub(super) fn put_aside(&mut self, source: ServentId, out: &mut Vec<Output>) {
        self.take_back(source, out);
        let until = self.sources.put_aside(self.now, source);
        if self.sources.open() >= MAX_OPEN && self.sources.dialable(self.now).is_some() {
            self.let_go(source);
            self.sources.leave_alone(source, until);
            out.push(Output::Disconnect { source, why: Parting::Slow });
        }
    }

    /// Whether every place is taken by who keeps us waiting, or says that it has nothing for
    /// us: that costs it nothing to say.
    pub(super) fn is_stuck(&self) -> bool {
        self.sources.open() >= MAX_OPEN && self.hopeful() == 0
    }

    /// Where every place is taken by such, the worst of them goes for who may be dialled: else
    /// sixteen that never give anything would hide one that does. It may come back later.
    pub(super) fn make_place(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        if !self.is_stuck() || self.sources.dialable(now).is_none() {
            return;
        }
        // First who is slow now or was so, then who has nothing for us, then the longest of the
        // queues in which we stand; of equals who never gave anything.
        let last = |(id, link): &(ServentId, &Link)| {
            let aside = matches!(link.mode, Mode::Aside { .. });
            let place = link.position().unwrap_or(u32::MAX);
            (link.is_overdue(now), aside, place, !self.sources.is_proven(*id))
        };
        let worst = self.sources.links().max_by_key(last);
        if let Some(worst) = worst.map(|(id, _)| id) {
            self.put_aside(worst, out);
        }
    }

    pub(super) fn on_queued(&mut self, source: ServentId, position: u32, out: &mut Vec<Output>) {
        let Some(link) = self.sources.link(source) else { return };
        if let Mode::Queued { position: place, .. } = &mut link.mode {
            *place = position; // the queue has moved
            return;
        }
        if !link.is_ready() || link.pieces() == 0 {
            return;
        }
        // Its place in the queue is kept, but the pieces are free for whoever is faster.
        let pieces = link.clear();
        link.mode = Mode::Queued { pieces: pieces.clone(), position };
        self.release(source, &pieces);
        self.tell(Event::Queued { source, position }, out);
    }

    /// `source` was silent about pieces that wait in its queue, and now sends: what is
    /// still wanted counts as asked of it again, the rest is cancelled.
    pub(super) fn reclaim(&mut self, source: ServentId, out: &mut Vec<Output>) {
        let now = self.now;
        let Some(link) = self.sources.link(source) else { return };
        let Mode::Queued { pieces, .. } = &mut link.mode else { return };
        let pieces = std::mem::take(pieces);
        link.mode = Mode::Ready;
        let (list, (wanted, late)) = match &mut self.stage {
            Stage::Fetching { list, picker } => {
                let claimed = pieces.into_iter().partition(|&piece| picker.claim(source, piece));
                (list.clone(), claimed)
            }
            Stage::Seeking { trials, .. } => match trials.get(&source) {
                Some(Trial::Proving(list)) => (list.clone(), (pieces, Vec::new())),
                _ => return,
            },
            _ => return,
        };
        let wanted: Vec<PieceIndex> = wanted;
        if !wanted.is_empty() {
            let bytes = wanted.iter().map(|&piece| list.geometry().len(piece)).sum();
            link.ask(now, wanted, bytes);
        }
        cancel(source, &late, out);
    }
}
