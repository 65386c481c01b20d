//! The name of one search.

use std::fmt;

/// A globally unique identifier: the random name of one search.
///
/// All copies of a query carry the same one, so a servent that has seen it knows
/// the copy for a duplicate. It is drawn afresh for each search from the operating
/// system's generator, so it says nothing about who is searching.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}
