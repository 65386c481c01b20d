//! What went wrong with connections, counted by whose doing it was.

use std::sync::atomic::{AtomicU64, Ordering};

use super::report::IncidentsReport;

/// Something that went wrong and ended a connection, or a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Incident {
    /// Somebody connected and never said a hello that could be understood.
    Greeting,
    /// Somebody was turned away: too many or too fast from there, or no room.
    TurnedAway,
    /// A servent broke the rules of the protocol.
    Offence,
    /// A task of this servent panicked.
    Fault,
}

/// How many of each there were since the start.
#[derive(Debug, Default)]
pub(super) struct Incidents {
    greetings: AtomicU64,
    turned_away: AtomicU64,
    offences: AtomicU64,
    faults: AtomicU64,
}

impl Incidents {
    pub(super) fn note(&self, incident: Incident) {
        let counter = match incident {
            Incident::Greeting => &self.greetings,
            Incident::TurnedAway => &self.turned_away,
            Incident::Offence => &self.offences,
            Incident::Fault => &self.faults,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> IncidentsReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IncidentsReport {
            greetings: read(&self.greetings),
            turned_away: read(&self.turned_away),
            offences: read(&self.offences),
            faults: read(&self.faults),
        }
    }
}
