//! How the servent is, gathered from everybody who knows a part of it.

use std::sync::atomic::Ordering;

use super::driver::Command;
use super::handle::{Inner, Servent};
use super::report::{DownloadState, Reachable, StatusReport};

impl Servent {
    /// How the servent is.
    pub async fn status(&self) -> StatusReport {
        let Inner { ground, library, uploads, .. } = &*self.0;
        let (reachable, tested) =
            self.ask(Command::Reachability).await.unwrap_or((Reachable::Unknown, None));
        let (tuning, looking) = (ground.panel.now(), ground.lan.borrow().clone());
        let totals = library.totals();
        let downloads = self.0.downloads.reports();
        let runs = |state: &DownloadState| !state.is_over() && *state != DownloadState::Paused;
        let running = downloads.iter().filter(|report| runs(&report.state)).count();
        StatusReport {
            id: ground.id,
            name: tuning.name.clone(),
            listening: ground.listening(),
            addresses: ground.addresses(),
            reachable,
            tested,
            neighbours: self.degree(),
            cached: self.ask(Command::Cached).await.unwrap_or(0),
            port_mapping: ground.port_mapping(),
            lan: tuning.lan.then(|| looking.found()),
            lan_error: looking.why().filter(|_| tuning.lan).map(str::to_owned),
            serving: tuning.serve,
            shared_files: totals.files,
            shared_folders: library.folders(),
            shared_bytes: totals.bytes,
            downloads: running,
            resumed: self.0.downloads.resumed(),
            uploads: uploads.active(),
            received: ground.received.load(Ordering::Relaxed),
            sent: ground.sent.load(Ordering::Relaxed),
            mesh_received: ground.mesh.received(),
            mesh_sent: ground.mesh.sent(),
            private: ground.mesh().is_private(),
            up_secs: ground.clock.up_secs(),
            incidents: ground.incidents.report(),
            warnings: self.warnings(),
            hashing: self.hashing(),
            folders: self.0.watching.folders(),
        }
    }

    /// What should not be so and stays so, a sentence each.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.0.ground.warnings();
        warnings.extend(self.0.library.warnings());
        warnings.extend(self.0.watching.warnings(self.0.ground.clock.now()));
        warnings
    }
}
