//! The library: what this servent shares, and what of it matches a query.
//!
//! Always true: nothing is shared that was not published; no byte leaves here that is
//! not the content it was published as; the servent's own state, its key files and the
//! parts of downloads are refused, confirmed or not; what was published or unpublished
//! stays so over a restart, unless the library lives in memory only.
//!
//! Of the room `store` two pages are imported: [`crate::store::disk`], so that the library
//! runs on any disk, and [`crate::store::share_index`], where it is kept; `store` knows
//! nothing of this room. Calls that read files or save block: the driver runs them away
//! from its loop.

mod absence;
pub mod agenda;
mod backlog;
pub mod browse;
mod by_path;
pub mod collection;
pub mod error;
pub mod file_type;
pub mod fits;
pub mod fold;
pub mod hashing;
pub mod ignoring;
pub mod index;
mod keeping;
pub mod left_out;
pub mod library;
pub mod listing;
mod marks;
pub mod matcher;
mod names;
mod naming;
pub mod publish;
pub mod published;
mod published_path;
pub mod query;
mod republish;
mod scan;
mod shelf;
mod walk;

pub use agenda::Agenda;
pub use browse::{BrowseEntry, BrowsePage};
pub use collection::Collection;
pub use error::{OpenError, PublishError, ReadError, UnpublishError};
pub use file_type::FileType;
pub use hashing::Hashing;
pub use left_out::{LeftOut, LeftOutExample, LeftOutReport};
pub use library::{
    Library, Notice, Protected, SharedFile, Totals, UnpublishReport, UnpublishTarget,
};
pub use listing::{FolderSum, SharedFilter, SharedOrder, SharedPage, SharedRows, Sums};
pub use marks::MAX_EXCLUDED;
pub use matcher::{Match, Matches};
pub use publish::{PublishProgress, PublishReport};
pub use published::SharedReader;
pub use query::{Query, QueryError, QueryProblem};
pub use scan::{Unwatched, Watcher};
pub use walk::{Look, WalkReport};
