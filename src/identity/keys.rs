//! The key that a servent is.

use std::fmt;
use std::path::Path;

use ring::rand::SecureRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::file::{self, KeyFileError};
use crate::base::ServentId;

/// First line of a key file; the second is the seed in hexadecimal.
const FILE_HEAD: &str = "part2part identity 1";

/// What a PKCS #8 file of an Ed25519 key (RFC 8410) has before the seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// An Ed25519 key of this servent's own, and the id that goes with it.
///
/// Whoever has the key *is* the servent: it is never shown and never logged.
#[derive(Clone)]
pub struct Identity {
    seed: [u8; 32],
    id: ServentId,
}

impl Identity {
    /// A new identity from the system's generator.
    ///
    /// # Errors
    /// [`KeyFileError::Random`], when the system gives no random bytes.
    pub fn generate() -> Result<Self, KeyFileError> {
        let mut seed = [0; 32];
        random(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// The identity with this seed (the private key of RFC 8032): the same one each time.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        let key = pair.ok().and_then(|pair| pair.public_key().as_ref().try_into().ok());
        let Some(key) = key else { unreachable!("any 32 bytes are the seed of a key of 32 bytes") };
        Self { seed, id: ServentId(key) }
    }

    /// The identity in the file at `path`; a new one, written there, if there is none.
    ///
    /// The file is made with mode 0600, whole or not at all. The folder must exist.
    ///
    /// # Errors
    /// [`KeyFileError`]: unreadable, unwritable, damaged, or open to others than its
    /// owner. A damaged file is never replaced: it may be the only copy of an identity.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        if let Some(known) = Self::load(path)? {
            return Ok(known);
        }
        let new = Self::generate()?;
        let seed = blake3::Hash::from_bytes(new.seed).to_hex();
        match file::create(path, &format!("{FILE_HEAD}\n{seed}\n")) {
            Ok(()) => Ok(new),
            // Somebody was faster; theirs is the one that stays.
            Err(exists @ KeyFileError::Exists { .. }) => Self::load(path)?.ok_or(exists),
            Err(error) => Err(error),
        }
    }

    fn load(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let Some(text) = file::read(path)? else { return Ok(None) };
        parse(&text)
            .map(|seed| Some(Self::from_seed(seed)))
            .ok_or_else(|| KeyFileError::Damaged { path: path.to_owned() })
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> ServentId {
        self.id
    }

    /// A secret that this servent alone has, for one purpose; the same each time.
    #[must_use]
    pub fn secret_for(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.seed)
    }

    /// The key as the TLS library takes it.
    pub(super) fn pkcs8(&self) -> PrivatePkcs8KeyDer<'static> {
        let mut bytes = PKCS8_PREFIX.to_vec();
        bytes.extend(self.seed);
        PrivatePkcs8KeyDer::from(bytes)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Fills `bytes` from the system's generator.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), KeyFileError> {
    ring::rand::SystemRandom::new().fill(bytes).map_err(|_| KeyFileError::Random)
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let (head, seed) = text.strip_suffix('\n')?.split_once('\n')?;
    if head != FILE_HEAD {
        return None;
    }
    blake3::Hash::from_hex(seed).ok().map(|hash| *hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_seed_names_one_servent_as_rfc_8032_says() {
        // RFC 8032, 7.1, test 1.
        let hex = |text: &str| *blake3::Hash::from_hex(text).unwrap().as_bytes();
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let id = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(Identity::from_seed(seed).id(), ServentId(id));
    }

    #[test]
    fn two_new_identities_differ_and_neither_shows_its_key() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        assert_ne!(one.id(), other.id());
        let shown = format!("{one:?}");
        assert!(shown.contains(&one.id().short()) && shown.len() < 60, "{shown}");
    }

    #[test]
    fn an_identity_is_made_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");
        let made = Identity::load_or_create(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(folder.path()), ["identity.key"]);
        assert_eq!(Identity::load_or_create(&path).unwrap().id(), made.id());
    }

    #[test]
    fn a_damaged_key_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");
        Identity::load_or_create(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        let mut garbled = good.clone();
        garbled[30] = b'g';
        for bad in [&b""[..], &good[..good.len() - 1], &[0xff; 90], &garbled, &[b'a'; 5000]] {
            std::fs::write(&path, bad).unwrap();
            let error = Identity::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("move it away"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bad);
        }
        let error = Identity::load_or_create(folder.path()).unwrap_err();
        assert!(matches!(error, KeyFileError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_key_file_open_to_others_is_refused_until_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");
        let made = Identity::load_or_create(&path).unwrap();
        for bits in [0o640, 0o604, 0o620, 0o666] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(bits)).unwrap();
            let error = Identity::load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Exposed { mode, .. } if mode == bits));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        assert_eq!(Identity::load_or_create(&path).unwrap().id(), made.id());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("identity.key");
        let error = Identity::load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Write { .. }), "{error}");
        assert!(error.to_string().contains("gone/identity.key"), "{error}");
    }
}
