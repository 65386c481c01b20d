//! What the integration tests share.
//!
//! Each test binary compiles all of it and uses a part, hence the
//! allowances.
#![allow(dead_code, unreachable_pub)]

pub mod fake_peer;
pub mod files;
pub mod frames;
pub mod listing;
pub mod namespace;
pub mod schema;
pub mod servent;
pub mod small_disk;
