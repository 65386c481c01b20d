//! The host cache between the engine, which counts time from the start, and its file,
//! which outlives the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::mesh;
use super::offload::offload;
use crate::base::Time;
use crate::identity::NetworkKey;
use crate::overlay::Cached;
use crate::store::{CachedContact, StateDir, StoreError, load_hosts, save_hosts};

/// The file of the host cache; none for a servent that leaves nothing behind.
pub(super) struct HostFile {
    name: Arc<str>,
    state: Option<Arc<StateDir>>,
    saving: Arc<AtomicBool>,
}

impl HostFile {
    /// The file of the mesh with this key.
    pub(super) fn new(state: Option<Arc<StateDir>>, key: &NetworkKey) -> Self {
        Self { name: mesh::hosts_file(key).into(), state, saving: Arc::default() }
    }

    /// What was saved, and a sentence if some of it was damaged.
    pub(super) fn load(&self, now: Time) -> Result<(Vec<Cached>, Option<String>), StoreError> {
        let Some(state) = &self.state else { return Ok((Vec::new(), None)) };
        let unix = Clock::unix();
        let loaded = load_hosts(state, &self.name, unix)?;
        let notice = loaded
            .damaged
            .map(|aside| format!("the host cache was damaged; it is kept as {}", aside.display()));
        let cached = loaded.contacts.into_iter().map(|kept| Cached {
            contact: kept.contact,
            proven: kept.proven,
            // What the file does not know is 0; a clock that was set back makes it now.
            heard: (kept.heard_unix > 0)
                .then(|| now.before(Duration::from_secs(unix.saturating_sub(kept.heard_unix)))),
            source: kept.source,
            answered: kept.answered,
            failures: kept.failures,
            anchor: kept.anchor,
        });
        Ok((cached.collect(), notice))
    }

    /// Saves away from the caller, who has no time for a slow disk; while one save runs,
    /// the next is left to the time after it.
    pub(super) fn save_soon(&self, cached: Vec<Cached>, now: Time) {
        let Some(state) = self.state.clone() else { return };
        if self.saving.swap(true, Ordering::AcqRel) {
            return;
        }
        let (name, saving) = (Arc::clone(&self.name), Arc::clone(&self.saving));
        tokio::task::spawn_blocking(move || {
            write(&state, &name, &cached, now);
            saving.store(false, Ordering::Release);
        });
    }

    /// Saves before it returns.
    pub(super) fn save(&self, cached: &[Cached], now: Time) {
        if let Some(state) = &self.state {
            offload(|| write(state, &self.name, cached, now));
        }
    }
}

/// Writes the file; a failure is logged, and the next save tries again.
fn write(state: &StateDir, name: &str, cached: &[Cached], now: Time) {
    let unix = Clock::unix();
    let heard_unix = |heard: Time| unix.saturating_sub(now.since(heard).as_secs());
    let contacts: Vec<CachedContact> = cached
        .iter()
        .map(|cached| CachedContact {
            contact: cached.contact.clone(),
            heard_unix: cached.heard.map_or(0, heard_unix),
            proven: cached.proven,
            anchor: cached.anchor,
            failures: cached.failures,
            source: cached.source,
            answered: cached.answered,
        })
        .collect();
    if let Err(error) = save_hosts(state, name, &contacts) {
        tracing::warn!(%error, "cannot save the host cache");
    }
}
