//! Moving one file: plans only, no I/O.
//!
//! [`Download`] plans how a file comes, [`UploadSlots`] who may take one from here,
//! [`Telling`] what these hear of pieces and of each other, and [`PieceList`] proves every
//! piece. Start reading at [`download`].

pub mod collection;
#[cfg(test)]
mod crowd;
pub mod download;
pub mod event;
pub mod exchange;
mod gather;
pub mod picker;
pub mod priority;
pub mod sources;
#[cfg(test)]
mod swarm;
pub mod telling;
pub mod turns;
pub mod upload;
pub mod verify;

pub use collection::Batch;
pub use download::Download;
pub use event::{Event, Lie, Loss, Next, PauseReason};
pub use exchange::{Config, Failure, Input, Output, Parting, SourceStanding, Standing};
pub use picker::{Budget, Picker, ranges};
pub use priority::Priority;
pub use telling::{Telling, Word};
pub use turns::{Ticket, Turns};
pub use upload::{Answer, Change, UploadSlots};
pub use verify::{ListBuilder, ListError, PieceList, PieceValue, piece_value};
