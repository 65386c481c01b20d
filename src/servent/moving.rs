//! From one mesh into another, which only a servent that is alone may do.

use std::sync::{Arc, PoisonError};

use super::driver::{Command, Move};
use super::handle::Servent;
use super::hosts::HostFile;
use super::mesh::{self, Mesh};
use super::offload::offload;
use super::report::SettingReport;
use super::searching::{self, SharedResults};
use super::tuning::Origin;
use crate::identity::NetworkKey;
use crate::message::Shares;
use crate::overlay::{self, Input, Overlay};
use crate::store::StoreError;

/// Why the servent stays in the mesh that it is in.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// It has links there.
    #[error("this servent is linked to others in the mesh that it is in; 'leave' first, then {0}")]
    Linked(&'static str),
    /// It was started with the key.
    #[error("the key of this private mesh comes from {0}; start without it for the open mesh")]
    Given(String),
    /// Its state folder cannot be read or written.
    #[error(transparent)]
    State(#[from] StoreError),
    /// It is about to stop.
    #[error("the servent is stopping")]
    Stopping,
}

/// How a servent came into a mesh.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moved {
    /// It was there before.
    Already,
    /// It is there from now on; a sentence where there is something to know.
    Now(Option<String>),
}

impl Servent {
    /// Enters the private mesh of `key`, from now on and at later starts.
    ///
    /// # Errors
    /// [`MoveError`]; then it stays where it is.
    pub async fn enter(&self, key: NetworkKey) -> Result<Moved, MoveError> {
        let before = self.0.ground.mesh();
        if before.key == key {
            return Ok(Moved::Already);
        }
        self.move_to(Mesh::new(key.clone(), Origin::Set), "join again").await?;
        if self.0.ground.settings.network.as_ref().is_some_and(|given| given.file.is_some()) {
            let why = "the key file that this servent was started with decides again at the next \
                       start";
            return Ok(Moved::Now(Some(why.to_owned())));
        }
        let Some(state) = &self.0.state else {
            return Ok(Moved::Now(Some("the key is forgotten with this servent".to_owned())));
        };
        Ok(Moved::Now(match offload(|| mesh::keep(state, &key)) {
            Ok(()) => None,
            Err(error) => Some(format!("the key is forgotten when the servent stops: {error}")),
        }))
    }

    /// Returns to the open mesh, and forgets the key that was kept.
    ///
    /// # Errors
    /// [`MoveError`]; then it stays where it is, or will be back with the next start where
    /// the key cannot be removed.
    pub async fn enter_open(&self) -> Result<Moved, MoveError> {
        let mesh = self.0.ground.mesh();
        let forget = || match &self.0.state {
            Some(state) => offload(|| state.remove(mesh::KEY_FILE)),
            None => Ok(()),
        };
        if !mesh.is_private() {
            // One that could not be removed before would lead back at the next start.
            forget()?;
            return Ok(Moved::Already);
        }
        if let Some(secret) = &self.0.ground.settings.network
            && secret.file.is_some()
            && mesh.key == secret.key
        {
            return Err(MoveError::Given(mesh.origin.to_string()));
        }
        self.move_to(Mesh::open(), "'set mesh open' again").await?;
        forget()?;
        Ok(Moved::Now(None))
    }

    /// Which mesh it is, as `set` shows it.
    #[must_use]
    pub fn mesh_setting(&self) -> SettingReport {
        let mesh = self.0.ground.mesh();
        SettingReport {
            key: "mesh".to_owned(),
            value: if mesh.is_private() { "private" } else { "open" }.to_owned(),
            origin: mesh.origin.to_string(),
            help: "whom it can meet: everybody, or those who have the same key; 'set mesh open' \
                   forgets the key"
                .to_owned(),
            note: None,
        }
    }

    /// `then`: what to do once the links are gone that are in the way.
    async fn move_to(&self, mesh: Mesh, then: &'static str) -> Result<(), MoveError> {
        let inner = &self.0;
        let ground = &inner.ground;
        let hosts = HostFile::new(inner.state.clone(), &mesh.key);
        // What was damaged there is told at the next start.
        let (cached, _) = offload(|| hosts.load(ground.clock.now()))?;
        let seed = searching::random().ok_or(MoveError::Stopping)?;
        let manual = ground.settings.manual;
        let config = overlay::Config { manual, ..overlay::Config::default() };
        let overlay = Overlay::new(ground.id, config, seed, ground.clock.now())
            .counting_in(ground.unanswered.clone());
        let totals = inner.library.totals();
        let files = u32::try_from(totals.files).unwrap_or(u32::MAX);
        let shares = Shares { files, bytes: totals.bytes };
        let named = Input::TraceName(ground.panel.now().trace_name);
        let first = vec![Input::Cached(cached), Input::Shares(shares), named];
        let moved = |reply| {
            Command::Move(Box::new(Move { mesh: Arc::new(mesh), overlay, hosts, first }), reply)
        };
        match self.ask(moved).await {
            Some(true) => {}
            Some(false) => return Err(MoveError::Linked(then)),
            None => return Err(MoveError::Stopping),
        }
        // Whom the latest search found cannot be reached from here.
        *inner.results.lock().unwrap_or_else(PoisonError::into_inner) = SharedResults::default();
        Ok(())
    }
}
