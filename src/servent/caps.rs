//! Caps on what is sent and received, which may be turned while somebody waits.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::clock::Clock;
use crate::base::Bucket;

/// A rate that nobody reaches, for those who set none.
const NO_CAP: u64 = 1 << 50;

/// Most units a second.
pub(super) struct Cap {
    bucket: Mutex<Bucket>,
    turned: watch::Sender<()>,
    clock: Clock,
}

impl Cap {
    /// Most `rate` units a second, of which `burst` may come at once.
    pub(super) fn new(rate: u64, burst: u64, clock: Clock) -> Self {
        let bucket = Mutex::new(Bucket::new(rate, burst, clock.now()));
        Self { bucket, turned: watch::channel(()).0, clock }
    }

    /// Most `rate` bytes a second, if any; a tenth of a second's at once: smooth, and
    /// still whole frames.
    pub(super) fn bytes(rate: Option<u64>, clock: Clock) -> Self {
        let rate = rate.unwrap_or(NO_CAP);
        Self::new(rate, rate / 10, clock)
    }

    /// Changes what [`Cap::bytes`] made; who waits goes by the new rate at once.
    pub(super) fn turn(&self, rate: Option<u64>) {
        let rate = rate.unwrap_or(NO_CAP);
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.change(self.clock.now(), rate, rate / 10);
        drop(bucket);
        self.turned.send_replace(());
    }

    /// Waits until nothing is owed, and only then owes: who goes away while it waits has
    /// taken nothing from the others.
    pub(super) async fn wait(&self, units: u64) {
        let mut turned = self.turned.subscribe();
        loop {
            let debt = {
                let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
                let debt = bucket.debt(self.clock.now());
                if debt.is_zero() {
                    bucket.owe(self.clock.now(), units);
                    return;
                }
                debt
            };
            tokio::select! {
                () = tokio::time::sleep(debt) => {}
                _ = turned.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cap_holds_what_waits_to_its_rate() {
        let cap = Cap::bytes(Some(10_000), Clock::start());
        let began = Instant::now();
        for _ in 0..21 {
            cap.wait(1_000).await;
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(1_850) && took < Duration::from_secs(2), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_by_the_new_rate_at_once() {
        let cap = Cap::bytes(Some(4_096), Clock::start());
        cap.wait(1 << 30).await;
        let waiting = cap.wait(1);
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_secs(60), &mut waiting).await.is_err());
        cap.turn(None);
        assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_ok());
        // What was saved up without a cap is not spent under one.
        cap.turn(Some(10_000));
        cap.wait(2_000).await;
        assert!(timeout(Duration::from_millis(50), cap.wait(1)).await.is_err());
    }
}
