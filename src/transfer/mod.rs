//! Moving one file: plans only, no I/O.

pub mod verify;

pub use verify::{ListBuilder, ListError, PieceList, PieceValue, piece_value};
