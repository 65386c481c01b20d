//! What a servent shares, and how its user changes that.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc;

use super::changes::StopOnDrop;
use super::handle::Servent;
use super::incidents::Incident;
use super::report::{
    HashingReport, LeftOut, LeftOutCount, PublishProgress, PublishReport, SharedReport,
    UnpublishReport,
};
use crate::share::{PublishError, UnpublishError, UnpublishTarget};

impl Servent {
    /// Publishes a file or a folder; `confirmed` where that needs a second thought.
    ///
    /// # Errors
    /// [`PublishError`]; what was published before stays so.
    pub async fn publish(
        &self,
        path: PathBuf,
        confirmed: bool,
        progress: mpsc::Sender<PublishProgress>,
    ) -> Result<PublishReport, PublishError> {
        let library = self.0.library.clone();
        let stop = Arc::new(AtomicBool::new(false));
        // If nobody waits for the end any more, hashing ends too.
        let _guard = StopOnDrop(Arc::clone(&stop));
        let shown = path.clone();
        let work = tokio::task::spawn_blocking(move || {
            let tell = |seen: crate::share::PublishProgress<'_>| {
                let _ = progress.try_send(PublishProgress {
                    files: usize::try_from(seen.files).unwrap_or(usize::MAX),
                    bytes: seen.bytes,
                    current: seen.path.to_string_lossy().into_owned(),
                });
            };
            library.publish(&path, confirmed, &tell, &stop)
        });
        match work.await {
            Ok(published) => published.map(report_of),
            Err(error) => {
                self.0.ground.incidents.note(Incident::Fault);
                let source = io::Error::other(error);
                Err(PublishError::Unreadable { path: shown, source })
            }
        }
    }

    /// Stops sharing a path, all in a folder, or a content.
    ///
    /// # Errors
    /// [`UnpublishError`], when that is not shared.
    pub async fn unpublish(&self, what: String) -> Result<UnpublishReport, UnpublishError> {
        let target = UnpublishTarget::of(&what);
        let gone = super::offload::offload(|| self.0.library.unpublish(&target))?;
        Ok(UnpublishReport { files: gone.files, bytes: gone.bytes })
    }

    /// What is being hashed, and has been since the start.
    #[must_use]
    pub fn hashing(&self) -> HashingReport {
        let crate::share::Hashing { running, files, bytes, current } = self.0.library.hashing();
        let current = current.map(|path| path.to_string_lossy().into_owned());
        HashingReport { running, files, bytes, current }
    }

    /// What is shared.
    pub async fn shared(&self) -> Vec<SharedReport> {
        let shared = self.0.library.shared().into_iter();
        shared
            .map(|file| SharedReport {
                name: file.name,
                path: file.path,
                id: file.id,
                size: file.size,
            })
            .collect()
    }
}

fn report_of(published: crate::share::PublishReport) -> PublishReport {
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    PublishReport {
        files: size(published.files),
        bytes: published.bytes,
        unchanged: size(published.unchanged),
        left_out: size(published.left_out.total()),
        reasons: published
            .left_out
            .counts
            .iter()
            .map(|(why, count)| LeftOutCount { reason: why.word().to_owned(), count: size(*count) })
            .collect(),
        examples: published
            .left_out
            .examples
            .into_iter()
            .map(|left| LeftOut { path: left.path, why: left.why.to_string() })
            .collect(),
    }
}
