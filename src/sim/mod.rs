//! Many servents, one virtual clock, no sockets.
//!
//! A [`Network`] drives the very same [`crate::overlay::Overlay`] as the daemon does. The
//! same seed gives the same run. It is how the engine is tested, and how anybody can see
//! what a mesh of some size costs and reaches.

pub mod delay;
pub mod faults;
pub mod network;
pub mod place;
pub mod topology;

pub use delay::Delay;
pub use network::{Network, SearchReport};
pub use place::Families;
