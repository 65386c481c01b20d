//! The one command layer: what a line means, what obeying it brings, and how that
//! is shown.
//!
//! A front (the prompt, a pipe, the control socket) hands an [`Order`] to a
//! [`Console`] and gets [`Reply`]s, as data, and an [`Exit`]. The grammar is the same
//! for all of them; whether replies become text for people or JSON for programs is
//! decided last, in [`render`].

pub mod address;
mod bars;
mod chart;
pub mod console;
pub mod execute;
pub mod grammar;
pub mod layout;
pub mod nearest;
pub mod qr;
pub mod render;
pub mod reply;
pub mod schema;
pub mod screen;

pub use console::{Console, Order};
pub use execute::Local;
pub use reply::{Exit, Reply};
pub use screen::{Screen, Style, Terminal};
