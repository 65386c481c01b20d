//! part2part: a serverless file-sharing servent.

pub mod args;
pub mod base;
pub mod chores;
pub mod command;
pub mod config;
pub mod control;
pub mod identity;
pub mod message;
pub mod overlay;
pub mod prompt;
pub mod servent;
pub mod share;
pub mod sim;
pub mod store;
pub mod transfer;
pub mod wire;
