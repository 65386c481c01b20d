//! Many servents, one virtual clock, no sockets.
//!
//! A [`Network`] drives the very same [`crate::overlay::Overlay`] as the daemon does. The
//! same seed gives the same run. It is how the engine is tested, and how anybody can see
//! what a mesh of some size costs and reaches.
//!
//! - [`network`]: the servents, their links and the clock; `queue`: what happens next.
//! - [`plan`]: what to simulate; [`experiment`]: doing so; [`report`]: what came of it.
//! - [`crowd`]: not a mesh but many who want one file, with the plans of `transfer`.
//! - [`topology`] and [`delay`]: shapes of a mesh, and how long messages take; [`faults`]:
//!   what goes wrong; [`place`]: where servents are.

pub mod crowd;
pub mod delay;
pub mod experiment;
pub mod faults;
mod files;
mod measure;
pub mod network;
pub mod place;
pub mod plan;
mod queue;
pub mod report;
pub mod searching;
pub mod servent;
pub mod sweep;
pub mod topology;
mod wires;

pub use crowd::{CrowdError, CrowdPlan, CrowdReport, run_crowd};
pub use delay::Delay;
pub use experiment::{Progress, Stage, run};
pub use network::Network;
pub use place::Families;
pub use plan::{Latency, Plan, PlanError, Topology};
pub use report::Report;
pub use searching::SearchReport;
pub use servent::Load;
pub use sweep::{Curves, curves};
