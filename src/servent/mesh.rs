//! Which mesh the servent takes part in: the open one, or a private one by its key.
//!
//! Always true: a connection belongs to the mesh whose key it was greeted with, and ends
//! when the servent leaves that mesh for another. A private mesh is left for the open one
//! only when the user says so: a key that was lost to damage is replaced by one that
//! nobody has.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::settings::NetworkSecret;
use super::tuning::Origin;
use crate::identity::{KeyFileError, NetworkKey};
use crate::store::{Loaded, RealDisk, StateDir, StoreError};

/// The file of a kept key in the state folder.
pub(super) const KEY_FILE: &str = "network.key";

/// A mesh, as long as the servent takes part in it.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) key: NetworkKey,
    /// Where the key came from; of the open mesh: the default.
    pub(super) origin: Origin,
    /// Cancelled once the servent has gone into another mesh.
    pub(super) left: CancellationToken,
}

impl Mesh {
    pub(super) fn new(key: NetworkKey, origin: Origin) -> Self {
        Self { key, origin, left: CancellationToken::new() }
    }

    pub(super) fn open() -> Self {
        Self::new(NetworkKey::open(), Origin::Default)
    }

    pub(super) fn is_private(&self) -> bool {
        self.key != NetworkKey::open()
    }
}

/// Why the mesh of a servent cannot be found out.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeshError {
    #[error(transparent)]
    State(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

/// The mesh that a servent starts in, and a sentence if the kept key was damaged. A key
/// that came in a friend's line is kept from now on.
pub(super) fn at_start(
    given: Option<&NetworkSecret>,
    state: Option<&StateDir>,
    now_unix: u64,
) -> Result<(Mesh, Option<String>), MeshError> {
    let (kept, notice) = load(state, now_unix)?;
    match (given, kept) {
        (Some(secret), kept) if !secret.origin.yields_to_set() || kept.is_none() => {
            let NetworkSecret { key, origin, file } = secret;
            if let (None, Some(state)) = (file, state)
                && kept.as_ref() != Some(key)
            {
                keep(state, key)?;
            }
            Ok((Mesh::new(key.clone(), origin.clone()), notice))
        }
        (_, Some(kept)) => Ok((Mesh::new(kept, Origin::Set), notice)),
        (_, None) => Ok((Mesh::open(), notice)),
    }
}

fn load(
    state: Option<&StateDir>,
    now_unix: u64,
) -> Result<(Option<NetworkKey>, Option<String>), MeshError> {
    let Some(state) = state else { return Ok((None, None)) };
    let (aside, previous) = match state.read(KEY_FILE, now_unix)? {
        Loaded::Nothing => return Ok((None, None)),
        Loaded::Whole(body) => match read(&body) {
            Some(key) => return Ok((Some(key), None)),
            None => (state.path().join(KEY_FILE), None),
        },
        Loaded::Damaged { aside, previous } => (aside, previous.and_then(|body| read(&body))),
    };
    let damaged =
        format!("the key of the private mesh was damaged; it is kept as {}", aside.display());
    if let Some(key) = previous {
        return Ok((Some(key), Some(format!("{damaged}; the one before it is used"))));
    }
    let sealed = NetworkKey::random()?;
    keep(state, &sealed)?;
    let then = "nobody is met until 'join' takes a line with the key, or 'set mesh open'";
    Ok((Some(sealed), Some(format!("{damaged}; {then}"))))
}

/// Keeps `key` for the next starts.
pub(super) fn keep(state: &StateDir, key: &NetworkKey) -> Result<(), StoreError> {
    state.write(KEY_FILE, format!("{}\n", key.to_text()).as_bytes())
}

/// Whether a servent on the state folder `state` has kept a key; reads, locks nothing.
#[must_use]
pub fn has_kept_key(state: &Path) -> bool {
    StateDir::peek(&RealDisk, state, KEY_FILE).is_some()
}

fn read(body: &[u8]) -> Option<NetworkKey> {
    NetworkKey::from_text(std::str::from_utf8(body).ok()?.trim_end())
}

/// The file of the host cache of the mesh with this key: those of one mesh are not dialled
/// in another, where they would learn no more than that somebody knocked.
pub(super) fn hosts_file(key: &NetworkKey) -> String {
    if *key == NetworkKey::open() { "hosts".to_owned() } else { format!("hosts-{}", key.tag()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::MemoryDisk;

    fn key(byte: u8) -> NetworkKey {
        NetworkKey::from_contents(&[byte])
    }

    fn state(disk: &MemoryDisk) -> StateDir {
        StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap()
    }

    fn start(disk: &MemoryDisk, secret: Option<(u8, Origin, bool)>) -> (Mesh, Option<String>) {
        let given = secret.map(|(byte, origin, file)| NetworkSecret {
            key: key(byte),
            origin,
            file: file.then(|| "/k".into()),
        });
        at_start(given.as_ref(), Some(&state(disk)), 7).unwrap()
    }

    #[test]
    fn a_flag_goes_before_the_kept_key_that_before_the_file_of_settings() {
        let disk = MemoryDisk::new();
        let flag = || Origin::Flag("--network-key".into());
        let line = || Origin::File { path: "/c".into(), line: 1 };
        assert!(!start(&disk, None).0.is_private());
        assert_eq!(start(&disk, Some((1, line(), true))).0.key, key(1));
        assert!(!start(&disk, None).0.is_private(), "a key file is not copied");
        // A key that came in a line has no file of its own.
        assert_eq!(start(&disk, Some((2, flag(), false))).0.key, key(2));
        let (mesh, notice) = start(&disk, None);
        assert_eq!((mesh.key, mesh.origin, notice), (key(2), Origin::Set, None));
        assert_eq!(start(&disk, Some((1, line(), true))).0.key, key(2));
        assert_eq!(start(&disk, Some((1, flag(), true))).0.key, key(1));
        assert_eq!(start(&disk, None).0.key, key(2));
    }

    #[test]
    fn a_damaged_key_never_leads_into_the_open_mesh() {
        let disk = MemoryDisk::new();
        keep(&state(&disk), &key(1)).unwrap();
        disk.put("/s/network.key", b"torn");
        let (mesh, notice) = start(&disk, None);
        assert!(mesh.is_private() && mesh.key != key(1));
        assert!(notice.unwrap().contains("/s/network.key.bad-7; nobody is met until"));
        let (again, notice) = start(&disk, None);
        assert_eq!((again.key, notice), (mesh.key, None));
        keep(&state(&disk), &key(1)).unwrap();
        keep(&state(&disk), &key(1)).unwrap();
        disk.put("/s/network.key", b"torn");
        let (mesh, notice) = start(&disk, None);
        assert_eq!(mesh.key, key(1));
        assert!(notice.unwrap().ends_with("the one before it is used"));
    }

    #[test]
    fn every_mesh_has_a_host_cache_of_its_own() {
        assert_eq!(hosts_file(&NetworkKey::open()), "hosts");
        let files = [hosts_file(&key(1)), hosts_file(&key(2))];
        assert_ne!(files[0], files[1]);
        assert!(files.iter().all(|file| file.starts_with("hosts-")));
        assert!(!files.iter().any(|file| key(1).to_text().contains(&file[6..])));
    }
}
