//! The driver: one servent on tokio.

pub mod report;
pub mod settings;

pub use settings::{JoinTarget, Settings};
