//! A rate with a burst.

use std::time::Duration;

use super::Time;

/// A token bucket: `rate` units a second on average, at most `burst` at once.
///
/// Counts in whole micro-units, so that nothing is lost to rounding however often it
/// is asked, and two runs with the same times agree to the unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    rate: u64,
    burst: u64,
    /// Units in hand, in millionths; below zero after [`Bucket::owe`].
    level: i128,
    at: Time,
}

const MICRO: i128 = 1_000_000;

impl Bucket {
    /// A full bucket at `now`.
    #[must_use]
    pub fn new(rate: u64, burst: u64, now: Time) -> Self {
        Self { rate, burst, level: i128::from(burst) * MICRO, at: now }
    }

    /// Takes `units` if they are there.
    pub fn take(&mut self, now: Time, units: u64) -> bool {
        self.refill(now);
        let wanted = i128::from(units) * MICRO;
        let granted = self.level >= wanted;
        if granted {
            self.level -= wanted;
        }
        granted
    }

    /// How many whole units are there to be taken.
    pub fn level(&mut self, now: Time) -> u64 {
        self.refill(now);
        u64::try_from(self.level.max(0) / MICRO).unwrap_or(u64::MAX)
    }

    /// Takes `units` whether or not they are there; the debt is paid by waiting
    /// [`Bucket::debt`].
    pub fn owe(&mut self, now: Time, units: u64) {
        self.refill(now);
        self.level -= i128::from(units) * MICRO;
    }

    /// How long from `now` until nothing is owed.
    #[must_use]
    pub fn debt(&mut self, now: Time) -> Duration {
        self.refill(now);
        if self.level >= 0 {
            return Duration::ZERO;
        }
        let micros = (-self.level).div_euclid(i128::from(self.rate.max(1))) + 1;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Goes on with another rate and burst; a debt stays, and is paid at the new rate.
    pub fn change(&mut self, now: Time, rate: u64, burst: u64) {
        self.refill(now);
        (self.rate, self.burst) = (rate, burst);
        self.level = self.level.min(i128::from(burst) * MICRO);
    }

    fn refill(&mut self, now: Time) {
        let micros = i128::try_from(now.since(self.at).as_micros()).unwrap_or(i128::MAX / MICRO);
        let full = i128::from(self.burst) * MICRO;
        self.level =
            full.min(self.level.saturating_add(micros.saturating_mul(i128::from(self.rate))));
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    #[test]
    fn a_burst_is_granted_at_once_and_then_the_rate() {
        let mut bucket = Bucket::new(10, 3, at(0));
        assert!((0..3).all(|_| bucket.take(at(0), 1)));
        assert!(!bucket.take(at(0), 1));
        assert!(!bucket.take(at(99), 1));
        assert!(bucket.take(at(100), 1));
        assert!(!bucket.take(at(199), 1));
        assert_eq!((0..100).filter(|_| bucket.take(at(100_000), 1)).count(), 3);
    }

    #[test]
    fn a_debt_is_paid_by_waiting() {
        let mut bucket = Bucket::new(1000, 0, at(0));
        bucket.owe(at(0), 500);
        let wait = bucket.debt(at(0));
        assert!(wait >= Duration::from_millis(500) && wait < Duration::from_millis(501));
        assert_eq!(bucket.debt(at(501)), Duration::ZERO);
    }

    #[test]
    fn a_debt_is_paid_at_the_rate_that_counts_now() {
        let mut bucket = Bucket::new(1000, 0, at(0));
        bucket.owe(at(0), 1000);
        bucket.change(at(500), 10, 5);
        let wait = bucket.debt(at(500));
        assert!(wait >= Duration::from_secs(50) && wait < Duration::from_millis(50_001));
        bucket.change(at(500), 1_000_000, 7);
        assert_eq!(bucket.debt(at(501)), Duration::ZERO);
        assert!(bucket.take(at(5000), 7) && !bucket.take(at(5000), 1));
    }

    #[test]
    fn a_clock_that_steps_back_grants_nothing() {
        let mut bucket = Bucket::new(1, 1, at(5000));
        assert!(bucket.take(at(5000), 1));
        assert!(!bucket.take(at(0), 1));
        assert!(!bucket.take(at(5000), 1));
        assert!(bucket.take(at(6000), 1));
    }
}
