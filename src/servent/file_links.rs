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
use crate::base::{Contact, ContentId, FileLink};

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

/// What is shared here.
struct Here {
    name: String,
    size: u64,
    /// How many files, and bytes in them, it lists, if it is a collection.
    listed: Option<(u64, u64)>,
}

impl Servent {
    fn here(&self, id: ContentId) -> Option<Here> {
        let library = &self.0.library;
        let size = library.list(id)?.geometry().size();
        let collection = library.collection(id);
        let listed = collection.map(|collection| (collection.files, collection.bytes));
        Some(Here { name: library.name(id)?, size, listed })
    }

    /// A link to what `target` means; as a magnet, if that is what people are to be shown.
    ///
    /// # Errors
    /// [`LinkError`], when it means nothing.
    pub async fn link(&self, target: LinkTarget, as_magnet: bool) -> Result<LinkReport, LinkError> {
        let (ground, library) = (&self.0.ground, &self.0.library);
        let (here, Aim { id, mut name, mut size, collection, sources }) = match target {
            LinkTarget::Known(target) => {
                let known = aim(target, &self.latest(), ground.id)?;
                (self.here(known.id), known)
            }
            LinkTarget::Path(path) => {
                let unshared =
                    || LinkError::NotShared(Escaped(&path.to_string_lossy()).to_string());
                let id = match library.shared_at(&path) {
                    Some(file) => Some(file.id),
                    None => library.collection_at(&path).map(|collection| collection.id()),
                };
                let id = id.ok_or_else(unshared)?;
                let none = Aim { id, name: None, size: 0, collection: None, sources: vec![] };
                (self.here(id), none)
            }
        };
        let mut notes = Vec::new();
        let mut peers = Vec::new();
        let mut folder = collection;
        if let Some(Here { name: own, size: exact, listed }) = here {
            size = exact;
            folder = listed;
            name.get_or_insert(own);
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
        let link = FileLink { id, name: name.clone(), size, folder, peers };
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
