//! What a download has to tell its user, as data from which one sentence is made.
//!
//! Each event says what happened, whose doing it was, and what happens next. The
//! sentences name servents by their short ids; who knows their names may put them in
//! place of the ids ([`Event::servents`]).

use std::fmt;
use std::time::Duration;

use crate::base::{PieceIndex, ServentId};
use crate::message::Refusal;
use crate::transfer::ListError;

/// Why a source was lost: the connection could not be made, or it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss(
    /// What happened, as a phrase: `connection reset`, `nobody answers at 10.0.0.7:7272`.
    pub String,
);

/// What a source did that no honest one does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lie {
    /// It names a size beyond what a file here may have.
    TooLarge {
        /// In bytes.
        size: u64,
    },
    /// Its list is not that of the file.
    List(ListError),
    /// Its list merges to the id, but not at the size it named.
    Size {
        /// In bytes.
        size: u64,
    },
    /// Its parts of the list do not follow each other, or contradict each other.
    Parts,
    /// It sent a piece that is not of the file.
    Piece(PieceIndex),
    /// What it says it has is not of a file with so many pieces.
    Map,
}

/// What comes after a source is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The download goes on with other sources.
    Others {
        /// How many are connected or about to be.
        left: usize,
    },
    /// Nobody is there to ask; a source will be dialled again.
    Redial {
        /// Which.
        source: ServentId,
        /// In how long.
        wait: Duration,
    },
    /// Nobody is known; the mesh will be searched.
    Search {
        /// In how long; zero: just now.
        wait: Duration,
    },
    /// Nobody gives anything yet; a source has us in its queue.
    Queue {
        /// Which.
        source: ServentId,
        /// 1: next.
        position: u32,
    },
    /// Nobody who is connected has these pieces; the mesh will be searched.
    Lacking {
        /// The first of them.
        first: PieceIndex,
        /// The last of them.
        last: PieceIndex,
        /// In how long.
        wait: Duration,
    },
    /// Nothing: the download is over.
    Nothing,
}

impl Next {
    /// The servent that it is about.
    #[must_use]
    pub fn servent(&self) -> Option<ServentId> {
        match self {
            Self::Redial { source, .. } | Self::Queue { source, .. } => Some(*source),
            Self::Others { .. } | Self::Search { .. } | Self::Lacking { .. } | Self::Nothing => {
                None
            }
        }
    }
}

/// Why a download stands still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PauseReason {
    /// The user wishes so.
    User,
    /// The disk will not take more; the phrase says why.
    Disk(String),
}

/// Something that a download has to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A source could not be reached, or its connection ended. Told once, not for every
    /// redial that fails.
    Lost {
        /// Which.
        source: ServentId,
        /// Why.
        why: Loss,
        /// Whether no other is known.
        only: bool,
        /// What comes next.
        next: Next,
    },
    /// A source will not give the file.
    Refused {
        /// Which.
        source: ServentId,
        /// Why.
        reason: Refusal,
        /// What comes next.
        next: Next,
    },
    /// A source lied, provably; it is asked for nothing of this file any more.
    Lied {
        /// Which.
        source: ServentId,
        /// How.
        lie: Lie,
        /// What comes next.
        next: Next,
    },
    /// A source sends nothing, or next to nothing: its work goes to others.
    Slow {
        /// Which.
        source: ServentId,
    },
    /// A source has taken us into its queue.
    Queued {
        /// Which.
        source: ServentId,
        /// 1: next.
        position: u32,
    },
    /// Nobody is known who has the file.
    Waiting {
        /// What comes next.
        next: Next,
    },
    /// A piece came after a wait.
    Resumed {
        /// From whom.
        source: ServentId,
    },
    /// The download stands still.
    Paused(PauseReason),
    /// The download goes on after it stood still.
    Unpaused,
}

impl Event {
    /// The source that it is about.
    #[must_use]
    pub fn source(&self) -> Option<ServentId> {
        match self {
            Self::Lost { source, .. }
            | Self::Refused { source, .. }
            | Self::Lied { source, .. }
            | Self::Slow { source }
            | Self::Queued { source, .. }
            | Self::Resumed { source } => Some(*source),
            Self::Waiting { .. } | Self::Paused(_) | Self::Unpaused => None,
        }
    }

    /// All whose short ids are in its sentence: its source, and that of what comes next.
    pub fn servents(&self) -> impl Iterator<Item = ServentId> {
        let next = match self {
            Self::Lost { next, .. }
            | Self::Refused { next, .. }
            | Self::Lied { next, .. }
            | Self::Waiting { next } => next.servent(),
            _ => None,
        };
        self.source().into_iter().chain(next)
    }

    /// What a source did or suffered, without what comes next; none when it is no trouble.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Lost { source, why, only, .. } => {
                let which = if *only { "its only source" } else { "source" };
                Some(format!("lost {which} {} ({why})", source.short()))
            }
            Self::Refused { source, reason, .. } => {
                Some(format!("source {} refused: {}", source.short(), phrase(*reason)))
            }
            Self::Lied { source, lie, .. } => {
                Some(format!("source {} {lie}, it is asked no more", source.short()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trouble = self.trouble().unwrap_or_default();
        match self {
            Self::Lost { source, next, .. } => match next {
                Next::Redial { source: again, wait } if again == source => {
                    write!(f, "{trouble}; redialling in {}", Span(*wait))
                }
                next => write!(f, "{trouble}; {next}"),
            },
            Self::Refused { next, .. } | Self::Lied { next, .. } => write!(f, "{trouble}; {next}"),
            Self::Slow { source } => {
                write!(f, "source {} is too slow; its work goes to others", source.short())
            }
            Self::Queued { source, position } => {
                write!(f, "source {} is busy; we are number {position} in its queue", {
                    source.short()
                })
            }
            Self::Waiting { next: Next::Search { wait } } if wait.is_zero() => {
                f.write_str("nobody is known who has the file; searching")
            }
            Self::Waiting { next } => write!(f, "waiting: {next}"),
            Self::Resumed { source } => write!(f, "goes on, from source {}", source.short()),
            Self::Paused(reason) => write!(f, "paused: {reason}"),
            Self::Unpaused => f.write_str("goes on"),
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Others { left: 1 } => f.write_str("1 source left"),
            Self::Others { left } => write!(f, "{left} sources left"),
            Self::Redial { source, wait } => {
                write!(f, "no source left; redialling {} in {}", source.short(), Span(*wait))
            }
            Self::Search { wait } if wait.is_zero() => {
                f.write_str("no source left; searching for others")
            }
            Self::Search { wait } => {
                write!(f, "no source left; searching again in {}", Span(*wait))
            }
            Self::Queue { source, position } => {
                write!(f, "number {position} in the queue of {}", source.short())
            }
            Self::Lacking { first, last, wait } => {
                if first == last {
                    write!(f, "nobody has piece {first}; ")?;
                } else {
                    write!(f, "nobody has pieces {first} to {last}; ")?;
                }
                write!(f, "searching again in {}", Span(*wait))
            }
            Self::Nothing => f.write_str("no source left"),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size } => {
                write!(f, "names a size of {size} bytes, which is too large")
            }
            Self::List(error) => write!(f, "gave a wrong list: {error}"),
            Self::Size { size } => write!(f, "names a wrong size ({size} bytes)"),
            Self::Parts => f.write_str("gave a list whose parts do not fit together"),
            Self::Piece(piece) => write!(f, "sent a wrong piece ({piece})"),
            Self::Map => f.write_str("says that it has pieces of another file"),
        }
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("as you wished"),
            Self::Disk(why) => f.write_str(why),
        }
    }
}

/// A refusal as a phrase for people.
#[must_use]
pub fn phrase(reason: Refusal) -> &'static str {
    match reason {
        Refusal::NotHere => "it does not have the file",
        Refusal::Withdrawn => "file withdrawn",
        Refusal::Changed => "the file changed on its disk",
        Refusal::Unreadable => "its disk cannot read the file",
        Refusal::Busy => {
            "it gives nothing at present (its slots and queue are full, or its service is off)"
        }
        Refusal::BadRequest => "it does not understand our request",
    }
}

/// A wait for people: whole seconds or minutes, rounded up.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_millis().div_ceil(1000);
        if seconds < 120 { write!(f, "{seconds} s") } else { write!(f, "{} min", seconds / 60) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServentId = ServentId([0; 32]);
    const B: ServentId = ServentId([255; 32]);

    #[test]
    fn a_lost_source_reads_as_what_happened_and_what_is_next() {
        let why = Loss("connection reset".into());
        let next = Next::Redial { source: A, wait: Duration::from_secs(1) };
        let lost = Event::Lost { source: A, why: why.clone(), only: true, next };
        assert_eq!(
            lost.to_string(),
            "lost its only source aaaaaaaa (connection reset); redialling in 1 s"
        );
        let next = Next::Others { left: 2 };
        let lost = Event::Lost { source: B, why: why.clone(), only: false, next };
        assert_eq!(lost.to_string(), "lost source 77777777 (connection reset); 2 sources left");
        let next = Next::Redial { source: A, wait: Duration::from_millis(1500) };
        let lost = Event::Lost { source: B, why, only: false, next };
        assert_eq!(
            lost.to_string(),
            "lost source 77777777 (connection reset); no source left; redialling aaaaaaaa in 2 s"
        );
    }

    #[test]
    fn a_refusal_and_a_lie_name_the_reason_and_who_is_left() {
        let next = Next::Others { left: 1 };
        let refused = Event::Refused { source: A, reason: Refusal::Withdrawn, next };
        assert_eq!(refused.to_string(), "source aaaaaaaa refused: file withdrawn; 1 source left");
        assert_eq!(refused.trouble().unwrap(), "source aaaaaaaa refused: file withdrawn");
        assert_eq!(Event::Queued { source: A, position: 1 }.trouble(), None);
        let next = Next::Search { wait: Duration::from_secs(300) };
        let lied = Event::Lied { source: A, lie: Lie::List(ListError::Mismatch), next };
        assert_eq!(
            lied.to_string(),
            "source aaaaaaaa gave a wrong list: the piece values do not merge to the content id, \
             it is asked no more; no source left; searching again in 5 min"
        );
        assert_eq!(lied.source(), Some(A));
    }
}
