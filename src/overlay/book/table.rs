//! Buckets of servents: a table that gives each network only so much of itself.
//!
//! Which bucket is the business of a keyed hash, whose key nobody outside knows: who has
//! few networks reaches few buckets, cannot choose which, and cannot tell which are full.
//! The hash is BLAKE3, keyed: any would do that a stranger cannot compute.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::config::BUCKET;
use crate::base::ServentId;

/// Some buckets; those that are empty take no memory.
#[derive(Debug, Default)]
pub(super) struct Table {
    buckets: BTreeMap<u16, Vec<ServentId>>,
}

impl Table {
    pub(super) fn bucket(&self, bucket: u16) -> &[ServentId] {
        self.buckets.get(&bucket).map_or(&[], Vec::as_slice)
    }

    pub(super) fn buckets(&self) -> impl ExactSizeIterator<Item = &[ServentId]> {
        self.buckets.values().map(Vec::as_slice)
    }

    pub(super) fn is_full(&self, bucket: u16) -> bool {
        self.bucket(bucket).len() >= BUCKET
    }

    pub(super) fn insert(&mut self, bucket: u16, id: ServentId) {
        debug_assert!(!self.is_full(bucket), "a bucket holds {BUCKET}");
        self.buckets.entry(bucket).or_default().push(id);
    }

    pub(super) fn remove(&mut self, bucket: u16, id: ServentId) {
        if let Some(ids) = self.buckets.get_mut(&bucket) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.buckets.remove(&bucket);
            }
        }
    }
}

/// A number below `below` that depends on the `key` and on all `parts`.
pub(super) fn keyed(key: &[u8; 32], parts: &[&[u8]], below: u16) -> u16 {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(&[u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let number = hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    u16::try_from(number % u64::from(below.max(1))).unwrap_or(0)
}

/// A network in bytes; one that is exempt from being counted is as good as one of its
/// own for each servent.
pub(super) fn bytes_of(group: Option<IpAddr>, id: ServentId) -> Vec<u8> {
    match group {
        Some(IpAddr::V4(v4)) => v4.octets().to_vec(),
        Some(IpAddr::V6(v6)) => v6.octets().to_vec(),
        None => id.0.to_vec(),
    }
}
