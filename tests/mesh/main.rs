//! Meshes of real servents, and what they tell of themselves. The tests of this program
//! wait most of their time, so they run beside each other.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;

mod many;
mod map;
mod reachability;
mod trace;
mod wanted;
