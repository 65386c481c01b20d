//! What a servent tells its user: plain data, ready to be shown or sent as JSON.

use std::path::Path;

use serde::Serializer;

mod browse;
mod download;
mod invitation;
mod link;
mod map;
mod news;
mod peer;
mod search;
mod setting;
mod shared;
mod status;
mod trace;
mod upload;

pub use crate::share::{FileType, SharedOrder};
pub use browse::{BrowseReport, BrowseRequest, BrowsedReport, Whom};
pub use download::{
    DownloadReport, DownloadRequest, DownloadState, DownloadTarget, GatheredReport, SourceProgress,
};
pub use invitation::InvitationReport;
pub use link::{LinkReport, LinkTarget};
pub use map::{Asking, MapLink, MapProgress, MapReport, MappedReport};
pub use news::News;
pub use peer::{JoinReport, PeerReport, Relation, SharesReport};
pub use search::{
    CollectionReport, HitReport, Reach, ResultReport, SearchEnd, SearchEvent, SearchRequest,
    SourceReport, StoppedReport, WantedReport,
};
pub use setting::{LimitReport, SettingReport, Unit};
pub use shared::{
    FolderReport, LeftOut, LeftOutCount, PublishProgress, PublishReport, SharedListing,
    SharedReport, SharedRequest, SharedTotals, TypeTotal, UnpublishReport,
};
pub use status::{
    HashingReport, IncidentsReport, MappedBy, PortMapping, Reachable, StatusReport, TestReport,
    WatchReport, undialable,
};
pub use trace::{TraceReport, TracedReport};
pub use upload::{UploadReport, UploadState};

/// A path as text: JSON has no other kind, and a name that is no UTF-8 must not
/// cost the whole reply.
fn as_text<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}
