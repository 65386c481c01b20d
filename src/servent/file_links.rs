//! Links to contents: for results, and for what is shared here.
//!
//! Always true: a link names this servent only as the source of what it shares, and others
//! only as they were named by their hits.

use super::download_error::DownloadError;
use super::downloads::{Aim, aim};
use super::handle::Servent;
use super::inviting::{outward, reach_note};
use super::report::{LinkReport, LinkTarget};
use crate::base::escape::Escaped;
use crate::base::file_link::MAX_LINK_PEERS;
use crate::base::{Contact, FileLink};

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is nothing to link to.
    #[error("{0}")]
    Unknown(#[from] DownloadError),
    /// A path at which nothing is shared.
    #[error("{0} is not shared here; 'publish' shares it, and then it has a link")]
    NotShared(String),
}

impl Servent {
    /// A link to what `target` means; as a magnet, if that is what people are to be shown.
    ///
    /// # Errors
    /// [`LinkError`], when it means nothing.
    pub async fn link(&self, target: LinkTarget, as_magnet: bool) -> Result<LinkReport, LinkError> {
        let (ground, library) = (&self.0.ground, &self.0.library);
        let (here, Aim { id, mut name, mut size, sources }) = match target {
            LinkTarget::Known(target) => {
                let known = aim(target, &self.latest(), ground.id)?;
                (library.path(known.id).and_then(|path| library.shared_at(&path)), known)
            }
            LinkTarget::Path(path) => {
                let unshared =
                    || LinkError::NotShared(Escaped(&path.to_string_lossy()).to_string());
                let file = library.shared_at(&path).ok_or_else(unshared)?;
                let known = Aim { id: file.id, name: None, size: 0, sources: Vec::new() };
                (Some(file), known)
            }
        };
        let mut notes = Vec::new();
        let mut peers = Vec::new();
        if let Some(file) = here {
            size = file.size;
            name.get_or_insert(file.name);
            let addresses = outward(ground.addresses());
            notes.extend(reach_note(&addresses));
            if ground.is_undialable() {
                notes.push(
                    "nobody can dial this servent: the link works for those who find it by \
                     searching"
                        .into(),
                );
            }
            peers.push(Contact::new(ground.id, addresses));
        }
        // Who cannot be dialled is found by the search for the hash.
        let dialable = sources.into_iter().filter(|source| !source.calls_back);
        peers.extend(dialable.map(|source| Contact::new(source.id, source.addresses)));
        peers.retain(|peer| !peer.addresses.is_empty());
        peers.truncate(MAX_LINK_PEERS);
        if peers.is_empty() {
            notes.push("it names nobody who has it: what it names is searched for".into());
        }
        let size = (size > 0).then_some(size);
        let link = FileLink { id, name: name.clone(), size, peers };
        Ok(LinkReport {
            link: link.to_string(),
            magnet: link.magnet(),
            as_magnet,
            id,
            name,
            size,
            peers: link.peers.iter().map(|peer| peer.id).collect(),
            notes,
        })
    }
}
