//! A rate that many share in turn: downloads by their priorities, uploads alike.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::clock::Clock;
use crate::base::Bucket;
use crate::transfer::{Priority, Ticket, Turns};

/// A rate that nobody reaches, for those who set none.
const NO_CAP: u64 = 1 << 50;

/// What comes by and by, and who is next to take of it.
pub(super) struct Throttle {
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    bucket: Bucket,
    turns: Turns,
    waiting: BTreeMap<Ticket, Arc<Notify>>,
}

impl Inner {
    fn wake_next(&self) {
        if let Some(next) = self.turns.next().and_then(|next| self.waiting.get(&next)) {
            next.notify_one();
        }
    }
}

/// Somebody who waits; gives the wish up when dropped.
struct Waiter<'a> {
    throttle: &'a Throttle,
    ticket: Ticket,
    called: Arc<Notify>,
}

impl Throttle {
    /// Most `rate` units a second, of which `burst` may come at once.
    pub(super) fn new(rate: u64, burst: u64, clock: Clock) -> Self {
        let bucket = Bucket::new(rate, burst, clock.now());
        let inner = Inner { bucket, turns: Turns::default(), waiting: BTreeMap::new() };
        Self { clock, inner: Mutex::new(inner) }
    }

    /// Most `rate` bytes a second, if any; a tenth of a second's at once: smooth, and
    /// still whole frames.
    pub(super) fn bytes(rate: Option<u64>, clock: Clock) -> Self {
        let rate = rate.unwrap_or(NO_CAP);
        Self::new(rate, rate / 10, clock)
    }

    /// Changes what [`Throttle::bytes`] made; who waits goes by the new rate at once.
    pub(super) fn turn(&self, rate: Option<u64>) {
        let rate = rate.unwrap_or(NO_CAP);
        let mut inner = self.lock();
        inner.bucket.change(self.clock.now(), rate, rate / 10);
        inner.wake_next();
    }

    pub(super) fn set_priority(&self, download: usize, priority: Priority) {
        let mut inner = self.lock();
        inner.turns.set_priority(download, priority);
        inner.wake_next();
    }

    pub(super) fn forget(&self, download: usize) {
        let mut inner = self.lock();
        inner.turns.forget(download);
        inner.wake_next();
    }

    /// Waits until it is the turn of `download` and nothing is owed, and only then owes:
    /// who goes away while it waits has taken nothing from the others.
    pub(super) async fn wait(&self, download: usize, amount: u64) {
        let waiter = self.enter(download);
        loop {
            let debt = {
                let mut inner = self.lock();
                if inner.turns.next() == Some(waiter.ticket) {
                    let debt = inner.bucket.debt(self.clock.now());
                    if debt.is_zero() {
                        inner.bucket.owe(self.clock.now(), amount);
                        inner.turns.take(waiter.ticket, amount);
                        return;
                    }
                    Some(debt)
                } else {
                    None
                }
            };
            match debt {
                Some(debt) => tokio::select! {
                    () = tokio::time::sleep(debt) => {}
                    () = waiter.called.notified() => {} // the rate may have changed
                },
                None => waiter.called.notified().await,
            }
        }
    }

    fn enter(&self, download: usize) -> Waiter<'_> {
        let called = Arc::new(Notify::new());
        let mut inner = self.lock();
        let ticket = inner.turns.enter(download);
        inner.waiting.insert(ticket, Arc::clone(&called));
        Waiter { throttle: self, ticket, called }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut inner = self.throttle.lock();
        inner.waiting.remove(&self.ticket);
        inner.turns.leave(self.ticket); // nothing, once it was granted
        inner.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    fn throttle(rate: u64) -> Arc<Throttle> {
        Arc::new(Throttle::bytes(Some(rate), Clock::start()))
    }

    #[tokio::test(start_paused = true)]
    async fn downloads_share_a_rate_by_their_priorities_and_use_all_of_it() {
        let throttle = throttle(700_000);
        let got: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
        for (download, (got, priority)) in got.iter().zip(Priority::ALL).enumerate() {
            throttle.set_priority(download, priority);
            // The least urgent has the most connections: that gives it nothing.
            for _ in 0..=2 * download {
                let (throttle, got) = (Arc::clone(&throttle), Arc::clone(got));
                tokio::spawn(async move {
                    loop {
                        throttle.wait(download, 10_000).await;
                        got.fetch_add(10_000, Ordering::Relaxed);
                    }
                });
            }
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let got: Vec<u64> = got.iter().map(|got| got.load(Ordering::Relaxed)).collect();
        for (got, wanted) in got.iter().zip([4_000_000u64, 2_000_000, 1_000_000]) {
            assert!(got.abs_diff(wanted) <= 100_000, "{got:?} of {wanted}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_or_is_forgotten_keeps_nobody_waiting() {
        let throttle = throttle(1000);
        throttle.wait(1, 2000).await; // 1.9 s are owed now
        let first = timeout(Duration::from_millis(100), throttle.wait(1, 1)).await;
        assert!(first.is_err());
        let other = throttle.wait(2, 1);
        throttle.forget(1);
        assert!(timeout(Duration::from_secs(3), other).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_holds_what_waits_to_its_rate() {
        let cap = throttle(10_000);
        let began = Instant::now();
        for _ in 0..21 {
            cap.wait(1, 1_000).await;
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(1_850) && took < Duration::from_secs(2), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_by_the_new_rate_at_once() {
        let cap = throttle(4_096);
        cap.wait(1, 1 << 30).await;
        let waiting = cap.wait(1, 1);
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_secs(60), &mut waiting).await.is_err());
        cap.turn(None);
        assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_ok());
        // What was saved up without a cap is not spent under one.
        cap.turn(Some(10_000));
        cap.wait(1, 2_000).await;
        assert!(timeout(Duration::from_millis(50), cap.wait(1, 1)).await.is_err());
    }
}
