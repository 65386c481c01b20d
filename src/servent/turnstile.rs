//! One greeting at a time with each servent that we dial.
//!
//! Two dials of ours to one servent, by a person and by the engine, may be under way
//! together. It takes the later of them for its link, and so do we: but each by the order
//! that it sees, and if those differ both links close. Here the next dial says hello only
//! once the engine has taken the answer to the one before, so there is one order; and it
//! knows what came of that one, so that nobody replaces a link that was only just made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

use crate::base::ServentId;

/// The right to greet one servent, until it is dropped; holds whether the turn before,
/// which ended while this one waited, has made it a neighbour.
pub(super) type Turn = OwnedMutexGuard<bool>;

/// Who is being greeted.
#[derive(Debug, Default)]
pub(super) struct Turnstile(Mutex<BTreeMap<ServentId, Weak<Turns<bool>>>>);

impl Turnstile {
    /// Waits until nobody else greets `id`; those who wait come in their order.
    pub(super) async fn pass(&self, id: ServentId) -> Turn {
        let turns = {
            let mut greeted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Dials are few at a time, so what is over is swept out by the next.
            greeted.retain(|_, turns| turns.strong_count() > 0);
            let standing = greeted.get(&id).and_then(Weak::upgrade);
            standing.unwrap_or_else(|| {
                let turns = Arc::new(Turns::new(false));
                greeted.insert(id, Arc::downgrade(&turns));
                turns
            })
        };
        turns.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn the_second_greeting_of_a_servent_waits_for_the_first_and_no_other_does() {
        let (ann, bob) = (ServentId([1; 32]), ServentId([2; 32]));
        let turnstile = Turnstile::default();
        let mut first = turnstile.pass(ann).await;
        assert!(turnstile.pass(bob).now_or_never().is_some());
        let mut second = Box::pin(turnstile.pass(ann));
        assert!(second.as_mut().now_or_never().is_none());
        *first = true;
        drop(first);
        let second = second.now_or_never().unwrap();
        assert!(*second, "it knows what came of the first");
        drop(second);
        assert!(!*turnstile.pass(ann).await, "what came of it is for those who waited");
        assert!(turnstile.pass(bob).now_or_never().is_some());
        assert_eq!(turnstile.0.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}
