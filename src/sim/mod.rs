//! Many servents, one virtual clock, no sockets.
//!
//! A [`Network`] drives the very same [`crate::overlay::Overlay`] as the daemon does. The
//! same seed gives the same run. It is how the engine is tested, and how anybody can see
//! what a mesh of some size costs and reaches.
//!
//! - [`network`]: the servents, their links and the clock; `queue`: what happens next.
//! - [`topology`] and [`delay`]: shapes of a mesh, and how long messages take; [`faults`]:
//!   what goes wrong; [`place`]: where servents are.

pub mod delay;
pub mod faults;
mod files;
pub mod network;
pub mod place;
mod queue;
pub mod searching;
pub mod topology;

pub use delay::Delay;
pub use network::{Load, Network};
pub use place::Families;
pub use searching::SearchReport;
