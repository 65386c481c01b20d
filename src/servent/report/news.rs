//! What nobody asked for just now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DownloadReport, HitReport};
use crate::base::{ContentId, ServentId};

/// Something worth telling that nobody asked for just now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A neighbour came.
    NeighbourUp {
        /// Who.
        id: ServentId,
        /// What its user calls it.
        name: String,
    },
    /// A neighbour went.
    NeighbourDown {
        /// Who.
        id: ServentId,
        /// What its user calls it.
        name: String,
        /// A sentence: why.
        why: String,
    },
    /// Something about a download: a lost source, a wait, a resumption.
    Download {
        /// Which.
        number: usize,
        /// The name that its file will have; unescaped.
        name: String,
        /// A sentence.
        text: String,
    },
    /// A download is complete, verified and in place.
    DownloadDone {
        /// Its last report.
        report: DownloadReport,
    },
    /// A download is over without the file.
    DownloadFailed {
        /// Its last report.
        report: DownloadReport,
    },
    /// Something turned up for a standing search.
    Found {
        /// The number of the standing search.
        number: usize,
        /// Its words.
        text: String,
        /// The file; its own number is that of `wanted --show`.
        hit: HitReport,
    },
    /// A servent has a file whole and in place, and got some of it from here.
    Delivered {
        /// Who.
        id: ServentId,
        /// What its user calls it.
        name: String,
        /// The content.
        file: ContentId,
        /// What the file is called here; unescaped.
        file_name: String,
    },
    /// Something the user should know about this servent.
    Notice {
        /// A sentence.
        text: String,
    },
}
