//! Looking through what a servent shares, page by page.

use bincode::{Decode, Encode};

use super::{Extensions, Hit};

/// Asks for a page of what lies in one folder of the library.
///
/// Sent with the flag that lets those who do not know the kind pass it over.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Browse {
    /// The folder, from where the library begins on, `/` between its parts; empty: what
    /// the library begins with. At most [`Browse::MAX_FOLDER`] bytes.
    pub folder: String,
    /// Where to go on: what the page before said, and empty for the first one. At most
    /// [`Listing::MAX_CURSOR`] bytes.
    pub cursor: Vec<u8>,
    /// Extensions.
    pub ext: Extensions,
}

impl Browse {
    /// Longest folder in bytes: far more than people type or see.
    pub const MAX_FOLDER: usize = 2048;
}

/// Answers one [`Browse`], in the order in which they were asked.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Listing {
    /// A page, or why there is none.
    pub outcome: Listed,
    /// Extensions.
    pub ext: Extensions,
}

/// What a [`Listing`] holds.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Listed {
    /// Here it is.
    Page {
        /// What lies in the folder: at most [`Listing::MAX_ENTRIES`], and perhaps none where
        /// there is a next page.
        entries: Vec<Entry>,
        /// Where the next page begins: opaque, and only for who gave it; none after the last.
        next: Option<Vec<u8>>,
    },
    /// Nobody may look through this library.
    Closed,
    /// Too much was looked at of late.
    Later {
        /// Seconds after which to ask again.
        secs: u32,
    },
    /// There is no such folder.
    NoFolder,
    /// The cursor is none that this servent gave.
    Stale,
}

/// One thing in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Entry {
    /// A folder.
    Folder {
        /// Its own name: 1 to 255 bytes without a `/`.
        name: String,
        /// Extensions.
        ext: Extensions,
    },
    /// A file, told as in a hit.
    File(Hit),
}

impl Listing {
    /// Most entries of one page: a few screens, and never more than 31 KiB.
    pub const MAX_ENTRIES: usize = 100;
    /// Longest cursor in bytes: the longest path of Linux, sealed.
    pub const MAX_CURSOR: usize = 4224;
}
