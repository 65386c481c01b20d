//! How fast bytes come or go.

use std::time::Duration;

use super::Time;

/// How long bytes are counted for one sample of the rate.
const SAMPLE: Duration = Duration::from_millis(100);
/// A rate older than this is no rate.
const STALE: Duration = Duration::from_secs(3);
/// Bytes a second, as of late.
#[derive(Debug)]
pub struct Meter {
    since: Time,
    bytes: u64,
    rate: u64,
}

impl Meter {
    /// One that has counted nothing yet.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self { since: now, bytes: 0, rate: 0 }
    }

    /// Time in which nothing was asked for does not count.
    pub fn pause(&mut self, now: Time) {
        self.since = now;
        self.bytes = 0;
    }

    /// Counts bytes.
    pub fn add(&mut self, now: Time, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if now.since(self.since) >= SAMPLE {
            let sample = self.sample(now);
            self.rate = if self.rate == 0 { sample } else { self.rate / 2 + sample / 2 };
            self.pause(now);
        }
    }

    fn sample(&self, now: Time) -> u64 {
        let micros = u64::try_from(now.since(self.since).as_micros()).unwrap_or(u64::MAX);
        self.bytes.saturating_mul(1_000_000) / micros.max(1)
    }

    /// Bytes a second at `now`.
    #[must_use]
    pub fn rate(&self, now: Time) -> u64 {
        if now.since(self.since) > STALE { self.sample(now) } else { self.rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    #[test]
    fn a_rate_follows_what_comes_and_fades_when_nothing_does() {
        let mut meter = Meter::new(at(0));
        for step in 1..=50 {
            meter.add(at(step * 20), 2000);
        }
        assert_eq!(meter.rate(at(1000)), 100_000);
        assert_eq!(meter.rate(at(10_000)), 0);
    }

    #[test]
    fn time_in_which_nothing_was_wanted_does_not_count() {
        let mut meter = Meter::new(at(0));
        meter.pause(at(5000));
        meter.add(at(5100), 10_000);
        assert_eq!(meter.rate(at(5100)), 100_000);
    }
}
