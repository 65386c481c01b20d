//! Real servents in a house: they find each other on its cable, whatever strangers say there.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;

mod house;
mod lan;
mod multicast;
