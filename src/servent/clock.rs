//! The one place where a servent reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::base::Time;
use crate::overlay::config::HORIZON;

/// Where the engine's time begins, so that ages from before the start can be told: those
/// of all that the address book keeps.
const EPOCH: Duration = HORIZON.saturating_mul(2);

/// The time since the start of a servent, as the engine counts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(self) -> Time {
        Time::ZERO + EPOCH + self.start.elapsed()
    }

    /// When it will be `time`.
    pub(super) fn instant(self, time: Time) -> Instant {
        self.start + time.since(Time::ZERO + EPOCH)
    }

    /// Seconds since the start.
    pub(super) fn up_secs(self) -> u64 {
        self.start.elapsed().as_secs()
    }

    /// Seconds since 1970 by the machine's clock; only for what outlives the process.
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    pub(super) fn unix() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
