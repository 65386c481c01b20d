//! Real servents in a house: they find each other on its cable, and a way in through its
//! router; and what routers and neighbours may do to them there.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;

mod gateway;
mod house;
mod igd;
mod lan;
mod miniupnpd;
mod multicast;
mod router;
