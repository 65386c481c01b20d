//! The library: what this servent shares, and what of it matches a query.
//!
//! Always true: nothing is shared that was not published; no byte leaves here that is
//! not the content it was published as; the servent's own state, its key files and the
//! parts of downloads are refused, confirmed or not. The library lives in memory;
//! keeping it over a restart is left to a later index.
//!
//! The one thing imported from the room `store` is the page [`crate::store::disk`], so
//! that the library runs on any disk; `store` knows nothing of this room. Calls that
//! read files block: the driver runs them away from its loop.

pub mod error;
pub mod file_type;
pub mod fold;
pub mod left_out;
pub mod library;
pub mod matcher;
pub mod publish;
pub mod published;
pub mod query;
mod republish;

pub use error::{OpenError, PublishError, ReadError, UnpublishError};
pub use file_type::FileType;
pub use left_out::{LeftOut, LeftOutExample, LeftOutReport};
pub use library::{
    Library, Notice, Protected, SharedFile, Totals, UnpublishReport, UnpublishTarget,
};
pub use matcher::Matches;
pub use publish::{PublishProgress, PublishReport};
pub use published::SharedReader;
pub use query::{Query, QueryError, QueryProblem};
