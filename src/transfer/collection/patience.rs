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

/// What a source that was asked for something has done since.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Patience {
    heard: Time,
    whole: Time,
}

impl Patience {
    /// It is asked for something `now`, and owed nothing before.
    pub(super) fn new(now: Time) -> Self {
        Self { heard: now, whole: now }
    }

    /// It has said something.
    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// It has told a size or given a file.
    pub(super) fn whole(&mut self, now: Time) {
        *self = Self::new(now);
    }

    /// How long it has given nothing whole.
    pub(super) fn lag(&self, now: Time) -> Duration {
        now.since(self.whole)
    }

    /// Why it is waited for no longer, if so, as a phrase.
    pub(super) fn end(&self, now: Time) -> Option<&'static str> {
        if now.since(self.heard) > SILENT {
            return Some("it says nothing");
        }
        (now.since(self.whole) > WHOLE).then_some("it has given nothing whole for two minutes")
    }
}
