//! Lines from a person at a terminal, or from a pipe.
//!
//! A thread of its own reads the lines, one command after another, and shows the replies:
//! it may block on the terminal as long as it likes. What nobody asked for goes above the
//! line that is being typed, through [`Printer`]; while a command runs it goes between
//! that command's replies.

mod candidates;
mod completion;
mod front;
mod keyboard;
mod printer;
mod script;
pub mod terminal;

pub use keyboard::interact;
pub use printer::Printer;
pub use script::obey_script;
