//! part2part: a serverless file-sharing servent.

pub mod base;
pub mod message;
pub mod servent;
pub mod transfer;
