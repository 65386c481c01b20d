//! Who this servent is, and how it proves it: keys, TLS, and the proof of the network.
//!
//! A servent is its Ed25519 key. TLS 1.3 with raw public keys (RFC 7250) proves that key
//! on every connection, both ways; there is no other mode, so there is nothing to
//! downgrade to. A private mesh adds a second proof, bound to the TLS connection, that
//! both ends hold its key. What of this is seen on the wire is described in `wire`.
//!
//! What this room leaves to others: sockets, deadlines, who may come in how often, and
//! what to do about a connection to oneself (both ids are at hand).

mod file;
mod keys;
mod proof;
mod tls;

pub use file::KeyFileError;
pub use keys::Identity;
pub use proof::{NetworkKey, PROOF_LEN, Proof};
pub use tls::{ALPN, Exporter, PeerError, Tls, TlsError, WrongId, exporter, peer_id, wrong_id};
