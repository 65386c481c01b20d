//! The upload slots of this servent, and where each connection stands.
//!
//! Always true: whoever's place changes is told before anybody else can change it again;
//! a connection that ends leaves its slot, or its place in the queue.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

use super::clock::Clock;
use super::ground::Ground;
use super::report::UploadState;
use super::uploads::UploadLog;
use crate::transfer::{Answer, Change, UploadSlots};

/// The upload slots of this servent, shared by its connections.
pub(super) struct Uploads {
    table: Mutex<Table>,
    changed: Notify,
    pub(super) log: UploadLog,
}

#[derive(Default)]
struct Table {
    next: u64,
    slots: UploadSlots<u64, IpAddr>,
    told: std::collections::BTreeMap<u64, watch::Sender<Place>>,
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// It has asked for nothing.
    Idle,
    Queued(u32),
    Slot,
    /// It took nothing for too long.
    Stopped,
}

impl Uploads {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let log = UploadLog::new(clock);
        Arc::new(Self { table: Mutex::default(), changed: Notify::new(), log })
    }

    /// How a connection stands; none when it has ended.
    pub(super) fn stand(&self, connection: u64) -> Option<UploadState> {
        let place = *self.lock().told.get(&connection)?.borrow();
        Some(match place {
            Place::Slot => UploadState::Sending,
            Place::Queued(position) => UploadState::Queued { position },
            Place::Idle => UploadState::Idle,
            Place::Stopped => UploadState::Ended,
        })
    }

    /// How many connections hold a slot.
    pub(super) fn active(&self) -> usize {
        self.lock().slots.holders().count()
    }

    /// Takes slots from those who do not read; runs until the servent stops.
    pub(super) async fn keep(self: Arc<Self>, ground: Arc<Ground>) {
        loop {
            let due = self.lock().slots.next_deadline().map(|at| ground.clock.instant(at));
            let wake = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ground.stop.cancelled() => return,
                () = self.changed.notified() => continue,
                () = wake => {}
            }
            let now = ground.clock.now();
            self.change(|slots, out| slots.wake(now, out));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the slots, and tells everybody whose place that changed before anybody
    /// else can change them again.
    fn change(&self, change: impl FnOnce(&mut UploadSlots<u64, IpAddr>, &mut Vec<Change<u64>>)) {
        let mut table = self.lock();
        let mut changes = Vec::new();
        change(&mut table.slots, &mut changes);
        // Without a change deadlines only move on, and the keeper finds that out itself.
        let changed = !changes.is_empty();
        for change in changes {
            let (peer, place) = match change {
                Change::Granted(peer) => (peer, Place::Slot),
                Change::Queued(peer, position) => (peer, Place::Queued(position)),
                Change::Stopped(peer) => (peer, Place::Stopped),
            };
            if let Some(told) = table.told.get(&peer) {
                told.send_if_modified(|known| std::mem::replace(known, place) != place);
            }
        }
        drop(table);
        if changed {
            self.changed.notify_one();
        }
    }

    pub(super) fn enter(
        self: &Arc<Self>,
        group: Option<IpAddr>,
        clock: Clock,
    ) -> (Ticket, watch::Receiver<Place>) {
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        let (told, place) = watch::channel(Place::Idle);
        table.told.insert(number, told);
        drop(table);
        (Ticket { uploads: Arc::clone(self), number, group, clock }, place)
    }
}

/// A connection's entry among the uploads; gone when dropped.
pub(super) struct Ticket {
    pub(super) uploads: Arc<Uploads>,
    pub(super) number: u64,
    group: Option<IpAddr>,
    clock: Clock,
}

impl Ticket {
    /// Asks for a slot; false when slots and queue are full.
    pub(super) fn ask(&self) -> bool {
        let mut taken = true;
        self.uploads.change(|slots, out| {
            match slots.ask(self.number, self.group, self.clock.now(), out) {
                Answer::Granted => out.push(Change::Granted(self.number)),
                Answer::Queued(position) => out.push(Change::Queued(self.number, position)),
                Answer::Busy => taken = false,
            }
        });
        taken
    }

    pub(super) fn served(&self, bytes: u64) {
        let now = self.clock.now();
        self.uploads.change(|slots, out| slots.served(self.number, bytes, now, out));
    }

    /// Our own cap holds back what is next for it.
    pub(super) fn held_back(&self) {
        let now = self.clock.now();
        self.uploads.change(|slots, _| slots.held_back(self.number, now));
    }

    pub(super) fn idle(&self) {
        let now = self.clock.now();
        self.uploads.change(|slots, out| slots.idle(self.number, now, out));
        if let Some(told) = self.uploads.lock().told.get(&self.number) {
            // Only this connection asks for itself, so nothing is overwritten.
            told.send_replace(Place::Idle);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.uploads.lock().told.remove(&self.number);
        let now = self.clock.now();
        self.uploads.change(|slots, out| slots.gone(self.number, now, out));
    }
}
