//! The host cache between the engine, which counts time from the start, and its file,
//! which outlives the process.

use std::sync::Arc;

use super::clock::Clock;
use super::offload::offload;
use crate::base::Time;
use crate::overlay::Cached;
use crate::store::{CachedContact, StateDir, StoreError, load_hosts, save_hosts};

/// The file of the host cache; none for a servent that leaves nothing behind.
pub(super) struct HostFile(Option<Arc<StateDir>>);

impl HostFile {
    pub(super) fn new(state: Option<Arc<StateDir>>) -> Self {
        Self(state)
    }

    /// What was saved, and a sentence if some of it was damaged.
    pub(super) fn load(&self) -> Result<(Vec<Cached>, Option<String>), StoreError> {
        let Some(state) = &self.0 else { return Ok((Vec::new(), None)) };
        let loaded = load_hosts(state, Clock::unix())?;
        let notice = loaded
            .damaged
            .map(|aside| format!("the host cache was damaged; it is kept as {}", aside.display()));
        let cached = loaded.contacts.into_iter().map(|kept| Cached {
            contact: kept.contact,
            proven: kept.proven,
            heard: None,
        });
        Ok((cached.collect(), notice))
    }

    /// Saves; a failure is logged and tried again with the next save.
    pub(super) fn save(&self, cached: &[Cached], now: Time) {
        let Some(state) = &self.0 else { return };
        let unix = Clock::unix();
        let contacts: Vec<CachedContact> = cached
            .iter()
            .map(|cached| CachedContact {
                contact: cached.contact.clone(),
                heard_unix: cached
                    .heard
                    .map_or(0, |heard| unix.saturating_sub(now.since(heard).as_secs())),
                proven: cached.proven,
            })
            .collect();
        if let Err(error) = offload(|| save_hosts(state, &contacts)) {
            tracing::warn!(%error, "cannot save the host cache");
        }
    }
}
