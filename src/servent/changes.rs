//! Shared files that change under our hands, and how many they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::driver::Command;
use super::ground::Ground;
use super::report::News;
use crate::base::escape::Escaped;
use crate::message::Shares;
use crate::overlay::Input;
use crate::share::Library;

/// How often the library is asked what it withdrew by itself.
const NOTICE_EVERY: Duration = Duration::from_secs(2);

/// Files that the library withdrew because they changed are shared anew, as they are now,
/// and the user is told either way.
pub(super) async fn watch(ground: Arc<Ground>, library: Library) {
    let stop = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(Arc::clone(&stop));
    loop {
        tokio::select! {
            () = ground.stop.cancelled() => return,
            () = tokio::time::sleep(NOTICE_EVERY) => {}
        }
        for notice in library.take_notices() {
            let (library, changed) = (library.clone(), notice.clone());
            let stop = Arc::clone(&stop);
            let again = tokio::task::spawn_blocking(move || library.republish(&changed, &stop));
            let shared = tokio::select! {
                () = ground.stop.cancelled() => return,
                shared = again => shared.unwrap_or(Some(false)),
            };
            // What may still be written is taken up again the next time.
            let Some(shared) = shared else { continue };
            let text = match shared {
                true => format!(
                    "{} was changed; it is shared anew, as it is now",
                    Escaped(&notice.path.to_string_lossy())
                ),
                false => notice.to_string(),
            };
            ground.tell(News::Notice { text });
        }
    }
}

/// Tells the engine how much is shared, for the neighbours, whenever that has changed.
pub(super) async fn tell_shares(
    ground: Arc<Ground>,
    library: Library,
    driver: mpsc::Sender<Command>,
) {
    let mut told = Shares::default();
    loop {
        let totals = library.totals();
        let files = u32::try_from(totals.files).unwrap_or(u32::MAX);
        let shares = Shares { files, bytes: totals.bytes };
        if shares != told {
            told = shares;
            if driver.send(Command::Tell(Input::Shares(shares))).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = ground.stop.cancelled() => return,
            () = tokio::time::sleep(NOTICE_EVERY) => {}
        }
    }
}

/// Ends blocking work once nobody waits for it any more.
pub(super) struct StopOnDrop(pub(super) Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
