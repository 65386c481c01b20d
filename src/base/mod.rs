//! Values that every room speaks. No I/O, no clock, no randomness of its own.
//!
//! Each file is one noun. A number says what it counts: [`Ttl`] is not [`Hops`],
//! a [`PieceIndex`] can come only from the [`Geometry`] that knows its bounds,
//! and [`Time`] is a plain value that somebody else read off a clock.

pub mod base32;
pub mod bucket;
pub mod contact;
pub mod content;
pub mod escape;
pub mod file_link;
pub mod guid;
pub mod hop;
pub mod meter;
pub mod piece;
pub mod time;

pub use bucket::Bucket;
pub use contact::{Contact, ServentId};
pub use content::{ContentId, FileInfo, FileName};
pub use file_link::FileLink;
pub use guid::Guid;
pub use hop::{Hops, MAX_TTL, Ttl};
pub use meter::Meter;
pub use piece::{Geometry, PieceIndex, PieceMap};
pub use time::Time;
