//! The proof that both ends of a connection belong to one private mesh.
//!
//! Always true: a proof says something about one connection and one direction only,
//! since it is keyed by the mesh and made over what TLS exports. It cannot be replayed,
//! relayed, or sent back to its author.

use std::fmt;
use std::path::Path;

use super::file::{self, KeyFileError};
use super::keys::random;
use super::tls::Exporter;
use crate::base::base32;

/// Bytes of a proof.
pub const PROOF_LEN: usize = 32;

/// For what the key of a mesh is derived; part of the protocol.
const CONTEXT: &str = "part2part 1 network key";

/// What the members of one mesh have in common: nothing, in the open mesh.
///
/// Equality takes the same time wherever the difference lies.
#[derive(Clone)]
pub struct NetworkKey([u8; 32]);

/// What one end sends to prove that it holds the network key.
///
/// Equality takes the same time wherever the difference lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof(blake3::Hash);

impl Proof {
    /// The proof that came in these bytes, right or wrong.
    #[must_use]
    pub fn from_bytes(bytes: [u8; PROOF_LEN]) -> Self {
        Self(blake3::Hash::from_bytes(bytes))
    }

    /// What goes over the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PROOF_LEN] {
        self.0.as_bytes()
    }
}

impl NetworkKey {
    /// The key of the open mesh, which everybody has.
    #[must_use]
    pub fn open() -> Self {
        Self::from_contents(b"")
    }

    /// The key in a file with these `contents`; line ends at its end do not count, so
    /// that an editor that adds one changes nothing.
    #[must_use]
    pub fn from_contents(contents: &[u8]) -> Self {
        let end = contents.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        let secret = end.and_then(|end| contents.get(..=end)).unwrap_or_default();
        Self(blake3::derive_key(CONTEXT, secret))
    }

    /// The key of a mesh that nobody else is in.
    ///
    /// # Errors
    /// [`KeyFileError`], when the system gives no random bytes.
    pub fn random() -> Result<Self, KeyFileError> {
        let mut key = [0; 32];
        random(&mut key)?;
        Ok(Self(key))
    }

    /// The key itself in 52 letters and digits, for a member to pass on. It is not what a
    /// key file holds, and whoever has it is a member all the same.
    #[must_use]
    pub fn to_text(&self) -> String {
        base32::encode(&self.0)
    }

    /// The key with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        base32::decode(text).map(Self)
    }

    /// Eight digits by which a member tells the files of its meshes apart; they say
    /// nothing of the key.
    #[must_use]
    pub fn tag(&self) -> String {
        let hash = blake3::keyed_hash(&self.0, b"part2part 1 tag of a mesh");
        hash.to_hex().chars().take(8).collect()
    }

    /// Makes a file for a new private mesh: 32 random bytes in hexadecimal and a line
    /// end, mode 0600. Members get a copy of it.
    ///
    /// # Errors
    /// [`KeyFileError`]; a file that is there already is never written over.
    pub fn create_file(path: &Path) -> Result<(), KeyFileError> {
        let mut secret = [0; 32];
        random(&mut secret)?;
        file::create(path, &format!("{}\n", blake3::Hash::from_bytes(secret).to_hex()))
    }

    /// What the dialler sends first.
    #[must_use]
    pub fn dialler_proof(&self, exporter: &Exporter) -> Proof {
        self.proof(0, exporter)
    }

    /// What the acceptor answers, once the dialler's proof was right.
    #[must_use]
    pub fn acceptor_proof(&self, exporter: &Exporter) -> Proof {
        self.proof(1, exporter)
    }

    fn proof(&self, role: u8, exporter: &Exporter) -> Proof {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[role]);
        hasher.update(&exporter.0);
        Proof(hasher.finalize())
    }
}

impl PartialEq for NetworkKey {
    fn eq(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl Eq for NetworkKey {}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const X: Exporter = Exporter([7; 32]);

    #[test]
    fn proofs_differ_by_role_key_and_connection() {
        let key = NetworkKey::from_contents(b"our secret");
        let proofs = [
            key.dialler_proof(&X),
            key.acceptor_proof(&X),
            key.dialler_proof(&Exporter([8; 32])),
            NetworkKey::from_contents(b"our secreu").dialler_proof(&X),
            NetworkKey::open().dialler_proof(&X),
        ];
        for (i, one) in proofs.iter().enumerate() {
            for (j, other) in proofs.iter().enumerate() {
                assert_eq!(one == other, i == j, "{i} {j}");
            }
        }
        assert_eq!(Proof::from_bytes(*proofs[0].as_bytes()), key.dialler_proof(&X));
    }

    #[test]
    fn a_proof_is_made_as_the_protocol_says() {
        let key = blake3::derive_key("part2part 1 network key", b"our secret");
        let mut said = vec![0];
        said.extend([7; 32]);
        let expected = blake3::keyed_hash(&key, &said);
        let proof = NetworkKey::from_contents(b"our secret\n").dialler_proof(&X);
        assert_eq!(proof.as_bytes(), expected.as_bytes());
    }

    #[test]
    fn line_ends_at_the_end_of_the_file_do_not_count() {
        let proof = |contents: &[u8]| NetworkKey::from_contents(contents).dialler_proof(&X);
        for same in [&b"key"[..], b"key\n", b"key\r\n", b"key\n\n"] {
            assert_eq!(proof(same), proof(b"key"));
        }
        for other in [&b"key "[..], b"\nkey", b"k\ney"] {
            assert_ne!(proof(other), proof(b"key"));
        }
        assert_eq!(proof(b"\n"), NetworkKey::open().dialler_proof(&X));
    }

    #[test]
    fn a_new_key_file_is_secret_random_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| folder.path().join(name));
        let texts = paths.each_ref().map(|path| {
            NetworkKey::create_file(path).unwrap();
            let facts = std::fs::metadata(path).unwrap();
            assert_eq!(facts.permissions().mode() & 0o777, 0o600);
            std::fs::read_to_string(path).unwrap()
        });
        assert_ne!(texts[0], texts[1]);
        assert!(texts.iter().all(|text| text.len() == 65 && text.ends_with('\n')));
        let error = NetworkKey::create_file(&paths[0]).unwrap_err();
        assert!(matches!(error, KeyFileError::Exists { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), texts[0]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_key_reads_back_from_its_text_and_is_nobody_elses() {
        let key = NetworkKey::from_contents(b"our secret");
        let text = key.to_text();
        assert_eq!(NetworkKey::from_text(&text), Some(key.clone()));
        assert_eq!(NetworkKey::from_text(&text.to_uppercase()), Some(key.clone()));
        assert_eq!(NetworkKey::from_text(&text[1..]), None);
        assert_eq!(NetworkKey::from_text("our secret"), None);
        assert_ne!(NetworkKey::random().unwrap(), NetworkKey::random().unwrap());
        assert_ne!(key, NetworkKey::open());
        assert_eq!(key.tag().len(), 8);
        assert_ne!(key.tag(), NetworkKey::open().tag());
    }

    #[test]
    fn a_network_key_is_never_shown() {
        assert_eq!(format!("{:?}", NetworkKey::from_contents(b"x")), "NetworkKey(..)");
    }
}
