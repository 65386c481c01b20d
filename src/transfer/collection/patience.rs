//! How long a source of a folder's files is waited for.
//!
//! Always true: bytes and words alone keep nobody waited for; only what is whole does.

use std::time::Duration;

use crate::base::Time;

/// Silence after which a source is lost.
const SILENT: Duration = Duration::from_secs(30);
/// How long the next size or file may take to be whole: a file as large as they get here at
/// 550 bytes a second.
const WHOLE: Duration = Duration::from_secs(120);

/// How long it may keep us in its queue until the next size or file is whole. Others are asked
/// meanwhile for what waits there, so that it holds up only what nobody else has.
const QUEUED: Duration = Duration::from_secs(3600);

/// Whom it takes so long.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Mode {
    /// The source itself.
    #[default]
    Ready,
    /// Others before us at the source.
    Queued,
    /// Us: what it sent waits for our own cap.
    Throttled,
}

/// What a source that was asked for something has done since.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Patience {
    mode: Mode,
    heard: Time,
    /// Up to when the time is counted.
    counted: Time,
    /// The time since something was whole, by whom it took.
    ready: Duration,
    queued: Duration,
}

impl Patience {
    /// It is asked for something `now`, and owed nothing before.
    pub(super) fn new(now: Time) -> Self {
        Self { heard: now, counted: now, ..Self::default() }
    }

    fn turn(&mut self, mode: Mode, now: Time) {
        (self.ready, self.queued) = self.taken(now);
        *self = Self { mode, heard: now, counted: now, ..*self };
    }

    /// The time that it took itself, and in its queue.
    fn taken(&self, now: Time) -> (Duration, Duration) {
        let more = now.since(self.counted);
        match self.mode {
            Mode::Ready => (self.ready + more, self.queued),
            Mode::Queued => (self.ready, self.queued + more),
            Mode::Throttled => (self.ready, self.queued),
        }
    }

    /// It has said something.
    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// Some bytes of a file have come: it is not in a queue, nor do they wait for us.
    pub(super) fn sends(&mut self, now: Time) {
        self.turn(Mode::Ready, now);
    }

    /// What it is asked for waits in its queue.
    pub(super) fn queued(&mut self, now: Time) {
        self.turn(Mode::Queued, now);
    }

    /// What it has sent waits for our cap.
    pub(super) fn throttled(&mut self, now: Time) {
        self.turn(Mode::Throttled, now);
    }

    /// It has told a size or given a file.
    pub(super) fn whole(&mut self, now: Time) {
        *self = Self { mode: self.mode, ..Self::new(now) };
    }

    /// How long it has given nothing whole, but for the time that we took.
    pub(super) fn lag(&self, now: Time) -> Duration {
        let (ready, queued) = self.taken(now);
        ready + queued
    }

    /// Why it is waited for no longer, if so, as a phrase.
    pub(super) fn end(&self, now: Time) -> Option<&'static str> {
        let (ready, queued) = self.taken(now);
        if self.mode == Mode::Ready && now.since(self.heard) > SILENT {
            return Some("it says nothing");
        }
        if queued > QUEUED {
            return Some("it has kept us in its queue for an hour");
        }
        (ready > WHOLE).then_some("it has given nothing whole for two minutes")
    }
}
